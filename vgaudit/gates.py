"""Conditions on results and findings -> passed, failed or not computed -> the verdict and its exit code.

Fail closed: only a number that was computed, over every clip it should cover, with its whole interval on the
good side, passes. Everything else is ``failed`` or ``not computed`` with the reason in one sentence.
``docs/gates.md`` lists the situations; ``tests/test_gates.py`` holds each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vgaudit.conditions import ALL, ANY, GateSpec, unknown_group, unknown_kind
from vgaudit.errors import ExitCode
from vgaudit.records import (
    COMPUTED,
    NOT_APPLICABLE,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Severity,
    Verdict,
)
from vgaudit.registry import nearest
from vgaudit.shortfall import missing_evidence

__all__ = ["Gaps", "GateSpec", "evaluate", "is_assessed", "verdict"]

Gaps = Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]
"""Metric or kind of finding -> group -> reason -> names of the clips that were not looked at for it."""

_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_REASONS_SHOWN = 3
_CLIPS_SHOWN = 2


def is_assessed(measurement: Measurement) -> bool:
    """Whether a metric really looked at a clip: at all of it, and no value is missing unless it is not applicable.

    Count clips with this for the ``coverage`` of :func:`evaluate`; a clip that was only tried is no clip looked at.
    """
    if measurement.unassessed:
        return False
    return all(reason.startswith(f"{NOT_APPLICABLE}:") for reason in measurement.missing.values())


@dataclass(frozen=True)
class _Evidence:
    """What findings gates are held against; fields as in :func:`evaluate`."""

    findings: Sequence[Finding]
    owners: Mapping[str, str]
    coverage: Mapping[str, Mapping[str, tuple[int, int]]]
    kinds: Mapping[str, Collection[str]] | None
    outside: Mapping[tuple[str, str], str]
    """Metric and group -> why its network is out of domain there."""
    no_alerts: Mapping[str, str]
    """Metric -> why none of its findings can be an alert, whatever it saw."""
    gaps: Gaps
    closed: Sequence[Finding]
    expired: Sequence[Finding]
    undecidable: str

    def why_not(self, name: str, group: str) -> str:
        """Why clips were not looked at: reasons of most clips first, each with how many and which come first.

        Reasons that differ in numbers alone count as one, in the words of the first.
        """
        alike: dict[str, dict[str, Sequence[str]]] = {}
        for why, clips in self.gaps.get(name, {}).get(group, {}).items():
            alike.setdefault(_DIGITS.sub("0", why), {})[why] = clips
        all_of = {
            next(iter(each)): list(dict.fromkeys(c for clips in each.values() for c in clips))
            for each in alike.values()
        }
        differ = {next(iter(each)) for each in alike.values() if len(each) > 1}
        found = sorted(all_of.items(), key=lambda item: -len(item[1]))
        told = []
        for why, clips in found[:_REASONS_SHOWN]:
            dots = ", ..." if len(clips) > _CLIPS_SHOWN else ""
            how_many = _count(len(clips), "clip") + (", other numbers in some" if why in differ else "")
            told.append(f"{why} ({how_many}: {', '.join(clips[:_CLIPS_SHOWN])}{dots})")
        if left := found[_REASONS_SHOWN:]:
            clips_left = len({clip for _, clips in left for clip in clips})
            told.append(f"and {_count(len(left), 'more reason')} ({_count(clips_left, 'clip')})")
        return "; ".join(told)


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
        closed: The findings a reviewer has closed; only told to the reader.
        expired: Those of ``findings`` that were closed by a decision that has expired: with one of them no findings
            gate passes, whatever it allows.
        undecidable: Why reviewers' decisions cannot be read, if so: then no findings gate is computed.

        no_alerts: Metric -> why none of its findings can be an alert in this run: gates on alerts have no answer.

    Returns:
        For each gate in turn: one result per group, or a single one for ``group: any`` and for a named group.
    """
    by_key: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_key.setdefault((result.name, result.group), []).append(result)
    names = sorted({result.name for result in results})
    outside = {(r.name.partition(".")[0], r.group): why for r in results if (why := _out_of_domain(r))}
    evidence = _Evidence(
        findings, sample_groups or {}, coverage or {}, finding_kinds, outside, no_alerts or {}, gaps or {}, closed,
        expired, undecidable,
    )  # fmt: skip
    out: list[GateResult] = []
    for gate in gates:
        wanted = list(groups) if gate.group in (ALL, ANY) else [gate.group]
        held: list[GateResult] = []
        for group in wanted:
            if group not in groups:
                outcome, why = Outcome.NOT_COMPUTED, unknown_group(group, groups)
            elif gate.findings is not None:
                outcome, why = _hold_findings(gate, group, evidence)
            else:
                outcome, why = _hold_result(gate, by_key.get((gate.metric or "", group), []), names)
            held.append(_gate_result(gate, group, outcome, why))
        if not wanted:
            held = [_gate_result(gate, gate.group, Outcome.NOT_COMPUTED, "the run has no groups")]
        out += [_any_of(gate, held)] if gate.group == ANY else held
    return out


