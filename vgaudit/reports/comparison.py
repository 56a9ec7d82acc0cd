"""Arrange paired differences between groups for a reader: who is better on what first, then every value drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from vgaudit.paired import PairedDifference
from vgaudit.records import COMPUTED
from vgaudit.reports import charts, numbers
from vgaudit.reports.data import ReportData
from vgaudit.reports.overview import title_of

NOT_SHOWN = "no difference shown"
_ZERO = (charts.Mark(0.0, "no difference"),)
_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Compared:
    """A difference of one group from another on one value, in words.

    Attributes:
        group: The group.
        reference: What it is compared with.
        words: ``higher by 0.012 [0.004, 0.020]``, ``no difference shown: ...`` or ``not computed``; never empty.
        counts: What it rests on: ``40 prompts, Holm p = 0.03``; a reason where it is not computed.
        side: ``better``, ``worse``, ``higher``, ``lower`` where a difference is shown; else empty.
        tone: Class of the chart: ``pass``, ``fail``, ``plain`` or ``none``; never the only sign.
        computed: Whether there is a number.
        account: The further numbers, for the table of all pairs.
        chart: Drawn on the axis of the value; ``None`` without a number.
    """

    group: str
    reference: str
    words: str
    counts: str
    side: str
    tone: str
    computed: bool
    account: tuple[str, ...]
    chart: Markup | None


@dataclass(frozen=True)
class FromReference:
    """All groups but one against that one; ``index`` is its place among the groups of the run."""

    reference: str
    index: int
    rows: tuple[Compared, ...]


@dataclass(frozen=True)
class ValueCompared:
    """One value over all groups.

    Attributes:
        key: Part of the page's ids, unique on the page.
        name: ``<metric>.<value>``.
        title: Heading.
        unit: For people; may be empty.
        direction: In words.
        arrow: ``up``, ``down`` or ``none``.
        left: What a difference to the left of 0 means, in words.
        right: The same to the right.
        doubt: Why gates would not take this value; empty where they would.
        references: One for each group that others can be compared with.
        axis: Shared by all rows.
        pairs: Every pair once, for readers without scripts.
    """

    key: str
    name: str
    title: str
    unit: str
    direction: str
    arrow: str
    left: str
    right: str
    doubt: str
    references: tuple[FromReference, ...]
    axis: Markup
    pairs: tuple[Compared, ...]


@dataclass(frozen=True)
class PairSummary:
    """Two groups in short; the lists hold key and title of values.

    Attributes:
        first: The one that comes first in the run.
        second: The other.
        first_better: Where ``first`` is better.
        second_better: Where ``second`` is.
        differs: Where they differ and no end is better, with ``higher`` or ``lower`` for ``first``.
        undecided: Values compared on which no difference is shown.
        not_computed: Values that could not be compared.
    """

    first: str
    second: str
    first_better: tuple[tuple[str, str], ...]
    second_better: tuple[tuple[str, str], ...]
    differs: tuple[tuple[str, str, str], ...]
    undecided: int
    not_computed: int


@dataclass(frozen=True)
class Comparison:
    """The section ``Compared with each other``.

    Attributes:
        absent: Why there is nothing to show; empty where there is.
        references: Groups that the others can be compared with, with their places; the first is shown.
        pairs: All pairs in short.
        blocks: Values with a number for some pair that differs anywhere.
        same: Titles and names of values in which no prompt differs between any two groups.
        missing: Title, name and reason of values without a number for any pair.
        not_paired: Title, name and reason of values that clips do not have.
        family: Comparisons that the adjustment is for.
        confidence: ``95 %``.
        alpha: Error probability of the family, as text.
        min_prompts: Fewest prompts.
        some: Whether only comparisons with the first group were made, for there are many groups.
    """

    absent: str = ""
    references: tuple[tuple[int, str], ...] = ()
    pairs: tuple[PairSummary, ...] = ()
    blocks: tuple[ValueCompared, ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    missing: tuple[tuple[str, str, str], ...] = ()
    not_paired: tuple[tuple[str, str, str], ...] = ()
    family: int = 0
    confidence: str = ""
    alpha: str = ""
    min_prompts: int = 0
    some: bool = False


_Found = Mapping[tuple[str, str], PairedDifference]


def comparison(data: ReportData) -> Comparison | None:
    """What the overview says of the groups of a run against each other; ``None`` for one group, and for a census."""
    groups = list(dict.fromkeys(entry.sample.group for entry in data.clips))
    if data.kind == "census" or len(groups) < 2:
        return None
    stored = data.comparisons
    if stored is None:
        return Comparison(
            absent="This run was scored by a version of vgaudit that did not compare groups. Score it again with "
            "vgaudit score to have paired differences."
        )
    by_value: dict[str, dict[tuple[str, str], PairedDifference]] = {}
    doubts: dict[str, dict[str, None]] = {}
    for entry in stored["differences"]:
        found = by_value.setdefault(entry["name"], {})
        found[entry["group"], entry["reference"]] = PairedDifference.from_json(entry)
        if entry["doubt"]:
            doubts.setdefault(entry["name"], {})[entry["doubt"]] = None
    titles = _titles([*by_value, *stored["not_paired"]], data)
    drawn, same, missing = [], [], []
    for name, differences in by_value.items():
        computed = [d for d in differences.values() if d.status == COMPUTED]
        if not computed:
            missing.append((titles[name], name, _reasons([d.reason for d in differences.values()])))
        elif len(computed) == len(differences) and not any(d.n_differing for d in computed):
            same.append((titles[name], name))
        else:
            drawn.append(name)
    specs = data.value_specs
    drawn.sort(key=lambda name: specs.get(name, {}).get("higher_is_better") is None)
    keys = {name: f"compared-{i}" for i, name in enumerate(drawn, 1)}
    known = {name: "; ".join(told) for name, told in doubts.items()}
    pairs = list(dict.fromkeys(pair for found in by_value.values() for pair in found))
    whole = len(pairs) == len(groups) * (len(groups) - 1) // 2
    references = [(i, group) for i, group in enumerate(groups) if whole or i == 0]
    level = float(stored["confidence"])
    return Comparison(
        references=tuple(references),
        pairs=tuple(_summary(pair, by_value, keys, titles, specs, known) for pair in pairs),
        blocks=tuple(
            _block(
                (n, keys[n], titles[n]), by_value[n], groups, references, specs.get(n, {}), known.get(n, "")
            )
            for n in drawn
        ),
        same=tuple(same),
        missing=tuple(missing),
        not_paired=tuple((titles[name], name, why) for name, why in stored["not_paired"].items()),
        family=int(stored["family"]),
        confidence=f"{round(100 * level, 3):g} %",
        alpha=f"{round(1 - level, 6):g}",
        min_prompts=int(stored["min_prompts"]),
        some=not whole,
    )  # fmt: skip


def p_text(p: float) -> str:
    """``p = 0.03`` for people: two digits, never 0, on one line."""
    text = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" if p < 0.995 else "p = 1"
    return text.replace(" ", "\u00a0")


def words(difference: PairedDifference, decimals: int | None = None) -> str:
    """A difference in words: which way and how far, or that none is shown; never that groups are equal.

    Args:
        difference: With its adjusted p.
        decimals: Of all numbers; by default as many as the interval's width asks for.
    """
    value, low, high = difference.value, difference.low, difference.high
    if value is None:
        return difference.status
    if not difference.n_differing:
        return f"{NOT_SHOWN}: no prompt differs"
    if low is None or high is None:
        return f"{NOT_SHOWN}: {_signed(numbers.number(value), value)}, without an interval"
    if difference.shown():
        if value > 0:
            return f"higher by {_interval(value, low, high, decimals)}"
        return f"lower by {_interval(-value, -high, -low, decimals)}"
    after = "" if low <= 0 <= high else " after adjustment"
    return f"{NOT_SHOWN}{after}: {_signed(_interval(value, low, high, decimals), value)}"


def _interval(value: float, low: float, high: float, decimals: int | None = None) -> str:
    """The ends stay on one line."""
    return numbers.interval(value, low, high, decimals).replace(", ", ",\u00a0")


def _decimals(found: Iterable[PairedDifference]) -> int | None:
    """Decimals for differences that stand below each other; ``None`` where they differ too much in size."""
    each = [
        numbers.interval_decimals(d.value, d.low, d.high)
        for d in found
        if d.value is not None and d.low is not None and d.high is not None and d.n_differing
    ]
    return max(each) if each and max(each) - min(each) <= 1 else None


def _signed(text: str, value: float) -> str:
    return f"+{text}" if value > 0 else text


def _side(difference: PairedDifference, higher_is_better: bool | None, doubt: str) -> str:
    if not difference.shown() or not difference.value:
        return ""
    up = difference.value > 0
    if higher_is_better is None or doubt:
        return "higher" if up else "lower"
    return "better" if up == higher_is_better else "worse"


_TONES = {"better": "pass", "worse": "fail", "higher": "plain", "lower": "plain", "": "none"}


def _counts(difference: PairedDifference) -> str:
    """``40 prompts, Holm p = 0.03; 2 prompts left out``."""
    if difference.p_holm is None:
        return difference.reason
    text = f"{numbers.count(difference.n_prompts, 'prompt')}, Holm\u00a0{p_text(difference.p_holm)}"
    if difference.n_dropped:
        text += f"; {numbers.count(difference.n_dropped, 'prompt')} left out"
    return text


def _account(difference: PairedDifference) -> tuple[str, ...]:
    """The numbers that :func:`words` and the counts leave out."""
    d = difference
    out = []
    if d.p is not None:
        size = "d_z not defined: all differences are equal"
        if d.effect is not None and d.effect_low is not None and d.effect_high is not None:
            size = f"d_z {_interval(d.effect, d.effect_low, d.effect_high)}"
        elif d.effect is not None:
            size = f"d_z {numbers.number(d.effect)}, without an interval"
        made = {"bootstrap": "bootstrap interval", "t": "Student's t interval"}.get(d.interval, "no interval")
        out.append(f"{size}; {p_text(d.p)}; {made}")
    if d.n_prompts:
        by = {0: "averages within prompts", d.n_prompts: "paired by seed"}.get(
            d.n_seed_paired, f"{d.n_seed_paired} prompts by seed, the others as averages"
        )
        out.append(f"{numbers.count(d.n_pairs, 'pair')} of {numbers.count(d.n_prompts, 'prompt')}, {by}")
    if d.n_unpaired:
        out.append(f"{numbers.count(d.n_unpaired, 'clip')} without a partner of the same seed left out")
    if d.n_dropped:
        shown = list(d.dropped.items())[:_REASONS_SHOWN]
        more = len(d.dropped) - len(shown)
        reasons = "; ".join(f"{n} x {why}" for why, n in shown) + (
            f"; and {more} further reasons" if more else ""
        )
        out.append(f"{numbers.count(d.n_dropped, 'prompt')} left out: {reasons}")
    if d.reason and d.p is not None:
        out.append(d.reason)
    return tuple(out)


def _compared(
    pair: tuple[str, str],
    difference: PairedDifference,
    higher_is_better: bool | None,
    doubt: str,
    scale: charts.Scale | None,
    decimals: int | None,
) -> Compared:
    side = _side(difference, higher_is_better, doubt)
    text = words(difference, decimals)
    chart = None
    if scale and difference.value is not None:
        chart = charts.forest_row(
            scale, difference.value, difference.low, difference.high, text, _ZERO, _TONES[side]
        )
    return Compared(
        *pair,
        words=text,
        counts=_counts(difference),
        side=side,
        tone=_TONES[side],
        computed=difference.value is not None,
        account=_account(difference),
        chart=chart,
    )


def _block(
    called: tuple[str, str, str],
    found: _Found,
    groups: Sequence[str],
    references: Sequence[tuple[int, str]],
    spec: Mapping[str, Any],
    doubt: str,
) -> ValueCompared:
    better = spec.get("higher_is_better")
    ends = [abs(x) for d in found.values() for x in (d.value, d.low, d.high) if x is not None]
    reach = max(ends, default=0.0) or 1.0
    scale = charts.scale_for([-reach, reach])
    bare = replace(scale, ticks=())  # the line at 0 is all a row needs
    decimals = _decimals(found.values())
    tables = []
    for index, reference in references:
        rows = []
        for group in groups:
            if (difference := found.get((group, reference))) is None:
                opposite = found.get((reference, group))
                difference = opposite.swapped() if opposite else None
            if difference:
                rows.append(_compared((group, reference), difference, better, doubt, bare, decimals))
        tables.append(FromReference(reference, index, tuple(rows)))
    told = {None: ("lower", "higher"), True: ("worse", "better"), False: ("better", "worse")}
    left, right = told[None if doubt else better]
    return ValueCompared(
        name=called[0],
        key=called[1],
        title=called[2],
        unit=str(spec.get("unit") or ""),
        direction=numbers.direction(better),
        arrow={True: "up", False: "down", None: "none"}[better],
        left=left,
        right=right,
        doubt=doubt,
        references=tuple(tables),
        axis=charts.forest_axis(scale),
        pairs=tuple(_compared(pair, d, better, doubt, None, decimals) for pair, d in found.items()),
    )


def _summary(
    pair: tuple[str, str],
    by_value: Mapping[str, _Found],
    keys: Mapping[str, str],
    titles: Mapping[str, str],
    specs: Mapping[str, Mapping[str, Any]],
    doubts: Mapping[str, str],
) -> PairSummary:
    lists: dict[str, list[tuple[str, str]]] = {"better": [], "worse": [], "higher": [], "lower": []}
    undecided = missing = 0
    for name, found in by_value.items():
        difference = found.get(pair)
        if difference is None or difference.status != COMPUTED:
            missing += 1
        elif side := _side(
            difference.swapped(), specs.get(name, {}).get("higher_is_better"), doubts.get(name, "")
        ):
            lists[side].append((keys[name], titles[name]))
        else:
            undecided += 1
    return PairSummary(
        first=pair[1],
        second=pair[0],
        first_better=tuple(lists["better"]),
        second_better=tuple(lists["worse"]),
        differs=tuple((*item, side) for side in ("higher", "lower") for item in lists[side]),
        undecided=undecided,
        not_computed=missing,
    )


def _titles(names: Sequence[str], data: ReportData) -> dict[str, str]:
    """A heading for each value, with its name where several would have the same."""
    titles = {name: title_of(name, data.value_specs.get(name, {})) for name in names}
    many = Counter(titles.values())
    return {name: f"{title}, {name}" if many[title] > 1 else title for name, title in titles.items()}


def _reasons(reasons: Sequence[str]) -> str:
    """The few commonest reasons of many pairs."""
    told = [why for why, _ in Counter(reasons).most_common(_REASONS_SHOWN)]
    more = len(set(reasons)) - len(told)
    return " | ".join(told) + (f" | and {more} more" if more > 0 else "")
