"""Arrange the hits of a likeness audit as cards: what was seen, how rare it is, why it was raised, who decided."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from vgaudit.likeness.calibration import CoincidenceRate
from vgaudit.likeness.wording import FIXED_WORDS, UNCALIBRATED
from vgaudit.records import Finding, Series
from vgaudit.reports import charts, numbers
from vgaudit.reports.clip_page import clip_length
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.likeness_decisions import DecisionView, command, decision_of
from vgaudit.reports.likeness_names import CONSENTED, HIT_KINDS, Names, is_solicited
from vgaudit.reports.likeness_pictures import Photograph, PhotographCase
from vgaudit.reports.likeness_shared import SharedClip
from vgaudit.reports.media import IMAGE, MediaFile, MediaFolder
from vgaudit.reports.overview import fact_text

CARDS_SHOWN = 100
_PICTURES_SHOWN = 6
_PICTURE_WORDS = {"best": "best frame", "typical": "typical frame"}
_OF_ONE_TRACK = "a face of the clip, cut out and aligned"


@dataclass(frozen=True)
class RawHit:
    """A finding with what orders it: tier, whether the prompt asked for the person, and how it stands."""

    finding: Finding
    entry: ClipEntry
    tier: str
    solicited: bool
    decision: DecisionView

    @property
    def consented(self) -> bool:
        """Whether the person has agreed to appear."""
        return self.finding.kind == CONSENTED


@dataclass(frozen=True)
class Picture:
    """A face of the clip."""

    file: MediaFile
    caption: str
    alt: str


@dataclass(frozen=True)
class Card:
    """One hit as it is shown; every text is ready to print, and says in words what is missing."""

    number: int
    person: str
    role: str
    tier: str
    severity: str
    intent: str
    rates: tuple[tuple[str, str], ...]
    calibration: str
    reason: str
    meaning: str
    facts: tuple[tuple[str, str], ...]
    runner_up: str
    pictures: tuple[Picture, ...]
    pictures_missing: str
    photographs: tuple[Photograph, ...]
    photographs_missing: str
    timeline: Markup | None
    histogram: Markup | None
    histogram_note: str
    clip: str
    clip_url: str
    when: str
    start: str
    group: str
    seed: str
    prompt: str
    backend: str
    clip_sha256: str
    embedder: str
    provenance: str
    decision: DecisionView
    fingerprint: str
    command: str
    shared: SharedClip | None


def number_of(value: Any) -> float | None:
    """A stored value as a finite number, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A stored value as a mapping; anything else is empty."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """A stored value as a sequence; anything else, text too, is empty."""
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()


def raw_hits(data: ReportData) -> list[RawHit]:
    """All hits, worst first: ALERT before REVIEW, unintended before solicited, consented last.

    Within that, open ones before decided ones, then the rarest, then the most alike. A hit without a rate comes
    before those with one: nobody knows how rare it is.
    """
    found = []
    for entry in data.clips:
        for finding in entry.findings:
            if finding.kind in HIT_KINDS:
                tier = str(finding.detail.get("tier") or finding.severity.value).upper()
                tier = tier if tier in ("ALERT", "REVIEW") else "REVIEW"
                if finding.severity.value == "alert" and finding.kind != CONSENTED:
                    tier = "ALERT"  # whichever of the two is worse
                solicited = is_solicited(finding.kind, finding.detail)
                found.append(RawHit(finding, entry, tier, solicited, decision_of(data, finding)))
    found.sort(key=_order)
    return found


def _order(hit: RawHit) -> tuple[bool, bool, bool, bool, float, float]:
    rate = number_of(mapping(hit.finding.detail.get("rate")).get("value"))
    return (
        hit.consented,
        hit.tier != "ALERT",
        hit.solicited,
        not hit.decision.is_waiting,
        -1.0 if rate is None else rate,
        -hit.finding.score,
    )


def alerted_by(detail: Mapping[str, Any]) -> str:
    """What makes a hit an ALERT: ``rate``, ``strict`` (the strict point), or nothing where the run does not say."""
    comparisons = number_of(detail.get("comparisons"))
    stored = [mapping(detail.get(key)) for key in ("rate", "same_group_rate") if detail.get(key)]
    if not stored or comparisons is None:
        return ""
    try:
        rates = [CoincidenceRate.from_json(rate) for rate in stored]
    except (KeyError, TypeError, ValueError):
        return ""
    return "rate" if all(rate.alerts(int(comparisons)) for rate in rates) else "strict"


def rate_words(rate: Any, what: str) -> tuple[str, str] | None:
    """A stored coincidence rate as label and words; ``None`` where there is none."""
    stored = mapping(rate)
    if not stored:
        return None
    words = stored.get("words")
    return (what, str(words) if words else "not computed: the run stores a rate without its words")


def rates_of(detail: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The rates of a hit, that within the person's own group first; a sentence where there is none."""
    both = (
        rate_words(detail.get("same_group_rate"), "unrelated people of the same group"),
        rate_words(detail.get("rate"), "unrelated people"),
    )
    found = tuple(rate for rate in both if rate)
    return found or (("unrelated people", f"no rate: {UNCALIBRATED}"),)


