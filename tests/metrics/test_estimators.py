"""Kernel interval, extrapolated distance, permutation test, effective rank: by hand, by loops, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from vgaudit.metrics.deals import evened
from vgaudit.metrics.estimators import (
    KernelInterval,
    effective_rank,
    extrapolated_distance,
    kernel_interval,
    permutation_test,
    sample_warning,
)
from vgaudit.metrics.frechet import (
    Statistics,
    frechet_distance,
    frechet_distance_from_features,
    frechet_interval,
    kernel_distance,
    statistics,
)
from vgaudit.metrics.kernel_sums import KernelSums
from vgaudit.metrics.leave_out import dealt, jackknife_groups


def draws(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(n, d)) + shift


def cube(a: np.ndarray, b: np.ndarray) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def by_loops(
    x: np.ndarray,
    y: np.ndarray,
    cx: list[str],
    cy: list[str],
    k: Callable[[np.ndarray, np.ndarray], float] = cube,
) -> float:
    """The kernel distance by its definition, pairs of one cluster left out."""

    def within(rows: np.ndarray, names: list[str]) -> float:
        return float(
            np.mean(
                [
                    k(a, b)
                    for a, p in zip(rows, names, strict=True)
                    for b, q in zip(rows, names, strict=True)
                    if p != q
                ]
            )
        )

    across = [k(a, b) for a, p in zip(x, cx, strict=True) for b, q in zip(y, cy, strict=True) if p != q]
    return within(x, cx) + within(y, cy) - 2 * float(np.mean(across))


def test_without_clusters_it_is_the_unbiased_kernel_distance() -> None:
    x, y = draws(40, 5, 0), draws(33, 5, 1, 0.3)
    for degree, coef0 in ((3, 1.0), (2, 0.0), (1, 0.5)):
        found = kernel_interval(x, y, degree=degree, coef0=coef0)
        assert found.value == pytest.approx(kernel_distance(x, y, degree, coef0), rel=1e-10)
    assert found.clusters == 33
    assert not found.reason


@pytest.mark.parametrize(
    "cy", ["qrstuvwxyq", "arscuvigyq", "iihgfedcba"]
)  # of other prompts, some, all the same
def test_pairs_of_a_prompt_are_left_out(cy: Any) -> None:
    x, y = draws(12, 3, 0), draws(10, 3, 1, 0.5)
    cx = list("aabcaddefghi")  # uneven, and not in a row
    cy = list(cy)
    found = kernel_interval(x, y, clusters=cx, other_clusters=cy)
    assert found.value == pytest.approx(by_loops(x, y, cx, cy), rel=1e-12)
    assert found.clusters == 9


def interval_by_loops(
    x: np.ndarray, y: np.ndarray, cx: list[str], cy: list[str], t: float
) -> tuple[float, float]:
    """Ends from their formulas: every cluster left out by computing anew, q by inclusion and exclusion over pairs."""

    def without(rows: np.ndarray, names: list[str], name: str) -> tuple[np.ndarray, list[str]]:
        kept = [i for i, own in enumerate(names) if own != name]
        return rows[kept], [names[i] for i in kept]

    value = by_loops(x, y, cx, cy)
    names = list(dict.fromkeys([*cx, *cy]))
    left = {}
    for name in names:
        (rows, p), (columns, q) = without(x, cx, name), without(y, cy, name)
        left[name] = by_loops(rows, columns, p, q)
    own = {}
    for part in [names] if set(cx) & set(cy) else [set(cx), set(cy)]:
        values = np.array([left[name] for name in part])
        own |= {name: np.sqrt(1 - 1 / len(values)) * (values.mean() - left[name]) for name in part}
    error = np.sqrt(sum(v**2 for v in own.values()))
    third = sum(v**3 for v in own.values())
    pairs = 0.0
    sets = ((x, cx), (y, cy))
    sides = [(s, name) for s in (0, 1) for name in dict.fromkeys(sets[s][1])]
    for (s, a), (r, b) in product(sides, sides):
        if a == b:
            continue
        (rows, p), (columns, q) = sets[s], sets[r]
        allowed = [(i, j) for i in range(len(rows)) for j in range(len(columns)) if p[i] != q[j]]
        k = {(i, j): cube(rows[i], columns[j]) for i, j in allowed}
        whole = np.mean(list(k.values()))
        mean_a = np.mean([v for (i, _), v in k.items() if p[i] == a])
        mean_b = np.mean([v for (_, j), v in k.items() if q[j] == b])
        part = sum(v - mean_a - mean_b + whole for (i, j), v in k.items() if p[i] == a and q[j] == b)
        pairs += (1 if s == r else -1) * own[a] * own[b] * part / len(allowed)
    skew = ((2 * t**2 + 1) * third + 6 * (t**2 + 1) * pairs) / (6 * error**3)
    return value - t * error, value + (t + max(0.0, skew)) * error


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cy", ["qrstuvwxyq", "arscuvigyq", "iihgfedcba"])
def test_ends_are_those_of_leaving_each_prompt_out_anew(seed: int, cy: Any) -> None:
    from scipy.special import stdtrit

    x, y = draws(12, 3, seed), draws(10, 3, 100 + seed, 0.6)
    cx, cy = list("aabcaddefghi"), list(cy)
    low, high = interval_by_loops(x, y, cx, cy, float(stdtrit(8, 0.95)))
    found = kernel_interval(x, y, confidence=0.9, clusters=cx, other_clusters=cy)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_skew_never_draws_the_upper_end_in() -> None:
    rng = np.random.default_rng(144)
    x, y = rng.normal(size=(12, 3)), -(rng.exponential(size=(10, 3)) ** 2) - 0.5
    found = kernel_interval(x, y, clusters=list("aabcaddefghi"), other_clusters=list("qrstuvwxyq"))
    assert found.high - found.value == pytest.approx(found.value - found.low)  # type: ignore[operator]


def test_the_upper_end_is_moved_out_for_skew_and_the_lower_is_not() -> None:
    found = kernel_interval(draws(64, 4, 0), draws(64, 4, 1, 0.5))
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.value > 1.1 * (found.value - found.low)


def test_kernel_interval_covers_the_populations_value() -> None:
    # A kernel of degree 1 on N(m, S): |m_a - m_b|^2 / d. Of degree 2 in one dimension, with coef0 1:
    # E(xy + 1)^2 = E x^2 E y^2 + 2 E x E y + 1, so the distance is (E x^2 - E y^2)^2 + 2 (E x - E y)^2.
    truth = (1.0 - (0.25 + 0.49)) ** 2 + 2 * 0.5**2
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        found = kernel_interval(rng.normal(size=(40, 1)), 0.7 * rng.normal(size=(40, 1)) + 0.5, degree=2)
        held.append(found.low <= truth <= found.high)  # type: ignore[operator]
    assert 0.92 <= np.mean(held) <= 0.985


def two_sides(rng: np.random.Generator, n: int, seeds: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """``n`` prompts on both sides, 0.8 of the variance theirs: N(0, 1) and N(0.5, 0.7^2), ``seeds`` clips each."""
    prompt = np.repeat(rng.normal(size=(n, 1)), seeds, axis=0)
    x, y = (np.sqrt(0.8) * prompt + np.sqrt(0.2) * rng.normal(size=prompt.shape) for _ in range(2))
    return x, 0.7 * y + 0.5


@pytest.mark.parametrize(
    ("n", "seeds", "others"),
    [(16, 1, 0), (16, 2, 0), pytest.param(40, 1, 0, marks=pytest.mark.slow), (24, 1, 8)],
)
def test_it_covers_and_is_unbiased_where_prompts_are_on_both_sides(n: int, seeds: int, others: int) -> None:
    """``others`` prompts are on one side only. The populations' value is that of the test above."""
    truth = (1.0 - (0.25 + 0.49)) ** 2 + 2 * 0.5**2
    values, held, blind = [], [], []
    names = [f"p{i // seeds}" for i in range(n * seeds)]
    for seed in range(600):
        rng = np.random.default_rng([seed, n, seeds, 7])
        x, y = two_sides(rng, n, seeds)
        x = np.vstack([x, rng.normal(size=(others, 1))])
        own = [*names, *(f"x{i}" for i in range(others))]
        found = kernel_interval(x, y, degree=2, clusters=own, other_clusters=names)
        values.append(found.value)
        held.append(found.low <= truth <= found.high)  # type: ignore[operator]
        theirs = [f"other {name}" for name in names]
        blind.append(kernel_interval(x, y, degree=2, clusters=own, other_clusters=theirs).value)
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - truth) < 3.5 * error
    assert np.mean(blind) < truth - 5 * error  # what it comes to if their pairs count
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("both", "first", "second", "seeds"),
    [
        pytest.param(64, 0, 0, (1, 1), marks=pytest.mark.slow),
        pytest.param(67, 0, 0, (1, 1), marks=pytest.mark.slow),
        (24, 0, 0, (2, 3)),
        (40, 24, 30, (1, 1)),
        pytest.param(30, 0, 60, (1, 1), marks=pytest.mark.slow),
    ],
)
def test_the_extrapolated_distance_is_unbiased_where_prompts_are_on_both_sides(
    both: int, first: int, second: int, seeds: tuple[int, int]
) -> None:
    """N(0, I) and N((1, 0, 0), I), 0.9 of the variance the prompts': true distance 1. Some are on one side only."""
    d, share, sets = 3, 0.9, 300
    at = [np.arange(both + first), np.r_[np.arange(both), np.arange(both + first, both + first + second)]]
    of = [np.repeat(prompts, k) for prompts, k in zip(at, seeds, strict=True)]
    names = [[f"p{i}" for i in side] for side in of]
    plain, values, blind, halves = [], [], [], []
    for seed in range(sets):
        rng = np.random.default_rng([seed, both, first, second, *seeds])
        prompt = rng.normal(size=(both + first + second, d))
        x, y = (np.sqrt(share) * prompt[i] + np.sqrt(1 - share) * rng.normal(size=(len(i), d)) for i in of)
        y[:, 0] += 1
        found = frechet_interval(x, y, clusters=names[0], reference_clusters=names[1])
        assert found.bias is not None
        assert found.high is not None
        plain.append(found.value)
        values.append(found.value - found.bias)
        halves.append(found.high - found.value)
        apart = frechet_interval(x, y, clusters=names[0], reference_clusters=[f"other {n}" for n in names[1]])
        blind.append(apart.value - apart.bias)  # type: ignore[operator]
    error = np.std(values) / np.sqrt(sets)
    assert abs(np.mean(values) - 1) < 3.5 * error + 0.01
    lower = np.array(values) - blind  # than if the sides were two samples
    assert lower.mean() > 5 * lower.std() / np.sqrt(sets)
    assert first or second or np.mean(blind) < 1 - 10 * error
    for centre, truth in ((values, 1.0), (plain, float(np.mean(plain)))):
        assert 0.91 <= np.mean(np.abs(np.array(centre) - truth) <= halves) <= 0.985


