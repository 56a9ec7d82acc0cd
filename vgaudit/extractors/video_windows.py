"""Which frames of a clip a video network sees: every one, every n-th, or those nearest to the ticks of a rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Picture = tuple[int, NDArray[np.uint8]]
"""A frame of the clip, with its index there."""

_SLACK_S = 1e-3
"""A tick so little after a frame is on it: Matroska and WebM round time stamps to whole milliseconds, so that the
time between two of them is off by up to one."""


class Ticks:
    """Brings a clip to a rate: for each tick ``0, 1 / fps, 2 / fps, ...`` of the time since its first frame the frame
    with the nearest time stamp, of two equally near ones the earlier. No tick lies after the last frame.

    A frame comes several times where the clip is slower than the rate, and not at all where it is faster.

    Args:
        fps: Ticks a second; ``None``: every frame once, whatever its time stamp.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._before: tuple[float, Picture] | None = None
        self._start = 0.0
        self._tick = 0

    def take(self, index: int, seconds: float, frame: NDArray[np.uint8]) -> Iterator[Picture]:
        """Frames of the ticks up to this frame, which is the clip's next one.

        Args:
            index: In the clip.
            seconds: Its time stamp.
            frame: ``(h, w, 3)``; kept until the next one comes.
        """
        if self._fps is None:
            yield index, frame
            return
        if self._before is None:
            self._start = seconds
            self._before = seconds, (index, frame)
        earlier, seen = self._before
        while (at := self._start + self._tick / self._fps) <= seconds + _SLACK_S:
            self._tick += 1
            tie = 2 * _SLACK_S  # time stamps rounded to milliseconds decide nothing
            yield seen if at - earlier <= seconds - at + tie else (index, frame)
        self._before = seconds, (index, frame)
