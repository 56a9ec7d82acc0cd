"""The comparison of two sides: refuse or compare, and say in an exit code what it means for a release."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vgaudit.compare.baseline import Side
from vgaudit.compare.comparable import (
    NotComparable,
    On,
    Pair,
    Shared,
    paired_groups,
    remarks,
    setting_differences,
    shared_prompts,
)
from vgaudit.compare.findings import FindingRow, compare_findings
from vgaudit.compare.snapshot import Snapshot
from vgaudit.compare.values import SAME_CLIPS, ValueRow, compare_values, same_clips, worst_first
from vgaudit.compare.where import ChangedClip, TagRow, by_tag, most_changed
from vgaudit.errors import ExitCode, UsageError
from vgaudit.records import COMPUTED, Outcome, Verdict
from vgaudit.registry import nearest

FORMAT = "vgaudit-comparison"
VERSION = 1
"""Of ``compare.json``."""

FAILED = ("error", "pending", "retry_after", "undecodable")
"""Outcomes of samples without a usable clip; a refusal is an answer."""

OnInsufficient = Literal["fail", "neutral"]
_NAMED = 3


@dataclass(frozen=True)
class Asked:
    """What the caller asks of a comparison.

    Attributes:
        on: ``same``: both sides must have the same prompts and seeds; ``common``: what they share is compared.
        groups: ``BASE=CAND`` each; empty to go by names.
        margins: ``<metric>.<value>`` to the largest loss that is accepted.
        on_insufficient: Whether missing evidence fails (exit code 4) or is only reported.
    """

    on: On = "same"
    groups: tuple[str, ...] = ()
    margins: Mapping[str, float] | None = None
    on_insufficient: OnInsufficient = "fail"


@dataclass(frozen=True)
class Comparison:
    """Two runs against each other.

    Attributes:
        base: The one side.
        candidate: The other.
        asked: What the caller asked.
        shared: Pairs of groups with the prompts compared and those dropped.
        notes: What a reader must know before reading a number.
        confidence: Coverage of intervals; one minus it is the error probability of each family.
        values: Worst first.
        findings: What became more frequent first.
        tags: Shown differences first.
        changed: By pair and value, the largest change first.
        verdict: The answer.
    """

    base: Side
    candidate: Side
    asked: Asked
    shared: Mapping[Pair, Shared]
    notes: tuple[str, ...]
    confidence: float
    values: tuple[ValueRow, ...]
    findings: tuple[FindingRow, ...]
    tags: tuple[TagRow, ...]
    changed: tuple[ChangedClip, ...]
    verdict: Verdict

    @property
    def family(self) -> int:
        """Values whose p is adjusted together."""
        return sum(r.difference.p is not None and r.difference.n_differing > 0 for r in self.values)

    def to_json(self) -> dict[str, Any]:
        """The content of ``compare.json``: all numbers, and no path, so that a baseline gives what its run gives."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "base": _facts(self.base.snapshot),
            "candidate": _facts(self.candidate.snapshot),
            "asked": {
                "on": self.asked.on,
                "margins": dict(self.asked.margins or {}),
                "on_insufficient": self.asked.on_insufficient,
            },
            "confidence": self.confidence,
            "family": self.family,
            "groups": [
                {"base": a, "candidate": b, "prompts": len(s.prompts), "dropped": dict(s.dropped)}
                for (a, b), s in self.shared.items()
            ],
            "notes": list(self.notes),
            "values": [r.to_json() for r in self.values],
            "findings": [r.to_json() for r in self.findings],
            "tags": [r.to_json() for r in self.tags],
            "changed": [r.to_json() for r in self.changed],
            "verdict": self.verdict.to_json(),
        }


