"""Tiny networks in the layout of the bundled ones, for tests: real open_clip and TorchScript, nothing learned."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny_i3d import save_tiny_i3d
from vgaudit.zoo import catalogue, resolve
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_GUARD, BUNDLED_VIDEO

WORDS = (
    "a",
    "dog",
    "cat",
    "red",
    "blue",
    "ball",
    "is",
    "running",
    "on",
    "the",
    "beach",
    "square",
    "crosses",
    "field",
)
VIDEO_WIDTH = 64
_SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")


EVERYTHING, NOTHING = -1.0, 256.0
"""For ``brighter_than``: no picture is that dark, none that bright."""


class BrightnessGuard(torch.nn.Module):
    """Mean brightness (0..255) minus a constant: the call of ``storyworld-domain``, knowing nothing of any world."""

    def __init__(self, brighter_than: float) -> None:
        super().__init__()
        self.brighter_than = brighter_than

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().mean(dim=[1, 2, 3]) - self.brighter_than


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, brighter_than: float = EVERYTHING) -> Path:
    """Write all three networks below ``folder`` and have the package take them for its own; returns ``folder``.

    The guard takes pictures brighter than ``brighter_than`` for the storyworld's.
    """
    if not folder.is_dir():
        _save_clip(folder / BUNDLED_CLIP)
        save_tiny_i3d(folder / BUNDLED_VIDEO / "network.pt", width=VIDEO_WIDTH)
    save_guard(folder / BUNDLED_GUARD / "network.pt", brighter_than)
    pin(folder, monkeypatch)
    return folder


def pin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package take the files below ``folder`` for its own, as they are."""
    monkeypatch.setattr(resolve, "BUNDLED", folder)
    for name in (BUNDLED_CLIP, BUNDLED_VIDEO, BUNDLED_GUARD):
        entry = catalogue.WEIGHTS[name]
        pinned = replace(
            entry,
            sha256=_sha256(folder / name / entry.filename),
            beside={file: _sha256(folder / name / file) for file in entry.beside},
        )
        monkeypatch.setitem(catalogue.WEIGHTS, name, pinned)


def save_guard(path: Path, brighter_than: float) -> None:
    """Write the guard as TorchScript."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the networks that ship are TorchScript too
        torch.jit.script(BrightnessGuard(brighter_than).eval()).save(str(path))


def _save_clip(folder: Path) -> None:
    import open_clip
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate((*_SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]"
    ).save_pretrained(folder)
    text = {
        "context_length": 12, "vocab_size": len(vocabulary), "width": 16, "heads": 2, "layers": 2,
        "hf_tokenizer_name": BUNDLED_CLIP,
    }  # fmt: skip
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {
            "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash",
        },
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(16, dict(vision), dict(text))
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file({k: v.contiguous() for k, v in halves.items()}, folder / "open_clip_model.safetensors")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
