"""Sums of a kernel over pairs of clips of different prompts: the kernel distance, its interval, and its test.

A clip and another one of its prompt are no independent draws, whichever side they are on. So their pairs are left out
within a side and across the two, and the value stays unbiased where prompts are on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.deals import PERMUTATIONS, Blocks, PermutationTest, permuted
from vgaudit.metrics.leave_out import MIN_GROUPS

Float = NDArray[np.float64]
Codes = NDArray[np.int64]

_BLOCK = 1024
_NO_ERROR = 1e-13  # of the kernel's means: what rounding makes of an error of 0


class Polynomial:
    """``(a.b / d + coef0)^degree`` of all rows with all rows."""

    def __init__(self, d: int, degree: int, coef0: float) -> None:
        if degree < 1:
            raise ValueError(f"degree is {degree}; expected 1 or more")
        self._d, self._degree, self._coef0 = d, degree, coef0

    def __call__(self, a: Float, b: Float) -> Float:
        """``(rows of a, rows of b)``."""
        base = a @ b.T / self._d + self._coef0
        out = base
        for _ in range(self._degree - 1):  # several times faster than a power
            out = out * base
        return out


def minus_distance(a: Float, b: Float) -> Float:
    """Euclidean distance of all rows with all rows, with the sign of a kernel."""
    from scipy.spatial.distance import cdist

    return -np.asarray(cdist(a, b), dtype=np.float64)


def block_sums(
    kernel: Callable[[Float, Float], Float],
    a: Float,
    b: Float,
    rows: Codes,
    columns: Codes,
) -> Float:
    """Sums of the kernel over pairs of cells, ``(cells of a, cells of b)``; rows go through in blocks."""
    order = np.argsort(columns, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns))[:-1]])
    whole = len(starts) == len(b)
    alone = rows.max() + 1 == len(a) and bool((np.diff(rows) == 1).all())  # then nothing is added up
    out = np.zeros((int(rows.max()) + 1, len(starts)))
    for start in range(0, len(a), _BLOCK):
        part = slice(start, start + _BLOCK)
        values = kernel(a[part], b[order])
        if not whole:
            values = np.add.reduceat(values, starts, axis=1)
        if alone:
            out[part] = values
        else:
            np.add.at(out, rows[part], values)
    return out


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


@dataclass(frozen=True, eq=False)
class KernelSums:
    """Sums of one kernel over pairs of prompts, from which estimate, interval and test are made.

    Attributes:
        blocks: The sums, 0 for a prompt with itself.
    """

    blocks: Blocks

    @classmethod
    def of(
        cls, x: ArrayLike, y: ArrayLike, degree: int = 3, coef0: float = 1.0,
        clusters: Sequence[str] | None = None, other_clusters: Sequence[str] | None = None,
    ) -> KernelSums:  # fmt: skip
        """Of two sets; arguments and errors of :func:`~vgaudit.metrics.estimators.kernel_interval`."""
        return cls.by(lambda d: Polynomial(d, degree, coef0), x, y, clusters, other_clusters)

    @classmethod
    def by(
        cls, kernel_of: Callable[[int], Callable[[Float, Float], Float]], x: ArrayLike, y: ArrayLike,
        clusters: Sequence[str] | None = None, other_clusters: Sequence[str] | None = None,
    ) -> KernelSums:  # fmt: skip
        """Of two sets by the kernel for their number of features."""
        a, b, codes_a, codes_b = two_sets(x, y, clusters, other_clusters)
        kernel = kernel_of(a.shape[1])
        (prompts_a, own_a), (prompts_b, own_b) = (
            np.unique(codes, return_inverse=True) for codes in (codes_a, codes_b)
        )
        withins = [block_sums(kernel, side, side, own, own) for side, own in ((a, own_a), (b, own_b))]
        for within in withins:
            np.fill_diagonal(within, 0.0)
        across = block_sums(kernel, a, b, own_a, own_b)
        _, in_a, in_b = np.intersect1d(prompts_a, prompts_b, assume_unique=True, return_indices=True)
        across[in_a, in_b] = 0.0
        size_a, size_b = (np.bincount(own).astype(np.float64) for own in (own_a, own_b))
        return cls(Blocks(withins[0], across, withins[1], size_a, size_b, prompts_a, prompts_b))

    def interval(self, confidence: float = 0.95) -> KernelInterval:
        """The unbiased distance with an interval, see :func:`~vgaudit.metrics.estimators.kernel_interval`.

        Raises:
            ValueError: ``confidence`` is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence is {confidence}; expected 0 < c < 1")
        b = self.blocks
        a_side = _Pairs.within(b.within_a, b.prompts_a, b.sizes_a, b.prompts)
        b_side = _Pairs.within(b.within_b, b.prompts_b, b.sizes_b, b.prompts)
        across = _Pairs.across(b)
        value = a_side.mean + b_side.mean - 2 * across.mean
        in_a, in_b = a_side.sizes > 0, b_side.sizes > 0
        count = int(min(in_a.sum(), in_b.sum()))
        if count < MIN_GROUPS:
            reason = f"no interval: {count} independent prompts on a side; expected {MIN_GROUPS} or more"
            return KernelInterval(value, None, None, count, reason)
        # What each prompt adds to the estimate's error: its leave-one-out difference, in the jackknife's scale. Two
        # sides without a prompt in common are two samples; else the prompts, with what they have, are one.
        left = a_side.left_out + b_side.left_out - 2 * across.left_out
        own = np.zeros(b.prompts)
        for part in [in_a | in_b] if (in_a & in_b).any() else [in_a, in_b]:
            own[part] = np.sqrt(1 - 1 / part.sum()) * (left[part].mean() - left[part])
        error = math.sqrt((own**2).sum())
        if error <= _NO_ERROR * (abs(a_side.mean) + abs(b_side.mean)):
            reason = "no interval: the distance is the same without any prompt, so nothing tells its error"
            return KernelInterval(value, None, None, count, reason)
        third = (own**3).sum()
        pairs = a_side.form(own) + b_side.form(own) - 2 * across.form(own)
        from scipy.special import stdtrit

        t = float(stdtrit(count - 1, 0.5 + confidence / 2))
        skew = ((2 * t * t + 1) * third + (t * t + 1) * 6 * pairs) / (6 * error**3)
        return KernelInterval(
            value, float(value - t * error), float(value + (t + max(0.0, skew)) * error), count
        )

    def test(self, permutations: int = PERMUTATIONS, seed: int = 0) -> PermutationTest:
        """Whether both could be draws of one population, see :func:`~vgaudit.metrics.estimators.permutation_test`.

        Raises:
            ValueError: ``permutations`` is below 1, or prompts have unequal numbers of clips (see
                :func:`~vgaudit.metrics.deals.evened`).
        """
        return permuted(self.blocks, permutations, seed)


