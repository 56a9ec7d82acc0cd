"""Differences of two runs: the same numbers as scipy's, through the command too, and what they say of a margin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from tests.compare.snapshots import NAME, side, snapshot, spec, written
from vgaudit.cli.commands import app
from vgaudit.compare.comparison import Asked, Comparison, compare, parse_margins
from vgaudit.compare.snapshot import Snapshot
from vgaudit.compare.values import SAME_CLIPS, ValueRow
from vgaudit.errors import UsageError
from vgaudit.records import Outcome, Result


def drawn(
    n: int, shift: float, seed: int = 3, spread: float = 0.01, **facts: Any
) -> tuple[Snapshot, Snapshot]:
    """Two sides whose prompts differ more than the sides do."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(0.2, 0.6, n)
    base = {f"p{i}": [float(hard[i] + rng.normal(0, spread)) for _ in range(2)] for i in range(n)}
    cand = {f"p{i}": [float(hard[i] + shift + rng.normal(0, spread)) for _ in range(2)] for i in range(n)}
    return snapshot(base, **facts), snapshot(cand, **facts)


def compared(pair: tuple[Snapshot, Snapshot], **asked: Any) -> Comparison:
    return compare(side(pair[0]), side(pair[1]), Asked(**asked))


def only(made: Comparison) -> ValueRow:
    assert len(made.values) == 1
    return made.values[0]


