"""How exact a Frechet distance from statistics is, against 60 digits of arithmetic, and how exact ``sqrtm``'s is.

    python benchmarks/fvd_precision.py [--pairs 40]

Random covariances of 6 to 13 dimensions: well conditioned; spectra over 12 decades, the second the first's 1.1 times
or not; fewer rows than dimensions; and spectra over 7 to 10 decades, where eigenvalues give way to singular values.
Needs mpmath, which comes with torch. Fails where a distance is off by more than 1e-6 of it.
"""

from __future__ import annotations

import argparse
import sys

import mpmath
import numpy as np
from scipy.linalg import sqrtm

from vgaudit.metrics.frechet import _distance_if_sure, frechet_distance

MOST = 1e-6
KINDS = (
    "well conditioned",
    "12 decades",
    "12 decades, alike",
    "fewer rows than dimensions",
    "7 to 10 decades",
)


def exact(a: np.ndarray, b: np.ndarray) -> float:
    """``tr a + tr b - 2 tr (a b)^(1/2)`` by eigenvalues of ``a^(1/2) b a^(1/2)``."""
    first, second = mpmath.matrix(a.tolist()), mpmath.matrix(b.tolist())
    values, vectors = mpmath.eigsy(first)
    root = vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T
    squares = mpmath.eigsy(root * second * root, eigvals_only=True)
    traces = sum(first[i, i] + second[i, i] for i in range(len(a)))
    return float(traces - 2 * sum(mpmath.sqrt(max(v, 0)) for v in squares))


def pair(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    d = int(rng.integers(6, 14))

    def spectrum(least: float) -> np.ndarray:
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
        cov = turn @ np.diag(np.logspace(2, least, d)) @ turn.T
        return (cov + cov.T) / 2

    if kind == KINDS[0]:
        return np.cov(rng.normal(size=(5 * d, d)).T), np.cov(rng.normal(size=(5 * d, d)).T)
    if kind == KINDS[3]:
        return np.cov(rng.normal(size=(d // 2, d)).T), np.cov(rng.normal(size=(d // 2, d)).T)
    a = spectrum(rng.uniform(-8, -5) if kind == KINDS[4] else -10)
    if kind == KINDS[2]:
        return a, 1.1 * a
    return a, spectrum(rng.uniform(-8, -5) if kind == KINDS[4] else -10)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    mpmath.mp.dps = 60
    rng = np.random.default_rng(0)
    missed = []
    for kind in KINDS:
        quick, slow, theirs = [], [], []
        for _ in range(options.pairs):
            a, b = pair(kind, rng)
            zero, truth = np.zeros(len(a)), exact(a, b)
            sure = _distance_if_sure(zero, a, zero, b) is not None
            (quick if sure else slow).append(abs(frechet_distance(zero, a, zero, b) / truth - 1))
            theirs.append(abs((np.trace(a + b) - 2 * np.real(np.trace(sqrtm(a @ b)))) / truth - 1))
        print(
            f"{kind}: off by at most {max(quick, default=0):.0e} by eigenvalues ({len(quick)} pairs), "
            f"{max(slow, default=0):.0e} by singular values ({len(slow)}), {max(theirs):.0e} by sqrtm",
            flush=True,
        )
        if max(quick + slow) > MOST:
            missed.append(f"{kind}: off by {max(quick + slow):.0e}, at most {MOST:g}")
    sys.exit("; ".join(missed) or None)


if __name__ == "__main__":
    main()
