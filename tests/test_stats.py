"""Intervals: against scipy, against published numbers, by simulation, and by properties."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.gates import GateSpec, evaluate
from vgaudit.metrics.base import Measured, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import COMPUTED, NOT_APPLICABLE, NOT_COMPUTED, Measurement, Outcome
from vgaudit.stats import (
    MIN_BOOTSTRAP_CLUSTERS,
    bootstrap_means,
    clopper_pearson,
    cluster_bootstrap,
    cluster_means,
    clustered_rate,
    expanded_tail,
    mean_result,
    mean_results,
    rate_result,
    seed_from_ids,
)

SPEC = ValueSpec("share", "fraction", False, "a share", 0.0, 1.0)
UNBOUNDED = ValueSpec("speed", "per second", None, "a speed")


def sample(name: str, prompt: str) -> Sample:
    return Sample(name, prompt, "text", "group")


def measured(
    values: Sequence[float | None], reason: str = "it broke"
) -> list[tuple[Sample, float | None, str]]:
    return [(sample(f"s{i}", f"p{i}"), v, "" if v is not None else reason) for i, v in enumerate(values)]


finite = st.floats(-1e6, 1e6)
clustered = st.lists(st.tuples(finite, st.integers(0, 12)), min_size=1, max_size=40)


# -- the bootstrap ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, 18, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_bootstrap_equals_scipys_percentile_bootstrap_at_the_expanded_level(
    n: int, confidence: float
) -> None:
    values = np.random.default_rng(n).lognormal(size=n)
    ours = cluster_bootstrap(values.tolist(), range(n), confidence=confidence, seed=1, resamples=20_000)
    level = 1 - 2 * expanded_tail(n, confidence)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=level, method="percentile", n_resamples=20_000, rng=2
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)
    assert ours.value == pytest.approx(values.mean(), rel=1e-12)


def test_expanded_tail_tends_to_the_plain_percentile() -> None:
    assert expanded_tail(100_000, 0.95) == pytest.approx(0.025, rel=1e-3)
    assert expanded_tail(8, 0.95) < expanded_tail(18, 0.95) < 0.025
    # Hesterberg 2015: Phi(-sqrt(n/(n-1)) t)
    t = scipy.stats.t.ppf(0.975, 17)
    assert expanded_tail(18, 0.95) == pytest.approx(scipy.stats.norm.cdf(-math.sqrt(18 / 17) * t), rel=1e-9)


def test_resampled_means_have_the_textbook_spread() -> None:
    values = np.random.default_rng(0).normal(size=25)
    means = bootstrap_means(values, 50_000, seed=3)
    assert means.std() == pytest.approx(values.std() / 5, rel=0.02)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)


def test_bootstrap_of_many_clusters_is_chunked_and_still_whole() -> None:
    means = bootstrap_means(np.random.default_rng(0).normal(size=3000), 2001, seed=0)
    assert means.shape == (2001,)
    assert np.unique(means).size > 1990


@pytest.mark.parametrize(
    ("n", "draw", "truth", "least"),
    [
        (5, "normal", 0.0, 0.93),
        (8, "normal", 0.0, 0.90),
        pytest.param(18, "normal", 0.0, 0.92, marks=pytest.mark.slow),
        (18, "lognormal", math.exp(0.245), 0.88),
        pytest.param(30, "lognormal", math.exp(0.245), 0.89, marks=pytest.mark.slow),
    ],
)
def test_coverage(n: int, draw: str, truth: float, least: float) -> None:
    """Nominal 95 %; 600 repetitions resolve about one percentage point."""
    rng = np.random.default_rng(n)
    hits = 0
    for repetition in range(600):
        values = rng.normal(size=n) if draw == "normal" else rng.lognormal(0, 0.7, size=n)
        e = cluster_bootstrap(values.tolist(), range(n), seed=repetition, resamples=4000)
        assert e.low is not None
        assert e.high is not None
        hits += e.low <= truth <= e.high
    assert hits / 600 >= least
    assert hits / 600 <= 0.985


def test_clusters_not_clips_decide_the_width() -> None:
    rng = np.random.default_rng(0)
    prompts = rng.normal(size=12)
    values = [float(p + e) for p in prompts for e in rng.normal(0, 0.01, size=10)]
    labels = [i for i in range(12) for _ in range(10)]
    clustered_ = cluster_bootstrap(values, labels, seed=0)
    naive = cluster_bootstrap(values, range(120), seed=0)
    assert clustered_.n == 120
    assert clustered_.n_clusters == 12
    assert (clustered_.high - clustered_.low) > 2 * (naive.high - naive.low)


def test_seeds_are_averaged_within_a_prompt() -> None:
    assert cluster_bootstrap([0, 0, 0, 1], ["a", "a", "a", "b"], seed=0).value == 0.5


@given(clustered, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_leaves_no_trace(pairs: list[tuple[float, int]], shuffler: object) -> None:
    before = cluster_bootstrap([v for v, _ in pairs], [c for _, c in pairs], seed=5, resamples=4000)
    shuffler.shuffle(pairs)  # type: ignore[attr-defined]
    after = cluster_bootstrap([v for v, _ in pairs], [c for _, c in pairs], seed=5, resamples=4000)
    assert before == after


@given(clustered)
@settings(max_examples=60, deadline=None)
def test_the_estimate_lies_in_its_interval_and_in_the_data(pairs: list[tuple[float, int]]) -> None:
    values, labels = [v for v, _ in pairs], [c for _, c in pairs]
    e = cluster_bootstrap(values, labels, seed=5, resamples=4000)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= e.value <= max(values) + slack
    assert e.n == len(values)
    assert e.n_clusters == len(set(labels))
    assert (e.low is None) == (e.high is None)
    assert (e.low is not None) or e.reason
    if e.low is not None and e.high is not None:
        assert e.low - slack <= e.value <= e.high + slack


@given(
    st.lists(finite, min_size=MIN_BOOTSTRAP_CLUSTERS, max_size=30), st.floats(-100, 100), st.floats(0.1, 10)
)
@settings(max_examples=40, deadline=None)
def test_the_interval_moves_and_scales_with_the_data(values: list[float], shift: float, scale: float) -> None:
    a = cluster_bootstrap(values, range(len(values)), seed=5, resamples=4000)
    b = cluster_bootstrap([shift + scale * v for v in values], range(len(values)), seed=5, resamples=4000)
    if a.low is None or b.low is None or a.low == a.high or b.low == b.high:
        return
    size = 1e-8 * (abs(shift) + scale * max(map(abs, values)) + 1)
    assert b.low == pytest.approx(shift + scale * a.low, abs=size)
    assert b.high == pytest.approx(shift + scale * a.high, abs=size)


def test_one_prompt_has_no_interval_and_says_why() -> None:
    one = cluster_bootstrap([0.5], ["p"], seed=0)
    assert (one.low, one.high) == (None, None)
    assert "one clip" in one.reason
    many = cluster_bootstrap([0.5, 0.7], ["p", "p"], seed=0)
    assert many.low is None
    assert "2 clips of one prompt" in many.reason


NEARLY_EQUAL = {
    "all zero": [0.0] * 6,
    "two prompts": [0.0, 0.0],
    "rounding": [0.0, 0.0, 0.0, 0.0, 1e-9],
    "rounding of two": [0.0, 1e-12],
    "enough for the bootstrap": [0.0] * 7 + [1e-12],
    "one exception": [0.0] * 7 + [1e-4],
    "one exception, few prompts": [0.0] * 5 + [1e-4],
}


@pytest.mark.parametrize("values", NEARLY_EQUAL.values(), ids=NEARLY_EQUAL)
def test_prompts_that_are_nearly_equal_bound_rare_events_and_no_more(values: list[float]) -> None:
    k = len(values)
    result = mean_result("m.share", "group", measured(values), SPEC)
    assert result.low == 0
    assert result.high == pytest.approx(clopper_pearson(0, k)[1], rel=1e-3)
    assert result.high >= 1 - 0.025 ** (1 / k) - 1e-12
    assert "prompts have the same value: the interval allows for up to" in result.reason
    (held,) = evaluate([GateSpec.model_validate("m.share <= 0.001")], [result], ["group"])
    assert held.outcome == Outcome.NOT_COMPUTED
    full = mean_result("m.share", "group", measured([1 - v for v in values]), SPEC)
    assert (full.low, full.high) == (pytest.approx(1 - result.high), pytest.approx(1.0))
    middle = mean_result("m.share", "group", measured([0.5 + v for v in values]), SPEC)
    assert (middle.low, middle.high) == (
        pytest.approx(0.5 - result.high / 2, abs=1e-4),
        pytest.approx(0.5 + result.high / 2, abs=1e-4),
    )


@pytest.mark.parametrize("values", NEARLY_EQUAL.values(), ids=NEARLY_EQUAL)
@pytest.mark.parametrize("bounds", [(None, None), (0.0, None), (None, 1.0)])
def test_nearly_equal_values_without_a_range_have_no_interval(
    values: list[float], bounds: tuple[float | None, float | None]
) -> None:
    spec = ValueSpec("share", "fraction", False, "a share", *bounds)
    result = mean_result("m.share", "group", measured(values), spec)
    assert (result.low, result.high) == (None, None)
    assert "prompts have the same value, and a value without a range" in result.reason
    (held,) = evaluate([GateSpec.model_validate("m.share <= 0.001")], [result], ["group"])
    assert held.outcome == Outcome.NOT_COMPUTED


def test_two_exceptions_or_two_different_prompts_are_a_spread() -> None:
    for values in ([0.0] * 6 + [0.1, 0.2], [0.2, 0.3], [0.1, 0.2, 0.3]):
        result = mean_result("m.share", "group", measured(values), SPEC)
        assert "same value" not in result.reason
        assert result.low is not None


@pytest.mark.parametrize(("n", "least"), [(4, 0.95), (8, 0.95), (18, 0.93)])
def test_coverage_of_rare_events(n: int, least: float) -> None:
    """One prompt in ten is frozen for half its length, so the true mean is 0.05; often none is seen."""
    rng = np.random.default_rng(n)
    hits = 0
    for repetition in range(300):
        values = np.where(rng.random(n) < 0.1, 0.5, 0.0)
        e = cluster_bootstrap(values.tolist(), range(n), seed=repetition, resamples=4000, bounds=(0.0, 1.0))
        assert e.low is not None
        assert e.high is not None
        hits += e.low <= 0.05 <= e.high
    assert hits / 300 >= least


@pytest.mark.parametrize(("n", "confidence"), [(8, 0.99), (8, 0.999), (10, 0.999), (18, 0.999)])
def test_an_interval_never_ends_at_an_extreme_resample(n: int, confidence: float) -> None:
    """Its percentile would be that of the resample which holds the largest value only."""
    values = np.random.default_rng(n).normal(size=n).tolist()
    e = cluster_bootstrap(values, range(n), confidence=confidence, seed=1)
    low, high = scipy.stats.t.interval(confidence, n - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (e.method, e.low, e.high) == ("t", pytest.approx(low), pytest.approx(high))
    assert f"only {n} prompts for {100 * confidence:g} %" in e.reason
    assert cluster_bootstrap(values, range(n), confidence=0.95, seed=1).method == "bootstrap"


@pytest.mark.parametrize("confidence", [0.99, 0.999])
def test_coverage_at_high_confidence(confidence: float) -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for repetition in range(1000):
        e = cluster_bootstrap(rng.normal(size=8).tolist(), range(8), confidence=confidence, seed=repetition)
        assert e.low is not None
        assert e.high is not None
        hits += e.low <= 0 <= e.high
    assert hits / 1000 >= confidence - 2.5 * math.sqrt(confidence * (1 - confidence) / 1000)


def test_few_prompts_get_students_t() -> None:
    values = [1.0, 2.0, 4.0, 7.0]
    e = cluster_bootstrap(values, range(4), seed=0)
    low, high = scipy.stats.t.interval(0.95, 3, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (e.low, e.high) == (pytest.approx(low), pytest.approx(high))
    assert e.method == "t"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        cluster_bootstrap([1.0, bad], ["a", "b"], seed=0)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        cluster_bootstrap([], [], seed=0)
    with pytest.raises(ValueError, match="2 values but 1"):
        cluster_means([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="confidence is 95"):
        cluster_bootstrap([1.0], ["a"], confidence=95, seed=0)


def test_seed_depends_on_the_ids_and_not_on_their_order() -> None:
    assert seed_from_ids(["a", "b"]) == seed_from_ids(["b", "a"])
    assert seed_from_ids(["a", "b"]) != seed_from_ids(["a", "c"])
    assert seed_from_ids(["ab"]) != seed_from_ids(["a", "b"])
    assert 0 <= seed_from_ids([]) < 2**64


# -- rates -----------------------------------------------------------------------------------------


def test_published_bounds_of_clean_runs() -> None:
    assert clopper_pearson(0, 100, sides=1)[1] == pytest.approx(0.0295, abs=5e-5)
    assert clopper_pearson(0, 299, sides=1)[1] < 0.01 < clopper_pearson(0, 298, sides=1)[1]
    assert clopper_pearson(0, 2995, sides=1)[1] < 0.001 < clopper_pearson(0, 2994, sides=1)[1]


@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]), st.sampled_from([1, 2]))
@settings(max_examples=80, deadline=None)
def test_rates_equal_scipys_exact_interval(
    n: int, data: st.DataObject, confidence: float, sides: int
) -> None:
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, confidence, sides)
    level = 1 - (1 - confidence) * 2 / sides
    if level > 0:
        theirs = scipy.stats.binomtest(k, n).proportion_ci(level, method="exact")
        assert (low, high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))
    assert 0 <= low <= k / n <= high <= 1


@pytest.mark.parametrize(("k", "n", "sides"), [(0, 0, 2), (-1, 5, 2), (6, 5, 2), (1, 5, 3)])
def test_impossible_rates_are_refused(k: int, n: int, sides: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        clopper_pearson(k, n, sides=sides)


# -- results ---------------------------------------------------------------------------------------


def test_mean_result_carries_everything_a_reader_needs() -> None:
    values = np.linspace(0.1, 0.4, 10).tolist()
    result = mean_result("m.share", "group", measured(values), SPEC)
    assert result.status == COMPUTED
    assert (result.n, result.n_clusters, result.unit, result.higher_is_better) == (10, 10, "fraction", False)
    assert result.confidence == 0.95
    assert result.low < result.value < result.high
    assert result.reason == ""
    assert result.detail == {
        "interval": "bootstrap",
        "half_width": {"low": result.value - result.low, "high": result.high - result.value},
    }


def test_interval_is_cut_to_what_the_value_can_be() -> None:
    result = mean_result("m.share", "group", measured([0.0, 0.1, 0.9]), SPEC)
    assert (result.low, result.high) == (0.0, 1.0)
    free = mean_result("m.speed", "group", measured([0.0, 0.1, 0.9]), UNBOUNDED)
    assert free.low < 0


def test_gaps_are_counted_with_their_reasons() -> None:
    clips = [
        *measured([0.1, 0.2, 0.3, 0.4]),
        (sample("x", "x"), None, "one frame"),
        (sample("y", "y"), None, "one frame"),
        (sample("z", "z"), None, "not applicable: no face"),
        (sample("w", "w"), math.nan, ""),
    ]
    result = mean_result("m.share", "group", clips, SPEC)
    assert result.n == 4
    assert result.detail["n_missing"] == 3
    assert result.detail["n_not_applicable"] == 1
    assert result.detail["missing"]["one frame"] == 2
    assert result.detail["n_measured"] == 8
    assert "4 of 8 clips have no value: 2 x one frame" in result.reason


def test_no_clip_no_value_not_applicable() -> None:
    assert mean_result("m.share", "g", [], SPEC).status == NOT_COMPUTED
    broken = mean_result("m.share", "g", measured([None, None]), SPEC)
    assert broken.status == NOT_COMPUTED
    assert "2 of 2 clips have no value: 2 x it broke" in broken.reason
    nowhere = mean_result("m.share", "g", measured([None], "not applicable: no prompt"), SPEC)
    assert nowhere.status == NOT_APPLICABLE
    both = [*measured([None], "not applicable: no prompt"), (sample("q", "q"), None, "it broke")]
    assert mean_result("m.share", "g", both, SPEC).status == NOT_COMPUTED


def test_one_clip_has_a_value_and_no_interval() -> None:
    result = mean_result("m.share", "g", measured([0.25]), SPEC)
    assert (result.value, result.low, result.high, result.confidence) == (0.25, None, None, None)
    assert "no interval" in result.reason


def test_a_value_neither_given_nor_explained_is_a_gap() -> None:
    clips = [Measured(sample("s", "p"), Measurement(values={"share": 0.5}))]
    share, speed = mean_results("m", [SPEC, UNBOUNDED], clips, "g", 0.9)
    assert (share.name, share.status) == ("m.share", COMPUTED)
    assert (speed.name, speed.status) == ("m.speed", NOT_COMPUTED)
    assert "neither" in speed.reason


def test_facts_of_a_clip_have_no_mean() -> None:
    clips = [Measured(sample("s", "p"), Measurement(values={"share": 0.5, "speed": 1.0}))]
    fact = ValueSpec("speed", "per second", None, "a speed", per_group=False)
    assert [r.name for r in mean_results("m", [SPEC, fact], clips, "g", 0.95)] == ["m.share"]


def test_rate_result_is_exact_and_counts_prompts() -> None:
    clean = rate_result("m.share", "g", measured([0] * 100), SPEC)
    assert (clean.value, clean.low) == (0.0, 0.0)
    assert clean.high == pytest.approx(clopper_pearson(0, 100)[1])
    assert clean.detail["trials"] == 100
    seeds = [(sample(f"s{i}", f"p{i // 4}"), float(i == 0), "") for i in range(40)]
    rate = rate_result("m.share", "g", seeds, SPEC)
    assert (rate.value, rate.n, rate.n_clusters) == (pytest.approx(1 / 40), 40, 10)
    assert (rate.detail["events"], rate.detail["trials"]) == (1, 10)
    assert (rate.low, rate.high) == (0.0, pytest.approx(clopper_pearson(1, 10)[1]))
    assert "1 of 10 prompts with mixed clips" in rate.reason
    with pytest.raises(ValueError, match="made of 0 and 1"):
        rate_result("m.share", "g", measured([0.5]), SPEC)
    assert rate_result("m.share", "g", measured([None]), SPEC).status == NOT_COMPUTED


def test_a_rate_is_that_of_clips_and_not_of_the_worst_seed() -> None:
    """20 prompts with 10 seeds, of which one each has the event: the rate is a tenth, and not 1."""
    clips = [(sample(f"s{i}", f"p{i // 10}"), float(i % 10 == i // 10 % 10), "") for i in range(200)]
    rate = rate_result("m.share", "g", clips, SPEC)
    assert rate.value == pytest.approx(0.1)
    assert (rate.low, rate.high) == (0.0, 1.0)
    assert (rate.detail["events"], rate.detail["trials"]) == (20, 20)


def test_a_rate_over_one_clip_per_prompt_is_plain_clopper_pearson() -> None:
    e = clustered_rate([True, False, False, True, False], "abcde", 0.9)
    assert (e.low, e.high) == clopper_pearson(2, 5, 0.9)
    assert (e.value, e.n, e.n_clusters, e.method, e.reason) == (0.4, 5, 5, "exact", "")
    with pytest.raises(ValueError, match="no clips"):
        clustered_rate([], [])
    with pytest.raises(ValueError, match=r"0\.5; a rate"):
        clustered_rate([0.5], ["a"])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_rate_lies_in_its_interval_and_turns_round(pairs: list[tuple[bool, int]]) -> None:
    prompts = [p for _, p in pairs]
    e = clustered_rate([event for event, _ in pairs], prompts)
    assert e.low is not None
    assert e.high is not None
    assert 0 <= e.low <= e.value <= e.high <= 1
    turned = clustered_rate([not event for event, _ in pairs], prompts)
    assert (turned.low, turned.high) == (pytest.approx(1 - e.high), pytest.approx(1 - e.low))


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_rates_over_seeds_cover_the_truth_however_alike_seeds_are(alike: float) -> None:
    """12 prompts x 4 seeds, true rate 0.2; a share ``alike`` of the prompts gives every seed the same answer."""
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(12), 4)
    hits = 0
    for _ in range(300):
        own = rng.random(48) < 0.2
        shared = np.repeat(rng.random(12) < 0.2, 4)
        events = np.where(np.repeat(rng.random(12) < alike, 4), shared, own)
        e = clustered_rate(events.tolist(), prompts.tolist())
        assert e.low is not None
        assert e.high is not None
        hits += e.low <= 0.2 <= e.high
    assert hits / 300 >= 0.95


@dataclass(frozen=True)
class PlainSample:
    sample_id: str
    prompt_id: str


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_results_do_not_depend_on_the_order_of_clips(values: list[float], shuffler: object) -> None:
    clips = [(PlainSample(f"s{i}", f"p{i // 2}"), v, "") for i, v in enumerate(values)]
    before = mean_result("m.share", "g", clips, SPEC)
    shuffler.shuffle(clips)  # type: ignore[attr-defined]
    assert mean_result("m.share", "g", clips, SPEC) == before


def test_importing_is_cheap() -> None:
    code = "import sys, vgaudit.stats; print([m for m in ('torch', 'pandas', 'scipy', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
