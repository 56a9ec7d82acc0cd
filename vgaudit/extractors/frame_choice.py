"""Which frames of a clip are examined for faces, decided while the frames stream past.

``auto`` examines every third frame, more where frames are slow, the first and the last always: never are more than
two frames left out in between, so a face that shows in three frames in a row meets one at least, at any frame rate.
The frames left out are kept for a while, and are examined as well where they may hold more: where a face comes, goes
or changes, and where one goes that could be compared in fewer than three frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EVERY = 3
"""Most frames from one examined frame to the next."""

EVERY_S = 1 / 3
"""Longest time between examined frames, rounded up to the next frame."""

MIN_FRAMES = 4
"""Fewest frames examined, where the clip has as many."""

_SOON = 1e-3  # time stamps are rounded: 3 frames at 9 a second are a third of a second


@dataclass
class HeldFrame:
    """A frame on its way.

    Attributes:
        index: Its number in the clip.
        pts_s: Its time.
        shot: Number of its shot.
        rgb: Its pixels, uint8 ``(height, width, 3)``.
        own: ``rgb`` is a copy that nobody overwrites.
    """

    index: int
    pts_s: float
    shot: int
    rgb: NDArray[np.uint8]
    own: bool = False


Examine = Callable[[Sequence[HeldFrame]], None]
Between = Callable[[int, int], tuple[bool, bool]]


def _nothing_between(before: int, after: int) -> tuple[bool, bool]:
    return False, False


class FrameChooser:
    """Calls ``examine`` on the chosen frames of one clip, each once.

    Args:
        stride: ``auto``, or every how many frames (1: every frame); with a number nothing is examined besides these
            and the last one.
        examine: Takes frames, at most ``batch`` at once, in no particular order.
        between: Told of two neighbouring examined frames, says whether the frames between them are to be examined
            too, and whether those before the first of them that were left out are. Asked by ascending frames, and at
            the end of the clip with the last frame twice. Not asked where ``stride`` is a number.
        batch: Frames examined at once: as many are waited for, whatever the blocks.
    """

    def __init__(
        self,
        stride: int | Literal["auto"],
        examine: Examine,
        between: Between = _nothing_between,
        batch: int = 1,
    ) -> None:
        self._stride = stride
        self._examine = examine
        self._between = between
        self._batch = batch
        self._frames: list[HeldFrame] = []  # not older than the last examined frame but one
        self._due: list[HeldFrame] = []  # to be examined
        self._grid: list[HeldFrame] = []  # the latest three that were chosen by the clock
        self._seen: set[int] = set()
        self._last: HeldFrame | None = None

    def push(self, index: int, pts_s: float, rgb: NDArray[np.uint8], shot: int = 0) -> None:
        """Take the next frame; ``rgb`` may be overwritten by the caller after :meth:`end_block`."""
        frame = HeldFrame(index, pts_s, shot, rgb)
        if self._stride == "auto":
            self._frames.append(frame)
        due = self._is_due(frame)
        self._last = frame
        if due:
            self._take(frame)

    def end_block(self) -> None:
        """Tell that the arrays pushed so far are about to go: copy those that are still needed."""
        for frame in [*self._frames, *self._due, *([self._last] if self._last else [])]:
            if not frame.own and frame.index not in self._seen:
                frame.rgb, frame.own = frame.rgb.copy(), True

    def finish(self) -> None:
        """Examine the last frame, and what else a short clip has."""
        if self._last is not None and self._last.index not in self._seen and self._last not in self._due:
            self._take(self._last)
        self._search()
        if self._grid and self._stride == "auto":
            self._ask(self._grid[-1], self._grid[-1], self._grid[0])
        spare = [frame for frame in self._frames if frame.index not in self._seen]
        while spare and len(self._seen) < MIN_FRAMES:
            taken = np.array(sorted(self._seen))
            # the one farthest from all examined frames; the earliest of several
            frame = max(spare, key=lambda each: (np.abs(taken - each.index).min(), -each.index))
            spare.remove(frame)
            self._look([frame])
        self._frames, self._due, self._grid, self._last = [], [], [], None

    def _is_due(self, frame: HeldFrame) -> bool:
        if self._stride != "auto":
            return frame.index % self._stride == 0
        chosen = self._due[-1] if self._due else self._grid[-1] if self._grid else None
        if chosen is None or frame.index - chosen.index >= EVERY:
            return True
        return frame.pts_s - chosen.pts_s >= EVERY_S - _SOON

    def _take(self, frame: HeldFrame) -> None:
        self._due.append(frame)
        if len(self._due) >= self._batch:
            self._search()

    def _search(self) -> None:
        if not self._due:
            return
        due, self._due = self._due, []
        self._look(due)
        if self._stride != "auto":
            return
        for frame in due:
            self._grid = [*self._grid[-2:], frame]
            if len(self._grid) > 1:
                self._ask(self._grid[-2], frame, self._grid[0])
        if len(self._seen) >= MIN_FRAMES:
            self._frames = [
                f for f in self._frames if f.index > self._grid[-2].index and f.index not in self._seen
            ]

    def _ask(self, before: HeldFrame, after: HeldFrame, earliest: HeldFrame) -> None:
        here, earlier = self._between(before.index, after.index)
        if here:
            self._fill(before.index, after.index)
        if earlier:
            self._fill(earliest.index, before.index)

    def _fill(self, start: int, end: int) -> None:
        inside = [f for f in self._frames if start < f.index < end and f.index not in self._seen]
        for first in range(0, len(inside), self._batch):
            self._look(inside[first : first + self._batch])

    def _look(self, frames: Sequence[HeldFrame]) -> None:
        self._seen.update(frame.index for frame in frames)
        self._examine(frames)
