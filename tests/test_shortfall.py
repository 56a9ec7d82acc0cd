"""How many more prompts a gate says would be needed: checked against the intervals themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vgaudit.estimates import clopper_pearson
from vgaudit.gates import GateSpec, evaluate
from vgaudit.records import Outcome, Result
from vgaudit.shortfall import MOST, missing_evidence
from vgaudit.stats import mean_result, rate_result

SPEC = SimpleNamespace(unit="", higher_is_better=None, low=0.0, high=1.0)


def rows(values: list[float], seeds: int = 1) -> list[tuple[Any, float, str]]:
    return [
        (SimpleNamespace(sample_id=f"s{i}-{j}", prompt_id=f"p{i:04}"), v, "")
        for i, v in enumerate(values)
        for j in range(seeds)
    ]


def spread(k: int, mean: float = 0.5, sd: float = 0.1) -> list[float]:
    """``k`` values with just this mean and standard deviation."""
    z = np.random.default_rng(3).normal(size=k)
    z = (z - z.mean()) / z.std(ddof=1)
    return [float(v) for v in mean + sd * z]


def mean_of(values: list[float]) -> Result:
    return mean_result("m.v", "g", rows(values), SPEC)


def rate_of(events: list[int], seeds: int = 1) -> Result:
    return rate_result("m.v", "g", rows([float(e) for e in events], seeds), SPEC)


def told(words: str) -> int:
    return int(words.removeprefix("about ").split()[0].replace(",", ""))


@pytest.mark.parametrize("k", [5, 12])
@pytest.mark.parametrize("side", [1, -1])
def test_so_many_more_prompts_of_the_same_spread_clear_the_limit(k: int, side: int) -> None:
    result = mean_of(spread(k))
    limit = 0.5 + side * 0.03
    limits = {"upper": limit} if side > 0 else {"lower": limit}
    words = missing_evidence(result, **limits)
    assert words.endswith("more prompts at this variance, if the estimate holds")
    needed = k + told(words)
    enough, few = mean_of(spread(needed)), mean_of(spread(int(0.75 * needed)))
    if side > 0:
        assert enough.high is not None
        assert few.high is not None
        assert enough.high <= limit * 1.01
        assert few.high > limit
    else:
        assert enough.low is not None
        assert few.low is not None
        assert enough.low >= limit * 0.99
        assert few.low < limit


@pytest.mark.parametrize(("events", "prompts", "limit"), [(0, 20, 0.05), (1, 30, 0.08), (3, 40, 0.15)])
def test_a_rate_is_searched_by_its_own_interval(events: int, prompts: int, limit: float) -> None:
    words = missing_evidence(rate_of([1] * events + [0] * (prompts - events)), upper=limit)
    assert words.endswith("more prompts at this rate, if the estimate holds")
    needed = prompts + told(words)
    assert clopper_pearson(round(events / prompts * needed), needed)[1] <= limit * 1.02
    if events == 0:
        assert needed == 72
        assert clopper_pearson(0, 71)[1] > limit
    other = missing_evidence(rate_of([0] * events + [1] * (prompts - events)), lower=1 - limit)
    assert other == words


def test_prompts_that_are_all_alike_follow_the_bound_for_rare_events() -> None:
    words = missing_evidence(mean_of([0.0] * 6), upper=0.05)
    assert 6 + told(words) == 72  # as docs/gates.md says of freeze fractions


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"upper": 0.5}, "not reachable: the estimate itself is at the limit"),
        ({"upper": 0.48}, "not reachable: the estimate itself is beyond the limit"),
        ({"lower": 0.52}, "not reachable: the estimate itself is beyond the limit"),
        ({"upper": 0.5 + 1e-6}, f"more than {MOST:,} more prompts"),
        ({"upper": 0.9, "lower": 0.1}, ""),
    ],
)
def test_what_more_prompts_cannot_do_is_said(limit: dict[str, float], words: str) -> None:
    told_words = missing_evidence(mean_of([0.4, 0.45, 0.5, 0.55, 0.6]), **limit)
    assert told_words.startswith(words)
    assert bool(told_words) == bool(words)


def test_of_two_limits_the_farther_one_counts() -> None:
    result = mean_of(spread(6))
    both = missing_evidence(result, upper=0.55, lower=0.48)
    assert (
        told(both) == told(missing_evidence(result, lower=0.48)) > told(missing_evidence(result, upper=0.55))
    )


def test_mixed_prompts_may_put_a_limit_out_of_reach() -> None:
    mixed = rate_result(
        "m.v", "g", [r for pair in zip(rows([0.0] * 10), rows([1.0] * 10), strict=True) for r in pair], SPEC
    )
    assert (mixed.value, mixed.detail["events"], mixed.detail["always"]) == (0.5, 10, 0)
    assert "10 of 10 prompts any of whose clips has it" in missing_evidence(mixed, upper=0.6)
    assert "0 of 10 prompts all of whose clips have it" in missing_evidence(mixed, lower=0.4)


@pytest.mark.parametrize(
    "detail", [{}, {"interval": "jackknife over prompts"}, {"interval": "bootstrap"}, {"interval": "exact"}]
)
def test_an_interval_of_another_kind_is_not_scaled(detail: dict[str, Any]) -> None:
    result = Result("m.v", "g", 0.5, 0.4, 0.6, 0.95, 10, 10, detail=detail)
    assert "is not known" in missing_evidence(result, upper=0.55)


def test_the_gate_says_it_and_results_keep_it_in_json() -> None:
    result = Result.from_json(mean_of(spread(6)).to_json())
    (held,) = evaluate([GateSpec.model_validate("m.v <= 0.53")], [result], ["g"])
    assert held.outcome is Outcome.NOT_COMPUTED
    assert held.reason.startswith("insufficient evidence: the limit lies inside the interval (0.5, n = 6")
    assert held.reason.endswith("more prompts at this variance, if the estimate holds")
