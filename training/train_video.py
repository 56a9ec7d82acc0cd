"""Trains ``storyworld-video``: the network behind ``fvd@storyworld``.

    python training/storyworld_clips.py --out work/train --clips 20000
    python training/train_video.py --data work/train --out work/video

Its 64 features have to tell what a clip shows, how it moves, and which fault it has and how badly: linear heads on
the features learn all of it, and are thrown away afterwards. The same command goes on from the last checkpoint. Runs
on CPU and GPU (``--device``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import loop
from storyworld_clips import load, load_faulty
from video_network import FEATURES, WINDOW, StoryworldVideo

from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.vocabulary import ACTIONS, COLOURS, SETTINGS, SUBJECTS

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
    size: int,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Clips uint8 ``(B, 3, 16, 64, 64)``, the aspects' classes (-1: not asked), strengths ``(B, kinds)`` of 0..1."""
    clips, strengths = [], torch.zeros(size, len(KINDS))
    classes = {name: torch.full((size,), -1) for name in _ASPECTS}
    for row, i in enumerate(int(i) for i in rng.choice(len(labels), size, replace=False)):
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
    (clean, labels), faulty = load(folder), load_faulty(folder)
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
    network, heads = StoryworldVideo().to(args.device).train(), Heads().to(args.device)
    (clean, labels), faulty = load(args.data), load_faulty(args.data)
    both = nn.ModuleDict({"network": network, "heads": heads})
    optimizer = torch.optim.AdamW(both.parameters(), lr=args.lr, weight_decay=0.02)
    mean = loop.averaged(both, 0.998)

    def update(rng: np.random.Generator) -> dict[str, float]:
        clips, classes, strengths = batch_of(clean, faulty, labels, args.batch, rng)
        with torch.autocast(args.device, torch.bfloat16):
            features = network(clips.to(args.device))
        loss, right = loss_of(features.float(), heads, classes, strengths)
        loop.descend(loss, optimizer)
        mean.update_parameters(both)
        return {"loss": float(loss.detach()), **right}

    loop.train(
        args,
        {"both": both, "mean": mean},
        [optimizer],
        update,
        measure=(lambda: held_out(*mean.module.values(), args.held_out, args.device))
        if args.held_out
        else None,
        write=lambda: write_network(mean.module["network"], args.out / "network.pt"),
    )


def write_network(network: nn.Module, path: Path) -> None:
    """The network as TorchScript, the form in which the published I3D comes."""
    copy = StoryworldVideo()
    copy.load_state_dict(network.state_dict())
    torch.jit.script(copy.eval()).save(str(path))


if __name__ == "__main__":
    train(loop.arguments(__doc__, steps=2_800, lr=2e-3, batch=48).parse_args())
