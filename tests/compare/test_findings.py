"""Findings of two runs: exact rates and an exact test over prompts, and what nobody looked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from tests.compare.snapshots import side, snapshot, with_kind
from vgaudit.compare.comparison import compare
from vgaudit.compare.findings import FindingRow, Rate, sign_test
from vgaudit.compare.snapshot import Kind, Snapshot

ONE = snapshot({f"p{i:02d}": [0.1 + 0.01 * i] for i in range(12)})
TWO = snapshot({f"p{i:02d}": [0.1 + 0.01 * i, 0.2] for i in range(12)})
FREEZE = "temporal.freeze"


def found(base: Snapshot, cand: Snapshot) -> list[FindingRow]:
    return list(compare(side(base), side(cand)).findings)


def test_the_test_is_mcnemars() -> None:
    for more, less in ((0, 0), (1, 0), (6, 0), (7, 2), (2, 7), (30, 30), (400, 310)):
        exact = stats.binomtest(more, more + less).pvalue if more + less else 1.0
        assert sign_test(more, less) == pytest.approx(exact, rel=1e-9)


def test_rates_are_of_clips_with_exact_intervals() -> None:
    (row,) = found(with_kind(ONE, FREEZE, [0]), with_kind(ONE, FREEZE, [0, 1, 2, 3, 4, 5, 6]))
    exact = stats.binomtest(7, 12).proportion_ci(0.95, "exact")
    assert isinstance(row.candidate, Rate)
    assert isinstance(row.base, Rate)
    assert (row.candidate.low, row.candidate.high) == pytest.approx((100 * exact.low, 100 * exact.high))
    assert row.candidate.per_100 == pytest.approx(100 * 7 / 12)
    assert (row.base.clips, row.base.searched, row.n_more, row.n_less) == (1, 12, 6, 0)
    assert row.p == pytest.approx(2 / 2**6)
    assert (row.side, row.new, row.judgement) == ("more often", False, "more often")


def test_a_clip_with_three_findings_is_one_clip() -> None:
    many = replace(ONE, kinds={FREEZE: Kind({0: 3})})
    (row,) = found(with_kind(ONE, FREEZE, []), many)
    assert row.candidate is not None
    assert (row.candidate.clips, row.candidate.findings) == (1, 3)
    assert row.new
    assert row.judgement == "no difference shown; none in the base"


def test_seeds_of_a_prompt_are_one_piece_of_evidence() -> None:
    # Both clips of five prompts: ten clips more, but five prompts, which show nothing at 0.05.
    (row,) = found(with_kind(TWO, FREEZE, []), with_kind(TWO, FREEZE, range(10)))
    assert (row.n_more, row.p, row.side) == (5, 2 / 2**5, "")
    # Where seeds are swapped within a prompt, nothing changed.
    (row,) = found(with_kind(TWO, FREEZE, [0, 2]), with_kind(TWO, FREEZE, [1, 3]))
    assert (row.n_more, row.n_less, row.p) == (0, 0, 1.0)


def test_holm_is_over_kinds() -> None:
    base, cand = ONE, ONE
    for i in range(10):
        base, cand = with_kind(base, f"temporal.k{i}", []), with_kind(cand, f"temporal.k{i}", range(6))
    rows = found(base, cand)
    assert {row.p for row in rows} == {2 / 2**6}
    assert all(row.p_holm == pytest.approx(20 / 64) and row.side == "" for row in rows)


def test_kinds_that_one_side_did_not_look_for() -> None:
    (row,) = found(ONE, with_kind(ONE, FREEZE, [0]))
    assert (row.base, row.p, row.judgement) == (None, None, "not looked for in the base")
    (row,) = found(with_kind(ONE, FREEZE, []), ONE)
    assert (row.candidate, row.judgement) == (None, "not looked for in the candidate")
    (row,) = found(with_kind(ONE, FREEZE, []), with_kind(ONE, FREEZE, [], range(12)))
    assert row.judgement == "not looked for in the candidate"
    assert not row.new


def test_a_metric_that_declares_no_kinds_looked_for_all_of_its_own() -> None:
    base = replace(ONE, kinds={"temporal.*": Kind({}, frozenset({0}))})
    (row,) = found(base, with_kind(replace(ONE, kinds=base.kinds), FREEZE, [1, 2]))
    assert row.kind == FREEZE
    assert row.base is not None
    assert (row.base.clips, row.base.searched, row.base.planned, row.new) == (0, 11, 12, True)


def test_clips_not_looked_at_count_for_neither_side() -> None:
    (row,) = found(with_kind(ONE, FREEZE, [], unseen=[0, 1]), with_kind(ONE, FREEZE, range(6)))
    assert row.base is not None
    assert (row.base.searched, row.base.planned, row.n_prompts, row.n_more) == (10, 12, 10, 4)
