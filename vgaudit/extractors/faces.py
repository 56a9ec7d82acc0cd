"""Faces of a clip: where they are, whether they can be compared, and the embedding of those that can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from vgaudit import registry
from vgaudit.errors import UsageError
from vgaudit.extractors.base import Features, Unit, make_fingerprint
from vgaudit.extractors.face_chains import SCARCE_FRAMES, Chains, SeenFaces
from vgaudit.extractors.face_crops import JPEG_QUALITY, SURROUND, crop, encoded
from vgaudit.extractors.face_crops import SIDE as CROP_SIDE
from vgaudit.extractors.face_detection import NO_FACES, DetectionFailed, Detections, FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.extractors.face_neighbours import (
    BESIDE_S,
    SAME_FACE_IOU,
    SURE_CONFIDENCE,
    Neighbours,
    box_overlaps,
)
from vgaudit.extractors.face_quality import (
    DETAIL_SIDE,
    FULL_DETAIL,
    FULL_SIDE,
    MIN_CONTRAST,
    MIN_DETAIL,
    TOO_MANY,
    quality,
    unusable_reason,
)
from vgaudit.extractors.face_tracks import (
    FEWEST_COMPARED,
    LINK_FRAMES,
    LOOK_SIDE,
    REACH_S,
    SAME_LOOK,
    link_faces,
    look,
)
from vgaudit.extractors.face_weights import installed_release
from vgaudit.extractors.frame_choice import EVERY, EVERY_S, MIN_FRAMES, FrameChooser, HeldFrame
from vgaudit.extractors.shot_cuts import SIDE as SHOT_SIDE
from vgaudit.extractors.shot_cuts import THRESHOLD as SHOT_THRESHOLD
from vgaudit.extractors.shot_cuts import ShotCounter
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.devices import Device

EMBED_BATCH = 16
"""Chips embedded at once; fixed, and never shared between clips."""


class FacesOptions(BaseModel):
    """Options of the faces extractor.

    Attributes:
        embedder: Registered face embedder.
        embedder_options: Its options.
        stride: ``auto`` (every third frame and at least three a second, first and last included, more where faces
            come, go or change), or every how many frames; 1 examines every frame.
        short_side: Frames are scaled down to this short side for detection; embedding sees every pixel.
        min_face: Smallest face searched for, in pixels of the scaled frame.
        min_side: Smallest shorter side of a usable face, in pixels of the clip.
        min_confidence: Smallest detection confidence of a usable face.
        max_faces: Faces compared per frame, largest first; the rest are listed as unusable.
        device: Where the detector runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedder: str = "dlib"
    embedder_options: dict[str, Any] = Field(default_factory=dict)
    stride: Literal["auto"] | PositiveInt = "auto"
    short_side: int = Field(default=720, ge=64)
    min_face: int = Field(default=20, ge=12)
    min_side: float = Field(default=24, ge=1)
    min_confidence: float = Field(default=0.9, ge=0, le=1)
    max_faces: int = Field(default=32, ge=1)
    device: Device = "auto"


def make_embedder(name: str, options: dict[str, Any]) -> FaceEmbedder:
    """The registered embedder ``name``, constructed but not loaded.

    Raises:
        UsageError: No such embedder, or options it does not know.
    """
    implementation = registry.load("face_embedders", name)
    try:
        parsed = implementation.Options(**options)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        known = ", ".join(implementation.Options.model_fields) or "none"
        raise UsageError(f"embedder_options of {name!r}: {problems} (known: {known})") from error
    made: FaceEmbedder = implementation(parsed)
    return made


