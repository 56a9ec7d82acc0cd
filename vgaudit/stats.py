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
  range of the data, which misses the true mean with probability up to ``2^(1-n)``.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vgaudit.records import NOT_APPLICABLE, Measurement, Result

MIN_BOOTSTRAP_CLUSTERS = 8
"""Fewest prompts that are resampled; below, the interval is Student's t."""

MIN_EQUAL_CLUSTERS = 6
"""Fewest prompts whose values may all be equal and still carry an interval: ``2^(1-6) < 0.05``."""

NOT_APPLICABLE_PREFIX = f"{NOT_APPLICABLE}:"
"""How the reason of a legitimately missing value begins (no face in the clip, no prompt to compare with)."""

_CHUNK = 1 << 21  # resampled values held at once: 16 MiB


class ClusteredSample(Protocol):
    """What statistics need of a sample (``vgaudit.plan.Sample`` has it)."""

    @property
    def sample_id(self) -> str:
        """Unique id."""
        ...

    @property
    def prompt_id(self) -> str:
        """Cluster."""
        ...


class ValueFacts(Protocol):
    """What a result copies from a value's description (``vgaudit.metrics.base.ValueSpec`` has it)."""

    @property
    def unit(self) -> str:
        """Unit, for people."""
        ...

    @property
    def higher_is_better(self) -> bool | None:
        """Direction."""
        ...

    @property
    def low(self) -> float | None:
        """Smallest possible value."""
        ...

    @property
    def high(self) -> float | None:
        """Largest possible value."""
        ...


