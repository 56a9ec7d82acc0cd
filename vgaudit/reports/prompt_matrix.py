"""Arrange prompts x values as a heat map, a matrix for each group: what stands out, and where to look at it.

A cell's colour is the place of its number among all numbers of that value in the run, from better to worse where the
value has a direction. It is a rank, so values with different units and shapes share one scale.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgaudit.records import NOT_COMPUTED, worst
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import ClipRow
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line
from vgaudit.reports.overview import title_of
from vgaudit.reports.prompts import PromptClips

LIMITS = (10, 25, 40, 60, 75, 90)
"""Per cent of the run's cells at which the next shade begins."""
SHADES = len(LIMITS) + 1
REASONS_SHOWN = 40
_UNUSABLE = f"{NOT_COMPUTED}: no usable clip"


@dataclass(frozen=True)
class MatrixColumn:
    """A value; ``sign`` is 1 where higher is better, -1 where lower is, else 0."""

    name: str
    metric: str
    title: str
    unit: str
    sign: int
    decimals: int

    @property
    def direction(self) -> str:
        """The direction in words."""
        return numbers.direction({1: True, -1: False}.get(self.sign))


@dataclass(frozen=True)
class MatrixCell:
    """One value of one prompt and group.

    Attributes:
        text: The number, or ``n/c`` and ``n/a`` where there is none.
        shade: 0 (better, or lower) to 6 (worse, or higher); -1 where there is no number.
        share: Per cent of the run's cells that it is worse (or higher) than; -1 where there is no number.
        clips: Clips that the number is the mean of.
        reason: Place of the reason in :attr:`Matrices.reasons`; -1 where there is a number.
    """

    text: str
    shade: int = -1
    share: int = -1
    clips: int = 0
    reason: int = -1


@dataclass(frozen=True)
class MatrixRow:
    """One prompt in one group.

    Attributes:
        prompt: Place of the prompt in :attr:`Matrices.prompts`.
        clips: Clips of the prompt in this group.
        unusable: Of them, those that cannot be used.
        findings: Findings in them.
        severity: The worst of these, or empty.
        rank: The same as a number, 0 for none.
        unseen: Whether something could not be looked for in some of them.
        cells: One for each column.
    """

    prompt: int
    clips: int
    unusable: int
    findings: int
    severity: str
    rank: int
    unseen: bool
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class SteadyValue:
    """A value without a column: the same everywhere (``text``), or without any number (``text`` says why)."""

    name: str
    title: str
    text: str


@dataclass(frozen=True)
class Matrices:
    """All matrices of a run.

    Attributes:
        prompts: In plan order.
        columns: By metric, in the order the run measured them.
        groups: Group -> its rows, what needs attention first.
        reasons: Why cells have no number, the most frequent first, with how many cells each accounts for.
        steady: Values that are the same in every cell.
        absent: Values that no clip has.
    """

    prompts: tuple[PromptClips, ...]
    columns: tuple[MatrixColumn, ...]
    groups: Mapping[str, tuple[MatrixRow, ...]]
    reasons: tuple[tuple[str, int], ...]
    steady: tuple[SteadyValue, ...]
    absent: tuple[SteadyValue, ...]

    @property
    def metrics(self) -> list[tuple[str, int]]:
        """Metrics with how many columns each has."""
        return list(Counter(column.metric for column in self.columns).items())


Clips = Sequence[tuple[ClipEntry, ClipRow]]
Gathered = tuple[float, int] | str
"""Mean and number of clips behind it, or why there is none."""


def matrices(data: ReportData, prompts: Sequence[PromptClips]) -> Matrices:
    """The heat map of a run.

    Args:
        data: The run.
        prompts: Its prompts (:func:`vgaudit.reports.prompts.prompts_of`).
    """
    parts = _by_group(prompts)
    names = _value_names(data.clips)
    gathered = {name: {place: _gather(name, clips) for place, clips in parts.items()} for name in names}
    columns, steady, absent = [], [], []
    for name in names:
        spec = data.value_specs.get(name, {})
        title = title_of(name, spec)
        means = [cell[0] for cell in gathered[name].values() if not isinstance(cell, str)]
        if not means:
            whys = Counter(str(cell) for cell in gathered[name].values() if cell != _UNUSABLE)
            why = whys.most_common(1)[0][0] if whys else _UNUSABLE
            more = f"; and {numbers.count(len(whys) - 1, 'other reason')}" if len(whys) > 1 else ""
            absent.append(SteadyValue(name, title, why + more))
        elif len(set(means)) == 1 and len(means) > 1:
            steady.append(SteadyValue(name, title, _steady_words(means, gathered[name], spec)))
        else:
            better = spec.get("higher_is_better")
            sign = 0 if better is None else 1 if better else -1
            decimals = numbers.column_decimals(means)
            unit = str(spec.get("unit") or "")
            columns.append(MatrixColumn(name, name.partition(".")[0], title, unit, sign, decimals))
    columns = _by_metric(columns)
    reasons = Counter(cell for c in columns for cell in gathered[c.name].values() if isinstance(cell, str))
    order = {reason: place for place, (reason, _) in enumerate(reasons.most_common())}
    ladders = [sorted(v[0] for v in gathered[c.name].values() if not isinstance(v, str)) for c in columns]
    groups: dict[str, list[MatrixRow]] = {}
    for place, clips in parts.items():
        cells = tuple(
            _cell(gathered[c.name][place], c, ladder, order)
            for c, ladder in zip(columns, ladders, strict=True)
        )
        groups.setdefault(place[1], []).append(_row(place[0], clips, cells))
    return Matrices(
        tuple(prompts),
        tuple(columns),
        {group: tuple(_worst_first(rows, columns)) for group, rows in groups.items()},
        tuple(reasons.most_common()),
        tuple(steady),
        tuple(absent),
    )


