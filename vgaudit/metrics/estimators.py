"""What a distance of two sets of features says of their populations: estimates with intervals, and a test.

The kernel distance is unbiased, so its interval is for the populations' own value. The Frechet distance is not: here
it is extrapolated to infinitely many clips. Clips of one prompt are never taken for independent draws: prompts are
left out, and permuted, whole. ``docs/metrics/fvd.md`` has formulas, and how often the intervals hold what they claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.deals import PERMUTATIONS, PermutationTest, evened
from vgaudit.metrics.frechet import FrechetInterval, Statistics, frechet_interval
from vgaudit.metrics.kernel_sums import KernelInterval, KernelSums, minus_distance, two_sets

Float = NDArray[np.float64]

MIN_EXTRAPOLATED = 1024
"""Fewest independent prompts a side from which an extrapolated distance has an interval."""


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

    Pairs of rows of one cluster are left out as a row with itself is, across the sides too: they are not independent
    draws. The standard error is the jackknife's, over the clusters; one that is on both sides is left out of both at
    once. Each distance without a cluster comes from row sums of the one kernel matrix, ``O(n^2 d)`` once. Ends are
    Student's t; the upper one is moved out where the estimate is skewed, by the first Edgeworth term of a studentised
    U-statistic (Helmers 1991). Between equal populations, where the jackknife's standard error is up to 1.4 times too
    large, the interval is wider than it need be.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        degree: Of the kernel ``(a.b / d + coef0)^degree``, 1 or more.
        coef0: Of the kernel.
        confidence: Coverage.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        other_clusters: The same for ``y``; the same label is the same prompt.

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

    A prompt on both sides is left out of both at once: what its clips have in common biases neither up.

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
        reference_clusters: The same for ``reference``; the same label is the same prompt.

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

    All clusters are put together and dealt out anew, as many to each side as before. Of a cluster that is on both
    sides, the two parts are turned round or not. Every distance comes from one matrix, and
    ``p = (1 + count as large) / (1 + permutations)``, which holds its level at any n (Gretton et al. 2012; Phipson
    and Smyth 2010) if every cluster has as many rows. So only that many of each are tested, chosen at random: the
    fewest that any has, see :func:`~vgaudit.metrics.deals.evened`. Where there are no more deals than
    ``permutations``, all are taken, and p is exact.

    Args:
        x: Features ``(n, d)``.
        y: Features ``(m, d)``.
        statistic: ``kernel``, the unbiased kernel distance of degree 3; or ``energy``, ``2 E|x - y| - E|x - x'| -
            E|y - y'|`` (Szekely and Rizzo 2013), less swayed by few extreme rows. Pairs of one cluster are left out.
        permutations: Random deals, 1 or more.
        seed: Of the deals, and of which rows of a cluster are taken.
        clusters: Prompt of each row of ``x``. Default: every row its own.
        other_clusters: The same for ``y``; the same label is the same prompt.

    Raises:
        ValueError: As :func:`kernel_interval`, an unknown ``statistic``, or ``permutations`` below 1.
    """
    if statistic not in ("kernel", "energy"):
        raise ValueError(f"statistic is {statistic!r}; expected 'kernel' or 'energy'")
    two_sets(x, y, clusters, other_clusters)  # says what is wrong with them
    first, second = (np.asarray(side, dtype=np.float64) for side in (x, y))
    even = evened(first, second, clusters, other_clusters, seed)
    sides = even.x, even.y
    if statistic == "kernel":
        sums = KernelSums.of(*sides, clusters=even.prompts, other_clusters=even.others)
    else:
        sums = KernelSums.by(lambda _: minus_distance, *sides, even.prompts, even.others)
    return sums.test(permutations, seed)


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
        Empty where n is at least d and at least four times the effective rank, which is not 0. Of fewer, the spread
        of the sample shows how many clips there are rather than how the features spread.

    Raises:
        ValueError: As :func:`effective_rank`, or ``n`` below 2.
    """
    if n < 2:
        raise ValueError(f"n is {n}; a covariance takes two or more {what}")
    rank, d = effective_rank(cov), len(np.asarray(cov))
    notes = []
    if rank < 1:  # of zeros
        notes.append(f"the features of the {n} {what} do not vary: a distance of them says nothing")
    if n < d:
        notes.append(f"{n} {what} are fewer than the {d} feature dimensions: the covariance is singular")
    if 4 * rank > n:
        notes.append(
            f"{n} {what} for an effective rank of {rank:.0f}: expected four times as many; the distance is mostly"
            " bias"
        )
    return "; ".join(notes)