class NamedValueFacts(ValueFacts, Protocol):
    """:class:`ValueFacts` with the value's short name."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def per_group(self) -> bool:
        """Whether groups have an estimate of it."""
        ...


class MeasuredClip(Protocol):
    """A sample with its measurement (``vgaudit.metrics.base.Measured`` has both)."""

    @property
    def sample(self) -> ClusteredSample:
        """The sample."""
        ...

    @property
    def measurement(self) -> Measurement:
        """What the metric said of its clip."""
        ...


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
    """

    value: float
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    reason: str = ""
    method: str = ""


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
) -> Estimate:
    """Mean over prompts with its interval; the prompt is the cluster.

    Args:
        values: One finite number per clip.
        clusters: The prompt of each clip. Seeds are averaged within a prompt; every prompt weighs the same.
        confidence: Coverage of the two-sided interval, in (0, 1).
        seed: Of the resampling; take it from :func:`seed_from_ids`.
        resamples: Bootstrap samples.

    Returns:
        The estimate. Its interval is ``None``, with the reason, for one prompt, and for fewer than
        :data:`MIN_EQUAL_CLUSTERS` prompts that all have the same value.

    Raises:
        ValueError: No values, a value that is not finite, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    if not len(values):
        raise ValueError("the mean of no values does not exist; expected at least one")
    means = cluster_means(values, clusters)
    n, k = len(values), len(means)
    value = math.fsum(means) / k
    if k == 1:
        why = "one clip" if n == 1 else f"{n} clips of one prompt"
        return Estimate(value, None, None, n, k, f"no interval: {why} cannot show how prompts differ")
    if means.min() == means.max():
        if k < MIN_EQUAL_CLUSTERS:
            why = f"all {k} prompts have the same value, too few to show how prompts differ"
            return Estimate(
                value, None, None, n, k, f"no interval: {why} (at least {MIN_EQUAL_CLUSTERS} needed)"
            )
        note = (
            f"all {k} prompts have the same value: an interval without width does not bound rare exceptions"
        )
        return Estimate(value, value, value, n, k, note, "bootstrap")
    if k < MIN_BOOTSTRAP_CLUSTERS:
        from scipy.special import stdtrit

        half = float(stdtrit(k - 1, 0.5 + confidence / 2)) * float(means.std(ddof=1)) / math.sqrt(k)
        note = f"only {k} prompts: Student's t instead of the bootstrap"
        return Estimate(value, value - half, value + half, n, k, note, "t")
    tail = expanded_tail(k, confidence)
    low, high = np.quantile(bootstrap_means(means, resamples, seed), [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value), n, k, "", "bootstrap")


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


def mean_result(
    name: str,
    group: str,
    measured: Sequence[tuple[ClusteredSample, float | None, str]],
    spec: ValueFacts,
    confidence: float = 0.95,
    *,
    detail: Mapping[str, Any] | None = None,
) -> Result:
    """The run-level mean of a per-clip value, with its interval and an account of the clips that lack it.

    Args:
        name: ``<metric>.<value>``.
        group: The group all samples belong to.
        measured: Per clip: sample, value or ``None``, and the reason where there is no value. A reason that
            begins with :data:`NOT_APPLICABLE_PREFIX` marks a clip the value cannot exist for; any
            other reason is a gap that keeps gates on this result from passing.
        spec: Unit, direction and range (a ``ValueSpec``); interval ends are cut to the range.
        confidence: Coverage of the interval.
        detail: Further facts for the result's ``detail``.

    Returns:
        Computed over the clips that have the value; ``detail`` then X
    """
    have = [(sample, float(value)) for sample, value, _ in measured if value is not None]
    bad = [sample.sample_id for sample, value in have if not math.isfinite(value)]
    gaps = [reason or "no reason given" for _, value, reason in measured if value is None]
    gaps += ["not a finite number"] * len(bad)
    have = [(sample, value) for sample, value in have if math.isfinite(value)]
    facts = {**(detail or {}), **_missing_facts(gaps)}
    common: dict[str, Any] = {"unit": spec.unit, "higher_is_better": spec.higher_is_better}
    if not measured:
        return Result.not_computed(name, group, "no clip was measured", detail=facts, **common)
    if not have:
        text = _missing_text(gaps, len(measured))
        if facts["n_missing"]:
            return Result.not_computed(name, group, text, detail=facts, **common)
        return Result(name, group, None, status="not applicable", reason=text, detail=facts, **common)
    estimate = cluster_bootstrap(
        [value for _, value in have],
        [sample.prompt_id for sample, _ in have],
        confidence=confidence,
        seed=seed_from_ids([sample.sample_id for sample, _ in have]),
    )
    if gaps:
        facts["n_measured"] = len(measured)
    return _as_result(
        (name, group), estimate, spec, confidence=confidence, facts=facts, gaps=(gaps, len(measured))
    )


def mean_results(
    metric: str,
    specs: Sequence[NamedValueFacts],
    measured: Sequence[MeasuredClip],
    group: str,
    confidence: float,
) -> list[Result]:
    """:func:`mean_result` of each value that groups have, in the order of ``specs``: most metrics' summary.

    A value a measurement neither has nor explains counts as a gap.
    """
    return [
        mean_result(
            f"{metric}.{spec.name}",
            group,
            [
                (
                    clip.sample,
                    clip.measurement.values.get(spec.name),
                    clip.measurement.missing.get(spec.name, "the metric gave neither a value nor a reason"),
                )
                for clip in measured
            ],
            spec,
            confidence,
        )
        for spec in specs
        if spec.per_group
    ]


def rate_result(
    name: str,
    group: str,
    measured: Sequence[tuple[ClusteredSample, float | None, str]],
    spec: ValueFacts,
    confidence: float = 0.95,
    *,
    detail: Mapping[str, Any] | None = None,
) -> Result:
    """The share of clips with an event (values 0 or 1), with its exact two-sided Clopper-Pearson interval.

    Arguments and missing clips as in :func:`mean_result`. Where prompts have several seeds, a prompt counts
    as one trial, with an event if any of its clips has one: seeds are not independent, and the bound must not
    pretend they are. ``detail.events`` and ``detail.trials`` hold the counts the interval was made of.

    Raises:
        ValueError: A value is neither 0 nor 1.
    """
    for sample, value, _ in measured:
        if value is not None and value not in (0, 1):
            raise ValueError(f"{name} of {sample.sample_id} is {value}; a rate is made of 0 and 1")
    have = [(sample, int(value)) for sample, value, _ in measured if value is not None]
    if not have:
        return mean_result(name, group, measured, spec, confidence, detail=detail)
    gaps = [reason or "no reason given" for _, value, reason in measured if value is None]
    worst: dict[str, int] = {}
    for sample, event in have:
        worst[sample.prompt_id] = max(event, worst.get(sample.prompt_id, 0))
    events, trials = sum(worst.values()), len(worst)
    low, high = clopper_pearson(events, trials, confidence)
    several = len(have) != trials
    note = f"a prompt with an event in any of its clips counts as one of {trials} trials" if several else ""
    estimate = Estimate(events / trials, low, high, len(have), trials, note, "exact")
    facts = {**(detail or {}), **_missing_facts(gaps), "events": events, "trials": trials}
    return _as_result(
        (name, group), estimate, spec, confidence=confidence, facts=facts, gaps=(gaps, len(measured))
    )


def _as_result(
    key: tuple[str, str],
    estimate: Estimate,
    spec: ValueFacts,
    *,
    confidence: float,
    facts: dict[str, Any],
    gaps: tuple[Sequence[str], int],
) -> Result:
    notes = [estimate.reason] if estimate.reason else []
    if gaps[0]:
        notes.append(_missing_text(*gaps))
    if estimate.method:
        facts["interval"] = estimate.method
    return Result(
        name=key[0],
        group=key[1],
        value=estimate.value,
        low=_cut(estimate.low, spec),
        high=_cut(estimate.high, spec),
        confidence=None if estimate.low is None else confidence,
        n=estimate.n,
        n_clusters=estimate.n_clusters,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        reason="; ".join(notes),
        detail=facts,
    )


def _cut(end: float | None, spec: ValueFacts) -> float | None:
    """An interval's end, not beyond what the value can be."""
    if end is None:
        return None
    if spec.low is not None:
        end = max(end, spec.low)
    if spec.high is not None:
        end = min(end, spec.high)
    return end


def _missing_facts(gaps: Sequence[str]) -> dict[str, Any]:
    if not gaps:
        return {}
    legitimate = sum(reason.startswith(NOT_APPLICABLE_PREFIX) for reason in gaps)
    return {
        "n_missing": len(gaps) - legitimate,
        "n_not_applicable": legitimate,
        "missing": dict(sorted(Counter(gaps).items(), key=lambda item: (-item[1], item[0]))),
    }


def _missing_text(gaps: Sequence[str], n_all: int) -> str:
    """``3 of 40 clips have no value: 2 x ..., 1 x ...`` with the three most frequent reasons."""
    counts = sorted(Counter(gaps).items(), key=lambda item: (-item[1], item[0]))
    shown = "; ".join(f"{count} x {reason}" for reason, count in counts[:3])
    rest = len(counts) - 3
    more = f"; and {rest} further reason{'s' if rest > 1 else ''}" if rest > 0 else ""
    clips = f"{len(gaps)} of {n_all} clip{'s' if n_all != 1 else ''}"
    return f"{clips} {'have' if len(gaps) > 1 else 'has'} no value: {shown}{more}"


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
