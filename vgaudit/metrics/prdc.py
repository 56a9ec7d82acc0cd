"""Precision, recall, density and coverage of generated features against real ones, by nearest neighbours.

``fvd`` reports them (:mod:`vgaudit.metrics.fvd_results`). Distances come from products of the rows, several times
faster than from differences; what the rounding of that could hide counts as a tie, and ties are inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 2048


@dataclass(frozen=True)
class Neighbourhoods:
    """What :func:`precision_recall_density_coverage` finds.

    Attributes:
        precision: Share of generated samples inside the neighbourhood of some real one; 0 to 1, higher is better.
        recall: Share of real samples inside the neighbourhood of some generated one; 0 to 1, higher is better.
        density: Mean number of real neighbourhoods a generated sample is in, divided by ``k``; 0 upwards, higher is
            better, near 1 for samples of one distribution.
        coverage: Share of real samples whose neighbourhood holds a generated one; 0 to 1, higher is better.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall_density_coverage(x: ArrayLike, y: ArrayLike, k: int = 5) -> Neighbourhoods:
    """How samples ``y`` lie among samples ``x``.

    The neighbourhood of a sample is the ball up to its ``k``-th nearest other sample of its own set, Euclidean, edge
    included. Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

    Args:
        x: Real features, ``(n, d)``.
        y: Generated features, ``(m, d)``.
        k: Neighbours, from 1 to one less than the smaller set.

    Raises:
        ValueError: Shapes do not fit, a value is not finite, or a set is too small for ``k``.
    """
    real, made = _rows(x, "x"), _rows(y, "y")
    if real.shape[1] != made.shape[1]:
        raise ValueError(f"x has {real.shape[1]} features and y {made.shape[1]}; expected as many")
    if not 1 <= k < min(len(real), len(made)):
        raise ValueError(
            f"k is {k}; expected 1 to {min(len(real), len(made)) - 1}, with {len(real)} and {len(made)} samples"
        )
    near = real.mean(axis=0)  # less it, all are small, and so is what rounding takes of their distances
    real, made = real - near, made - near
    tie = 1e-13 * max(float((rows**2).sum(axis=1).max()) for rows in (real, made))
    real_radius, made_radius = _radii(real, k) + tie, _radii(made, k) + tie
    inside = np.zeros(len(made), np.int64)
    recalled = np.zeros(len(real), bool)
    nearest = np.full(len(real), np.inf)
    for start in range(0, len(made), _BLOCK):
        part = slice(start, start + _BLOCK)
        distances = _distances(real, made[part])
        inside[part] = (distances <= real_radius[:, None]).sum(0)
        recalled |= (distances <= made_radius[None, part]).any(1)
        nearest = np.minimum(nearest, distances.min(1))
    return Neighbourhoods(
        precision=float((inside > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside.mean() / k),
        coverage=float((nearest <= real_radius).mean()),
    )


def _rows(values: ArrayLike, name: str) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError(f"{name} has shape {rows.shape}; expected (samples, features)")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds values that are NaN or infinite")
    return rows


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances of all rows with all rows."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None]
    return np.asarray(np.maximum(squares - 2 * (a @ b.T), 0.0))


def _radii(rows: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Squared distance of each row to its ``k``-th nearest other one."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        distances = _distances(rows[start : start + _BLOCK], rows)
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = -1.0  # itself comes first
        out[start : start + _BLOCK] = np.partition(distances, k, axis=1)[:, k]
    return out
