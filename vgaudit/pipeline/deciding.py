"""Decide on findings of a run: find them, add decisions to the chain, and hold the gates again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from vgaudit.decisions import (
    NOTES,
    Appended,
    Chain,
    ChainReader,
    NewDecision,
    ReviewPolicy,
    Standing,
    Verb,
    append,
    author_name,
    checked,
    decidable,
    read_chain,
    standings,
)
from vgaudit.errors import RunLocked, UsageError
from vgaudit.pipeline.decided import Decided, read_decided
from vgaudit.pipeline.finish import findings_of, hold_again, stored_measurements
from vgaudit.pipeline.runspec import RunSpec
from vgaudit.records import Finding, digest
from vgaudit.reports.data import ReportData
from vgaudit.reports.likeness_pictures import Photographs
from vgaudit.rows import strict_json
from vgaudit.rundir import RunDir

SHORTEST_PREFIX = 6
"""Characters of a fingerprint that have to be given, at least."""

MAX_IMPORT_BYTES = 64 * 1024 * 1024
_WAIT_S = 30.0

_FIELDS = {"finding", "verb", "reason_code", "author", "time", "expires", "note"}
_ALSO = {"clip", "kind", "seq", "prev", "hash", "note_sha256", "policy"}
"""Fields of a chain's own lines: ``clip`` and ``kind`` have to fit, the others are made anew."""


@dataclass(frozen=True)
class Listed:
    """A finding one can decide on.

    Attributes:
        number: In the list, from 1; the same as long as the run is not scored again.
        finding: The finding; its fingerprint names it for good.
        clip: SHA-256 of its clip.
        standing: Where it stands.
        alike: How many findings share the fingerprint: a decision is about all of them.
    """

    number: int
    finding: Finding
    clip: str
    standing: Standing
    alike: int = 1


@dataclass(frozen=True)
class Desk:
    """The findings of a run and what was decided on them."""

    run: RunDir
    spec: RunSpec
    findings: tuple[Listed, ...]
    decided: Decided

    def find(self, name: str) -> Listed:
        """The finding with a number of the list, a fingerprint, or the beginning of one.

        Raises:
            UsageError: None, or several.
        """
        if name.isdecimal() and len(name) < SHORTEST_PREFIX:
            if 1 <= int(name) <= len(self.findings):
                return self.findings[int(name) - 1]
            raise UsageError(
                f"{self.run.path}: expected the number of a finding from 1 to {len(self.findings)}, found {name}; "
                f"`vgaudit decide list {self.run.path}` shows them"
            )
        if len(name) < SHORTEST_PREFIX:
            raise UsageError(
                f"expected a finding's number, or at least {SHORTEST_PREFIX} characters of its fingerprint, "
                f"found {name!r}"
            )
        found = [f for f in self.findings if f.finding.fingerprint.startswith(name.lower())]
        if len(found) != 1:
            some = ", ".join(f.finding.fingerprint for f in found[:3])
            raise UsageError(
                f"{self.run.path}: expected one finding whose fingerprint begins with {name!r}, found "
                f"{f'{len(found)} ({some})' if found else 'none'}; `vgaudit decide list {self.run.path}` shows them"
            )
        return found[0]


def open_desk(path: Path) -> Desk:
    """The findings of a scored run, the worst first, with their standing.

    Findings that are only information (severity ``info``) are left out: gates never count them.

    Raises:
        RunDirError: No run, or one that has not been scored.
    """
    run = RunDir.open(path)
    stored, plan = run.results(), run.plan()
    spec = RunSpec.from_json(run.manifest()["spec"])
    found = findings_of(plan, stored_measurements(run, stored))
    decided = read_decided(path, spec.review, found, stored.get("decisions"))
    clips = {s.sample_id: run.clip_record(s.sample_id).sha256 for s in plan}
    listed = [
        Listed(number, found[i], clips.get(found[i].sample_id, ""), decided.of(found[i]), alike)
        for number, (i, alike) in enumerate(decidable(found), start=1)
    ]
    return Desk(run, spec, tuple(listed), decided)


