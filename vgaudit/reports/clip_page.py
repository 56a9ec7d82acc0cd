"""Arrange one clip for its own page: player, findings, charts over time, values, facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vgaudit.decisions import Standing
from vgaudit.records import Finding
from vgaudit.reports import charts, numbers
from vgaudit.reports.clip_index import ClipRow, not_looked_for
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line
from vgaudit.reports.expectations import ExpectationView, expectations_of
from vgaudit.reports.media import MediaFile
from vgaudit.reports.overview import facts_of, title_of
from vgaudit.reports.prompts import PromptClips, prompts_of

SIBLINGS_SHOWN = 12


@dataclass(frozen=True)
class FindingView:
    """One finding with its evidence; ``decision`` is what reviewers said of it, or empty."""

    index: int
    finding: Finding
    when: str
    box: str
    facts: tuple[tuple[str, str], ...]
    evidence: tuple[MediaFile, ...]
    decision: str


@dataclass(frozen=True)
class ValueRow:
    """One value of the clip: a number, or why there is none."""

    name: str
    title: str
    text: str
    computed: bool
    unit: str
    direction: str
    reason: str
    description: str


@dataclass(frozen=True)
class SeriesView:
    """A chart over time; ``chart`` is ``None`` where the series has nothing to draw."""

    name: str
    title: str
    unit: str
    chart: Markup | None


@dataclass(frozen=True)
class ClipPage:
    """Everything on the page of one clip."""

    row: ClipRow
    entry: ClipEntry
    prompt: str
    end_s: float
    width: int
    height: int
    fps: float
    findings: tuple[FindingView, ...]
    not_looked_for: tuple[tuple[str, str], ...]
    timeline: Markup | None
    values: tuple[ValueRow, ...]
    series: tuple[SeriesView, ...]
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    siblings: tuple[ClipRow, ...]
    expected: tuple[ExpectationView, ...]
    prompt_clips: PromptClips
    previous: ClipRow | None
    following: ClipRow | None


def positive(info: Mapping[str, object], key: str) -> float:
    """A positive, finite number among facts of a clip; 0 where there is none."""
    value = info.get(key)
    usable = isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    return float(value) if usable and isinstance(value, (int, float)) else 0.0


def clip_length(entry: ClipEntry) -> float:
    """Length of the time axis in seconds: the clip's duration, widened to hold what was measured."""
    ends = [positive(entry.clip.info, "duration_s")]
    for measurement in entry.measurements.values():
        ends += [t for s in measurement.series.values() for t in s.times_s if math.isfinite(t)]
        ends += [f.end_s for f in measurement.findings if math.isfinite(f.end_s)]
    return max(ends)


def _values(data: ReportData, entry: ClipEntry) -> tuple[ValueRow, ...]:
    rows = []
    for metric, measurement in entry.measurements.items():
        for value in dict.fromkeys([*measurement.values, *measurement.missing]):
            name = f"{metric}.{value}"
            spec = data.value_specs.get(name, {})
            computed = value in measurement.values
            status, reason = ("", "") if computed else numbers.missing(measurement.missing[value])
            rows.append(
                ValueRow(
                    name=name,
                    title=title_of(name, spec),
                    text=numbers.number(measurement.values[value]) if computed else status,
                    computed=computed,
                    unit=str(spec.get("unit") or ""),
                    direction=numbers.direction(spec.get("higher_is_better")),
                    reason=reason,
                    description=str(spec.get("description") or ""),
                )
            )
    return tuple(rows)


def _series(entry: ClipEntry, end_s: float) -> tuple[SeriesView, ...]:
    indexed = list(enumerate(entry.findings))
    views = []
    for metric, measurement in entry.measurements.items():
        own = [(i, f) for i, f in indexed if f.kind.partition(".")[0] == metric]
        for key, series in measurement.series.items():
            name = f"{metric}.{key}"
            chart = charts.series_chart(name, series, end_s, own)
            views.append(SeriesView(name, title_of(name), series.unit, chart))
    views.sort(key=lambda view: view.chart is None)
    return tuple(views)


