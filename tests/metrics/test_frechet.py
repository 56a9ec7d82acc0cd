from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from vgaudit.metrics import frechet
from vgaudit.metrics.frechet import (
    Statistics,
    frechet_distance,
    frechet_distance_from_features,
    frechet_interval,
    kernel_distance,
    statistics,
)
from vgaudit.metrics.leave_out import dealt, jackknife_groups, joint_groups


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
    assert sorted(list(g) for g in groups) == [[2 * i, 2 * i + 1] for i in range(16)]
    assert jackknife_groups(["a", "b"] * 40, 16) == []


def test_prompts_are_dealt_by_a_digest_of_their_names_on_every_machine() -> None:
    assert dealt(["c", "a", "b", "a"]) == ["c", "b", "a"]  # 2e7d..., 3e23..., ca97... of SHA-256
    names = [f"p{i:03}" for i in range(64)]
    assert [len(set(np.diff(g))) for g in jackknife_groups(names, 16)].count(1) < 4  # runs of four names
    turned = [names[i] for i in np.random.default_rng(0).permutation(64)]
    groups = [{given[i] for i in rows} for given in (names, turned) for rows in jackknife_groups(given, 16)]
    assert groups[:16] == groups[16:]


def test_groups_of_both_sides_have_as_many_prompts_of_each_or_one_more() -> None:
    ours = [f"p{i:02}" for i in range(60)]
    theirs = [*ours[::3], *ours[1::6], *(f"q{i}" for i in range(25))]  # those on both lie between the others
    groups = joint_groups(ours, theirs, 16)
    for side, names in enumerate((ours, theirs)):
        sizes = [len(pair[side]) for pair in groups]
        assert max(sizes) - min(sizes) <= 1
        assert sorted(np.concatenate([pair[side] for pair in groups])) == list(range(len(names)))
    for rows_a, rows_b in groups:  # a prompt of both is left out of both at once
        left = {ours[i] for i in rows_a}, {theirs[i] for i in rows_b}
        assert left[0] & set(theirs) == left[1] & set(ours)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", ["{topic:02}-{i:03}", "{i:03}-{topic:02}"])  # by topic; topics in turn
def test_how_prompts_are_called_moves_neither_bias_nor_interval(form: str, shared: bool) -> None:
    """Sixteen topics far apart, eight prompts each, as many as groups: rows come in the order of their names."""
    topics = np.repeat(np.arange(16), 8)
    counts = np.tile(np.arange(8), 16)
    for seed in range(4):
        rng = np.random.default_rng([seed, shared])
        centres = 2 * rng.normal(size=(16, 4))
        x = centres[topics] + rng.normal(size=(128, 4))
        y = (x if shared else centres[topics] + rng.normal(size=(128, 4))) + 0.6 * rng.normal(size=(128, 4))

        def made(names: list[str], x: np.ndarray = x, y: np.ndarray = y) -> frechet.FrechetInterval:
            order = np.argsort(names)
            ours = [names[i] for i in order]
            theirs = ours if shared else [f"other {n}" for n in ours]
            return frechet_interval(x[order], y[order], clusters=ours, reference_clusters=theirs)

        told = made([form.format(topic=t, i=i) for t, i in zip(topics, counts, strict=True)])
        drawn = [made([rng.bytes(8).hex() for _ in topics]) for _ in range(8)]
        errors = [(d.high - d.value) / 2.131 for d in drawn]  # type: ignore[operator]
        error = float(np.mean(errors))
        bias = float(np.mean([d.bias for d in drawn]))  # type: ignore[arg-type]
        assert told.value == pytest.approx(drawn[0].value, rel=1e-9)
        assert abs(told.bias - bias) < error  # type: ignore[operator]
        assert 0.6 < (told.high - told.value) / 2.131 / error < 1.6  # type: ignore[operator]


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
    d, n, runs = 6, 48, 600
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