class FacesExtractor:
    """MTCNN boxes and landmarks, then an embedder.

    Features, with F faces in frame order (largest first within a frame) and K examined frames:
        frame_index: int32 ``(F,)``: frame of the clip.
        pts_s: float64 ``(F,)``: its time.
        box: float32 ``(F, 4)``: left, top, right, bottom in pixels of the clip; may leave the frame.
        landmarks: float32 ``(F, 5, 2)``.
        confidence: float32 ``(F,)``.
        usable: bool ``(F,)``.
        reason: str ``(F,)``: why a face is not usable; empty for usable ones.
        quality: float32 ``(F,)`` in [0, 1]: how much a usable face tells (``face_quality.quality``); otherwise 0.
        track: int32 ``(F,)``: number of the face over time, linked by overlap within a shot.
        embedding: float32 ``(F, d)``: zero for faces that are not usable.
        crop_jpeg: uint8 ``(B,)``, and crop_start: int64 ``(F + 1,)``: a JPEG picture of each usable face with what
            surrounds it lies from ``crop_start[i]`` to ``crop_start[i + 1]``; empty for the others.
        frames_examined: int32 ``(K,)``, ascending.
        examined_pts_s: float64 ``(K,)``.
        shot: int32 ``(K,)``: number of each examined frame's shot.
        frames_failed: int32: examined frames the detector broke on or that are too small to hold a face.
        beside: bool ``(F,)``: the frame before or after shows a face at the same place too, or that was not looked
            into: every frame is examined, the clip shows a sure face already, or neither frame was at hand.
    """

    name: ClassVar[str] = "faces"
    Options: ClassVar[type[BaseModel]] = FacesOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: FacesOptions) -> None:
        self.options = options
        self.embedder = make_embedder(options.embedder, options.embedder_options)
        self.detector = FaceDetector(options.min_face, options.short_side, options.device)
        plain = options.model_dump(
            mode="json", exclude={"embedder_options", "device", "short_side", "min_face"}
        )
        self.fingerprint = make_fingerprint(
            self.name,
            5,
            plain
            | {"limits": [MIN_CONTRAST, MIN_DETAIL, DETAIL_SIDE], "frames": [EVERY, EVERY_S, MIN_FRAMES]}
            | {
                "sure": SURE_CONFIDENCE,
                "beside": [BESIDE_S, SAME_FACE_IOU],
                "shots": [SHOT_SIDE, SHOT_THRESHOLD],
            }
            | {"crops": [CROP_SIDE, SURROUND, JPEG_QUALITY]}
            | {"tracks": [LINK_FRAMES, REACH_S, LOOK_SIDE, SAME_LOOK, FEWEST_COMPARED, SCARCE_FRAMES]}
            | {"quality": [FULL_SIDE, FULL_DETAIL], "scenedetect": installed_release("scenedetect-headless")},
            detector=self.detector.fingerprint,
            embedder=self.embedder.fingerprint,
        )

    def load(self) -> None:
        """Load detector and embedder."""
        self.detector.load()
        self.embedder.load()

    def start(self, info: ClipInfo) -> FacesExtraction:
        """Begin a clip."""
        return FacesExtraction(self)


@dataclass
class _Frame:
    """What one examined frame shows; lists have an item a face."""

    pts_s: float
    shot: int
    found: Detections = NO_FACES
    reasons: list[str] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    looks: list[NDArray[np.float32]] = field(default_factory=list)
    vectors: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    crops: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def seen(self) -> SeenFaces:
        """For :class:`~vgaudit.extractors.face_chains.Chains`."""
        usable = np.array([not reason for reason in self.reasons], bool)
        return SeenFaces(self.shot, self.found.boxes, usable, np.array(self.looks, np.float32))


