"""Find faces in one frame: MTCNN with landmarks, guarded against the inputs it crashes on.

One frame at a time, so that nothing else in the clip can change what is found in it. (On a CPU MTCNN gains
nothing from batches; in a batch, its non-maximum suppression shifts boxes by an offset per image, and the
rounding of that depends on the neighbours.)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import Unavailable
from vgaudit.extractors.base import make_fingerprint
from vgaudit.extractors.face_weights import MTCNN_NETS, installed_release
from vgaudit.video import short_side_size
from vgaudit.zoo.devices import Device, resolved_device, torch_device, torch_release

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
    """

    def __init__(self, min_face: int = 20, short_side: int = 720, device: Device = "auto") -> None:
        self.min_face = min_face
        self.short_side = short_side
        self.device = device
        self.fingerprint = make_fingerprint(
            "mtcnn",
            1,
            {
                "min_face": min_face,
                "short_side": short_side,
                "device": resolved_device(device),
                "torch": torch_release(),
                "facenet-pytorch": installed_release("facenet-pytorch"),
                "opencv": cv2.__version__,
            },
            nets=[net.sha256 for net in MTCNN_NETS],
        )

    def load(self) -> None:
        """Load the networks.

        Raises:
            Unavailable: facenet-pytorch is missing or its weights are not the known ones.
        """
        with _LOADING:
            self._mtcnn = _load_mtcnn(self.min_face, self.device)

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
        height, width = rgb.shape[:2]
        if not self.can_examine(height, width):
            raise ValueError(f"a frame of {width}x{height} px cannot hold a face of {self.min_face} px")
        small_height, small_width = short_side_size(height, width, self.short_side)
        small: NDArray[np.uint8] = rgb
        if (small_height, small_width) != (height, width):
            small = cv2.resize(rgb, (small_width, small_height), interpolation=cv2.INTER_AREA)
        found = self._detect_guarded(small)
        scale = np.array([width / small_width, height / small_height], np.float32)
        return Detections(found.boxes * np.tile(scale, 2), found.landmarks * scale, found.confidence)

    def _detect_guarded(self, rgb: NDArray[np.uint8]) -> Detections:
        """MTCNN, and once more with a border around the frame if a candidate box outside of it broke MTCNN."""
        try:
            return _run(self._mtcnn, rgb)
        except (RuntimeError, IndexError, ValueError):
            border = max(rgb.shape[:2]) // 2
        padded = cv2.copyMakeBorder(rgb, border, border, border, border, cv2.BORDER_REPLICATE)
        try:
            found = _run(self._mtcnn, padded)
        except (RuntimeError, IndexError, ValueError) as error:
            raise DetectionFailed(f"{type(error).__name__}: {error}") from error
        return Detections(found.boxes - border, found.landmarks - border, found.confidence)


def _run(mtcnn: Any, rgb: NDArray[np.uint8]) -> Detections:
    boxes, confidence, landmarks = mtcnn.detect(rgb, landmarks=True)
    if boxes is None:
        return NO_FACES
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    landmarks = np.asarray(landmarks, np.float32).reshape(-1, 5, 2)
    confidence = np.asarray(confidence, np.float32).reshape(-1)
    sane = np.isfinite(boxes).all(1) & np.isfinite(landmarks).all((1, 2)) & np.isfinite(confidence)
    sane &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, landmarks, confidence = boxes[sane], landmarks[sane], confidence[sane]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -area))
    return Detections(boxes[order], landmarks[order], confidence[order])


@cache
def _load_mtcnn(min_face: int, device: Device) -> Any:
    for net in MTCNN_NETS:  # before anything reads them: facenet_pytorch unpickles what lies there
        net.verified()
    try:
        import torch
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise Unavailable(f"the face detector cannot be imported: {error}", "pip install vgaudit") from error
    return MTCNN(keep_all=True, min_face_size=min_face, device=torch.device(torch_device(device))).eval()
