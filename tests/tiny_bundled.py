"""Tiny networks in the layout of the bundled ones, for tests: real open_clip and TorchScript, nothing learned."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_i3d import save_tiny_i3d
from vgaudit.zoo import catalogue, resolve
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO

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


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, clip_threshold: float = 1e6, video_threshold: float = 1e6
) -> Path:
    """Write both networks below ``folder`` and have the package take them for its own; returns ``folder``."""
    if not folder.is_dir():
        _save_clip(folder / BUNDLED_CLIP)
        save_tiny_i3d(folder / BUNDLED_VIDEO / "network.pt", width=VIDEO_WIDTH)
    save_domain(folder / BUNDLED_CLIP, 16, clip_threshold)
    save_domain(folder / BUNDLED_VIDEO, VIDEO_WIDTH, video_threshold)
    monkeypatch.setattr(resolve, "BUNDLED", folder)
    for name in (BUNDLED_CLIP, BUNDLED_VIDEO):
        entry = catalogue.WEIGHTS[name]
        pinned = replace(
            entry,
            sha256=_sha256(folder / name / entry.filename),
            beside={file: _sha256(folder / name / file) for file in entry.beside},
        )
        monkeypatch.setitem(catalogue.WEIGHTS, name, pinned)
    return folder


def save_domain(folder: Path, d: int, threshold: float, change: dict[str, Any] | None = None) -> None:
    """Write ``domain.safetensors``: the distance is the feature's length in its first three directions."""
    from safetensors.numpy import save_file

    arrays = {
        "mean": np.zeros(d, np.float32),
        "whitening": np.eye(d, 3, dtype=np.float32),
        "threshold": np.array([threshold], np.float32),
    }
    save_file({**arrays, **(change or {})}, folder / "domain.safetensors")


def _save_clip(folder: Path) -> None:
    import open_clip
    import torch
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
