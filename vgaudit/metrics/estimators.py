"""What a distance of two sets of features says of their populations: estimates with intervals, and a test.

The kernel distance is unbiased, so its interval is for the populations' own value. The Frechet distance is not: here
it is extrapolated to infinitely many clips. Clips of one prompt are never taken for independent draws: prompts are
left out, and permuted, whole. ``docs/metrics/fvd.md`` has formulas, and how often the intervals hold what they claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.frechet import MIN_GROUPS, FrechetInterval, Statistics, frechet_interval
from vgaudit.metrics.kernel_sums import Polynomial, block_sums, dealt, minus_distance, two_sets

Float = NDArray[np.float64]

MIN_EXTRAPOLATED = 1024
"""Fewest independent prompts a side from which an extrapolated distance has an interval."""

PERMUTATIONS = 999
"""Random deals of a test."""

_BLOCK = 1024


@dataclass(frozen=True)
class KernelInterval:
    """A kernel distance with an interval for that of the populations.

    Attributes:
        value: Unbiased squared maximum mean discrepancy; may be slightly negative.
        low: Lower end; may be negative, ``None`` where there is no interval.
        high: Upper end.
        clusters: Independent prompts of the smaller side.
        reason: Why there is no interval, or empty.
    """

    value: float
    low: float | None
    high: float | None
    clusters: int
    reason: str = ""


@dataclass(frozen=True)
class Extrapolated:
    """A Frechet distance extrapolated to infinitely many clips: an estimate.

    Attributes:
        value: The plug-in distance less its estimated bias; may be slightly negative where the sets are alike.
            ``None`` where there are too few prompts to estimate it.
        low: Lower end for the distance of the populations; may be negative, as the value may. ``None`` where there is
            no interval.
        high: Upper end.
        plain: The plug-in distance at this n.
        reason: Why value or interval are missing, or empty.
    """

    value: float | None
    low: float | None
    high: float | None
    plain: float
    reason: str = ""


@dataclass(frozen=True)
class PermutationTest:
    """Whether two sets could be draws of one population.

    Attributes:
        statistic: The distance of the two sets.
        p: Share of permutations, the one seen among them, with a distance as large; above 0, up to 1. Uniform where
            both sets come from one population: small values speak against it.
        permutations: Permutations beside the one seen.
        exact: Whether those are all there are.
    """

    statistic: float
    p: float
    permutations: int
    exact: bool


def kernel_interval(
    x: ArrayLike,
    y: ArrayLike,
    *,
    degree: int = 3,
    coef0: float = 1.0,
    confidence: float = 0.95,
    clusters: Sequence[str] | None = None,
    other_clusters: Sequence[str] | None = None,
) -> KernelInterval:
    """Unbiased :func:`~vgaudit.metrics.frechet.kernel_distance` with an interval for the populations' value.

    Pairs of rows of one cluster are left out as a row with itself is: they are not independent draws. The standard
    error is the jackknife's, over the clusters of both sides; each distance without a cluster comes from row sums of
    the one kernel matrix, ``O(n^2 d)`` once. Ends are Student's t; the upper one is moved out where the estimate is
    skewed, by the first Edgeworth term of a studentised U-statistic (Helmers 1991). Between equal populations, where
    the jackknife's standard error is up to 1.4 times too large, the interval is wider than it need be.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        degree: Of the kernel ``(a.b / d + coef0)^degree``, 1 or more.
        coef0: Of the kernel.
        confidence: Coverage.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        other_clusters: The same for ``y``.

    Raises:
        ValueError: Shapes or labels do not fit, a value is not finite, fewer than two clusters on a side, or wrong
            ``degree`` or ``confidence``.
    """
    return KernelSums.of(x, y, degree, coef0, clusters, other_clusters).interval(confidence)


def extrapolated_distance(
    x: ArrayLike,
    reference: ArrayLike | Statistics,
    *,
    groups: int = 16,
    confidence: float = 0.95,
    ddof: int = 1,
    clusters: Sequence[str] | None = None,
    reference_clusters: Sequence[str] | None = None,
) -> Extrapolated:
    """Frechet distance at infinitely many clips, by the slope in ``1/n`` that leaving out groups shows.

    Chong and Forsyth (2020) fit a line through distances of sub-samples down to a fraction of n. The bias of a
    Frechet distance is no line in ``1/n`` where n is not far above the dimension, so the slope is taken as near to n
    as can be: from the left-out groups of :func:`~vgaudit.metrics.frechet.frechet_interval`, which is the jackknife's
    estimate of the bias. It is nearer to the truth at small n, steadier at any, and free beside that interval.

    At small n what is left of the bias is far more than the interval would be wide. So there is one only from
    :data:`MIN_EXTRAPOLATED` independent prompts on each side that is resampled.

    Args:
        x: Features ``(n, d)``.
        reference: Features ``(m, d)``; or fixed :class:`~vgaudit.metrics.frechet.Statistics`, taken as the
            population's: bias from a reference of few clips then stays.
        groups: Jackknife groups.
        confidence: Coverage.
        ddof: Covariances are divided by ``n - ddof``.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        reference_clusters: The same for ``reference``.

    Raises:
        ValueError: As :func:`~vgaudit.metrics.frechet.frechet_interval`.
    """
    found = frechet_interval(
        x,
        reference,
        groups=groups,
        confidence=confidence,
        ddof=ddof,
        clusters=clusters,
        reference_clusters=reference_clusters,
    )
    sides = [len(np.asarray(x)) if clusters is None else len(set(clusters))]
    if not isinstance(reference, Statistics):
        sides.append(
            len(np.asarray(reference)) if reference_clusters is None else len(set(reference_clusters))
        )
    return extrapolated_from(found, min(sides))


def extrapolated_from(found: FrechetInterval, independent: int) -> Extrapolated:
    """:func:`extrapolated_distance` from an interval that is there already.

    Args:
        found: Of :func:`~vgaudit.metrics.frechet.frechet_interval`.
        independent: Prompts of the smaller of the sides that were resampled.
    """
    if found.low is None or found.high is None or found.bias is None:
        return Extrapolated(None, None, None, found.value, found.reason.replace("no interval", "no estimate"))
    value = found.value - found.bias
    if independent < MIN_EXTRAPOLATED:
        reason = (
            f"no interval: {independent} independent prompts on a side; expected {MIN_EXTRAPOLATED} or more"
        )
        return Extrapolated(value, None, None, found.value, reason)
    half = found.high - found.value
    return Extrapolated(value, value - half, value + half, found.value)


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    statistic: Literal["kernel", "energy"] = "kernel",
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    clusters: Sequence[str] | None = None,
    other_clusters: Sequence[str] | None = None,
) -> PermutationTest:
    """Test whether two sets are draws of one population, by which clusters stand on which side.

    All clusters are put together and dealt out anew, as many to each side as before; every distance comes from one
    matrix. ``p = (1 + count as large) / (1 + permutations)``, which holds its level at any n (Gretton et al. 2012;
    Phipson and Smyth 2010). Where there are no more deals than ``permutations``, all are taken, and p is exact.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        statistic: ``kernel``, the unbiased kernel distance of degree 3; or ``energy``, ``2 E|x - y| - E|x - x'| -
            E|y - y'|`` (Szekely and Rizzo 2013), less swayed by few extreme rows. Pairs of one cluster are left out.
        permutations: Random deals, 1 or more.
        seed: Of the deals.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        other_clusters: The same for ``y``; a prompt that is on both sides counts as two.

    Raises:
        ValueError: As :func:`kernel_interval`, an unknown ``statistic``, or ``permutations`` below 1.
    """
    if statistic == "kernel":
        return KernelSums.of(x, y, 3, 1.0, clusters, other_clusters).test(permutations, seed)
    if statistic != "energy":
        raise ValueError(f"statistic is {statistic!r}; expected 'kernel' or 'energy'")
    a, b, rows, columns = two_sets(x, y, clusters, other_clusters)
    both, codes = np.vstack([a, b]), np.concatenate([rows, columns + rows.max() + 1])
    blocks = block_sums(minus_distance, both, both, codes, codes)
    return _permuted(blocks, np.bincount(codes).astype(np.float64), int(rows.max()) + 1, permutations, seed)


def _permuted(blocks: Float, sizes: Float, first: int, permutations: int, seed: int) -> PermutationTest:
    """The test from sums over pairs of clusters ``(total, total)``, of which the ``first`` are those of ``x``."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected 1 or more")
    np.fill_diagonal(blocks, 0.0)
    total = len(sizes)
    seen = np.zeros((total, 1))
    seen[:first] = 1
    observed = float(dealt(blocks, sizes, seen)[0])
    # Deals that are the same but for the order of sums must count as ties.
    tie = 1e-10 * float(np.abs(blocks).sum()) / sizes.sum() ** 2
    exact = math.comb(total, first) <= permutations + 1
    if exact:
        from itertools import combinations, islice

        deals = islice(combinations(range(total), first), 1, None)  # the first is the one seen
        chosen = np.array(list(deals), dtype=np.int64).reshape(-1, first)
    else:
        rng = np.random.default_rng(seed)
        chosen = np.stack([rng.permutation(total)[:first] for _ in range(permutations)])
    as_large = 0
    for start in range(0, len(chosen), _BLOCK):
        part = chosen[start : start + _BLOCK]
        sides = np.zeros((total, len(part)))
        sides[part.T, np.arange(len(part))] = 1
        as_large += int((dealt(blocks, sizes, sides) >= observed - tie).sum())
    return PermutationTest(observed, (1 + as_large) / (1 + len(chosen)), len(chosen), exact)


