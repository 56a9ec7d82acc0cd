"""Who is in a gallery: ids that are safe as names, roles, consent that lapses into protection, and retention."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vgaudit.errors import GalleryError
from vgaudit.records import digest
from vgaudit.registry import nearest

Role = Literal["protected", "consented", "cohort"]

ENTRY_FILE = "entry.yaml"
MAX_ENTRY_FILE_BYTES = 64 * 1024
MAX_TEXT = 2000
MAX_ALIASES = 100
_ID = re.compile(r"[^\W_][\w .'-]{0,63}")


def _text(value: Any) -> Any:
    """Free text in NFC without spaces around it; pydantic refuses what is no text."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    text = unicodedata.normalize("NFC", value).strip()
    if not text or any(not c.isprintable() and c not in "\n\t" for c in text):
        raise ValueError(
            "expected text that can be read, not empty; leave the field out if there is nothing to say"
        )
    return text


def _alias(value: Any) -> Any:
    text = _text(value)
    if len(text) < 2:
        raise ValueError("expected a name of at least 2 characters; a single one is in every prompt")
    return text


def _day(value: Any) -> Any:
    """A date, never a moment or a number that could be read as one."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.date.fromisoformat(value if isinstance(value, str) and len(value) == 10 else "")
    except ValueError as error:
        raise ValueError("expected a day as YYYY-MM-DD, such as 2027-03-31") from error


def _names(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            "expected a list of one or more names, such as [one, two]; leave the field out for none"
        )
    return value


Text = Annotated[str, BeforeValidator(_text), Field(max_length=MAX_TEXT)]
Name = Annotated[str, BeforeValidator(_text), Field(max_length=200)]
Alias = Annotated[str, BeforeValidator(_alias), Field(max_length=200)]
Day = Annotated[dt.date, BeforeValidator(_day)]


class ImageFacts(BaseModel):
    """What ``entry.yaml`` may say of one picture.

    Attributes:
        provenance: Where the picture is from.
        licence: Under which terms it may be used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    provenance: Text | None = None
    licence: Text | None = None


class EntryFacts(BaseModel):
    """What ``entry.yaml`` may say of a person.

    Attributes:
        role: ``protected`` (must not appear), ``consented`` (may appear) or ``cohort`` (an unrelated person, kept
            for calibration and never reported as a match).
        consent_until: Last day the consent holds; needed for ``consented``.
        consent_scope: Uses that the consent covers; without it, any.
        purpose: What the entry is kept for.
        legal_basis: Why it may be kept.
        retain_until: Last day the entry may be kept and used.
        legal_hold: Why it must be kept past that day and may not be purged.
        aliases: Names that a prompt may use for the person; private.
        group: The user's own grouping, for rates within a group; never inferred.
        licence: Terms of all pictures that state none of their own.
        provenance: Where all pictures are from that state nothing of their own.
        images: Facts of single pictures by the name of the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role = "protected"
    consent_until: Day | None = None
    consent_scope: Annotated[tuple[Name, ...], BeforeValidator(_names)] = ()
    purpose: Text | None = None
    legal_basis: Text | None = None
    retain_until: Day | None = None
    legal_hold: Text | None = None
    aliases: Annotated[tuple[Alias, ...], BeforeValidator(_names), Field(max_length=MAX_ALIASES)] = ()
    group: Name | None = None
    licence: Text | None = None
    provenance: Text | None = None
    images: dict[str, ImageFacts] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consent_has_an_end(self) -> EntryFacts:
        if self.role == "consented" and self.consent_until is None:
            raise ValueError("role consented needs consent_until: YYYY-MM-DD, the last day the consent holds")
        for name in ("consent_until", "consent_scope"):
            if self.role != "consented" and getattr(self, name):
                raise ValueError(f"{name} goes with role consented, not with role {self.role}")
        return self


@dataclass(frozen=True)
class ImageQuality:
    """How well a picture of the gallery serves, and what that rests on.

    Attributes:
        score: In [0, 1], the geometric mean of size (1 from 112 px on), sharpness (1 from a detail of 0.05 on),
            confidence and pose.
        detail: Of :func:`vgaudit.extractors.face_quality.detail`: share of the variance that is fine.
        confidence: Of the detector, in [0, 1].
        pose: In [0, 1]: 1 where the nose stands midway between the eyes, 0 where it hides one.
    """

    score: float
    detail: float
    confidence: float
    pose: float


@dataclass(frozen=True)
class GalleryImage:
    """A picture of a person, by its digest; neither its name nor its pixels are kept.

    Attributes:
        sha256: Digest of the file.
        side_px: Shorter side of the face in it, in pixels.
        quality: Of the face; ``None`` in files of the first format.
        provenance: Where it is from; the entry's where it says nothing of its own.
        licence: Likewise.
        embedded: Number of embeddings that its template is the mean of: 1, or more for role ``cohort``.
    """

    sha256: str
    side_px: float = 0.0
    quality: ImageQuality | None = None
    provenance: str | None = None
    licence: str | None = None
    embedded: int = 1

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; what is not known is left out."""
        quality = None if self.quality is None else vars(self.quality)
        return _known({**vars(self), "quality": quality})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GalleryImage:
        """Inverse of :meth:`to_json`."""
        stated = data.get("quality")
        parts = [float(stated[name]) for name in ("score", "detail", "confidence", "pose")] if stated else []
        return cls(
            str(data["sha256"]), float(data["side_px"]), ImageQuality(*parts) if parts else None,
            data.get("provenance"), data.get("licence"), int(data.get("embedded", 1)),
        )  # fmt: skip


