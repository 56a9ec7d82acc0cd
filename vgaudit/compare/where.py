"""Where a difference lies: by tag, and in which clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vgaudit.compare.comparable import Pair, Shared
from vgaudit.compare.snapshot import Clip, Snapshot, prompts_of
from vgaudit.compare.values import Group, ValueRow
from vgaudit.paired import MIN_PROMPTS, Case, PairedDifference, Side, adjusted, paired_differences
from vgaudit.records import COMPUTED

MOST_CHANGED = 10
"""Clips named for each value and pair of groups."""


@dataclass(frozen=True)
class TagRow:
    """A value over the prompts of one tag.

    Attributes:
        name: ``<metric>.<value>``.
        tag: ``key=value``.
        base_group: Group of the base.
        candidate_group: Group of the candidate.
        difference: Candidate minus base, adjusted for all tags, values and pairs.
        side: ``better``, ``worse``, ``higher`` or ``lower`` where a difference is shown; else empty.
    """

    name: str
    tag: str
    base_group: str
    candidate_group: str
    difference: PairedDifference
    side: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "difference": self.difference.to_json()}


@dataclass(frozen=True)
class ChangedClip:
    """A clip and its partner of the same prompt and seed.

    Attributes:
        name: ``<metric>.<value>``.
        base_group: Group of the base.
        candidate_group: Group of the candidate.
        prompt_id: Of both.
        seed: Of both; ``None`` where they have none.
        base_sample: Sample id in the base.
        candidate_sample: Sample id in the candidate.
        base: Value.
        candidate: Value.
        spreads: Candidate minus base in standard deviations of the value over the clips compared.
        side: ``better`` or ``worse``; ``higher`` or ``lower`` where no end is good or gates would not take the value.
    """

    name: str
    base_group: str
    candidate_group: str
    prompt_id: str
    seed: int | None
    base_sample: str
    candidate_sample: str
    base: float
    candidate: float
    spreads: float
    side: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def by_tag(
    base: Snapshot,
    candidate: Snapshot,
    shared: Mapping[Pair, Shared],
    values: list[ValueRow],
    confidence: float,
) -> list[TagRow]:
    """Differences for each tag that some prompts have and others do not, as one family; shown ones stand first.

    Tags are those of the candidate. A tag with fewer than :data:`~vgaudit.paired.MIN_PROMPTS` prompts is left out.
    """
    keys: list[TagRow] = []
    cases: list[Case] = []
    sides: list[ValueRow] = []
    for pair, prompts in shared.items():
        kept = frozenset(prompts.prompts)
        first, second = Group(base, pair[0], "base", kept), Group(candidate, pair[1], "candidate", kept)
        tags = _tags(candidate, pair[1], kept)
        for row in values:
            if (row.base_group, row.candidate_group) != pair or row.difference.status != COMPUTED:
                continue
            a, b = first.side(row.name), second.side(row.name)
            assert isinstance(a, Side)  # its difference is computed
            assert isinstance(b, Side)
            spec = {**base.value_specs, **candidate.value_specs}[row.name]
            for tag, chosen in tags.items():
                case = Case(_only(b, chosen), _only(a, chosen), (spec.get("low"), spec.get("high")))
                keys.append(TagRow(row.name, tag, *pair, difference=row.difference))
                sides.append(row)
                cases.append(case)
    made = adjusted(paired_differences(cases, confidence=confidence))
    found = [
        replace(key, difference=d, side=_side(d.value, row) if d.shown() and d.value else "")
        for key, row, d in zip(keys, sides, made, strict=True)
        if d.status == COMPUTED
    ]
    order = {"worse": 0, "higher": 1, "lower": 1, "better": 2, "": 3}
    return sorted(found, key=lambda r: (order[r.side], r.difference.p_holm or 0.0, r.name, r.tag))


def _tags(side: Snapshot, group: str, kept: frozenset[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for i in side.of_group(group):
        clip = side.clips[i]
        if clip.prompt_id in kept:
            for key, value in clip.tags.items():
                found.setdefault(f"{key}={value}", set()).add(clip.prompt_id)
    return {
        tag: frozenset(prompts)
        for tag, prompts in sorted(found.items())
        if MIN_PROMPTS <= len(prompts) < len(kept)
    }


def _only(side: Side, prompts: frozenset[str]) -> Side:
    return Side(side.name, {p: clips for p, clips in side.prompts.items() if p in prompts})


def _side(difference: float, row: ValueRow) -> str:
    up = difference > 0
    if row.higher_is_better is None or row.doubt:
        return "higher" if up else "lower"
    return "better" if up == row.higher_is_better else "worse"


def most_changed(
    base: Snapshot, candidate: Snapshot, shared: Mapping[Pair, Shared], values: list[ValueRow]
) -> list[ChangedClip]:
    """For each value the clips that changed most, in units of the value's spread; clips that did not are left out."""
    found: list[ChangedClip] = []
    for pair, prompts in shared.items():
        partners = _partners(base, candidate, pair, prompts)
        for row in values:
            if (row.base_group, row.candidate_group) != pair or row.difference.status != COMPUTED:
                continue
            a, b = base.values[row.name], candidate.values[row.name]
            both = [(i, j, x, y) for i, j in partners if (x := a[i]) is not None and (y := b[j]) is not None]
            if not both:
                continue
            # The base's spread; the candidate's where all clips of the base have one value.
            spread = float(np.std([x for _, _, x, _ in both])) or float(np.std([y for *_, y in both]))
            changed = sorted((k for k in both if k[2] != k[3]), key=lambda k: (-abs(k[3] - k[2]), k[0]))
            for i, j, x, y in changed[:MOST_CHANGED] if spread > 0 else ():
                clip: Clip = base.clips[i]
                found.append(
                    ChangedClip(
                        row.name, *pair, clip.prompt_id, clip.seed, clip.sample_id, candidate.clips[j].sample_id,
                        x, y, (y - x) / spread, _side(y - x, row),
                    )
                )  # fmt: skip
    return found


def _partners(base: Snapshot, candidate: Snapshot, pair: Pair, prompts: Shared) -> list[tuple[int, int]]:
    """Positions of clips of one prompt and seed; of a prompt without common seeds, the only clip of each side."""
    first, second = prompts_of(base, pair[0]), prompts_of(candidate, pair[1])
    found = []
    for prompt in prompts.prompts:
        a = {base.clips[i].seed: i for i in reversed(first[prompt]) if base.clips[i].seed is not None}
        b = {
            candidate.clips[j].seed: j
            for j in reversed(second[prompt])
            if candidate.clips[j].seed is not None
        }
        common = [(i, b[seed]) for seed, i in sorted(a.items(), key=lambda item: item[1]) if seed in b]
        if not common and len(first[prompt]) == len(second[prompt]) == 1:
            common = [(first[prompt][0], second[prompt][0])]
        found += common
    return found
