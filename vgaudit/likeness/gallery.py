"""The gallery: who must not appear (or may), as templates of one embedder.

A folder per person, or a single picture of one, becomes templates in memory; nothing biometric is written unless a
gallery file is asked for by :meth:`Gallery.save`, and that holds no pictures and no file names.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import DetectionFailed, FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, published_point
from vgaudit.extractors.face_quality import LOW_CONFIDENCE, TOO_SMALL, unusable_reason
from vgaudit.likeness import gallery_file
from vgaudit.likeness.entries import GalleryEntry, GalleryImage
from vgaudit.likeness.folder import (
    FolderEntry,
    FolderImage,
    folder_digest,
    is_picture,
    scan_gallery,
    scan_picture,
)
from vgaudit.likeness.portraits import PortraitError, decode_portrait, read_bytes
from vgaudit.records import digest
from vgaudit.zoo.resolve import file_sha256

MIN_SIDE = 40.0
"""Smallest face in a picture of the gallery, in pixels: what everything else is held against must be good."""

MIN_CONFIDENCE = 0.9
SECOND_FACE = 0.5
"""A further face counts, and makes a picture ambiguous, from this share of the largest face's side on."""


class Gallery(gallery_file.StoredGallery):
    """People and their templates, as built from a folder or read from a file."""

    @property
    def digest(self) -> str:
        """SHA-256 over people, facts, pictures' digests, templates and what made them."""
        return digest(
            [
                [entry.to_json() for entry in self.entries],
                [self.embedder_fingerprint, self.detector_fingerprint],
                digest(np.ascontiguousarray(self.templates).tobytes()),
            ]
        )

    def save(self, path: Path) -> None:
        """Write the gallery file (readable by the owner only: templates are biometric data)."""
        gallery_file.write(path, self)

    @classmethod
    def load(cls, path: Path, embedder: FaceEmbedder) -> Gallery:
        """Read a gallery file.

        Raises:
            GalleryError: It is no gallery file, is damaged, or was built with another embedder.
        """
        stored = gallery_file.read(path)
        if stored.embedder_fingerprint != embedder.fingerprint:
            raise GalleryError(
                f"{path}: built with {stored.embedder} ({stored.embedder_fingerprint}), but the clips are embedded "
                f"with {embedder.name} ({embedder.fingerprint}); templates of different embedders cannot be "
                "compared: build the gallery again from its pictures, or name the embedder it was built with"
            )
        gallery_file.check(path, stored, embedder.dimension)
        return cls(**vars(stored))


@dataclass(frozen=True)
class GallerySource:
    """What is known of a gallery before any template is made: who is in it, and a digest of its content."""

    digest: str
    entries: tuple[GalleryEntry, ...]


def describe_gallery(path: Path) -> GallerySource:
    """Who is in a gallery folder, picture or file; hashes files but decodes no picture and loads no model.

    Raises:
        GalleryError: As :func:`load_gallery`, as far as it shows without models.
    """
    if path.is_file() and not is_picture(path):
        stored = gallery_file.read(path)
        return GallerySource(file_sha256(path.resolve()), stored.entries)
    scanned = _scanned(path)[1]
    return GallerySource(folder_digest(scanned), tuple(_entry(person, ()) for person in scanned))


_BUILT: dict[tuple[str, str, str, str], Gallery] = {}
_BUILDING = threading.Lock()


def load_gallery(path: Path, embedder: FaceEmbedder, detector: FaceDetector | None = None) -> Gallery:
    """The gallery at ``path``: a gallery file, or a folder per person or a picture, built in memory once per process.

    Raises:
        GalleryError: See :func:`build_gallery` and :meth:`Gallery.load`.
        Unavailable: Pictures have to be embedded, and the embedder's weights are missing.
    """
    if path.is_file() and not is_picture(path):
        return Gallery.load(path, embedder)
    detector = detector or FaceDetector()
    root, scanned = _scanned(path)
    key = (str(path.resolve()), folder_digest(scanned), embedder.fingerprint, detector.fingerprint)
    with _BUILDING:
        if key not in _BUILT:
            _BUILT[key] = _build(root, scanned, embedder, detector)
        return _BUILT[key]


def _scanned(path: Path) -> tuple[Path, list[FolderEntry]]:
    """The folder that pictures must lie in, and who is in it."""
    if is_picture(path):
        return path.resolve().parent, scan_picture(path)
    return path, scan_gallery(path)


def build_gallery(folder: Path, embedder: FaceEmbedder, detector: FaceDetector | None = None) -> Gallery:
    """Templates of a gallery folder.

    Each picture must show one face: one that can be compared, and no second one of at least half its size. Pictures
    that do not are left out and named in :attr:`Gallery.warnings`.

    Raises:
        GalleryError: The folder is wrong, or somebody in it has no usable picture; all problems are listed.
        Unavailable: Weights are missing.
    """
    return _build(folder, scan_gallery(folder), embedder, detector or FaceDetector())