def decide(
    path: Path, verb: Verb, finding: str, *, reason: str, author: str | None = None, note: str = "",
    expires: date | None = None,
) -> tuple[Listed, Appended]:  # fmt: skip
    """Write one decision; the run's reports do not know it yet, see :func:`apply`.

    Args:
        path: The run directory.
        verb: What is decided.
        finding: See :meth:`Desk.find`.
        reason: A reason code of the verb.
        author: Who decides; without, the environment says so.
        note: Anything to be kept beside the chain.
        expires: Last day the decision holds. A dismissal without one takes that of the suite's policy.

    Returns:
        The finding as it stands now, and what was written.

    Raises:
        UsageError: No such finding, or a decision that is not complete, or nothing to reopen.
        RunDirError: The chain is damaged.
    """
    desk = open_desk(path)
    target = desk.find(finding)
    made = Made(verb, reason, author_name(author), note, expires)
    done = record(path, target, made, desk.spec.review, anchor=desk.run.results().get("decisions"))
    now = standings(read_chain(path), [target.finding], desk.spec.review)
    return replace(target, standing=now[target.finding.fingerprint]), done


@dataclass(frozen=True)
class Made:
    """What somebody decided.

    Attributes:
        verb: What is decided.
        reason: A reason code of the verb.
        author: Who decides.
        note: Anything to be kept beside the chain.
        expires: Last day the decision holds. A dismissal without one takes that of the suite's policy.
        seen: ``seq`` of the last decision on the finding that the author knew of, 0 for none; ``None`` where that is
            not known.
    """

    verb: Verb
    reason: str
    author: str
    note: str = ""
    expires: date | None = None
    seen: int | None = None


class DecidedSince(UsageError):
    """Somebody has decided on the finding since its author looked at it; nothing was written."""


def record(
    path: Path, target: Listed, made: Made, review: ReviewPolicy, *, anchor: Mapping[str, Any] | None = None,
    reader: ChainReader | None = None,
) -> Appended:  # fmt: skip
    """Write one decision on a finding that was listed before. It is on disk when this returns.

    Args:
        path: The run directory.
        target: The finding.
        made: What is decided on it.
        review: What the suite asks of reviewers.
        anchor: See :func:`vgaudit.decisions.append`.
        reader: The same.

    Raises:
        DecidedSince: There are decisions on the finding that the author did not know of.
        UsageError: A decision that is not complete, or nothing to reopen.
        RunDirError: The chain is damaged.
    """
    fingerprint = target.finding.fingerprint

    def check(chain: Chain) -> None:
        before = [d for d in chain.decisions if d.finding == fingerprint]
        if made.seen is not None and before and before[-1].seq > made.seen:
            raise DecidedSince(
                f"{fingerprint}: expected nothing new on the finding, found that {before[-1].author} has decided on "
                "it meanwhile; look at that, and decide again"
            )
        last = max(before, key=lambda d: (datetime.fromisoformat(d.time), d.seq), default=None)
        if made.verb is Verb.REOPEN and (last is None or last.verb == Verb.REOPEN):
            why = "it is open" if last else "nobody has decided on it"
            raise UsageError(f"{fingerprint}: expected a decision to withdraw, found none: {why}")

    expires = made.expires
    if made.verb is Verb.DISMISS and expires is None and review.expires_days is not None:
        expires = datetime.now(UTC).date() + timedelta(days=review.expires_days)
    new = NewDecision(
        made.verb,
        fingerprint,
        target.clip,
        target.finding.kind,
        made.reason,
        made.author,
        made.note,
        expires,
        policy=review.second_person,
    )
    return append(path, [new], anchor=anchor, check=check, reader=reader)


