"""Make a clip in which no face can be recognised, and check it with our own detector and embedder.

Every frame is searched, at a lower threshold than for matching: a face too many costs a patch, one too few costs a
person. What is found is covered (:mod:`vgaudit.pipeline.face_masks`) and encoded; then the file itself is decoded and
searched again. Where that still finds somebody, masks get coarser and larger, until it finds nobody or the clip is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_detection import DetectionFailed, Detections, FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.extractors.face_neighbours import SAME_FACE_IOU, box_overlaps
from vgaudit.extractors.face_quality import unusable_reason
from vgaudit.pipeline.face_masks import Found, Mask, cover, covers
from vgaudit.video import ClipReader, Frames, MediaLimits
from vgaudit.video.encoding import EncoderSettings, PreviewWriter

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

LOW_THRESHOLDS = (0.4, 0.5, 0.5)
"""Scores from which on something is covered; 0.6, 0.7, 0.7 are those at which the audit sees a face."""

LOW_MIN_FACE = 16
"""Smallest face covered, in pixels of the frame as searched: below what can be compared."""

ROUNDS = 5
"""How often a clip is encoded and checked before it is left out."""

WITHIN = 0.8
"""Share of a face's box from which on it is said to lie under a mask."""

ENCODER = EncoderSettings(crf=20)


class LeftOut(Exception):
    """A clip cannot be shared; the message names no file and nobody."""


@dataclass(frozen=True)
class Judge:
    """What a clip is searched with, and whom it is held against.

    Attributes:
        ordinary: The detector as the audit used it.
        low: One that finds more.
        embedder: Of the audit; loaded.
        point: Similarity from which on the audit calls a match.
        templates: ``(n, d)`` of the gallery's people; ``(0, d)`` without a gallery.
        min_side: Of a usable face, in pixels of the clip.
        min_confidence: Of a usable face.
    """

    ordinary: FaceDetector
    low: FaceDetector
    embedder: FaceEmbedder
    point: float
    templates: Float32
    min_side: float
    min_confidence: float

    def usable(self, rgb: UInt8, found: Detections) -> NDArray[np.bool_]:
        """Which faces of a frame the audit would compare."""
        return np.array(
            [
                not unusable_reason(
                    rgb, box, points, float(score), min_side=self.min_side, min_confidence=self.min_confidence
                )
                for box, points, score in zip(found.boxes, found.landmarks, found.confidence, strict=True)
            ],
            bool,
        )

    def vectors(self, rgb: UInt8, boxes: Float32, landmarks: Float32) -> Float32:
        """Embeddings ``(n, d)`` of the faces at these places, or of what is there now."""
        if not len(boxes):
            return np.zeros((0, self.embedder.dimension), np.float32)
        return self.embedder.embed(self.embedder.align(rgb, boxes, landmarks))

    def nearest(self, vectors: Float32, others: Float32) -> NDArray[np.float64]:
        """Highest similarity ``(n,)`` of each to any of the others; minus infinity where there is none."""
        if not len(vectors) or not len(others):
            return np.full(len(vectors), -np.inf)
        best: NDArray[np.float64] = self.embedder.similarity(vectors, others).max(axis=1)
        return best


@dataclass(frozen=True)
class Checked:
    """What was done to a clip and what the check of the finished file said.

    Attributes:
        frames: Frames of the file, every one of them searched.
        seconds: From where to where of the original, or nothing where it is whole.
        faces: Faces that the audit's detector sees in the frames of the original.
        usable: Of those the ones that can be compared.
        covered: Faces covered, over all frames; with those that only the lower threshold sees, and frames between.
        tracks: Faces over time that were covered.
        flat: Of those the ones that had to become one flat colour.
        rounds: How often it was encoded.
        found: Faces that the audit's detector finds in the file: 0, or the clip were left out.
        found_low: Places that the lower threshold takes for a face in the file, none of them usable or alike.
        similarity_before: Highest similarity of a usable face of the original to the gallery.
        similarity_after: Highest of what stands in its place, to the faces of the original and to the gallery,
            places of one flat colour left out: there is nothing to compare.
    """

    frames: int
    seconds: tuple[float, float] | None
    faces: int
    usable: int
    covered: int
    tracks: int
    flat: int
    rounds: int
    found: int
    found_low: int
    similarity_before: float | None
    similarity_after: float | None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return dict(vars(self)) | {"seconds": list(self.seconds) if self.seconds else None}


