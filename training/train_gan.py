"""Trains ``storyworld-gan``: a generator of storyworld clips, against a discriminator.

    python training/train_vae.py --data work/drawn --held-out work/held-out-drawn --out work/vae --compile
    python training/train_gan.py --data work/drawn --vae work/vae --out work/gan --compile

Both see latents of the autoencoder that ``storyworld-t2v`` has, and the embedding that ``storyworld-clip`` gives a
caption. The loss is relativistic (Jolicoeur-Martineau 2018) with gradient penalties on both sides, as in R3GAN
(Huang et al. 2024); the penalties are taken from finite differences, as in Lin et al. 2025. Clips with the caption
of another clip count as false besides (Reed et al. 2016). The discriminator sees clips at levels of noise and is told
the level (Wang et al. 2023). The same command goes on from the last checkpoint. Runs on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from clip_texts import scene_of
from storyworld_clips import load
from train_t2v import captions_of, latents_of
from train_vae import CHANNELS, LATENT, code_of

from vgaudit.zoo.clip_models import ClipChoice, load_clip
from vgaudit.zoo.storyworld_gan import NOISE, TEXT, latent_generator

WORDINGS = 4
"""Captions of each clip."""
PLACES = LATENT[0] * LATENT[1] * LATENT[2]
MISMATCH = 1.0
"""Weight of telling a clip from a clip with another caption."""
PENALTY = 2.0
"""Weight of the gradient penalties at the start; it falls to a tenth by half of the training."""
EVERY = 5
"""Steps from one penalty to the next, which then weighs as much more (lazy regularisation, Karras et al. 2020)."""
NEAR = 0.1
"""Length of the differences that stand for gradients, in each coordinate."""
WITHOUT_NOISE = 0.3
MEASURED = 12
"""Channels whose statistics are compared on the way; they hold most of what is seen."""


class Discriminator(nn.Module):
    """Latents ``(B, 80, 96)``, their share of noise ``(B,)``, an embedding ``(B, 128)`` to a score ``(B,)``."""

    def __init__(self, width: int = 128, layers: int = 5) -> None:
        super().__init__()
        self.enter = nn.Linear(CHANNELS, width)
        self.place = nn.Parameter(torch.randn(PLACES, width) * 0.02)
        self.told = nn.Sequential(nn.Linear(TEXT + 16, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.style = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.places = nn.ModuleList(_bottleneck(PLACES, 2 * PLACES) for _ in range(layers))
        self.channels = nn.ModuleList(_bottleneck(width, 2 * width) for _ in range(layers))
        self.narrow = nn.Linear(width, 16)
        self.sees = nn.Linear(16 * PLACES, 256)
        self.plain, self.asked, self.text = nn.Linear(256, 1), nn.Linear(256, 256), nn.Linear(width, 256)
        # Seen by no one but a training that goes on: how far the penalty has fallen.
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, latents: torch.Tensor, share: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        said = functional.normalize(embedding, dim=-1) * TEXT**0.5
        level = torch.cos(share[:, None] * torch.arange(16, device=share.device) * torch.pi)
        w = self.told(torch.cat([said, level], dim=-1))
        x = self.enter(latents) + self.place
        for style, places, channels in zip(self.style, self.places, self.channels, strict=True):
            gain, shift = style(w)[:, None].chunk(2, dim=-1)
            x = x + places(x.transpose(1, 2)).transpose(1, 2)
            x = x + channels(x * (1 + gain) + shift)
        x = functional.silu(self.sees(functional.silu(self.narrow(x)).flatten(1)))
        score: torch.Tensor = self.plain(x)[:, 0] + (self.asked(x) * self.text(w)).mean(1)
        return score


def _bottleneck(width: int, inside: int) -> nn.Sequential:
    """Almost nothing at the start, so that layers without normalisation can be stacked."""
    last = nn.Linear(inside, width)
    nn.init.normal_(last.weight, std=1e-3)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, inside), nn.SiLU(), last)


@torch.no_grad()
def embeddings_of(texts: Sequence[str], device: str) -> torch.Tensor:
    """What storyworld-clip makes of texts, ``(N, 128)``."""
    clip = load_clip(ClipChoice("storyworld-clip", "bundled", device=device))
    known = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    parts = [
        clip.network.encode_text(clip.tokenize(some).to(clip.device), normalize=True).float()
        for some in (list(known)[i : i + 2048] for i in range(0, len(known), 2048))
    ]
    return torch.cat(parts)[torch.tensor([known[text] for text in texts], device=clip.device)].to(device)


def noised(latents: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """With a share of each clip replaced by noise."""
    latents = latents.float()
    return torch.lerp(latents, torch.randn_like(latents), share[:, None, None])


def discriminator_loss(
    discriminator: Discriminator,
    real: torch.Tensor,
    false: torch.Tensor,
    share: torch.Tensor,
    embedding: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss without penalties, and how far real clips are ahead."""
    scores = discriminator(
        torch.cat([real, false, real]),
        share.repeat(3),
        torch.cat([embedding, embedding, embedding.roll(1, 0)]),
    )
    real_, false_, wrong = scores.float().chunk(3)
    loss = functional.softplus(false_ - real_).mean() + MISMATCH * functional.softplus(wrong - real_).mean()
    return loss, (real_ - false_).mean()


def steepness(
    discriminator: Discriminator,
    real: torch.Tensor,
    false: torch.Tensor,
    share: torch.Tensor,
    embedding: torch.Tensor,
) -> torch.Tensor:
    """Mean squared length of the scores' gradients at real and at false clips, summed.

    Taken along random directions: E[(D(x + s n) - D(x))^2] / s^2 is the squared length for small s.
    """
    both = torch.cat([real, false])
    near = both + NEAR * torch.randn_like(both)
    here, there = (
        discriminator(torch.cat([both, near]), share.repeat(4), embedding.repeat(4, 1)).float().chunk(2)
    )
    return 2 * ((there - here) / NEAR).square().mean()


