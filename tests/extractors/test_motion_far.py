"""Motion over longer times: which stretches a clip has, and that repeated frames change none of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.motion_far import FEIGNED, FarMotion
from vgaudit.video import ClipInfo, Frames

SLOW = FEIGNED / 2


def stretches(motions: list[float | None], fps: float) -> list[tuple[int, int]]:
    """First and last frame of each; a picture's only pixel is its number, and motion the distance of numbers."""
    far = FarMotion(lambda a, b: float(b[0, 0]) - float(a[0, 0]))
    for frame, motion in enumerate([None, *motions]):
        far.push(np.full((1, 1), frame, np.uint8), frame / fps, motion)
    arrays = far.arrays()
    assert {a.shape for a in arrays.values()} == {(len(motions),)}
    found = sorted({(int(a), int(b)) for a, b in zip(arrays["first"], arrays["last"], strict=True)})
    for first, last in found:
        where = np.flatnonzero((arrays["first"] == first) & (arrays["last"] == last))
        if first >= 0:
            assert where.tolist() == list(range(first, last))
            assert (arrays["motion"][where] == last - first).all()
        else:
            assert (arrays["motion"][where] == 0).all()
    assert far.arrays()["last"].tolist() == arrays["last"].tolist()  # asking changes nothing
    return [pair for pair in found if pair[0] >= 0]


@pytest.mark.parametrize(
    ("fps", "pairs", "expected"),
    [
        (8, 6, []),  # a pair is an eighth of a second
        (10, 6, [(0, 2), (2, 4), (4, 6)]),
        (24, 9, [(0, 3), (3, 6), (6, 9)]),
        (24, 11, [(0, 3), (3, 6), (6, 11)]),  # what is left over belongs to the last
        (24, 2, []),
        (60, 16, [(0, 8), (8, 16)]),
        (1 / 0.0416, 6, [(0, 3), (3, 6)]),  # rounded
    ],
)
def test_a_stretch_lasts_an_eighth_of_a_second(
    fps: float, pairs: int, expected: list[tuple[int, int]]
) -> None:
    assert stretches([SLOW] * pairs, fps) == expected


def test_what_surely_moves_costs_no_flow() -> None:
    assert stretches([2 * FEIGNED] * 6, 24) == []
    assert stretches([2 * FEIGNED] * 3 + [SLOW] * 3 + [2 * FEIGNED] * 2, 24) == [(3, 6)]
    assert stretches([SLOW] * 3 + [2 * FEIGNED] * 3 + [SLOW] * 2, 24) == [(0, 3)]


@pytest.mark.parametrize(("step", "far"), [(0.95 / 256, True), (1 / 256, True), (1.05 / 256, False)])
def test_what_moves_by_a_two_hundred_and_fifty_sixth_a_step_may_be_noise(step: float, far: bool) -> None:
    """In whole stretches, and in what is left over at the end of a clip."""
    assert stretches([step] * 6, 24) == ([(0, 3), (3, 6)] if far else [])
    assert stretches([0.5 / 256] * 3 + [step] * 2, 24) == ([(0, 5)] if far else [(0, 3)])
    assert stretches([0.0, 0.0, 3 * step], 24) == ([(0, 3)] if far else [])  # the mean counts


@pytest.mark.parametrize("shown", [2, 3])
@pytest.mark.parametrize("fps", [10, 24, 30])
def test_repeated_frames_at_the_higher_rate_change_no_stretch(shown: int, fps: int) -> None:
    held: list[float | None] = [*[None] * (shown - 1), SLOW] * 11
    found = stretches([*held, *[None] * (shown - 1)], shown * fps)
    assert found == [(shown * a, shown * b) for a, b in stretches([SLOW] * 11, fps)]


def extract(frames: NDArray[np.uint8], fps: float, block: int = 1000) -> Features:
    info = ClipInfo("clip", frames.shape[2], frames.shape[1], fps, None, 0.0, "raw", "array", "rgb24")
    extraction = MotionExtractor(MotionOptions()).start(info)
    for start in range(0, len(frames), block):
        part = frames[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / fps))
    return extraction.finish()


def test_noise_over_a_longer_time_feigns_no_more_than_over_a_pair() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (16, 24, 3)).repeat(4, 0).repeat(4, 1)
    noisy = np.clip(still + rng.normal(0, 2, (25, *still.shape)), 0, 255).astype(np.uint8)
    one = extract(noisy, 60)
    assert (one["far_first"] >= 0).all()
    assert one["far_motion"].max() < 2 * one["motion_top5"].max()
    for block in (1, 7):
        for name, array in extract(noisy, 60, block).arrays.items():
            assert np.array_equal(array, one[name]), name


@pytest.mark.parametrize("shape", [(20, 16, 100, 3), (1, 64, 64, 3), (0, 64, 64, 3), (2, 64, 64, 3)])
def test_the_arrays_are_there_for_any_clip(shape: tuple[int, ...]) -> None:
    features = extract(np.zeros(shape, np.uint8), 60)
    for name in ("far_motion", "far_first", "far_last"):
        assert features[name].shape == (max(shape[0] - 1, 0),)
    assert (features["far_first"] == -1).all()  # too small, too short, or one picture
