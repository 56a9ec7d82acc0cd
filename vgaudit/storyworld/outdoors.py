"""Settings in nature: beach, forest, mountain, desert, lake."""

from __future__ import annotations

import numpy as np

from vgaudit.storyworld.backdrop import Stage
from vgaudit.storyworld.pen import Colour, Pen, darker, lighter, mix


def beach(stage: Stage) -> None:
    """A low sun over the sea, its light on the waves, wet sand, dry sand in front."""
    sky = [(0.0, (68, 52, 128)), (0.18, (176, 76, 132)), (0.33, (248, 132, 84)), (0.43, (255, 206, 112))]
    stage.gradient(0.0, sky)
    far = stage.pen(0.02)
    x = float(stage.rng(1).uniform(-0.22, 0.22)) * stage.aspect
    for radius, share in ((0.19, 0.82), (0.15, 0.55)):
        far.ellipse(x, 0.36, radius, radius, mix((255, 238, 150), (252, 158, 92), share))
    far.ellipse(x, 0.36, 0.105, 0.105, (255, 244, 184))
    _clouds(stage, (250, 156, 128), 0.14, 2)
    sea = [(0.43, (206, 118, 112)), (0.50, (88, 92, 148)), (0.66, (38, 74, 128))]
    stage.gradient(0.02, sea, top=0.43, bottom=0.72)
    rng = stage.rng(3)
    glitter = []
    for k in range(9):  # the sun's path on the water
        y = 0.445 + 0.021 * k
        w = (0.10 - 0.004 * k) * (0.7 + 0.3 * np.sin(2.2 * stage.t + 1.9 * k))
        dx = 0.02 * np.sin(1.6 * stage.t + 2.3 * k)
        glitter.append((x + dx - w, y, x + dx + w, y + 0.010))
    far.rectangles(np.array(glitter), (255, 206, 124))
    wave = stage.pen(0.3)
    for k in range(4):
        y = 0.47 + 0.045 * k
        drift = (0.05 + 0.02 * k) * stage.t + rng.uniform(0, 1)
        for start, _ in stage.repeats(0.3, 0.5):
            at = start + drift % 0.5
            wave.polygon(
                [(at, y), (at + 0.12, y - 0.008), (at + 0.26, y), (at + 0.12, y + 0.006)], (120, 130, 178)
            )
    half = stage.aspect / 2 + 0.1
    xs = np.linspace(-half, half, 30) + stage.view.x * 0.6
    swash = 0.655 + 0.012 * np.sin(1.4 * stage.t) + 0.010 * np.sin(5 * xs + 0.9) + 0.006 * np.sin(11 * xs)
    for lower, colour in ((0.0, (250, 236, 222)), (0.020, (158, 106, 92)), (0.065, (222, 166, 112))):
        edge = np.stack([xs, swash + lower], axis=1)
        stage.pen(0.6).polygon(np.concatenate([edge, [[xs[-1], 2.0], [xs[0], 2.0]]]), colour)
    _specks(stage, 1.0, 0.78, 0.98, (184, 124, 84), 4)


def lake(stage: Stage) -> None:
    """Hills and firs mirrored in calm water, a meadow with reeds in front."""
    stage.gradient(0.0, [(0.0, (84, 160, 232)), (0.36, (206, 232, 246))])
    _clouds(stage, (252, 252, 255), 0.12, 2)
    stage.ridge(0.12, 0.40, 0.22, 4, (112, 146, 176), 1)
    stage.ridge(0.22, 0.41, 0.11, 5, (72, 124, 110), 2)
    _firs(stage, 0.3, 0.425, 0.10, (38, 88, 66), 3)
    water = [(0.42, (150, 196, 216)), (0.52, (70, 140, 186)), (0.72, (38, 100, 156))]
    stage.gradient(0.3, water, top=0.42, bottom=0.80)
    pen = stage.pen(0.3)
    for k in range(6):
        y = 0.45 + 0.042 * k
        for start, _ in stage.repeats(0.3, 0.6):
            at = start + 0.6 * ((0.37 * k + (0.04 + 0.01 * k) * stage.t) % 1.0)
            pen.polygon(
                [(at, y), (at + 0.11, y - 0.006), (at + 0.24, y), (at + 0.11, y + 0.006)], (166, 208, 228)
            )
    half = stage.aspect / 2 + 0.1
    xs = np.linspace(-half, half, 24) + stage.view.x * 0.8
    bank = 0.72 + 0.012 * np.sin(4.0 * xs)
    for lower, colour in ((0.0, (196, 182, 128)), (0.022, (104, 168, 74)), (0.12, (84, 150, 62))):
        edge = np.stack([xs, bank + lower], axis=1)
        stage.pen(0.8).polygon(np.concatenate([edge, [[xs[-1], 2.0], [xs[0], 2.0]]]), colour)
    _reeds(stage, 5)


