"""Faults that last for a while and change many statistics a little: ghosts of earlier pictures, and shapes that warp.

A window is a stretch of pairs of distinct pictures. Its features compare logarithms of the motion extractor's
statistics inside with those on either side; a linear discriminant (Fisher's) that faults planted in real clips taught
makes one number of them, in standard deviations of windows in which nothing is wrong. The coefficients lie beside
this file, with how they came about (``training/temporal_windows.py``); ``docs/metrics/temporal.md`` has the formulas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_suffix(".json")

LOGARITHMS: Mapping[str, float] = {
    "quality_motion": 1e-3,
    "quality_mismatch": 5e-4,
    "quality_deformation": 2e-3,
    "quality_acceleration": 5e-4,
    "quality_shake": 5e-4,
    "quality_wobble": 5e-4,
    "quality_flicker": 2e-3,
    "quality_sharpness": 0.5,
    "quality_second_difference": 0.05,
    "quality_third_difference": 0.05,
    "quality_difference": 0.5,
    "warp_error": 2e-3,
    "occluded_fraction": 5e-3,
}
"""Array of the motion extractor -> what is added before the logarithm, so that noise of still pictures is nothing."""
LATER: Mapping[str, int] = {
    "quality_acceleration": 1,
    "quality_shake": 1,
    "quality_wobble": 1,
    "quality_flicker": 1,
    "quality_second_difference": 1,
    "quality_third_difference": 2,
}
"""Array -> pairs of distinct pictures that have to come before it exists."""
BESIDE: Mapping[str, tuple[int, int]] = {
    "echo_before": (1, 0), "echo_after": (1, 1), "echo_around": (1, 2), "echo_lead": (1, 2),
    **{name.removeprefix("quality_"): (before, 0) for name, before in LATER.items()},
}  # fmt: skip
"""Column of :func:`pair_statistics` -> pairs before and after that its value looks at."""
ECHOES = ("echo_before", "echo_after", "echo_around", "echo_lead")
SHIFT = 2e-3
"""Short sides; added to the length of the median flow before the logarithm."""
STATISTICS = (*(name.removeprefix("quality_") for name in LOGARITHMS), "shift", *ECHOES)
"""Names of the columns of :func:`pair_statistics`."""

SHORTEST, LONGEST = 6, 64
"""Pairs of a window."""
LONGEST_SHARE = 0.6
"""What lasts longer than this share of the clip is what the clip is like."""
SIDE, EDGE = 6, 4
"""Pairs to either side that a window is held against, as a whole and at its edges."""
LEAST_OUTSIDE = 3
AT_ONCE = 20_000
"""Windows whose features are in memory at a time: a clip of minutes has half a million."""
LARGEST_ECHO = 1.5
FEWEST_PICTURES = SHORTEST + LEAST_OUTSIDE + 1
"""Distinct pictures below which there is no window."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowModel:
    """Which features make the score of a window, and how.

    Attributes:
        level: Statistics whose mean inside is compared with the sides.
        edge: Statistics of which the smaller of the two steps, at begin and end, counts as well.
        steps: Whether the onset and the end of echoes count (:func:`_steps`).
        mean: float64 ``(F,)``: of the features over windows in which nothing is wrong.
        weight: float64 ``(F,)``: the score's standard deviation over such windows is 1.
    """

    level: tuple[str, ...]
    edge: tuple[str, ...]
    steps: bool
    mean: Floats
    weight: Floats


@dataclass(frozen=True)
class Window:
    """Pairs ``first`` to ``end`` (exclusive), and what a model makes of them."""

    first: int
    end: int
    score: float


@cache
def models() -> Mapping[str, WindowModel]:
    """Kind of fault -> its model."""
    stored = json.loads(FILE.read_text("utf-8"))
    return {kind: parse_model(entry) for kind, entry in stored["models"].items()}


