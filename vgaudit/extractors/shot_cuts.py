"""Cuts between shots, found as frames stream past: PySceneDetect's content detector on a small copy of each frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Longer side of the copies, in pixels."""

THRESHOLD = 27.0
"""Mean change of hue, saturation and brightness, of 255, from which on a frame begins another shot: its default."""


class ShotCounter:
    """Number of each frame's shot, in the order of the frames."""

    def __init__(self) -> None:
        self._shot = 0
        self._detector: Any = None

    def push(self, index: int, rgb: NDArray[np.uint8]) -> int:
        """The shot's number, from 0, of the next frame: uint8 ``(height, width, 3)``."""
        from scenedetect.common import FrameTimecode
        from scenedetect.detectors.content_detector import ContentDetector

        if self._detector is None:
            self._detector = ContentDetector(threshold=THRESHOLD, min_scene_len=1)
        height, width = rgb.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        self._shot += bool(self._detector.process_frame(FrameTimecode(index, 25.0), small[..., ::-1]))
        return self._shot
