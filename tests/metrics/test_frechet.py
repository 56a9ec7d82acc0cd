from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from vgaudit.metrics.frechet import (
    Statistics,
    frechet_distance,
    frechet_distance_from_features,
    frechet_interval,
    jackknife_groups,
    kernel_distance,
    statistics,
)


def gaussian(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1000 + seed).normal(size=(d, d)) / np.sqrt(d)
    return scale * rng.normal(size=(n, d)) @ mix + shift


def textbook(x: np.ndarray, y: np.ndarray, ddof: int) -> float:
    a, b = np.cov(x.T, ddof=ddof), np.cov(y.T, ddof=ddof)
    root = np.real(sqrtm(a @ b))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


@pytest.mark.parametrize(
    ("a", "b", "golden"),
    [
        ("ucf101_2048_res128_len16", "ucf101_full_res128_len16", 29.965354),
        ("ucf101_2048_res256_len16", "kinetics_2048_res256_len16", 523.190815),
    ],
)
def test_published_i3d_statistics(shared_data: Path, a: str, b: str, golden: float) -> None:
    with (
        np.load(shared_data / "i3d_stats" / f"{a}.npz") as p,
        np.load(shared_data / "i3d_stats" / f"{b}.npz") as q,
    ):
        forth = frechet_distance(p["mean"], p["cov_biased"], q["mean"], q["cov_biased"])
        back = frechet_distance(q["mean"], q["cov_biased"], p["mean"], p["cov_biased"])
        itself = frechet_distance(p["mean"], p["cov_biased"], p["mean"], p["cov_biased"])
    assert forth == pytest.approx(golden, rel=1e-7)
    assert back == pytest.approx(forth, rel=1e-9)
    assert itself == pytest.approx(0, abs=1e-8)


def test_one_dimension_by_hand() -> None:
    # N(1, 4) and N(3, 9): (1 - 3)^2 + (2 - 3)^2
    assert frechet_distance([1.0], [[4.0]], [3.0], [[9.0]]) == pytest.approx(5.0)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("n", "m"), [(40, 60), (200, 33)])
def test_features_equal_the_textbook(n: int, m: int, ddof: int) -> None:
    x, y = gaussian(n, 12, 0), gaussian(m, 12, 1, 1.5, 0.3)
    assert frechet_distance_from_features(x, y, ddof) == pytest.approx(textbook(x, y, ddof), rel=1e-8)
    p, q = statistics(x, ddof), statistics(y, ddof)
    assert frechet_distance(p.mean, p.cov, q.mean, q.cov) == pytest.approx(textbook(x, y, ddof), rel=1e-8)


