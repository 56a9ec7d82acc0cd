"""Frames made ready for a video network that does nothing to them itself: resized, cropped, rescaled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.video_protocols import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def resized_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Rows and columns of a picture whose short side becomes ``size``.

    The long side is the product in float64, rounded up, as VideoGPT's published code has it. So it may be one more
    than the exact product asks for, even of a square: 50 x 50 to 224 gives 225 rows. The crop takes that away, but
    the resize sampled by it.
    """
    scale = size / min(height, width)
    return (size, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), size)


def crop_offsets(height: int, width: int, size: int) -> tuple[int, int]:
    """First row and first column of the square in the middle; of an odd margin the smaller half lies before it."""
    return (height - size) // 2, (width - size) // 2


def prepared(window: NDArray[np.uint8], how: Preprocessing, device: str = "cpu") -> Tensor:
    """Frames as VideoGPT (Yan et al. 2021, arXiv:2104.10157) prepares them for I3D.

    Divided by 255, resized (bilinear, half-pixel centres, no antialiasing: ``torch.nn.functional.interpolate``), the
    square in the middle, then brought to the range. No rounding to whole values in between. A frame at a time, which
    changes nothing and keeps large clips small in memory.

    Args:
        window: ``(t, h, w, 3)`` RGB.
        how: Size and range.
        device: Where it is done.

    Returns:
        float32 ``(3, t, size, size)``.
    """
    import torch
    from torch.nn.functional import interpolate

    rows, columns = resized_shape(window.shape[1], window.shape[2], how.size)
    top, left = crop_offsets(rows, columns, how.size)
    frames = []
    for frame in window:
        picture = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))).to(device).float() / 255
        resized = interpolate(picture[None], size=(rows, columns), mode="bilinear", align_corners=False)[0]
        frames.append(resized[:, top : top + how.size, left : left + how.size])
    return torch.stack(frames, dim=1) * (how.high - how.low) + how.low
