"""Frames made ready for a video network that does nothing to them itself: resized, cropped, rescaled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.video_preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def prepared(window: NDArray[np.uint8], how: Preprocessing, device: str = "cpu") -> Tensor:
    """Frames as ``how`` says: as VideoGPT (Yan et al. 2021, arXiv:2104.10157), torchvision or others do.

    Resized (bilinear, half-pixel centres: ``torch.nn.functional.interpolate``), the middle of it, then brought to the
    range and normalised. Rounded to whole values in between only where ``how`` says so. A frame at a time, which
    changes nothing and keeps large clips small in memory.

    Args:
        window: ``(t, h, w, 3)`` RGB.
        how: Size, crop and range.
        device: Where it is done.

    Returns:
        float32 ``(3, t, rows, columns)``.
    """
    import torch
    from torch.nn.functional import interpolate

    rows, columns = how.resized(window.shape[1], window.shape[2])
    top, left = how.offsets(rows, columns)
    height, width = how.picture
    frames = []
    for frame in window:
        picture = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))).to(device).float()
        if not how.whole:
            picture = picture / 255
        resized = interpolate(
            picture[None], size=(rows, columns), mode="bilinear", align_corners=False, antialias=how.antialias
        )[0]
        if how.whole:
            resized = resized.round().clamp(0, 255) / 255
        frames.append(resized[:, top : top + height, left : left + width])
    ready = torch.stack(frames, dim=1) * (how.high - how.low) + how.low
    if how.mean is None or how.std is None:
        return ready
    channels = (3, 1, 1, 1)
    mean = torch.tensor(how.mean, device=ready.device).view(channels)
    std = torch.tensor(how.std, device=ready.device).view(channels)
    return (ready - mean) / std
