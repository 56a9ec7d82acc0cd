"""Photographs to plant, and the galleries that must know the person from other photographs.

Whoever has several pictures in a gallery folder is planted with one that the gallery is then built without. Whoever
has one can only be planted with the gallery's own, which is an easier task, and is said.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vgaudit.errors import GalleryError, UsageError
from vgaudit.extractors.face_detection import DetectionFailed, FaceDetector
from vgaudit.likeness.entries import ENTRY_FILE
from vgaudit.likeness.folder import FolderEntry, FolderImage, is_picture, scan_gallery, scan_picture
from vgaudit.likeness.gallery import MIN_CONFIDENCE, SECOND_FACE, describe_gallery
from vgaudit.likeness.planting import Head, cut_head
from vgaudit.likeness.portraits import PortraitError, decode_portrait, read_bytes

MAX_FOLDS = 4
"""Galleries built at most; of people with more pictures only so many are planted."""


@dataclass(frozen=True)
class Photograph:
    """A picture that can be planted.

    Attributes:
        entry: Whose it is.
        sha256: Digest of the file.
        fold: Which of the galleries the clip is to be held against.
        own: Whether that gallery holds this very picture.
        head: The head in it.
    """

    entry: str
    sha256: str
    fold: int
    own: bool
    head: Head


@dataclass(frozen=True)
class Plantable:
    """What there is to plant, and against which galleries.

    Attributes:
        photographs: The pictures.
        galleries: Path of the gallery of each fold.
        notes: What was left out, and why.
    """

    photographs: tuple[Photograph, ...]
    galleries: tuple[Path, ...]
    notes: tuple[str, ...] = field(default=())


def plantable(gallery: Path, plant: Path | None, detector: FaceDetector, folder: Path) -> Plantable:
    """Photographs to plant.

    Args:
        gallery: Folder, single picture, or gallery file.
        plant: Folder with a folder of pictures per person, named as in the gallery; ``None`` to leave pictures of
            the gallery out of it in turn.
        detector: Finds the faces; loaded here.
        folder: Where galleries with pictures left out may be laid; private, and the caller's to remove.

    Raises:
        GalleryError: A folder is wrong, or there is no gallery.
        UsageError: A gallery file without ``plant``, somebody to plant who is not in the gallery, or nobody at all.
    """
    if not gallery.exists():
        raise GalleryError(
            f"{gallery}: expected a folder of people, one picture or a gallery file, found nothing"
        )
    detector.load()
    notes: list[str] = []
    if plant is not None:
        photographs = _given(gallery, plant, detector, notes)
        galleries: tuple[Path, ...] = (gallery,)
    elif is_picture(gallery):
        people = scan_picture(gallery)
        photographs = _cut(people[0], people[0].images, gallery.resolve().parent, detector, notes, own=True)
        notes += [_own(photographs)] if photographs else []
        galleries = (gallery,)
    elif gallery.is_dir():
        photographs, galleries = _left_out(gallery, detector, folder, notes)
    else:
        raise UsageError(
            f"{gallery}: a gallery file holds no photographs; expected --plant FOLDER with pictures of its people, "
            "a folder per person, named as in the gallery"
        )
    if not photographs:
        raise UsageError(
            "no photograph can be planted: " + ("; ".join(notes) or f"nobody is protected in {gallery}")
        )
    return Plantable(tuple(photographs), galleries, tuple(notes))


def _given(gallery: Path, plant: Path, detector: FaceDetector, notes: list[str]) -> list[Photograph]:
    today = dt.date.today()
    source = describe_gallery(gallery)
    known = {entry.entry_id: entry.effective_role(today) for entry in source.entries}
    held = {image.sha256 for entry in source.entries for image in entry.images}
    if gallery.is_dir():
        held = {image.sha256 for person in scan_gallery(gallery) for image in person.images}
    elif is_picture(gallery):
        held = {image.sha256 for person in scan_picture(gallery) for image in person.images}
    people = scan_gallery(plant)
    if strangers := [p.entry_id for p in people if p.entry_id not in known]:
        raise UsageError(
            f"{plant}: {', '.join(strangers)}: not in the gallery; expected folders named as its people: "
            f"{', '.join(sorted(known)[:8])}"
        )
    found = []
    for person in people:
        if known[person.entry_id] != "protected":
            notes.append(f"{person.entry_id}: {known[person.entry_id]}, never raised, so not planted")
            continue
        new = [image for image in person.images if image.sha256 not in held]
        if len(new) < len(person.images):
            notes.append(
                f"{person.entry_id}: {len(person.images) - len(new)} of its pictures are the gallery's own, and "
                "left out"
            )
        found += _cut(person, new, plant, detector, notes)
    return found


def _left_out(
    gallery: Path, detector: FaceDetector, folder: Path, notes: list[str]
) -> tuple[list[Photograph], tuple[Path, ...]]:
    today = dt.date.today()
    roles = {entry.entry_id: entry.effective_role(today) for entry in describe_gallery(gallery).entries}
    people = scan_gallery(gallery)
    found: list[Photograph] = []
    lonely: list[Photograph] = []
    left: list[tuple[str, Path, int]] = []
    for person in people:
        if roles[person.entry_id] != "protected":
            notes.append(f"{person.entry_id}: {roles[person.entry_id]}, never raised, so not planted")
            continue
        good = _cut(person, person.images, gallery, detector, notes)
        if len(good) == 1:
            lonely += [Photograph(p.entry, p.sha256, 0, True, p.head) for p in good]
            continue
        paths = {image.sha256: image.path for image in person.images}
        for fold, photograph in enumerate(good[:MAX_FOLDS]):
            found.append(Photograph(photograph.entry, photograph.sha256, fold, False, photograph.head))
            left.append((person.entry_id, paths[photograph.sha256], fold))
        if len(good) > MAX_FOLDS:
            notes.append(f"{person.entry_id}: {MAX_FOLDS} of its {len(good)} pictures are planted")
    if lonely:
        notes.append(_own(lonely))
    if not left:
        return lonely, (gallery,)
    galleries = []
    for fold in range(max(fold for _, _, fold in left) + 1):
        out = {path for _, path, f in left if f == fold}
        galleries.append(_laid(people, out, folder / f"gallery-{fold}"))
    return found + lonely, tuple(galleries)


def _own(photographs: Sequence[Photograph]) -> str:
    names = ", ".join(photograph.entry for photograph in photographs)
    return (
        f"{names}: one usable picture only, so the planted photograph is the gallery's own, and the result for them "
        "is optimistic"
    )


def _laid(people: Sequence[FolderEntry], without: set[Path], target: Path) -> Path:
    """A copy of a gallery folder without some pictures."""
    for person in people:
        home = target / person.entry_id
        home.mkdir(parents=True)
        for image in person.images:
            if image.sha256 and image.path not in without:
                shutil.copyfile(image.path, home / image.path.name)
            facts = image.path.parent / ENTRY_FILE
            if facts.is_file():
                shutil.copyfile(facts, home / ENTRY_FILE)
    return target


def _cut(
    person: FolderEntry, images: Sequence[FolderImage], root: Path, detector: FaceDetector, notes: list[str],
    own: bool = False,
) -> list[Photograph]:  # fmt: skip
    found, seen = [], set()
    for image in images:
        if image.sha256 in seen:  # a copy under another name
            continue
        seen.add(image.sha256)
        try:
            head = _head(image, root, detector)
        except PortraitError as error:
            notes.append(f"{person.entry_id}/{image.path.name}: not planted: {error}")
            continue
        found.append(Photograph(person.entry_id, image.sha256, 0, own, head))
    return found


def _head(image: FolderImage, root: Path, detector: FaceDetector) -> Head:
    """The head of the one person in a picture.

    Raises:
        PortraitError: There is none, or more than one.
    """
    if image.problem:
        raise PortraitError(image.problem)
    rgb = decode_portrait(read_bytes(image.path, root))
    if not detector.can_examine(*rgb.shape[:2]):
        raise PortraitError("too small")
    try:
        found = detector.detect(rgb)
    except DetectionFailed as error:
        raise PortraitError(f"the face detector broke on it ({error})") from error
    sure = np.flatnonzero(found.confidence >= MIN_CONFIDENCE)
    if not len(sure):
        raise PortraitError("no face found that the detector is sure of")
    widths = found.boxes[sure, 2] - found.boxes[sure, 0]
    if (widths[1:] >= SECOND_FACE * widths[0]).any():
        raise PortraitError("several faces")
    return cut_head(rgb, found.boxes[sure[0]], found.landmarks[sure[0]])
