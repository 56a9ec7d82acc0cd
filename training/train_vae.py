"""Trains the autoencoder of ``storyworld-t2v``: 17x64x64 pictures to 5x4x4 latents of 32 channels, and back.

    python training/storyworld_clips.py --out work/train --clips 20000
    python training/train_vae.py --data work/train --held-out work/held-out --out work/vae --steps 4000

It is diffusers' AutoencoderKLLTXVideo in small. A checkpoint is written every few minutes; the same command goes on
from it. Runs on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

from storyworld_clips import keep_curve, load

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
    args.out.mkdir(parents=True, exist_ok=True)
    vae = build().to(args.device).train()
    clean, _, _ = load(args.data)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
    mean = torch.optim.swa_utils.AveragedModel(
        vae, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    first, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for name, part in (("vae", vae), ("mean", mean), ("optimizer", optimizer)):
            part.load_state_dict(saved[name])
        first = int(saved["step"])
        keep_curve(args.out / "curve.jsonl", first)
    start = saved_at = time.perf_counter()
    losses: list[float] = []
    for step in range(first, args.steps):
        warm, done = min(1.0, (step + 1) / 100), step / args.steps
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        rng = np.random.default_rng([args.seed, step])
        torch.manual_seed(args.seed * 1_000_003 + step)
        clips = clips_of(clean, rng, args.batch).to(args.device)
        with torch.autocast(args.device, torch.bfloat16):
            latent = vae.encode(clips).latent_dist
            found = vae.decode(latent.sample()).sample
        spread = latent.mean.float() ** 2 + latent.var.float() - 1 - latent.logvar.float()
        loss = loss_of(found.float(), clips) + KL * 0.5 * spread.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(vae)
        losses.append(float(loss.detach()))
        line: dict[str, Any] = {"step": step + 1}
        if (step + 1) % 50 == 0:
            line["loss"] = round(float(np.mean(losses[-50:])), 4)
        if args.held_out and ((step + 1) % 500 == 0 or step + 1 == args.steps):
            line["held_out"] = held_out(mean.module, args.held_out, args.device)
        if len(line) > 1:
            with (args.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            rate = (step + 1 - first) * args.batch / (time.perf_counter() - start)
            print(line, f"{rate:.1f} clips/s", flush=True)
        if time.perf_counter() - saved_at > 240 or step + 1 == args.steps:
            saved_at = time.perf_counter()
            parts = {"vae": vae, "mean": mean, "optimizer": optimizer}
            torch.save(
                {**{k: v.state_dict() for k, v in parts.items()}, "step": step + 1},
                checkpoint.with_suffix(".part"),
            )
            checkpoint.with_suffix(".part").replace(checkpoint)
            mean.module.save_pretrained(args.out / "vae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, help="folder of held-out clips to measure on")
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
