"""Trains ``storyworld-domain``: the guard that tells storyworld pictures from all others.

    python training/train_domain.py --data work/train --held-out work/held-out --pictures work/pictures \\
        --out work/domain

One side are drawn clips, with and without faults; the other are photographs, clip art and patterns
(``outliers.py``). A seventh of the pictures, chosen by their bytes, is kept from training. The threshold lies a
quarter of the way from the 99.9 % quantile of what is made of the kept pictures to the least sure held-out drawn
clip, and is baked into the network. A clip is drawn when the mean of its frames' logits is above 0 and no quarter of
them is far below. The same command goes on from the last checkpoint. Runs on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from outliers import Outliers, read_pictures
from storyworld_clips import load, load_faulty

SIDE = 64


class Guard(nn.Module):
    """``net(x)``: uint8 ``(B, 3, H, W)`` -> logits ``(B,)``; above 0 for pictures of the storyworld."""

    def __init__(self) -> None:
        super().__init__()
        self.side = SIDE  # an attribute: TorchScript reads no globals
        self.threshold = 0.0
        widths = (3, 16, 32, 64, 96)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride=1 if a == 3 else 2, padding=1, bias=False),
                    nn.BatchNorm2d(b),
                    nn.SiLU(),
                )
                for a, b in pairwise(widths)
            )
        )
        self.out = nn.Sequential(nn.Linear(2 * widths[-1], 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of pictures of any size."""
        x = x.float()
        if x.shape[2] != self.side or x.shape[3] != self.side:
            x = functional.interpolate(
                x, size=[self.side, self.side], mode="bicubic", align_corners=False, antialias=True
            ).clamp(0.0, 255.0)
        y = self.layers(x / 127.5 - 1.0)
        pooled = torch.cat([y.mean(dim=[2, 3]), y.amax(dim=[2, 3])], dim=1)
        return self.out(pooled).squeeze(1) - self.threshold


def drawn_of(
    clean: NDArray[np.uint8],
    faulty: NDArray[np.uint8],
    labels: list[dict[str, Any]],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """One frame of a drawn clip, faulty half of the time, changed a little."""
    i = int(rng.integers(len(labels)))
    broken = rng.random() < 0.5
    count = labels[i]["faulty_frames"] if broken else clean.shape[1]
    picture = (faulty if broken else clean)[i][int(rng.integers(count))]
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.3:
        gain, lift = rng.uniform((0.9, -10), (1.1, 10))
        picture = np.clip(picture * gain + lift, 0, 255).astype(np.uint8)
    return picture


@torch.no_grad()
def logits_of(network: nn.Module, pictures: NDArray[np.uint8], device: str) -> NDArray[np.float64]:
    """``(N, 64, 64, 3)`` -> ``(N,)``."""
    network.eval()
    rows = []
    for first in range(0, len(pictures), 256):
        x = torch.from_numpy(np.ascontiguousarray(pictures[first : first + 256])).permute(0, 3, 1, 2)
        rows.append(network(x.to(device)).double().cpu().numpy())
    network.train()
    return np.concatenate(rows)


def spread(network: nn.Module, held_out: Path, kept: Outliers, count: int, device: str) -> dict[str, float]:
    """Means of held-out drawn clips (least, median), their least quartile; logits of kept pictures."""
    (clean, labels), faulty = load(held_out), load_faulty(held_out)
    clips = [clip[::4] for clip in clean]
    clips += [clip[: label["faulty_frames"]][::4] for clip, label in zip(faulty, labels, strict=True)]
    logits = [logits_of(network, clip, device) for clip in clips]
    drawn = np.array([each.mean() for each in logits])
    quartiles = [np.quantile(each, 0.25, method="lower") for each in logits]
    rng = np.random.default_rng(5)
    others = logits_of(network, np.stack([kept(rng) for _ in range(count)]), device)
    return {
        "drawn_least": round(float(drawn.min()), 2),
        "drawn_median": round(float(np.median(drawn)), 2),
        "drawn_least_quartile": round(float(min(quartiles)), 2),
        "others_median": round(float(np.median(others)), 2),
        "others_999": round(float(np.quantile(others, 0.999)), 2),
        "others_most": round(float(others.max()), 2),
    }


def is_kept(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture is kept from training: by its bytes, so that further pictures change nothing."""
    return hashlib.sha256(picture.tobytes()).digest()[0] % 7 == 0


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    (clean, labels), faulty = load(args.data), load_faulty(args.data)
    photographs, drawings = read_pictures(args.pictures)
    print(f"{len(photographs)} photographs, {len(drawings)} pieces of clip art", flush=True)
    frames = clean[:2000:4, 8].copy()
    sides = [[[p for p in part if is_kept(p) == side] for part in (photographs, drawings)] for side in (0, 1)]
    outliers = Outliers(*sides[0], frames)
    kept = Outliers(*sides[1], load(args.held_out)[0][:, 8].copy())
    network = Guard().to(args.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=0.05)
    half = args.batch // 2
    target = torch.tensor([0.99] * half + [0.01] * half, device=args.device)

    def update(rng: np.random.Generator) -> dict[str, float]:
        pictures = [drawn_of(clean, faulty, labels, rng) for _ in range(half)]
        pictures += [outliers(rng) for _ in range(half)]
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(args.device)
        loss = functional.binary_cross_entropy_with_logits(network(x), target)
        loop.descend(loss, optimizer)
        return {"loss": float(loss.detach())}

    def found() -> dict[str, float]:
        return spread(network, args.held_out, kept, args.kept, args.device)

    loop.train(
        args,
        {"network": network},
        [optimizer],
        update,
        warm=100,
        measure=found,
        measured_every=500,
        write=lambda: None,  # a threshold is set at the end only
    )
    write_network(network, found(), args.out / "network.pt")


def write_network(network: nn.Module, found: dict[str, float], path: Path) -> None:
    """The network as TorchScript with its threshold, nearer to the others than to the drawn."""
    copy = Guard()
    copy.load_state_dict(network.state_dict())
    if found["drawn_least"] <= found["others_999"]:
        sys.exit(f"drawn clips and others overlap ({found}): train on, or on more pictures")
    copy.threshold = 0.75 * found["others_999"] + 0.25 * found["drawn_least"]
    print(json.dumps({**found, "threshold": copy.threshold}))
    torch.jit.script(copy.eval()).save(str(path))


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=4_000, lr=2e-3, batch=96)
    arguments.add_argument(
        "--pictures", type=Path, required=True, help="what is not drawn: photographs, clip art"
    )
    arguments.add_argument("--kept", type=int, default=4_000, help="pictures of the kept ones to measure on")
    train(arguments.parse_args())
