"""Exact one-to-many search: every track of a run against every template of a gallery, also of a million templates.

No approximate index: an audit may not miss a person because a graph was badly linked. Products are taken in float32,
chunk by chunk, and only sort out what can matter: whatever lies within the worst rounding error of a decision is
computed again in float64 from the vectors as they came, and float64 alone decides and is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_embedding import Float, Measure

CHUNK = 2_000_000
"""Products held at once: 8 MB, which stay near the processor until they have been looked through."""

PARTS = 8
"""Parts of a chunk whose best bound the runner-up."""

TRACK_BLOCK = 4096
"""Most tracks that are held against a chunk of templates at once."""

RECHECK_ROWS = 8192
"""Pairs computed in float64 at once."""

LARGEST = 1e30
"""Beyond it float32 is near its end, and infinite products would rule out what they should not."""

NOBODY = -1
"""In place of an entry or a track where there is none."""


class Past(NamedTuple):
    """A track at or past the point for an entry.

    Attributes:
        track: Position of the track.
        entry: Position of the entry.
        score: Similarity in float64; at least the point.
    """

    track: int
    entry: int
    score: float


@dataclass(frozen=True)
class Found:
    """What :func:`search` found. Scores are float64 similarities: 1 is identical.

    Attributes:
        best: ``(t,)``: the most alike entry of each track; of equals the earlier one.
        best_score: ``(t,)``: its score: the highest over the entry's templates.
        second: ``(t,)``: the runner-up among the other entries; :data:`NOBODY` where the gallery has one entry.
        second_score: ``(t,)``: its score; ``-inf`` where there is none.
        entry_best: ``(e,)``: the highest score any track has with each entry; ``-inf`` without tracks.
        entry_track: ``(e,)``: that track; of equals the earlier one; :data:`NOBODY` without tracks.
        past: Every track and entry with a score of at least the point, by track, then entry.
    """

    best: NDArray[np.int64]
    best_score: NDArray[np.float64]
    second: NDArray[np.int64]
    second_score: NDArray[np.float64]
    entry_best: NDArray[np.float64]
    entry_track: NDArray[np.int64]
    past: list[Past]


def search(
    tracks: Float,
    templates: Float,
    owners: NDArray[Any],
    measure: Measure,
    point: float,
    chunk: int = CHUNK,
) -> Found:
    """Compare every track with every entry.

    Args:
        tracks: ``(t, d)``: one template a track, float32 or float64.
        templates: ``(n, d)``: the gallery's, grouped by owner; may be a memory map. Never copied as a whole.
        owners: ``(n,)``: the entry of each template: 0, 1, 2 ... ascending, every entry at least once.
        measure: ``l2`` (score ``1 - distance``) or ``cosine`` (score: the product of vectors of unit norm).
        point: Score from which on a pair is told in :attr:`Found.past`.
        chunk: Most products held at once. Changes time and memory, never a result.

    Returns:
        The same as a comparison of all pairs in float64, one by one.

    Raises:
        ValueError: Shapes do not fit, owners are not grouped, or a number is not finite.
    """
    starts = _entry_starts(tracks, templates, owners)
    if measure not in ("l2", "cosine"):
        raise ValueError(f"measure is {measure!r}; expected 'l2' or 'cosine'")
    if not np.isfinite(point):
        raise ValueError(f"the point is {point}; expected a finite similarity")
    if not np.isfinite(tracks).all():
        raise ValueError("a track's template holds a number that is not finite; it cannot be compared")
    n_tracks, n_entries = len(tracks), len(starts) - 1
    best, best_score = np.full((n_tracks, 2), NOBODY, np.int64), np.full((n_tracks, 2), -np.inf)
    entry_best, entry_track = np.full(n_entries, -np.inf), np.full(n_entries, NOBODY, np.int64)
    past: list[Past] = []
    for begin in range(0, n_tracks, TRACK_BLOCK):
        block = slice(begin, min(begin + TRACK_BLOCK, n_tracks))
        screen = _Screen(tracks[block], templates, starts, measure, point)
        for first, last in _chunks(starts, max(1, chunk // (block.stop - begin))):
            entry, track, score = screen.candidates(first, last)
            _keep_two(best[block], best_score[block], entry, track, score)
            screen.know(best_score[block, 1])
            _keep_best(entry_best, entry_track, entry, track + begin, score)
            hit = np.flatnonzero(score >= point)
            past += [
                Past(*row)
                for row in zip(
                    (track[hit] + begin).tolist(), entry[hit].tolist(), score[hit].tolist(), strict=True
                )
            ]
    past.sort()
    return Found(best[:, 0], best_score[:, 0], best[:, 1], best_score[:, 1], entry_best, entry_track, past)


def _entry_starts(tracks: Float, templates: Float, owners: NDArray[Any]) -> NDArray[np.int64]:
    """Where each entry's templates begin, and the end of the last, ``(entries + 1,)``."""
    if tracks.ndim != 2 or templates.ndim != 2 or tracks.shape[1] != templates.shape[1]:
        raise ValueError(
            f"tracks {tracks.shape} and templates {templates.shape} do not have one dimension; compare vectors of "
            "one embedder"
        )
    if owners.shape != (len(templates),) or not len(owners):
        raise ValueError(f"{len(templates)} templates need as many owners, at least one; not {owners.shape}")
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    if not np.array_equal(owners[starts], np.arange(len(starts))):
        raise ValueError("templates must be grouped by owner, owners 0, 1, 2 ... in order")
    ends: NDArray[np.int64] = np.r_[starts, len(owners)].astype(np.int64)
    return ends


