"""Faces of a clip over time: one track for one face, as far as boxes and embeddings hold together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.extractors.face_neighbours import SAME_FACE_IOU, box_overlaps
from vgaudit.extractors.face_tracks import LINK_FRAMES

Ints = NDArray[np.intp]

STEP_BLOCK = 256
"""Neighbouring faces compared at once."""


@dataclass(frozen=True)
class Track:
    """One face over time. Positions are those of the ``faces`` features, ascending in time.

    Attributes:
        faces: ``(n,)``: detections in it.
        embedded: ``(m,)``: those of them with an embedding; at least one.
        start_s: Time of the first detection.
        last_s: Time of the last.
    """

    faces: Ints
    embedded: Ints
    start_s: float
    last_s: float


def tracks_of(faces: Features, embedder: FaceEmbedder, coherence: float) -> list[Track]:
    """Tracks with at least one embedded face, by time.

    The extractor links detections whose boxes overlap, within a shot. Somebody who takes another one's place there,
    or a face that turns into another, keeps the box; so a track is split where the embedding of a face is less like
    the one before than pictures of one person are. What seems a cut may be a fast camera in a clip of few frames a
    second; so a track goes on where, past the cut, the same place shows a face that is as alike. A face without an
    embedding goes with the embedded one nearest in time.

    Args:
        faces: Features of the extractor ``faces``.
        embedder: Whose similarity is asked.
        coherence: Similarity under which two successive faces are not one person's.
    """
    parts: list[Track] = []
    for number in np.unique(faces["track"]):
        members = np.flatnonzero(faces["track"] == number)
        members = members[np.argsort(faces["pts_s"][members], kind="stable")]
        embedded = members[faces["usable"][members]]
        if len(embedded):
            parts += list(_coherent(members, embedded, faces, embedder, coherence))
    position = np.searchsorted(faces["frames_examined"], faces["frame_index"])
    shot = faces["shot"][position]
    joined: list[Track] = []
    alive: list[int] = []  # tracks that ended recently enough to go on
    for part in sorted(parts, key=lambda track: (track.start_s, track.faces[0])):
        begins = position[part.faces[0]]
        alive = [i for i in alive if begins - position[joined[i].faces[-1]] <= LINK_FRAMES]
        before = _goes_on(part, joined, alive, faces, position, shot, embedder, coherence)
        if before is None:
            alive.append(len(joined))
            joined.append(part)
        else:
            joined[before] = _join(joined[before], part)
    return joined


def _coherent(
    members: Ints, embedded: Ints, faces: Features, embedder: FaceEmbedder, coherence: float
) -> Iterator[Track]:
    part = np.r_[0, np.cumsum(_steps(faces["embedding"][embedded], embedder) < coherence)]
    pts_s = faces["pts_s"]
    between = (pts_s[embedded[1:]] + pts_s[embedded[:-1]]) / 2
    nearest = np.searchsorted(between, pts_s[members])  # of two as near the earlier
    for number in np.unique(part):
        own = members[part[nearest] == number]
        yield Track(own, embedded[part == number], float(pts_s[own[0]]), float(pts_s[own[-1]]))


def _steps(vectors: NDArray[np.float32], embedder: FaceEmbedder) -> NDArray[np.float64]:
    """Similarity of each vector to the next, ``(m - 1,)``, without those of all pairs."""
    steps = [
        embedder.similarity(vectors[i : i + STEP_BLOCK], vectors[i + 1 : i + 1 + STEP_BLOCK]).diagonal()
        for i in range(0, len(vectors) - 1, STEP_BLOCK)
    ]
    return np.concatenate([np.zeros(0), *steps])


def _goes_on(
    part: Track,
    tracks: list[Track],
    alive: list[int],
    faces: Features,
    position: Ints,
    shot: NDArray[np.int32],
    embedder: FaceEmbedder,
    coherence: float,
) -> int | None:
    """Position of the track of another shot that ``part`` goes on with, the most alike; ``None`` if there is none."""
    first = part.faces[0]
    found: list[tuple[float, int]] = []
    for number in alive:
        track = tracks[number]
        last = track.faces[-1]
        if position[first] <= position[last] or shot[first] == shot[last]:
            continue
        if box_overlaps(faces["box"][[first]], faces["box"][[last]])[0, 0] < SAME_FACE_IOU:
            continue
        vectors = faces["embedding"][[track.embedded[-1], part.embedded[0]]]
        alike = float(embedder.similarity(vectors[:1], vectors[1:])[0, 0])
        if alike >= coherence:
            found.append((alike, number))
    return max(found)[1] if found else None


def _join(track: Track, part: Track) -> Track:
    return Track(
        np.concatenate([track.faces, part.faces]),
        np.concatenate([track.embedded, part.embedded]),
        track.start_s,
        part.last_s,
    )