def _build(root: Path, scanned: list[FolderEntry], embedder: FaceEmbedder, detector: FaceDetector) -> Gallery:
    detector.load()
    embedder.load()
    entries: list[GalleryEntry] = []
    templates: list[NDArray[np.float32]] = []
    problems: list[str] = []
    without: list[str] = []
    for person in scanned:
        vectors, images = [], []
        for image in person.images:
            try:
                vector, side = _template(image, root, embedder, detector)
            except PortraitError as error:
                problems.append(f"{image.path.relative_to(root)}: {error}")
                continue
            vectors.append(vector)
            images.append(GalleryImage(image.sha256, round(side, 1)))
        if not vectors:
            without.append(person.entry_id)
            if not person.images:
                problems.append(f"{person.entry_id}: no picture in its folder")
            continue
        entries.append(_entry(person, tuple(images)))
        templates.append(np.concatenate(vectors))
    if without:
        lines = "\n  ".join(problems)
        raise GalleryError(
            f"{root}: no usable picture of {', '.join(without)}; every person needs at least one picture with one "
            f"face of {MIN_SIDE:g} px or more. Add one, or remove the folder:\n  {lines}"
        )
    stacked = np.concatenate(templates)
    owners = np.repeat(np.arange(len(entries), dtype=np.int32), [len(part) for part in templates])
    warnings = [*problems, *_misfiled(entries, stacked, owners, embedder)]
    return Gallery(
        tuple(entries), stacked, owners, embedder.name, embedder.fingerprint, embedder.measure,
        detector.fingerprint, tuple(warnings),
    )  # fmt: skip


def _entry(person: FolderEntry, images: tuple[GalleryImage, ...]) -> GalleryEntry:
    return GalleryEntry(person.entry_id, person.facts.role, images, person.facts.consent_until)


def _template(
    image: FolderImage, root: Path, embedder: FaceEmbedder, detector: FaceDetector
) -> tuple[NDArray[np.float32], float]:
    """Template ``(1, d)`` of the one face in a picture, and the face's side in pixels."""
    if image.problem:
        raise PortraitError(image.problem)
    data = read_bytes(image.path, root)
    if digest(data) != image.sha256:
        raise PortraitError("changed while it was read")
    rgb = decode_portrait(data)
    height, width = rgb.shape[:2]
    if not detector.can_examine(height, width):
        raise PortraitError(f"too small ({width}x{height} px)")
    try:
        found = detector.detect(rgb)
    except DetectionFailed as error:
        raise PortraitError(f"the face detector broke on it ({error})") from error
    if not len(found):
        raise PortraitError("no face found")
    sides = np.minimum(found.boxes[:, 2] - found.boxes[:, 0], found.boxes[:, 3] - found.boxes[:, 1])
    confident = np.flatnonzero(found.confidence >= MIN_CONFIDENCE)
    if not len(confident):
        raise PortraitError(f"no face found that the detector is sure of ({LOW_CONFIDENCE})")
    best = int(confident[0])  # largest first
    others = int((sides[confident[1:]] >= SECOND_FACE * sides[best]).sum())
    if others:
        raise PortraitError(f"{others + 1} faces; cut the picture to one person")
    box, landmarks = found.boxes[best], found.landmarks[best]
    reason = unusable_reason(
        rgb, box, landmarks, float(found.confidence[best]), min_side=MIN_SIDE, min_confidence=MIN_CONFIDENCE
    )
    if reason == TOO_SMALL:
        raise PortraitError(f"the face is too small ({sides[best]:.0f} px; at least {MIN_SIDE:g} px needed)")
    if reason:
        raise PortraitError(f"the face cannot be compared: {reason}")
    vector = embedder.embed(embedder.align(rgb, box[None], landmarks[None]))
    if vector.shape != (1, embedder.dimension) or not np.isfinite(vector).all():
        raise PortraitError("the embedder gave no finite vector for it")
    return vector, float(sides[best])


def _misfiled(
    entries: Sequence[GalleryEntry],
    templates: NDArray[np.float32],
    owners: NDArray[np.int32],
    embedder: FaceEmbedder,
) -> list[str]:
    """Warnings where the pictures themselves contradict the folders they are filed in."""
    point = published_point(embedder.points)
    if point is None:
        return []
    found = []
    for position, entry in enumerate(entries):
        own, rest = templates[owners == position], owners[owners > position]
        if (embedder.similarity(own, own) < point.similarity).any():
            found.append(
                f"{entry.entry_id}: its pictures do not all look like the same person ({point.stated})"
            )
        if len(rest):
            alike = (embedder.similarity(own, templates[owners > position]) >= point.similarity).any(0)
            for other in np.unique(rest[alike]):
                found.append(f"{entry.entry_id} and {entries[other].entry_id} look alike ({point.stated})")
    return found
