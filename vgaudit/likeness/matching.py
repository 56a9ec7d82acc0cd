"""How much each face of a clip resembles each person of a gallery, exactly, and which stretches of the clip match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Span:
    """Consecutive examined frames in each of which a face is past the threshold.

    Attributes:
        first: Position of its first frame among the examined frames.
        last: Position of its last.
        best_face: Position of the most alike face among all faces.
        score: Its similarity.
    """

    first: int
    last: int
    best_face: int
    score: float

    @property
    def frames(self) -> int:
        """Examined frames in it."""
        return self.last - self.first + 1


def matching_spans(
    scores: NDArray[np.float64], face_frame: NDArray[np.intp], n_frames: int, threshold: float
) -> Iterator[Span]:
    """The stretches in which one entry is matched.

    Args:
        scores: float64 ``(f,)``: similarity of each face to the entry.
        face_frame: ``(f,)``: position of each face's frame among the examined frames.
        n_frames: Examined frames.
        threshold: A face at least this similar matches.
    """
    best = np.full(n_frames, -np.inf)
    np.maximum.at(best, face_frame, scores)
    hit = np.r_[False, best >= threshold, False]
    edges = np.flatnonzero(hit[1:] != hit[:-1])
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        inside = np.flatnonzero((face_frame >= first) & (face_frame < end))
        best_face = inside[np.argmax(scores[inside])]
        yield Span(int(first), int(end - 1), int(best_face), float(scores[best_face]))