def random_covariances(kind: str, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    def spectrum(least: float) -> np.ndarray:
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
        cov = turn @ np.diag(np.logspace(2, least, d)) @ turn.T
        return (cov + cov.T) / 2

    if kind == "well conditioned":
        return np.cov(rng.normal(size=(5 * d, d)).T), np.cov(2 * rng.normal(size=(5 * d, d)).T)
    if kind == "fewer rows than dimensions":
        return np.cov(rng.normal(size=(d // 2, d)).T), np.cov(2 * rng.normal(size=(d // 2, d)).T)
    least = -5 if kind == "badly conditioned" else -10
    return spectrum(least), spectrum(least)


@pytest.mark.parametrize(
    "kind", ["well conditioned", "badly conditioned", "worse conditioned", "fewer rows than dimensions"]
)
def test_agrees_with_the_matrix_square_root_where_that_is_right(kind: str) -> None:
    rng = np.random.default_rng(11)
    compared = 0
    for _ in range(50):
        d = int(rng.integers(4, 40))
        a, b = random_covariances(kind, d, rng)
        shift = rng.normal(size=d)
        root = sqrtm(a @ b)
        # By its own residual: a root s is off by residual / s, and by its square root at most.
        residual = float(np.linalg.norm(root @ root - a @ b, 2))
        roots = np.abs(np.linalg.eigvals(root))
        doubt = 2 * float(np.minimum(residual / np.maximum(roots, 1e-300), np.sqrt(residual)).sum())
        textbook = float((shift**2).sum() + np.trace(a + b) - 2 * np.real(np.trace(root)))
        if doubt <= 1e-6 * textbook:
            compared += 1
            assert frechet_distance(shift, a, np.zeros(d), b) == pytest.approx(textbook, rel=1e-6)
    assert compared >= 40


@pytest.mark.parametrize("least", [0, -3, -6, -9])
@pytest.mark.parametrize("ratio", [4.0, 1.2, 1.0001])
def test_covariances_that_share_their_axes_have_a_closed_form(least: int, ratio: float) -> None:
    # sum (sqrt a - sqrt b)^2. Eigenvalues of the product alone would show their rounding at the far corners.
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))[0]
    values = np.logspace(2, least, 12)
    a = turn @ np.diag(values) @ turn.T
    b = turn @ np.diag(ratio * values[::-1]) @ turn.T
    expected = ((np.sqrt(values) - np.sqrt(ratio * values[::-1])) ** 2).sum()
    assert frechet_distance(np.zeros(12), (a + a.T) / 2, np.zeros(12), (b + b.T) / 2) == pytest.approx(
        expected, rel=1e-8
    )
    same = ratio * (a + a.T) / 2
    near = (np.sqrt(ratio) - 1) ** 2 * values.sum()
    found = frechet_distance(np.zeros(12), (a + a.T) / 2, np.zeros(12), same)
    assert found == pytest.approx(near, rel=1e-6, abs=1e-12)


def test_both_ways_from_statistics_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = (np.cov(rng.normal(size=(200, 30)).T) for _ in range(2))
    mean = np.full(30, 0.1)
    way = frechet._distance_if_sure
    taken: list[float | None] = []

    def watched(*parts: np.ndarray) -> float | None:
        taken.append(way(*parts))
        return taken[-1]

    monkeypatch.setattr(frechet, "_distance_if_sure", watched)
    by_eigenvalues = frechet_distance(mean, a, 0 * mean, b)
    assert taken == [by_eigenvalues]
    monkeypatch.setattr(frechet, "_distance_if_sure", lambda *parts: None)
    assert frechet_distance(mean, a, 0 * mean, b) == pytest.approx(by_eigenvalues, rel=1e-12)
    assert way(0 * mean, b, mean, a) == by_eigenvalues
    # Equal covariances: the traces cancel, and eigenvalues would leave their rounding.
    assert way(mean, a, mean, a) is None


@pytest.mark.parametrize("distance", [frechet_distance_from_features, kernel_distance])
def test_distances_grow_with_shift_and_scale_and_do_not_see_a_rotation(
    distance: Callable[[np.ndarray, np.ndarray], float],
) -> None:
    x, y = gaussian(300, 5, 0), gaussian(300, 5, 0)[::-1]
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    shifted = [distance(x, y + s) for s in (0.0, 0.1, 0.5, 1.0, 3.0)]
    scaled = [distance(x, y * s) for s in (1.0, 1.2, 2.0, 5.0)]
    assert shifted == sorted(shifted)
    assert scaled == sorted(scaled)
    assert distance(x @ turn, (y + 0.5) @ turn) == pytest.approx(shifted[2], rel=1e-9)
    assert distance(y + 0.5, x) == pytest.approx(shifted[2], rel=1e-9)


def test_many_draws_come_near_the_closed_form() -> None:
    # N(0, I) and N(0.5, 4 I) in 3 dimensions: 3 * 0.25 + 3 * (2 - 1)^2. Degree 1: |m_a - m_b|^2 / d.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40_000, 3)), 2 * rng.normal(size=(40_000, 3)) + 0.5
    assert frechet_distance_from_features(x, y) == pytest.approx(3.75, rel=0.02)
    assert kernel_distance(x[:4000], y[:4000], degree=1) == pytest.approx(0.25, rel=0.1)
