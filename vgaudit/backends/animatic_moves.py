"""Camera moves over a still picture: where the camera looks in each frame, and the frames it sees.

A window in the frame's aspect glides from a start to an end. Both lie inside the picture, so everything between them
does: nothing outside is ever sampled, no border made up, no pixel stretched.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Move = Literal["zoom_in", "zoom_out", "pan_left", "pan_right", "pan_up", "pan_down", "drift"]
MOVES: tuple[Move, ...] = get_args(Move)

_PANS = {"pan_left": (-1.0, 0.0), "pan_right": (1.0, 0.0), "pan_up": (0.0, -1.0), "pan_down": (0.0, 1.0)}
_KEPT = 3.0
"""Pixels of the picture for each pixel of the frame that are left when a large picture is made smaller beforehand."""


@dataclass(frozen=True)
class Window:
    """What the camera sees, in pixels of the picture; pixel ``i`` covers ``i`` to ``i + 1``."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """In pixels of the picture."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In pixels of the picture."""
        return self.bottom - self.top


def largest_window(picture: tuple[int, int], frame: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the largest window in the aspect of ``frame`` that fits ``picture``; both ``(w, h)``."""
    width = min(float(picture[0]), picture[1] * frame[0] / frame[1])
    return width, min(float(picture[1]), width * frame[1] / frame[0])


def endpoints(
    picture: tuple[int, int],
    frame: tuple[int, int],
    move: Move,
    amount: float,
    *,
    focus: tuple[float, float] = (0.5, 0.5),
    angle: float = 0.0,
) -> tuple[Window, Window]:
    """The first and the last window of a move.

    A zoom goes from the largest window to one ``1 + amount`` times smaller, or back. A pan and a drift keep that
    smaller size and travel ``amount`` of their width (height, where they go up or down). So a pan always fits. What
    moves is the camera: in ``pan_right`` the picture goes left.

    Args:
        picture: Width and height in pixels.
        frame: Width and height of the frames.
        move: What the camera does.
        amount: How far it goes, above 0.
        focus: Point of interest as fractions of width and height; the window is centred there as far as it can be.
        angle: Direction of a drift in radians; 0 is right, a quarter turn is down.
    """
    wide = largest_window(picture, frame)
    close = wide[0] / (1 + amount), wide[1] / (1 + amount)
    x, y = focus[0] * picture[0], focus[1] * picture[1]
    if move in ("zoom_in", "zoom_out"):
        far, near = _placed(picture, wide, x, y), _placed(picture, close, x, y)
        return (far, near) if move == "zoom_in" else (near, far)
    along = _PANS.get(move) or (math.cos(angle), math.sin(angle))
    half = along[0] * amount * close[0] / 2, along[1] * amount * close[1] / 2
    # The whole way is placed, not its ends one by one: an end pushed back at a border would make the way shorter.
    x, y = (
        _clamped(c, side / 2 + abs(h), total)
        for c, side, h, total in zip((x, y), close, half, picture, strict=True)
    )
    return (
        _placed(picture, close, x - half[0], y - half[1]),
        _placed(picture, close, x + half[0], y + half[1]),
    )


def _clamped(centre: float, margin: float, total: int) -> float:
    return min(max(centre, margin), max(total - margin, total / 2))


def _placed(picture: tuple[int, int], size: tuple[float, float], x: float, y: float) -> Window:
    left = min(max(x - size[0] / 2, 0.0), picture[0] - size[0])
    top = min(max(y - size[1] / 2, 0.0), picture[1] - size[1])
    return _inside(picture, Window(left, top, left + size[0], top + size[1]))


def _inside(picture: tuple[int, int], window: Window) -> Window:
    """``window`` without what rounding put beyond the picture."""
    return Window(
        max(window.left, 0.0),
        max(window.top, 0.0),
        min(window.right, float(picture[0])),
        min(window.bottom, float(picture[1])),
    )


def path(picture: tuple[int, int], start: Window, end: Window, frames: int) -> list[Window]:
    """The window of every frame, from ``start`` to ``end``.

    It sets off and arrives at half its mean speed: softer than a jerk, and no frame stands still as with a full
    ease, which would look like a freeze.
    """
    u = np.linspace(0.0, 1.0, frames)
    eased = (u + u * u * (3 - 2 * u)) / 2
    a, b = np.array(astuple(start)), np.array(astuple(end))
    return [_inside(picture, Window(*map(float, a + (b - a) * e))) for e in eased]


def film(picture: Image, windows: list[Window], frame: tuple[int, int]) -> NDArray[np.uint8]:
    """The frames: uint8 RGB ``(len(windows), height, width, 3)``.

    Every frame is resampled from the picture by a Lanczos filter as wide as the reduction asks for, at the window's
    exact place (Pillow's ``resize`` with a ``box``); details neither flicker nor jump from pixel to pixel while the
    window glides over them. A picture much larger than the frame is first made smaller by a whole factor, once.

    Args:
        picture: RGB.
        windows: Inside the picture.
        frame: Width and height.
    """
    from PIL import Image as Pictures

    scale = min(min(w.width / frame[0], w.height / frame[1]) for w in windows)
    factor = max(1, int(scale / _KEPT))
    reduced = picture.reduce(factor) if factor > 1 else picture
    out = np.empty((len(windows), frame[1], frame[0], 3), np.uint8)
    for index, window in enumerate(windows):
        left, top, right, bottom = (side / factor for side in astuple(window))
        out[index] = np.asarray(
            reduced.resize(frame, Pictures.Resampling.LANCZOS, box=(left, top, right, bottom))
        )
    return out