class FacesExtraction:
    """One clip on its way through the faces extractor."""

    def __init__(self, extractor: FacesExtractor) -> None:
        self._options = extractor.options
        self._detector = extractor.detector
        self._embedder = extractor.embedder
        stride = extractor.options.stride
        batch = extractor.detector.batch if stride == "auto" else 1
        self._chooser = FrameChooser(stride, self._examine, self._between, batch)
        self._chains = Chains()
        self._shots = ShotCounter()
        self._size = (0, 0)
        self._frames: dict[int, _Frame] = {}
        self._failed: dict[int, str] = {}
        self._waiting: list[
            tuple[_Frame, int, NDArray[np.uint8]]
        ] = []  # faces whose chips wait for a full batch
        self._neighbours = None if stride == "auto" else Neighbours(self._detector, every_frame=stride == 1)

    def push(self, frames: Frames) -> None:
        """Take the next block of consecutive frames."""
        self._size = frames.rgb.shape[1:3] if len(frames) else self._size
        for offset, rgb in enumerate(frames.rgb):
            index, pts_s = frames.start + offset, float(frames.pts_s[offset])
            if self._neighbours is not None:
                self._neighbours.push(index, rgb, pts_s)
            self._chooser.push(index, pts_s, rgb, self._shots.push(index, rgb))
        self._chooser.end_block()
        if self._neighbours is not None:
            self._neighbours.end_block()

    def finish(self) -> Features:
        """Features of all frames pushed."""
        self._chooser.finish()
        self._embed_waiting(fewest=1)
        examined = sorted(self._frames)
        frames = [self._frames[i] for i in examined]
        counts = [len(frame.found) for frame in frames]
        reasons = [reason for frame in frames for reason in frame.reasons]
        usable = np.array([not reason for reason in reasons], dtype=bool)
        faces: dict[str, NDArray[Any]] = {
            "frame_index": np.repeat(np.array(examined, np.int32), counts),
            "pts_s": np.repeat(np.array([frame.pts_s for frame in frames], np.float64), counts),
            "box": self._joined([frame.found.boxes for frame in frames], (4,)),
            "landmarks": self._joined([frame.found.landmarks for frame in frames], (5, 2)),
            "confidence": self._joined([frame.found.confidence for frame in frames], ()),
            "usable": usable,
            "reason": np.array(reasons, dtype=np.str_),
            "quality": np.array([q for frame in frames for q in frame.quality], np.float32),
            "beside": np.concatenate([np.zeros(0, bool), *(self._beside(i) for i in examined)]),
        }
        shot = np.repeat(np.array([frame.shot for frame in frames], np.int32), counts)
        faces["track"] = self._tracks(faces, shot)
        places = [(frame, i) for frame in frames for i in range(len(frame.found))]
        compared = [places[face] for face in np.flatnonzero(usable)]
        embedding = np.zeros((len(reasons), self._embedder.dimension), np.float32)
        embedding[usable] = self._joined(
            [frame.vectors[i][None] for frame, i in compared], (self._embedder.dimension,)
        )
        pictures = [frame.crops[i] for frame, i in compared]
        sizes = np.zeros(len(reasons), np.int64)
        sizes[usable] = [len(picture) for picture in pictures]
        faces["crop_jpeg"] = np.concatenate([np.zeros(0, np.uint8), *pictures])
        faces["crop_start"] = np.concatenate([np.zeros(1, np.int64), sizes.cumsum()])
        arrays: dict[str, NDArray[Any]] = faces | {
            "embedding": embedding,
            "shot": np.array([frame.shot for frame in frames], np.int32),
            "frames_examined": np.array(examined, np.int32),
            "examined_pts_s": np.array([frame.pts_s for frame in frames], np.float64),
            "frames_failed": np.array(sorted(self._failed), np.int32),
        }
        return Features(arrays, self._facts(faces))

    # -- one frame ---------------------------------------------------------------------------------

    def _examine(self, frames: Sequence[HeldFrame]) -> None:
        for frame in frames:
            self._frames[frame.index] = _Frame(frame.pts_s, frame.shot)
        height, width = frames[0].rgb.shape[:2]
        if not self._detector.can_examine(height, width):
            why = f"frames of {width}x{height} px are too small to search for faces"
            self._failed |= {frame.index: why for frame in frames}
            return
        for frame, found in zip(frames, self._found(frames), strict=True):
            if isinstance(found, DetectionFailed):
                self._failed[frame.index] = f"the face detector broke: {found}"
            elif len(found):
                self._judge(frame, found)

    def _found(self, frames: Sequence[HeldFrame]) -> list[Detections | DetectionFailed]:
        """What each frame shows; where a batch breaks, frame by frame, so that one frame takes no other with it."""
        try:
            return list(self._detector.detect_many([frame.rgb for frame in frames]))
        except DetectionFailed as error:
            if len(frames) == 1:
                return [error]
            return [each for frame in frames for each in self._found([frame])]

    def _judge(self, frame: HeldFrame, found: Detections) -> None:
        seen, rgb = self._frames[frame.index], frame.rgb
        if self._neighbours is not None:
            self._neighbours.look(frame.index, found)
        reasons = [self._reason(rgb, found, i) for i in range(len(found))]
        keep = [i for i, reason in enumerate(reasons) if not reason]
        for i in keep[self._options.max_faces :]:
            reasons[i] = TOO_MANY
        keep = keep[: self._options.max_faces]
        seen.found, seen.reasons, seen.quality = found, reasons, [0.0] * len(found)
        seen.looks = [look(rgb, landmarks) for landmarks in found.landmarks]
        if not keep:
            return
        chips = self._embedder.align(rgb, found.boxes[keep], found.landmarks[keep])
        self._waiting += [(seen, i, chip) for i, chip in zip(keep, chips, strict=True)]
        for i in keep:
            seen.quality[i] = quality(rgb, found.boxes[i], found.landmarks[i], float(found.confidence[i]))
            seen.crops[i] = encoded(crop(rgb, found.boxes[i]))
        self._embed_waiting(fewest=EMBED_BATCH)

    def _reason(self, rgb: NDArray[np.uint8], found: Detections, i: int) -> str:
        return unusable_reason(
            rgb,
            found.boxes[i],
            found.landmarks[i],
            float(found.confidence[i]),
            min_side=self._options.min_side,
            min_confidence=self._options.min_confidence,
        )

    def _between(self, before: int, after: int) -> tuple[bool, bool]:
        if before == after:
            return False, self._chains.end()
        return self._chains.step(self._frames[before].seen, self._frames[after].seen)

    # -- all of them -------------------------------------------------------------------------------

    def _beside(self, index: int) -> NDArray[np.bool_]:
        """Of the faces of an examined frame, see :class:`FacesExtractor`."""
        mine = self._frames[index]
        if self._neighbours is not None:
            return self._neighbours.seen.get(index, np.zeros(0, bool))
        seen = np.zeros(len(mine.found), bool)
        known = False
        for other in (index - 1, index + 1):
            if other > self._last_index() or other < 0:
                continue
            frame = self._frames.get(other)
            if frame is None or other in self._failed or abs(frame.pts_s - mine.pts_s) > BESIDE_S:
                return np.ones(len(mine.found), bool)
            known = True
            overlaps = box_overlaps(mine.found.boxes, frame.found.boxes)
            seen |= (overlaps >= SAME_FACE_IOU).any(axis=1)
        return seen if known else np.ones(len(mine.found), bool)

    def _last_index(self) -> int:
        return max(self._frames)  # a clip's last frame is always examined

    def _tracks(self, faces: dict[str, NDArray[Any]], shot: NDArray[np.int32]) -> NDArray[np.int32]:
        """Faces linked within each shot, by the numbers of their frames: more examined frames tear nothing apart."""
        track = np.full(len(shot), -1, np.int32)
        reach = LINK_FRAMES * (EVERY if self._options.stride == "auto" else self._options.stride)
        for number in np.unique(shot):
            here = np.flatnonzero(shot == number)
            linked = link_faces(faces["frame_index"][here].astype(np.intp), faces["box"][here], reach)
            track[here] = linked + track.max(initial=-1) + 1
        return track

    def _embed_waiting(self, fewest: int) -> None:
        """Embed the faces that wait, in batches, as long as there are so many: no chip waits for the clip's end."""
        while len(self._waiting) >= fewest:
            batch, self._waiting = self._waiting[:EMBED_BATCH], self._waiting[EMBED_BATCH:]
            vectors = self._embedder.embed(np.stack([chip for _, _, chip in batch]))
            if vectors.shape != (len(batch), self._embedder.dimension) or not np.isfinite(vectors).all():
                raise ValueError(
                    f"embedder {self._embedder.name} gave {vectors.shape} numbers, or some that are not finite, for "
                    f"{len(batch)} faces of dimension {self._embedder.dimension}"
                )
            for (frame, i, _), vector in zip(batch, vectors, strict=True):
                frame.vectors[i] = vector

    @staticmethod
    def _joined(parts: list[NDArray[np.float32]], tail: tuple[int, ...]) -> NDArray[np.float32]:
        return np.concatenate([np.zeros((0, *tail), np.float32), *parts])

    def _facts(self, faces: dict[str, NDArray[Any]]) -> dict[str, Any]:
        height, width = self._size
        unusable = Counter(str(reason) for reason in faces["reason"] if reason)
        return {
            "faces": len(faces["usable"]),
            "usable": int(faces["usable"].sum()),
            "unusable": dict(sorted(unusable.items())),
            "frames_examined": len(self._frames),
            "frames_failed": len(self._failed),
            "failures": sorted(set(self._failed.values()))[:3],
            "smallest_face_px": round(self._detector.smallest_face(height, width), 1) if height else None,
            "detector": self._detector.fingerprint,
            "embedder": self._embedder.fingerprint,
        }
