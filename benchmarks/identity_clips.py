"""Clips in which a portrait moves over a ground and may become another one; for the benchmark and the floor."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from clip_files import stored

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.likeness.portraits import decode_portrait
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.identity_drift import faces_needed
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.video import ClipInfo, ClipReader, Frames

UInt8 = NDArray[np.uint8]

FRAMES, FPS = 32, 10.0
SIZE = (256, 320)
"""Height and width of the clips."""
FACE = 64
"""Pixels that a face is wide in them, at scale 1."""
SWAP = (12, 24)
"""Frames in which the other face shows; to the end in every second clip."""
BLEND = 6
"""Frames that a gradual change takes, the last of them whole."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture of one person.

    Attributes:
        person: Who.
        name: Which picture.
        rgb: ``(h, w, 3)``.
        box: Of the face, ``(4,)``.
        points: ``(5, 2)``: eyes, nose, corners of the mouth.
    """

    person: str
    name: str
    rgb: UInt8
    box: NDArray[np.float32]
    points: NDArray[np.float32]


@cache
def portraits(data: Path) -> tuple[Portrait, ...]:
    """Those of ``data/faces``, and scikit-image's astronaut; the largest face of each."""
    import skimage.data

    detector = FaceDetector()
    detector.load()
    pictures = {(p.parent.name, p.name): p for p in sorted((data / "faces").glob("*/*.jpg"))}
    rgb = {key: decode_portrait(path.read_bytes()) for key, path in pictures.items()}
    rgb["astronaut", "astronaut.png"] = np.asarray(skimage.data.astronaut(), np.uint8)
    out = []
    for (person, name), full in rgb.items():
        wide = detector.detect(full).boxes[0]
        shrink = 2 * FACE / float(wide[2] - wide[0])  # no larger than is of use: all that follows is quicker
        picture = cv2.resize(full, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        found = detector.detect(picture)
        out.append(Portrait(person, f"{person}/{name}", picture, found.boxes[0], found.landmarks[0]))
    return tuple(out)


def with_face_of(base: Portrait, other: Portrait, share: float) -> UInt8:
    """``base`` with the other's face blended into the place of its own, eyes on eyes; ``share`` 1 shows it alone."""
    turn, _ = cv2.estimateAffinePartial2D(other.points, base.points, method=cv2.LMEDS)
    height, width = base.rgb.shape[:2]
    laid = cv2.warpAffine(
        other.rgb, turn, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    left, top, right, bottom = (float(v) for v in base.box)
    middle = (round((left + right) / 2), round((top + bottom) / 2))
    axes = (round(0.56 * (right - left)), round(0.6 * (bottom - top)))
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.05 * (right - left))[..., None] * share
    return np.rint(base.rgb * (1 - mask) + laid * mask).astype(np.uint8)


def shares(strength: float, gradual: bool, back: bool) -> NDArray[np.float64]:
    """How much of the other face each frame shows, ``(FRAMES,)``."""
    first, end = SWAP[0], SWAP[1] if back else FRAMES
    at = np.arange(FRAMES)
    ramp = np.clip((at - first + 1) / (BLEND if gradual else 1), 0, 1)
    return np.where((at >= first) & (at < end), ramp, 0.0) * strength


def moving(base: Portrait, other: Portrait, share: NDArray[np.float64], seed: int) -> UInt8:
    """A clip ``(FRAMES, *SIZE, 3)`` of a portrait that drifts, tilts, comes closer and changes its light."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 170, (SIZE[0] // 24 + 2, SIZE[1] // 24 + 2, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC)
    left, top, right, bottom = (float(v) for v in base.box)
    middle = ((left + right) / 2, (top + bottom) / 2)
    reach = 1.1 * (right - left)
    cut = np.array([[middle[0] - reach, middle[1] - reach], [middle[0] + reach, middle[1] + 1.6 * reach]])
    (x0, y0), (x1, y1) = np.clip(np.rint(cut), 0, (base.rgb.shape[1], base.rgb.shape[0])).astype(int)
    swing, turn, zoom, light = rng.uniform(-1, 1, 4)
    clip = np.empty((FRAMES, *SIZE, 3), np.uint8)
    for t in range(FRAMES):
        way = t / (FRAMES - 1)
        picture = with_face_of(base, other, float(share[t])) if share[t] else base.rgb
        scale = FACE / (right - left) * (1 + 0.3 * zoom * (way - 0.5))
        shrink = cv2.getRotationMatrix2D(middle, 8 * turn * np.sin(2 * np.pi * way), scale)
        shrink[:, 2] += (SIZE[1] / 2 + 40 * swing * (way - 0.5) - middle[0], SIZE[0] * 0.45 - middle[1])
        soft = cv2.GaussianBlur(picture, (0, 0), max(0.4 / scale, 0.01))
        small = cv2.warpAffine(soft, shrink, SIZE[::-1])
        mask = np.zeros(base.rgb.shape[:2], np.float32)
        mask[y0:y1, x0:x1] = 1
        there = cv2.warpAffine(mask, shrink, SIZE[::-1])[..., None]
        lit = small * (1 + 0.25 * light * (way - 0.5))
        clip[t] = np.clip(np.rint(np.roll(ground, t, axis=1) * (1 - there) + lit * there), 0, 255)
    return clip


def through_the_encoder(clip: UInt8, crf: int) -> UInt8:
    """The clip as it comes back from a run's own encoder."""
    with tempfile.TemporaryDirectory() as folder:
        return stored(clip, Path(folder) / "clip.mp4", crf, FPS)


def blocks(clip: UInt8) -> Iterator[Frames]:
    """A clip in memory, as the reader would give it."""
    for first in range(0, len(clip), 16):
        part = clip[first : first + 16]
        yield Frames(part, first, (first + np.arange(len(part))) / FPS)


def info_of(clip: UInt8) -> ClipInfo:
    """Its facts."""
    n, height, width = clip.shape[:3]
    return ClipInfo("clip.mp4", width, height, FPS, n, n / FPS, "h264", "mp4", "yuv420p")


@cache
def _faces() -> FacesExtractor:
    extractor = FacesExtractor(FacesOptions(**faces_needed().options))
    extractor.load()
    return extractor


def measured(info: ClipInfo, frames: Iterator[Frames]) -> tuple[Measurement, Features]:
    """What the metric ``temporal`` says of a clip with the option ``faces``, and the faces it saw."""
    metric = Temporal(TemporalOptions(faces=True), MetricContext())
    started = {
        "pixels": PixelsExtractor().start(info),
        "motion": MotionExtractor(MotionOptions()).start(info),
        "faces": _faces().start(info),
    }
    for block in frames:
        for each in started.values():
            each.push(block)
    features = {name: each.finish() for name, each in started.items()}
    view = ClipView(Sample("clip", "clip", "", "benchmark"), info, "", features)
    return metric.measure(view), features["faces"]


def measured_file(path: Path) -> tuple[Measurement, Features, float]:
    """The same of a stored clip, and its length in seconds."""
    with ClipReader(path) as clip:
        said, faces = measured(clip.info, iter(clip))
        return said, faces, clip.info.duration_s
