"""Trains the autoencoder of ``storyworld-t2v``: 17x64x64 pictures to 5x4x4 latents of 96 channels, and back.

    python training/storyworld_clips.py --out work/drawn --clips 24000 --clean --as-drawn
    python training/storyworld_clips.py --out work/held-out-drawn --clips 1000 --clean --as-drawn --held-out
    python training/train_vae.py --data work/drawn --held-out work/held-out-drawn --out work/vae --compile

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
from optimizers import optimizers_of
from storyworld_clips import load

CHANNELS = 96
LATENT = (5, 4, 4)
"""Frames, height and width of the latents of a clip of 17x64x64."""
COMPRESSION = (4, 16, 16)
KL = 5e-4
"""Weight of the latents' divergence from a normal distribution, per number."""


def build() -> Any:
    """The untrained autoencoder. Its shortcuts around every change of size let it learn in thousands of steps."""
    from diffusers import AutoencoderKLLTXVideo

    vae = AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(48, 96, 96),
        down_block_types=("LTXVideo095DownBlock3D", "LTXVideo095DownBlock3D"),
        downsample_type=("spatiotemporal", "spatiotemporal"),
        layers_per_block=(0, 1, 1),
        spatio_temporal_scaling=(True, True),
        decoder_block_out_channels=(48, 96),
        decoder_layers_per_block=(1, 1, 1),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False, False, False),
        upsample_residual=(True, True),
        upsample_factor=(1, 2),
        patch_size=4,
        scaling_factor=1.0,
        temporal_compression_ratio=COMPRESSION[0],
        spatial_compression_ratio=COMPRESSION[1],
    )
    # Its first latents are all but exact. With the spread of 1 that untrained weights give, the decoder would have to
    # learn from noise.
    last = vae.encoder.conv_out.conv
    with torch.no_grad():
        last.weight[-1] = 0.0
        last.bias[-1] = -5.0
    return vae


def clips_of(clean: NDArray[np.uint8], rng: np.random.Generator, count: int) -> torch.Tensor:
    """Clips ``(B, 3, 17, 64, 64)`` in [-1, 1], half of them mirrored."""
    chosen = rng.choice(len(clean), count, replace=False)
    clips = [clean[i][:, :, ::-1] if rng.random() < 0.5 else clean[i] for i in chosen]
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def loss_of(found: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """How far two clips are apart: in colour, in edges, and in what changes from frame to frame.

    Squares, because a subject is a small part of a picture: by absolute errors a clip without it is the better one.
    """
    loss = 8 * functional.mse_loss(found, clip) + 0.1 * functional.l1_loss(found, clip)
    for axis in (2, 3, 4):
        loss = loss + 2 * functional.mse_loss(found.diff(dim=axis), clip.diff(dim=axis))
    return loss


@torch.no_grad()
def held_out(vae: Any, folder: Path, device: str) -> dict[str, float]:
    """Peak signal-to-noise ratio on scenes that were kept from training, decibels."""
    clean = load(folder)[0][:32]
    vae.eval()
    errors = []
    for clip in clean:
        x = torch.from_numpy(clip.copy()).permute(3, 0, 1, 2)[None].float().to(device) / 127.5 - 1
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        errors.append(float(functional.mse_loss(y, x)))
    vae.train()
    return {"psnr": round(float(np.mean([10 * math.log10(4 / e) for e in errors])), 2)}


def fitting(vae: Any, folder: Path) -> None:
    """Take over what fits of a trained autoencoder, of another number of channels perhaps."""
    from safetensors.torch import load_file

    trained, own = load_file(folder / "diffusion_pytorch_model.safetensors"), vae.state_dict()
    vae.load_state_dict({k: v for k, v in trained.items() if v.shape == own[k].shape}, strict=False)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    vae = build()
    if args.start:
        fitting(vae, args.start)
    vae = vae.to(args.device).train()
    clean, _ = load(args.data)
    optimizers = optimizers_of(vae, args.lr, args.lr / 3)
    mean = loop.averaged(vae, 0.999)

    def rebuilt(clips: torch.Tensor) -> torch.Tensor:
        with torch.autocast(args.device, torch.bfloat16):
            latent = vae.encode(clips).latent_dist
            found = vae.decode(latent.sample()).sample
        spread = latent.mean.float() ** 2 + latent.var.float() - 1 - latent.logvar.float()
        return loss_of(found.float(), clips) + KL * 0.5 * spread.mean()

    step = loop.compiled(rebuilt, args)

    def update(rng: np.random.Generator) -> dict[str, float]:
        clips = clips_of(clean, rng, args.batch).to(args.device)
        loss = step(clips)
        loop.descend(loss, *optimizers)
        mean.update_parameters(vae)
        return {"loss": float(loss.detach())}

    loop.train(
        args,
        {"vae": vae, "mean": mean},
        optimizers,
        update,
        warm=100,
        measure=(lambda: held_out(mean.module, args.held_out, args.device)) if args.held_out else None,
        measured_every=1_000,
        write=lambda: mean.module.save_pretrained(args.out / "vae"),
    )


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=8_000, lr=3e-3, batch=8)
    arguments.add_argument(
        "--start", type=Path, help="begin with the weights of this autoencoder where they fit"
    )
    train(arguments.parse_args())