def effective_rank(cov: ArrayLike) -> float:
    """Dimensions a covariance really fills: ``exp`` of the entropy of its normalised eigenvalues.

    1 for one direction, d for a sphere; a covariance of zeros has none: 0. Source: Roy and Vetterli 2007.

    Args:
        cov: ``(d, d)``, symmetric, positive semi-definite up to rounding.

    Raises:
        ValueError: Not a finite symmetric matrix, or it has a negative eigenvalue.
    """
    s = np.asarray(cov, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not s.size:
        raise ValueError(f"covariance has shape {s.shape}; expected (d, d)")
    if not np.isfinite(s).all():
        raise ValueError("covariance holds values that are not finite")
    if np.abs(s - s.T).max() > 1e-6 * np.abs(s).max():
        raise ValueError("the covariance is not symmetric")
    values = np.linalg.eigvalsh((s + s.T) / 2)
    if values[0] < -1e-6 * max(values[-1], 0.0) - 1e-12:
        raise ValueError(f"covariance has the negative eigenvalue {values[0]:.3g}; it is no covariance")
    values = values[values > 0]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def sample_warning(n: int, cov: ArrayLike, what: str = "clips") -> str:
    """What is to be said of a covariance from ``n`` clips, or nothing.

    Args:
        n: Clips, 2 or more; where they share prompts, the prompts: more clips of one show no more of the spread.
        cov: Their covariance ``(d, d)``.
        what: What is counted, in words.

    Returns:
        Empty where n is at least d and at least four times the effective rank. Of fewer, the spread of the sample
        shows how many clips there are rather than how the features spread.

    Raises:
        ValueError: As :func:`effective_rank`, or ``n`` below 2.
    """
    if n < 2:
        raise ValueError(f"n is {n}; a covariance takes two or more {what}")
    rank, d = effective_rank(cov), len(np.asarray(cov))
    notes = []
    if n < d:
        notes.append(f"{n} {what} are fewer than the {d} feature dimensions: the covariance is singular")
    if 4 * rank > n:
        notes.append(
            f"{n} {what} for an effective rank of {rank:.0f}: expected four times as many; the distance is mostly"
            " bias"
        )
    return "; ".join(notes)


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums of one polynomial kernel over pairs of prompts, from which estimate, interval and test are made.

    Attributes:
        within_a: ``(prompts of x, prompts of x)``, 0 on the diagonal.
        within_b: The same of ``y``.
        across: ``(prompts of x, prompts of y)``.
        sizes_a: Rows of each prompt of ``x``.
        sizes_b: The same of ``y``.
    """

    within_a: Float
    within_b: Float
    across: Float
    sizes_a: Float
    sizes_b: Float

    @classmethod
    def of(
        cls, x: ArrayLike, y: ArrayLike, degree: int = 3, coef0: float = 1.0,
        clusters: Sequence[str] | None = None, other_clusters: Sequence[str] | None = None,
    ) -> KernelSums:  # fmt: skip
        """Of two sets; arguments and errors of :func:`kernel_interval`."""
        a, b, rows, columns = two_sets(x, y, clusters, other_clusters)
        kernel = Polynomial(a.shape[1], degree, coef0)
        within_a, within_b = block_sums(kernel, a, a, rows, rows), block_sums(kernel, b, b, columns, columns)
        for within in (within_a, within_b):
            np.fill_diagonal(within, 0.0)
        across = block_sums(kernel, a, b, rows, columns)
        sizes_a, sizes_b = (np.bincount(codes).astype(np.float64) for codes in (rows, columns))
        return cls(within_a, within_b, across, sizes_a, sizes_b)

    def interval(self, confidence: float = 0.95) -> KernelInterval:
        """The unbiased distance with an interval, see :func:`kernel_interval`.

        Raises:
            ValueError: ``confidence`` is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence is {confidence}; expected 0 < c < 1")
        within_a, within_b = _Within(self.within_a, self.sizes_a), _Within(self.within_b, self.sizes_b)
        across, size_a, size_b = self.across, self.sizes_a, self.sizes_b
        n, m = size_a.sum(), size_b.sum()
        value = float(within_a.mean + within_b.mean - 2 * (across.sum() / (n * m)))
        count = min(len(size_a), len(size_b))
        if count < MIN_GROUPS:
            reason = f"no interval: {count} independent prompts on a side; expected {MIN_GROUPS} or more"
            return KernelInterval(value, None, None, count, reason)
        # What each cluster adds to the estimate's error: its leave-one-out difference, in the jackknife's scale.
        left_a = within_a.left_out - 2 * (across.sum() - across.sum(1)) / ((n - size_a) * m)
        left_b = within_b.left_out - 2 * (across.sum() - across.sum(0)) / ((m - size_b) * n)
        own_a, own_b = (np.sqrt(1 - 1 / len(v)) * (v.mean() - v) for v in (left_a, left_b))
        error = math.sqrt((own_a**2).sum() + (own_b**2).sum())
        if error == 0:
            return KernelInterval(value, value, value, count)
        third = (own_a**3).sum() + (own_b**3).sum()
        pairs = (
            within_a.form(own_a) + within_b.form(own_b) - 2 * own_a @ _centred(across, size_a, size_b) @ own_b
        )
        from scipy.special import stdtrit

        t = float(stdtrit(count - 1, 0.5 + confidence / 2))
        skew = ((2 * t * t + 1) * third + (t * t + 1) * 6 * pairs) / (6 * error**3)
        return KernelInterval(
            value, float(value - t * error), float(value + (t + max(0.0, skew)) * error), count
        )

    def test(self, permutations: int = PERMUTATIONS, seed: int = 0) -> PermutationTest:
        """Whether both could be draws of one population, see :func:`permutation_test`.

        Raises:
            ValueError: ``permutations`` is below 1.
        """
        blocks = np.block([[self.within_a, self.across], [self.across.T, self.within_b]])
        sizes = np.concatenate([self.sizes_a, self.sizes_b])
        return _permuted(blocks, sizes, len(self.sizes_a), permutations, seed)


@dataclass(frozen=True)
class _Within:
    """Kernel sums of one side's clusters with each other, those with themselves left out."""

    blocks: Float
    sizes: Float

    @property
    def _pairs(self) -> float:
        return float(self.sizes.sum() ** 2 - (self.sizes**2).sum())

    @property
    def mean(self) -> float:
        """Over ordered pairs of rows of different clusters."""
        return float(self.blocks.sum()) / self._pairs

    @property
    def left_out(self) -> Float:
        """:attr:`mean` without each cluster in turn."""
        pairs = self._pairs - 2 * self.sizes * (self.sizes.sum() - self.sizes)
        with np.errstate(
            invalid="ignore", divide="ignore"
        ):  # of two clusters nothing is left; then no interval
            return np.asarray((self.blocks.sum() - 2 * self.blocks.sum(1)) / pairs, dtype=np.float64)

    def form(self, own: Float) -> float:
        """``sum over clusters k, l of own_k q_kl own_l``: q is the part of a pair that neither cluster has alone."""
        sizes, total = self.sizes, self.sizes.sum()
        rows = self.blocks.sum(1) / (sizes * (total - sizes))
        centred = self.blocks - np.outer(sizes, sizes) * (rows[:, None] + rows[None] - self.mean)
        np.fill_diagonal(centred, 0.0)
        return float(own @ centred @ own) / self._pairs


def _centred(across: Float, sizes_a: Float, sizes_b: Float) -> Float:
    """What a pair of clusters of the two sides adds to the mean kernel that neither adds alone."""
    pairs = np.outer(sizes_a, sizes_b)
    n, m = sizes_a.sum(), sizes_b.sum()
    rows, columns = across.sum(1) / (sizes_a * m), across.sum(0) / (sizes_b * n)
    mean = across.sum() / (n * m)
    return np.asarray((across - pairs * (rows[:, None] + columns[None] - mean)) / (n * m), dtype=np.float64)
