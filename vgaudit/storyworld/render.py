"""Scenes rendered to clips, with the truth of what is where in every frame."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld.backdrop import Stage
from vgaudit.storyworld.looks import grade, light_subject
from vgaudit.storyworld.motion import Pose, View, mean_speed, pose_at, view_at
from vgaudit.storyworld.pen import Colour, Pen
from vgaudit.storyworld.scene import Scene
from vgaudit.storyworld.settings import SETTING_TABLE, Setting
from vgaudit.storyworld.subjects import SUBJECT_TABLE, Subject
from vgaudit.storyworld.vocabulary import COLOURS, NATURAL_COLOURS

VERSION = 1
"""Of the drawing: raised whenever the same scene and seed give other pixels."""

MAX_SIDE, MAX_FRAMES = 2048, 10_000

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Truth:
    """What a clip shows.

    Attributes:
        scene: The scene, its colour settled.
        boxes: Per frame x0, y0, x1, y1 in pixels, ends exclusive; ``None`` where the subject is out of frame.
        visible: Per frame, whether at least a quarter of the subject's breadth lies between the left and the right
            edge, and something of it shows. The breadth is the same however it turns and stretches.
        speed: Over the ground, in frame heights a second, on average from the first frame to the last; 0 for what
            stays in its place. ``None`` where a single frame shows something that slides in.
        fps: Frames a second.
    """

    scene: Scene
    boxes: tuple[Box | None, ...]
    visible: tuple[bool, ...]
    speed: float | None
    fps: float


@dataclass(frozen=True)
class Rendered:
    """A clip and its truth; ``frames`` is uint8 ``(T, H, W, 3)``, RGB."""

    frames: NDArray[np.uint8]
    truth: Truth


@dataclass(frozen=True)
class _Cast:
    """What the seed decides, once for a clip."""

    colour: str
    paint: Colour
    size: float
    facing: int
    offset: float
    phase: float
    seed: int


def render(
    scene: Scene,
    seed: int,
    *,
    frames: int = 17,
    height: int = 64,
    width: int = 64,
    fps: float = 8.0,
    with_subject: bool = True,
    shot: Scene | None = None,
) -> Rendered:
    """Draw a scene. The same arguments give the same bytes.

    Args:
        scene: What to show.
        seed: Decides the shade, the size, the place, the direction and everything in the background.
        frames: Number of frames.
        height: Of a frame, pixels.
        width: Of a frame, pixels.
        fps: Frames a second; motion is in seconds.
        with_subject: Without it the same clip is drawn, shadow and all, but for the subject.
        shot: Take what the seed decides from this scene: the same place with another subject or colour in it.

    Raises:
        ValueError: A size is outside 8..2048, ``frames`` outside 1..10000, or ``fps`` not positive.
    """
    if not (8 <= height <= MAX_SIDE and 8 <= width <= MAX_SIDE):
        raise ValueError(f"expected a size of 8 to {MAX_SIDE} pixels a side, got {width}x{height}")
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError(f"expected 1 to {MAX_FRAMES} frames, got {frames}")
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"expected a positive frame rate, got {fps}")
    cast = _cast(scene, seed, shot or scene)
    out = np.empty((frames, height, width, 3), np.uint8)
    boxes: list[Box | None] = []
    visible: list[bool] = []
    for i in range(frames):
        out[i], box, seen = _frame(scene, cast, i / fps, frames / fps, height, width, with_subject)
        boxes.append(box)
        visible.append(seen)
    settled = Scene(
        scene.subject, scene.action, scene.setting, cast.colour, scene.look, scene.camera, scene.speed
    )
    speed = mean_speed(scene, (frames - 1) / fps, width / height)
    return Rendered(out, Truth(settled, tuple(boxes), tuple(visible), speed, fps))


def _cast(scene: Scene, seed: int, shot: Scene) -> _Cast:
    # The look is left out: the same scene and seed in another look is the same shot.
    key = f"{shot.subject}|{shot.action}|{shot.setting}|{shot.camera}|{shot.speed}|{seed}"
    rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()[:16]))
    natural = NATURAL_COLOURS.get(scene.subject, tuple(COLOURS))
    drawn = natural[int(rng.random() * len(natural))]
    colour = scene.colour or drawn
    shade = rng.uniform(-9, 9, 3)
    r, g, b = (int(np.clip(round(c + s), 0, 255)) for c, s in zip(COLOURS[colour], shade, strict=True))
    return _Cast(
        colour=colour,
        paint=(r, g, b),
        size=float(rng.uniform(0.92, 1.10)),
        facing=1 if rng.random() < 0.5 else -1,
        offset=float(rng.uniform(-0.08, 0.08)),
        phase=float(rng.uniform(0, 2 * math.pi)),
        seed=int(rng.integers(2**31)),
    )


def _frame(
    scene: Scene, cast: _Cast, t: float, seconds: float, height: int, width: int, with_subject: bool
) -> tuple[NDArray[np.uint8], Box | None, bool]:
    setting, subject = SETTING_TABLE[scene.setting], SUBJECT_TABLE[scene.subject]
    fine = max(1, min(4, math.ceil(192 / min(height, width))))  # drawn finer and averaged: smooth edges
    if min(height, width) < 512:
        fine = max(fine, 2)
    image = np.empty((height * fine, width * fine, 3), np.uint8)
    view = view_at(scene, t, seconds, cast.facing)
    aspect = width / height
    setting.paint(Stage(image, view, t, cast.seed, flat=scene.look == "anime"))
    pose = pose_at(scene, t, aspect, cast.facing, cast.offset * aspect, cast.phase)
    ground = setting.water if subject.afloat and setting.water is not None else setting.ground
    matrix = view.to_pixels(1.0, *image.shape[:2])
    size = subject.height * cast.size
    if not subject.afloat:
        _shadow(image, matrix, pose, ground, size * subject.breadth, setting)
    mask, box = np.zeros(image.shape[:2], np.uint8), None
    canvas = image if with_subject else image.copy()
    tall = size * pose.stretch
    local = np.array(
        [[size / pose.stretch * cast.facing, 0.0, pose.x], [0.0, -tall, ground - pose.lift], [0, 0, 1.0]]
    )
    ink: Colour | None = (30, 24, 34) if scene.look == "anime" else None
    pen = Pen(canvas, matrix @ local, mask, ink, max(1, round(image.shape[0] / 128)))
    # Things in flight lean about their middle, others about their feet.
    pivot = 0.5 if pose.gait == "fly" else 0.0
    if pose.tilt:
        pen = pen.placed(y=pivot, angle=-pose.tilt * cast.facing).placed(y=-pivot)
    subject.draw(pen, pose, cast.paint)
    light_subject(canvas, mask, setting, scene.look)
    seen = _visible(pose, view, size, subject, aspect)
    x, y, w, h = cv2.boundingRect(mask)
    if w and h:
        box = (x // fine, y // fine, -(-(x + w) // fine), -(-(y + h) // fine))
    small: NDArray[np.uint8] = (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if fine > 1 else image
    )
    return grade(small, scene.look), box, seen and box is not None


def _visible(pose: Pose, view: View, size: float, subject: Subject, aspect: float) -> bool:
    """At least a quarter of the subject's breadth is inside the frame."""
    half = size * subject.breadth / 2
    x, edge = (pose.x - view.x) * view.zoom, aspect / 2
    inside = min(x + half * view.zoom, edge) - max(x - half * view.zoom, -edge)
    return inside >= 0.25 * 2 * half * view.zoom


