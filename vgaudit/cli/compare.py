"""``vgaudit compare`` and ``vgaudit baseline``: is the candidate worse than the base, on what, how sure?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vgaudit.compare.comparison import Comparison

_MOST = 12


class OnChoice(StrEnum):
    """``--on``."""

    SAME = "same"
    COMMON = "common"


class InsufficientChoice(StrEnum):
    """``--on-insufficient``."""

    FAIL = "fail"
    NEUTRAL = "neutral"


baseline = typer.Typer(
    name="baseline",
    help="Keep what comparisons need of a run in a small file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A run directory or a baseline file.")],
    candidate: Annotated[Path, typer.Argument(metavar="CAND", help="The same, of what may be worse.")],
    on: Annotated[
        OnChoice,
        typer.Option(
            help="same: prompts and seeds must be the same; common: what both share is compared, the rest is named."
        ),
    ] = OnChoice.SAME,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="BASE=CAND", help="Groups to compare, where names leave that open; repeatable."),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="Largest loss of a value that is accepted, in its unit; repeatable."
        ),
    ] = None,
    on_insufficient: Annotated[
        InsufficientChoice,
        typer.Option(help="Missing evidence: fail is exit code 4, neutral is only reported."),
    ] = InsufficientChoice.FAIL,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write compare.json, compare.md, compare.html and junit.xml there.",
            show_default=False,
        ),
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 whatever the answer (errors still count).")
    ] = False,
) -> None:
    """Hold a candidate against a base, prompt by prompt.

    The exit code is 3 if a margin is exceeded or, without margins, something is worse; 4 if evidence is missing; 2 if
    the two cannot be compared.
    """
    from vgaudit.compare.baseline import open_side
    from vgaudit.compare.comparison import Asked, parse_margins
    from vgaudit.compare.comparison import compare as compared

    margins = parse_margins(margin or [])
    asked = Asked(on.value, tuple(group or ()), margins, on_insufficient.value)
    found = compared(open_side(base), open_side(candidate), asked)
    print_comparison(found)
    if out is not None:
        from vgaudit.cli.conclusion import say
        from vgaudit.compare.files import write_comparison

        say(f"report: {write_comparison(found, out)[-1]}")
    if found.verdict.exit_code and not exit_zero:
        raise typer.Exit(found.verdict.exit_code)


@baseline.command()
def save(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A scored run directory.")],
    out: Annotated[Path, typer.Option(metavar="FILE.json.gz", help="The baseline file.")],
) -> None:
    """Save values, findings and fingerprints of a run; no prompt text, no pictures, no paths."""
    from vgaudit.cli.conclusion import say
    from vgaudit.compare.baseline import write_baseline

    snapshot = write_baseline(run_dir, out)
    say(
        f"wrote {out}: {len(snapshot.clips):,} clips, {len(snapshot.values)} values, {out.stat().st_size:,} bytes"
    )
    say(f"next: vgaudit compare {out} CAND")


_HEAD = ("value", "base", "candidate", "difference", "d_z", "Holm p", "prompts", "judgement")


def print_comparison(comparison: Comparison) -> None:
    """Print the answer for a person: a table on a terminal, plain lines in a log file."""
    from vgaudit.cli.conclusion import say
    from vgaudit.compare import words
    from vgaudit.compare.values import GROUP_AS_A_WHOLE
    from vgaudit.records import COMPUTED

    several = words.several_groups(comparison)
    rows = []
    for row in comparison.values:
        name = row.name
        if several:
            name = f"{name} [{words.groups(row.base_group, row.candidate_group)}]"
        d = row.difference
        shown = d.status == COMPUTED
        rows.append(
            (
                name,
                words.value(row.base, row.base_interval),
                words.value(row.candidate, row.candidate_interval),
                words.difference(row),
                words.effect(d),
                words.p_value(d.p_holm),
                str(d.n_prompts) if shown else "-",
                row.judgement,
            )
        )
    say(f"{words.title(comparison)}: {words.counted(comparison)}")
    _table(_HEAD, rows)
    for row in comparison.values:
        if row.margin is not None:
            say(f"margin {row.margin.outcome:<9} {row.name} {row.margin.margin:g}: {row.margin.reason}")
        elif row.difference.status != COMPUTED and row.difference.reason != GROUP_AS_A_WHOLE:
            say(f"{row.name}: {row.difference.reason}")
    told = [r for r in comparison.findings if words.worth_telling(r)]
    for found in told[:_MOST]:
        pair = f" [{words.groups(found.base_group, found.candidate_group)}]" if several else ""
        say(
            f"finding {found.kind}{pair}, clips of 100: {words.rate(found.base)} -> {words.rate(found.candidate)}: "
            f"{found.judgement}"
        )
    if len(told) > _MOST:
        say(f"finding ... and {len(told) - _MOST} more kinds")
    for tag in [t for t in comparison.tags if t.side][:_MOST]:
        say(
            f"tag {tag.tag}: {tag.name} {tag.side}, {words.signed(tag.difference)}, "
            f"Holm p {words.p_value(tag.difference.p_holm)}, {tag.difference.n_prompts} prompts"
        )
    for note in comparison.notes:
        say(f"note: {note}")
    verdict = comparison.verdict
    say(f"{words.VERDICTS[verdict.outcome]} (exit code {int(verdict.exit_code)}): {verdict.reason}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*head, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text("".join(c for c in cell if c.isprintable())) for cell in row))
        Console().print(table)
        return
    from vgaudit.cli.conclusion import say

    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    for line in (head, *rows):
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
