"""Turn hits into findings: who was matched when, and which clips could not be assessed.

A match is of severity ``review`` here. Whether it is an alert, or no more than chance explains, follows from how many
comparisons the whole run makes: :mod:`vgaudit.likeness.settlement` says so when all clips are measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedding import Measure
from vgaudit.likeness.assessability import Assessability, Stretch
from vgaudit.likeness.chance import CohortCalibration
from vgaudit.likeness.entries import GalleryEntry, Role
from vgaudit.likeness.hits import Hit
from vgaudit.likeness.rate_words import rates_sentence
from vgaudit.likeness.tracks import Track
from vgaudit.likeness.wording import FIXED_WORDS, NO_GALLERY_GIVEN, UNCALIBRATED
from vgaudit.records import Finding, Severity
from vgaudit.video import ClipInfo

MATCH = "likeness.match"
SOLICITED = "likeness.solicited"
"""A match of somebody whom the prompt names."""

CONSENTED = "likeness.consented"
UNASSESSABLE = "likeness.unassessable"
PARTLY_UNASSESSABLE = "likeness.partly_unassessable"
"""A face that could not be compared, in a clip in which others could."""

NOT_COMPARED = "likeness.not_compared"
"""Faces in a run that was given no gallery."""

FINDING_KINDS = (MATCH, SOLICITED, CONSENTED, UNASSESSABLE, PARTLY_UNASSESSABLE, NOT_COMPARED)
UNASSESSABLE_KINDS = (UNASSESSABLE, PARTLY_UNASSESSABLE, NOT_COMPARED)
KINDS_WITHOUT_GALLERY = UNASSESSABLE_KINDS
"""What can be found where nobody is compared."""

_NO_RATE = f"It is {UNCALIBRATED}: without a cohort nobody knows how many unrelated people are as alike."

BEST_SHOWN = 3
"""Pictures of a track's most alike faces beside a match."""

MAX_BOXES = 16
"""Boxes listed with a stretch of faces that could not be compared, largest first."""


@dataclass(frozen=True)
class MatchPoint:
    """The similarity from which on a match is called, and where it comes from.

    Attributes:
        similarity: In the embedder's similarity, higher is more alike.
        stated: In the words of its source, e.g. ``L2 distance 0.6``.
        source: Who published it, or that the suite set it.
        origin: ``published`` or ``suite``.
        strict: The embedder's stricter published similarity, if it has one.
        published: The embedder's published similarity, if it has one; differs from ``similarity`` where the suite
            overrides it.
    """

    similarity: float
    stated: str
    source: str
    origin: Literal["published", "suite"]
    strict: float | None = None
    published: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "similarity": self.similarity,
            "stated": self.stated,
            "source": self.source,
            "origin": self.origin,
            "published_similarity": self.published,
        }


def stated_similarity(similarity: float, measure: Measure) -> str:
    """A similarity in the terms papers state it in: ``L2 distance 0.6`` or ``cosine 0.4``."""
    return f"L2 distance {1 - similarity:g}" if measure == "l2" else f"cosine {similarity:g}"


def frame_duration_s(info: ClipInfo) -> float:
    """Seconds that one frame of the clip stands."""
    if info.fps > 0:
        return 1.0 / info.fps
    return info.duration_s / info.frames if info.frames and info.duration_s > 0 else 0.04


@dataclass(frozen=True)
class Audit:
    """What all match findings of a run have in common.

    Attributes:
        entries: The gallery's people.
        roles: Role of each on the day of the run.
        point: Where a match begins.
        embedder: Name of the embedder.
        measure: Of the embedder; ``l2`` findings carry the distance.
        calibration: The cohort, or ``None`` where results are uncalibrated.
        consent_gaps: Of each entry why a stated consent does not hold, or an empty text; may be left out.
    """

    entries: Sequence[GalleryEntry]
    roles: Sequence[Role]
    point: MatchPoint
    embedder: str
    measure: Measure
    calibration: CohortCalibration | None = None
    consent_gaps: tuple[str, ...] = ()

    def consent_gap(self, entry: int) -> str:
        """Why the stated consent of an entry does not hold; an empty text where it does, or none was stated."""
        return self.consent_gaps[entry] if self.consent_gaps else ""


