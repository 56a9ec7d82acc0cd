"""The rest of the likeness page: hits beyond the cards, faces nobody could compare, clips, faces seen, ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgaudit.records import Finding
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line
from vgaudit.reports.likeness_headline import STATE_TONES, ClipState
from vgaudit.reports.likeness_hits import (
    CardMaker,
    Picture,
    RawHit,
    mapping,
    number_of,
    rates_of,
    sequence,
)
from vgaudit.reports.likeness_names import Names

LEDGER_FILE = "likeness_ledger.jsonl"
LEDGER_SHOWN = 200
UNASSESSABLE_SHOWN = 200
HITS_SHOWN = 1000
CLIPS_SHOWN = 500
FACES_SHOWN = 120
PEOPLE_SHOWN = 24
_PICTURES_OF_PERSON = 8
_PROMPT_LENGTH = 120
_UNASSESSABLE = {
    "likeness.unassessable": "no face could be compared",
    "likeness.partly_unassessable": "some faces could not be compared",
    "likeness.not_compared": "no gallery",
}


@dataclass(frozen=True)
class HitRow:
    """A hit in a table."""

    tier: str
    severity: str
    intent: str
    person: str
    rate: str
    similarity: str
    clip: str
    clip_url: str
    when: str
    state: str
    tone: str
    fingerprint: str


@dataclass(frozen=True)
class UnassessableRow:
    """A stretch with faces nobody could compare."""

    words: str
    clip: str
    clip_url: str
    when: str
    reason: str
    faces: str


@dataclass(frozen=True)
class ClipRowView:
    """A clip with its state."""

    state: str
    tone: str
    clip: str
    clip_url: str
    group: str
    prompt: str
    reason: str


@dataclass(frozen=True)
class Person:
    """A face that recurs."""

    label: str
    facts: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Face:
    """A face of the contact sheet."""

    picture: Picture
    words: str
    clip: str
    clip_url: str


@dataclass(frozen=True)
class LedgerRow:
    """A row of the ledger."""

    what: str
    role: str
    similarity: str
    tier: str
    clip: str
    clip_url: str
    embedder: str
    calibration: str
    gallery: str
    coverage: str


@dataclass(frozen=True)
class Shown:
    """What is shown of a list, and how many more there are."""

    rows: tuple[Any, ...]
    total: int

    @property
    def more(self) -> int:
        """Rows that are not shown."""
        return self.total - len(self.rows)


def hit_rows(hits: Sequence[RawHit], names: Names, maker: CardMaker) -> Shown:
    """Hits as a table; same order."""
    return Shown(tuple(_hit_row(hit, names, maker) for hit in hits[:HITS_SHOWN]), len(hits))


def _hit_row(hit: RawHit, names: Names, maker: CardMaker) -> HitRow:
    finding = hit.finding
    similarity = number_of(finding.detail.get("similarity"))
    return HitRow(
        tier=hit.tier,
        severity="info" if hit.consented else hit.tier.lower(),
        intent="consented" if hit.consented else "solicited" if hit.solicited else "unintended",
        person=names.person(str(finding.detail.get("entry") or "")),
        rate=rates_of(finding.detail)[0][1],
        similarity=f"{finding.score if similarity is None else similarity:.3f}",
        clip=names.clip(hit.entry),
        clip_url=maker.clip_url(hit.entry, finding.start_s),
        when=_span(finding),
        state=hit.decision.state,
        tone=hit.decision.tone,
        fingerprint="" if names.shareable else finding.fingerprint,
    )


def _span(finding: Finding) -> str:
    return f"{numbers.seconds(finding.start_s)} to {numbers.seconds(finding.end_s)}"


def unassessable_rows(data: ReportData, names: Names, maker: CardMaker) -> Shown:
    """Every stretch with faces nobody could compare, in plan order."""
    found = [
        (entry, finding)
        for entry in data.clips
        for finding in entry.findings
        if finding.kind in _UNASSESSABLE
    ]
    rows = tuple(
        UnassessableRow(
            words=_UNASSESSABLE[finding.kind],
            clip=names.clip(entry),
            clip_url=maker.clip_url(entry, finding.start_s),
            when=_span(finding),
            reason=names.text(_why(finding)),
            faces=str(finding.detail.get("tracks") or finding.detail.get("faces") or "not counted"),
        )
        for entry, finding in found[:UNASSESSABLE_SHOWN]
    )
    return Shown(rows, len(found))


def _why(finding: Finding) -> str:
    reasons = mapping(finding.detail.get("reasons"))
    if reasons:
        return ", ".join(f"{why} ({count})" for why, count in reasons.items())
    return str(finding.detail.get("reason") or finding.message)


def clip_rows(states: Sequence[ClipState], names: Names, maker: CardMaker) -> Shown:
    """Clips with their states, worst first."""
    rows = tuple(
        ClipRowView(
            state=state.state,
            tone=STATE_TONES[state.state],
            clip=names.clip(state.entry),
            clip_url=maker.clip_url(state.entry),
            group=names.text(state.entry.sample.group),
            prompt=one_line(names.prompt(state.entry, hit=False), _PROMPT_LENGTH),
            reason=one_line(names.text(state.reason), 240),
        )
        for state in states[:CLIPS_SHOWN]
    )
    return Shown(rows, len(states))


def people(settled: Mapping[str, Any], maker: CardMaker) -> Shown:
    """Faces that recur, most clips first as the run stores them."""
    stored = [mapping(person) for person in sequence(settled.get("people"))]
    return Shown(tuple(_people(stored[:PEOPLE_SHOWN], maker)), len(stored))


def _people(stored: Sequence[Mapping[str, Any]], maker: CardMaker) -> Iterator[Person]:
    for n, person in enumerate(stored, 1):
        counts = [
            (_size(person.get("clips")), "clip"),
            (_size(person.get("prompts")), "prompt"),
            (_size(person.get("tracks")), "track"),
        ]
        facts = [numbers.count(size, what) for size, what in counts if size is not None]
        if (similarity := number_of(person.get("similarity"))) is not None:
            facts.append(f"alike by {similarity:.3f}")
        paths = sequence(person.get("pictures"))[:_PICTURES_OF_PERSON]
        alt = f"recurring face {n}"
        captions = [("", f"{alt}, picture {i}") for i in range(1, len(paths) + 1)]
        yield Person(
            f"Recurring face {n}", " · ".join(facts), maker.pictures(paths, f"recurring-{n}", captions)
        )


def _size(value: Any) -> int | None:
    if isinstance(value, (list, tuple)):
        return len(value)
    found = number_of(value)
    return None if found is None else int(found)


def faces(data: ReportData, settled: Mapping[str, Any], names: Names, maker: CardMaker) -> Shown:
    """The contact sheet of the faces seen."""
    stored = [mapping(face) for face in sequence(settled.get("faces"))]
    clips = {e.sample.sample_id: e for e in data.clips}
    out = []
    for n, face in enumerate(stored[:FACES_SHOWN], 1):
        entry = clips.get(str(face.get("sample_id")))
        second = number_of(face.get("s"))
        clip = names.clip(entry) if entry else "a clip that the plan lacks"
        when = f" at {numbers.seconds(second)}" if second is not None else ""
        why = names.text(str(face.get("reason") or "no reason stored"))
        words = "compared" if face.get("compared") is True else f"not compared: {why}"
        (picture,) = maker.pictures([face.get("picture") or ""], f"face-{n}", [("", f"a face{when}")])
        out.append(Face(picture, words, f"{clip}{when}", maker.clip_url(entry, second) if entry else ""))
    return Shown(tuple(out), len(stored))


def ledger(data: ReportData, names: Names, maker: CardMaker) -> Shown:
    """Rows of the ledger as the run stores them: who was looked for, then what could not be assessed."""
    clips = {e.sample.sample_id: e for e in data.clips}
    rows = tuple(_ledger_row(mapping(row), clips, names, maker) for row in data.ledger[:LEDGER_SHOWN])
    return Shown(rows, len(data.ledger))


def _ledger_row(
    row: Mapping[str, Any], clips: Mapping[str, ClipEntry], names: Names, maker: CardMaker
) -> LedgerRow:
    entry = clips.get(str(row.get("sample_id")))
    similarity, distance = number_of(row.get("best_similarity")), number_of(row.get("distance"))
    alike = "none" if similarity is None else f"{similarity:.3f}"
    if distance is not None:
        alike += f" (L2 {distance:.3f})"
    calibration = row.get("calibration")
    cohort = mapping(calibration).get("cohort") or mapping(calibration).get("name") or calibration
    if person := row.get("entry"):
        what, alike_words = names.person(str(person)), alike
    else:
        what = names.text(f"faces not assessable: {row.get('reason') or 'no reason stored'}")
        alike_words = ""
    assessed = [
        f"{words} {_size(row[key]):,}"
        for key, words in (
            ("clips_assessed", "assessed"), ("assessed", "assessed"),
            ("clips_not_assessable", "not assessable"), ("not_assessable", "not assessable"),
        )
        if _size(row.get(key)) is not None
    ]  # fmt: skip
    return LedgerRow(
        what=what,
        role=str(row.get("role") or ""),
        similarity=alike_words,
        tier=str(row.get("tier") or ""),
        clip=names.clip(entry) if entry else "no clip",
        clip_url=maker.clip_url(entry) if entry else "",
        embedder=str(row.get("embedder") or ""),
        calibration=names.text(str(cohort or "")),
        gallery=str(row.get("gallery_digest") or row.get("gallery") or "")[:12],
        coverage=", ".join(dict.fromkeys(assessed)),
    )
