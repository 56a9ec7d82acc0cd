"""The linear code that ``storyworld-t2v`` works in: principal components of blocks of 4 frames and 16x16 pixels.

A clip of 17x64x64 is 5x4x4 blocks; the first frame stands for a block of four like it. The autoencoder of the
pipeline starts as this code, written into its layers, and learns to do better than it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

FRAMES, SIDE = 4, 16
"""Of a block."""
_LARGE = 150.0
"""A constant channel that keeps the decoder's last normalisation and activation in the straight part of their way."""


def blocks_of(clips: torch.Tensor) -> torch.Tensor:
    """Clips ``(B, 17, 64, 64, 3)`` to blocks ``(B, 5, 4, 4, 4, 16, 16, 3)``: places of blocks, then of pixels."""
    still = clips[:, :1].expand(-1, FRAMES, -1, -1, -1)
    whole = torch.cat([still, clips[:, 1:]], dim=1)
    count, frames, height, width, _ = whole.shape
    cut = whole.reshape(count, frames // FRAMES, FRAMES, height // SIDE, SIDE, width // SIDE, SIDE, 3)
    return cut.permute(0, 1, 3, 5, 2, 4, 6, 7)


def components(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean ``(d,)``, the first principal axes ``(d, count)`` and the spread along them ``(count,)``."""
    middle = rows.mean(0)
    centred = rows - middle
    values, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    return middle, axes[:, -count:].flip(1), values[-count:].flip(0).clamp_min(1e-8).sqrt()


@dataclass
class BlockCode:
    """A code of blocks.

    Attributes:
        middle: Mean block, ``(3072,)``.
        axes: ``(3072, channels)``.
        spread: Standard deviation of each coefficient, ``(channels,)``.
    """

    middle: torch.Tensor
    axes: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def learn(cls, clips: torch.Tensor, channels: int) -> BlockCode:
        """From clips ``(B, 17, 64, 64, 3)`` in [-1, 1]."""
        return cls(*components(blocks_of(clips).reshape(-1, FRAMES * SIDE * SIDE * 3), channels))

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Clips ``(B, 17, 64, 64, 3)`` to coefficients ``(B, channels, 5, 4, 4)``."""
        found = (blocks_of(clips).flatten(4) - self.middle) @ self.axes
        return found.movedim(-1, 1).contiguous()

    def to(self, device: str) -> BlockCode:
        """The code on a device."""
        return BlockCode(self.middle.to(device), self.axes.to(device), self.spread.to(device))

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"middle": self.middle, "axes": self.axes, "spread": self.spread}


@torch.no_grad()
def write_decoder(vae: Any, code: BlockCode, clips: torch.Tensor) -> None:
    """Set the decoder's layers so that it undoes the code, but for what its widths cannot hold.

    Every layer that is not needed for that begins as nothing: blocks with a shortcut only pass on.

    Args:
        vae: The autoencoder of ``train_vae.py``.
        code: What it is to undo.
        clips: ``(B, 17, 64, 64, 3)``, to find what halves and patches of blocks look like.
    """
    decoder = vae.decoder
    channels = code.axes.shape[1]
    halves = blocks_of(clips).unflatten(4, (2, 2)).unflatten(6, (2, 8)).unflatten(8, (2, 8))
    # -> (..., st, sh, sw, 2 frames, 8, 8, 3)
    halves = halves.permute(0, 1, 2, 3, 4, 6, 8, 5, 7, 9, 10)
    wide = decoder.up_blocks[0].upsamplers[0].conv.conv.out_channels // 8
    mean_half, axes_half, _ = components(halves.reshape(-1, 384), wide)
    patches = halves.unflatten(-3, (2, 4)).unflatten(-2, (2, 4))
    # (..., 2 frames, sh, 4, sw, 4, 3) -> (..., frame, sh, sw, 4, 4, 3)
    patches = patches.permute(*range(7), 7, 8, 10, 9, 11, 12)
    narrow = decoder.conv_out.conv.in_channels - 1
    mean_patch, axes_patch, _ = components(patches.reshape(-1, 48)[::7], narrow)

    def places(rows: torch.Tensor, frames: int, side: int) -> torch.Tensor:
        """Rows of pixels ``(frames * side * side * 3, k)`` by eighth of the block: ``(8, its pixels, k)``."""
        f, s = frames // 2, side // 2
        cut = rows.reshape(2, f, 2, s, 2, s, 3, -1).permute(0, 2, 4, 1, 3, 5, 6, 7)
        return cut.reshape(8, f * s * s * 3, -1)

    def centre(conv: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
        conv.weight.zero_()
        conv.weight[:, :, 1, 1, 1] = weight
        conv.bias.copy_(bias)

    def nothing(block: Any) -> None:
        block.conv2.conv.weight.zero_()
        block.conv2.conv.bias.zero_()

    for block in (*decoder.mid_block.resnets, *(r for up in decoder.up_blocks for r in up.resnets)):
        nothing(block)
    size = decoder.conv_in.conv.out_channels
    # Coefficients are of the size of their spread; the layers between work best with numbers near 1.
    centre(decoder.conv_in.conv, torch.diag(1 / code.spread)[:size], torch.zeros(size))
    axes = places(code.axes * code.spread, FRAMES, SIDE)
    middles = places(code.middle[:, None], FRAMES, SIDE)[..., 0]
    weight = torch.einsum("dk,edc->kec", axes_half, axes)  # out channel: k * 8 + eighth
    bias = torch.einsum("dk,ed->ke", axes_half, middles - mean_half)
    centre(decoder.up_blocks[0].upsamplers[0].conv.conv, weight.reshape(-1, channels), bias.reshape(-1))
    axes = places(axes_half, 2, 8)
    middles = places(mean_half[:, None], 2, 8)[..., 0]
    weight = torch.zeros(narrow + 1, 8, wide)
    bias = torch.full((narrow + 1, 8), _LARGE)
    weight[:narrow] = torch.einsum("dk,edc->kec", axes_patch, axes)
    bias[:narrow] = torch.einsum("dk,ed->ke", axes_patch, middles - mean_patch)
    centre(decoder.up_blocks[1].upsamplers[0].conv.conv, weight.reshape(-1, wide), bias.reshape(-1))
    # The last normalisation divides by the large channel, the activation halves; both are undone here. A patch of the
    # layer is ordered by colour, column, row.
    gain = 2 * _LARGE / (narrow + 1) ** 0.5
    pixels = (
        torch.cat([gain * axes_patch, torch.zeros(48, 1)], dim=1).reshape(4, 4, 3, -1).permute(2, 1, 0, 3)
    )
    constant = mean_patch.reshape(4, 4, 3).permute(2, 1, 0)
    centre(decoder.conv_out.conv, pixels.reshape(48, -1), constant.reshape(-1))
