"""From stored measurements to results, verdict, tables and reports. Does nothing when nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import vgaudit
from vgaudit.conditions import GateSpec
from vgaudit.errors import RunDirError
from vgaudit.gates import evaluate, verdict
from vgaudit.pipeline import comparing
from vgaudit.pipeline.decided import Decided, read_decided
from vgaudit.pipeline.gated_clips import gated_clips
from vgaudit.pipeline.publish import decide
from vgaudit.pipeline.runspec import RunSpec
from vgaudit.pipeline.scoring import Scorer
from vgaudit.pipeline.summary import Collected, refusal_results, summarize, value_specs
from vgaudit.plan import Plan
from vgaudit.progress import Progress
from vgaudit.records import (
    NOT_COMPUTED,
    ClipRecord,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Verdict,
    digest,
)  # fmt: skip
from vgaudit.reports.data import ClipEntry, PublishDecision, ReportData
from vgaudit.reports.likeness_pictures import Photographs
from vgaudit.reports.write import reports_are_current, write_reports
from vgaudit.rundir import RunDir, atomic_write

_RECORDED = 1
"""Raised whenever ``results.json`` records more of a run; runs that lack it are summarized again."""


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        run_dir: Where everything lies.
        report: The HTML report.
        verdict: The answer.
        data: What the reports were written from.
        changed: Whether anything had to be done.
    """

    run_dir: Path
    report: Path
    verdict: Verdict
    data: ReportData
    changed: bool


def finish(
    run: RunDir,
    spec: RunSpec,
    plan: Plan,
    records: Mapping[str, ClipRecord],
    scorer: Scorer,
    progress: Progress,
) -> Finished:
    """Summarize, gate and report what has been measured."""
    collected = Collected(plan, records, scorer)
    inputs = _inputs_digest(spec, plan, records, scorer, collected)
    report = run.path / "report" / "index.html"
    before = _stored(run)
    anchor = before.get("decisions")
    if before.get("inputs") == inputs and (found := _stored_findings(run, plan, before)) is not None:
        decided = read_decided(run.path, spec.review, found, anchor)
        if before.get("decided") != decided.key:
            progress.note("applying decisions")
            return Finished(run.path, report, (data := hold_again(run)).verdict, data, changed=True)
        if reports_are_current(run.path):
            data = read_report_data(run)
            return Finished(run.path, report, data.verdict, data, changed=False)
    progress.note("summarizing")
    collected.settle()
    results: list[Result] = []
    if spec.kind != "census":
        gated = {gate.result_name for gate in spec.gates if gate.metric}
        results = refusal_results(plan, records, spec.confidence, gated)
        results += summarize(collected, spec.confidence, gated)
    kinds = {b.name: getattr(b.metric, "finding_kinds", None) for b in scorer.metrics}
    stored: dict[str, Any] = {
        "schema_version": 1,
        "inputs": "" if collected.unsettled else inputs,  # what could not be settled is tried again
        "kind": spec.kind,
        "name": spec.name,
        "results": [r.to_json() for r in results],
        "value_specs": value_specs(scorer.metrics),
        "coverage": {m: {g: list(c) for g, c in by.items()} for m, by in collected.coverage().items()},
        "finding_kinds": {name: sorted(k) for name, k in kinds.items() if k is not None},
        "groups": list(plan.groups),
        "settled": {name: dict(s.facts) for name, s in collected.settlements.items()},
        "unchecked": _unchecked(plan, records, scorer, collected),
        "notes": _notes(spec, scorer, collected, results),
        "measured_with": _measured_with(scorer),
        "measurement_keys": {
            b.name: [
                collected.key(b, s) for s in plan if s.sample_id in collected.measurements.get(b.name, {})
            ]
            for b in scorer.metrics
        },
    }
    if spec.kind != "census":
        stored["comparisons"] = comparing.compare_groups(
            plan, records, collected.measurements, results, stored["value_specs"], spec.confidence
        )
    decided = read_decided(run.path, spec.review, findings_of(plan, collected.measurements), anchor)
    stored |= {"decided": decided.key, "decisions": decided.anchor}
    stored |= _gated(spec, stored, plan, records, collected.measurements, decided)
    _write_settlements(run, collected)
    run.write_results(stored)
    data = read_report_data(run)
    return Finished(run.path, write_reports(data), data.verdict, data, changed=True)


