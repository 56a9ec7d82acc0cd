"""What is said of a gallery: who is in it in which role today, what asks for attention, and tables of it."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from vgaudit.likeness.entries import GalleryEntry
from vgaudit.likeness.gallery_file import StoredGallery
from vgaudit.records import canonical_json

SOON_DAYS = 30
POOR = 0.6
"""Quality of the best picture below which an entry is told."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def entry_facts(
    entry: GalleryEntry, today: dt.date, use: str | None = None, private: bool = False
) -> dict[str, Any]:
    """Facts of an entry as a JSON object.

    Args:
        entry: The entry.
        today: Decides the role and what is past.
        use: What clips are for.
        private: With the aliases; otherwise only their number.
    """
    facts = entry.to_json()
    aliases = facts.pop("aliases", [])
    scores = [image.quality.score for image in entry.images if image.quality]
    return {
        **facts,
        "aliases": aliases if private else len(aliases),
        "role_today": entry.effective_role(today, use),
        "quality": {"best": max(scores), "worst": min(scores)} if scores else None,
        "past_retention": entry.past_retention(today),
        "attention": attention(entry, today, use),
    }


def attention(entry: GalleryEntry, today: dt.date, use: str | None = None) -> list[str]:
    """Sentences on what somebody should do or know about an entry."""
    out = []
    if gap := entry.consent_gap(today, use):
        out.append(f"{gap}: protected")
    elif entry.consent_until and (left := (entry.consent_until - today).days) < SOON_DAYS:
        out.append(f"consent ends in {left} days")
    if entry.past_retention(today):
        out.append(
            f"past retain_until, kept under legal hold ({entry.legal_hold})"
            if entry.legal_hold
            else "past retain_until: cannot be used; purge it, or extend the date"
        )
    else:
        if entry.legal_hold:
            out.append(f"under legal hold ({entry.legal_hold})")
        if entry.retain_until and (left := (entry.retain_until - today).days) < SOON_DAYS:
            out.append(f"to be kept for {left} days more")
    scores = [image.quality.score for image in entry.images if image.quality]
    if not entry.images:
        out.append("no usable picture: a build would be refused")
    elif len(entry.images) == 1 and entry.role != "cohort":
        out.append("one picture only; two to five of different days find more")
    if scores and max(scores) < POOR:
        out.append(
            f"its best picture has a quality of {max(scores):.2f}; a larger, sharper, frontal one finds more"
        )
    return out


def to_jsonl(gallery: StoredGallery, today: dt.date, private: bool = False) -> str:
    """One line an entry; no templates."""
    return "".join(
        canonical_json(entry_facts(entry, today, None, private)) + "\n" for entry in gallery.entries
    )


COLUMNS = (
    "entry_id", "role", "role_today", "group", "consent_until", "consent_scope", "retain_until", "legal_hold",
    "purpose", "legal_basis", "aliases", "image_sha256", "used", "reason", "side_px", "quality", "detail",
    "confidence", "pose", "provenance", "licence",
)  # fmt: skip


def to_csv(gallery: StoredGallery, today: dt.date, private: bool = False) -> str:
    """One row a picture, with the facts of its entry; no templates. Cells never start a formula."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for entry in gallery.entries:
        facts = entry_facts(entry, today, None, private)
        facts |= {name: "; ".join(facts.get(name) or ()) for name in ("consent_scope",)}
        facts["aliases"] = "; ".join(entry.aliases) if private else len(entry.aliases)
        shared = {name: facts.get(name) for name in COLUMNS[:11]}
        for image in entry.images:
            parts = vars(image.quality) if image.quality else {}
            row = {
                **shared, "image_sha256": image.sha256, "used": "yes", "side_px": image.side_px,
                "quality": parts.get("score"), **{name: parts.get(name) for name in ("detail", "confidence", "pose")},
                "provenance": image.provenance or entry.provenance, "licence": image.licence or entry.licence,
            }  # fmt: skip
            table.writerow({name: _cell(value) for name, value in row.items()})
        for rejected in entry.rejected:
            row = {**shared, "image_sha256": rejected.sha256, "used": "no", "reason": rejected.reason}
            table.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def templates_npz(gallery: StoredGallery) -> bytes:
    """The templates themselves as ``.npz``: ``templates`` (n, d), ``entry_id`` (n,), ``image_sha256`` (n,) and facts.

    Biometric data without any of the gallery file's guards against use with another embedder.
    """
    data = io.BytesIO()
    np.savez(
        data,
        templates=gallery.templates,
        entry_id=np.array([gallery.entries[i].entry_id for i in gallery.owners.tolist()], dtype=np.str_),
        image_sha256=np.array([image.sha256 for e in gallery.entries for image in e.images], dtype=np.str_),
        embedder_fingerprint=np.array(gallery.embedder_fingerprint),
        measure=np.array(gallery.measure),
    )
    return data.getvalue()


def counts(entries: Sequence[GalleryEntry]) -> str:
    """For example ``3 people, 7 pictures used, 1 rejected``."""
    used, rejected = sum(len(e.images) for e in entries), sum(len(e.rejected) for e in entries)
    people = "1 person" if len(entries) == 1 else f"{len(entries)} people"
    return f"{people}, {used} {'picture' if used == 1 else 'pictures'} used, {rejected} rejected"


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
