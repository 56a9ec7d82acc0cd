"""Products and vehicles. Units: the height of the subject; y up from the ground, x forward from the middle."""

from __future__ import annotations

import math

import numpy as np

from vgaudit.storyworld.motion import Pose
from vgaudit.storyworld.pen import Colour, Pen, Point, darker, lighter, mix

_DARK: Colour = (34, 34, 40)
_GLASS: Colour = (178, 216, 236)
_PAPER: Colour = (250, 246, 234)


def car(pen: Pen, pose: Pose, paint: Colour) -> None:
    """A hatchback; wheels turn with the way, and a turntable shows it from both sides."""
    side = math.cos(pose.turn)
    pen = pen.placed(sx=math.copysign(max(abs(side), 0.42), side))
    pen.polygon(
        [(-0.62, 0.50), (-0.42, 0.92), (-0.30, 0.98), (0.22, 0.98), (0.32, 0.93), (0.62, 0.56)],
        mix(paint, darker(paint), 0.2),
    )
    inner = pen.bare()
    inner.polygon([(-0.48, 0.56), (-0.35, 0.88), (-0.08, 0.90), (-0.08, 0.56)], _GLASS)
    inner.polygon([(-0.02, 0.56), (-0.02, 0.90), (0.22, 0.90), (0.48, 0.56)], _GLASS)
    inner.polygon([(0.06, 0.56), (0.18, 0.88), (0.26, 0.84), (0.18, 0.56)], lighter(_GLASS, 0.6))
    body = [
        (-1.02, 0.24), (-1.04, 0.46), (-0.96, 0.56), (-0.5, 0.58), (0.60, 0.58), (0.98, 0.48),
        (1.06, 0.36), (1.04, 0.22),
    ]  # fmt: skip
    pen.polygon(body, paint)
    inner.polygon([(-1.02, 0.24), (-1.03, 0.33), (1.05, 0.31), (1.04, 0.22)], darker(paint, 0.4))
    inner.polygon([(0.90, 0.48), (1.04, 0.42), (1.02, 0.36), (0.88, 0.40)], (255, 244, 180))
    inner.polygon([(-1.03, 0.50), (-0.94, 0.50), (-0.95, 0.40), (-1.04, 0.40)], (190, 20, 30))
    inner.limb((-0.20, 0.50), (-0.08, 0.50), 0.015, 0.015, darker(paint, 0.55))
    for x in (-0.58, 0.62):
        _wheel(pen, x, 0.22, 0.22, pose.rolled / 0.09)


def _wheel(pen: Pen, x: float, y: float, r: float, angle: float) -> None:
    pen.ellipse(x, y, r, r, _DARK)
    inner = pen.bare()
    inner.ellipse(x, y, r * 0.62, r * 0.62, (202, 204, 210))
    for k in range(3):
        a = k * 2 * math.pi / 3 - angle
        inner.limb((x, y), (x + r * 0.6 * math.cos(a), y + r * 0.6 * math.sin(a)), 0.035, 0.05, (84, 86, 96))


def boat(pen: Pen, pose: Pose, paint: Colour) -> None:
    """A sailing boat: two sails that swell, a hull in the scene's colour with a wake."""
    swell = 0.03 * math.sin(pose.phase * 1.5)
    pen.limb((0.0, 0.18), (0.0, 1.0), 0.016, 0.012, (110, 76, 48))
    pen.polygon([(0.03, 0.97), (0.24 + swell, 0.60), (0.40 + swell, 0.28), (0.03, 0.28)], _PAPER)
    pen.polygon(
        [(-0.03, 0.92), (-0.20 + swell, 0.58), (-0.30 + swell, 0.28), (-0.03, 0.28)], lighter(paint, 0.12)
    )
    inner = pen.bare()
    inner.polygon([(0.03, 0.62), (0.23 + swell, 0.62), (0.28 + swell, 0.50), (0.03, 0.50)], paint)
    pen.polygon([(-0.46, 0.22), (0.54, 0.24), (0.36, 0.0), (-0.34, 0.0)], paint)
    inner.polygon([(-0.46, 0.22), (0.54, 0.24), (0.50, 0.18), (-0.44, 0.17)], lighter(paint, 0.6))
    inner.polygon([(-0.37, 0.05), (0.39, 0.05), (0.36, 0.0), (-0.34, 0.0)], darker(paint, 0.45))


