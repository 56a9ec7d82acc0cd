"""Reviewers' decisions as they bear on a run: which findings are open, which closed, and whether that can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vgaudit.decisions import ALONE, OPEN, Chain, ReviewPolicy, Standing, read_chain, standings
from vgaudit.records import Finding, Outcome, Verdict, digest


@dataclass(frozen=True)
class Decided:
    """What was decided in a run.

    Attributes:
        standings: Fingerprint -> where the finding stands, for those that were decided on.
        problem: Why the decisions cannot be relied on, or empty. Then ``standings`` is empty.
        anchor: How many decisions there are and the last one's digest; kept in ``results.json``, so that lines cut
            off the end are missed later. Of a damaged chain the one kept before.
        key: Digest of all this; it changes with a decision, and on the day one expires.
    """

    standings: Mapping[str, Standing] = field(default_factory=dict)
    problem: str = ""
    anchor: Mapping[str, Any] = field(default_factory=lambda: {"count": 0, "head": ""})

    @cached_property
    def key(self) -> str:
        """See above."""
        told = sorted([fingerprint, s.words, s.state] for fingerprint, s in self.standings.items())
        return digest([told, self.problem, self.anchor])

    def of(self, finding: Finding) -> Standing:
        """Where a finding stands."""
        return self.standings.get(finding.fingerprint, OPEN)

    def judged(self, verdict: Verdict) -> Verdict:
        """``verdict``, or that there is none: nothing passes on decisions that cannot be relied on.

        Where one person closed what two are asked for by default, the reason says so.
        """
        if self.problem and verdict.outcome is Outcome.PASSED:
            return Verdict(Outcome.NOT_COMPUTED, 4, f"{self.problem} ({verdict.reason})")
        if self.alone:
            return replace(verdict, reason=f"{verdict.reason}; {self._alone}")
        return verdict

    @property
    def alone(self) -> int:
        """How many findings one person has closed where the default policy asks for two."""
        return sum(s.alone for s in self.standings.values())

    @property
    def _alone(self) -> str:
        return f"{self.alone} finding{'s' if self.alone != 1 else ''} {ALONE}"

    @property
    def notes(self) -> list[str]:
        """What a reader of the report must know of the decisions."""
        if self.problem:
            return [f"No reviewer's decision counts: {self.problem}."]
        if not self.standings:
            return []
        count = Counter(_heading(s) for s in self.standings.values())
        told = f"Findings decided on by reviewers: {', '.join(f'{n} {what}' for what, n in count.items())}."
        return [told, f"Attention: {self._alone}."] if self.alone else [told]


def _heading(standing: Standing) -> str:
    if standing.awaiting:
        return "awaiting a second person"
    return (
        f"open again ({'expired' if standing.expired else 'reopened'})"
        if standing.state == "open"
        else standing.state
    )


def read_decided(
    run: Path, policy: ReviewPolicy, findings: Iterable[Finding], anchor: Mapping[str, Any] | None
) -> Decided:
    """What was decided in a run.

    Args:
        run: The run directory.
        policy: What its suite asks of reviewers.
        findings: All findings as they are now.
        anchor: The one stored when decisions were last applied.
    """
    return follows(read_chain(run, anchor), policy, findings, anchor)


def follows(
    chain: Chain, policy: ReviewPolicy, findings: Iterable[Finding], anchor: Mapping[str, Any] | None
) -> Decided:
    """What follows from a chain that has been read; see :func:`read_decided`."""
    if chain.problem:
        kept = anchor or {"count": 0, "head": ""}  # as it is: damage must not be forgotten
        return Decided({}, f"the chain of reviewers' decisions is damaged ({chain.problem})", kept)
    return Decided(standings(chain, findings, policy), "", chain.anchor)
