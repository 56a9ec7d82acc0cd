"""Plant a photographed face into frames of a clip, as it might appear there; pure functions on arrays.

A head is cut out of a photograph with a soft edge, turned about its vertical axis on a model of a head's depth,
rolled, lit, scaled to the size asked for, and laid over the frames on a drifting track. It is a pasted photograph:
who is planted is known, which is what a miss rate needs. It is not what a generator would paint of that person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

REACH_X, REACH_Y = 0.86, 0.84
"""Half axes of the ellipse that is cut out, as shares of the face box's width and height: the head with its hair."""

FEATHER = 0.30
"""Outer share of the ellipse over which the head fades into the frame."""

MAX_YAW_DEG = 35.0
"""Beyond that a single photograph does not hold the side of the head that would come into view."""

_SUPER = 2
"""The head is drawn this many times larger, and then averaged down."""

_HALF_WIDTH, _DEPTH = 0.66, 0.60
_NOSE_HEIGHT, _NOSE_WIDTH, _NOSE_LENGTH = 0.20, 0.13, 0.20
"""Depth of a head as shares of the face's width: half axes of its section, height and reach of the nose on it."""


@dataclass(frozen=True)
class Head:
    """A head cut out of a photograph.

    Attributes:
        rgb: uint8 ``(h, w, 3)``.
        mask: float32 ``(h, w)`` in [0, 1]: how much of the head is laid over the frame; 0 along every border.
        box: float32 ``(4,)``: left, top, right, bottom of the face in it, as the detector gave it.
        landmarks: float32 ``(5, 2)``: x, y of eyes, nose, corners of the mouth.
    """

    rgb: UInt8
    mask: Float32
    box: Float32
    landmarks: Float32

    @property
    def face_width(self) -> float:
        """Width of the face in pixels of the photograph: what can be planted without enlarging it."""
        return float(self.box[2] - self.box[0])


@dataclass(frozen=True)
class Light:
    """How the head is lit.

    Attributes:
        name: For tables.
        gamma: Exponent on values in [0, 1]; above 1 darkens the middle.
        gain: Factor after it.
        warmth: Share by which red is raised and blue lowered (negative: cool).
        side: Share by which one side is raised and the other lowered; negative lights the left.
    """

    name: str = "plain"
    gamma: float = 1.0
    gain: float = 1.0
    warmth: float = 0.0
    side: float = 0.0


LIGHTS = ("plain", "dark", "bright", "warm", "cool", "side")


@dataclass(frozen=True)
class Planting:
    """How and where a head is planted.

    Attributes:
        width_px: Width of the face in pixels of the clip, as the detector's box has it before the head is turned.
        yaw_deg: Turn about the vertical axis, degrees; positive moves the nose to the right of the picture.
        roll_deg: Turn in the picture's plane, degrees, clockwise.
        light: How it is lit.
        first: First frame with it.
        frames: Frames with it.
        at: x, y of the middle of the face in the first frame.
        drift: Pixels it moves by from frame to frame, x and y.
        blur: Standard deviation of a blur of the head, as share of the face's width.
        noise: Standard deviation of noise on the head, levels of 255, new in every frame.
        seed: Of the noise.
    """

    width_px: float
    yaw_deg: float = 0.0
    roll_deg: float = 0.0
    light: Light = field(default_factory=Light)
    first: int = 0
    frames: int = 1
    at: tuple[float, float] = (0.0, 0.0)
    drift: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Planted:
    """Frames with a head in them, and the truth about it.

    Attributes:
        frames: uint8 ``(n, h, w, 3)``.
        frame_index: int ``(m,)``: the frames that hold the head.
        boxes: float32 ``(m, 4)``: where its face is.
        landmarks: float32 ``(m, 5, 2)``.
    """

    frames: UInt8
    frame_index: NDArray[np.int32]
    boxes: Float32
    landmarks: Float32