def test_a_group_of_prompts_on_both_sides_is_left_out_of_both_anew() -> None:
    """16 prompts, two groups larger by one than the others would be: every distance without a group by itself."""
    x, y = draws(20, 3, 0), draws(27, 3, 1, 0.4)
    cx = [f"p{i % 10}" for i in range(20)]
    cy = [f"p{i}" for i in range(4, 13)] * 3  # p4 to p9 on both sides
    runs = (range(4), range(4, 10), range(10, 13))  # of the first only, of both, of the second only
    order = [name for run in runs for name in dealt(f"p{i}" for i in run)]
    slot = {name: i % 9 for i, name in enumerate(order)}  # 10 % 9 + 9 % 9 is the least remainder
    plain, parts, shares = frechet_distance_from_features(x, y), [], []
    for group in range(9):
        a, b = ([slot[name] != group for name in names] for names in (cx, cy))
        parts.append(frechet_distance_from_features(x[a], y[b]))
        shares.append(((20 - sum(a)) / 20 + (27 - sum(b)) / 27) / 2)
    left, share = np.array(parts), np.array(shares)
    bias = float(((1 - share) * (left - plain)).sum())
    pseudo = plain / share - (1 / share - 1) * left
    error = np.sqrt(np.mean((pseudo - (plain - bias)) ** 2 / (1 / share - 1)))
    from scipy.special import stdtrit

    found = frechet_interval(x, y, clusters=cx, reference_clusters=cy)
    assert (found.value, found.bias, found.groups) == pytest.approx((plain, bias, 9), rel=1e-9)
    assert found.high == pytest.approx(plain + float(stdtrit(8, 0.975)) * error, rel=1e-9)
    for width in (8, 40):  # fewer rows than dimensions on one side, then on both
        x, y = draws(9, width, 0), draws(27, width, 1, 0.4)
        own = [f"p{i}" for i in range(9)]
        made = frechet_interval(x, y, clusters=own, reference_clusters=[f"p{i % 9}" for i in range(27)])
        left = np.array(
            [
                frechet_distance_from_features(
                    np.delete(x, g, axis=0), np.delete(y, [g, g + 9, g + 18], axis=0)
                )
                for g in range(9)
            ]
        )
        assert made.bias == pytest.approx(8 * (left.mean() - made.value), rel=1e-6)


