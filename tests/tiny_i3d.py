"""Stand-ins for the two I3Ds, for tests: StyleGAN-V's call and preprocessing by a tiny random network, and the I3D
that is built here with random weights, at its own width or narrow.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vgaudit.zoo.inception_i3d import KINETICS_400, I3dShape, build

WIDTH = 12
NARROW = I3dShape(stem=(6, 6, 8), mixed=dict.fromkeys(KINETICS_400.mixed, (4, 4, 6, 4, 4, 4)), classes=WIDTH)
"""The same graph with few channels, which takes a fraction of the time."""


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


def drawn_inception(shape: I3dShape = NARROW, seed: int = 0) -> Any:
    """I3D with random weights that carry a clip's differences through all layers.

    Variances are so small that the epsilon beside them shows; no statistic is a zero or a one that hides a mistake.
    """
    network = build(shape)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        if name.endswith("conv3d.weight"):
            tensor.copy_(drawn * (2.0 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            tensor.copy_(0.002 + 0.05 * drawn.square())
        elif name.endswith("bn.weight"):
            tensor.copy_(0.1 + 0.01 * drawn)
        else:
            tensor.copy_(0.1 * drawn)
    return network.eval().requires_grad_(False)


def save_inception(path: Path, shape: I3dShape = NARROW, seed: int = 0) -> str:
    """Write an I3D with random weights as a file of tensors; returns its sha256.

    ``load_inception_i3d`` takes a narrow one while ``vgaudit.zoo.inception_i3d.KINETICS_400`` is that shape.
    """
    torch.save(drawn_inception(shape, seed).state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
