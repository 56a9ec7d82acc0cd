"""How often unrelated people resemble an entry of the gallery as much as a face in a clip does.

A cohort of unrelated people is held against *this* entry, so an entry that looks like many people raises its own bar.
Rates are counts: how many of ``n`` people are at least as alike, with the exact interval, and never below what ``n``
people can show (three of them). No tail is fitted to say more: what lies beyond the cohort is called unresolved,
which :mod:`vgaudit.likeness.tiers` never takes for harmless.

What all of it assumes: whoever is in a clip without being in the gallery is like one more person of the cohort
(exchangeable with them). Faces of a population that the cohort does not hold coincide more often than stated here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.estimates import clopper_pearson
from vgaudit.likeness.cohort_scores import TIE, CohortScores, MatrixScores, TemplateScores, TopScores
from vgaudit.likeness.matching import Similarity

FLOOR = 3
"""A rate is never said to be below this many people of the cohort; so many it takes to resolve one."""

SAME_GROUP_PEOPLE = 3
"""Fewest people of the cohort in an entry's group for a rate within it."""

ALERT_CHANCES = 0.05
"""Most chance hits expected of a whole run at which a hit's rate makes it an ALERT."""

CONFIDENCE = 0.95

TELLS_NOTHING = 0.5
"""An unresolved rate that is only known to be at most this or more says nothing."""