def airplane(pen: Pen, pose: Pose, paint: Colour) -> None:
    """An airliner from the side: fin and wing in the scene's colour, as most of the body."""
    pen.polygon([(-0.98, 0.52), (-1.10, 0.98), (-0.88, 0.98), (-0.58, 0.56)], darker(paint, 0.2))
    pen.polygon([(0.28, 0.44), (-0.02, 0.70), (-0.16, 0.70), (-0.06, 0.44)], darker(paint, 0.4))
    hull = [
        (-1.08, 0.52), (-0.9, 0.60), (0.74, 0.60), (0.96, 0.52), (1.06, 0.42), (0.98, 0.34),
        (0.74, 0.29), (-0.52, 0.29),
    ]  # fmt: skip
    pen.polygon(hull, paint)
    inner = pen.bare()
    inner.polygon(
        [(-0.85, 0.41), (1.05, 0.41), (0.98, 0.34), (0.74, 0.29), (-0.52, 0.29)], lighter(paint, 0.55)
    )
    x = np.arange(-0.66, 0.70, 0.15)
    inner.rectangles(np.stack([x, 0 * x + 0.47, x + 0.075, 0 * x + 0.54], axis=1), (44, 62, 96))
    inner.polygon([(0.80, 0.46), (0.84, 0.55), (0.93, 0.53), (1.0, 0.46)], (44, 62, 96))
    pen.polygon([(0.34, 0.38), (-0.42, 0.08), (-0.58, 0.10), (-0.14, 0.40)], darker(paint, 0.28))
    pen.limb((-0.10, 0.18), (0.12, 0.18), 0.075, 0.07, (196, 200, 208))
    if pose.gait != "fly":
        for wheel in (0.70, -0.18):
            pen.limb((wheel, 0.28), (wheel, 0.08), 0.02, 0.02, (120, 122, 128))
            pen.ellipse(wheel, 0.06, 0.06, 0.06, _DARK)


def bottle(pen: Pen, pose: Pose, glass: Colour) -> None:
    """A bottle with a label that goes round it."""
    pen.rectangle(-0.065, 0.86, 0.065, 1.0, darker(glass, 0.55))
    pen.polygon(
        [
            (-0.175, 0.0), (-0.19, 0.03), (-0.19, 0.52), (-0.16, 0.62), (-0.06, 0.72), (-0.055, 0.87),
            (0.055, 0.87), (0.06, 0.72), (0.16, 0.62), (0.19, 0.52), (0.19, 0.03), (0.175, 0.0),
        ],
        glass,
    )  # fmt: skip
    inner = pen.bare()
    for k, colour in ((0, _PAPER), (1, lighter(glass, 0.35))):
        _band(inner, pose.turn + math.pi * k, 0.95, 0.19, 0.16, 0.44, colour)
    _band(inner, pose.turn, 0.42, 0.19, 0.24, 0.36, darker(glass, 0.2))
    inner.limb((-0.13, 0.08), (-0.13, 0.52), 0.018, 0.018, lighter(glass, 0.6))
    inner.limb((-0.03, 0.72), (-0.03, 0.84), 0.012, 0.012, lighter(glass, 0.6))


def _band(pen: Pen, angle: float, half: float, r: float, y0: float, y1: float, colour: Colour) -> None:
    """A patch on a cylinder, ``half`` radians to either side of ``angle``, as far as it faces us."""
    centre = (angle + math.pi) % (2 * math.pi) - math.pi
    low, high = max(centre - half, -math.pi / 2), min(centre + half, math.pi / 2)
    if low < high:
        pen.rectangle(r * math.sin(low), y0, r * math.sin(high), y1, colour)


def cup(pen: Pen, pose: Pose, china: Colour) -> None:
    """A cup of coffee that steams; the handle goes round."""
    side = math.sin(pose.turn + math.pi / 2)
    front = math.cos(pose.turn + math.pi / 2)
    if front <= 0.3:
        _handle(pen, side, china)
    pen.polygon(
        [(-0.40, 0.78), (-0.37, 0.22), (-0.28, 0.02), (0.28, 0.02), (0.37, 0.22), (0.40, 0.78)], china
    )
    pen.ellipse(0, 0.78, 0.40, 0.11, lighter(china, 0.45))
    inner = pen.bare()
    inner.ellipse(0, 0.775, 0.345, 0.08, (84, 50, 28))
    _band(inner, pose.turn, 0.5, 0.38, 0.34, 0.56, lighter(china, 0.65))
    inner.limb((-0.31, 0.30), (-0.33, 0.62), 0.022, 0.026, lighter(china, 0.55))
    if front > 0.3:
        inner.limb((0.36 * side, 0.58), (0.36 * side, 0.24), 0.05, 0.05, darker(china, 0.35))
    for k in (-1, 1):
        wave = 0.035 * math.sin(2.4 * pose.phase + 2.4 * pose.turn + k)
        inner.chain(
            [(0.12 * k, 0.90), (0.12 * k + wave, 1.0), (0.12 * k - wave, 1.10)],
            [0.016, 0.022, 0.010],
            (236, 236, 240),
        )


def _handle(pen: Pen, side: float, china: Colour) -> None:
    x = 0.36 * side
    out = x + 0.26 * side
    pen.chain(
        [(x, 0.62), (out, 0.60), (out, 0.34), (x, 0.26)],
        [0.05, 0.05, 0.05, 0.05],
        mix(china, darker(china), 0.3),
    )


