"""Whether a picture holds an earlier one: moments of what its neighbours, carried along the flow, leave over."""

from __future__ import annotations

import itertools
from collections import deque

import numpy as np
from numpy.typing import NDArray

BEFORE, AFTER, AROUND = (3, 3), (3, 3), (5, 5)
"""Shapes of the moments; see :class:`MotionEcho`."""

Float32 = NDArray[np.float32]
Moments = dict[str, NDArray[np.float64]]


class MotionEcho:
    """Takes one clip's distinct pictures in order; holds four of them, and two that were carried along.

    With ``S_t`` a picture, ``a_t`` the one before carried to it along the flow, ``b_t`` the one after, and ``P_t``
    the mean of both, each picture gets means over pixels of the products of

    * ``before``: ``S_t - a_t``, ``S_{t-2} - a_t``, ``S_{t-1} - a_t``;
    * ``after``: ``S_t - b_t``, ``S_{t-2} - b_t``, ``S_{t+1} - b_t``;
    * ``around``: ``S_t - P_t``, ``S_{t-2} - P_t``, ``S_{t+2} - P_t``, ``S_{t-1} - P_t``, ``S_{t+1} - P_t``.

    The first of each is what motion does not explain; if the second, an earlier picture that stayed where it was,
    explains it, the picture is a mixture of both. Zeros where a neighbour is missing.
    """

    def __init__(self) -> None:
        self._pictures: deque[Float32] = deque(maxlen=4)
        self._moments: deque[Moments] = deque(maxlen=3)
        self._behind: Float32 | None = None
        self._middle: Float32 | None = None

    def first(self, picture: Float32) -> None:
        """Take the clip's first picture."""
        self._pictures.append(picture)
        self._moments.append(_nothing())

    def push(self, picture: Float32, behind: Float32, ahead: Float32) -> Moments:
        """Take the next picture; its moments are completed by the two that follow.

        Args:
            picture: float32 ``(h, w)``, ``S_t``.
            behind: The picture before, carried to this one: ``a_t``.
            ahead: This one, carried to the picture before: ``b_{t-1}``.
        """
        here = _nothing()
        s = self._pictures
        if len(s) >= 2:
            here["before"] = _moments(behind, picture, s[-2], s[-1])
        if len(s) >= 3:
            self._moments[-1]["after"] = _moments(ahead, s[-1], s[-3], picture)
        if len(s) == 4 and self._middle is not None:
            self._moments[-2]["around"] = _moments(self._middle, s[-2], s[-4], picture, s[-3], s[-1])
        self._middle = None if self._behind is None else (self._behind + ahead) * np.float32(0.5)
        self._behind = behind
        s.append(picture)
        self._moments.append(here)
        return here


def _nothing() -> Moments:
    return {"before": np.zeros(BEFORE), "after": np.zeros(AFTER), "around": np.zeros(AROUND)}


def _moments(origin: Float32, *pictures: Float32) -> NDArray[np.float64]:
    rows = np.empty((len(pictures), origin.size), np.float32)
    for row, picture in zip(rows, pictures, strict=True):
        np.subtract(picture, origin, out=row.reshape(origin.shape))
    # One by one: BLAS takes five times as long for the product of so flat a matrix with itself.
    found = np.empty((len(rows), len(rows)))
    for i, j in itertools.combinations_with_replacement(range(len(rows)), 2):
        found[i, j] = found[j, i] = np.dot(rows[i], rows[j]) / origin.size
    return found
