"""Arrange clips and findings for the overview: rows of the clip table, worst findings, counts by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vgaudit.decisions import Standing
from vgaudit.records import Finding, Severity, digest, worst
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import is_safe_file_name, one_line
from vgaudit.reports.filmstrips import Strip
from vgaudit.reports.media import MediaFile
from vgaudit.reports.overview import condition, problem, title_of

PROMPT_LENGTH = 160
SOURCE_LENGTH = 240
WORST_SHOWN = 24
KINDS_SHOWN = 40
NO_SEED = "no seed"
_DECISION_ORDER = {"hold": 0, "review": 1, "publish": 2}


@dataclass(frozen=True)
class ClipMedia:
    """Player and still of one clip, and its filmstrip where it has one."""

    video: MediaFile
    poster: MediaFile
    strip: Strip | None = None


@dataclass(frozen=True)
class Column:
    """A value shown for every clip in the table."""

    name: str
    title: str
    direction: str
    unit: str
    decimals: int


@dataclass(frozen=True)
class Cell:
    """One value of one clip; ``sort`` is empty where there is none."""

    text: str
    sort: str
    reason: str = ""


@dataclass(frozen=True)
class ClipRow:
    """One clip in the table; ``source`` is its path where it was made elsewhere, else empty."""

    stem: str
    media: ClipMedia
    source: str
    prompt: str
    prompt_id: str
    group: str
    seed: str
    cells: tuple[Cell, ...]
    findings: int
    severity: str
    rank: int
    decision: str
    reasons: tuple[str, ...]
    problem: str
    not_looked_for: str

    @property
    def name(self) -> str:
        """What the row is called: its prompt; where that is unknown its file, or its prompt id."""
        return self.prompt or self.source or self.prompt_id

    @property
    def seed_words(self) -> str:
        """``seed 3`` or ``no seed``."""
        return self.seed if self.seed == NO_SEED else f"seed {self.seed}"


@dataclass(frozen=True)
class WorstFinding:
    """A finding on the overview, with the clip it is in."""

    finding: Finding
    row: ClipRow


@dataclass(frozen=True)
class KindCount:
    """How often a kind of finding occurs."""

    kind: str
    severity: str
    findings: int
    clips: int
    by_group: tuple[tuple[str, int], ...]


def page_stems(entries: Sequence[ClipEntry]) -> dict[str, str]:
    """A file name without extension for each sample: its id where that is safe, else a digest of it."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for entry in entries:
        sample_id = entry.sample.sample_id
        stem = sample_id
        if not is_safe_file_name(stem) or stem.casefold() in taken:
            stem = f"clip-{digest(sample_id.encode('utf-8', 'surrogatepass'), 24)}"
        taken.add(stem.casefold())
        stems[sample_id] = stem
    return stems


def columns(data: ReportData, limit: int = 4) -> list[Column]:
    """The values worth a column: those gates ask about, then those that differ between clips, directed ones first.

    Facts of integrity come after what the suite's other metrics measured, and are left out where they are 0.
    """
    measured: dict[str, list[float]] = {}
    for entry in data.clips:
        for metric, measurement in entry.measurements.items():
            for value in (*measurement.values, *measurement.missing):
                measured.setdefault(f"{metric}.{value}", [])
            for value, x in measurement.values.items():
                measured[f"{metric}.{value}"].append(x)
    asked = [c.name for c in map(condition, (g.gate for g in data.gates)) if c and c.name in measured]
    varying = [name for name, values in measured.items() if len(set(values)) > 1]
    directed = [
        name for name in varying if data.value_specs.get(name, {}).get("higher_is_better") is not None
    ]
    present = [name for name, values in measured.items() if any(values)]
    zero = [name for name, values in measured.items() if values and not any(values)]
    wanted = [
        *[n for n in (*directed, *varying, *present, *zero) if not _is_fact(n)],
        *[n for n in (*directed, *varying) if _is_fact(n)],
    ] or present
    out = []
    for name in list(dict.fromkeys([*asked, *wanted]))[:limit]:
        spec = data.value_specs.get(name, {})
        direction = numbers.direction(spec.get("higher_is_better"))
        decimals = numbers.column_decimals(measured[name])
        out.append(Column(name, title_of(name, spec), direction, str(spec.get("unit") or ""), decimals))
    return out


def _is_fact(name: str) -> bool:
    return name.startswith("integrity.")


def _cell(entry: ClipEntry, column: Column) -> Cell:
    metric, _, value = column.name.partition(".")
    measurement = entry.measurements.get(metric)
    if measurement is None:
        return Cell("not computed", "", "not measured on this clip")
    if value in measurement.values:
        measured = measurement.values[value]
        return Cell(numbers.in_column(measured, column.decimals), repr(float(measured)))
    status, reason = numbers.missing(measurement.missing.get(value, "no value was stored"))
    return Cell(status, "", one_line(reason, 90))


