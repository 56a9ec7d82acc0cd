"""Planted heads: no edge shows, the truth is where the detector finds the face, and the turn is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.portraits import astronaut, background
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.likeness.planting import (
    LIGHTS,
    MAX_YAW_DEG,
    Head,
    Light,
    Planting,
    cut_head,
    draw_light,
    draw_planting,
    plant,
)

HEIGHT, WIDTH = 160, 220
MIDDLE = Planting(64.0, frames=3, at=(110.0, 80.0))


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    made = FaceDetector(device="cpu")
    made.load()
    return made


@pytest.fixture(scope="module")
def head(detector: FaceDetector) -> Head:
    found = detector.detect(astronaut())
    return cut_head(astronaut(), found.boxes[0], found.landmarks[0])


def ground(frames: int = 3) -> NDArray[np.uint8]:
    return background(frames, HEIGHT, WIDTH)


def plain(value: int = 128) -> NDArray[np.uint8]:
    return np.full((1, HEIGHT, WIDTH, 3), value, np.uint8)


def eyes_to_nose(landmarks: NDArray[np.float32]) -> float:
    """Distance of the right eye to the nose over that of the left one, across the picture."""
    left, right, nose = landmarks[0, 0], landmarks[1, 0], landmarks[2, 0]
    return float((right - nose) / (nose - left))


def test_the_mask_is_soft_and_ends_before_the_cut_does(head: Head) -> None:
    mask = head.mask
    assert mask.min() == 0
    assert mask.max() == 1
    for border in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert border.max() == 0
    steps = max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1))
    assert steps < 3 / head.face_width * 4, "from 0 to 1 over a good part of the face's width"
    left, top, right, bottom = head.box.round().astype(int)
    assert mask[top + 10 : bottom - 10, left + 10 : right - 10].mean() > 0.97, "the face itself is whole"


def test_a_head_at_the_picture_s_edge_fades_out_there(detector: FaceDetector) -> None:
    cut = astronaut()[70:]  # the photograph ends above the eyes
    found = detector.detect(cut)
    head = cut_head(cut, found.boxes[0], found.landmarks[0])
    first = round(
        float(head.box[1] - found.boxes[0, 1])
    )  # the row of the cut that the photograph begins with
    assert head.mask[: first + 1].max() == 0
    assert head.mask[first + 40].max() > 0.9


@pytest.mark.parametrize("yaw", [-20.0, 0.0, 20.0])
def test_no_edge_shows_on_an_even_ground(head: Head, yaw: float) -> None:
    even = replace(head, rgb=np.full_like(head.rgb, 200))
    seen = plant(plain(100), even, replace(MIDDLE, frames=1, yaw_deg=yaw)).frames[0, :, :, 0].astype(int)
    assert seen.max() >= 198
    assert seen[:2].max() == seen[:, :2].max() == 100
    assert max(np.abs(np.diff(seen, axis=axis)).max() for axis in (0, 1)) <= 18, "of a step of 100 levels"


def test_only_the_span_is_touched_and_the_host_is_kept(head: Head) -> None:
    host = ground(6)
    before = host.copy()
    planted = plant(host, head, replace(MIDDLE, first=2, frames=3, noise=2.0))
    assert (host == before).all()
    assert planted.frame_index.tolist() == [2, 3, 4]
    same = (planted.frames == host).all(axis=(1, 2, 3))
    assert same.tolist() == [True, True, False, False, False, True]


def test_it_drifts_as_told(head: Head) -> None:
    planted = plant(plain().repeat(3, axis=0), head, replace(MIDDLE, drift=(4.0, -2.0)))
    assert np.allclose(np.diff(planted.boxes, axis=0), [[4, -2, 4, -2]] * 2)
    assert np.allclose(np.diff(planted.landmarks, axis=0), [4, -2], atol=1e-4)
    moved = np.roll(planted.frames[0], (-2, 4), axis=(0, 1)).astype(int) - planted.frames[1]
    assert np.abs(moved[10:-10, 10:-10]).max() <= 1


@pytest.mark.parametrize(("width", "yaw", "roll"), [(32, 0, 0), (48, 20, 5), (64, -20, -5), (90, 12, 0)])
def test_the_detector_finds_it_where_the_truth_says(
    head: Head, detector: FaceDetector, width: int, yaw: float, roll: float
) -> None:
    planted = plant(ground(), head, replace(MIDDLE, width_px=float(width), yaw_deg=yaw, roll_deg=roll))
    found = detector.detect(planted.frames[1])
    assert len(found) >= 1
    box, truth = found.boxes[0], planted.boxes[1]
    wide = min(box[2], truth[2]) - max(box[0], truth[0])
    tall = min(box[3], truth[3]) - max(box[1], truth[1])
    union = (
        (box[2] - box[0]) * (box[3] - box[1]) + (truth[2] - truth[0]) * (truth[3] - truth[1]) - wide * tall
    )
    assert wide * tall / union > 0.6
    assert np.abs(found.landmarks[0] - planted.landmarks[1]).max() < 0.08 * width
    assert truth[2] - truth[0] == pytest.approx(width, abs=0.6)


def test_yaw_turns_the_nose_towards_one_eye(head: Head, detector: FaceDetector) -> None:
    seen, told = [], []
    for yaw in (-20.0, -10.0, 0.0, 10.0, 20.0):
        planted = plant(ground(), head, replace(MIDDLE, width_px=90.0, yaw_deg=yaw))
        told.append(eyes_to_nose(planted.landmarks[0]))
        seen.append(eyes_to_nose(detector.detect(planted.frames[0]).landmarks[0]))
    assert sorted(told, reverse=True) == told, "to the right: the right eye comes closer to the nose"
    assert sorted(seen, reverse=True) == seen
    assert seen[0] / seen[-1] > 2


def test_roll_turns_clockwise(head: Head) -> None:
    planted = plant(plain(), head, replace(MIDDLE, frames=1, roll_deg=10.0))
    left, right = planted.landmarks[0, 0], planted.landmarks[0, 1]
    upright = plant(plain(), head, replace(MIDDLE, frames=1)).landmarks[0]
    before = np.degrees(np.arctan2(*(upright[1] - upright[0])[::-1]))
    assert np.degrees(np.arctan2(*(right - left)[::-1])) - before == pytest.approx(10, abs=0.2)


def test_lights_do_what_they_are_called(head: Head) -> None:
    def lit(light: Light) -> NDArray[np.float64]:
        planted = plant(plain(), head, replace(MIDDLE, frames=1, light=light))
        left, top, right, bottom = planted.boxes[0].round().astype(int)
        return planted.frames[0, top:bottom, left:right].astype(float)

    plain_ = lit(Light())
    assert lit(Light("dark", gamma=1.4, gain=0.8)).mean() < plain_.mean() - 20
    assert lit(Light("bright", gamma=0.8, gain=1.1)).mean() > plain_.mean() + 10
    warm, cool = lit(Light("warm", warmth=0.15)), lit(Light("cool", warmth=-0.15))
    assert (warm[..., 0] - warm[..., 2]).mean() > (cool[..., 0] - cool[..., 2]).mean() + 20
    side = lit(Light("side", side=0.4)) - plain_
    half = side.shape[1] // 2
    assert side[:, half:].mean() > 10 > -10 > side[:, :half].mean()


def test_every_light_is_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {draw_light(rng).name for _ in range(100)} == set(LIGHTS)


def test_the_same_seed_plants_the_same(head: Head) -> None:
    drawn = [draw_planting(seed, 48.0, (HEIGHT, WIDTH), 6, span=(3, 5)) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    first, again, other = (plant(ground(6), head, planting).frames for planting in drawn)
    assert (first == again).all()
    assert (first != other).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([24, 32, 48, 64, 96]), st.integers(1, 20))
def test_what_is_drawn_fits(seed: int, width: int, frames: int) -> None:
    planting = draw_planting(seed, float(width), (HEIGHT, WIDTH), frames, span=(3, 9))
    assert planting.first >= 0
    assert planting.frames >= 1
    assert planting.first + planting.frames <= frames
    assert abs(planting.yaw_deg) <= 20
    for t in (0, planting.frames - 1):
        x, y = (planting.at[i] + t * planting.drift[i] for i in (0, 1))
        assert width / 2 <= x + 1e-6
        assert x - 1e-6 <= WIDTH - width / 2
        assert 0.75 * width <= y + 1e-6
        assert y - 1e-6 <= HEIGHT - 0.75 * width


@pytest.mark.parametrize(
    ("planting", "told"),
    [
        (replace(MIDDLE, first=1), "not in a clip of 3"),
        (replace(MIDDLE, frames=0), "not in a clip of 3"),
        (replace(MIDDLE, yaw_deg=MAX_YAW_DEG + 1), "degrees; at most"),
        (replace(MIDDLE, width_px=2.0), "at least 4"),
    ],
)
def test_what_cannot_be_planted_is_refused(head: Head, planting: Planting, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plant(ground(), head, planting)


def test_a_box_without_a_face_in_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="no face can be cut"):
        cut_head(astronaut(), (600, 0, 700, 100), np.zeros((5, 2), np.float32))
