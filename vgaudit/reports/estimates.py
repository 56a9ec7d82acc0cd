"""Arrange results by measure: estimates of all groups on one axis, with the gates that are held against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from vgaudit.records import GateResult, Result
from vgaudit.reports import charts, numbers
from vgaudit.reports import named as names
from vgaudit.reports.data import ReportData
from vgaudit.reports.overview import TONES, condition, facts_of, sorted_gates, title_of

_NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class ResultRow:
    """One group's estimate; ``text`` is never empty; ``slice`` is the tag it is limited to, if any.

    ``remark`` is the number of the block's remark that qualifies it, 0 for none or for one that holds for all rows.
    """

    group: str
    slice: str
    text: str
    computed: bool
    reason: str
    remark: int
    n: str
    interval: str
    gates: tuple[tuple[str, str], ...]
    chart: Markup | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ResultBlock:
    """One measure over all groups.

    Attributes:
        protocol: Named protocol of all rows, within which alone they compare; empty where they know none.
        interval: Kind of interval, where all computed rows have the same.
        remarks: What qualifies estimates; rows name them by number, unless one qualifies all.
        slice_remarks: The same of slices.
    """

    name: str
    title: str
    description: str
    unit: str
    direction: str
    arrow: str
    interval: str
    remarks: tuple[str, ...]
    slice_remarks: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    axis: Markup | None
    slices: tuple[ResultRow, ...]
    slice_axis: Markup | None
    protocol: str = ""

    @property
    def label(self) -> str:
        """The name, with the protocol where there is one."""
        return f"{self.name} ({self.protocol})" if self.protocol else self.name

    @property
    def is_gated(self) -> bool:
        """Whether a gate is held against any row."""
        return any(row.gates for row in (*self.rows, *self.slices))

    @property
    def is_equal(self) -> bool:
        """Whether all of several groups have the same estimate and interval, so that a plot shows nothing."""
        texts = {row.text for row in self.rows}
        return (
            len(self.rows) > 1 and len(texts) == 1 and not self.slices and all(r.computed for r in self.rows)
        )

    @property
    def counts(self) -> str:
        """What the estimates rest on, where it is the same for all groups, else the words ``varies by group``."""
        found = {row.n for row in self.rows}
        return f"{found.pop()} in each group" if len(found) == 1 else "clips vary by group"


@dataclass(frozen=True)
class AbsentMetric:
    """A metric that gave no number at all, with the one reason; ``values`` are names of results."""

    name: str
    status: str
    reason: str
    values: tuple[str, ...]
    groups: tuple[str, ...]


def _counted(result: Result) -> str:
    clips = numbers.count(result.n, "clip")
    return f"{clips}, {numbers.count(result.n_clusters, 'prompt')}" if result.n_clusters else clips


def _row(
    result: Result, scale: charts.Scale | None, gates: Sequence[GateResult], decimals: int | None
) -> ResultRow:
    chart = None
    tone = next((TONES[g.outcome] for g in sorted_gates(gates)), "plain")
    text = numbers.estimate(result, decimals)
    unit = f" {result.unit}" if result.unit else ""
    has_interval = result.low is not None and result.high is not None
    if result.value is not None and scale is not None:
        label = f"{names.label(result)}, {result.group}: {text}{unit}"
        if has_interval:
            label += f", {numbers.confidence(result.confidence)}"
        marks = _marks(gates)
        chart = charts.forest_row(scale, result.value, result.low, result.high, label, marks, tone)
    return ResultRow(
        group=result.group,
        slice=result.name.partition("@")[2],
        text=text,
        computed=result.value is not None,
        reason=_reason(result),
        remark=0,
        n=_counted(result),
        interval=numbers.confidence(result.confidence) if has_interval else _NO_INTERVAL,
        gates=tuple((TONES[g.outcome], f"{g.gate}: {g.outcome.value}") for g in sorted_gates(gates)),
        chart=chart,
        facts=facts_of(result.detail),
    )


def _reason(result: Result) -> str:
    text, note = numbers.reason(result), names.size_note(result)
    return "; ".join(filter(None, [note, text])) if note and note not in text else text


def _marks(gates: Sequence[GateResult]) -> list[charts.Mark]:
    asked = [c for c in (condition(gate.gate) for gate in gates) if c]
    limits = dict.fromkeys(limit for c in asked for limit in c.limits)
    return [charts.Mark(limit, f"gate {operator} {limit:g}") for operator, limit in limits]


def _family(name: str) -> str:
    return name.partition(".")[0]


def direction_of(results: Sequence[Result], data: ReportData) -> bool | None:
    """Whether higher is better for results of one measure: as they say, else as the metric declares."""
    said = next((r.higher_is_better for r in results if r.higher_is_better is not None), None)
    if said is not None or not results:
        return said
    declared = data.value_specs.get(results[0].name.partition("@")[0], {}).get("higher_is_better")
    return declared if isinstance(declared, bool) else None


def absent_metrics(data: ReportData) -> list[AbsentMetric]:
    """Metrics none of whose results has a number, all for one reason: it is said once, not once a value and group."""
    by_metric: dict[str, list[Result]] = {}
    for result in data.results:
        by_metric.setdefault(_family(result.name), []).append(result)
    out = []
    for name, results in by_metric.items():
        reasons = {(r.status, numbers.reason(r)) for r in results}
        if len(reasons) == 1 and all(r.value is None for r in results):
            status, reason = reasons.pop()
            values = tuple(dict.fromkeys(r.name for r in results))
            groups = tuple(dict.fromkeys(r.group for r in results))
            out.append(AbsentMetric(name, status, reason, values, groups))
    return out


def result_blocks(data: ReportData) -> list[ResultBlock]:
    """Results by measure, each with all groups on one axis; measures of one metric stand together.

    Slices by tag (``generation.refusal_rate@genre=horror``) belong to the block of the whole; those without a number
    share a row. Results of different protocols never share a block. Metrics of which nothing was computed are left
    to :func:`absent_metrics`.
    """
    families = list(dict.fromkeys(_family(r.name) for r in data.results))
    by_name: dict[tuple[str, str], list[Result]] = {}
    absent = {metric.name for metric in absent_metrics(data)}
    present = [r for r in data.results if _family(r.name) not in absent]
    known: dict[str, list[str]] = {}
    for result in present:
        if protocol := names.protocol(result):
            known.setdefault(result.name.partition("@")[0], []).append(protocol)
    for result in sorted(present, key=lambda r: families.index(_family(r.name))):
        name = result.name.partition("@")[0]
        protocol = names.protocol(result) or next(iter(known.get(name, ())), "")
        by_name.setdefault((name, protocol), []).append(result)
    gates: dict[str, list[GateResult]] = {}
    for gate in data.gates:
        asked = condition(gate.gate)
        if asked:
            gates.setdefault(asked.name, []).append(gate)
    blocks: list[ResultBlock] = []
    for (name, protocol), results in by_name.items():
        spec = data.value_specs.get(name, {})
        whole = [r for r in results if "@" not in r.name]
        rows, axis = _plot(whole, gates)
        slices, slice_axis = _plot(names.folded([r for r in results if "@" in r.name], gates), gates)
        rows, remarks = _remarked(rows)
        slices, slice_remarks = _remarked(slices)
        intervals = {row.interval for row in (*rows, *slices) if row.computed}
        better = direction_of(results, data)
        blocks.append(
            ResultBlock(
                name=name,
                title=title_of(name, spec),
                description=str(spec.get("description") or ""),
                unit=results[0].unit or str(spec.get("unit") or ""),
                direction=numbers.direction(better),
                arrow={True: "up", False: "down", None: "none"}[better],
                interval=intervals.pop() if len(intervals) == 1 else "",
                remarks=remarks,
                rows=rows,
                axis=axis,
                slices=slices,
                slice_axis=slice_axis,
                slice_remarks=slice_remarks,
                protocol=protocol,
            )
        )
    return _ordered(_told_apart(blocks))


def _told_apart(blocks: Sequence[ResultBlock]) -> list[ResultBlock]:
    """Blocks with titles of their own: where several have the same one, their protocol or name follows it."""
    many = Counter(block.title for block in blocks)
    return [
        replace(b, title=f"{b.title}, {b.protocol or b.name}") if many[b.title] > 1 else b for b in blocks
    ]


def _ordered(blocks: Sequence[ResultBlock]) -> list[ResultBlock]:
    """Metrics with gates first, then those with a direction, then facts; one metric's measures stay together."""
    gated = {_family(b.name) for b in blocks if b.is_gated}
    directed = {_family(b.name) for b in blocks if b.arrow != "none" and not b.is_equal}
    return sorted(blocks, key=lambda b: (_family(b.name) not in gated, _family(b.name) not in directed))


