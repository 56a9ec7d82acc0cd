"""Conditions on results and findings -> passed, failed or not computed -> the verdict and its exit code.

Fail closed: only a number that was computed, over every clip it should cover, with its whole interval on the
good side, passes. Everything else is ``failed`` or ``not computed`` with the reason in one sentence.
``docs/gates.md`` lists the situations; ``tests/test_gates.py`` holds each of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from vgaudit.conditions import ALL, ANY, GateSpec, unknown_group
from vgaudit.errors import ExitCode
from vgaudit.gate_evidence import Evidence, Gaps, GatedClip, Held, count, gaps_of
from vgaudit.gate_findings import hold_coverage, hold_findings, hold_runtime
from vgaudit.records import (
    COMPUTED,
    NOT_APPLICABLE,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Verdict,
)
from vgaudit.registry import nearest
from vgaudit.shortfall import missing_evidence

__all__ = ["Gaps", "GateSpec", "GatedClip", "evaluate", "is_assessed", "verdict"]

_THIN = "insufficient evidence"


def is_assessed(measurement: Measurement) -> bool:
    """Whether a metric really looked at a clip: at all of it, and no value is missing unless it is not applicable.

    Count clips with this for the ``coverage`` of :func:`evaluate`; a clip that was only tried is no clip looked at.
    """
    if measurement.unassessed:
        return False
    return all(reason.startswith(f"{NOT_APPLICABLE}:") for reason in measurement.missing.values())


def evaluate(
    gates: Sequence[GateSpec],
    results: Sequence[Result],
    groups: Sequence[str],
    *,
    findings: Sequence[Finding] = (),
    sample_groups: Mapping[str, str] | None = None,
    coverage: Mapping[str, Mapping[str, tuple[int, int]]] | None = None,
    finding_kinds: Mapping[str, Collection[str]] | None = None,
    gaps: Gaps | None = None,
    closed: Sequence[Finding] = (),
    expired: Sequence[Finding] = (),
    undecidable: str = "",
    no_alerts: Mapping[str, str] | None = None,
    clips: Mapping[str, GatedClip] | None = None,
    confidence: float = 0.95,
) -> list[GateResult]:
    """Hold every gate against every group it names.

    Args:
        gates: In the suite's order.
        results: All results of the run.
        groups: All groups of the plan, including those without a single clip.
        findings: The *open* findings: without those a reviewer has closed.
        sample_groups: Sample id -> group, for all samples of the plan; needed where there are findings.
        coverage: Metric -> group -> (clips it looked at, see :func:`is_assessed`; clips it should have looked
            at). A findings gate passes only where it looked at all of them. A kind of finding (``temporal.ghosting``)
            -> the same, where some clips could not be searched for it.
        finding_kinds: Metric -> kinds it can find, where it declares them; guards against a misspelt kind
            that would pass for ever. Of a metric that declares none, only ``metric.*`` can be asked for.
        gaps: Why clips are missing from the coverage. Only told to the reader: the counts of ``coverage`` decide.
            By default as ``clips`` have it.
        closed: The findings a reviewer has closed; only told to the reader.
        expired: Those of ``findings`` that were closed by a decision that has expired: with one of them no findings
            gate passes, whatever it allows.
        undecidable: Why reviewers' decisions cannot be read, if so: then no findings gate is computed.
        no_alerts: Metric -> why none of its findings can be an alert in this run: gates on alerts have no answer.
        clips: Sample id -> what gates need to know of it, for all samples of the plan. Without, gates on runtime,
            findings per 100 clips, and findings or coverage of a tag have no answer.
        confidence: Coverage of the interval of findings per 100 clips.

    Returns:
        For each gate in turn: one result per group, or a single one for ``group: any`` and for a named group.
    """
    by_key: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_key.setdefault((result.name, result.group), []).append(result)
    names = sorted({result.name for result in results})
    outside = {(r.name.partition(".")[0], r.group): why for r in results if (why := _out_of_domain(r))}
    told = gaps_of(clips or {}) if gaps is None else gaps
    whole = Evidence(
        findings, sample_groups or {}, coverage or {}, finding_kinds, outside, no_alerts or {}, told, closed,
        expired, undecidable, clips or {}, confidence,
    )  # fmt: skip
    out: list[GateResult] = []
    for gate in gates:
        wanted = list(groups) if gate.group in (ALL, ANY) else [gate.group]
        evidence = whole if gate.tag is None else whole.of_tag(gate.tag)
        held: list[GateResult] = []
        for group in wanted:
            if group not in groups:
                answer = Held(Outcome.NOT_COMPUTED, unknown_group(group, groups))
            elif gate.metric is not None:
                answer = _hold_result(gate, by_key.get((gate.result_name, group), []), names)
            elif gate.tag is not None and not evidence.of_group(group):
                answer = Held(Outcome.NOT_COMPUTED, f"no clip of this group has the tag {'='.join(gate.tag)}")
            elif gate.findings is not None:
                answer = hold_findings(gate, group, evidence)
            elif gate.coverage is not None:
                answer = hold_coverage(gate, group, evidence)
            else:
                answer = hold_runtime(gate, group, evidence)
            held.append(_gate_result(gate, group, answer))
        if not wanted:
            held = [_gate_result(gate, gate.group, Held(Outcome.NOT_COMPUTED, "the run has no groups"))]
        out += [_any_of(gate, held)] if gate.group == ANY else held
    return out


def verdict(gate_results: Sequence[GateResult], failed_samples: int = 0, max_failed: int = 0) -> Verdict:
    """The run's answer. A failed gate (3) wins over one that could not be computed (4).

    Warnings never count, nor do neutral gates without an answer; the reason says how many there are.

    Args:
        gate_results: From :func:`evaluate`.
        failed_samples: Samples without a usable clip (generation failed, or the clip cannot be decoded).
        max_failed: How many of those the suite tolerates.
    """
    counted = [g for g in gate_results if g.severity == "fail"]
    failed = [g for g in counted if g.outcome == Outcome.FAILED]
    neutral = [g for g in counted if g.neutral and g.outcome == Outcome.NOT_COMPUTED]
    unknown = [g for g in counted if not g.neutral and g.outcome == Outcome.NOT_COMPUTED]
    warned = sum(g.severity == "warn" and g.outcome != Outcome.PASSED for g in gate_results)
    notes = []
    if failed:
        notes.append(f"{count(len(failed), 'gate')} failed: {_listing(failed)}")
    if unknown:
        notes.append(f"{count(len(unknown), 'gate')} could not be computed: {_listing(unknown)}")
    if neutral:
        notes.append(
            f"{count(len(neutral), 'neutral gate')} could not be computed for lack of evidence, which the suite "
            f"lets stand: {_listing(neutral)}"
        )
    if failed_samples > max_failed:
        notes.append(f"{count(failed_samples, 'sample')} failed, {max_failed} allowed by max_failed")
    if warned:
        notes.append(f"{count(warned, 'warning gate')} did not pass")
    if failed:
        return Verdict(Outcome.FAILED, int(ExitCode.GATE_FAILED), "; ".join(notes))
    if unknown or failed_samples > max_failed:
        return Verdict(Outcome.NOT_COMPUTED, int(ExitCode.NOT_COMPUTED), "; ".join(notes))
    held = len(counted) - len(neutral)
    passed = f"all {count(held, 'gate')} passed" if held > 1 else "the gate passed"
    if neutral:
        passed = f"{count(held, 'gate')} passed" if held else "no gate passed, and none failed"
    return Verdict(Outcome.PASSED, int(ExitCode.OK), "; ".join([passed if counted else "no gates", *notes]))


def _hold_result(gate: GateSpec, found: Sequence[Result], names: Sequence[str]) -> Held:
    unknown = Outcome.NOT_COMPUTED
    if not found:
        return Held(unknown, f"there is no result {gate.result_name}{nearest(gate.result_name, list(names))}")
    if len(found) > 1:
        return Held(
            unknown, f"there are {len(found)} results {gate.result_name} for this group; expected one"
        )
    result = found[0]
    if result.status == NOT_APPLICABLE:
        if gate.allow_not_applicable:
            return Held(Outcome.PASSED, f"not applicable, which the gate allows: {result.reason}")
        return Held(unknown, f"not applicable: {result.reason} (allow_not_applicable: true lets this pass)")
    if result.status != COMPUTED:
        return Held(unknown, result.reason or f"the result is {result.status}")
    value = result.value
    if value is None or not math.isfinite(value):
        return Held(unknown, f"the value is {value}")
    if result.n <= 0:
        return Held(unknown, "the value rests on no clips (n = 0)")
    if (disqualified := _disqualified(result, gate.allow_missing)) is not None:
        return disqualified
    facts = f"{value:.4g}, n = {result.n}, {count(result.n_clusters, 'prompt')}"
    if accepted := result.detail.get("accepted_small_n"):
        facts += f", few clips accepted: {accepted}"
    if gate.on == "estimate":
        good = _good(gate, value, value)
        return Held(Outcome.PASSED if good else Outcome.FAILED, f"{facts} (estimate only)")
    if result.low is None and result.high is None:
        return Held(
            unknown,
            f"{_THIN}: {facts}, without an interval ({result.reason or 'no reason given'})",
            thin=True,
        )
    low = -math.inf if result.low is None else result.low
    high = math.inf if result.high is None else result.high
    if math.isnan(low) or math.isnan(high) or low > high:
        return Held(unknown, f"the interval {low} to {high} is none")
    if result.confidence is None:
        return Held(unknown, f"the interval {low:.4g} to {high:.4g} does not say its confidence")
    facts = f"{facts}, {100 * result.confidence:.4g} % interval {low:.4g} to {high:.4g}"
    if _good(gate, low, high):
        return Held(Outcome.PASSED, facts)
    if _bad(gate, low, high):
        return Held(Outcome.FAILED, facts)
    short = missing_evidence(result, upper=_upper(gate), lower=_lower(gate))
    lacking = f"; {short}" if short else ""
    return Held(unknown, f"{_THIN}: the limit lies inside the interval ({facts}){lacking}", thin=True)


def _upper(gate: GateSpec) -> float | None:
    return gate.max if gate.max is not None else gate.below


def _lower(gate: GateSpec) -> float | None:
    return gate.min if gate.min is not None else gate.above


def _disqualified(result: Result, allow_missing: int) -> Held | None:
    """Why a computed number must not be gated on, or ``None``."""
    detail = result.detail
    unknown = Outcome.NOT_COMPUTED
    if detail.get("uncalibrated"):
        return Held(
            unknown,
            "uncalibrated likeness result: it has no known error rate; gate on open findings instead",
        )
    if outside := _out_of_domain(result):
        return Held(unknown, outside)
    n_missing = detail.get("n_missing", 0)
    incomplete = not isinstance(n_missing, int) or n_missing > allow_missing
    if insufficient := detail.get("insufficient"):
        why = f"{_THIN}: {insufficient if isinstance(insufficient, str) else result.reason}"
        if incomplete:  # more clips would not help where those that are there were not measured
            why += f"; not every clip was measured ({n_missing} have no value)"
        return Held(unknown, why, thin=not incomplete)
    if incomplete:
        return Held(
            unknown, f"not every clip was measured: {result.reason or f'{n_missing} clips have no value'}"
        )
    return None


def _out_of_domain(result: Result) -> str:
    """Why the network behind a result does not know such clips, where its metric says so; else an empty text."""
    outside = result.detail.get("out_of_domain", "")
    return outside if isinstance(outside, str) else f"out of domain: {result.reason}"


def _good(gate: GateSpec, low: float, high: float) -> bool:
    """Whether every number from ``low`` to ``high`` is within the gate's limits."""
    return (
        (gate.max is None or high <= gate.max)
        and (gate.below is None or high < gate.below)
        and (gate.min is None or low >= gate.min)
        and (gate.above is None or low > gate.above)
    )


