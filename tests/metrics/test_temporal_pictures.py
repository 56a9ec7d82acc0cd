"""Whole clips through both extractors: what is told of cuts in a row, of slow changes, and of colour alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics import temporal_signals
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.temporal_signals import Signals, unrelated_pairs
from vgaudit.metrics.temporal_windows import models, scores
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.video import ClipInfo, Frames

LASTING = {"temporal.ghosting", "temporal.warping"}
RUSHED = LASTING | {"temporal.jitter"}
SHAPE = (128, 192)


def texture(seed: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (SHAPE[0], width, 3)), (0, 0), 4)
    wide += cv2.GaussianBlur(rng.normal(0, 1500, wide.shape), (0, 0), 12)
    return np.clip((wide - 128) * 4 + 128, 0, 255).astype(np.uint8)


def scene(seed: int, count: int, step: float = 2.0) -> NDArray[np.uint8]:
    """A camera that pans over a texture of its own."""
    wide = texture(seed, SHAPE[1] + 200)
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
    assert set(found.unassessed_kinds) == RUSHED


def test_cuts_in_a_row_are_told_in_tinted_pictures_too() -> None:
    tint = np.array([0.8, 0.4, 0.2])
    frames = np.concatenate([scene(seed, 1) for seed in range(12)])[..., :1] * tint + (50, 10, 0)
    assert cuts(measure(frames.astype(np.uint8))) == [(0.1, 1.2)]


@pytest.mark.parametrize(("length", "sought"), [(3, False), (6, False), (7, True), (8, True)])
def test_shots_too_short_to_shake_in_pass_no_gate_on_jitter(length: int, sought: bool) -> None:
    found = measure(np.concatenate([scene(seed, length) for seed in range(5)]))
    assert len(cuts(found)) == 4
    assert ("temporal.jitter" not in found.unassessed_kinds) is sought


def test_cuts_in_a_row_end_with_the_first_frame_of_the_last_shot() -> None:
    frames = np.concatenate([scene(0, 10), scene(1, 1), scene(2, 1), np.repeat(scene(3, 1), 20, axis=0)])
    assert cuts(measure(frames)) == [(1.0, 1.3)]


def test_what_is_only_somewhat_like_before_does_not_come_back() -> None:
    first, other = scene(0, 9), scene(2, 9)
    mixed = np.clip((first.astype(np.float64) + other - 256) * 0.7 + 128, 0, 255).astype(np.uint8)
    found = measure(np.concatenate([first, scene(1, 1), mixed]))
    assert cuts(found) == [(0.9, 1.1)]
    back = measure(np.concatenate([scene(0, 18)[:9], scene(1, 1), scene(0, 18)[9:]]))
    assert cuts(back) == [(0.9, 1.0)]


@pytest.mark.parametrize(
    ("correlations", "unrelated"),
    [
        ([0.9, 0.5, 0.9, 0.9, 0.9, 0.5, 0.9], []),
        ([0.9, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9], [1, 2]),
        ([0.9, 0.5, 0.9, 0.5, 0.9, 0.9, 0.5], [1, 3]),
        ([0.9, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], []),
    ],
)
def test_one_pair_alone_that_is_unlike_may_be_fast_motion(
    correlations: list[float], unrelated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = features(np.concatenate([scene(seed, 1) for seed in range(8)]))
    signals = Signals.of(found["pixels"].arrays, found["motion"].arrays, min(SHAPE))
    monkeypatch.setattr(
        temporal_signals, "shifted_correlation", lambda before, after: np.array(correlations)[: len(before)]
    )
    assert np.flatnonzero(unrelated_pairs(signals)).tolist() == unrelated


@pytest.mark.parametrize("length", [2, 3, 4])
def test_short_shots_are_cuts_each(length: int) -> None:
    found = measure(np.concatenate([scene(seed, length) for seed in range(8)]))
    begins = [round(length * k / 10, 3) for k in range(1, 8)]
    assert [first for first, _ in cuts(found)] == begins
    assert {f.kind for f in found.findings} <= {"temporal.jump_cut", "temporal.colour_shift"}
    assert set(found.unassessed_kinds) == RUSHED


def blinking(colours: list[tuple[int, int, int]], noise: float = 0.0) -> NDArray[np.uint8]:
    """A scene in light that changes from frame to frame, for six frames of 30."""
    frames = (
        scene(0, 30)[..., :1].repeat(3, axis=3).astype(np.float64)
    )  # things have much the same shape in all colours
    for t in range(12, 18):
        frames[t] = frames[t] * np.array(colours[t % len(colours)]) / 255
    rng = np.random.default_rng(0)
    return np.clip(frames + rng.normal(0, noise, frames.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "frames",
    [
        blinking([(255, 40, 40), (40, 40, 255)]),
        blinking([(255, 40, 40), (40, 255, 40), (40, 40, 255)]),
        blinking([(0, 0, 0), (255, 255, 255)], noise=2.0),
        blinking([(20, 20, 20), (255, 255, 255)], noise=2.0),
    ],
    ids=["red and blue", "three colours", "black", "dark"],
)
def test_light_that_blinks_cuts_nowhere(frames: NDArray[np.uint8]) -> None:
    kinds = [f.kind for f in measure(frames).findings]
    assert "temporal.jump_cut" not in kinds
    assert "temporal.flicker" in kinds


def test_a_burst_of_noise_that_hides_the_picture_is_told_as_noise() -> None:
    frames = scene(0, 40).astype(np.float64) * 0.2 + 100
    frames[15:25] += np.random.default_rng(0).normal(0, 50, frames[15:25].shape)
    found = measure(np.clip(frames, 0, 255).astype(np.uint8))
    assert "temporal.noise_burst" in {f.kind for f in found.findings}


@pytest.mark.parametrize("fast", [40, 60, 80])
def test_a_camera_that_is_whipped_round_cuts_nowhere(fast: int) -> None:
    at = np.cumsum([0, *[2] * 8, *[fast] * 4, *[2] * 8])
    wide = texture(0, SHAPE[1] + int(at[-1]))
    found = measure(np.stack([wide[:, x : x + SHAPE[1]] for x in at]))
    assert cuts(found) == []
    assert found.facts["different_pictures"] == len(at)


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


def slowly(until: NDArray[np.uint8], part: tuple[slice, slice], count: int = 241) -> NDArray[np.uint8]:
    """A still, a part of which becomes another one."""
    still = scene(0, 1)[0]
    frames = np.repeat(still[None], count, axis=0)
    for t, frame in enumerate(frames):
        mixed = still[part] + (until[part].astype(np.float64) - still[part]) * t / (count - 1)
        frame[part] = mixed.round().astype(np.uint8)
    return frames


def test_what_becomes_another_picture_slowly_is_no_single_picture() -> None:
    frames = slowly(255 - scene(0, 1)[0], (slice(40, 90), slice(60, 110)))
    total = np.abs(frames[-1].astype(float) - frames[0]).mean()
    found = measure(frames, fps=24)
    # A picture ends where its luma has gone more than one grey level away; luma goes as far as the channels do here.
    assert found.facts["different_pictures"] == pytest.approx(total * 0.7, rel=0.4)
    motion = features(frames, 24)["motion"]
    drift = motion["quality_drift"]
    assert drift.sum() == found.facts["different_pictures"] - 1
    assert (drift == ~motion["quality_repeat"]).all()
    assert (motion["quality_difference"][drift] > 1).all()
    assert (motion["quality_difference"][drift] < 1.2).all()
    assert motion["residual"][drift].max() > 5 * motion["residual"][~drift].max()
    assert "temporal.duplicate_frames" not in {f.kind for f in found.findings}


def test_what_changes_slowly_in_a_part_passes_no_gate() -> None:
    found = measure(slowly(255 - scene(0, 1)[0], (slice(40, 50), slice(60, 76))), fps=24)
    assert found.facts["different_pictures"] == 1
    assert found.unassessed == ""
    assert set(found.unassessed_kinds) >= {
        "temporal.popping",
        "temporal.colour_swap",
        "temporal.colour_shift",
    }
    assert all("in colour alone or in a part" in why for why in found.unassessed_kinds.values())


def test_what_changes_in_colour_alone_passes_no_gate() -> None:
    frames = np.empty((16, *SHAPE, 3), np.uint8)
    frames[0::2], frames[1::2] = (200, 72, 110), (20, 164, 112)  # of equal luma
    found = measure(frames)
    assert found.facts["different_pictures"] == 1
    why = "8 frames differ from the pictures that they repeat, in colour alone or in a part"
    assert set(found.unassessed_kinds.values()) == {why}
    slow = np.empty((240, *SHAPE, 3), np.uint8)
    for t, frame in enumerate(slow):
        red = 200 - t // 3
        green = next(g for g in range(60, 130) if round(0.299 * red + 0.587 * g + 0.114 * 110) == 115)
        frame[:] = (red, green, 110)
    assert measure(slow).facts["different_pictures"] == 1
    assert "temporal.colour_shift" in measure(slow).unassessed_kinds
    frames[:] = frames[0]
    assert measure(frames).unassessed_kinds == {}
    once = np.concatenate([scene(0, 14), scene(1, 14), np.repeat(frames[:1, : SHAPE[0]], 4, axis=0)])
    once[-2] = (20, 164, 112)
    found = measure(once)
    assert [f.kind for f in found.findings if f.kind == "temporal.jump_cut"] == ["temporal.jump_cut"] * 2
    assert "temporal.jump_cut" in found.unassessed_kinds


def test_a_grainy_shot_beside_a_clean_one_is_no_burst_of_noise() -> None:
    clean, grainy = scene(0, 20), scene(1, 9)
    rng = np.random.default_rng(0)
    grainy = np.clip(grainy + rng.normal(0, 12, grainy.shape), 0, 255).astype(np.uint8)
    found = measure(np.concatenate([clean, grainy]))
    assert [f.kind for f in found.findings] == ["temporal.jump_cut"]
    burst = clean.copy()
    burst[8:12] = np.clip(burst[8:12] + rng.normal(0, 12, burst[8:12].shape), 0, 255).astype(np.uint8)
    assert "temporal.noise_burst" in {f.kind for f in measure(burst).findings}
