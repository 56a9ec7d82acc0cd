"""The likeness page with clips, for passing on: faces covered in every frame, and what was checked of that.

The audit's stored faces are of every third frame or so: enough to find somebody, not to hide everybody. So clips are
searched anew, frame by frame (:mod:`vgaudit.pipeline.blurred_clip`). What cannot be checked is left out, with the
reason; the page is complete without it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vgaudit.errors import MediaError, Unavailable, VgauditError
from vgaudit.extractors.face_detection import DetectionFailed, Detections, FaceDetector
from vgaudit.extractors.face_embedding import published_point
from vgaudit.metrics.likeness_options import LikenessOptions
from vgaudit.metrics.likeness_sources import Sources
from vgaudit.pipeline.blurred_clip import (
    LOW_MIN_FACE,
    LOW_THRESHOLDS,
    ROUNDS,
    Checked,
    Judge,
    LeftOut,
    blur,
)
from vgaudit.pipeline.face_masks import CELLS, COLOUR_STEP
from vgaudit.pipeline.runspec import RunSpec
from vgaudit.progress import Progress, Silent
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.likeness_hits import CARDS_SHOWN, RawHit, raw_hits
from vgaudit.reports.likeness_page import refuse_shareable, write_shareable
from vgaudit.reports.likeness_shared import SharedClip, SharedMedia
from vgaudit.video import MediaLimits

WHOLE_S = 10.0
"""A clip up to this long is shared whole; of a longer one what holds its hits."""

AROUND_S, LONGEST_S = 1.0, 20.0
"""Seconds kept before and after the hits of a longer clip, and the most that is kept."""

NO_JUDGE = (
    "the face detector, the embedder or the gallery of the run is not at hand, so no clip could be checked"
)

_BROKEN = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def share(
    data: ReportData, folder: Path, *, with_prompts: bool = False, progress: Progress | None = None
) -> Path:
    """Write the likeness page that may be passed on, with the clips of its hits; returns the page's path.

    Args:
        data: The run.
        folder: An empty or new folder outside the run directory.
        with_prompts: Show prompts beside hits, but for those known to name somebody.
        progress: Where to say how far it is, and why a clip was left out.

    Raises:
        UsageError: See :func:`vgaudit.reports.likeness_page.write_shareable`.
    """
    refuse_shareable(data, folder)
    told = progress or Silent()
    hits: dict[str, list[RawHit]] = {}
    for hit in [hit for hit in raw_hits(data) if not hit.consented][:CARDS_SHOWN]:
        hits.setdefault(hit.entry.sample.sample_id, []).append(hit)
    places = {entry.sample.sample_id: i for i, entry in enumerate(data.clips, 1)}
    spec = RunSpec.from_json(data.manifest["spec"])
    with tempfile.TemporaryDirectory(prefix="vgaudit-share-") as scratch:  # readable by its owner only
        judge: Judge | None = None
        try:
            judge = _judge(spec)
        except (VgauditError, ValidationError, *_BROKEN) as error:
            told.note(f"clips are left out: {error}")
        clips = {}
        with told.stage("clips of hits", len(hits)) as stage:
            for sample, its in hits.items():
                name = f"clip-{places[sample]}"
                made = SharedClip(words=f"Left out: {NO_JUDGE}.")
                if judge is not None:
                    made = _clip(data, its, name, Path(scratch), judge, MediaLimits(**spec.limits), told)
                clips[sample] = made
                stage.advance(name)
        shared = SharedMedia(
            Path(scratch),
            clips,
            PictureJudge(judge) if judge is not None else None,
            "" if judge is not None else NO_JUDGE.replace("no clip", "they could not be checked and no clip"),
            _method(judge) if judge is not None else {},
        )
        return write_shareable(data, folder, with_prompts=with_prompts, shared=shared)


def _judge(spec: RunSpec) -> Judge:
    """Detectors, embedder and gallery of the run, loaded.

    Raises:
        VgauditError: Something is missing or wrong.
    """
    if "likeness" not in spec.metrics:
        raise Unavailable("the suite of the run names no likeness audit", "run it again with one")
    options = LikenessOptions(**spec.metrics["likeness"].options)
    sources = Sources(options, spec.base_dir)
    ordinary = FaceDetector(options.min_face, options.short_side, options.device)
    low_face = min(LOW_MIN_FACE, options.min_face)
    low = FaceDetector(low_face, options.short_side, options.device, LOW_THRESHOLDS)
    embedder = sources.embedder
    for loaded in (ordinary, low, embedder):
        loaded.load()
    templates = np.zeros((0, embedder.dimension), np.float32)
    if (gallery := sources.gallery()) is None:
        published = published_point(embedder.points)
        if published is None:
            raise Unavailable("the embedder has no published point", "name a gallery and a threshold")
        point = published.similarity
    else:
        point = sources.point().similarity
        roles = np.array([entry.role != "cohort" for entry in gallery.entries])
        templates = np.asarray(gallery.templates[roles[gallery.owners]], np.float32)
    return Judge(ordinary, low, embedder, point, templates, options.min_side, options.min_confidence)


def _method(judge: Judge) -> dict[str, object]:
    return {
        "detector": judge.ordinary.fingerprint,
        "low_thresholds": list(LOW_THRESHOLDS),
        "low_min_face_px": judge.low.min_face,
        "embedder": judge.embedder.fingerprint,
        "match_from_similarity": round(judge.point, 4),
        "gallery_templates": len(judge.templates),
        "rounds_at_most": ROUNDS,
        "cells_of_a_mask": list(CELLS),
        "colour_step": COLOUR_STEP,
    }


def _clip(
    data: ReportData, hits: Sequence[RawHit], name: str, scratch: Path, judge: Judge, limits: MediaLimits,
    progress: Progress,
) -> SharedClip:  # fmt: skip
    """The clip of some hits, covered and checked, or why there is none; of the reason the page says what is safe."""
    entry = hits[0].entry
    source = _source(data, entry)
    if source is None:
        return SharedClip(words="Left out: the clip is not in the run directory any more, or was changed.")
    video, poster = scratch / f"{name}.mp4", scratch / f"{name}.jpg"
    try:
        checked = blur(source, video, poster, judge, limits, _span(entry, hits))
    except LeftOut as error:
        return SharedClip(words=f"Left out: {error}.")
    except MediaError as error:
        progress.note(f"{name} is left out: {error}")
        return SharedClip(words="Left out: it could not be decoded or encoded.")
    except _BROKEN as error:  # of a detector, an embedder of others, or the disk
        progress.note(f"{name} is left out: {type(error).__name__}: {error}")
        return SharedClip(words=f"Left out: covering its faces broke ({type(error).__name__}).")
    return SharedClip(video.name, poster.name if poster.is_file() else "", _words(checked), checked.to_json())


def _source(data: ReportData, entry: ClipEntry) -> Path | None:
    if entry.clip.outcome != "ok" or entry.clip.media_error or not entry.clip.file:
        return None
    run_dir = data.run_dir.resolve()
    path = (run_dir / entry.clip.file).resolve()
    return path if path.is_file() and path.is_relative_to(run_dir) else None


def _span(entry: ClipEntry, hits: Sequence[RawHit]) -> tuple[float, float] | None:
    """Nothing for a short clip; else seconds around its hits."""
    length = entry.clip.info.get("duration_s")
    if isinstance(length, (int, float)) and 0 < length <= WHOLE_S:
        return None
    start = max(0.0, min(hit.finding.start_s for hit in hits) - AROUND_S)
    end = max(hit.finding.end_s for hit in hits) + AROUND_S
    return start, min(end, start + LONGEST_S)


def _words(checked: Checked) -> str:
    covered = numbers.count(
        checked.tracks, "face, or what looked like one, was", "faces, or what looked like one, were"
    )
    covered = f"{covered} covered" if checked.tracks else "there was nothing to cover"
    part = ""
    if checked.seconds is not None:
        start, end = (numbers.seconds(s) for s in checked.seconds)
        part = f" Only {start} to {end} of the clip."
    again = f", after {checked.rounds} rounds" if checked.rounds > 1 else ""
    frames = numbers.count(checked.frames, "frame")
    return f"Checked: no face found by our detector in {frames}{again}; {covered}.{part}"


class PictureJudge:
    """Says whether a mosaic of a face is too far from the face, and from the gallery, to tell anybody.

    That a detector still calls a mosaic a face does no harm by itself; that its embedding lies within the point at
    which the audit calls a match does. The mosaic is embedded where a face is found in it, and where one was in its
    source.

    Args:
        judge: As for clips.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def __call__(self, source: Path, mosaic: bytes) -> bool:
        """Whether the mosaic (PNG) of a picture may be shared; no where it cannot be told."""
        judge = self._judge
        face = _decoded(source.read_bytes())
        shown = _decoded(mosaic)
        if face is None or shown is None:
            return False
        height, width = face.shape[:2]
        shown = np.asarray(cv2.resize(shown, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
        try:
            if not judge.low.can_examine(height, width):
                return False
            before, after = judge.low.detect(face), judge.low.detect(shown)
        except DetectionFailed:
            return False
        if not len(before):  # cut out around a face, which fills the middle
            before = _middle(height, width)
        own = judge.vectors(face, before.boxes, before.landmarks)
        against = np.concatenate([judge.templates, own])
        for places in (before, after):
            vectors = judge.vectors(shown, places.boxes, places.landmarks)
            if (judge.nearest(vectors, against) >= judge.point).any():
                return False
        return True


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


_MIDDLE_BOX = np.array([0.2, 0.2, 0.8, 0.8], np.float32)
_MIDDLE_POINTS = np.array([[0.38, 0.42], [0.62, 0.42], [0.5, 0.54], [0.41, 0.66], [0.59, 0.66]], np.float32)


def _middle(height: int, width: int) -> Detections:
    size = np.array([width, height], np.float32)
    return Detections(
        (_MIDDLE_BOX * np.tile(size, 2))[None], (_MIDDLE_POINTS * size)[None], np.ones(1, np.float32)
    )
