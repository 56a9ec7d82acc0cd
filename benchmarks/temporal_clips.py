"""Clean clips and faulty copies of real ones, as the detectors of ``temporal`` see them; for benchmark and floors."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from clip_files import stored

from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal_signals import Found, Signals
from vgaudit.storyworld.faults import FaultTruth, plant
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import random_scene
from vgaudit.video import ClipInfo, ClipReader, Frames

STORYWORLD_SEED = 8_000_000_000
NEW_SEED = 8_100_000_000
"""Drawn clips from here on taught nothing."""
SIZES = ((64, 64), (192, 128))
"""Width and height of drawn clips, in turns."""
FAULTY_FRAMES = 64
"""Frames of a real clip at most that a fault is planted in."""
TRUTH = json.loads((Path(__file__).parent / "temporal_truth.json").read_text("utf-8"))["spans"]


@dataclass(frozen=True)
class Clip:
    """A clip's name, its signals, its freezes (and how many of them its script has), and its length in seconds."""

    name: str
    signals: Signals
    freezes: tuple[Found, ...]
    scripted: int
    seconds: float

    @property
    def is_real(self) -> bool:
        """Whether a camera took it."""
        return not self.name.startswith("storyworld")

    def is_true(self, kind: str, found: Found) -> bool:
        """Whether what was found is really there, and is what its kind says."""
        return any(
            2 * (min(found.end, end + 1) - max(found.first, first - 1)) >= found.end - found.first
            for first, end in self._spans(kind)
        )

    def touches_true(self, kind: str, first: int, end: int) -> bool:
        """Whether what a kind of finding tells is really there in one of these frames, or right beside them."""
        return any(first <= last and end >= begin for begin, last in self._spans(kind))

    def _spans(self, kind: str) -> Iterator[tuple[int, int]]:
        for first, end, _, kinds in TRUTH.get(self.name, ()):
            if kinds == "every kind" or kind in kinds:
                yield first, end


def real_clips(data: Path) -> list[str]:
    """Names below ``data`` of the real clips."""
    files = sorted((data / "fetv" / "real").glob("*.mp4"))
    files += [
        data / "clips" / n for n in ("chaplin.mp4", "mmaction_demo.mp4", "no_duration.webm", "pancake.mkv")
    ]
    return [f.relative_to(data).as_posix() for f in files]


def read(path: Path, most: int = sys.maxsize) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Frames and their times."""
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    with ClipReader(path) as clip:
        for block in clip:
            frames += list(block.rgb.copy())
            times += block.pts_s.tolist()
            if len(frames) >= most:
                break
    return np.stack(frames[:most]), np.array(times[:most])


def seen(name: str, frames: NDArray[np.uint8], times: NDArray[np.float64], still: bool = False) -> Clip:
    """Frames as the detectors see them; where the scene itself comes to stand still, a freeze is not told."""
    info = ClipInfo(
        path=name, width=frames.shape[2], height=frames.shape[1], fps=8.0, frames=len(frames),
        duration_s=float(times[-1]), codec="", container="", pixel_format="",
    )  # fmt: skip
    pixels, motion = PixelsExtractor().start(info), MotionExtractor(MotionOptions()).start(info)
    for first in range(0, len(frames), 16):
        block = Frames(frames[first : first + 16], first, times[first : first + 16])
        pixels.push(block)
        motion.push(block)
    moved = motion.finish()
    side = min(moved.facts["height"], moved.facts["width"])
    pictures = pixels.finish()
    difference = pictures["mae_next"]
    report = find_freezes(difference, times)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    freezes = tuple(Found(f.first + 1, f.last + 1, f.seconds) for f in (report.freezes if report else ()))
    return Clip(
        name,
        Signals.of(pictures.arrays, moved.arrays, side),
        () if still else freezes,
        len(freezes) if still else 0,
        float(times[-1]) + step,
    )


def clean(job: tuple[Path, str]) -> Clip:
    """A real clip, or a drawn one (``storyworld/SEED``)."""
    cv2.setNumThreads(1)
    data, name = job
    if name.startswith("storyworld/"):
        seed = int(name.partition("/")[2])
        width, height = SIZES[seed % 2]
        scene = random_scene(seed)
        frames = render(scene, seed, width=width, height=height).frames
        still = scene.action in ("sliding in", "standing still")
        return seen(name, frames, np.arange(len(frames)) / 8, still=still)
    return seen(name, *read(data / name))


def faulty(job: tuple[Path, str, str, str, str, int], crf: int | None = None) -> tuple[Clip, FaultTruth]:
    """A copy of a real clip, scaled down to a short side of 256, with a fault; another clip is what it cuts to.

    With ``crf`` it is what comes back after a run's encoder has stored it.
    """
    cv2.setNumThreads(1)
    data, name, other, kind, strength, seed = job
    frames, _ = read(data / name, FAULTY_FRAMES)
    further, _ = read(data / other, FAULTY_FRAMES)
    planted = plant(_small(frames), kind, strength, seed, other=further, fps=10.0)
    frames = planted.frames
    if crf is not None:
        with tempfile.TemporaryDirectory() as folder:
            frames = stored(frames, Path(folder) / "clip.mp4", crf, 10.0)
    return seen(name, frames, np.arange(len(frames)) / 10), planted.truth


def _small(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frames.shape[1:3]
    scale = 256 / min(height, width)
    if scale >= 1:
        return frames
    size = (round(width * scale), round(height * scale))
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])


def clean_jobs(data: Path, storyworld: int) -> Iterator[tuple[Path, str]]:
    """All real clips, and so many drawn ones."""
    for name in real_clips(data):
        yield data, name
    yield from drawn_jobs(data, storyworld, STORYWORLD_SEED)


def drawn_jobs(data: Path, storyworld: int, seed: int) -> Iterator[tuple[Path, str]]:
    """So many drawn clips, from a seed on."""
    for i in range(storyworld):
        yield data, f"storyworld/{seed + i}"
