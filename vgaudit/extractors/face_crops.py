"""Pictures of faces for people to look at: the face with some of what surrounds it, as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160
"""Longer side of a picture, in pixels."""

SURROUND = 1.7
"""Side of the square that is shown, in longer sides of the face's box."""

JPEG_QUALITY = 90


def crop(rgb: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The part of a square around the box that lies in the frame, uint8 RGB, its longer side :data:`SIDE`.

    Args:
        rgb: uint8 ``(height, width, 3)``.
        box: ``(4,)``: left, top, right, bottom; may leave the frame.
    """
    height, width = rgb.shape[:2]
    left, top, right, bottom = (float(v) for v in box)
    half = SURROUND * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0 = int(np.clip(x - half, 0, width - 1)), int(np.clip(y - half, 0, height - 1))
    x1, y1 = int(np.clip(np.ceil(x + half), x0 + 1, width)), int(np.clip(np.ceil(y + half), y0 + 1, height))
    scale = SIDE / max(x1 - x0, y1 - y0)
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture: NDArray[np.uint8] = cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=how)
    return picture


def encoded(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a picture, uint8 RGB, as JPEG: ``(n,)``.

    Raises:
        ValueError: It cannot be encoded.
    """
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} could not be encoded as JPEG")
    return np.asarray(data, np.uint8).ravel()
