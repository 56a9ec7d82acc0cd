"""Gates on what clips and detectors say without an estimate: findings, coverage, and how long clips took."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from vgaudit.conditions import GateSpec, unknown_kind
from vgaudit.gate_evidence import Evidence, Held, count
from vgaudit.records import Finding, Outcome, Result, Severity
from vgaudit.shortfall import missing_evidence


def hold_findings(gate: GateSpec, group: str, evidence: Evidence) -> Held:
    """A gate on the number of open findings, or on how many clips in 100 have one."""
    if evidence.undecidable:
        return Held(Outcome.NOT_COMPUTED, f"which findings are open cannot be told: {evidence.undecidable}")
    limit = int(gate.max or 0)
    pattern, relevant = gate.findings or "", _asked_for(gate, evidence.findings)
    count_of = sum(evidence.owners.get(f.sample_id) == group for f in relevant)
    closed, expired = (
        sum(evidence.owners.get(f.sample_id) == group for f in _asked_for(gate, of))
        for of in (evidence.closed, evidence.expired)
    )
    told = f"; {closed} closed by decisions" if closed else ""
    told += f"; {count(expired, 'decision')} expired" if expired else ""
    if count_of > limit and gate.per_100 is None:
        worst = max(
            (f for f in relevant if evidence.owners.get(f.sample_id) == group), key=lambda f: f.severity.rank
        )
        named = f" ({worst.fingerprint[:8]})" if worst.fingerprint else ""
        first = f"the worst: {worst.kind} at {worst.start_s:.2f} s of {worst.sample_id}{named}"
        return Held(Outcome.FAILED, f"{count(count_of, 'open finding')}, {limit} allowed; {first}{told}")
    if stray := sum(f.sample_id not in evidence.owners for f in relevant):
        return Held(
            Outcome.NOT_COMPUTED, f"{count(stray, 'finding')} cannot be put to a group: unknown sample"
        )
    metrics = gate.metric_names() or evidence.metrics
    if not metrics:
        return Held(Outcome.NOT_COMPUTED, "no metric was run")
    allowed = []
    for metric in metrics:
        if unknown := unknown_kind(pattern, metric, evidence.kinds):
            return Held(Outcome.NOT_COMPUTED, unknown)
        if gate.at_least is Severity.ALERT and (why := evidence.no_alerts.get(metric)):
            return Held(
                Outcome.NOT_COMPUTED,
                f"{metric} can raise no alert here, so finding none says nothing: {why}",
            )
        seen = evidence.coverage.get(metric, {}).get(group)
        if seen is None:
            return Held(Outcome.NOT_COMPUTED, f"{metric} was not run on this group")
        assessed, planned = seen
        if planned <= 0:
            return Held(Outcome.NOT_COMPUTED, f"there are no clips {metric} could have looked at")
        if assessed < planned:
            outside, why = evidence.outside.get((metric, group), ""), evidence.why_not(metric, group)
            few = f"{metric} looked at only {assessed} of {planned} clips"
            few += f" ({outside})" if outside and outside not in why else ""
            few += f": {why}" if why else ""
            if planned - assessed > gate.allow_missing or assessed <= 0:
                return Held(Outcome.NOT_COMPUTED, few)
            allowed.append(few)
        too_few, few_enough = _unsearched(gate, metric, group, evidence)
        if too_few:
            return Held(Outcome.NOT_COMPUTED, "; ".join(too_few))
        allowed += few_enough
    looked = ", ".join(f"{m} looked at {evidence.coverage[m][group][0]} clips" for m in metrics)
    missed = "".join(f"; allowed by allow_missing: {few}" for few in allowed)
    if gate.per_100 is not None:
        return _hold_rate(gate, group, evidence, metrics, f"{looked}{missed}{told}", expired)
    facts = f"{count(count_of, 'open finding')}, {limit} allowed; {looked}{missed}{told}"
    if expired:
        return Held(Outcome.NOT_COMPUTED, f"{facts}: a person has to decide again")
    return Held(Outcome.PASSED, facts)


def _asked_for(gate: GateSpec, findings: Sequence[Finding]) -> list[Finding]:
    """The findings a gate is about: of its kinds, and bad enough."""
    least = (gate.at_least or Severity.MINOR).rank
    return [f for f in findings if fnmatchcase(f.kind, gate.findings or "") and f.severity.rank >= least]


def _unsearched(gate: GateSpec, metric: str, group: str, evidence: Evidence) -> tuple[list[str], list[str]]:
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


def _hold_rate(
    gate: GateSpec, group: str, evidence: Evidence, metrics: Sequence[str], told: str, expired: int
) -> Held:
    """How many clips in 100 have such a finding: the exact interval over prompts must lie within the limit."""
    from vgaudit.estimates import clustered_rate
    from vgaudit.stats import prompts_with

    within = tuple(f"{metric}." for metric in metrics)
    kinds = {n for n in evidence.coverage if n.startswith(within) and fnmatchcase(n, gate.findings or "")}
    names = {*metrics, *kinds}
    having = {f.sample_id for f in _asked_for(gate, evidence.findings)}
    searched = {
        s: c for s, c in evidence.of_group(group).items() if s in having or not names & c.unseen.keys()
    }
    if not searched:
        return Held(Outcome.NOT_COMPUTED, "which clips were searched is not known, so there is no rate")
    outcomes = [(clip.prompt_id, s in having) for s, clip in searched.items()]
    rate = clustered_rate([event for _, event in outcomes], [p for p, _ in outcomes], evidence.confidence)
    assert rate.low is not None
    assert rate.high is not None
    limit = (gate.per_100 or 0.0) / 100
    facts = (
        f"{sum(event for _, event in outcomes)} of {count(len(outcomes), 'clip')} with an open finding, "
        f"{100 * rate.value:.3g} per 100; {100 * evidence.confidence:.4g} % interval {100 * rate.low:.3g} to "
        f"{100 * rate.high:.3g} over {count(rate.n_clusters, 'prompt')}, {gate.per_100:g} allowed; {told}"
    )
    if rate.low > limit:
        return Held(Outcome.FAILED, facts)
    if expired:
        return Held(Outcome.NOT_COMPUTED, f"{facts}: a person has to decide again")
    if rate.high <= limit:
        return Held(Outcome.PASSED, facts)
    result = Result(
        gate.findings or "", group, rate.value, rate.low, rate.high, evidence.confidence, rate.n, rate.n_clusters,
        detail={"interval": rate.method, **prompts_with(outcomes)},
    )  # fmt: skip
    short = missing_evidence(result, upper=limit)
    return Held(
        Outcome.NOT_COMPUTED,
        f"insufficient evidence: the limit lies inside the interval ({facts})"
        + (f"; {short}" if short else ""),
        thin=True,
    )


def hold_coverage(gate: GateSpec, group: str, evidence: Evidence) -> Held:
    """A gate on the share of clips that a metric looked at, or searched for a kind of finding."""
    name = gate.coverage or ""
    metric = name if name in evidence.metrics else name.partition(".")[0]
    if metric not in evidence.coverage:
        return Held(Outcome.NOT_COMPUTED, f"{metric} was not run")
    if name != metric and (unknown := unknown_kind(name, metric, evidence.kinds)):
        return Held(Outcome.NOT_COMPUTED, unknown)
    by_group = evidence.coverage.get(name, evidence.coverage[metric])
    if group not in by_group:
        return Held(Outcome.NOT_COMPUTED, f"{metric} was not run on this group")
    seen, due = by_group[group]
    if due <= 0 or not 0 <= seen <= due:
        return Held(Outcome.NOT_COMPUTED, f"there are no clips {metric} could have looked at")
    why = evidence.why_not(name if name in evidence.coverage else metric, group)
    facts = f"{name}: {seen} of {count(due, 'clip')} looked at, {100 * seen / due:.4g} %" + (
        f": {why}" if why else ""
    )
    good = seen / due >= gate.min if gate.min is not None else seen / due > (gate.above or 0.0)
    return Held(Outcome.PASSED if good else Outcome.FAILED, facts)


def hold_runtime(gate: GateSpec, group: str, evidence: Evidence) -> Held:
    """A gate on the mean time a clip took to generate, as the backend recorded it."""
    made = list(evidence.of_group(group).values())
    if not made:
        return Held(Outcome.NOT_COMPUTED, "there are no clips whose generation could have been timed")
    seconds = [c.seconds for c in made if c.seconds is not None]
    if len(seconds) < len(made):
        return Held(
            Outcome.NOT_COMPUTED,
            f"{len(made) - len(seconds)} of {count(len(made), 'clip')} have no recorded generation time "
            "(there is no clip, it was made elsewhere, or the backend did not say)",
        )
    mean = sum(seconds) / len(seconds)
    facts = (
        f"{mean:.3g} s per clip over {count(len(made), 'clip')}, the slowest {max(seconds):.3g} s; "
        "times are those of the machine that generated the clips"
    )
    good = mean <= gate.max if gate.max is not None else mean < (gate.below or 0.0)
    return Held(Outcome.PASSED if good else Outcome.FAILED, facts)