def forest(stage: Stage) -> None:
    """Trunks in three depths under leaves, light between them, moss and grass below."""
    stage.gradient(0.0, [(0.0, (150, 204, 128)), (0.45, (224, 240, 186)), (0.62, (198, 226, 160))])
    for depth, base, colour, leaves, width, layer in (
        (0.25, 0.60, (146, 172, 118), (128, 184, 108), 0.020, 1),
        (0.5, 0.65, (104, 104, 72), (74, 148, 70), 0.036, 2),
    ):
        _trees(stage, depth, base, colour, leaves, width, layer)
    stage.gradient(0.5, [(0.62, (104, 158, 66)), (0.80, (72, 126, 50)), (1.0, (52, 98, 42))], top=0.62)
    _trees(stage, 0.8, 0.70, (84, 58, 42), (38, 108, 50), 0.055, 3)
    _specks(stage, 1.0, 0.74, 0.98, (128, 178, 76), 4)


def mountain(stage: Stage) -> None:
    """White peaks with blue shadows, firs, snow on the ground and in the air."""
    stage.gradient(0.0, [(0.0, (64, 128, 214)), (0.45, (190, 222, 246))])
    _peaks(stage, 0.08, 0.56, 0.40, (132, 152, 190), 0.62, 1)
    _peaks(stage, 0.2, 0.62, 0.32, (92, 108, 150), 0.5, 2)
    stage.ridge(0.35, 0.66, 0.10, 3, (214, 228, 244), 3)
    _firs(stage, 0.5, 0.66, 0.16, (42, 84, 88), 4)
    stage.ridge(0.8, 0.72, 0.06, 2, (240, 246, 252), 5)
    stage.gradient(1.0, [(0.78, (240, 246, 252)), (1.0, (204, 220, 240))], top=0.78)
    pen, rng = stage.pen(0.9), stage.rng(6)
    flakes = rng.random((18, 2))
    y = (flakes[:, 1] + 0.16 * stage.t) % 1.0
    x = (flakes[:, 0] + 0.05 * np.sin(stage.t + 6 * flakes[:, 1]) - 0.5) * (stage.aspect + 0.2)
    pen.ellipses(np.stack([x + stage.view.x * 0.9, y], axis=1), 0.009, 0.009, (255, 255, 255))


def desert(stage: Stage) -> None:
    """A hot sun, dunes with a bright and a shaded side, cactuses."""
    stage.gradient(0.0, [(0.0, (58, 140, 216)), (0.5, (250, 226, 172))])
    sun = stage.pen(0.02)
    x = float(stage.rng(1).uniform(0.15, 0.32)) * stage.aspect
    sun.ellipse(x, 0.17, 0.10, 0.10, (255, 240, 190))
    sun.ellipse(x, 0.17, 0.070, 0.070, (255, 252, 232))
    for depth, base, height, colour, layer in (
        (0.15, 0.58, 0.16, (226, 172, 106), 2),
        (0.35, 0.68, 0.18, (236, 178, 98), 3),
    ):
        _dunes(stage, depth, base, height, colour, layer)
    for start, k in stage.repeats(0.55, 0.9, margin=0.3):
        rng = np.random.default_rng([stage.seed, 4, k + 10_000])
        _cactus(stage.pen(0.55), start + float(rng.uniform(0.1, 0.7)), 0.72, float(rng.uniform(0.16, 0.26)))
    stage.gradient(1.0, [(0.70, (240, 188, 108)), (1.0, (206, 146, 78))], top=0.70)
    _specks(stage, 1.0, 0.76, 0.98, (206, 148, 84), 5)


def _clouds(stage: Stage, colour: Colour, y: float, layer: int) -> None:
    pen = stage.pen(0.05)
    for start, k in stage.repeats(0.05, 0.8, margin=0.8):
        rng = np.random.default_rng([stage.seed, layer, k + 10_000])
        x = start + float(rng.uniform(0, 0.5)) + 0.012 * stage.t
        height = y + float(rng.uniform(-0.05, 0.06))
        for dx, dy, rx, ry in (
            (0, 0, 0.15, 0.022),
            (0.05, -0.018, 0.08, 0.026),
            (-0.05, -0.012, 0.06, 0.020),
        ):
            pen.ellipse(x + dx, height + dy, rx, ry, colour)


def _specks(stage: Stage, depth: float, top: float, bottom: float, colour: Colour, layer: int) -> None:
    """Grains, tufts, pebbles: they make the movement of the ground visible."""
    at = stage.rng(layer).random((14, 2))
    boxes = []
    for start, _ in stage.repeats(depth, 1.0, margin=0.1):
        x, y = start + at[:, 0], top + (bottom - top) * at[:, 1]
        boxes.append(np.stack([x, y, x + 0.030, y + 0.011], axis=1))
    stage.pen(depth).rectangles(np.concatenate(boxes), colour)


def _firs(stage: Stage, depth: float, base: float, height: float, colour: Colour, layer: int) -> None:
    pen = stage.pen(depth)
    at = stage.rng(layer).random((7, 2))
    for start, _ in stage.repeats(depth, 0.9, margin=0.2):
        for fx, fh in at:
            x, h = start + 0.9 * fx, height * (0.6 + 0.6 * fh)
            for k in range(2):
                top, low, w = base - h * (1 - 0.32 * k), base - h * (0.42 - 0.42 * k), h * (0.22 + 0.10 * k)
                pen.polygon([(x, top), (x + w, low), (x - w, low)], colour)
                pen.polygon([(x, top), (x + w, low), (x + 0.1 * w, low)], darker(colour, 0.25))


