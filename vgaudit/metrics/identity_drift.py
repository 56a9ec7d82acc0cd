"""A face that becomes another one while the shot goes on: faces of examined frames, linked and compared.

Faces are linked over examined frames within a shot. Of each track the faces that can be compared are held against the
one that it began with; what stays farther from it than pictures of one person are is told. Nobody is recognised, and
no finding says that two faces are two people. ``docs/metrics/temporal.md`` has the definition and its limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.arrays import runs
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.extractors.face_embedding import FaceEmbedder, Float
from vgaudit.extractors.faces import FacesOptions, make_embedder
from vgaudit.likeness.assessability import accounted_for, likely_faces, link_faces
from vgaudit.records import Finding, Series, Severity
from vgaudit.video import ClipInfo

KIND = "temporal.identity_drift"
FILE = Path(__file__).with_suffix(".json")

FEWEST_FACES = 4
"""Faces of a track that can be compared, at least: three to begin with, as one may be a bad one, and one to hold
against them. A shot in which faces that cannot be compared show in as many examined frames is not assessed, nor is
one in which they show in most of its examined frames, however few these are."""

BEGINNING = 3
"""Faces of a track of which the one that is most like the others is what the track is held against."""

SHORTEST_DRIFT = 2
"""Compared faces in a row that have to be far from it: a single one may be blurred or turned away."""

UNIT = "L2 distance"

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Floor:
    """Distances that faces of one person stay under (``identity_drift.json`` says which clips taught them).

    Attributes:
        distance: Of any two faces of a person.
        noise: Times the median distance of neighbouring faces in a track: where each face differs that much from the
            next already, a distance says less.
    """

    distance: float
    noise: float


@cache
def floor() -> Floor:
    """What is stored beside this module, for the embedder of :func:`faces_needed`."""
    stored = json.loads(FILE.read_text("utf-8"))
    return Floor(float(stored["threshold"]), float(stored["noise"]))


def faces_needed() -> ExtractorSpec:
    """The faces as ``likeness`` asks for them by default, so that a run with both looks for them once."""
    return ExtractorSpec("faces", FacesOptions().model_dump(mode="json"))


@cache
def _embedder() -> FaceEmbedder:
    options = FacesOptions()
    return make_embedder(options.embedder, options.embedder_options)


def distances(a: Float, b: Float) -> Floats:
    """``(n, m)`` of embeddings ``(n, d)`` and ``(m, d)``: one less their similarity, for dlib the L2 distance."""
    found: Floats = 1.0 - _embedder().similarity(a, b)
    return found


@dataclass(frozen=True)
class Linked:
    """Which faces of a clip belong together; ``(f,)`` each, as in the features.

    Attributes:
        frame: Position of the face's frame among the examined ones.
        shot: Number of its shot.
        track: Number of the face over time; a track stays in one shot.
    """

    frame: Ints
    shot: Ints
    track: Ints

    @classmethod
    def of(cls, faces: Features, cuts: Sequence[int]) -> Linked:
        """From the ``faces`` features and the frames with which another shot begins, ascending."""
        frame = np.searchsorted(faces["frames_examined"], faces["frame_index"])
        shot = np.searchsorted(np.asarray(cuts, np.int64), faces["frame_index"], side="right")
        track = np.full(len(frame), -1, np.intp)
        for number in np.unique(shot):
            here = np.flatnonzero(shot == number)
            track[here] = link_faces(frame[here], faces["box"][here]) + track.max(initial=-1) + 1
        return cls(frame, shot, track)


@dataclass(frozen=True)
class Track:
    """One face over time, as far as it can be compared.

    Attributes:
        faces: ``(n,)`` positions in the features, by time.
        distance: ``(n,)``: of each to the face that the track began with.
        step: Median distance of each to the next.
    """

    faces: Ints
    distance: Floats
    step: float

    @property
    def threshold(self) -> float:
        """The distance over which a face is less like the first than faces of one person are."""
        return max(floor().distance, floor().noise * self.step)


@dataclass(frozen=True)
class Identity:
    """What faces say of a clip: findings by time, the series of the largest drift, facts, and what is unknown."""

    findings: tuple[Finding, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    unassessed: str = ""


def identity_drift(sample_id: str, faces: Features, cuts: Sequence[int], info: ClipInfo) -> Identity:
    """Everything that is found in the faces of a clip.

    Args:
        sample_id: Of the clip.
        faces: Features of the extractor ``faces``.
        cuts: Frames with which another shot begins, ascending.
        info: Facts of the clip.
    """
    for name, array in faces.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return Identity(
                unassessed=f"{name} of a face is not a finite number, so faces could not be compared"
            )
    linked = Linked.of(faces, cuts)
    tracks = list(compared_tracks(faces, linked))
    found: list[tuple[Finding, Track]] = [
        (_finding(sample_id, track, first, end, faces, info), track)
        for track in tracks
        for first, end in drifts(track, faces, linked)
    ]
    found.sort(key=lambda each: (each[0].start_s, each[0].box))
    series = {}
    if found:
        _, worst = max(found, key=lambda each: each[0].score)
        times = tuple(float(t) for t in faces["pts_s"][worst.faces])
        series["identity"] = Series(times, tuple(worst.distance.tolist()), UNIT)
    compared = np.concatenate([np.zeros(0, np.intp), *(track.faces for track in tracks)])
    examined = faces["frames_examined"]
    facts = {
        "frames": info.frames
        or int(examined[-1] + 1 if len(examined) else 0),  # a clip's last frame is examined
        "frames_examined": len(examined),
        "frames_with_faces": len(np.unique(linked.frame)),
        "faces": len(linked.frame),
        "faces_compared": len(compared),
        "tracks_compared": len(tracks),
        "largest_distance": max((float(track.distance.max()) for track in tracks), default=None),
    }
    unknown = _unknown(faces, linked, compared, cuts)
    return Identity(tuple(finding for finding, _ in found), series, facts, unknown)


def compared_tracks(faces: Features, linked: Linked) -> Iterator[Track]:
    """The tracks of a clip that have enough faces which can be compared."""
    embedding, usable = faces["embedding"], faces["usable"]
    for number in np.unique(linked.track[usable]):
        mine = np.flatnonzero((linked.track == number) & usable)
        if len(mine) < FEWEST_FACES:
            continue
        vectors = embedding[mine]
        among = distances(vectors[:BEGINNING], vectors[:BEGINNING]).sum(axis=1)
        steps = [distances(a[None], b[None])[0, 0] for a, b in pairwise(vectors)]
        yield Track(mine, distances(vectors[[among.argmin()]], vectors)[0], float(np.median(steps)))


def drifts(track: Track, faces: Features, linked: Linked) -> Iterator[tuple[int, int]]:
    """Stretches ``(start, end)`` of a track, ``end`` exclusive, in which its face is far from the first one."""
    for first, end in runs(track.distance > track.threshold):
        drifted = track.faces[first:end]
        if end - first >= SHORTEST_DRIFT and not _mixed_up(drifted, faces, linked):
            yield first, end


def _mixed_up(drifted: Ints, faces: Features, linked: Linked) -> bool:
    """Whether most of these faces are rather somebody else of the shot who was linked wrongly: two people crossed.

    So it is if another track showed that face before, and does not show it at the same time as well.
    """
    embedding, frame, track, least = faces["embedding"], linked.frame, linked.track, floor().distance
    shot, mine = linked.shot[drifted[0]], track[drifted[0]]
    others = np.flatnonzero((linked.shot == shot) & (track != mine) & faces["usable"])
    before = others[frame[others] < frame[drifted[0]]]
    elsewhere = 0
    for face in drifted:
        alike = others[distances(embedding[[face]], embedding[others])[0] <= least]
        beside = np.isin(alike, others[frame[others] == frame[face]])
        elsewhere += bool(np.isin(alike, before).any()) and not beside.any()
    return 2 * elsewhere > len(drifted)


def _unknown(faces: Features, linked: Linked, compared: Ints, cuts: Sequence[int]) -> str:
    """Why a drift could be there and not be seen; empty if every face was compared, or one that stands for it.

    Told of faces are shots in which they show in :data:`FEWEST_FACES` examined frames at least, or in most of those
    that the shot has: in a short one nothing is ever compared. In a shot of a single frame nothing can change.
    """
    at = faces["frames_examined"]
    examined, failed = len(at), len(faces["frames_failed"])
    frame, shot, track = linked.frame, linked.shot, linked.track
    done = np.zeros(len(frame), bool)
    done[compared] = True
    likely = likely_faces(faces["confidence"], frame, track, faces["beside"], done, examined - failed)
    left = likely & ~accounted_for(done, frame, faces["pts_s"], faces["box"], track)
    of_shot = np.bincount(
        np.searchsorted(np.asarray(cuts, np.int64), at, side="right"), minlength=len(cuts) + 1
    )
    lasts = np.diff(np.r_[0, np.asarray(cuts, np.int64), at[-1] + 1 if examined else 0])
    counts = [
        count
        for number in np.unique(shot)
        if (count := len(np.unique(frame[left & (shot == number)]))) >= FEWEST_FACES
        or (2 * count > of_shot[number] and lasts[number] > 1)
    ]
    why = []
    if not examined:
        why.append("no frame was examined for faces")
    if failed:
        reasons = "; ".join(faces.facts.get("failures", ())) or "no reason is given"
        why.append(f"{failed} of {examined} frames could not be searched for faces ({reasons})")
    if alone := sum(counts):
        why.append(f"faces in {alone} of {examined} examined frames could not be compared over time")
    return "; ".join(why)


def _finding(sample_id: str, track: Track, first: int, end: int, faces: Features, info: ClipInfo) -> Finding:
    """Of one stretch; it lasts until a face is compared that came back, or to the last one of the track."""
    pts, frames = faces["pts_s"][track.faces], faces["frame_index"][track.faces]
    step = 1.0 / info.fps if info.fps > 0 else 0.04
    start_s, last = float(pts[first]), int(frames[end - 1])
    back = end < len(track.faces)
    end_s = float(pts[end]) if back else float(pts[-1]) + step
    to_the_end = not back and last == int(faces["frames_examined"][-1])
    worst = first + int(track.distance[first:end].argmax())
    score = float(track.distance[worst])
    left, top, right, bottom = (float(v) for v in faces["box"][track.faces[worst]])
    until = "the end" if to_the_end else f"{end_s:.2f} s"
    return Finding(
        sample_id=sample_id,
        kind=KIND,
        severity=Severity.REVIEW,
        start_s=start_s,
        end_s=end_s,
        score=score,
        threshold=track.threshold,
        message=f"From {start_s:.2f} s to {until} a face is less like what it was at {float(pts[0]):.2f} s than "
        "pictures of one person usually are like each other "
        f"(distance {score:.2f}, threshold {track.threshold:.2f}).",
        box=(left, top, right, bottom),
        detail={
            "first_frame": int(frames[first]),
            "last_frame": int(frames[end]) - 1 if back else last,
            "unit": UNIT,
            "worst_frame": int(frames[worst]),
            "faces": end - first,
            "faces_compared": len(track.faces),
            "median_distance": float(np.median(track.distance[first:end])),
        },
    )
