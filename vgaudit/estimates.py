"""Intervals: how far an average over prompts, or a rate over clips, could be from the truth.

Seeds of one prompt resemble each other, so the prompt is the unit of resampling: values are averaged within
a prompt and prompts are resampled. Everything here is deterministic: the random stream is seeded from the
sample ids, and neither the order of the input nor the number of workers changes a digit.

Which interval, and why (coverage simulated in ``tests/test_stats.py``, written up in ``docs/gates.md``):

* From :data:`MIN_BOOTSTRAP_CLUSTERS` prompts on: the *expanded percentile* bootstrap (Hesterberg, "What
  Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015). The plain percentile
  interval is too short by ``sqrt((n-1)/n) * z/t``; the expansion reads more extreme percentiles, so that its
  length matches Student's t while it keeps the bootstrap's skewness. BCa corrects skewness but not length and
  covers less at 8-30 prompts.
* Below that: Student's t over the prompt means, because resampled means of so few values cannot leave the
  range of the data, which misses the true mean with probability up to ``2^(1-n)``. So it is where the confidence
  asks for percentiles that hold too few of the resampled means.
* Where (nearly) all prompts have the same value, either is widened by a bound for rare events: freezes in one of ten
  prompts are often in none of eight, and an interval of no width would claim that there are none.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MIN_BOOTSTRAP_CLUSTERS = 8
"""Fewest prompts that are resampled; below, the interval is Student's t."""

MIN_TAIL_RESAMPLES = 20
"""Fewest resampled means beyond an end of the bootstrap's interval; below, the interval is Student's t."""

SAME_VALUE = 1e-6
"""Share of the value's range up to which two prompts have the same value."""

_CHUNK = 1 << 21  # resampled values held at once: 16 MiB
_GRID = 1 << 16  # places of the grid on which the distribution of a resample's sum is computed


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: The mean of the clusters' means.
        low: Lower end; ``None`` where no interval can be had.
        high: Upper end; ``None`` exactly when ``low`` is.
        n: Values it rests on.
        n_clusters: Clusters among them.
        reason: Why there is no interval, or what qualifies it; may be empty.
        method: ``"bootstrap"``, ``"t"``, ``"exact"`` or ``""`` where there is no interval.
        same_value: ``"all"`` or ``"all but one"`` where so many clusters share one value and the interval was widened
            for rare events, else ``""``.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    reason: str = ""
    method: str = ""
    same_value: str = ""