def test_leaving_out_a_shared_prompt_takes_it_from_both_sides_at_once() -> None:
    # The same clips on both sides: whatever is left out, the distance is 0, which tells no error.
    x = draws(12, 3, 0)
    names = [str(i) for i in range(12)]
    found = kernel_interval(x, x, clusters=names, other_clusters=names)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert (found.low, found.high) == (None, None)
    made = frechet_interval(x, x, clusters=names, reference_clusters=names)
    assert (made.value, made.high, made.bias) == pytest.approx((0, 0, 0), abs=1e-6)


def test_prompts_make_the_interval_wider_not_the_rows() -> None:
    # Four copies of a clip are one clip: the same interval, up to what the other set adds.
    x, y = draws(24, 3, 0), draws(24, 3, 1, 0.4)
    names = [str(i) for i in range(24)]
    once = kernel_interval(x, y, clusters=names)
    four = kernel_interval(np.repeat(x, 4, axis=0), y, clusters=[n for n in names for _ in range(4)])
    assert (four.value, four.low, four.high) == pytest.approx((once.value, once.low, once.high), rel=1e-9)
    blind = kernel_interval(np.repeat(x, 4, axis=0), y)
    assert blind.high - blind.low < once.high - once.low  # type: ignore[operator]


def test_sets_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draws(40, 3, 0), draws(31, 3, 1, 0.2)
    names = [str(i % 11) for i in range(40)]
    whole = kernel_interval(x, y, clusters=names)
    test = permutation_test(x, y, clusters=names, permutations=50)
    monkeypatch.setattr("vgaudit.metrics.kernel_sums._BLOCK", 7)
    monkeypatch.setattr("vgaudit.metrics.deals._BLOCK", 7)
    parts = kernel_interval(x, y, clusters=names)
    assert (parts.value, parts.low, parts.high) == pytest.approx(
        (whole.value, whole.low, whole.high), rel=1e-10
    )
    assert permutation_test(x, y, clusters=names, permutations=50).p == test.p


