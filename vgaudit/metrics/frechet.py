"""Frechet and kernel distance between two sets of feature vectors: pure maths, no models, no files.

``FD = |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))`` (Dowson and Landau 1982; Heusel et al. 2017;
for video Unterthiner et al. 2018). The last trace is the nuclear norm of ``F_a F_b^T`` for any factors with
``S = F^T F``. So no matrix square root is taken: features are their own factors (exact for fewer clips than
dimensions), and covariances are factored by Cholesky, or by eigenvalues where they are not positive definite.
From two positive definite covariances the norm is first taken by the eigenvalues of ``F_a S_b F_a^T``, half of the
work, and by singular values where a bound of the rounding error says that it could show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.leave_out import MIN_GROUPS, Rows, jackknife_groups, joint_groups

Float = NDArray[np.float64]

_BLOCK = 8  # columns at once in the reduction to a tridiagonal matrix


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of a set of feature vectors.

    Attributes:
        n: Vectors they were computed from.
        mean: ``(d,)``.
        cov: ``(d, d)``, symmetric; normalisation as the protocol says.
    """

    n: int
    mean: Float
    cov: Float


@dataclass(frozen=True)
class FrechetInterval:
    """A Frechet distance with an interval for its expectation at this sample size.

    Attributes:
        value: Plug-in distance.
        low: Lower end, not below 0; ``None`` where there is no interval.
        high: Upper end.
        groups: Jackknife groups used; 0 where there is no interval.
        reason: Why there is no interval, or empty.
        bias: By how much the value is expected to lie above the distance of the populations, as the left-out groups
            tell (see :func:`vgaudit.metrics.estimators.extrapolated_distance`); ``None`` where there is no interval.
    """

    value: float
    low: float | None
    high: float | None
    groups: int
    reason: str = ""
    bias: float | None = None


def statistics(features: ArrayLike, ddof: int = 1) -> Statistics:
    """Mean and covariance of ``features`` ``(n, d)``, divided by ``n - ddof``.

    Raises:
        ValueError: Not a finite matrix of at least two rows.
    """
    x = _features(features, "features", ddof)
    factor = _factor_of_features(x, ddof)
    return Statistics(len(x), x.mean(axis=0), factor.T @ factor)


def frechet_distance(mean_a: ArrayLike, cov_a: ArrayLike, mean_b: ArrayLike, cov_b: ArrayLike) -> float:
    """Frechet distance of two normal distributions given by their moments.

    Args:
        mean_a: ``(d,)``.
        cov_a: ``(d, d)``, symmetric, positive semi-definite up to rounding.
        mean_b: ``(d,)``.
        cov_b: ``(d, d)``.

    Returns:
        Squared distance in feature units, >= 0.

    Raises:
        ValueError: Shapes differ, a value is not finite, or a covariance is not symmetric or has a
            negative eigenvalue.
    """
    m_a, s_a = _moments(mean_a, cov_a, "a")
    m_b, s_b = _moments(mean_b, cov_b, "b")
    if m_a.shape != m_b.shape:
        raise ValueError(
            f"means have {len(m_a)} and {len(m_b)} dimensions; both must come from the same network"
        )
    quick = _distance_if_sure(m_a, s_a, m_b, s_b)
    return _distance(m_a, _factor_of_cov(s_a), m_b, _factor_of_cov(s_b)) if quick is None else quick


def frechet_distance_from_features(x: ArrayLike, y: ArrayLike, ddof: int = 1) -> float:
    """Frechet distance of two sets of feature vectors ``(n, d)`` and ``(m, d)``, each of two rows or more.

    Equal to :func:`frechet_distance` of their means and covariances (divided by ``n - ddof``), and exact where
    there are fewer vectors than dimensions.

    Raises:
        ValueError: Shapes differ, fewer than two rows, or a value is not finite.
    """
    a, b = _features(x, "x", ddof), _features(y, "y", ddof)
    _same_width(a, b)
    return _distance(
        a.mean(axis=0), _factor_of_features(a, ddof), b.mean(axis=0), _factor_of_features(b, ddof)
    )


@dataclass(frozen=True)
class FrechetFloor:
    """Distance of a set to itself: a random part of it against all the rest.

    Attributes:
        values: One a split; empty where there is none.
        n: Rows of the part, each of another cluster.
        n_rest: Rows of the rest, which shares no cluster with the part; the fewest of any split.
        reason: Why there is no floor, or empty.
    """

    values: tuple[float, ...]
    n: int
    n_rest: int
    reason: str = ""


