"""Settings that people built: the city at night, the white studio, the living room."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld.backdrop import Stage
from vgaudit.storyworld.pen import Colour, darker, lighter, mix


def city(stage: Stage) -> None:
    """Stars and a moon, two rows of houses with lit windows, a street with lamps."""
    stage.gradient(0.0, [(0.0, (10, 14, 42)), (0.40, (34, 36, 84)), (0.62, (96, 62, 112))])
    far, rng = stage.pen(0.02), stage.rng(1)
    stars = rng.random((22, 2))
    x, y = (stars[:, 0] - 0.5) * (stage.aspect + 0.3), 0.36 * stars[:, 1]
    far.rectangles(np.stack([x, y, x + 0.010, y + 0.010], axis=1), (226, 230, 255))
    moon = float(rng.uniform(-0.3, 0.3)) * stage.aspect
    far.ellipse(moon, 0.12, 0.062, 0.062, (250, 246, 214))
    far.ellipse(moon + 0.028, 0.11, 0.052, 0.052, (20, 22, 56))
    _houses(stage, 0.15, 0.66, (0.20, 0.42), (44, 44, 88), (222, 176, 96), 0.030, 2)
    _houses(stage, 0.4, 0.70, (0.16, 0.34), (22, 24, 52), (255, 214, 110), 0.042, 3)
    stage.gradient(0.9, [(0.68, (92, 88, 108)), (0.715, (74, 72, 94))], top=0.68, bottom=0.715)
    stage.gradient(1.0, [(0.715, (46, 46, 62)), (1.0, (62, 62, 78))], top=0.715)
    for start, _ in stage.repeats(1.0, 0.42):
        stage.pen(1.0).polygon(
            [(start, 0.90), (start + 0.20, 0.90), (start + 0.19, 0.925), (start - 0.02, 0.925)],
            (206, 196, 150),
        )
    lamp = stage.pen(0.8)
    for start, _ in stage.repeats(0.8, 0.85):
        x0 = start + 0.3
        lamp.limb((x0, 0.71), (x0, 0.36), 0.009, 0.007, (26, 28, 40))
        lamp.limb((x0, 0.36), (x0 + 0.07, 0.345), 0.007, 0.006, (26, 28, 40))
        lamp.ellipse(x0 + 0.075, 0.355, 0.036, 0.026, (206, 166, 92))
        lamp.ellipse(x0 + 0.075, 0.355, 0.022, 0.015, (255, 242, 194))
        lamp.ellipse(x0 + 0.075, 0.745, 0.13, 0.018, (104, 92, 84))


def _houses(
    stage: Stage,
    depth: float,
    base: float,
    tall: tuple[float, float],
    wall: Colour,
    light: Colour,
    pane: float,
    layer: int,
) -> None:
    pen = stage.pen(depth)
    lit = []
    for start, k in stage.repeats(depth, _HOUSE, margin=0.25):
        w, h, tint, windows = _house(stage.seed, layer, k, tall, pane)
        pen.rectangle(start, base - h, start + w, base + 0.1, mix(wall, (70, 70, 130), tint))
        lit.append(windows + np.array([start, base, start, base]))
    pen.rectangles(np.concatenate(lit), light)


_HOUSE = 0.23  # from one house to the next, frame heights


@lru_cache(maxsize=512)
def _house(
    seed: int, layer: int, k: int, tall: tuple[float, float], pane: float
) -> tuple[float, float, float, NDArray[np.float64]]:
    """Width, height, tint and lit windows of a house, from its lower left corner."""
    rng = np.random.default_rng([seed, layer, k + 10_000])
    h, w, tint = (
        float(rng.uniform(*tall)),
        _HOUSE * float(rng.uniform(0.82, 0.98)),
        float(rng.uniform(0, 0.25)),
    )
    step = pane * 1.75
    columns, rows = max(1, int((w - pane) / step)), max(1, int((h - pane) / step))
    at = np.argwhere(rng.random((columns, rows)) < 0.5) * step + pane * 0.7 - (0.0, h)
    return w, h, tint, np.concatenate([at, at + pane], axis=1)


def studio(stage: Stage) -> None:
    """A white sweep without a corner, a soft pool of light, softboxes at the sides."""
    stage.gradient(
        0.0,
        [
            (0.0, (226, 228, 233)),
            (0.5, (246, 247, 249)),
            (0.66, (238, 239, 242)),
            (0.80, (250, 250, 251)),
            (1.0, (230, 232, 236)),
        ],
    )
    floor = stage.pen(0.9)
    floor.ellipse(0.0, 0.83, 0.52, 0.105, (246, 246, 248))
    floor.ellipse(0.0, 0.83, 0.40, 0.075, (255, 255, 255))
    box = stage.pen(0.5)
    for side in (-1, 1):
        x = side * (stage.aspect / 2 - 0.06)
        box.limb((x, 0.26), (x + side * 0.02, 0.74), 0.008, 0.008, (150, 152, 160))
        box.polygon(
            [(x - 0.075, 0.06), (x + 0.075, 0.04), (x + 0.075, 0.32), (x - 0.075, 0.30)], (96, 98, 106)
        )
        box.polygon(
            [(x - 0.06, 0.075), (x + 0.06, 0.06), (x + 0.06, 0.30), (x - 0.06, 0.285)], (255, 255, 255)
        )


_ROOMS: tuple[tuple[Colour, Colour, Colour], ...] = (  # wall, sofa, rug
    ((226, 206, 176), (74, 112, 128), (178, 82, 70)),
    ((196, 212, 196), (176, 116, 84), (92, 112, 150)),
    ((222, 198, 196), (96, 120, 88), (208, 172, 112)),
)


def living_room(stage: Stage) -> None:
    """A papered wall with a window and a picture, a sofa, a lamp, floorboards and a rug."""
    rng = stage.rng(1)
    wall, sofa, rug = _ROOMS[int(rng.integers(len(_ROOMS)))]
    stage.gradient(0.5, [(0.0, darker(wall, 0.12)), (0.6, wall)])
    for start, k in stage.repeats(0.5, 1.9, margin=1.0):
        _furniture(stage, start - 0.05 * (k % 2), wall, sofa)
    stage.gradient(0.6, [(0.655, (240, 234, 222)), (0.68, (222, 214, 200))], top=0.655, bottom=0.68)
    stage.gradient(0.9, [(0.68, (150, 100, 62)), (1.0, (182, 128, 82))], top=0.68)
    board = stage.pen(0.9)
    for y in (0.735, 0.81, 0.91):
        board.rectangle(stage.view.x - 5, y, stage.view.x + 5, y + 0.007, (122, 80, 50))
    for start, _ in stage.repeats(0.95, 1.9, margin=1.0):
        stage.pen(0.95).ellipse(start, 0.86, 0.66, 0.085, darker(rug, 0.25))
        stage.pen(0.95).ellipse(start, 0.855, 0.60, 0.070, rug)


def _furniture(stage: Stage, x: float, wall: Colour, sofa: Colour) -> None:
    pen = stage.pen(0.5)
    pen.rectangle(x - 0.46, 0.07, x - 0.10, 0.44, (250, 248, 242))
    pen.rectangle(x - 0.43, 0.10, x - 0.13, 0.41, (150, 204, 240))
    pen.ellipse(x - 0.28, 0.20, 0.07, 0.022, (255, 255, 255))
    pen.polygon(
        [(x - 0.43, 0.41), (x - 0.43, 0.34), (x - 0.30, 0.30), (x - 0.13, 0.35), (x - 0.13, 0.41)],
        (110, 168, 96),
    )
    pen.rectangle(x - 0.285, 0.10, x - 0.272, 0.41, (250, 248, 242))
    pen.rectangle(x + 0.06, 0.12, x + 0.30, 0.30, (92, 66, 48))
    pen.rectangle(x + 0.08, 0.14, x + 0.28, 0.28, (244, 236, 216))
    pen.polygon([(x + 0.09, 0.28), (x + 0.17, 0.17), (x + 0.27, 0.28)], (206, 112, 84))
    pen.rectangle(x - 0.16, 0.42, x + 0.42, 0.58, darker(sofa, 0.22))
    pen.rectangle(x - 0.20, 0.54, x + 0.46, 0.66, sofa)
    for edge in (-0.21, 0.43):
        pen.rectangle(x + edge, 0.48, x + edge + 0.06, 0.67, lighter(sofa, 0.12))
    pen.polygon([(x + 0.02, 0.54), (x + 0.06, 0.44), (x + 0.14, 0.46), (x + 0.12, 0.55)], (238, 196, 88))
    pen.limb((x + 0.60, 0.67), (x + 0.60, 0.32), 0.010, 0.008, (78, 68, 62))
    pen.polygon([(x + 0.53, 0.36), (x + 0.67, 0.36), (x + 0.635, 0.22), (x + 0.565, 0.22)], (255, 234, 176))
    pen.limb((x - 0.62, 0.66), (x - 0.62, 0.60), 0.045, 0.055, (206, 126, 86))
    for k, dx in enumerate((-0.09, -0.03, 0.04, 0.10)):
        pen.limb((x - 0.62, 0.58), (x - 0.62 + dx, 0.40 + 0.02 * (k % 2)), 0.012, 0.026, (72, 142, 84))