def parse_model(entry: Mapping[str, object]) -> WindowModel:
    """Read one of the ``models`` of ``temporal_windows.json``.

    Raises:
        ValueError: Features or numbers are not what this code can use.
    """
    level, edge = (tuple(str(n) for n in entry[key]) for key in ("level", "edge"))  # type: ignore[attr-defined]
    named = tuple(str(n) for n in entry["steps"])  # type: ignore[attr-defined]
    mean, weight = (np.array(entry[key], dtype=np.float64) for key in ("mean", "weight"))
    if named not in ((), STEPS):
        raise ValueError(f"expected as steps none or {', '.join(STEPS)}")
    count = len(level) + len(edge) + len(named)
    if not {*level, *edge} <= set(STATISTICS):
        raise ValueError(f"expected statistics among {', '.join(STATISTICS)}")
    if mean.shape != (count,) or weight.shape != (count,) or not np.isfinite([*mean, *weight]).all():
        raise ValueError(f"expected {count} finite means and weights")
    return WindowModel(level, edge, bool(named), mean, weight)


def pair_statistics(motion: Mapping[str, NDArray[np.generic]], pair: Ints) -> Floats:
    """float64 ``(N-1, S)``: the columns :data:`STATISTICS` of the pairs of distinct pictures; NaN where one has none.

    Args:
        motion: Arrays of the motion extractor.
        pair: int ``(N-1,)``: index among all pairs of each pair of distinct pictures.
    """
    columns = []
    for name, added in LOGARITHMS.items():
        columns.append(np.log(np.asarray(motion[name], dtype=np.float64)[pair] + added))
    columns.append(np.log(np.hypot(*np.asarray(motion["shift"], dtype=np.float64)[pair].T) + SHIFT))
    before, after, around = (
        np.asarray(motion[f"quality_{n}"], dtype=np.float64)[pair] for n in ("before", "after", "around")
    )
    both = _echoes(around)
    parts = (
        (_echoes(before)[:, 0], before[:, 1, 1] > 0),
        (_echoes(after)[:, 0], after[:, 1, 1] > 0),
        (both[:, 0], around[:, 1, 1] > 0),
        (both[:, 0] - both[:, 1], around[:, 1, 1] > 0),
    )
    columns += [np.where(there, np.clip(v, -LARGEST_ECHO, LARGEST_ECHO), np.nan) for v, there in parts]
    out = np.stack(columns, axis=1)
    for name, pairs in LATER.items():
        out[:pairs, STATISTICS.index(name.removeprefix("quality_"))] = np.nan
    return out


def shot_statistics(x: Floats, first: int, end: int) -> Floats:
    """Those of pairs ``first`` to ``end`` (exclusive) as if there were no others: what looks beyond them, or is not
    there, is the median of what is.

    Args:
        x: :func:`pair_statistics`.
        first: First pair of a shot.
        end: Pair after its last.
    """
    out = x[first:end].copy()
    for name, (before, after) in BESIDE.items():
        at = STATISTICS.index(name)
        out[:before, at] = out[max(len(out) - after, 0) :, at] = np.nan
    gone = np.isnan(out)
    for at in np.flatnonzero(gone.any(axis=0)).tolist():
        there = out[~gone[:, at], at]
        out[gone[:, at], at] = np.median(there) if len(there) else 0.0
    return out


def _echoes(moments: Floats) -> Floats:
    """``(n, k-1)``: how much of what motion leaves over each other picture explains, the others given.

    The coefficient of a least-squares fit over its spread with unit noise; 1 grey level squared is added to the
    pictures' moments and 0.3 to what is left, so that still pictures say nothing.
    """
    n, k = moments.shape[:2]
    if not n:
        return np.zeros((0, k - 1))
    inner = moments[:, 1:, 1:] + np.eye(k - 1)
    explains = moments[:, 1:, 0]
    inverse = np.linalg.inv(inner)
    found = np.einsum("nij,nj->ni", inverse, explains)
    left = np.maximum(moments[:, 0, 0] - (explains * found).sum(axis=1), 0) + 0.3
    out: Floats = found / np.sqrt(left[:, None] * np.einsum("nii->ni", inverse))
    return out