def _shadow(
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    pose: Pose,
    ground: float,
    breadth: float,
    setting: Setting,
) -> None:
    """Darken an ellipse under the subject; it fades and shrinks as the subject rises."""
    fade = max(0.15, 1 - 2.0 * pose.lift)
    scale = matrix[0, 0]
    x, y = (matrix @ (pose.x, ground + 0.004, 1.0))[:2]
    width = breadth * 0.55 * (0.75 + 0.25 * fade) / pose.stretch
    for share, part in ((1.0, 0.5), (0.72, 0.5)):
        rx, ry = max(1.0, width * share * scale), max(1.0, 0.030 * share * scale)
        x0, x1 = int(max(0, x - rx)), int(min(image.shape[1], x + rx + 1))
        y0, y1 = int(max(0, y - ry)), int(min(image.shape[0], y + ry + 1))
        if x0 >= x1 or y0 >= y1:
            continue
        across = (np.arange(x0, x1, dtype=np.float32) + 0.5 - x) / rx
        down = (np.arange(y0, y1, dtype=np.float32) + 0.5 - y) / ry
        inside = np.clip(1.4 * (1 - (across[None] ** 2 + down[:, None] ** 2)), 0, 1)
        factor = 1 - inside * np.float32(setting.shadow * fade * part)
        image[y0:y1, x0:x1] = (image[y0:y1, x0:x1] * factor[:, :, None]).astype(np.uint8)
