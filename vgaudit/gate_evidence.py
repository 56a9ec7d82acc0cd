"""What gates are held against besides results: clips, findings, and what was looked at."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vgaudit.records import Finding, Outcome

Gaps = Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]
"""Metric or kind of finding -> group -> reason -> names of the clips that were not looked at for it."""

Coverage = Mapping[str, Mapping[str, tuple[int, int]]]
"""Metric or kind of finding -> group -> clips looked at for it, and clips that should have been."""

_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_REASONS_SHOWN = 3
_CLIPS_SHOWN = 2
_ELSEWHERE = ""  # the group of a clip that a gate for a tag is not about; no group has this name


class Held(NamedTuple):
    """How a gate ended for one group.

    Attributes:
        outcome: The outcome.
        why: One sentence.
        thin: Not computed although all was measured as it should: there is too little of it. Only this can be
            neutral.
    """

    outcome: Outcome
    why: str
    thin: bool = False


@dataclass(frozen=True)
class GatedClip:
    """What gates need to know of one sample of the plan.

    Attributes:
        group: Its group.
        prompt_id: Cluster.
        name: What its owner calls it.
        tags: Of its prompt.
        due: Whether there should be a clip; refused requests are no clips.
        seconds: How long it took to generate; ``None`` where that was not recorded, or it was made elsewhere.
        unseen: Metric or kind of finding to the reasons it was not looked at for it; absent where it was.
    """

    group: str
    prompt_id: str
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    due: bool = True
    seconds: float | None = None
    unseen: Mapping[str, Sequence[str]] = field(default_factory=dict)


def gaps_of(clips: Mapping[str, GatedClip]) -> Gaps:
    """Why clips were not looked at, by metric or kind of finding, group, and reason; clips in plan order."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for clip in clips.values():
        for name, reasons in clip.unseen.items() if clip.due else ():
            for reason in dict.fromkeys(reasons):
                group = found.setdefault(name, {}).setdefault(clip.group, {})
                group.setdefault(reason, []).append(clip.name)
    return found


@dataclass(frozen=True)
class Evidence:
    """What gates on findings, coverage and runtime are held against; fields as in :func:`vgaudit.gates.evaluate`."""

    findings: Sequence[Finding]
    owners: Mapping[str, str]
    coverage: Coverage
    kinds: Mapping[str, Collection[str]] | None
    outside: Mapping[tuple[str, str], str]
    """Metric and group -> why its network is out of domain there."""
    no_alerts: Mapping[str, str]
    """Metric -> why none of its findings can be an alert, whatever it saw."""
    gaps: Gaps
    closed: Sequence[Finding]
    expired: Sequence[Finding]
    undecidable: str
    clips: Mapping[str, GatedClip]
    confidence: float

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that were run; :attr:`coverage` has kinds of findings too."""
        return tuple(
            m for m in self.coverage if not any(m.startswith(f"{other}.") for other in self.coverage)
        )

    def of_tag(self, tag: tuple[str, str]) -> Evidence:
        """The same of the clips that have a tag; findings of other clips belong to no group then."""
        key, value = tag
        inside = {s: c for s, c in self.clips.items() if c.tags.get(key) == value}
        groups = dict.fromkeys(c.group for c in self.clips.values())
        coverage = {}
        for name in self.coverage:
            due = {g: [c for c in inside.values() if c.group == g and c.due] for g in groups}
            coverage[name] = {g: (sum(name not in c.unseen for c in cs), len(cs)) for g, cs in due.items()}
        owners = {s: group if s in inside else _ELSEWHERE for s, group in self.owners.items()}
        return replace(self, owners=owners, coverage=coverage, gaps=gaps_of(inside), clips=inside)

    def of_group(self, group: str) -> dict[str, GatedClip]:
        """Clips of a group that should be there, by sample id."""
        return {s: c for s, c in self.clips.items() if c.group == group and c.due}

    def why_not(self, name: str, group: str) -> str:
        """Why clips were not looked at: reasons of most clips first, each with how many and which come first.

        Reasons that differ in numbers alone count as one, in the words of the first.
        """
        alike: dict[str, dict[str, Sequence[str]]] = {}
        for why, clips in self.gaps.get(name, {}).get(group, {}).items():
            alike.setdefault(_DIGITS.sub("0", why), {})[why] = clips
        all_of = {
            next(iter(each)): list(dict.fromkeys(c for clips in each.values() for c in clips))
            for each in alike.values()
        }
        differ = {next(iter(each)) for each in alike.values() if len(each) > 1}
        found = sorted(all_of.items(), key=lambda item: -len(item[1]))
        told = []
        for why, clips in found[:_REASONS_SHOWN]:
            dots = ", ..." if len(clips) > _CLIPS_SHOWN else ""
            how_many = count(len(clips), "clip") + (", other numbers in some" if why in differ else "")
            told.append(f"{why} ({how_many}: {', '.join(clips[:_CLIPS_SHOWN])}{dots})")
        if left := found[_REASONS_SHOWN:]:
            clips_left = len({clip for _, clips in left for clip in clips})
            told.append(f"and {count(len(left), 'more reason')} ({count(clips_left, 'clip')})")
        return "; ".join(told)


def count(n: int, thing: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
