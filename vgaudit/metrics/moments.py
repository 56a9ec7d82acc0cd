"""Mean and scatter of feature vectors that come in batches or in shards: memory of ``d^2`` whatever their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.metrics.frechet import Statistics

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """How many vectors there were, their mean, and the sum of squares about it.

    Batches are centred before they are squared and shards are joined by the difference of their means (Chan, Golub
    and LeVeque 1983), so a mean far from zero costs no digits, as ``E[xx^T] - mm^T`` would. Joining is the same in
    any order up to rounding. Values are never changed: :meth:`update` and :meth:`merge` give new ones.

    Attributes:
        n: Vectors seen, 0 or more.
        mean: ``(d,)``, float64, in feature units; zeros where ``n`` is 0.
        scatter: ``(d, d)``, float64, symmetric: the sum over vectors of ``(x - mean)(x - mean)^T``.

    Raises:
        ValueError: The parts do not fit together.
    """

    n: int
    mean: Float
    scatter: Float

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or not len(self.mean) or self.scatter.shape != (len(self.mean),) * 2:
            raise ValueError(
                f"mean has shape {self.mean.shape} and scatter {self.scatter.shape}; expected (d,) and (d, d)"
            )
        if self.n < 0:
            raise ValueError(f"n is {self.n}; expected 0 or more")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scatter).all()):
            raise ValueError("mean or scatter holds values that are not finite")
        if (self.n < 2 and self.scatter.any()) or (self.n == 0 and self.mean.any()):
            raise ValueError(
                f"n is {self.n}, but mean or scatter is not that of so few vectors; expected zeros"
            )

    @classmethod
    def empty(cls, d: int) -> Moments:
        """Of no vector yet, ``d`` features wide.

        Raises:
            ValueError: ``d`` is below 1.
        """
        if d < 1:
            raise ValueError(f"d is {d}; expected 1 or more features")
        return cls(0, np.zeros(d), np.zeros((d, d)))

    @classmethod
    def of(cls, features: ArrayLike) -> Moments:
        """Of all rows of ``features`` ``(n, d)``; no row and one row are allowed.

        Raises:
            ValueError: Not a matrix with columns, or a value is not finite.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or not x.shape[1]:
            raise ValueError(f"features have shape {x.shape}; expected (n, d), d at least 1")
        if not np.isfinite(x).all():
            raise ValueError("features hold values that are not finite")
        if len(x) < 2:
            return cls(len(x), x.sum(axis=0), np.zeros((x.shape[1], x.shape[1])))
        near = x[0]  # one of them: less it, all are small, and so is what rounding takes of their mean
        z = x - near
        centre = z.mean(axis=0)
        z -= centre
        return cls(len(x), near + centre, z.T @ z)

    def update(self, batch: ArrayLike) -> Moments:
        """With the rows of ``batch`` ``(k, d)`` besides; an empty batch changes nothing.

        Raises:
            ValueError: As :meth:`of` and :meth:`merge`.
        """
        return self.merge(Moments.of(batch))

    def merge(self, other: Moments) -> Moments:
        """Of both together.

        Raises:
            ValueError: They differ in width.
        """
        if len(self.mean) != len(other.mean):
            raise ValueError(
                f"moments of {len(self.mean)} and of {len(other.mean)} features; both must come from one network"
            )
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(apart, apart) * (self.n * other.n / n)
        return Moments(n, self.mean + apart * (other.n / n), scatter)

    def statistics(self, ddof: int = 1) -> Statistics:
        """Mean and covariance, divided by ``n - ddof``.

        Raises:
            ValueError: Fewer than two vectors, or ``ddof`` is neither 0 nor 1.
        """
        if ddof not in (0, 1):
            raise ValueError(f"ddof is {ddof}; expected 0 or 1")
        if self.n < 2:
            raise ValueError(f"moments of {self.n} vector(s); a covariance takes two or more")
        return Statistics(self.n, self.mean, self.scatter / (self.n - ddof))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """``n`` ``(1,)`` int64, ``mean`` and ``scatter`` float64, contiguous: as ``safetensors`` stores them."""
        return {
            "n": np.array([self.n], dtype=np.int64),
            "mean": np.ascontiguousarray(self.mean),
            "scatter": np.ascontiguousarray(self.scatter),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Moments:
        """What :meth:`arrays` gave.

        Raises:
            ValueError: One is missing, has another shape, or holds what no moments hold.
        """
        missing = [name for name in ("n", "mean", "scatter") if name not in arrays]
        if missing:
            raise ValueError(f"no array {', '.join(missing)}; expected n (1,), mean (d,) and scatter (d, d)")
        count = np.asarray(arrays["n"])
        if count.size != 1 or not np.issubdtype(count.dtype, np.integer):
            raise ValueError(f"n has shape {count.shape} and type {count.dtype}; expected one whole number")
        mean, scatter = (np.asarray(arrays[name], dtype=np.float64) for name in ("mean", "scatter"))
        return cls(int(count.reshape(())), mean, scatter)