def verdict(gate_results: Sequence[GateResult], failed_samples: int = 0, max_failed: int = 0) -> Verdict:
    """The run's answer. A failed gate (3) wins over one that could not be computed (4); warnings never count.

    Args:
        gate_results: From :func:`evaluate`.
        failed_samples: Samples without a usable clip (generation failed, or the clip cannot be decoded).
        max_failed: How many of those the suite tolerates.
    """
    counted = [g for g in gate_results if g.severity == "fail"]
    failed = [g for g in counted if g.outcome == Outcome.FAILED]
    unknown = [g for g in counted if g.outcome == Outcome.NOT_COMPUTED]
    warned = sum(g.severity == "warn" and g.outcome != Outcome.PASSED for g in gate_results)
    notes = []
    if failed:
        notes.append(f"{_count(len(failed), 'gate')} failed: {_listing(failed)}")
    if unknown:
        notes.append(f"{_count(len(unknown), 'gate')} could not be computed: {_listing(unknown)}")
    if failed_samples > max_failed:
        notes.append(f"{_count(failed_samples, 'sample')} failed, {max_failed} allowed by max_failed")
    if warned:
        notes.append(f"{_count(warned, 'warning gate')} did not pass")
    if failed:
        return Verdict(Outcome.FAILED, int(ExitCode.GATE_FAILED), "; ".join(notes))
    if unknown or failed_samples > max_failed:
        return Verdict(Outcome.NOT_COMPUTED, int(ExitCode.NOT_COMPUTED), "; ".join(notes))
    passed = f"all {_count(len(counted), 'gate')} passed" if len(counted) > 1 else "the gate passed"
    return Verdict(Outcome.PASSED, int(ExitCode.OK), "; ".join([passed if counted else "no gates", *notes]))


