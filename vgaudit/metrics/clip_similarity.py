"""Cosines in CLIP's joint space, and the published scores made of them: pure functions on embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIE = 1e-6
"""Cosines that differ by no more than this are the same: embeddings are float32."""


def unit_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    """``vectors`` ``(..., d)`` at length 1.

    Raises:
        ValueError: One is zero or not finite.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.isfinite(rows).all() or not (lengths > 0).all():
        raise ValueError("an embedding is zero or not finite; its direction is undefined")
    return np.asarray(rows / lengths, dtype=np.float64)


def frame_similarity(frames: ArrayLike, text: ArrayLike) -> NDArray[np.float64]:
    """Cosine of each row of ``frames`` ``(T, d)`` with ``text`` ``(d,)``; ``(T,)`` in [-1, 1]."""
    return np.clip(unit_rows(frames) @ unit_rows(text), -1.0, 1.0)


def clip_similarity(frames: ArrayLike, texts: ArrayLike) -> NDArray[np.float64]:
    """Mean over frames of the cosine of ``frames`` ``(T, d)`` with each row of ``texts`` ``(n, d)``; ``(n,)``."""
    mean: NDArray[np.float64] = unit_rows(frames).mean(axis=0)
    return np.clip(unit_rows(texts) @ mean, -1.0, 1.0)


def clip_score(similarity: ArrayLike) -> float:
    """``max(0, mean_t 100 cos_t)``: torchmetrics' CLIPScore with the frames of a clip as its images.

    torchmetrics takes the mean first and clamps it then, so a frame with a negative cosine counts as such.
    Source: ``torchmetrics.functional.multimodal.clip_score``; Hessel et al. 2021 for the idea.
    """
    return max(0.0, float(np.mean(100.0 * np.asarray(similarity, dtype=np.float64))))


def frame_consistency(frames: ArrayLike) -> float:
    """Mean cosine of adjacent rows of ``frames`` ``(T, d)``, T >= 2; in [-1, 1]."""
    rows = unit_rows(frames)
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} frame(s) have no neighbours; expected two or more")
    return float(np.clip((rows[:-1] * rows[1:]).sum(axis=1), -1.0, 1.0).mean())
