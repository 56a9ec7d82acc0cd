"""The gallery: who must not appear (or may), as templates of one embedder.

A folder per person, or a single picture of one, becomes templates in memory; nothing biometric is written unless a
gallery file is asked for by :meth:`Gallery.save`, and that holds no pictures and no file names.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.likeness import gallery_file
from vgaudit.likeness.entries import GalleryEntry, refuse_expired
from vgaudit.likeness.folder import FolderEntry, folder_digest, is_picture, scanned
from vgaudit.likeness.gallery_build import Examined, examine
from vgaudit.likeness.gallery_file import Tombstone
from vgaudit.likeness.photos import PhotoMaker, Photos
from vgaudit.likeness.portrait_faces import MIN_CONFIDENCE, MIN_SIDE, SECOND_FACE
from vgaudit.progress import Progress
from vgaudit.records import digest
from vgaudit.zoo.resolve import file_sha256

__all__ = [
    "MIN_CONFIDENCE",
    "MIN_SIDE",
    "SECOND_FACE",
    "Gallery",
    "GallerySource",
    "build_gallery",
    "build_with_photos",
    "describe_gallery",
    "examine_gallery",
    "is_gallery_file",
    "load_gallery",
]

TOMBSTONES = "purged.json"
"""File beside the people of a gallery folder that says how many were purged, without who."""


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


def is_gallery_file(path: Path) -> bool:
    """Whether ``path`` is read as a gallery file, and not as a folder of people or one picture."""
    return path.is_file() and not is_picture(path)


def describe_gallery(path: Path, *, today: dt.date | None = None) -> GallerySource:
    """Who is in a gallery folder, picture or file; hashes files but decodes no picture and loads no model.

    Raises:
        GalleryError: As :func:`load_gallery`, as far as it shows without models.
    """
    if is_gallery_file(path):
        stored = gallery_file.read(path)
        source = GallerySource(file_sha256(path.resolve()), stored.entries)
    else:
        people = scanned(path)[1]
        source = GallerySource(folder_digest(people), _stated(people))
    refuse_expired(source.entries, path, today or dt.date.today())
    return source


def _stated(people: list[FolderEntry]) -> tuple[GalleryEntry, ...]:
    return tuple(GalleryEntry.of(person.entry_id, person.facts) for person in people)


_BUILT: dict[tuple[str, str, str, str], Gallery] = {}
_BUILDING = threading.Lock()


def load_gallery(
    path: Path, embedder: FaceEmbedder, detector: FaceDetector | None = None, *, today: dt.date | None = None
) -> Gallery:
    """The gallery at ``path``: a gallery file, or a folder per person or a picture, built in memory once per process.

    Raises:
        GalleryError: See :func:`build_gallery` and :meth:`Gallery.load`.
        Unavailable: Pictures have to be embedded, and the embedder's weights are missing.
    """
    today = today or dt.date.today()
    if is_gallery_file(path):
        stored = Gallery.load(path, embedder)
        refuse_expired(stored.entries, path, today)
        return stored
    detector = detector or FaceDetector()
    root, people = scanned(path)
    refuse_expired(_stated(people), path, today)
    key = (str(path.resolve()), folder_digest(people), embedder.fingerprint, detector.fingerprint)
    with _BUILDING:
        if key not in _BUILT:
            _BUILT[key] = _build(root, people, embedder, detector)
        return _BUILT[key]


def build_gallery(
    folder: Path,
    embedder: FaceEmbedder,
    detector: FaceDetector | None = None,
    *,
    today: dt.date | None = None,
    progress: Progress | None = None,
) -> Gallery:
    """Templates of a gallery folder, or of a single picture.

    Pictures without a usable face are left out and told in ``warnings``; a person of whom nothing is left is an
    error. So is one that was to be kept until a day that is over.

    Raises:
        GalleryError: The folder is wrong, somebody has no usable picture, or somebody is past ``retain_until``.
        Unavailable: The embedder's or the detector's weights are missing.
    """
    return build_with_photos(folder, embedder, detector, today=today, progress=progress)[0]


def build_with_photos(
    folder: Path,
    embedder: FaceEmbedder,
    detector: FaceDetector | None = None,
    *,
    today: dt.date | None = None,
    progress: Progress | None = None,
) -> tuple[Gallery, Photos]:
    """As :func:`build_gallery`, with the photographs for reviewers, from one look at the pictures."""
    root, people = scanned(folder)
    refuse_expired(_stated(people), folder, today or dt.date.today())
    maker = PhotoMaker()
    gallery = _build(root, people, embedder, detector or FaceDetector(), maker, progress)
    return gallery, maker.photos(gallery.entries)


def examine_gallery(
    folder: Path,
    embedder: FaceEmbedder,
    detector: FaceDetector | None = None,
    *,
    progress: Progress | None = None,
) -> Examined:
    """What would become of every file of a folder; people without a usable picture and past their day included.

    Raises:
        GalleryError: The folder is wrong.
        Unavailable: Weights are missing.
    """
    root, people = scanned(folder)
    return examine(root, people, embedder, detector or FaceDetector(), progress=progress)


def _build(
    root: Path,
    people: list[FolderEntry],
    embedder: FaceEmbedder,
    detector: FaceDetector,
    photos: PhotoMaker | None = None,
    progress: Progress | None = None,
) -> Gallery:
    found = examine(root, people, embedder, detector, photos=photos, progress=progress)
    found.refuse_empty(root)
    one_picture = any(image.path.parent == root for person in people for image in person.images)
    purged = () if one_picture else read_tombstones(root)
    return Gallery(
        found.entries, found.templates, found.owners, embedder.name, embedder.fingerprint, embedder.measure,
        detector.fingerprint, found.warnings(embedder), found.mixups, found.notes, purged,
    )  # fmt: skip


def read_tombstones(folder: Path) -> tuple[Tombstone, ...]:
    """What was purged from a gallery folder.

    Raises:
        GalleryError: Its file of tombstones is damaged.
    """
    path = folder / TOMBSTONES
    if not path.is_file():
        return ()
    try:
        return tuple(Tombstone.from_json(item) for item in json.loads(path.read_bytes())["purged"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise GalleryError(f"{path}: no list of what was purged ({error}); restore or remove it") from error