@lru_cache(maxsize=16)
def windows(n: int) -> tuple[Ints, Ints]:
    """First pair and pair after the last of each window of ``n`` pairs; none has the first pair or most of them."""
    first, end = [], []
    longest = min(LONGEST, int(LONGEST_SHARE * (n + 1)))
    for length in range(SHORTEST, longest + 1):
        begin = np.arange(1, n - length + 1)
        first.append(begin)
        end.append(begin + length)
    none = np.zeros(0, np.int64)
    p, q = np.concatenate([none, *first]), np.concatenate([none, *end])
    enough = p + (n - q) >= LEAST_OUTSIDE
    found = p[enough], q[enough]
    for array in found:
        array.setflags(write=False)
    return found


@dataclass(frozen=True)
class _Sums:
    """What the features of all windows of a clip are made of: cumulated sums, and medians to either side."""

    x: Floats
    sums: Floats
    far: tuple[Floats, Floats]
    near: tuple[Floats, Floats]

    @classmethod
    def of(cls, x: Floats) -> _Sums:
        sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
        return cls(x, sums, medians_beside(x, SIDE), medians_beside(x, EDGE))


def window_features(
    x: Floats, p: Ints, q: Ints, level: tuple[str, ...], edge: tuple[str, ...], steps: bool
) -> Floats:
    """float64 ``(W, F)``: features of windows, in the order level, edge, steps.

    Args:
        x: :func:`pair_statistics`.
        p: First pairs, at least 1.
        q: Pairs after the last.
        level: As of :class:`WindowModel`, like the two that follow.
    """
    return _features(_Sums.of(x), p, q, level, edge, steps)


def _features(
    of: _Sums, p: Ints, q: Ints, level: tuple[str, ...], edge: tuple[str, ...], steps: bool
) -> Floats:
    n = len(of.x)
    inside = (of.sums[q] - of.sums[p]) / (q - p)[:, None]
    left, right = np.minimum(p, SIDE)[:, None], np.minimum(n - q, SIDE)[:, None]
    outside = (of.far[0][p] * left + of.far[1][q] * right) / (left + right)
    low = of.near[0][p]
    high = np.where(right > 0, of.near[1][q], outside)
    at_level, at_edge = ([STATISTICS.index(name) for name in names] for names in (level, edge))
    parts = [
        (inside - outside)[:, at_level],
        np.minimum(inside - low, inside - high)[:, at_edge],
    ]
    if steps:
        parts.append(_steps(of.x, p, q, low, high))
    return np.concatenate(parts, axis=1)


STEPS = (
    "lead, smaller",
    "lead, larger",
    "begin or end, smaller",
    "begin or end, larger",
    "echo_before after the end",
)
"""Features of :func:`_steps`."""


def _steps(x: Floats, p: Ints, q: Ints, low: Floats, high: Floats) -> Floats:
    """``(W, 5)``: how sharply echoes begin and end.

    ``echo_lead`` of the first two pairs less that of the two before, and of the last two less that of the two after:
    the smaller and the larger. ``echo_before`` of the first pair and ``echo_after`` of the last against the pairs
    outside: the smaller and the larger. ``echo_before`` outside less that of the pair after the end.
    """
    n = len(x)
    before, after, lead = (
        x[:, STATISTICS.index(name)] for name in ("echo_before", "echo_after", "echo_lead")
    )
    sums = np.r_[0.0, np.cumsum(lead)]

    def mean(first: Ints, end: Ints) -> Floats:
        a, b = np.clip(first, 0, n), np.clip(end, 0, n)
        found: Floats = (sums[b] - sums[a]) / np.maximum(b - a, 1)
        return found

    begins = mean(p, p + 2) - mean(p - 2, p)
    ends = mean(q - 2, q) - mean(q, q + 2)
    at = STATISTICS.index("echo_before"), STATISTICS.index("echo_after")
    on = before[p] - low[:, at[0]]
    off = after[q - 1] - high[:, at[1]]
    gone = high[:, at[0]] - before[np.minimum(q, n - 1)]
    return np.stack(
        [np.minimum(begins, ends), np.maximum(begins, ends), np.minimum(on, off), np.maximum(on, off), gone],
        axis=1,
    )


