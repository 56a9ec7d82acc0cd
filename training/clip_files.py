"""Frames of stored clips, decoded as the product decodes them, so that training sees what serving sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode

Clip = NDArray[np.uint8]


def read(path: Path) -> Clip:
    """All frames of a clip, ``(T, H, W, 3)``."""
    with ClipReader(path) as clip:
        return np.concatenate([block.rgb for block in clip])


def stored(frames: Clip, path: Path, crf: int, fps: float = 8.0) -> Clip:
    """Frames as they come back after a run's own encoder wrote them to ``path``."""
    encode(frames, fps, path, EncoderSettings(crf=crf))
    return read(path)
