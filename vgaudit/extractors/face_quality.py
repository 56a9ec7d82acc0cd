"""Which detected faces can be compared at all, and for the others the reason why not.

A face is judged by detection confidence, size, position, pose and sharpness. The limits say where an
embedding stops carrying the person (``docs/likeness.md`` has the measurements), so a face that fails is
not evidence of anything, least of all of harmlessness.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LOW_CONFIDENCE = "low confidence"
TOO_SMALL = "too small"
CUT = "cut by the frame"
EXTREME_POSE = "extreme pose"
BLURRED = "blurred"
LOW_CONTRAST = "low contrast"
TOO_MANY = "too many faces in the frame"

MIN_CONTRAST = 6.0
"""Standard deviation of the luma inside the box, of 255, below which there is nothing to see."""

MIN_DETAIL = 0.008
"""Share of the luma's variance that is finer than :data:`DETAIL_SIDE` samples across the face."""

DETAIL_SIDE = 20
_CHECK_SIDE = 56


def unusable_reason(
    rgb: NDArray[np.uint8],
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    confidence: float,
    *,
    min_side: float,
    min_confidence: float,
) -> str:
    """Why a face cannot be compared, or an empty text.

    Args:
        rgb: uint8 ``(height, width, 3)``, the whole frame.
        box: ``(4,)``: left, top, right, bottom; may leave the frame.
        landmarks: ``(5, 2)``: x, y of eyes, nose, corners of the mouth.
        confidence: Of the detector, in [0, 1].
        min_side: Smallest shorter side of the box, in pixels.
        min_confidence: Smallest confidence.
    """
    if confidence < min_confidence:
        return LOW_CONFIDENCE
    if min(box[2] - box[0], box[3] - box[1]) < min_side:
        return TOO_SMALL
    height, width = rgb.shape[:2]
    if (landmarks < 0).any() or (landmarks[:, 0] >= width).any() or (landmarks[:, 1] >= height).any():
        return CUT
    if is_extreme_pose(landmarks):
        return EXTREME_POSE
    luma = _luma(rgb, box)
    if luma.std() < MIN_CONTRAST:
        return LOW_CONTRAST
    if detail(luma) < MIN_DETAIL:
        return BLURRED
    return ""


FULL_SIDE, FULL_DETAIL = 100.0, 0.05
"""Shorter side in pixels, and share of fine detail, from which on more of it makes no better face."""


def quality(
    rgb: NDArray[np.uint8], box: NDArray[np.float32], landmarks: NDArray[np.float32], confidence: float
) -> float:
    """How much a face tells of a person, in [0, 1]: the geometric mean of four shares, each in [0, 1].

    Size is the shorter side over :data:`FULL_SIDE`, confidence the part above one half, sharpness :func:`detail` over
    :data:`FULL_DETAIL`, pose 1 where the nose stands midway between the eyes and a quarter where it stands at one.
    More of any never lowers it. Arguments as in :func:`unusable_reason`; of unusable faces it says nothing.
    """
    size = float(min(box[2] - box[0], box[3] - box[1])) / FULL_SIDE
    sharp = detail(_luma(rgb, box)) / FULL_DETAIL
    turned = min(1.0, abs(2 * nose_position(landmarks) - 1))
    return combined(size, 2 * confidence - 1, sharp, 1 - 0.75 * turned)


def combined(*shares: float) -> float:
    """The geometric mean of shares, each cut to [0, 1]."""
    cut = np.clip(shares, 0.0, 1.0)
    return float(cut.prod() ** (1 / len(cut)))


def is_extreme_pose(landmarks: NDArray[np.float32]) -> bool:
    """Whether the head is turned so far that an eye hides behind the nose.

    The nose, projected on the line through the eyes, stands at 0.5 between them in a frontal face; beyond
    either eye the face is in profile.
    """
    return not 0.0 <= nose_position(landmarks) <= 1.0


def nose_position(landmarks: NDArray[np.float32]) -> float:
    """Where the nose stands along the line through the eyes: 0 at the left one, 1 at the right one.

    Infinite where the eyes coincide.
    """
    left, right, nose = landmarks[0], landmarks[1], landmarks[2]
    axis = right - left
    length = float((axis**2).sum())
    return float(((nose - left) * axis).sum()) / length if length > 0 else float("inf")


def _luma(rgb: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What lies inside the box and the frame."""
    height, width = rgb.shape[:2]
    left, right = (int(v) for v in np.clip(box[[0, 2]], 0, width))
    top, bottom = (int(v) for v in np.clip(box[[1, 3]], 0, height))
    luma: NDArray[np.uint8] = cv2.cvtColor(
        np.ascontiguousarray(rgb[top:bottom, left:right]), cv2.COLOR_RGB2GRAY
    )
    return luma


def detail(luma: NDArray[np.uint8]) -> float:
    """Share of the variance of a face that is lost when it is sampled with :data:`DETAIL_SIDE` points across.

    At least 0.05 for a sharp face 45 px wide or more; it falls with blur and with size alike, because both take
    the same thing away.
    """
    shrink = cv2.INTER_AREA if min(luma.shape) >= _CHECK_SIDE else cv2.INTER_CUBIC
    face = cv2.resize(luma, (_CHECK_SIDE, _CHECK_SIDE), interpolation=shrink).astype(np.float32)
    small = cv2.resize(face, (DETAIL_SIDE, DETAIL_SIDE), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (_CHECK_SIDE, _CHECK_SIDE), interpolation=cv2.INTER_CUBIC)
    variance = float(face.var())
    return float(((face - back) ** 2).mean()) / variance if variance > 0 else 0.0
