"""Trains the autoencoder of ``storyworld-t2v``: 17x64x64 pictures to 5x4x4 latents of 32 channels, and back.

    python training/storyworld_clips.py --out work/train --clips 20000
    python training/train_vae.py --data work/train --held-out work/held-out --out work/vae

It is diffusers' AutoencoderKLLTXVideo in small. The same command goes on from the last checkpoint. Runs on CPU and
GPU (``--device``).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from storyworld_clips import load

CHANNELS = 32
KL = 5e-4
"""Weight of the latents' divergence from a normal distribution, per number."""


def build() -> Any:
    """The untrained autoencoder."""
    from diffusers import AutoencoderKLLTXVideo

    return AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(24, 48, 72),
        decoder_block_out_channels=(32, 64, 88),
        layers_per_block=(1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False),
        decoder_spatio_temporal_scaling=(True, True, False),
        decoder_inject_noise=(False, False, False, False),
        downsample_type=("conv", "conv", "conv"),
        upsample_residual=(False, False, False),
        upsample_factor=(1, 1, 1),
        patch_size=4,
        scaling_factor=1.0,
    )


def clips_of(clean: NDArray[np.uint8], rng: np.random.Generator, count: int) -> torch.Tensor:
    """Clips ``(B, 3, 17, 64, 64)`` in [-1, 1], half of them mirrored."""
    chosen = rng.choice(len(clean), count, replace=False)
    clips = [clean[i][:, :, ::-1] if rng.random() < 0.5 else clean[i] for i in chosen]
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def loss_of(found: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """How far two clips are apart: in colour, in edges, and in what changes from frame to frame."""
    loss = functional.l1_loss(found, clip) + 0.5 * functional.mse_loss(found, clip)
    for axis in (-1, -2):
        loss = loss + functional.l1_loss(found.diff(dim=axis), clip.diff(dim=axis))
    return loss + functional.l1_loss(found.diff(dim=2), clip.diff(dim=2))


@torch.no_grad()
def held_out(vae: Any, folder: Path, device: str) -> dict[str, float]:
    """Peak signal-to-noise ratio on scenes that were kept from training, decibels."""
    clean = load(folder)[0][:100]
    vae.eval()
    errors = []
    for clip in clean:
        x = torch.from_numpy(clip.copy()).permute(3, 0, 1, 2)[None].float().to(device) / 127.5 - 1
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        errors.append(float(functional.mse_loss(y, x)))
    vae.train()
    return {"psnr": round(float(np.mean([10 * math.log10(4 / e) for e in errors])), 2)}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    vae = build().to(args.device).train()
    clean, _ = load(args.data)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
    mean = loop.averaged(vae, 0.995)

    def update(rng: np.random.Generator) -> dict[str, float]:
        clips = clips_of(clean, rng, args.batch).to(args.device)
        with torch.autocast(args.device, torch.bfloat16):
            latent = vae.encode(clips).latent_dist
            found = vae.decode(latent.sample()).sample
        spread = latent.mean.float() ** 2 + latent.var.float() - 1 - latent.logvar.float()
        loss = loss_of(found.float(), clips) + KL * 0.5 * spread.mean()
        loop.descend(loss, optimizer)
        mean.update_parameters(vae)
        return {"loss": float(loss.detach())}

    loop.train(
        args,
        {"vae": vae, "mean": mean},
        [optimizer],
        update,
        warm=100,
        measure=(lambda: held_out(mean.module, args.held_out, args.device)) if args.held_out else None,
        write=lambda: mean.module.save_pretrained(args.out / "vae"),
    )


if __name__ == "__main__":
    train(loop.arguments(__doc__, steps=4_000, lr=2e-3, batch=16).parse_args())
