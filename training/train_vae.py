"""Trains the autoencoder of ``storyworld-t2v``: 17x64x64 pictures to 5x4x4 latents of 96 channels, and back.

    python training/storyworld_clips.py --out work/drawn --clips 24000 --clean --as-drawn
    python training/storyworld_clips.py --out work/held-out-drawn --clips 1000 --clean --as-drawn --held-out
    python training/train_vae.py --data work/drawn --held-out work/held-out-drawn --out work/vae --compile

It is diffusers' AutoencoderKLLTXVideo in small. Its latents are those of ``block_code.py``, which stands in closed
form: the decoder begins as the inverse of that code and learns to draw better from it, the encoder learns to give it.
The same command goes on from the last checkpoint. Runs on CPU and GPU (``--device``).
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
from block_code import BlockCode, write_decoder
from optimizers import optimizers_of
from storyworld_clips import load

CHANNELS = 96
LATENT = (5, 4, 4)
"""Frames, height and width of the latents of a clip of 17x64x64."""
COMPRESSION = (4, 16, 16)
SHAKEN = 0.1
"""Noise on what the decoder learns from, in spreads of a latent: a generator's latents are never exact."""
_LEARNT_FROM = 1_500
"""Clips that the code is computed from."""


def build() -> Any:
    """The untrained autoencoder."""
    from diffusers import AutoencoderKLLTXVideo

    vae = AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(48, 96, 96),
        down_block_types=("LTXVideo095DownBlock3D", "LTXVideo095DownBlock3D"),
        downsample_type=("spatiotemporal", "spatiotemporal"),
        layers_per_block=(0, 0, 0),
        spatio_temporal_scaling=(True, True),
        decoder_block_out_channels=(48, 96),
        decoder_layers_per_block=(0, 2, 2),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False, False, False),
        upsample_residual=(False, False),
        upsample_factor=(1, 2),
        patch_size=4,
        scaling_factor=1.0,
        temporal_compression_ratio=COMPRESSION[0],
        spatial_compression_ratio=COMPRESSION[1],
    )
    # No spread to draw from: the pipeline takes latents as they are.
    last = vae.encoder.conv_out.conv
    with torch.no_grad():
        last.weight[-1] = 0.0
        last.bias[-1] = -30.0
    return vae


def code_of(clean: NDArray[np.uint8], file: Path) -> BlockCode:
    """The code of these clips; computed once."""
    if file.exists():
        return BlockCode(**torch.load(file, weights_only=True))
    code = BlockCode.learn(pixels(clean[:: max(1, len(clean) // _LEARNT_FROM)]), CHANNELS)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(code.state_dict(), file)
    return code


def pixels(clips: NDArray[np.uint8], device: str = "cpu") -> torch.Tensor:
    """In [-1, 1]."""
    return torch.from_numpy(np.array(clips)).to(device).float() / 127.5 - 1


def clips_of(clean: NDArray[np.uint8], rng: np.random.Generator, count: int, device: str) -> torch.Tensor:
    """Clips ``(B, 17, 64, 64, 3)`` in [-1, 1], half of them mirrored."""
    chosen = rng.choice(len(clean), count, replace=False)
    clips = [clean[i][:, :, ::-1] if rng.random() < 0.5 else clean[i] for i in chosen]
    return pixels(np.stack(clips), device)


def loss_of(found: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """How far two clips are apart: in colour, in edges, and in what changes from frame to frame.

    Squares, because a subject is a small part of a picture: by absolute errors a clip without it is the better one.
    """
    loss = 8 * functional.mse_loss(found, clip) + 0.1 * functional.l1_loss(found, clip)
    for axis in (2, 3, 4):
        loss = loss + 2 * functional.mse_loss(found.diff(dim=axis), clip.diff(dim=axis))
    return loss


@torch.no_grad()
def held_out(vae: Any, code: BlockCode, folder: Path, device: str) -> dict[str, float]:
    """Peak signal-to-noise ratio on scenes kept from training, decibels: from the code, and from the encoder."""
    vae.eval()
    errors: dict[str, list[float]] = {"psnr": [], "psnr through the encoder": []}
    for clip in load(folder)[0][:32]:
        x = pixels(clip[None], device)
        given = x.permute(0, 4, 1, 2, 3)
        for name, latent in zip(errors, (code.encode(x), vae.encode(given).latent_dist.mode()), strict=True):
            errors[name].append(float(functional.mse_loss(vae.decode(latent).sample.clamp(-1, 1), given)))
    vae.train()
    return {k: round(float(np.mean([10 * math.log10(4 / e) for e in v])), 2) for k, v in errors.items()}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    clean, _ = load(args.data)
    code = code_of(clean, args.out / "code.pt")
    vae = build()
    write_decoder(vae, code, pixels(clean[:: max(1, len(clean) // 300)]))
    vae.latents_mean.zero_()
    vae.latents_std.copy_(latent_scale(code))
    vae = vae.to(args.device).train()
    optimizers = optimizers_of(vae, args.lr, args.lr / 3, outer=("conv_out",))
    mean = loop.averaged(vae, 0.995)
    code = code.to(args.device)
    spread = code.spread.view(1, -1, 1, 1, 1)

    def both_ways(clips: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.autocast(args.device, torch.bfloat16):
            found = vae.decode(latents + SHAKEN * spread * noise).sample
            given = vae.encode(clips).latent_dist.mean
        return loss_of(found.float(), clips) + 0.1 * functional.mse_loss(
            given.float() / spread, latents / spread
        )

    step = loop.compiled(both_ways, args)

    def update(rng: np.random.Generator) -> dict[str, torch.Tensor]:
        clips = clips_of(clean, rng, args.batch, args.device)
        latents = code.encode(clips)
        loss = step(clips.permute(0, 4, 1, 2, 3), latents, torch.randn_like(latents))
        loop.descend(loss, *optimizers)
        mean.update_parameters(vae)
        return {"loss": loss.detach()}

    loop.train(
        args,
        {"vae": vae, "mean": mean},
        optimizers,
        update,
        warm=100,
        measure=(lambda: held_out(mean.module, code, args.held_out, args.device)) if args.held_out else None,
        measured_every=1_000,
        write=lambda: mean.module.save_pretrained(args.out / "vae"),
    )


def latent_scale(code: BlockCode) -> torch.Tensor:
    """What the pipeline divides latents by.

    Neither their spreads, which would make the finest detail count as much as what a clip shows, nor one number,
    which would leave it without detail: square roots of the spreads, so that latents are of spread 1 together.
    """
    root = code.spread.sqrt()
    return root * (code.spread**2 / root**2).mean().sqrt()


if __name__ == "__main__":
    train(loop.arguments(__doc__, steps=2_500, lr=1e-3, batch=32).parse_args())
