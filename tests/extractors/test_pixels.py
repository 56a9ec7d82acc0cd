"""Pixel statistics against their plain definitions, and free of where blocks end."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media import moving_square, still
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.pixels import PixelsExtractor, PixelsOptions
from vgaudit.video import ClipInfo, Frames

INFO = ClipInfo("a.mp4", 96, 64, 10.0, None, 0.0, "h264", "mp4", "yuv420p")


def extract(clip: np.ndarray, cuts: tuple[int, ...] = ()) -> Features:
    extraction = PixelsExtractor().start(INFO)
    edges = [0, *sorted(cuts), len(clip)]
    for start, end in pairwise(edges):
        extraction.push(Frames(clip[start:end], start, np.arange(start, end) / 10))
    return extraction.finish()


def noisy(frames: int = 7, height: int = 61, width: int = 83) -> np.ndarray:
    clip = moving_square(frames, height, width).astype(int)
    clip += np.random.default_rng(0).integers(-20, 20, clip.shape)
    return np.clip(clip, 0, 255).astype(np.uint8)


def test_values_are_the_definitions() -> None:
    clip = noisy()
    features = extract(clip)
    wide = clip.astype(np.int64)
    change = np.abs(np.diff(wide, axis=0))
    assert np.array_equal(features["mae_next"], change.sum((1, 2, 3)) / change[0].size)
    assert np.array_equal(features["max_abs_next"], change.max((1, 2, 3)))
    assert np.array_equal(features["mae_first"], np.abs(wide - wide[0]).sum((1, 2, 3)) / wide[0].size)
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]).astype(float)
    assert features["luma_mean"] == pytest.approx(luma.mean((1, 2)))
    assert features["luma_std"] == pytest.approx(luma.std((1, 2)))
    padded = np.pad(luma, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    laplacian = (
        padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] - 4 * luma
    )
    assert features["sharpness"] == pytest.approx(laplacian.var((1, 2)))  # 61 lines: nothing is scaled down
    assert np.array_equal(features["pts_s"], np.arange(7) / 10)


def test_sums_of_large_frames_stay_exact() -> None:
    clip = np.zeros((2, 2000, 3000, 3), dtype=np.uint8)
    clip[1] = 255
    clip[1, 0, 0, 0] = 254
    assert extract(clip)["mae_next"][0] == (255 * 18_000_000 - 1) / 18_000_000


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 9), max_size=5))
def test_block_borders_change_nothing(cuts: set[int]) -> None:
    clip = noisy(9, 30, 40)
    whole, cut = extract(clip), extract(clip, tuple(cuts))
    for name, array in whole.arrays.items():
        assert np.array_equal(array, cut[name]), name


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_short_clips_give_short_arrays(frames: int) -> None:
    features = extract(still(frames))
    for name, array in features.arrays.items():
        expected = max(0, frames - 1) if name in ("mae_next", "max_abs_next") else frames
        thumb = name == "thumb"
        assert array.shape == ((expected, 32, 32, 3) if thumb else (expected,)), name
        assert array.dtype == (np.uint8 if thumb else np.float64)
        assert np.isfinite(array).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 300)])
def test_smallest_pictures(size: tuple[int, int]) -> None:
    features = extract(np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8))
    assert all(np.isfinite(array).all() for array in features.arrays.values())


def test_sharpness_falls_with_blur() -> None:
    clip = noisy()
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in clip])
    assert (extract(blurred)["sharpness"] < 0.2 * extract(clip)["sharpness"]).all()


def test_clips_side_by_side_do_not_mix() -> None:
    one, two = moving_square(4), noisy(4, 64, 96)
    extractor = PixelsExtractor(PixelsOptions())
    first, second = extractor.start(INFO), extractor.start(INFO)
    for index in range(4):
        first.push(Frames(one[index : index + 1], index, np.array([index / 10])))
        second.push(Frames(two[index : index + 1], index, np.array([index / 10])))
    assert np.array_equal(first.finish()["mae_next"], extract(one)["mae_next"])
    assert np.array_equal(second.finish()["mae_next"], extract(two)["mae_next"])


def test_contract() -> None:
    extractor = PixelsExtractor()
    extractor.load()
    assert isinstance(extractor, Extractor)
    assert extractor.fingerprint.startswith("pixels-v2-")
    assert extractor.fingerprint == PixelsExtractor().fingerprint


@pytest.mark.parametrize("sigma", [2.0, 8.0, 20.0])
def test_noise_is_measured_in_grey_levels(sigma: float) -> None:
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(60, 190, 240)[None, None, :, None], (2, 160, 240, 3))
    grey = rng.normal(0, sigma, (2, 160, 240, 1))
    found = extract(np.clip(ramp + grey, 0, 255).round().astype(np.uint8))["noise"]
    np.testing.assert_allclose(found, sigma, rtol=0.05)
    assert (extract(ramp.astype(np.uint8))["noise"] < 0.5).all()


def test_a_thumbnail_holds_the_means_of_cells() -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    clip = cells.repeat(4, axis=1).repeat(6, axis=2)
    assert np.array_equal(extract(clip)["thumb"], cells)
