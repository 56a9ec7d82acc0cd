"""Clips with a known face in them: real portraits planted into a moving background."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from vgaudit.extractors.base import Features
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.video import ClipInfo, Frames

UInt8 = NDArray[np.uint8]
FPS = 10.0


@cache
def astronaut() -> UInt8:
    """The public-domain astronaut portrait of scikit-image, ``(512, 512, 3)``."""
    return np.asarray(data.astronaut(), np.uint8)


@cache
def portrait(path: Path) -> UInt8:
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


# Boxes of head and shoulders, so that planted pictures are about twice as wide as the face.
CUTS = {
    "person_a/1.jpg": (200, 0, 575, 420),
    "person_b/1.jpg": (110, 20, 350, 290),
    "astronaut": (135, 10, 320, 230),
}


def head(shared_data: Path | None, name: str) -> UInt8:
    picture = astronaut() if name == "astronaut" else portrait(shared_data / "faces" / name)  # type: ignore[operator]
    left, top, right, bottom = CUTS[name]
    return picture[top:bottom, left:right]


def background(frames: int, height: int, width: int) -> UInt8:
    """A drifting, soft, colourful ground: nothing in it is a face."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(30, 220, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    clip = np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        clip[t] = np.roll(ground, 2 * t, axis=1)
    return clip


def planted(
    picture: UInt8, *, frames: int = 9, size: tuple[int, int] = (144, 192), width: int = 90,
    at: tuple[int, int] = (30, 20), during: range | None = None,
) -> UInt8:  # fmt: skip
    """A clip ``(frames, *size, 3)`` with ``picture``, ``width`` px wide, at left, top in the frames ``during``."""
    clip = background(frames, *size)
    small = cv2.resize(
        picture, (width, round(picture.shape[0] * width / picture.shape[1])), interpolation=cv2.INTER_AREA
    )
    left, top = at
    for t in during if during is not None else range(frames):
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + small.shape[1], size[1]), min(top + small.shape[0], size[0])
        clip[t, y0:y1, x0:x1] = small[y0 - top : y1 - top, x0 - left : x1 - left]
    return clip


@cache
def _extractor(options: str) -> FacesExtractor:
    extractor = FacesExtractor(FacesOptions.model_validate_json(options))
    extractor.load()
    return extractor


def faces_of(clip: UInt8, block: int | None = None, **options: Any) -> Features:
    """Features of a clip, pushed in blocks whose memory is overwritten afterwards, as a decoder may do."""
    extractor = _extractor(FacesOptions(**options).model_dump_json())
    extraction = extractor.start(info_of(clip))
    step = block or max(1, len(clip))
    for start in range(0, len(clip), step):
        part = clip[start : start + step].copy()
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / FPS))
        part[:] = 0
    return extraction.finish()


def info_of(clip: UInt8) -> ClipInfo:
    n, height, width = clip.shape[:3]
    return ClipInfo("clip.mp4", width, height, FPS, n, n / FPS, "h264", "mp4", "yuv420p")
