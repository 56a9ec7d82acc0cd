"""What reviewers said of findings: an append-only, hash-chained file, and what follows from it for each finding.

``<run>/decisions.jsonl`` has one decision a line, in canonical JSON. Each line holds its own digest and that of the
line before it; the first holds the digest of the run's plan. So a line that is changed, moved or taken out is found,
by number. The chain names neither gallery entries nor anything a reviewer wrote: a note lies in
``<run>/decision_notes/<sha256>.txt``, and the chain still verifies when a purge has deleted it.

``docs/decisions.md`` describes verbs, reason codes, expiry and the second person.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from vgaudit.decision_chain import FILE, Chain, ChainReader, Problem, beginning, chain_of, read_chain
from vgaudit.decision_words import (
    ALONE,
    AUTHOR_VARIABLE,
    CLOSING,
    CONSENT,
    LONGEST_CONSENT_YEARS,
    MAX_NOTE,
    OPEN,
    OTHER,
    REASONS,
    Decision,
    NewDecision,
    ReviewPolicy,
    Standing,
    State,
    Verb,
    author_name,
    person,
    standing,
)
from vgaudit.errors import RunDirError, UsageError
from vgaudit.records import Finding, Severity, canonical_json, digest
from vgaudit.rundir import RunDir, atomic_write, owner_only

NOTES = "decision_notes"
PURGED = "purged"
"""What stands in place of a note that is no longer there."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CLOCKS_DIFFER = timedelta(minutes=5)

__all__ = [
    "ALONE", "AUTHOR_VARIABLE", "CLOSING", "CONSENT", "FILE", "NOTES", "OPEN", "OTHER", "PURGED", "REASONS",
    "Appended", "Chain", "ChainReader", "Decision", "NewDecision", "Problem", "ReviewPolicy", "Standing", "State",
    "Verb", "append", "author_name", "checked", "cut_torn_line", "decidable", "note_of", "notes_about", "person",
    "read_chain", "remove_notes", "standings", "verify",
]  # fmt: skip


@dataclass(frozen=True)
class Appended:
    """What an append did: lines written, decisions that were there already, and what was mended before."""

    written: tuple[Decision, ...]
    known: tuple[Decision, ...]
    mended: str = ""


# -- reading ---------------------------------------------------------------------------------------


def verify(run: Path) -> Problem | None:
    """The first thing wrong with a run's chain, or ``None``.

    Raises:
        RunDirError: ``run`` is no run directory.
    """
    opened = RunDir.open(run)
    try:
        anchor = opened.results().get("decisions")
    except RunDirError:
        anchor = None  # not scored, or damaged: then nothing is known of the end
    return read_chain(run, anchor).problem


def note_of(run: Path, decision: Decision) -> str:
    """The note of a decision; empty where it has none, ``purged`` where it was deleted; a changed one is told."""
    sha = decision.note_sha256
    if sha is None or not _SHA256.fullmatch(sha):
        return ""
    try:
        data = (run / NOTES / f"{sha}.txt").read_bytes()
    except FileNotFoundError:
        return PURGED
    if digest(data) != sha:
        return "(the note's file was changed after the decision)"
    return data.decode("utf-8", "replace").partition("\n")[2]


# -- writing ---------------------------------------------------------------------------------------


def checked(new: NewDecision, today: date | None = None) -> NewDecision:
    """``new``, if it may be written.

    Args:
        new: The decision.
        today: The day its expiry is held against; that of its time, or else the current one.

    Raises:
        UsageError: Unknown verb or reason code, a missing note, expiry or author, or an expiry in the past.
    """
    if new.verb not in frozenset(Verb):
        raise UsageError(f"expected one of {', '.join(Verb)}, found the verb {new.verb!r}")
    codes = REASONS[Verb(new.verb)]
    if new.reason_code not in codes:
        raise UsageError(
            f"expected a reason code of {new.verb} ({', '.join(codes)}), found {new.reason_code!r}"
        )
    if new.reason_code == OTHER and not new.note.strip():
        raise UsageError(
            f"reason {OTHER!r} says nothing by itself: expected a note, found none; give --note TEXT"
        )
    if any("\ud800" <= c <= "\udfff" for c in new.note):
        raise UsageError("note: expected text that can be written, found half a character")
    if len(new.note) > MAX_NOTE:
        raise UsageError(f"expected a note of at most {MAX_NOTE} characters, found {len(new.note)}")
    if new.verb == Verb.CLEAR and new.expires is None:
        raise UsageError(
            "consent ends: expected the last day it holds, found none; give --expires YYYY-MM-DD"
        )
    if new.verb == Verb.CLEAR and not new.kind.startswith("likeness."):
        raise UsageError(
            f"consent is given for a likeness: expected no `clear` of {new.kind}; `dismiss` it, if it may stay"
        )
    if new.verb == Verb.REOPEN and new.expires is not None:
        raise UsageError("a reopened finding stays open: expected no --expires")
    now = datetime.now(UTC)
    if new.time is not None and new.time.tzinfo is None:
        raise UsageError(
            f"expected a time with its zone, such as 2026-11-28T10:00:00Z, found {new.time.isoformat()}"
        )
    if new.time is not None and new.time > now + _CLOCKS_DIFFER:
        raise UsageError(
            f"expected the time of a decision that was made, found {new.time.isoformat()}: it lies ahead"
        )
    try:
        made = (new.time or now).astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"expected the time of a decision that was made, found {new.time}") from error
    day = today or made.date()
    if new.expires is not None and new.expires < day:
        raise UsageError(f"expected a last day from {day} on, found --expires {new.expires}: it is over")
    if new.verb == Verb.CLEAR and new.expires is not None and new.expires > _years_on(day):
        raise UsageError(
            f"expected a last day of consent until {_years_on(day)}, found --expires {new.expires}: a consent is "
            f"looked at again after {LONGEST_CONSENT_YEARS} years at the latest; clear the finding again then"
        )
    return replace(new, author=author_name(new.author, {}))


