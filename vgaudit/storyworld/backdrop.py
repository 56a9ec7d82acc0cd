"""What all settings are painted with: layers that move with their depth, skies, repeated things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld.motion import View
from vgaudit.storyworld.pen import Colour, Pen

Stops = Sequence[tuple[float, Colour]]


@dataclass(frozen=True)
class Stage:
    """A picture being painted.

    Attributes:
        image: uint8 ``(H, W, 3)``, RGB.
        view: Where the camera looks.
        t: Seconds since the start, for what moves by itself.
        seed: Decides where trees and houses stand; the same in every frame.
        flat: Paint gradients as bands (anime).
    """

    image: NDArray[np.uint8]
    view: View
    t: float
    seed: int
    flat: bool = False

    @property
    def aspect(self) -> float:
        """Width by height."""
        return float(self.image.shape[1] / self.image.shape[0])

    def pen(self, depth: float) -> Pen:
        """A pen for a layer: x from the middle and y down from the top, in frame heights."""
        return Pen(self.image, self.view.to_pixels(depth, *self.image.shape[:2]))

    def gradient(self, depth: float, stops: Stops, top: float = -1.0, bottom: float = 2.0) -> None:
        """Fill the rows between ``top`` and ``bottom`` with colours that change with height."""
        height, width = self.image.shape[:2]
        matrix = self.view.to_pixels(depth, height, width)
        first = int(np.clip(round(matrix[1, 1] * top + matrix[1, 2]), 0, height))
        last = int(np.clip(round(matrix[1, 1] * bottom + matrix[1, 2]), 0, height))
        if first >= last:
            return
        scale, move = float(matrix[1, 1]), float(matrix[1, 2])
        column = _column(tuple(stops), scale, move, first, last, self.flat)
        self.image[first:last] = cv2.resize(column, (width, last - first), interpolation=cv2.INTER_NEAREST)

    def rng(self, layer: int) -> np.random.Generator:
        """Random numbers of a layer, the same in every frame."""
        return np.random.default_rng([self.seed, layer])

    def repeats(self, depth: float, period: float, margin: float = 0.4) -> Iterator[tuple[float, int]]:
        """Where a strip that repeats every ``period`` has to be painted: ``(offset, number)``."""
        centre, half = self.view.x * depth, self.aspect / 2 + margin
        for k in range(int(np.floor((centre - half) / period)), int(np.ceil((centre + half) / period))):
            yield k * period, k

    def ridge(self, depth: float, base: float, height: float, rough: int, colour: Colour, layer: int) -> None:
        """A line of hills: sines of whole periods, so that it goes on for ever."""
        rng = self.rng(layer)
        half = self.aspect / 2 + 0.1
        x = np.linspace(-half, half, 40) + self.view.x * depth
        y = np.zeros_like(x)
        for k in range(1, rough + 1):
            y += np.sin(x * k * 1.9 + rng.uniform(0, 6.3)) / k**0.8
        top = base - height * (0.5 + 0.28 * y)
        self.pen(depth).polygon(
            np.concatenate([np.stack([x, top], axis=1), [[x[-1], 2.0], [x[0], 2.0]]]), colour
        )


@lru_cache(maxsize=256)
def _column(
    stops: tuple[tuple[float, Colour], ...], scale: float, move: float, first: int, last: int, flat: bool
) -> NDArray[np.uint8]:
    """``(rows, 1, 3)``: a gradient's colour in each row; the same in every frame unless the camera zooms."""
    y = (np.arange(first, last) + 0.5 - move) / scale
    heights = np.array([s[0] for s in stops])
    if flat:
        span = max(heights[-1] - heights[0], 1e-9)
        y = heights[0] + (np.floor((y - heights[0]) / span * 5) + 0.5) / 5 * span
    colours = np.array([s[1] for s in stops], np.float64)
    rows = np.stack([np.interp(y, heights, colours[:, c]) for c in range(3)], axis=1)
    column: NDArray[np.uint8] = np.rint(rows).astype(np.uint8)[:, None, :]
    return column