def test_fewer_clips_than_dimensions() -> None:
    x, y = gaussian(7, 30, 0), gaussian(9, 30, 1)
    p, q = statistics(x), statistics(y)
    exact = frechet_distance_from_features(x, y)
    assert frechet_distance(p.mean, p.cov, q.mean, q.cov) == pytest.approx(exact, rel=1e-6)
    assert frechet_distance_from_features(x, x) == pytest.approx(0, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 20),
    m=st.integers(2, 20),
    d=st.integers(1, 8),
    shift=st.floats(-50, 50),
)
def test_distance_is_symmetric_positive_and_blind_to_a_common_shift(
    seed: int, n: int, m: int, d: int, shift: float
) -> None:
    x, y = gaussian(n, d, seed), gaussian(m, d, seed + 1, 2.0)
    distance = frechet_distance_from_features(x, y)
    assert distance >= 0
    assert frechet_distance_from_features(y, x) == pytest.approx(distance, rel=1e-7, abs=1e-9)
    assert frechet_distance_from_features(x + shift, y + shift) == pytest.approx(distance, rel=1e-6, abs=1e-7)
    assert frechet_distance_from_features(x[::-1], y) == pytest.approx(distance, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0.0, 0.0], np.eye(2), [0.0], np.eye(1)), "dimensions"),
        (([0.0, 0.0], np.eye(3), [0.0, 0.0], np.eye(2)), "expected"),
        (([0.0, np.nan], np.eye(2), [0.0, 0.0], np.eye(2)), "finite"),
        (([0.0, 0.0], [[1.0, 0.5], [0.1, 1.0]], [0.0, 0.0], np.eye(2)), "symmetric"),
        (([0.0, 0.0], np.diag([1.0, -1.0]), [0.0, 0.0], np.eye(2)), "negative eigenvalue"),
    ],
)
def test_moments_that_are_none(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        frechet_distance(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3))),
        (np.zeros((4, 3)), np.zeros((4, 2))),
        (np.full((4, 3), np.inf), np.zeros((4, 3))),
        (np.zeros(4), np.zeros(4)),
    ],
)
def test_features_that_are_none(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(ValueError):
        frechet_distance_from_features(x, y)
    with pytest.raises(ValueError):
        kernel_distance(x, y)


def test_kernel_distance_equals_its_double_sum() -> None:
    x, y = gaussian(5, 3, 0), gaussian(6, 3, 1, 1.3)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 20
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 30
    xy = sum(k(a, b) for a in x for b in y) / 30
    assert kernel_distance(x, y) == pytest.approx(xx + yy - 2 * xy)
    assert kernel_distance(x, x, unbiased=False) == pytest.approx(0, abs=1e-12)


def test_jackknife_groups_are_even_and_never_split_a_prompt() -> None:
    assert [len(g) for g in jackknife_groups([str(i) for i in range(64)], 16)] == [4] * 16
    assert [len(g) for g in jackknife_groups([str(i) for i in range(18)], 16)] == [2] * 9
    groups = jackknife_groups([f"p{i // 2}" for i in range(32)], 16)
    assert [list(g) for g in groups[:2]] == [[0, 1], [2, 3]]
    assert jackknife_groups(["a", "b"] * 40, 16) == []


def test_both_ways_to_leave_out_agree() -> None:
    # With more clips than dimensions the jackknife works on d x d matrices, else on the features.
    x, y = gaussian(64, 8, 0), gaussian(64, 8, 1)
    padded = [np.hstack([a, np.zeros((64, 80))]) for a in (x, y)]
    by_moments, by_features = frechet_interval(x, y), frechet_interval(*padded)
    assert by_moments.value == pytest.approx(by_features.value, rel=1e-9)
    assert by_moments.low == pytest.approx(by_features.low, rel=1e-6)
    assert by_moments.high == pytest.approx(by_features.high, rel=1e-6)


def test_too_few_prompts_give_no_interval() -> None:
    interval = frechet_interval(gaussian(40, 4, 0), gaussian(40, 4, 1), clusters=["a", "b"] * 20)
    assert interval.low is None
    assert interval.high is None
    assert "fewer than 8" in interval.reason
    assert interval.value > 0


@pytest.mark.parametrize("reference_is_fixed", [True, False])
def test_interval_covers_the_expectation_at_this_n(reference_is_fixed: bool) -> None:
    rng = np.random.default_rng(7)
    d, n, runs = 6, 48, 160
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    real = Statistics(10**6, np.zeros(d), np.eye(d))

    def draw() -> tuple[np.ndarray, np.ndarray | Statistics]:
        return rng.normal(size=(n, d)) @ mix + 0.3, real if reference_is_fixed else rng.normal(size=(n, d))

    def plug_in(x: np.ndarray, y: np.ndarray | Statistics) -> float:
        if isinstance(y, Statistics):
            own = statistics(x)
            return frechet_distance(own.mean, own.cov, y.mean, y.cov)
        return frechet_distance_from_features(x, y)

    expected = float(np.mean([plug_in(*draw()) for _ in range(1500)]))
    intervals = [frechet_interval(*draw()) for _ in range(runs)]
    covered = np.mean([i.low <= expected <= i.high for i in intervals])  # type: ignore[operator]
    assert 0.90 <= covered <= 0.99
