"""A cohort: unrelated people, one template each, whose likeness to an entry says how often strangers resemble it.

A track's template is the mean over several frames, which lies closer to everybody than one picture's vector does, so
a person of a cohort is averaged likewise: over small changes of each picture, and over the pictures.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import FaceEmbedder, Measure, OperatingPoint, published_point
from vgaudit.likeness.entries import GalleryEntry, check_entry_id, refuse_expired
from vgaudit.likeness.folder import scan_gallery
from vgaudit.likeness.gallery_build import Examined, examine
from vgaudit.likeness.gallery_file import StoredGallery
from vgaudit.likeness.mixups import MIN_PAIRS, Filed, MixUp, find_mixups
from vgaudit.likeness.portrait_faces import mean_vector
from vgaudit.likeness.private_file import check_digests, load_tensors, save_tensors
from vgaudit.progress import Progress
from vgaudit.records import digest

FORMAT_VERSION = 1
KEY = "vgaudit_cohort"
MADE_BY = "`vgaudit gallery calibrate`"
MIN_PEOPLE = 3
DUPLICATES_SHOWN = 20


@dataclass(frozen=True)
class Cohort:
    """Unrelated people, one template each.

    Attributes:
        name: Shown with every rate.
        source: Where the pictures are from.
        licence: Their terms.
        templates: float32 ``(n, d)``, one a person: the mean over pictures and small changes of them, raw for
            embedders compared by L2, of unit norm for cosine.
        groups: The user's own group of each person; empty where none was stated.
        embedder: Registered name.
        embedder_fingerprint: Templates are never compared with vectors of another fingerprint.
        detector_fingerprint: Of the detector that found the faces.
        measure: How vectors are compared.
        people: Number of pictures of each person.
        ids: Pseudonym of each person, so that one can be purged.
        retain_until: Last day each may be kept.
        legal_hold: Why somebody may not be purged.
        left_out: Number of people of the folder without a usable picture.
        duplicates: Pairs of ids that look like one person and were kept: such a person counts twice.
        warnings: On pictures; not stored, because they name files.
    """

    name: str
    source: str
    licence: str
    templates: NDArray[np.float32]
    groups: tuple[str, ...]
    embedder: str
    embedder_fingerprint: str
    detector_fingerprint: str
    measure: Measure
    people: tuple[int, ...]
    ids: tuple[str, ...]
    retain_until: tuple[dt.date | None, ...]
    legal_hold: tuple[str | None, ...]
    left_out: int = 0
    duplicates: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of people."""
        return len(self.people)

    @property
    def digest(self) -> str:
        """SHA-256 over templates, groups and what made them."""
        return digest(
            [
                [self.name, self.source, self.licence, list(self.groups), list(self.people)],
                [self.embedder_fingerprint, self.detector_fingerprint, self.measure],
                digest(np.ascontiguousarray(self.templates).tobytes()),
            ]
        )

    def facts(self) -> dict[str, Any]:
        """What is printed with every rate: ``cohort``, ``people``, ``source``, ``licence``."""
        return {"cohort": self.name, "people": self.n, "source": self.source, "licence": self.licence}

    def entries(self) -> tuple[GalleryEntry, ...]:
        """The people with what decides how long they may be kept; without pictures."""
        return tuple(
            GalleryEntry(i, "cohort", retain_until=until, legal_hold=hold)
            for i, until, hold in zip(self.ids, self.retain_until, self.legal_hold, strict=True)
        )

    def check_embedder(self, embedder: FaceEmbedder, where: object = "cohort") -> None:
        """Raise :class:`GalleryError` unless the templates can be compared with the embedder's vectors."""
        if self.embedder_fingerprint != embedder.fingerprint:
            raise GalleryError(
                f"{where}: made with {self.embedder} ({self.embedder_fingerprint}), but the clips are embedded with "
                f"{embedder.name} ({embedder.fingerprint}); make it again with {MADE_BY} and this embedder"
            )
        if self.templates.shape[1] != embedder.dimension:
            raise GalleryError(
                f"{where}: templates of {self.templates.shape[1]} numbers; the embedder gives {embedder.dimension}"
            )

    def without(self, ids: Iterable[str]) -> Cohort:
        """The others; may leave fewer than three, which cannot be loaded for calibration any more."""
        gone = set(ids)
        keep = [i for i, name in enumerate(self.ids) if name not in gone]
        return replace(
            self,
            templates=self.templates[keep],
            groups=tuple(self.groups[i] for i in keep),
            people=tuple(self.people[i] for i in keep),
            ids=tuple(self.ids[i] for i in keep),
            retain_until=tuple(self.retain_until[i] for i in keep),
            legal_hold=tuple(self.legal_hold[i] for i in keep),
            duplicates=tuple(pair for pair in self.duplicates if not gone & set(pair)),
        )

    def save(self, path: Path) -> None:
        """Write the cohort file (readable by its owner only)."""
        scalars = (
            "name",
            "source",
            "licence",
            "embedder",
            "embedder_fingerprint",
            "detector_fingerprint",
            "measure",
        )
        description = {
            **{name: getattr(self, name) for name in scalars},
            "left_out": self.left_out,
            "duplicates": [list(pair) for pair in self.duplicates],
            "groups": list(self.groups),
            "people": list(self.people),
            "ids": list(self.ids),
            "retain_until": [day.isoformat() if day else None for day in self.retain_until],
            "legal_hold": list(self.legal_hold),
        }
        save_tensors(path, KEY, FORMAT_VERSION, description, {"templates": self.templates})

    @classmethod
    def load(cls, path: Path, embedder: FaceEmbedder, *, today: dt.date | None = None) -> Cohort:
        """Read a cohort file for calibration.

        Raises:
            GalleryError: It is none, is damaged, was made with another embedder, holds fewer than three people, or
                somebody past the day until which they may be kept.
        """
        cohort = cls.read(path)
        cohort.check_embedder(embedder, path)
        if cohort.n < MIN_PEOPLE:
            raise GalleryError(f"{path}: {cohort.n} people left in it; at least {MIN_PEOPLE} are needed")
        try:
            refuse_expired(cohort.entries(), path, today or dt.date.today())
        except GalleryError as error:
            text = str(error).replace("--gallery", "--cohort")
            raise GalleryError(text) from error
        return cohort

    @classmethod
    def read(cls, path: Path) -> Cohort:
        """Read a cohort file whatever its embedder, size and age.

        Raises:
            GalleryError: It is none, or is damaged.
        """
        content, tensors = load_tensors(path, KEY, {"templates"}, "cohort", MADE_BY)
        if content["version"] != FORMAT_VERSION:
            raise GalleryError(
                f"{path}: cohort format {content['version']!r}; this vgaudit reads {FORMAT_VERSION}"
            )
        check_digests(path, content, tensors, f"make it again with {MADE_BY}")
        try:
            return _parse(content, tensors["templates"])
        except (KeyError, TypeError, ValueError) as error:
            raise GalleryError(
                f"{path}: its description is damaged ({type(error).__name__}: {error})"
            ) from error

    @classmethod
    def of_gallery(cls, gallery: StoredGallery, name: str = "gallery") -> Cohort | None:
        """The entries of role ``cohort`` of a gallery; ``None`` if it has none.

        Raises:
            GalleryError: There are fewer than three, or their templates are of single vectors (a gallery file of the
                first format): those lie further from everybody than a track's mean, so rates would be too small.
        """
        chosen = [i for i, entry in enumerate(gallery.entries) if entry.role == "cohort"]
        if not chosen:
            return None
        if len(chosen) < MIN_PEOPLE:
            raise GalleryError(
                f"{len(chosen)} entries of role cohort; at least {MIN_PEOPLE} people are needed to calibrate with"
            )
        entries = [gallery.entries[i] for i in chosen]
        single = [entry.entry_id for entry in entries if any(image.embedded < 2 for image in entry.images)]
        if single:
            raise GalleryError(
                f"entries of role cohort with templates of one vector each ({single[0]} ...): build the gallery file "
                "again with this vgaudit, which averages them as tracks are"
            )
        templates = [
            mean_vector(list(gallery.templates[gallery.owners == i]), gallery.measure) for i in chosen
        ]
        stated = sorted({entry.provenance or "not stated" for entry in entries})
        licences = sorted({entry.licence or "not stated" for entry in entries})
        return cls(
            name, "; ".join(stated), "; ".join(licences), _stacked(templates), tuple(e.group or "" for e in entries),
            gallery.embedder, gallery.embedder_fingerprint, gallery.detector_fingerprint, gallery.measure,
            tuple(len(e.images) for e in entries), tuple(e.entry_id for e in entries),
            tuple(e.retain_until for e in entries), tuple(e.legal_hold for e in entries),
        )  # fmt: skip