@dataclass(frozen=True)
class _Pairs:
    """Kernel sums of the prompts of one set with those of another, or with each other; a prompt with itself left out.

    Sums and sizes are by prompt, of all prompts of both sides; 0 where a prompt has no row in the set.
    """

    blocks: Float
    first: Codes
    """Prompt of each row of ``blocks``."""
    second: Codes
    """Prompt of each column."""
    rows: Float
    """Sum of all that each prompt's rows hold."""
    columns: Float
    sizes: Float
    """Rows of each prompt in the first set."""
    others: Float
    """And in the second."""

    @classmethod
    def within(cls, blocks: Float, prompts: Codes, sizes: Float, total: int) -> _Pairs:
        sums, counts = _spread(prompts, blocks.sum(1), total), _spread(prompts, sizes, total)
        return cls(blocks, prompts, prompts, sums, sums, counts, counts)

    @classmethod
    def across(cls, b: Blocks) -> _Pairs:
        sides = ((b.prompts_a, b.across.sum(1), b.sizes_a), (b.prompts_b, b.across.sum(0), b.sizes_b))
        rows, columns = (_spread(p, sums, b.prompts) for p, sums, _ in sides)
        sizes, others = (_spread(p, counts, b.prompts) for p, _, counts in sides)
        return cls(b.across, b.prompts_a, b.prompts_b, rows, columns, sizes, others)

    @property
    def _pairs(self) -> float:
        return float(self.sizes.sum() * self.others.sum() - self.sizes @ self.others)

    @property
    def mean(self) -> float:
        """Over pairs of rows of different prompts."""
        return float(self.rows.sum()) / self._pairs

    @property
    def left_out(self) -> Float:
        """:attr:`mean` without each prompt in turn, on whichever sides it is."""
        n, m, own = self.sizes, self.others, self.sizes @ self.others
        pairs = (n.sum() - n) * (m.sum() - m) - (own - n * m)
        return np.asarray((self.rows.sum() - self.rows - self.columns) / pairs, dtype=np.float64)

    def form(self, own: Float) -> float:
        """``sum over prompts k != l of own_k q_kl own_l``: q is what a pair adds that neither prompt adds alone."""
        n, m = self.sizes, self.others
        rows, columns = (
            np.divide(sums, pairs, out=np.zeros_like(sums), where=pairs > 0)
            for sums, pairs in ((self.rows, n * (m.sum() - m)), (self.columns, m * (n.sum() - n)))
        )
        a, b = own * n, own * m
        alone = (a @ rows) * b.sum() + a.sum() * (b @ columns) - self.mean * a.sum() * b.sum()
        alone -= float((a * b * (rows + columns - self.mean)).sum())
        return float(own[self.first] @ self.blocks @ own[self.second] - alone) / self._pairs


def _spread(prompts: Codes, values: Float, total: int) -> Float:
    out = np.zeros(total)
    out[prompts] = values
    return out


def two_sets(
    x: ArrayLike, y: ArrayLike, clusters: Sequence[str] | None, other_clusters: Sequence[str] | None
) -> tuple[Float, Float, Codes, Codes]:
    """Both sets and the number of each row's prompt, from 0: one number where both sides have a label."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    codes: list[Codes] = []
    number: dict[object, int] = {}
    for rows, names, name in ((a, clusters, "x"), (b, other_clusters, "y")):
        if rows.ndim != 2 or not rows.shape[1]:
            raise ValueError(f"{name} has shape {rows.shape}; expected (n, d)")
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} holds values that are not finite")
        if names is not None and len(names) != len(rows):
            raise ValueError(f"{name} has {len(rows)} rows but {len(names)} cluster labels")
        labels: list[object] = [(name, i) for i in range(len(rows))] if names is None else list(names)
        codes.append(np.array([number.setdefault(c, len(number)) for c in labels], dtype=np.int64))
        if (count := len(set(labels))) < 2:
            raise ValueError(f"{name} has {count} cluster(s); expected two or more")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x has {a.shape[1]} features and y {b.shape[1]}; both must come from one network")
    return a, b, codes[0], codes[1]
