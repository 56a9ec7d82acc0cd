"""Every subject by name: how large it is, where it stands, and who draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vgaudit.storyworld import animals, things
from vgaudit.storyworld.motion import Pose
from vgaudit.storyworld.pen import Colour, Pen


@dataclass(frozen=True)
class Subject:
    """How a subject is put into a scene.

    Attributes:
        draw: Draws it with height 1, standing at the origin, facing right.
        height: In frame heights, as a rule.
        breadth: Of its contact shadow, by height.
        afloat: Stands on the water of the setting, not on the ground.
    """

    draw: Callable[[Pen, Pose, Colour], None]
    height: float
    breadth: float
    afloat: bool = False


SUBJECT_TABLE: dict[str, Subject] = {
    "dog": Subject(animals.dog, 0.40, 0.85),
    "cat": Subject(animals.cat, 0.38, 0.75),
    "horse": Subject(animals.horse, 0.52, 0.75),
    "person": Subject(animals.person, 0.60, 0.34),
    "bird": Subject(animals.bird, 0.30, 0.75),
    "car": Subject(things.car, 0.28, 2.05),
    "boat": Subject(things.boat, 0.50, 0.9, afloat=True),
    "airplane": Subject(things.airplane, 0.32, 1.9),
    "bottle": Subject(things.bottle, 0.56, 0.46),
    "sneaker": Subject(things.sneaker, 0.32, 1.7),
    "cup": Subject(things.cup, 0.36, 0.75),
    "phone": Subject(things.phone, 0.52, 0.55),
    "ball": Subject(things.ball, 0.32, 0.75),
}