@dataclass(frozen=True)
class CoincidenceRate:
    """The share of unrelated people who resemble an entry at least as much as a hit does.

    Not the probability that the hit is the person.

    Attributes:
        at_least: ``k``: people of the cohort at least as alike; an equal score counts.
        people: ``n``: people in the cohort, or of the entry's group in it.

    Raises:
        ValueError: ``people`` is not positive, or ``at_least`` is outside ``0..people``.
    """

    at_least: int
    people: int

    def __post_init__(self) -> None:
        if self.people < 1 or not 0 <= self.at_least <= self.people:
            raise ValueError(f"{self.at_least} of {self.people} people; expected n >= 1 and 0 <= k <= n")

    @property
    def value(self) -> float:
        """``max(k, 3) / n``, at most 1: the count, floored at what the cohort resolves."""
        return min(1.0, max(self.at_least, FLOOR) / self.people)

    @property
    def resolved(self) -> bool:
        """Whether enough people are at least as alike for the rate to be known: ``k >= 3``."""
        return self.at_least >= FLOOR

    @property
    def chance(self) -> float:
        """What decisions multiply by the number of comparisons: ``max(value, (k + 1) / (n + 1))``.

        ``(k + 1) / (n + 1)`` is the probability that one more unrelated person has at most ``k`` of ``n`` people
        ahead (all ``n + 1`` are exchangeable). ``k / n`` alone would let through 4/3 of the chance alerts that a
        bound allows where ``k`` is 3.
        """
        return max(self.value, (self.at_least + 1) / (self.people + 1))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval of ``k`` of ``n`` (Clopper and Pearson), without the floor."""
        return clopper_pearson(self.at_least, self.people, CONFIDENCE)

    @property
    def low(self) -> float:
        """Lower end of :attr:`interval`."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of :attr:`interval`."""
        return self.interval[1]

    def alerts(self, comparisons: int) -> bool:
        """Whether so many comparisons are expected to give at most :data:`ALERT_CHANCES` hits as rare as this.

        Products of whole numbers, divided once: exact for less than 2^50 people.
        """
        floored = comparisons * min(max(self.at_least, FLOOR), self.people) / self.people <= ALERT_CHANCES
        return floored and comparisons * (self.at_least + 1) / (self.people + 1) <= ALERT_CHANCES

    @property
    def words(self) -> str:
        """The rate in words, never finer than the cohort resolves."""
        if self.resolved:
            return f"1 in {one_in(self.value)} (95 % interval 1 in {one_in(self.low)} to 1 in {one_in(self.high)})"
        are = "is" if self.at_least == 1 else "are"
        some = f"{self.at_least} of them {are} at least as alike" if self.at_least else ""
        if self.tells_nothing:
            return f"{self.people_words} cannot tell how common this is" + (f" ({some})" if some else "")
        text = f"at most 1 in {one_in(self.value)}, not resolvable further with {self.people_words}"
        return f"{text} ({some}: up to 1 in {one_in(self.high)} at 95 %)" if some else text

    @property
    def tells_nothing(self) -> bool:
        """Whether the cohort is too small for any rate: unresolved, and no bound under one in two."""
        return not self.resolved and self.value >= TELLS_NOTHING

    @property
    def people_words(self) -> str:
        """How many people the rate is of: ``1 person``, ``500 people``."""
        return "1 person" if self.people == 1 else f"{self.people:,} people"

    def to_json(self) -> dict[str, Any]:
        """Plain data; everything follows from ``at_least`` and ``people``."""
        return {
            "at_least": self.at_least,
            "people": self.people,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "resolved": self.resolved,
            "words": self.words,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CoincidenceRate:
        """From :meth:`to_json`.

        Raises:
            KeyError, ValueError: Not such data, or a value that does not follow from its counts.
        """
        rate = cls(int(data["at_least"]), int(data["people"]))
        if "value" in data and not math.isclose(data["value"], rate.value, rel_tol=1e-9):
            raise ValueError(
                f"the rate {data['value']} does not follow from {rate.at_least} of {rate.people} people, which give "
                f"{rate.value}; the record was changed"
            )
        return rate


def one_in(rate: float) -> str:
    """``1 / rate`` for people: one decimal below 10, whole numbers from there on."""
    one_in = 1 / rate
    return f"{one_in:.1f}".removesuffix(".0") if one_in < 10 else f"{one_in:,.0f}"


@dataclass(frozen=True)
class HitRates:
    """The rates of one hit.

    Attributes:
        overall: Among everybody in the cohort.
        same_group: Among the cohort's people of the entry's group; ``None`` where no groups were given, or the
            group has fewer than :data:`SAME_GROUP_PEOPLE` people.
    """

    overall: CoincidenceRate
    same_group: CoincidenceRate | None = None

    @property
    def all(self) -> tuple[CoincidenceRate, ...]:
        """Those there are, in the order they are told: the same group's first."""
        return (self.overall,) if self.same_group is None else (self.same_group, self.overall)

    @property
    def largest(self) -> CoincidenceRate:
        """The one under which such a hit is most common; what decisions go by."""
        return max(self.all, key=lambda rate: rate.chance)

    @property
    def words(self) -> str:
        """The rates in words, the same group's first."""
        if self.same_group is None:
            return self.overall.words
        return f"in the entry's own group {self.same_group.words}; among everybody {self.overall.words}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        same = None if self.same_group is None else self.same_group.to_json()
        return {"overall": self.overall.to_json(), "same_group": same}


@dataclass(frozen=True)
class Expected:
    """How many hits chance is expected to give in a run, with an interval of that expectation.

    Attributes:
        value: Expected number of pairs of track and entry. What is seen scatters around it besides.
        low: Lower end.
        high: Upper end.
        confidence: Coverage of the interval.
        words: The same in words.
    """

    value: float
    low: float
    high: float
    confidence: float
    words: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


class Calibration:
    """A cohort of unrelated people held against the entries of a gallery.

    Args:
        cohort_templates: float32 ``(n, d)``: one template a person, averaged as a track's is.
        cohort_groups: ``(n,)``: each person's group as the user gave it; ``""`` for none.
        entry_groups: Each entry's group; ``""`` for none.
        templates: float32 ``(t, d)``: the gallery's, of the same embedder, grouped by owner.
        owners: ``(t,)``: the entry of each template: 0, 1, 2 ... ascending.
        similarity: Of the embedder.

    Neither the cohort's order nor that of the gallery changes a rate.

    Raises:
        ValueError: The cohort is empty, shapes do not fit, or a template is not finite.
    """

    def __init__(
        self,
        cohort_templates: NDArray[np.float32],
        cohort_groups: Sequence[str],
        entry_groups: Sequence[str],
        templates: NDArray[np.float32],
        owners: NDArray[Any],
        similarity: Similarity,
    ) -> None:
        if cohort_templates.ndim != 2 or templates.ndim != 2:
            raise ValueError(f"expected (n, d), found {cohort_templates.shape} and {templates.shape}")
        if cohort_templates.shape[1] != templates.shape[1]:
            raise ValueError(
                f"the cohort's templates have {cohort_templates.shape[1]} numbers and the gallery's "
                f"{templates.shape[1]}; build both with one embedder"
            )
        if not (np.isfinite(cohort_templates).all() and np.isfinite(templates).all()):
            raise ValueError("a template holds a number that is not finite; build cohort and gallery again")
        owners = np.asarray(owners)
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]]) if len(owners) else np.empty(0, int)
        if owners.shape != (len(templates),) or not np.array_equal(
            owners[starts], np.arange(len(entry_groups))
        ):
            raise ValueError(
                f"templates must be grouped by owner, owners 0 to {len(entry_groups) - 1} in order, one for each "
                f"of {len(templates)} templates"
            )
        self._set(
            TemplateScores(cohort_templates, templates, owners, similarity), cohort_groups, entry_groups
        )

    @classmethod
    def from_scores(
        cls,
        scores: NDArray[np.float64] | TopScores,
        cohort_groups: Sequence[str] = (),
        entry_groups: Sequence[str] = (),
    ) -> Calibration:
        """A calibration of scores that are known, ``(entries, n)``, or of the highest of them; for simulations.

        Groups may be left out.

        Raises:
            ValueError: As for the class.
        """
        source: CohortScores = scores if isinstance(scores, TopScores) else MatrixScores(scores)
        made = cls.__new__(cls)
        made._set(source, cohort_groups or [""] * source.people, entry_groups or [""] * source.entries)
        return made

    def _set(self, source: CohortScores, cohort_groups: Sequence[str], entry_groups: Sequence[str]) -> None:
        if not source.people:
            raise ValueError("a cohort without people calibrates nothing; leave the calibration out")
        if len(cohort_groups) != source.people or len(entry_groups) != source.entries:
            raise ValueError(
                f"{len(cohort_groups)} groups for {source.people} people and {len(entry_groups)} for "
                f"{source.entries} entries; expected one each"
            )
        self._source = source
        self.people: int = source.people
        """People in the cohort."""
        numbers: dict[str, int] = {"": -1}
        person = [numbers.setdefault(g.strip().casefold(), len(numbers)) for g in cohort_groups]
        self._person_group = np.array(person, np.int64)
        sizes = np.bincount(self._person_group[self._person_group >= 0], minlength=len(numbers))
        entry = np.array([numbers.get(g.strip().casefold(), -1) for g in entry_groups], np.int64)
        entry[(entry < 0) | (sizes[entry] < SAME_GROUP_PEOPLE)] = -1
        self._entry_group = entry
        self._group_sizes = sizes

    def rate(self, entry: int, score: float) -> HitRates:
        """The rates of a hit.

        Args:
            entry: Position of the entry.
            score: Similarity of a track's template to it: the highest over the entry's templates.

        Raises:
            ValueError: The score is not finite, or there is no such entry.
        """
        self._check_entries(np.array([entry]))
        if not math.isfinite(score):
            raise ValueError(f"the score is {score}; a hit has a finite similarity")
        persons = self._source.at_least(entry, score)
        group = int(self._entry_group[entry])
        same = None
        if group >= 0:
            inside = int(np.count_nonzero(self._person_group[persons] == group))
            same = CoincidenceRate(inside, int(self._group_sizes[group]))
        return HitRates(CoincidenceRate(len(persons), self.people), same)

    def scores(self, entry: int) -> NDArray[np.float64]:
        """Scores of everybody in the cohort against an entry, ``(n,)``, ascending: for a histogram."""
        self._check_entries(np.array([entry]))
        return np.sort(self._source.row(entry))

    def expected_chance_alerts(
        self,
        tracks: int,
        entries: Sequence[int],
        comparisons: int,
        strict: float | None,
        point: float | None = None,
    ) -> Expected:
        """How many ALERTs a run of unrelated people is expected to give with this cohort and gallery.

        Each track is taken for one more unrelated person, and each person of the cohort for such a track in turn,
        held against the others (leave one out). It alerts on an entry by rate, with at most ``K`` of the others
        ahead, ``K`` the last count that :meth:`CoincidenceRate.alerts` allows, also within the entry's group; or
        unresolved and past the strict point. Where both hold it is one alert. An entry's share of such people is
        at most ``(K + 1) / (n + 1)``, what exchangeability gives exactly, and reaches it where no point matters.

        The interval is of the expectation given this cohort. One generic face tops many entries, so people are
        the clusters: the gamma interval for weighted Poisson counts (Fay and Feuer, Statistics in Medicine 16,
        1997), each person weighing the entries they alert on. Its upper end allows for one more person who alerts
        on every entry, so that where nothing was seen it is the rule of three (at 95 %, two-sided, 3.7 people).

        Three frames past a point are needed as well. They are taken for given where the template is past it, so
        ``value`` is on the high side.

        Args:
            tracks: Tracks that can alert: those with at least three usable frames.
            entries: Positions of the entries that can alert (protected ones).
            comparisons: Of the run: all tracks times all entries.
            strict: The embedder's strict point, if it has one.
            point: Its published point: no template short of it counts. Left out, all do.

        Raises:
            ValueError: ``tracks`` is negative, there is no such entry, or ``comparisons`` is below
                ``tracks x entries``.
        """
        chosen = self._chosen(tracks, entries)
        if comparisons < tracks * len(chosen):
            raise ValueError(
                f"{comparisons} comparisons are fewer than {tracks} tracks x {len(chosen)} entries"
            )
        what = self._against(tracks, chosen)
        if not tracks or not len(chosen):
            return Expected(0.0, 0.0, 0.0, CONFIDENCE, f"no chance alert is possible: {what}")
        by_rate = last_alerting(self.people, comparisons)
        by_strict = -1 if strict is None else FLOOR - 1
        most = max(by_rate, by_strict)
        if most < 0:
            why = "the cohort is too small to alert by rate, and the embedder has no strict point"
            return Expected(0.0, 0.0, 0.0, CONFIDENCE, f"no chance alert is possible: {why}")
        in_group = np.array([last_alerting(int(size), comparisons) for size in self._group_sizes])
        lowest = -math.inf if point is None else point
        shares: list[float] = []
        people = np.zeros(self.people)
        at = 0
        for scores, persons in self._source.top(chosen, min(self.people, most + 2)):
            some = chosen[at : at + len(scores)]
            at += len(scores)
            ahead = _ahead(scores)
            alert = ahead <= by_rate
            group = self._entry_group[some]
            if (group >= 0).any():
                inside = self._person_group[persons] == group[:, None]
                ahead_inside = np.take_along_axis(np.cumsum(inside, axis=1), ahead, axis=1) - inside
                alert &= (group < 0)[:, None] | (ahead_inside <= in_group[group][:, None])
            if strict is not None:
                alert |= (ahead <= by_strict) & (scores >= strict)
            alert &= scores >= lowest
            counts = alert.sum(axis=1)
            shares += np.where(counts <= most, counts / self.people, (most + 1) / (self.people + 1)).tolist()
            people += np.bincount(persons[alert], minlength=self.people)
        return _expected(tracks, math.fsum(shares), people, len(chosen), f"alerts by chance, {what}")

    def expected_hits(self, tracks: int, entries: Sequence[int], point: float) -> Expected:
        """How many pairs of track and entry unrelated people are expected to bring to the point.

        What the decoys of :mod:`vgaudit.likeness.decoys` are held against: the share of the cohort at or past the
        point for each entry, times the tracks. Interval as for :meth:`expected_chance_alerts`.

        Raises:
            ValueError: ``tracks`` is negative, or there is no such entry.
        """
        chosen = self._chosen(tracks, entries)
        what = self._against(tracks, chosen)
        if not tracks or not len(chosen):
            return Expected(0.0, 0.0, 0.0, CONFIDENCE, f"no chance hit is possible: {what}")
        people = np.zeros(self.people)
        for block in self._source.blocks(chosen):
            people += np.count_nonzero(block >= point, axis=0)
        share = float(people.sum()) / self.people
        return _expected(tracks, share, people, len(chosen), f"hits at the point by chance, {what}")

    def _against(self, tracks: int, entries: NDArray[np.int64]) -> str:
        return (
            f"{tracks:,} track{'s' * (tracks != 1)} against {len(entries):,} "
            f"entr{'y' if len(entries) == 1 else 'ies'}, cohort of {self.people:,} people"
        )

    def _chosen(self, tracks: int, entries: Sequence[int]) -> NDArray[np.int64]:
        chosen = np.asarray(entries, np.int64).reshape(-1)
        if tracks < 0:
            raise ValueError(f"{tracks} tracks; expected 0 or more")
        if len(np.unique(chosen)) != len(chosen):
            raise ValueError("an entry is named twice; each counts once")
        self._check_entries(chosen)
        return chosen

    def _check_entries(self, entries: NDArray[np.int64]) -> None:
        if len(entries) and not (entries.min() >= 0 and entries.max() < self._source.entries):
            raise ValueError(f"no such entry; there are {self._source.entries}, counted from 0")