def _write_settlements(run: RunDir, collected: Collected) -> None:
    for name, settlement in collected.settlements.items():
        for picture, data in settlement.pictures.items():
            path = run.evidence_path(picture)
            if not path.is_file():
                with atomic_write(path, private=True) as file:
                    file.write(data)
        run.write_ledger(name, settlement.ledger)
    for name in collected.unsettled:
        run.write_ledger(name, ())  # an account of another run's state would be taken for this one's


def _stored(run: RunDir) -> dict[str, Any]:
    """The stored results; empty where there are none, or none that can be read."""
    try:
        return run.results()
    except RunDirError:
        return {}


def _stored_findings(run: RunDir, plan: Plan, stored: Mapping[str, Any]) -> list[Finding] | None:
    """Findings as the whole run settled them; ``None`` where a measurement is not in the log any more."""
    try:
        return findings_of(plan, stored_measurements(run, stored))
    except RunDirError:
        return None


def hold_again(run: RunDir, photos: Callable[[ReportData], Photographs] | None = None) -> ReportData:
    """Hold a scored run against its own gates with the decisions made since, and write verdict and reports.

    Nothing is measured and no model is touched. The caller holds the run's lock.

    Args:
        run: The run.
        photos: Gives the photographs for the reviewer's cards; without, the page shows none.

    Raises:
        RunDirError: The run has not been scored.
    """
    stored = run.results()
    spec, plan = RunSpec.from_json(run.manifest()["spec"]), run.plan()
    records = {s.sample_id: run.clip_record(s.sample_id) for s in plan}
    measurements = stored_measurements(run, stored)
    decided = read_decided(run.path, spec.review, findings_of(plan, measurements), stored.get("decisions"))
    stored |= {"decided": decided.key, "decisions": decided.anchor}
    stored |= _gated(spec, stored, plan, records, measurements, decided)
    run.write_results(stored)
    data = read_report_data(run)
    write_reports(data, None if photos is None else photos(data))
    return data


def findings_of(plan: Plan, measurements: Mapping[str, Mapping[str, Measurement]]) -> list[Finding]:
    """All findings of a run, clip by clip in plan order."""
    return [
        f
        for sample in plan
        for by_sample in measurements.values()
        if sample.sample_id in by_sample
        for f in by_sample[sample.sample_id].findings
    ]


def regate(run: RunDir, gates: Sequence[GateSpec], max_failed: int) -> ReportData:
    """Hold gates against stored results (``vgaudit gate``); nothing is written, models are not touched.

    Args:
        run: A scored run.
        gates: The run's own gates, or another suite's.
        max_failed: Samples that may fail.

    Returns:
        The run as its reports see it, with the outcome of these gates.
    """
    stored = run.results()
    with _damage_told(run):
        return _regated(run, gates, max_failed, stored)