def match_findings(
    sample_id: str,
    hits: Sequence[Hit],
    tracks: Sequence[Track],
    faces: Features,
    audit: Audit,
    *,
    named: Collection[int],
    frame_s: float,
) -> Iterator[Finding]:
    """One finding for each track and person past the point.

    Args:
        sample_id: The sample.
        hits: What was found.
        tracks: The clip's tracks.
        faces: Features of the extractor ``faces``.
        audit: What all findings share.
        named: Positions of the people whom the prompt names.
        frame_s: Duration of one frame.
    """
    for hit in hits:
        track, entry, role = tracks[hit.track], audit.entries[hit.entry], audit.roles[hit.entry]
        best = int(track.embedded[np.argmax(hit.face_similarity)])
        box = faces["box"][best]
        kind = CONSENTED if role == "consented" else SOLICITED if hit.entry in named else MATCH
        detail = _detail(hit, track, faces, audit)
        detail["intent"] = "solicited" if hit.entry in named else "unintended"
        yield Finding(
            sample_id=sample_id,
            kind=kind,
            severity=Severity.INFO if kind == CONSENTED else Severity.REVIEW,
            start_s=track.start_s,
            end_s=track.last_s + frame_s,
            score=hit.best_similarity,
            threshold=audit.point.similarity,
            message=_message(entry.entry_id, kind, hit, audit),
            box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            detail=detail,
        )


def unassessable_findings(
    sample_id: str, found: Assessability, faces: Features, *, frame_s: float, end_s: float
) -> Iterator[Finding]:
    """One finding for each stretch nobody could assess: not a pass, a person has to look.

    Args:
        sample_id: The sample.
        found: What could not be assessed.
        faces: The ``faces`` features it was found in.
        frame_s: Duration of one frame.
        end_s: End of the clip, for a clip of which no frame was examined.
    """
    times = faces["examined_pts_s"]
    part = PARTLY_UNASSESSABLE if found.compared else UNASSESSABLE
    spans: list[tuple[str, float, float, str, dict[str, Any]]] = []
    if not found.examined:
        spans.append((UNASSESSABLE, 0.0, end_s, found.reason, {}))
    for stretch in found.unsearched:
        why = f"{_frames(stretch.frames)} could not be searched for faces ({'; '.join(found.failures)})"
        detail: dict[str, Any] = {"failures": list(found.failures), "frames": stretch.frames}
        spans.append((UNASSESSABLE, *_span(stretch, times), why, detail))
    for stretch in found.uncompared:
        people = len(stretch.faces)
        who = "a face" if people == 1 else f"{people} faces"
        why = f"{who} seen in {_frames(stretch.frames)} could not be compared ({stretch.why})"
        best = stretch.faces[0]
        detail = {
            "reasons": dict(stretch.reasons),
            "frames": stretch.frames,
            "tracks": people,
            "boxes": [[float(v) for v in faces["box"][face]] for face in stretch.faces[:MAX_BOXES]],
            "best_frame": int(faces["frame_index"][best]),
            "best_s": float(faces["pts_s"][best]),
            "confidence": round(float(faces["confidence"][best]), 3),
        }
        spans.append((part, *_span(stretch, times), why, detail))
    for kind, start_s, last_s, why, detail in spans:
        box = detail["boxes"][0] if "boxes" in detail else None
        yield Finding(
            sample_id=sample_id,
            kind=kind,
            severity=Severity.REVIEW,
            start_s=start_s,
            end_s=last_s if not found.examined else last_s + frame_s,
            score=0.0,
            threshold=1.0,
            message=f"Likeness could not be assessed: {why}. This is not a pass: look at the clip.",
            box=(box[0], box[1], box[2], box[3]) if box else None,
            detail=detail | {"faces": found.faces, "usable": found.compared, "reason": why},
        )


def not_compared_findings(
    sample_id: str, found: Assessability, faces: Features, *, frame_s: float
) -> Iterator[Finding]:
    """One finding for each stretch with faces that there is no gallery for; that nobody was compared is told with it.

    Arguments as of :func:`unassessable_findings`. The severity is ``info``: a face is nothing wrong. What keeps
    gates from passing on such a clip is that it counts as unassessed.
    """
    times = faces["examined_pts_s"]
    for stretch in found.seen:
        tracks = len(stretch.faces)
        boxes = [[float(v) for v in faces["box"][face]] for face in stretch.faces[:MAX_BOXES]]
        best = stretch.faces[0]
        start_s, last_s = _span(stretch, times)
        seen = "A face" if tracks == 1 else f"{tracks} faces"
        yield Finding(
            sample_id=sample_id,
            kind=NOT_COMPARED,
            severity=Severity.INFO,
            start_s=start_s,
            end_s=last_s + frame_s,
            score=float(faces["confidence"][best]),
            threshold=0.0,
            message=f"{seen} seen in {_frames(stretch.frames)}; {NO_GALLERY_GIVEN}.",
            box=(boxes[0][0], boxes[0][1], boxes[0][2], boxes[0][3]),
            detail={
                "frames": stretch.frames,
                "tracks": tracks,
                "boxes": boxes,
                "best_frame": int(faces["frame_index"][best]),
                "best_s": float(faces["pts_s"][best]),
            },
        )


