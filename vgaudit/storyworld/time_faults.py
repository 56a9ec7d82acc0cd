"""Faults of time: frames that stand still, are missing, are shown twice, or belong to another shot."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
Span = tuple[int, int]


def frozen(clip: Clip, span: Span, amount: float) -> Clip:
    """The frame before the span, for the whole span."""
    return np.repeat(clip[span[0] - 1 : span[0]], span[1] - span[0], axis=0)


def held(clip: Clip, span: Span, times: float) -> Clip:
    """Every frame shown ``times`` times, counted from the frame before the span."""
    first = span[0] - 1
    index = np.arange(span[0], span[1]) - first
    return clip[first + index // int(times) * int(times)]


def ghosts(clip: Clip, span: Span, share: float) -> Clip:
    """Each picture mixed with the one two frames earlier."""
    now, then = clip[span[0] : span[1]].astype(np.float32), clip[span[0] - 2 : span[1] - 2]
    return np.rint(now * (1 - share) + then * np.float32(share)).astype(np.uint8)


def dropped(clip: Clip, share: float, first: int) -> tuple[Clip, Span]:
    """The clip without the frames from ``first`` on; the span is the one frame after the gap."""
    count = max(1, min(round(share * len(clip)), len(clip) - first - 1))
    return np.delete(clip, np.s_[first : first + count], axis=0), (first, first + 1)


def span_without(span: Span, first: int, count: int) -> Span | None:
    """Where a span lies once ``count`` frames from ``first`` on are gone; ``None`` where all its frames are."""
    start, end = (at if at <= first else max(first, at - count) for at in span)
    return (start, end) if start < end else None


def other_shot(clip: Clip, span: Span, other: Clip | None) -> Clip:
    """The span replaced by another clip from its start; without one by this clip mirrored and cut closer."""
    out, (n, height, width) = clip.copy(), clip.shape[:3]
    for i in range(*span):
        if other is None:
            picture = clip[(i + n // 2) % n][
                height // 8 : height - height // 8, width // 8 : width - width // 8
            ][:, ::-1]
        else:
            picture = other[(i - span[0]) % len(other)]
        out[i] = resized(picture, height, width)
    return out


def resized(picture: Clip, height: int, width: int) -> Clip:
    """A picture at another size; averaged where it shrinks."""
    if picture.shape[:2] == (height, width):
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_LINEAR
    out: Clip = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=how)
    return out
