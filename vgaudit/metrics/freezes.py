"""Freezes: stretches in which a moving clip shows the same picture again and again.

A freeze is told from stillness by the clip itself. A clip in which nothing moves has no freezes and no freeze
fraction either: it must not win by standing still, and a clip that was asked to be still must not lose. A clip that
moves at all, however short, moves: one that stops after its first frames is the worst of freezes.
Animation that holds each drawing for two or three frames keeps its rhythm and is no freeze.

The constants were measured (``benchmarks/freeze_levels.py``) with x264 at CRF 10 to 42 on real and generated clips: a
repeated frame differs from its predecessor by 0 to 0.12 grey levels (the first repetition by 0.3 to 0.7, at CRF 28 up
to 1.7), and the median pair of a moving clip by 3 to 35. Key frames of a still clip pulse for one pair (with MPEG-4
and VP9 at times for two) by up to 2 grey levels at CRF 23, 3 at CRF 28, 4.8 at CRF 35 and 7.5 at CRF 42.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.arrays import runs

MOVING_LEVEL = 1.5
"""Grey levels of mean difference above which two frames differ by more than traces of compression ..."""

PULSE_LEVEL = 8.0
"""... unless it is the pulse of a key frame: at most so many grey levels, ..."""

PULSE_PAIRS = 2
"""... over at most so many pairs in a row, ..."""

PULSE_DISTANCE = 8
"""... at least so many pairs away from the next pair above :data:`MOVING_LEVEL`."""

SMALL_MOVING_LEVEL = 0.3
"""A small thing on a still ground moves less of the picture: pairs above this level count as moving too ..."""

SMALL_MOVING_RUN = 3
"""... if so many in a row exceed it, as an encoder's pulse lasts for one pair, at most two."""

MIN_MOVING_PAIRS = 2
"""Fewest moving pairs in a clip that moves. Not a share of the clip: the longer it stands still, the worse it is."""

MAX_TOLERANCE = 0.5
"""Grey levels of mean difference up to which a picture may be the same as the one before it ..."""

RELATIVE_TOLERANCE = 0.1
"""... and the fraction of the clip's own median movement it may not exceed either."""

MIN_FRAMES = 3
"""Fewest equal frames in a freeze."""

LONGEST_RHYTHM_S = 0.17
"""Longest regular hold that counts as the rhythm of an animation (four frames at 24 a second)."""


@dataclass(frozen=True)
class Freeze:
    """Equal frames from ``first`` to ``last`` (inclusive), shown from ``start_s`` to ``end_s``."""

    first: int
    last: int
    start_s: float
    end_s: float

    @property
    def frames(self) -> int:
        """How many frames show the same picture."""
        return self.last - self.first + 1

    @property
    def seconds(self) -> float:
        """How long it is shown."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class FreezeReport:
    """What :func:`find_freezes` found in a clip that moves.

    Attributes:
        freezes: In order of time.
        fraction: Share of frame pairs that lie inside a freeze, in [0, 1].
        tolerance: Grey levels up to which frames counted as equal.
        min_frames: Equal frames it takes to be a freeze, given the clip's rhythm.
        rhythm: Frames for which the clip regularly holds a picture; 1 unless animated on twos or threes.
    """

    freezes: tuple[Freeze, ...]
    fraction: float
    tolerance: float
    min_frames: int
    rhythm: int


def find_freezes(mae_next: NDArray[np.float64], pts_s: NDArray[np.float64]) -> FreezeReport | None:
    """Freezes of a clip, or ``None`` where too little moves to tell a freeze from stillness.

    Args:
        mae_next: ``(T-1,)`` mean absolute difference of neighbouring frames, grey levels 0-255.
        pts_s: ``(T,)`` seconds, increasing.

    Raises:
        ValueError: Shapes do not belong together, or a number is not finite.
    """
    if len(pts_s) != len(mae_next) + 1:
        raise ValueError(
            f"{len(mae_next)} differences need {len(mae_next) + 1} time stamps, not {len(pts_s)}"
        )
    if not (np.isfinite(mae_next).all() and np.isfinite(pts_s).all()):
        raise ValueError("differences and time stamps must be finite")
    tolerance = tolerance_of(mae_next)
    if tolerance is None:
        return None
    steps = np.diff(pts_s)
    holds = held(mae_next <= tolerance)
    rhythm, min_frames = rhythm_of(holds, steps)
    found = []
    for first, last in holds:
        if last - first + 1 >= min_frames:
            end = pts_s[last + 1] if last + 1 < len(pts_s) else pts_s[last] + steps[-1]
            found.append(Freeze(first, last, float(pts_s[first]), float(end)))
    pairs = sum(freeze.frames - 1 for freeze in found)
    return FreezeReport(tuple(found), pairs / len(mae_next), tolerance, min_frames, rhythm)


def tolerance_of(mae_next: NDArray[np.float64]) -> float | None:
    """Grey levels by which a frame that repeats its picture may differ; ``None`` where too little moves to tell.

    Args:
        mae_next: ``(T-1,)`` mean absolute difference of neighbouring frames, grey levels 0-255.
    """
    moving = mae_next[moving_pairs(mae_next)]
    if len(moving) < MIN_MOVING_PAIRS:
        return None
    return min(MAX_TOLERANCE, RELATIVE_TOLERANCE * float(np.median(moving)))


def moving_pairs(mae_next: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pairs, as bool ``(T-1,)``, between which something moves, and not just the encoder's key frames pulse.

    Args:
        mae_next: ``(T-1,)`` mean absolute difference of neighbouring frames, grey levels 0-255.
    """
    moving = np.zeros(len(mae_next), dtype=bool)
    for start, stop in runs(mae_next > SMALL_MOVING_LEVEL):
        moving[start:stop] = stop - start >= SMALL_MOVING_RUN
    bursts = list(runs(mae_next > MOVING_LEVEL))
    for index, (start, stop) in enumerate(bursts):
        short = stop - start <= PULSE_PAIRS and float(mae_next[start:stop].max()) <= PULSE_LEVEL
        before = index == 0 or start - (bursts[index - 1][1] - 1) >= PULSE_DISTANCE
        after = index + 1 == len(bursts) or bursts[index + 1][0] - (stop - 1) >= PULSE_DISTANCE
        if not (short and before and after):
            moving[start:stop] = True
    return moving


def held(equal: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """``(first, last)`` frame of each picture: a stretch of equal frames, of one frame where nothing is repeated.

    Args:
        equal: ``(T-1,)``: pairs of frames that show the same picture.
    """
    starts = [0, *(int(i) + 1 for i in np.flatnonzero(~equal))]
    return [(start, stop - 1) for start, stop in zip(starts, [*starts[1:], len(equal) + 1], strict=True)]


def rhythm_of(holds: Sequence[tuple[int, int]], steps: NDArray[np.float64]) -> tuple[int, int]:
    """For how many frames a clip regularly shows each picture, and how many at least are no rhythm but a freeze.

    Args:
        holds: Of :func:`held`.
        steps: ``(T-1,)`` seconds from frame to frame.
    """
    rhythm = int(np.median([last - first + 1 for first, last in holds]))
    if rhythm * float(np.median(steps)) > LONGEST_RHYTHM_S:
        rhythm = 1
    return rhythm, max(MIN_FRAMES, 2 * rhythm + 1)