def _steady_words(
    means: Sequence[float], cells: Mapping[tuple[int, str], Gathered], spec: Mapping[str, Any]
) -> str:
    unit = f" ({spec['unit']})" if spec.get("unit") else ""
    text = numbers.number(means[0]) + unit
    whys = Counter(cell for cell in cells.values() if isinstance(cell, str))
    if not whys:
        return f"the same everywhere: {text}"
    why, more = whys.most_common(1)[0][0], numbers.count(len(whys) - 1, "other reason")
    others = f"; and {more}" if len(whys) > 1 else ""
    return f"the same in the {len(means)} of {len(cells)} cells that have it: {text}; else {why}{others}"


def _by_group(prompts: Sequence[PromptClips]) -> dict[tuple[int, str], Clips]:
    parts: dict[tuple[int, str], list[tuple[ClipEntry, ClipRow]]] = {}
    for i, prompt in enumerate(prompts):
        for entry, row in zip(prompt.entries, prompt.rows, strict=True):
            parts.setdefault((i, row.group), []).append((entry, row))
    order = {group: i for i, group in enumerate(dict.fromkeys(group for _, group in parts))}
    return dict(sorted(parts.items(), key=lambda item: (order[item[0][1]], item[0][0])))


def _value_names(entries: Sequence[ClipEntry]) -> list[str]:
    names: dict[str, None] = {}
    for entry in entries:
        for metric, measurement in entry.measurements.items():
            for value in (*measurement.values, *measurement.missing):
                names[f"{metric}.{value}"] = None
    return list(names)


def _by_metric(columns: Sequence[MatrixColumn]) -> list[MatrixColumn]:
    """Columns of one metric side by side; facts of integrity last."""
    order = {c.metric: i for i, c in reversed(list(enumerate(columns)))}
    return sorted(columns, key=lambda c: (c.metric == "integrity", order[c.metric]))


def _gather(name: str, clips: Clips) -> Gathered:
    """Mean of a value over clips, or why there is none; the reason most of them give."""
    metric, _, value = name.partition(".")
    found: list[float] = []
    whys: list[str] = []
    for entry, row in clips:
        measurement = entry.measurements.get(metric)
        if row.problem:
            whys.append(_UNUSABLE)
        elif measurement is None:
            whys.append(f"{NOT_COMPUTED}: {metric} did not measure this clip")
        elif value in measurement.values and not math.isnan(measurement.values[value]):
            found.append(float(measurement.values[value]))
        else:
            status, why = numbers.missing(measurement.missing.get(value, "no value was stored"))
            whys.append(f"{status}: {one_line(why, 160)}")
    if found:
        mean = math.fsum(found) / len(found) if all(map(math.isfinite, found)) else sum(found) / len(found)
        return (mean, len(found)) if not math.isnan(mean) else f"{NOT_COMPUTED}: infinities of both signs"
    return Counter(whys).most_common(1)[0][0]


def _cell(
    value: Gathered, column: MatrixColumn, ladder: Sequence[float], order: Mapping[str, int]
) -> MatrixCell:
    if isinstance(value, str):
        return MatrixCell("n/c" if value.startswith(NOT_COMPUTED) else "n/a", reason=order[value])
    mean, clips = value
    below, not_above = bisect_left(ladder, mean), bisect_right(ladder, mean)
    total = len(ladder)
    share = below if column.sign <= 0 else total - not_above  # cells that are better (or lower)
    middle = 100 * (share + (not_above - below) / 2) / total  # equal numbers share the middle of their places
    # a number on a limit has the shade nearer to the middle, on both sides
    shade = sum(middle >= limit if limit < 50 else middle > limit for limit in LIMITS)
    return MatrixCell(numbers.in_column(mean, column.decimals), shade, int(100 * share / total), clips)


def _row(prompt: int, clips: Clips, cells: tuple[MatrixCell, ...]) -> MatrixRow:
    found = [finding for entry, _ in clips for finding in entry.findings]
    severity = worst(found)
    return MatrixRow(
        prompt=prompt,
        clips=len(clips),
        unusable=sum(bool(row.problem) for _, row in clips),
        findings=len(found),
        severity=severity.value if severity else "",
        rank=severity.rank + 1 if severity else 0,
        unseen=any(row.not_looked_for for _, row in clips),
        cells=cells,
    )


def _worst_first(rows: Sequence[MatrixRow], columns: Sequence[MatrixColumn]) -> list[MatrixRow]:
    """By the worst finding, the number of findings, and the number of cells in the worst tenth of the run."""

    def order(row: MatrixRow) -> tuple[int, int, int, float]:
        shares = [
            cell.share for cell, c in zip(row.cells, columns, strict=True) if c.sign and cell.share >= 0
        ]
        extreme = sum(cell.shade == SHADES - 1 for cell, c in zip(row.cells, columns, strict=True) if c.sign)
        mean = sum(shares) / len(shares) if shares else -1.0
        return (-row.rank, -row.findings, -extreme, -mean)

    return sorted(rows, key=order)
