"""The gallery file: templates and pseudonyms in one safetensors file, without pictures or file names."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_embedding import Measure
from vgaudit.likeness.entries import GalleryEntry, GalleryImage, check_entry_id, parse_entry_facts
from vgaudit.records import canonical_json, digest

FORMAT_VERSION = 1
MAX_BYTES = 2 * 1024**3
_KEY = "vgaudit_gallery"


@dataclass(frozen=True)
class StoredGallery:
    """What a gallery file holds: people and their templates.

    Attributes:
        entries: Sorted by id.
        templates: float32 ``(n, d)``, one per usable picture, as the embedder gave them.
        owners: int32 ``(n,)``: position in ``entries`` of each template's person; ascending.
        embedder: Registered name of the embedder.
        embedder_fingerprint: Templates are never compared with vectors of another fingerprint.
        measure: How the embedder's vectors are compared.
        detector_fingerprint: Of the detector that found the faces in the pictures.
        warnings: Sentences on pictures that could not be used and on pictures that look misfiled; not stored,
            because they name files.
    """

    entries: tuple[GalleryEntry, ...]
    templates: NDArray[np.float32]
    owners: NDArray[np.int32]
    embedder: str
    embedder_fingerprint: str
    measure: Measure
    detector_fingerprint: str
    warnings: tuple[str, ...] = ()


def write(path: Path, gallery: StoredGallery) -> None:
    """Write atomically, readable by the owner only."""
    from safetensors.numpy import save

    description = {
        "version": FORMAT_VERSION,
        "embedder": gallery.embedder,
        "embedder_fingerprint": gallery.embedder_fingerprint,
        "measure": gallery.measure,
        "detector_fingerprint": gallery.detector_fingerprint,
        "entries": [entry.to_json() for entry in gallery.entries],
        "templates_sha256": _templates_digest(gallery.templates, gallery.owners),
    }
    tensors = {
        "templates": np.ascontiguousarray(gallery.templates, np.float32),
        "owners": np.ascontiguousarray(gallery.owners, np.int32),
    }
    data = save(tensors, metadata={_KEY: canonical_json(description)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> StoredGallery:
    """Read and check a gallery file; whether its embedder is the right one is the caller's question.

    Raises:
        GalleryError: Not a gallery file, of a newer format, damaged, or inconsistent.
    """
    if path.stat().st_size > MAX_BYTES:
        raise GalleryError(f"{path}: larger than {MAX_BYTES // 2**30} GiB")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None or set(file.keys()) != {"templates", "owners"}:
                raise GalleryError(
                    f"{path}: a safetensors file, but no gallery; expected one made by Gallery.save"
                )
            templates, owners = file.get_tensor("templates"), file.get_tensor("owners")
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GalleryError(
            f"{path}: neither a gallery file nor a folder with a folder of pictures per person ({what})"
        ) from error
    try:
        content = json.loads(text)
        version = content["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GalleryError(f"{path}: its description is damaged") from error
    if version != FORMAT_VERSION:
        raise GalleryError(f"{path}: gallery format {version!r}; this vgaudit reads format {FORMAT_VERSION}")
    try:
        stored = _parse(content, templates, owners, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GalleryError(f"{path}: its description is damaged ({type(error).__name__}: {error})") from error
    if content.get("templates_sha256") != _templates_digest(templates, owners):
        raise GalleryError(f"{path}: its templates are not those it was saved with; build it again")
    return stored


def check(path: Path, stored: StoredGallery, dimension: int) -> None:
    """Raise :class:`GalleryError` unless the templates have ``dimension`` numbers each."""
    if stored.templates.shape[1] != dimension:
        raise GalleryError(
            f"{path}: templates of {stored.templates.shape[1]} numbers; the embedder gives {dimension}"
        )


def _parse(
    content: dict[str, Any], templates: NDArray[np.float32], owners: NDArray[np.int32], path: Path
) -> StoredGallery:
    entries = tuple(_entry(item, path) for item in content["entries"])
    if content["measure"] not in get_args(Measure):
        raise ValueError(f"measure {content['measure']!r}")
    ids = [entry.entry_id for entry in entries]
    if not ids or len(set(ids)) != len(ids):
        raise ValueError("nobody in it, or an id twice")
    if templates.dtype != np.float32 or templates.ndim != 2 or owners.shape != (len(templates),):
        raise ValueError(f"templates {templates.dtype} {templates.shape}, owners {owners.shape}")
    if not np.isfinite(templates).all():
        raise ValueError("templates that are not finite")
    counts = np.repeat(np.arange(len(entries)), [len(entry.images) for entry in entries])
    if (
        owners.dtype != np.int32
        or not np.array_equal(owners, counts)
        or set(counts) != set(range(len(entries)))
    ):
        raise ValueError("templates and pictures do not go together")
    return StoredGallery(
        entries, templates, owners, str(content["embedder"]), str(content["embedder_fingerprint"]),
        content["measure"], str(content["detector_fingerprint"]),
    )  # fmt: skip


def _entry(item: dict[str, Any], path: Path) -> GalleryEntry:
    facts = parse_entry_facts({k: item[k] for k in ("role", "consent_until")}, str(path))
    images = tuple(GalleryImage(str(image["sha256"]), float(image["side_px"])) for image in item["images"])
    return GalleryEntry(check_entry_id(item["entry_id"]), facts.role, images, facts.consent_until)


def _templates_digest(templates: NDArray[np.float32], owners: NDArray[np.int32]) -> str:
    return digest(np.ascontiguousarray(templates).tobytes() + np.ascontiguousarray(owners).tobytes())