def _hold_result(gate: GateSpec, found: Sequence[Result], names: Sequence[str]) -> tuple[Outcome, str]:
    unknown = Outcome.NOT_COMPUTED
    if not found:
        known = nearest(gate.metric or "", list(names))
        return unknown, f"there is no result {gate.metric}{known}"
    if len(found) > 1:
        return unknown, f"there are {len(found)} results {gate.metric} for this group; expected one"
    result = found[0]
    if result.status == NOT_APPLICABLE:
        if gate.allow_not_applicable:
            return Outcome.PASSED, f"not applicable, which the gate allows: {result.reason}"
        return unknown, f"not applicable: {result.reason} (allow_not_applicable: true lets this pass)"
    if result.status != COMPUTED:
        return unknown, result.reason or f"the result is {result.status}"
    value = result.value
    if value is None or not math.isfinite(value):
        return unknown, f"the value is {value}"
    if result.n <= 0:
        return unknown, "the value rests on no clips (n = 0)"
    if why := _disqualified(result, gate.allow_missing):
        return unknown, why
    facts = f"{value:.4g}, n = {result.n}, {_count(result.n_clusters, 'prompt')}"
    if accepted := result.detail.get("accepted_small_n"):
        facts += f", few clips accepted: {accepted}"
    if gate.on == "estimate":
        good = _good(gate, value, value)
        return (Outcome.PASSED if good else Outcome.FAILED), f"{facts} (estimate only)"
    if result.low is None and result.high is None:
        return (
            unknown,
            f"insufficient evidence: {facts}, without an interval ({result.reason or 'no reason given'})",
        )
    low = -math.inf if result.low is None else result.low
    high = math.inf if result.high is None else result.high
    if math.isnan(low) or math.isnan(high) or low > high:
        return unknown, f"the interval {low} to {high} is none"
    if result.confidence is None:
        return unknown, f"the interval {low:.4g} to {high:.4g} does not say its confidence"
    facts = f"{facts}, {100 * result.confidence:.4g} % interval {low:.4g} to {high:.4g}"
    if _good(gate, low, high):
        return Outcome.PASSED, facts
    if _bad(gate, low, high):
        return Outcome.FAILED, facts
    short = missing_evidence(result, upper=_upper(gate), lower=_lower(gate))
    lacking = f"; {short}" if short else ""
    return unknown, f"insufficient evidence: the limit lies inside the interval ({facts}){lacking}"


def _upper(gate: GateSpec) -> float | None:
    return gate.max if gate.max is not None else gate.below


def _lower(gate: GateSpec) -> float | None:
    return gate.min if gate.min is not None else gate.above


def _disqualified(result: Result, allow_missing: int) -> str:
    """Why a computed number must not be gated on, or an empty text."""
    detail = result.detail
    if detail.get("uncalibrated"):
        return "uncalibrated likeness result: it has no known error rate; gate on open findings instead"
    if outside := _out_of_domain(result):
        return outside
    if insufficient := detail.get("insufficient"):
        return f"insufficient evidence: {insufficient if isinstance(insufficient, str) else result.reason}"
    n_missing = detail.get("n_missing", 0)
    if not isinstance(n_missing, int) or n_missing > allow_missing:
        return f"not every clip was measured: {result.reason or f'{n_missing} clips have no value'}"
    return ""


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


def _hold_findings(gate: GateSpec, group: str, evidence: _Evidence) -> tuple[Outcome, str]:
    if evidence.undecidable:
        return Outcome.NOT_COMPUTED, f"which findings are open cannot be told: {evidence.undecidable}"
    limit = int(gate.max or 0)
    pattern, relevant = gate.findings or "", _asked_for(gate, evidence.findings)
    count = sum(evidence.owners.get(f.sample_id) == group for f in relevant)
    closed, expired = (
        sum(evidence.owners.get(f.sample_id) == group for f in _asked_for(gate, of))
        for of in (evidence.closed, evidence.expired)
    )
    told = f"; {closed} closed by decisions" if closed else ""
    told += f"; {_count(expired, 'decision')} expired" if expired else ""
    if count > limit:
        worst = max(
            (f for f in relevant if evidence.owners.get(f.sample_id) == group), key=lambda f: f.severity.rank
        )
        named = f" ({worst.fingerprint[:8]})" if worst.fingerprint else ""
        first = f"the worst: {worst.kind} at {worst.start_s:.2f} s of {worst.sample_id}{named}"
        return Outcome.FAILED, f"{_count(count, 'open finding')}, {limit} allowed; {first}{told}"
    if stray := sum(f.sample_id not in evidence.owners for f in relevant):
        return Outcome.NOT_COMPUTED, f"{_count(stray, 'finding')} cannot be put to a group: unknown sample"
    metrics = gate.metric_names() or tuple(
        m for m in evidence.coverage if not any(m.startswith(f"{other}.") for other in evidence.coverage)
    )
    if not metrics:
        return Outcome.NOT_COMPUTED, "no metric was run"
    allowed = []
    for metric in metrics:
        if unknown := unknown_kind(pattern, metric, evidence.kinds):
            return Outcome.NOT_COMPUTED, unknown
        if gate.at_least is Severity.ALERT and (why := evidence.no_alerts.get(metric)):
            return (
                Outcome.NOT_COMPUTED,
                f"{metric} can raise no alert here, so finding none says nothing: {why}",
            )
        seen = evidence.coverage.get(metric, {}).get(group)
        if seen is None:
            return Outcome.NOT_COMPUTED, f"{metric} was not run on this group"
        assessed, planned = seen
        if planned <= 0:
            return Outcome.NOT_COMPUTED, f"there are no clips {metric} could have looked at"
        if assessed < planned:
            outside, why = evidence.outside.get((metric, group), ""), evidence.why_not(metric, group)
            few = f"{metric} looked at only {assessed} of {planned} clips"
            few += f" ({outside})" if outside and outside not in why else ""
            few += f": {why}" if why else ""
            if planned - assessed > gate.allow_missing or assessed <= 0:
                return Outcome.NOT_COMPUTED, few
            allowed.append(few)
        too_few, few_enough = _unsearched(gate, metric, group, evidence)
        if too_few:
            return Outcome.NOT_COMPUTED, "; ".join(too_few)
        allowed += few_enough
    looked = ", ".join(f"{m} looked at {evidence.coverage[m][group][0]} clips" for m in metrics)
    missed = "".join(f"; allowed by allow_missing: {few}" for few in allowed)
    facts = f"{_count(count, 'open finding')}, {limit} allowed; {looked}{missed}{told}"
    if expired:
        return Outcome.NOT_COMPUTED, f"{facts}: a person has to decide again"
    return Outcome.PASSED, facts


