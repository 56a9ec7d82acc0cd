"""Statistics of a reference set for FVD, read from a file: numbers only, nothing in it can run.

A file (``.npz`` or ``.safetensors``) holds ``mean`` ``(d,)``, ``num_clips``, and ``cov_biased`` (divided by N) or
``cov`` (divided by N - 1), both ``(d, d)``.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import UsageError
from vgaudit.metrics.frechet import Statistics, frechet_distance

MAX_BYTES = 1 << 28  # 256 MiB: a covariance of 4,096 dimensions takes half of it
_MAX_CLIPS = 10**12  # beyond any data set; within it a float64 holds every count exactly
_EXPECTED = "expected an .npz or .safetensors with mean (d,), num_clips, and cov_biased or cov (d, d)"


@dataclass(frozen=True)
class ReferenceStatistics:
    """Statistics of real clips in the normalisation of the protocol.

    Attributes:
        biased: Covariance divided by N.
        name: The file's name.
    """

    biased: Statistics
    name: str


def read_statistics(path: Path) -> ReferenceStatistics:
    """Read and check a file of statistics.

    Raises:
        UsageError: Missing, too large, or not such a file; says what is wrong.
    """
    if not path.is_file():
        raise UsageError(f"fvd.reference: no file at {path}; {_EXPECTED}")
    try:
        arrays = _read(path)
        mean = np.asarray(arrays["mean"], dtype=np.float64)
        n = _clip_count(arrays["num_clips"])
        if "cov_biased" in arrays:
            cov = np.asarray(arrays["cov_biased"], dtype=np.float64)
        else:
            cov = np.asarray(arrays["cov"], dtype=np.float64) * ((n - 1) / n)
        frechet_distance(mean, cov, mean, cov)  # checks shapes, finiteness, symmetry, eigenvalues
    except KeyError as error:
        raise UsageError(f"fvd.reference: {path} has no array {error}; {_EXPECTED}") from error
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"fvd.reference: {path} cannot be used: {error}; {_EXPECTED}") from error
    return ReferenceStatistics(Statistics(n, mean, cov), path.name)


def _clip_count(stored: NDArray[Any]) -> int:
    """The one number in ``stored``, of any numeric type.

    Raises:
        ValueError: It is no whole number of two or more clips.
    """
    n = float(np.asarray(stored).reshape(()))
    if not (2 <= n <= _MAX_CLIPS and n.is_integer()):  # NaN fails every comparison
        raise ValueError(f"num_clips is {n:g}, not a whole number from 2 to {_MAX_CLIPS:,}")
    return int(n)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    with zipfile.ZipFile(path) as archive:  # before numpy unpacks it: a small archive can hold a large array
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
    with np.load(path, allow_pickle=False) as stored:
        return {
            name: stored[name] for name in ("mean", "num_clips", "cov_biased", "cov") if name in stored.files
        }
