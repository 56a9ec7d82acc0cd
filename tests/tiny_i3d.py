"""A stand-in for StyleGAN-V's I3D, for tests: its call signature and preprocessing, a tiny random network."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH = 12


class TinyI3d(nn.Module):
    """``net(x, rescale, resize, return_features)``: ``(B, 3, T, H, W)`` in 0..255 -> ``(B, 12)``."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, width)

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        batch, _, length, height, width = x.shape
        x = x.float()
        if rescale:
            x = 2.0 * x / 255.0 - 1.0
        if resize:
            flat = x.permute(0, 2, 1, 3, 4).reshape(batch * length, 3, height, width)
            flat = nn.functional.interpolate(flat, size=[24, 24], mode="bilinear", align_corners=False)
            x = flat.reshape(batch, length, 3, 24, 24).permute(0, 2, 1, 3, 4)
        features: Tensor = self.head(torch.tanh(4.0 * self.conv(x)).mean(dim=[2, 3, 4]))
        return features if return_features else features.softmax(dim=1)


def save_tiny_i3d(path: Path, seed: int = 0, width: int = WIDTH) -> str:
    """Write the scripted network to ``path``; returns its sha256."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TinyI3d(width).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the published network is TorchScript too
        torch.jit.script(network).save(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()
