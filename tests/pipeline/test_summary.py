"""Refusals as results: seeds of one prompt are no independent evidence, and a gated tag always has an answer."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from vgaudit.pipeline.summary import refusal_results
from vgaudit.plan import Plan, Sample
from vgaudit.records import ClipRecord


def made(prompts: int, seeds: int, refused: set[str]) -> tuple[Plan, dict[str, ClipRecord]]:
    samples = [
        Sample(f"p{p}-{s}", f"p{p}", "text", "model", seed=s, tags={"people": "yes" if p % 2 else "no"})
        for p in range(prompts)
        for s in range(seeds)
    ]
    outcome = {s.sample_id: "refused_input" if s.prompt_id in refused else "ok" for s in samples}
    return Plan(tuple(samples)), {k: ClipRecord(k, v) for k, v in outcome.items()}


def test_seeds_add_no_evidence() -> None:
    (result,) = refusal_results(*made(30, 10, set()), 0.95)
    assert (result.value, result.n, result.n_clusters) == (0.0, 300, 30)
    assert result.high == pytest.approx(binomtest(0, 30).proportion_ci(0.95, "exact").high)


def test_slices_by_tag_where_something_was_refused_or_is_gated() -> None:
    plan, records = made(6, 1, {"p1"})
    names = [r.name for r in refusal_results(plan, records, 0.95)]
    assert names == ["generation.refusal_rate", "generation.refusal_rate@people=yes"]
    gated = refusal_results(plan, records, 0.95, {"generation.refusal_rate@people=no"})
    assert {r.name: r.value for r in gated}["generation.refusal_rate@people=no"] == 0.0
    assert gated[0].detail["refused_input"] == 1


def test_nothing_answered_is_not_computed() -> None:
    plan, _ = made(2, 1, set())
    records = {s.sample_id: ClipRecord(s.sample_id, "error", "down") for s in plan}
    (result,) = refusal_results(plan, records, 0.95)
    assert (result.status, result.reason) == ("not computed", "no request was answered")
