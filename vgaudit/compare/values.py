"""Values of clips, paired: difference, interval, effect, p, and what that says of a margin.

Differences are of the candidate minus the base, made by :mod:`vgaudit.paired`; this module arranges its input and
puts its numbers into words. A value that clips do not have (FVD) stands with both estimates and is never tested.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vgaudit.compare.comparable import Pair, Shared
from vgaudit.compare.snapshot import Snapshot
from vgaudit.paired import (
    Case,
    PairedDifference,
    Row,
    Side,
    adjusted,
    not_computed,
    paired_differences,
)
from vgaudit.pipeline.comparing import doubts, why_not
from vgaudit.records import COMPUTED, NOT_APPLICABLE, Result

MarginOutcome = Literal["holds", "violated", "not shown"]
MOST_PROMPTS = 1_000_000
"""Prompts beyond which no number is named: nobody runs so many."""

GROUP_AS_A_WHOLE = "a value of the group as a whole"
"""Why a value that only groups have is not tested."""

SAME_CLIPS = "every clip is the same on both sides, byte for byte"


@dataclass(frozen=True)
class Margin:
    """A difference that may not be exceeded, and whether the interval shows that it is not.

    Attributes:
        margin: In the value's unit, towards its worse side; of a value without one, to both sides.
        outcome: ``holds``, ``violated`` (the interval lies wholly beyond it) or ``not shown``.
        reason: One sentence with the numbers.
        more_prompts: Prompts that are missing at this variance, where their number can be told.
    """

    margin: float
    outcome: MarginOutcome
    reason: str
    more_prompts: int | None = None


@dataclass(frozen=True)
class ValueRow:
    """One value of one pair of groups.

    Attributes:
        name: ``<metric>.<value>``.
        base_group: Group of the base.
        candidate_group: Group of the candidate.
        unit: For people; may be empty.
        higher_is_better: ``None`` where neither end is good.
        title: Heading; may be empty.
        paired: Whether clips have the value.
        base: Mean of the base over the pairs; of a value that is not paired, its estimate.
        candidate: The same of the candidate.
        base_interval: Of an estimate that is not paired; ``None`` where there is none.
        candidate_interval: The same of the candidate.
        difference: Candidate minus base. Without a test it has no p, and it is not computed.
        apart: Difference of two estimates that are not paired; ``None`` where there is none.
        doubt: Why gates would not take the value; empty where they would.
        lost: Whether the base has a number and the candidate could not compute one.
        side: ``better``, ``worse``, ``higher`` or ``lower`` where a difference is shown after Holm; else empty.
        judgement: In words.
        margin: Where one is asked for.
    """

    name: str
    base_group: str
    candidate_group: str
    unit: str
    higher_is_better: bool | None
    title: str
    paired: bool
    base: float | None
    candidate: float | None
    difference: PairedDifference
    base_interval: tuple[float, float] | None = None
    candidate_interval: tuple[float, float] | None = None
    apart: float | None = None
    doubt: str = ""
    lost: bool = False
    side: str = ""
    judgement: str = ""
    margin: Margin | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "difference": self.difference.to_json()}


@dataclass
class Group:
    """A group of one side with its clips arranged for pairing, made once.

    Attributes:
        snapshot: The side.
        group: The group.
        called: What reasons call it.
        kept: Prompts that are compared.
    """

    snapshot: Snapshot
    group: str
    called: str
    kept: frozenset[str]

    def __post_init__(self) -> None:
        self._places = self.snapshot.of_group(self.group)

    def rows(self, name: str) -> list[Row]:
        """Every planned clip of the group with its value, or why it has none."""
        s = self.snapshot
        return [(s.clips[i], s.values[name][i], s.missing[name][i]) for i in self._places]

    def side(self, name: str) -> Side | str:
        """The compared clips of a value; a reason where it cannot be compared."""
        if name not in self.snapshot.values:
            known = name in self.snapshot.value_specs
            return "its clips do not have the value" if known else "the value was not asked for"
        rows = self.rows(name)
        if why := why_not(self.snapshot.result(name, self.group), rows):
            return why
        return Side.of(self.called, [row for row in rows if row[0].prompt_id in self.kept])

    def zeros(self, name: str) -> Side:
        """The same clips with 0 for every value: a difference from it is a mean over just the pairs compared."""
        rows = [row for row in self.rows(name) if row[0].prompt_id in self.kept]
        return Side.of(self.called, [(s, None if v is None else 0.0, why) for s, v, why in rows])


def compare_values(
    base: Snapshot,
    candidate: Snapshot,
    shared: Mapping[Pair, Shared],
    margins: Mapping[str, float],
    confidence: float,
) -> list[ValueRow]:
    """All values of all pairs of groups, as one family.

    Args:
        base: The one side.
        candidate: The other; nothing forbids comparing it.
        shared: Pairs of groups with the prompts compared.
        margins: ``<metric>.<value>`` to its margin.
        confidence: Coverage of intervals; one minus it is the error probability of the family.

    Returns:
        Rows by pair, in the order of the candidate's values.
    """
    specs = {**base.value_specs, **candidate.value_specs}
    names = [n for n, spec in specs.items() if spec.get("per_group", True)]
    names += sorted({r.name for s in (base, candidate) for r in s.results} - specs.keys())
    rows: list[ValueRow] = []
    found: list[PairedDifference | Case] = []
    means: dict[int, tuple[Case, Case]] = {}
    same: list[bool] = []  # whether the clips are
    for pair, prompts in shared.items():
        kept = frozenset(prompts.prompts)
        first, second = Group(base, pair[0], "base", kept), Group(candidate, pair[1], "candidate", kept)
        alike = same_clips(base, candidate, pair, kept)
        for name in names:
            row = _bare(name, pair, specs.get(name, {}), base, candidate)
            same.append(alike)
            if not row.paired:
                rows.append(_apart(row, base, candidate, bool(prompts.dropped)))
                found.append(rows[-1].difference)
                continue
            a, b = first.side(name), second.side(name)
            rows.append(row)
            if isinstance(a, Side) and isinstance(b, Side):
                spec = specs[name]
                bounds = (spec.get("low"), spec.get("high"))
                means[len(found)] = Case(a, second.zeros(name)), Case(b, first.zeros(name))
                found.append(Case(b, a, bounds))
            else:
                found.append(not_computed(_told(a, b)))
    cases = [f for f in found if isinstance(f, Case)]
    levels = [case for two in means.values() for case in two]
    made = paired_differences([*cases, *levels], confidence=confidence)
    differences, told = iter(made[: len(cases)]), iter(made[len(cases) :])
    family = adjusted([next(differences) if isinstance(f, Case) else f for f in found])
    for i in means:
        rows[i] = replace(rows[i], base=next(told).value, candidate=next(told).value)
    return [
        judged(replace(row, difference=d), margins.get(row.name), alike)
        for row, d, alike in zip(rows, family, same, strict=True)
    ]


def judged(row: ValueRow, margin: float | None, alike: bool = False) -> ValueRow:
    """``row`` with what its difference says, of itself and of a margin."""
    d = row.difference
    held = None if margin is None else _held(row, margin, alike)
    side = ""
    if d.shown() and d.value:
        up = d.value > 0
        neither = row.higher_is_better is None or bool(row.doubt)
        side = (
            ("higher" if up else "lower") if neither else "better" if up == row.higher_is_better else "worse"
        )
    if held is not None and row.paired:
        words = {
            "holds": "within the margin",
            "violated": "beyond the margin",
            "not shown": "not shown within the margin",
        }[held.outcome]
        text = f"{side}, {words}" if side else words
    elif not row.paired and d.status != COMPUTED and row.apart is not None:
        text = "not paired: no test"
    elif d.status != COMPUTED:
        text = d.status
    else:
        text = side or "no difference shown"
    return replace(row, side=side, judgement=text, margin=held)


def _held(row: ValueRow, margin: float, alike: bool) -> Margin:
    """The margin against the interval of the loss: of how much worse the candidate is."""
    d = row.difference
    if not row.paired:
        return Margin(margin, "not shown", "not paired: no test, so no margin can be shown to hold")
    if d.value is None:
        return Margin(margin, "not shown", f"no difference was computed: {d.reason}")
    if row.doubt:
        return Margin(margin, "not shown", f"gates would not take the value: {row.doubt}")
    if alike and not d.n_differing:
        return Margin(margin, "holds", SAME_CLIPS)
    if d.low is None or d.high is None:
        return Margin(margin, "not shown", d.reason or "the difference has no interval")
    # Towards the worse side; without one both sides count, and the farther end decides.
    if row.higher_is_better is None:
        if d.low > margin or d.high < -margin:
            return Margin(margin, "violated", _beyond(d, margin))
        value, high = max((d.value, d.high), (-d.value, -d.low), key=lambda two: two[1])
    elif row.higher_is_better:
        value, high = -d.value, -d.low
    else:
        value, high = d.value, d.high
    low = -d.high if row.higher_is_better else d.low
    if row.higher_is_better is not None and low > margin:
        return Margin(margin, "violated", _beyond(d, margin))
    if high <= margin:
        return Margin(
            margin, "holds", f"the interval of the difference, {_ends(d)}, stays within {margin:.4g}"
        )
    more = _more_prompts(value, high, margin, d.n_prompts)
    advice = (
        f"about {more:,} more prompts at this variance would be needed"
        if more is not None
        else "at a difference like this, more prompts would not show it"
    )
    why = f"the interval of the difference, {_ends(d)}, reaches beyond {margin:.4g}; {advice}"
    return Margin(margin, "not shown", why, more)


def _beyond(d: PairedDifference, margin: float) -> str:
    return f"the interval of the difference, {_ends(d)}, lies wholly beyond {margin:.4g}"


def _ends(d: PairedDifference) -> str:
    return f"[{d.low:.4g}, {d.high:.4g}]"


def _more_prompts(value: float, high: float, margin: float, n: int) -> int | None:
    """Prompts to add until the interval, shrinking with the root of their number, ends at the margin."""
    room, half = margin - value, high - value
    if room <= 0 or half <= 0:
        return None
    wanted = n * (half / room) ** 2
    return max(1, math.ceil(wanted) - n) if wanted < MOST_PROMPTS else None


def _bare(name: str, pair: Pair, spec: Mapping[str, Any], base: Snapshot, candidate: Snapshot) -> ValueRow:
    a, b = base.result(name, pair[0]), candidate.result(name, pair[1])
    lost = (
        a is not None and a.status == COMPUTED and (b is None or b.status not in (COMPUTED, NOT_APPLICABLE))
    )
    known = next((r for r in (b, a) if r is not None), None)
    return ValueRow(
        name=name, base_group=pair[0], candidate_group=pair[1],
        unit=str(spec.get("unit") or (known.unit if known else "")),
        higher_is_better=spec.get("higher_is_better", known.higher_is_better if known else None),
        title=str(spec.get("title") or ""),
        paired=bool(spec) and bool(spec.get("per_clip", True)),
        base=None, candidate=None, difference=not_computed("not compared yet"), doubt=doubts([a, b]), lost=lost,
    )  # fmt: skip


def _apart(row: ValueRow, base: Snapshot, candidate: Snapshot, dropped: bool) -> ValueRow:
    """A value that only groups have: two estimates side by side, and no test."""
    a, b = base.result(row.name, row.base_group), candidate.result(row.name, row.candidate_group)
    if dropped:
        why = "a value of the group as a whole, over prompts that are not compared here"
        return replace(row, difference=not_computed(why))
    why = GROUP_AS_A_WHOLE
    absent = [
        (n, r.reason if r else "there is no result")
        for n, r in (("base", a), ("candidate", b))
        if not _has(r)
    ]
    if absent:
        why = "; ".join(f"{name}: {reason}" for name, reason in absent)
    values = [r.value if r is not None else None for r in (a, b)]
    apart = None if values[0] is None or values[1] is None else values[1] - values[0]
    if a is not None and b is not None and apart is not None and (a.n, a.n_clusters) != (b.n, b.n_clusters):
        why += (
            f"; estimates rest on {a.n} clips of {a.n_clusters} prompts and {b.n} of {b.n_clusters}, which alone can "
            "move them"
        )
    return replace(
        row, base=values[0], candidate=values[1], apart=apart, base_interval=_interval(a),
        candidate_interval=_interval(b), difference=not_computed(why),
    )  # fmt: skip


def _has(result: Result | None) -> bool:
    return result is not None and result.value is not None


def _interval(result: Result | None) -> tuple[float, float] | None:
    if result is None or result.low is None or result.high is None:
        return None
    return (result.low, result.high) if math.isfinite(result.low) and math.isfinite(result.high) else None


def _told(a: Side | str, b: Side | str) -> str:
    whys = {name: why for name, why in (("base", a), ("candidate", b)) if isinstance(why, str)}
    if len(whys) == 2 and len(set(whys.values())) == 1:
        return f"both sides: {next(iter(whys.values()))}"
    return "; ".join(f"{name}: {why}" for name, why in whys.items())


def same_clips(base: Snapshot, candidate: Snapshot, pair: Pair, kept: frozenset[str]) -> bool:
    """Whether both groups have the same clips, byte for byte, for every prompt that is compared."""

    def clips(side: Snapshot, group: str) -> Iterator[tuple[str, int | None, str]]:
        for clip in side.clips:
            if clip.group == group and clip.prompt_id in kept:
                yield clip.prompt_id, clip.seed, clip.sha256

    a, b = Counter(clips(base, pair[0])), Counter(clips(candidate, pair[1]))
    return bool(a) and a == b and all(sha for _, _, sha in a)


def worst_first(rows: Sequence[ValueRow]) -> list[ValueRow]:
    """Rows for a reader: what decides against the candidate first, then by how far differences stand out."""
    order = {"violated": 0, "not shown": 2, "holds": 5}

    def key(row: ValueRow) -> tuple[int, float]:
        rank = order[row.margin.outcome] if row.margin else 9
        by_side = {"worse": 1, "higher": 4, "lower": 4, "better": 6, "": 7}[row.side]
        if row.difference.status != COMPUTED and not row.margin:
            by_side = 3 if row.lost else 8
        effect = row.difference.effect
        return min(rank, by_side), -abs(effect) if effect is not None else 0.0

    return sorted(rows, key=key)
