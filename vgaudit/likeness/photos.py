"""Reference photographs for the reviewer's cards, in a file of its own: cut to the face, without what cameras note.

The gallery file holds no pictures; whoever may see these is another question, so they lie elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.likeness.entries import GalleryEntry, GalleryImage, check_entry_id
from vgaudit.likeness.folder import scanned
from vgaudit.likeness.portrait_faces import PortraitFace, face_of
from vgaudit.likeness.portraits import PortraitError
from vgaudit.likeness.private_file import check_digests, load_tensors, save_tensors

FORMAT_VERSION = 1
KEY = "vgaudit_photos"
MADE_BY = "`vgaudit gallery build --photos`"
SIDE = 224
PER_ENTRY = 3
SURROUNDINGS = 1.5
"""Side of the cut as a multiple of the face's longer side."""

_QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """A picture of a face.

    Attributes:
        jpeg: At most 224 px wide and high; re-encoded from pixels, so it holds no EXIF.
        sha256: Of ``jpeg``.
        source_sha256: Of the file it was cut from.
        score: Quality of that file's face, in [0, 1].
    """

    jpeg: bytes
    sha256: str
    source_sha256: str
    score: float


@dataclass(frozen=True)
class Person:
    """Pictures of an entry, the best first, and the digest of all pictures that its templates are of."""

    images_digest: str
    pictures: tuple[Picture, ...]


class Photos:
    """The best one to three pictures of each entry.

    Args:
        people: By entry id.
    """

    def __init__(self, people: Mapping[str, Person]) -> None:
        self.people = dict(people)

    def __len__(self) -> int:
        return sum(len(person.pictures) for person in self.people.values())

    def pictures(self, entry_id: str) -> list[tuple[bytes, str]]:
        """JPEG bytes and their SHA-256, the best first; empty for somebody without."""
        person = self.people.get(entry_id)
        return [(picture.jpeg, picture.sha256) for picture in person.pictures] if person else []

    def check(self, entries: Iterable[GalleryEntry], where: object = "photographs") -> None:
        """Raise unless every person here is in the gallery with the very pictures these were cut from.

        Raises:
            GalleryError: Somebody is not, so that a reviewer would see other pictures than were compared.
        """
        known = {entry.entry_id: entry.images_digest for entry in entries}
        wrong = [name for name, person in self.people.items() if known.get(name) != person.images_digest]
        if wrong:
            raise GalleryError(
                f"{where}: the photographs are not those of this gallery's templates ({len(wrong)} of "
                f"{len(self.people)} people differ, such as {sorted(wrong)[0]}); make both with {MADE_BY}"
            )

    def without(self, entry_ids: Iterable[str]) -> Photos:
        """The others."""
        gone = set(entry_ids)
        return Photos({name: person for name, person in self.people.items() if name not in gone})

    def save(self, path: Path) -> None:
        """Write the file (readable by its owner only)."""
        flat = [
            (name, picture) for name, person in sorted(self.people.items()) for picture in person.pictures
        ]
        description = {
            "images": {name: person.images_digest for name, person in self.people.items()},
            "pictures": [[name, p.sha256, p.source_sha256, round(p.score, 4)] for name, p in flat],
        }
        start = np.cumsum([0, *(len(picture.jpeg) for _, picture in flat)]).astype(np.int64)
        data = np.frombuffer(b"".join(picture.jpeg for _, picture in flat), np.uint8)
        save_tensors(path, KEY, FORMAT_VERSION, description, {"jpeg": data, "start": start})

    @classmethod
    def open(cls, path: Path) -> Photos:
        """Read a file.

        Raises:
            GalleryError: It is none, is damaged, or was changed.
        """
        content, tensors = load_tensors(path, KEY, {"jpeg", "start"}, "photographs", MADE_BY)
        if content["version"] != FORMAT_VERSION:
            raise GalleryError(
                f"{path}: format {content['version']!r} of photographs; this vgaudit reads {FORMAT_VERSION}"
            )
        check_digests(path, content, tensors, f"make it again with {MADE_BY}")
        try:
            return cls(_parse(content, tensors["jpeg"], tensors["start"]))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise GalleryError(
                f"{path}: its description is damaged ({type(error).__name__}: {error})"
            ) from error


