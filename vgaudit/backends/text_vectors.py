"""Reads prompt embeddings that were made elsewhere: a safetensors file with one vector for each prompt id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import SuiteError


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