def reference_floor(
    features: ArrayLike, n: int, ddof: int, seed: int, splits: int = 20, clusters: Sequence[str] | None = None
) -> FrechetFloor:
    """What sampling alone makes of a distance of ``n`` *independent* rows to a reference set.

    Rows that come in clusters (clips of one prompt) are fewer independent ones: their floor is higher than this at
    their number, and at most this at the number of their clusters where those are equally large.

    Args:
        features: Of the reference, ``(N, d)``.
        n: Rows that are held against the rest, which must not be fewer; at least 2.
        ddof: Covariances are divided by the number of rows less ``ddof``.
        seed: Of the splits.
        splits: Random splits: one row of each of ``n`` clusters, and all rows of the other clusters.
        clusters: Of each row of ``features``. Default: every row its own.

    Raises:
        ValueError: ``features`` are no finite matrix of two rows or more, or the labels are not as many.
    """
    x = _features(features, "features", ddof)
    if clusters is not None and len(clusters) != len(x):
        raise ValueError(f"{len(x)} rows but {len(clusters)} cluster labels")
    if n < 2:
        return FrechetFloor((), n, len(x), f"{n} clip has no covariance; expected two or more")
    codes = np.arange(len(x)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    halves = [_split(codes, rng.permutation(len(x)), n) for _ in range(splits)]
    rest = min(len(others) for _, others in halves)
    if rest < n:
        of = "" if clusters is None else f" of {len(set(clusters))} prompts"
        return FrechetFloor((), n, rest, f"{len(x)} reference clips{of} leave {rest} against {n}")
    return FrechetFloor(tuple(_split_distances(x, halves, ddof)), n, rest)


def _split_distances(x: Float, halves: Sequence[tuple[Rows, Rows]], ddof: int) -> list[float]:
    """Distance of the two parts of each split.

    Sums and products of the smaller part are taken from those of all rows, which gives the larger one's where both
    make up the whole. With fewer rows than twice the dimensions, or nearly singular, rows themselves serve.
    """
    centre = x.mean(axis=0)
    z = x - centre
    total, second = z.sum(axis=0), z.T @ z
    out = []
    for part, others in halves:
        quick = None
        if min(len(part), len(others)) >= 2 * x.shape[1]:
            sums = (z[part].sum(axis=0), z[part].T @ z[part])
            rest = (
                (total - sums[0], second - sums[1])
                if len(part) + len(others) == len(x)
                else (z[others].sum(axis=0), z[others].T @ z[others])
            )
            moments = []
            for count, (first, product) in ((len(part), sums), (len(others), rest)):
                cov = (product - np.outer(first, first / count)) / (count - ddof)
                moments += [first / count, (cov + cov.T) / 2]
            if _distance_if_sure(*moments) is not None:  # else rounding of the products could show
                (m_a, s_a, m_b, s_b) = moments
                quick = _distance(m_a, _factor_of_cov(s_a), m_b, _factor_of_cov(s_b))
        if quick is None:
            quick = frechet_distance_from_features(x[part], x[others], ddof=ddof)
        out.append(quick)
    return out


def _split(codes: Rows, order: Rows, n: int) -> tuple[Rows, Rows]:
    """Rows in ``order``: the first of each of the first ``n`` clusters, and all rows of the clusters after them."""
    first = np.sort(np.unique(codes[order], return_index=True)[1])
    part = order[first[:n]]
    return part, order[~np.isin(codes[order], codes[part])]


def kernel_distance(
    x: ArrayLike, y: ArrayLike, degree: int = 3, coef0: float = 1.0, unbiased: bool = True
) -> float:
    """Squared maximum mean discrepancy under ``k(a, b) = (a.b / d + coef0)^degree``.

    Source: Binkowski et al. 2018 (KID); Unterthiner et al. 2019 (KVD). The unbiased estimate leaves out the
    diagonals and may be slightly negative; the biased one is >= 0.

    Raises:
        ValueError: Shapes differ, fewer than two rows, a value is not finite, or ``degree`` < 1.
    """
    a, b = _features(x, "x", 1), _features(y, "y", 1)
    _same_width(a, b)
    if degree < 1:
        raise ValueError(f"degree is {degree}; expected 1 or more")
    d = a.shape[1]
    k_aa, k_bb, k_ab = ((p @ q.T / d + coef0) ** degree for p, q in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    if unbiased:
        within = (k_aa.sum() - np.trace(k_aa)) / (n * (n - 1)) + (k_bb.sum() - np.trace(k_bb)) / (m * (m - 1))
        return float(within - 2 * k_ab.mean())
    return max(0.0, float(k_aa.mean() + k_bb.mean() - 2 * k_ab.mean()))


def frechet_interval(
    x: ArrayLike, reference: ArrayLike | Statistics, *, groups: int = 16, confidence: float = 0.95, ddof: int = 1,
    clusters: Sequence[str] | None = None, reference_clusters: Sequence[str] | None = None,
) -> FrechetInterval:  # fmt: skip
    """Plug-in distance with an interval for the *expected distance at this sample size*.

    A Frechet distance from few clips is biased upward by about ``1/n``; a bootstrap of it never covers the
    distance of the populations, so this does not claim to. It is plug-in value +- Student's t times the
    grouped jackknife's standard error, and serves to compare sets of equal size.

    Args:
        x: Features ``(n, d)``.
        reference: Features ``(m, d)``, resampled too; or fixed :class:`Statistics` with the same ``ddof``.
        groups: Jackknife groups; fewer are used where that makes them more even.
        confidence: Coverage.
        ddof: Covariances are divided by ``n - ddof``.
        clusters: Prompt of each row of ``x``; a prompt is never split. Which prompts are left out together goes by a
            digest of their names, so the order of rows does not matter. Default: every row its own, by its number.
        reference_clusters: The same for ``reference``; the same label is the same prompt. Where any is on both sides,
            groups are of the prompts of both, and a group is left out of both at once: what the sides have in common
            is in neither bias nor spread of their distance.

    Raises:
        ValueError: As :func:`frechet_distance_from_features`, or wrong ``groups`` or ``confidence``.
    """
    if groups < MIN_GROUPS or not 0 < confidence < 1:
        raise ValueError(
            f"groups={groups}, confidence={confidence}; expected groups >= {MIN_GROUPS} and 0 < c < 1"
        )
    a = _features(x, "x", ddof)
    if isinstance(reference, Statistics):
        m_b, s_b = _moments(reference.mean, reference.cov, "reference")
        b, factor_b = None, _factor_of_cov(s_b)
    else:
        b = _features(reference, "reference", ddof)
        m_b, factor_b = b.mean(axis=0), _shorten(_factor_of_features(b, ddof))
    if a.shape[1] != len(m_b):
        raise ValueError(f"features have {a.shape[1]} dimensions, the reference {len(m_b)}")
    m_a, factor_a = a.mean(axis=0), _shorten(_factor_of_features(a, ddof))
    value = _distance(m_a, factor_a, m_b, factor_b)
    if b is not None and set(clusters or ()) & set(reference_clusters or ()):
        parts = [_jackknife_of_both(value, a, b, groups, ddof, clusters or (), reference_clusters or ())]
    else:
        parts = [_jackknife(value, a, m_b, factor_b, groups, ddof, clusters)]
        if b is not None:
            parts.append(_jackknife(value, b, m_a, factor_a, groups, ddof, reference_clusters))
    made = [part.groups for part in parts]
    if 0 in made:
        reason = f"no interval: fewer than {MIN_GROUPS} independent prompts to leave out in turn"
        return FrechetInterval(value, None, None, 0, reason)
    from scipy.special import stdtrit

    variance = sum(part.variance for part in parts)
    half = float(stdtrit(min(made) - 1, 0.5 + confidence / 2)) * float(np.sqrt(variance))
    bias = sum(part.bias for part in parts)
    return FrechetInterval(value, max(0.0, value - half), value + half, min(made), bias=bias)


@dataclass(frozen=True)
class _LeftOut:
    """What leaving out groups in turn tells: groups used, variance and bias from the sampling of what they are of."""

    groups: int
    variance: float
    bias: float


class _Side:
    """Rows of a side, without some of which it is wanted; ``wide``, of more rows than dimensions, by its moments."""

    def __init__(self, x: Float, ddof: int, names: Sequence[str]) -> None:
        if len(names) != len(x):
            raise ValueError(f"{len(x)} rows but {len(names)} cluster labels")
        self.x, self.ddof = x, ddof
        self.wide = len(x) > x.shape[1]  # then d x d eigenvalues are cheaper than singular values
        if self.wide:
            self.centre = x.mean(axis=0)
            self.z = x - self.centre
            self.total, self.second = self.z.sum(axis=0), self.z.T @ self.z

    def without(self, rows: Rows) -> tuple[Float, Float]:
        """Mean, and covariance of a wide side or factor of it of another, of the rows but ``rows``."""
        if not self.wide:
            kept = np.delete(self.x, rows, axis=0)
            return kept.mean(axis=0), _factor_of_features(kept, self.ddof)
        left, z = len(self.x) - len(rows), self.z
        mean = (self.total - z[rows].sum(axis=0)) / left
        scatter = self.second - z[rows].T @ z[rows] - left * np.outer(mean, mean)
        return mean + self.centre, scatter / (left - self.ddof)


def _jackknife(
    value: float, x: Float, other_mean: Float, other_factor: Float, groups: int, ddof: int,
    clusters: Sequence[str] | None,
) -> _LeftOut:  # fmt: skip
    """Delete-a-group jackknife over the rows of ``x``, whose distance to the other side is ``value``."""
    n = len(x)
    names = [str(i) for i in range(n)] if clusters is None else list(clusters)
    side, out = _Side(x, ddof, names), jackknife_groups(names, groups)
    if not out or n - max(len(rows) for rows in out) < 2 + ddof:
        return _LeftOut(0, 0.0, 0.0)
    distance = _distance_by_eigenvalues if side.wide else _distance
    values = [distance(*side.without(rows), other_mean, other_factor) for rows in out]
    count = len(out)
    size = float(np.mean([len(rows) for rows in out]))
    spread = float(np.var(values)) * count
    variance = (n - size) ** 2 / (n * size * (count - 1)) * spread
    # A bias of c/n makes the mean of the left-out values c/(n - size) - c/n higher than the value.
    return _LeftOut(count, variance, (float(np.mean(values)) - value) * (n - size) / size)


def _jackknife_of_both(
    value: float, x: Float, y: Float, groups: int, ddof: int, clusters: Sequence[str], others: Sequence[str]
) -> _LeftOut:
    """The same over the prompts of both sides, some of which are on both: a group is left out of both at once.

    Groups of unequal size are weighed by pseudo-values (Busing, Meijer and van der Leeden 1999), as bias goes by the
    share of a side that is left out: the mean of the two sides' shares.
    """
    a, b, out = _Side(x, ddof, clusters), _Side(y, ddof, others), joint_groups(clusters, others, groups)
    if not out or min(len(s.x) - max(len(pair[i]) for pair in out) for i, s in enumerate((a, b))) < 2 + ddof:
        return _LeftOut(0, 0.0, 0.0)
    values = []
    for rows_a, rows_b in out:
        ours, theirs = a.without(rows_a), b.without(rows_b)
        if a.wide and b.wide:
            theirs = theirs[0], _factor_of_cov(theirs[1])
        wide, narrow = (ours, theirs) if a.wide else (theirs, ours)
        values.append((_distance_by_eigenvalues if a.wide or b.wide else _distance)(*wide, *narrow))
    share = np.array([(len(i) / len(x) + len(j) / len(y)) / 2 for i, j in out])
    apart = (1 - share) * (np.array(values) - value)  # their sum is the bias
    pseudo = value - apart / share
    variance = float((np.square(pseudo - value + apart.sum()) * share / (1 - share)).mean())
    return _LeftOut(len(out), variance, float(apart.sum()))


def _distance(m_a: Float, f_a: Float, m_b: Float, f_b: Float) -> float:
    """Distance from means and factors ``(r, d)`` with ``S = F^T F``; singular values keep full precision."""
    nuclear = float(np.linalg.svd(_shorten(f_a) @ _shorten(f_b).T, compute_uv=False).sum())
    traces = float((f_a**2).sum() + (f_b**2).sum())
    return max(0.0, float(((m_a - m_b) ** 2).sum()) + traces - 2 * nuclear)


def _distance_if_sure(m_a: Float, s_a: Float, m_b: Float, s_b: Float) -> float | None:
    """The distance by eigenvalues of ``L_a^T S_b L_a``, or ``None`` where their rounding could reach 1e-7 of it.

    Eigenvalues of a symmetric matrix are right to about an ulp of the *largest*; a root ``s`` of one is then right
    to that over ``2 s``. Where roots are small, or the distance small beside the traces, singular values serve.
    """
    from scipy.linalg.lapack import dpotrf, dsterf, dsygst, dsytrd

    if np.trace(s_b) < np.trace(s_a):  # the same one is factored in either order, so rounding is the same too
        s_a, s_b = s_b, s_a
    # All by one library's routines: numpy brings a BLAS of its own, whose waiting threads would take scipy's cores.
    upper, failed = dpotrf(s_a.T, lower=0, clean=0)
    if failed:
        return None
    product, _ = dsygst(
        s_b.T, upper, itype=2
    )  # U S_b U^T, the upper triangle of it: half of the work of two products
    # Small blocks: of so small a matrix half of the reduction is products with a vector, whatever their size.
    _, diagonal, off, _, _ = dsytrd(product, lower=0, lwork=_BLOCK * len(m_a), overwrite_a=1)
    squares, failed = dsterf(diagonal, off) if len(m_a) > 1 else (diagonal, 0)
    if failed or not squares[0] > 0:  # S_b is not positive definite either
        return None
    roots = np.sqrt(squares)
    traces = float(np.trace(s_a) + np.trace(s_b))
    distance = float(((m_a - m_b) ** 2).sum()) + traces - 2 * float(roots.sum())
    largest = float(np.sqrt(np.einsum("ij,ij->", s_a, s_a) * np.einsum("ij,ij->", s_b, s_b)))
    rounding = np.finfo(np.float64).eps * largest * float((1 / roots).sum())
    return distance if rounding <= 1e-7 * distance else None


def _distance_by_eigenvalues(m_a: Float, s_a: Float, m_b: Float, f_b: Float) -> float:
    product = f_b @ s_a @ f_b.T
    values = np.linalg.eigvalsh((product + product.T) / 2)
    nuclear = float(np.sqrt(np.clip(values, 0, None)).sum())
    return max(0.0, float(((m_a - m_b) ** 2).sum() + np.trace(s_a) + (f_b**2).sum()) - 2 * nuclear)


def _shorten(factor: Float) -> Float:
    """A factor of the same covariance with at most d rows: the triangle of its QR decomposition."""
    if factor.shape[0] <= factor.shape[1]:
        return factor
    return np.asarray(np.linalg.qr(factor, mode="r"), dtype=np.float64)


def _factor_of_features(x: Float, ddof: int) -> Float:
    return np.asarray((x - x.mean(axis=0)) / np.sqrt(len(x) - ddof), dtype=np.float64)


def _factor_of_cov(cov: Float) -> Float:
    try:
        return np.asarray(np.linalg.cholesky(cov).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
    if values[0] < -1e-6 * max(values[-1], 0.0) - 1e-12:
        raise ValueError(f"covariance has the negative eigenvalue {values[0]:.3g}; it is no covariance")
    return np.asarray(np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T, dtype=np.float64)


def _features(x: ArrayLike, name: str, ddof: int) -> Float:
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected (n, d)")
    if ddof not in (0, 1):
        raise ValueError(f"ddof is {ddof}; expected 0 or 1")
    if len(array) < 2:
        raise ValueError(f"{name} has {len(array)} row(s); a covariance takes two or more")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array


def _moments(mean: ArrayLike, cov: ArrayLike, name: str) -> tuple[Float, Float]:
    m, s = np.asarray(mean, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if m.ndim != 1 or s.shape != (len(m), len(m)) or len(m) == 0:
        raise ValueError(f"{name}: mean {m.shape} and covariance {s.shape}; expected (d,) and (d, d)")
    scale = float(max(s.max(), -s.min()))
    if not (np.isfinite(m).all() and np.isfinite(scale)):
        raise ValueError(f"{name}: mean or covariance holds values that are not finite")
    if np.array_equal(s, s.T):
        return m, s
    if float(np.abs(s - s.T).max()) > 1e-6 * scale:
        raise ValueError(f"{name}: the covariance is not symmetric")
    return m, (s + s.T) / 2


def _same_width(a: Float, b: Float) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features have {a.shape[1]} and {b.shape[1]} dimensions; both must come from one network"
        )
