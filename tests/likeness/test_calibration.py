"""Rates are counts with exact intervals; ties count; the expectation of chance alerts is that of the rule."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta

from vgaudit.extractors.face_embedding import cosine_similarity, l2_similarity, unit_norm
from vgaudit.likeness import cohort_scores
from vgaudit.likeness.calibration import ALERT_CHANCES, Calibration, CoincidenceRate, HitRates, last_alerting
from vgaudit.likeness.cohort_scores import TopScores
from vgaudit.likeness.rate_words import rate_sentence, rates_sentence
from vgaudit.likeness.tiers import Match, Tier, judge

Scores = NDArray[np.float64]


@pytest.mark.parametrize(
    ("k", "n", "words"),
    [
        (1, 480, "at most 1 in 160, not resolvable further with 480 people (1 of them is at least as alike: up to"),
        (0, 500, "at most 1 in 167, not resolvable further with 500 people"),
        (3, 500, "1 in 167 (95 % interval 1 in 807 to 1 in 57)"),
        (24, 500, "1 in 21 (95 % interval 1 in 32 to 1 in 14)"),
        (250, 500, "1 in 2 (95 % interval 1 in 2.2 to 1 in 1.8)"),
        (3, 30_000, "1 in 10,000 (95 % interval 1 in 48,490 to 1 in 3,422)"),
        (0, 7, "at most 1 in 2.3, not resolvable further with 7 people"),
        (0, 6, "6 people cannot tell how common this is"),
        (0, 1, "1 person cannot tell how common this is"),
        (1, 3, "3 people cannot tell how common this is (1 of them is at least as alike)"),
        (2, 2, "2 people cannot tell how common this is (2 of them are at least as alike)"),
    ],
)  # fmt: skip
def test_words_are_never_finer_than_the_cohort(k: int, n: int, words: str) -> None:
    assert CoincidenceRate(k, n).words.startswith(words)


@pytest.mark.parametrize(
    ("k", "n", "sentence"),
    [
        (0, 500, "Of 500 unrelated people none resembles this entry as much: at most 1 in 167 do, and 500 people "
                 "cannot resolve it further."),
        (1, 480, "Of 480 unrelated people 1 resembles this entry at least as much: up to 1 in 87 may (95 % "
                 "interval), and 480 people cannot resolve it further."),
        (2, 480, "Of 480 unrelated people 2 resemble this entry at least as much: up to 1 in 67 may (95 % "
                 "interval), and 480 people cannot resolve it further."),
        (1, 3, "How many unrelated people resemble this entry as much is not known: 3 people cannot tell how common "
               "this is (1 of them is at least as alike)."),
        (24, 500, "About 1 in 21 unrelated people resemble this entry at least as much (95 % interval 1 in 32 to 1 "
                  "in 14)."),
    ],
)  # fmt: skip
def test_a_rate_is_told_in_a_sentence(k: int, n: int, sentence: str) -> None:
    rate = CoincidenceRate(k, n)
    assert rate_sentence(rate) == rates_sentence(HitRates(rate)) == sentence
    both = rates_sentence(HitRates(rate, CoincidenceRate(0, 60)))
    assert both.startswith(
        "Of 60 unrelated people of the entry's own group none resembles this entry as much: at most"
    )
    assert both.endswith(f" {sentence}")


@given(n=st.integers(1, 5000), data=st.data())
def test_rates_are_floored_counts_with_exact_intervals(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    rate = CoincidenceRate(k, n)
    assert rate.value == min(1.0, max(k, 3) / n)
    assert rate.resolved == (k >= 3)
    assert rate.low == pytest.approx(beta.ppf(0.025, k, n - k + 1) if k else 0.0)
    assert rate.high == pytest.approx(beta.ppf(0.975, k + 1, n - k) if k < n else 1.0)
    assert rate.value <= rate.chance <= min(1.0, rate.value + 1 / n)
    again = CoincidenceRate.from_json(rate.to_json())
    assert (again, again.words) == (rate, rate.words)


def test_wrong_counts_and_changed_records_are_refused() -> None:
    for k, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="expected n >= 1 and 0 <= k <= n"):
            CoincidenceRate(k, n)
    with pytest.raises(ValueError, match="the record was changed"):
        CoincidenceRate.from_json(CoincidenceRate(4, 100).to_json() | {"value": 0.001})


@settings(deadline=None)
@given(n=st.integers(1, 4000), comparisons=st.integers(1, 300))
def test_the_last_count_that_alerts(n: int, comparisons: int) -> None:
    last = last_alerting(n, comparisons)
    for k in range(n + 1):
        allowed = CoincidenceRate(k, n).alerts(comparisons)
        # In whole numbers: 20 C max(k, 3) <= n and 20 C (k + 1) <= n + 1.
        assert allowed == (20 * comparisons * max(k, 3) <= n and 20 * comparisons * (k + 1) <= n + 1)
        assert allowed == (k <= last)
        if k > last + 3:
            break
    if n >= 60 * comparisons:
        assert last >= 2, "60 people a comparison are enough for an ALERT by rate"
        assert comparisons * (last + 1) / (n + 1) <= ALERT_CHANCES, (
            "of a stranger's chance, not only of a count"
        )


def test_an_equal_score_counts_as_at_least_as_alike() -> None:
    calibration = Calibration.from_scores(np.array([[0.1, 0.5, 0.5, 0.7, 0.2]]))
    counts = [calibration.rate(0, s).overall.at_least for s in (0.71, 0.7, 0.51, 0.5, 0.5 + 1e-12, 0.1, -3.0)]
    assert counts == [0, 1, 1, 3, 3, 5, 5]
    assert calibration.scores(0).tolist() == [0.1, 0.2, 0.5, 0.5, 0.7]


def test_the_template_of_a_person_in_the_cohort_meets_itself() -> None:
    """The very person in the cohort counts, whatever product the two scores come from."""
    rng = np.random.default_rng(0)
    for similarity, scale in ((cosine_similarity, 1.0), (l2_similarity, 1.4)):
        cohort = (scale * unit_norm(rng.normal(size=(300, 64)).astype(np.float32))).astype(np.float32)
        calibration = Calibration(cohort, [""] * 300, [""] * 40, cohort[:40], np.arange(40), similarity)
        for entry in range(40):
            alone = float(similarity(cohort[entry : entry + 1], cohort[entry : entry + 1])[0, 0])
            assert calibration.rate(entry, alone).overall.at_least == 1


def by_hand(
    scores: Scores, groups: list[str], group: str, score: float
) -> tuple[int, tuple[int, int] | None]:
    inside = [s for s, g in zip(scores, groups, strict=True) if g == group]
    same = (sum(s >= score for s in inside), len(inside)) if group and len(inside) >= 3 else None
    return int((scores >= score).sum()), same


@given(
    pictures=st.lists(st.integers(1, 4), min_size=1, max_size=6), n=st.integers(1, 25), seed=st.integers(0, 9999),
    l2=st.booleans(),
)  # fmt: skip
def test_rates_equal_a_count_by_hand_whatever_the_order(
    pictures: list[int], n: int, seed: int, l2: bool
) -> None:
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(pictures)), pictures)
    templates = unit_norm(rng.normal(size=(len(owners), 5)).astype(np.float32))
    cohort = unit_norm(rng.normal(size=(n, 5)).astype(np.float32))
    groups = rng.choice(["", "a", "b"], n).tolist()
    entry_groups = rng.choice(["", "a", "b", "c"], len(pictures)).tolist()
    similarity = l2_similarity if l2 else cosine_similarity
    order = rng.permutation(n)
    calibration = Calibration(cohort, groups, entry_groups, templates, owners, similarity)
    shuffled = Calibration(
        cohort[order], [groups[i].upper() + " " for i in order], entry_groups, templates, owners, similarity
    )
    entries = range(len(pictures))
    for entry in entries:
        scores = similarity(cohort, templates[owners == entry]).max(axis=1)
        assert calibration.scores(entry) == pytest.approx(np.sort(scores))
        for score in (*rng.choice(scores, 2), rng.uniform(-1, 1)):
            rates = calibration.rate(entry, float(score))
            k, same = by_hand(scores, groups, entry_groups[entry], score - 1e-10)
            assert (rates.overall.at_least, rates.overall.people) == (k, n)
            assert (rates.same_group and (rates.same_group.at_least, rates.same_group.people)) == same
            assert shuffled.rate(entry, float(score)) == rates
    one = calibration.expected_chance_alerts(3, entries, 3 * len(pictures), 0.3, 0.2)
    other = shuffled.expected_chance_alerts(3, list(entries)[::-1], 3 * len(pictures), 0.3, 0.2)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def leave_one_out(
    scores: Scores,
    groups: list[str],
    entry_groups: list[str],
    comparisons: int,
    strict: float | None,
    point: float | None,
) -> tuple[list[int], list[int]]:
    """Who of the cohort would be judged ALERT as a track: alerts of each entry, and of each person.

    The shipped judge decides, on counts among the others held against the whole cohort's size.
    """
    of_entry, of_person = [0] * len(scores), [0] * scores.shape[1]
    for e, i in itertools.product(range(len(scores)), range(scores.shape[1])):
        s = scores[e, i]
        others = set(np.flatnonzero(scores[e] >= s).tolist()) - {i}
        inside = {j for j, g in enumerate(groups) if g and g == entry_groups[e]}
        same = CoincidenceRate(len(others & inside), len(inside)) if len(inside) >= 3 else None
        past_strict = 3 if strict is not None and s >= strict else 0
        lowest = -9.0 if point is None else point
        support = 3 if s >= lowest else 0
        rates = HitRates(CoincidenceRate(len(others), scores.shape[1]), same)
        match = Match(float(s), lowest, strict, support, past_strict if support else 0, rates)
        if judge(match, comparisons).tier is Tier.ALERT:
            of_entry[e] += 1
            of_person[i] += 1
    return of_entry, of_person


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200), entries=st.integers(1, 3), comparisons=st.integers(1, 5), seed=st.integers(0, 9999),
    strict=st.sampled_from([None, 0.3, 0.9, 2.5]), point=st.sampled_from([None, 0.0, 1.5]), ties=st.booleans(),
    groups=st.booleans(),
)  # fmt: skip
def test_the_expectation_is_the_judges_own_over_the_cohort(
    n: int, entries: int, comparisons: int, seed: int, strict: float | None, point: float | None, ties: bool,
    groups: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(entries, n))
    if ties:
        scores = np.round(scores, 1)
    person_groups = rng.choice(["", "a", "b"], n).tolist() if groups else [""] * n
    entry_groups = rng.choice(["", "a", "b"], entries).tolist() if groups else [""] * entries
    comparisons = max(comparisons, entries)
    calibration = Calibration.from_scores(scores, person_groups, entry_groups)
    found = calibration.expected_chance_alerts(1, range(entries), comparisons, strict, point)
    of_entry, of_person = leave_one_out(scores, person_groups, entry_groups, comparisons, strict, point)
    most = max(last_alerting(n, comparisons), -1 if strict is None else 2)
    shares = [c / n if c <= most else (most + 1) / (n + 1) for c in of_entry]
    assert found.value == pytest.approx(sum(shares))
    assert 0 <= found.low <= found.value <= found.high <= entries
    if most >= 0:
        assert found.high >= min(entries, sum(of_person) / n), "the interval holds the share seen"
        assert found.high > 0, "nothing seen is not nothing possible"
    else:
        assert (found.value, found.high) == (0, 0)
        assert "no chance alert is possible" in found.words


def test_by_rate_the_expectation_is_what_exchangeability_says() -> None:
    scores = np.random.default_rng(0).normal(size=(10, 5000))
    found = Calibration.from_scores(scores).expected_chance_alerts(2, range(10), 20, None)
    k = last_alerting(5000, 20)
    assert found.value == pytest.approx(20 * (k + 1) / 5001)
    assert found.value <= ALERT_CHANCES
    assert found.low < found.value < found.high
    assert found.words.startswith(
        "0.048 alerts by chance, 2 tracks against 10 entries, cohort of 5,000 people (95 %"
    )
    both = Calibration.from_scores(scores).expected_chance_alerts(2, range(10), 20, -99.0)
    assert both.value == found.value, "who alerts both ways alerts once"


def test_where_nothing_was_seen_the_upper_end_is_the_rule_of_three() -> None:
    found = Calibration.from_scores(np.zeros((4, 1000)) + np.arange(1000) / 1e4).expected_chance_alerts(
        50, range(4), 200, 0.5
    )
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(50 * 4 * -math.log(0.025) / 1000)


def test_one_generic_face_widens_the_interval() -> None:
    """Ten alerts of ten people are more evidence than ten of one, though the expectation is the same."""
    spread, one = np.zeros((100, 2000)), np.zeros((100, 2000))
    spread[np.arange(0, 100, 10), np.arange(10)] = 1
    one[np.arange(0, 100, 10), 7] = 1
    wide, narrow = (
        Calibration.from_scores(s).expected_chance_alerts(9, range(100), 900, 0.5) for s in (one, spread)
    )
    assert wide.value == narrow.value == pytest.approx(9 * 10 / 2000)
    assert wide.high >= narrow.high
    assert wide.low < narrow.low / 5


def test_top_scores_answer_like_all_scores_and_never_beyond_what_they_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = np.random.default_rng(3).normal(size=(30, 400))
    persons = np.argsort(-scores, axis=1)[:, :8]
    top = TopScores(np.take_along_axis(scores, persons, axis=1), persons, 400)
    full, few = Calibration.from_scores(scores), Calibration.from_scores(top)
    assert full.expected_chance_alerts(1, range(30), 30, 2.9) == few.expected_chance_alerts(
        1, range(30), 30, 2.9
    )
    assert few.rate(4, 2.5) == full.rate(4, 2.5)
    with pytest.raises(ValueError, match="only the 8 most alike of 400 people are known"):
        few.rate(4, -1.0)
    with pytest.raises(ValueError, match="this needs 400"):
        few.scores(4)
    with pytest.raises(ValueError, match="this needs"):
        few.expected_chance_alerts(1, range(1), 1, None)
    expected = full.expected_hits(5, range(30), 1.0)
    assert expected.value == pytest.approx(5 * (scores >= 1).sum() / 400)
    monkeypatch.setattr(cohort_scores, "CHUNK", 900)
    assert full.expected_chance_alerts(1, range(30), 30, 2.9) == few.expected_chance_alerts(
        1, range(30), 30, 2.9
    )
    assert full.expected_hits(5, range(30), 1.0).value == pytest.approx(expected.value)


def test_no_chunk_changes_what_templates_say(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    owners = np.repeat(np.arange(20), rng.integers(1, 5, 20))
    templates = rng.normal(size=(len(owners), 8)).astype(np.float32)
    cohort = rng.normal(size=(60, 8)).astype(np.float32)

    def made() -> Calibration:
        return Calibration(cohort, [""] * 60, [""] * 20, templates, owners, l2_similarity)

    whole = made().expected_chance_alerts(2, [3, 0, 19, 7], 40, -1.0)
    hits = made().expected_hits(2, range(20), -1.2)
    assert whole.value > 0
    monkeypatch.setattr(cohort_scores, "CHUNK", 150)
    again = made().expected_chance_alerts(2, [3, 0, 19, 7], 40, -1.0)
    assert (again.value, again.high) == pytest.approx((whole.value, whole.high))
    assert made().expected_hits(2, range(20), -1.2).value == pytest.approx(hits.value)
    calibration = made()
    first = [calibration.rate(e, -2.0) for e in range(20)]
    assert first == [calibration.rate(e, -2.0) for e in reversed(range(20))][::-1]


def test_groups_come_first_and_small_ones_do_not_count() -> None:
    scores = np.tile(np.linspace(0, 1, 10), (3, 1))
    calibration = Calibration.from_scores(scores, ["a"] * 5 + ["b"] * 2 + ["a"] * 3, ["A ", "b", "c"])
    rates = calibration.rate(0, 0.8)
    assert (rates.same_group, rates.overall) == (CoincidenceRate(2, 8), CoincidenceRate(2, 10))
    assert rates.all == (rates.same_group, rates.overall)
    assert rates.largest == rates.same_group
    assert rates.words.startswith("in the entry's own group at most 1 in 2.7")
    assert rates.to_json()["same_group"]["people"] == 8
    assert calibration.rate(1, 0.8).same_group is None
    assert calibration.rate(2, 0.8).to_json()["same_group"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cohort_templates": np.zeros((0, 4), np.float32), "cohort_groups": []}, "without people"),
        ({"cohort_templates": np.zeros((3, 5), np.float32)}, "build both with one embedder"),
        ({"cohort_templates": np.full((3, 4), np.nan, np.float32)}, "not finite"),
        ({"cohort_groups": ["a"]}, "1 groups for 3 people"),
        ({"owners": np.array([0, 2])}, "owners 0 to 1 in order"),
        ({"entry_groups": [""]}, "owners 0 to 0 in order"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "cohort_templates": np.zeros((3, 4), np.float32), "cohort_groups": [""] * 3, "entry_groups": ["", ""],
        "templates": np.ones((2, 4), np.float32), "owners": np.array([0, 1]), "similarity": l2_similarity,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        Calibration(**(given | change))


def test_wrong_questions_are_refused() -> None:
    calibration = Calibration.from_scores(np.zeros((2, 5)))
    for entry, score, message in (
        (2, 0.1, "no such entry"),
        (-1, 0.1, "no such entry"),
        (0, math.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            calibration.rate(entry, score)
    with pytest.raises(ValueError, match="fewer than 3 tracks x 2 entries"):
        calibration.expected_chance_alerts(3, [0, 1], 5, None)
    with pytest.raises(ValueError, match="named twice"):
        calibration.expected_hits(3, [0, 0], 0.1)
    assert calibration.expected_chance_alerts(0, [0, 1], 0, 0.5).value == 0
