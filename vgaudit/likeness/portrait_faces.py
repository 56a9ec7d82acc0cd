"""The one face of a picture that somebody handed in: found, judged, embedded in batches, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_detection import DetectionFailed, FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, Measure, mean_embedding
from vgaudit.extractors.face_quality import LOW_CONFIDENCE, TOO_SMALL, detail, unusable_reason
from vgaudit.likeness.entries import ImageQuality
from vgaudit.likeness.folder import FolderImage
from vgaudit.likeness.portraits import PortraitError, decode_portrait, read_bytes
from vgaudit.records import digest

MIN_SIDE = 40.0
"""Smallest face in a picture of the gallery, in pixels: what everything else is held against must be good."""

MIN_CONFIDENCE = 0.9
SECOND_FACE = 0.5
"""A further face counts, and makes a picture ambiguous, from this share of the largest face's side on."""

GOOD_SIDE = 112.0
"""Side in pixels from which on more size adds nothing to the quality: what face networks see."""

GOOD_DETAIL = 0.05
"""Detail from which on a face counts as sharp (:func:`vgaudit.extractors.face_quality.detail`)."""

BATCH = 16
NOT_FINITE = "the embedder gave no finite vector for it"


@dataclass(frozen=True)
class PortraitFace:
    """The face of a picture.

    Attributes:
        rgb: uint8 ``(height, width, 3)``: the whole picture, upright.
        box: float32 ``(4,)``: left, top, right, bottom; may leave the picture.
        landmarks: float32 ``(5, 2)``.
        side_px: Shorter side of the box.
        quality: In [0, 1], with its parts.
    """

    rgb: NDArray[np.uint8]
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    side_px: float
    quality: ImageQuality


def face_of(image: FolderImage, root: Path, detector: FaceDetector) -> PortraitFace:
    """The one face of a file below ``root``; the detector must be loaded.

    Raises:
        PortraitError: There is none that can be compared, or several; the message does not name the file.
    """
    if image.problem:
        raise PortraitError(image.problem)
    data = read_bytes(image.path, root)
    if digest(data) != image.sha256:
        raise PortraitError("changed while it was read")
    rgb = decode_portrait(data)
    height, width = rgb.shape[:2]
    if not detector.can_examine(height, width):
        raise PortraitError(f"too small ({width}x{height} px)")
    try:
        found = detector.detect(rgb)
    except DetectionFailed as error:
        raise PortraitError(f"the face detector broke on it ({error})") from error
    if not len(found):
        raise PortraitError("no face found")
    sides = np.minimum(found.boxes[:, 2] - found.boxes[:, 0], found.boxes[:, 3] - found.boxes[:, 1])
    confident = np.flatnonzero(found.confidence >= MIN_CONFIDENCE)
    if not len(confident):
        raise PortraitError(f"no face found that the detector is sure of ({LOW_CONFIDENCE})")
    best = int(confident[0])  # largest first
    others = int((sides[confident[1:]] >= SECOND_FACE * sides[best]).sum())
    if others:
        raise PortraitError(f"{others + 1} faces; cut the picture to one person")
    box, landmarks = found.boxes[best], found.landmarks[best]
    confidence = float(found.confidence[best])
    reason = unusable_reason(
        rgb, box, landmarks, confidence, min_side=MIN_SIDE, min_confidence=MIN_CONFIDENCE
    )
    if reason == TOO_SMALL:
        raise PortraitError(f"the face is too small ({sides[best]:.0f} px; at least {MIN_SIDE:g} px needed)")
    if reason:
        raise PortraitError(f"the face cannot be compared: {reason}")
    side = float(sides[best])
    return PortraitFace(rgb, box, landmarks, side, image_quality(rgb, box, landmarks, confidence, side))


def image_quality(
    rgb: NDArray[np.uint8],
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    confidence: float,
    side: float,
) -> ImageQuality:
    """Quality of a usable face: the geometric mean of size, sharpness, confidence and pose, each in [0, 1]."""
    height, width = rgb.shape[:2]
    left, right = (int(v) for v in np.clip(box[[0, 2]], 0, width))
    top, bottom = (int(v) for v in np.clip(box[[1, 3]], 0, height))
    fine = detail(cv2.cvtColor(np.ascontiguousarray(rgb[top:bottom, left:right]), cv2.COLOR_RGB2GRAY))
    axis = landmarks[1] - landmarks[0]
    position = float(((landmarks[2] - landmarks[0]) * axis).sum() / max(float((axis**2).sum()), 1e-9))
    pose = max(0.0, 1.0 - 2.0 * abs(position - 0.5))
    parts = (min(1.0, side / GOOD_SIDE), min(1.0, fine / GOOD_DETAIL), min(1.0, confidence), pose)
    score = float(np.prod(parts)) ** 0.25
    return ImageQuality(*(round(value, 4) for value in (score, fine, confidence, pose)))


