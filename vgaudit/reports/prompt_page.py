"""Arrange the clips of one prompt side by side: players, values with the best and worst, findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from vgaudit.records import Finding
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import ClipRow, not_looked_for
from vgaudit.reports.clip_page import positive
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line, visible
from vgaudit.reports.expectations import ExpectationView, expectations_of
from vgaudit.reports.media import prune
from vgaudit.reports.overview import facts_of, title_of
from vgaudit.reports.page_files import write_page
from vgaudit.reports.prompts import PromptClips

FINDINGS_SHOWN = 100
PLAYED = 12
"""Players that run together at first; a browser has trouble with many more, and readers too."""


@dataclass(frozen=True)
class Take:
    """One clip on the page of its prompt; ``index`` is its place among all of them."""

    index: int
    row: ClipRow
    seconds: float
    fps: float
    width: int
    height: int
    audio: bool
    plays: bool

    @property
    def label(self) -> str:
        """Group and seed in words."""
        return f"{self.row.group}, {seed_words(self.row)}"


@dataclass(frozen=True)
class TakeRow:
    """Clips that stand in one row: of one seed, or the n-th clip of each group; ``None`` where a group has none."""

    title: str
    takes: tuple[Take | None, ...]


@dataclass(frozen=True)
class ComparedCell:
    """One value of one clip; ``place`` is ``best``, ``worst`` or empty."""

    text: str
    computed: bool
    reason: str = ""
    place: str = ""


@dataclass(frozen=True)
class ComparedRow:
    """One value of all clips of the prompt."""

    name: str
    title: str
    unit: str
    direction: str
    cells: tuple[ComparedCell, ...]

    @property
    def markup(self) -> Markup:
        """The cells, written here and not in the template: a large run has a hundred thousand."""
        parts = []
        for cell in self.cells:
            text = escape(cell.text)
            if cell.computed:
                place = f'<span class="place {cell.place}">{cell.place}</span>' if cell.place else ""
                parts.append(f"<td>{text}{place}</td>")
            else:
                why = escape(visible(cell.reason))
                said = f'<span class="sr">: {why}</span>'
                parts.append(f'<td><span class="nc-text" title="{why}">{text}{said}</span></td>')
        return Markup("".join(parts))  # noqa: S704 - what comes from the run was escaped above


@dataclass(frozen=True)
class PromptFinding:
    """One finding, and the clip it is in; ``decision`` is what reviewers said of it, or empty."""

    take: Take
    finding: Finding
    decision: str


@dataclass(frozen=True)
class PromptPage:
    """Everything on the page of one prompt."""

    prompt: PromptClips
    groups: tuple[str, ...]
    takes: tuple[Take, ...]
    rows: tuple[TakeRow, ...]
    values: tuple[ComparedRow, ...]
    same: tuple[tuple[str, str], ...]
    findings: tuple[PromptFinding, ...]
    finding_total: int
    unseen: tuple[tuple[Take, str], ...]
    expected: tuple[ExpectationView, ...]
    tags: tuple[tuple[str, str], ...]
    lengths: str


def seed_words(row: ClipRow) -> str:
    """``seed 3`` or ``no seed``."""
    return row.seed if row.seed == "no seed" else f"seed {row.seed}"


def write_prompt_pages(
    data: ReportData,
    prompts: Sequence[PromptClips],
    out_dir: Path,
    environment: Environment,
    common: Mapping[str, Any],
    matrix: bool,
) -> None:
    """Write ``prompts/<stem>.html`` for each prompt that has several clips; pages of an earlier report go.

    Args:
        data: The run.
        prompts: Its prompts.
        out_dir: The report's folder.
        environment: Templates.
        common: What every template is given.
        matrix: Whether there is a heat map to go back to.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = out_dir / "prompts"
    several = [prompt for prompt in prompts if prompt.stem]
    if several:
        folder.mkdir(exist_ok=True)
        template = environment.get_template("prompt.html")
        for i, prompt in enumerate(several):
            text = template.render(
                **common,
                root="..",
                title=one_line(prompt.name, 80),
                page=prompt_page(data, prompt),
                matrix=matrix,
                before=several[i - 1] if i else "",
                after=several[i + 1] if i + 1 < len(several) else "",
                played=PLAYED,
                seed_words=seed_words,
            )
            write_page(folder / f"{prompt.stem}.html", text)
    if folder.is_dir():
        prune(folder, {f"{prompt.stem}.html" for prompt in several})
        if not several and not any(folder.iterdir()):
            folder.rmdir()


def prompt_page(data: ReportData, prompt: PromptClips) -> PromptPage:
    """The page of one prompt."""
    groups = tuple(dict.fromkeys(row.group for row in prompt.rows))
    order = sorted(range(len(prompt.rows)), key=lambda i: groups.index(prompt.rows[i].group))
    entries = [prompt.entries[i] for i in order]
    takes = tuple(_take(place, prompt.entries[i], prompt.rows[i]) for place, i in enumerate(order))
    values, same = _compared(data, entries)
    found = [
        (-f.severity.rank, take.index, f.start_s, PromptFinding(take, f, _decision(data, f)))
        for take, entry in zip(takes, entries, strict=True)
        for f in entry.findings
    ]
    found.sort(key=lambda item: item[:3])
    unseen = [
        (take, f"{what} ({one_line(why, 160)})")
        for take, entry in zip(takes, entries, strict=True)
        for what, why in not_looked_for(entry)
    ]
    plain = [ExpectationView(e.about, e.wanted, e.rivals) for e in expectations_of(entries[0])]
    return PromptPage(
        prompt=prompt,
        groups=groups,
        takes=takes,
        rows=tuple(_take_rows(takes, groups)),
        values=values,
        same=same,
        findings=tuple(item[3] for item in found[:FINDINGS_SHOWN]),
        finding_total=len(found),
        unseen=tuple(unseen),
        expected=tuple(plain),
        tags=facts_of(prompt.tags),
        lengths=_lengths([take for take in takes if take.plays]),
    )


