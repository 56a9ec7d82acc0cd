"""The camera stays inside the picture, moves as its name says, and lets nothing flicker."""

from __future__ import annotations

import math
from dataclasses import astuple
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vgaudit.backends.animatic_moves import MOVES, Move, Window, endpoints, film, largest_window, path

SIDES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
FRACTION = st.floats(0, 1)


def ground(width: int, height: int, seed: int = 0) -> Image.Image:
    """A soft random picture with detail everywhere, so that flow can be followed."""
    coarse = np.random.default_rng(seed).integers(
        0, 255, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8
    )
    return Image.fromarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def filmed(move: Move, *, frames: int = 12, amount: float = 0.3, angle: float = 0.0) -> NDArray[np.uint8]:
    picture = ground(300, 240)
    first, last = endpoints(picture.size, (96, 64), move, amount, angle=angle)
    return film(picture, path(picture.size, first, last, frames), (96, 64))


def shift(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float, float]:
    """How far the picture moved from ``a`` to ``b``, in pixels right and down."""
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32) for f in (a, b)]
    return cv2.phaseCorrelate(*grey)[0]


def divergence(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """By how much the flow from ``a`` to ``b`` points outwards, in pixels."""
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (a, b)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    y, x = np.mgrid[: a.shape[0], : a.shape[1]]
    outward = np.stack([x - x.mean(), y - y.mean()], -1)
    return float((flow * outward).sum(-1).mean() / np.linalg.norm(outward, axis=-1).mean())


@given(
    SIDES, SIDES, st.sampled_from(MOVES), st.floats(0.02, 1), st.tuples(FRACTION, FRACTION),
    st.floats(0, math.tau), st.integers(2, 9),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_every_window_lies_in_the_picture_and_keeps_the_aspect(
    picture: tuple[int, int], frame: tuple[int, int], move: Move, amount: float,
    focus: tuple[float, float], angle: float, frames: int,
) -> None:  # fmt: skip
    first, last = endpoints(picture, frame, move, amount, focus=focus, angle=angle)
    windows = path(picture, first, last, frames)
    assert len(windows) == frames
    assert astuple(windows[0]) == pytest.approx(astuple(first))
    assert astuple(windows[-1]) == pytest.approx(astuple(last))
    widest = largest_window(picture, frame)
    coarse = 4 * math.ulp(max(picture))  # a width is the difference of two places in the picture
    for window in windows:
        assert 0 <= window.left < window.right <= picture[0]
        assert 0 <= window.top < window.bottom <= picture[1]
        assert window.width / window.height == pytest.approx(frame[0] / frame[1], rel=1e-6)
        assert widest[0] / (1 + amount) <= window.width * (1 + 1e-9) + coarse
        assert window.width <= widest[0] * (1 + 1e-9) + coarse


@given(SIDES, SIDES, st.floats(0.02, 1), st.tuples(FRACTION, FRACTION), st.floats(0, math.tau))
@settings(max_examples=200, deadline=None)
def test_a_move_goes_as_far_as_it_says_wherever_the_focus_is(
    picture: tuple[int, int], frame: tuple[int, int], amount: float, focus: tuple[float, float], angle: float
) -> None:
    for move in MOVES:
        first, last = endpoints(picture, frame, move, amount, focus=focus, angle=angle)
        if move in ("zoom_in", "zoom_out"):
            near, far = (last, first) if move == "zoom_in" else (first, last)
            assert far.width / near.width == pytest.approx(1 + amount)
            continue
        right = (last.left - first.left) / first.width
        down = (last.top - first.top) / first.height
        wanted = {
            "pan_right": (amount, 0), "pan_left": (-amount, 0), "pan_down": (0, amount), "pan_up": (0, -amount),
            "drift": (amount * math.cos(angle), amount * math.sin(angle)),
        }[move]  # fmt: skip
        assert (right, down) == pytest.approx(wanted, abs=1e-6)


@given(st.integers(2, 200), st.floats(1, 1000))
def test_the_camera_never_stands_still_nor_jerks(frames: int, way: float) -> None:
    picture = (2000, 2000)
    windows = path(picture, Window(0, 0, 50, 50), Window(way, 0, way + 50, 50), frames)
    steps = np.diff([w.left for w in windows]) / (way / (frames - 1))
    assert steps.min() >= 0.5 - 1e-6
    assert steps.max() <= 1.25 + 1e-6
    assert steps == pytest.approx(steps[::-1], abs=1e-6)


@pytest.mark.parametrize(
    ("move", "right", "down"),
    [("pan_right", -1, 0), ("pan_left", 1, 0), ("pan_down", 0, -1), ("pan_up", 0, 1)],
)
def test_in_a_pan_the_picture_goes_the_other_way(move: Move, right: int, down: int) -> None:
    clip = filmed(move)
    for a, b in pairwise(clip):
        x, y = shift(a, b)
        along, across = (x * right, y) if right else (y * down, x)
        assert along > 0.8
        assert abs(across) < 0.4


def test_a_drift_goes_where_its_angle_points() -> None:
    clip = filmed("drift", angle=math.radians(225))  # up and to the left
    x, y = shift(clip[5], clip[6])
    assert x > 0.5
    assert y > 0.5


def test_zooms_go_in_and_out() -> None:
    clip = filmed("zoom_in")
    assert all(divergence(a, b) > 0.1 for a, b in pairwise(clip))
    assert np.abs(filmed("zoom_out")[::-1].astype(int) - clip).max() <= 1


@pytest.mark.parametrize("scale", [0.5, 1.4, 2.0, 3.7, 9.0])
def test_fine_detail_does_not_flicker_under_a_slow_pan(scale: float) -> None:
    """White noise is the hardest picture. Windows that moved by whole pixels would stand still and then jump."""
    side = round(48 * scale) + 8
    noise = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    windows = [Window(2 + u, 2, 2 + u + 48 * scale, 2 + 48 * scale) for u in np.linspace(0, 1, 9)]
    clip = film(Image.fromarray(noise), windows, (48, 48)).astype(float)
    contrast = clip.std((1, 2, 3))
    assert contrast.std() / contrast.mean() < 0.01
    steps = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    assert 0 < steps.max() < 1.25 * steps.min()


def test_a_large_picture_is_filmed_as_the_small_one_is() -> None:
    small = ground(200, 160)
    large = small.resize((200 * 9, 160 * 9), Image.Resampling.BICUBIC)
    clips = []
    for picture in (small, large):
        first, last = endpoints(picture.size, (100, 80), "zoom_in", 0.25)
        clips.append(film(picture, path(picture.size, first, last, 4), (100, 80)).astype(int))
    assert np.abs(clips[0] - clips[1]).mean() < 2


def test_pixels_come_from_the_window_alone() -> None:
    """A red picture with a blue border that no window touches, but for the filter's reach of three source pixels."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[...] = (0, 0, 255)
    pixels[20:-20, 20:-20] = (255, 0, 0)
    clip = film(Image.fromarray(pixels), [Window(26, 26, 134, 94)] * 2, (108, 68))
    assert (clip == (255, 0, 0)).all()