def test_too_few_prompts_have_a_kernel_distance_but_no_interval() -> None:
    found = kernel_interval(draws(20, 3, 0), draws(20, 3, 1), clusters=list("abcdefg") * 2 + ["a"] * 6)
    assert (found.low, found.high, found.clusters) == (None, None, 7)
    assert "7 independent prompts" in found.reason
    two = kernel_interval(draws(4, 3, 0), draws(4, 3, 1), clusters=list("aabb"), other_clusters=list("cdcd"))
    assert np.isfinite(two.value)


def test_points_without_spread() -> None:
    for level in (1.0, 0.3):
        made = kernel_interval(np.full((9, 2), level), np.full((9, 2), level))
        reason = "no interval: the distance is the same without any prompt, so nothing tells its error"
        assert made == KernelInterval(pytest.approx(0.0, abs=1e-12), None, None, 9, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("of", ["kernel", "extrapolated", "frechet"])
def test_rotation_order_and_sides_do_not_matter(of: str) -> None:
    x, y = draws(64, 6, 0), draws(64, 6, 1, 0.3, 1.4)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]

    def value(a: np.ndarray, b: np.ndarray) -> float | None:
        if of == "kernel":
            return kernel_interval(a, b).value
        return (
            extrapolated_distance(a, b).value
            if of == "extrapolated"
            else frechet_distance_from_features(a, b)
        )

    once = value(x, y)
    assert value(x @ turn, y @ turn) == pytest.approx(once, rel=1e-9)
    assert value(y, x) == pytest.approx(once, rel=1e-9)
    if of != "extrapolated":  # its groups are of rows by their numbers where they have no names
        assert value(x[::-1], y) == pytest.approx(once, rel=1e-9)
        return
    names = [f"p{i}" for i in range(64)]
    turned = extrapolated_distance(x[::-1], y, clusters=names[::-1]).value
    assert extrapolated_distance(x, y, clusters=names).value == pytest.approx(turned, rel=1e-9)


@pytest.mark.parametrize("of", ["kernel", "extrapolated"])
def test_farther_and_wider_is_more(of: str) -> None:
    x, y = draws(200, 4, 0), draws(200, 4, 1)

    def value(b: np.ndarray) -> float:
        found = kernel_interval(x, b).value if of == "kernel" else extrapolated_distance(x, b).value
        assert found is not None
        return found

    shifted = [value(y + s) for s in (0.0, 0.3, 0.6, 1.2, 2.4)]
    scaled = [value(y * s) for s in (1.0, 1.5, 2.0, 4.0)]
    assert shifted == sorted(shifted)
    assert scaled == sorted(scaled)
    assert abs(shifted[0]) < 0.1


