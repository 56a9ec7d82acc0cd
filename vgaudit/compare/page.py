"""Write ``compare.html``: the verdict, every value drawn, and the clips that changed most side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

import vgaudit
from vgaudit.compare import words
from vgaudit.compare.baseline import Side
from vgaudit.compare.comparison import Comparison
from vgaudit.compare.values import ValueRow
from vgaudit.compare.where import ChangedClip
from vgaudit.records import Outcome
from vgaudit.reports import charts, numbers
from vgaudit.reports.clip_index import page_stems
from vgaudit.reports.data import ClipEntry
from vgaudit.reports.escaping import one_line, url_path
from vgaudit.reports.media import MediaFile, MediaFolder
from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY, page_environment, write_assets
from vgaudit.reports.page_files import write_page as write_file

SHOWN_CLIPS = 12
"""Pairs of clips with players."""

_CLIPS_OF_A_VALUE = 3
_SHOWN_ROWS = 200
_TONE = {Outcome.PASSED: "pass", Outcome.FAILED: "fail", Outcome.NOT_COMPUTED: "nc"}
_ICON = {"better": "pass", "worse": "fail", "higher": "up", "lower": "down"}


@dataclass(frozen=True)
class DrawnValue:
    """A value with its chart, on an axis of its own."""

    row: ValueRow
    tone: str
    icon: str
    group: str
    chart: Markup | None
    axis: Markup | None
    left: str
    right: str


@dataclass(frozen=True)
class Take:
    """One clip of a pair: ``media`` is relative to the page, ``report`` a link to the clip's own page or empty."""

    called: str
    sample_id: str
    media: str
    kind: str
    poster: str
    problem: str
    report: str
    value: str


@dataclass(frozen=True)
class ClipPair:
    """A prompt and seed with the clips of both sides, and what changed between them."""

    prompt: str
    prompt_id: str
    seed: str
    takes: tuple[Take, Take]
    changes: tuple[str, ...]


def write_page(comparison: Comparison, out: Path) -> Path:
    """Write the page with its ``assets/`` and ``media/``; returns ``compare.html``."""
    write_assets(out / "assets", ("report.css", "comparison.css", "prompts.css", "icon.svg"))
    verdict = comparison.verdict
    told = [row for row in comparison.findings if words.worth_telling(row)]
    shown_tags = [row for row in comparison.tags if row.side]
    text = (
        page_environment()
        .get_template("compare.html")
        .render(
            title=words.title(comparison), csp=CONTENT_SECURITY_POLICY, version=vgaudit.__version__, root=".",
            comparison=comparison, words=words, tone_of=_TONE[verdict.outcome],
            verdict_word=words.VERDICTS[verdict.outcome], exit_code=int(verdict.exit_code),
            drawn=[_drawn(row) for row in comparison.values], findings=told[:_SHOWN_ROWS],
            more_findings=len(told[_SHOWN_ROWS:]), tags=shown_tags[:_SHOWN_ROWS],
            more_tags=len(shown_tags[_SHOWN_ROWS:]), pairs=_pairs(comparison, out),
            sides=[_side_facts(s) for s in (comparison.base, comparison.candidate)],
            confidence=f"{100 * comparison.confidence:g} %", alpha=f"{round(1 - comparison.confidence, 6):g}",
            icons=_ICON,
        )
    )  # fmt: skip
    return write_file(out / "compare.html", text)


def _drawn(row: ValueRow) -> DrawnValue:
    d, chart, axis = row.difference, None, None
    outcome = row.margin.outcome if row.margin else ""
    tone = {"violated": "fail", "holds": "pass", "not shown": "nc"}.get(outcome) or {
        "worse": "fail", "better": "pass", "higher": "plain", "lower": "plain",
    }.get(row.side, "none")  # fmt: skip
    if d.value is not None and d.n_differing:
        marks = [charts.Mark(0.0, "no difference")]
        if row.margin:
            ends = {True: (-1,), False: (1,), None: (-1, 1)}[row.higher_is_better]
            marks += [charts.Mark(end * row.margin.margin, "margin") for end in ends if row.margin.margin]
        inside = [abs(x) for x in (d.value, d.low, d.high, *(m.value for m in marks)) if x is not None]
        reach = max(inside) or 1.0
        scale = charts.scale_for([-reach, reach])
        chart = charts.forest_row(scale, d.value, d.low, d.high, words.signed(d), marks, tone)
        axis = charts.forest_axis(scale)
    sides = {None: ("lower", "higher"), True: ("worse", "better"), False: ("better", "worse")}
    left, right = sides[None if row.doubt else row.higher_is_better]
    icon = {"fail": "fail", "pass": "pass", "nc": "nc"}.get(tone) or _ICON.get(row.side, "none")
    if d.value is None and not row.margin:
        icon, tone = "nc", "nc"
    group = words.groups(row.base_group, row.candidate_group)
    return DrawnValue(row, tone, icon, group, chart, axis, left, right)


