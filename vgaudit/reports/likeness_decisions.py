"""What reviewers decided on a hit, as far as the page needs to know: whether it waits, and in which words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from vgaudit.records import Finding
from vgaudit.reports.data import ReportData

VERBS = ("confirm", "dismiss", "clear", "escalate")
_CONFIRMED = frozenset({"confirm", "confirmed"})
_SETTLED = frozenset({"dismiss", "dismissed", "clear", "cleared"})


@dataclass(frozen=True)
class DecisionView:
    """How one hit stands.

    Attributes:
        state: One word of the decisions, or ``open``.
        words: Who decided what and until when; a reason why nothing stands.
        tone: ``fail`` for a confirmed likeness, ``pass`` for a settled hit, ``nc`` for one that is open.
    """

    state: str
    words: str
    tone: str

    @property
    def is_waiting(self) -> bool:
        """Whether a person still has to decide: everything but a confirmation, a dismissal or a clearance.

        Not what gates call open: for them a confirmed hit is open as well.
        """
        return self.tone == "nc"

    @property
    def is_confirmed(self) -> bool:
        """Whether a reviewer says that this is the likeness of the person."""
        return self.tone == "fail"


def decision_of(data: ReportData, finding: Finding) -> DecisionView:
    """How a finding stands by the run's decisions. A state that is not known counts as open."""
    standings: Mapping[str, object] = getattr(data, "decisions", None) or {}
    standing = standings.get(finding.fingerprint) if finding.fingerprint else None
    if standing is None:
        why = "nobody has decided yet" if finding.fingerprint else "it has no fingerprint to decide on"
        return DecisionView("open", why, "nc")
    state = str(getattr(standing, "state", "") or "open")
    words = str(getattr(standing, "words", "") or "")
    low = state.lower()
    return DecisionView(state, words, "fail" if low in _CONFIRMED else "pass" if low in _SETTLED else "nc")


def command(data: ReportData, finding: Finding, verb: str = "dismiss") -> str:
    """What to type to decide on a finding, from the folder that holds the run; empty without a fingerprint."""
    if not finding.fingerprint:
        return ""
    return f"vgaudit decide {verb} {shlex.quote(data.run_dir.resolve().name)} {finding.fingerprint}"