def photos_of_folder(folder: Path, detector: FaceDetector | None = None) -> Photos:
    """The pictures of a gallery folder (or of a single picture), made in memory.

    Raises:
        GalleryError: The folder is no gallery.
        Unavailable: The detector's weights are missing.
    """
    detector = detector or FaceDetector()
    detector.load()
    root, people = scanned(folder)
    maker = PhotoMaker()
    entries = []
    for person in people:
        used = []
        for image in person.images:
            try:
                face = face_of(image, root, detector)
            except PortraitError:
                continue
            maker.add(person.entry_id, image.sha256, face)
            used.append(GalleryImage(image.sha256))
        entries.append(GalleryEntry(person.entry_id, images=tuple(used)))
    return maker.photos(entries)


class PhotoMaker:
    """Keeps the best pictures of each entry while a gallery is built."""

    def __init__(self) -> None:
        self._best: dict[str, list[Picture]] = {}

    def add(self, entry_id: str, source_sha256: str, face: PortraitFace) -> None:
        """Cut a face out, if it is among the entry's best three so far."""
        best = self._best.setdefault(entry_id, [])
        if any(picture.source_sha256 == source_sha256 for picture in best):
            return
        if len(best) < PER_ENTRY or face.quality.score > best[-1].score:
            jpeg = cut_face(face.rgb, face.box)
            best.append(Picture(jpeg, hashlib.sha256(jpeg).hexdigest(), source_sha256, face.quality.score))
            best.sort(key=lambda picture: -picture.score)
            del best[PER_ENTRY:]

    def photos(self, entries: Iterable[GalleryEntry]) -> Photos:
        """Those of entries that have templates, bound to the pictures of these."""
        return Photos({e.entry_id: Person(e.images_digest, self._of(e)) for e in entries if e.images})

    def _of(self, entry: GalleryEntry) -> tuple[Picture, ...]:
        used = {image.sha256 for image in entry.images}
        return tuple(
            picture for picture in self._best.get(entry.entry_id, ()) if picture.source_sha256 in used
        )


def cut_face(rgb: NDArray[np.uint8], box: NDArray[np.float32]) -> bytes:
    """JPEG of the square around a face, at most 224 px, never enlarged; what leaves the picture repeats its edge."""
    half = max(box[2] - box[0], box[3] - box[1]) * SURROUNDINGS / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top, right, bottom = (round(float(v)) for v in (x - half, y - half, x + half, y + half))
    height, width = rgb.shape[:2]
    inside = rgb[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    square = cv2.copyMakeBorder(
        np.ascontiguousarray(inside), max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0),
        cv2.BORDER_REPLICATE,
    )  # fmt: skip
    if square.shape[0] > SIDE:
        square = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(
        ".jpg", np.ascontiguousarray(square[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )[1]
    return bytes(coded.tobytes())


def _parse(
    content: Mapping[str, object], data: NDArray[np.uint8], start: NDArray[np.int64]
) -> dict[str, Person]:
    listed, images = content["pictures"], content["images"]
    if not isinstance(listed, list) or not isinstance(images, dict) or len(start) != len(listed) + 1:
        raise ValueError("pictures and their bytes do not go together")
    found: dict[str, list[Picture]] = {check_entry_id(name): [] for name in images}
    for (name, sha256, source, score), a, b in zip(listed, start[:-1], start[1:], strict=True):
        jpeg = data[a:b].tobytes()
        if hashlib.sha256(jpeg).hexdigest() != sha256:
            raise ValueError("a picture is not the one that was saved")
        found[name].append(Picture(jpeg, sha256, str(source), float(score)))
    return {name: Person(str(images[name]), tuple(pictures)) for name, pictures in found.items()}
