"""Flow statistics: known motions, occlusion, borders, blocks and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.flow_pair import compare, dense_flow
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.testing import example_clips
from vgaudit.video import ClipInfo, Frames

INFO = ClipInfo("clip", 96, 64, 10.0, 12, 1.2, "raw", "array", "rgb24")


def extract(frames: NDArray[np.uint8], block: int = 1000, fps: float = 10.0) -> Features:
    extraction = MotionExtractor(MotionOptions()).start(INFO)
    for start in range(0, len(frames), block):
        part = frames[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / fps))
    return extraction.finish()


def smooth(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 3)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def panning(step: int, count: int = 4, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    wide = smooth(height, width + step * count)
    gray = np.stack([wide[:, step * t : step * t + width] for t in range(count)])
    return np.repeat(gray[..., None], 3, axis=3)


def test_it_is_an_extractor() -> None:
    extractor = MotionExtractor(MotionOptions())
    extractor.load()
    assert isinstance(extractor, Extractor)
    assert extractor.fingerprint == MotionExtractor(MotionOptions()).fingerprint


def test_a_pan_of_three_pixels_is_measured_as_such() -> None:
    features = extract(panning(3))
    assert features["motion_top5"] == pytest.approx([3 / 64] * 3, rel=0.1)
    assert features["motion_mean"] == pytest.approx([3 / 64] * 3, rel=0.1)
    assert (features["warp_error"] < 0.01).all()
    assert features["valid"].all()


def test_motion_is_relative_to_the_short_side() -> None:
    small, large = extract(panning(2)), extract(panning(4, height=128, width=192))
    assert large["motion_top5"].mean() == pytest.approx(small["motion_top5"].mean(), rel=0.15)


def test_large_frames_are_scaled_down_and_small_ones_never_up() -> None:
    assert extract(np.zeros((2, 512, 600, 3), np.uint8)).facts == {
        "height": 256,
        "width": 300,
        "too_small": False,
    }
    assert extract(np.zeros((2, 40, 60, 3), np.uint8)).facts["height"] == 40


def test_a_still_clip_has_neither_motion_nor_error() -> None:
    features = extract(np.repeat(panning(1, 1), 3, axis=0))
    for name in ("warp_error", "occluded_fraction", "motion_top5", "motion_mean"):
        assert features[name] == pytest.approx([0, 0], abs=1e-4), name


def test_flicker_is_warp_error_and_no_motion_explains_it() -> None:
    frames = np.repeat(panning(1, 1), 2, axis=0).copy()
    frames[1] = np.clip(frames[1].astype(int) + 20, 0, 255)
    features = extract(frames)
    assert features["warp_error"][0] == pytest.approx(20 / 255, rel=0.25)


def test_unrelated_frames_are_mostly_occluded() -> None:
    frames = np.stack([smooth(64, 96, 1), smooth(64, 96, 2)])
    features = extract(np.repeat(frames[..., None], 3, axis=3))
    assert features["occluded_fraction"][0] > 0.3
    assert features["occluded_fraction"][0] > 5 * extract(panning(3))["occluded_fraction"].max()


@pytest.mark.parametrize("block", [1, 3, 5, 12])
def test_blocks_do_not_change_a_bit(block: int) -> None:
    frames = example_clips(1)[0]
    whole, parts = extract(frames), extract(frames, block)
    for name, array in whole.arrays.items():
        assert np.array_equal(array, parts[name]), name


def test_shapes_and_ranges() -> None:
    features = extract(example_clips(1)[0])
    for name in ("warp_error", "occluded_fraction", "motion_top5", "motion_mean"):
        assert features[name].shape == (11,)
        assert features[name].dtype == np.float64
        assert np.isfinite(features[name]).all()
        assert (features[name] >= 0).all()
    assert (features["warp_error"] <= 1).all()
    assert (features["occluded_fraction"] <= 1).all()
    assert features["pts_s"] == pytest.approx(np.arange(12) / 10)


@pytest.mark.parametrize("count", [0, 1])
def test_too_short_clips_give_empty_arrays(count: int) -> None:
    features = extract(example_clips(1)[0][:count])
    assert features["pts_s"].shape == (count,)
    for name in ("warp_error", "occluded_fraction", "motion_top5", "motion_mean", "valid"):
        assert features[name].shape == (0,)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 200), (16, 96), (31, 1200), (200, 31)])
def test_pictures_too_small_for_flow_are_marked(height: int, width: int) -> None:
    features = extract(np.zeros((3, height, width, 3), np.uint8))
    assert not features["valid"].any()
    assert features.facts["too_small"] is True


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 1200), (33, 45), (91, 37)])
def test_small_and_odd_pictures_work(height: int, width: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    features = extract(frames)
    assert np.isfinite(features["motion_top5"]).all()
    assert features.facts["too_small"] is False


def test_threads_do_not_change_a_bit() -> None:
    clips = example_clips(4)
    alone = [extract(c) for c in clips]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(extract, clips))
    finally:
        cv2.setNumThreads(before)
    for a, b in zip(alone, together, strict=True):
        for name, array in a.arrays.items():
            assert np.array_equal(array, b[name]), name


@pytest.mark.parametrize(("height", "width"), [(32, 41), (64, 96), (32, 80)])
def test_a_pair_does_not_depend_on_what_came_before(height: int, width: int) -> None:
    frames = np.repeat(np.stack([smooth(height, width, i) for i in range(3)])[..., None], 3, axis=3)
    whole, tail = extract(frames), extract(frames[1:])
    for name in ("warp_error", "occluded_fraction", "motion_top5", "motion_mean"):
        assert whole[name][1] == tail[name][0], name


def test_frames_of_different_sizes_are_refused() -> None:
    extraction = MotionExtractor(MotionOptions()).start(INFO)
    extraction.push(Frames(np.zeros((1, 32, 32, 3), np.uint8), 0, np.zeros(1)))
    with pytest.raises(ValueError, match="differ in size"):
        extraction.push(Frames(np.zeros((1, 32, 40, 3), np.uint8), 1, np.ones(1)))


# -- the statistics of a pair, from flows that are known -------------------------------------------


def flow(x: float, y: float = 0.0, shape: tuple[int, int] = (20, 30)) -> NDArray[np.float32]:
    return np.broadcast_to(np.float32([x, y]), (*shape, 2)).copy()


def test_occlusion_check_follows_the_formula() -> None:
    picture = np.full((20, 30), 100, np.uint8)
    for there, back in [(4.0, -4.0), (4.0, -3.2), (4.0, -3.0), (1.0, -0.3), (1.0, -0.2)]:
        fails = (there + back) ** 2 > 0.01 * (there**2 + back**2) + 0.5
        pair = compare(picture, picture, flow(there), flow(back))
        assert pair.occluded.mean() == (1.0 if fails else 0.0), (there, back)


def test_pixels_led_out_of_the_frame_do_not_enter_the_error() -> None:
    first = np.full((20, 30), 100, np.uint8)
    second = first.copy()
    second[:, -1] = 255  # what the border would be compared with if clamped
    pair = compare(first, second, flow(-3.0), flow(3.0))
    assert pair.warp_error == 0.0
    assert pair.seen.mean() == 13 / 15
    # 27 columns stay inside, the last of them is wrong: 13 and a half of the grid, and on the grid where it is odd
    assert compare(first, second, flow(3.0), flow(-3.0)).warp_error == pytest.approx(155 / 255 / 14)


@pytest.mark.parametrize(
    ("x", "y", "share"),
    [(2.0, 0.0, 14 / 15), (-2.0, 0.0, 14 / 15), (0.0, 2.0, 9 / 10), (0.0, -2.0, 9 / 10), (0, 0, 1)],
)
def test_the_last_row_and_column_are_inside(x: float, y: float, share: float) -> None:
    picture = np.full((20, 30), 100, np.uint8)
    assert compare(picture, picture, flow(x, y), flow(-x, -y)).seen.mean() == pytest.approx(share)


def test_what_the_camera_does_is_what_most_of_the_picture_does(monkeypatch: pytest.MonkeyPatch) -> None:
    field = flow(0.0, -2.0, (64, 96))
    field[:, :40] = (30.0, 4.0)
    monkeypatch.setattr("vgaudit.extractors.motion.dense_flow", lambda first, second: field)
    assert extract(panning(2, 2))["shift"] == pytest.approx(np.array([[0.0, -2 / 64]]))


def test_warp_is_bilinear() -> None:
    ramp = np.repeat(np.arange(0, 60, 2, dtype=np.uint8)[None], 20, axis=0)
    error = compare(ramp, ramp, flow(0.5), flow(-0.5)).warp_error
    assert error == pytest.approx(1 / 255, rel=1e-3)  # half a pixel of a slope of two levels a pixel


def test_no_pixel_left_is_said_and_not_guessed() -> None:
    picture = np.full((20, 30), 100, np.uint8)
    pair = compare(picture, picture, flow(100.0), flow(-100.0))
    assert pair.warp_error == 0.0
    assert not pair.seen.any()


def test_motion_is_the_mean_of_the_largest_five_percent() -> None:
    forward = flow(0.0, shape=(40, 60))
    forward[:6, :20, 0] = 2.0  # 30 of the grid's 600 points: exactly five percent
    forward[0, 0, 0] = 32.0
    forward[1::2, :, 0] = forward[:, 1::2, 0] = 50.0  # off the grid
    picture = np.full((40, 60), 100, np.uint8)
    pair = compare(picture, picture, forward, flow(0.0, shape=(40, 60)))
    assert pair.motion_top5 == pytest.approx((29 * 2 + 32) / 30 / 40)
    assert pair.motion_mean == pytest.approx((29 * 2 + 32) / 600 / 40)


def test_a_pair_is_what_the_formulas_say() -> None:
    rng = np.random.default_rng(3)
    height, width = 151, 77
    first, second = (
        cv2.GaussianBlur(rng.uniform(0, 255, (height, width)), (0, 0), 3).astype(np.uint8) for _ in "ab"
    )
    forward, backward = dense_flow(first, second), dense_flow(second, first)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y, there = ((all_of)[::2, ::2] for all_of in (x + forward[..., 0], y + forward[..., 1], forward))
    back = np.stack([bilinear(backward[..., i], x, y) for i in (0, 1)], axis=2)
    lengths = np.linalg.norm(there, axis=2).astype(np.float64)
    limit = 0.01 * (lengths**2 + (back**2).sum(axis=2)) + 0.5
    occluded = ((there + back) ** 2).sum(axis=2) > limit
    seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1) & ~occluded
    left = np.abs(first[::2, ::2] - bilinear(second, x, y))
    pair = compare(first, second, forward, backward)
    assert 0.1 < occluded.mean() < 0.9
    assert (pair.occluded == occluded).mean() > 0.999  # single precision decides on the limit
    assert (pair.seen == seen).mean() > 0.999
    assert pair.left == pytest.approx(left, abs=1e-2)
    assert np.dstack(pair.back) == pytest.approx(back, abs=1e-3)
    assert pair.warp_error == pytest.approx(left[seen].mean() / 255, rel=5e-3)
    assert pair.motion_mean == pytest.approx(lengths.mean() / width, rel=1e-6)


def bilinear(image: NDArray[Any], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """By the book, in double precision; outside, what stands at the border."""
    height, width = image.shape
    x, y = (np.clip(at, 0, most - 1).astype(np.float64) for at, most in ((x, width), (y, height)))
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    a, b = x - left, y - top
    pixels = image.astype(np.float64)
    upper = pixels[top, left] * (1 - a) + pixels[top, left + 1] * a
    lower = pixels[top + 1, left] * (1 - a) + pixels[top + 1, left + 1] * a
    return upper * (1 - b) + lower * b
