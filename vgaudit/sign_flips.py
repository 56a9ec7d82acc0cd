"""The sign-flip test of paired differences, and Holm's adjustment for many of them.

Were two groups alike, each prompt's difference could as well have had the other sign. The test asks how often the
mean of the differences is as far from 0 when signs are given at random. All flips are counted for up to
:data:`MAX_EXACT` differing prompts, :data:`FLIPS` drawn ones otherwise. Where none of those reaches the mean that was
seen, ``p`` is the smaller of ``1 / (FLIPS + 1)`` and Chernoff's bound, which is never below the ``p`` of all flips:
so a large family of comparisons needs no more flips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLIPS = 9_999
"""Sign flips drawn where there are too many to count."""

MAX_EXACT = 13
"""Differing prompts up to which all ``2 ** n`` sign flips are counted."""

_CHUNK = 2_000  # flips held at once
_SEED = 0x51674E
_TIE = 1e-9  # share of the sum of all differences up to which two sums are the same


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979), in the order given.

    Raises:
        ValueError: A p is outside 0 to 1.
    """
    if bad := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"a p is {bad[0]}; expected 0 to 1")
    out, largest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - rank) * p_values[i]))
        out[i] = largest
    return out


def sign_flip_tests(cases: Sequence[NDArray[np.float64]]) -> list[tuple[float, str]]:
    """Two-sided sign-flip test of each set of paired differences: is their mean farther from 0 than signs explain?

    The mean under flips and Student's t under flips give the same ``p``, for flips leave the sum of squares alone; so
    the test also holds, for many prompts, where differences are skewed about a mean of 0.

    Args:
        cases: Differences, one for each prompt.

    Returns:
        ``p`` and how it was made, for each. 1 where no prompt differs.
    """
    out: list[tuple[float, str]] = [(1.0, "all sign flips")] * len(cases)
    drawn: list[int] = []
    for i, values in enumerate(cases):
        differing = np.abs(values[values != 0])
        if not len(differing):
            continue
        if len(differing) <= MAX_EXACT:
            out[i] = _all_flips(differing, abs(math.fsum(values))), "all sign flips"
        else:
            drawn.append(i)
    if not drawn:
        return out
    sums = np.array([abs(math.fsum(cases[i])) for i in drawn])
    sizes = np.array([math.fsum(np.abs(cases[i])) for i in drawn])
    counts = _drawn_flips([cases[i] for i in drawn], sums - _TIE * sizes)
    for i, observed, count in zip(drawn, sums, counts, strict=True):
        out[i] = (1 + int(count)) / (FLIPS + 1), "drawn sign flips"
        if count == 0 and (bound := chernoff_bound(np.abs(cases[i]), float(observed))) < out[i][0]:
            out[i] = bound, "bound"
    return out


def _all_flips(differing: NDArray[np.float64], observed: float) -> float:
    """Share of all sign flips whose sum is at least as far from 0; the first sign stays: halves are alike."""
    n = len(differing) - 1
    bits = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
    sums = differing[0] + (1.0 - 2.0 * bits) @ differing[1:]
    limit = observed - _TIE * math.fsum(differing)
    return float(np.count_nonzero(np.abs(sums) >= limit)) / (1 << n)


def _drawn_flips(cases: Sequence[NDArray[np.float64]], limits: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of :data:`FLIPS` drawn sign flips reach the limit, for each case.

    The k-th sign of a flip is the same for all cases, whatever their number and length.
    """
    longest = max(map(len, cases))
    padded = np.zeros((len(cases), longest))
    for row, values in zip(padded, cases, strict=True):
        row[: len(values)] = values
    counts = np.zeros(len(cases), np.int64)
    for chunk, start in enumerate(range(0, FLIPS, _CHUNK)):
        rng = np.random.default_rng([_SEED, chunk])
        random = np.frombuffer(rng.bytes(longest * _CHUNK // 8), np.uint8).reshape(longest, -1)
        signs = 1.0 - 2.0 * np.unpackbits(random, axis=1)[:, : FLIPS - start]
        counts += np.count_nonzero(np.abs(padded @ signs) >= limits[:, None], axis=1)
    return counts


def chernoff_bound(sizes: NDArray[np.float64], observed: float) -> float:
    """An upper bound of the chance that randomly signed ``sizes`` sum to ``observed`` or more, in either direction.

    ``2 exp(sum(log cosh(s x)) - s observed)`` is one for every ``s >= 0``; the smallest that Newton's steps find.
    """
    scale = float(sizes.max(initial=0.0))
    if not scale > 0 or not observed > 0:
        return 1.0
    x, target = sizes / scale, observed / scale
    s, best = 0.0, 0.0
    for _ in range(60):
        tanh = np.tanh(s * x)
        slope, curve = float(x @ tanh) - target, float((x * x) @ (1 - tanh * tanh))
        if abs(slope) <= 1e-9 * target or curve <= 1e-12:
            break
        s = min(s - slope / curve, s + 40.0) if s > 0 else -slope / curve
        s = max(s, 0.0)
        y = s * x
        best = min(best, float((y + np.log1p(np.exp(-2 * y)) - math.log(2)).sum()) - s * target)
    return min(1.0, 2 * math.exp(best))
