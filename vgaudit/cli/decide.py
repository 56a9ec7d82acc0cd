"""``vgaudit decide``: what reviewers say of findings, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgaudit.errors import ExitCode, UsageError, VgauditError

if TYPE_CHECKING:
    from vgaudit.pipeline.deciding import Listed

decide = typer.Typer(
    name="decide",
    help="Decide on findings: confirm, dismiss, clear, escalate, reopen. Gates count what is open.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A scored run directory.")]
Which = Annotated[
    str,
    typer.Argument(
        metavar="FINDING",
        help="Its number in `decide list`, its fingerprint, or 6 or more characters of that.",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="CODE", help="Why; see docs/decisions.md for the codes.")
]
Note = Annotated[
    str, typer.Option(metavar="TEXT", help="Kept beside the chain, where a purge can delete it.")
]
Author = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides; else the environment's VGAUDIT_AUTHOR.")
]
Expires = Annotated[
    str | None, typer.Option(metavar="DATE", help="Last day the decision holds, YYYY-MM-DD (UTC).")
]


@decide.command("list")
def list_(
    run: Run,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that count as open.")] = False,
) -> None:
    """Show findings, the worst first: number, fingerprint, severity, where, and what was decided."""
    from vgaudit.decisions import note_of
    from vgaudit.pipeline.deciding import open_desk

    desk = open_desk(run)
    shown = [f for f in desk.findings if not (only_open and f.standing.closed)]
    for listed in shown:
        f = listed.finding
        alike = f" ({listed.alike} alike)" if listed.alike > 1 else ""
        state = listed.standing.state
        _say(f"{listed.number:>4}  {f.fingerprint[:12]}  {f.severity.value:<6} {state:<9} {f.kind}{alike}")
        _say(f"      {f.sample_id} at {f.start_s:.2f}-{f.end_s:.2f} s: {f.message}")
        if listed.standing.history:
            _say(f"      {listed.standing.words}")
        for decision in listed.standing.history:
            if text := note_of(run, decision):
                _say(f"      note of {decision.author} on {decision.day}: {text}")
    closed = sum(f.standing.closed for f in desk.findings)
    _say(f"{len(desk.findings)} findings to decide on, {len(desk.findings) - closed} open, {closed} closed")
    if desk.decided.problem:
        raise _Damaged(f"{run}: {desk.decided.problem}")


@decide.command()
def confirm(
    run: Run, finding: Which, reason: Reason = "same_person", note: Note = "", author: Author = None,
    expires: Expires = None,
) -> None:  # fmt: skip
    """The likeness (or the defect) is there. It stays open, and holds a finished clip."""
    _decide(run, "confirm", finding, reason, note, author, expires)


@decide.command()
def dismiss(
    run: Run, finding: Which, reason: Reason, note: Note = "", author: Author = None, expires: Expires = None
) -> None:
    """It is not this person, or nothing is wrong.

    A second person has to agree for an alert, and where somebody else confirmed or escalated it (suite: `review`).
    """
    _decide(run, "dismiss", finding, reason, note, author, expires)


@decide.command()
def clear(
    run: Run, finding: Which, expires: Annotated[str, typer.Option(metavar="DATE", help="Last day of the consent.")],
    reason: Reason = "consent_on_file", note: Note = "", author: Author = None,
) -> None:  # fmt: skip
    """It is this person, whose consent is on file until the day given. For an alert a second person has to agree."""
    _decide(run, "clear", finding, reason, note, author, expires)


@decide.command()
def escalate(
    run: Run, finding: Which, reason: Reason, note: Note = "", author: Author = None, expires: Expires = None
) -> None:
    """Somebody else has to decide. It stays open."""
    _decide(run, "escalate", finding, reason, note, author, expires)


@decide.command()
def reopen(run: Run, finding: Which, reason: Reason, note: Note = "", author: Author = None) -> None:
    """Withdraw what was decided: the finding is open again."""
    _decide(run, "reopen", finding, reason, note, author, None)


@decide.command("import")
def take_in(
    run: Run,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Decisions made elsewhere, one JSON object a line.")
    ],
) -> None:
    """Take in decisions made elsewhere: all, or none if one is wrong. What is there already stays as it is."""
    from vgaudit.pipeline import deciding

    done = deciding.take_in(run, file)
    _mended(done.mended)
    for known in done.known:
        _say(f"there already: {known.verb} {known.finding[:12]} by {known.author} on {known.day}")
    _say(f"{len(done.written)} decisions taken in, {len(done.known)} were there already")
    if done.written:
        _apply(run)


@decide.command()
def verify(
    run: Run,
    cut: Annotated[
        bool, typer.Option("--cut", help="Cut off a torn last line, whose writer was stopped.")
    ] = False,
) -> None:
    """Check the chain line by line. Exit code 4, with the first bad line, if it is damaged."""
    from vgaudit import decisions

    if cut:
        _mended(decisions.cut_torn_line(run))
    problem = decisions.verify(run)
    if problem:
        raise _Damaged(f"{run}: {problem}")
    _say(f"{run}: {len(decisions.read_chain(run).decisions)} decisions, the chain is whole")


class _Damaged(VgauditError):
    """The chain cannot be relied on, so nothing that follows from it can be computed."""

    exit_code = ExitCode.NOT_COMPUTED


def _decide(
    run: Path, verb: str, finding: str, reason: str, note: str, author: str | None, expires: str | None
) -> None:
    from vgaudit.decisions import Verb
    from vgaudit.pipeline import deciding

    listed, done = deciding.decide(
        run, Verb(verb), finding, reason=reason, author=author, note=note, expires=_day(expires)
    )
    _mended(done.mended)
    _tell(listed)
    _apply(run)


def _tell(listed: Listed) -> None:
    f = listed.finding
    _say(f"{f.fingerprint[:12]} {f.kind} at {f.start_s:.2f}-{f.end_s:.2f} s of {f.sample_id}")
    _say(f"{listed.standing.words}")
    if listed.alike > 1:
        _say(f"{listed.alike} findings share this fingerprint; the decision is about all of them")


def _day(text: str | None) -> Any:
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--expires: expected a day such as 2027-03-31, found {text!r}") from error


def _apply(run: Path) -> None:
    """Hold the gates again and say what came of it; the decision is saved whatever happens here."""
    from vgaudit.pipeline.deciding import apply
    from vgaudit.pipeline.photographs import SHOWN, on_the_page

    try:
        before = on_the_page(run)
        data = apply(run)
    except VgauditError as error:
        raise type(error)(f"saved, but the reports do not know it yet: {error}") from error
    for gate in data.gates:
        _say(f"gate {gate.outcome.value:<13} {gate.gate} [{gate.group}]: {gate.reason}")
    if before and not on_the_page(run):
        _say(
            f"the page was written again without photographs; `vgaudit report {run} --photos FILE` shows them again "
            f"(which ones had been shown stays in {SHOWN})"
        )
    _say(
        f"{data.verdict.outcome.value.upper()} (vgaudit gate exits {data.verdict.exit_code}): {data.verdict.reason}"
    )


def _mended(what: str) -> None:
    if what:
        _say(f"decisions.jsonl: {what}")


def _say(text: str) -> None:
    from vgaudit.cli.conclusion import say

    say(text)