@dataclass(frozen=True)
class RejectedImage:
    """A file of an entry that gives no template.

    Attributes:
        sha256: Digest of the file; empty where it could not be read.
        reason: Why, without the file's name.
    """

    sha256: str
    reason: str


@dataclass(frozen=True)
class GalleryEntry:
    """A person of the gallery.

    Attributes:
        entry_id: Pseudonym; the folder's name.
        role: As stated; see :meth:`effective_role`.
        images: The usable pictures.
        consent_until: Last day the consent holds.
        consent_scope: Uses that it covers; empty: any.
        purpose: What the entry is kept for.
        legal_basis: Why it may be kept.
        retain_until: Last day it may be kept and used.
        legal_hold: Why it must be kept all the same.
        aliases: Names a prompt may use; private, never written to a run.
        group: The user's own grouping.
        licence: Terms of the pictures.
        provenance: Where they are from.
        rejected: Files that give no template.
    """

    entry_id: str
    role: Role = "protected"
    images: tuple[GalleryImage, ...] = field(default=())
    consent_until: dt.date | None = None
    consent_scope: tuple[str, ...] = ()
    purpose: str | None = None
    legal_basis: str | None = None
    retain_until: dt.date | None = None
    legal_hold: str | None = None
    aliases: tuple[str, ...] = field(default=(), repr=False)
    group: str | None = None
    licence: str | None = None
    provenance: str | None = None
    rejected: tuple[RejectedImage, ...] = ()

    @classmethod
    def of(
        cls,
        entry_id: str,
        facts: EntryFacts,
        images: tuple[GalleryImage, ...] = (),
        rejected: tuple[RejectedImage, ...] = (),
    ) -> GalleryEntry:
        """An entry with the facts of its ``entry.yaml``."""
        own = {name: getattr(facts, name) for name in EntryFacts.model_fields if name != "images"}
        return cls(entry_id=entry_id, images=images, rejected=rejected, **own)

    def effective_role(self, today: dt.date, use: str | None = None) -> Role:
        """The role on a day and for a use.

        Consent that has lapsed, or does not cover the use, makes the entry protected; nobody silently drops out.
        A consent with a scope covers no use that is not named.

        Args:
            today: The day.
            use: What the clips are for, as the suite says; ``None`` where it does not say.
        """
        return "protected" if self.consent_gap(today, use) else self.role

    def consent_gap(self, today: dt.date, use: str | None = None) -> str:
        """Why a stated consent does not hold, or an empty text."""
        if self.role != "consented":
            return ""
        if self.consent_until is None or today > self.consent_until:
            return (
                f"consent lapsed after {self.consent_until}"
                if self.consent_until
                else "consent without an end"
            )
        if self.consent_scope and (use or "").casefold() not in {
            name.casefold() for name in self.consent_scope
        }:
            covered = ", ".join(self.consent_scope)
            asked = f"the use {use!r}" if use else "a use that is not stated"
            return f"consent covers {covered}, not {asked}"
        return ""

    def past_retention(self, today: dt.date) -> bool:
        """Whether the entry was to be kept until a day that is over, legal hold or not."""
        return self.retain_until is not None and today > self.retain_until

    @property
    def images_digest(self) -> str:
        """Digest of the pictures its templates are of: what photographs kept elsewhere are bound to."""
        return digest(sorted(image.sha256 for image in self.images))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; what is not known is left out. Holds the aliases."""
        return _known(
            {
                **vars(self),
                "consent_until": self.consent_until.isoformat() if self.consent_until else None,
                "retain_until": self.retain_until.isoformat() if self.retain_until else None,
                "consent_scope": list(self.consent_scope) or None,
                "aliases": list(self.aliases) or None,
                "images": [image.to_json() for image in self.images],
                "rejected": [vars(image) for image in self.rejected] or None,
            }
        )

    @classmethod
    def from_json(cls, data: dict[str, Any], where: str) -> GalleryEntry:
        """Inverse of :meth:`to_json`.

        Raises:
            GalleryError: A fact is wrong.
            ValueError, KeyError, TypeError: Something else is.
        """
        rest = ("entry_id", "images", "rejected")
        facts = parse_entry_facts({k: v for k, v in data.items() if k not in rest}, where)
        return cls.of(
            check_entry_id(data["entry_id"]),
            facts,
            tuple(GalleryImage.from_json(image) for image in data["images"]),
            tuple(RejectedImage(str(i["sha256"]), str(i["reason"])) for i in data.get("rejected", ())),
        )


def refuse_expired(entries: Iterable[GalleryEntry], where: object, today: dt.date) -> None:
    """Raise if somebody was to be kept until a day that is over and is under no legal hold.

    An entry past its day may not be used; left out in silence, it would look like one that was looked for.

    Raises:
        GalleryError: Names the entries and both ways out.
    """
    late = [e for e in entries if e.past_retention(today) and not e.legal_hold]
    if late:
        named = ", ".join(f"{entry.entry_id} ({entry.retain_until})" for entry in late[:20])
        more = f" and {len(late) - 20} more" if len(late) > 20 else ""
        raise GalleryError(
            f"{where}: to be kept no longer than the day stated as retain_until: {named}{more}. Remove them with "
            f"`vgaudit gallery purge {_quoted(late[0].entry_id)} --gallery {_quoted(str(where))}`, or extend "
            "retain_until in entry.yaml (and build the gallery file again)"
        )


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def check_entry_id(text: str) -> str:
    """``text`` in NFC if it can be an entry's id.

    Raises:
        ValueError: It could be mistaken for a path, hide characters, or is too long.
    """
    name = unicodedata.normalize("NFC", text)
    if not _ID.fullmatch(name) or name.endswith((".", " ")) or ".." in name:
        raise ValueError(
            f"{text!r} cannot be the id of an entry: expected 1 to 64 letters, digits, spaces or _ . ' -, beginning "
            "with a letter or digit and without '..'"
        )
    return name


def read_entry_file(path: Path) -> EntryFacts:
    """Facts of an ``entry.yaml``; the defaults where there is none.

    Raises:
        GalleryError: It is no YAML mapping of known fields, or contradicts itself.
    """
    if not path.is_file():
        return EntryFacts()
    with path.open("rb") as file:
        data = file.read(MAX_ENTRY_FILE_BYTES + 1)
    if len(data) > MAX_ENTRY_FILE_BYTES:
        raise GalleryError(f"{path}: larger than {MAX_ENTRY_FILE_BYTES} bytes; expected a few lines of YAML")
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(data.decode())
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        at = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise GalleryError(f"{path}{at}: not YAML: {what}") from error
    if content is None:
        return EntryFacts()
    return parse_entry_facts(content, str(path))


def parse_entry_facts(content: Any, where: str) -> EntryFacts:
    """Facts from parsed YAML or JSON.

    Raises:
        GalleryError: Unknown fields, wrong values, or a contradiction; the message names the field, what was
            expected, what was found, and for unknown fields the nearest known one.
    """
    try:
        return EntryFacts.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(e) for e in error.errors())
        raise GalleryError(f"{where}: {problems} (known: {', '.join(EntryFacts.model_fields)})") from error


def _problem(error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    at = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = list((ImageFacts if path[0] == "images" else EntryFacts).model_fields)
        return f"{at}: unknown field{nearest(path[-1], known)}"
    text = error["msg"].removeprefix("Value error, ")
    if not path:
        return str(text)
    if path[0] == "aliases":
        return f"{at}: {text} (its value is private and not shown)"
    found = repr(error["input"])
    return f"{at}: {text}; found {found if len(found) <= 80 else found[:77] + '...'}"
