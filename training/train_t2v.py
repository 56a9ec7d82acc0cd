"""Trains ``storyworld-t2v``: a text-to-video diffusion pipeline for the storyworld, saved as a diffusers folder.

    python training/train_vae.py --data work/train --out work/vae
    python training/train_t2v.py --data work/train --vae work/vae/vae --out work/t2v --steps 20000

Flow matching on latents that are computed once (each clip and its mirror image), with captions drawn anew at every
step; the text encoder learns along. A tenth of the captions is empty, for guidance. A checkpoint is written every few
minutes; the same command goes on from it. Runs on CPU and GPU (``--device``).
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
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clip_texts import scene_of
from storyworld_clips import keep_curve, load
from train_clip import write_tokenizer
from train_vae import CHANNELS

from vgaudit.storyworld.scene import caption

TOKENS = 32
FRAME_RATE = 8
LATENT = (5, 4, 4)
_COMPRESSION = (4, 16, 16)
WITHOUT_TEXT = 0.1


def text_encoder(vocabulary: int) -> Any:
    """A small T5 encoder."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=96,
            d_kv=24,
            d_ff=192,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def transformer() -> Any:
    """The denoising network."""
    from diffusers import LTXVideoTransformer3DModel

    return LTXVideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=5,
        attention_head_dim=32,
        cross_attention_dim=160,
        num_layers=6,
        caption_channels=96,
    )


@torch.no_grad()
def latents_of(vae: Any, folder: Path, out: Path, device: str) -> torch.Tensor:
    """Means of the latents of all clips and of their mirror images, ``(N, 2, C, 5, 4, 4)``; computed once."""
    if out.exists():
        return torch.load(out, weights_only=True)
    clean, _, _ = load(folder)
    rows = []
    for first in range(0, len(clean), 16):
        clips = torch.from_numpy(clean[first : first + 16].copy()).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        both = torch.stack([clips, clips.flip(-1)], 1).flatten(0, 1).to(device)
        with torch.autocast(device, torch.bfloat16):
            latent = vae.encode(both).latent_dist.mean
        rows.append(latent.half().cpu().unflatten(0, (-1, 2)))
    latents = torch.cat(rows)
    torch.save(latents, out.with_suffix(".part"))
    out.with_suffix(".part").replace(out)
    return latents


def set_statistics(vae: Any, latents: torch.Tensor) -> None:
    """Give the autoencoder the mean and spread of its latents: the pipeline normalises by them."""
    wide = latents.float()
    vae.latents_mean.copy_(wide.mean(dim=(0, 1, 3, 4, 5)))
    vae.latents_std.copy_(wide.std(dim=(0, 1, 3, 4, 5)))


def loss_of(
    network: Any, encoder: Any, latents: torch.Tensor, ids: torch.Tensor, device: str
) -> torch.Tensor:
    """Flow matching: the network tells noise from picture at a random mixture of both."""
    noise = torch.randn_like(latents)
    # Logit-normal: the middle of the way is learnt most, as in Stable Diffusion 3 (Esser et al. 2024).
    share = torch.sigmoid(torch.randn(len(latents)) + 0.2).to(device)
    mixed = torch.lerp(latents, noise, share[:, None, None])
    with torch.autocast(device, torch.bfloat16):
        mask = ids != 0
        words = encoder(ids, attention_mask=mask)[0]
        found = network(
            hidden_states=mixed,
            encoder_hidden_states=words,
            timestep=share * 1000,
            encoder_attention_mask=mask,
            num_frames=LATENT[0],
            height=LATENT[1],
            width=LATENT[2],
            rope_interpolation_scale=(_COMPRESSION[0] / FRAME_RATE, *_COMPRESSION[1:]),
            return_dict=False,
        )[0]
    return functional.mse_loss(found.float(), noise - latents)


def train(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKLLTXVideo
    from transformers import PreTrainedTokenizerFast

    torch.manual_seed(args.seed)
    folder = args.out / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    encoder = text_encoder(write_tokenizer(folder)).to(args.device).train()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    network = transformer().to(args.device).train()
    vae = AutoencoderKLLTXVideo.from_pretrained(args.vae).to(args.device).eval()
    latents = latents_of(vae, args.data, args.out / "latents.pt", args.device)
    set_statistics(vae, latents)
    shape = (1, -1, 1, 1, 1)
    middle, spread = (t.view(shape).cpu() for t in (vae.latents_mean, vae.latents_std))
    scenes = [scene_of(label) for label in load(args.data)[2]]

    both = nn.ModuleDict({"network": network, "encoder": encoder})
    optimizer = torch.optim.AdamW(both.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
    mean = torch.optim.swa_utils.AveragedModel(
        both, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True
    )
    first, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for name, part in (("both", both), ("mean", mean), ("optimizer", optimizer)):
            part.load_state_dict(saved[name])
        first = int(saved["step"])
        keep_curve(args.out / "curve.jsonl", first)
    start = saved_at = time.perf_counter()
    losses: list[float] = []
    for step in range(first, args.steps):
        warm, done = min(1.0, (step + 1) / 300), step / args.steps
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        rng = np.random.default_rng([args.seed, step])
        torch.manual_seed(args.seed * 1_000_003 + step)
        chosen = rng.integers(len(scenes), size=args.batch)
        sides = rng.integers(2, size=args.batch)
        x = (latents[chosen, sides].float() - middle) / spread
        x = x.flatten(2).transpose(1, 2).to(args.device)
        texts = [
            "" if rng.random() < WITHOUT_TEXT else caption(scenes[i], int(rng.integers(2**31)))
            for i in chosen
        ]
        ids = tokenizer(texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
        loss = loss_of(network, encoder, x, ids.input_ids.to(args.device), args.device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(both)
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0:
            line = {"step": step + 1, "loss": round(float(np.mean(losses[-100:])), 4)}
            with (args.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            rate = (step + 1 - first) * args.batch / (time.perf_counter() - start)
            print(line, f"{rate:.1f} clips/s", flush=True)
        if time.perf_counter() - saved_at > 240 or step + 1 == args.steps:
            saved_at = time.perf_counter()
            parts = {"both": both, "mean": mean, "optimizer": optimizer}
            torch.save(
                {**{k: v.state_dict() for k, v in parts.items()}, "step": step + 1},
                checkpoint.with_suffix(".part"),
            )
            checkpoint.with_suffix(".part").replace(checkpoint)
            save(args.out / "pipeline", vae, tokenizer, mean.module["encoder"], mean.module["network"])


def save(out: Path, vae: Any, tokenizer: Any, encoder: Any, network: Any) -> None:
    """The pipeline as a diffusers folder, in half precision."""
    import copy

    from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline

    parts = [copy.deepcopy(part).half() for part in (vae, encoder, network)]
    pipeline = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0),
        vae=parts[0],
        text_encoder=parts[1],
        tokenizer=tokenizer,
        transformer=parts[2],
    )
    pipeline.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