def _years_on(day: date) -> date:
    """The last day a consent may be taken to hold."""
    return min(date.max - timedelta(365 * LONGEST_CONSENT_YEARS + 3), day) + timedelta(
        365 * LONGEST_CONSENT_YEARS + 3
    )


def append(
    run: Path, new: Sequence[NewDecision], *, anchor: Mapping[str, Any] | None = None,
    check: Callable[[Chain], None] | None = None, reader: ChainReader | None = None,
) -> Appended:  # fmt: skip
    """Add decisions at the end of the chain: all of them, or none where the file cannot be written.

    Writers wait for each other. A torn last line is cut off first. A decision that carries a ``time`` and is there
    already (same time, author, verb, finding, reason and expiry) is not written again. No earlier line is touched.
    When it returns, lines and notes are on disk.

    Args:
        run: The run directory.
        new: The decisions.
        anchor: As of :func:`read_chain`; nothing is added to a chain whose end was cut off.
        check: Is given the chain as it is before, which nobody changes meanwhile; if it raises, nothing is written.
        reader: What the caller has read: lines it has checked are not checked again unless their bytes have changed.

    Raises:
        UsageError: See :func:`checked`.
        RunDirError: The chain is damaged: nothing is added to it.
    """
    wanted = [checked(n) for n in new]
    with _locked(run) as file:
        data, mended = _mend(file)
        chain = (reader or ChainReader()).of(data, beginning(run), anchor).chain
        if chain.problem:
            raise RunDirError(
                f"{run}: {chain.problem}; nothing was added to a damaged chain, restore the file"
            )
        if check is not None:
            check(chain)
        timed = any(each.time is not None for each in wanted)  # others cannot be there already
        there = {_same(d): d for d in chain.decisions} if timed else {}
        # A clock that was set back must not let an earlier decision win.
        now = max([datetime.now(UTC), *(datetime.fromisoformat(d.time) for d in chain.decisions)])
        last = chain.decisions[-1] if chain.decisions else None
        written: list[Decision] = []
        known: list[Decision] = []
        notes: dict[str, bytes] = {}
        for each in wanted:
            time = (each.time or now).astimezone(UTC).isoformat(timespec="seconds")
            decision = Decision(
                seq=last.seq + 1 if last else 1,
                time=time,
                author=each.author,
                verb=str(each.verb),
                finding=each.finding,
                clip=each.clip,
                kind=each.kind,
                reason_code=each.reason_code,
                note_sha256=None,
                expires=each.expires.isoformat() if each.expires else None,
                prev=last.hash if last else beginning(run),
                policy=each.policy,
            )
            if each.time is not None and _same(decision) in there:
                known.append(there[_same(decision)])
                continue
            if each.note.strip():
                # Salted, so that the digest in the chain does not give a short note away once it is purged.
                text = f"{secrets.token_hex(16)}\n{each.note.strip()}".encode()
                decision = replace(decision, note_sha256=digest(text))
                notes[digest(text)] = text
            last = decision.sealed()
            there[_same(last)] = last
            written.append(last)
        for sha, text in notes.items():
            with atomic_write(run / NOTES / f"{sha}.txt", private=True) as note:
                note.write(text)
        if notes:
            _sync_folder(run / NOTES)
            _sync_folder(run)
        _write(file, len(data), "".join(f"{canonical_json(d.to_json())}\n" for d in written).encode())
    return Appended(tuple(written), tuple(known), mended)


def _same(decision: Decision) -> tuple[str | None, ...]:
    """What makes two decisions one and the same."""
    d = decision
    return (d.time, person(d.author), d.verb, d.finding, d.reason_code, d.expires)


