"""Coincidence rates as sentences, for the message of a finding."""

from __future__ import annotations

from vgaudit.likeness.calibration import CoincidenceRate, HitRates, one_in

EVERYBODY = "unrelated people"
OF_THE_GROUP = "unrelated people of the entry's own group"


def rate_sentence(rate: CoincidenceRate, who: str = EVERYBODY) -> str:
    """A rate as a sentence about ``who``, never finer than the cohort resolves."""
    if rate.resolved:
        return (
            f"About 1 in {one_in(rate.value)} {who} resemble this entry at least as much (95 % interval 1 in "
            f"{one_in(rate.low)} to 1 in {one_in(rate.high)})."
        )
    if rate.tells_nothing:
        return f"How many {who} resemble this entry as much is not known: {rate.words}."
    beyond = f"and {rate.people_words} cannot resolve it further"
    if not rate.at_least:
        return (
            f"Of {rate.people:,} {who} none resembles this entry as much: at most 1 in {one_in(rate.value)} do, "
            f"{beyond}."
        )
    verb = "resembles" if rate.at_least == 1 else "resemble"
    return (
        f"Of {rate.people:,} {who} {rate.at_least} {verb} this entry at least as much: up to 1 in "
        f"{one_in(rate.high)} may (95 % interval), {beyond}."
    )


def rates_sentence(rates: HitRates) -> str:
    """All rates of a hit in sentences, the same group's first."""
    overall = rate_sentence(rates.overall)
    if rates.same_group is None:
        return overall
    return f"{rate_sentence(rates.same_group, OF_THE_GROUP)} {overall}"