def cut_head(rgb: UInt8, box: Sequence[float] | Float32, landmarks: Float32) -> Head:
    """Cut the head around a face out of a photograph, with a soft elliptical edge.

    Where the photograph ends before the head does, the mask fades out there too: no straight border shows.

    Args:
        rgb: uint8 ``(h, w, 3)``.
        box: Left, top, right, bottom of the face.
        landmarks: ``(5, 2)``.

    Raises:
        ValueError: The box has no area, or lies outside of the photograph.
    """
    left, top, right, bottom = (float(v) for v in box)
    wide, tall = right - left, bottom - top
    height, width = rgb.shape[:2]
    if wide < 2 or tall < 2 or left >= width or top >= height or right <= 0 or bottom <= 0:
        raise ValueError(f"no face can be cut at {left:.0f}, {top:.0f}, {right:.0f}, {bottom:.0f}")
    middle = ((left + right) / 2, (top + bottom) / 2)
    reach = (REACH_X * wide, REACH_Y * tall)
    x0, x1 = math.floor(middle[0] - reach[0]) - 2, math.ceil(middle[0] + reach[0]) + 3
    y0, y1 = math.floor(middle[1] - reach[1]) - 2, math.ceil(middle[1] + reach[1]) + 3
    ys, xs = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    radius = np.hypot((xs - middle[0]) / reach[0], (ys - middle[1]) / reach[1])
    mask = _ramp((1 - radius) / FEATHER)
    for inside in (xs, ys, width - 1 - xs, height - 1 - ys):
        mask *= _ramp(inside / (0.5 * FEATHER * wide))
    above, below, before, behind = max(0, -y0), max(0, y1 - height), max(0, -x0), max(0, x1 - width)
    whole = cv2.copyMakeBorder(rgb, above, below, before, behind, cv2.BORDER_REPLICATE)
    cut = whole[y0 + above : y1 + above, x0 + before : x1 + before]
    corner = np.array([x0, y0], np.float32)
    return Head(
        np.ascontiguousarray(cut, np.uint8),
        mask.astype(np.float32),
        np.array([left, top, right, bottom], np.float32) - np.tile(corner, 2),
        np.asarray(landmarks, np.float32) - corner,
    )


def draw_planting(
    seed: int,
    width_px: float,
    size: tuple[int, int],
    frames: int,
    *,
    span: tuple[int, int],
    max_yaw_deg: float = 20.0,
    max_roll_deg: float = 6.0,
    noise: float = 2.0,
) -> Planting:
    """Settings drawn at random, the same for the same seed.

    Yaw is uniform over ``-max_yaw_deg .. max_yaw_deg``, the light one of :data:`LIGHTS` in a random strength, and the
    face drifts by up to 3 % of its width a frame, wholly inside of the picture as far as it fits.

    Args:
        seed: Of everything drawn.
        width_px: Width of the face.
        size: Height and width of the frames.
        frames: Frames of the clip.
        span: Fewest and most frames that the face is in.
        max_yaw_deg: Largest turn either way.
        max_roll_deg: Largest roll either way.
        noise: Of :class:`Planting`.
    """
    rng = np.random.default_rng(seed)
    count = min(frames, int(rng.integers(span[0], span[1] + 1)))
    first = int(rng.integers(0, frames - count + 1))
    half = np.array(
        [0.5 * width_px, 0.75 * width_px]
    )  # half of a box; faces are up to 1.5 times as tall as wide
    room = np.array([size[1], size[0]], np.float64)
    low, high = np.minimum(half, room / 2), np.maximum(room - half, room / 2)
    start = rng.uniform(low, high)
    end = np.clip(start + rng.uniform(-0.03, 0.03, 2) * width_px * max(count - 1, 1), low, high)
    drift = (end - start) / max(count - 1, 1)
    return Planting(
        width_px,
        float(rng.uniform(-max_yaw_deg, max_yaw_deg)),
        float(rng.uniform(-max_roll_deg, max_roll_deg)),
        draw_light(rng),
        first,
        count,
        (float(start[0]), float(start[1])),
        (float(drift[0]), float(drift[1])),
        noise=noise,
        seed=int(rng.integers(2**31)),
    )