def _bad(gate: GateSpec, low: float, high: float) -> bool:
    """Whether every number from ``low`` to ``high`` is outside the gate's limits, on one side."""
    return (
        (gate.max is not None and low > gate.max)
        or (gate.below is not None and low >= gate.below)
        or (gate.min is not None and high < gate.min)
        or (gate.above is not None and high <= gate.above)
    )


def _any_of(gate: GateSpec, held: Sequence[GateResult]) -> GateResult:
    """One answer for ``group: any``: passed if one group passes, failed only if every group fails."""
    for outcome in (Outcome.PASSED, Outcome.NOT_COMPUTED, Outcome.FAILED):
        if of_it := [g for g in held if g.outcome == outcome]:
            why = "; ".join(f"{g.group}: {g.reason}" for g in of_it[:3])
            neutral = outcome is Outcome.NOT_COMPUTED and all(g.neutral for g in of_it)
            return GateResult(gate.text, ANY, outcome, why, gate.severity, neutral)
    raise AssertionError("a gate was held against no group")


def _gate_result(gate: GateSpec, group: str, held: Held) -> GateResult:
    note = f" [{gate.reason}]" if gate.reason and held.outcome != Outcome.PASSED else ""
    neutral = held.thin and gate.on_insufficient == "neutral"
    return GateResult(gate.text, group, held.outcome, held.why + note, gate.severity, neutral)


def _listing(gates: Sequence[GateResult]) -> str:
    shown = [f"{g.gate} ({g.group})" for g in gates[:3]]
    return ", ".join(shown) + (f" and {len(gates) - 3} more" if len(gates) > 3 else "")
