"""What a hit is worth: ALERT, REVIEW or CLEAR, and why. Nothing here fails open.

A cohort too small to say how rare a likeness is has not shown that it is common: such a hit is looked at. A hit is
let go for one of two reasons only: nothing of it reaches the published point, or unrelated people are known to
resemble the entry so often that this run alone would be expected to show several - and even then not past the strict
point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from vgaudit.likeness.calibration import ALERT_CHANCES, CoincidenceRate, HitRates
from vgaudit.likeness.rate_words import EVERYBODY, OF_THE_GROUP

__all__ = ["ALERT_CHANCES", "REVIEW_CHANCES", "SUPPORT", "Judgement", "Match", "Tier", "judge"]

SUPPORT = 3
"""Fewest frames past a point for an ALERT: one frame that looks like somebody is looked at, no more."""

REVIEW_CHANCES = 1.0
"""A hit is let go by its rate only if more chance hits than this are expected of the run."""


class Tier(StrEnum):
    """How much a hit asks for; from least to most."""

    CLEAR = "CLEAR"
    REVIEW = "REVIEW"
    ALERT = "ALERT"


@dataclass(frozen=True)
class Match:
    """A track held against an entry.

    Attributes:
        score: Similarity of the track's template to the entry.
        point: The embedder's published point: faces at least this similar are called the same person there.
        strict: Its strict point, if it has one.
        support: Frames of the track past the point.
        strict_support: Frames past the strict point.
        rates: Of a calibration, at the template's score; ``None`` without one.
        best_rates: The same at the score of the most alike single frame, where that is above the template's. A
            template is what the cohort is comparable to, so it alone makes an ALERT by rate; but a track that
            wanders may hold frames that are far closer, and these decide whether it may be let go.

    Raises:
        ValueError: A similarity is not finite, or a count is negative.
    """

    score: float
    point: float
    strict: float | None
    support: int
    strict_support: int
    rates: HitRates | None
    best_rates: HitRates | None = None

    def __post_init__(self) -> None:
        for name in ("score", "point", "strict"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}; a similarity is finite, so this hit cannot be judged")
        if min(self.support, self.strict_support) < 0:
            raise ValueError(f"{self.support} and {self.strict_support} frames; expected 0 or more")


@dataclass(frozen=True)
class Judgement:
    """What :func:`judge` says.

    Attributes:
        tier: The tier.
        reason: Why, in one sentence.
        unresolved: The match lies beyond what the cohort can resolve.
        chances: Chance hits as rare as this expected of the run, by the largest of its rates; ``None`` without
            calibration. Not finer than the cohort resolves.
    """

    tier: Tier
    reason: str
    unresolved: bool
    chances: float | None


def judge(match: Match, comparisons: int) -> Judgement:
    """The tier of a match.

    * Neither the template nor a frame reaches the point: CLEAR.
    * Without calibration: REVIEW.
    * ALERT: at least :data:`SUPPORT` frames past the point, and either at most :data:`ALERT_CHANCES` such hits
      expected by chance of the whole run, by every rate, or unresolved with as many frames past the strict point.
    * CLEAR: every rate is resolved, the lower end of each times ``comparisons`` is more than
      :data:`REVIEW_CHANCES`, there is a strict point, and neither template nor frame is past it.
    * REVIEW: everything else.

    A larger score (with the rates of the same cohort) or more frames never lower the tier; more comparisons never
    raise it. A hit whose true rate is within the REVIEW bound is let go by at most 2.5 % of cohorts, whatever their
    size. (A subset of a cohort chosen to hold just those who resemble the entry may well let go what the whole does
    not: no count can tell that it was chosen.)

    Args:
        match: The match.
        comparisons: Tracks times entries of the whole run.

    Raises:
        ValueError: ``comparisons`` is below 1.
    """
    if comparisons < 1:
        raise ValueError(f"{comparisons} comparisons; a match is at least one")
    frames = max(match.support, match.strict_support)
    past_strict = match.strict is not None and (match.strict_support > 0 or match.score >= match.strict)
    rates = match.rates
    closest = match.best_rates or rates
    unresolved = closest is not None and not closest.overall.resolved
    chances = None if rates is None else comparisons * rates.largest.chance

    def say(tier: Tier, reason: str) -> Judgement:
        return Judgement(tier, reason, unresolved, chances)

    if match.score < match.point and frames == 0 and not past_strict:
        return say(Tier.CLEAR, "neither the face over time nor any frame of it reaches the published point")
    if rates is None or closest is None or chances is None:
        return say(
            Tier.REVIEW,
            "past the published point, and uncalibrated: without a cohort nobody knows how many unrelated people are "
            "as alike",
        )
    expected = f"{chances:.2g} hits as close as this expected by chance in {comparisons:,} comparisons"
    rare = all(rate.alerts(comparisons) for rate in rates.all)
    if frames >= SUPPORT and rare:
        return say(Tier.ALERT, f"{frames} frames past the published point, and at most {expected}")
    if frames >= SUPPORT and unresolved and match.strict_support >= SUPPORT:
        return say(
            Tier.ALERT,
            f"past the strict point in {_frames(match.strict_support)}, and {_beyond(closest.overall)}; that is no "
            "rate: how many such alerts chance gives is told with the run",
        )
    if rare:
        return say(Tier.REVIEW, f"at most {expected}, but only {_frames(frames)} past the published point")
    if unresolved:
        return say(
            Tier.REVIEW,
            f"past the published point, and {_beyond(closest.overall)}; that is no sign of harmlessness",
        )
    if closest.same_group is not None and not closest.same_group.resolved:
        return say(
            Tier.REVIEW,
            f"past the published point, and {_beyond(closest.same_group, OF_THE_GROUP)}",
        )
    if any(rate.low * comparisons <= REVIEW_CHANCES for rate in closest.all):
        return say(Tier.REVIEW, f"rare enough to be looked at: about {expected}")
    if past_strict:
        return say(Tier.REVIEW, f"past the strict point, though about {expected}")
    if match.strict is None:
        return say(
            Tier.REVIEW, f"the embedder has no strict point, so no match is let go, though about {expected}"
        )
    return say(Tier.CLEAR, f"short of the strict point, and about {expected}")


def _beyond(rate: CoincidenceRate, who: str = EVERYBODY) -> str:
    """An unresolved rate in words."""
    people = "1 unrelated person" if rate.people == 1 else f"{rate.people:,} {who}"
    if rate.tells_nothing:
        return f"{people} cannot tell how common this is"
    if not rate.at_least:
        return f"more alike than all of {people}"
    are = "is" if rate.at_least == 1 else "are"
    return f"only {rate.at_least} of {people} {are} at least as alike, too few to tell how rare this is"


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"