@pytest.mark.parametrize("n", [7, 12])
def test_the_command_gives_the_numbers_of_scipy(n: int, tmp_path: Path) -> None:
    base, cand = drawn(n, 0.006)
    paths = written(base, tmp_path / "a.json.gz"), written(cand, tmp_path / "b.json.gz")
    done = CliRunner().invoke(app, ["compare", *map(str, paths), "--out", str(tmp_path / "out")])
    assert done.exit_code in (0, 3), done.output
    entry = json.loads((tmp_path / "out" / "compare.json").read_text())["values"][0]["difference"]
    first = np.array(base.values[NAME], float).reshape(n, 2)
    second = np.array(cand.values[NAME], float).reshape(n, 2)
    a, b = second.mean(axis=1), first.mean(axis=1)
    t = stats.ttest_rel(a, b)
    assert entry["value"] == pytest.approx((a - b).mean(), rel=1e-12)
    assert entry["effect"] == pytest.approx(t.statistic / np.sqrt(n), rel=1e-9)
    flips = stats.permutation_test(
        (a - b,), lambda d: d.mean(), permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert entry["p"] == pytest.approx(flips.pvalue, rel=1e-9)
    assert entry["p_holm"] == entry["p"]  # one value is no family
    ends = t.confidence_interval(0.95)
    if n < 8:
        assert (entry["low"], entry["high"]) == pytest.approx((ends.low, ends.high), rel=1e-9)
    else:  # the bootstrap's, which is near Student's for normal differences
        assert (entry["low"], entry["high"]) == pytest.approx(
            (ends.low, ends.high), abs=0.2 * (ends.high - ends.low)
        )


def test_base_and_candidate_are_means_over_just_the_pairs_compared() -> None:
    base = snapshot({f"p{i}": [0.1 * i, None if i == 1 else 0.2] for i in range(8)})
    cand = snapshot({f"p{i}": [0.05 + 0.1 * i, 0.9] for i in range(7)} | {"p7": [None, None]})
    row = only(compare(side(base), side(cand)))
    assert row.base is not None
    assert row.candidate is not None
    assert row.candidate - row.base == pytest.approx(row.difference.value, rel=1e-12)
    assert row.difference.n_prompts == 7
    assert row.difference.dropped == {"candidate has no value: no value today": 1}
    # p1 is compared on seed 0 alone, all others on both seeds.
    assert row.base == pytest.approx((sum((0.1 * i + 0.2) / 2 for i in (0, 2, 3, 4, 5, 6)) + 0.1) / 7)


@pytest.mark.parametrize(
    ("higher", "shift", "code", "word"),
    [
        (False, 0.05, 3, "worse"),
        (False, -0.05, 0, "better"),
        (True, -0.05, 3, "worse"),
        (True, 0.05, 0, "better"),
        (None, 0.05, 0, "higher"),
        (None, -0.05, 0, "lower"),
        (False, 0.0001, 0, "no difference shown"),
    ],
)
def test_without_margins_what_is_worse_fails(higher: bool | None, shift: float, code: int, word: str) -> None:
    made = compared(drawn(12, shift, higher_is_better=higher))
    assert (made.verdict.exit_code, only(made).judgement) == (code, word)


@pytest.mark.parametrize(
    ("higher", "shift", "margin", "outcome", "code"),
    [
        (False, 0.001, 0.05, "holds", 0),
        (False, 0.1, 0.05, "violated", 3),
        (False, 0.049, 0.05, "not shown", 4),
        (False, -0.2, 0.05, "holds", 0),  # better is never beyond a margin
        (True, -0.1, 0.05, "violated", 3),
        (True, 0.2, 0.05, "holds", 0),
        (None, 0.1, 0.05, "violated", 3),
        (None, -0.1, 0.05, "violated", 3),
        (None, 0.001, 0.05, "holds", 0),
        (None, -0.049, 0.05, "not shown", 4),
    ],
)
def test_a_margin_holds_by_the_interval(
    higher: bool | None, shift: float, margin: float, outcome: str, code: int
) -> None:
    made = compared(drawn(12, shift, higher_is_better=higher), margins={NAME: margin})
    held = only(made).margin
    assert held is not None
    assert (held.outcome, made.verdict.exit_code) == (outcome, code), held.reason
    assert held.more_prompts is None or outcome == "not shown"


def test_worse_within_the_margin_passes() -> None:
    made = compared(drawn(12, 0.02), margins={NAME: 0.05})
    assert only(made).side == "worse"
    assert only(made).judgement == "worse, within the margin"
    assert made.verdict.exit_code == 0


def test_so_many_more_prompts_would_do() -> None:
    made = compared(drawn(8, 0.03, spread=0.05), margins={NAME: 0.05})
    held = only(made).margin
    assert held is not None
    assert held.more_prompts is not None
    assert f"about {held.more_prompts} more prompts at this variance would be needed" in held.reason
    d = only(made).difference
    assert d.value is not None
    assert d.high is not None
    shrunk = (d.high - d.value) * np.sqrt(8 / (8 + held.more_prompts))
    assert d.value + shrunk <= 0.05
    shrunk = (d.high - d.value) * np.sqrt(8 / (8 + held.more_prompts - 1))
    assert d.value + shrunk > 0.05


def test_a_loss_beyond_the_margin_needs_no_more_prompts() -> None:
    held = only(compared(drawn(8, 0.075, spread=0.05), margins={NAME: 0.05})).margin
    assert held is not None
    assert held.outcome == "not shown"
    assert held.more_prompts is None
    assert "more prompts would not show it" in held.reason


def test_missing_evidence_may_be_only_reported() -> None:
    pair = drawn(8, 0.049, spread=0.05)
    assert compared(pair, margins={NAME: 0.05}).verdict.exit_code == 4
    neutral = compared(pair, margins={NAME: 0.05}, on_insufficient="neutral").verdict
    assert (neutral.exit_code, neutral.outcome) == (0, Outcome.NOT_COMPUTED)


def test_the_same_clips_are_within_any_margin() -> None:
    made = snapshot({f"p{i}": [0.1 * i] for i in range(6)})
    found = compared((made, made), margins={NAME: 0.0})
    held = only(found).margin
    assert held is not None
    assert (held.outcome, held.reason, found.verdict.exit_code) == ("holds", SAME_CLIPS, 0)
    # Equal values of other clips are no proof: prompts that were not drawn may differ.
    other = replace(made, clips=tuple(replace(c, sha256=c.sha256[::-1]) for c in made.clips))
    held = only(compared((made, other), margins={NAME: 0.0})).margin
    assert held is not None
    assert held.outcome == "not shown"


def test_too_few_prompts_show_nothing() -> None:
    pair = drawn(5, 0.2)
    assert compared(pair).verdict.exit_code == 4
    assert compared(pair, on_insufficient="neutral").verdict.exit_code == 0
    held = only(compared(pair, margins={NAME: 0.05})).margin
    assert held is not None
    assert held.outcome == "not shown"
    assert "only 5 prompts" in held.reason


def test_a_value_that_gates_would_not_take_has_no_better_side() -> None:
    base, cand = drawn(12, 0.2)
    doubted = replace(cand.results[0], detail={"uncalibrated": True})
    made = compared((base, replace(cand, results=(doubted,))), margins={NAME: 0.5})
    assert only(made).side == "higher"
    assert made.verdict.exit_code == 4
    assert "uncalibrated" in made.verdict.reason


def test_a_result_that_is_no_mean_of_its_clips_is_not_compared() -> None:
    base, cand = drawn(12, 0.2)
    other = replace(cand.results[0], value=0.9)
    row = only(compared((base, replace(cand, results=(other,)))))
    assert row.judgement == "not computed"
    assert row.difference.reason == "candidate: the result is not the mean of its clips' values"


def with_distance(made: Snapshot, value: float, n: int = 24) -> Snapshot:
    result = Result(
        "fvd.distance",
        "model",
        value,
        value - 1,
        value + 1,
        0.95,
        n,
        12,
        "d",
        False,
        detail={"protocol": "x"},
    )
    specs = {**made.value_specs, "fvd.distance": spec(per_clip=False, unit="d", high=None)}
    return replace(made, results=(*made.results, result), value_specs=specs)


def test_a_value_of_the_group_stands_side_by_side_without_a_test() -> None:
    base, cand = drawn(12, 0.0001)
    base, cand = with_distance(base, 10), with_distance(cand, 90, n=20)
    row = next(r for r in compared((base, cand)).values if r.name == "fvd.distance")
    assert (row.base, row.candidate, row.apart, row.judgement) == (10, 90, 80, "not paired: no test")
    assert row.base_interval == (9, 11)
    assert row.difference.p is None
    assert "24 clips of 12 prompts and 20 of 12" in row.difference.reason
    assert compared((base, cand)).verdict.exit_code == 0
    assert compared((base, cand), margins={"fvd.distance": 1000.0}).verdict.exit_code == 4


def test_what_the_candidate_could_not_compute_is_missing_evidence() -> None:
    base, cand = drawn(12, 0.0001)
    base, cand = with_distance(base, 10), with_distance(cand, 10)
    gone = Result.not_computed("fvd.distance", "model", "weights are missing")
    made = compared((base, replace(cand, results=(cand.results[0], gone))))
    assert made.verdict.exit_code == 4
    assert "fvd.distance" in made.verdict.reason
    absent = Result("fvd.distance", "model", None, status="not applicable", reason="no clip is long enough")
    assert compared((base, replace(cand, results=(cand.results[0], absent)))).verdict.exit_code == 0


def test_clips_that_the_candidate_failed_to_make_are_missing_evidence() -> None:
    base, cand = drawn(12, 0.0001)
    column = list(cand.values[NAME])
    column[0] = None
    broken = replace(
        cand, clips=(replace(cand.clips[0], outcome="error", sha256=""), *cand.clips[1:]),
        values={NAME: tuple(column)},
        missing={NAME: ("there is no clip (error)", *cand.missing[NAME][1:])},
    )  # fmt: skip
    mean = float(
        np.mean([np.mean([v for v in column[2 * i : 2 * i + 2] if v is not None]) for i in range(12)])
    )
    broken = replace(broken, results=(replace(cand.results[0], value=mean, n=23),))
    for margins in ({}, {NAME: 0.5}):
        made = compared((base, broken), margins=margins)
        assert made.verdict.exit_code == 4
        assert "1 sample without a usable clip, in the base 0" in made.verdict.reason


@pytest.mark.parametrize("text", ["x", "=1", "a=b", "a=-1", "a=nan", "a=inf", "a="])
def test_margins_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=NUMBER"):
        parse_margins([text])


def test_a_margin_for_no_value_is_refused_with_the_nearest_name() -> None:
    assert parse_margins(["a.b@c=d=0.5"]) == {"a.b@c=d": 0.5}
    with pytest.raises(UsageError, match="twice"):
        parse_margins(["a=1", "a=2"])
    with pytest.raises(UsageError, match=r"did you mean 'temporal\.warp_error'"):
        compared(drawn(8, 0.0), margins={"temporal.warp_eror": 0.1})
