"""What moves badly: statistics of a pair of frames and its flow that follow how people rate motion.

By-products of the flow that :mod:`vgaudit.extractors.motion` computes anyway: one pass at every second pixel of
every second row (the grid), no weights, and no sums over frames, so that neither length nor size of a clip shows in
them. What the numbers are good for is :mod:`vgaudit.metrics.temporal_quality`'s business.
"""

from __future__ import annotations

import bisect
import statistics
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.flow_pair import STRIDE, FlowPair, compare, dense_flow, sample
from vgaudit.extractors.motion_echo import AFTER, AROUND, BEFORE, MotionEcho

COARSE = 4
"""Of the grid, every fourth point of every fourth row shows how the camera moved."""

MISMATCH_CAP = 20.0
"""Pixels; a forward-backward mismatch counts no more than this."""

AREA_RANGE = (0.1, 10.0)
"""What the flow makes of a unit of area is clipped to this."""

SURE_REPEAT = 0.1
"""Grey levels: a pair that differs by no more repeats its picture, whatever the clip."""

LARGEST_REPEAT = 0.5
"""Grey levels: a pair that differs by more repeats nothing."""

LARGEST_DRIFT = 1.0
"""Grey levels: what differs by more from the picture that it repeats is another one, however slowly it became so."""

REPEAT_SHARE = 0.1
"""In between, a pair repeats its picture if it differs by no more than this share of the median of the moving
pairs so far: the tolerance of :mod:`vgaudit.metrics.freezes`, as far as a stream can know it."""

STATISTICS = (
    "difference",
    "motion",
    "mismatch",
    "deformation",
    "acceleration",
    "shake",
    "wobble",
    "flicker",
    "sharpness",
    "second_difference",
    "third_difference",
)
"""Names of the float64 arrays of :meth:`MotionQuality.arrays`."""

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class _Picture:
    """A frame on the grid: halved luma, the same smoothed, and its sharpness."""

    small: Float32
    smooth: Float32
    spread: float  # standard deviation of the smoothed
    sharpness: float


@dataclass(frozen=True)
class _Step:
    """The latest pair of distinct pictures, on the grid; ``x`` and ``y`` are where its points lead, in grid units."""

    u: Float32
    v: Float32
    x: Float32
    y: Float32
    seen: Bool
    weight: Float32
    side: int  # the frame's short side in pixels
    ahead: Float32  # the second picture, smoothed, carried to the first


