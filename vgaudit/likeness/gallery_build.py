"""From a folder of people to templates: every picture is used, or rejected with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, published_point
from vgaudit.likeness.entries import GalleryEntry, GalleryImage, RejectedImage
from vgaudit.likeness.folder import FolderEntry, FolderImage
from vgaudit.likeness.mixups import Filed, MixUp, find_mixups, thumbnail
from vgaudit.likeness.photos import PhotoMaker
from vgaudit.likeness.portrait_faces import (
    MIN_SIDE,
    NOT_FINITE,
    EmbeddingQueue,
    changed_chips,
    face_of,
    mean_vector,
)
from vgaudit.likeness.portraits import PortraitError
from vgaudit.progress import Progress, Silent

SAME_FILE = "the same file as another picture of this entry"


@dataclass(frozen=True)
class Examined:
    """What became of every file of a gallery folder.

    Attributes:
        entries: All of them, also those without a usable picture.
        templates: float32 ``(n, d)``.
        owners: int32 ``(n,)``: position in ``entries``.
        problems: A sentence for each file that gives no template, and for each folder without files.
        mixups: Of the templates.
        notes: What could not be looked for.
        names: Path below the folder by ``entry/sha256``.
    """

    entries: tuple[GalleryEntry, ...]
    templates: NDArray[np.float32]
    owners: NDArray[np.int32]
    problems: tuple[str, ...]
    mixups: tuple[MixUp, ...]
    notes: tuple[str, ...]
    names: dict[str, str]

    def warnings(self, embedder: FaceEmbedder) -> tuple[str, ...]:
        """One sentence for each problem and mix-up; they name files."""
        return (*self.problems, *(mixup.words(embedder.measure, self.names) for mixup in self.mixups))

    def refuse_empty(self, root: Path) -> None:
        """Raise if somebody has no usable picture: nobody may be left out in silence.

        Raises:
            GalleryError: Names the people, and every file with its reason.
        """
        without = [entry.entry_id for entry in self.entries if not entry.images]
        if without:
            lines = "\n  ".join(self.problems)
            raise GalleryError(
                f"{root}: no usable picture of {', '.join(without)}; every person needs at least one picture with "
                f"one face of {MIN_SIDE:g} px or more. Add one, or remove the folder:\n  {lines}"
            )


@dataclass
class _Person:
    """Pictures of one person under way: what became of each file, in order of the files."""

    source: FolderEntry
    files: list[tuple[FolderImage, str, GalleryImage | None, range, NDArray[np.float32] | None]] = field(
        default_factory=list
    )


def examine(
    root: Path,
    people: list[FolderEntry],
    embedder: FaceEmbedder,
    detector: FaceDetector,
    *,
    photos: PhotoMaker | None = None,
    average_all: bool = False,
    progress: Progress | None = None,
) -> Examined:
    """Find, judge and embed the face of every picture; detection one by one, embedding in batches.

    Args:
        root: Folder that the pictures must lie in.
        people: Who is in it.
        embedder: Templates are of it; it is loaded here.
        detector: Likewise.
        photos: Is handed every usable face.
        average_all: Average over small changes of each picture for everybody, not only for role ``cohort``.
        progress: Told of every file.

    Raises:
        Unavailable: Weights are missing.
    """
    detector.load()
    embedder.load()
    queue = EmbeddingQueue(embedder)
    under_way = [_Person(person) for person in people]
    with (progress or Silent()).stage("pictures", sum(len(person.images) for person in people)) as stage:
        for person in under_way:
            for image in person.source.images:
                _examine(person, image, root, embedder, detector, queue, photos, average_all)
                stage.advance(person.source.entry_id)
    return _settled(root, under_way, embedder, queue.vectors())


def _examine(
    person: _Person, image: FolderImage, root: Path, embedder: FaceEmbedder, detector: FaceDetector,
    queue: EmbeddingQueue, photos: PhotoMaker | None, average_all: bool,
) -> None:  # fmt: skip
    try:
        if image.sha256 and any(other[0].sha256 == image.sha256 for other in person.files):
            raise PortraitError(SAME_FILE)
        face = face_of(image, root, detector)
    except PortraitError as error:
        person.files.append((image, str(error), None, range(0), None))
        return
    chip = embedder.align(face.rgb, face.box[None], face.landmarks[None])
    facts = person.source.facts
    averaged = average_all or facts.role == "cohort"
    where = queue.add(changed_chips(face, embedder) if averaged else chip)
    stated = facts.images.get(image.path.name)
    used = GalleryImage(
        image.sha256, round(face.side_px, 1), face.quality,
        stated.provenance if stated else None, stated.licence if stated else None, len(where),
    )  # fmt: skip
    person.files.append((image, "", used, where, thumbnail(chip[0])))
    if photos is not None:
        photos.add(person.source.entry_id, image.sha256, face)


def _settled(
    root: Path, people: list[_Person], embedder: FaceEmbedder, vectors: list[NDArray[np.float32] | None]
) -> Examined:
    entries, templates, owners, thumbnails, shas, problems = [], [], [], [], [], []
    names: dict[str, str] = {}
    for position, person in enumerate(people):
        images, rejected = [], []
        for image, reason, used, where, small in person.files:
            vector = mean_vector([vectors[i] for i in where], embedder.measure) if used else None
            name = str(image.path.relative_to(root))
            if used is None or vector is None:
                problems.append(f"{name}: {reason or NOT_FINITE}")
                rejected.append(RejectedImage(image.sha256, reason or NOT_FINITE))
                continue
            names[f"{person.source.entry_id}/{image.sha256}"] = name
            images.append(used)
            templates.append(vector)
            owners.append(position)
            thumbnails.append(small)
            shas.append(image.sha256)
        if not person.files:
            problems.append(f"{person.source.entry_id}: no picture in its folder")
        entries.append(
            GalleryEntry.of(person.source.entry_id, person.source.facts, tuple(images), tuple(rejected))
        )
    dimension = embedder.dimension
    stacked = np.stack(templates).astype(np.float32) if templates else np.zeros((0, dimension), np.float32)
    filed = Filed(
        [entry.entry_id for entry in entries], shas, stacked, np.array(owners, np.int32),
        np.stack([small for small in thumbnails if small is not None]) if thumbnails else None,
    )  # fmt: skip
    mixups, notes = find_mixups(filed, embedder.similarity, published_point(embedder.points))
    return Examined(
        tuple(entries), stacked, filed.owners, tuple(problems), tuple(mixups), tuple(notes), names
    )
