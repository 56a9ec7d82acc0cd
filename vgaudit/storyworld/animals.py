"""Animals and people, jointed. Units: the height of the subject; y up from the ground, x forward from the middle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vgaudit.storyworld.motion import Pose
from vgaudit.storyworld.pen import Colour, Pen, Point, darker, lighter, mix

_INK: Colour = (26, 20, 24)
_SKIN: Colour = (238, 188, 150)


@dataclass(frozen=True)
class Build:
    """Proportions of a four-legged animal.

    Attributes:
        back: Height of the spine.
        length: From hip to shoulder.
        girth: Half the thickness of the trunk.
        leg: Thickness of a leg at the hip.
        head: Where the middle of the head is, and its radius.
        stride: Half a step when walking.
    """

    back: float
    length: float
    girth: float
    leg: float
    head: tuple[float, float, float]
    stride: float


DOG = Build(back=0.56, length=0.62, girth=0.150, leg=0.075, head=(0.52, 0.83, 0.150), stride=0.15)
CAT = Build(back=0.50, length=0.58, girth=0.140, leg=0.062, head=(0.46, 0.72, 0.165), stride=0.13)
HORSE = Build(back=0.62, length=0.56, girth=0.140, leg=0.060, head=(0.60, 0.90, 0.090), stride=0.17)


def dog(pen: Pen, pose: Pose, coat: Colour) -> None:
    """Hanging ears, a muzzle, a tail that wags."""
    wag = 0.10 * math.sin(2 * pose.phase)
    pen.chain([(-0.34, 0.60), (-0.50, 0.74), (-0.58 + wag, 0.92)], [0.055, 0.045, 0.03], coat)
    _trunk(pen, pose, coat, DOG)
    x, y, r = DOG.head
    pen.limb((0.32, 0.62), (x - 0.04, y - 0.02), 0.12, 0.10, coat)
    pen.ellipse(x, y, r, r * 0.92, coat)
    pen.limb((x + 0.07, y - 0.05), (x + 0.23, y - 0.07), 0.085, 0.06, lighter(coat, 0.25))
    inner = pen.bare()
    inner.ellipse(x + 0.28, y - 0.045, 0.038, 0.034, _INK)
    inner.ellipse(x + 0.06, y + 0.04, 0.028, 0.032, _INK)
    pen.limb((x - 0.06, y + 0.10), (x - 0.12, y - 0.13), 0.05, 0.065, darker(coat, 0.45))
    inner.limb((0.33, 0.66), (0.43, 0.62), 0.03, 0.03, (208, 52, 48))


def cat(pen: Pen, pose: Pose, coat: Colour) -> None:
    """Pointed ears, a round face, a long tail held high."""
    sway = 0.09 * math.sin(pose.phase)
    tail = [(-0.30, 0.54), (-0.46, 0.62), (-0.50 + sway / 2, 0.86), (-0.42 + sway, 1.02)]
    pen.chain(tail, [0.045, 0.042, 0.038, 0.03], coat)
    _trunk(pen, pose, coat, CAT)
    x, y, r = CAT.head
    inner = pen.bare()
    for side in (-1, 1):
        base = x + side * 0.085
        pen.polygon(
            [(base - 0.075, y + 0.09), (base + 0.02 * side, y + 0.28), (base + 0.075, y + 0.09)], coat
        )
        inner.polygon(
            [(base - 0.03, y + 0.11), (base + 0.015 * side, y + 0.21), (base + 0.03, y + 0.11)],
            (236, 150, 150),
        )
    pen.ellipse(x, y, r * 1.08, r * 0.94, coat)
    inner.ellipse(x + 0.05, y - 0.06, 0.085, 0.058, lighter(coat, 0.45))
    for eye in (-0.045, 0.105):
        inner.ellipse(x + eye, y + 0.025, 0.034, 0.042, (120, 196, 84))
        inner.ellipse(x + eye, y + 0.025, 0.014, 0.038, _INK)
    inner.polygon([(x + 0.02, y - 0.03), (x + 0.08, y - 0.03), (x + 0.05, y - 0.065)], (226, 110, 120))
    for i in range(3):  # stripes on the back
        inner.limb((-0.18 + 0.14 * i, 0.64), (-0.16 + 0.14 * i, 0.54), 0.022, 0.012, darker(coat, 0.35))


def horse(pen: Pen, pose: Pose, coat: Colour) -> None:
    """Long legs, a long neck with a mane, a flowing tail."""
    hair, flow = darker(coat, 0.6), 0.06 * math.sin(pose.phase)
    if sum(coat) < 200:
        hair = lighter(coat, 0.3)
    back = 0.14 if pose.gait == "run" else 0.0
    pen.chain(
        [(-0.33, 0.68), (-0.44 - back, 0.60), (-0.47 - 1.5 * back + flow, 0.30 + back)],
        [0.04, 0.06, 0.03],
        hair,
    )
    _trunk(pen, pose, coat, HORSE)
    nod = 0.02 * math.sin(pose.phase)
    x, y, r = HORSE.head[0], HORSE.head[1] + nod, HORSE.head[2]
    pen.limb((0.24, 0.66), (x - 0.08, y + 0.02), 0.13, 0.07, coat)
    pen.chain([(0.20, 0.80), (0.34, 0.92), (x - 0.09, y + 0.08)], [0.035, 0.05, 0.035], hair)
    pen.polygon([(x - 0.06, y + 0.06), (x - 0.05, y + 0.17), (x + 0.01, y + 0.07)], coat)
    pen.limb((x - 0.04, y + 0.02), (x + 0.15, y - 0.14), r, 0.055, coat)
    inner = pen.bare()
    inner.ellipse(x + 0.15, y - 0.14, 0.05, 0.045, darker(coat, 0.3))
    inner.ellipse(x, y + 0.02, 0.018, 0.02, _INK)


def _trunk(pen: Pen, pose: Pose, coat: Colour, build: Build) -> None:
    """Far legs, trunk, near legs, in this order."""
    hip, shoulder = -build.length / 2, build.length / 2
    far = darker(coat, 0.32)
    # Walking: four beats, diagonal pairs nearly together. Running: hind and front pairs gather and stretch.
    lag = 0.5 if pose.gait == "run" else math.pi
    across = math.pi * 0.9 if pose.gait == "run" else math.pi * 0.85
    for x, phase in ((hip, pose.phase + lag), (shoulder, pose.phase + across + lag)):
        _leg(pen, pose, (x + 0.03, build.back - 0.04), phase, build, far)
    pen.limb((hip, build.back), (shoulder, build.back + 0.02), build.girth, build.girth * 1.08, coat)
    for x, phase in ((hip, pose.phase), (shoulder, pose.phase + across)):
        _leg(pen, pose, (x - 0.02, build.back - 0.02), phase, build, coat)
    pen.bare().limb(
        (hip, build.back), (shoulder, build.back + 0.02), build.girth * 0.86, build.girth * 0.9, coat
    )


def _leg(pen: Pen, pose: Pose, hip: Point, phase: float, build: Build, colour: Colour) -> None:
    """Thigh, shin and paw; the knee bends while the foot is off the ground."""
    stride = {"walk": build.stride, "run": build.stride * 1.7}.get(pose.gait, 0.0)
    lift = {"walk": 0.09, "run": 0.17}.get(pose.gait, 0.0) * max(0.0, math.cos(phase))
    foot = (hip[0] + stride * math.sin(phase), 0.035 + lift)
    bend = 0.02 + 0.7 * lift
    front = hip[0] > 0
    knee = (
        (hip[0] + foot[0]) / 2 + (bend if front else -bend * 0.6) + 0.4 * stride * math.sin(phase) * 0.3,
        (hip[1] + foot[1]) / 2,
    )
    pen.chain([hip, knee, foot], [build.leg * 1.15, build.leg * 0.75, build.leg * 0.6], colour)
    pen.limb((foot[0], foot[1]), (foot[0] + 0.05, foot[1]), 0.036, 0.034, darker(colour, 0.15))


def person(pen: Pen, pose: Pose, shirt: Colour) -> None:
    """Head, hair, a shirt in the scene's colour, trousers; arms swing against the legs."""
    trousers: Colour = (
        (48, 62, 104)
        if sum(abs(a - b) for a, b in zip(shirt, (48, 62, 104), strict=True)) > 120
        else (92, 84, 80)
    )
    swing = {"walk": 0.105, "run": 0.18}.get(pose.gait, 0.0)
    lean = 0.05 if pose.gait == "run" else 0.01
    hip, shoulder = (0.0, 0.46), (lean, 0.76)
    _person_leg(pen, pose, hip, pose.phase + math.pi, swing, darker(trousers, 0.3))
    _arm(pen, pose, shoulder, pose.phase, swing, darker(shirt, 0.3))
    _person_leg(pen, pose, hip, pose.phase, swing, trousers)
    pen.limb((0.0, 0.47), (lean, 0.72), 0.085, 0.105, shirt)
    pen.limb((lean, 0.80), (lean + 0.01, 0.85), 0.035, 0.035, _SKIN)
    pen.ellipse(lean + 0.015, 0.905, 0.075, 0.088, _SKIN)
    inner = pen.bare()
    inner.polygon(
        [
            (lean - 0.07, 0.86), (lean - 0.075, 0.94), (lean - 0.03, 1.0), (lean + 0.05, 1.0),
            (lean + 0.088, 0.945), (lean + 0.02, 0.95), (lean - 0.012, 0.90),
        ],
        (66, 42, 30),
    )  # fmt: skip
    inner.ellipse(lean + 0.055, 0.905, 0.011, 0.014, _INK)
    _arm(pen, pose, shoulder, pose.phase + math.pi, swing, mix(shirt, darker(shirt), 0.25))


