"""Whole clips through both extractors: what is told of cuts in a row, of slow changes, and of colour alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.temporal_signals import Signals
from vgaudit.metrics.temporal_windows import models, scores
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.video import ClipInfo, Frames

LASTING = {"temporal.ghosting", "temporal.warping"}
SHAPE = (128, 192)


def scene(seed: int, count: int, step: float = 2.0) -> NDArray[np.uint8]:
    """A camera that pans over a texture of its own."""
    rng = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (SHAPE[0], SHAPE[1] + 200, 3)), (0, 0), 4)
    wide += cv2.GaussianBlur(rng.normal(0, 1500, wide.shape), (0, 0), 12)
    wide = np.clip((wide - 128) * 4 + 128, 0, 255).astype(np.uint8)
    moves = [np.float32([[1, 0, -step * t], [0, 1, 0]]) for t in range(count)]
    return np.stack([cv2.warpAffine(wide, m, SHAPE[::-1]) for m in moves])


def features(frames: NDArray[np.uint8], fps: float = 10.0) -> dict[str, Features]:
    pts = np.arange(len(frames)) / fps
    out = {}
    for name, extractor in (("pixels", PixelsExtractor()), ("motion", MotionExtractor(MotionOptions()))):
        extraction = extractor.start(info(frames, fps))
        extraction.push(Frames(frames, 0, pts))
        out[name] = extraction.finish()
    return out


def info(frames: NDArray[np.uint8], fps: float) -> ClipInfo:
    count, height, width = frames.shape[:3]
    return ClipInfo("clip", width, height, fps, count, count / fps, "raw", "array", "rgb24")


def measure(frames: NDArray[np.uint8], fps: float = 10.0) -> Measurement:
    clip = ClipView(Sample("s", "p", "", "g"), info(frames, fps), "0" * 64, features(frames, fps))
    return Temporal(TemporalOptions(), MetricContext()).measure(clip)


def cuts(found: Measurement) -> list[tuple[float, float]]:
    return [(round(f.start_s, 3), round(f.end_s, 3)) for f in found.findings if f.kind == "temporal.jump_cut"]


# -- cuts in a row ---------------------------------------------------------------------------------


def test_pictures_that_have_nothing_to_do_with_each_other_are_cuts() -> None:
    found = measure(np.concatenate([scene(seed, 1) for seed in range(12)]))
    assert cuts(found) == [(0.1, 1.2)]
    (cut,) = [f for f in found.findings if f.kind == "temporal.jump_cut"]
    assert cut.message == "The clip cuts to another shot with every picture from 0.10 s to the end."
    assert {f.kind for f in found.findings} == {"temporal.jump_cut"}
    assert set(found.unassessed_kinds) == LASTING


@pytest.mark.parametrize("foreign", [1, 2, 3])
def test_foreign_pictures_are_a_cut_and_back_and_nothing_else(foreign: int) -> None:
    around = scene(0, 28)
    inside = [scene(seed, 1) for seed in range(1, 1 + foreign)]
    found = measure(np.concatenate([around[:14], *inside, around[14:]]))
    assert cuts(found) == [(1.4, round(1.4 + foreign / 10, 3))]
    assert [f.kind for f in found.findings] == ["temporal.jump_cut"]


def test_a_plain_cut_is_told_of_its_one_frame_however_long_that_is_held() -> None:
    first, second = scene(0, 15), scene(1, 15)
    (plain,) = measure(np.concatenate([first, second])).findings
    assert (plain.start_s, plain.end_s) == pytest.approx((1.5, 1.6))
    assert plain.message == "The clip cuts to another shot at 1.50 s."
    held = measure(np.concatenate([first, np.repeat(second[:1], 4, axis=0), second[1:]]))
    assert cuts(held) == [(1.5, 1.6)]


def test_a_shot_scores_as_it_does_alone() -> None:
    parts = scene(0, 14), scene(1, 20), scene(2, 13)

    def signals(frames: NDArray[np.uint8]) -> Signals:
        found = features(frames)
        return Signals.of(found["pixels"].arrays, found["motion"].arrays, min(SHAPE))

    together, alone = signals(np.concatenate(parts)), signals(parts[1])
    barred = np.zeros(46, bool)
    barred[[13, 33]] = True
    assert (together.cut == barred).all()
    for model in models().values():
        p, q, score = scores(together.statistics, model, barred)
        inside = (p > 13) & (q < 34)
        wanted = scores(alone.statistics, model, np.zeros(19, bool))
        assert inside.sum() == len(wanted[0]) > 30
        assert (p[inside] - 14 == wanted[0]).all()
        assert score[inside] == pytest.approx(wanted[2], abs=1e-9)


# -- what no pair of neighbouring frames shows -----------------------------------------------------


def test_what_becomes_another_picture_slowly_is_no_single_picture() -> None:
    still = scene(0, 1)[0]
    other = 255 - still
    frames = np.repeat(still[None], 241, axis=0)
    for t, frame in enumerate(frames):
        part = frame[40:90, 60:110].astype(np.float64)
        frame[40:90, 60:110] = part + (other[40:90, 60:110] - part) * t / 240
    found = measure(frames, fps=24)
    assert 4 <= found.facts["different_pictures"] <= 60
    faint = frames.copy()
    faint[1:] = frames[0]
    faint[60:] += (faint[60:] < 255).astype(np.uint8) * (np.indices(SHAPE).sum(axis=0) % 16 == 0)[..., None]
    assert measure(faint, fps=24).facts["different_pictures"] == 1


def test_what_changes_in_colour_alone_passes_no_gate() -> None:
    frames = np.empty((16, *SHAPE, 3), np.uint8)
    frames[0::2], frames[1::2] = (200, 72, 110), (20, 164, 112)  # of equal luma
    found = measure(frames)
    assert found.facts["different_pictures"] == 1
    assert (
        found.unassessed == "15 pairs of frames differ in colour alone, so artifacts could not be looked for"
    )
    frames[:] = frames[0]
    assert measure(frames).unassessed == ""


def test_a_grainy_shot_beside_a_clean_one_is_no_burst_of_noise() -> None:
    clean, grainy = scene(0, 20), scene(1, 12)
    rng = np.random.default_rng(0)
    grainy = np.clip(grainy + rng.normal(0, 12, grainy.shape), 0, 255).astype(np.uint8)
    found = measure(np.concatenate([clean, grainy]))
    assert [f.kind for f in found.findings] == ["temporal.jump_cut"]
    burst = clean.copy()
    burst[8:12] = np.clip(burst[8:12] + rng.normal(0, 12, burst[8:12].shape), 0, 255).astype(np.uint8)
    assert "temporal.noise_burst" in {f.kind for f in measure(burst).findings}
