"""Where a difference lies: tags as one family, and the clips that changed most."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compare.snapshots import NAME, side, snapshot
from vgaudit.compare.comparison import Comparison, compare


def tagged(shift: float, n: int = 24, tags: int = 2) -> Comparison:
    """The candidate is worse by ``shift`` on the prompts of the first tag only."""
    rng = np.random.default_rng(5)
    names = [f"p{i:02d}" for i in range(n)]
    hard = rng.uniform(0.2, 0.5, n)
    noise = rng.normal(0, 0.01, (2, n))
    of = {p: {"people": f"t{i % tags}", "all": "yes", f"rare{i % 5}": "x"} for i, p in enumerate(names)}
    base = {p: [float(hard[i] + noise[0, i])] for i, p in enumerate(names)}
    cand = {p: [float(hard[i] + noise[1, i] + (shift if i % tags == 0 else 0))] for i, p in enumerate(names)}
    return compare(side(snapshot(base)), side(snapshot(cand, tags=of)))


def test_a_tag_that_became_worse_is_flagged_and_the_other_is_not() -> None:
    made = tagged(0.05)
    assert [(t.tag, t.side) for t in made.tags if t.side] == [("people=t0", "worse")]
    told = {t.tag for t in made.tags}
    assert "people=t1" in told
    assert "all=yes" not in told  # all prompts have it: that is the whole
    assert not any(tag.startswith("rare") for tag in told)  # five prompts or fewer


def test_tags_are_one_family() -> None:
    made = tagged(0.05, n=48, tags=8)
    first = next(t for t in made.tags if t.tag == "people=t0")
    tested = [t for t in made.tags if t.difference.p is not None]
    assert len(tested) >= 8
    assert first.difference.p == pytest.approx(2 / 2**6)
    assert first.difference.p_holm == pytest.approx(min(1.0, len(tested) * 2 / 2**6))
    assert first.side == ""  # would be flagged without the adjustment


def test_the_ten_clips_that_changed_most_by_the_spread_of_the_base() -> None:
    values = {f"p{i:02d}": [0.1 + 0.01 * i] for i in range(20)}
    moved = {p: [v[0] + 0.001 * i * (-1) ** i] for i, (p, v) in enumerate(values.items())}
    made = compare(side(snapshot(values)), side(snapshot(moved)))
    assert [c.prompt_id for c in made.changed] == [f"p{i:02d}" for i in range(19, 9, -1)]
    spread = np.std([v[0] for v in values.values()])
    first = made.changed[0]
    assert (first.name, first.seed, first.side) == (NAME, 0, "better")
    assert first.spreads == pytest.approx(-0.019 / spread)
    assert made.changed[1].side == "worse"


def test_clips_that_did_not_change_are_not_named() -> None:
    same = snapshot({f"p{i}": [0.1 * i] for i in range(8)})
    assert compare(side(same), side(same)).changed == ()
