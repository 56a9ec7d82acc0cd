"""The gallery file: templates, pseudonyms and facts in one safetensors file, without pictures or file names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_embedding import Measure
from vgaudit.likeness.entries import GalleryEntry
from vgaudit.likeness.mixups import MixUp
from vgaudit.likeness.private_file import check_digests, load_tensors, save_tensors
from vgaudit.records import digest

FORMAT_VERSION = 2
READABLE = (1, 2)
KEY = "vgaudit_gallery"
MADE_BY = "Gallery.save or `vgaudit gallery build`"
_LABEL = re.compile(r"purged-[0-9a-f]{8}")


@dataclass(frozen=True)
class Tombstone:
    """What is left of an entry that was purged.

    Attributes:
        label: ``purged-`` and eight random hexadecimal digits; the same in the runs that were purged with it.
        when: Day, ``YYYY-MM-DD``.
        reason: In the words of whoever purged it.
    """

    label: str
    when: str
    reason: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tombstone:
        """Inverse of ``vars``.

        Raises:
            ValueError: The label is none.
        """
        if not _LABEL.fullmatch(str(data["label"])):
            raise ValueError(f"tombstone label {data['label']!r}")
        return cls(str(data["label"]), str(data["when"]), str(data["reason"]))


@dataclass(frozen=True)
class StoredGallery:
    """What a gallery file holds: people and their templates.

    Attributes:
        entries: Sorted by id.
        templates: float32 ``(n, d)``, one per usable picture, as the embedder gave them; for role ``cohort`` the mean
            over small changes of the picture.
        owners: int32 ``(n,)``: position in ``entries`` of each template's person; ascending.
        embedder: Registered name of the embedder.
        embedder_fingerprint: Templates are never compared with vectors of another fingerprint.
        measure: How the embedder's vectors are compared.
        detector_fingerprint: Of the detector that found the faces in the pictures.
        warnings: Sentences on pictures that could not be used, on pictures that look misfiled and on copies. They
            name files where the gallery was built from a folder, and digests where it was read from a file.
        mixups: What the pictures say against the folders they are filed in.
        notes: What could not be looked for, and why.
        purged: Tombstones.
    """

    entries: tuple[GalleryEntry, ...]
    templates: NDArray[np.float32]
    owners: NDArray[np.int32]
    embedder: str
    embedder_fingerprint: str
    measure: Measure
    detector_fingerprint: str
    warnings: tuple[str, ...] = ()
    mixups: tuple[MixUp, ...] = ()
    notes: tuple[str, ...] = ()
    purged: tuple[Tombstone, ...] = ()


def stored_warnings(
    entries: tuple[GalleryEntry, ...], mixups: tuple[MixUp, ...], measure: Measure
) -> list[str]:
    """The warnings of a gallery whose files' names are not known: pictures go by the start of their digest."""
    out = [f"{e.entry_id}/{short(i.sha256)}: {i.reason}" for e in entries for i in e.rejected]
    return out + [mixup.words(measure, {}) for mixup in mixups]


def short(sha256: str) -> str:
    """A picture's digest as shown where its file's name is not known."""
    return sha256[:8] or "unreadable"


def write(path: Path, gallery: StoredGallery) -> None:
    """Write atomically, readable by the owner only."""
    description = {
        "embedder": gallery.embedder,
        "embedder_fingerprint": gallery.embedder_fingerprint,
        "measure": gallery.measure,
        "detector_fingerprint": gallery.detector_fingerprint,
        "entries": [entry.to_json() for entry in gallery.entries],
        "mixups": [vars(mixup) for mixup in gallery.mixups],
        "notes": list(gallery.notes),
        "purged": [vars(tombstone) for tombstone in gallery.purged],
    }
    tensors = {
        "templates": np.ascontiguousarray(gallery.templates, np.float32),
        "owners": np.ascontiguousarray(gallery.owners, np.int32),
    }
    save_tensors(path, KEY, FORMAT_VERSION, description, tensors)


def read(path: Path) -> StoredGallery:
    """Read and check a gallery file; whether its embedder is the right one is the caller's question.

    Raises:
        GalleryError: Not a gallery file, of a newer format, damaged, or inconsistent.
    """
    content, tensors = load_tensors(path, KEY, {"templates", "owners"}, "gallery", MADE_BY)
    version = content["version"]
    if version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise GalleryError(f"{path}: gallery format {version!r}; this vgaudit reads formats {known}")
    templates, owners = tensors["templates"], tensors["owners"]
    try:
        stored = _parse(content, templates, owners, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GalleryError(f"{path}: its description is damaged ({type(error).__name__}: {error})") from error
    again = "build it again"
    if version == 1:
        if content.get("templates_sha256") != digest(templates.tobytes() + owners.tobytes()):
            raise GalleryError(f"{path}: its templates are not those it was saved with; {again}")
    else:
        check_digests(path, content, tensors, again)
    return stored


def check(path: Path, stored: StoredGallery, dimension: int) -> None:
    """Raise :class:`GalleryError` unless somebody is there and the templates have ``dimension`` numbers each."""
    if not stored.entries:
        raise GalleryError(
            f"{path}: nobody is left in it, everybody was purged; build a gallery to look for people"
        )
    if stored.templates.shape[1] != dimension:
        raise GalleryError(
            f"{path}: templates of {stored.templates.shape[1]} numbers; the embedder gives {dimension}"
        )


def _parse(
    content: dict[str, Any], templates: NDArray[np.float32], owners: NDArray[np.int32], path: Path
) -> StoredGallery:
    entries = tuple(
        GalleryEntry.from_json(item, f"{path}: {item['entry_id']}") for item in content["entries"]
    )
    if content["measure"] not in get_args(Measure):
        raise ValueError(f"measure {content['measure']!r}")
    purged = tuple(Tombstone.from_json(item) for item in content.get("purged", ()))
    ids = [entry.entry_id for entry in entries]
    if (not ids and not purged) or len(set(ids)) != len(ids):
        raise ValueError("nobody in it, or an id twice")
    if templates.dtype != np.float32 or templates.ndim != 2 or owners.shape != (len(templates),):
        raise ValueError(f"templates {templates.dtype} {templates.shape}, owners {owners.shape}")
    if not np.isfinite(templates).all():
        raise ValueError("templates that are not finite")
    counts = np.repeat(np.arange(len(entries)), [len(entry.images) for entry in entries])
    if (
        owners.dtype != np.int32
        or not np.array_equal(owners, counts)
        or set(counts.tolist()) != set(range(len(entries)))
    ):
        raise ValueError("templates and pictures do not go together")
    mixups = tuple(MixUp.from_json(item) for item in content.get("mixups", ()))
    return StoredGallery(
        entries, templates, owners, str(content["embedder"]), str(content["embedder_fingerprint"]),
        content["measure"], str(content["detector_fingerprint"]),
        tuple(stored_warnings(entries, mixups, content["measure"])), mixups,
        tuple(str(note) for note in content.get("notes", ())), purged,
    )  # fmt: skip
