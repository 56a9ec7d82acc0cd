"""Trains ``storyworld-video``: the network behind ``fvd@storyworld``.

    python training/storyworld_clips.py --out work/train --clips 24000
    python training/train_video.py --data work/train --out work/video --steps 6000

Its 64 features have to tell what a clip shows, how it moves, and which fault it has and how badly: linear heads on
the features learn all of it, and are thrown away afterwards. A checkpoint is written every few minutes; the same
command goes on from it. Runs on CPU and GPU (``--device``).
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
from video_network import FEATURES, WINDOW, StoryworldVideo

from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.vocabulary import ACTIONS, COLOURS, SETTINGS, SUBJECTS

BATCH = 48
_ASPECTS: dict[str, list[str]] = {
    "subject": list(SUBJECTS),
    "colour": list(COLOURS),
    "action": list(ACTIONS),
    "setting": list(SETTINGS),
    "look": ["ad", "film", "anime"],
    "camera": ["static", "pan", "zoom"],
    "speed": ["slow", "normal", "fast"],
}
_CHANGES_CONTENT = {"subject_swap", "colour_swap", "jump_cut"}


class Heads(nn.Module):
    """What the features are asked."""

    def __init__(self) -> None:
        super().__init__()
        self.aspects = nn.ModuleDict({name: nn.Linear(FEATURES, len(v)) for name, v in _ASPECTS.items()})
        self.faults = nn.Linear(FEATURES, len(KINDS))


def batch_of(
    clean: NDArray[np.uint8],
    faulty: NDArray[np.uint8],
    labels: list[dict[str, Any]],
    rng: np.random.Generator,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Clips uint8 ``(B, 3, 16, 64, 64)``, the aspects' classes (-1: not asked), strengths ``(B, kinds)`` of 0..1."""
    clips, strengths = [], torch.zeros(BATCH, len(KINDS))
    classes = {name: torch.full((BATCH,), -1) for name in _ASPECTS}
    for row, i in enumerate(int(i) for i in rng.choice(len(labels), BATCH, replace=False)):
        label = labels[i]
        broken = bool(rng.random() < 0.5)
        count = label["faulty_frames"] if broken else clean.shape[1]
        first = int(rng.integers(max(1, count - WINDOW + 1)))
        clip = (faulty if broken else clean)[i][first : first + WINDOW]
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        dx, dy = (int(v) for v in rng.integers(-2, 3, 2))
        clip = np.pad(clip, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")[
            :, 2 + dy : 66 + dy, 2 + dx : 66 + dx
        ]
        clips.append(np.ascontiguousarray(clip))
        if broken:
            strengths[row, KINDS.index(label["fault"])] = (STRENGTHS.index(label["strength"]) + 1) / 3
        if not (broken and label["fault"] in _CHANGES_CONTENT):
            for name, values in _ASPECTS.items():
                classes[name][row] = values.index(label["scene"][name])
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3), classes, strengths


def loss_of(
    features: torch.Tensor, heads: Heads, classes: dict[str, torch.Tensor], strengths: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch, and what is right in it."""
    loss, right = features.new_zeros(()), {}
    weights = {
        "subject": 1.0,
        "colour": 1.0,
        "action": 1.0,
        "setting": 1.0,
        "look": 0.5,
        "camera": 0.5,
        "speed": 0.3,
    }
    for name, weight in weights.items():
        logits, target = heads.aspects[name](features), classes[name].to(features.device)
        loss = loss + weight * functional.cross_entropy(logits, target, ignore_index=-1, label_smoothing=0.05)
        asked = target >= 0
        right[name] = float((logits.argmax(1) == target)[asked].float().mean())
    target = strengths.to(features.device)
    found = heads.faults(features)
    # Every kind is absent from most clips; without the weight nothing would be learnt of it but absence.
    loss = loss + 20.0 * ((found - target) ** 2 * (1 + 6 * (target > 0))).mean()
    broken = target.amax(1) > 0
    if broken.any():
        right["fault"] = float((found.argmax(1) == target.argmax(1))[broken].float().mean())
    return loss, right


@torch.no_grad()
def held_out(network: nn.Module, heads: Heads, folder: Path, device: str) -> dict[str, float]:
    """What the heads get right on scenes that were kept from training."""
    clean, faulty, labels = load(folder)
    network.eval()
    right: dict[str, list[float]] = {}
    for clip, broken, label in zip(clean, faulty, labels, strict=True):
        both = torch.from_numpy(np.stack([clip[:WINDOW], broken[:WINDOW]])).permute(0, 4, 1, 2, 3)
        features = network(both.to(device))
        for name, values in _ASPECTS.items():
            found = int(heads.aspects[name](features[:1]).argmax())
            right.setdefault(name, []).append(found == values.index(label["scene"][name]))
        found = int(heads.faults(features[1:]).argmax())
        right.setdefault("fault", []).append(found == KINDS.index(label["fault"]))
    network.train()
    return {name: round(float(np.mean(found)), 4) for name, found in right.items()}


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    network, heads = StoryworldVideo().to(args.device).train(), Heads().to(args.device)
    clean, faulty, labels = load(args.data)
    both = nn.ModuleDict({"network": network, "heads": heads})
    optimizer = torch.optim.AdamW(both.parameters(), lr=args.lr, weight_decay=0.02)
    mean = torch.optim.swa_utils.AveragedModel(
        both, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    first, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for name, part in (("both", both), ("mean", mean), ("optimizer", optimizer)):
            part.load_state_dict(saved[name])
        first = int(saved["step"])
        keep_curve(args.out / "curve.jsonl", first)
    start = saved_at = time.perf_counter()
    seen: list[dict[str, float]] = []
    for step in range(first, args.steps):
        warm, done = min(1.0, (step + 1) / 200), step / args.steps
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        clips, classes, strengths = batch_of(clean, faulty, labels, np.random.default_rng([args.seed, step]))
        with torch.autocast(args.device, torch.bfloat16):
            features = network(clips.to(args.device))
        loss, right = loss_of(features.float(), heads, classes, strengths)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(both)
        seen.append({"loss": float(loss.detach()), **right})
        if (step + 1) % 50 == 0:
            line = {k: round(float(np.mean([s[k] for s in seen[-50:] if k in s])), 3) for k in seen[-1]}
            with (args.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps({"step": step + 1, **line}) + "\n")
            rate = (step + 1 - first) * BATCH / (time.perf_counter() - start)
            print(f"step {step + 1}: {line}, {rate:.0f} clips/s", flush=True)
        if args.held_out and ((step + 1) % 400 == 0 or step + 1 == args.steps):
            line = {"step": step + 1, "held_out": held_out(*mean.module.values(), args.held_out, args.device)}
            with (args.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            print(f"step {step + 1}: {line['held_out']}", flush=True)
        if time.perf_counter() - saved_at > 240 or step + 1 == args.steps:
            saved_at = time.perf_counter()
            parts = {"both": both, "mean": mean, "optimizer": optimizer}
            torch.save(
                {**{k: v.state_dict() for k, v in parts.items()}, "step": step + 1},
                checkpoint.with_suffix(".part"),
            )
            checkpoint.with_suffix(".part").replace(checkpoint)
            write_network(mean.module["network"], args.out / "network.pt")


def write_network(network: nn.Module, path: Path) -> None:
    """The network as TorchScript, the form in which the published I3D comes."""
    copy = StoryworldVideo()
    copy.load_state_dict(network.state_dict())
    torch.jit.script(copy.eval()).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, help="folder of held-out clips to measure on")
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