def cut_torn_line(run: Path) -> str:
    """Cut off what a killed writer left of a line; returns what was done, or an empty text."""
    if not (run / FILE).is_file():
        return ""
    with _locked(run) as file:
        return _mend(file)[1]


@contextmanager
def _locked(run: Path) -> Iterator[IO[bytes]]:
    """The chain's file, open for appending, held against other writers and readers of the chain."""
    RunDir.open(run)
    with open(run / FILE, "a+b", opener=owner_only) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.fstat(file.fileno()).st_size:  # made just now, by this writer or by one that waits
            _sync_folder(run)
        yield file


def _mend(file: IO[bytes]) -> tuple[bytes, str]:
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole == len(data):
        return data, ""
    file.truncate(whole)
    os.fsync(file.fileno())
    torn = len(data) - whole
    return data[
        :whole
    ], f"cut off {torn} bytes of a line whose writer was stopped; what it said was never saved"


def _write(file: IO[bytes], at: int, text: bytes) -> None:
    """Without Python's buffer, which would try what is left of a failed write once more when the file is closed."""
    try:
        left = memoryview(text)
        while left:
            left = left[os.write(file.fileno(), left) :]
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), at)  # a full disk leaves no half line
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def notes_about(run: Path, findings: Collection[str], also: Collection[str] = ()) -> list[Path]:
    """Files of notes on ``findings``, those with the digests ``also``, and what writers left that were stopped."""
    named: dict[str, set[str]] = {}
    for decision in read_chain(run).decisions:
        if decision.note_sha256:
            named.setdefault(decision.note_sha256, set()).add(decision.finding)
    files = sorted((run / NOTES).glob("*.txt"))
    gone = [f for f in files if f.stem in also or not named.get(f.stem) or named[f.stem] & set(findings)]
    return [*gone, *(run / NOTES).glob(".*.tmp")]


def remove_notes(run: Path, findings: Collection[str], also: Collection[str] = ()) -> list[Path]:
    """Delete the files of :func:`notes_about`, while nobody appends; returns them. The chain stays as it is."""
    if not (run / NOTES).is_dir():
        return []
    with _locked(run) as file:
        file.seek(0)
        chain = chain_of(file.read(), beginning(run))
        if chain.problem:
            raise RunDirError(
                f"{run}: {chain.problem}; it cannot be told which notes are about whom: restore the file, or delete "
                f"the folder {NOTES} by hand"
            )
        kept = {d.note_sha256 for d in chain.decisions if d.finding not in findings} - set(also)
        gone = [f for f in sorted((run / NOTES).glob("*.txt")) if f.stem not in kept]
        gone += (run / NOTES).glob(
            ".*.tmp"
        )  # of a writer that was stopped: others wait for the lock held here
        for each in gone:
            each.unlink()
    return gone


# -- where findings stand --------------------------------------------------------------------------


def decidable(findings: Sequence[Finding]) -> list[tuple[int, int]]:
    """Which findings can be decided on, the worst first: one for each fingerprint, and none of severity ``info``.

    Returns:
        Of each its position in ``findings``, the worst of those that share its fingerprint, and how many those are.
    """
    alike: dict[str, list[int]] = {}
    for position, finding in enumerate(findings):
        if finding.fingerprint and finding.severity is not Severity.INFO:
            alike.setdefault(finding.fingerprint, []).append(position)
    worst = [(max(same, key=lambda i: findings[i].severity.rank), len(same)) for same in alike.values()]
    return sorted(worst, key=lambda one: -findings[one[0]].severity.rank)


def standings(
    chain: Chain, findings: Iterable[Finding], policy: ReviewPolicy, today: date | None = None
) -> dict[str, Standing]:
    """Fingerprint -> where the finding stands, for each finding that was ever decided on.

    Decisions are taken in the order of their times (then of the chain), so that one that is imported late does not
    override a newer one. A damaged chain decides nothing. Where the suite's policy has become weaker than the one a
    finding was decided on under, the stricter of the two counts for it.

    Args:
        chain: The run's decisions.
        findings: As they are now; their fingerprints and severities count.
        policy: What the suite asks of reviewers.
        today: The day expiries are held against, in UTC.
    """
    if chain.problem:
        return {}
    day = today or datetime.now(UTC).date()
    made: dict[str, list[Decision]] = {}
    for decision in sorted(chain.decisions, key=lambda d: (datetime.fromisoformat(d.time), d.seq)):
        made.setdefault(decision.finding, []).append(decision)
    severity: dict[str, Severity] = {}
    for finding in findings:
        if finding.fingerprint in made:
            worst = severity.get(finding.fingerprint, finding.severity)
            severity[finding.fingerprint] = max(worst, finding.severity, key=lambda s: s.rank)
    return {f: standing(tuple(made[f]), s, policy, day) for f, s in severity.items()}
