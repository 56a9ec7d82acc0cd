"""Optical flow of neighbouring frames: how much moves, and how well one frame explains the next.

Dense inverse search flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; OpenCV,
preset FAST) runs forwards and backwards on luma with a short side of at most 256 pixels. All constants below
are in the pixels of that smaller picture.
"""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vgaudit.extractors.base import Features, Unit, make_fingerprint
from vgaudit.extractors.flow_pair import compare, dense_flow, top_motion
from vgaudit.extractors.motion_far import FarMotion
from vgaudit.extractors.motion_quality import MotionQuality
from vgaudit.video import ClipInfo, Frames

SHORT_SIDE = 256
"""Short side, in pixels, that frames are scaled down to (never up)."""

MIN_SIDE = 32
"""Smaller pictures get no flow and their pairs are marked invalid: where the shorter side is under 32 pixels, OpenCV
sizes its pyramid by the width alone and reads past the end of wide pictures, which ends the process."""

CELLS = 8
"""Cells along each side of what is left of differences."""

SPARSE = 4
"""The median flow is that of every so many points of the grid."""

Float32 = NDArray[np.float32]


class MotionOptions(BaseModel):
    """The motion extractor has no options: its constants are part of the metrics' definition."""

    model_config = ConfigDict(extra="forbid")


class MotionExtractor:
    """Pairs of neighbouring frames -> flow statistics, at every second pixel of every second row.

    Arrays, for a clip of T frames (all pair arrays are empty for T < 2):

    * ``warp_error`` float64 ``(T-1,)``, in [0, 1]: mean of ``|f_t - warp(f_{t+1})| / 255`` over luma pixels that
      are neither occluded nor led out of the frame, where ``warp`` samples ``f_{t+1}`` bilinearly along the
      forward flow (after Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, with L1).
    * ``occluded_fraction`` float64 ``(T-1,)``, in [0, 1]: share of pixels that fail the forward-backward
      check ``|f + b_w|^2 > 0.01 (|f|^2 + |b_w|^2) + 0.5`` (Sundaram et al., ECCV 2010), with ``f`` the forward
      flow and ``b_w`` the backward flow sampled where ``f`` leads (at the nearest border pixel if outside).
    * ``motion_top5`` float64 ``(T-1,)``: mean of the largest 5 % of flow magnitudes, as a fraction of the
      short side, per step of one frame; divide by the step's duration for a speed.
    * ``motion_mean`` float64 ``(T-1,)``: mean flow magnitude, in the same unit.
    * ``shift`` float64 ``(T-1, 2)``: median flow (x, y) as a fraction of the short side: what the camera does.
    * ``residual`` float32 ``(T-1, 8, 8)``: ``|f_t - warp(f_{t+1})|`` averaged over 8x8 cells of the picture, grey
      levels, occluded pixels included: where the next frame shows what this one does not explain.
    * ``valid`` bool ``(T-1,)``: whether a pixel was left to compare, so that ``warp_error`` exists (it is 0
      otherwise). False also where the picture is too small for flow; every value of such a pair is 0.
    * ``pts_s`` float64 ``(T,)``: seconds from the clip's first frame.
    * ``far_*`` ``(T-1,)``: the arrays of :class:`~vgaudit.extractors.motion_far.FarMotion`.
    * ``quality_*`` ``(T-1, ...)``: the arrays of :class:`~vgaudit.extractors.motion_quality.MotionQuality`.

    A pair that ends a picture by drift (see ``quality_drift``) is that of this picture's first frame and the second
    frame, but for ``motion_*``, which are of the frames beside each other.

    Facts: ``height`` and ``width`` of the pictures the flow ran on, and ``too_small``.
    """

    name: ClassVar[str] = "motion"
    version: ClassVar[int] = 8
    Options: ClassVar[type[BaseModel]] = MotionOptions
    unit: ClassVar[Unit] = "pair"

    def __init__(self, options: MotionOptions) -> None:
        self.options = options
        self.fingerprint = make_fingerprint(
            self.name, self.version, {"flow": "DIS-fast", "short_side": SHORT_SIDE}, opencv=cv2.__version__
        )

    def load(self) -> None:
        """Nothing to load: the flow has no weights."""

    def start(self, info: ClipInfo) -> MotionExtraction:
        """Begin a clip; clips share nothing, so they may run side by side."""
        return MotionExtraction()