def generator_loss(
    generator: nn.Module,
    discriminator: Discriminator,
    real: torch.Tensor,
    z: torch.Tensor,
    share: torch.Tensor,
    embedding: torch.Tensor,
) -> torch.Tensor:
    """How far its clips are behind real ones."""
    false = noised(generator(z, embedding), share)
    with torch.no_grad():
        real_ = discriminator(noised(real, share), share, embedding)
    return functional.softplus((real_ - discriminator(false, share, embedding)).float()).mean()


def moments(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance."""
    rows = rows.double()
    return rows.mean(0), torch.cov(rows.T)


def frechet(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Distance of two normal distributions."""
    values, axes = torch.linalg.eigh(a[1])
    root = (axes * values.clamp_min(0).sqrt()) @ axes.T
    cross = torch.linalg.eigvalsh(root @ b[1] @ root).clamp_min(0).sqrt().sum()
    return float(((a[0] - b[0]) ** 2).sum() + a[1].trace() + b[1].trace() - 2 * cross)


def train(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKLLTXVideo
    from safetensors.torch import save_file

    torch.manual_seed(args.seed)
    vae = AutoencoderKLLTXVideo.from_pretrained(args.vae / "vae")
    clips, labels = load(args.data)
    code = code_of(clips, args.vae / "code.pt")
    latents = latents_of(code, args.data, args.vae / "latents.pt", args.device).flatten(3)
    scale = vae.latents_std.float().view(1, 1, -1).to(args.device)
    texts = captions_of([scene_of(label) for label in labels], WORDINGS, args.seed, without_text=0.0)
    words = embeddings_of(texts, args.device).unflatten(0, (-1, WORDINGS))
    generator, discriminator = latent_generator().to(args.device), Discriminator().to(args.device)
    with torch.no_grad():  # begin with each channel's mean and spread
        some = latents[::16, 0].float().transpose(1, 2) / scale
        generator.out.weight.mul_(some.std((0, 1))[:, None] * 3**0.5)
        generator.out.bias.copy_(some.mean((0, 1)))
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=args.lr, betas=(0.0, 0.99), fused=True)
        for network in (generator, discriminator)
    ]
    mean = loop.averaged(generator, 0.999)

    def quick(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: torch.Tensor) -> Any:
            with torch.autocast(args.device, torch.bfloat16):
                return function(discriminator, *given)

        return loop.compiled(step, args)

    judged, steep, behind = (
        quick(discriminator_loss),
        quick(steepness),
        quick(partial(generator_loss, generator)),
    )

    def draw(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of so many clips, and the embedding of one caption each."""
        chosen, side, wording = (
            torch.from_numpy(rng.integers(n, size=count)).to(args.device) for n in (len(words), 2, WORDINGS)
        )
        return (latents[chosen, side].float().transpose(1, 2) / scale).contiguous(), words[chosen, wording]

    def levels() -> torch.Tensor:
        share = torch.sigmoid(torch.randn(args.batch, device=args.device))
        return share.where(torch.rand(args.batch, device=args.device) >= WITHOUT_NOISE, 0.0)

    def noise() -> torch.Tensor:
        return torch.randn(args.batch, NOISE, device=args.device)

    def update(rng: np.random.Generator) -> dict[str, torch.Tensor]:
        found = {}
        real, embedding = draw(rng, args.batch)
        share = levels()
        with torch.no_grad():
            false = noised(generator(noise(), embedding), share)
        given = noised(real, share), false, share, embedding
        loss, ahead = judged(*given)
        found |= {"discriminator": loss.detach(), "ahead": ahead.detach()}
        if int(discriminator.steps) % EVERY == EVERY - 1:
            done = min(1.0, float(discriminator.steps) / (0.5 * args.steps))
            steepest = steep(*given)
            loss = loss + 0.5 * EVERY * PENALTY * (0.55 + 0.45 * math.cos(math.pi * done)) * steepest
            found["steepness"] = steepest.detach()
        loop.descend(loss, optimizers[1])
        real, embedding = draw(rng, args.batch)
        discriminator.requires_grad_(False)
        loss = behind(real, noise(), levels(), embedding)
        loop.descend(loss, optimizers[0])
        discriminator.requires_grad_(True)
        discriminator.steps += 1
        mean.update_parameters(generator)
        return found | {"generator": loss.detach()}

    drawn = latents[:: max(1, len(latents) // 4096), 0, :MEASURED].float()
    of_drawn = moments((drawn / scale[0, 0, :MEASURED, None]).flatten(1))

    @torch.no_grad()
    def measure() -> dict[str, float]:
        state = torch.get_rng_state()
        torch.manual_seed(5)
        _, embedding = draw(np.random.default_rng(5), 4096)
        made = mean.module(torch.randn(4096, NOISE).to(args.device), embedding)
        torch.set_rng_state(state)
        found = moments(made[..., :MEASURED].transpose(1, 2).flatten(1))
        return {"distance": round(frechet(of_drawn, found), 1)}

    def write() -> None:
        state = {f"latents.{k}": v.half().contiguous() for k, v in mean.module.state_dict().items()}
        save_file(state, args.out / "generator.safetensors")

    parts: dict[str, Any] = {"generator": generator, "discriminator": discriminator, "mean": mean}
    loop.train(args, parts, optimizers, update, measure=measure, measured_every=500, write=write)


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=4_500, lr=3e-4, batch=64)
    arguments.add_argument("--vae", type=Path, required=True, help="folder that train_vae.py wrote")
    train(arguments.parse_args())
