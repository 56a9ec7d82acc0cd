"""Which frames that were left out are worth a look: where a face comes, goes or changes, or is seen too rarely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_tracks import FEWEST_COMPARED, SAME_LOOK, matched

SCARCE_FRAMES = 6
"""Examined frames of a face after which it is no longer looked for more often, however rarely it can be compared."""


@dataclass(frozen=True)
class SeenFaces:
    """Faces of one examined frame.

    Attributes:
        shot: Number of the frame's shot.
        boxes: ``(n, 4)``.
        usable: ``(n,)``: can be compared.
        looks: ``(n, d)``, of :func:`~vgaudit.extractors.face_tracks.look`.
    """

    shot: int
    boxes: NDArray[np.float32]
    usable: NDArray[np.bool_]
    looks: NDArray[np.float32]


@dataclass
class _Chain:
    frames: int = 1
    usable: int = 0


class Chains:
    """Faces followed over the frames that are examined anyway."""

    def __init__(self) -> None:
        self._alive: dict[int, _Chain] = {}  # face of the frame before -> what is known of it

    def step(self, before: SeenFaces, after: SeenFaces) -> tuple[bool, bool]:
        """Go on to the next examined frame.

        Returns:
            Whether the frames between the two are to be examined, and whether those left out before the first are:
            there a face ended that was seen in too few frames.
        """
        if not self._alive:
            self._alive = {i: _Chain(usable=int(ok)) for i, ok in enumerate(before.usable)}
        pairs = dict(matched(before.boxes, after.boxes)) if before.shot == after.shot else {}
        here = len(pairs) < max(len(before.boxes), len(after.boxes))
        earlier = any(chain.usable < FEWEST_COMPARED for i, chain in self._alive.items() if i not in pairs)
        alive = {i: _Chain(usable=int(ok)) for i, ok in enumerate(after.usable)}
        for old, new in pairs.items():
            chain = self._alive[old]
            if float(before.looks[old] @ after.looks[new]) < SAME_LOOK:
                here = True
                earlier |= chain.usable < FEWEST_COMPARED
                continue
            usable = chain.usable + int(after.usable[new])
            alive[new] = _Chain(chain.frames + 1, usable)
            here |= 0 < usable < FEWEST_COMPARED <= chain.frames < SCARCE_FRAMES
        self._alive = alive
        return here, earlier

    def end(self) -> bool:
        """Whether the frames left out before the last examined one are to be examined: the clip ends there."""
        return any(chain.usable < FEWEST_COMPARED for chain in self._alive.values())
