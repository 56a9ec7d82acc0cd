"""Write summary.md for the job summary of a CI system: verdict, gates, results, worst findings.

Code hosts cut or refuse long summaries, so the file has at most 60,000 bytes whatever the run: every cell has a limit
in bytes, tables end where the room does and say so, and the worst findings have theirs kept for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from vgaudit.records import Finding, Outcome, Result
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import (
    SOURCE_LENGTH,
    ClipMedia,
    ClipRow,
    clip_row,
    table_order,
    worst_findings,
)
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import markdown_text, one_line
from vgaudit.reports.estimates import AbsentMetric, absent_metrics, direction_of
from vgaudit.reports.likeness_names import VeiledNames
from vgaudit.reports.media import MediaFile
from vgaudit.reports.named import folded, label, size_note
from vgaudit.reports.overview import clip_name, condition, problem, remedies, sorted_gates, verdict_word
from vgaudit.rundir import atomic_write

_MARKS = {Outcome.PASSED: "\u2705", Outcome.FAILED: "\u274c", Outcome.NOT_COMPUTED: "\u2754"}
_ANSWERS = {"publish": "\u2705 publish", "review": "\u2754 review", "hold": "\u274c hold"}
MOST_BYTES = 60_000
"""Size of the file: less than the 65,536 characters that a comment on a pull request may have."""

_NAME = 120
_REASON = 400
_GATE = 1200  # room for three reasons with the clips they hold for
_WORDS = 200
_ROWS_SHOWN = 100
_WORST_SHOWN = 20
_NOTES_SHOWN = 12
_BROKEN = 5_000  # bytes of the table of samples without a clip


def write_markdown(data: ReportData, path: Path) -> Path:
    """Write ``summary.md``, of at most :data:`MOST_BYTES` bytes. Tables that are cut say so.

    People of the gallery are numbered, as in report.sarif: code hosts show the file to whoever may see the job.

    Args:
        data: The run.
        path: File to write; its folder is made if need be.

    Returns:
        ``path``.
    """
    names, room = VeiledNames(data), MOST_BYTES
    text = names.people(_whole(data, room))
    while (
        over := len(text.encode()) - MOST_BYTES
    ) > 0 and room > 0:  # a number may be longer than the id was
        room -= over
        text = names.people(_whole(data, room))
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def _whole(data: ReportData, most: int) -> str:
    """The document in at most ``most`` bytes."""
    verdict, worst, broken = _verdict(data), _worst(data), _broken(data)
    room = most - sum(len(part.encode()) + 2 for part in (verdict, worst, broken))
    answers = _answers(data, room // 2) if data.kind == "census" else ""
    room -= len(answers.encode()) + 2
    gates = _gates(data, room // 2)
    room -= len(gates.encode()) + 2
    parts = [verdict, answers, gates, _results(data, room - 2), broken, worst]
    return "\n\n".join(part for part in parts if part) + "\n"


def cell(text: str, limit: int) -> str:
    """``text`` for a cell, cut so that its Markdown has at most ``limit`` bytes; one character at the least."""
    shown = markdown_text(text, limit)
    while (size := len(shown.encode())) > limit:
        characters = len(one_line(text, limit))
        limit_now = max(1, min(characters - 1, characters * limit // size))
        shown = markdown_text(text, limit_now)
        if limit_now == 1:
            break
        text = one_line(text, limit_now)
    return shown


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int]) -> str:
    rule = ["---:" if i in numeric else "---" for i in range(len(head))]
    return "\n".join(_line(line) for line in (head, rule, *rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cut_table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    total: int,
    room: int,
    numeric: frozenset[int],
) -> str:
    """A section of at most ``room`` bytes; where not even its first row fits, one line says that it is left out.

    Of ``rows``, which are ``total``, only as many are made as are shown.
    """
    left_for_rows = room - len(_table(head, (), numeric).encode()) - len(title) - 80
    shown: list[Sequence[str]] = []
    for row in islice(rows, _ROWS_SHOWN):
        left_for_rows -= len(_line(row).encode()) + 1
        if left_for_rows < 0:
            break
        shown.append(row)
    left = total - len(shown)
    if left and not shown:
        return f"## {title}\n\nAll {left:,} rows are in the report."
    text = f"## {title}\n\n" + _table(head, shown, numeric)
    return f"{text}\n\n{left:,} more rows are in the report." if left > 0 else text


def _verdict(data: ReportData) -> str:
    verdict = data.verdict
    name = cell(data.name, _NAME)
    lines = [
        f"# {_MARKS[verdict.outcome]} {verdict_word(data)}: {name}",
        "",
        f"{cell(verdict.reason.rstrip('. '), _REASON)}. Exit code {verdict.exit_code}.",
    ]
    changes = remedies(data)
    if changes:
        lines += ["", "What would change it:", ""]
        lines += [f"- {cell(change, _REASON)}" for change in changes[:_NOTES_SHOWN]]
        if len(changes) > _NOTES_SHOWN:
            lines.append(f"- {len(changes) - _NOTES_SHOWN:,} more, see the gates")
    if data.notes:
        lines += ["", "Notes:", ""] + [f"- {cell(note, _REASON)}" for note in data.notes[:_NOTES_SHOWN]]
        if len(data.notes) > _NOTES_SHOWN:
            lines.append(f"- {len(data.notes) - _NOTES_SHOWN:,} more are in the report")
    return "\n".join(lines)


def _answers(data: ReportData, room: int) -> str:
    counts = Counter(entry.publish.decision if entry.publish else "none" for entry in data.clips)
    media = ClipMedia(MediaFile(), MediaFile())
    rows = table_order(
        [clip_row(entry, entry.sample.sample_id, media, ()) for entry in data.clips], census=True
    )
    line = ", ".join(f"{counts[name]:,} {name}" for name in ("hold", "review", "publish"))
    if counts["none"]:
        line += f", {counts['none']:,} without an answer"
    cells = (
        (
            _ANSWERS.get(row.decision, "\u2754 no answer"),
            cell(row.source or row.stem, SOURCE_LENGTH),
            cell(row.prompt, _NAME) or "not known",
            "; ".join(cell(reason, 200) for reason in row.reasons[:5])
            or "no check found a reason against it",
        )
        for row in rows
    )
    head = ("Answer", "Clip", "Prompt", "Why")
    table = cut_table("Answer per clip", head, cells, len(rows), room - 200, frozenset())
    return f"{line}. Finished clips are a census: no rates, no bounds.\n\n{table}"


def _gates(data: ReportData, room: int) -> str:
    if not data.gates:
        return ""
    rows = (
        (
            f"{_MARKS[g.outcome]} {g.outcome.value}"
            + (" (warns only)" if g.severity == "warn" else " (neutral)" if g.neutral else ""),
            cell(g.gate, _NAME),
            cell(g.group, _NAME),
            cell(g.reason, _GATE),
        )
        for g in sorted_gates(data.gates)
    )
    head = ("Outcome", "Condition", "Group", "Why")
    return cut_table("Gates", head, rows, len(data.gates), room, frozenset())


def _estimate(result: Result) -> str:
    text, reason = numbers.estimate(result), cell(numbers.reason(result), _REASON)
    if result.value is None:
        return f"{text}: {reason}"
    if result.low is None or result.high is None:
        few = cell(size_note(result), _REASON)
        why = "".join(f"; {part}" for part in (few if few not in reason else "", reason) if part)
        why = f": {why[2:]}" if why else ""
        return f"{cell(text, _NAME)} (no interval{why})"
    outside = "; out of domain" if result.detail.get("out_of_domain") else ""
    few = f"; {cell(note, _REASON)}" if (note := size_note(result)) else ""
    return f"{cell(text, _NAME)} ({numbers.confidence(result.confidence)}{outside}{few})"


def _results(data: ReportData, room: int) -> str:
    if not data.results:
        return ""
    absent = {metric.name: metric for metric in absent_metrics(data)}
    gated = [asked.name for gate in data.gates if (asked := condition(gate.gate))]
    shown = [r for r in folded(data.results, gated) if r.name.partition(".")[0] not in absent]
    rows = (
        (
            cell(label(result), _NAME),
            cell(result.group, _NAME),
            _estimate(result),
            cell(result.unit, _NAME) or "none",
            numbers.direction(direction_of([result], data)),
            f"{result.n:,}",
            f"{result.n_clusters:,}",
        )
        for result in shown
    )
    head = ("Result", "Group", "Estimate", "Unit", "Direction", "Clips", "Prompts")
    every = chain(rows, map(_absent, absent.values()))
    return cut_table("Results", head, every, len(shown) + len(absent), room, frozenset({5, 6}))


def _absent(metric: AbsentMetric) -> tuple[str, ...]:
    values, groups = metric.values, metric.groups
    name = values[0] if len(values) == 1 else f"{metric.name} ({len(values):,} values)"
    return (
        cell(name, _NAME),
        cell(groups[0], _NAME) if len(groups) == 1 else f"all {len(groups):,}",
        f"{metric.status}: {cell(metric.reason, _REASON)}",
        *("-", "-", "0", "0"),
    )


def _broken(data: ReportData) -> str:
    broken = [(entry, reason) for entry in data.clips if (reason := problem(entry))]
    rows = (
        (
            cell(clip_name(entry), SOURCE_LENGTH),
            cell(entry.sample.group, _NAME),
            cell(reason, _REASON),
        )
        for entry, reason in broken
    )
    head = ("Sample", "Group", "Why")
    return (
        cut_table("Samples without a usable clip", head, rows, len(broken), _BROKEN, frozenset())
        if broken
        else ""
    )


def _with_decision(data: ReportData, finding: Finding) -> str:
    """The finding's sentence, and what reviewers said of it."""
    said = data.decisions.get(finding.fingerprint)
    text = cell(finding.message, _REASON)
    return f"{text} ({cell(said.words, _WORDS)})" if said else text


