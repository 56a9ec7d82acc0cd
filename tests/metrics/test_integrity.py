"""Integrity: each way in which a clip is not what was asked for, on clips that are really encoded and decoded."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.media import cut_short, moving_square, plain, still, write_clip
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, Measured, Metric, MetricContext, SummaryContext
from vgaudit.metrics.integrity import Integrity, IntegrityOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Severity
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode


def sample(prompt: str = "p", seed: int = 0) -> Sample:
    return Sample(f"{prompt}-{seed}-x", prompt, "a prompt", "model", seed=seed)


def measure(path: Path, who: Sample | None = None, **options: Any) -> Measurement:
    extraction = PixelsExtractor().start(None)  # type: ignore[arg-type]
    with ClipReader(path) as reader:
        for frames in reader:
            extraction.push(frames)
    metric = Integrity(IntegrityOptions(**options), MetricContext())
    return metric.measure(ClipView(who or sample(), reader.info, "", {"pixels": extraction.finish()}))


def stored(tmp_path: Path, clip: np.ndarray, fps: float = 8) -> Path:
    encode(clip, fps, tmp_path / "a.mp4", EncoderSettings())
    return tmp_path / "a.mp4"


def kinds(measurement: Measurement) -> dict[str, Severity]:
    return {f.kind.removeprefix("integrity."): f.severity for f in measurement.findings}


def test_a_clip_as_asked_is_ok(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(16))
    found = measure(path, frames=16, width=96, height=64, fps=8, seconds=2)
    assert not found.findings
    assert found.values == {
        "frames": 16.0, "fps": 8.0, "seconds": 2.0, "black_fraction": 0.0, "constant_fraction": 0.0, "ok": 1.0,
    }  # fmt: skip
    assert not measure(path).findings  # nothing asked for: any sound clip will do


@pytest.mark.parametrize(
    ("asked", "kind", "severity", "message"),
    [
        ({"frames": 17}, "frame_count", "major", "The clip has 16 frames, 17 were asked for."),
        ({"width": 128}, "size", "major", "The width is 96 pixels, 128 were asked for."),
        ({"height": 48}, "size", "major", "The height is 64 pixels, 48 were asked for."),
        ({"fps": 24}, "fps", "major", "The clip has 8 frames per second, 24 were asked for."),
        ({"fps": 8.2}, "fps", "minor", "The clip has 8 frames per second, 8.2 were asked for."),
        ({"seconds": 4}, "length", "major", "The clip lasts 2.000 s, 4.000 s were asked for."),
        ({"min_frames": 17}, "frame_count", "major", "The clip has 16 frames; fewer than 17 are no video."),
    ],
)
def test_each_deviation_is_a_finding(
    tmp_path: Path, asked: dict[str, Any], kind: str, severity: str, message: str
) -> None:
    found = measure(stored(tmp_path, moving_square(16)), **asked)
    assert [(f.kind, f.severity, f.message) for f in found.findings] == [
        (f"integrity.{kind}", severity, message)
    ]
    assert (found.findings[0].start_s, found.findings[0].end_s) == (0.0, 2.0)
    assert found.values["ok"] == (severity == "minor")


def test_small_deviations_pass(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(16))
    assert not measure(path, fps=8.05).findings
    assert not measure(path, seconds=2.12).findings  # one frame more or less is rounding
    assert kinds(measure(path, seconds=2.5, tolerance=0.05)) == {"length": Severity.MINOR}


def test_padding_of_odd_sizes_is_no_deviation(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(8, 63, 65))
    assert not measure(path, width=65, height=63).findings
    assert kinds(measure(path, width=64, height=64)) == {"size": Severity.MAJOR}


def test_black_clip_and_black_stretch(tmp_path: Path) -> None:
    found = measure(stored(tmp_path, plain(2, 16)))
    assert kinds(found) == {"black": Severity.MAJOR, "constant": Severity.MAJOR}
    assert found.values["black_fraction"] == 1.0
    clip = moving_square(32)
    clip[8:14] = 0
    found = measure(stored(tmp_path, clip))
    assert kinds(found) == {"black": Severity.MINOR}
    assert (found.findings[0].start_s, found.findings[0].end_s) == (1.0, 1.75)
    assert found.findings[0].message == "6 frames in a row are black."
    assert found.values["ok"] == 1.0
    clip = moving_square(32)
    clip[:3] = 0  # a fade of 0.375 s
    assert not measure(stored(tmp_path, clip)).findings


def test_lights_in_the_night_are_not_black(tmp_path: Path) -> None:
    clip = plain(0, 16)
    for index, frame in enumerate(clip):
        frame[20:26, index * 4 : index * 4 + 6] = 255
    found = measure(stored(tmp_path, clip))
    assert found.values["black_fraction"] == 0.0
    assert not found.findings


def test_a_still_is_found_through_compression(tmp_path: Path, shared_data: Path) -> None:
    with ClipReader(shared_data / "clips" / "chaplin.mp4") as reader:
        picture = next(iter(reader)).rgb[20]
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for clip in (still(24), np.repeat(picture[None], 60, axis=0), np.repeat(noise[None], 4, axis=0)):
        found = measure(stored(tmp_path, clip))
        assert kinds(found) == {"constant": Severity.MAJOR}
        assert found.values["constant_fraction"] == 1.0
        assert found.values["ok"] == 0.0


def test_slow_or_small_change_is_no_still(tmp_path: Path) -> None:
    fade = np.stack([np.full((64, 96, 3), 60 + i // 4, dtype=np.uint8) for i in range(48)])
    assert "constant" not in kinds(measure(stored(tmp_path, fade)))
    small = plain(90, 16)
    for index, frame in enumerate(small):
        frame[30:33, index * 4 : index * 4 + 3] = 255
    assert "constant" not in kinds(measure(stored(tmp_path, small)))


def test_real_clips_are_neither_black_nor_still(shared_data: Path) -> None:
    for path in sorted((shared_data / "fetv" / "real").glob("*.mp4"))[:4]:
        assert not measure(path).findings


def test_one_frame_is_no_video(tmp_path: Path) -> None:
    found = measure(stored(tmp_path, moving_square(1)))
    assert kinds(found) == {"frame_count": Severity.MAJOR}
    assert found.missing["constant_fraction"].startswith("not applicable:")


def test_damage_is_a_finding(tmp_path: Path, shared_data: Path) -> None:
    found = measure(shared_data / "clips" / "corrupted.mp4")
    assert kinds(found) == {"damaged": Severity.MAJOR}
    assert found.findings[0].score == 2
    assert "a packet could not be decoded" in found.findings[0].message
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 96, 3), dtype=np.uint8)
    whole = write_clip(tmp_path / "a.mp4", noise, container_options={"movflags": "+faststart"})
    found = measure(cut_short(whole, tmp_path / "b.mp4", 0.7))
    assert "the end of the file is missing" in found.findings[-1].message


def _summary(measured: Sequence[Measured], planned: Sequence[Sample]) -> dict[str, Any]:
    context = SummaryContext("model", planned, {"model": measured}, 0.9)
    return {r.name: r for r in Integrity(IntegrityOptions(), MetricContext()).summarize(measured, context)}


def test_ok_rate_counts_clips_that_are_not_there(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(4))
    planned = [sample(f"p{i}") for i in range(20)]
    measured = [Measured(who, measure(path, who)) for who in planned[:17]]
    measured.append(Measured(planned[17], measure(path, planned[17], frames=5)))
    results = _summary(measured, planned)
    assert set(results) == {f"integrity.{spec.name}" for spec in Integrity.values if spec.per_group}
    rate = results["integrity.ok_rate"]
    expected = binomtest(17, 20).proportion_ci(0.9, method="exact")
    assert rate.value == pytest.approx(17 / 20)
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high))
    assert (rate.n, rate.n_clusters, rate.higher_is_better) == (20, 20, True)
    assert (rate.detail["without_clip"], rate.detail["clips_ok"]) == (2, 17)
    assert rate.reason == "2 of 20 samples have no measured clip and count as not ok"


def test_ok_rate_does_not_count_seeds_as_independent(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(4))
    planned = [sample(f"p{i}", seed) for i in range(4) for seed in range(5)]
    measured = [Measured(who, measure(path, who)) for who in planned]
    rate = _summary(measured, planned)["integrity.ok_rate"]
    expected = binomtest(4, 4).proportion_ci(0.9, method="exact")
    assert (rate.value, rate.low, rate.n, rate.n_clusters) == (1.0, pytest.approx(expected.low), 20, 4)
    assert (rate.detail["clips_ok"], rate.detail["prompts_ok"]) == (20, 4)


def test_ok_rate_is_that_of_clips_and_not_of_the_worst_seed(tmp_path: Path) -> None:
    path = stored(tmp_path, moving_square(4))
    planned = [sample(f"p{i}", seed) for i in range(4) for seed in range(5)]
    measured = [Measured(who, measure(path, who, frames=5 if who.seed == 0 else 4)) for who in planned]
    rate = _summary(measured, planned)["integrity.ok_rate"]
    assert rate.value == pytest.approx(0.8)
    assert (rate.low, rate.high) == (0.0, 1.0)  # no prompt is wholly ok, none wholly spoilt
    assert (rate.n, rate.n_clusters) == (20, 4)
    assert (rate.detail["clips_ok"], rate.detail["prompts_ok"]) == (16, 0)
    assert "4 of 4 prompts with mixed clips" in rate.reason


def test_every_kind_of_finding_is_declared() -> None:
    source = inspect.getsource(sys.modules[Integrity.__module__])
    made = set(re.findall(r'self\._finding\(\s*"(\w+)"', source))
    assert made
    assert {f"integrity.{kind}" for kind in made} == set(Integrity.finding_kinds)


def test_nothing_measured_and_nothing_planned() -> None:
    planned = [sample("a"), sample("b")]
    results = _summary([], planned)
    assert results["integrity.ok_rate"].value == 0.0
    assert all(r.status == "not computed" for r in _summary([], []).values())


def test_contract() -> None:
    assert isinstance(Integrity(IntegrityOptions(), MetricContext()), Metric)
