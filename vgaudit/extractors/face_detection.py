"""Find faces in frames: MTCNN with landmarks, guarded against frames that it cannot take.

The networks are facenet-pytorch's and so is what they find; they are driven by :mod:`vgaudit.extractors.mtcnn`, which
says what differs. On a CPU one frame at a time is as fast as a batch; on a GPU it is not.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import Unavailable
from vgaudit.extractors.base import make_fingerprint
from vgaudit.extractors.face_weights import MTCNN_NETS, installed_release
from vgaudit.extractors.mtcnn import THRESHOLDS, Cascade, Found
from vgaudit.video import short_side_size
from vgaudit.zoo.devices import Device, resolved_device, torch_device, torch_release

DETECT_BATCH = {"cpu": 1, "cuda": 8}
"""Frames of one clip that are searched at once, by device."""

_LOADING = threading.Lock()


class DetectionFailed(RuntimeError):
    """The detector broke on a frame: nothing is known about the faces in it."""


@dataclass(frozen=True)
class Detections:
    """Faces of one frame, largest first, in pixels of the frame that was given.

    Attributes:
        boxes: float32 ``(n, 4)``: left, top, right, bottom; they can leave the frame.
        landmarks: float32 ``(n, 5, 2)``: x, y of left eye, right eye, nose, left and right corner of the
            mouth, as they lie in the picture.
        confidence: float32 ``(n,)`` in [0, 1].
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)


NO_FACES = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class FaceDetector:
    """MTCNN of facenet-pytorch, whose weights come inside its wheel.

    Args:
        min_face: Smallest face searched for: side in pixels of the frame *as detected in*.
        short_side: Frames are scaled down to this short side for detection, never up.
        device: Where the networks run.
        thresholds: Least score after each of the three networks; lower ones find more faces, and more that are none.
    """

    def __init__(
        self,
        min_face: int = 20,
        short_side: int = 720,
        device: Device = "auto",
        thresholds: tuple[float, float, float] = THRESHOLDS,
    ) -> None:
        self.min_face = min_face
        self.short_side = short_side
        self.device = device
        self.thresholds = thresholds
        other = {} if thresholds == THRESHOLDS else {"thresholds": thresholds}
        self.fingerprint = make_fingerprint(
            "mtcnn",
            2,
            {
                "min_face": min_face,
                "short_side": short_side,
                "device": resolved_device(device),
                "torch": torch_release(),
                "facenet-pytorch": installed_release("facenet-pytorch"),
                "opencv": cv2.__version__,
                **other,
            },
            nets=[net.sha256 for net in MTCNN_NETS],
        )

    def load(self) -> None:
        """Load the networks.

        Raises:
            Unavailable: facenet-pytorch is missing or its weights are not the known ones.
        """
        with _LOADING:
            self._cascade = _load_cascade(self.min_face, self.device, self.thresholds)

    @property
    def batch(self) -> int:
        """Frames that :meth:`detect_many` should be given at once."""
        return DETECT_BATCH[resolved_device(self.device)]

    def smallest_face(self, height: int, width: int) -> float:
        """Side in pixels of the given frame below which faces are not searched for."""
        return self.min_face * min(height, width) / min(short_side_size(height, width, self.short_side))

    def can_examine(self, height: int, width: int) -> bool:
        """Whether a frame of this size could hold a face of ``min_face`` at all."""
        return min(short_side_size(height, width, self.short_side)) >= self.min_face

    def detect(self, rgb: NDArray[np.uint8]) -> Detections:
        """Faces of one frame.

        Args:
            rgb: uint8 ``(height, width, 3)``.

        Raises:
            ValueError: The frame is too small, see :meth:`can_examine`.
            DetectionFailed: The detector broke on this frame.
        """
        return self.detect_many([rgb])[0]

    def detect_many(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Faces of each of several frames of one size; the same whichever frames are given together.

        Args:
            frames: uint8 ``(height, width, 3)`` each.

        Raises:
            ValueError: The frames are too small, see :meth:`can_examine`.
            DetectionFailed: The detector broke on these frames.
        """
        height, width = frames[0].shape[:2]
        if not self.can_examine(height, width):
            raise ValueError(f"a frame of {width}x{height} px cannot hold a face of {self.min_face} px")
        small_height, small_width = short_side_size(height, width, self.short_side)
        small = list(frames)
        if (small_height, small_width) != (height, width):
            size = (small_width, small_height)
            small = [cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in frames]
        try:
            found = self._cascade.detect(small)
        except (RuntimeError, IndexError, ValueError) as error:
            raise DetectionFailed(f"{type(error).__name__}: {error}") from error
        scale = np.array([width / small_width, height / small_height], np.float32)
        return [_largest_first(each, scale) for each in found]


def _largest_first(found: Found, scale: NDArray[np.float32]) -> Detections:
    """What makes sense of it, in pixels of the frame that was given."""
    boxes, landmarks, confidence = found.boxes * np.tile(scale, 2), found.landmarks * scale, found.scores
    sane = np.isfinite(boxes).all(1) & np.isfinite(landmarks).all((1, 2)) & np.isfinite(confidence)
    sane &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, landmarks, confidence = boxes[sane], landmarks[sane], confidence[sane]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -area))
    return Detections(boxes[order], landmarks[order], confidence[order])


@cache
def _load_cascade(min_face: int, device: Device, thresholds: tuple[float, float, float]) -> Cascade:
    for net in MTCNN_NETS:  # before anything reads them: facenet_pytorch unpickles what lies there
        net.verified()
    try:
        return Cascade(min_face, torch_device(device), thresholds)
    except ImportError as error:
        raise Unavailable(f"the face detector cannot be imported: {error}", "pip install vgaudit") from error