def seed_from_ids(ids: Iterable[str]) -> int:
    """A 64-bit seed that depends on which ids there are, and not on their order."""
    text = "\n".join(sorted(ids))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def cluster_means(values: Sequence[float], clusters: Sequence[Hashable]) -> NDArray[np.float64]:
    """Mean of each cluster, in an order that depends on the clusters' names only.

    Sums are exact (:func:`math.fsum`), so the order of ``values`` leaves no trace in the last digit.

    Raises:
        ValueError: Lengths differ, or a value is not finite.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster labels")
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"value of cluster {cluster!r} is {value}; leave it out and say why")
        groups[cluster].append(float(value))
    ordered = sorted(groups, key=lambda c: (type(c).__name__, str(c)))
    return np.array([math.fsum(groups[c]) / len(groups[c]) for c in ordered], dtype=np.float64)


def bootstrap_means(means: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of ``resamples`` samples with replacement from ``means``, shape ``(resamples,)``."""
    rng = np.random.default_rng(seed)
    n = len(means)
    rows = max(1, _CHUNK // n)
    parts = [
        means[rng.integers(0, n, size=(min(rows, resamples - done), n))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def bootstrap_ends(means: NDArray[np.float64], tail: float) -> tuple[float, float]:
    """Quantiles ``tail`` and ``1 - tail`` of the mean of a resample, as of infinitely many resamples.

    The sum of ``n`` draws from the values has the values' distribution convolved ``n`` times with itself: a power of
    its Fourier transform. Values are put on a grid, each shared by its two neighbours so that the mean stays; ends
    are good to a thousandth of the standard error, a hundredth where few prompts make nearly all of it.

    Args:
        means: At least two numbers.
        tail: Between 0 and 0.5.
    """
    n, centre = len(means), math.fsum(means) / len(means)
    offsets = means - centre
    spread = float(offsets.std())
    if spread <= 1e-14 * float(np.abs(means).max(initial=0.0)):
        return centre, centre
    # Nine standard errors and six times the farthest value: hardly a sum lies beyond and comes round.
    reach = 9 * math.sqrt(n) * spread + 6 * float(np.abs(offsets).max())
    size = _GRID if n <= 10_000 else 8 * _GRID
    step = 2 * reach / size
    place = np.floor(offsets / step).astype(np.int64)
    share = offsets / step - place
    density = np.bincount(
        np.concatenate([place, place + 1]) % size, np.concatenate([1 - share, share]) / n, minlength=size
    )
    sums = np.fft.irfft(np.fft.rfft(density) ** n, size)
    grid = np.fft.fftshift(np.fft.fftfreq(size, 1 / size)) * step / n
    shares = np.maximum.accumulate(np.cumsum(np.fft.fftshift(sums)))
    low, high = np.searchsorted(shares, [tail, 1 - tail])
    return centre + float(grid[min(low, size - 1)]), centre + float(grid[min(high, size - 1)])


def expanded_tail(n: int, confidence: float) -> float:
    """Tail probability at which an expanded percentile interval reads each end.

    ``Phi(-sqrt(n / (n - 1)) * t(1 - alpha/2; n - 1))``, Hesterberg 2015; tends to ``alpha/2`` with ``n``.
    """
    from scipy.special import ndtr, stdtrit

    t = stdtrit(n - 1, 0.5 + confidence / 2)
    return float(ndtr(-math.sqrt(n / (n - 1)) * t))


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    seed: int,
    resamples: int = 9999,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Estimate:
    """Mean over prompts with its interval; the prompt is the cluster.

    Args:
        values: One finite number per clip.
        clusters: The prompt of each clip. Seeds are averaged within a prompt; every prompt weighs the same.
        confidence: Coverage of the two-sided interval, in (0, 1).
        seed: Of the resampling; take it from :func:`seed_from_ids`.
        resamples: Bootstrap samples.
        bounds: Smallest and largest value a clip can have; ``None`` where there is no such bound.

    Returns:
        The estimate. Its interval is ``None``, with the reason, for one prompt, and where all prompts, or all but
        one, have the same value and ``bounds`` do not limit what others could have. Ends may lie beyond ``bounds``.

    Raises:
        ValueError: No values, a value that is not finite, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    if not len(values):
        raise ValueError("the mean of no values does not exist; expected at least one")

    def ends(means: NDArray[np.float64], tail: float) -> tuple[float, float] | None:
        if tail * resamples < MIN_TAIL_RESAMPLES:
            return None
        low, high = np.quantile(bootstrap_means(means, resamples, seed), [tail, 1 - tail])
        return float(low), float(high)

    means = cluster_means(values, clusters)
    return interval_of_means(means, len(values), confidence=confidence, ends=ends, bounds=bounds)


def interval_of_means(
    means: NDArray[np.float64],
    n: int,
    *,
    confidence: float,
    ends: Callable[[NDArray[np.float64], float], tuple[float, float] | None],
    bounds: tuple[float | None, float | None] = (None, None),
) -> Estimate:
    """The mean of clusters' means with its interval, by whichever way the bootstrap's percentiles are had.

    Args:
        means: Of the clusters, at least one.
        n: Values they rest on.
        confidence: Coverage of the two-sided interval, in (0, 1).
        ends: Takes the means and a tail probability, and gives the percentiles of resampled means at both tails; or
            ``None`` where it cannot read that far into the tail, which makes the interval Student's t.
        bounds: As in :func:`cluster_bootstrap`.
    """
    k, value = len(means), math.fsum(means) / len(means)
    if k == 1:
        why = "one clip" if n == 1 else f"{n} clips of one prompt"
        return Estimate(value, None, None, n, k, f"no interval: {why} cannot show how prompts differ")
    estimate = _interval_by_spread(means, value, n, confidence=confidence, ends=ends)
    return _with_rare_events(estimate, means, confidence, bounds)


def _interval_by_spread(
    means: NDArray[np.float64],
    value: float,
    n: int,
    *,
    confidence: float,
    ends: Callable[[NDArray[np.float64], float], tuple[float, float] | None],
) -> Estimate:
    """The interval that the spread of the means gives: expanded percentile bootstrap or Student's t."""
    k = len(means)
    tail = expanded_tail(k, confidence)
    # Read where too few resampled means lie, or where only the resample of nothing but the largest value does, a
    # percentile says little of the tail: such an interval would end inside the range of the data.
    if k >= MIN_BOOTSTRAP_CLUSTERS and tail >= float(k) ** -k and (found := ends(means, tail)):
        low, high = found
        return Estimate(value, min(low, value), max(high, value), n, k, "", "bootstrap")
    from scipy.special import stdtrit

    half = float(stdtrit(k - 1, 0.5 + confidence / 2)) * float(means.std(ddof=1)) / math.sqrt(k)
    why = f"only {k} prompts" + (f" for {100 * confidence:.4g} %" if k >= MIN_BOOTSTRAP_CLUSTERS else "")
    return Estimate(
        value, value - half, value + half, n, k, f"{why}: Student's t instead of the bootstrap", "t"
    )


def _with_rare_events(
    estimate: Estimate,
    means: NDArray[np.float64],
    confidence: float,
    bounds: tuple[float | None, float | None],
) -> Estimate:
    """``estimate`` with ends that allow for prompts unlike all those that were seen.

    Where all prompts, or all but one, have the same value ``v``, the spread says nothing of prompts that differ:
    if a share ``q`` of all prompts does, ``k`` drawn ones miss it with probability ``(1 - q)^k``, which stays above
    ``alpha / 2`` up to ``q = 1 - (alpha / 2)^(1 / k)`` (Clopper-Pearson's upper end for none of ``k``). Such prompts
    may lie anywhere in the value's range, and move the mean by ``q`` times the way from ``v`` to the range's end.
    """
    k = len(means)
    low, high = bounds
    scale = high - low if low is not None and high is not None else max(1.0, float(np.abs(means).max()))
    mode, count = _mode(means, SAME_VALUE * scale)
    if count < max(2, k - 1):
        return estimate
    same = f"{'all' if count == k else f'{count} of'} {k} prompts have the same value"
    if low is None or high is None:
        why = f"no interval: {same}, and a value without a range gives no bound for the others"
        return Estimate(estimate.value, None, None, estimate.n, k, why)
    _, share = clopper_pearson(0, k, confidence)
    note = f"{same}: the interval allows for up to {100 * share:.3g} % of prompts unlike them, of any value"
    return replace(
        estimate,
        low=min(estimate.value if estimate.low is None else estimate.low, mode - share * (mode - low)),
        high=max(estimate.value if estimate.high is None else estimate.high, mode + share * (high - mode)),
        reason="; ".join(filter(None, [note, estimate.reason])),
        same_value="all" if count == k else "all but one",
    )


def _mode(means: NDArray[np.float64], tolerance: float) -> tuple[float, int]:
    """The value most means share within ``tolerance``, and how many of them do."""
    ordered = np.sort(means)
    stops = np.searchsorted(ordered, ordered + tolerance, side="right")
    counts = stops - np.arange(len(ordered))
    first = int(np.argmax(counts))
    return float(ordered[first : stops[first]].mean()), int(counts[first])


def clopper_pearson(k: int, n: int, confidence: float = 0.95, sides: int = 2) -> tuple[float, float]:
    """Exact binomial interval of a rate: ``k`` events in ``n`` independent clips.

    With ``sides=1`` each end is a one-sided bound at ``confidence`` (use one of the two). 0 of 100 gives a
    one-sided 95 % upper bound of 2.95 %; to show less than 1 % takes 299 clean clips, less than 0.1 % takes
    2,995.

    Source: Clopper and Pearson, Biometrika 26 (1934); ends are quantiles of beta distributions.

    Raises:
        ValueError: ``n`` is not positive, ``k`` is outside ``0..n``, or ``sides`` is neither 1 nor 2.
    """
    _check_confidence(confidence)
    if sides not in (1, 2):
        raise ValueError(f"sides is {sides}; expected 1 or 2")
    if n <= 0 or not 0 <= k <= n:
        raise ValueError(f"{k} events of {n} clips; expected n >= 1 and 0 <= k <= n")
    from scipy.special import betaincinv

    tail = (1 - confidence) / sides
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


def clustered_rate(
    events: Sequence[bool | float], clusters: Sequence[Hashable], confidence: float = 0.95
) -> Estimate:
    """How often an event happens, with an exact two-sided interval that knows that seeds are not independent.

    Args:
        events: One 0 or 1 per clip.
        clusters: The prompt of each clip. Seeds are averaged within a prompt; every prompt weighs the same.
        confidence: Coverage of the interval, in (0, 1); at least this, usually more.

    Returns:
        The estimate. Its lower end is that of :func:`clopper_pearson` for the prompts *all* of whose clips have
        the event, its upper end that for the prompts *any* of whose clips has it. The rate lies between these two
        shares, so each end keeps its error probability however alike the seeds of a prompt are. With one clip per
        prompt both are the plain Clopper-Pearson interval; with several, it is conservative.

    Raises:
        ValueError: No events, an event that is neither 0 nor 1, or a confidence outside (0, 1).
    """
    if not len(events):
        raise ValueError("the rate of no clips does not exist; expected at least one")
    if bad := [event for event in events if event not in (0, 1)]:
        raise ValueError(f"an event is {bad[0]}; a rate is made of 0 and 1")
    means = cluster_means([float(event) for event in events], clusters)
    k = len(means)
    low, _ = clopper_pearson(int(np.count_nonzero(means == 1)), k, confidence)
    _, high = clopper_pearson(int(np.count_nonzero(means > 0)), k, confidence)
    mixed = int(np.count_nonzero((means > 0) & (means < 1)))
    note = (
        f"clips of one prompt are not independent: {mixed} of {k} prompts with mixed clips count whole, against the "
        "rate at the lower end of the interval and for it at the upper"
        if mixed
        else ""
    )
    return Estimate(math.fsum(means) / k, low, high, len(events), k, note, "exact")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
