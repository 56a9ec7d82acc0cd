"""The networks that ship with the package against drawn and against real clips: who gets a number, and who none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vgaudit.backends.base import BackendContext, PromptSpec
from vgaudit.backends.storyworld import StoryworldBackend, StoryworldOptions
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.extractors.domain import DomainExtractor, DomainOptions
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.index import read_index
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene, caption, random_scene
from vgaudit.storyworld.split import is_held_out
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.zoo.catalogue import BUNDLED_CLIP

CAPTION = "a dog walking along the beach at sunset"
WAYS = [("", "auto"), ("storyworld", "auto"), ("", "named"), ("storyworld", "named")]


class Networks:
    """All networks, loaded once."""

    def __init__(self) -> None:
        clip = ClipOptions(model=BUNDLED_CLIP, device="cpu")
        self.frames, self.text = ClipExtractor(clip), ClipTextExtractor(clip)
        self.video = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@storyworld", device="cpu"))
        self.domain = DomainExtractor(DomainOptions(device="cpu"))
        for extractor in (self.frames, self.text, self.video, self.domain):
            extractor.load()

    def see(self, path: Path) -> tuple[Any, dict[str, Features]]:
        """Facts and features of a clip."""
        with ClipReader(path) as reader:
            extractors: Sequence[Extractor] = (self.frames, self.video, self.domain)
            running = [e.start(reader.info) for e in extractors]
            for block in reader:
                for extraction in running:
                    extraction.push(block)
            frames, video, domain = (extraction.finish() for extraction in running)
            return reader.info, {"frames": frames, "video": video, "domain": domain}

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


def held_out(count: int) -> list[tuple[Scene, int]]:
    """Scenes that no network was trained on, with their seeds."""
    found: list[tuple[Scene, int]] = []
    seed = 3_500_000_000
    while len(found) < count:
        if is_held_out(scene := random_scene(seed)):
            found.append((scene, seed))
        seed += 1
    return found


def drawn(
    path: Path, scene: Scene, seed: int, kind: str = "", strength: str = "", frames: int = 17
) -> Sample:
    """Draw a scene as the backend does, with a fault if one is named, and store it as a run does."""
    faults = [{"kind": kind, "strength": strength}] if kind else []
    backend = StoryworldBackend(StoryworldOptions(frames=frames, faults=faults), BackendContext(path.parent))
    (sample,) = backend.samples([PromptSpec("p", caption(scene, seed))], (seed % 2**31,))
    (made,) = backend.generate([sample])
    assert made.frames is not None, made.message
    assert bool(made.facts["faults"]) == bool(kind)
    encode(made.frames, 8.0, path, EncoderSettings())
    return replace(sample, domain=backend.domain)


def judged(networks: Networks, path: Path, sample: Sample, about: object) -> None:
    seen = networks.see(path)
    for domain, how in WAYS[1:]:
        alignment, fvd = networks.measure(seen, replace(sample, domain=domain), how)
        values = {"clip_score", "clipsim", "clip_frame_consistency"}
        assert set(alignment.values) == values, (about, alignment.missing)
        assert "out_of_domain" not in fvd.facts, (about, fvd.facts)
        assert fvd.facts["windows"] == 1, about


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8))])
def test_drawn_clips_are_judged(networks: Networks, tmp_path: Path, first: int) -> None:
    for scene, seed in held_out(first + 4)[first:]:
        judged(networks, tmp_path / "c.mp4", drawn(tmp_path / "c.mp4", scene, seed), scene)


def test_drawn_clips_with_the_strongest_of_each_fault_are_judged(networks: Networks, tmp_path: Path) -> None:
    for (scene, seed), kind in zip(held_out(len(KINDS)), KINDS, strict=True):
        sample = drawn(tmp_path / "c.mp4", scene, seed, kind, "strong", frames=32)  # some of them are dropped
        judged(networks, tmp_path / "c.mp4", sample, (kind, scene))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_clips_with_any_fault_are_judged(networks: Networks, tmp_path: Path, kind: str) -> None:
    for scene, seed in held_out(6):
        for strength in STRENGTHS:
            sample = drawn(tmp_path / "c.mp4", scene, seed, kind, strength, frames=32)
            judged(networks, tmp_path / "c.mp4", sample, (kind, strength, scene))


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


def test_a_clip_that_is_partly_real_is_refused(networks: Networks, shared_data: Path, tmp_path: Path) -> None:
    rows = read_index(shared_data / "fetv" / "index.csv")
    (scene, seed), path = held_out(1)[0], tmp_path / "spliced.mp4"
    art = render(scene, seed).frames
    for row in {row.model: row for row in rows}.values():
        with ClipReader(shared_data / "fetv" / row.path) as reader:
            footage = np.concatenate([block.rgb for block in reader])[:16]
        height, width = footage.shape[1:3]
        resized = [cv2.resize(art[i % len(art)], (width, height)) for i in range(2 * len(footage))]
        encode(np.concatenate([footage, np.stack(resized)]), 8.0, path, EncoderSettings())
        refused(networks, path, (CAPTION,))


@pytest.mark.slow
def test_every_real_clip_is_refused(networks: Networks, shared_data: Path) -> None:
    for row in read_index(shared_data / "fetv" / "index.csv"):
        refused(networks, shared_data / "fetv" / row.path, (row.prompt, CAPTION, ""))