class EmbeddingQueue:
    """Chips in, vectors out, in batches of 16 and in the order they came.

    Args:
        embedder: Loaded.
    """

    def __init__(self, embedder: FaceEmbedder) -> None:
        self._embedder = embedder
        self._waiting: list[NDArray[np.uint8]] = []
        self._vectors: list[NDArray[np.float32] | None] = []

    def add(self, chips: NDArray[np.uint8]) -> range:
        """Queue ``(k, size, size, 3)``; the positions their vectors will have in :meth:`vectors`."""
        start = len(self._vectors) + len(self._waiting)
        for chip in chips:
            self._waiting.append(chip)
            if len(self._waiting) == BATCH:
                self._flush()
        return range(start, start + len(chips))

    def vectors(self) -> list[NDArray[np.float32] | None]:
        """All of them, ``(d,)`` each; ``None`` where the embedder gave no finite vector."""
        self._flush()
        return self._vectors

    def _flush(self) -> None:
        if self._waiting:
            chips, self._waiting = np.stack(self._waiting), []
            self._vectors += self._embedded(chips)

    def _embedded(self, chips: NDArray[np.uint8]) -> list[NDArray[np.float32] | None]:
        try:
            vectors = self._embedder.embed(chips)
        except ValueError:  # one of them has no direction: find out which
            if len(chips) == 1:
                return [None]
            return [vector for chip in chips for vector in self._embedded(chip[None])]
        if vectors.shape != (len(chips), self._embedder.dimension):
            return [None] * len(chips)
        return [vector if np.isfinite(vector).all() else None for vector in vectors]


def mean_vector(
    vectors: Sequence[NDArray[np.float32] | None], measure: Measure
) -> NDArray[np.float32] | None:
    """Template of several vectors ``(d,)``: their mean, raw for L2, of unit norm for cosine; ``None`` if one is."""
    there = [vector for vector in vectors if vector is not None]
    if not there or len(there) < len(vectors):
        return None
    if len(there) == 1:
        return there[0]
    try:
        return mean_embedding(np.stack(there), measure)
    except ValueError:
        return None


CHANGES = (
    ("as it is", 0.0, 0.0, 1.0), ("right, larger", 0.03, 0.0, 1.05), ("left and up, smaller", -0.03, -0.03, 0.95),
    ("down, JPEG", 0.0, 0.03, 1.0), ("blurred", 0.02, -0.02, 1.0), ("mirrored", 0.0, 0.0, 1.0),
)  # fmt: skip
"""Changes of a cohort picture: name, shift of the box to the right and down and its scale, as shares of its side."""

_JPEG = 50
_BLUR = 0.012
"""Sigma of the blur as a share of the face's side."""


def changed_chips(face: PortraitFace, embedder: FaceEmbedder) -> NDArray[np.uint8]:
    """The face as frames of a clip would show it, ``(6, size, size, 3)``: :data:`CHANGES`.

    A track's template is the mean of several frames, which lies closer to everybody than one picture's vector does.
    A cohort of single vectors would call coincidences rarer than they are.
    """
    rgb, box, landmarks = _surroundings(face)
    side = float(max(box[2] - box[0], box[3] - box[1]))
    chips = []
    for name, right, down, scale in CHANGES:
        shown, where, points = rgb, box, landmarks
        if name.endswith("JPEG"):
            shown = _recoded(rgb)
        elif name == "blurred":
            shown = np.asarray(cv2.GaussianBlur(rgb, (0, 0), max(_BLUR * side, 0.3)), np.uint8)
        elif name == "mirrored":
            width = rgb.shape[1]
            shown = np.ascontiguousarray(rgb[:, ::-1])
            where = np.array([width - box[2], box[1], width - box[0], box[3]], np.float32)
            points = landmarks[[1, 0, 2, 4, 3]] * np.array([-1, 1], np.float32)
            points[:, 0] += width - 1
        centre = np.array([where[0] + where[2], where[1] + where[3]]) / 2
        to = centre + np.array([right, down]) * side
        corners, five = ((xy - centre) * scale + to for xy in (where.reshape(2, 2), points))
        boxes = np.asarray(corners.reshape(1, 4), np.float32)
        chips.append(embedder.align(shown, boxes, np.asarray(five[None], np.float32))[0])
    return np.stack(chips)


def _surroundings(face: PortraitFace) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """The face with as much around it as it is wide, so that large photographs are not blurred and coded whole."""
    height, width = face.rgb.shape[:2]
    margin = float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
    left, top = (max(0, int(v - margin)) for v in face.box[:2])
    right, bottom = min(width, int(face.box[2] + margin)), min(height, int(face.box[3] + margin))
    corner = np.array([left, top], np.float32)
    rgb = np.ascontiguousarray(face.rgb[top:bottom, left:right])
    return rgb, face.box - np.tile(corner, 2), face.landmarks - corner


def _recoded(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    coded = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG])[1]
    shown = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(shown[..., ::-1])