class MotionExtraction:
    """One clip on its way; holds one frame, and what ``MotionQuality`` and ``FarMotion`` hold, between blocks."""

    def __init__(self) -> None:
        self._quality = MotionQuality()
        self._far = FarMotion(top_motion)
        self._previous: NDArray[np.uint8] | None = None
        self._rows: list[tuple[float, float, float, float, bool]] = []
        self._pts: list[float] = []
        self._shifts: list[tuple[float, float]] = []
        self._residuals: list[Float32] = []
        self._moved = 0.0  # from the picture before to the latest

    def push(self, frames: Frames) -> None:
        """Take the next block; the pair across the border of two blocks is not lost."""
        for luma, pts in zip(frames.luma_short_side(SHORT_SIDE), frames.pts_s, strict=True):
            current = np.ascontiguousarray(luma)
            moved = None
            if self._previous is not None:
                self._rows.append(self._pair(self._previous, current))
                if min(current.shape) >= MIN_SIDE and not self._quality.repeats:
                    moved = self._moved
            self._far.push(current, float(pts), moved)
            self._previous = current
            self._pts.append(float(pts))

    def finish(self) -> Features:
        """Features of all frames pushed."""
        columns = np.array([row[:4] for row in self._rows], dtype=np.float64).reshape(-1, 4)
        valid = np.array([row[4] for row in self._rows], dtype=bool)
        size = [0, 0] if self._previous is None else [int(n) for n in self._previous.shape]
        return Features(
            arrays={
                "warp_error": columns[:, 0].copy(),
                "occluded_fraction": columns[:, 1].copy(),
                "motion_top5": columns[:, 2].copy(),
                "motion_mean": columns[:, 3].copy(),
                "shift": np.array(self._shifts, dtype=np.float64).reshape(-1, 2),
                "residual": (
                    np.stack(self._residuals) if self._residuals else np.zeros((0, CELLS, CELLS), np.float32)
                ),
                "valid": valid,
                "pts_s": np.array(self._pts, dtype=np.float64),
                **{f"far_{name}": array for name, array in self._far.arrays().items()},
                **{f"quality_{name}": array for name, array in self._quality.arrays().items()},
            },
            facts={
                "height": size[0],
                "width": size[1],
                "too_small": bool(self._pts) and min(size) < MIN_SIDE,
            },
        )

    def _pair(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> tuple[float, float, float, float, bool]:
        if first.shape != second.shape:
            raise ValueError(f"frames of one clip differ in size: {first.shape} and {second.shape}")
        if min(first.shape) < MIN_SIDE:
            self._quality.skip()
            self._shifts.append((0.0, 0.0))
            self._residuals.append(np.zeros((CELLS, CELLS), np.float32))
            return 0.0, 0.0, 0.0, 0.0, False
        forward, backward = dense_flow(first, second), dense_flow(second, first)
        beside = compare(first, second, forward, backward)
        pair = self._quality.push(first, second, beside)
        self._moved = pair.motion_top5
        self._residuals.append(cv2.resize(pair.left, (CELLS, CELLS), interpolation=cv2.INTER_AREA))
        x, y = (
            float(np.median(part[SPARSE // 2 :: SPARSE, SPARSE // 2 :: SPARSE])) / pair.side
            for part in pair.forward
        )
        self._shifts.append((x, y))
        share = float(np.count_nonzero(pair.occluded)) / pair.occluded.size
        return pair.warp_error, share, beside.motion_top5, beside.motion_mean, bool(pair.seen.any())