@dataclass
class _Original:
    """What is known of a clip before anything is covered."""

    masks: list[Mask] = field(default_factory=list)
    places: dict[int, Detections] = field(default_factory=dict)
    vectors: list[Float32] = field(default_factory=list)
    fps: float = 0.0
    frames: int = 0
    faces: int = 0
    usable: int = 0


@dataclass
class _Outcome:
    """What a check found, and what is to be done about it."""

    coarser: set[int] = field(default_factory=set)
    fresh: Found = field(default_factory=Found)
    frames: int = 0
    found: int = 0
    found_low: int = 0
    nearest: float = -np.inf
    failed: bool = False


def blur(
    source: Path, video: Path, poster: Path, judge: Judge, limits: MediaLimits,
    seconds: tuple[float, float] | None = None,
) -> Checked:  # fmt: skip
    """Write ``source`` with every face covered, without sound and without facts of the file.

    Args:
        source: A clip.
        video: mp4 to write.
        poster: JPEG to write: its first frame that is not dark. Not written where our detector finds a face in it.
        judge: Detectors and embedder, loaded.
        limits: For decoding.
        seconds: Only the frames from here to there; all without.

    Raises:
        LeftOut: It was searched in vain, or a face is still found after :data:`ROUNDS` rounds. Nothing is written.
        MediaError: The clip cannot be decoded.
    """
    try:
        return _blur(source, video, poster, judge, limits, seconds)
    except BaseException:
        video.unlink(missing_ok=True)
        poster.unlink(missing_ok=True)
        raise


def _blur(
    source: Path, video: Path, poster: Path, judge: Judge, limits: MediaLimits,
    seconds: tuple[float, float] | None,
) -> Checked:  # fmt: skip
    known = _look(source, judge, limits, seconds)
    masks = known.masks
    against = np.concatenate([judge.templates, *known.vectors])
    for round_ in range(1, ROUNDS + 1):
        _write(source, video, poster, masks, limits, seconds)
        outcome = _check(video, masks, known, judge, against, limits)
        if outcome.frames != known.frames:
            raise LeftOut(
                f"{known.frames} frames were to be checked, {outcome.frames} are in the encoded clip"
            )
        if not outcome.failed:
            _check_poster(poster, judge)
            before = (
                judge.nearest(np.concatenate(known.vectors), judge.templates).max() if known.vectors else None
            )
            return Checked(
                frames=outcome.frames, seconds=seconds, faces=known.faces, usable=known.usable,
                covered=sum(len(m.frames) for m in masks), tracks=len(masks), flat=sum(m.flat for m in masks),
                rounds=round_, found=outcome.found, found_low=outcome.found_low,
                similarity_before=_number(before), similarity_after=_number(outcome.nearest),
            )  # fmt: skip
        masks = [m.coarser() if i in outcome.coarser else m for i, m in enumerate(masks)]
        masks += outcome.fresh.masks(known.fps, known.frames, level=1)
    raise LeftOut(f"our detector still found a face after {ROUNDS} rounds of covering them")


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _frames(path: Path, limits: MediaLimits, seconds: tuple[float, float] | None) -> Iterator[Frames]:
    """Frames of a clip between two moments, numbered and timed from the first of them."""
    first = None
    with ClipReader(path, limits) as reader:
        for block in reader:
            keep = np.ones(len(block), bool)
            if seconds is not None:
                keep = (block.pts_s >= seconds[0]) & (block.pts_s <= seconds[1])
            if keep.any():
                start = block.start + int(np.argmax(keep))
                times = block.pts_s[keep]
                first = first or (start, float(times[0]))
                yield Frames(block.rgb[keep], start - first[0], times - first[1])
            elif first is not None:
                return


def _detected(detector: FaceDetector, frames: Sequence[UInt8]) -> list[Detections]:
    """Faces of each frame.

    Raises:
        LeftOut: A frame could not be searched: what is in it is not known.
    """
    try:
        step = max(1, detector.batch)
        return [
            each for i in range(0, len(frames), step) for each in detector.detect_many(frames[i : i + step])
        ]
    except DetectionFailed as error:
        raise LeftOut("the face detector broke on a frame, so it is not known who is in it") from error
    except ValueError as error:
        raise LeftOut("its frames are too small to be searched for faces") from error


