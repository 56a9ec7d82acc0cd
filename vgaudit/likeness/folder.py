"""What lies in a gallery folder: people, their facts and pictures by digest, before any picture is decoded.

A single picture counts as a gallery of one protected person, named after the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from vgaudit.errors import GalleryError
from vgaudit.likeness.entries import ENTRY_FILE, EntryFacts, check_entry_id, read_entry_file
from vgaudit.likeness.portraits import PortraitError, read_bytes
from vgaudit.records import canonical_json, digest
from vgaudit.registry import nearest

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class FolderImage:
    """A file that is meant as a picture: its digest, or why it cannot be read."""

    path: Path
    sha256: str = ""
    problem: str = ""


@dataclass(frozen=True)
class FolderEntry:
    """One person's folder."""

    entry_id: str
    facts: EntryFacts
    images: tuple[FolderImage, ...]


def scan_gallery(root: Path) -> list[FolderEntry]:
    """The people of a gallery folder, sorted by id. Hashes every picture, decodes none.

    Raises:
        GalleryError: No such folder, nobody in it, an unsafe or doubled id, a wrong ``entry.yaml``, pictures
            outside a person's folder, or one picture filed under two people.
    """
    try:
        return _scan(root)
    except OSError as error:
        raise GalleryError(f"{error.filename or root}: cannot be read ({error.strerror})") from error


def is_picture(path: Path) -> bool:
    """Whether ``path`` is one picture in place of a gallery, by its name."""
    return path.suffix.lower() in PICTURES and path.is_file()


def scan_picture(path: Path) -> list[FolderEntry]:
    """The one person of a gallery that is a single picture. Hashes it, decodes nothing.

    Raises:
        GalleryError: Its name cannot be an id.
    """
    try:
        entry_id = check_entry_id(path.stem)
    except ValueError as error:
        raise GalleryError(f"{path}: a single picture is named after its file, and {error}") from error
    real = path.resolve()  # whoever names one picture says with it where that lies, also by a link
    return [FolderEntry(entry_id, EntryFacts(), (_scan_image(real, real.parent),))]


def scanned(path: Path) -> tuple[Path, list[FolderEntry]]:
    """The folder that the pictures of a gallery must lie in, and who is in it; ``path`` may be a single picture.

    Raises:
        GalleryError: See :func:`scan_gallery`, :func:`scan_picture`.
    """
    if is_picture(path):
        return path.resolve().parent, scan_picture(path)
    return path, scan_gallery(path)


def _scan(root: Path) -> list[FolderEntry]:
    if not root.is_dir():
        raise GalleryError(
            f"{root}: no such gallery; expected a folder with one folder of pictures per person"
        )
    loose = [p.name for p in root.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    if loose:
        raise GalleryError(
            f"{root}: {_list(loose)} lies directly in the gallery; expected one folder per person, such as "
            f"{root.name}/person_a/{sorted(loose)[0]}"
        )
    entries = [
        _scan_entry(p, root) for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")
    ]
    if not entries:
        raise GalleryError(
            f"{root}: nobody in it; expected one folder of pictures per person, such as person_a/1.jpg"
        )
    _refuse_doubles(entries, root)
    return sorted(entries, key=lambda entry: entry.entry_id)


def folder_digest(entries: list[FolderEntry]) -> str:
    """Digest of who is in the folder, with which facts and pictures; the pictures' names do not enter."""
    people = []
    for entry in entries:
        stated = {name: facts.model_dump(mode="json") for name, facts in entry.facts.images.items()}
        pictures = sorted(
            [image.sha256 or f"unreadable: {image.problem}", canonical_json(stated.get(image.path.name))]
            for image in entry.images
        )
        people.append([entry.entry_id, entry.facts.model_dump(mode="json", exclude={"images"}), pictures])
    return digest(people)


def _scan_entry(folder: Path, root: Path) -> FolderEntry:
    try:
        entry_id = check_entry_id(folder.name)
    except ValueError as error:
        raise GalleryError(f"{root}: {error}") from error
    if not folder.resolve().is_relative_to(root.resolve()):
        raise GalleryError(f"{folder}: a link that leads out of the gallery; copy the folder instead")
    facts_file = folder / ENTRY_FILE
    if facts_file.is_symlink() or (facts_file.exists() and not facts_file.is_file()):
        raise GalleryError(f"{facts_file}: not a plain file")
    images = [
        _scan_image(path, root)
        for path in sorted(folder.iterdir())
        if path.name != ENTRY_FILE and not path.name.startswith(".")
    ]
    facts = read_entry_file(facts_file)
    names = [image.path.name for image in images]
    for name in facts.images:
        if name not in names:
            raise GalleryError(
                f"{facts_file}: images: {name!r} is no file of the folder{nearest(name, names)}; expected the name "
                "of a picture beside entry.yaml"
            )
    return FolderEntry(entry_id, facts, tuple(images))


def _scan_image(path: Path, root: Path) -> FolderImage:
    if path.is_dir():
        return FolderImage(path, problem="a folder; pictures must lie directly in the person's folder")
    if path.suffix.lower() not in PICTURES:
        return FolderImage(path, problem=f"not a picture file (known: {', '.join(PICTURES)})")
    try:
        return FolderImage(path, hashlib.sha256(read_bytes(path, root)).hexdigest())
    except PortraitError as error:
        return FolderImage(path, problem=str(error))


def _refuse_doubles(entries: list[FolderEntry], root: Path) -> None:
    ids: dict[str, str] = {}
    owners: dict[str, tuple[str, Path]] = {}
    for entry in entries:
        other = ids.get(entry.entry_id.casefold())
        if other is not None:
            raise GalleryError(
                f"{root}: the ids {other!r} and {entry.entry_id!r} differ only in case or encoding"
            )
        ids[entry.entry_id.casefold()] = entry.entry_id
        for image in entry.images:
            if image.sha256:
                owner, path = owners.setdefault(image.sha256, (entry.entry_id, image.path))
                if owner != entry.entry_id:
                    raise GalleryError(
                        f"{root}: {path.relative_to(root)} and {image.path.relative_to(root)} are the same picture "
                        "under two people; remove it where it does not belong"
                    )


def _list(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
