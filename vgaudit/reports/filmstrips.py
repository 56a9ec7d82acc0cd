"""The filmstrip of a clip as its page shows it: slices of one picture, each of them a moment to go to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.reports.media import MediaFile

_MOST = 64
_LARGEST = 4096


@dataclass(frozen=True)
class StripFrame:
    """One frame: its moment in seconds, and where it begins in the picture, in pixels from the left."""

    at: float
    left: int


@dataclass(frozen=True)
class Strip:
    """The frames of a clip side by side in one picture; ``width`` and ``height`` are pixels of one frame."""

    url: str
    width: int
    height: int
    frames: tuple[StripFrame, ...]

    @property
    def whole(self) -> int:
        """Width of the whole picture in pixels."""
        return self.width * len(self.frames)


def strip_file(facts: Mapping[str, Any]) -> str | None:
    """Path of the picture relative to the run directory, from :attr:`vgaudit.records.ClipRecord.strip`."""
    file = facts.get("file")
    return file if isinstance(file, str) else None


def strip_of(facts: Mapping[str, Any], picture: MediaFile) -> Strip | None:
    """The strip, or ``None`` where none was stored or its facts do not fit a picture.

    Args:
        facts: :attr:`vgaudit.records.ClipRecord.strip`; read from a file, so not trusted.
        picture: The picture in the report.
    """
    times, width, height = facts.get("times_s"), facts.get("width"), facts.get("height")
    if not picture or picture.kind != "image" or not isinstance(times, (list, tuple)):
        return None
    if not 0 < len(times) <= _MOST or not all(_is_moment(t) for t in times):
        return None
    if not (_is_size(width) and _is_size(height)):
        return None
    assert isinstance(width, int)
    assert isinstance(height, int)
    frames = tuple(StripFrame(float(t), i * width) for i, t in enumerate(times))
    return Strip(picture.url, width, height, frames)


def _is_moment(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