def apply(
    path: Path, *, wait_s: float | None = None, photos: Callable[[ReportData], Photographs] | None = None
) -> ReportData:
    """Hold the run's gates again and rewrite verdict and reports; waits for another process that writes the run.

    Args:
        path: The run directory.
        wait_s: How long to wait for another process, in seconds; 0: not at all; by default 30.
        photos: See :func:`vgaudit.pipeline.finish.hold_again`.

    Raises:
        RunLocked: The run stays locked. What was decided is in the chain all the same, and counts from the next
            `vgaudit run`, `gate` or `report` on.
    """
    run = RunDir.open(path)
    end = time.monotonic() + (_WAIT_S if wait_s is None else wait_s)
    while True:
        try:
            with run.lock():
                return hold_again(run, photos)
        except RunLocked:
            if time.monotonic() >= end:
                raise
        time.sleep(0.1)


# -- decisions made elsewhere ----------------------------------------------------------------------


def read_decisions(path: Path, file: Path) -> list[NewDecision]:
    """Decisions made elsewhere, one JSON object a line, all of them checked against the run.

    Fields: ``finding`` (the whole fingerprint), ``verb``, ``reason_code``, ``author``, ``time`` (with its zone), and
    where need be ``note`` and ``expires``. Lines of another copy's ``decisions.jsonl`` will do: their notes are taken
    from the folder beside that file.

    Raises:
        UsageError: With every line that is wrong; then none is taken.
    """
    desk = open_desk(path)
    known = {listed.finding.fingerprint: listed for listed in desk.findings}
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_IMPORT_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: expected decisions, one JSON object a line, found {error}") from error
    if len(data) > MAX_IMPORT_BYTES:
        raise UsageError(f"{file}: expected at most {MAX_IMPORT_BYTES} bytes of decisions, found more")
    found: list[NewDecision] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(_taken(line, known, file.parent, desk.spec.review))
            except (ValueError, TypeError, UsageError) as error:
                problems.append(f"{file}:{number}: {error}")
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise UsageError("\n".join([*problems[:20], *more, f"nothing was taken from {file}"]))
    return found


def _taken(line: str, known: Mapping[str, Listed], folder: Path, review: ReviewPolicy) -> NewDecision:
    value = strict_json(line)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    if odd := sorted(value.keys() - _FIELDS - _ALSO):
        raise ValueError(f"expected {', '.join(sorted(_FIELDS))}, found {', '.join(odd)}")
    needed = ("author", "finding", "reason_code", "time", "verb")
    if missing := [k for k in needed if value.get(k) is None]:
        raise ValueError(f"expected {', '.join(missing)}, found none")
    if wrong := sorted(k for k in _FIELDS & value.keys() if not isinstance(value[k], str | None)):
        raise ValueError(f"expected text as {', '.join(wrong)}")
    listed = known.get(value["finding"])
    if listed is None:
        raise ValueError(f"this run has no finding {value['finding']!r}")
    for name, own in (("clip", listed.clip), ("kind", listed.finding.kind)):
        if value.get(name, own) != own:
            raise ValueError(f"expected {name} {own!r} of this finding, found {value[name]!r}")
    note = value.get("note") or ""
    if value.get("note_sha256") and not note:
        note = _note_beside(folder, value)
    expires = date.fromisoformat(value["expires"]) if value.get("expires") else None
    policy = review.at_least([str(value.get("policy", ""))]).second_person
    return checked(
        NewDecision(
            value["verb"], listed.finding.fingerprint, listed.clip, listed.finding.kind, value["reason_code"],
            value["author"], note, expires, datetime.fromisoformat(value["time"]),
            policy,
        )
    )  # fmt: skip


def _note_beside(folder: Path, value: Mapping[str, Any]) -> str:
    """The note of another chain's line."""
    sha = str(value["note_sha256"])
    path = folder / NOTES / f"{sha}.txt"
    if not sha.isalnum() or not path.is_file():
        raise ValueError(f"its note is not in {folder / NOTES}; expected it there, or as `note` in the line")
    data = path.read_bytes()
    if digest(data) != sha:
        raise ValueError(f"its note in {folder / NOTES} was changed after the decision")
    return data.decode("utf-8").partition("\n")[2]


def take_in(path: Path, file: Path) -> Appended:
    """Add decisions made elsewhere: all of them or none, each once however often it is done."""
    return append(path, read_decisions(path, file))