def _chunks(starts: NDArray[np.int64], rows: int) -> Iterator[tuple[int, int]]:
    """Entries ``first`` to ``last`` (exclusive) with at most ``rows`` templates together, or one entry with more."""
    first, end = 0, len(starts) - 1
    while first < end:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + rows, "right")) - 1)
        yield first, last
        first = last


class _Screen:
    """Pairs of a block of tracks and a chunk of entries that float32 cannot rule out, computed in float64.

    What is compared in float32 is ``q = x.y`` for cosines and ``q = x.y - |x|^2 / 2 - |y|^2 / 2``, minus half the
    squared distance, for L2: both rise with the score. With the unit roundoff ``u = 2^-24`` a product of ``d``
    terms in any order is off by at most ``d u / (1 - d u) |x| |y|`` (Higham, "Accuracy and Stability of Numerical
    Algorithms", section 3.1), the sum in ``|y|^2`` likewise; reading float64 vectors as float32 and the two
    subtractions add a few ``u``.
    """

    def __init__(
        self, tracks: Float, templates: Float, starts: NDArray[np.int64], measure: Measure, point: float
    ) -> None:
        self.templates, self.starts, self.measure = templates, starts, measure
        self.exact = tracks.astype(np.float64)
        self.squared = np.einsum("ij,ij->i", self.exact, self.exact)
        self.columns = np.ascontiguousarray(tracks.astype(np.float32).T)
        # The point as a q; at an L2 score beyond 1 there is nothing, and what is equal is ruled out later.
        self.point = point if measure == "cosine" else -(max(0.0, 1.0 - point) ** 2) / 2
        self.second = np.full(len(tracks), -np.inf)  # a lower bound of the q of each track's runner-up so far
        self.products = np.empty(0, np.float32)

    def know(self, second_score: NDArray[np.float64]) -> None:
        """Rule pairs out by the runner-up's exact score of each track so far, ``(t,)``; ``-inf`` for none."""
        q = second_score if self.measure == "cosine" else -((1.0 - second_score) ** 2) / 2
        np.maximum(self.second, q, out=self.second)

    def candidates(
        self, first: int, last: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Entries, tracks and float64 scores, ``(c,)`` each, of every pair that may decide something.

        Among them are: each pair past the point, each of these entries' best pair, and for each track its two
        best entries so far. No pair comes twice. The score of a pair is its entry's, or less where a template of
        the entry that lies further off decides nothing.
        """
        low, high = int(self.starts[first]), int(self.starts[last])
        products, error = self._products(low, high)
        offsets = self.starts[first:last] - low
        self._raise_second(products, offsets, error)
        threshold = _below(np.minimum(self.second, self.point) - 2 * error)
        row, track = np.divmod(np.flatnonzero(products >= threshold), products.shape[1])
        # Of each entry what may be its best: few rows reach that, and only those are looked through.
        row_best = products.max(axis=1)
        entry_of_row = np.repeat(np.arange(last - first), np.diff(np.r_[offsets, high - low]))
        wanted = _below(np.maximum.reduceat(row_best, offsets) - 2 * error)[entry_of_row]
        rows = np.flatnonzero(row_best >= wanted)
        for begin in range(0, len(rows), 256):  # a piece stays in the processor's cache
            some = rows[begin : begin + 256]
            reached = np.flatnonzero(products[some] >= wanted[some, None])
            where, at = np.divmod(reached, products.shape[1])
            fresh = products[some[where], at] < threshold[at]
            row, track = np.r_[row, some[where[fresh]]], np.r_[track, at[fresh]]
        scores = np.concatenate(
            [np.empty(0)]
            + [
                self._pair_scores(
                    row[begin : begin + RECHECK_ROWS] + low, track[begin : begin + RECHECK_ROWS]
                )
                for begin in range(0, len(row), RECHECK_ROWS)
            ]
        )
        entry = entry_of_row[row]
        order = np.lexsort((-scores, track, entry))
        entry, track, scores = entry[order], track[order], scores[order]
        one = np.flatnonzero(np.r_[True, (entry[1:] != entry[:-1]) | (track[1:] != track[:-1])])
        one = one[: len(entry)]
        return entry[one] + first, track[one], scores[one]

    def _products(self, low: int, high: int) -> tuple[NDArray[np.float32], float]:
        """``q`` of templates ``low`` to ``high``, ``(templates, tracks)``, and the most it can be off."""
        rows = self.templates[low:high].astype(np.float32, copy=False)
        size = len(rows) * self.columns.shape[1]
        if self.products.size < size:
            self.products = np.empty(size, np.float32)
        products = self.products[:size].reshape(len(rows), -1)
        np.matmul(rows, self.columns, out=products)
        squared = np.einsum("ij,ij->i", rows, rows)
        if not np.isfinite(squared).all():
            raise ValueError(
                f"templates {low} to {high - 1} hold a number that is not finite; build the gallery again"
            )
        roundoff = 1.01 * (self.columns.shape[0] + 8) * 2.0**-24
        x2, y2 = float(self.squared.max()), float(squared.max()) * (1 + roundoff)
        size_of_q = (x2 * y2) ** 0.5
        if self.measure == "l2":
            products -= (squared / 2)[:, None]
            products -= (self.squared / 2).astype(np.float32)
            size_of_q += (x2 + y2) / 2
        if size_of_q > LARGEST:
            raise ValueError(
                f"vectors with products of {size_of_q:.3g} cannot be compared; embeddings are small"
            )
        return products, roundoff * size_of_q + 1e-37

    def _raise_second(self, products: NDArray[np.float32], offsets: NDArray[np.int64], error: float) -> None:
        """Move each track's lower bound of its runner-up's ``q`` up to what this chunk shows.

        The entries are dealt into parts; a track has an entry at each part's best, so two at the second of these.
        What float32 says is at most ``error`` more than what is true.
        """
        parts = np.unique(offsets[np.linspace(0, len(offsets) - 1, PARTS).astype(int)])
        if len(parts) > 1:
            ends = np.r_[parts[1:], len(products)]
            best = np.stack([products[a:b].max(axis=0) for a, b in zip(parts, ends, strict=True)])
            second = np.partition(best, len(best) - 2, axis=0)[-2]
            np.maximum(self.second, second.astype(np.float64) - error, out=self.second)

    def _pair_scores(self, rows: NDArray[np.int64], track: NDArray[np.int64]) -> NDArray[np.float64]:
        x, y = self.exact[track], self.templates[rows].astype(np.float64)
        if self.measure == "cosine":
            products: NDArray[np.float64] = np.einsum("ij,ij->i", x, y)
            return np.clip(products, -1.0, 1.0)
        x -= y
        distances: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", x, x))
        return 1.0 - distances


def _below(values: NDArray[Any]) -> NDArray[np.float32]:
    """The float32 below each value: what is at least the value is above it."""
    lower: NDArray[np.float32] = np.nextafter(values.astype(np.float32), np.float32(-np.inf))
    return lower


def _keep_two(
    best: NDArray[np.int64],
    best_score: NDArray[np.float64],
    entry: NDArray[np.int64],
    track: NDArray[np.int64],
    score: NDArray[np.float64],
) -> None:
    """Merge pairs into each track's two best entries, ``(t, 2)``, in place; equals by entry."""
    touched = np.unique(track)
    old = np.repeat(touched, 2)
    all_track = np.r_[old, track]
    all_entry = np.r_[best[touched].ravel(), entry]
    all_score = np.r_[best_score[touched].ravel(), score]
    there = all_entry != NOBODY
    all_track, all_entry, all_score = all_track[there], all_entry[there], all_score[there]
    order = np.lexsort((all_entry, -all_score, all_track))
    all_track, all_entry, all_score = all_track[order], all_entry[order], all_score[order]
    begins = np.flatnonzero(np.r_[True, all_track[1:] != all_track[:-1]]) if len(all_track) else old
    sizes = np.diff(np.r_[begins, len(all_track)])
    for place in (0, 1):
        where = begins[sizes > place] + place
        best[all_track[where], place] = all_entry[where]
        best_score[all_track[where], place] = all_score[where]


def _keep_best(
    entry_best: NDArray[np.float64],
    entry_track: NDArray[np.int64],
    entry: NDArray[np.int64],
    track: NDArray[np.int64],
    score: NDArray[np.float64],
) -> None:
    """Merge pairs into each entry's best track, in place; equals by track (blocks of tracks come in order)."""
    order = np.lexsort((track, -score, entry))
    entry, track, score = entry[order], track[order], score[order]
    first = np.flatnonzero(np.r_[True, entry[1:] != entry[:-1]]) if len(entry) else order
    entry, track, score = entry[first], track[first], score[first]
    better = score > entry_best[entry]
    entry_best[entry[better]], entry_track[entry[better]] = score[better], track[better]
