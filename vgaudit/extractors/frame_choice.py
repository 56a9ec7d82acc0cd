"""Which frames of a clip are examined for faces, decided while the frames stream past.

``auto`` examines at least four frames a second and at least eight frames of a clip, the first and the last
always among them. How long a clip is shows only at its end, so a few frames of its first seconds
are held back until it is known whether they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EVERY_S = 0.25
"""Longest time between examined frames, rounded up to the next frame."""

MIN_FRAMES = 8
"""Fewest frames examined, where the clip has as many."""

MAX_GAP = 30
"""Most frames from one examined frame to the next, whatever the time stamps claim."""

_HELD = 12  # held-back frames; halved when full, so 7 or more remain, enough to fill up to MIN_FRAMES


@dataclass(frozen=True)
class HeldFrame:
    """A frame kept for later, with a copy of its pixels."""

    index: int
    pts_s: float
    rgb: NDArray[np.uint8]


class FrameChooser:
    """Calls ``examine`` on the chosen frames of one clip, in no particular order, each once.

    Args:
        stride: ``auto``, or every how many frames (1: every frame).
        examine: Takes index, seconds and pixels of a chosen frame.
    """

    def __init__(
        self, stride: int | Literal["auto"], examine: Callable[[int, float, NDArray[np.uint8]], None]
    ) -> None:
        self._stride = stride
        self._examine = examine
        self._due_s = 0.0
        self._chosen: list[int] = []
        self._held: list[HeldFrame] = []
        self._passed = 0
        self._every = 1
        self._last: HeldFrame | None = None

    def push(self, index: int, pts_s: float, rgb: NDArray[np.uint8]) -> None:
        """Take the next frame; ``rgb`` may be overwritten by the caller afterwards."""
        if self._is_due(index, pts_s):
            self._take(index, pts_s, rgb)
            self._last = None
            return
        self._last = HeldFrame(index, pts_s, rgb)
        if self._stride == "auto":
            self._hold(index, pts_s, rgb)

    def end_block(self) -> None:
        """Tell that the arrays pushed so far are about to go: copy the one that is still needed."""
        if self._last is not None:
            self._last = HeldFrame(self._last.index, self._last.pts_s, self._last.rgb.copy())

    def finish(self) -> None:
        """Examine the last frame, and fill up a short clip from the frames held back."""
        if self._last is not None:
            self._take(self._last.index, self._last.pts_s, self._last.rgb)
        spare = {frame.index: frame for frame in self._held if frame.index not in self._chosen}
        while spare and len(self._chosen) < MIN_FRAMES:
            taken = np.array(self._chosen)
            # the one farthest from all examined frames; the earliest of several
            index = max(spare, key=lambda i: (np.abs(taken - i).min(), -i))
            frame = spare.pop(index)
            self._take(frame.index, frame.pts_s, frame.rgb)
        self._held, self._last = [], None

    def _is_due(self, index: int, pts_s: float) -> bool:
        if self._stride != "auto":
            return index % self._stride == 0
        if self._chosen and pts_s < self._due_s and index - self._chosen[-1] < MAX_GAP:
            return False
        while self._due_s <= pts_s:
            self._due_s += EVERY_S
        return True

    def _take(self, index: int, pts_s: float, rgb: NDArray[np.uint8]) -> None:
        self._chosen.append(index)
        self._examine(index, pts_s, rgb)

    def _hold(self, index: int, pts_s: float, rgb: NDArray[np.uint8]) -> None:
        if len(self._chosen) >= MIN_FRAMES:
            self._held = []
            return
        if self._passed % self._every == 0:
            self._held.append(HeldFrame(index, pts_s, rgb.copy()))
        if len(self._held) > _HELD:
            self._every *= 2
            self._held = self._held[::2]
        self._passed += 1