def _facts(entry: ClipEntry) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    clip, sample = entry.clip, entry.sample
    identity: dict[str, object] = {
        "sample": sample.sample_id,
        "prompt id": sample.prompt_id,
        "group": sample.group,
        "seed": "no seed" if sample.seed is None else sample.seed,
        "stored clip": clip.file or "none",
        "sha256": clip.sha256 or "none",
    }
    if sample.source:
        identity["source"] = sample.source
    if clip.backend_fingerprint:
        identity["backend fingerprint"] = clip.backend_fingerprint
    if clip.seconds:
        identity["generation time"] = numbers.duration(clip.seconds)
    if clip.job_id:
        identity["job"] = clip.job_id
    if clip.cost is not None:
        identity["cost"] = clip.cost
    parts = [
        ("Sample", identity),
        ("Tags", sample.tags),
        ("Video", clip.info),
        ("Backend", clip.facts),
    ]
    parts += [(metric, measurement.facts) for metric, measurement in entry.measurements.items()]
    return tuple((title, facts_of(facts)) for title, facts in parts if facts)


def finding_views(
    entry: ClipEntry, evidence: Mapping[int, tuple[MediaFile, ...]], decisions: Mapping[str, Standing]
) -> tuple[FindingView, ...]:
    """The clip's findings, worst first, with the time span and box in words."""
    views = []
    for index, finding in enumerate(entry.findings):
        box = ""
        if finding.box is not None and all(math.isfinite(x) for x in finding.box):
            box = " ".join(f"{x:.1f}" for x in finding.box)
        when = f"{numbers.seconds(finding.start_s)} to {numbers.seconds(finding.end_s)}"
        pictures, facts = evidence.get(index, ()), facts_of(finding.detail)
        decision = decisions[finding.fingerprint].words if finding.fingerprint in decisions else ""
        views.append(FindingView(index, finding, when, box, facts, pictures, decision))
    return tuple(views)


def clip_pages(
    data: ReportData,
    rows: Sequence[ClipRow],
    evidence: Mapping[str, Mapping[int, tuple[MediaFile, ...]]],
) -> Iterator[ClipPage]:
    """The pages of all clips, in plan order, made one at a time (a large run has many charts).

    Args:
        data: The run.
        rows: Table rows in plan order.
        evidence: Sample id -> position of the finding -> its pictures.
    """
    same_prompt = {prompt.prompt_id: prompt for prompt in prompts_of(data.clips, rows)}
    for i, (entry, row) in enumerate(zip(data.clips, rows, strict=True)):
        end_s = clip_length(entry)
        siblings = [s for s in same_prompt[entry.sample.prompt_id].rows if s is not row]
        yield ClipPage(
            row=row,
            entry=entry,
            prompt=entry.sample.prompt,
            end_s=end_s,
            width=int(positive(entry.clip.info, "width")),
            height=int(positive(entry.clip.info, "height")),
            fps=positive(entry.clip.info, "fps"),
            findings=finding_views(entry, evidence.get(entry.sample.sample_id, {}), data.decisions),
            not_looked_for=not_looked_for(entry),
            timeline=charts.findings_timeline(entry.findings, end_s),
            values=_values(data, entry),
            series=_series(entry, end_s),
            facts=_facts(entry),
            siblings=tuple(siblings[:SIBLINGS_SHOWN]),
            expected=expectations_of(entry),
            prompt_clips=same_prompt[entry.sample.prompt_id],
            previous=rows[i - 1] if i else None,
            following=rows[i + 1] if i + 1 < len(rows) else None,
        )


def page_title(page: ClipPage) -> str:
    """Short name of a clip for titles: its prompt; where that is unknown its file, or its prompt id."""
    return one_line(page.prompt, 80) or page.row.source or page.row.prompt_id
