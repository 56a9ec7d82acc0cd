"""Turn similarities into findings: who was matched when, and which clips could not be assessed.

Without calibration against unrelated people no finding here is worse, or milder, than ``review``: a published
threshold says nothing of how many strangers resemble this person at least as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_embedding import Measure
from vgaudit.likeness.assessability import Assessability, Stretch
from vgaudit.likeness.entries import Role
from vgaudit.likeness.matching import Span, matching_spans
from vgaudit.likeness.wording import FIXED_WORDS, NO_GALLERY_GIVEN, UNCALIBRATED
from vgaudit.records import Finding, Severity
from vgaudit.video import ClipInfo

MATCH = "likeness.match"
CONSENTED = "likeness.consented"
UNASSESSABLE = "likeness.unassessable"
PARTLY_UNASSESSABLE = "likeness.partly_unassessable"
"""A face that could not be compared, in a clip in which others could."""

NOT_COMPARED = "likeness.not_compared"
"""Faces in a run that was given no gallery."""

FINDING_KINDS = (MATCH, CONSENTED, UNASSESSABLE, PARTLY_UNASSESSABLE, NOT_COMPARED)
KINDS_WITHOUT_GALLERY = (UNASSESSABLE, PARTLY_UNASSESSABLE, NOT_COMPARED)
"""What can be found where nobody is compared."""

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


@dataclass(frozen=True)
class ComparedFaces:
    """The usable faces of a clip and how much each resembles each entry.

    Attributes:
        scores: float64 ``(f, entries)``; higher is more alike.
        frame: ``(f,)``: position of each face's frame among the examined frames.
        boxes: float32 ``(f, 4)``.
        frame_index: ``(k,)``: examined frames of the clip.
        pts_s: float64 ``(k,)``: their times.
    """

    scores: NDArray[np.float64]
    frame: NDArray[np.intp]
    boxes: NDArray[np.float32]
    frame_index: NDArray[np.int32]
    pts_s: NDArray[np.float64]

    @classmethod
    def of(cls, faces: Features, scores: NDArray[np.float64]) -> ComparedFaces:
        """From the ``faces`` features and the scores of their usable faces."""
        usable = faces["usable"]
        position = np.searchsorted(faces["frames_examined"], faces["frame_index"][usable])
        return cls(scores, position, faces["box"][usable], faces["frames_examined"], faces["examined_pts_s"])


def stated_similarity(similarity: float, measure: Measure) -> str:
    """A similarity in the terms papers state it in: ``L2 distance 0.6`` or ``cosine 0.4``."""
    return f"L2 distance {1 - similarity:g}" if measure == "l2" else f"cosine {similarity:g}"


def frame_duration_s(info: ClipInfo) -> float:
    """Seconds that one frame of the clip stands."""
    if info.fps > 0:
        return 1.0 / info.fps
    return info.duration_s / info.frames if info.frames and info.duration_s > 0 else 0.04


def match_findings(
    sample_id: str,
    compared: ComparedFaces,
    people: Sequence[tuple[str, Role]],
    point: MatchPoint,
    *,
    embedder: str,
    measure: Measure,
    frame_s: float,
) -> Iterator[Finding]:
    """One finding for each entry and stretch of examined frames with a face past the point.

    Args:
        sample_id: The sample.
        compared: Faces and scores.
        people: Id and effective role of each column of the scores; ``cohort`` is never reported.
        point: Where a match begins.
        embedder: Name, for the reader.
        measure: Of the embedder; ``l2`` findings carry the distance.
        frame_s: Duration of one frame.
    """
    for column, (entry, role) in enumerate(people):
        if role == "cohort":
            continue
        scores = compared.scores[:, column]
        for span in matching_spans(scores, compared.frame, len(compared.frame_index), point.similarity):
            detail = _detail(compared, people, column, span, point, measure) | {"embedder": embedder}
            box = compared.boxes[span.best_face]
            yield Finding(
                sample_id=sample_id,
                kind=CONSENTED if role == "consented" else MATCH,
                severity=Severity.INFO if role == "consented" else Severity.REVIEW,
                start_s=float(compared.pts_s[span.first]),
                end_s=float(compared.pts_s[span.last]) + frame_s,
                score=span.score,
                threshold=point.similarity,
                message=_message(entry, role, span.score, point, measure),
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


def _message(entry: str, role: Role, score: float, point: MatchPoint, measure: Measure) -> str:
    measured = f"L2 distance {1 - score:.3f}" if measure == "l2" else f"cosine {score:.3f}"
    who = f"gallery entry {entry!r}" + (", who has consented" if role == "consented" else "")
    return f"A face resembles {who}: {measured}, past {point.stated} ({UNCALIBRATED}; {FIXED_WORDS})."


def _detail(
    compared: ComparedFaces,
    people: Sequence[tuple[str, Role]],
    column: int,
    span: Span,
    point: MatchPoint,
    measure: Measure,
) -> dict[str, Any]:
    frame = int(compared.frame[span.best_face])
    detail: dict[str, Any] = {
        "entry": people[column][0],
        "role": people[column][1],
        "calibration": UNCALIBRATED,
        "meaning": FIXED_WORDS,
        "frames": span.frames,
        "best_frame": int(compared.frame_index[frame]),
        "best_s": float(compared.pts_s[frame]),
        "similarity": span.score,
        "runner_up": _runner_up(compared.scores[span.best_face], people, column, measure),
        "published_point": point.to_json(),
        "source": point.source,
    }
    if measure == "l2":
        detail["distance"] = 1.0 - span.score
    if point.strict is not None:
        inside = (compared.frame >= span.first) & (compared.frame <= span.last)
        strict = inside & (compared.scores[:, column] >= point.strict)
        detail["frames_past_strict_point"] = len(np.unique(compared.frame[strict]))
    return detail


def _runner_up(
    scores: NDArray[np.float64], people: Sequence[tuple[str, Role]], column: int, measure: Measure
) -> Mapping[str, Any] | None:
    """Who else the best face resembles most, and by how much less."""
    others = [i for i, (_, role) in enumerate(people) if i != column and role != "cohort"]
    if not others:
        return None
    best = max(others, key=lambda i: scores[i])
    runner_up = {
        "entry": people[best][0],
        "similarity": float(scores[best]),
        "margin": float(scores[column] - scores[best]),
    }
    return runner_up | ({"distance": 1.0 - float(scores[best])} if measure == "l2" else {})
