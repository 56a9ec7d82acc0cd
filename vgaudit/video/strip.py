"""A clip at a glance: frames at even distances side by side in one small picture, taken as the clip is decoded."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import MediaError
from vgaudit.video.frames import Frames

UInt8 = NDArray[np.uint8]

FRAMES = 8
"""Frames of a strip; fewer where the clip has fewer."""
HEIGHT, WIDTH = 96, 240
"""Pixels of a frame of the strip at most; a small clip is not enlarged."""
_KEPT = 4 * FRAMES


class ClipStrip:
    """Keeps frames at even distances without knowing how many will come.

    Every frame whose index is a multiple of the stride is kept, scaled down; when there are 32, every other one goes
    and the stride doubles. The frames shown lie nearest to even steps in time from the first frame to the last, so
    within a sixteenth of the clip's length (its frames evenly spaced) of where they should be.
    """

    def __init__(self) -> None:
        self._stride = 1
        self._count = 0
        self._kept: list[tuple[float, UInt8]] = []
        self._last: tuple[float, UInt8] | None = None

    def push(self, frames: Frames) -> None:
        """Take the next block; nothing of the block itself is held on to."""
        for picture, seconds in zip(frames.rgb, frames.pts_s, strict=True):
            if self._count % self._stride == 0:
                self._kept.append((float(seconds), _small(picture)))
                if len(self._kept) == _KEPT:
                    del self._kept[1::2]
                    self._stride *= 2
            self._count += 1
        if len(frames):
            self._last = (float(frames.pts_s[-1]), frames.rgb[-1].copy())

    def drawn(self) -> tuple[bytes, dict[str, Any]]:
        """The strip as a JPEG file, the same bytes each time, and its facts.

        Returns:
            The file, and ``times_s`` (seconds of the frames shown), ``width`` and ``height`` (pixels of each).

        Raises:
            MediaError: No frame was pushed, or the picture could not be written.
        """
        if self._last is None:
            raise MediaError("filmstrip", "a strip needs at least one frame")
        kept = [*self._kept]
        if self._last[0] > kept[-1][0]:
            kept.append((self._last[0], _small(self._last[1])))
        times = np.array([seconds for seconds, _ in kept])
        wanted = np.linspace(times[0], times[-1], min(FRAMES, len(kept)))
        chosen = sorted({int(np.argmin(np.abs(times - at))) for at in wanted})
        cells = [kept[i][1] for i in chosen]
        strip = np.concatenate(cells, axis=1)
        ok, data = cv2.imencode(
            ".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80]
        )
        if not ok:
            raise MediaError("filmstrip", "the strip could not be written as JPEG")
        height, width = cells[0].shape[:2]
        facts = {"times_s": [round(float(times[i]), 6) for i in chosen], "width": width, "height": height}
        return data.tobytes(), facts


def _small(picture: UInt8) -> UInt8:
    height, width = picture.shape[:2]
    scale = min(HEIGHT / height, WIDTH / width, 1.0)
    if scale == 1.0:
        return picture.copy()
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    step = max(
        1, int(1 / (3 * scale))
    )  # of a large frame every step-th pixel: still three for each that is shown
    thin = np.ascontiguousarray(picture[::step, ::step])
    return np.asarray(cv2.resize(thin, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