def _side_facts(side: Side) -> list[tuple[str, str]]:
    s = side.snapshot
    return [
        ("Suite", s.name),
        ("Kind", "run" if side.data is not None else "baseline file"),
        ("Begun", s.created or "not recorded"),
        ("vgaudit", s.vgaudit or "not recorded"),
        ("Groups", ", ".join(s.groups)),
        ("Clips", numbers.count(len(s.clips), "clip")),
        ("Backends", ", ".join(f"{b['name']} ({b['type']}, {b['fingerprint'][:12]})" for b in s.backends)),
        ("Content, SHA-256", s.digest),
    ]


# -- clips -----------------------------------------------------------------------------------------


class _Shelf:
    """Clips of one side: media brought beside the page, links to the pages of the run's report."""

    def __init__(self, side: Side, called: str, out: Path) -> None:
        self._called, self._out = called, out
        self._entries: Mapping[str, ClipEntry] = {}
        self._stems: Mapping[str, str] = {}
        self._folder: MediaFolder | None = None
        self._report = side.path / "report" / "clips"
        if side.data is not None:
            self._entries = {e.sample.sample_id: e for e in side.data.clips}
            self._stems = page_stems(side.data.clips)
            self._folder = MediaFolder(side.data.run_dir, out / "media" / called)

    def prompt(self, sample_id: str) -> str:
        entry = self._entries.get(sample_id)
        return one_line(entry.sample.prompt, 240) if entry is not None else ""

    def take(self, sample_id: str, number: int, value: str) -> Take:
        entry = self._entries.get(sample_id)
        if entry is None or self._folder is None:
            return Take(self._called, sample_id, "", "", "", "a baseline file holds no clips", "", value)
        clip = self._folder.add(entry.clip.playable, f"{number:02d}")
        poster = self._folder.add(entry.clip.poster, f"{number:02d}.poster")
        page = self._report / f"{self._stems[sample_id]}.html"
        link = url_path(*Path(os.path.relpath(page, self._out)).parts) if page.is_file() else ""
        return Take(
            self._called, sample_id, _beside(clip), clip.kind, _beside(poster), clip.problem, link, value
        )

    def close(self) -> None:
        if self._folder is not None:
            self._folder.prune()


def _beside(file: MediaFile) -> str:
    return f"media/{file.url}" if file else ""


def _pairs(comparison: Comparison, out: Path) -> list[ClipPair]:
    """The clips that changed most, of the values judged worst; a pair stands once, with all that changed in it."""
    chosen = _chosen(comparison)
    shelves = _Shelf(comparison.base, "base", out), _Shelf(comparison.candidate, "candidate", out)
    found = []
    for number, clips in enumerate(chosen, 1):
        first = clips[0]
        takes = (
            shelves[0].take(first.base_sample, number, numbers.number(first.base)),
            shelves[1].take(first.candidate_sample, number, numbers.number(first.candidate)),
        )
        prompt = shelves[1].prompt(first.candidate_sample) or shelves[0].prompt(first.base_sample)
        changes = tuple(
            f"{c.name}: {numbers.number(c.base)} to {numbers.number(c.candidate)}, "
            f"{c.spreads:+.2f} spreads ({c.side})"
            for c in clips
        )
        seed = "no seed" if first.seed is None else f"seed {first.seed}"
        found.append(ClipPair(prompt or first.prompt_id, first.prompt_id, seed, takes, changes))
    for shelf in shelves:
        shelf.close()
    return found


def _chosen(comparison: Comparison) -> list[Sequence[ChangedClip]]:
    by_value: dict[tuple[str, str, str], list[ChangedClip]] = {}
    by_pair: dict[tuple[str, str], list[ChangedClip]] = {}
    for clip in comparison.changed:
        by_value.setdefault((clip.name, clip.base_group, clip.candidate_group), []).append(clip)
        by_pair.setdefault((clip.base_sample, clip.candidate_sample), []).append(clip)
    chosen: dict[tuple[str, str], None] = {}
    for row in comparison.values:
        for clip in by_value.get((row.name, row.base_group, row.candidate_group), [])[:_CLIPS_OF_A_VALUE]:
            chosen[clip.base_sample, clip.candidate_sample] = None
    order = {r.name: i for i, r in reversed(list(enumerate(comparison.values)))}
    return [sorted(by_pair[key], key=lambda c: order[c.name]) for key in list(chosen)[:SHOWN_CLIPS]]