def _asked_for(gate: GateSpec, findings: Sequence[Finding]) -> list[Finding]:
    """The findings a gate is about: of its kinds, and bad enough."""
    least = (gate.at_least or Severity.MINOR).rank
    return [f for f in findings if fnmatchcase(f.kind, gate.findings or "") and f.severity.rank >= least]


def _unsearched(gate: GateSpec, metric: str, group: str, evidence: _Evidence) -> tuple[list[str], list[str]]:
    """Kinds the gate asks for that some clips were not searched for: those past what it allows, and those within.

    Kinds that the same clips were not searched for, for the same reasons, share a sentence.
    """
    alike: dict[tuple[int, int, str], list[str]] = {}
    for kind, by_group in evidence.coverage.items():
        if kind.startswith(f"{metric}.") and fnmatchcase(kind, gate.findings or ""):
            key = *by_group.get(group, (0, 0)), evidence.why_not(kind, group)
            alike.setdefault(key, []).append(kind)
    too_few, few_enough = [], []
    for (searched, planned, why), kinds in alike.items():
        few = f"{', '.join(kinds)} could be looked for in only {searched} of {planned} clips"
        few += f": {why}" if why else ""
        if planned - searched > gate.allow_missing or searched <= 0:
            too_few.append(few)
        elif searched < planned:
            few_enough.append(few)
    return too_few, few_enough


def _any_of(gate: GateSpec, held: Sequence[GateResult]) -> GateResult:
    """One answer for ``group: any``: passed if one group passes, failed only if every group fails."""
    for outcome in (Outcome.PASSED, Outcome.NOT_COMPUTED, Outcome.FAILED):
        if of_it := [g for g in held if g.outcome == outcome]:
            why = "; ".join(f"{g.group}: {g.reason}" for g in of_it[:3])
            return GateResult(gate.text, ANY, outcome, why, gate.severity)
    raise AssertionError("a gate was held against no group")


def _gate_result(gate: GateSpec, group: str, outcome: Outcome, why: str) -> GateResult:
    note = f" [{gate.reason}]" if gate.reason and outcome != Outcome.PASSED else ""
    return GateResult(gate.text, group, outcome, why + note, gate.severity)


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _listing(gates: Sequence[GateResult]) -> str:
    shown = [f"{g.gate} ({g.group})" for g in gates[:3]]
    return ", ".join(shown) + (f" and {len(gates) - 3} more" if len(gates) > 3 else "")