def build_cohort(
    folder: Path,
    embedder: FaceEmbedder,
    *,
    name: str,
    source: str,
    licence: str,
    detector: FaceDetector | None = None,
    keep_duplicates: bool = False,
    today: dt.date | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """A cohort of a folder with a folder of pictures per person.

    People without a usable picture are left out, counted and told in ``warnings``. Groups are those of entry.yaml.
    People who look like one person are refused: one who is there twice counts twice. Real look-alikes must stay
    (``keep_duplicates``), for a cohort without them calls coincidences rarer than they are.

    Args:
        folder: As a gallery folder.
        embedder: Templates are of it.
        name: Shown with every rate.
        source: Where the pictures are from.
        licence: Their terms.
        detector: For other settings than the default.
        keep_duplicates: Keep people who look like one person.
        today: In place of the day it is.
        progress: Told of every picture.

    Raises:
        GalleryError: The folder is wrong, fewer than three people are left, somebody is past ``retain_until``, or
            people look like one person.
        Unavailable: Weights are missing.
    """
    for field, value in (("name", name), ("source", source), ("licence", licence)):
        if not value.strip():
            raise GalleryError(f"cohort: expected a {field}: it is printed with every rate")
    people = scan_gallery(folder)
    stated = tuple(GalleryEntry.of(person.entry_id, person.facts) for person in people)
    refuse_expired(stated, folder, today or dt.date.today())
    detector = detector or FaceDetector()
    found = examine(folder, people, embedder, detector, average_all=True, progress=progress)
    kept = [i for i, entry in enumerate(found.entries) if entry.images]
    if len(kept) < MIN_PEOPLE:
        lines = "".join(f"\n  {problem}" for problem in found.problems)
        raise GalleryError(
            f"{folder}: {len(kept)} people with a usable picture; a cohort needs at least {MIN_PEOPLE}, and "
            f"hundreds to resolve anything (rates are never below 3 / people){lines}"
        )
    templates = _stacked(
        [mean_vector(list(found.templates[found.owners == i]), embedder.measure) for i in kept]
    )
    entries = [found.entries[i] for i in kept]
    twins, notes = _duplicates(found, [e.entry_id for e in entries], templates, embedder)
    if twins and not keep_duplicates:
        lines = "".join(
            f"\n  {twin.words(embedder.measure, found.names)}" for twin in twins[:DUPLICATES_SHOWN]
        )
        more = f"\n  and {len(twins) - DUPLICATES_SHOWN} more" if len(twins) > DUPLICATES_SHOWN else ""
        raise GalleryError(
            f"{folder}: {len(twins)} pairs of folders that may be one person each, who would count twice. Join the "
            "folders of those who are; different people who look alike belong into a cohort: keep them with "
            f"--keep-duplicates{lines}{more}"
        )
    own = [
        mixup.words(embedder.measure, found.names)
        for mixup in found.mixups
        if mixup.kind in ("unlike", "misfiled")
    ]
    return Cohort(
        name.strip(), source.strip(), licence.strip(), templates, tuple(e.group or "" for e in entries),
        embedder.name, embedder.fingerprint, detector.fingerprint, embedder.measure,
        tuple(len(e.images) for e in entries), tuple(e.entry_id for e in entries),
        tuple(e.retain_until for e in entries), tuple(e.legal_hold for e in entries),
        len(people) - len(kept), tuple((twin.entry, twin.other) for twin in twins),
        (*found.problems, *own, *notes),
    )  # fmt: skip


def _duplicates(
    found: Examined, ids: list[str], templates: NDArray[np.float32], embedder: FaceEmbedder
) -> tuple[list[MixUp], list[str]]:
    """Pairs of people who look like one, and what could not be looked for.

    Held against the strict point: at the published one a cohort of a thousand holds hundreds of pairs of strangers.
    """
    point = next((p for p in embedder.points if p.name == "strict"), published_point(embedder.points))
    notes = []
    if point is None:
        pairs = _own_pairs(found, embedder)
        if len(pairs) >= MIN_PAIRS:
            point = OperatingPoint(
                "strict", float(np.median(pairs)), "as close as pictures of one person here", ""
            )
        else:
            notes.append(
                "people who are there twice were looked for by copies of pictures only: no point is published for "
                "this embedder, and too few people have several pictures"
            )
    copies = [mixup for mixup in found.mixups if mixup.kind == "copy" and mixup.entry != mixup.other]
    if point is None:
        return copies, notes
    images = [found.entries[i].images[0].sha256 for i in _with_images(found)]
    alike, _ = find_mixups(
        Filed(ids, images, templates, np.arange(len(ids), dtype=np.int32)), embedder.similarity, point
    )
    seen = {frozenset((mixup.entry, mixup.other)) for mixup in alike}
    return alike + [copy for copy in copies if frozenset((copy.entry, copy.other)) not in seen], notes


def _with_images(found: Examined) -> list[int]:
    return [i for i, entry in enumerate(found.entries) if entry.images]


def _own_pairs(found: Examined, embedder: FaceEmbedder) -> list[float]:
    """Similarities of pictures of one person, of at most 20 pictures each."""
    pairs: list[float] = []
    for i in _with_images(found):
        own = found.templates[found.owners == i][:20]
        pairs += embedder.similarity(own, own)[np.triu_indices(len(own), 1)].tolist()
    return pairs


def _stacked(templates: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    there = [template for template in templates if template is not None]
    if len(there) < len(templates):
        raise GalleryError("the mean of somebody's vectors has no direction; leave that person out")
    return np.stack(there).astype(np.float32)


def _parse(content: dict[str, Any], templates: NDArray[np.float32]) -> Cohort:
    if content["measure"] not in get_args(Measure):
        raise ValueError(f"measure {content['measure']!r}")
    ids = tuple(check_entry_id(name) for name in content["ids"])
    lists = [content[name] for name in ("groups", "people", "retain_until", "legal_hold")]
    if templates.dtype != np.float32 or templates.ndim != 2 or not np.isfinite(templates).all():
        raise ValueError(f"templates {templates.dtype} {templates.shape}")
    if {len(templates)} != {len(part) for part in [ids, *lists]}:
        raise ValueError("templates and people do not go together")
    if len(set(ids)) != len(ids):
        raise ValueError("an id twice")
    texts = [str(content[name]) for name in ("name", "source", "licence")]
    made = [str(content[name]) for name in ("embedder", "embedder_fingerprint", "detector_fingerprint")]
    return Cohort(
        texts[0], texts[1], texts[2], templates, tuple(str(group) for group in content["groups"]), made[0], made[1],
        made[2], content["measure"], tuple(int(count) for count in content["people"]), ids,
        tuple(dt.date.fromisoformat(day) if day else None for day in content["retain_until"]),
        tuple(None if hold is None else str(hold) for hold in content["legal_hold"]), int(content["left_out"]),
        tuple((str(a), str(b)) for a, b in content["duplicates"]),
    )  # fmt: skip