def medians_beside(x: Floats, count: int) -> tuple[Floats, Floats]:
    """``(n+1, S)`` each: medians of the ``count`` rows before each index, and from it on; 0 where there are none."""
    n = len(x)
    padded = np.full((n + 2 * count, x.shape[1]), np.nan)
    padded[count : count + n] = x
    rows = np.lib.stride_tricks.sliding_window_view(padded, count, axis=0)  # row i: x[i - count : i]
    ordered = np.sort(rows, axis=2)  # what is not there comes last
    there = np.isfinite(rows).sum(axis=2)
    low, high = np.maximum(there - 1, 0) // 2, there // 2
    high = np.minimum(high, np.maximum(there - 1, 0))
    middle = (
        np.take_along_axis(ordered, low[..., None], 2) + np.take_along_axis(ordered, high[..., None], 2)
    )[..., 0] / 2
    middle = np.nan_to_num(middle, nan=0.0)
    return middle[: n + 1], middle[count : count + n + 1]


def shots(barred: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First pair and pair after the last of each stretch between barred pairs."""
    at = np.flatnonzero(barred).tolist()
    begins, ends = [0, *(i + 1 for i in at)], [*at, len(barred)]
    return [(a, b) for a, b in zip(begins, ends, strict=True) if b > a]


def pictures_of_shots(barred: NDArray[np.bool_]) -> list[int]:
    """How many pictures each shot of a clip has; together one more than there are pairs."""
    found: list[int] = np.diff(np.r_[0, np.flatnonzero(barred) + 1, len(barred) + 1]).tolist()
    return found


def out_of_reach(barred: NDArray[np.bool_]) -> float:
    """Share of a clip's pictures that are in shots without any window: :func:`scores` says nothing of them.

    0 for a clip of a single picture, in which there is nothing to reach.

    Args:
        barred: bool ``(N-1,)``: pairs across which nothing can be compared, such as cuts.
    """
    if not len(barred):
        return 0.0
    missed = sum(n for n in pictures_of_shots(barred) if not len(windows(n - 1)[0]))
    return missed / (len(barred) + 1)


def shot_windows(barred: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """First pair and pair after the last of each window in each shot of a clip."""
    parts = [(a, *windows(b - a)) for a, b in shots(barred)]
    none = np.zeros(0, np.int64)
    return (
        np.concatenate([none, *(p + a for a, p, _ in parts)]),
        np.concatenate([none, *(q + a for a, _, q in parts)]),
    )


def scores(x: Floats, model: WindowModel, barred: NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
    """First pairs, ends and scores of all windows, each held against its own shot (:func:`shots`).

    Args:
        x: :func:`pair_statistics`.
        model: Of the fault.
        barred: bool ``(N-1,)``: pairs across which nothing can be compared, such as cuts.
    """
    found = [np.zeros(0)]
    for a, b in shots(barred):
        p, q = windows(b - a)
        if not len(p):
            continue
        of = _Sums.of(shot_statistics(x, a, b))
        for begin in range(0, len(p), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            features = _features(of, p[part], q[part], model.level, model.edge, model.steps)
            found.append((features - model.mean) @ model.weight)
    return *shot_windows(barred), np.concatenate(found)


def best_windows(
    x: Floats, model: WindowModel, barred: NDArray[np.bool_], threshold: float
) -> Iterator[Window]:
    """Windows over the threshold, the best first, of equals the longest; none overlaps a better one or touches it."""
    p, q, found = scores(x, model, barred)
    taken = np.zeros(len(x) + 2, bool)
    for i in np.lexsort((p - q, -found)):
        if found[i] <= threshold:
            break
        if not taken[p[i] : q[i] + 2].any():
            taken[p[i] + 1 : q[i] + 1] = True
            yield Window(int(p[i]), int(q[i]), float(found[i]))


def score_series(x: Floats, model: WindowModel, barred: NDArray[np.bool_]) -> Floats:
    """``(N-1,)``: the largest score of the windows in whose middle half a pair lies, 0 at least."""
    p, q, found = scores(x, model, barred)
    out = np.zeros(len(x))
    for i in np.argsort(found, kind="stable"):
        margin = (q[i] - p[i]) // 4
        out[p[i] + margin : q[i] - margin] = max(0.0, float(found[i]))
    return out