def draw_light(rng: np.random.Generator) -> Light:
    """One of :data:`LIGHTS`, each as likely, in a random strength."""
    name = LIGHTS[int(rng.integers(len(LIGHTS)))]
    strength = float(rng.uniform(0.3, 1.0))
    return {
        "plain": Light("plain"),
        "dark": Light("dark", 1 + 0.5 * strength, 1 - 0.25 * strength),
        "bright": Light("bright", 1 - 0.3 * strength, 1 + 0.2 * strength),
        "warm": Light("warm", warmth=0.2 * strength),
        "cool": Light("cool", warmth=-0.2 * strength),
        "side": Light("side", side=0.45 * strength * (1 if rng.random() < 0.5 else -1)),
    }[name]


def plant(frames: UInt8, head: Head, planting: Planting) -> Planted:
    """Lay a head over frames.

    Args:
        frames: uint8 ``(n, h, w, 3)``; not changed.
        head: From :func:`cut_head`.
        planting: How and where.

    Raises:
        ValueError: The span leaves the clip, the turn is beyond :data:`MAX_YAW_DEG`, or the face has no size.
    """
    last = planting.first + planting.frames
    if planting.frames < 1 or planting.first < 0 or last > len(frames):
        raise ValueError(f"frames {planting.first} to {last - 1} are not in a clip of {len(frames)}")
    if abs(planting.yaw_deg) > MAX_YAW_DEG:
        raise ValueError(f"a turn of {planting.yaw_deg:g} degrees; at most {MAX_YAW_DEG:g}")
    if not planting.width_px >= 4:
        raise ValueError(f"a face {planting.width_px:g} px wide; at least 4")
    layer, box, landmarks = _drawn(head, planting)
    out = frames.copy()
    height, width = frames.shape[1:3]
    rng = np.random.default_rng(planting.seed)
    boxes, points = [], []
    turn = _rotation(planting.roll_deg)
    middle = (box[:2] + box[2:]) / 2
    for t in range(planting.frames):
        x, y = (planting.at[i] + t * planting.drift[i] for i in (0, 1))
        to_frame = np.column_stack([turn, np.array([x, y]) - turn @ middle])
        # From the enlarged layer's pixels: their middles lie at (i + 0.5) / SUPER - 0.5 of the layer.
        shrink = np.array(
            [[1 / _SUPER, 0, 0.5 / _SUPER - 0.5], [0, 1 / _SUPER, 0.5 / _SUPER - 0.5], [0, 0, 1]]
        )
        seen = cv2.warpAffine(layer, to_frame @ shrink, (width, height), flags=cv2.INTER_LINEAR)
        colour, alpha = seen[..., :3], seen[..., 3:]
        if planting.noise > 0:
            colour = colour + alpha * rng.normal(0, planting.noise, (height, width, 1)).astype(np.float32)
        frame = out[planting.first + t]
        frame[:] = np.clip(np.rint(colour + (1 - alpha) * frame), 0, 255).astype(np.uint8)
        boxes.append(
            np.concatenate([np.array([x, y]) + (box[:2] - middle), np.array([x, y]) + (box[2:] - middle)])
        )
        points.append(landmarks @ turn.T + to_frame[:, 2])
    return Planted(
        out,
        np.arange(planting.first, last, dtype=np.int32),
        np.array(boxes, np.float32),
        np.array(points, np.float32),
    )


