"""Which tracks of a clip resemble which people of a gallery, exactly, and how well that is supported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.likeness.search import Found, search
from vgaudit.likeness.templates import track_templates
from vgaudit.likeness.tracks import Track

Ints = NDArray[np.intp]

FEWEST_TO_OUTVOTE = 3
"""Compared faces of a track from which on a single one past the point has to be borne out."""

ROUNDING = 1e-12
"""Two ways to compute one similarity differ by less."""


@dataclass(frozen=True)
class People:
    """Some people of a gallery, and their templates.

    Attributes:
        entries: ``(e,)``: their positions in the gallery, ascending.
        templates: float32 ``(n, d)``, grouped by person.
        owners: int32 ``(n,)``: position in ``entries`` of each template's person.
    """

    entries: Ints
    templates: NDArray[np.float32]
    owners: NDArray[np.int32]

    @classmethod
    def of(cls, wanted: Sequence[int], templates: NDArray[np.float32], owners: NDArray[np.int32]) -> People:
        """Those of a gallery at the positions ``wanted``."""
        entries = np.array(sorted(wanted), np.intp)
        inside = np.isin(owners, entries)
        return cls(entries, templates[inside], np.searchsorted(entries, owners[inside]).astype(np.int32))

    def of_entry(self, position: int) -> NDArray[np.float32]:
        """Templates ``(k, d)`` of the person at ``position`` in ``entries``."""
        first, end = np.searchsorted(self.owners, [position, position + 1])
        return self.templates[first:end]


@dataclass(frozen=True)
class Hit:
    """A track of which the template, or a face, resembles somebody, at the embedder's point or past it.

    Attributes:
        track: Position among the clip's tracks.
        entry: Position in the gallery.
        similarity: Of the track's template.
        face_similarity: ``(m,)``: of each embedded face of the track.
        support: Examined frames with a face past the point.
        strict_support: Those with one past the strict point; 0 where the embedder has none.
        runner_up: Who else the track resembles most, and its similarity: position in the gallery.
    """

    track: int
    entry: int
    similarity: float
    face_similarity: NDArray[np.float64]
    support: int
    strict_support: int
    runner_up: tuple[int, float] | None

    @property
    def best_similarity(self) -> float:
        """The highest of all faces."""
        return float(self.face_similarity.max())

    def matches(self, point: float, strict: float | None) -> bool:
        """Whether the track is to be called a match, rather than let go with its reason.

        Points are published for single pictures, so a face has to reach it: the mean of a restless track lies closer
        to everybody than any of its faces. And one face of a track has to be borne out, by a second, by the track's
        mean, or by being past the strict point: of twenty poor pictures of a stranger one passes by chance. Two faces
        are too few to outvote one of them, and where there is no strict point nothing tells how near a lone face is.
        """
        if not self.support:
            return False
        few = len(self.face_similarity) < FEWEST_TO_OUTVOTE or strict is None
        return few or self.support >= 2 or self.strict_support >= 1 or self.similarity >= point


@dataclass(frozen=True)
class Compared:
    """The tracks of a clip held against people.

    Attributes:
        hits: One for each track and person that match, most alike first.
        best: ``(t,)``: highest similarity of any face of each track; ``-inf`` without people.
        let_go: Those of which one face of many is past the point and nothing bears it out; to be told, not raised.
        face_best: ``(F,)``: highest similarity of each face of the features; ``nan`` for those without embedding.
    """

    hits: tuple[Hit, ...]
    best: NDArray[np.float64]
    face_best: NDArray[np.float64]
    let_go: tuple[Hit, ...] = ()


def compare(
    tracks: Sequence[Track],
    faces: Features,
    people: Sequence[People],
    embedder: FaceEmbedder,
    point: float,
    strict: float | None,
) -> list[Compared]:
    """Hold every track's template and every embedded face against every person.

    Args:
        tracks: Of :func:`~vgaudit.likeness.tracks.tracks_of`.
        faces: Features of the extractor ``faces``.
        people: Groups of people that are told apart (protected, consented); a runner-up may be of any.
        embedder: Whose vectors these are.
        point: Similarity from which on a face resembles a person.
        strict: The stricter one.

    Returns:
        What was found for each group of people.
    """
    embedded = np.flatnonzero(faces["usable"])
    rows = np.concatenate(
        [track_templates(list(tracks), faces, embedder.measure), faces["embedding"][embedded]]
    )
    track_of = np.full(len(faces["usable"]), -1)
    for number, track in enumerate(tracks):
        track_of[track.embedded] = number
    row_track = np.concatenate([np.arange(len(tracks)), track_of[embedded]])
    found = [
        search(rows, group.templates, group.owners, embedder.measure, point) if len(group.entries) else None
        for group in people
    ]
    out = []
    for group, seen in zip(people, found, strict=True):
        best = np.full(len(tracks), -np.inf)
        face_best = np.full(len(faces["usable"]), np.nan)
        if seen is None:
            out.append(Compared((), best, face_best))
            continue
        np.maximum.at(best, row_track[len(tracks) :], seen.best_score[len(tracks) :])
        face_best[embedded] = seen.best_score[len(tracks) :]
        pairs = sorted(
            {(int(row_track[past.track]), past.entry) for past in seen.past if past.track >= len(tracks)}
        )
        hits = [
            _hit(number, tracks[number], position, group, faces, rows, embedder, point, strict,
                 _runner_up(number, group, position, people, found))
            for number, position in pairs
        ]  # fmt: skip
        let_go = [hit for hit in hits if hit.support and not hit.matches(point, strict)]
        hits = [hit for hit in hits if hit.matches(point, strict)]
        out.append(
            Compared(
                tuple(sorted(hits, key=lambda h: (-h.best_similarity, h.track))),
                best,
                face_best,
                tuple(let_go),
            )
        )
    return out


def _hit(
    number: int, track: Track, position: int, group: People, faces: Features, rows: NDArray[np.float32],
    embedder: FaceEmbedder, point: float, strict: float | None, runner_up: tuple[int, float] | None,
) -> Hit:  # fmt: skip
    own = group.of_entry(position)
    similar = embedder.similarity(faces["embedding"][track.embedded], own).max(axis=1)
    frames = faces["frame_index"][track.embedded]
    return Hit(
        track=number,
        entry=int(group.entries[position]),
        similarity=float(embedder.similarity(rows[number : number + 1], own).max()),
        face_similarity=similar,
        support=len(np.unique(frames[similar >= point - ROUNDING])),
        strict_support=0 if strict is None else len(np.unique(frames[similar >= strict - ROUNDING])),
        runner_up=runner_up,
    )


def _runner_up(
    row: int, group: People, position: int, people: Sequence[People], found: Sequence[Found | None]
) -> tuple[int, float] | None:
    """Who of all people resembles the template in ``row`` most, besides the one at ``position`` of ``group``."""
    candidates = []
    for other, seen in zip(people, found, strict=True):
        if seen is None:
            continue
        for entry, score in (
            (seen.best[row], seen.best_score[row]),
            (seen.second[row], seen.second_score[row]),
        ):
            if entry >= 0 and not (other is group and entry == position):
                candidates.append((int(other.entries[entry]), float(score)))
    return max(candidates, key=lambda c: c[1], default=None)
