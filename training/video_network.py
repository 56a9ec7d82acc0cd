"""The network ``storyworld-video``: what it computes, in the call of the I3D that published FVDs use."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SIDE, WINDOW, FEATURES = 64, 16, 64


class SpaceTime(nn.Module):
    """A convolution in space that halves the size, and one in time over a residual."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(inner, outer, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.time = nn.Conv2d(outer, outer, (3, 1), padding=(1, 0), bias=False)
        self.time_norm = nn.BatchNorm2d(outer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, T, C, H, W)`` -> ``(B, T, C', H/2, W/2)``."""
        b, t = x.shape[0], x.shape[1]
        x = functional.silu(self.norm(self.space(x.flatten(0, 1))))
        c, h, w = x.shape[1], x.shape[2], x.shape[3]
        # Time becomes the rows of a picture whose columns are the places, so that 2-D kernels do the work.
        y = x.view(b, t, c, h * w).transpose(1, 2)
        y = y + functional.silu(self.time_norm(self.time(y)))
        return y.transpose(1, 2).reshape(b, t, c, h, w)


class StoryworldVideo(nn.Module):
    """``net(x, rescale, resize, return_features)``: uint8 ``(B, 3, 16, H, W)`` -> ``(B, 64)``.

    It sees the pictures and their changes from frame to frame. Features have about unit variance on the clips it
    was trained on, half of them with faults.
    """

    def __init__(self) -> None:
        super().__init__()
        self.side = SIDE  # an attribute: TorchScript reads no globals
        self.stem = nn.Conv2d(6, 16, 4, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.first = SpaceTime(16, 32)
        self.second = SpaceTime(32, 64)
        self.third = SpaceTime(64, 128)
        self.mix = nn.Linear(3 * 128, 192)
        self.out = nn.Linear(192, FEATURES)
        self.out_norm = nn.BatchNorm1d(FEATURES, affine=False)

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
    ) -> torch.Tensor:
        """Features of clips; with ``rescale`` from 0..255, with ``resize`` from any size."""
        b, t = x.shape[0], x.shape[2]
        frames = x.float().transpose(1, 2)
        if resize and (frames.shape[3] != self.side or frames.shape[4] != self.side):
            flat = functional.interpolate(
                frames.flatten(0, 1),
                size=[self.side, self.side],
                mode="bicubic",
                align_corners=False,
                antialias=True,
            )
            frames = flat.clamp(0.0, 255.0 if rescale else 1.0).view(b, t, 3, self.side, self.side)
        frames = frames / 127.5 - 1.0 if rescale else frames * 2.0 - 1.0
        change = torch.cat([torch.zeros_like(frames[:, :1]), frames[:, 1:] - frames[:, :-1]], dim=1)
        both = torch.cat([frames, 4.0 * change], dim=2)
        y = functional.silu(self.stem_norm(self.stem(both.flatten(0, 1))))
        y = y.view(b, t, y.shape[1], y.shape[2], y.shape[3])
        y = self.third(self.second(self.first(y)))
        places = y.mean(dim=[3, 4])
        # Faults are short: the strongest moment and the spread over time carry them, not the mean.
        pooled = torch.cat([places.mean(dim=1), places.std(dim=1), y.amax(dim=[3, 4]).amax(dim=1)], dim=1)
        return self.out_norm(self.out(functional.silu(self.mix(pooled))))
