"""Features of faces, galleries and cohorts with known people, without a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features

DIMENSION = 128
JPEG = b"\xff\xd8picture\xff\xd9"


def person(number: int, noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """A vector ``(128,)`` of norm 1.4; people are about 2 apart, far past dlib's 0.6, ``noise`` is a distance."""
    vector = np.random.default_rng(1000 + number).standard_normal(DIMENSION)
    other = np.random.default_rng([number, seed]).standard_normal(DIMENSION)
    vector = 1.4 * vector / np.linalg.norm(vector) + noise * other / np.linalg.norm(other)
    return vector.astype(np.float32)


def faces_like(
    people: Sequence[int],
    track: Sequence[int],
    frame: Sequence[int] | None = None,
    embedded: Sequence[bool] | None = None,
    noise: float = 0.05,
    quality: Sequence[float] | None = None,
) -> Features:
    """Features of the extractor ``faces`` with a face of ``people[i]`` in ``frame[i]`` (default: one a frame)."""
    n = len(people)
    index = np.arange(n) if frame is None else np.array(frame)
    filled = np.ones(n, bool) if embedded is None else np.array(embedded, bool)
    vectors = [person(p, noise, seed=i) for i, p in enumerate(people)]
    embedding = np.stack(vectors) if vectors else np.zeros((0, DIMENSION), np.float32)
    crops = [JPEG if e else b"" for e in filled]
    examined = np.unique(index) if n else np.arange(3)
    left = 10.0 + 100 * np.array(track, float)
    return Features(
        {
            "frame_index": index.astype(np.int32),
            "pts_s": index / 10.0,
            "box": np.stack([left, np.full(n, 10.0), left + 60, np.full(n, 70.0)], 1).astype(np.float32),
            "landmarks": np.zeros((n, 5, 2), np.float32),
            "confidence": np.ones(n, np.float32),
            "usable": filled,
            "reason": np.array(["" if ok else "blurred" for ok in filled], np.str_),
            "embedding": np.where(filled[:, None], embedding, 0).astype(np.float32),
            "quality": np.array([0.5] * n if quality is None else quality, np.float32),
            "track": np.array(track, np.int32),
            "shot": np.zeros(len(examined), np.int32),
            "frames_examined": examined.astype(np.int32),
            "examined_pts_s": examined / 10.0,
            "frames_failed": np.zeros(0, np.int32),
            "beside": np.ones(n, bool),
            "crop_jpeg": np.frombuffer(b"".join(crops), np.uint8),
            "crop_start": np.r_[0, np.cumsum([len(c) for c in crops], dtype=np.int64)],
        }
    )
