"""Trains ``storyworld-gan``: a generator of storyworld clips, against a discriminator.

    python training/train_gan.py --data work/drawn --vae work/t2v/pipeline/vae --latents work/t2v/latents.pt \
        --out work/gan --compile

Both see latents of the autoencoder that ``storyworld-t2v`` has, computed by its training, and the embedding that
``storyworld-clip`` gives a caption. The loss is that of a relativistic pair with gradient penalties on both sides
(Huang et al. 2024), the gradients' length taken by differences (Lin et al. 2025); pictures with the caption of
another clip count as false besides. The same command goes on from the last checkpoint. Runs on CPU and GPU
(``--device``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from clip_texts import scene_of
from optimizers import optimizers_of
from storyworld_clips import load
from train_t2v import said
from train_vae import CHANNELS, LATENT

from vgaudit.zoo.clip_models import ClipChoice, load_clip
from vgaudit.zoo.storyworld_gan import NOISE, TEXT, latent_generator

CAPTIONS = 4
"""Captions that are embedded of each clip."""
PENALTY, STEP = 1.0, 0.1
"""Weight of the squared length of the discriminator's gradient, and the length over which it is taken."""


class Discriminator(nn.Module):
    """Latents ``(B, C, 5, 4, 4)`` and a text's embedding ``(B, 128)`` to a score ``(B,)``."""

    def __init__(self, width: int = 160, layers: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv3d(CHANNELS, width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv3d(width, width, 3, padding=1),
                nn.SiLU(),
                nn.Conv3d(width, width, 3, padding=1),
            )
            for _ in range(layers)
        )
        places = LATENT[0] * LATENT[1] * LATENT[2]
        self.narrow = nn.Conv3d(width, 16, 1)
        self.sees = nn.Linear(16 * places, 256)
        self.plain, self.asked, self.text = nn.Linear(256, 1), nn.Linear(256, 256), nn.Linear(TEXT, 256)

    def forward(self, latents: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        x = self.enter(latents)
        for layer in self.layers:
            x = x + layer(x)
        x = functional.silu(self.sees(functional.silu(self.narrow(x)).flatten(1)))
        text = self.text(functional.normalize(embedding, dim=-1) * TEXT**0.5)
        return self.plain(x)[:, 0] + (self.asked(x) * text).mean(1)


@torch.no_grad()
def embeddings_of(folder: Path, out: Path) -> torch.Tensor:
    """Embeddings of a few captions of every clip, ``(N, 4, 128)``; computed once."""
    if out.exists():
        return torch.load(out, weights_only=True)
    clip = load_clip(ClipChoice("storyworld-clip", "bundled", device="cpu"))
    rng = np.random.default_rng(0)
    rows = []
    for label in load(folder)[1]:
        texts = [t or "a video" for t in (said(scene_of(label), rng) for _ in range(CAPTIONS))]
        rows += texts
    known = {text: i for i, text in enumerate(dict.fromkeys(rows))}
    texts = [*known]
    parts = [
        clip.network.encode_text(clip.tokenize(texts[i : i + 256]).to(clip.device), normalize=True).float()
        for i in range(0, len(texts), 256)
    ]
    found = torch.cat(parts).cpu()[[known[text] for text in rows]].unflatten(0, (-1, CAPTIONS))
    torch.save(found, out.with_suffix(".part"))
    out.with_suffix(".part").replace(out)
    return found


def train(args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKLLTXVideo

    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    vae = AutoencoderKLLTXVideo.from_pretrained(args.vae)
    view = (1, -1, 1, 1, 1)
    middle, spread = (t.float().view(view) for t in (vae.latents_mean, vae.latents_std))
    latents = torch.load(args.latents, weights_only=True)
    words = embeddings_of(args.data, args.out / "embeddings.pt")
    made, judge = latent_generator().to(args.device).train(), Discriminator().to(args.device).train()
    makers = optimizers_of(made, args.lr, args.lr / 2, outer=("start", "out", "place."))
    judges = optimizers_of(judge, args.lr, args.lr / 2, outer=("enter", "plain"))
    mean = loop.averaged(made, 0.998)

    def picture(z: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return made(z, text).transpose(1, 2).unflatten(2, LATENT)

    def judged(
        real: torch.Tensor, false: torch.Tensor, text: torch.Tensor, jitter: torch.Tensor
    ) -> torch.Tensor:
        other = text.roll(1, 0)
        nudge = STEP * jitter
        with torch.autocast(args.device, torch.bfloat16):
            says = judge(
                torch.cat([real, false, real, real + nudge, false + nudge]),
                torch.cat([text, text, other, text, text]),
            )
        real_, false_, wrong, real_near, false_near = says.float().chunk(5)
        steep = ((real_near - real_) ** 2 + (false_near - false_) ** 2).mean() / STEP**2
        return (
            functional.softplus(false_ - real_).mean()
            + functional.softplus(wrong - real_).mean()
            + 0.5 * PENALTY * steep
        )

    def fooled(real: torch.Tensor, z: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        with torch.autocast(args.device, torch.bfloat16):
            real_, false_ = (
                judge(torch.cat([real, picture(z, text)]), torch.cat([text, text])).float().chunk(2)
            )
        return functional.softplus(real_ - false_).mean()

    judge_step, maker_step = loop.compiled(judged, args), loop.compiled(fooled, args)

    def update(rng: np.random.Generator) -> dict[str, float]:
        chosen, sides = rng.integers(len(latents), size=args.batch), rng.integers(2, size=args.batch)
        real = ((latents[chosen, sides].float() - middle) / spread).to(args.device)
        text = words[chosen, rng.integers(CAPTIONS, size=args.batch)].to(args.device)
        z = torch.randn(2, args.batch, NOISE).to(args.device)
        with torch.no_grad(), torch.autocast(args.device, torch.bfloat16):
            false = picture(z[0], text).float()
        judge_loss = judge_step(real, false, text, torch.randn_like(real))
        loop.descend(judge_loss, *judges)
        for p in judge.parameters():
            p.requires_grad_(False)
        maker_loss = maker_step(real, z[1], text)
        loop.descend(maker_loss, *makers)
        for p in judge.parameters():
            p.requires_grad_(True)
        mean.update_parameters(made)
        return {"judge": float(judge_loss.detach()), "maker": float(maker_loss.detach())}

    def write() -> None:
        from safetensors.torch import save_file

        state = {f"latents.{k}": v.half().contiguous() for k, v in mean.module.state_dict().items()}
        save_file(state, args.out / "generator.safetensors")

    parts = {"made": made, "judge": judge, "mean": mean}
    loop.train(args, parts, [*makers, *judges], update, warm=300, write=write)


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=10_000, lr=1e-3, batch=64)
    arguments.add_argument("--vae", type=Path, required=True, help="folder of the pipeline's autoencoder")
    arguments.add_argument("--latents", type=Path, required=True, help="latents.pt that train_t2v.py wrote")
    train(arguments.parse_args())