def _span(stretch: Stretch, times: NDArray[np.float64]) -> tuple[float, float]:
    return float(times[stretch.first]), float(times[stretch.last])


def _frames(count: int) -> str:
    return f"{count} examined frame{'s' if count != 1 else ''}"


def _message(entry: str, kind: str, hit: Hit, audit: Audit) -> str:
    score = hit.best_similarity
    measured = f"L2 distance {1 - score:.3f}" if audit.measure == "l2" else f"cosine {score:.3f}"
    who = f"gallery entry {entry!r}" + (", who has consented" if kind == CONSENTED else "")
    asked = ", whom the prompt names" if kind == SOLICITED else ""
    gap = audit.consent_gap(hit.entry)
    without = f" The consent on file does not count here: {gap}." if gap else ""
    rates = audit.calibration.rates(hit.entry, hit.similarity) if audit.calibration else None
    told = rates_sentence(rates) if rates else _NO_RATE
    said = f"A face resembles {who}{asked}: {measured}, past {audit.point.stated}."
    return f"{said}{without} {told} This is {FIXED_WORDS}."


def _detail(hit: Hit, track: Track, faces: Features, audit: Audit) -> dict[str, Any]:
    """Everything a reviewer needs of one match, as JSON."""
    best = int(track.embedded[np.argmax(hit.face_similarity)])
    score = hit.best_similarity
    detail: dict[str, Any] = {
        "entry": audit.entries[hit.entry].entry_id,
        "role": audit.roles[hit.entry],
        "images_digest": audit.entries[hit.entry].images_digest,
        "calibration": UNCALIBRATED,
        "rate": None,
        "same_group_rate": None,
        "best_rate": None,
        "best_same_group_rate": None,
        "histogram": None,
        "meaning": FIXED_WORDS,
        "track": hit.track,
        "frames": len(np.unique(faces["frame_index"][track.faces])),
        "supporting_frames": hit.support,
        "best_frame": int(faces["frame_index"][best]),
        "best_s": float(faces["pts_s"][best]),
        "similarity": hit.similarity,
        "best_similarity": score,
        "runner_up": _runner_up(hit, audit),
        "point": audit.point.to_json(),
        "source": audit.point.source,
        "embedder": audit.embedder,
        "shown": [
            {
                "frame": int(faces["frame_index"][track.embedded[i]]),
                "s": float(faces["pts_s"][track.embedded[i]]),
                "similarity": float(hit.face_similarity[i]),
                "kind": kind,
            }
            for i, kind in shown_faces(hit.face_similarity)
        ],
        "timeline": {
            "t": [float(t) for t in faces["pts_s"][track.embedded]],
            "similarity": [float(s) for s in hit.face_similarity],
        },
    }
    if gap := audit.consent_gap(hit.entry):
        detail["consent_gap"] = gap
    if audit.measure == "l2":
        detail["distance"] = 1.0 - score
    if audit.point.strict is not None:
        detail["frames_past_strict_point"] = hit.strict_support
    if audit.calibration is not None:
        detail |= audit.calibration.detail(hit.entry, hit.similarity, max(hit.similarity, score))
    return detail


def shown_faces(similarity: NDArray[np.float64]) -> list[tuple[int, str]]:
    """Which of a track's embedded faces a reviewer sees: the most alike, and a typical one where there are more.

    Args:
        similarity: ``(m,)``, of each.
    """
    order = np.argsort(-similarity, kind="stable")
    chosen = [(int(i), "best") for i in order[:BEST_SHOWN]]
    rest = order[BEST_SHOWN:]
    return chosen + ([(int(rest[len(rest) // 2]), "typical")] if len(rest) else [])


def _runner_up(hit: Hit, audit: Audit) -> Mapping[str, Any] | None:
    """Who else the track resembles most, and by how much less."""
    if hit.runner_up is None:
        return None
    entry, score = hit.runner_up
    runner_up = {
        "entry": audit.entries[entry].entry_id,
        "similarity": score,
        "margin": hit.similarity - score,
    }
    return runner_up | ({"distance": 1.0 - score} if audit.measure == "l2" else {})
