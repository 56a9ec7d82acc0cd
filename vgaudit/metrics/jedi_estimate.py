"""JEDi's kernel distance, its interval, floor and test: pure maths, no models, no files.

``JEDi = 100 MMD^2`` with the kernel ``k(a, b) = (a.b / d)^2`` and all pairs in the means, those of a row with itself
too (Luo et al. 2024, arXiv:2410.05203). This kernel is the inner product of ``a a^T / d`` and ``b b^T / d``, so

    JEDi = 100 |A - B|^2 / d^2,   A = mean of a a^T,   B = mean of b b^T   (Frobenius norm)

and nothing of a set but ``mean of x x^T = cov_biased + mean mean^T`` enters it. No kernel matrix is made for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.frechet import Statistics
from vgaudit.metrics.kernel_sums import KernelSums
from vgaudit.metrics.leave_out import MIN_GROUPS

Float = NDArray[np.float64]
Codes = NDArray[np.int64]

SCALE = 100.0
"""What the squared discrepancy is multiplied by, as published."""

MAX_CLUSTERS = 8192
"""Most prompts of both sides that a test is made for: its matrix takes half a GiB."""


@dataclass(frozen=True)
class JediInterval:
    """A distance with an interval for its expectation at these numbers of clips.

    Attributes:
        value: As published: biased, times 100.
        low: Lower end, not below 0; ``None`` where there is no interval.
        high: Upper end.
        clusters: Independent prompts of the smaller side that is resampled.
        reason: Why there is no interval, or empty.
    """

    value: float
    low: float | None
    high: float | None
    clusters: int
    reason: str = ""


@dataclass(frozen=True)
class JediFloor:
    """Distance of a reference set to itself: a random part of it against the rest.

    Attributes:
        values: One a split; empty where there is none.
        n: Rows of the part, each of another prompt.
        n_rest: Rows of the rest, which shares no prompt with the part; the fewest of any split.
        reason: Why there is no floor, or empty.
    """

    values: tuple[float, ...]
    n: int
    n_rest: int
    reason: str = ""


def second_moment(features: ArrayLike) -> Float:
    """Mean of ``x x^T`` over the rows of ``features`` ``(n, d)``.

    Raises:
        ValueError: Not a finite matrix with a row.
    """
    x = _rows(features, "features")
    return np.asarray(x.T @ x / len(x), dtype=np.float64)


def moment_of(stored: Statistics) -> Float:
    """Mean of ``x x^T`` of a set known by its mean and its covariance divided by N."""
    return np.asarray(stored.cov + np.outer(stored.mean, stored.mean), dtype=np.float64)


def jedi_distance(x: ArrayLike, y: ArrayLike) -> float:
    """The published number for features ``(n, d)`` and ``(m, d)``; 0 for equal sets, never below.

    Raises:
        ValueError: Shapes differ, a set is empty, or a value is not finite.
    """
    return _between(second_moment(x), second_moment(y))


def jedi_interval(
    x: ArrayLike,
    reference: ArrayLike | Statistics,
    *,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
    reference_clusters: Sequence[str] | None = None,
) -> JediInterval:
    """The published number with an interval for the *expected value of it at these numbers of clips*.

    The mean over all pairs is biased upward by about ``1/n``. An interval for the populations' distance would need
    not hold the number beside it, so this does not claim to be one. The standard error is the jackknife's over
    prompts left out in turn, with pseudo-values for unequal sizes (Busing, Meijer and van der Leeden 1999); ends are
    Student's t. Leaving a prompt out moves every pseudo-value's bias alike, so the bias is not taken for spread.

    Args:
        x: Features ``(n, d)``.
        reference: Features ``(m, d)``, resampled too where ``reference_clusters`` are given; else, or as moments with
            the covariance divided by N, fixed.
        confidence: Coverage.
        clusters: Prompt of each row of ``x``, never split. Default: every row its own.
        reference_clusters: Of each row of ``reference``.

    Raises:
        ValueError: Shapes or labels do not fit, a value is not finite, or wrong ``confidence``.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected 0 < c < 1")
    a = _rows(x, "x")
    b = None if isinstance(reference, Statistics) else _rows(reference, "reference")
    m_a = second_moment(a)
    m_b = moment_of(reference) if isinstance(reference, Statistics) else second_moment(reference)
    value = _between(m_a, m_b)
    sides = [(a, _codes(clusters, len(a), "x"), m_a, m_b)]
    if b is not None and reference_clusters is not None:
        sides.append((b, _codes(reference_clusters, len(b), "reference"), m_b, m_a))
    fewest = min(int(codes.max()) + 1 for _, codes, _, _ in sides)
    if fewest < MIN_GROUPS:
        reason = f"no interval: {fewest} independent prompts on a side; expected {MIN_GROUPS} or more"
        return JediInterval(value, None, None, fewest, reason)
    from scipy.special import stdtrit

    variance = sum(_variance(value, *side) for side in sides)
    half = float(stdtrit(fewest - 1, 0.5 + confidence / 2)) * float(np.sqrt(variance))
    return JediInterval(value, max(0.0, value - half), value + half, fewest)


