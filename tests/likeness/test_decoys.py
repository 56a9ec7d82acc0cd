"""Decoys are drawn the same each time; the excess test is exact, honest about its power, and holds its level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.likeness import decoys as module
from vgaudit.likeness.decoys import decoys, excess


def test_the_draw_depends_on_the_key_alone_and_grows() -> None:
    first = decoys(500, 40, "gallery")
    assert np.array_equal(first, decoys(500, 40, "gallery"))
    assert not np.array_equal(first, decoys(500, 40, "other gallery"))
    assert len(set(first.tolist())) == 40
    assert set(first.tolist()) < set(decoys(500, 60, "gallery").tolist())
    assert decoys(5, 5, "x").tolist() == [0, 1, 2, 3, 4]
    assert decoys(5, 0, "x").tolist() == []


def test_the_draw_prefers_nobody() -> None:
    drawn = np.concatenate([decoys(20, 5, str(key)) for key in range(2000)])
    counts = np.bincount(drawn, minlength=20)
    assert ((counts - 500) ** 2 / 500).sum() < 45  # chi-squared, 19 degrees of freedom: 0.9993


def test_a_cohort_gives_no_more_decoys_than_people() -> None:
    with pytest.raises(ValueError, match="at most as many as it holds"):
        decoys(3, 4, "x")


@given(
    hits=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    others=st.lists(st.integers(0, 4), min_size=1, max_size=5),
)
def test_p_counts_the_choices_one_by_one(hits: list[int], others: list[int]) -> None:
    everybody = [*hits, *others]
    sums = [sum(c) for c in itertools.combinations(everybody, len(hits))]
    found = excess(hits, others, "x")
    assert found.exact
    assert found.p == pytest.approx(sum(s >= sum(hits) for s in sums) / len(sums))
    assert found.least_p == pytest.approx(sum(s == max(sums) for s in sums) / len(sums))
    assert found.least_p <= found.p * (1 + 1e-12)


def test_drawn_permutations_agree_with_the_exact_p(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hits, others = rng.poisson(0.5, 150), rng.poisson(0.42, 200)
    monkeypatch.setattr(module, "MOST_STEPS", 10**9)
    exact = excess(hits.tolist(), others.tolist(), "x")
    monkeypatch.setattr(module, "MOST_STEPS", 0)
    drawn = excess(hits.tolist(), others.tolist(), "x")
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p * (1 - exact.p) / 9999) + 1e-4)
    assert drawn == excess(hits.tolist(), others.tolist(), "x")
    assert excess([9] * 50, [0] * 50, "x").p == 1 / 10_000


def test_the_level_holds_and_a_leak_of_the_gallery_is_seen() -> None:
    rng = np.random.default_rng(1)
    people = rng.gamma(0.5, 1, (400, 60)) * 0.3  # generic-looking people are hit more
    null = [excess(*np.split(rng.poisson(row), 2), str(i)).p for i, row in enumerate(people)]  # type: ignore[arg-type]
    assert np.mean(np.array(null) <= 0.05) <= 0.08
    leak = [
        excess(rng.poisson(row[:30] + 1).tolist(), rng.poisson(row[30:]).tolist(), "x").p for row in people
    ]
    assert np.mean(np.array(leak) <= 0.05) > 0.9


def test_words() -> None:
    found = excess([1, 1, 1] + [0] * 197, [1, 1] + [0] * 198, "x")
    assert found.words == (
        "the gallery's 200 people were hit by 3 tracks, 200 decoys by 2: no more than chance explains (p = 0.5)"
    )
    assert found.telling
    assert "more than chance explains (p = 0.00" in excess([1] * 9 + [0] * 191, [0] * 200, "x").words
    assert excess([0], [3], "x").words.endswith("by 0 tracks, 1 decoy by 3: nothing to explain")
    assert excess([0, 1], [3], "x").to_json()["telling"] is False


def test_one_person_hit_often_is_never_explained_away() -> None:
    found = excess([50] + [0] * 199, [0] * 200, "x")
    assert found.p == pytest.approx(0.5)
    assert not found.telling
    assert "too few people were hit for this to tell anything" in found.words
    assert "one person of the gallery was hit 50 times, no decoy more than 0 times" in found.words
    among = excess([50, 1, 1] + [0] * 197, [1, 1, 1] + [0] * 197, "x")
    assert among.telling
    assert "one person of the gallery was hit 50 times" in among.words


@pytest.mark.parametrize(
    ("hits", "others", "message"),
    [([], [1], "at least one with one"), ([1], [], "at least one"), ([-1], [1], "negative")],
)
def test_what_cannot_be_tested_is_refused(hits: list[int], others: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        excess(hits, others, "x")