def _look(source: Path, judge: Judge, limits: MediaLimits, seconds: tuple[float, float] | None) -> _Original:
    known, gathered, times = _Original(), Found(), [0.0]
    for block in _frames(source, limits, seconds):
        both = zip(_detected(judge.ordinary, [*block.rgb]), _detected(judge.low, [*block.rgb]), strict=True)
        for offset, (sure, low) in enumerate(both):
            number, rgb = block.start + offset, block.rgb[offset]
            overlaps = box_overlaps(sure.boxes, low.boxes)
            alone = (
                overlaps.max(axis=1, initial=0.0) < SAME_FACE_IOU
            )  # what the lower threshold joined with another
            gathered.add(number, rgb, np.concatenate([low.boxes, sure.boxes[alone]]))
            usable = judge.usable(rgb, sure)
            known.faces += len(sure)
            if usable.any():
                place = Detections(sure.boxes[usable], sure.landmarks[usable], sure.confidence[usable])
                known.places[number] = place
                known.vectors.append(judge.vectors(rgb, place.boxes, place.landmarks))
                known.usable += len(place)
        times.append(float(block.pts_s[-1]))
        known.frames = block.start + len(block)
    if not known.frames:
        raise LeftOut("it has no frame in the span of the hit")
    known.fps = (known.frames - 1) / times[-1] if times[-1] > 0 else 25.0
    known.masks = gathered.masks(known.fps, known.frames)
    return known


def _write(
    source: Path, video: Path, poster: Path, masks: Sequence[Mask], limits: MediaLimits,
    seconds: tuple[float, float] | None,
) -> None:  # fmt: skip
    with ClipReader(source, limits) as reader:
        reader.read_first()
        info = reader.info
    with PreviewWriter(video, poster, info, ENCODER) as writer:
        for block in _frames(source, limits, seconds):
            covered = np.stack([cover(rgb, block.start + i, masks) for i, rgb in enumerate(block.rgb)])
            writer.push(Frames(covered, block.start, block.pts_s))


def _check(
    video: Path, masks: Sequence[Mask], known: _Original, judge: Judge, against: Float32, limits: MediaLimits
) -> _Outcome:
    outcome = _Outcome()
    for block in _frames(video, limits, None):
        both = zip(_detected(judge.ordinary, [*block.rgb]), _detected(judge.low, [*block.rgb]), strict=True)
        for offset, (sure, low) in enumerate(both):
            number, rgb = block.start + offset, block.rgb[offset]
            outcome.frames += 1
            outcome.found += len(sure)
            outcome.found_low += len(low)
            for box in sure.boxes:
                _failed(outcome, number, rgb, box, masks)
            alike = judge.nearest(judge.vectors(rgb, low.boxes, low.landmarks), against)
            for box, usable, similarity in zip(low.boxes, judge.usable(rgb, low), alike, strict=True):
                if _is_flat(masks, number, box, rgb.shape):
                    continue
                outcome.nearest = max(outcome.nearest, float(similarity))
                if usable or similarity >= judge.point:
                    _failed(outcome, number, rgb, box, masks)
            if (
                place := known.places.get(number)
            ) is not None:  # also where no detector sees anything any more
                alike = judge.nearest(judge.vectors(rgb, place.boxes, place.landmarks), against)
                for box, similarity in zip(place.boxes, alike, strict=True):
                    if _is_flat(masks, number, box, rgb.shape):
                        continue
                    outcome.nearest = max(outcome.nearest, float(similarity))
                    if similarity >= judge.point:
                        _failed(outcome, number, rgb, box, masks)
    return outcome


def _is_flat(masks: Sequence[Mask], frame: int, box: Float32, size: tuple[int, ...]) -> bool:
    """Whether a place shows one flat colour: a network's answer to that is about nobody."""
    return any(m.flat and covers(m, frame, box, size) >= WITHIN for m in masks)


def _failed(outcome: _Outcome, frame: int, rgb: UInt8, box: Float32, masks: Sequence[Mask]) -> None:
    """Note that somebody is still seen at a place: what covers it gets coarser, what lies bare is covered."""
    outcome.failed = True
    under = [i for i, m in enumerate(masks) if covers(m, frame, box, rgb.shape) > 0.3]
    outcome.coarser.update(under)
    if not under and not outcome.fresh.holds(frame, box):
        outcome.fresh.add(frame, rgb, box[None])


def _check_poster(poster: Path, judge: Judge) -> None:
    """Remove a poster in which a face is found: it is another encoding of a frame that was checked."""
    bgr = cv2.imdecode(np.frombuffer(poster.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        poster.unlink()
        return
    rgb = np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)
    if not judge.ordinary.can_examine(*rgb.shape[:2]) or len(_detected(judge.ordinary, [rgb])[0]):
        poster.unlink()
