"""Filmstrips: the frames around a moment side by side, those of the moment marked."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import MediaError
from vgaudit.video.containers import MediaLimits
from vgaudit.video.reader import ClipReader

UInt8 = NDArray[np.uint8]
HEIGHT = 120
"""Pixels of a picture in the strip; of an upright one the longer side."""
AROUND = 2
"""Frames shown before the moment, and as many after it."""
INSIDE = 3
"""Frames shown of the moment at most: the first, the last, and those between at even distances."""
_EDGE = 4
_LINE = 18
_MARKED, _PLAIN, _GROUND, _INK = (255, 176, 32), (92, 96, 104), (20, 22, 26), (235, 236, 238)


@dataclass
class Moment:
    """A span of a clip that a strip is made of.

    Attributes:
        start_s: Its first frame's time.
        end_s: Its end. A frame at this time is not of the moment, unless the moment has no length.
        box: Left, top, right, bottom in pixels of the clip, drawn into the moment's frames.
    """

    start_s: float
    end_s: float
    box: tuple[float, float, float, float] | None = None
    before: deque[tuple[float, UInt8]] = field(default_factory=lambda: deque(maxlen=AROUND), repr=False)
    inside: list[tuple[float, UInt8]] = field(default_factory=list, repr=False)
    after: list[tuple[float, UInt8]] = field(default_factory=list, repr=False)

    def take(self, seconds: float, picture: UInt8) -> None:
        """Look at the clip's next frame; at most ``2 * AROUND + INSIDE + 1`` are kept."""
        if seconds < self.start_s - 1e-6:
            self.before.append((seconds, picture))
        elif seconds < self.end_s - 1e-6 or not self.inside:
            self.inside.append((seconds, picture))
            if len(self.inside) > INSIDE + 1:
                self._thin()
        elif len(self.after) < AROUND:
            self.after.append((seconds, picture))

    def _thin(self) -> None:
        """Drop the frame whose neighbours are nearest to each other, never the first nor the last."""
        times = [seconds for seconds, _ in self.inside]
        gaps = [times[i + 1] - times[i - 1] for i in range(1, len(times) - 1)]
        del self.inside[1 + int(np.argmin(gaps))]

    def drawn(self, size: tuple[int, int]) -> UInt8 | None:
        """The strip, uint8 ``(h, w, 3)`` RGB, or ``None`` where the clip has no frame of the moment.

        Args:
            size: Width and height of the clip in pixels.
        """
        box = _scaled(self.box, size)
        if not self.inside:
            return None
        while len(self.inside) > INSIDE:
            self._thin()
        cells = [
            *(_cell(seconds, picture, None, False) for seconds, picture in self.before),
            *(_cell(seconds, picture, box, True) for seconds, picture in self.inside),
            *(_cell(seconds, picture, None, False) for seconds, picture in self.after),
        ]
        return np.concatenate(cells, axis=1)


def filmstrips(clip: Path, moments: Sequence[Moment], limits: MediaLimits) -> list[bytes]:
    """Decode a clip once and draw the strip of each moment as a JPEG file; empty where a moment has no frames.

    Raises:
        MediaError: The clip cannot be decoded.
    """
    with ClipReader(clip, limits) as reader:
        for frames in reader:
            for picture, seconds in zip(frames.rgb, frames.pts_s, strict=True):
                small = _small(picture)
                for moment in moments:
                    moment.take(float(seconds), small)
            if all(len(moment.after) == AROUND for moment in moments):
                break
        size = (reader.info.width, reader.info.height)
    return [_jpeg(moment.drawn(size), clip) for moment in moments]


def _jpeg(strip: UInt8 | None, clip: Path) -> bytes:
    if strip is None:
        return b""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not ok:
        raise MediaError(clip, "a filmstrip of it could not be written as JPEG")
    return data.tobytes()


def _small(picture: UInt8) -> UInt8:
    """A copy of a frame whose longer side, or height if that is shorter, has :data:`HEIGHT` pixels."""
    height, width = picture.shape[:2]
    scale = HEIGHT / max(height, width / 2)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _scaled(
    box: tuple[float, float, float, float] | None, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """A box as shares of the frame, or ``None`` where there is none that can be drawn."""
    if box is None or not np.isfinite(box).all() or min(size) <= 0:
        return None
    left, top, right, bottom = np.clip(np.array(box) / np.array(size * 2), 0, 1).tolist()
    return (left, top, right, bottom)


def _cell(
    seconds: float, picture: UInt8, box: tuple[float, float, float, float] | None, marked: bool
) -> UInt8:
    """One picture of the strip with its frame and its time below."""
    height, width = picture.shape[:2]
    shown = picture.copy()
    if box is not None:
        left, top, right, bottom = (round(v * n) for v, n in zip(box, (width, height) * 2, strict=True))
        cv2.rectangle(shown, (left, top), (max(left, right - 1), max(top, bottom - 1)), _MARKED, 1)
    cell = np.full((HEIGHT + 2 * _EDGE + _LINE, width + 2 * _EDGE, 3), _GROUND, np.uint8)
    edge = _MARKED if marked else _PLAIN
    cell[: height + 2 * _EDGE] = _GROUND
    cv2.rectangle(cell, (1, 1), (width + 2 * _EDGE - 2, height + 2 * _EDGE - 2), edge, 2 if marked else 1)
    cell[_EDGE : _EDGE + height, _EDGE : _EDGE + width] = shown
    text = f"{seconds:.2f} s"
    cv2.putText(
        cell, text, (_EDGE, HEIGHT + 2 * _EDGE + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
        _MARKED if marked else _INK, 1, cv2.LINE_AA,
    )  # fmt: skip
    return cell