def jedi_floor(
    features: ArrayLike, n: int, seed: int, splits: int = 20, clusters: Sequence[str] | None = None
) -> JediFloor:
    """What sampling alone makes of a distance of ``n`` *independent* rows to a reference set.

    Args:
        features: Of the reference, ``(N, d)``.
        n: Rows that are held against the rest, which must not be fewer; at least 1.
        seed: Of the splits.
        splits: Random splits: one row of each of ``n`` prompts, and all rows of the other prompts.
        clusters: Prompt of each row of ``features``. Default: every row its own.

    Raises:
        ValueError: ``features`` are no finite matrix, the labels are not as many, or ``n`` is below 1.
    """
    x = _rows(features, "features")
    codes = _codes(clusters, len(x), "features")
    if n < 1:
        raise ValueError(f"n is {n}; expected 1 or more")
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(splits):
        order = rng.permutation(len(x))
        first = np.sort(np.unique(codes[order], return_index=True)[1])[:n]
        part = order[first]
        parts.append((part, np.isin(codes, codes[part])))
    rest = min(int((~taken).sum()) for _, taken in parts)
    if rest < n or len(parts[0][0]) < n:
        of = "" if clusters is None else f" of {len(set(clusters))} prompts"
        return JediFloor((), n, rest, f"{len(x)} reference clips{of} leave {rest} against {n}")
    total = x.T @ x
    values = [
        _between(second_moment(x[part]), (total - x[taken].T @ x[taken]) / (~taken).sum())
        for part, taken in parts
    ]
    return JediFloor(tuple(values), n, rest)


def jedi_kernel(
    x: Float,
    y: Float,
    clusters: Sequence[str] | None = None,
    other_clusters: Sequence[str] | None = None,
) -> KernelSums:
    """Sums of JEDi's kernel: the unbiased distance with its interval, and a test. Both still to be times 100.

    Pairs of one prompt are left out: with them a test would follow which rows are long, not which side they are on,
    and of prompts on both sides the distance would be too small.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        other_clusters: The same for ``y``; the same label is the same prompt.

    Raises:
        ValueError: Shapes or labels do not fit, a value is not finite, fewer than two prompts on a side, or more than
            :data:`MAX_CLUSTERS` in all.
    """
    prompts = sum(
        len(rows) if names is None else len(set(names))
        for rows, names in ((x, clusters), (y, other_clusters))
    )
    if prompts > MAX_CLUSTERS:
        raise ValueError(f"{prompts} prompts on both sides; kernel sums are made for {MAX_CLUSTERS} or fewer")
    return KernelSums.of(x, y, 2, 0.0, clusters, other_clusters)


def _between(m_a: Float, m_b: Float) -> float:
    if m_a.shape != m_b.shape:
        raise ValueError(
            f"features have {len(m_a)} and {len(m_b)} dimensions; both must come from one network"
        )
    return float(SCALE * np.square(m_a - m_b).sum() / len(m_a) ** 2)


def _variance(value: float, x: Float, codes: Codes, own: Float, other: Float) -> float:
    """Of ``value``, from the sampling of ``x``, whose second moment is ``own``.

    Without cluster ``c`` the difference ``D`` of second moments becomes ``D + E``, ``E = (n_c own - S_c)/(n - n_c)``
    with ``S_c`` the cluster's sum of ``x x^T``; so ``|D + E|^2`` comes from quadratic forms of the rows.
    """
    n, difference = len(x), own - other
    sizes = np.bincount(codes).astype(np.float64)
    along, squares = (
        np.bincount(codes, weights=np.einsum("ij,ij->i", x @ matrix, x)) for matrix in (difference, own)
    )
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(sizes).astype(np.int64)
    self_products = np.array(
        [
            np.square(x[order[end - int(size) : end]] @ x[order[end - int(size) : end]].T).sum()
            for end, size in zip(ends, sizes, strict=True)
        ]
    )
    left = n - sizes
    cross = (sizes * (difference * own).sum() - along) / left
    moved = (sizes**2 * np.square(own).sum() - 2 * sizes * squares + self_products) / left**2
    left_out = value + SCALE * (2 * cross + moved) / x.shape[1] ** 2
    share = n / sizes
    pseudo = share * value - (share - 1) * left_out
    centre = len(sizes) * value - float(((1 - 1 / share) * left_out).sum())
    return float((np.square(pseudo - centre) / (share - 1)).mean())


def _rows(features: ArrayLike, name: str) -> Float:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"{name} has shape {x.shape}; expected (n, d)")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} holds values that are not finite")
    return x


def _codes(clusters: Sequence[str] | None, n: int, name: str) -> Codes:
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{name} has {n} rows but {len(clusters)} cluster labels")
    number = {c: i for i, c in enumerate(dict.fromkeys(clusters))}
    return np.array([number[c] for c in clusters], dtype=np.int64)
