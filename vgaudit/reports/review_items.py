"""The findings a person can decide on, as the review page shows them: what was seen, where it stands, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vgaudit import decisions
from vgaudit.decisions import OPEN, REASONS, ReviewPolicy, Standing, note_of
from vgaudit.records import Finding
from vgaudit.reports import numbers
from vgaudit.reports.clip_index import ClipRow
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line
from vgaudit.reports.likeness_hits import (
    CARDS_SHOWN,
    CardMaker,
    calibration_words,
    mapping,
    picture_captions,
    rates_of,
    raw_hits,
)
from vgaudit.reports.likeness_names import HIT_KINDS, Names, is_solicited
from vgaudit.reports.likeness_pictures import PhotographCase
from vgaudit.reports.media import MediaFile
from vgaudit.reports.overview import facts_of

PROMPT_SHOWN = 2_000
"""Characters of a prompt in the review page; the clip's page has all of it."""

_FACTS_SHOWN = 40
_FACT_LENGTH = 600
Evidence = Mapping[str, Mapping[int, tuple[MediaFile, ...]]]
"""Sample id -> position of the finding in :attr:`ClipEntry.findings` -> its pictures."""


@dataclass(frozen=True)
class Decidable:
    """A finding one can decide on.

    Attributes:
        number: In the list, from 1; that of ``vgaudit decide list``.
        finding: The worst of those that share its fingerprint.
        entry: Its clip.
        index: Position in :attr:`ClipEntry.findings`.
        alike: How many findings share the fingerprint: a decision is about all of them.
    """

    number: int
    finding: Finding
    entry: ClipEntry
    index: int
    alike: int


def decidable(data: ReportData) -> tuple[Decidable, ...]:
    """Findings that can be decided on, the worst first, one for each fingerprint; ``info`` is left out.

    See :func:`vgaudit.decisions.decidable`; order and numbers are those of ``vgaudit decide list``.
    """
    found: list[tuple[Finding, ClipEntry, int]] = []
    for entry in data.clips:
        positions = {id(finding): i for i, finding in enumerate(entry.findings)}
        for measurement in entry.measurements.values():
            found += [(finding, entry, positions[id(finding)]) for finding in measurement.findings]
    worst = decisions.decidable([finding for finding, _, _ in found])
    return tuple(Decidable(number, *found[i], alike) for number, (i, alike) in enumerate(worst, 1))


def standing_of(data: ReportData, finding: Finding) -> Standing:
    """Where a finding stands."""
    return (data.decisions or {}).get(finding.fingerprint, OPEN)


def standing_json(run: Path, standing: Standing) -> dict[str, Any]:
    """Where a finding stands, with everything that was ever decided on it and the notes, as a JSON object.

    Args:
        run: The run directory, which has the notes. One that was purged reads ``purged``.
        standing: Where it stands.
    """
    return {
        "state": str(standing.state),
        "words": standing.words,
        "closed": standing.closed,
        "awaiting": standing.awaiting,
        "expired": standing.expired,
        "history": [
            {
                "seq": d.seq,
                "time": d.time,
                "author": d.author,
                "verb": d.verb,
                "reason_code": d.reason_code,
                "reason": d.reason,
                "expires": d.expires,
                "note": note_of(run, d),
            }
            for d in standing.history
        ],
    }


def policy_json(data: ReportData) -> dict[str, Any]:
    """What the run's suite asks of reviewers; the default for a run of an older vgaudit, which did not say."""
    return asdict(ReviewPolicy(**mapping(mapping(data.manifest.get("spec")).get("review"))))


def reasons() -> dict[str, dict[str, str]]:
    """Verb -> reason code -> its words."""
    return {str(verb): dict(codes) for verb, codes in REASONS.items()}


