"""I3D (Carreira and Zisserman, CVPR 2017): Inception v1 inflated to clips, for RGB and the 400 classes of Kinetics.

Built here from torch alone, with the parameter names of ``rgb_imagenet.pt``, the published PyTorch port of the
authors' network. Everything is padded as TensorFlow pads (:func:`same_padding`), which depends on the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.zoo.devices import Device
from vgaudit.zoo.tensors import VideoNetwork, fill, load_tensors

Channels = tuple[int, int, int, int, int, int]
"""Of a block's convolutions: 1x1; 1x1 and then 3x3; 1x1 and then 3x3; 1x1 after a pool."""


@dataclass(frozen=True)
class I3dShape:
    """Channel numbers of an I3D.

    Attributes:
        stem: Of the three convolutions before the first block.
        mixed: Of every Inception block, by its name, in order.
        classes: Logits.
    """

    stem: tuple[int, int, int]
    mixed: Mapping[str, Channels]
    classes: int


KINETICS_400 = I3dShape(
    stem=(64, 64, 192),
    mixed={
        "Mixed_3b": (64, 96, 128, 16, 32, 32),
        "Mixed_3c": (128, 128, 192, 32, 96, 64),
        "Mixed_4b": (192, 96, 208, 16, 48, 64),
        "Mixed_4c": (160, 112, 224, 24, 64, 64),
        "Mixed_4d": (128, 128, 256, 24, 64, 64),
        "Mixed_4e": (112, 144, 288, 32, 64, 64),
        "Mixed_4f": (256, 160, 320, 32, 128, 128),
        "Mixed_5b": (256, 160, 320, 32, 128, 128),
        "Mixed_5c": (384, 192, 384, 48, 128, 128),
    },
    classes=400,
)
"""The published network."""

FEWEST_FRAMES = 9
"""Below, less time is left than the average at the end spans."""

_EPS = 1e-3
_MOMENTUM = 0.01
_AVERAGE = (2, 7, 7)
"""Frames, rows and columns that the average at the end spans."""

_WHAT = "I3D (RGB, Kinetics-400)"

# Pools by their names: kernel and stride in time, rows and columns.
_POOLS = {
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
}
# Before which block a pool stands; the two others stand in the stem.
_POOL_BEFORE = {"Mixed_4b": "MaxPool3d_4a_3x3", "Mixed_5b": "MaxPool3d_5a_2x2"}


def load_inception_i3d(name_or_path: str, sha256: str | None, device: Device) -> VideoNetwork:
    """I3D with weights in the layout of ``rgb_imagenet.pt``: tensors by name, no code.

    Args:
        name_or_path: Catalogue name, or path of a local file.
        sha256: Digest the file must have; needed for a name whose digest is not established.
        device: Where it shall run.

    Returns:
        The network takes ``(n, 3, t, 224, 224)`` in [-1, 1], ``t`` at least :data:`FEWEST_FRAMES`, and gives logits
        ``(n, 400)``.

    Raises:
        Unavailable: The weights are not there, not those that were pinned, or not of this network.
    """
    tensors = load_tensors(name_or_path, sha256)
    network = build(KINETICS_400)
    where = fill(network, tensors.named, tensors.name, _WHAT, device)
    return VideoNetwork(network, where, {**tensors.facts, "device": where})


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's ``SAME``: zeros before and after ``size`` values, so that ``ceil(size / stride)`` come out.

    What is odd goes behind; torch's own ``padding`` would put as many on either side.
    """
    steps = -(-size // stride)
    total = max((steps - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def build(shape: I3dShape) -> Any:
    """The network with weights still to be loaded; parameters are named as in ``rgb_imagenet.pt``.

    ``network.features(x)`` gives what the last block makes of clips of any size, ``(n, c, t', h', w')``.
    """
    import torch
    from torch import nn
    from torch.nn.functional import avg_pool3d, max_pool3d, pad, relu

    Sizes = tuple[int, int, int]

    def padded(x: torch.Tensor, kernel: Sizes, stride: Sizes) -> torch.Tensor:
        """``x`` ``(n, c, t, h, w)`` with zeros around it."""
        sides = [same_padding(x.shape[2 + i], kernel[i], stride[i]) for i in range(3)]
        return pad(x, [zeros for side in reversed(sides) for zeros in side])

    class Unit(nn.Module):
        """Convolution, normalisation, ReLU."""

        def __init__(self, of: int, to: int, kernel: int = 1, stride: int = 1) -> None:
            super().__init__()
            self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
            self.conv3d = nn.Conv3d(of, to, kernel, stride, bias=False)
            self.bn = nn.BatchNorm3d(to, eps=_EPS, momentum=_MOMENTUM)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return relu(self.bn(self.conv3d(padded(x, self.kernel, self.stride))))

    class MaxPool(nn.Module):
        """Zeros around it are the port's; after a ReLU they are as good as nothing there, which TensorFlow takes."""

        def __init__(self, kernel: Sizes, stride: Sizes) -> None:
            super().__init__()
            self.kernel, self.stride = kernel, stride

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)

    class Mixed(nn.Module):
        """Inception block: four branches side by side."""

        def __init__(self, of: int, channels: Channels) -> None:
            super().__init__()
            self.b0 = Unit(of, channels[0])
            self.b1a, self.b1b = Unit(of, channels[1]), Unit(channels[1], channels[2], 3)
            self.b2a, self.b2b = Unit(of, channels[3]), Unit(channels[3], channels[4], 3)
            self.b3a, self.b3b = MaxPool((3, 3, 3), (1, 1, 1)), Unit(of, channels[5])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
            return torch.cat(branches, dim=1)

    class Logits(nn.Module):
        """A linear layer at every place."""

        def __init__(self, of: int) -> None:
            super().__init__()
            self.conv3d = nn.Conv3d(of, shape.classes, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.conv3d(x)
            return out

    class I3d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first, second, third = shape.stem
            self.stages = [
                "Conv3d_1a_7x7",
                "MaxPool3d_2a_3x3",
                "Conv3d_2b_1x1",
                "Conv3d_2c_3x3",
                "MaxPool3d_3a_3x3",
            ]
            self.Conv3d_1a_7x7 = Unit(3, first, 7, 2)
            self.Conv3d_2b_1x1 = Unit(first, second)
            self.Conv3d_2c_3x3 = Unit(second, third, 3)
            of = third
            for name, channels in shape.mixed.items():
                self.stages += [_POOL_BEFORE[name]] if name in _POOL_BEFORE else []
                self.stages.append(name)
                self.add_module(name, Mixed(of, channels))
                of = channels[0] + channels[2] + channels[4] + channels[5]
            for name, (kernel, stride) in _POOLS.items():
                self.add_module(name, MaxPool(kernel, stride))
            self.logits = Logits(of)

        def features(self, x: torch.Tensor) -> torch.Tensor:
            for name in self.stages:
                x = self.get_submodule(name)(x)
            return x

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = self.features(x)
            if tuple(seen.shape[3:]) != _AVERAGE[1:] or seen.shape[2] < _AVERAGE[0]:
                raise ValueError(
                    f"I3D got clips of shape {tuple(x.shape)}; expected (n, 3, {FEWEST_FRAMES} or more, 224, 224)"
                )
            out: torch.Tensor = self.logits(avg_pool3d(seen, _AVERAGE, stride=1))[..., 0, 0].mean(dim=2)
            return out

    return I3d()
