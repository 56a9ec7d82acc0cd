"""What stands on the terminal at the end of a run: verdict, gates, results, and the report's path last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vgaudit.records import COMPUTED, GateResult, Outcome, Result
from vgaudit.reports.data import ReportData
from vgaudit.reports.named import folded, label, size_note
from vgaudit.reports.overview import condition

_WORDS = {Outcome.PASSED: "PASSED", Outcome.FAILED: "FAILED", Outcome.NOT_COMPUTED: "NOT COMPUTED"}
_MOST = 8


def say(text: str) -> None:
    """Print one line; control characters of prompts and file names cannot reach the terminal."""
    print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def print_conclusion(data: ReportData, report: Path | None, changed: bool) -> None:
    """Print the answer of a run for a person; plain text, no colours, the same in a log file."""
    if not changed:
        say("nothing to do: everything was there already")
    if data.kind == "census":
        _census(data)
    else:
        for line in _results(data):
            say(line)
    for line in _gates(data.gates):
        say(line)
    if data.kind == "run":
        for line in _failed(data):
            say(line)
    for note in data.notes:
        say(f"note: {note}")
    say(f"{_WORDS[data.verdict.outcome]} (exit code {data.verdict.exit_code}): {data.verdict.reason}")
    if report is not None:
        say(f"report: {report}")


def _failed(data: ReportData) -> list[str]:
    """The first samples without a usable clip, with the reason of each."""
    failed = [
        (e, e.clip.media_error or e.clip.message or e.clip.outcome) for e in data.clips if e.clip.failed
    ]
    lines = [f"no clip from {e.sample.source or e.sample.sample_id}: {why}" for e, why in failed[:_MOST]]
    if len(failed) > _MOST:
        lines.append(f"no clip from {len(failed) - _MOST} more samples; the report names them")
    return lines


def _gates(gates: Sequence[GateResult]) -> list[str]:
    """One line per gate and group; a gate that all groups pass takes one line."""
    lines = []
    for text, severity, neutral in dict.fromkeys((g.gate, g.severity, g.neutral) for g in gates):
        held = [g for g in gates if (g.gate, g.severity, g.neutral) == (text, severity, neutral)]
        warn = " (warning)" if severity == "warn" else " (neutral)" if neutral else ""
        if len(held) > 1 and all(g.outcome is Outcome.PASSED for g in held):
            lines.append(f"gate {'passed':<13} {text}{warn}: in all {len(held)} groups")
            continue
        lines += [f"gate {g.outcome.value:<13} {text} [{g.group}]{warn}: {g.reason}" for g in held]
    return lines


def _results(data: ReportData) -> list[str]:
    """A line per result and group, groups of one result together."""
    if not data.results:
        return []
    gated = [c.name for gate in data.gates if (c := condition(gate.gate))]
    results = folded(data.results, gated)
    width = max(len(label(r)) for r in results)
    groups = max(len(r.group) for r in results)
    lines = []
    for name in dict.fromkeys(label(r) for r in results):
        shown = name
        for result in (r for r in results if label(r) == name):
            lines.append(f"{shown:<{width}}  {result.group:<{groups}}  {_value(result)}")
            shown = ""
    return lines


def _value(result: Result) -> str:
    if result.status != COMPUTED or result.value is None:
        return f"{result.status}: {result.reason}"
    interval = "no interval"
    if result.low is not None or result.high is not None:
        low = "-inf" if result.low is None else f"{result.low:.4g}"
        high = "inf" if result.high is None else f"{result.high:.4g}"
        interval = f"[{low}, {high}]"
    prompts = f", {result.n_clusters} prompts" if result.n_clusters and result.n_clusters != result.n else ""
    outside = ", out of domain" if result.detail.get("out_of_domain") else ""
    few = f", {note}" if (note := size_note(result)) else ""
    return f"{result.value:.4g} {interval} n = {result.n}{prompts}{outside}{few}"


def _census(data: ReportData) -> None:
    for word in ("hold", "review"):
        entries = [e for e in data.clips if e.publish and e.publish.decision == word]
        for entry in entries[:_MOST]:
            assert entry.publish is not None
            name = entry.sample.source or entry.sample.sample_id
            say(f"{word:<8} {name}: {entry.publish.reasons[0]}")
        if len(entries) > _MOST:
            say(f"{word:<8} ... and {len(entries) - _MOST} more, all in the report")
    counts = Counter(e.publish.decision for e in data.clips if e.publish)
    say(f"{len(data.clips)} clips: {', '.join(f'{counts[w]} {w}' for w in ('publish', 'review', 'hold'))}")
