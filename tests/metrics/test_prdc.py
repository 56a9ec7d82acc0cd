"""Precision, recall, density and coverage: by hand, at the ends, and in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.metrics.prdc import Neighbourhoods, precision_recall_density_coverage


def line(*places: float) -> np.ndarray:
    return np.array(places)[:, None]


def test_by_hand_on_a_line() -> None:
    # Neighbourhoods with k = 1: real 0 and 1 reach 1 far, real 10 reaches 9; generated ones reach 0.5, 0.5 and 97.5.
    found = precision_recall_density_coverage(line(0, 1, 10), line(2, 2.5, 100), k=1)
    assert found == Neighbourhoods(
        precision=2 / 3,  # 2 is within 1 of 1, 2 and 2.5 within 9 of 10, 100 nowhere
        recall=1 / 3,  # only 10 is within 97.5 of 100
        density=(2 + 1 + 0) / 3,
        coverage=2 / 3,  # 1 has 2 within 1; 10 has 2.5 within 9; 0 has nothing
    )


def test_the_same_set_is_recalled_and_covered_whole() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    found = precision_recall_density_coverage(x, x, k=3)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density > 1.0  # each sample is its own neighbour, and in k others' balls on average


def test_sets_far_apart_share_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    assert precision_recall_density_coverage(x, x + 1e3) == Neighbourhoods(0.0, 0.0, 0.0, 0.0)


def test_precision_is_of_generated_and_recall_of_real_samples() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) * 0.2
    found = precision_recall_density_coverage(wide, narrow)
    assert found.precision > 0.95
    assert found.recall < 0.4
    swapped = precision_recall_density_coverage(narrow, wide)
    assert (swapped.precision, swapped.recall) == (found.recall, found.precision)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_order_and_scale_do_not_matter(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) + 0.5
    found = precision_recall_density_coverage(x, y, k)
    assert found == precision_recall_density_coverage(x[rng.permutation(12)], y[rng.permutation(9)], k)
    assert found == precision_recall_density_coverage(x * 4, y * 4, k)
    for share in (found.precision, found.recall, found.coverage):
        assert 0 <= share <= 1


def test_many_samples_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(33, 3))
    whole = precision_recall_density_coverage(x, y)
    monkeypatch.setattr("vgaudit.metrics.prdc._BLOCK", 7)
    assert precision_recall_density_coverage(x, y) == whole


@pytest.mark.parametrize(
    ("x", "y", "k", "says"),
    [
        (np.zeros((9, 2)), np.zeros((9, 3)), 5, "x has 2 features and y 3"),
        (np.zeros(9), np.zeros((9, 3)), 5, r"x has shape \(9,\)"),
        (np.zeros((9, 2)), np.full((9, 2), np.nan), 5, "y holds values that are NaN"),
        (np.zeros((5, 2)), np.zeros((9, 2)), 5, "k is 5; expected 1 to 4"),
        (np.zeros((9, 2)), np.zeros((9, 2)), 0, "k is 0"),
    ],
)
def test_bad_input_is_refused(x: np.ndarray, y: np.ndarray, k: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        precision_recall_density_coverage(x, y, k)
