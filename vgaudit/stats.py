"""Results of a group: means and rates over its clips, with intervals and an account of the clips without a value.

The intervals themselves are made in :mod:`vgaudit.estimates`, whose names can be had from here too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vgaudit.estimates import (
    MIN_BOOTSTRAP_CLUSTERS,
    Estimate,
    bootstrap_means,
    clopper_pearson,
    cluster_bootstrap,
    cluster_means,
    clustered_rate,
    expanded_tail,
    seed_from_ids,
)
from vgaudit.records import NOT_APPLICABLE, Measurement, Result

__all__ = [
    "MIN_BOOTSTRAP_CLUSTERS",
    "NOT_APPLICABLE_PREFIX",
    "Estimate",
    "bootstrap_means",
    "clopper_pearson",
    "cluster_bootstrap",
    "cluster_means",
    "clustered_rate",
    "expanded_tail",
    "mean_result",
    "mean_results",
    "prompts_with",
    "rate_result",
    "seed_from_ids",
]

NOT_APPLICABLE_PREFIX = f"{NOT_APPLICABLE}:"
"""How the reason of a legitimately missing value begins (no face in the clip, no prompt to compare with)."""


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
        spec: Unit, direction and range (a ``ValueSpec``); the range bounds what rare prompts can have, and interval
            ends are cut to it.
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
        bounds=(spec.low, spec.high),
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
    """How often clips have an event (values 0 or 1), with the exact interval of :func:`clustered_rate`.

    Arguments and missing clips as in :func:`mean_result`. The value is the rate over clips, seeds averaged within
    prompts; ``n`` counts clips and ``n_clusters`` prompts. ``detail.events`` of ``detail.trials`` is the worst
    case: prompts with an event in any of their clips.

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
    estimate = clustered_rate([event for _, event in have], [s.prompt_id for s, _ in have], confidence)
    facts = {**(detail or {}), **_missing_facts(gaps), **prompts_with([(s.prompt_id, e) for s, e in have])}
    return _as_result(
        (name, group), estimate, spec, confidence=confidence, facts=facts, gaps=(gaps, len(measured))
    )


def prompts_with(outcomes: Sequence[tuple[str, bool | int]]) -> dict[str, int]:
    """What the interval of a clustered rate rests on: ``events``, ``always`` and ``trials``, all of them prompts.

    Args:
        outcomes: Of each clip its prompt, and whether it had the event.
    """
    prompts = {prompt for prompt, _ in outcomes}
    some = {prompt for prompt, event in outcomes if event}
    never_whole = {prompt for prompt, event in outcomes if not event}
    return {"events": len(some), "always": len(prompts - never_whole), "trials": len(prompts)}


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
    if estimate.method in ("bootstrap", "t") and estimate.low is not None and estimate.high is not None:
        facts["half_width"] = {"low": estimate.value - estimate.low, "high": estimate.high - estimate.value}
    if estimate.same_value:
        facts["same_value"] = estimate.same_value
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