def _remarked(rows: tuple[ResultRow, ...]) -> tuple[tuple[ResultRow, ...], tuple[str, ...]]:
    """Say below the plot what qualifies estimates, each sentence once; a missing one keeps its reason beside it."""
    computed = [row for row in rows if row.computed]
    remarks = list(dict.fromkeys(row.reason for row in computed if row.reason))
    for_all = len(remarks) == 1 and all(row.reason for row in computed)

    def numbered(row: ResultRow) -> ResultRow:
        if not row.computed or not row.reason:
            return row
        return replace(row, reason="", remark=0 if for_all else remarks.index(row.reason) + 1)

    return tuple(map(numbered, rows)), tuple(remarks)


def _plot(
    results: Sequence[Result], gates: Mapping[str, Sequence[GateResult]]
) -> tuple[tuple[ResultRow, ...], Markup | None]:
    """Rows of one forest plot and its axis (``None`` where nothing was computed)."""
    own = [gate for name in dict.fromkeys(r.name for r in results) for gate in gates.get(name, ())]
    marks = _marks(own)
    ends = [x for r in results for x in (r.value, r.low, r.high) if x is not None]
    scale = charts.scale_for([*ends, *(m.value for m in marks)]) if ends else None
    decimals = numbers.common_decimals(results)
    rows = [
        _row(r, scale, [g for g in gates.get(r.name, ()) if g.group == r.group], decimals) for r in results
    ]
    return tuple(rows), charts.forest_axis(scale, marks) if scale else None