class MotionQuality:
    """Takes one clip's pairs in order; holds five pictures, four of them halved, and one flow, whatever the length.

    A pair that repeats its picture is passed over: the next pair continues where the picture last changed, so that a
    clip whose frames are each shown twice gives the numbers of the clip itself. Arrays, for a clip of T frames, all
    ``(T-1,)``, finite, and 0 where a pair has no such statistic:

    * ``repeat`` bool: the pair repeats its picture. Its mean absolute luma difference is at most
      :data:`SURE_REPEAT` grey levels, or at most :data:`REPEAT_SHARE` of the median of the moving pairs so far and
      at most :data:`LARGEST_REPEAT`; and the second frame differs by no more than :data:`LARGEST_DRIFT` from the
      first one of that picture. Where it does, the pair is of these two, and not of the frames beside each other.
    * ``drift`` bool: the picture before was never left at once: it became the second frame's slowly.
    * ``chain`` int64: how many pairs of distinct pictures came before this one, 2 if more; -1 for a repeat and for a
      pair without flow (a picture too small), neither of which has any of the statistics below but ``difference``.
    * ``difference``, 0..255: mean absolute luma difference.
    * ``motion``, short sides: mean of ``|f|``, with ``f`` the forward flow.
    * ``mismatch``, short sides: mean of ``min(|f + b_w|, 20 pixels)``, with ``b_w`` the backward flow where ``f``
      leads: how far the two flows contradict each other (the check of Sundaram et al., ECCV 2010, undecided).
    * ``deformation``, no unit: mean of ``|log det(I + grad f)|``, the determinant clipped to :data:`AREA_RANGE`: how
      much surfaces swell and shrink. Zero for translation and rotation.
    * ``acceleration``, short sides, from ``chain`` 1 on: mean of ``|f_t(x + f_{t-1}(x)) - f_{t-1}(x)|``.
    * ``shake``, ``wobble``, short sides, from ``chain`` 1 on: mean length of the affine part of what ``acceleration``
      takes the length of (weighted least squares, at every :data:`COARSE`-th point of the grid), and of what that
      leaves over. A jerked camera shakes, bending shapes wobble.
    * ``flicker``, no unit, from ``chain`` 1 on: mean of ``|I_{t-1} - 2 I_t + I_{t+1}|`` along the trajectory of the
      two flows, of smoothed luma, over the standard deviation of that luma (at least 1 grey level).
    * ``sharpness``, grey levels: mean absolute Laplacian of the second frame at the flow's resolution.
    * ``second_difference``, from ``chain`` 1 on: ``|I_{t-1} - 2 I_t + I_{t+1}|_1 / |I_{t+1} - I_{t-1}|_1`` in place.
      0 where the middle picture is the mean of its neighbours.
    * ``third_difference``, from ``chain`` 2 on: ``|I_{t+1} - 3 I_t + 3 I_{t-1} - I_{t-2}|_1`` over the sum of the
      three first differences' norms. 0 where two mixtures of one pair of pictures meet two of the next.
    * ``before`` ``(T-1, 3, 3)``, ``after`` ``(T-1, 3, 3)``, ``around`` ``(T-1, 5, 5)``: the second frame's moments
      in :class:`~vgaudit.extractors.motion_echo.MotionEcho`, of smoothed pictures, squared grey levels.

    Means of ``mismatch``, ``deformation`` and ``acceleration`` are weighted by the magnitude of the luma gradient of
    the first frame (Sobel, at half resolution): where there is no texture, flow is a guess and nobody sees it.
    ``acceleration`` and ``flicker`` are taken where both steps pass the forward-backward check, or over the whole
    picture if nothing passes.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._chain: list[int] = []
        self._repeat: list[bool] = []
        self._drift: list[bool] = []
        self._differences: list[float] = []  # of distinct pictures, the least first
        self._kept: UInt8 | None = None  # the first frame of the picture that goes on
        self._step: _Step | None = None
        self._pictures: deque[_Picture] = deque(maxlen=3)  # distinct ones, the latest last
        self._echo = MotionEcho()
        self._moments: list[dict[str, NDArray[np.float64]]] = []

    @property
    def repeats(self) -> bool:
        """Whether the latest pair repeats its picture."""
        return self._repeat[-1]

    def skip(self) -> None:
        """Take a pair of pictures too small for flow."""
        self._rows.append({})
        self._moments.append({})
        self._chain.append(-1)
        self._repeat.append(False)
        self._drift.append(False)

    def push(self, first: UInt8, second: UInt8, pair: FlowPair) -> FlowPair:
        """Take the next pair; gives it back, or that of the pictures that it is about.

        Args:
            first: uint8 ``(h, w)`` luma.
            second: The same of the next frame.
            pair: Both, compared along their flow.
        """
        difference = _apart(first, second)
        row = {"difference": difference}
        self._rows.append(row)
        limit = SURE_REPEAT
        if self._differences:
            share = REPEAT_SHARE * statistics.median(self._differences)
            limit = max(limit, min(LARGEST_REPEAT, share))
        if self._kept is None:
            self._kept = first.copy()
        repeats = difference <= limit
        drifted = repeats and (drift := _apart(self._kept, second)) > LARGEST_DRIFT
        self._drift.append(drifted)
        if drifted:
            repeats, difference, first = False, drift, self._kept
            row["difference"] = drift
            pair = compare(first, second, dense_flow(first, second), dense_flow(second, first))
        self._repeat.append(repeats)
        if repeats:
            self._chain.append(-1)
            self._moments.append({})
            return pair
        self._kept = second.copy()  # a view would keep its whole block in memory
        self._chain.append(min(2, len(self._differences)))
        bisect.insort(self._differences, difference)
        if not self._pictures:
            self._pictures.append(_picture(first))
            self._echo.first(self._pictures[-1].smooth)
        latest = _picture(second)
        step = self._one_pair(row, pair, latest)
        behind = sample(self._pictures[-1].smooth, *_led(*pair.backward))
        self._moments.append(self._echo.push(latest.smooth, behind, step.ahead))
        row["sharpness"] = latest.sharpness
        if self._step is not None:
            self._two_pairs(row, self._step, step, latest)
        self._pictures.append(latest)
        self._step = step
        return pair

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that the class describes."""
        out: dict[str, NDArray[np.generic]] = {
            name: np.array([row.get(name, 0.0) for row in self._rows], dtype=np.float64)
            for name in STATISTICS
        }
        out["repeat"] = np.array(self._repeat, dtype=bool)
        out["drift"] = np.array(self._drift, dtype=bool)
        out["chain"] = np.array(self._chain, dtype=np.int64)
        for name, shape in (("before", BEFORE), ("after", AFTER), ("around", AROUND)):
            nothing = np.zeros(shape)
            out[name] = np.array([m.get(name, nothing) for m in self._moments]).reshape(-1, *shape)
        return out

    def _one_pair(self, row: dict[str, float], pair: FlowPair, latest: _Picture) -> _Step:
        (u, v), back = pair.forward, pair.back
        small = self._pictures[-1].small
        weight = _length(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
        weight += np.float32(1e-3)  # a picture without texture has equal weights
        mismatch = np.minimum(_length(u + back[0], v + back[1]), np.float32(MISMATCH_CAP))
        step = np.float32(1 / STRIDE)
        ux, uy = (u[:-1, 1:] - u[:-1, :-1]) * step, (u[1:, :-1] - u[:-1, :-1]) * step
        vx, vy = (v[:-1, 1:] - v[:-1, :-1]) * step, (v[1:, :-1] - v[:-1, :-1]) * step
        area = np.clip((1 + ux) * (1 + vy) - uy * vx, *AREA_RANGE)
        row["motion"] = pair.motion_mean
        row["mismatch"] = _weighted(mismatch, weight) / pair.side
        row["deformation"] = _weighted(np.abs(np.log(area)), np.ascontiguousarray(weight[:-1, :-1]))
        x, y = _led(u, v)
        return _Step(u, v, x, y, pair.seen, weight, pair.side, sample(latest.smooth, x, y))

    def _two_pairs(self, row: dict[str, float], before: _Step, now: _Step, latest: _Picture) -> None:
        """``before`` leads from the last picture but one to the last one, ``now`` from there to ``latest``."""
        first, middle = self._pictures[-2], self._pictures[-1]
        onward_u, onward_v = (sample(part, before.x, before.y) for part in (now.u, now.v))
        turn_u, turn_v = onward_u - before.u, onward_v - before.v
        change = _length(turn_u, turn_v)
        there = cv2.remap(
            now.seen.astype(np.uint8), before.x, before.y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
        )
        seen = before.seen & (there > 0)
        if not seen.any():
            seen = np.ones_like(seen)
        weight = before.weight * seen
        row["acceleration"] = _weighted(change, weight) / now.side
        camera, rest = _camera_and_rest(turn_u, turn_v, weight)
        row["shake"], row["wobble"] = camera / now.side, rest / now.side
        step = np.float32(1 / STRIDE)
        end = sample(latest.smooth, before.x + onward_u * step, before.y + onward_v * step)
        wave = np.abs(first.smooth - 2 * before.ahead + end)
        row["flicker"] = float(wave[seen].mean(dtype=np.float64)) / max(1.0, first.spread)
        bend = first.small - 2 * middle.small + latest.small
        row["second_difference"] = _l1(bend) / max(_l1(latest.small - first.small), 1e-6 * bend.size)
        if len(self._pictures) == 3:
            zeroth = self._pictures[0]
            third = (latest.small - zeroth.small) - 3 * (middle.small - first.small)
            steps = (first.small - zeroth.small, middle.small - first.small, latest.small - middle.small)
            row["third_difference"] = _l1(third) / max(sum(_l1(s) for s in steps), 1e-6 * third.size)


def _apart(one: UInt8, other: UInt8) -> float:
    """Mean absolute difference, grey levels."""
    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


def _picture(luma: UInt8) -> _Picture:
    height, width = luma.shape
    size = (-(-width // STRIDE), -(-height // STRIDE))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (3, 3), 0)
    edges = cv2.Laplacian(luma, cv2.CV_16S)
    return _Picture(
        small,
        smooth,
        float(cv2.meanStdDev(smooth)[1][0, 0]),
        float(cv2.norm(edges, cv2.NORM_L1)) / luma.size,
    )


def _led(u: Float32, v: Float32) -> tuple[Float32, Float32]:
    """Where a flow on the grid, in pixels, leads, in grid units."""
    step = np.float32(1 / STRIDE)
    columns = np.arange(u.shape[1], dtype=np.float32)
    rows = np.arange(u.shape[0], dtype=np.float32)[:, None]
    return u * step + columns, v * step + rows


def _length(x: Float32, y: Float32) -> Float32:
    # OpenCV's magnitude() gives other last bits where an array happens to lie elsewhere in memory.
    found: Float32 = x * x
    found += y * y
    return np.sqrt(found, out=found)


def _weighted(values: Float32, weight: Float32) -> float:
    return float((values * weight).sum(dtype=np.float64)) / float(weight.sum(dtype=np.float64))


def _camera_and_rest(u: Float32, v: Float32, weight: Float32) -> tuple[float, float]:
    """Weighted mean lengths of a field's best affine part, which a camera can make, and of what that leaves over.

    Args:
        u: float32 ``(h, w)``: the field's vectors, across, pixels.
        v: The same, down.
        weight: float32 ``(h, w)``, not negative.
    """
    part = u[::COARSE, ::COARSE]
    flow = np.stack([part.ravel(), v[::COARSE, ::COARSE].ravel()])
    w = weight[::COARSE, ::COARSE].ravel() + np.float32(1e-9)  # some everywhere, if all are 0
    basis = _affine_basis(*part.shape)
    weighted = basis * w
    moments = (weighted @ basis.T).astype(np.float64)
    total = float(moments[0, 0])
    moments += 1e-7 * total * np.eye(3)  # weights may lie on a line
    fit = np.linalg.solve(moments, (weighted @ flow.T).astype(np.float64))
    camera = fit.T.astype(np.float32) @ basis
    rest = flow - camera
    return float(_length(*camera) @ w) / total, float(_length(*rest) @ w) / total


@lru_cache(maxsize=8)
def _affine_basis(height: int, width: int) -> Float32:
    """``(3, h w)``: one, and the places across and down, -1 to 1."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return np.stack([np.ones_like(x), x, y]).astype(np.float32)


def _l1(image: Float32) -> float:
    return float(cv2.norm(image, cv2.NORM_L1))
