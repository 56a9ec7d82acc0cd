"""How much each of some vectors resembles each person of a gallery: all pairs at once, for numbers that fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CHUNK = 4_000_000
"""Similarities held at once: 32 MB."""

Similarity = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]


def entry_similarities(
    faces: NDArray[np.float32],
    templates: NDArray[np.float32],
    owners: NDArray[np.int32],
    similarity: Similarity,
    chunk: int = CHUNK,
) -> NDArray[np.float64]:
    """Similarity of every face to every entry: the highest over the entry's templates.

    Args:
        faces: float32 ``(f, d)``.
        templates: float32 ``(n, d)``, grouped by owner.
        owners: int32 ``(n,)``, ascending, every entry at least once.
        similarity: Of the embedder: ``(f, d), (n, d) -> (f, n)``; higher is more alike.
        chunk: Most similarities held at once.

    Returns:
        float64 ``(f, entries)``.

    Raises:
        ValueError: ``owners`` is not grouped, or shapes do not fit.
    """
    if faces.ndim != 2 or templates.ndim != 2 or faces.shape[1] != templates.shape[1]:
        raise ValueError(f"faces {faces.shape} and templates {templates.shape} do not have one dimension")
    if owners.shape != (len(templates),) or not len(owners):
        raise ValueError(f"{len(templates)} templates need as many owners, not {owners.shape}")
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    if not np.array_equal(owners[starts], np.arange(len(starts))):
        raise ValueError("templates must be grouped by owner, owners 0, 1, 2 ... in order")
    out = np.empty((len(faces), len(starts)))
    rows = max(1, chunk // len(templates))
    for start in range(0, len(faces), rows):
        pairs = similarity(faces[start : start + rows], templates)
        np.maximum.reduceat(pairs, starts, axis=1, out=out[start : start + rows])
    return out
