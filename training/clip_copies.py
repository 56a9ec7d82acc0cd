"""Altered copies of clips on which a score of temporal quality has to stay put or fall."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from clip_files import Clip, stored

from vgaudit.extractors.flow_pair import dense_flow
from vgaudit.storyworld.faults import plant

FPS = 10.0
"""Of every rated clip."""

FAULTS = (
    "flicker", "exposure_jump", "jitter", "warp", "popping_object", "subject_swap", "jump_cut", "ghosting",
    "noise_burst", "dropped_frames",
)  # fmt: skip


def between_pairs(frames: Clip, between: Callable[[Clip, Clip], Sequence[Clip]], last: bool) -> Clip:
    made = [f for a, b in itertools.pairwise(frames) for f in between(a, b)]
    return np.stack([*made, frames[-1]] if last else made)


def mix(a: Clip, b: Clip, share: float) -> Clip:
    found: Clip = cv2.addWeighted(a, 1 - share, b, share, 0)
    return found


def halfway(a: Clip, b: Clip) -> Clip:
    """A frame between two, from both along half the flow."""
    one, other = (np.ascontiguousarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)) for f in (a, b))
    height, width = one.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    parts = []
    for picture, flow in ((a, dense_flow(one, other)), (b, dense_flow(other, one))):
        u, v = x - 0.5 * flow[..., 0], y - 0.5 * flow[..., 1]
        parts.append(cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return mix(parts[0], parts[1], 0.5)


def compressed(frames: Clip) -> Clip:
    """Frames after x264 at CRF 23."""
    with tempfile.TemporaryDirectory() as folder:
        return stored(frames, Path(folder) / "clip.mp4", crf=23, fps=FPS)


def half_frozen(frames: Clip) -> Clip:
    middle = len(frames) // 2
    return np.concatenate(
        [frames[:middle], np.repeat(frames[middle : middle + 1], len(frames) - middle, axis=0)]
    )


COPIES: dict[str, Callable[[Clip], Clip]] = {
    "frozen": lambda f: np.repeat(f[:1], len(f), axis=0),
    "frozen from the middle": half_frozen,
    "doubled": lambda f: np.repeat(f, 2, axis=0),
    "slowed, mixed between": lambda f: between_pairs(f, lambda a, b: (a, mix(a, b, 0.5)), last=True),
    "slowed, every frame mixed": lambda f: between_pairs(
        f, lambda a, b: (mix(a, b, 0.25), mix(a, b, 0.75)), last=False
    ),
    "slowed, flow between": lambda f: between_pairs(f, lambda a, b: (a, halfway(a, b)), last=True),
}
COPIES |= {
    f"{name}, x264": lambda f, make=COPIES[name]: compressed(make(f))  # type: ignore[misc]
    for name in (
        "frozen",
        "frozen from the middle",
        "doubled",
        "slowed, mixed between",
        "slowed, every frame mixed",
    )
}
CONTROLS: dict[str, Callable[[Clip], Clip]] = {
    "x264 alone": compressed,
    "backwards": lambda f: f[::-1],
    "every second frame": lambda f: f[::2],
    "smaller by 0.6": lambda f: np.stack(
        [cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for p in f]
    ),
    "each frame mixed with the next": lambda f: between_pairs(f, lambda a, b: (mix(a, b, 0.5),), last=False),
}


def altered(frames: Clip, index: int) -> Iterator[tuple[str, Clip]]:
    """Every copy by name, the clip itself as ``""``; faults are planted by the clip's index."""
    yield "", frames
    for name, make in (COPIES | CONTROLS).items():
        yield name, make(frames)
    for kind in FAULTS:
        yield f"fault {kind}", plant(frames, kind, "strong" if index % 2 else "moderate", index).frames
