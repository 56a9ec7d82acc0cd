"""V-JEPA of a few hundred parameters with random weights, in the layout of the two published files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vgaudit.zoo.vjepa import VjepaShape, build, position_embedding

TINY = VjepaShape(width=20, depth=2, heads=2, ratio=4, size=32, patch=16, frames=16, tubelet=2, classes=174)
"""Small enough to run anywhere; ``load_vjepa`` takes it while ``vgaudit.zoo.vjepa.VITH16`` is this."""


def drawn_vjepa(shape: VjepaShape = TINY, seed: int = 0, projected: bool = True) -> Any:
    """Random weights of which no scale or shift is a one or a zero that hides a mistake."""
    network = build(shape, projected)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            drawn = torch.randn(tensor.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.2 * drawn)
            elif name.endswith("pos_embed"):
                tensor.copy_(torch.from_numpy(position_embedding(shape))[None])
            else:
                tensor.copy_(0.3 * drawn)
    return network.eval().requires_grad_(False)


def checkpoints(network: Any, shape: VjepaShape = TINY) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two published files hold, around these weights."""
    encoder = {f"module.backbone.{k}": v.clone() for k, v in network.encoder.state_dict().items()}
    probe: dict[str, Tensor] = {
        f"module.pooler.{k}": v.clone() for k, v in network.pooler.state_dict().items()
    }
    probe["module.linear.weight"] = torch.zeros(shape.classes, shape.width)
    probe["module.linear.bias"] = torch.zeros(shape.classes)
    other = {k: v + 1 for k, v in encoder.items()}
    return (
        {"encoder": other, "predictor": {}, "opt": {"lr": 0.1}, "target_encoder": encoder, "epoch": 300},
        {"classifier": probe, "opt": {}, "scaler": None, "epoch": 20},
    )


def save_vjepa(folder: Path, seed: int = 0) -> dict[str, str]:
    """Write both files; returns the extractor's options that name them."""
    encoder, probe = checkpoints(drawn_vjepa(seed=seed))
    paths = folder / "vith16.pth.tar", folder / "ssv2-probe.pth.tar"
    for path, content in zip(paths, (encoder, probe), strict=True):
        torch.save(content, path)
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return {
        "weights": str(paths[0]), "sha256": first, "probe": str(paths[1]), "probe_sha256": second, "device": "cpu",
    }  # fmt: skip
