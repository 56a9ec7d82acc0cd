"""Faults of pictures: light, colour, shake, warping, noise, blur, blocks, and things that do not belong."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld.time_faults import Clip, Span, resized

Rng = np.random.Generator
Box = tuple[int, int, int, int]


def _bytes(values: NDArray[Any]) -> Clip:
    out: Clip = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return out


def flicker(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Gain that alternates between brighter and darker, unevenly."""
    swing = (0.6 + 0.4 * rng.random(len(clip))) * np.where(np.arange(len(clip)) % 2, 1, -1)
    return _bytes(clip * (1 + amount * swing).astype(np.float32)[:, None, None, None])


def exposure(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Darker at once; a clip that is dark already gets brighter by the same share of the range."""
    if clip.mean() < 48:
        return _bytes(clip + np.float32(amount * 128))
    return _bytes(clip * np.float32(1 - amount))


def drift(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Red rises and blue falls, a little more with every frame."""
    ramp = np.linspace(1 / len(clip), 1, len(clip), dtype=np.float32)[:, None, None, None]
    return _bytes(clip + ramp * amount * np.array([1.0, 0.0, -1.0], np.float32))


def jitter(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Each picture shifted by its own random way, at most ``amount`` of the short side, the edge repeated."""
    most = amount * min(clip.shape[1:3])
    angle, size = rng.uniform(0, 2 * np.pi, len(clip)), rng.uniform(0.6, 1.0, len(clip))
    angle += np.pi * np.arange(len(clip))
    out = np.empty_like(clip)
    for i, frame in enumerate(clip):
        dx, dy = most * size[i] * np.cos(angle[i]), most * size[i] * np.sin(angle[i])
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        out[i] = cv2.warpAffine(
            frame,
            move,
            (frame.shape[1], frame.shape[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def warp(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Space bends: a smooth field of displacements that swells, turns and dies away over the span."""
    n, height, width = clip.shape[:3]
    coarse = rng.standard_normal((2, 2, 5, 5)).astype(np.float32)
    fields = np.stack(
        [[cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in pair] for pair in coarse]
    )
    fields /= np.abs(fields).max()
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    out = np.empty_like(clip)
    for i, frame in enumerate(clip):
        swell = np.float32(amount * min(height, width) * np.sin(np.pi * (i + 0.75) / (n + 0.5)))
        c, s = np.cos(0.9 * i), np.sin(0.9 * i)
        dx, dy = swell * (c * fields[0, 0] + s * fields[1, 0]), swell * (c * fields[0, 1] + s * fields[1, 1])
        at_x, at_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
        out[i] = cv2.remap(frame, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return out


def noise(clip: Clip, amount: float, rng: Rng) -> Clip:
    """White noise, new in every frame and channel."""
    return _bytes(clip + np.float32(amount) * rng.standard_normal(clip.shape, np.float32))


def blur(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Out of focus."""
    sigma = max(0.3, amount * min(clip.shape[1:3]))
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])


def blocks(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Square blocks that show one colour, or a piece from elsewhere in the picture; new ones in every frame."""
    n, height, width = clip.shape[:3]
    side = max(4, min(height, width) // 8)
    out = clip.copy()
    corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    draws = rng.random((n, len(corners), 3))
    for i in range(n):
        for (y, x), (u, v, w) in zip(corners, draws[i], strict=True):
            if u >= amount:
                continue
            part = out[i, y : y + side, x : x + side]
            if v < 0.5:
                part[:] = np.clip(part.mean(axis=(0, 1)) + 90 * (w - 0.5), 0, 255)
            else:
                h, k = part.shape[:2]
                sy, sx = int(v * 7919) % (height - h + 1), int(w * (width - k + 1))
                part[:] = clip[i, sy : sy + h, sx : sx + k]
    return out


def jpeg(clip: Clip, amount: float, rng: Rng) -> Clip:
    """Each picture through JPEG of quality ``amount``."""
    out = np.empty_like(clip)
    for i, frame in enumerate(clip):
        _, data = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(amount)])
        decoded: Clip = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        out[i] = decoded[:, :, ::-1]
    return out


def swap_subject(clip: Clip, span: Span, box: Box, other: Clip | None, aligned: bool) -> Clip:
    """Within the box, the middle of another clip; without one, this one upside down in other colours.

    Where the other clip is aligned, its box is shown as it is.
    """
    x0, y0, x1, y1 = box
    out, soft = clip.copy(), _soft(box)
    if aligned and other is not None:
        out[span[0] : span[1], y0:y1, x0:x1] = other[span[0] : span[1], y0:y1, x0:x1]
        return out
    for i in range(*span):
        if other is None:
            piece = clip[i, y0:y1, x0:x1][::-1, ::-1, [1, 2, 0]]
        else:
            picture = other[(i - span[0]) % len(other)]
            h, w = picture.shape[:2]
            piece = resized(picture[h // 4 : h - h // 4, w // 4 : w - w // 4], y1 - y0, x1 - x0)
        here = clip[i, y0:y1, x0:x1]
        out[i, y0:y1, x0:x1] = _bytes(here + soft * (piece.astype(np.float32) - here))
    return out


def swap_colour(clip: Clip, span: Span, box: Box, amount: float, mask: NDArray[np.bool_] | None) -> Clip:
    """Within the box, and the mask if there is one, hues turned by ``amount`` degrees.

    What is grey gets a colour, the stronger the larger the turn, so that white and black things change as well.
    """
    x0, y0, x1, y1 = box
    out = clip.copy()
    for i in range(*span):
        soft = _soft(box) if mask is None else mask[i, y0:y1, x0:x1, None].astype(np.float32)
        here = np.ascontiguousarray(clip[i, y0:y1, x0:x1])
        hsv = cv2.cvtColor(here, cv2.COLOR_RGB2HSV).astype(np.int16)
        hsv[:, :, 0] = (hsv[:, :, 0] + round(amount / 2)) % 180
        hsv[:, :, 1] = np.maximum(hsv[:, :, 1], round(amount))
        hsv[:, :, 2] = np.maximum(hsv[:, :, 2], round(0.6 * amount))
        turned = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
        out[i, y0:y1, x0:x1] = _bytes(here + soft * (turned.astype(np.float32) - here))
    return out


def pop(clip: Clip, span: Span, box: Box) -> Clip:
    """A shaded disc that stands out from what is there, from nowhere and gone again."""
    x0, y0, x1, y1 = box
    out, side = clip.copy(), x1 - x0
    there = clip[span[0] : span[1], y0:y1, x0:x1].mean(axis=(0, 1, 2))
    colour = np.where(there > 127, 20, 235).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    inside: NDArray[Any] = np.clip((1.04 - np.hypot(x, y)) * side / 2, 0, 1)[:, :, None]
    disc = colour * (1 - 0.25 * (x + y)[:, :, None] / 2)
    for i in range(*span):
        here = clip[i, y0:y1, x0:x1]
        out[i, y0:y1, x0:x1] = _bytes(here + inside * (disc - here))
    return out


def _soft(box: Box) -> NDArray[np.float32]:
    """``(h, w, 1)``: 1 in the middle of a box, 0 at its edge, as an ellipse."""
    h, w = box[3] - box[1], box[2] - box[0]
    y = ((np.arange(h, dtype=np.float32) + 0.5) / h * 2 - 1)[:, None]
    x = ((np.arange(w, dtype=np.float32) + 0.5) / w * 2 - 1)[None]
    return np.clip((1 - (x**2 + y**2)) * np.float32(4), 0, 1).astype(np.float32)[:, :, None]
