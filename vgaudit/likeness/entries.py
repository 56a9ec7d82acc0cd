"""Who is in a gallery: ids that are safe as names, roles, and consent that lapses into protection."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vgaudit.errors import GalleryError

Role = Literal["protected", "consented", "cohort"]

ENTRY_FILE = "entry.yaml"
MAX_ENTRY_FILE_BYTES = 64 * 1024
_ID = re.compile(r"[^\W_][\w .'-]{0,63}")


class EntryFacts(BaseModel):
    """What ``entry.yaml`` may say of a person.

    Attributes:
        role: ``protected`` (must not appear), ``consented`` (may appear) or ``cohort`` (an unrelated person, kept
            for calibration and never reported as a match).
        consent_until: Last day the consent holds; needed for ``consented``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role = "protected"
    consent_until: dt.date | None = None

    @model_validator(mode="after")
    def _consent_has_an_end(self) -> EntryFacts:
        if self.role == "consented" and self.consent_until is None:
            raise ValueError("role consented needs consent_until: YYYY-MM-DD, the last day the consent holds")
        if self.role != "consented" and self.consent_until is not None:
            raise ValueError(f"consent_until goes with role consented, not with role {self.role}")
        return self


@dataclass(frozen=True)
class GalleryImage:
    """A picture of a person, by its digest; neither its name nor its pixels are kept.

    Attributes:
        sha256: Digest of the file.
        side_px: Shorter side of the face in it, in pixels.
    """

    sha256: str
    side_px: float = 0.0


@dataclass(frozen=True)
class GalleryEntry:
    """A person of the gallery.

    Attributes:
        entry_id: Pseudonym; the folder's name.
        role: As stated; see :meth:`effective_role`.
        images: The usable pictures.
        consent_until: Last day the consent holds.
    """

    entry_id: str
    role: Role = "protected"
    images: tuple[GalleryImage, ...] = field(default=())
    consent_until: dt.date | None = None

    def effective_role(self, today: dt.date) -> Role:
        """The role on a day: consent that has lapsed makes the entry protected; nobody silently drops out."""
        if self.role == "consented" and (self.consent_until is None or today > self.consent_until):
            return "protected"
        return self.role

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "entry_id": self.entry_id,
            "role": self.role,
            "consent_until": self.consent_until.isoformat() if self.consent_until else None,
            "images": [{"sha256": image.sha256, "side_px": image.side_px} for image in self.images],
        }


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
        raise GalleryError(f"{path}: not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return EntryFacts()
    return parse_entry_facts(content, str(path))


def parse_entry_facts(content: Any, where: str) -> EntryFacts:
    """Facts from parsed YAML or JSON.

    Raises:
        GalleryError: Unknown fields, wrong values, or a contradiction; the message names the field.
    """
    try:
        return EntryFacts.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            (f"{e['loc'][0]}: " if e["loc"] else "") + e["msg"].removeprefix("Value error, ")
            for e in error.errors()
        )
        raise GalleryError(f"{where}: {problems} (known: role, consent_until)") from error