def last_alerting(people: int, comparisons: int) -> int:
    """The most people that may be at least as alike as a hit that alerts by rate; -1 where none does."""
    if people < 1 or comparisons < 1:
        return -1
    guess = int(ALERT_CHANCES * (people + 1) / comparisons) + 1
    return next(
        (k for k in range(min(guess, people), -1, -1) if CoincidenceRate(k, people).alerts(comparisons)), -1
    )


def _ahead(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many others of its row are at least as high as each, ``(e, m)``; rows descend, equals count each other."""
    ahead = np.broadcast_to(np.arange(scores.shape[1]), scores.shape).copy()
    for step in range(1, scores.shape[1]):
        tied = scores[:, step:] >= scores[:, :-step] - TIE
        if not tied.any():
            break
        ahead[:, :-step] += tied
    return ahead


def _expected(tracks: int, share: float, people: NDArray[np.float64], entries: int, what: str) -> Expected:
    """An expectation with its interval.

    Args:
        tracks: Tracks.
        share: Sum over entries of the probability of a hit.
        people: ``(n,)``: entries that each person of the cohort hits.
        entries: Entries; the most a person can hit.
        what: What is counted, for the words.
    """
    from scipy.special import gammaincinv

    tail = (1 - CONFIDENCE) / 2
    total, squares = float(people.sum()), float((people**2).sum())
    low = squares / total * float(gammaincinv(total**2 / squares, tail)) if total else 0.0
    more, more_squares = total + entries, squares + entries**2
    high = more_squares / more * float(gammaincinv(more**2 / more_squares, 1 - tail))
    scale, most = tracks / len(people), float(tracks * entries)
    value = tracks * share
    low, high = min(low * scale, value), min(max(high * scale, value), most)
    words = f"{value:.2g} {what} (95 % interval {low:.2g} to {high:.2g})"
    return Expected(value, low, high, CONFIDENCE, words)
