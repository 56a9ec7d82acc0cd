"""Sums of a kernel over pairs of clusters, from which estimates that leave whole prompts out are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

_BLOCK = 1024


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
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> Float:
    """Sums of the kernel over pairs of clusters, ``(clusters of a, clusters of b)``; rows go through in blocks."""
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


def dealt(blocks: Float, sizes: Float, sides: Float) -> Float:
    """Distance for each deal: ``sides`` ``(clusters, deals)`` has 1 where a cluster is on the first side, else 0."""
    rows = blocks.sum(axis=1)
    aa = (sides * (blocks @ sides)).sum(axis=0)
    ab = rows @ sides - aa
    bb = blocks.sum() - aa - 2 * ab
    n, n_own = sizes @ sides, (sizes**2) @ sides
    m, m_own = sizes.sum() - n, (sizes**2).sum() - n_own
    return np.asarray(aa / (n**2 - n_own) + bb / (m**2 - m_own) - 2 * ab / (n * m), dtype=np.float64)


def two_sets(
    x: ArrayLike, y: ArrayLike, clusters: Sequence[str] | None, other_clusters: Sequence[str] | None
) -> tuple[Float, Float, NDArray[np.int64], NDArray[np.int64]]:
    """Both sets and the number of each row's cluster, from 0, in the order they come."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    codes = []
    for rows, names, name in ((a, clusters, "x"), (b, other_clusters, "y")):
        if rows.ndim != 2 or not rows.shape[1]:
            raise ValueError(f"{name} has shape {rows.shape}; expected (n, d)")
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} holds values that are not finite")
        if names is not None and len(names) != len(rows):
            raise ValueError(f"{name} has {len(rows)} rows but {len(names)} cluster labels")
        number = {c: i for i, c in enumerate(dict.fromkeys(range(len(rows)) if names is None else names))}
        codes.append(
            np.array([number[c] for c in (range(len(rows)) if names is None else names)], dtype=np.int64)
        )
        if len(number) < 2:
            raise ValueError(f"{name} has {len(number)} cluster(s); expected two or more")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x has {a.shape[1]} features and y {b.shape[1]}; both must come from one network")
    return a, b, codes[0], codes[1]
