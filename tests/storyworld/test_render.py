"""Renders: the same bytes each time, true boxes, and pictures that differ where scenes differ."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene
from vgaudit.storyworld.vocabulary import CAN, COLOURS, SETTINGS, settings_of


def test_the_same_request_gives_the_same_bytes_and_another_seed_others() -> None:
    scene = Scene("dog", "walking", "beach at sunset", "brown")
    first, again, other = (render(scene, s, frames=4).frames for s in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_shot_can_be_taken_over_with_another_subject() -> None:
    scene, other = Scene("cup", "rotating", "forest", "red"), Scene("ball", "rotating", "forest", "red")
    taken = render(other, 3, frames=3, shot=scene)
    assert taken.truth.scene == other
    ours, theirs = render(scene, 3, frames=3).truth.boxes, taken.truth.boxes
    top = min(b[1] for b in (*ours, *theirs) if b) - 2
    assert np.array_equal(taken.frames[:, :top], render(scene, 3, frames=3).frames[:, :top])
    assert not np.array_equal(taken.frames[:, :top], render(other, 3, frames=3).frames[:, :top])


def test_defaults() -> None:
    made = render(Scene("cat", "walking", "forest"), 1)
    assert made.frames.shape == (17, 64, 64, 3)
    assert made.frames.dtype == np.uint8
    assert made.truth.scene.colour in COLOURS
    assert made.truth.speed is not None
    assert made.truth.speed > 0
    assert len(made.truth.boxes) == len(made.truth.visible) == 17


@pytest.mark.parametrize(("height", "width"), [(8, 8), (33, 57), (65, 31), (48, 200), (130, 74), (540, 31)])
def test_any_size(height: int, width: int) -> None:
    made = render(Scene("horse", "running", "desert", look="film"), 3, frames=3, height=height, width=width)
    assert made.frames.shape == (3, height, width, 3)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"height": 7}, "8 to 2048"),
        ({"width": 5000}, "8 to 2048"),
        ({"frames": 0}, "frames"),
        ({"fps": 0}, "rate"),
    ],
)
def test_sizes_are_checked(wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        render(Scene("ball", "bouncing", "lake"), 0, **wrong)


CASES = [
    (subject, action, settings_of(subject)[i % len(settings_of(subject))], look, camera)
    for i, ((subject, action), look, camera) in enumerate(
        zip(
            [(s, a) for s, actions in CAN.items() for a in actions],
            itertools.cycle(["ad", "film", "anime"]),
            itertools.cycle(["static", "pan", "zoom", "static"]),
        )
    )
]


@pytest.mark.parametrize(("subject", "action", "setting", "look", "camera"), CASES)
def test_boxes_hold_the_subject_and_nothing_else_changes(
    subject: str, action: str, setting: str, look: str, camera: str
) -> None:
    scene = Scene(subject, action, setting, "pink", look, camera)  # type: ignore[arg-type]
    made = render(scene, 5, frames=9, fps=4)
    empty = render(scene, 5, frames=9, fps=4, with_subject=False)
    assert made.truth == empty.truth
    assert any(made.truth.visible)
    for frame, without, box, visible in zip(
        made.frames, empty.frames, made.truth.boxes, made.truth.visible, strict=True
    ):
        differs = np.abs(frame.astype(int) - without).max(axis=2) > 0
        if box is None:
            assert not differs.any()
            assert not visible
            continue
        x0, y0, x1, y1 = box
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 64
        outside = differs.copy()
        outside[y0:y1, x0:x1] = False
        assert not outside.any()
        if visible:
            inside = differs[y0:y1, x0:x1]
            assert inside.mean() > 0.2
            # The box is tight: the subject reaches its edges, but for a pixel that is hardly covered.
            rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
            assert max(rows[0] - y0, y1 - 1 - rows[-1]) <= 2
            assert max(columns[0] - x0, x1 - 1 - columns[-1]) <= 2


def centres(action: str, subject: str = "dog", camera: str = "static") -> np.ndarray:
    scene = Scene(subject, action, "white studio", "red", camera=camera)  # type: ignore[arg-type]
    boxes = [b for b in render(scene, 2, width=128).truth.boxes if b]
    return np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]) for b in boxes])


def test_actions_move_differently() -> None:
    walked, ran, hopped, stood = (
        np.ptp(centres(a), axis=0) for a in ("walking", "running", "bouncing", "standing still")
    )
    assert ran[0] > 1.5 * walked[0] > 15
    assert hopped[1] > 8
    assert stood[1] < 3
    assert hopped[0] < 8
    assert stood[0] < 5
    slid = centres("sliding in", "cup")
    assert abs(slid[-1, 0] - slid[-4, 0]) < 1  # it has arrived
    assert abs(slid[-1, 0] - slid[0, 0]) > 10
    turned = centres("rotating", "phone")
    assert np.ptp(turned[:, 2]) > 8 > np.ptp(turned[:, 0])
    followed = np.ptp(centres("running", camera="pan"), axis=0)
    assert followed[0] < 0.4 * ran[0]
    zoomed = centres("standing still", "cup", "zoom")
    assert zoomed[-1, 3] > 1.2 * zoomed[0, 3]


def test_limbs_move_and_are_no_stamp() -> None:
    """A dog that the camera follows still changes inside its box, much more when walking than when standing."""

    def change(action: str) -> float:
        scene = Scene(
            "dog", action, "white studio", "black", camera="pan" if action == "walking" else "static"
        )
        made = render(scene, 4, width=96)
        crops = []
        for frame, box in zip(made.frames, made.truth.boxes, strict=True):
            assert box is not None
            crops.append(cv2.resize(frame[box[3] - 12 : box[3], box[0] : box[2]], (40, 12)).astype(float))
        return float(np.abs(np.diff(np.stack(crops), axis=0)).mean())

    assert change("walking") > 3 * change("standing still")


def test_speed_is_the_distance_covered() -> None:
    for speed in ("slow", "normal", "fast"):
        scene = Scene("car", "driving", "desert", "red", speed=speed)  # type: ignore[arg-type]
        made = render(scene, 2, frames=3, width=256, fps=10)
        x = [(b[0] + b[2]) / 2 for b in made.truth.boxes if b]
        assert made.truth.speed is not None
        assert abs(x[2] - x[0]) == pytest.approx(made.truth.speed * 64 * 0.2, abs=1.1)


@pytest.mark.parametrize("speed", ["slow", "normal", "fast"])
def test_the_speed_of_a_slide_is_its_mean(speed: str) -> None:
    scene = Scene("ball", "sliding in", "white studio", "red", speed=speed)  # type: ignore[arg-type]
    made = render(scene, 2, frames=11, width=256, fps=10)
    # From where the ball is whole in the frame, at the latest in the middle of the slide, to where it rests.
    first = next(i for i, b in enumerate(made.truth.boxes) if b and 0 < b[0] < b[2] < 256)
    x = [(b[0] + b[2]) / 2 / 64 if b else 0.0 for b in made.truth.boxes]

    def way(frames: int) -> float:
        speed = render(scene, 2, frames=frames, width=256, fps=10).truth.speed
        assert speed is not None
        return speed * (frames - 1) / 10

    assert 0 < first < 8
    assert way(11) - way(first + 1) == pytest.approx(abs(x[-1] - x[first]), abs=0.04)
    assert way(11) - way(first + 1) > 0.1
    assert render(scene, 2, frames=2, fps=0.1).truth.speed == pytest.approx((0.5 + 0.5) / 10)
    assert render(scene, 2, frames=1).truth.speed is None


def test_what_stays_has_no_speed_and_what_travels_has_one_in_a_single_frame() -> None:
    assert render(Scene("ball", "bouncing", "forest"), 1, frames=3).truth.speed == 0
    assert (render(Scene("car", "driving", "forest"), 1, frames=1).truth.speed or 0) > 0


def test_a_quarter_of_the_breadth_is_visible() -> None:
    """A car that drives out is told visible until three quarters of it are out."""
    scene = Scene("car", "driving", "desert", "red", speed="fast")
    made = render(scene, 2, frames=60, width=128, fps=20)
    whole = max(b[2] - b[0] for b in made.truth.boxes if b)
    shares = [(b[2] - b[0]) / whole if b else 0.0 for b in made.truth.boxes]
    assert min(shares) < 0.1
    for share, visible in zip(shares, made.truth.visible, strict=True):
        if abs(share - 0.25) > 0.1:
            assert visible == (share > 0.25)


def test_looks_differ_and_settings_differ() -> None:
    looks = [
        render(Scene("cat", "walking", "lake", "red", look=k), 1, frames=1).frames
        for k in ("ad", "film", "anime")
    ]
    for a, b in itertools.combinations(looks, 2):
        assert np.abs(a.astype(int) - b).mean() > 8
    small = [
        cv2.resize(render(Scene("cup", "rotating", s, "red"), 1, frames=1).frames[0], (16, 16)).astype(float)
        for s in SETTINGS
    ]
    for a, b in itertools.combinations(small, 2):
        assert np.abs(a - b).mean() > 15


def test_the_colour_shows() -> None:
    made = {}
    for colour in ("red", "green", "blue"):
        clip = render(Scene("car", "standing still", "white studio", colour), 3, frames=1)
        box = clip.truth.boxes[0]
        assert box is not None
        made[colour] = clip.frames[0, box[1] : box[3], box[0] : box[2]].reshape(-1, 3).mean(axis=0)
    for channel, colour in enumerate(("red", "green", "blue")):
        assert max(made, key=lambda c: made[c][channel] - made[c].mean()) == colour
