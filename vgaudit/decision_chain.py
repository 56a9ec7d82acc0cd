"""The chain of reviewers' decisions as a file: reading it, and finding the first line that is wrong.

Everything here is public through :mod:`vgaudit.decisions`, which writes the chain.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from vgaudit.decision_words import STRICTNESS, Decision, Verb
from vgaudit.records import canonical_json
from vgaudit.rundir import RunDir

FILE = "decisions.jsonl"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a chain: the first bad line, and why."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"{FILE}, line {self.line}: {self.what}"


@dataclass(frozen=True)
class Chain:
    """The decisions of a run.

    Attributes:
        decisions: The lines before the first bad one.
        problem: What is wrong, or ``None``. With a problem no decision counts.
    """

    decisions: tuple[Decision, ...] = ()
    problem: Problem | None = None

    @property
    def anchor(self) -> dict[str, Any]:
        """How many decisions there are and the last one's digest, to be kept elsewhere."""
        return {"count": len(self.decisions), "head": self.decisions[-1].hash if self.decisions else ""}


def read_chain(run: Path, anchor: Mapping[str, Any] | None = None) -> Chain:
    """The decisions of a run, checked line by line; an append under way is waited for.

    Args:
        run: The run directory.
        anchor: :attr:`Chain.anchor` as it was kept when decisions were last applied; tells of lines cut off the end.

    Raises:
        RunDirError: The manifest, whose plan digest the chain begins with, cannot be read.
    """
    data = _bytes_of(run)
    if not data and not anchor:
        return Chain()
    return chain_of(data, beginning(run), anchor)


@dataclass(frozen=True)
class ChainReader:
    """The chain as it was read last, for whoever reads it again and again.

    Attributes:
        chain: What it said.
        data: The lines that were checked, byte for byte; empty if there was a problem.
        known: What ``data`` says.
        beginning: The digest it begins with.
    """

    chain: Chain = Chain()
    data: bytes = b""
    known: tuple[Decision, ...] = ()
    beginning: str = ""

    def again(self, run: Path, anchor: Mapping[str, Any] | None = None) -> ChainReader:
        """As :func:`read_chain`, without checking lines again whose bytes have not changed."""
        return self.of(_bytes_of(run), beginning(run), anchor)

    def of(self, data: bytes, first: str, anchor: Mapping[str, Any] | None = None) -> ChainReader:
        """As :func:`chain_of` a whole file, without checking lines again whose bytes have not changed.

        All bytes are compared, so that a line that was changed since is found as ever.
        """
        same = bool(self.data) and first == self.beginning and data.startswith(self.data)
        before, known = (self.data, self.known) if same else (b"", ())
        chain = chain_of(data[len(before) :], first, anchor, known)
        if chain.problem:
            return ChainReader(chain)
        return ChainReader(chain, data, chain.decisions, first)


def _bytes_of(run: Path) -> bytes:
    try:
        with (run / FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return file.read()
    except FileNotFoundError:
        return b""


def beginning(run: Path) -> str:
    """The digest a run's chain begins with: that of its plan."""
    return str(RunDir(run).manifest()["plan_digest"])


def chain_of(
    data: bytes, first: str, anchor: Mapping[str, Any] | None = None, known: Sequence[Decision] = ()
) -> Chain:
    """The chain of ``known`` lines and those in ``data``, which follow them.

    Args:
        data: Bytes of the file after the known lines.
        first: The digest that the first line of all names as the one before it.
        anchor: See :func:`read_chain`.
        known: Lines that were checked before.
    """
    found = list(known)
    *lines, tail = data.split(b"\n")
    for number, line in enumerate(lines, start=len(found) + 1):
        try:
            decision = _line(line)
        except ValueError as error:
            return Chain(tuple(found), Problem(number, str(error)))
        expected = found[-1].hash if found else first
        if decision.seq != number:
            what = f"seq: expected {number}, found {decision.seq}; a line was added, moved or taken out"
            return Chain(tuple(found), Problem(number, what))
        if decision.prev != expected:
            before = "the line before" if found else "the run's plan (a chain of another run?)"
            what = f"prev: expected {expected[:12]}..., the digest of {before}, found {decision.prev[:12]}..."
            return Chain(tuple(found), Problem(number, what))
        found.append(decision)
    chain = Chain(tuple(found))
    if tail:
        what = (
            "torn: its writer was stopped inside it; the next decision, or `decide verify --cut`, cuts it off"
        )
        return replace(chain, problem=Problem(len(found) + 1, what))
    try:
        count, head = (int(anchor["count"]), str(anchor["head"])) if anchor else (0, "")
    except (KeyError, TypeError, ValueError):
        what = f"how many decisions had been applied cannot be read ({anchor!r} in results.json)"
        return replace(chain, problem=Problem(len(found) + 1, what[:200]))
    if count > 0 and (len(found) < count or found[count - 1].hash != head):
        what = f"{count} decisions had been applied to this run, and the chain no longer holds them; restore the file"
        return replace(chain, problem=Problem(min(count, len(found) + 1), what))
    return chain


def _line(line: bytes) -> Decision:
    """A line as a decision whose hash fits; ``prev`` and ``seq`` are for the caller to check."""
    try:
        value = json.loads(line)
        decision = Decision(**value)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not a decision ({error})"[:200]) from error
    wrong = [k for k, v in value.items() if not isinstance(v, _TYPES[k]) or isinstance(v, bool)]
    if wrong:
        raise ValueError(f"not a decision ({wrong[0]} is {value[wrong[0]]!r})"[:200])
    if decision.sealed().hash != decision.hash:
        raise ValueError("hash: the line was changed after it was written")
    if canonical_json(decision.to_json()).encode() != line:
        raise ValueError("not the canonical text of its content; the line was written by something else")
    if decision.verb not in _VERBS:
        raise ValueError(f"unknown verb {decision.verb!r}; written by a newer vgaudit?")
    if decision.policy not in ("", *STRICTNESS):
        raise ValueError(f"unknown policy {decision.policy!r}; written by a newer vgaudit?")
    try:
        zone = datetime.fromisoformat(decision.time).tzinfo
        date.fromisoformat(decision.expires or "2000-01-01")
    except ValueError as error:
        raise ValueError(f"not a decision ({error})") from error
    if zone is None:
        raise ValueError(f"not a decision (its time {decision.time!r} has no zone)")
    return decision


_VERBS = frozenset(Verb)
_TEXT: tuple[type, ...] = (str,)
_TEXTS = ("time", "author", "verb", "finding", "clip", "kind", "reason_code", "prev", "hash", "policy")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS, _TEXT),
    "seq": (int,), "note_sha256": (str, type(None)), "expires": (str, type(None)),
}  # fmt: skip
