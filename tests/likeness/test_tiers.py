"""Tiers never fail open: properties over all scores, cohorts, sizes and numbers of tracks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from vgaudit.extractors.face_embedding import cosine_similarity, l2_similarity, unit_norm
from vgaudit.likeness.calibration import Calibration, CoincidenceRate, HitRates
from vgaudit.likeness.tiers import Judgement, Match, Tier, judge

ORDER = [Tier.CLEAR, Tier.REVIEW, Tier.ALERT]
POINT, STRICT = 0.4, 0.5

counts = st.one_of(st.integers(1, 12), st.integers(1, 2_000_000))


@st.composite
def rates(draw: st.DrawFn) -> CoincidenceRate:
    n = draw(counts)
    return CoincidenceRate(draw(st.one_of(st.integers(0, min(n, 5)), st.integers(0, n))), n)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    overall = draw(rates())
    same = draw(st.none() | rates())
    if same is not None and (same.people > overall.people or same.at_least > overall.at_least):
        same = None
    support = draw(st.integers(0, 6))
    strict = draw(st.sampled_from([None, STRICT]))
    strict_support = 0 if strict is None else draw(st.integers(0, support))
    calibrated = draw(st.booleans())
    score = draw(st.floats(-1, 1))
    return Match(
        score, POINT, strict, support, strict_support, HitRates(overall, same) if calibrated else None
    )


def rank(judgement: Judgement) -> int:
    return ORDER.index(judgement.tier)


@settings(max_examples=150, deadline=None)
@given(match=matches(), comparisons=counts)
def test_the_tier_is_what_the_rules_say(match: Match, comparisons: int) -> None:
    found = judge(match, comparisons)
    short = match.score < match.point and not match.support
    past_strict = match.strict is not None and (match.score >= match.strict or match.strict_support > 0)
    assert found.reason
    if short and not past_strict:
        assert found.tier is Tier.CLEAR
        return
    if match.rates is None:
        assert (found.tier, found.unresolved, found.chances) == (Tier.REVIEW, False, None)
        return
    k = match.rates.overall.at_least
    assert found.unresolved == (k < 3)
    chances = [comparisons * max(min(1, max(r.at_least, 3) / r.people), (r.at_least + 1) / (r.people + 1))
               for r in match.rates.all]  # fmt: skip
    assert found.chances == pytest.approx(max(chances))
    if max(chances) != pytest.approx(0.05):
        alert = match.support >= 3 and (max(chances) <= 0.05 or (k < 3 and match.strict_support >= 3))
        assert (found.tier is Tier.ALERT) == alert
    clear = (
        all(r.at_least >= 3 and r.low * comparisons > 1 for r in match.rates.all)
        and match.strict is not None
        and not past_strict
    )
    assert (found.tier is Tier.CLEAR) == clear


@settings(max_examples=150, deadline=None)
@given(match=matches(), comparisons=counts, more=counts)
def test_more_comparisons_never_raise_a_tier(match: Match, comparisons: int, more: int) -> None:
    assert rank(judge(match, comparisons + more)) <= rank(judge(match, comparisons))


@settings(max_examples=150, deadline=None)
@given(match=matches(), comparisons=counts, frames=st.integers(0, 4), strict=st.integers(0, 4))
def test_more_frames_never_lower_a_tier(match: Match, comparisons: int, frames: int, strict: int) -> None:
    strict = 0 if match.strict is None else strict
    more = replace(
        match, support=match.support + frames + strict, strict_support=match.strict_support + strict
    )
    assert rank(judge(more, comparisons)) >= rank(judge(match, comparisons))


@settings(max_examples=120, deadline=None)
@given(
    n=st.integers(1, 400), comparisons=counts, scores=st.lists(st.floats(-1, 1), min_size=2, max_size=8),
    support=st.integers(0, 4), seed=st.integers(0, 999), strict=st.sampled_from([None, STRICT]),
    groups=st.booleans(),
)  # fmt: skip
def test_a_larger_score_never_lowers_a_tier(
    n: int, comparisons: int, scores: list[float], support: int, seed: int, strict: float | None, groups: bool
) -> None:
    rng = np.random.default_rng(seed)
    cohort = np.round(rng.uniform(-1, 1, (1, n)), 1)
    calibration = Calibration.from_scores(
        cohort, rng.choice(["a", "b"], n).tolist() if groups else (), ["a"] if groups else ()
    )
    tiers = [
        rank(judge(Match(s, POINT, strict, support, 0, calibration.rate(0, s)), comparisons))
        for s in sorted(scores)
    ]
    assert tiers == sorted(tiers)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(0, 300), entries=st.integers(1, 40), tracks=st.integers(1, 10**7), inside=st.integers(0, 6),
    frames=st.integers(0, 9), l2=st.booleans(), strict=st.booleans(), near=st.sampled_from([0.0, 1e-7, 1e-3]),
    seed=st.integers(0, 9999),
)  # fmt: skip
def test_a_planted_face_is_never_clear(
    n: int,
    entries: int,
    tracks: int,
    inside: int,
    frames: int,
    l2: bool,
    strict: bool,
    near: float,
    seed: int,
) -> None:
    """Whatever the cohort, also one that holds the very template, several times; whatever N and the tracks."""
    rng = np.random.default_rng(seed)
    scale = np.float32(1.41 if l2 else 1.0)
    gallery = scale * unit_norm(rng.normal(size=(entries, 16)).astype(np.float32))
    cohort = scale * unit_norm(rng.normal(size=(n + 1, 16)).astype(np.float32))[:n]
    cohort[:inside] = gallery[0]
    track = gallery[:1] + np.float32(near) * unit_norm(rng.normal(size=(1, 16)).astype(np.float32))
    similarity = l2_similarity if l2 else cosine_similarity
    score = float(similarity(track, gallery[:1])[0, 0])
    hit = None
    if n:
        groups = rng.choice(["a", "b"], n).tolist()
        calibration = Calibration(cohort, groups, ["a"] * entries, gallery, np.arange(entries), similarity)
        hit = calibration.rate(0, score)
    point = STRICT if strict else None
    found = judge(Match(score, POINT, point, frames, frames if strict else 0, hit), tracks * entries)
    assert found.tier is not Tier.CLEAR
    if hit is not None and found.unresolved and strict and frames >= 3:
        assert found.tier is Tier.ALERT


@settings(max_examples=150, deadline=None)
@given(match=matches(), comparisons=counts, dropped=st.integers(1, 5))
def test_people_at_least_as_alike_who_leave_the_cohort_never_make_it_clear(
    match: Match, comparisons: int, dropped: int
) -> None:
    """Fewer people as alike, none less alike gone: what was to be looked at still is."""
    if match.rates is None:
        return
    smaller = []
    for rate in match.rates.all:
        gone = min(dropped, rate.at_least, rate.people - 1)
        smaller.append(CoincidenceRate(rate.at_least - gone, rate.people - gone))
    less = replace(match, rates=HitRates(smaller[-1], smaller[0] if len(smaller) > 1 else None))
    if judge(match, comparisons).tier is not Tier.CLEAR:
        assert judge(less, comparisons).tier is not Tier.CLEAR


@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 2), comparisons=counts, score=st.floats(POINT, 1), k=st.integers(0, 2))
def test_a_cohort_too_small_to_resolve_never_lets_go(n: int, comparisons: int, score: float, k: int) -> None:
    hit = HitRates(CoincidenceRate(min(k, n), n))
    assert judge(Match(score, POINT, STRICT, 0, 0, hit), comparisons).tier is not Tier.CLEAR


@pytest.mark.parametrize("n", [3, 5, 10, 30, 100, 1000, 30_000])
@pytest.mark.parametrize("comparisons", [1, 2, 10, 300, 20_000, 10**6])
def test_whoever_is_within_the_review_bound_is_let_go_by_few_cohorts(n: int, comparisons: int) -> None:
    """Over all cohorts of n people: a hit whose true rate times comparisons is 1 or less is rarely CLEAR.

    This is what a smaller cohort keeps of a larger one. More cannot be had: of 1,000 people three of whom are as
    alike, a subset of just those three knows nobody else.
    """
    for true_chances in (1.0, 0.5, 0.05):
        p = true_chances / comparisons
        ks = np.arange(0, min(n, 3000) + 1)
        clear = np.array(
            [
                judge(
                    Match(0.45, POINT, STRICT, 3, 0, HitRates(CoincidenceRate(int(k), n))), comparisons
                ).tier
                is Tier.CLEAR
                for k in ks[: np.searchsorted(ks, n * p + 60 + 12 * (n * p) ** 0.5)]
            ]
        )
        assert binom.pmf(ks[: len(clear)], n, p)[clear].sum() <= 0.025


@pytest.mark.parametrize(
    ("match", "comparisons", "tier", "reason"),
    [
        (Match(0.3, 0.4, 0.5, 0, 0, None), 1, Tier.CLEAR, "neither the face over time nor any frame"),
        (Match(0.3, 0.4, 0.5, 1, 0, None), 1, Tier.REVIEW, "uncalibrated"),
        (Match(0.9, 0.4, 0.5, 9, 9, None), 1, Tier.REVIEW, "uncalibrated"),
        (Match(0.4, 0.4, 0.5, 0, 0, None), 1, Tier.REVIEW, "uncalibrated"),
        (Match(0.6, 0.4, 0.5, 3, 0, HitRates(CoincidenceRate(2, 6000))), 100, Tier.ALERT, "3 frames past the"),
        (Match(0.6, 0.4, 0.5, 2, 2, HitRates(CoincidenceRate(2, 6000))), 100, Tier.REVIEW, "but only 2 frames past"),
        (Match(0.6, 0.4, 0.5, 3, 2, HitRates(CoincidenceRate(2, 5999))), 100, Tier.REVIEW, "no sign of harmlessness"),
        (Match(0.6, 0.4, 0.5, 3, 3, HitRates(CoincidenceRate(2, 5999))), 100, Tier.ALERT, "past the strict point"),
        (Match(0.6, 0.4, 0.5, 3, 3, HitRates(CoincidenceRate(0, 1))), 10**9, Tier.ALERT, "1 unrelated person"),
        (Match(0.45, 0.4, 0.5, 3, 0, HitRates(CoincidenceRate(50, 1000))), 10, Tier.REVIEW, "rare enough"),
        (Match(0.45, 0.4, 0.5, 3, 0, HitRates(CoincidenceRate(50, 1000))), 100, Tier.CLEAR, "short of the strict"),
        (Match(0.45, 0.4, None, 3, 0, HitRates(CoincidenceRate(50, 1000))), 100, Tier.REVIEW, "no strict point"),
        (Match(0.55, 0.4, 0.5, 3, 0, HitRates(CoincidenceRate(50, 1000))), 100, Tier.REVIEW, "strict point, though"),
        (Match(0.45, 0.4, 0.5, 3, 1, HitRates(CoincidenceRate(50, 1000))), 100, Tier.REVIEW, "strict point, though"),
        (Match(0.45, 0.4, 0.5, 3, 0, HitRates(CoincidenceRate(50, 1000), CoincidenceRate(2, 100))), 100, Tier.REVIEW,
         "100 unrelated people of the entry's own group"),
    ],
)  # fmt: skip
def test_reasons(match: Match, comparisons: int, tier: Tier, reason: str) -> None:
    found = judge(match, comparisons)
    assert found.tier is tier
    assert reason in found.reason


def test_a_group_in_which_such_likeness_is_common_keeps_an_alert_back() -> None:
    overall = CoincidenceRate(4, 100_000)
    assert judge(Match(0.6, 0.4, 0.7, 3, 0, HitRates(overall)), 500).tier is Tier.ALERT
    assert (
        judge(Match(0.6, 0.4, 0.7, 3, 0, HitRates(overall, CoincidenceRate(4, 200))), 500).tier is Tier.REVIEW
    )


@pytest.mark.parametrize("field", ["score", "point", "strict"])
def test_what_is_not_finite_is_not_judged(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is nan"):
        replace(Match(0.5, 0.4, 0.5, 1, 1, None), **{field: float("nan")})
    with pytest.raises(ValueError, match="expected 0 or more"):
        Match(0.5, 0.4, 0.5, -1, 0, None)
    with pytest.raises(ValueError, match="at least one"):
        judge(Match(0.5, 0.4, 0.5, 1, 0, None), 0)


@pytest.mark.parametrize(
    ("k", "n", "frames", "tier", "reason"),
    [
        (0, 500, 3, Tier.ALERT, "in 3 frames, and more alike than all of 500 unrelated people; that is no rate"),
        (2, 500, 4, Tier.ALERT, "only 2 of 500 unrelated people are at least as alike, too few to tell"),
        (1, 3, 3, Tier.ALERT, "in 3 frames, and 3 unrelated people cannot tell how common this is; that"),
        (0, 500, 2, Tier.REVIEW, "and more alike than all of 500 unrelated people; that is no sign of harm"),
        (1, 500, 2, Tier.REVIEW, "and only 1 of 500 unrelated people is at least as alike, too few"),
        (0, 1, 2, Tier.REVIEW, "and 1 unrelated person cannot tell how common this is"),
    ],
)  # fmt: skip
def test_reasons_do_not_say_more_than_the_cohort_does(
    k: int, n: int, frames: int, tier: Tier, reason: str
) -> None:
    found = judge(Match(0.6, POINT, STRICT, frames, frames, HitRates(CoincidenceRate(k, n))), 1000)
    assert (found.tier, reason in found.reason) == (tier, True), found.reason
