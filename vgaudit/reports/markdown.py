"""Write summary.md for the job summary of a CI system: verdict, gates, results, worst findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from vgaudit.records import Finding, Outcome, Result
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import SOURCE_LENGTH, ClipMedia, clip_row, table_order, worst_findings
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import markdown_text
from vgaudit.reports.estimates import AbsentMetric, absent_metrics, direction_of
from vgaudit.reports.media import MediaFile
from vgaudit.reports.named import folded, label, size_note
from vgaudit.reports.overview import clip_name, condition, problem, remedies, sorted_gates, verdict_word
from vgaudit.rundir import atomic_write

_MARKS = {Outcome.PASSED: "\u2705", Outcome.FAILED: "\u274c", Outcome.NOT_COMPUTED: "\u2754"}
_ANSWERS = {"publish": "\u2705 publish", "review": "\u2754 review", "hold": "\u274c hold"}
_PROMPT_LENGTH = 120
_REASON_LENGTH = 400
_GATE_LENGTH = 1200  # room for three reasons with the clips they hold for
_ROWS_SHOWN = 100
_WORST_SHOWN = 10


def write_markdown(data: ReportData, path: Path) -> Path:
    """Write ``summary.md``. Tables are cut at 100 rows, and say so: job summaries have a size limit.

    Args:
        data: The run.
        path: File to write; its folder is made if need be.

    Returns:
        ``path``.
    """
    parts = [_verdict(data)]
    if data.kind == "census":
        parts.append(_answers(data))
    parts += [_gates(data), _results(data), _broken(data), _worst(data)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: frozenset[int] = frozenset()) -> str:
    rule = ["---:" if i in numeric else "---" for i in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cut(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int]) -> str:
    text = f"## {title}\n\n" + _table(head, rows[:_ROWS_SHOWN], numeric)
    left = len(rows) - _ROWS_SHOWN
    return f"{text}\n\n{left:,} more rows are in the report." if left > 0 else text


def _verdict(data: ReportData) -> str:
    verdict = data.verdict
    name = markdown_text(data.name, _PROMPT_LENGTH)
    lines = [
        f"# {_MARKS[verdict.outcome]} {verdict_word(data)}: {name}",
        "",
        f"{markdown_text(verdict.reason.rstrip('. '), _REASON_LENGTH)}. Exit code {verdict.exit_code}.",
    ]
    changes = remedies(data)
    if changes:
        lines += ["", "What would change it:", ""]
        lines += [f"- {markdown_text(change, _REASON_LENGTH)}" for change in changes[:12]]
        if len(changes) > 12:
            lines.append(f"- {len(changes) - 12:,} more, see the gates")
    if data.notes:
        lines += ["", "Notes:", ""] + [f"- {markdown_text(note, _REASON_LENGTH)}" for note in data.notes]
    return "\n".join(lines)


def _answers(data: ReportData) -> str:
    counts = Counter(entry.publish.decision if entry.publish else "none" for entry in data.clips)
    media = ClipMedia(MediaFile(), MediaFile())
    rows = table_order(
        [clip_row(entry, entry.sample.sample_id, media, ()) for entry in data.clips], census=True
    )
    line = ", ".join(f"{counts[name]:,} {name}" for name in ("hold", "review", "publish"))
    if counts["none"]:
        line += f", {counts['none']:,} without an answer"
    cells = [
        (
            _ANSWERS.get(row.decision, "\u2754 no answer"),
            markdown_text(row.source or row.stem, SOURCE_LENGTH),
            markdown_text(row.prompt, _PROMPT_LENGTH) or "not known",
            "; ".join(markdown_text(reason, 200) for reason in row.reasons)
            or "no check found a reason against it",
        )
        for row in rows
    ]
    table = _cut("Answer per clip", ("Answer", "Clip", "Prompt", "Why"), cells, frozenset())
    return f"{line}. Finished clips are a census: no rates, no bounds.\n\n{table}"


def _gates(data: ReportData) -> str:
    if not data.gates:
        return ""
    rows = []
    for gate in sorted_gates(data.gates):
        outcome = f"{_MARKS[gate.outcome]} {gate.outcome.value}"
        rows.append(
            (
                outcome + (" (warns only)" if gate.severity == "warn" else ""),
                markdown_text(gate.gate, _PROMPT_LENGTH),
                markdown_text(gate.group, _PROMPT_LENGTH),
                markdown_text(gate.reason, _GATE_LENGTH),
            )
        )
    return _cut("Gates", ("Outcome", "Condition", "Group", "Why"), rows, frozenset())


def _estimate(result: Result) -> str:
    text, reason = numbers.estimate(result), markdown_text(numbers.reason(result), _REASON_LENGTH)
    if result.value is None:
        return f"{text}: {reason}"
    if result.low is None or result.high is None:
        few = markdown_text(size_note(result), _REASON_LENGTH)
        why = "".join(f"; {part}" for part in (few if few not in reason else "", reason) if part)
        why = f": {why[2:]}" if why else ""
        return f"{markdown_text(text)} (no interval{why})"
    outside = "; out of domain" if result.detail.get("out_of_domain") else ""
    few = f"; {markdown_text(note, _REASON_LENGTH)}" if (note := size_note(result)) else ""
    return f"{markdown_text(text)} ({numbers.confidence(result.confidence)}{outside}{few})"


def _results(data: ReportData) -> str:
    if not data.results:
        return ""
    absent = {metric.name: metric for metric in absent_metrics(data)}
    gated = [asked.name for gate in data.gates if (asked := condition(gate.gate))]
    rows: list[tuple[str, ...]] = [
        (
            markdown_text(label(result), _PROMPT_LENGTH),
            markdown_text(result.group, _PROMPT_LENGTH),
            _estimate(result),
            markdown_text(result.unit, _PROMPT_LENGTH) or "none",
            numbers.direction(direction_of([result], data)),
            f"{result.n:,}",
            f"{result.n_clusters:,}",
        )
        for result in folded(data.results, gated)
        if result.name.partition(".")[0] not in absent
    ]
    rows += [_absent(metric) for metric in absent.values()]
    head = ("Result", "Group", "Estimate", "Unit", "Direction", "Clips", "Prompts")
    return _cut("Results", head, rows, frozenset({5, 6}))


def _absent(metric: AbsentMetric) -> tuple[str, ...]:
    values, groups = metric.values, metric.groups
    name = values[0] if len(values) == 1 else f"{metric.name} ({len(values):,} values)"
    return (
        markdown_text(name, _PROMPT_LENGTH),
        markdown_text(groups[0], _PROMPT_LENGTH) if len(groups) == 1 else f"all {len(groups):,}",
        f"{metric.status}: {markdown_text(metric.reason, _REASON_LENGTH)}",
        *("-", "-", "0", "0"),
    )


def _broken(data: ReportData) -> str:
    rows = [
        (
            markdown_text(clip_name(entry), SOURCE_LENGTH),
            markdown_text(entry.sample.group, _PROMPT_LENGTH),
            markdown_text(reason, _REASON_LENGTH),
        )
        for entry in data.clips
        if (reason := problem(entry))
    ]
    return (
        _cut("Samples without a usable clip", ("Sample", "Group", "Why"), rows, frozenset()) if rows else ""
    )


def _with_decision(data: ReportData, finding: Finding) -> str:
    """The finding's sentence, and what reviewers said of it."""
    said = data.decisions.get(finding.fingerprint)
    text = markdown_text(finding.message, _REASON_LENGTH)
    return f"{text} ({markdown_text(said.words, _REASON_LENGTH)})" if said else text


def _worst(data: ReportData) -> str:
    media = ClipMedia(MediaFile(), MediaFile())
    by_id = {e.sample.sample_id: clip_row(e, e.sample.sample_id, media, ()) for e in data.clips}
    found = worst_findings(data.clips, by_id, _WORST_SHOWN, data.decisions)
    total = sum(row.findings for row in by_id.values())
    if not found:
        return "No detector found anything. That is no proof that nothing is wrong."
    rows = [
        (
            item.finding.severity.value,
            markdown_text(item.finding.kind, _PROMPT_LENGTH),
            f"{numbers.seconds(item.finding.start_s)} to {numbers.seconds(item.finding.end_s)}",
            _with_decision(data, item.finding),
            markdown_text(item.row.source or item.row.stem, SOURCE_LENGTH),
            markdown_text(item.row.prompt, _PROMPT_LENGTH) or "not known",
        )
        for item in found
    ]
    head = ("Severity", "Kind", "When", "What", "Clip", "Prompt")
    shown = f"{len(found)} of {total:,}" if total > len(found) else "all"
    return f"## Worst findings ({shown})\n\n" + _table(head, rows)
