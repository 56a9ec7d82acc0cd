"""Motion over an eighth of a second and more, where that of single pairs may be nothing but noise.

Noise of a sensor or an encoder makes flow of its own, as much in each pair whatever the frame rate. Divided by the
time of a pair that is little at 8 frames a second and a lot at 60. Flow over a longer time has the same noise once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAR_S = 1 / 8
"""Seconds that lie between two pictures at least: the 8 frames a second that VBench looks at, ..."""

SLACK_S = 0.002
"""... less what containers round time stamps by: three frames at 24 a second are an eighth in milliseconds too."""

FEIGNED = 1 / 256
"""Short sides: pairs that move by more on average are taken at their word and cost no further flow. Noise of 4 grey
levels feigns less in pictures with texture (``benchmarks/still_noise.py``)."""

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class _Picture:
    frame: int
    pts_s: float
    luma: UInt8


class FarMotion:
    """Takes one clip's frames in order; holds three pictures, whatever the length.

    A stretch goes from the first frame of a picture to that of another, the next that is at least :data:`FAR_S`
    later; what is left at the end of a clip belongs to the stretch before. So a clip whose frames are each shown
    twice, at twice the rate, has the stretches of the clip itself. Flow is computed for stretches of two steps and
    more that move by at most :data:`FEIGNED` a step. Arrays, for a clip of T frames, all ``(T-1,)``:

    * ``motion`` float64, short sides: mean of the largest 5 % of flow magnitudes, from the first to the last picture
      of the stretch in which the pair lies; 0 where there is none.
    * ``first``, ``last`` int64: the frames that begin these two pictures; -1 where no flow was computed.

    Args:
        measure: Mean of the largest 5 % of flow magnitudes between two uint8 ``(h, w)`` pictures, short sides.
    """

    def __init__(self, measure: Callable[[UInt8, UInt8], float]) -> None:
        self._measure = measure
        self._frames = 0
        self._begin: _Picture | None = None  # of the stretch that goes on
        self._before: _Picture | None = None  # of the one before, if flow was computed for it
        self._latest: _Picture | None = None  # since the stretch began
        self._steps: list[float] = []
        self._stretches: list[tuple[int, int, float]] = []

    def push(self, luma: UInt8, pts_s: float, motion: float | None) -> None:
        """Take the next frame.

        Args:
            luma: uint8 ``(h, w)``, contiguous.
            pts_s: Seconds from the clip's first frame.
            motion: From the frame before to this one, short sides; ``None`` if both show the same picture.
        """
        picture = _Picture(self._frames, pts_s, luma)
        self._frames += 1
        if self._begin is None:
            self._begin = picture
        elif motion is not None:
            self._steps.append(motion)
            self._latest = picture
            if pts_s - self._begin.pts_s >= FAR_S - SLACK_S:
                self._before = self._begin if self._is_unsure() else None
                if self._before is not None:
                    self._add(self._before, picture)
                self._begin, self._latest, self._steps = picture, None, []

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that the class describes, once all frames were pushed."""
        if self._before is not None and self._latest is not None and np.mean(self._steps) <= FEIGNED:
            self._add(self._before, self._latest)  # takes the place of the last one, which it begins with
            self._before = None
        pairs = max(self._frames - 1, 0)
        motion = np.zeros(pairs)
        ends = np.full((2, pairs), -1, dtype=np.int64)
        for first, last, far in self._stretches:
            motion[first:last] = far
            ends[:, first:last] = [[first], [last]]
        return {"motion": motion, "first": ends[0], "last": ends[1]}

    def _is_unsure(self) -> bool:
        """Whether the stretch moves so little a step that all of it may be noise; one step says what it says."""
        return len(self._steps) > 1 and float(np.mean(self._steps)) <= FEIGNED

    def _add(self, first: _Picture, last: _Picture) -> None:
        self._stretches.append((first.frame, last.frame, self._measure(first.luma, last.luma)))
