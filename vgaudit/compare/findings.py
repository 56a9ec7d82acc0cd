"""Findings of two runs: how many clips of a hundred have one of a kind, and whether that changed.

Clips count, not findings: a clip with three freezes is one clip that freezes. The rate has an exact interval over
prompts (:func:`~vgaudit.estimates.clustered_rate`). The test is the exact sign test over prompts, which with one clip
per prompt is McNemar's: among prompts whose share of clips with the finding changed, is one direction too common?
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vgaudit.compare.comparable import Pair, Shared
from vgaudit.compare.snapshot import Clip, Snapshot
from vgaudit.estimates import clustered_rate
from vgaudit.pipeline.gated_clips import REFUSED
from vgaudit.sign_flips import holm

NOT_LOOKED_FOR = "not looked for"
_Flags = list[tuple[Clip, bool]]


@dataclass(frozen=True)
class Rate:
    """Clips of a hundred that have a finding of a kind.

    Attributes:
        per_100: Estimate; prompts weigh the same.
        low: Lower end of its exact interval.
        high: Upper end.
        clips: Clips with one.
        searched: Clips in which it was looked for.
        planned: Clips in which it should have been.
        prompts: Prompts among those searched.
        findings: Findings in all.
    """

    per_100: float
    low: float
    high: float
    clips: int
    searched: int
    planned: int
    prompts: int
    findings: int


@dataclass(frozen=True)
class FindingRow:
    """A kind of finding in one pair of groups.

    Attributes:
        kind: Dotted name.
        base_group: Group of the base.
        candidate_group: Group of the candidate.
        base: Rate of the base; ``None`` where the kind was not looked for.
        candidate: Rate of the candidate, likewise.
        n_prompts: Prompts searched on both sides.
        n_more: Prompts in which the candidate has it in more clips.
        n_less: Prompts in which it has it in fewer.
        p: Of the two-sided exact test; ``None`` where a side has not looked for it.
        p_holm: Adjusted for all kinds and pairs.
        new: Whether no clip of the base has it and one of the candidate does.
        side: ``more often`` or ``less often`` where that is shown after Holm; else empty.
        judgement: In words.
    """

    kind: str
    base_group: str
    candidate_group: str
    base: Rate | None
    candidate: Rate | None
    n_prompts: int = 0
    n_more: int = 0
    n_less: int = 0
    p: float | None = None
    p_holm: float | None = None
    new: bool = False
    side: str = ""
    judgement: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def sign_test(more: int, less: int) -> float:
    """Two-sided exact p of the sign test: ``more`` against ``less`` fair coins; 1 where there are none."""
    n, k = more + less, max(more, less)
    if not n:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(k, n + 1))
    return float(min(1.0, 2 * tail / 2**n))


def compare_findings(
    base: Snapshot, candidate: Snapshot, shared: Mapping[Pair, Shared], confidence: float
) -> list[FindingRow]:
    """All kinds that either side looked for, in every pair of groups; what changed most stands first."""
    rows = []
    for pair, prompts in shared.items():
        kept = frozenset(prompts.prompts)
        for kind in sorted({k for k in (*base.kinds, *candidate.kinds) if not k.endswith(".*")}):
            first = _flags(base, pair[0], kind, kept)
            second = _flags(candidate, pair[1], kind, kept)
            rows.append(_row(kind, pair, base, candidate, (first, second), kept, confidence))
    tested = [i for i, row in enumerate(rows) if row.p is not None and row.n_more + row.n_less]
    by_place = dict(zip(tested, holm([rows[i].p or 0.0 for i in tested]), strict=True))
    alpha = 1 - confidence
    judged = [
        row if row.p is None else _judged(replace(row, p_holm=by_place.get(i, 1.0)), alpha)
        for i, row in enumerate(rows)
    ]
    order = {"more often": 0, "less often": 3}
    return sorted(
        judged,
        key=lambda r: (order.get(r.side, 1 if r.new else 2 if r.p is None else 4), -(r.n_more - r.n_less), r.kind),
    )  # fmt: skip


def _judged(row: FindingRow, alpha: float) -> FindingRow:
    side = ""
    if row.p_holm is not None and row.p_holm <= alpha + 1e-12 and row.n_more != row.n_less:
        side = "more often" if row.n_more > row.n_less else "less often"
    text = side or "no difference shown"
    return replace(row, side=side, judgement=f"{text}; none in the base" if row.new else text)


def _flags(side: Snapshot, group: str, kind: str, kept: frozenset[str]) -> _Flags | None:
    """Clips in which the kind was looked for, and whether each has one; ``None`` where it was looked for in none."""
    found = side.kind(kind)
    if found is None:
        return None
    flags = [
        (side.clips[i], bool(found.counts.get(i)))
        for i in side.of_group(group)
        if i not in found.unseen and side.clips[i].prompt_id in kept
    ]
    return flags or None


def _row(
    kind: str,
    pair: Pair,
    base: Snapshot,
    candidate: Snapshot,
    flags: tuple[_Flags | None, _Flags | None],
    kept: frozenset[str],
    confidence: float,
) -> FindingRow:
    first, second = flags
    row = FindingRow(
        kind, *pair,
        base=None if first is None else _rate(first, base, pair[0], kind, kept, confidence),
        candidate=None if second is None else _rate(second, candidate, pair[1], kind, kept, confidence),
    )  # fmt: skip
    if row.base is None or row.candidate is None or first is None or second is None:
        where = [n for n, rate in (("base", row.base), ("candidate", row.candidate)) if rate is None]
        return replace(row, judgement=f"{NOT_LOOKED_FOR} in the {' and the '.join(where)}")
    signs = _signs(first, second)
    more, less = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
    return replace(
        row, n_prompts=len(signs), n_more=more, n_less=less, p=sign_test(more, less),
        new=row.base.clips == 0 and row.candidate.clips > 0,
    )  # fmt: skip


def _rate(
    flags: _Flags, side: Snapshot, group: str, kind: str, kept: frozenset[str], confidence: float
) -> Rate:
    estimate = clustered_rate([has for _, has in flags], [c.prompt_id for c, _ in flags], confidence)
    assert estimate.low is not None  # an exact interval is always there
    assert estimate.high is not None
    found = side.kind(kind)
    here = [i for i in side.of_group(group) if side.clips[i].prompt_id in kept]
    return Rate(
        per_100=100 * estimate.value, low=100 * estimate.low, high=100 * estimate.high,
        clips=sum(has for _, has in flags), searched=len(flags),
        planned=sum(side.clips[i].outcome not in REFUSED for i in here), prompts=estimate.n_clusters,
        findings=sum(found.counts.get(i, 0) for i in here) if found is not None else 0,
    )  # fmt: skip


def _signs(first: _Flags, second: _Flags) -> list[int]:
    """For each prompt that both sides have, whether the candidate has the finding in more (1) or fewer (-1) clips.

    As for values: clips of common seeds are compared where there are any, and shares of the prompt's clips otherwise.
    """
    a, b = _by_prompt(first), _by_prompt(second)
    signs = []
    for prompt in sorted(a.keys() & b.keys()):
        x, y = a[prompt], b[prompt]
        common = {c.seed for c, _ in x} & {c.seed for c, _ in y} - {None}
        if common:
            x = [(c, has) for c, has in x if c.seed in common]
            y = [(c, has) for c, has in y if c.seed in common]
        # Whole numbers: sum(y) / len(y) against sum(x) / len(x) without rounding.
        apart = sum(has for _, has in y) * len(x) - sum(has for _, has in x) * len(y)
        signs.append((apart > 0) - (apart < 0))
    return signs


def _by_prompt(flags: Sequence[tuple[Clip, bool]]) -> dict[str, _Flags]:
    found: dict[str, _Flags] = defaultdict(list)
    for clip, has in flags:
        found[clip.prompt_id].append((clip, has))
    return found