def parse_margins(texts: Sequence[str]) -> dict[str, float]:
    """``NAME=NUMBER`` each.

    Raises:
        UsageError: One is no such text, its number is negative or not finite, or a name stands twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            margin = float(number)
        except ValueError:
            margin = math.nan
        if not name or not math.isfinite(margin) or margin < 0:
            raise UsageError(
                f"--margin {text}: expected NAME=NUMBER with a number that is 0 or more, such as "
                "temporal.warp_error=0.005"
            )
        if name in found:
            raise UsageError(f"--margin {name} is given twice")
        found[name] = margin
    return found


def compare(base: Side, candidate: Side, asked: Asked | None = None) -> Comparison:
    """Hold a candidate against a base.

    Raises:
        NotComparable: Their numbers are different things; every field that differs is named.
        UsageError: It is open which groups to compare, a margin is for no value, or nothing is shared.
    """
    asked = asked or Asked()
    a, b = base.snapshot, candidate.snapshot
    pairs = paired_groups(a, b, asked.groups)
    shared, differing = shared_prompts(a, b, pairs, asked.on)
    differing = [*setting_differences(a, b, pairs), *differing]
    if differing:
        raise NotComparable(differing)
    for pair, prompts in shared.items():
        if not prompts.prompts:
            raise UsageError(f"{pair[0]} and {pair[1]} share no prompt, so there is nothing to compare")
    margins = dict(asked.margins or {})
    known = sorted(a.value_specs.keys() | b.value_specs.keys() | {r.name for s in (a, b) for r in s.results})
    for name in margins:
        if name not in known:
            raise UsageError(
                f"--margin {name}: no such value{nearest(name, known)}; expected one of {', '.join(known)}"
            )
    confidence = max(a.confidence, b.confidence)
    values = compare_values(a, b, shared, margins, confidence)
    failed = lost_clips(a, b, shared)
    notes = [*failed, *_dropped(shared), *remarks(a, b)]
    notes += [
        f"{pair[1]}: {SAME_CLIPS}"
        for pair, s in shared.items()
        if same_clips(a, b, pair, frozenset(s.prompts))
    ]
    return Comparison(
        base, candidate, asked, shared, tuple(notes), confidence,
        values=tuple(worst_first(values)),
        findings=tuple(compare_findings(a, b, shared, confidence)),
        tags=tuple(by_tag(a, b, shared, values, confidence)),
        changed=tuple(most_changed(a, b, shared, values)),
        verdict=verdict_of(values, failed, bool(margins), asked.on_insufficient),
    )  # fmt: skip


def lost_clips(base: Snapshot, candidate: Snapshot, shared: Mapping[Pair, Shared]) -> list[str]:
    """Where the candidate has more samples without a usable clip than the base; what is left may be the easy part."""
    told = []
    for pair, prompts in shared.items():
        kept = frozenset(prompts.prompts)
        a, b = (
            sum(s.clips[i].prompt_id in kept and s.clips[i].outcome in FAILED for i in s.of_group(group))
            for s, group in ((base, pair[0]), (candidate, pair[1]))
        )
        if b > a:
            told.append(
                f"{pair[1]}: {_many(b, 'sample', 'samples')} without a usable clip, in the base {a}; they cannot be "
                "compared"
            )
    return told


def verdict_of(
    values: Sequence[ValueRow], failed: Sequence[str], margins: bool, on_insufficient: OnInsufficient
) -> Verdict:
    """The answer: failed (3) wins over not computed (4).

    With margins they alone can fail it. Without, something worse after Holm's adjustment does. Either way evidence is
    missing where the candidate failed to make clips that the base has; without margins also where it could not
    compute a number of the base, or where there is no number at all.

    Args:
        values: All of them.
        failed: From :func:`lost_clips`.
        margins: Whether any are asked for.
        on_insufficient: What missing evidence does.
    """
    worse = [r for r in values if r.side == "worse"]
    lost = [r for r in values if r.lost]
    if margins:
        held = [(r, r.margin) for r in values if r.margin is not None]
        bad = [f"{_called(r)}: {m.reason}" for r, m in held if m.outcome == "violated"]
        open_ = [f"{_called(r)}: {m.reason}" for r, m in held if m.outcome == "not shown"]
        good = f"{_many(sum(m.outcome == 'holds' for _, m in held), 'margin holds', 'margins hold')}"
        others = [_called(r) for r in worse if r.margin is None]
        also = f"; worse without a margin: {_first(others)}" if others else ""
        if bad:
            return Verdict(Outcome.FAILED, ExitCode.GATE_FAILED, f"beyond the margin: {_first(bad)}{also}")
        if open_:
            why = f"not shown within the margin: {_first(open_)}{also}"
            return _insufficient(why, on_insufficient)
        if failed:
            return _insufficient(f"{_first(failed)}{also}", on_insufficient)
        return Verdict(Outcome.PASSED, ExitCode.OK, f"{good}{also}")
    if worse:
        why = f"worse after Holm's adjustment: {_first([_called(r) for r in worse])}"
        return Verdict(Outcome.FAILED, ExitCode.GATE_FAILED, why)
    if not any(r.difference.status == COMPUTED for r in values):
        return _insufficient("no difference could be computed", on_insufficient)
    if failed:
        return _insufficient(_first(failed), on_insufficient)
    if lost:
        why = f"the candidate could not compute what the base has: {_first([_called(r) for r in lost])}"
        return _insufficient(why, on_insufficient)
    compared = sum(r.difference.status == COMPUTED for r in values)
    return Verdict(
        Outcome.PASSED, ExitCode.OK,
        f"nothing is shown to be worse in {_many(compared, 'value compared', 'values compared')}",
    )  # fmt: skip


def _insufficient(why: str, on_insufficient: OnInsufficient) -> Verdict:
    if on_insufficient == "neutral":
        return Verdict(Outcome.NOT_COMPUTED, ExitCode.OK, f"{why} (reported only: --on-insufficient neutral)")
    return Verdict(Outcome.NOT_COMPUTED, ExitCode.NOT_COMPUTED, why)


def _called(row: ValueRow) -> str:
    if row.base_group == row.candidate_group:
        return f"{row.name} [{row.candidate_group}]"
    return f"{row.name} [{row.candidate_group} from {row.base_group}]"


def _first(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more


def _many(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _dropped(shared: Mapping[Pair, Shared]) -> list[str]:
    return [
        f"{b}: {len(s.dropped):,} of {len(s.prompts) + len(s.dropped):,} prompts are not common and were dropped: "
        + ", ".join(list(s.dropped)[:20])
        + (f" and {len(s.dropped) - 20:,} more (compare.json has all)" if len(s.dropped) > 20 else "")
        for (_, b), s in shared.items()
        if s.dropped
    ]


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": snapshot.name, "created": snapshot.created, "vgaudit": snapshot.vgaudit,
        "suite_digest": snapshot.suite_digest, "sha256": snapshot.digest, "groups": list(snapshot.groups),
        "backends": [dict(b) for b in snapshot.backends], "clips": len(snapshot.clips),
        "prompts": len(snapshot.prompts),
        "metrics": {m: facts["version"] for m, facts in snapshot.metrics.items()},
    }  # fmt: skip
