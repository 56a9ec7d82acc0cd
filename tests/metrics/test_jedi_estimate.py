"""JEDi's sums against the kernel matrix, the jackknife against leaving out by hand, and both against simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vgaudit.metrics.estimators import PermutationTest, kernel_interval
from vgaudit.metrics.frechet import Statistics, kernel_distance
from vgaudit.metrics.jedi_estimate import SCALE, jedi_distance, jedi_floor, jedi_interval, jedi_kernel


def jedi_test(
    x: np.ndarray, y: np.ndarray, permutations: int = 999, clusters: list[str] | None = None,
    other_clusters: list[str] | None = None, seed: int = 0,
) -> PermutationTest:  # fmt: skip
    made = jedi_kernel(x, y, clusters, other_clusters).test(permutations, seed)
    return replace(made, statistic=SCALE * made.statistic)


def drawn(n: int, d: int = 7, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_small_numbers_by_hand() -> None:
    x, y = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[2.0, 0.0]])
    # (a.b / 2)^2: within x 1, 0, 0, 1; within y 4; across 1, 1.
    assert jedi_distance(x, y) == pytest.approx(100 * (2 / 4 + 4 - 2 * 1))


def test_the_published_sum_of_kernel_means() -> None:
    x, y = drawn(30, shift=1), drawn(20, seed=1)
    k = lambda a, b: float(np.mean((a @ b.T / 7) ** 2))  # noqa: E731
    assert jedi_distance(x, y) == pytest.approx(100 * (k(x, x) + k(y, y) - 2 * k(x, y)), rel=1e-12)
    assert jedi_distance(x, y) == pytest.approx(100 * kernel_distance(x, y, 2, 0.0, False), rel=1e-12)
    assert jedi_distance(x, x) == 0
    assert jedi_distance(x, -x) == 0  # the kernel is even: a limit of the measure, not of the sums


def test_moments_say_all_of_a_set() -> None:
    x, y = drawn(30, shift=1), drawn(50, seed=1)
    stored = Statistics(50, y.mean(axis=0), np.cov(y.T, ddof=0))
    assert jedi_interval(x, stored).value == pytest.approx(jedi_distance(x, y), rel=1e-12)
    assert jedi_interval(x, stored).high == pytest.approx(jedi_interval(x, y).high, rel=1e-9)


def test_interval_is_the_jackknife_done_by_hand() -> None:
    x, y = drawn(30, shift=0.5), drawn(40, seed=1)
    labels = [str(i // 3) if i < 15 else str(i) for i in range(30)]
    theirs = [str(i // 2) for i in range(40)]
    variance = 0.0
    value = jedi_distance(x, y)
    for turned, names in ((False, labels), (True, theirs)):
        side, fixed = (y, x) if turned else (x, y)
        each = list(dict.fromkeys(names))
        keep = [np.array([n != c for n in names]) for c in each]
        left = np.array([jedi_distance(side[k], fixed) for k in keep])
        share = np.array([len(side) / (~k).sum() for k in keep])
        pseudo = share * value - (share - 1) * left
        centre = len(each) * value - ((1 - 1 / share) * left).sum()
        variance += float(((pseudo - centre) ** 2 / (share - 1)).mean())
    found = jedi_interval(x, y, clusters=labels, reference_clusters=theirs)
    assert found.clusters == 20
    assert found.value == pytest.approx(value)
    assert found.high == pytest.approx(value + 2.093024 * variance**0.5, rel=1e-6)
    assert found.low == pytest.approx(max(0.0, value - 2.093024 * variance**0.5), rel=1e-6)


def test_interval_covers_the_expected_value_at_this_n() -> None:
    rates, centres = [], []
    for n, repeats, count, shift in ((20, 3, 60, 0.25), (40, 1, 40, 0.0), (60, 2, 100, 0.5)):
        found = []
        for seed in range(200):
            rng = np.random.default_rng([seed, n])
            scale, d = np.linspace(1.5, 0.3, 12), 12
            own = 0.7 * rng.normal(size=(n, 1, d)) + 0.7 * rng.normal(size=(n, repeats, d))
            x = (own.reshape(-1, d) * scale) + 0.5 + shift * np.sin(np.arange(d))
            y = rng.normal(size=(count, d)) * scale + 0.5
            labels = [str(i // repeats) for i in range(n * repeats)]
            found.append(
                jedi_interval(x, y, clusters=labels, reference_clusters=list(map(str, range(count))))
            )
        expected = float(np.mean([f.value for f in found]))
        rates.append(float(np.mean([f.low <= expected <= f.high for f in found])))  # type: ignore[operator]
        centres.append(expected)
    assert min(rates) > 0.9, rates
    assert np.mean(rates) < 0.999, rates


def test_clips_of_one_prompt_are_not_taken_for_independent() -> None:
    x, y = np.repeat(drawn(20, shift=0.5), 5, axis=0), drawn(60, seed=1)
    labels = [str(i // 5) for i in range(100)]
    alike, apart = jedi_interval(x, y, clusters=labels), jedi_interval(x, y)
    assert alike.value == apart.value
    assert alike.high - alike.value > 2 * (apart.high - apart.value)  # type: ignore[operator]
    once = jedi_interval(drawn(20, shift=0.5), y)
    assert alike.high == pytest.approx(once.high, rel=1e-9)


def test_too_few_prompts_have_no_interval() -> None:
    found = jedi_interval(drawn(20), drawn(20, seed=1), clusters=[str(i // 3) for i in range(20)])
    assert (found.low, found.high, found.clusters) == (None, None, 7)
    assert "7 independent prompts" in found.reason


def test_floor_is_of_disjoint_parts() -> None:
    real = drawn(200, shift=0.5)
    floor = jedi_floor(real, 40, 3)
    assert (floor.n, floor.n_rest, len(floor.values), floor.reason) == (40, 160, 20, "")
    fresh = [
        jedi_distance(drawn(40, shift=0.5, seed=s), drawn(160, shift=0.5, seed=s + 500)) for s in range(200)
    ]
    assert np.mean(floor.values) == pytest.approx(np.mean(fresh), rel=0.25)
    assert np.mean(jedi_floor(real, 90, 3).values) < np.mean(floor.values)
    assert jedi_floor(real, 40, 3) == floor
    assert "leave 80 against 120" in jedi_floor(real, 120, 3).reason


def test_floor_takes_no_prompt_to_both_sides() -> None:
    scenes = np.repeat(drawn(100, shift=0.5), 2, axis=0)
    labels = [str(i // 2) for i in range(200)]
    floor = jedi_floor(scenes, 40, 3, clusters=labels)
    assert (floor.n, floor.n_rest) == (40, 120)
    single = jedi_floor(drawn(100, shift=0.5), 40, 3)
    assert np.mean(floor.values) == pytest.approx(np.mean(single.values), rel=0.25)
    assert "of 100 prompts" in jedi_floor(scenes, 70, 3, clusters=labels).reason


def test_the_test_holds_its_level_and_finds_a_shift() -> None:
    level, power = [], []
    for seed in range(120):
        y = drawn(30, seed=2000 + seed)
        labels = [str(i // 2) for i in range(40)]
        same = np.repeat(drawn(20, seed=seed), 2, axis=0)
        level.append(jedi_test(same, np.repeat(y, 2, axis=0), permutations=99, clusters=labels,
                               other_clusters=[f"y{i // 2}" for i in range(60)]).p)  # fmt: skip
        power.append(jedi_test(drawn(30, seed=seed, shift=0.8), y, permutations=99).p)
    assert np.mean(np.array(level) <= 0.1) < 0.2
    assert 0.35 < np.mean(level) < 0.65
    assert np.mean(np.array(power) <= 0.05) > 0.9


def test_the_tests_statistic_is_the_unbiased_distance() -> None:
    x, y = drawn(27, shift=0.5), drawn(30, seed=1)
    labels, theirs = [str(i % 9) for i in range(27)], [f"y{i % 10}" for i in range(30)]
    found = jedi_test(x, y, permutations=19, clusters=labels, other_clusters=theirs)
    plain = kernel_interval(x, y, degree=2, coef0=0.0, clusters=labels, other_clusters=theirs)
    assert found.statistic == pytest.approx(100 * plain.value, rel=1e-10)
    assert found == jedi_test(x, y, permutations=19, clusters=labels, other_clusters=theirs)
    assert found.p >= 1 / 20


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: jedi_distance(drawn(5), drawn(5, d=3)), "7 and 3 dimensions"),
        (lambda: jedi_distance(np.full((3, 2), np.nan), drawn(5, d=2)), "not finite"),
        (lambda: jedi_distance(np.zeros((0, 2)), drawn(5, d=2)), "expected .n, d."),
        (lambda: jedi_interval(drawn(9), drawn(9), confidence=1.0), "confidence is 1"),
        (lambda: jedi_interval(drawn(9), drawn(9), clusters=["a"]), "9 rows but 1 cluster labels"),
        (lambda: jedi_floor(drawn(9), 0, 0), "n is 0"),
        (lambda: jedi_test(drawn(9), drawn(9), permutations=0), "permutations is 0"),
        (lambda: jedi_test(drawn(9), drawn(9), clusters=["a"] * 9), "1 cluster"),
        (lambda: jedi_test(drawn(9), drawn(9, d=3)), "7 features and y 3"),
        (lambda: jedi_test(drawn(8000, d=1), drawn(200, d=1)), "8200 prompts"),
    ],
)
def test_what_cannot_be_compared(call: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()  # type: ignore[operator]