def _drawn(head: Head, planting: Planting) -> tuple[Float32, NDArray[np.float64], NDArray[np.float64]]:
    """The turned and lit head, float32 ``(H, W, 4)`` with colour times mask, enlarged by ``_SUPER``; box, landmarks.

    Box ``(4,)`` and landmarks ``(5, 2)`` are in pixels of the clip, from the layer's corner, before roll.
    """
    scale = planting.width_px / head.face_width
    rows, columns = (max(2, round(side * scale * _SUPER)) for side in head.mask.shape)
    sx, sy = columns / head.mask.shape[1], rows / head.mask.shape[0]
    way = cv2.INTER_AREA if sx < 1 else cv2.INTER_CUBIC
    rgb = cv2.resize(head.rgb, (columns, rows), interpolation=way).astype(np.float32)
    mask = cv2.resize(head.mask, (columns, rows), interpolation=cv2.INTER_AREA)
    stretch = np.array([sx, sy])
    box, marks = head.box * np.tile(stretch, 2), head.landmarks * stretch
    if planting.yaw_deg:
        sources = _turned(columns, rows, box, marks[2], planting.yaw_deg)
        ys = np.repeat(np.arange(rows, dtype=np.float32)[:, None], columns, axis=1)
        rgb = cv2.remap(rgb, sources, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        here = _forward(marks[:, 0], marks[:, 1], box, marks[2], planting.yaw_deg)
        # The face goes where its landmarks go: a detector's box is made around them.
        shift = float(here.mean() - marks[:, 0].mean())
        marks = np.column_stack([here, marks[:, 1]])
        # The mask goes along unturned: turned, it would break off where the cheek hides what is behind it.
        mask = cv2.warpAffine(mask, np.array([[1, 0, shift], [0, 1, 0]], np.float64), (columns, rows))
        box = box + np.array([shift, 0, shift, 0])
    if planting.blur > 0:
        rgb = cv2.GaussianBlur(rgb, (0, 0), planting.blur * planting.width_px * _SUPER)
    rgb = _lit(rgb, box, planting.light)
    layer = np.dstack([rgb * mask[..., None], mask]).astype(np.float32)
    return layer, box / _SUPER, marks / _SUPER


def _turned(columns: int, rows: int, box: Float32, nose: Float32, yaw_deg: float) -> Float32:
    """For each pixel of the turned picture the x of the photograph that it shows, float32 ``(rows, columns)``."""
    xs = np.arange(columns, dtype=np.float64)
    wide = np.arange(-columns, 2 * columns, dtype=np.float64)
    out = np.empty((rows, columns), np.float32)
    for y in range(rows):
        ahead = _forward(wide, np.full(len(wide), float(y)), box, nose, yaw_deg)
        # What the turn brings in front hides what lies behind: positions never run backwards.
        forwards = yaw_deg > 0
        ahead = np.maximum.accumulate(ahead) if forwards else np.minimum.accumulate(ahead[::-1])[::-1]
        out[y] = np.interp(xs, ahead + np.arange(len(wide)) * 1e-6, wide)
    return out


def _forward(
    x: NDArray[np.float64] | Float32,
    y: NDArray[np.float64] | Float32,
    box: Float32,
    nose: Float32,
    yaw_deg: float,
) -> NDArray[np.float64]:
    """Where points of the photograph stand after the head has turned: their new x."""
    wide, tall = float(box[2] - box[0]), float(box[3] - box[1])
    middle = float(box[0] + box[2]) / 2
    across = (np.asarray(x, np.float64) - middle) / wide
    up = (np.asarray(y, np.float64) - float(nose[1])) / tall
    round_ = _DEPTH * np.sqrt(np.clip(1 - (across / _HALF_WIDTH) ** 2 - 0.25 * up**2, 0, None))
    beside = (np.asarray(x, np.float64) - float(nose[0])) / wide
    ridge = _NOSE_HEIGHT * np.exp(-0.5 * ((beside / _NOSE_WIDTH) ** 2 + (up / _NOSE_LENGTH) ** 2))
    angle = math.radians(yaw_deg)
    depth = round_ + ridge - _DEPTH
    turned: NDArray[np.float64] = middle + wide * (across * math.cos(angle) + depth * math.sin(angle))
    return turned


def _lit(rgb: Float32, box: Float32, light: Light) -> Float32:
    """The picture under a light, float32, 0..255."""
    values = np.clip(rgb / 255, 0, 1) ** light.gamma * light.gain
    values = values * np.array([1 + light.warmth, 1.0, 1 - light.warmth], np.float32)
    if light.side:
        across = (np.arange(rgb.shape[1]) - float(box[0] + box[2]) / 2) / float(box[2] - box[0])
        values = values * (1 + light.side * np.clip(2 * across, -1, 1))[None, :, None]
    lit: Float32 = (np.clip(values, 0, 1) * 255).astype(np.float32)
    return lit


def _rotation(degrees: float) -> NDArray[np.float64]:
    """Clockwise in a picture, whose y points down."""
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _ramp(share: Float32 | NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(np.asarray(share, np.float64), 0, 1)
    smooth: NDArray[np.float64] = t * t * (3 - 2 * t)
    return smooth
