"""A tiny CLIP with random weights, for tests: a real open_clip network that has learned nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"},
}


def save_tiny_clip(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write the config and a safetensors checkpoint below ``folder``; returns their paths."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config, checkpoint = folder / "open_clip_config.json", folder / "tiny_clip.safetensors"
    config.write_text(json.dumps(CONFIG))
    model = CONFIG["model_cfg"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = open_clip.CLIP(model["embed_dim"], model["vision_cfg"], model["text_cfg"])
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, checkpoint)
    return config, checkpoint
