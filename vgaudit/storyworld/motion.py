"""How things move: the pose of a subject and the place of the camera at a moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vgaudit.storyworld.scene import Scene

Gait = Literal["stand", "walk", "run", "fly"]

# Frame heights a second at normal speed, and cycles (steps, flaps, turns, hops) a second.
TRAVEL = {"walking": 0.22, "running": 0.52, "flying": 0.40, "driving": 0.50, "sailing": 0.20}
CYCLES = {
    "walking": 1.15,
    "running": 2.1,
    "rotating": 0.5,
    "bouncing": 1.25,
    "flying": 1.6,
    "driving": 1.0,
    "sailing": 0.6,
    "sliding in": 0.0,
    "standing still": 0.4,
}
SPEED_FACTOR = {"slow": 0.6, "normal": 1.0, "fast": 1.6}
SLIDE_SECONDS = 1.1
"""Time in which a subject slides to its place, at normal speed."""


@dataclass(frozen=True)
class Pose:
    """Where the subject is and how it holds itself.

    Attributes:
        x: Centre, in frame heights right of the middle.
        lift: Feet above the ground, in frame heights.
        phase: Of the gait or the flapping, radians.
        gait: Which limbs move how.
        turn: Turned about the upright axis, radians.
        stretch: Height relative to rest; width follows so that the area stays.
        rolled: Distance rolled so far, in frame heights.
        tilt: Leaning in the picture, radians.
        facing: 1 to the right, -1 to the left.
    """

    x: float
    lift: float = 0.0
    phase: float = 0.0
    gait: Gait = "stand"
    turn: float = 0.0
    stretch: float = 1.0
    rolled: float = 0.0
    tilt: float = 0.0
    facing: int = 1


@dataclass(frozen=True)
class View:
    """Where the camera looks: offset in frame heights at the subject's depth, and magnification."""

    x: float = 0.0
    zoom: float = 1.0

    def to_pixels(
        self, depth: float, height: int, width: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """``(3, 3)``: scene units (x from the middle, y down from the top, in frame heights) to pixels.

        Args:
            depth: 1 at the subject, 0 infinitely far, above 1 in front; far layers move less.
            height: Of the picture.
            width: Of the picture.
        """
        zoom = 1 + (self.zoom - 1) * (0.35 + 0.65 * min(depth, 1.0))
        scale, focus = height * zoom, 0.62  # zooms in on where subjects are
        return np.array(
            [
                [scale, 0.0, width / 2 - self.x * depth * scale],
                [0.0, scale, (focus - focus * zoom) * height],
                [0.0, 0.0, 1.0],
            ]
        )


def travel_speed(scene: Scene) -> float:
    """Frame heights a second over the ground of what travels on and on; 0 for everything else."""
    return TRAVEL.get(scene.action, 0.0) * SPEED_FACTOR[scene.speed]


def mean_speed(scene: Scene, seconds: float, aspect: float) -> float | None:
    """Frame heights a second over the ground, on average from the start to ``seconds`` after it.

    0 for what stays in its place. What slides in slows down and stops, so its mean depends on how long one looks, and
    is ``None`` where ``seconds`` is 0.
    """
    if scene.action != "sliding in":
        return travel_speed(scene)
    if seconds <= 0:
        return None
    return (_still_to_slide(scene, 0.0, aspect)[1] - _still_to_slide(scene, seconds, aspect)[1]) / seconds


def _still_to_slide(scene: Scene, t: float, aspect: float) -> tuple[float, float]:
    """How much of the slide's time has passed, 0 to 1, and the way that is left, in frame heights."""
    done = min(1.0, t * SPEED_FACTOR[scene.speed] / SLIDE_SECONDS)
    return done, (1 - done) ** 2 * (aspect / 2 + 0.5)


def pose_at(scene: Scene, t: float, aspect: float, facing: int, offset: float, phase0: float) -> Pose:
    """The pose ``t`` seconds after the start.

    Args:
        scene: What happens.
        t: Seconds.
        aspect: Width by height of the frame.
        facing: 1 or -1.
        offset: Where a subject that stays is, in frame heights from the middle.
        phase0: Phase at the start, radians.
    """
    factor = SPEED_FACTOR[scene.speed]
    phase = phase0 + 2 * math.pi * CYCLES[scene.action] * factor * t
    if scene.action in TRAVEL:
        v = travel_speed(scene)
        # A travelling subject is in the middle after about a second and comes back after it has left.
        # A camera that pans goes with it.
        start, lap = -min(v, aspect / 2 + 0.05), aspect + 1.6
        if scene.camera == "pan":
            start = -0.05
        x = start + v * t
        if scene.camera != "pan":
            x = (x + lap / 2) % lap - lap / 2
        return _travelling(scene.action, x * facing, v * t, phase, facing)
    if scene.action == "rotating":
        return Pose(offset, turn=phase, facing=facing)
    if scene.action == "bouncing":
        return _bouncing(offset, phase, facing, 0.30 if scene.subject == "ball" else 0.14)
    if scene.action == "sliding in":
        done, away = _still_to_slide(scene, t, aspect)
        return Pose(offset - facing * away, tilt=-0.10 * facing * (1 - done), rolled=-away, facing=facing)
    return Pose(offset, phase=phase, stretch=1 + 0.012 * math.sin(phase), facing=facing)


def _travelling(action: str, x: float, way: float, phase: float, facing: int) -> Pose:
    if action == "walking":
        return Pose(x, lift=0.008 * abs(math.sin(phase)), phase=phase, gait="walk", facing=facing)
    if action == "running":
        lift = 0.05 * max(0.0, math.sin(phase))
        return Pose(x, lift, phase, "run", tilt=0.05 * facing * math.sin(phase), facing=facing)
    if action == "flying":
        return Pose(x, 0.36 + 0.03 * math.sin(phase * 0.5), phase, "fly", tilt=-0.08 * facing, facing=facing)
    if action == "sailing":
        return Pose(x, 0.012 * math.sin(phase), phase, tilt=0.07 * math.sin(phase + 1), facing=facing)
    return Pose(x, lift=0.004 * abs(math.sin(9 * phase)), phase=phase, rolled=way, facing=facing)


def _bouncing(x: float, phase: float, facing: int, squash: float) -> Pose:
    """A hop as a parabola; flat on the ground, long in the air."""
    u = (phase / (2 * math.pi)) % 1.0
    ground = 0.18  # share of the cycle spent on the ground
    if u < ground:
        return Pose(x, 0.0, phase, stretch=1 - squash * math.sin(math.pi * u / ground), facing=facing)
    v = (u - ground) / (1 - ground)
    return Pose(x, 0.25 * 4 * v * (1 - v), phase, "run", stretch=1 + 0.10 * abs(1 - 2 * v), facing=facing)


def view_at(scene: Scene, t: float, seconds: float, facing: int) -> View:
    """Where the camera looks after ``t`` of ``seconds``."""
    if scene.camera == "pan":
        return View(
            x=facing * (travel_speed(scene) or 0.16) * (t - 0.5 * seconds * (not travel_speed(scene)))
        )
    if scene.camera == "zoom":
        return View(zoom=1 + 0.38 * min(1.0, t / max(seconds, 1e-9)))
    return View()