def _trees(
    stage: Stage, depth: float, base: float, bark: Colour, leaves: Colour, width: float, layer: int
) -> None:
    pen, period = stage.pen(depth), 0.36 + width * 6
    for start, k in stage.repeats(depth, period, margin=0.3):
        rng = np.random.default_rng([stage.seed, layer, k + 10_000])
        x, w = start + float(rng.uniform(0, period * 0.6)), width * float(rng.uniform(0.8, 1.3))
        pen.polygon(
            [
                (x - w * 1.5, base + 0.02),
                (x - w, 0.5),
                (x - w * 0.8, -0.2),
                (x + w * 0.8, -0.2),
                (x + w, 0.5),
                (x + w * 1.5, base + 0.02),
            ],
            bark,
        )
        pen.polygon(
            [
                (x + w * 0.2, base + 0.02),
                (x + w * 0.2, -0.2),
                (x + w * 0.8, -0.2),
                (x + w, 0.5),
                (x + w * 1.5, base + 0.02),
            ],
            darker(bark, 0.3),
        )
        sway = 0.006 * np.sin(1.3 * stage.t + k)
        for dx, dy, r in ((-0.15, 0.10, 0.12), (0.13, 0.05, 0.13), (0.0, -0.02, 0.15)):
            pen.ellipse(x + dx + sway, dy, r, r * 0.72, leaves)
            pen.ellipse(x + dx - 0.03 + sway, dy - 0.02, r * 0.55, r * 0.36, lighter(leaves, 0.18))


def _peaks(
    stage: Stage, depth: float, base: float, height: float, rock: Colour, period: float, layer: int
) -> None:
    pen = stage.pen(depth)
    for start, k in stage.repeats(depth, period, margin=period):
        rng = np.random.default_rng([stage.seed, layer, k + 10_000])
        x, h = start + float(rng.uniform(0.1, 0.4)) * period, height * float(rng.uniform(0.7, 1.0))
        w = h * 1.05
        pen.polygon([(x, base - h), (x + w, base + 0.1), (x - w, base + 0.1)], rock)
        pen.polygon([(x, base - h), (x + w, base + 0.1), (x + 0.15 * w, base + 0.1)], darker(rock, 0.25))
        s = 0.45  # the snow cap reaches this far down
        cap = [(x, base - h), (x + w * s, base - h * (1 - s)), (x + w * s * 0.45, base - h * (1 - s * 0.8)),
               (x + w * 0.06, base - h * (1 - s * 1.15)), (x - w * s * 0.4, base - h * (1 - s * 0.75)),
               (x - w * s, base - h * (1 - s))]  # fmt: skip
        pen.polygon(cap, (250, 252, 255))
        pen.polygon([cap[0], cap[1], cap[2], cap[3]], (206, 220, 242))


def _dunes(stage: Stage, depth: float, base: float, height: float, sand: Colour, layer: int) -> None:
    pen, period = stage.pen(depth), 0.95
    stage.gradient(depth, [(base - 0.02, sand), (1.0, darker(sand, 0.2))], top=base - 0.02)
    for start, k in stage.repeats(depth, period, margin=period):
        rng = np.random.default_rng([stage.seed, layer, k + 10_000])
        x, h = start + float(rng.uniform(0, 0.5)), height * float(rng.uniform(0.6, 1.0))
        u = np.linspace(-1, 1, 14)
        top = np.stack([x + 0.55 * u, base - h * (1 - u**2) ** 1.2], axis=1)
        pen.polygon(top, lighter(sand, 0.12))
        edge = [(x, base - h), (x + 0.06, base - h * 0.5), (x - 0.02, base)]
        pen.polygon(np.concatenate([top[7:], np.array(edge[::-1])]), darker(sand, 0.22))


def _cactus(pen: Pen, x: float, base: float, h: float) -> None:
    green: Colour = (62, 128, 72)
    pen.limb((x, base + 0.02), (x, base - h), h * 0.11, h * 0.10, green)
    for side, y in ((-1, 0.5), (1, 0.38)):
        elbow = (x + side * h * 0.28, base - h * y)
        pen.chain([(x, base - h * y), elbow, (elbow[0], elbow[1] - h * 0.28)], [h * 0.07] * 3, green)
    pen.limb((x + h * 0.05, base), (x + h * 0.05, base - h * 0.95), h * 0.03, h * 0.03, darker(green, 0.3))


def _reeds(stage: Stage, layer: int) -> None:
    pen = stage.pen(0.8)
    at = stage.rng(layer).random((8, 2))
    for start, _ in stage.repeats(0.8, 1.0, margin=0.1):
        for k, (fx, fh) in enumerate(at):
            x, h = start + fx, 0.07 + 0.06 * fh
            tip = x + 0.012 * np.sin(1.5 * stage.t + k)
            pen.limb((x, 0.75), (tip, 0.75 - h), 0.006, 0.003, (70, 118, 56))
