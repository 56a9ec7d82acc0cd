"""The networks that ship with the package against drawn and against real clips: who gets a number, and who none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.index import read_index
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import caption, parse, random_scene
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO
from vgaudit.zoo.resolve import BUNDLED

pytestmark = pytest.mark.skipif(
    not all((BUNDLED / name).is_dir() for name in (BUNDLED_CLIP, BUNDLED_VIDEO)),
    reason="the bundled networks are not in the package yet",
)

CAPTION = "a dog walking along the beach at sunset"
WAYS = [("", "auto"), ("storyworld", "auto"), ("", "named"), ("storyworld", "named")]


class Networks:
    """Both networks, loaded once."""

    def __init__(self) -> None:
        clip = ClipOptions(model=BUNDLED_CLIP, device="cpu")
        self.frames, self.text = ClipExtractor(clip), ClipTextExtractor(clip)
        self.video = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@storyworld", device="cpu"))
        for extractor in (self.frames, self.text, self.video):
            extractor.load()

    def see(self, path: Path) -> tuple[Any, dict[str, Features]]:
        """Facts and features of a clip."""
        with ClipReader(path) as reader:
            extractors: Sequence[Extractor] = (self.frames, self.video)
            running = [e.start(reader.info) for e in extractors]
            for block in reader:
                for extraction in running:
                    extraction.push(block)
            frames, video = (extraction.finish() for extraction in running)
            return reader.info, {"frames": frames, "video": video}

    def measure(self, seen: tuple[Any, dict[str, Features]], sample: Sample, how: str) -> list[Measurement]:
        """What both metrics say of it."""
        named = how == "named"
        alignment = PromptAlignment(
            PromptAlignmentOptions(model=BUNDLED_CLIP if named else "auto"), MetricContext()
        )
        protocol = "fvd@storyworld" if named else "auto"
        fvd = Fvd(FvdOptions(reference="storyworld", protocol=protocol), MetricContext())
        info, features = seen
        prompt = self.text.extract_texts(alignment.texts(sample))
        view = ClipView(sample, info, "0" * 64, {**features, "prompt": prompt})
        return [alignment.measure(view), fvd.measure(view)]


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks()


def drawn(folder: Path, seeds: Sequence[int]) -> Iterator[tuple[str, Path]]:
    for seed in seeds:
        scene = random_scene(3_000_000 + seed)
        clip = render(scene, seed, height=64, width=64)
        encode(clip.frames, 8.0, folder / f"{seed}.mp4", EncoderSettings())
        yield caption(clip.truth.scene, seed), folder / f"{seed}.mp4"


def test_drawn_clips_are_judged(networks: Networks, tmp_path: Path) -> None:
    for text, path in drawn(tmp_path, range(12)):
        seen = networks.see(path)
        sample = Sample("s", "p", text, "g", domain="storyworld")
        for domain, how in WAYS[1:]:
            alignment, fvd = networks.measure(seen, replace(sample, domain=domain), how)
            assert set(alignment.values) == {"clip_score", "clipsim", "clip_frame_consistency"}, (
                alignment.missing
            )
            assert "out_of_domain" not in fvd.facts
        assert parse(text)


def refused(networks: Networks, path: Path, prompts: Sequence[str]) -> None:
    seen = networks.see(path)
    for prompt in prompts:
        for domain, how in WAYS:
            sample = Sample("s", "p", prompt, "g", domain=domain)
            alignment, fvd = networks.measure(seen, sample, how)
            assert not alignment.values, (path, domain, how)
            assert all(why.startswith("out of domain") for why in alignment.missing.values())
            assert fvd.facts.get("out_of_domain", "").startswith("out of domain") or "too_short" in fvd.facts


def test_a_real_clip_of_each_source_is_refused(networks: Networks, shared_data: Path) -> None:
    rows = read_index(shared_data / "fetv" / "index.csv")
    first = {row.model: row for row in reversed(rows)}
    for row in first.values():
        refused(networks, shared_data / "fetv" / row.path, (row.prompt, CAPTION, ""))


@pytest.mark.slow
def test_every_real_clip_is_refused(networks: Networks, shared_data: Path) -> None:
    for row in read_index(shared_data / "fetv" / "index.csv"):
        refused(networks, shared_data / "fetv" / row.path, (row.prompt, CAPTION, ""))