@contextmanager
def _damage_told(run: RunDir) -> Iterator[None]:
    """What stored records raise when they are not what this program wrote, as an error that names the run."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunDirError(
            f"{run.path}: expected the results and measurements of a scored run, found damaged ones "
            f"({type(error).__name__}: {error}); run `vgaudit score {run.path}` again"
        ) from error


def _regated(
    run: RunDir, gates: Sequence[GateSpec], max_failed: int, stored: Mapping[str, Any]
) -> ReportData:
    data = read_report_data(run)
    if (found := run.plan().digest) != (expected := data.manifest["plan_digest"]):
        raise RunDirError(
            f"{run.path}: expected the plan with the digest {expected[:12]} that the manifest names, found another "
            f"one ({found[:12]}); `vgaudit run` the suite again"
        )
    records = {e.sample.sample_id: e.clip for e in data.clips}
    plan = Plan(tuple(e.sample for e in data.clips))
    measurements = stored_measurements(run, stored)
    spec = replace(RunSpec.from_json(data.manifest["spec"]), gates=tuple(gates), max_failed=max_failed)
    decided = read_decided(run.path, spec.review, findings_of(plan, measurements), stored.get("decisions"))
    held = _gated(spec, stored, plan, records, measurements, decided)
    return replace(
        data,
        gates=tuple(GateResult.from_json(g) for g in held["gates"]),
        verdict=Verdict.from_json(held["verdict"]),
    )


def _gated(
    spec: RunSpec, stored: Mapping[str, Any], plan: Plan,
    records: Mapping[str, ClipRecord], measurements: Mapping[str, Mapping[str, Measurement]], decided: Decided,
) -> dict[str, Any]:  # fmt: skip
    failed = sum(r.failed for r in records.values())
    if stored["kind"] == "census":
        answer = _census_verdict(stored, plan, records, measurements, decided)
        return {"gates": [], "verdict": decided.judged(answer).to_json()}
    findings = findings_of(plan, measurements)
    clips = gated_clips(plan, records, measurements, stored["unchecked"], stored["measurement_keys"])
    held: list[GateResult] = evaluate(
        spec.gates,
        [Result.from_json(r) for r in stored["results"]],
        stored["groups"],
        findings=[f for f in findings if not decided.of(f).closed],
        sample_groups={s.sample_id: s.group for s in plan},
        coverage={m: {g: (c[0], c[1]) for g, c in by.items()} for m, by in stored["coverage"].items()},
        finding_kinds=stored["finding_kinds"],
        closed=[f for f in findings if decided.of(f).closed],
        expired=[f for f in findings if decided.of(f).expired],
        undecidable=decided.problem,
        no_alerts=_no_alerts(stored),
        clips=clips,
        confidence=spec.confidence,
    )
    answer = decided.judged(verdict(held, failed, spec.max_failed))
    return {"gates": [g.to_json() for g in held], "verdict": answer.to_json()}


def _no_alerts(stored: Mapping[str, Any]) -> dict[str, str]:
    """Metric -> why it could raise no alert in the run; one that was scored before runs were settled cannot say."""
    if "settled" not in stored:
        return dict.fromkeys(stored["coverage"], "the run was scored by an earlier version; score it again")
    return {m: facts["no_alerts"] for m, facts in stored["settled"].items() if "no_alerts" in facts}


def _census_verdict(
    stored: Mapping[str, Any], plan: Plan, records: Mapping[str, ClipRecord],
    measurements: Mapping[str, Mapping[str, Measurement]], decided: Decided,
) -> Verdict:  # fmt: skip
    """Hold wins over review: any clip on hold is like a failed gate, any to review like one not computed."""
    answers = [d.decision for d in _answers(stored, plan, records, measurements, decided).values()]
    count = {word: answers.count(word) for word in ("publish", "review", "hold")}
    reason = f"{count['publish']} to publish, {count['review']} to review, {count['hold']} on hold"
    if count["hold"]:
        return Verdict(Outcome.FAILED, 3, reason)
    if count["review"]:
        return Verdict(Outcome.NOT_COMPUTED, 4, reason)
    return Verdict(Outcome.PASSED, 0, reason)


def _answers(
    stored: Mapping[str, Any], plan: Plan, records: Mapping[str, ClipRecord],
    measurements: Mapping[str, Mapping[str, Measurement]], decided: Decided,
) -> dict[str, PublishDecision]:  # fmt: skip
    unchecked: Mapping[str, Mapping[str, str]] = stored["unchecked"]
    return {
        s.sample_id: decide(
            records[s.sample_id],
            {m: by[s.sample_id] for m, by in measurements.items() if s.sample_id in by},
            unchecked.get(s.sample_id, {}),
            decided.standings,
        )
        for s in plan
    }


def read_report_data(run: RunDir) -> ReportData:
    """Everything a report needs, from the run directory alone."""
    stored = run.results()
    plan = run.plan()
    manifest = run.manifest()
    records = {s.sample_id: run.clip_record(s.sample_id) for s in plan}
    measurements = stored_measurements(run, stored)
    census = stored["kind"] == "census"
    policy, found = RunSpec.from_json(manifest["spec"]).review, findings_of(plan, measurements)
    decided = read_decided(run.path, policy, found, stored.get("decisions"))
    answers = _answers(stored, plan, records, measurements, decided) if census else {}
    clips = tuple(
        ClipEntry(
            s,
            records[s.sample_id],
            {
                m: _shown(m, by[s.sample_id], stored["value_specs"])
                for m, by in measurements.items()
                if s.sample_id in by
            },
            answers.get(s.sample_id),
        )
        for s in plan
    )
    return ReportData(
        run_dir=run.path,
        kind=cast(Literal["run", "census"], stored["kind"]),
        name=stored["name"],
        manifest=manifest,
        clips=clips,
        results=tuple(Result.from_json(r) for r in stored["results"]),
        gates=tuple(GateResult.from_json(g) for g in stored["gates"]),
        verdict=Verdict.from_json(stored["verdict"]),
        notes=(*stored["notes"], *manifest.get("notes", ()), *decided.notes),
        value_specs=stored["value_specs"],
        settled=stored.get("settled", {}),
        ledger=tuple(row for name in stored.get("settled", {}) for row in run.ledger(name)),
        decisions=decided.standings,
        undecidable=decided.problem,
        comparisons=stored.get("comparisons"),
    )


def _shown(metric: str, measurement: Measurement, specs: Mapping[str, Any]) -> Measurement:
    """``measurement`` with the values the suite asked for; gates need to know of all that is missing."""
    return replace(
        measurement,
        values={n: v for n, v in measurement.values.items() if f"{metric}.{n}" in specs},
        missing={n: v for n, v in measurement.missing.items() if f"{metric}.{n}" in specs},
    )


def stored_measurements(run: RunDir, stored: Mapping[str, Any]) -> dict[str, dict[str, Measurement]]:
    """Metric -> sample -> the measurement that the stored results follow from."""
    log = run.read_measurements()
    found: dict[str, dict[str, Measurement]] = {}
    for metric, keys in stored["measurement_keys"].items():
        for key in keys:
            if key not in log:
                raise RunDirError(
                    f"{run.path}: results.json names a measurement that the log lacks; "
                    f"run `vgaudit score {run.path}` again"
                )
            entry = log[key]
            found.setdefault(metric, {})[entry["sample_id"]] = Measurement.from_json(entry["measurement"])
    return found


def _inputs_digest(
    spec: RunSpec, plan: Plan, records: Mapping[str, ClipRecord], scorer: Scorer, collected: Collected
) -> str:
    """Digest of everything results and reports follow from."""
    return digest(
        [
            vgaudit.__version__, comparing.VERSION, _RECORDED, spec.to_json(), plan.digest, [s.domain for s in plan],
            [[r.outcome, r.sha256, r.media_error, r.message] for r in records.values()],
            {b.name: [b.unavailable, sorted(collected.measurements.get(b.name, {})), dict(b.identity),
                      dict(b.fingerprints), b.metric.version] for b in scorer.metrics},
            sorted([*key, why] for key, why in scorer.errors.items()),
        ]
    )  # fmt: skip


def _measured_with(scorer: Scorer) -> dict[str, dict[str, Any]]:
    """What of each metric decides whether its numbers can stand beside those of another run."""
    return {
        b.name: {
            "version": b.metric.version, "options": dict(b.options), "identity": dict(b.identity),
            "fingerprints": dict(b.fingerprints), "unavailable": b.unavailable,
        }
        for b in scorer.metrics
    }  # fmt: skip


def _unchecked(
    plan: Plan, records: Mapping[str, ClipRecord], scorer: Scorer, collected: Collected
) -> dict[str, dict[str, str]]:
    """Sample -> metric -> why a metric that was asked for has no measurement of a decodable clip."""
    found: dict[str, dict[str, str]] = {}
    for bound in scorer.metrics:
        for sample in plan:
            record = records[sample.sample_id]
            if record.outcome != "ok" or record.media_error:
                continue
            if sample.sample_id not in collected.measurements.get(bound.name, {}):
                why = bound.unavailable or scorer.errors.get((sample.sample_id, bound.name)) or "not measured"
                found.setdefault(sample.sample_id, {})[bound.name] = why
    return found


def _notes(spec: RunSpec, scorer: Scorer, collected: Collected, results: Sequence[Result]) -> list[str]:
    """What a reader must know before reading a number."""
    notes = []
    if "likeness" not in spec.metrics:
        how = (
            "give --gallery DIR"
            if spec.kind == "census"
            else "add metrics: {likeness: {gallery: DIR}} to the suite"
        )
        notes.append(f"Likeness was not assessed: no gallery of people was given ({how}).")
    notes += [
        f"{b.name} was not computed: {b.unavailable}. {b.remedy}".strip()
        for b in scorer.metrics
        if b.unavailable
    ]
    notes += _remedies(results)
    damaged = [r for r in collected.records.values() if r.media_error]
    if damaged:
        notes.append(
            f"{len(damaged)} of {len(collected.records)} clips cannot be decoded; no score covers them."
        )
    return notes


def _remedies(results: Sequence[Result]) -> list[str]:
    """What helps with results that are not computed, where their ``detail.remedy`` says so: once for each metric."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        if result.status == NOT_COMPUTED and (remedy := result.detail.get("remedy")):
            key = result.name.partition(".")[0], str(remedy)
            groups.setdefault(key, {}).setdefault(result.group, result.reason)
    return [
        f"{metric} was not computed for {', '.join(reasons)}: {next(iter(reasons.values()))}. {remedy}"
        for (metric, remedy), reasons in groups.items()
    ]