def _person_leg(pen: Pen, pose: Pose, hip: Point, phase: float, swing: float, colour: Colour) -> None:
    lift = (0.16 if pose.gait == "run" else 0.06) * max(0.0, math.cos(phase)) * (swing > 0)
    foot = (hip[0] + 1.25 * swing * math.sin(phase) - 0.5 * lift, 0.035 + lift)
    knee = ((hip[0] + foot[0]) / 2 + 0.02 + 0.55 * lift, (hip[1] + foot[1]) / 2 + 0.01)
    pen.chain([hip, knee, foot], [0.072, 0.055, 0.042], colour)
    pen.limb((foot[0], foot[1] - 0.005), (foot[0] + 0.065, foot[1] - 0.008), 0.034, 0.028, (52, 40, 38))


def _arm(pen: Pen, pose: Pose, shoulder: Point, phase: float, swing: float, colour: Colour) -> None:
    bend = 0.16 if pose.gait == "run" else 0.05
    elbow = (shoulder[0] + 0.8 * swing * math.sin(phase) - 0.02, shoulder[1] - 0.16)
    hand = (elbow[0] + 0.9 * swing * math.sin(phase) + bend * 0.7, elbow[1] - 0.14 + bend * 0.8)
    pen.chain([shoulder, elbow, hand], [0.048, 0.04, 0.032], colour)
    pen.ellipse(*hand, 0.034, 0.034, _SKIN)


