"""Trains ``storyworld-domain``: the guard that tells storyworld pictures from all others.

    python training/train_domain.py --data work/train --held-out work/held-out --pictures work/pictures \\
        --out work/domain --steps 4000

One side are drawn clips, with and without faults; the other are photographs, clip art and patterns
(``outliers.py``). A seventh of the pictures, chosen by their bytes, is kept from training. The threshold lies a
quarter of the way from the 99.9 % quantile of what is made of the kept pictures to the least sure held-out drawn
clip, and is baked into the network.
A clip is drawn when the mean of its frames' logits is above 0 and no quarter of them is far below.
A checkpoint is written every few minutes; the same command goes on from it. Runs on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

from outliers import Outliers, read_pictures
from storyworld_clips import keep_curve, load

SIDE = 64
BATCH = 96


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
    clean, faulty, labels = load(held_out)
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
    args.out.mkdir(parents=True, exist_ok=True)
    clean, faulty, labels = load(args.data)
    photographs, drawings = read_pictures(args.pictures)
    print(f"{len(photographs)} photographs, {len(drawings)} pieces of clip art", flush=True)
    frames = clean[:2000:4, 8].copy()
    sides = [[[p for p in part if is_kept(p) == side] for part in (photographs, drawings)] for side in (0, 1)]
    outliers = Outliers(*sides[0], frames)
    kept = Outliers(*sides[1], load(args.held_out)[0][:, 8].copy())
    network = Guard().to(args.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=0.05)
    first, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        first = int(saved["step"])
        keep_curve(args.out / "curve.jsonl", first)
    start = saved_at = time.perf_counter()
    losses: list[float] = []
    for step in range(first, args.steps):
        warm, done = min(1.0, (step + 1) / 100), step / args.steps
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        rng = np.random.default_rng([args.seed, step])
        pictures = [drawn_of(clean, faulty, labels, rng) for _ in range(BATCH // 2)]
        pictures += [outliers(rng) for _ in range(BATCH // 2)]
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(args.device)
        target = torch.tensor([1.0] * (BATCH // 2) + [0.0] * (BATCH // 2), device=args.device)
        loss = functional.binary_cross_entropy_with_logits(network(x), target * 0.98 + 0.01)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        line: dict[str, Any] = {"step": step + 1}
        if (step + 1) % 50 == 0:
            line["loss"] = round(float(np.mean(losses[-50:])), 4)
        if (step + 1) % 500 == 0 or step + 1 == args.steps:
            line["held_out"] = spread(network, args.held_out, kept, args.kept, args.device)
        if len(line) > 1:
            with (args.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            print(
                line,
                f"{(step + 1 - first) * BATCH / (time.perf_counter() - start):.0f} pictures/s",
                flush=True,
            )
        if time.perf_counter() - saved_at > 240 or step + 1 == args.steps:
            saved_at = time.perf_counter()
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    write_network(
        network, spread(network, args.held_out, kept, args.kept, args.device), args.out / "network.pt"
    )


def write_network(network: nn.Module, found: dict[str, float], path: Path) -> None:
    """The network as TorchScript with its threshold, nearer to the others than to the drawn."""
    copy = Guard()
    copy.load_state_dict(network.state_dict())
    if found["drawn_least"] <= found["others_999"]:
        sys.exit(f"drawn clips and others overlap ({found}): train on, or on more pictures")
    copy.threshold = 0.75 * found["others_999"] + 0.25 * found["drawn_least"]
    print(json.dumps({**found, "threshold": copy.threshold}))
    torch.jit.script(copy.eval()).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "held-out", "pictures", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument(
        "--kept", type=int, default=4_000, help="pictures made of the kept ones to measure on"
    )
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
