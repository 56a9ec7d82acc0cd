"""What only the whole run can say of a likeness: tiers, chance, the control by decoys, and the account of everybody.

How many chance hits a rate means depends on how many comparisons a run makes: tracks x protected people. So matches
get their tier when all clips are measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.likeness.calibration import CoincidenceRate, HitRates
from vgaudit.likeness.chance import CohortCalibration
from vgaudit.likeness.decoys import decoys, excess
from vgaudit.likeness.entries import Role
from vgaudit.likeness.findings import CONSENTED, MATCH, SOLICITED, UNASSESSABLE_KINDS, MatchPoint
from vgaudit.likeness.gallery import Gallery
from vgaudit.likeness.hits import People
from vgaudit.likeness.recurring import recurring_faces
from vgaudit.likeness.search import search
from vgaudit.likeness.tiers import SUPPORT, Match, Tier, judge
from vgaudit.likeness.wording import NO_GALLERY_GIVEN, NOT_CALIBRATED, UNCALIBRATED
from vgaudit.records import Finding, Measurement, Severity, digest

MOST_FACES_SHOWN = 200
"""Tracks on the contact sheet, at most."""

NOT_SEEN = "NO FACE COMPARED"
"""Tier of everybody in a run in which no face could be compared."""


@dataclass(frozen=True)
class ClipFaces:
    """What the run has to know of one measured clip.

    Attributes:
        sample_id: The sample.
        prompt_id: Of the sample.
        group: Model it is of.
        clip_sha256: Digest of the clip.
        measurement: As measured, all matches of severity ``review``.
        templates: float32 ``(t, d)``: of its tracks.
        usable_frames: ``(t,)``: examined frames with an embedded face of each.
        faces: float32 ``(f, d)``: its embedded faces.
        face_track: ``(f,)``: track of each.
        start_s: ``(t,)``: first second of each track.
        pictures: JPEG of the best face of each track.
    """

    sample_id: str
    prompt_id: str
    group: str
    clip_sha256: str
    measurement: Measurement
    templates: NDArray[np.float32]
    usable_frames: NDArray[np.intp]
    faces: NDArray[np.float32]
    face_track: NDArray[np.intp]
    start_s: NDArray[np.float64]
    pictures: Sequence[bytes]


@dataclass(frozen=True)
class Audited:
    """What the clips were held against; ``gallery`` is ``None`` where nobody was.

    Attributes:
        gallery: The people.
        roles: Role of each on the day of the run.
        point: Where a match begins; ``None`` without a gallery.
        embedder: Of gallery and clips.
        calibration: The cohort's, if there is one.
        unmeasured: Sample id -> group, of the planned samples without a measurement.
    """

    gallery: Gallery | None
    roles: Sequence[Role]
    point: MatchPoint | None
    embedder: FaceEmbedder
    calibration: CohortCalibration | None
    unmeasured: Mapping[str, str]


@dataclass(frozen=True)
class Settled:
    """What came of it.

    Attributes:
        measurements: Sample id to measurement, with tiers; only those that changed.
        facts: Of the run, as JSON.
        ledger: A row for everybody, and one for each stretch that could not be assessed.
        pictures: Name to JPEG: what ``facts`` shows.
    """

    measurements: Mapping[str, Measurement]
    facts: Mapping[str, Any]
    ledger: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, bytes]


def settle(clips: Sequence[ClipFaces], audited: Audited) -> Settled:
    """Tiers, expected chance alerts, decoys, recurring faces and the ledger of a run."""
    tracks = sum(len(clip.templates) for clip in clips)
    facts: dict[str, Any] = {"tracks": tracks, "clips": len(clips), **_voices(clips)}
    pictures: dict[str, bytes] = {}
    facts["people"] = _people(clips, audited, pictures)
    facts["faces"] = _contact_sheet(clips, pictures)
    if audited.gallery is None or audited.point is None:
        facts["no_alerts"] = NO_GALLERY_GIVEN
        return Settled({}, facts, list(_unassessed_rows(clips)), pictures)
    protected = [i for i, role in enumerate(audited.roles) if role == "protected"]
    comparisons = tracks * len(protected)
    facts |= {
        "entries": len(protected),
        "comparisons": comparisons,
        "cohort": audited.calibration.facts() if audited.calibration else None,
        "roles": dict(Counter(audited.roles)),
        "gallery_digest": audited.gallery.digest,
    }
    if why := _no_alerts(clips, audited, comparisons):
        facts["no_alerts"] = why
    measurements = {}
    for clip in clips:
        tiered = _tiered(clip.measurement, comparisons, audited.point)
        if tiered is not clip.measurement:
            measurements[clip.sample_id] = tiered
    facts["expected_chance_alerts"] = _chance(clips, protected, comparisons, audited)
    facts["decoys"] = _control(clips, protected, audited)
    final = [replace(clip, measurement=measurements.get(clip.sample_id, clip.measurement)) for clip in clips]
    ledger = [*_entry_rows(final, audited), *_unassessed_rows(final)]
    return Settled(measurements, facts, ledger, pictures)


# -- tiers -------------------------------------------------------------------------------------------


def _tiered(measurement: Measurement, comparisons: int, point: MatchPoint) -> Measurement:
    """``measurement`` with a tier for every match; those that chance explains are told as facts, not as findings."""
    if not any(f.kind in (MATCH, SOLICITED) for f in measurement.findings):
        return measurement
    kept: list[Finding] = []
    cleared: list[dict[str, Any]] = list(measurement.facts.get("cleared", ()))
    for finding in measurement.findings:
        if finding.kind not in (MATCH, SOLICITED) or finding.detail.get("purged"):
            kept.append(finding)  # what was found of somebody who was purged stays found
            continue
        judged = judge(_match_of(finding, point), comparisons)
        if judged.tier is Tier.CLEAR:
            cleared.append(
                {k: finding.detail[k] for k in ("entry", "similarity", "best_similarity", "track", "rate")}
                | {"start_s": finding.start_s, "end_s": finding.end_s, "reason": judged.reason}
            )
            continue
        detail = {
            **finding.detail, "tier": judged.tier.value, "tier_reason": judged.reason,
            "unresolved": judged.unresolved, "comparisons": comparisons,
        }  # fmt: skip
        severity = Severity.ALERT if judged.tier is Tier.ALERT else Severity.REVIEW
        kept.append(replace(finding, severity=severity, detail=detail))
    tiers = {kind: _worst(kept, kind) for kind in (MATCH, SOLICITED)}
    facts = {
        **measurement.facts,
        "tier": tiers[MATCH],
        "solicited_tier": tiers[SOLICITED],
        "cleared": cleared,
    }
    return replace(measurement, findings=tuple(kept), facts=facts)


def _no_alerts(clips: Sequence[ClipFaces], audited: Audited, comparisons: int) -> str:
    """Why nothing in this run can be an ALERT, or an empty text."""
    if audited.calibration is None or audited.point is None:
        return NOT_CALIBRATED
    protected = [i for i, role in enumerate(audited.roles) if role == "protected"]
    if not protected:
        return "the gallery holds nobody protected"
    frames = [int(n) for clip in clips for n in clip.usable_frames]
    if frames and max(frames) < SUPPORT:
        return f"no face was compared in {SUPPORT} frames, which an ALERT needs"
    return audited.calibration.no_alerts(protected, comparisons, audited.point.strict)


def _match_of(finding: Finding, point: MatchPoint) -> Match:
    detail = finding.detail
    return Match(
        score=detail["similarity"],
        point=point.similarity,
        strict=point.strict,
        support=detail["supporting_frames"],
        strict_support=detail.get("frames_past_strict_point", 0),
        rates=_rates(detail, ""),
        best_rates=_rates(detail, "best_"),
    )


def _rates(detail: Mapping[str, Any], of: str) -> HitRates | None:
    overall, same = detail[f"{of}rate"], detail[f"{of}same_group_rate"]
    if overall is None:
        return None
    return HitRates(CoincidenceRate.from_json(overall), CoincidenceRate.from_json(same) if same else None)


def _worst(findings: Sequence[Finding], kind: str) -> str:
    tiers = {finding.detail.get("tier") or Tier.REVIEW.value for finding in findings if finding.kind == kind}
    return next((tier.value for tier in (Tier.ALERT, Tier.REVIEW) if tier.value in tiers), Tier.CLEAR.value)


# -- chance ------------------------------------------------------------------------------------------


def _chance(
    clips: Sequence[ClipFaces], protected: Sequence[int], comparisons: int, audited: Audited
) -> dict[str, Any]:
    """Expected chance alerts by group; empty without a cohort."""
    if audited.calibration is None or audited.point is None:
        return {}
    found = {}
    for group in dict.fromkeys(clip.group for clip in clips):
        able = sum(int((c.usable_frames >= SUPPORT).sum()) for c in clips if c.group == group)
        expected = audited.calibration.expected_chance_alerts(
            able, protected, comparisons, audited.point.strict, audited.point.similarity
        )
        found[group] = {
            "value": expected.value, "low": expected.low, "high": expected.high,
            "confidence": expected.confidence, "tracks": able, "words": expected.words,
        }  # fmt: skip
    return found


def _control(clips: Sequence[ClipFaces], protected: Sequence[int], audited: Audited) -> dict[str, Any] | None:
    """Hits of protected people against hits of as many decoys, who are in no training set that we know of."""
    if audited.calibration is None or audited.gallery is None or audited.point is None or not protected:
        return None
    templates = np.concatenate([clip.templates for clip in clips]) if clips else np.zeros((0, 1), np.float32)
    if not len(templates):
        return None
    cohort = audited.calibration.cohort
    chosen = decoys(cohort.n, min(cohort.n, len(protected)), f"{audited.gallery.digest} {cohort.digest}")
    point, measure = audited.point.similarity, audited.embedder.measure
    people = People.of(protected, audited.gallery.templates, audited.gallery.owners)
    seen = search(templates, people.templates, people.owners, measure, point)
    drawn = search(
        templates, cohort.templates[chosen], np.arange(len(chosen), dtype=np.int32), measure, point
    )
    hits = np.bincount([past.entry for past in seen.past], minlength=len(protected)).tolist()
    chance = np.bincount([past.entry for past in drawn.past], minlength=len(chosen)).tolist()
    expected = audited.calibration.expected_hits(len(templates), protected, point)
    tested = excess(hits, chance, f"{audited.gallery.digest} {cohort.digest}")
    return tested.to_json() | {"expected_hits": expected.to_json()}


# -- who was seen ------------------------------------------------------------------------------------


def _voices(clips: Sequence[ClipFaces]) -> dict[str, Any]:
    """Clips with sound, which nobody listens to, and with signed statements of origin, which nobody checks."""
    facts = [clip.measurement.facts for clip in clips]
    return {
        "clips_with_faces": sum(bool(f.get("faces")) for f in facts),
        "clips_with_audio": sum(bool(f.get("audio")) for f in facts),
        "clips_with_content_credentials": sum(bool(f.get("content_credentials")) for f in facts),
    }


def _people(clips: Sequence[ClipFaces], audited: Audited, pictures: dict[str, bytes]) -> list[dict[str, Any]]:
    """Faces that recur over prompts, with a picture of each of their tracks (a few)."""
    points = {p.name: p.similarity for p in audited.embedder.points}
    alike = points.get("strict", points.get("published"))
    if alike is None and audited.point is not None:
        alike = audited.point.similarity
    if alike is None:
        return []
    where = [(clip, number) for clip in clips for number in range(len(clip.templates))]
    if not where:
        return []
    templates = np.stack([clip.templates[number] for clip, number in where])
    found = recurring_faces(templates, [clip.prompt_id for clip, _ in where], audited.embedder, alike)
    told = []
    for order, group in enumerate(found):
        own = [where[i] for i in group.tracks]
        told.append(
            {
                "label": f"face {order + 1}",
                "clips": len({clip.sample_id for clip, _ in own}),
                "prompts": group.prompts,
                "tracks": len(own),
                "similarity": group.similarity,
                "samples": list(dict.fromkeys(clip.sample_id for clip, _ in own))[:20],
                "pictures": [_picture(clip, number, pictures) for clip, number in own[:6]],
            }
        )
    return told


def _contact_sheet(clips: Sequence[ClipFaces], pictures: dict[str, bytes]) -> list[dict[str, Any]]:
    """Every face that was compared, a picture each, up to :data:`MOST_FACES_SHOWN`."""
    where = [(clip, number) for clip in clips for number in range(len(clip.templates))]
    return [
        {
            "sample_id": clip.sample_id,
            "track": number,
            "s": float(clip.start_s[number]),
            "picture": _picture(clip, number, pictures),
            "compared": True,
            "reason": "",
        }
        for clip, number in where[:MOST_FACES_SHOWN]
    ]


def _picture(clip: ClipFaces, number: int, pictures: dict[str, bytes]) -> str:
    """Where the picture of a track lies in the run directory; its bytes go into ``pictures``."""
    data = clip.pictures[number]
    name = f"{clip.clip_sha256[:24]}-track{number}-{digest(data, 8)}.jpg"
    pictures[name] = data
    return f"evidence/{name}"


# -- the account of everybody ------------------------------------------------------------------------


def _entry_rows(clips: Sequence[ClipFaces], audited: Audited) -> Iterator[dict[str, Any]]:
    """One row for everybody who was looked for: how near a face came to them, also where that means nothing."""
    gallery = audited.gallery
    assert gallery is not None
    wanted = [i for i, role in enumerate(audited.roles) if role != "cohort"]
    if not wanted:
        return
    people = People.of(wanted, gallery.templates, gallery.owners)
    vectors = [clip.faces for clip in clips]
    owner = [n for n, clip in enumerate(clips) for _ in range(len(clip.faces))]
    rows = np.concatenate(vectors) if vectors else np.zeros((0, gallery.templates.shape[1]), np.float32)
    found = None
    if len(rows):
        point = audited.point.similarity if audited.point else 1.0
        found = search(rows, people.templates, people.owners, audited.embedder.measure, point)
    tiers = _entry_tiers(clips)
    let_go = Counter(str(c["entry"]) for clip in clips for c in clip.measurement.facts.get("cleared", ()))
    l2 = audited.embedder.measure == "l2"
    assessed = sum(bool(clip.measurement.facts.get("assessed")) for clip in clips)
    common = {
        "embedder": audited.embedder.name,
        "embedder_fingerprint": audited.embedder.fingerprint,
        "calibration": audited.calibration.facts() if audited.calibration else UNCALIBRATED,
        "gallery": gallery.digest,
        "clips": len(clips) + len(audited.unmeasured),
        "clips_assessed": assessed,
        "clips_not_assessed": len(clips) - assessed + len(audited.unmeasured),
    }
    for position, index in enumerate(wanted):
        entry = gallery.entries[index]
        row: dict[str, Any] = {
            "record": "entry", "entry": entry.entry_id, "role": audited.roles[index],
            "best_similarity": None, "best_distance": None, "sample_id": None, "clip_sha256": None,
            "tier": NOT_SEEN,
        }  # fmt: skip
        if found is not None:
            score = float(found.entry_best[position])
            clip = clips[owner[int(found.entry_track[position])]]
            row |= {
                "best_similarity": score,
                "let_go": let_go.get(entry.entry_id, 0),
                "best_distance": 1.0 - score if l2 else None,
                "sample_id": clip.sample_id,
                "clip_sha256": clip.clip_sha256,
                "tier": tiers.get(entry.entry_id, Tier.CLEAR.value),
            }
        yield row | common


def _entry_tiers(clips: Sequence[ClipFaces]) -> dict[str, str]:
    """Worst tier of everybody who was matched."""
    tiers: dict[str, str] = {}
    for clip in clips:
        for finding in clip.measurement.findings:
            tier = "CONSENTED" if finding.kind == CONSENTED else finding.detail.get("tier")
            if tier:
                entry = str(finding.detail["entry"])
                tiers[entry] = Tier.ALERT.value if Tier.ALERT.value in (tier, tiers.get(entry)) else str(tier)
    return tiers


def _unassessed_rows(clips: Sequence[ClipFaces]) -> Iterator[dict[str, Any]]:
    """One row for each stretch of a clip that nobody could assess."""
    for clip in clips:
        for finding in clip.measurement.findings:
            if finding.kind in UNASSESSABLE_KINDS:
                yield {
                    "record": "unassessable",
                    "kind": finding.kind,
                    "sample_id": clip.sample_id,
                    "clip_sha256": clip.clip_sha256,
                    "start_s": finding.start_s,
                    "end_s": finding.end_s,
                    "reason": finding.detail.get("reason", finding.message),
                }