class ItemMaker:
    """Makes the items of the page.

    Args:
        data: The run.
        rows: Sample id -> row of the clip table, with its media.
        evidence: Pictures of findings.
        case: Photographs of the gallery; ``None`` for a run without a likeness audit.
    """

    def __init__(
        self, data: ReportData, rows: Mapping[str, ClipRow], evidence: Evidence, case: PhotographCase | None
    ) -> None:
        self._data = data
        self._rows = rows
        self._evidence = evidence
        self._case = case
        stems = {sample: row.stem for sample, row in rows.items()}
        self._cards = CardMaker(data, Names(data), case.folder, case, stems) if case else None
        guarded = [hit for hit in raw_hits(data) if not hit.consented] if case else []
        self._hits = {id(hit.finding): n for n, hit in enumerate(guarded, 1)}

    def items(self, found: Sequence[Decidable]) -> list[dict[str, Any]]:
        """The items in their order, JSON-able; URLs are relative to the report's folder."""
        return [self._item(one) for one in found]

    def _item(self, one: Decidable) -> dict[str, Any]:
        finding, entry = one.finding, one.entry
        sample, info = entry.sample, entry.clip.info
        media = self._rows[sample.sample_id].media
        width, height, fps = (_number(info.get(key)) for key in ("width", "height", "fps"))
        box = finding.box if finding.box and all(math.isfinite(x) for x in finding.box) else None
        return {
            "fingerprint": finding.fingerprint,
            "number": one.number,
            "kind": finding.kind,
            "severity": finding.severity.value,
            "sample_id": sample.sample_id,
            "source": sample.source or "",
            "clip": entry.clip.sha256,
            "group": sample.group,
            "prompt": _cut(sample.prompt, PROMPT_SHOWN),
            "seed": sample.seed,
            "message": finding.message,
            "start_s": _number(finding.start_s) or 0.0,
            "end_s": _number(finding.end_s) or 0.0,
            "score": _number(finding.score),
            "threshold": _number(finding.threshold),
            "box": list(box) if box and width and height else None,
            "width": width,
            "height": height,
            "fps": fps,
            "alike": one.alike,
            "page": _page(self._rows[sample.sample_id], finding),
            "video": media.video.url,
            "player": media.video.kind,
            "no_player": media.video.problem,
            "poster": media.poster.url if media.poster.kind == "image" else "",
            "evidence": self._pictures(one),
            "photographs": self._photographs(finding),
            "facts": [[label, _cut(text, _FACT_LENGTH)] for label, text in self._facts(finding)],
            "likeness": self._likeness(finding),
            "standing": standing_json(self._data.run_dir, standing_of(self._data, finding)),
        }

    def _pictures(self, one: Decidable) -> list[dict[str, str]]:
        files = self._evidence.get(one.entry.sample.sample_id, {}).get(one.index, ())
        captions = picture_captions(one.finding) if one.finding.kind in HIT_KINDS else []
        if len(captions) < len(files):
            captions = [("", "")] * len(files)
        return [
            {"url": file.url if file.kind == "image" else "", "caption": caption or file.problem}
            for file, (caption, _) in zip(files, captions, strict=False)
        ]

    def _photographs(self, finding: Finding) -> list[dict[str, str]]:
        person = finding.detail.get("entry")
        if self._case is None or not person or finding.kind not in HIT_KINDS:
            return []
        return [
            {"url": shown.file.url, "caption": shown.file.problem or f"sha256 {shown.sha256[:8]}\u2026"}
            for shown in self._case.of(str(person))
        ]

    def _facts(self, finding: Finding) -> tuple[tuple[str, str], ...]:
        if self._cards is None or finding.kind not in HIT_KINDS:
            limits = (
                ("score", numbers.number(finding.score)),
                ("threshold", numbers.number(finding.threshold)),
            )
            return (*limits, *facts_of(finding.detail)[:_FACTS_SHOWN])
        detail = finding.detail
        asked = "asks for the person" if is_solicited(finding.kind, detail) else "does not ask for the person"
        pairs = [
            ("gallery entry", str(detail.get("entry") or "without a name")),
            *((f"chance among {label}", words) for label, words in rates_of(detail)),
            (f"why {finding.severity.value}", str(detail.get("tier_reason") or "")),
            ("prompt", asked),
            ("runner-up", self._cards.runner_up(detail)),
            ("role", str(detail.get("role") or "")),
            ("a match is", str(detail.get("meaning") or "")),
            *self._cards.facts(finding),
            ("calibration", calibration_words(detail.get("calibration"))),
        ]
        return tuple((label, text) for label, text in pairs if text)

    def _likeness(self, finding: Finding) -> str:
        number = self._hits.get(id(finding))
        if number is None:
            return ""
        return f"likeness.html#hit-{number}" if number <= CARDS_SHOWN else "likeness.html#more-hits"


def _page(row: ClipRow, finding: Finding) -> str:
    """The clip's page at the finding."""
    return f"clips/{row.stem}.html#t={max(0.0, _number(finding.start_s) or 0.0):.3f}"


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}\u2026"


@dataclass(frozen=True)
class PlainRow:
    """A finding in the table for those who run no scripts."""

    number: int
    finding: Finding
    page: str
    clip: str
    message: str
    alike: int
    state: str
    words: str


def plain_rows(data: ReportData, found: Sequence[Decidable], rows: Mapping[str, ClipRow]) -> list[PlainRow]:
    """The table's rows, in the order of ``found``."""
    out = []
    for one in found:
        sample, standing = one.entry.sample, standing_of(data, one.finding)
        page = _page(rows[sample.sample_id], one.finding)
        clip = one_line(sample.source or sample.sample_id, 80)
        state = "awaiting a second person" if standing.awaiting else str(standing.state)
        words = standing.words if standing is not OPEN else "nobody has decided yet"
        message = one_line(one.finding.message, 400)
        out.append(PlainRow(one.number, one.finding, page, clip, message, one.alike, state, words))
    return out
