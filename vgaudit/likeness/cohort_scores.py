"""How much the people of a cohort resemble each entry of a gallery, without holding all those scores at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vgaudit.likeness.matching import CHUNK, Similarity, entry_similarities

TIE = 1e-9
"""Scores this close are equal: their last digits depend on the shape of the matrix product they come from."""


class CohortScores(Protocol):
    """Scores of ``people`` cohort people against ``entries`` entries."""

    people: int
    entries: int

    def at_least(self, entry: int, score: float) -> NDArray[np.int64]:
        """Positions of the people at least this alike (equal within :data:`TIE` counts), ``(k,)``, ascending."""
        ...

    def row(self, entry: int) -> NDArray[np.float64]:
        """Scores of all people, ``(people,)``."""
        ...

    def blocks(self, entries: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """Scores of all people against these entries, some entries at a time: ``(some, people)``."""
        ...

    def top(
        self, entries: NDArray[np.int64], most: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """The ``most`` most alike people of each entry, some entries at a time.

        Yields:
            Scores, descending, and the people's positions: ``(some, most)`` each.
        """
        ...


class DenseScores(ABC):
    """Base of what knows every score."""

    people: int
    entries: int

    def row(self, entry: int) -> NDArray[np.float64]:
        """Scores of all people, ``(people,)``."""
        scores: NDArray[np.float64] = next(iter(self.blocks(np.array([entry]))))[0]
        return scores

    @abstractmethod
    def blocks(self, entries: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """See :class:`CohortScores`."""

    def at_least(self, entry: int, score: float) -> NDArray[np.int64]:
        """See :class:`CohortScores`."""
        return np.flatnonzero(self.row(entry) >= score - TIE)

    def top(
        self, entries: NDArray[np.int64], most: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """See :class:`CohortScores`."""
        for block in self.blocks(entries):
            if most < self.people:
                persons = np.argpartition(block, self.people - most, axis=1)[:, self.people - most :]
            else:
                persons = np.broadcast_to(np.arange(self.people), block.shape)
            scores = np.take_along_axis(block, persons, axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")
            yield np.take_along_axis(scores, order, axis=1), np.take_along_axis(persons, order, axis=1)


class TemplateScores(DenseScores):
    """Computed from templates when asked for; the last few entries' scores are kept.

    Args:
        cohort: float32 ``(people, d)``: one template a person.
        templates: float32 ``(t, d)``: the gallery's, grouped by owner.
        owners: ``(t,)``: the entry of each template: 0, 1, 2 ... ascending, every entry at least once.
        similarity: Of the embedder.
    """

    def __init__(
        self,
        cohort: NDArray[np.float32],
        templates: NDArray[np.float32],
        owners: NDArray[Any],
        similarity: Similarity,
    ) -> None:
        self.people = len(cohort)
        self._cohort, self._templates, self._similarity = cohort, templates, similarity
        self._starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1], True])
        self.entries = len(self._starts) - 1
        self._rows: dict[int, NDArray[np.float64]] = {}

    def row(self, entry: int) -> NDArray[np.float64]:
        """See :class:`CohortScores`."""
        if (known := self._rows.get(entry)) is not None:
            return known
        scores = super().row(entry)
        if (len(self._rows) + 1) * self.people > CHUNK:
            self._rows.clear()
        self._rows[entry] = scores
        return scores

    def blocks(self, entries: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """See :class:`CohortScores`."""
        sizes = self._starts[entries + 1] - self._starts[entries]
        ends = np.cumsum(sizes)
        first, rows = 0, max(1, CHUNK // self.people)
        while first < len(entries):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + rows, "right")))
            some = sizes[first:last]
            where = np.repeat(self._starts[entries[first:last]] - (ends[first:last] - some), some)
            templates = self._templates[where + np.arange(done, ends[last - 1])]
            owners = np.repeat(np.arange(last - first, dtype=np.int32), some)
            scores = entry_similarities(self._cohort, templates, owners, self._similarity).T
            if not np.isfinite(scores).all():
                raise ValueError("a similarity of the cohort to the gallery is not finite; build both again")
            yield np.ascontiguousarray(scores)
            first = last


class MatrixScores(DenseScores):
    """Given as they are: ``(entries, people)``."""

    def __init__(self, scores: NDArray[np.float64]) -> None:
        if scores.ndim != 2 or not np.isfinite(scores).all():
            raise ValueError(f"expected finite scores (entries, people), found an array {scores.shape}")
        self.entries, self.people = scores.shape
        self._scores = scores

    def blocks(self, entries: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """See :class:`CohortScores`."""
        rows = max(1, CHUNK // max(1, self.people))
        for first in range(0, len(entries), rows):
            yield self._scores[entries[first : first + rows]]


class TopScores:
    """Only the most alike people of each entry are known, which is all that a decision about a close hit needs.

    Args:
        scores: ``(entries, m)``, descending in each row.
        persons: ``(entries, m)``: positions of those people in the cohort, all different in a row.
        people: Size of the whole cohort; everybody else is at most as alike as the last one known.

    Raises:
        ValueError: Shapes do not fit, or scores do not descend.
    """

    def __init__(self, scores: NDArray[np.float64], persons: NDArray[np.int64], people: int) -> None:
        if scores.ndim != 2 or scores.shape != persons.shape or not 0 < scores.shape[1] <= people:
            raise ValueError(
                f"scores {scores.shape} and persons {persons.shape} of {people} people do not fit"
            )
        if not np.isfinite(scores).all() or (np.diff(scores, axis=1) > 0).any():
            raise ValueError("the scores of each entry must be finite and descend")
        self.people = people
        self.entries = len(scores)
        self._scores, self._persons = scores, persons

    def row(self, entry: int) -> NDArray[np.float64]:
        """See :class:`CohortScores`.

        Raises:
            ValueError: Not everybody is known.
        """
        self._check_depth(self.people)
        scores = np.empty(self.people)
        scores[self._persons[entry]] = self._scores[entry]
        return scores

    def blocks(self, entries: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """See :meth:`row`."""
        for entry in entries.tolist():
            yield self.row(entry)[None]

    def at_least(self, entry: int, score: float) -> NDArray[np.int64]:
        """See :class:`CohortScores`.

        Raises:
            ValueError: All that are known are this alike, and there are others.
        """
        count = int(np.count_nonzero(self._scores[entry] >= score - TIE))
        if count == self._scores.shape[1]:
            self._check_depth(self.people)
        return np.sort(self._persons[entry, :count])

    def top(
        self, entries: NDArray[np.int64], most: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """See :class:`CohortScores`.

        Raises:
            ValueError: Fewer are known.
        """
        self._check_depth(most)
        rows = max(1, CHUNK // most)
        for first in range(0, len(entries), rows):
            some = entries[first : first + rows]
            yield self._scores[some, :most], self._persons[some, :most]

    def _check_depth(self, wanted: int) -> None:
        if wanted > self._scores.shape[1]:
            raise ValueError(
                f"only the {self._scores.shape[1]} most alike of {self.people} people are known for each entry; "
                f"this needs {wanted}"
            )
