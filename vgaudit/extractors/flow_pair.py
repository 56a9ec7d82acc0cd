"""Two neighbouring frames and the flow between them: what moves, what is hidden, and what is left unexplained.

All is taken at every second pixel of every second row, the grid: the flow is found at a quarter of the resolution and
only interpolated in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

STRIDE = 2
"""Pixels from one point of the grid to the next, across and down."""

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Planes = tuple[Float32, Float32]
"""Vectors: across, and down. Arithmetic on each by itself is several times as fast as side by side."""


@dataclass(frozen=True)
class FlowPair:
    """A pair of frames of ``h`` by ``w`` pixels, compared along its flow; grids are ``(h/2, w/2)``, rounded up.

    Attributes:
        forward: Flow from the first frame to the second, pixels.
        backward: Flow from the second to the first, pixels.
        back: The same where ``forward`` leads (at the nearest border pixel if outside), pixels.
        occluded: bool: fails the forward-backward check ``|f + b_w|^2 > 0.01 (|f|^2 + |b_w|^2) + 0.5`` (Sundaram et
            al., ECCV 2010), with ``f`` and ``b_w`` for ``forward`` and ``back``.
        seen: bool: passes it, and stays inside the frame.
        left: float32: ``|f_t - warp(f_{t+1})|``, grey levels, with ``f_{t+1}`` sampled bilinearly where ``forward``
            leads.
        length: float32: of ``forward``, pixels.
        side: Short side of the frames, pixels.
    """

    forward: Planes
    backward: Planes
    back: Planes
    occluded: Bool
    seen: Bool
    left: Float32
    length: Float32
    side: int

    @property
    def warp_error(self) -> float:
        """Mean of ``left`` where ``seen``, as a fraction of full scale, [0, 1]; 0 where nothing is."""
        left = self.left[self.seen]
        return float(left.mean(dtype=np.float64)) / 255 if left.size else 0.0

    @property
    def motion_top5(self) -> float:
        """Mean of the largest 5 % of flow magnitudes, short sides."""
        return _largest(self.length.ravel()) / self.side

    @property
    def motion_mean(self) -> float:
        """Mean flow magnitude, short sides."""
        return float(self.length.mean(dtype=np.float64)) / self.side


def dense_flow(first: UInt8, second: UInt8) -> Float32:
    """Flow (x, y) in pixels from ``first`` to ``second``, float32 ``(h, w, 2)``.

    Args:
        first: uint8 ``(h, w)`` luma, contiguous, no side under
            :data:`~vgaudit.extractors.motion.MIN_SIDE`.
        second: The same of the next frame.
    """
    # A new object each time: a used one gives other flow for small pictures than a new one, and costs no less.
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found: Float32 = flow.calc(first, second, None)
    return found


def compare(first: UInt8, second: UInt8, forward: Float32, backward: Float32) -> FlowPair:
    """Compare two frames along their flow.

    Args:
        first: uint8 ``(h, w)`` luma.
        second: uint8 ``(h, w)`` luma of the next frame.
        forward: float32 ``(h, w, 2)`` flow (x, y) in pixels from ``first`` to ``second``.
        backward: float32 ``(h, w, 2)`` flow from ``second`` to ``first``.
    """
    height, width = first.shape
    u, v = planes(forward, STRIDE)
    x = np.add(u, np.arange(0, width, STRIDE, dtype=np.float32), dtype=np.float32)
    y = np.add(v, np.arange(0, height, STRIDE, dtype=np.float32)[:, None], dtype=np.float32)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    # Each by itself: of two channels at once OpenCV interpolates slower, and in steps of 1/32 pixel.
    whole = planes(backward)
    back_u, back_v = sample(whole[0], x, y), sample(whole[1], x, y)
    squared = _squared(u, v)
    occluded = _squared(u + back_u, v + back_v) > 0.01 * (squared + _squared(back_u, back_v)) + 0.5
    left: Float32 = np.abs(first[::STRIDE, ::STRIDE] - sample(second.astype(np.float32), x, y))
    return FlowPair(
        forward=(u, v),
        backward=planes(backward, STRIDE),
        back=(back_u, back_v),
        occluded=occluded,
        seen=inside & ~occluded,
        left=left,
        length=np.sqrt(squared, out=squared),
        side=min(height, width),
    )


def top_motion(first: UInt8, second: UInt8) -> float:
    """``motion_top5`` of two pictures that need not be neighbours."""
    lengths: Float32 = np.sqrt(_squared(*planes(dense_flow(first, second), STRIDE)))
    return _largest(lengths.ravel()) / int(min(first.shape))


def planes(vectors: Float32, stride: int = 1) -> Planes:
    """``(h, w, 2)`` at every so many pixels of every so many rows, each component by itself, contiguous."""
    taken = vectors[::stride, ::stride]
    return np.ascontiguousarray(taken[..., 0]), np.ascontiguousarray(taken[..., 1])


def sample(image: Float32, x: Float32, y: Float32) -> Float32:
    """Bilinear, at float32 ``(h, w)`` places in pixels; outside, what stands at the border."""
    found: Float32 = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found


def _squared(x: Float32, y: Float32) -> Float32:
    found = x * x
    found += y * y
    return found


def _largest(lengths: Float32) -> float:
    """Mean of the largest 5 %."""
    top = max(1, round(0.05 * lengths.size))
    return float(np.partition(lengths, lengths.size - top)[lengths.size - top :].mean(dtype=np.float64))
