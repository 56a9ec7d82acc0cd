"""What can be said of a clip from its pixels alone: brightness, sharpness, and change between frames."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vgaudit.extractors.base import Features, Unit, make_fingerprint
from vgaudit.video import ClipInfo, Frames

SHARPNESS_SIDE = 256
"""Short side, in pixels, at which sharpness is measured, so that it can be compared between sizes."""

THUMB = 32
"""Cells along each side of a thumbnail."""

_PLANES_OUT = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_HALF_NORMAL = 0.32449
"""Mean of the smaller half of ``|x|`` for ``x`` normal with standard deviation 1."""

UInt8 = NDArray[np.uint8]


class PixelsOptions(BaseModel):
    """The pixels extractor has no options: its constants are part of the metrics' definition."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PixelsExtractor:
    """Frames -> pixel statistics.

    Arrays, for a clip of T frames (pair arrays are empty for T < 2):

    * ``pts_s`` float64 ``(T,)``: seconds from the clip's first frame.
    * ``mae_next`` float64 ``(T-1,)``, 0..255: mean of ``|f_{t+1} - f_t|`` over all pixels and RGB channels at full
      resolution, from integer sums, hence exact.
    * ``max_abs_next`` float64 ``(T-1,)``, 0..255: the largest such difference.
    * ``mae_first`` float64 ``(T,)``, 0..255: as ``mae_next``, but between each frame and the first.
    * ``luma_mean``, ``luma_std`` float64 ``(T,)``, 0..255: of BT.601 luma at full resolution (population std).
    * ``noise`` float64 ``(T,)``, grey levels: standard deviation of white noise that would explain what is left of
      luma at that short side after planes are taken out of 3x3 pixels (Immerkaer, "Fast Noise Variance Estimation",
      CVIU 1996, with the mean of the smaller half, so that edges count less).
    * ``thumb`` uint8 ``(T, 32, 32, 3)``: each frame averaged over 32x32 cells, whatever its shape.
    * ``sharpness`` float64 ``(T,)``: variance of the Laplacian (4-neighbour kernel) of luma at a short side
      of 256 pixels at most (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).
    """

    name: ClassVar[str] = "pixels"
    version: ClassVar[int] = 2
    Options: ClassVar[type[BaseModel]] = PixelsOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: PixelsOptions | None = None) -> None:
        self.options = options or PixelsOptions()
        self.fingerprint = make_fingerprint(
            self.name, self.version, {"sharpness_side": SHARPNESS_SIDE}, opencv=cv2.__version__
        )

    def load(self) -> None:
        """Nothing to load: there are no weights."""

    def start(self, info: ClipInfo) -> PixelsExtraction:
        """Begin a clip."""
        return PixelsExtraction()


class PixelsExtraction:
    """One clip on its way; holds two frames (the first and the latest) between blocks."""

    def __init__(self) -> None:
        self._first: UInt8 | None = None
        self._previous: UInt8 | None = None
        self._frames: list[tuple[float, float, float, float, float, float]] = []
        self._thumbs: list[UInt8] = []
        self._pairs: list[tuple[float, float]] = []

    def push(self, frames: Frames) -> None:
        """Take the next block; the pair across the border of two blocks is not lost."""
        luma, small = frames.luma(), frames.luma_short_side(SHARPNESS_SIDE)
        colours = frames.rgb_short_side(SHARPNESS_SIDE)
        for index, (picture, seconds) in enumerate(zip(frames.rgb, frames.pts_s, strict=True)):
            if self._first is None:
                self._first = picture.copy()  # a view would keep its whole block in memory
            if self._previous is not None:
                largest = cv2.norm(picture, self._previous, cv2.NORM_INF)
                self._pairs.append((_mean_abs(picture, self._previous), float(largest)))
            mean, std = _moments(luma[index])
            _, spread = _moments(cv2.Laplacian(small[index], cv2.CV_16S))
            first = _mean_abs(picture, self._first)
            self._frames.append((float(seconds), first, mean, std, spread**2, _noise(small[index])))
            self._thumbs.append(thumb(colours[index]))
            self._previous = picture
        if self._previous is not None:
            self._previous = self._previous.copy()

    def finish(self) -> Features:
        """Features of all frames pushed."""
        frames = np.array(self._frames, dtype=np.float64).reshape(-1, 6)
        pairs = np.array(self._pairs, dtype=np.float64).reshape(-1, 2)
        per_frame = ("pts_s", "mae_first", "luma_mean", "luma_std", "sharpness", "noise")
        return Features(
            arrays={
                **{name: frames[:, i].copy() for i, name in enumerate(per_frame)},
                **{name: pairs[:, i].copy() for i, name in enumerate(("mae_next", "max_abs_next"))},
                "thumb": np.stack(self._thumbs) if self._thumbs else np.zeros((0, THUMB, THUMB, 3), np.uint8),
            },
            facts={"sharpness_side": SHARPNESS_SIDE},
        )


def _mean_abs(one: UInt8, other: UInt8) -> float:
    """Mean absolute difference of two uint8 images; OpenCV sums integers, and doubles hold the sum exactly."""
    if one.shape != other.shape:
        raise ValueError(f"frames of one clip differ in size: {one.shape} and {other.shape}")
    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


def _moments(image: NDArray[np.generic]) -> tuple[float, float]:
    mean, std = cv2.meanStdDev(image)
    return float(mean[0, 0]), float(std[0, 0])


def thumb(rgb: UInt8) -> UInt8:
    """uint8 ``(32, 32, 3)``: a frame's means over cells."""
    return np.asarray(cv2.resize(rgb, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def _noise(luma: UInt8) -> float:
    if min(luma.shape) < 3:
        return 0.0
    left = np.abs(cv2.filter2D(luma, cv2.CV_16S, _PLANES_OUT)[1:-1:2, 1:-1:2]).ravel()
    counts = np.bincount(left, minlength=1)  # a histogram sorts integers faster than a partition does
    half = len(left) // 2
    below = np.cumsum(counts)
    last = int(np.searchsorted(below, half))
    total = float((counts[:last] * np.arange(last)).sum())
    total += last * (half - (int(below[last - 1]) if last else 0))
    return total / max(half, 1) / 6 / _HALF_NORMAL
