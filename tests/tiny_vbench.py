"""Networks that VBench asks, small or with random weights, for tests: real ones that have learned nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny_clip import save_tiny_clip
from vgaudit.zoo import dino

TINY = dino.VitShape(width=32, depth=2, heads=2, patch=32, grid=7)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def randomise(network: Any, seed: int) -> Any:
    """Every parameter and statistic drawn anew, so that none is a zero or a one that hides a mistake."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(0.5 + drawn.abs() if "running_var" in name else 0.15 * drawn)
    return network.eval()


def save_tiny_dino(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> Path:
    """A DINO of two narrow blocks, in DINO's own layout; ``load_dino`` takes no other until the test ends."""
    import torch

    monkeypatch.setattr(dino, "VIT_B_16", TINY)
    path = folder / "dino.pth"
    torch.save(randomise(dino.build(TINY), seed).state_dict(), path)
    return path


def save_raft(folder: Path, seed: int = 0) -> Path:
    """The large RAFT with random weights, scaled as torchvision draws them."""
    import torch
    from torchvision.models.optical_flow import raft_large

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = raft_large(weights=None)
    path = folder / "raft.pth"
    torch.save(network.state_dict(), path)
    return path


def save_head(folder: Path, width: int = 16, seed: int = 0) -> Path:
    import torch

    path = folder / "head.pth"
    torch.save(randomise(torch.nn.Linear(width, 1), seed).state_dict(), path)
    return path


def clip_options(folder: Path) -> dict[str, Any]:
    """Options of the extractor ``clip`` for a tiny network in ``folder``."""
    config, checkpoint = save_tiny_clip(folder)
    return {"model": None, "config": str(config), "pretrained": str(checkpoint), "device": "cpu"}


def moving(frames: int = 5, height: int = 90, width: int = 130, seed: int = 0) -> NDArray[np.uint8]:
    """Frames of noise in blocks that a second, brighter block crosses."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))
    clip = np.repeat(ground[None, :height, :width].astype(np.uint8), frames, axis=0)
    for t in range(frames):
        clip[t, height // 4 : height // 2, 9 * t : 9 * t + width // 3] = 255 - 20 * t
    return clip
