"""One vector for a track of faces: the mean of its best and well-spread ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedding import Measure, mean_embedding
from vgaudit.likeness.tracks import Track

MOST_FACES = 8
"""Faces of a track that enter its template: more frames of one shot add next to nothing."""


def well_spread(times_s: NDArray[np.float64], quality: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    """Positions of at most ``most`` faces: the best of each of as many equal stretches of time, ascending.

    Args:
        times_s: ``(m,)``, ascending.
        quality: ``(m,)``; of equal ones the earlier wins.
        most: Faces at most.
    """
    if len(times_s) <= most:
        return np.arange(len(times_s))
    length = times_s[-1] - times_s[0]
    stretch = np.arange(len(times_s)) * most // len(times_s)
    if length > 0:
        stretch = np.minimum(((times_s - times_s[0]) / length * most).astype(np.intp), most - 1)
    best = [np.flatnonzero(stretch == s)[np.argmax(quality[stretch == s])] for s in np.unique(stretch)]
    return np.array(best, np.intp)


def track_template(
    embeddings: NDArray[np.float32],
    times_s: NDArray[np.float64],
    quality: NDArray[np.float32],
    measure: Measure,
) -> NDArray[np.float32]:
    """Quality-weighted mean ``(d,)`` of at most :data:`MOST_FACES` well-spread faces.

    Averaging moves unrelated people closer, so rates of coincidence are taken at this level, never from single
    frames. Vectors compared by L2 stay raw, as their norm means something; those compared by cosine get unit norm.

    Args:
        embeddings: ``(m, d)``, at least one.
        times_s: ``(m,)``, ascending.
        quality: ``(m,)`` in [0, 1]; all zero counts as all equal.
        measure: How the embedder's vectors are compared.
    """
    chosen = well_spread(times_s, quality, MOST_FACES)
    weights = quality[chosen].astype(np.float64)
    return mean_embedding(embeddings[chosen], measure, weights if weights.sum() > 0 else None)


def track_templates(tracks: list[Track], faces: Features, measure: Measure) -> NDArray[np.float32]:
    """Templates ``(t, d)`` of tracks."""
    made = [
        track_template(
            faces["embedding"][track.embedded],
            faces["pts_s"][track.embedded],
            faces["quality"][track.embedded],
            measure,
        )
        for track in tracks
    ]
    return np.stack(made) if made else np.zeros((0, faces["embedding"].shape[1]), np.float32)
