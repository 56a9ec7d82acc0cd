"""The three looks: how a subject is lit, and how a finished picture is graded."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld.settings import Setting
from vgaudit.storyworld.vocabulary import Look


def light_subject(image: NDArray[np.uint8], mask: NDArray[np.uint8], setting: Setting, look: Look) -> None:
    """Shade the masked pixels in place: from lit above to shaded below, or in two flat tones (anime)."""
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0 or h == 0:
        return
    part, inside = image[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    down = np.linspace(0, 1, h, dtype=np.float32)[:, None] + 0.25 * np.linspace(-1, 1, w, dtype=np.float32)
    dark = (down > 0.62).astype(np.float32) * 0.55 if look == "anime" else np.clip(down, 0, 1) ** 1.4
    channels = [low + dark * (high - low) for low, high in zip(setting.light, setting.shade, strict=True)]
    lit = cv2.multiply(part, cv2.merge([c.astype(np.float32) for c in channels]), dtype=cv2.CV_8U)
    if setting.glow and look != "anime":
        # A rim on the edge that faces the light: what the mask loses when it moves down by a little.
        step = max(1, round(image.shape[0] / 64))
        rim = cv2.subtract(inside, np.pad(inside, ((step, 0), (0, 0)))[:h])
        bright = [setting.glow * 90 * c for c in setting.light]
        cv2.add(lit, (*bright, 0.0), dst=lit, mask=rim)
    cv2.copyTo(lit, inside, part)


@cache
def _tables(look: Look) -> NDArray[np.uint8]:
    """``(256, 3)``: tone curve of each channel."""
    v = np.linspace(0, 1, 256)
    if look == "ad":  # clean and bright
        curves = [np.clip(v**0.90 * 1.03, 0, 1)] * 3
    elif look == "film":  # a soft S, teal shadows, warm lights
        s = v + 0.10 * np.sin(2 * np.pi * (v - 0.5)) * 0.9
        curves = [s * 0.96 + 0.02 * v, s * 0.94 + 0.015, s * 0.88 + 0.050]
    else:
        curves = [np.clip((v - 0.5) * 1.06 + 0.53, 0, 1)] * 3
    table: NDArray[np.uint8] = np.rint(np.clip(np.stack(curves, axis=1), 0, 1) * 255).astype(np.uint8)
    return table


@cache
def _vignette(height: int, width: int) -> NDArray[np.float32]:
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    dark = 0.30 * np.clip((x**2 + y**2) / 2, 0, 1) ** 1.3
    return np.asarray(1 - dark, np.float32)[:, :, None]


def grade(picture: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """A finished picture in its look; every pixel for itself, so boxes stay true."""
    out: NDArray[np.uint8] = cv2.LUT(picture, _tables(look)[None])
    if look == "film":
        grey = out.mean(axis=2, keepdims=True, dtype=np.float32)
        muted = (grey + (out - grey) * np.float32(0.80)) * _vignette(*out.shape[:2])
        out = np.clip(muted, 0, 255).astype(np.uint8)
    elif look == "anime":
        grey = out.mean(axis=2, keepdims=True, dtype=np.float32)
        out = np.clip(grey + (out - grey) * np.float32(1.28), 0, 255).astype(np.uint8)
    return out
