"""What a fault is made with keeps to the clip, and to the scenes that are allowed."""

from __future__ import annotations

import numpy as np

from vgaudit.storyworld.fault_props import fault_props
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene
from vgaudit.storyworld.split import is_held_out

DOG = Scene("dog", "walking", "forest", "red")


def test_pictures_alone_need_nothing() -> None:
    clip = render(DOG, 1, frames=4)
    assert fault_props(clip, "flicker", 1, 0) == {}


def test_a_mask_covers_the_subject_and_nothing_else() -> None:
    clip = render(DOG, 1, frames=4)
    props = fault_props(clip, "colour_swap", 1, 0)
    x0, y0, x1, y1 = props["box"]
    inside = props["mask"][:, y0:y1, x0:x1]
    assert inside.any(axis=(1, 2)).all()
    assert props["mask"].shape == clip.frames.shape[:3]
    assert inside.sum() > 0.5 * props["mask"].sum()


def test_another_subject_stands_in_the_same_place_at_the_same_rate() -> None:
    clip = render(DOG, 1, frames=4, height=48, width=80, fps=4.0)
    props = fault_props(clip, "subject_swap", 1, 0, fps=4.0)
    assert props["aligned"]
    assert props["other"].shape == clip.frames.shape
    empty = render(DOG, 1, frames=4, height=48, width=80, fps=4.0, with_subject=False).frames
    same = (props["other"] == empty).all(axis=3)
    assert same[:, :8].mean() > 0.9  # the place is the same above the subject


def test_only_allowed_scenes_are_shown() -> None:
    clip = render(DOG, 1, frames=2)
    asked: list[Scene] = []

    def allowed(scene: Scene) -> bool:
        asked.append(scene)
        return not is_held_out(scene)

    for draw in range(12):
        for kind in ("subject_swap", "jump_cut"):
            props = fault_props(clip, kind, 1, draw, allowed=allowed)
            shown = asked[-1] if kind == "jump_cut" else None
            assert shown is None or not is_held_out(shown)
            assert props["other"].shape == clip.frames.shape
    assert any(is_held_out(scene) for scene in asked)  # something was refused
    # Where no other subject is allowed, another shot is shown.
    boat = render(Scene("boat", "sailing", "beach at sunset", "red"), 1, frames=2)
    props = fault_props(boat, "subject_swap", 1, 3)
    assert "aligned" not in props
    assert not np.array_equal(props["other"], boat.frames)


def test_one_draw_is_one_prop() -> None:
    clip = render(DOG, 1, frames=2)
    for kind in ("subject_swap", "jump_cut"):
        first, again = (fault_props(clip, kind, 1, 7)["other"] for _ in range(2))
        assert np.array_equal(first, again)
