"""Trains ``storyworld-domain``: the guard that tells storyworld pictures from all others.

    python training/storyworld_clips.py --out work/shapes --clips 5000 --any-size
    python training/storyworld_clips.py --out work/held-out-shapes --clips 500 --any-size --held-out
    python training/train_domain.py --data work/train --shapes work/shapes --held-out work/held-out \\
        --held-out-shapes work/held-out-shapes --pictures work/pictures --out work/domain \\
        --made work/made-t2v work/made-gan --held-out-made work/held-out-made-t2v work/held-out-made-gan

One side are drawn clips of any size and shape, with and without faults, softened as a generator softens, and clips
that generators made which learnt to draw (``generated_clips.py``); the other are photographs, clip art and patterns
(``outliers.py``). A seventh of the pictures, chosen by how they look from afar, is kept from training. The threshold
lies half-way between the 99.9 % quantile of what is made of the kept pictures and the least sure faultless held-out
clip, drawn or made, and is baked into the network. A clip is the storyworld's when the mean of its frames' logits is
above 0 and no quarter of them is far below. The same command goes on from the last checkpoint. Runs on CPU and GPU
(``--device``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from outliers import Outliers, compressed, read_pictures
from storyworld_clips import load, load_faulty

SIDE = 64
Picture = NDArray[np.uint8]


class Guard(nn.Module):
    """``net(x)``: uint8 ``(B, 3, H, W)`` -> logits ``(B,)``; above 0 for pictures of the storyworld."""

    def __init__(self) -> None:
        super().__init__()
        self.side = SIDE  # an attribute: TorchScript reads no globals
        self.threshold = 0.0
        widths = (3, 24, 48, 96, 128)
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


@dataclass(frozen=True)
class Clips:
    """Clips of one folder, mapped; of those that a generator made there are none with faults planted."""

    clean: Picture
    faulty: Picture | None
    labels: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: Path, made: bool = False) -> Clips:
        """The clips of a finished folder."""
        clean, labels = load(folder)
        return cls(clean, None if made else load_faulty(folder), labels)

    def picture(self, rng: np.random.Generator) -> Picture:
        """One frame, of a faulty clip half of the time if there are any."""
        i = int(rng.integers(len(self.labels)))
        if self.faulty is not None and rng.random() < 0.5:
            return self.faulty[i][int(rng.integers(self.labels[i]["faulty_frames"]))]
        return self.clean[i][int(rng.integers(self.clean.shape[1]))]


def picture_of(
    drawn: Sequence[Clips], made: Sequence[Clips], share: float, rng: np.random.Generator
) -> Picture:
    """A picture of the storyworld; ``share`` of them a generator made."""
    if rng.random() >= share:
        return drawn_of(drawn, rng)
    source = made[int(rng.integers(len(made)))]
    picture = np.ascontiguousarray(source.picture(rng))
    return compressed(np.ascontiguousarray(picture[:, ::-1]) if rng.random() < 0.5 else picture, rng)


def drawn_of(sources: Sequence[Clips], rng: np.random.Generator) -> Picture:
    """A drawn picture, changed as a generator that learnt to draw would change it: softer, flatter, blended."""
    source = sources[int(rng.integers(len(sources)))]
    picture = np.ascontiguousarray(source.picture(rng))
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if rng.random() < 0.1:
        picture = cv2.addWeighted(
            picture, share := float(rng.uniform(0.6, 0.95)), source.picture(rng), 1 - share, 0
        )
    if rng.random() < 0.3:
        gain, lift = rng.uniform((0.6, -12), (1.15, 12))
        picture = np.clip((picture - 127.5) * gain + 127.5 + lift, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.6)))
    if rng.random() < 0.1:
        noise = rng.normal(0, float(rng.uniform(2, 18)), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return compressed(picture, rng)


@torch.no_grad()
def logits_of(network: nn.Module, pictures: Picture, device: str) -> NDArray[np.float64]:
    """``(N, 64, 64, 3)`` -> ``(N,)``."""
    network.eval()
    rows = []
    for first in range(0, len(pictures), 256):
        x = torch.from_numpy(np.ascontiguousarray(pictures[first : first + 256])).permute(0, 3, 1, 2)
        rows.append(network(x.to(device)).double().cpu().numpy())
    network.train()
    return np.concatenate(rows)


def spread(
    network: nn.Module,
    held_out: Sequence[Clips],
    made: Sequence[Clips],
    kept: Outliers,
    count: int,
    device: str,
) -> dict[str, float]:
    """How far the sides are apart: clips by the mean of their frames, kept pictures one by one.

    Of clips without faults, drawn ones and made ones apart, the least, the median and the least lower quartile; of
    those with, the 1 % quantile. Pictures that are partly the storyworld's are learnt from but not measured by: there
    is no right answer to them.
    """
    faulty = [
        logits_of(network, clip[: label["faulty_frames"]][::4], device)
        for side in held_out
        if side.faulty is not None
        for clip, label in zip(side.faulty, side.labels, strict=True)
    ]
    rng = np.random.default_rng(5)
    others = logits_of(network, np.stack([kept(rng, whole=True) for _ in range(count)]), device)
    found = {
        "faulty_100": np.quantile([each.mean() for each in faulty], 0.01),
        "others_median": np.median(others),
        "others_999": np.quantile(others, 0.999),
        "others_most": others.max(),
    }
    for name, sides in (("drawn", held_out), ("made", made)):
        clean = [logits_of(network, clip[::4], device) for side in sides for clip in side.clean]
        means = np.array([each.mean() for each in clean])
        found |= {
            f"{name}_least": means.min(),
            f"{name}_median": np.median(means),
            f"{name}_least_quartile": min(np.quantile(each, 0.25, method="lower") for each in clean),
        }
    return {name: round(float(value), 2) for name, value in found.items()}


def is_kept(picture: Picture) -> bool:
    """Whether a picture is kept from training: by how it looks at 4x4, so that its other sizes are kept as well."""
    small = cv2.resize(np.ascontiguousarray(picture[..., :3]), (4, 4), interpolation=cv2.INTER_AREA).mean(
        axis=2
    )
    return hashlib.sha256(np.packbits(small > np.median(small)).tobytes()).digest()[0] % 7 == 0


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    sources = [Clips.of(args.data), Clips.of(args.shapes)]
    held_out = [Clips.of(args.held_out), Clips.of(args.held_out_shapes)]
    made, held_out_made = (
        [Clips.of(folder, made=True) for folder in folders] for folders in (args.made, args.held_out_made)
    )
    photographs, drawings = read_pictures(args.pictures)
    print(f"{len(photographs)} photographs, {len(drawings)} pieces of clip art", flush=True)
    sides = [[[p for p in part if is_kept(p) == side] for part in (photographs, drawings)] for side in (0, 1)]
    outliers, kept = (
        Outliers(*side, np.concatenate([clips.clean[:1000:2, 8] for clips in drawn]))
        for side, drawn in zip(sides, (sources, held_out), strict=True)
    )
    network = Guard().to(args.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=0.05)
    half = args.batch // 2
    target = torch.tensor([0.99] * half + [0.01] * half, device=args.device)

    def update(rng: np.random.Generator) -> dict[str, float]:
        pictures = [picture_of(sources, made, args.share, rng) for _ in range(half)]
        pictures += [outliers(rng) for _ in range(half)]
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(args.device)
        loss = functional.binary_cross_entropy_with_logits(network(x), target)
        loop.descend(loss, optimizer)
        return {"loss": float(loss.detach())}

    def found() -> dict[str, float]:
        return spread(network, held_out, held_out_made, kept, args.kept, args.device)

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
    """The network as TorchScript with its threshold, half-way between the others and the storyworld's clips."""
    copy = Guard()
    copy.load_state_dict(network.state_dict())
    least = min(found["drawn_least"], found["made_least"])
    if least <= found["others_999"]:
        sys.exit(f"the storyworld's clips and others overlap ({found}): train on, or on more pictures")
    copy.threshold = (found["others_999"] + least) / 2
    print(json.dumps({**found, "threshold": copy.threshold}))
    torch.jit.script(copy.eval()).save(str(path))


if __name__ == "__main__":
    arguments = loop.arguments(__doc__, steps=4_000, lr=2e-3, batch=96, measured=True)
    arguments.add_argument("--shapes", type=Path, required=True, help="further clips, of any size")
    arguments.add_argument("--held-out-shapes", type=Path, required=True, help="the same, held out")
    arguments.add_argument(
        "--made",
        type=Path,
        nargs="+",
        required=True,
        help="folders of generated_clips.py, learnt from as well",
    )
    arguments.add_argument(
        "--held-out-made", type=Path, nargs="+", required=True, help="others of them to measure on"
    )
    arguments.add_argument(
        "--share", type=float, default=0.35, help="share of made pictures among the storyworld's"
    )
    arguments.add_argument(
        "--pictures", type=Path, required=True, help="what is not drawn: photographs, clip art"
    )
    arguments.add_argument("--kept", type=int, default=4_000, help="pictures of the kept ones to measure on")
    train(arguments.parse_args())