class _Rows(dict[str, ClipRow]):
    """Rows of clips by sample id, made when they are asked for: few clips have one of the worst findings."""

    def __init__(self, data: ReportData) -> None:
        super().__init__()
        self._entries = {entry.sample.sample_id: entry for entry in data.clips}

    def __missing__(self, sample_id: str) -> ClipRow:
        nothing = ClipMedia(MediaFile(), MediaFile())
        return self.setdefault(sample_id, clip_row(self._entries[sample_id], sample_id, nothing, ()))


def _worst(data: ReportData) -> str:
    found = worst_findings(data.clips, _Rows(data), _WORST_SHOWN, data.decisions)
    total = sum(len(entry.findings) for entry in data.clips)
    if not found:
        return "No detector found anything. That is no proof that nothing is wrong."
    rows = [
        (
            item.finding.severity.value,
            cell(item.finding.kind, 80),
            f"{numbers.seconds(item.finding.start_s)} to {numbers.seconds(item.finding.end_s)}",
            _with_decision(data, item.finding),
            cell(item.row.source or item.row.stem, _WORDS),
            cell(item.row.prompt, _WORDS) or "not known",
        )
        for item in found
    ]
    head = ("Severity", "Kind", "When", "What", "Clip", "Prompt")
    shown = f"{len(found)} of {total:,}" if total > len(found) else "all"
    return f"## Worst findings ({shown})\n\n" + _table(head, rows, frozenset())