def calibration_words(calibration: Any) -> str:
    """The cohort of a rate: name, people, source, licence; ``uncalibrated`` where there is none."""
    facts = mapping(calibration)
    if not facts:
        return UNCALIBRATED
    people = number_of(facts.get("people"))
    parts = [
        str(facts.get("cohort") or facts.get("name") or "a cohort without a name"),
        numbers.count(int(people), "person", "people") if people is not None else "size not stored",
        f"source: {facts.get('source') or 'not stated'}",
        f"licence: {facts.get('licence') or 'not stated'}",
    ]
    return "; ".join(parts)


class CardMaker:
    """Makes cards one at a time.

    Args:
        data: The run.
        names: What people, clips and prompts are called.
        folder: Where faces of the run go.
        photographs: Photographs of the gallery.
        stems: Sample id -> file name of the clip's page.
        shared: Sample id -> its clip for a page that is passed on.
    """

    def __init__(
        self, data: ReportData, names: Names, folder: MediaFolder, photographs: PhotographCase,
        stems: Mapping[str, str], shared: Mapping[str, SharedClip] | None = None,
    ) -> None:  # fmt: skip
        self._data = data
        self._names = names
        self._folder = folder
        self._photographs = photographs
        self._stems = stems
        self._shared = shared or {}

    def cards(self, hits: Sequence[RawHit]) -> Iterator[Card]:
        """A card for each hit, numbered from 1."""
        for number, hit in enumerate(hits, 1):
            yield self._card(number, hit)

    def clip_url(self, entry: ClipEntry, start_s: float | None = None) -> str:
        """The clip's page at a moment; empty where the page may not lead to clips."""
        if self._names.shareable:
            return ""
        moment = "" if start_s is None else f"#t={max(0.0, start_s):.3f}"
        return f"clips/{self._stems[entry.sample.sample_id]}.html{moment}"

    def pictures(
        self, paths: Sequence[Any], stem: str, captions: Sequence[tuple[str, str]]
    ) -> tuple[Picture, ...]:
        """Pictures of the run with caption and alternative text; other files than pictures are left out."""
        out = []
        for i, path in enumerate(paths):
            caption, alt = captions[i]
            out.append(Picture(self._folder.add(str(path), f"{stem}-{i + 1}"), caption, alt))
        return tuple(out)

    def _card(self, number: int, hit: RawHit) -> Card:
        finding, entry, names = hit.finding, hit.entry, self._names
        detail = finding.detail
        person = str(detail.get("entry") or "")
        shown = self._faces(number, finding)
        photographs = self._photographs.of(person) if not names.shareable else ()
        histogram, note = self._histogram(finding)
        sample, clip = entry.sample, entry.clip
        return Card(
            number=number,
            person=names.person(person) if person else "an entry without a name",
            role=str(detail.get("role") or "role not stored"),
            tier=hit.tier,
            severity="info" if hit.consented else hit.tier.lower(),
            intent="consented" if hit.consented else "solicited" if hit.solicited else "unintended",
            rates=rates_of(detail),
            calibration=names.text(calibration_words(detail.get("calibration"))),
            reason=names.text(str(detail.get("tier_reason") or "no reason was stored with this hit")),
            meaning=str(detail.get("meaning") or FIXED_WORDS),
            facts=self.facts(finding),
            runner_up=self.runner_up(detail),
            pictures=shown,
            pictures_missing="" if shown else "No picture of this face was stored.",
            photographs=photographs,
            photographs_missing=self._no_photographs(photographs),
            timeline=self._timeline(finding, entry),
            histogram=histogram,
            histogram_note=note,
            clip=names.clip(entry),
            clip_url=self.clip_url(entry, finding.start_s),
            when=f"{numbers.seconds(finding.start_s)} to {numbers.seconds(finding.end_s)}",
            start=numbers.seconds(finding.start_s),
            group=names.text(sample.group),
            seed="no seed" if sample.seed is None else f"seed {sample.seed}",
            prompt=names.prompt(entry, hit=True),
            backend="" if names.shareable else clip.backend_fingerprint or "not stored",
            clip_sha256="" if names.shareable else clip.sha256 or "not stored",
            embedder=str(detail.get("embedder") or "not stored"),
            provenance=self._provenance(person),
            decision=replace(hit.decision, words="") if names.shareable else hit.decision,
            fingerprint="" if names.shareable else finding.fingerprint,
            command=command(self._data, finding) if hit.decision.is_waiting and not names.shareable else "",
            shared=self._shared.get(sample.sample_id),
        )

    def _faces(self, number: int, finding: Finding) -> tuple[Picture, ...]:
        paths = [p for p in finding.evidence if p.lower().endswith(tuple(IMAGE))]
        return self.pictures(paths[:_PICTURES_SHOWN], f"hit-{number}", picture_captions(finding))

    def facts(self, finding: Finding) -> tuple[tuple[str, str], ...]:
        """What was measured of a hit, as label and words."""
        detail = finding.detail
        point = mapping(detail.get("point") or detail.get("published_point"))
        pairs = [
            ("why the consent does not count", self._names.text(str(detail.get("consent_gap") or ""))),
            ("similarity of the track", _measured(detail, "similarity", finding.score)),
            ("best single frame", _measured(detail, "best_similarity", None)),
            ("match called from", self._names.text(_point_words(point, finding.threshold))),
            ("examined frames with the face", _whole(detail.get("frames"))),
            ("frames past the point", _whole(detail.get("supporting_frames"))),
            ("frames past the strict point", _whole(detail.get("frames_past_strict_point"))),
        ]
        if detail.get("unresolved"):
            pairs.append(("resolved by the cohort", "no: rarer than the cohort can tell"))
        return tuple((label, text) for label, text in pairs if text)

    def runner_up(self, detail: Mapping[str, Any]) -> str:
        """Who of the gallery comes second, and by how much."""
        runner_up = mapping(detail.get("runner_up"))
        margin = number_of(runner_up.get("margin"))
        if not runner_up or margin is None:
            return "No runner-up: nobody else in the gallery to compare with."
        other = self._names.person(str(runner_up.get("entry") or ""))
        distance = number_of(runner_up.get("distance"))
        beside = f", at L2 distance {distance:.3f}" if distance is not None else ""
        less = f"Runner-up {other}{beside}: less alike by {margin:.3f}."
        return f"{less} A small margin means a face that looks like many."

    def _no_photographs(self, shown: Sequence[Photograph]) -> str:
        if shown or self._names.shareable:
            return ""
        if self._photographs.given:
            return "No photograph of this entry was given."
        return "No gallery photographs were given to this report."

    def _timeline(self, finding: Finding, entry: ClipEntry) -> Markup | None:
        stored = mapping(finding.detail.get("timeline"))
        times = [number_of(t) for t in sequence(stored.get("t"))]
        values = [number_of(v) for v in sequence(stored.get("similarity"))]
        if len(times) != len(values):
            return None
        pairs = [(t, v) for t, v in zip(times, values, strict=True) if t is not None]
        pairs.sort(key=lambda pair: pair[0])
        point = mapping(finding.detail.get("point") or finding.detail.get("published_point"))
        series = with_gaps(pairs)
        return charts.similarity_chart(
            series, clip_length(entry), number_of(point.get("similarity")), "match from here up"
        )

    def _histogram(self, finding: Finding) -> tuple[Markup | None, str]:
        detail = finding.detail
        stored = mapping(detail.get("histogram"))
        if not stored:
            return None, f"No cohort to draw: {UNCALIBRATED}." if not mapping(
                detail.get("calibration")
            ) else ("No histogram of the cohort was stored.")
        edges = [number_of(e) for e in sequence(stored.get("edges"))]
        counts = [number_of(c) for c in sequence(stored.get("counts"))]
        marker = number_of(detail.get("similarity"))
        if marker is None or None in edges or None in counts:
            return None, "The stored histogram of the cohort cannot be drawn."
        whole = [int(c) for c in counts if c is not None]
        chart = charts.histogram_chart(
            [e for e in edges if e is not None], whole, marker, "this face",
            f"{numbers.count(sum(whole), 'person', 'people')} of the cohort by their similarity to this entry",
        )  # fmt: skip
        return chart, "" if chart else "The stored histogram of the cohort cannot be drawn."

    def _provenance(self, person: str) -> str:
        if self._names.shareable:
            return "not shared"
        gallery = mapping(mapping(self._data.settled.get("likeness")).get("gallery"))
        entries = gallery.get("entries")
        facts: Any = mapping(entries).get(person)
        if facts is None:
            facts = next((e for e in sequence(entries) if mapping(e).get("entry") == person), None)
        rest = {k: v for k, v in mapping(facts).items() if k != "entry"}
        digest = f"gallery {gallery['digest']}" if gallery.get("digest") else ""
        return "; ".join(part for part in (fact_text(rest) if rest else "", digest) if part) or "not stored"


