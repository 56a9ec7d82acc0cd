"""A gallery's calibration against a cohort, in the words and numbers that stand beside a hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.likeness.calibration import Calibration, Expected, HitRates, last_alerting
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.gallery_file import StoredGallery
from vgaudit.likeness.hits import People
from vgaudit.likeness.search import search

_BINS = 40


class CohortCalibration:
    """How many people of a cohort resemble each entry of a gallery at least so much.

    Args:
        gallery: The gallery.
        cohort: Unrelated people, embedded as the gallery was.
        embedder: Of both.
    """

    def __init__(self, gallery: StoredGallery, cohort: Cohort, embedder: FaceEmbedder) -> None:
        self.cohort = cohort
        self._gallery = gallery
        self._calibration = Calibration(
            cohort.templates,
            cohort.groups,
            [entry.group or "" for entry in gallery.entries],
            gallery.templates,
            gallery.owners,
            embedder.similarity,
        )

    def rates(self, entry: int, score: float) -> HitRates:
        """How many of the cohort resemble the entry at the position ``entry`` at least as much as ``score``."""
        return self._calibration.rate(entry, score)

    def expected_chance_alerts(
        self, tracks: int, entries: Sequence[int], comparisons: int, strict: float | None, point: float
    ) -> Expected:
        """Alerts that unrelated people would raise; see :class:`~vgaudit.likeness.calibration.Calibration`."""
        return self._calibration.expected_chance_alerts(tracks, entries, comparisons, strict, point)

    def expected_hits(self, tracks: int, entries: Sequence[int], point: float) -> Expected:
        """Tracks past the point that unrelated people would give."""
        return self._calibration.expected_hits(tracks, entries, point)

    def detail(self, entry: int, score: float, best_score: float) -> dict[str, Any]:
        """What a finding says of its rate, as JSON: at the template's score, and at that of its closest frame."""
        rates = self.rates(entry, score)
        best = self.rates(entry, best_score)
        counts, edges = np.histogram(self._calibration.scores(entry), bins=_BINS)
        same = rates.same_group
        return {
            "calibration": self.facts(),
            "rate": rates.overall.to_json(),
            "same_group_rate": same.to_json() if same else None,
            "best_rate": best.overall.to_json(),
            "best_same_group_rate": best.same_group.to_json() if best.same_group else None,
            "histogram": {"edges": [float(e) for e in edges], "counts": [int(c) for c in counts]},
        }

    def no_alerts(self, entries: Sequence[int], comparisons: int, strict: float | None) -> str:
        """Why a match of somebody cannot be an ALERT, however close it is; an empty text where everybody's can.

        Args:
            entries: Positions of those who are looked for.
            comparisons: Of the run.
            strict: The embedder's strict point.
        """
        if strict is not None:
            return ""
        people = [rate.people for entry in entries for rate in self.rates(entry, 2.0).all]
        if all(last_alerting(n, max(1, comparisons)) >= 0 for n in people):
            return ""
        return (
            f"{min(people):,} people in the cohort, or in a group of it: too few for {comparisons:,} comparisons, "
            "and the embedder has no strict point: enlarge the cohort, or state `strict:`"
        )

    def doubles(self, people: Sequence[int], alike: float) -> list[str]:
        """Sentences on people of the cohort who may be people of the gallery: a leak of them would look like chance.

        Args:
            people: Positions of the entries that are looked for.
            alike: Similarity from which on two are taken for one person.
        """
        wanted = People.of(people, self._gallery.templates, self._gallery.owners)
        found = search(self.cohort.templates, wanted.templates, wanted.owners, self.cohort.measure, alike)
        counts = Counter(past.entry for past in found.past)
        return [
            f"{self._gallery.entries[wanted.entries[entry]].entry_id}: {close} in the cohort "
            f"{'is' if close == 1 else 'are'} past the strict point and may be the same person; if so, take them out "
            "of the cohort"
            for entry, close in sorted(counts.items())
        ]

    def facts(self) -> dict[str, Any]:
        """Name, people, source and licence of the cohort: they stand beside every rate."""
        return self.cohort.facts()