def phone(pen: Pen, pose: Pose, shell: Colour) -> None:
    """A phone: the screen on one side, the camera on the other, and an edge between."""
    c, s = math.cos(pose.turn), math.sin(pose.turn)
    half, edge = max(0.27 * abs(c), 0.045), 0.05 * abs(s)
    shift = edge * math.copysign(1.0, s * c)
    pen.polygon(_plate(-shift, half, 0.0, 1.0), darker(shell, 0.45))
    pen.polygon(_plate(shift * 0.4, half, 0.0, 1.0), shell)
    if abs(c) < 0.2:
        return
    inner = pen.bare().placed(x=shift * 0.4, sx=abs(c))
    if c < 0:
        inner.polygon(_plate(-0.11, 0.10, 0.68, 0.94), darker(shell, 0.3))
        inner.ellipses(np.array([[-0.11, 0.87], [-0.11, 0.75]]), 0.045, 0.045, _DARK)
        inner.ellipse(0.0, 0.42, 0.06, 0.06, lighter(shell, 0.45))
        return
    inner.polygon(_plate(0.0, 0.225, 0.05, 0.95), (20, 30, 64))
    inner.rectangle(-0.225, 0.22, 0.225, 0.62, (58, 104, 190))
    inner.polygon(
        [(-0.225, 0.22), (-0.225, 0.42), (-0.08, 0.54), (0.07, 0.36), (0.225, 0.48), (0.225, 0.22)], shell
    )
    inner.ellipse(0.10, 0.68, 0.06, 0.06, (255, 226, 120))
    x = np.linspace(-0.19, 0.10, 4)
    for k, tone in enumerate(((250, 110, 90), (120, 220, 140))):
        y = 0.075 + 0.075 * k
        inner.rectangles(np.stack([x, 0 * x + y, x + 0.07, 0 * x + y + 0.05], axis=1), tone)


def _plate(x: float, half: float, y0: float, y1: float) -> list[Point]:
    cut = min(0.05, half / 2)
    return [
        (x - half, y0 + 0.05), (x - half + cut, y0), (x + half - cut, y0), (x + half, y0 + 0.05),
        (x + half, y1 - 0.05), (x + half - cut, y1), (x - half + cut, y1), (x - half, y1 - 0.05),
    ]  # fmt: skip


def sneaker(pen: Pen, pose: Pose, fabric: Colour) -> None:
    """A running shoe: sole, laces, a stripe."""
    side = math.cos(pose.turn)
    pen = pen.placed(sx=math.copysign(max(abs(side), 0.38), side))
    upper = [
        (-0.78, 0.20), (-0.80, 0.60), (-0.74, 0.98), (-0.60, 0.94), (-0.40, 0.84), (-0.22, 0.92), (-0.06, 0.90),
        (0.30, 0.62), (0.66, 0.50), (0.86, 0.38), (0.90, 0.20),
    ]  # fmt: skip
    pen.polygon(upper, fabric)
    inner = pen.bare()
    inner.polygon(
        [(-0.74, 0.96), (-0.60, 0.94), (-0.40, 0.84), (-0.22, 0.92), (-0.34, 0.76), (-0.62, 0.82)],
        darker(fabric, 0.6),
    )
    inner.polygon([(0.62, 0.22), (0.64, 0.50), (0.84, 0.40), (0.90, 0.22)], darker(fabric, 0.28))
    inner.polygon([(-0.52, 0.26), (-0.40, 0.26), (0.16, 0.66), (0.06, 0.70)], _PAPER)
    for k in range(4):
        x, y = -0.10 + 0.11 * k, 0.84 - 0.085 * k
        inner.limb((x - 0.05, y - 0.07), (x + 0.08, y + 0.02), 0.022, 0.022, _PAPER)
    pen.polygon(
        [(-0.84, 0.08), (-0.82, 0.24), (0.90, 0.24), (0.97, 0.14), (0.90, 0.04), (-0.78, 0.0)],
        (246, 246, 244),
    )
    inner.polygon([(-0.80, 0.01), (-0.82, 0.07), (0.94, 0.09), (0.90, 0.04)], darker(fabric, 0.3))


def ball(pen: Pen, pose: Pose, skin: Colour) -> None:
    """A ball whose dots and seam turn with it as on a sphere."""
    r = 0.5
    pen.ellipse(0, r, r, r, skin)
    roll = -pose.rolled / 0.13 * pose.facing
    spots = np.array(
        [
            [math.cos(a) * 0.95, 0.31 * (-1) ** k, math.sin(a) * 0.95]
            for k, a in enumerate(np.arange(6) * math.pi / 3)
        ]
    )
    spots = np.concatenate([spots, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]])
    c, s = math.cos(pose.turn + 0.4), math.sin(pose.turn + 0.4)
    spots = spots @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    lean, sine = math.cos(roll + 0.35), math.sin(roll + 0.35)
    spots = spots @ np.array([[lean, sine, 0], [-sine, lean, 0], [0, 0, 1]])
    inner, dots = pen.bare(), _PAPER if sum(skin) < 600 else (58, 60, 74)
    for x, y, z in spots[spots[:, 2] > 0.05]:
        angle = math.atan2(y, x)
        inner.ellipse(0.84 * r * x, r + 0.84 * r * y, 0.15 * max(z, 0.25), 0.15, dots, angle=angle)
    inner.ellipse(-0.17, 0.74, 0.085, 0.06, lighter(skin, 0.75), angle=0.6)