@pytest.mark.parametrize("fixed", [True, False])
def test_the_extrapolated_distance_is_the_jackknifes(fixed: bool) -> None:
    x, y = draws(48, 20, 0), draws(64, 20, 1, 0.2, 1.5)
    reference = statistics(y) if fixed else y
    plain = frechet_distance_from_features(x, y)
    out = [jackknife_groups([str(i) for i in range(n)], 16) for n in (48, 64)]
    assert [{len(rows) for rows in side} for side in out] == [{3}, {4}]
    left = [frechet_distance_from_features(np.delete(x, rows, axis=0), y) for rows in out[0]]
    bias = 15 * (np.mean(left) - plain)
    if not fixed:
        left = [frechet_distance_from_features(x, np.delete(y, rows, axis=0)) for rows in out[1]]
        bias += 15 * (np.mean(left) - plain)
    found = extrapolated_distance(x, reference)
    assert found.plain == pytest.approx(plain, rel=1e-9)
    assert found.value == pytest.approx(plain - bias, rel=1e-8)
    assert (found.low, found.high) == (None, None)
    assert "48 independent prompts" in found.reason


@pytest.mark.parametrize(("n", "d"), [(64, 6), (24, 30)])
def test_it_is_nearer_to_the_populations_than_the_plain_distance(n: int, d: int) -> None:
    truth = d * (0.3**2 + 0.5**2)  # N(0, I) and N(0.3, 1.5^2 I)
    found = [extrapolated_distance(draws(n, d, s), draws(n, d, 999 + s, 0.3, 1.5)) for s in range(40)]
    plain = np.mean([f.plain for f in found]) - truth
    extrapolated = np.mean([f.value for f in found]) - truth  # type: ignore[misc]
    assert plain > 0
    assert abs(extrapolated) < 0.5 * plain


def test_groups_that_leave_prompts_over_extrapolate_too() -> None:
    # 67 prompts make 11 groups of 6 and one stays in, so a line in 1/n goes from 67 down to 61.
    x, reference = draws(67, 5, 0), Statistics(1000, np.zeros(5), np.eye(5))

    def to_reference(rows: np.ndarray) -> float:
        own = statistics(rows)
        return frechet_distance(own.mean, own.cov, reference.mean, reference.cov)

    plain = to_reference(x)
    out = jackknife_groups([str(i) for i in range(67)], 16)
    assert [len(rows) for rows in out] == [6] * 11
    left = np.mean([to_reference(np.delete(x, rows, axis=0)) for rows in out])
    slope = (left - plain) / (1 / 61 - 1 / 67)
    assert extrapolated_distance(x, reference).value == pytest.approx(plain - slope / 67, rel=1e-8)