def _decision(data: ReportData, finding: Finding) -> str:
    standing = data.decisions.get(finding.fingerprint)
    return standing.words if standing else ""


def _take(index: int, entry: ClipEntry, row: ClipRow) -> Take:
    info = entry.clip.info
    video = row.media.video
    return Take(
        index=index,
        row=row,
        seconds=positive(info, "duration_s"),
        fps=positive(info, "fps"),
        width=int(positive(info, "width")),
        height=int(positive(info, "height")),
        audio=info.get("has_audio") is True,
        plays=bool(video) and video.kind == "video",
    )


def _take_rows(takes: Sequence[Take], groups: Sequence[str]) -> Iterator[TakeRow]:
    """Rows by seed where groups share their seeds, else by the order of each group's clips.

    One group alone has a single row: there is nothing to put beside a seed.
    """
    by_group = {group: [t for t in takes if t.row.group == group] for group in groups}
    if len(groups) == 1:
        yield TakeRow("", tuple(takes))
        return
    seeds = list(dict.fromkeys(t.row.seed for t in takes))
    seeds.sort(
        key=lambda seed: (not seed.lstrip("-").isdecimal(), int(seed) if seed.lstrip("-").isdecimal() else 0)
    )
    most = max(map(len, by_group.values()))
    unique = all(len({t.row.seed for t in own}) == len(own) for own in by_group.values())
    if unique and len(seeds) <= most + 1:
        for seed in seeds:
            row = tuple(next((t for t in by_group[g] if t.row.seed == seed), None) for g in groups)
            title = "No seed" if seed == "no seed" else f"Seed {seed}"
            yield TakeRow(title if len(seeds) > 1 else "", row)
        return
    for n in range(most):
        row = tuple(own[n] if n < len(own) else None for own in by_group.values())
        yield TakeRow(f"Clip {n + 1} of each group" if most > 1 else "", row)


def _lengths(takes: Sequence[Take]) -> str:
    """What differs between the clips in length and frame rate, and what is done about it."""
    seconds = sorted({round(t.seconds, 2) for t in takes if t.seconds})
    rates = sorted({round(t.fps, 2) for t in takes if t.fps})
    told = []
    if len(seconds) > 1:
        told.append(
            f"They last {numbers.number(seconds[0])} to {numbers.number(seconds[-1])} s: "
            "a shorter clip holds its last frame until all have ended."
        )
    if len(rates) > 1:
        told.append(
            f"They have {numbers.number(rates[0])} to {numbers.number(rates[-1])} frames per second: "
            "they are kept together by time, not by frame number."
        )
    return " ".join(told)


def _compared(
    data: ReportData, entries: Sequence[ClipEntry]
) -> tuple[tuple[ComparedRow, ...], tuple[tuple[str, str], ...]]:
    """Values of the clips side by side, and those that all clips share."""
    names: dict[str, None] = {}
    for entry in entries:
        for metric, measurement in entry.measurements.items():
            names |= dict.fromkeys(f"{metric}.{v}" for v in (*measurement.values, *measurement.missing))
    rows, same = [], []
    for name in names:
        spec = data.value_specs.get(name, {})
        unit = str(spec.get("unit") or "")
        cells = [_found(entry, name) for entry in entries]
        known = [cell for cell in cells if isinstance(cell, float)]
        whys = list(dict.fromkeys(cell for cell in cells if isinstance(cell, tuple)))
        if len(known) == len(cells) and len(set(known)) == 1:
            same.append((title_of(name, spec), f"{numbers.number(known[0])} {unit}".strip()))
            continue
        if not known and len(whys) == 1:
            same.append((title_of(name, spec), f"{whys[0][0]}: {whys[0][1]}"))
            continue
        better = spec.get("higher_is_better")
        decimals = numbers.column_decimals(known)
        ends = _best_and_worst(known, better)
        compared = [_compared_cell(cell, ends, decimals) for cell in cells]
        direction = numbers.direction(better)
        rows.append(ComparedRow(name, title_of(name, spec), unit, direction, tuple(compared)))
    return tuple(rows), tuple(same)


def _found(entry: ClipEntry, name: str) -> float | tuple[str, str]:
    metric, _, value = name.partition(".")
    measurement = entry.measurements.get(metric)
    if measurement is None:
        return numbers.missing("no usable clip, or it was not measured")
    if value in measurement.values:
        return float(measurement.values[value])
    status, why = numbers.missing(measurement.missing.get(value, "no value was stored"))
    return status, one_line(why, 160)


def _best_and_worst(known: Sequence[float], better: bool | None) -> tuple[float, float] | None:
    if better is None or len(set(known)) < 2:
        return None
    return (max(known), min(known)) if better else (min(known), max(known))


def _compared_cell(
    cell: float | tuple[str, str], ends: tuple[float, float] | None, decimals: int
) -> ComparedCell:
    if isinstance(cell, tuple):
        return ComparedCell(cell[0], False, cell[1])
    place = "" if ends is None else "best" if cell == ends[0] else "worst" if cell == ends[1] else ""
    return ComparedCell(numbers.in_column(cell, decimals), True, "", place)