def bird(pen: Pen, pose: Pose, feathers: Colour) -> None:
    """Wings beat in flight and are folded on the ground."""
    wing, beat = darker(feathers, 0.28), math.sin(pose.phase)
    flying = pose.gait == "fly"
    if flying:
        pen.polygon(
            [(0.10, 0.56), (-0.10, 0.56), (-0.22, 0.56 + 0.46 * beat), (0.02, 0.60 + 0.50 * beat)], wing
        )
    else:
        step = 0.10 if pose.gait in ("walk", "run") else 0.0
        for side, phase in ((-0.03, 0.0), (0.05, math.pi)):
            foot = side + step * math.sin(pose.phase + phase)
            pen.chain(
                [(side, 0.34), (foot, 0.02), (foot + 0.09, 0.015)], [0.02, 0.018, 0.016], (232, 140, 40)
            )
    pen.polygon([(-0.30, 0.54), (-0.74, 0.52 + 0.04 * beat), (-0.70, 0.40), (-0.28, 0.42)], wing)
    pen.ellipse(-0.02, 0.50, 0.38, 0.20, feathers, angle=0.12 if flying else 0.42)
    pen.ellipse(0.34, 0.72, 0.16, 0.155, feathers)
    inner = pen.bare()
    inner.ellipse(0.10, 0.46, 0.20, 0.12, lighter(feathers, 0.55), angle=0.3)
    pen.polygon([(0.47, 0.78), (0.68, 0.69), (0.46, 0.65)], (246, 176, 40))
    inner.ellipse(0.39, 0.76, 0.032, 0.036, _INK)
    if flying:
        tip = 0.56 + 0.62 * beat
        pen.polygon(
            [(0.18, 0.56), (-0.18, 0.52), (-0.34, tip - 0.06), (-0.16, tip), (0.08, 0.58 + 0.3 * beat)], wing
        )
    else:
        pen.polygon([(0.14, 0.60), (-0.10, 0.66), (-0.46, 0.44), (-0.18, 0.38), (0.08, 0.46)], wing)
