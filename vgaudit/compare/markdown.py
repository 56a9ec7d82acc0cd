"""Write ``compare.md`` for a pull request or a job summary: worst first, short enough for any code host."""

from __future__ import annotations

from pathlib import Path

from vgaudit.compare import words
from vgaudit.compare.comparison import Comparison
from vgaudit.records import COMPUTED, Outcome
from vgaudit.reports import numbers
from vgaudit.reports.markdown import cell, cut_table
from vgaudit.rundir import atomic_write

MOST_BYTES = 60_000
_MARKS = {Outcome.PASSED: "\u2705", Outcome.FAILED: "\u274c", Outcome.NOT_COMPUTED: "\u2754"}
_NAME, _REASON, _VERDICT, _NOTES = 120, 300, 2000, 10


def write_markdown(comparison: Comparison, path: Path) -> Path:
    """Write ``compare.md``, of at most :data:`MOST_BYTES` bytes; tables that are cut say so."""
    parts = [_verdict(comparison)]
    for share, made in ((0.55, _values), (0.5, _findings), (0.6, _tags), (0.95, _changed)):
        room = MOST_BYTES - sum(len(p.encode()) + 2 for p in parts) - 2
        parts.append(made(comparison, int(room * share)))
    text = "\n\n".join(p for p in parts if p) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def _verdict(comparison: Comparison) -> str:
    verdict = comparison.verdict
    lines = [
        f"# {_MARKS[verdict.outcome]} {words.VERDICTS[verdict.outcome]}: {cell(words.title(comparison), 2 * _NAME)}",
        "",
        f"{cell(verdict.reason, _VERDICT)}. Exit code {int(verdict.exit_code)}.",
        "",
        f"{words.counted(comparison)}; intervals of {100 * comparison.confidence:g} %.",
    ]
    if comparison.asked.margins:
        lines += ["", words.HOLM_AND_MARGINS]
    if comparison.notes:
        lines += ["", "Notes:", ""] + [f"- {cell(note, 600)}" for note in comparison.notes[:_NOTES]]
        if len(comparison.notes) > _NOTES:
            lines.append(f"- {len(comparison.notes) - _NOTES} more in compare.json")
    return "\n".join(lines)


def _values(comparison: Comparison, room: int) -> str:
    rows = (
        (
            cell(row.judgement, _NAME),
            cell(row.name, _NAME),
            cell(words.groups(row.base_group, row.candidate_group), _NAME),
            cell(words.value(row.base, row.base_interval), _NAME),
            cell(words.value(row.candidate, row.candidate_interval), _NAME),
            cell(words.difference(row), _NAME),
            words.effect(row.difference),
            words.p_value(row.difference.p_holm),
            f"{row.difference.n_prompts:,}",
            cell(f"{numbers.direction(row.higher_is_better)}. {words.why(row)}".rstrip(". "), _REASON),
        )
        for row in comparison.values
    )
    head = (
        "Judgement",
        "Value",
        "Group",
        "Base",
        "Candidate",
        "Difference",
        "d\\_z",
        "Holm p",
        "Prompts",
        "Remarks",
    )
    return cut_table("Values", head, rows, len(comparison.values), room, frozenset({6, 7, 8}))


def _findings(comparison: Comparison, room: int) -> str:
    told = [row for row in comparison.findings if words.worth_telling(row)]
    if not told:
        kinds = numbers.count(len(comparison.findings), "kind")
        return f"## Findings\n\nNeither side has a finding of the {kinds} looked for."
    rows = (
        (
            cell(row.judgement, _NAME),
            cell(row.kind, _NAME),
            cell(words.groups(row.base_group, row.candidate_group), _NAME),
            cell(words.rate(row.base), _NAME),
            cell(words.rate(row.candidate), _NAME),
            f"{row.n_more} / {row.n_less}",
            words.p_value(row.p_holm),
        )
        for row in told
    )
    head = (
        "Judgement",
        "Kind",
        "Group",
        "Base, clips of 100",
        "Candidate",
        "Prompts with more / fewer",
        "Holm p",
    )
    return cut_table("Findings", head, rows, len(told), room, frozenset({5, 6}))


def _tags(comparison: Comparison, room: int) -> str:
    shown = [row for row in comparison.tags if row.side]
    if not shown:
        n = numbers.count(len(comparison.tags), "comparison")
        return (
            f"## By tag\n\nNo difference shown in {n} of a value over the prompts of a tag."
            if comparison.tags
            else ""
        )
    rows = (
        (
            row.side,
            cell(row.tag, _NAME),
            cell(row.name, _NAME),
            cell(words.groups(row.base_group, row.candidate_group), _NAME),
            cell(words.signed(row.difference), _NAME),
            words.p_value(row.difference.p_holm),
            f"{row.difference.n_prompts:,}",
        )
        for row in shown
    )
    head = ("Judgement", "Tag", "Value", "Group", "Difference", "Holm p", "Prompts")
    return cut_table("By tag", head, rows, len(shown), room, frozenset({5, 6}))


def _changed(comparison: Comparison, room: int) -> str:
    """The values judged first give their clips first."""
    order = {(r.name, r.base_group, r.candidate_group): i for i, r in enumerate(comparison.values)}
    place = sorted(comparison.changed, key=lambda c: order[c.name, c.base_group, c.candidate_group])
    rows = (
        (
            cell(clip.name, _NAME),
            cell(clip.prompt_id, _NAME),
            "-" if clip.seed is None else str(clip.seed),
            numbers.number(clip.base),
            numbers.number(clip.candidate),
            f"{clip.spreads:+.2f}",
            clip.side,
        )
        for clip in place
    )
    if not place or not any(r.difference.status == COMPUTED for r in comparison.values):
        return ""
    head = ("Value", "Prompt", "Seed", "Base", "Candidate", "Change in spreads", "")
    return cut_table("Clips that changed most", head, rows, len(place), room, frozenset({2, 3, 4, 5}))
