"""Whether the frames beside an examined one show its faces too: what the detector sees once only may be no face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_detection import DetectionFailed, Detections, FaceDetector

SURE_CONFIDENCE = 0.999
"""Detection confidence from which on one frame is enough to believe in a face."""

BESIDE_S = 0.15
"""Seconds within which a face stays where it is, nearly: a neighbour farther off in time is not asked."""

SAME_FACE_IOU = 0.3
"""Overlap (intersection over union) from which on boxes are taken for one face."""


def box_overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union, ``(n, m)`` in [0, 1], of boxes ``(n, 4)`` and ``(m, 4)``: left, top, right, bottom."""
    x, y = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    size = np.minimum(x[..., 2:], y[..., 2:]) - np.maximum(x[..., :2], y[..., :2])
    shared = size.clip(min=0).prod(-1)
    union = (x[..., 2:] - x[..., :2]).prod(-1) + (y[..., 2:] - y[..., :2]).prod(-1) - shared
    overlaps: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


class Neighbours:
    """Looks for the faces of examined frames in the frame before and the frame after, while frames stream past.

    A clip that shows a sure face is not looked into further: that costs two detections a frame, and what it answers
    is asked of clips without a sure face only.

    Attributes:
        seen: Of each examined frame with faces, whether each face shows beside as well; ``True`` where that is not
            known, so that no face is doubted for want of a look: also where the neighbour is far off in time.
    """

    def __init__(self, detector: FaceDetector, *, every_frame: bool) -> None:
        self.seen: dict[int, NDArray[np.bool_]] = {}
        self._detector = detector
        self._every_frame = every_frame
        self._sure = False
        self._recent: dict[int, NDArray[np.uint8]] = {}
        self._pts: dict[int, float] = {}
        self._waiting: dict[int, Detections] = {}

    def push(self, index: int, rgb: NDArray[np.uint8], pts_s: float) -> None:
        """Take the next frame, before it is examined; ``rgb`` may be overwritten after :meth:`end_block`."""
        for before in [i for i in self._recent if i < index - 1]:
            del self._recent[before], self._pts[before]
        self._recent[index], self._pts[index] = rgb, pts_s
        if index - 1 in self._waiting and not self._near(index - 1, index):
            self.seen[index - 1][:] = True
        if (waiting := self._waiting.pop(index - 1, None)) is not None and not self._sure:
            self.seen[index - 1] |= self._shows(waiting, rgb)

    def end_block(self) -> None:
        """Tell that the arrays pushed so far are about to go: copy those that are still needed."""
        self._recent = {index: rgb.copy() for index, rgb in self._recent.items()}

    def look(self, index: int, found: Detections) -> None:
        """Take the faces of an examined frame, one of those pushed last or an earlier one."""
        self._sure |= bool((found.confidence >= SURE_CONFIDENCE).any())
        before, after = self._recent.get(index - 1), self._recent.get(index + 1)
        at_hand = index in self._recent and (before is not None or index == 0)  # else held back until the end
        at_hand = at_hand and all(self._near(index, i) for i in (index - 1, index + 1) if i in self._recent)
        if self._sure or self._every_frame or not at_hand:
            self.seen[index] = np.ones(len(found), bool)
            return
        self.seen[index] = np.zeros(len(found), bool) if before is None else self._shows(found, before)
        if after is None:
            self._waiting[index] = found
        else:
            self.seen[index] |= self._shows(found, after)

    def _near(self, index: int, other: int) -> bool:
        return abs(self._pts[index] - self._pts[other]) <= BESIDE_S

    def _shows(self, found: Detections, rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
        try:
            beside = self._detector.detect(rgb)
        except DetectionFailed:
            return np.ones(len(found), bool)
        same: NDArray[np.bool_] = box_overlaps(found.boxes, beside.boxes) >= SAME_FACE_IOU
        return np.asarray(same.any(axis=1))
