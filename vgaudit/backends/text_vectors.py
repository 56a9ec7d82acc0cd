"""Embeddings of prompts: made elsewhere (safetensors with one vector for each prompt id), or by a CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import SuiteError
from vgaudit.zoo.clip_models import ClipChoice, load_clip


def read_vectors(path: Path) -> dict[str, NDArray[np.float32]]:
    """``prompt_id -> vector``, all of one length.

    Raises:
        SuiteError: The file is missing or damaged, or holds anything but finite vectors of one length.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise SuiteError(
            f"embeddings {path}: no such file; expected safetensors with one vector for each prompt id"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"embeddings {path}: not a safetensors file of numbers: {error}") from error
    lengths = {name: array.shape for name, array in tensors.items()}
    if not tensors:
        raise SuiteError(f"embeddings {path}: holds no vector")
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise SuiteError(
            f"embeddings {path}: expected vectors of one length, found {dict(list(lengths.items())[:4])}"
        )
    vectors = {name: array.astype(np.float32) for name, array in tensors.items()}
    if bad := [name for name, vector in vectors.items() if not np.isfinite(vector).all()]:
        raise SuiteError(f"embeddings {path}: {bad[0]!r} holds NaN or infinite values")
    return vectors


def text_vectors(
    choice: ClipChoice, texts: Mapping[str, str]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
    """Vectors of length 1 by prompt id, and by prompt id what the CLIP could not read of a text.

    Each text goes through alone: no other text changes its vector.

    Args:
        choice: The CLIP.
        texts: Text by prompt id.

    Returns:
        The vectors; and JSON-able facts, empty for a text that was read whole: ``text_cut``, true where it has more
        tokens than the CLIP takes; ``unknown_words``, those that it does not know.

    Raises:
        Unavailable: Its weights or open_clip are not there.
    """
    import torch

    clip = load_clip(choice)
    out: dict[str, NDArray[np.float32]] = {}
    facts: dict[str, dict[str, Any]] = {}
    with torch.inference_mode():
        for prompt_id, text in texts.items():
            row = clip.network.encode_text(clip.tokenize([text]).to(clip.device), normalize=True)[0]
            out[prompt_id] = row.float().cpu().numpy()
            cut, unknown = clip.count_tokens(text) > clip.context_length, list(clip.unknown_words(text))
            facts[prompt_id] = {"text_cut": True} if cut else {}
            if unknown:
                facts[prompt_id]["unknown_words"] = unknown
    return out, facts
