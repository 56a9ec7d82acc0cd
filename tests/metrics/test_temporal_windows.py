"""Windows of pairs: which there are, what their features say, and which of them are found."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.metrics.temporal_windows import (
    BESIDE,
    FILE,
    LARGEST_ECHO,
    LATER,
    LEAST_OUTSIDE,
    LOGARITHMS,
    LONGEST,
    LONGEST_SHARE,
    SHIFT,
    SHORTEST,
    STATISTICS,
    STEPS,
    WindowModel,
    _echoes,
    best_windows,
    medians_beside,
    models,
    out_of_reach,
    pair_statistics,
    parse_model,
    score_series,
    scores,
    shot_statistics,
    shots,
    window_features,
    windows,
)


def test_windows_leave_enough_to_compare_with() -> None:
    p, q = windows(20)
    assert p.min() == 1
    assert (q - p).min() == SHORTEST
    assert (q - p).max() == int(0.6 * 21)
    assert (p + 20 - q).min() >= 3
    assert q.max() == 20
    assert all(len(part) == 0 for n in range(SHORTEST + 1) for part in windows(n))
    p, q = windows(1000)
    assert (q - p).max() == LONGEST


def test_features_of_windows_are_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, len(STATISTICS)))
    p, q = np.array([1, 8, 20]), np.array([9, 20, 30])
    found = window_features(x, p, q, ("motion", "shift"), ("sharpness",), False)
    for i, (a, b) in enumerate(zip(p, q, strict=True)):
        before, after = x[max(0, a - 6) : a], x[b : b + 6]
        medians = [np.median(part, axis=0) if len(part) else np.zeros(x.shape[1]) for part in (before, after)]
        outside = (medians[0] * len(before) + medians[1] * len(after)) / (len(before) + len(after))
        level = x[a:b].mean(axis=0) - outside
        low = np.median(x[max(0, a - 4) : a], axis=0)
        high = np.median(x[b : b + 4], axis=0) if b < 30 else outside
        edge = np.minimum(x[a:b].mean(axis=0) - low, x[a:b].mean(axis=0) - high)
        at = [STATISTICS.index(name) for name in ("motion", "shift", "sharpness")]
        assert found[i] == pytest.approx([level[at[0]], level[at[1]], edge[at[2]]])


def test_no_window_crosses_a_cut_and_no_two_overlap() -> None:
    model = WindowModel(("motion",), (), False, np.zeros(1), np.ones(1))
    x = np.zeros((40, len(STATISTICS)))
    x[8:16, 0] = x[25:33, 0] = 4.0
    cut = np.zeros(40, bool)
    both = [(w.first, w.end) for w in best_windows(x, model, cut, 3.0)]
    assert sorted(both) == [(8, 16), (25, 33)]
    cut[12] = True
    assert [(w.first, w.end) for w in best_windows(x, model, cut, 3.0)] == [(25, 33)]
    series = score_series(x, model, np.zeros(40, bool))
    assert series[[10, 30]] == pytest.approx([4.0, 4.0])
    assert series.shape == (40,)


@pytest.mark.parametrize("n", range(41))
def test_windows_are_all_that_may_be(n: int) -> None:
    allowed = {
        (p, q)
        for p, q in itertools.product(range(n + 1), repeat=2)
        if p >= 1
        and SHORTEST <= q - p <= min(LONGEST, int(LONGEST_SHARE * (n + 1)))
        and n - (q - p) >= LEAST_OUTSIDE
    }
    found = list(zip(*(part.tolist() for part in windows(n)), strict=True))
    assert set(found) == allowed
    assert len(found) == len(allowed)


@pytest.mark.parametrize("count", [1, 4, 6])
@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_medians_beside_a_place(n: int, count: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, 2))
    before, after = medians_beside(x, count)
    assert before.shape == after.shape == (n + 1, 2)
    for i in range(n + 1):
        for found, part in ((before, x[max(0, i - count) : i]), (after, x[i : i + count])):
            assert found[i] == pytest.approx(np.median(part, axis=0) if len(part) else np.zeros(2))


# -- how sharply echoes begin and end --------------------------------------------------------------


def plain_steps(x: Any, p: int, q: int) -> list[float]:
    """The five features of one window, in words of :data:`STEPS`."""
    n = len(x)
    lead, before, after = (x[:, STATISTICS.index(f"echo_{name}")] for name in ("lead", "before", "after"))

    def mean(a: int, b: int) -> float:
        part = lead[max(a, 0) : min(b, n)]
        return float(part.mean()) if len(part) else 0.0

    begins, ends = mean(p, p + 2) - mean(p - 2, p), mean(q - 2, q) - mean(q, q + 2)
    left, right = min(p, 6), min(n - q, 6)
    far = [
        np.median(part, axis=0) if len(part) else np.zeros(x.shape[1])
        for part in (x[p - left : p], x[q : q + right])
    ]
    outside = (far[0] * left + far[1] * right) / (left + right)
    low = np.median(x[max(0, p - 4) : p], axis=0)
    high = np.median(x[q : q + 4], axis=0) if q < n else outside
    at = {name: STATISTICS.index(f"echo_{name}") for name in ("before", "after")}
    on, off = before[p] - low[at["before"]], after[q - 1] - high[at["after"]]
    return [
        min(begins, ends), max(begins, ends), min(on, off), max(on, off),
        high[at["before"]] - before[min(q, n - 1)],
    ]  # fmt: skip


@pytest.mark.parametrize(("p", "q"), [(1, 9), (2, 9), (5, 20), (12, 29), (12, 30), (1, 24)])
def test_steps_are_what_their_names_say(p: int, q: int) -> None:
    x = np.random.default_rng(p).normal(size=(30, len(STATISTICS)))
    found = window_features(x, np.array([p]), np.array([q]), (), (), True)[0]
    assert len(found) == len(STEPS)
    assert found == pytest.approx(plain_steps(x, p, q))


# -- statistics of pairs ---------------------------------------------------------------------------


def moments(left: Any, *others: Any) -> np.ndarray:
    rows = np.array([left, *others]).reshape(1 + len(others), -1)
    return (rows @ rows.T / rows.shape[1])[None]


def test_an_echo_is_a_coefficient_over_its_spread() -> None:
    rng = np.random.default_rng(0)
    ghost, other = rng.normal(0, 20, (2, 50_000))
    rest = rng.normal(0, 5, 50_000)
    found = _echoes(moments(0.3 * ghost + rest, ghost, other))[0]
    # coefficient 0.3, what is left 25, the pictures' moments 400: 0.3 / sqrt(25 / 400)
    assert found[0] == pytest.approx(0.3 / np.sqrt((25 + 0.3) / 401), rel=0.02)
    assert abs(found[1]) < 0.02
    swapped = _echoes(moments(0.3 * ghost + rest, other, ghost))[0]
    assert swapped[::-1] == pytest.approx(found)


def test_still_pictures_have_no_echo() -> None:
    assert _echoes(np.zeros((3, 4, 4))) == pytest.approx(np.zeros((3, 3)))
    assert _echoes(np.zeros((0, 4, 4))).shape == (0, 3)


def motion_arrays(pairs: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {name: rng.random(pairs) for name in LOGARITHMS}
    arrays["shift"] = rng.normal(size=(pairs, 2))
    for name, k in (("before", 3), ("after", 3), ("around", 5)):
        rows = rng.normal(0, 9, (pairs, k, 200))
        arrays[f"quality_{name}"] = rows @ rows.swapaxes(1, 2) / 200
    return arrays


def test_columns_of_pairs_are_logarithms_and_echoes() -> None:
    arrays = motion_arrays(12)
    pair = np.array([0, 2, 3, 5, 6, 7, 8, 9, 11])
    arrays["quality_around"][[2, 11]] = 0  # pairs 1 and 8 have no picture two before
    found = pair_statistics(arrays, pair)
    assert found.shape == (len(pair), len(STATISTICS))
    for i, (name, added) in enumerate(LOGARITHMS.items()):
        wanted = np.log(arrays[name][pair] + added)
        later = LATER.get(name, 0)
        wanted[:later] = np.nan
        assert found[:, i] == pytest.approx(wanted, nan_ok=True), name
    assert found[:, len(LOGARITHMS)] == pytest.approx(np.log(np.hypot(*arrays["shift"][pair].T) + SHIFT))
    both = _echoes(arrays["quality_around"][pair])
    wanted = {
        "echo_before": _echoes(arrays["quality_before"][pair])[:, 0],
        "echo_after": _echoes(arrays["quality_after"][pair])[:, 0],
        "echo_around": both[:, 0],
        "echo_lead": both[:, 0] - both[:, 1],
    }
    for name, values in wanted.items():
        if name in ("echo_around", "echo_lead"):
            values[[1, 8]] = np.nan
        limited = np.clip(values, -LARGEST_ECHO, LARGEST_ECHO)
        assert found[:, STATISTICS.index(name)] == pytest.approx(limited, nan_ok=True), name


def test_an_echo_counts_no_more_than_its_largest() -> None:
    arrays = motion_arrays(6)
    ghost = np.random.default_rng(1).normal(0, 30, 500)
    arrays["quality_before"][3] = moments(ghost, ghost, ghost[::-1])[0]
    found = pair_statistics(arrays, np.arange(6))[:, STATISTICS.index("echo_before")]
    assert found[3] == LARGEST_ECHO


def test_what_no_pair_has_is_nothing() -> None:
    arrays = motion_arrays(1)
    found = shot_statistics(pair_statistics(arrays, np.array([0])), 0, 1)[0]
    assert np.isfinite(found).all()
    assert all(found[STATISTICS.index(name.removeprefix("quality_"))] == 0 for name in LATER)


def test_what_looks_beyond_a_shot_is_the_median_of_the_shot() -> None:
    x = pair_statistics(motion_arrays(40), np.arange(40))
    found = shot_statistics(x, 10, 30)
    for i, name in enumerate(STATISTICS):
        before, after = BESIDE.get(name, (0, 0))
        wanted = x[10:30, i].copy()
        inner = wanted[before : 20 - after]
        wanted[:before] = wanted[20 - after :] = np.median(inner)
        assert found[:, i] == pytest.approx(wanted), name
    assert BESIDE["third_difference"] == (2, 0)
    assert BESIDE["echo_around"] == (1, 2)


def test_nothing_of_a_shot_depends_on_its_neighbours() -> None:
    """However other the pictures beyond a cut are: these statistics see them, up to two pairs into the shot."""
    arrays, other = motion_arrays(50), motion_arrays(50, seed=1)
    barred = np.zeros(50, bool)
    barred[[14, 35]] = True
    for name, array in arrays.items():
        before, after = BESIDE.get(name.removeprefix("quality_"), (0, 0))
        if name in ("quality_before", "quality_after", "quality_around"):
            before, after = BESIDE[f"echo_{name.removeprefix('quality_')}"]
        changed = np.ones(50, bool)
        changed[15 + before : 35 - after] = False
        array[changed] = 5 * other[name][changed]
    whole = pair_statistics(motion_arrays(50), np.arange(50))
    beside = pair_statistics(arrays, np.arange(50))
    for model in models().values():
        p, q, found = scores(whole, model, barred)
        again = scores(beside, model, barred)[2]
        inside = (p >= 15) & (q <= 35)
        assert inside.any()
        assert again[inside] == pytest.approx(found[inside], abs=1e-12)
        assert not np.isclose(again[~inside], found[~inside]).all()


def test_shots_too_short_are_out_of_reach() -> None:
    least = SHORTEST + LEAST_OUTSIDE
    assert len(windows(least)[0]) > 0
    assert len(windows(least - 1)[0]) == 0
    barred = np.zeros(2 * least, bool)
    assert out_of_reach(barred) == 0
    barred[least] = True  # two shots: one of ``least`` pairs, one of one pair less
    assert shots(barred) == [(0, least), (least + 1, 2 * least)]
    assert out_of_reach(barred) == least / (2 * least + 1)
    assert out_of_reach(barred[2:]) == 1
    assert out_of_reach(barred[:0]) == 0
    assert out_of_reach(np.ones(3, bool)) == 1  # four shots of a picture each
    long = np.zeros(40, bool)
    long[[20, 21, 22]] = True
    assert out_of_reach(long) == 2 / 41


# -- which windows are found -----------------------------------------------------------------------

LEVEL = WindowModel(("motion",), (), False, np.zeros(1), np.ones(1))


@given(st.integers(0, 2**32 - 1), st.integers(9, 40), st.floats(-1, 0.5))
def test_found_windows_are_apart_and_over_the_threshold(seed: int, n: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(STATISTICS)))
    barred = rng.random(n) < 0.03
    found = list(best_windows(x, LEVEL, barred, threshold))
    assert all(w.score > threshold for w in found)
    assert [w.score for w in found] == sorted((w.score for w in found), reverse=True)
    assert not any(barred[w.first - 1 : w.end].any() for w in found)  # nor does one begin its shot
    for a, b in itertools.combinations(sorted(found, key=lambda w: w.first), 2):
        assert a.end < b.first  # one pair lies between them at least
    # The best first, of equals the longest; with at least one pair between any two.
    chosen: list[tuple[int, int]] = []
    for score, length, p in sorted((-s, p - q, p) for p, q, s in zip(*scores(x, LEVEL, barred), strict=True)):
        first, end = int(p), int(p - length)
        if -score > threshold and all(end < a or b < first for a, b in chosen):
            chosen.append((first, end))
    assert [(w.first, w.end) for w in found] == chosen


def test_the_series_is_the_best_of_the_windows_a_pair_lies_in_the_middle_of() -> None:
    x = np.random.default_rng(0).normal(size=(25, len(STATISTICS)))
    barred = np.zeros(25, bool)
    barred[18] = True
    wanted = np.zeros(25)
    for p, q, s in zip(*scores(x, LEVEL, barred), strict=True):
        margin = (q - p) // 4
        for i in range(p + margin, q - margin):
            wanted[i] = max(wanted[i], s)
    assert wanted.max() > 0
    assert score_series(x, LEVEL, barred) == pytest.approx(wanted)


# -- coefficients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ghosting", "warping"])
@pytest.mark.parametrize(
    ("key", "change", "why"),
    [
        ("level", lambda v: ["speed", *v[1:]], "statistics among"),
        ("edge", lambda v: ["speed", *v[1:]], "statistics among"),
        ("mean", lambda v: v[1:], "finite means"),
        ("mean", lambda v: [], "finite means"),
        ("weight", lambda v: [*v, 0.0], "finite means"),
        ("weight", lambda v: [float("nan"), *v[1:]], "finite means"),
        ("mean", lambda v: [*v[:-1], float("inf")], "finite means"),
        ("steps", lambda v: [*STEPS[1:], STEPS[0]], "steps"),
        ("steps", lambda v: ["a step"], "steps"),
    ],
)
def test_coefficients_that_do_not_fit_are_refused(kind: str, key: str, change: Any, why: str) -> None:
    stored = json.loads(FILE.read_text("utf-8"))["models"][kind]
    parse_model(stored)
    with pytest.raises(ValueError, match=why):
        parse_model(stored | {key: change(stored[key])})


def test_the_stored_models_are_read() -> None:
    assert set(models()) == {"ghosting", "warping"}
    assert models()["ghosting"].steps
    assert not models()["warping"].steps
