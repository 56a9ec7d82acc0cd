"""Faces of a clip: where they are, whether they can be compared, and the embedding of those that can."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from vgaudit import registry
from vgaudit.errors import UsageError
from vgaudit.extractors.base import Features, Unit, make_fingerprint
from vgaudit.extractors.face_detection import DetectionFailed, Detections, FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.extractors.face_neighbours import BESIDE_S, SAME_FACE_IOU, SURE_CONFIDENCE, Neighbours
from vgaudit.extractors.face_quality import DETAIL_SIDE, MIN_CONTRAST, MIN_DETAIL, TOO_MANY, unusable_reason
from vgaudit.extractors.frame_choice import EVERY_S, MAX_GAP, MIN_FRAMES, FrameChooser
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.devices import Device

EMBED_BATCH = 16
"""Chips embedded at once; fixed, and never shared between clips."""


class FacesOptions(BaseModel):
    """Options of the faces extractor.

    Attributes:
        embedder: Registered face embedder.
        embedder_options: Its options.
        stride: ``auto`` (at least 4 frames a second and 8 a clip, first and last included), or every how
            many frames; 1 examines every frame.
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
        embedding: float32 ``(F, d)``: zero for faces that are not usable.
        frames_examined: int32 ``(K,)``, ascending.
        examined_pts_s: float64 ``(K,)``.
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
            2,
            plain
            | {"limits": [MIN_CONTRAST, MIN_DETAIL, DETAIL_SIDE], "frames": [EVERY_S, MIN_FRAMES, MAX_GAP]}
            | {"sure": SURE_CONFIDENCE, "beside": [BESIDE_S, SAME_FACE_IOU]},
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


class FacesExtraction:
    """One clip on its way through the faces extractor."""

    def __init__(self, extractor: FacesExtractor) -> None:
        self._options = extractor.options
        self._detector = extractor.detector
        self._embedder = extractor.embedder
        self._chooser = FrameChooser(extractor.options.stride, self._examine)
        self._size = (0, 0)
        self._examined: dict[int, float] = {}
        self._failed: dict[int, str] = {}
        self._found: dict[int, tuple[Detections, list[str]]] = {}
        self._chips: dict[int, NDArray[np.uint8]] = {}
        self._neighbours = Neighbours(extractor.detector, every_frame=extractor.options.stride == 1)

    def push(self, frames: Frames) -> None:
        """Take the next block of consecutive frames."""
        self._size = frames.rgb.shape[1:3] if len(frames) else self._size
        for offset, rgb in enumerate(frames.rgb):
            self._neighbours.push(frames.start + offset, rgb, float(frames.pts_s[offset]))
            self._chooser.push(frames.start + offset, float(frames.pts_s[offset]), rgb)
        self._chooser.end_block()
        self._neighbours.end_block()

    def finish(self) -> Features:
        """Features of all frames pushed."""
        self._chooser.finish()
        order = sorted(self._found)
        counts = [len(self._found[i][0]) for i in order]
        reasons = [reason for i in order for reason in self._found[i][1]]
        usable = np.array([not reason for reason in reasons], dtype=bool)
        embedding = np.zeros((len(reasons), self._embedder.dimension), np.float32)
        embedding[usable] = self._embed([self._chips[i] for i in order if i in self._chips])
        examined = sorted(self._examined)
        arrays: dict[str, NDArray[Any]] = {
            "frame_index": np.repeat(np.array(order, np.int32), counts),
            "pts_s": np.repeat(np.array([self._examined[i] for i in order], np.float64), counts),
            "box": self._joined([self._found[i][0].boxes for i in order], (4,)),
            "landmarks": self._joined([self._found[i][0].landmarks for i in order], (5, 2)),
            "confidence": self._joined([self._found[i][0].confidence for i in order], ()),
            "usable": usable,
            "reason": np.array(reasons, dtype=np.str_),
            "embedding": embedding,
            "frames_examined": np.array(examined, np.int32),
            "examined_pts_s": np.array([self._examined[i] for i in examined], np.float64),
            "frames_failed": np.array(sorted(self._failed), np.int32),
            "beside": np.array([seen for i in order for seen in self._neighbours.seen[i]], dtype=bool),
        }
        return Features(arrays, self._facts(reasons))

    def _examine(self, index: int, pts_s: float, rgb: NDArray[np.uint8]) -> None:
        self._examined[index] = pts_s
        height, width = rgb.shape[:2]
        if not self._detector.can_examine(height, width):
            self._failed[index] = f"frames of {width}x{height} px are too small to search for faces"
            return
        try:
            found = self._detector.detect(rgb)
        except DetectionFailed as error:
            self._failed[index] = f"the face detector broke: {error}"
            return
        if not len(found):
            return
        self._neighbours.look(index, found)
        reasons = [self._reason(rgb, found, i) for i in range(len(found))]
        keep = [i for i, reason in enumerate(reasons) if not reason]
        for i in keep[self._options.max_faces :]:
            reasons[i] = TOO_MANY
        keep = keep[: self._options.max_faces]
        self._found[index] = (found, reasons)
        if keep:
            self._chips[index] = self._embedder.align(rgb, found.boxes[keep], found.landmarks[keep])

    def _reason(self, rgb: NDArray[np.uint8], found: Detections, i: int) -> str:
        return unusable_reason(
            rgb,
            found.boxes[i],
            found.landmarks[i],
            float(found.confidence[i]),
            min_side=self._options.min_side,
            min_confidence=self._options.min_confidence,
        )

    def _embed(self, chips: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not chips:
            return np.zeros((0, self._embedder.dimension), np.float32)
        stacked = np.concatenate(chips)
        starts = range(0, len(stacked), EMBED_BATCH)
        vectors = np.concatenate([self._embedder.embed(stacked[s : s + EMBED_BATCH]) for s in starts])
        if vectors.shape != (len(stacked), self._embedder.dimension) or not np.isfinite(vectors).all():
            raise ValueError(
                f"embedder {self._embedder.name} gave {vectors.shape} numbers, or some that are not finite, for "
                f"{len(stacked)} faces of dimension {self._embedder.dimension}"
            )
        return vectors

    @staticmethod
    def _joined(parts: list[NDArray[np.float32]], tail: tuple[int, ...]) -> NDArray[np.float32]:
        return np.concatenate(parts) if parts else np.zeros((0, *tail), np.float32)

    def _facts(self, reasons: list[str]) -> dict[str, Any]:
        height, width = self._size
        return {
            "faces": len(reasons),
            "usable": sum(not reason for reason in reasons),
            "unusable": dict(sorted(Counter(r for r in reasons if r).items())),
            "frames_examined": len(self._examined),
            "frames_failed": len(self._failed),
            "failures": sorted(set(self._failed.values()))[:3],
            "smallest_face_px": round(self._detector.smallest_face(height, width), 1) if height else None,
            "detector": self._detector.fingerprint,
            "embedder": self._embedder.fingerprint,
        }
