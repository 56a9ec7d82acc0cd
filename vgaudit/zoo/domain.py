"""Whether a bundled network knows what a clip shows: the distance of the clip's feature to what it was trained on.

The networks that ship with the package have seen one small world. On anything else they still give numbers, and
nothing in a number shows it. So a file of theirs says where the features of their world lie, and a feature that lies
elsewhere is not judged (:mod:`vgaudit.metrics.domain_guard`). The distance is a Mahalanobis distance in the leading
directions of the training features, ``|(x - mean) @ whitening|``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.errors import Unavailable
from vgaudit.zoo.catalogue import WEIGHTS
from vgaudit.zoo.resolve import bundled_file

FILENAME = "domain.safetensors"
_MAX_BYTES = 1 << 26


@dataclass(frozen=True)
class DomainModel:
    """Where the features of a network's own world lie.

    Attributes:
        mean: ``(d,)``, of the clip-level features.
        whitening: ``(d, k)``: directions, each divided by the features' spread along it.
        threshold: Largest distance of a clip that is of this world.
        domain: Name of the world, as backends declare it.
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    threshold: float
    domain: str = ""


def domain_distance(feature: ArrayLike, model: DomainModel) -> float:
    """``|(x - mean) @ whitening|`` of a clip-level feature ``(d,)``; >= 0.

    Raises:
        ValueError: The feature has another shape, or is not finite.
    """
    x = np.asarray(feature, dtype=np.float64)
    if x.shape != model.mean.shape:
        raise ValueError(f"a clip's feature has shape {x.shape}; expected {model.mean.shape}")
    distance = float(np.linalg.norm((x - model.mean) @ model.whitening))
    if not np.isfinite(distance):
        raise ValueError("a clip's feature is not finite, so its domain cannot be judged")
    return distance


def read_domain(path: Path, domain: str = "") -> DomainModel:
    """Read and check a file with ``mean`` ``(d,)``, ``whitening`` ``(d, k)`` and ``threshold`` ``(1,)``.

    Raises:
        ValueError: It is no such file; says what is wrong.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES} bytes")
    try:
        arrays = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if lacking := {"mean", "whitening", "threshold"} - arrays.keys():
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    mean, whitening, threshold = (
        np.asarray(arrays[k], dtype=np.float64) for k in ("mean", "whitening", "threshold")
    )
    d, k = mean.size, whitening.shape[-1] if whitening.ndim else 0
    if mean.shape != (d,) or whitening.shape != (d, k) or not d or not k or threshold.shape != (1,):
        raise ValueError(
            f"it holds mean {mean.shape}, whitening {whitening.shape}, threshold {threshold.shape}; expected (d,), "
            "(d, k), (1,)"
        )
    if not all(np.isfinite(a).all() for a in (mean, whitening, threshold)) or threshold[0] <= 0:
        raise ValueError("it holds values that are not finite, or a threshold that is not positive")
    return DomainModel(mean, whitening, float(threshold[0]), domain)


def guard_for(weights_name: str) -> DomainModel | None:
    """Where the features of the named network's own world lie; ``None`` for networks that are not bundled.

    Raises:
        Unavailable: The network is bundled, but its file is missing, is not the pinned one, or cannot be used: then
            nothing it says can be trusted.
    """
    entry = WEIGHTS.get(weights_name)
    if entry is None or not entry.bundled:
        return None
    found = bundled_file(entry, FILENAME)
    try:
        return _read(found.path, found.sha256, entry.domain)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{FILENAME} of {entry.name} cannot be used: {error}", f"run `{entry.download_command}`"
        ) from error


@lru_cache(maxsize=8)
def _read(path: Path, sha256: str, domain: str) -> DomainModel:
    """``sha256`` stands for the bytes: the same file is read once."""
    return read_domain(path, domain)
