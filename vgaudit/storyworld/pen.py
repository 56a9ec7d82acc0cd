"""The pen: shapes in scene units drawn into pixels and, for the subject, into its mask as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]
Points = NDArray[np.float64] | Sequence[Point]

_SHIFT = 4  # bits of subpixel precision
_CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 28, endpoint=False)), np.sin(a)], axis=1)
_HALF = np.stack([-np.sin(b := np.linspace(0, np.pi, 8)), np.cos(b)], axis=1)  # the round end of a limb


@dataclass(frozen=True)
class Pen:
    """Draws filled shapes.

    Attributes:
        image: uint8 ``(H, W, 3)``, RGB, drawn into.
        to_pixels: ``(2, 3)``, maps the units of the caller to pixels.
        mask: uint8 ``(H, W)``, set to 255 wherever something is drawn, if wanted.
        outline: Colour of outlines around every shape, or ``None`` for none.
        width: Of outlines, in pixels.
    """

    image: NDArray[np.uint8]
    to_pixels: NDArray[np.float64]
    mask: NDArray[np.uint8] | None = None
    outline: Colour | None = None
    width: int = 1

    def placed(
        self, x: float = 0.0, y: float = 0.0, sx: float = 1.0, sy: float = 1.0, angle: float = 0.0
    ) -> Pen:
        """A pen whose origin lies at ``(x, y)``, scaled by ``sx``, ``sy``, then turned by ``angle`` radians."""
        c, s = np.cos(angle), np.sin(angle)
        inner = np.array([[c * sx, -s * sy, x], [s * sx, c * sy, y], [0.0, 0.0, 1.0]])
        return replace(self, to_pixels=self.to_pixels @ inner)

    def bare(self) -> Pen:
        """The same pen without outlines."""
        return replace(self, outline=None)

    def polygon(self, points: Points, colour: Colour) -> None:
        """A filled polygon."""
        self._fill([self._pixels(np.asarray(points, np.float64))], colour)

    def polygons(self, shapes: NDArray[np.float64], colour: Colour) -> None:
        """Many polygons of one colour that do not overlap: ``(N, corners, 2)``."""
        if len(shapes):
            self._fill(list(self._pixels(shapes)), colour)

    def rectangles(self, boxes: NDArray[np.float64], colour: Colour) -> None:
        """Many upright rectangles that do not overlap: ``(N, 4)`` as x0, y0, x1, y1."""
        x0, y0, x1, y1 = np.asarray(boxes, np.float64).reshape(-1, 4).T
        self.polygons(np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1).reshape(-1, 4, 2), colour)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """An upright rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        """A filled ellipse with half axes ``rx``, ``ry``, turned by ``angle`` radians."""
        points = _CIRCLE * (rx, ry)
        if angle:
            c, s = np.cos(angle), np.sin(angle)
            points = cv2.transform(points[None], np.array([[c, -s], [s, c]]))[0]
        self.polygon(points + np.array([x, y]), colour)

    def ellipses(self, centres: NDArray[np.float64], rx: float, ry: float, colour: Colour) -> None:
        """Many equal ellipses, overlapping or not: ``(N, 2)`` centres."""
        for shape in centres[:, None, :] + _CIRCLE * (rx, ry):
            self.polygon(shape, colour)

    def limb(self, start: Point, end: Point, w0: float, w1: float, colour: Colour) -> None:
        """A rounded limb that narrows from radius ``w0`` to ``w1``."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy) or 1.0
        cap = cv2.transform(_HALF[None], np.array([[dx, -dy], [dy, dx]]) / length)[0]
        points = np.empty((16, 2))
        points[:8], points[8:] = cap * w0 + start, end - cap * w1
        self.polygon(points, colour)

    def chain(self, joints: Sequence[Point], widths: Sequence[float], colour: Colour) -> None:
        """Limbs from joint to joint, outlined as one."""
        for pen in (self,) if self.outline is None else (self, self.bare()):
            for i in range(len(joints) - 1):
                pen.limb(joints[i], joints[i + 1], widths[i], widths[i + 1], colour)

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        # cv2.transform rather than a matrix product: BLAS threads of several workers get into each other's way.
        flat = points if points.ndim == 3 else points[None]
        at = cv2.transform(flat, self._fixed_point)
        return np.asarray(at if points.ndim == 3 else at[0], np.int32)

    @cached_property
    def _fixed_point(self) -> NDArray[np.float64]:
        # Pixel centres lie at whole numbers for cv2 and at halves here.
        scaled = self.to_pixels[:2] * (1 << _SHIFT)
        scaled[:, 2] -= (1 << _SHIFT) / 2
        return scaled

    def _fill(self, shapes: list[NDArray[np.int32]], colour: Colour) -> None:
        cv2.fillPoly(self.image, shapes, colour, cv2.LINE_8, _SHIFT)
        if self.outline is not None:
            cv2.polylines(self.image, shapes, True, self.outline, self.width, cv2.LINE_8, _SHIFT)
        if self.mask is not None:
            cv2.fillPoly(self.mask, shapes, 255, cv2.LINE_8, _SHIFT)
            if self.outline is not None:
                cv2.polylines(self.mask, shapes, True, 255, self.width, cv2.LINE_8, _SHIFT)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """``a`` with ``share`` of ``b``, 0 to 1."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def darker(colour: Colour, share: float = 0.35) -> Colour:
    """Towards a bluish black."""
    return mix(colour, (14, 12, 26), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """Towards white."""
    return mix(colour, (255, 255, 255), share)
