"""What a face embedder is: aligned chips -> vectors whose closeness stands for likeness, and how close is close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Measure = Literal["l2", "cosine"]
Float = NDArray[np.float32] | NDArray[np.float64]


class EmbedderOptions(BaseModel):
    """Base of the options of embedders: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold somebody published for an embedder.

    Attributes:
        name: ``published``, or ``strict`` for the one with fewer false matches.
        similarity: Faces at least this similar are called the same person there (:meth:`FaceEmbedder.similarity`).
        stated: The threshold in the source's own terms, e.g. ``L2 distance 0.6``.
        source: Who published it, with what error rate.
    """

    name: Literal["published", "strict"]
    similarity: float
    stated: str
    source: str


@runtime_checkable
class FaceEmbedder(Protocol):
    """Aligned face chips -> vectors.

    Class attributes:
        name: Registered name.
        Options: Pydantic model of the options.
        path_options: Names of options that are paths; relative ones are relative to the suite's folder.

    ``fingerprint`` names everything that can change a vector (weights digest, alignment, normalisation) but no
    paths; vectors of different fingerprints are never compared. Constructing must not import torch nor load
    weights. ``dimension``, ``measure`` and ``points`` are known after construction. Normalisation belongs to the
    embedder: nobody else rescales its vectors.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    path_options: ClassVar[tuple[str, ...]]
    fingerprint: str
    dimension: int
    measure: Measure
    points: tuple[OperatingPoint, ...]

    def __init__(self, options: Any) -> None: ...

    def load(self) -> None:
        """Load weights; called before the first :meth:`align`, any number of times.

        Raises:
            Unavailable: Weights or a package are missing; the message names the command that gets them.
        """
        ...

    def align(
        self, rgb: NDArray[np.uint8], boxes: NDArray[np.float32], landmarks: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Cut the faces out of one frame the way the network was trained.

        Args:
            rgb: uint8 ``(height, width, 3)``.
            boxes: float32 ``(n, 4)``: left, top, right, bottom; may leave the frame.
            landmarks: float32 ``(n, 5, 2)``: x, y of eyes, nose, corners of the mouth.

        Returns:
            uint8 ``(n, size, size, 3)``, RGB.
        """
        ...

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``(n, dimension)`` of chips from :meth:`align`. Thread-safe."""
        ...

    def similarity(self, a: Float, b: Float) -> NDArray[np.float64]:
        """``(n, m)`` for vectors ``(n, d)`` and ``(m, d)``; higher is more alike, 1 is identical."""
        ...


def published_point(points: Sequence[OperatingPoint]) -> OperatingPoint | None:
    """The point at which a match is called, if anybody published one."""
    return next((p for p in points if p.name == "published"), None)


def l2_distances(a: Float, b: Float) -> NDArray[np.float64]:
    """Euclidean distances, shape ``(n, m)``, in float64.

    By the matrix product ``|a|^2 + |b|^2 - 2 a.b``; where that cancels (close vectors) the difference itself is
    taken, so the error stays below 1e-6 of the vectors' norm.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :]
    squared = scale - 2 * x @ y.T
    close = np.argwhere(squared < 1e-8 * scale)
    for start in range(0, len(close), 4096):
        rows, columns = close[start : start + 4096].T
        squared[rows, columns] = ((x[rows] - y[columns]) ** 2).sum(1)
    distances: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return distances


def l2_similarity(a: Float, b: Float) -> NDArray[np.float64]:
    """``1 - L2``: at most 1; negative for vectors more than 1 apart."""
    return 1.0 - l2_distances(a, b)


def cosine_similarity(a: Float, b: Float) -> NDArray[np.float64]:
    """Cosine of vectors that have unit norm, cut to [-1, 1] where rounding passes it."""
    product = a.astype(np.float64) @ b.astype(np.float64).T
    cut: NDArray[np.float64] = np.clip(product, -1.0, 1.0)
    return cut


def mean_embedding(
    vectors: Float, measure: Measure, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Mean ``(d,)`` of vectors ``(m, d)``: raw where they are compared by L2, of unit norm where by cosine.

    Args:
        vectors: At least one.
        measure: How the embedder's vectors are compared.
        weights: ``(m,)``, not all zero; without, all count the same.

    Raises:
        ValueError: Vectors compared by cosine cancel: their mean has no direction.
    """
    mean: NDArray[np.float64] = np.average(vectors.astype(np.float64), axis=0, weights=weights)[None]
    found: NDArray[np.float32] = (unit_norm(mean) if measure == "cosine" else mean.astype(np.float32))[0]
    return found


def unit_norm(vectors: Float) -> NDArray[np.float32]:
    """Rows scaled to norm 1.

    Raises:
        ValueError: A row is zero or not finite: it has no direction.
    """
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise ValueError("the network gave a vector without direction (zero or not finite)")
    scaled: NDArray[np.float32] = (vectors / norms).astype(np.float32)
    return scaled