def not_looked_for(entry: ClipEntry) -> tuple[tuple[str, str], ...]:
    """What could not be looked for in a clip, and why; kinds of finding that lack for one reason share an entry.

    A metric that did not see all of the clip stands there with its name in place of a kind.
    """
    kinds: dict[str, list[str]] = {}
    for metric, measurement in entry.measurements.items():
        if measurement.unassessed:
            kinds.setdefault(measurement.unassessed, []).append(f"part of what {metric} looks for")
        for kind, why in measurement.unassessed_kinds.items():
            kinds.setdefault(why, []).append(kind.rpartition(".")[2].replace("_", " "))
    return tuple((", ".join(dict.fromkeys(named)), why) for why, named in kinds.items())


def clip_row(entry: ClipEntry, stem: str, media: ClipMedia, shown: Sequence[Column]) -> ClipRow:
    """The table row of one clip."""
    sample, found = entry.sample, entry.findings
    severity = worst(found)
    unusable = problem(entry)
    if unusable:
        cells = tuple(Cell("not computed", "", "no usable clip") for _ in shown)
    else:
        cells = tuple(_cell(entry, column) for column in shown)
    return ClipRow(
        stem=stem,
        media=media,
        source=one_line(sample.source or "", SOURCE_LENGTH),
        prompt=one_line(sample.prompt, PROMPT_LENGTH),
        prompt_id=one_line(sample.prompt_id, 80),
        group=sample.group,
        seed=NO_SEED if sample.seed is None else str(sample.seed),
        cells=cells,
        findings=len(found),
        severity=severity.value if severity else "",
        rank=severity.rank + 1 if severity else 0,
        decision=entry.publish.decision if entry.publish else "",
        reasons=tuple(one_line(r, 240) for r in entry.publish.reasons) if entry.publish else (),
        problem=one_line(unusable, 240),
        not_looked_for=one_line(", ".join(what for what, _ in not_looked_for(entry)), 120),
    )


def table_order(rows: Sequence[ClipRow], census: bool) -> list[ClipRow]:
    """Plan order; for a census what needs attention first (hold, no answer, review, publish)."""
    if not census:
        return list(rows)
    return sorted(rows, key=lambda row: _DECISION_ORDER.get(row.decision, 0.5))


def _excess(finding: Finding) -> float:
    """How far a score lies beyond its threshold, relative to the threshold: comparable within a kind."""
    return abs(finding.score - finding.threshold) / max(abs(finding.threshold), 1e-9)


def worst_findings(
    entries: Sequence[ClipEntry],
    rows: Mapping[str, ClipRow],
    limit: int = WORST_SHOWN,
    decisions: Mapping[str, Standing] | None = None,
) -> list[WorstFinding]:
    """The worst findings: by severity, and within one severity the kinds take turns.

    Scores of different kinds have no common scale, so each kind is ordered by its own excess over the threshold,
    and the most excessive of every kind come before the second of any. What reviewers closed (``decisions``) is last.
    ``rows`` is asked for the clips of what is returned only.
    """
    closed = {fingerprint for fingerprint, standing in (decisions or {}).items() if standing.closed}
    ranked: list[tuple[int, int, float, int, Finding]] = []
    by_kind: dict[tuple[bool, Severity, str], list[tuple[float, int, Finding]]] = {}
    for position, entry in enumerate(entries):
        for finding in entry.findings:
            key = (finding.fingerprint in closed, finding.severity, finding.kind)
            by_kind.setdefault(key, []).append((-_excess(finding), position, finding))
    for (is_closed, severity, _), found in by_kind.items():
        found.sort(key=lambda item: item[:2])
        rank = 1 if is_closed else -severity.rank
        ranked += [(rank, turn, *item) for turn, item in enumerate(found[:limit])]
    ranked.sort(key=lambda item: item[:4])
    return [WorstFinding(item[4], rows[entries[item[3]].sample.sample_id]) for item in ranked[:limit]]


def kind_counts(entries: Sequence[ClipEntry]) -> list[KindCount]:
    """Findings by kind, worst severity first, then the most frequent."""
    found: dict[str, list[tuple[str, Finding]]] = {}
    for entry in entries:
        for finding in entry.findings:
            found.setdefault(finding.kind, []).append((entry.sample.group, finding))
    out = []
    for kind, items in found.items():
        severity = worst([f for _, f in items]) or Severity.INFO
        clips = len({f.sample_id for _, f in items})
        groups = tuple(Counter(group for group, _ in items).items())
        out.append((severity.rank, KindCount(kind, severity.value, len(items), clips, groups)))
    out.sort(key=lambda pair: (-pair[0], -pair[1].findings, pair[1].kind))
    return [count for _, count in out]