def test_it_has_an_interval_from_enough_prompts() -> None:
    x, y = draws(1024, 5, 0), draws(1024, 5, 1, 0.3, 1.5)
    found, around_plain = extrapolated_distance(x, y), frechet_interval(x, y)
    assert found.value is not None
    assert found.value < found.plain
    assert found.low == pytest.approx(found.value - (around_plain.high - around_plain.value))  # type: ignore[operator]
    assert found.high == pytest.approx(found.value + (around_plain.high - around_plain.value))  # type: ignore[operator]
    assert found.low <= 5 * (0.3**2 + 0.5**2) <= found.high
    assert not found.reason
    prompts = [str(i // 2) for i in range(1024)]  # two clips a prompt: 512 draws
    assert "512 independent prompts" in extrapolated_distance(x, y, clusters=prompts).reason
    assert "512 independent prompts" in extrapolated_distance(x, y, reference_clusters=prompts).reason
    fixed = Statistics(100, np.zeros(5), np.eye(5))
    assert extrapolated_distance(x, fixed).low is not None
    assert extrapolated_distance(x[:1023], fixed).low is None


def test_too_few_prompts_are_not_extrapolated() -> None:
    found = extrapolated_distance(draws(40, 3, 0), draws(40, 3, 1), clusters=list("abcd") * 10)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.plain > 0
    assert found.reason.startswith("no estimate: fewer than 8")


def permuted_by_loops(
    x: np.ndarray, y: np.ndarray, cx: list[str], cy: list[str], k: Callable[[np.ndarray, np.ndarray], float]
) -> float:
    """Exact p: the distance anew for every way to deal the clusters."""
    rows = np.vstack([x, y])
    names = [f"x{c}" for c in cx] + [f"y{c}" for c in cy]
    all_names = list(dict.fromkeys(names))
    values = []
    for chosen in combinations(all_names, len(set(cx))):
        first = [i for i, c in enumerate(names) if c in chosen]
        other = [i for i, c in enumerate(names) if c not in chosen]
        values.append(
            by_loops(rows[first], rows[other], [names[i] for i in first], [names[i] for i in other], k)
        )
    return float(np.mean(np.array(values) >= values[0] - 1e-9))


@pytest.mark.parametrize("statistic", ["kernel", "energy"])
@pytest.mark.parametrize("seed", range(4))
def test_small_cases_are_exact(statistic: str, seed: int) -> None:
    k = cube if statistic == "kernel" else (lambda a, b: -float(np.linalg.norm(a - b)))
    x, y = draws(8, 2, seed), draws(10, 2, 50 + seed, 0.8)
    cx, cy = list("abacddbc"), list("qrstuutsrq")  # 4 and 5 clusters: 126 deals
    found = permutation_test(x, y, statistic, permutations=125, clusters=cx, other_clusters=cy)  # type: ignore[arg-type]
    assert (found.exact, found.permutations) == (True, 125)
    assert found.statistic == pytest.approx(by_loops(x, y, cx, cy, k))
    assert found.p == pytest.approx(permuted_by_loops(x, y, cx, cy, k))
    assert (found.least, found.clips_a_prompt, found.clips) == (1 / 126, 2, (8, 10))
    drawn = permutation_test(x, y, statistic, permutations=124, clusters=cx, other_clusters=cy)  # type: ignore[arg-type]
    assert (drawn.exact, drawn.permutations) == (False, 124)
    assert drawn.p == pytest.approx(found.p, abs=0.15)


def turned_by_loops(x: np.ndarray, y: np.ndarray, cx: list[str], cy: list[str]) -> float:
    """Exact p: the distance anew for every deal of prompts on one side, and for every way to turn the others."""
    rows = np.vstack([x, y])
    names, first = [*cx, *cy], np.arange(len(rows)) < len(cx)
    both = sorted(set(cx) & set(cy))
    single = [c for c in dict.fromkeys(names) if c not in both]
    values = []
    for turns in product([False, True], repeat=len(both)):
        for chosen in combinations(single, len(set(cx)) - len(both)):
            to = [first[i] != turns[both.index(c)] if c in both else c in chosen for i, c in enumerate(names)]
            a, b = np.flatnonzero(to), np.flatnonzero(~np.array(to))
            values.append(by_loops(rows[a], rows[b], [names[i] for i in a], [names[i] for i in b]))
    return float(np.mean(np.array(values) >= values[0] - 1e-9))


@pytest.mark.parametrize(("cx", "cy", "deals"), [("abcd", "dcba", 16), ("abbccaxxyy", "ccuuaabbvv", 48)])
@pytest.mark.parametrize("seed", range(4))
def test_prompts_on_both_sides_are_turned_round(cx: Any, cy: Any, deals: int, seed: int) -> None:
    cx, cy = list(cx), list(cy)
    x, y = draws(len(cx), 2, seed), draws(len(cy), 2, 50 + seed, 0.6)
    found = permutation_test(x, y, permutations=deals - 1, clusters=cx, other_clusters=cy)
    assert (found.exact, found.permutations) == (True, deals - 1)
    assert found.statistic == pytest.approx(by_loops(x, y, cx, cy))
    assert found.p == pytest.approx(turned_by_loops(x, y, cx, cy))
    drawn = permutation_test(x, y, permutations=deals - 2, clusters=cx, other_clusters=cy)
    assert not drawn.exact
    assert (found.least, drawn.least) == (2 / deals, 1 / (deals - 1))
    many = [
        permutation_test(x, y, permutations=deals - 2, clusters=cx, other_clusters=cy, seed=s).p
        for s in range(60)
    ]
    expected = (1 + (deals - 2) * found.p) / (deals - 1)  # the one seen, and draws from all
    assert np.mean(many) == pytest.approx(expected, abs=0.05)


def uneven(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Two sets of one population, with a little in common within a prompt, and clips of each as ``kind`` says."""
    if kind == "apart":  # 60 prompts of four clips against 20 of one
        counts = {f"x{i}": (4, 0) for i in range(60)} | {f"y{i}": (0, 1) for i in range(20)}
    else:
        counts = {f"s{i}": (1 + i % 4, 1 + i % 3) for i in range(12)}
        counts |= {f"x{i}": (4, 0) for i in range(20)} | {f"y{i}": (0, 1 + i % 2) for i in range(10)}
    rng = np.random.default_rng(seed)
    sides: list[list[np.ndarray]] = [[], []]
    names: list[list[str]] = [[], []]
    for prompt, both in counts.items():
        centre = 0.3 * rng.normal(size=8)
        for side, count in enumerate(both):
            sides[side] += [centre + rng.normal(size=8) for _ in range(count)]
            names[side] += [prompt] * count
    return np.array(sides[0]), np.array(sides[1]), names[0], names[1]


@pytest.mark.parametrize(("kind", "clips"), [("apart", (60, 20)), ("partly shared", (32, 22))])
def test_p_holds_its_level_where_prompts_have_unequal_numbers_of_clips(
    kind: str, clips: tuple[int, int]
) -> None:
    """Of 400, 20 should have p at 0.05 or below, 10 to 31 do in 99 of 100 draws; dealt as they are, 63 had it."""
    p = []
    for seed in range(400):
        x, y, cx, cy = uneven(seed, kind)
        found = permutation_test(x, y, permutations=99, seed=seed, clusters=cx, other_clusters=cy)
        assert (found.clips_a_prompt, found.clips) == (1, clips)
        p.append(found.p)
    assert 10 <= (np.array(p) <= 0.05).sum() <= 31
    assert kstest(np.array(p) - np.random.default_rng(0).uniform(0, 0.01, len(p)), "uniform").pvalue > 0.01


def test_which_clips_of_a_prompt_are_tested_is_the_seeds_choice() -> None:
    x, y, cx, cy = uneven(0, "partly shared")
    made = [evened(x, y, cx, cy, seed) for seed in (3, 3, 4)]
    assert (made[0].x == made[1].x).all()
    assert (made[0].x != made[2].x).any()
    for even in made:
        assert not even.whole
        assert (even.prompts, even.others) == (list(dict.fromkeys(cx)), list(dict.fromkeys(cy)))
        for rows, names, all_rows, all_names in ((even.x, even.prompts, x, cx), (even.y, even.others, y, cy)):
            for row, name in zip(rows, names or (), strict=True):
                assert any(
                    (row == other).all() for other, n in zip(all_rows, all_names, strict=True) if n == name
                )
    whole = evened(x, y, None, None, 0)
    assert whole.whole
    assert (whole.x == x).all()
    assert (whole.prompts, whole.all) == (None, (len(x), len(y)))
    taken = np.mean([evened(x, y, cx, cy, s).x[-1] == x[-1] for s in range(400)])
    assert taken == pytest.approx(1 / 4, abs=0.07)  # each of the four clips as often


@pytest.mark.parametrize("alike", [True, False])
def test_p_is_uniform_where_prompts_are_on_both_sides(alike: bool) -> None:
    """Also where the two clips of a prompt on one side are nearly the same, and unlike those on the other side."""
    p = []
    names = [f"p{i // 2}" for i in range(24)]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        prompt = np.repeat(rng.normal(size=(12, 2)), 2, axis=0)
        own = [np.repeat(rng.normal(size=(12, 2)), 2, axis=0) for _ in range(2)] if alike else [0.0, 0.0]
        x, y = (prompt + side + 0.3 * rng.normal(size=prompt.shape) for side in own)
        p.append(permutation_test(x, y, permutations=99, clusters=names, other_clusters=names).p)
    assert kstest(np.array(p) - np.random.default_rng(0).uniform(0, 0.01, len(p)), "uniform").pvalue > 0.01


def test_prompts_on_both_sides_give_the_test_more_power() -> None:
    found, apart = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        prompt = 2 * rng.normal(size=(20, 2))
        x, y = prompt + 0.3 * rng.normal(size=(20, 2)), prompt + 0.3 * rng.normal(size=(20, 2)) + 0.4
        names = [str(i) for i in range(20)]
        found.append(permutation_test(x, y, permutations=99, clusters=names, other_clusters=names).p <= 0.05)
        apart.append(permutation_test(x, y, permutations=99).p <= 0.05)
    assert np.mean(found) > 0.8
    assert np.mean(apart) < 0.2


def test_mirrored_deals_are_ties() -> None:
    # With as many on each side, every deal has a mirror of the same distance; so p is 2 of 20 at least.
    found = permutation_test([[0.0], [0.1], [0.2]], [[5.0], [5.1], [5.2]], permutations=1000)
    assert found.p == pytest.approx(2 / 20)
    assert found.least == 2 / 20
    for seed in range(40):  # of numbers that rounding tells apart
        apart = permutation_test(draws(3, 2, seed), draws(3, 2, 99 + seed, 5.0), permutations=1000)
        assert apart.p == pytest.approx(2 / 20)
    same = permutation_test(np.ones((5, 2)), np.ones((6, 2)), permutations=100)
    assert same.p == 1.0


@pytest.mark.parametrize("statistic", ["kernel", "energy"])
def test_p_is_uniform_under_the_null_whatever_the_clusters(statistic: str) -> None:
    p, blind = [], []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        sets = [
            np.repeat(rng.normal(size=(12, 2)), 3, axis=0) + 0.1 * rng.normal(size=(36, 2)) for _ in range(2)
        ]
        names, others = [f"x{i // 3}" for i in range(36)], [f"y{i // 3}" for i in range(36)]
        p.append(permutation_test(*sets, statistic, permutations=99, clusters=names, other_clusters=others).p)  # type: ignore[arg-type]
        blind.append(permutation_test(*sets, statistic, permutations=99).p)  # type: ignore[arg-type]
    assert kstest(np.array(p) - np.random.default_rng(0).uniform(0, 0.01, len(p)), "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert (
        np.mean(np.array(blind) <= 0.05) > 0.2
    )  # what it comes to where clips of a prompt count as independent


def test_power_grows_with_the_shift() -> None:
    def power(shift: float) -> float:
        found = [
            permutation_test(draws(20, 3, s), draws(25, 3, 500 + s, shift), permutations=99)
            for s in range(40)
        ]
        return float(np.mean([f.p <= 0.05 for f in found]))

    powers = [power(shift) for shift in (0.0, 0.4, 0.8, 1.6)]
    assert powers == sorted(powers)
    assert powers[0] <= 0.15
    assert powers[1] < powers[2]
    assert powers[-1] == 1.0


def test_the_seed_decides() -> None:
    x, y = draws(30, 3, 0), draws(30, 3, 1, 0.1)
    assert permutation_test(x, y, permutations=99) == permutation_test(x, y, permutations=99)
    assert len({permutation_test(x, y, permutations=99, seed=s).p for s in range(8)}) > 1


def test_effective_rank_by_hand() -> None:
    assert effective_rank(np.eye(7)) == pytest.approx(7)
    assert effective_rank(np.diag([5.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(np.zeros((3, 3))) == 0
    # Shares 1/2, 1/4, 1/4: entropy 1.5 ln 2.
    assert effective_rank(np.diag([2.0, 1.0, 1.0])) == pytest.approx(2**1.5)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert effective_rank(1e-9 * turn @ np.diag([2.0, 1.0, 1.0]) @ turn.T) == pytest.approx(2**1.5)


def test_what_is_said_of_small_samples() -> None:
    assert sample_warning(40, np.eye(10)) == ""
    assert sample_warning(39, np.eye(10)) == (
        "39 clips for an effective rank of 10: expected four times as many; the distance is mostly bias"
    )
    thin = np.diag([1.0] + [0.0] * 9)
    assert sample_warning(10, thin) == ""
    assert (
        sample_warning(9, thin)
        == "9 clips are fewer than the 10 feature dimensions: the covariance is singular"
    )
    assert sample_warning(5, np.eye(10)).count(";") == 2
    assert sample_warning(40, np.zeros((10, 10))) == (
        "the features of the 40 clips do not vary: a distance of them says nothing"
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: kernel_interval(x, x[:, :2]), "x has 3 features and y 2"),
        (lambda x: kernel_interval(x[0], x), r"x has shape \(3,\)"),
        (lambda x: kernel_interval(x, x * np.nan), "y holds values that are not finite"),
        (lambda x: kernel_interval(x, x, degree=0), "degree is 0"),
        (lambda x: kernel_interval(x, x, confidence=1.0), "confidence is 1.0"),
        (lambda x: kernel_interval(x, x, clusters=["a"]), "x has 12 rows but 1 cluster labels"),
        (lambda x: kernel_interval(x, x, other_clusters=["a"] * 12), r"y has 1 cluster\(s\)"),
        (lambda x: kernel_interval(x[:1], x), r"x has 1 cluster\(s\)"),
        (lambda x: permutation_test(x, x, "mean"), "statistic is 'mean'"),
        (lambda x: permutation_test(x, x, permutations=0), "permutations is 0"),
        (
            lambda x: KernelSums.of(x, x[:11], clusters=list("aabcdefghijk")).test(),
            "prompts have 1 to 2 clips, so they cannot change places",
        ),
        (effective_rank, r"shape \(12, 3\)"),
        (lambda x: effective_rank([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (lambda x: effective_rank(np.diag([1.0, -1.0])), "negative eigenvalue"),
        (lambda x: effective_rank([[np.inf]]), "not finite"),
        (lambda x: sample_warning(1, np.eye(2)), "n is 1"),
    ],
)
def test_bad_input_is_refused(call: Callable[[np.ndarray], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(draws(12, 3, 0))
