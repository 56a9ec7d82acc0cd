"""Every setting by name: who paints it, where the ground is, and what its light does to a subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vgaudit.storyworld import built, outdoors
from vgaudit.storyworld.backdrop import Stage


@dataclass(frozen=True)
class Setting:
    """A place.

    Attributes:
        paint: Paints everything but the subject.
        ground: Where feet stand, in frame heights from the top.
        water: Where boats float, or ``None``.
        light: Factor on the subject's red, green and blue where it is lit.
        shade: The same where it is not.
        shadow: Darkness of the contact shadow, 0 to 1.
        glow: Strength of a bright rim (a low sun, street lamps), 0 to 1.
    """

    paint: Callable[[Stage], None]
    ground: float
    light: tuple[float, float, float]
    shade: tuple[float, float, float]
    shadow: float
    water: float | None = None
    glow: float = 0.0


SETTING_TABLE: dict[str, Setting] = {
    "beach at sunset": Setting(
        outdoors.beach, 0.88, (1.08, 0.96, 0.84), (0.74, 0.58, 0.66), 0.42, water=0.64, glow=0.55
    ),
    "city at night": Setting(built.city, 0.87, (1.04, 1.0, 1.0), (0.60, 0.60, 0.82), 0.50, glow=0.45),
    "white studio": Setting(built.studio, 0.84, (1.06, 1.06, 1.06), (0.72, 0.72, 0.76), 0.30),
    "forest": Setting(outdoors.forest, 0.87, (1.04, 1.06, 0.94), (0.62, 0.72, 0.60), 0.45),
    "snowy mountain": Setting(outdoors.mountain, 0.88, (1.06, 1.06, 1.08), (0.68, 0.74, 0.90), 0.30),
    "living room": Setting(built.living_room, 0.87, (1.05, 1.0, 0.94), (0.70, 0.64, 0.60), 0.42),
    "desert": Setting(outdoors.desert, 0.87, (1.10, 1.04, 0.92), (0.78, 0.64, 0.54), 0.45),
    "lake": Setting(outdoors.lake, 0.88, (1.06, 1.06, 1.0), (0.68, 0.74, 0.74), 0.38, water=0.66),
}