def picture_captions(finding: Finding) -> list[tuple[str, str]]:
    """Caption and alternative text of each picture among a hit's evidence, as far as it is known which is which."""
    paths = [p for p in finding.evidence if p.lower().endswith(tuple(IMAGE))]
    shown = [mapping(item) for item in sequence(finding.detail.get("shown"))]
    if len(shown) != len(paths):  # better no caption than that of another frame
        shown = [{}] * len(paths)
    return [_caption(item) for item in shown]


def _caption(item: Mapping[str, Any]) -> tuple[str, str]:
    """Caption and alternative text of a face."""
    if not item:
        return "", _OF_ONE_TRACK
    kind = _PICTURE_WORDS.get(str(item.get("kind")), "frame")
    second, similarity = number_of(item.get("s")), number_of(item.get("similarity"))
    when = f" at {numbers.seconds(second)}" if second is not None else ""
    alike = f", {similarity:.3f}" if similarity is not None else ""
    return f"{kind}{when}{alike}", f"{_OF_ONE_TRACK}: {kind}{when}"


def with_gaps(pairs: Sequence[tuple[float, float | None]]) -> Series:
    """A series in which the face was away wherever two moments lie more than three usual steps apart.

    Args:
        pairs: Seconds, rising, and values.
    """
    steps = sorted(b[0] - a[0] for a, b in itertools.pairwise(pairs))
    usual = steps[len(steps) // 2] if steps else 0.0
    times: list[float] = []
    values: list[float | None] = []
    for t, v in pairs:
        if times and usual > 0 and t - times[-1] > 3 * usual:
            times.append((times[-1] + t) / 2)
            values.append(None)
        times.append(t)
        values.append(v)
    return Series(tuple(times), tuple(values))


def _measured(detail: Mapping[str, Any], key: str, fallback: float | None) -> str:
    value = number_of(detail.get(key))
    value = fallback if value is None else value
    if value is None:
        return ""
    distance = number_of(detail.get("distance")) if key == "similarity" else None
    return f"{value:.3f}" + (f" (L2 distance {distance:.3f})" if distance is not None else "")


def _point_words(point: Mapping[str, Any], threshold: float) -> str:
    stated = str(point.get("stated") or f"similarity {threshold:.3f}")
    source = point.get("source")
    return f"{stated} ({source})" if source else stated


def _whole(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value):,}"
    found = number_of(value)
    return "" if found is None else f"{int(found):,}"
