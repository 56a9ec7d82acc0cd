"""The words of reviewers' decisions: verbs, reason codes, one decision, what a suite asks, and who decides.

Everything here is public through :mod:`vgaudit.decisions`, which reads and writes the chain.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

from vgaudit.errors import UsageError
from vgaudit.records import Severity, digest

AUTHOR_VARIABLE = "VGAUDIT_AUTHOR"
CONSENT = "consent_on_file"
OTHER = "other"
"""The reason code that says nothing by itself: it needs a note."""

LONGEST_CONSENT_YEARS = 10
"""A consent is looked at again after so many years, at the latest."""

SecondPerson = Literal["none", "alert", "all"]
STRICTNESS: tuple[SecondPerson, ...] = ("none", "alert", "all")
"""What a suite may ask of a second person, the weakest first; see :class:`ReviewPolicy`."""

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
        policy: What the suite asked of a second person when it was decided, of :data:`STRICTNESS`; empty in lines of
            an older vgaudit, which did not keep it.
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
    policy: str = ""

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
        return replace(self, hash=digest({k: v for k, v in self.to_json().items() if k != "hash"}))

    def to_json(self) -> dict[str, Any]:
        """The content of its line; a policy that is not known is left out."""
        return {k: v for k, v in asdict(self).items() if k != "policy" or v}

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
    policy: str = ""


@dataclass(frozen=True)
class ReviewPolicy:
    """What a suite asks of reviewers.

    Attributes:
        second_person: ``alert``: dismissing or clearing an alert needs two people, and so does closing what somebody
            else has confirmed or escalated. ``all``: dismissing or clearing anything does. ``none``: one is enough.
        expires_days: A dismissal without an expiry of its own holds for so many days; ``None`` for no end.
    """

    second_person: SecondPerson = "alert"
    expires_days: int | None = None

    def needs_two(self, verb: str, severity: Severity, *, overturns: bool = False) -> bool:
        """Whether closing a finding of ``severity`` by ``verb`` needs two people.

        Args:
            verb: What is decided.
            severity: Of the finding.
            overturns: Somebody else has confirmed or escalated it, and has not withdrawn that.
        """
        if verb not in CLOSING or self.second_person == "none":
            return False
        return self.second_person == "all" or severity is Severity.ALERT or overturns

    def at_least(self, policies: Iterable[str]) -> ReviewPolicy:
        """With the strictest of its own rule and ``policies``: decisions keep that under which they were made."""
        stated = {self.second_person, *policies}
        return replace(self, second_person=[p for p in STRICTNESS if p in stated][-1])


@dataclass(frozen=True)
class Standing:
    """Where a finding stands.

    Attributes:
        state: See :class:`State`.
        words: One line for a reader: ``dismissed by A on 2026-11-28: not this person``.
        history: Its decisions, oldest first.
        expired: Last day of the decision that stood, where it has expired and the finding is open again.
        awaiting: A first person has closed it, and a second one has to.
        alone: One person has closed it where the default policy asks for two: the suite's is ``none``.
    """

    state: State
    words: str
    history: tuple[Decision, ...] = ()
    expired: str = ""
    awaiting: bool = False
    alone: bool = False

    @property
    def closed(self) -> bool:
        """Whether gates leave the finding out."""
        return self.state in (State.DISMISSED, State.CLEARED)


OPEN = Standing(State.OPEN, "open")
ALONE = "closed by one person: second_person is none"


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


def standing(made: tuple[Decision, ...], severity: Severity, policy: ReviewPolicy, today: date) -> Standing:
    """Where a finding stands after the decisions ``made`` on it, in the order of their times; at least one."""
    last = made[-1]
    if last.verb == Verb.REOPEN:
        return Standing(State.OPEN, f"reopened by {last.author} on {last.day}: {last.reason}", made)
    state = STATES[Verb(last.verb)]
    said = f"{state} by {last.author} on {last.day}: {last.reason}"
    if last.has_expired(today):
        words = f"open: the decision expired on {last.expires} ({said})"
        return Standing(State.OPEN, words, made, expired=str(last.expires))
    if last.verb not in CLOSING:
        return Standing(state, said, made)
    said += f", until {last.expires}" if last.expires else ""
    asked = policy.at_least(d.policy for d in made)
    overturns = any(_stands_against(d, made, today) for d in made)
    if not asked.needs_two(last.verb, severity, overturns=overturns):
        alone = (
            ReviewPolicy().needs_two(last.verb, severity, overturns=overturns)
            and len(_agreed(made, today)) < 2
        )
        return Standing(state, f"{said}; {ALONE}" if alone else said, made, alone=alone)
    if len(agreed := _agreed(made, today)) > 1:
        others = " and ".join(list(agreed.values())[1:])
        return Standing(state, f"{said}, as by {others}", made)
    return Standing(State.OPEN, f"open, awaiting a second person ({said})", made, awaiting=True)


def _agreed(made: Sequence[Decision], today: date) -> dict[str, str]:
    """Who says what the last decision says, with nothing else between them: by person, the last first."""
    agreed: dict[str, str] = {}
    for decision in reversed(made):
        if decision.verb != made[-1].verb:
            break
        if not decision.has_expired(today):
            agreed.setdefault(person(decision.author), decision.author)
    return agreed


def _stands_against(decision: Decision, made: Sequence[Decision], today: date) -> bool:
    """Whether a decision confirms or escalates, was made by another than the last one, and its author stands by it.

    That somebody else reopened the finding since withdraws nothing.
    """
    if decision.verb not in (Verb.CONFIRM, Verb.ESCALATE) or decision.has_expired(today):
        return False
    own = [d for d in made if person(d.author) == person(decision.author)]
    return person(decision.author) != person(made[-1].author) and own[-1].verb in (
        Verb.CONFIRM,
        Verb.ESCALATE,
    )
