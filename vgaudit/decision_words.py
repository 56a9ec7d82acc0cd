"""The words of reviewers' decisions: verbs, reason codes, one decision, what a suite asks, and who decides.

Everything here is public through :mod:`vgaudit.decisions`, which reads and writes the chain.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from vgaudit.errors import UsageError
from vgaudit.records import Severity, digest

AUTHOR_VARIABLE = "VGAUDIT_AUTHOR"
CONSENT = "consent_on_file"
OTHER = "other"
"""The reason code that says nothing by itself: it needs a note."""

MAX_AUTHOR = 120
MAX_NOTE = 10_000


class Verb(StrEnum):
    """What a reviewer does with a finding."""

    CONFIRM = "confirm"
    DISMISS = "dismiss"
    CLEAR = "clear"
    ESCALATE = "escalate"
    REOPEN = "reopen"


REASONS: Mapping[Verb, Mapping[str, str]] = {
    Verb.CONFIRM: {
        "same_person": "the person is recognisable",
        "defect": "what was found is there",
        OTHER: "another reason, see the note",
    },
    Verb.DISMISS: {
        "not_this_person": "not this person",
        "generic_face": "a face like many, nobody in particular",
        "not_a_face": "no human face",
        "false_detection": "what was found is not there",
        "acceptable": "it is there and may stay",
        OTHER: "another reason, see the note",
    },
    Verb.CLEAR: {CONSENT: "consent on file"},
    Verb.ESCALATE: {
        "legal": "for the legal department",
        "second_opinion": "for a second opinion",
        "unclear": "the reviewer cannot tell",
        OTHER: "another reason, see the note",
    },
    Verb.REOPEN: {
        "mistake": "decided by mistake",
        "new_information": "there is new information",
        "consent_withdrawn": "the consent was withdrawn",
        OTHER: "another reason, see the note",
    },
}
"""Verb to its reason codes, each with its words."""


class State(StrEnum):
    """Where a finding stands. ``dismissed`` and ``cleared`` are closed; all others count as open."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    CLEARED = "cleared"
    ESCALATED = "escalated"


STATES = {
    Verb.CONFIRM: State.CONFIRMED,
    Verb.DISMISS: State.DISMISSED,
    Verb.CLEAR: State.CLEARED,
    Verb.ESCALATE: State.ESCALATED,
}
CLOSING = frozenset({Verb.DISMISS, Verb.CLEAR})


@dataclass(frozen=True)
class Decision:
    """One line of the chain.

    Attributes:
        seq: Number of the line, from 1.
        time: When it was decided, ISO 8601 in UTC.
        author: Who decided.
        verb: A :class:`Verb`.
        finding: Fingerprint of the finding.
        clip: SHA-256 of the clip it is in.
        kind: Kind of the finding.
        reason_code: One of :data:`REASONS`.
        note_sha256: Digest of the note's file, if there is a note.
        expires: Last day the decision holds (UTC), ISO 8601; ``None`` for no end.
        prev: ``hash`` of the line before; of the first line the plan's digest.
        hash: SHA-256 of the canonical JSON of all other fields.
    """

    seq: int
    time: str
    author: str
    verb: str
    finding: str
    clip: str
    kind: str
    reason_code: str
    note_sha256: str | None
    expires: str | None
    prev: str
    hash: str = ""

    @property
    def reason(self) -> str:
        """The reason code in words."""
        return REASONS[Verb(self.verb)].get(self.reason_code, self.reason_code)

    @property
    def day(self) -> str:
        """The day it was decided, ``2026-11-28``."""
        return self.time[:10]

    def sealed(self) -> Decision:
        """With its ``hash``."""
        return replace(self, hash=digest({k: v for k, v in asdict(self).items() if k != "hash"}))

    def has_expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and date.fromisoformat(self.expires) < today


@dataclass(frozen=True)
class NewDecision:
    """A decision to be appended; fields as of :class:`Decision`. Without ``time`` it gets that of its writing."""

    verb: str
    finding: str
    clip: str
    kind: str
    reason_code: str
    author: str
    note: str = ""
    expires: date | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class ReviewPolicy:
    """What a suite asks of reviewers.

    Attributes:
        second_person: ``alert``: dismissing an alert needs two people. ``all``: dismissing or clearing anything does.
            ``none``: one person is enough.
        expires_days: A dismissal without an expiry of its own holds for so many days; ``None`` for no end.
    """

    second_person: Literal["none", "alert", "all"] = "alert"
    expires_days: int | None = None

    def needs_two(self, verb: str, severity: Severity) -> bool:
        """Whether closing a finding of ``severity`` by ``verb`` needs two people."""
        if self.second_person == "all":
            return verb in CLOSING
        return self.second_person == "alert" and verb == Verb.DISMISS and severity is Severity.ALERT


@dataclass(frozen=True)
class Standing:
    """Where a finding stands.

    Attributes:
        state: See :class:`State`.
        words: One line for a reader: ``dismissed by A on 2026-11-28: not this person``.
        history: Its decisions, oldest first.
        expired: Last day of the decision that stood, where it has expired and the finding is open again.
        awaiting: A first person has closed it, and a second one has to.
    """

    state: State
    words: str
    history: tuple[Decision, ...] = ()
    expired: str = ""
    awaiting: bool = False

    @property
    def closed(self) -> bool:
        """Whether gates leave the finding out."""
        return self.state in (State.DISMISSED, State.CLEARED)


OPEN = Standing(State.OPEN, "open")


def author_name(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Who decides: ``given``, or else the environment's ``VGAUDIT_AUTHOR``. Nobody is guessed.

    Raises:
        UsageError: No name, or one that cannot be read.
    """
    text = given if given is not None else environment.get(AUTHOR_VARIABLE, "")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not person(name):
        raise UsageError(
            f"expected the name of the person who decides, found none; give --author NAME or set {AUTHOR_VARIABLE}"
        )
    hidden = [c for c in name if unicodedata.category(c).startswith("C")]
    if hidden or len(name) > MAX_AUTHOR:
        what = f"the character U+{ord(hidden[0]):04X}" if hidden else f"{len(name)} characters"
        raise UsageError(
            f"expected a name of at most {MAX_AUTHOR} characters that can be read, found {what} in the author's "
            "name; write it without"
        )
    return name


def person(author: str) -> str:
    """A key that is the same for two spellings of a name that differ in case or spaces."""
    return "".join(unicodedata.normalize("NFKC", author).casefold().split())
