"""Take people out of galleries, photographs and cohorts so that nothing of them stays but a tombstone without a name.

Files are written anew without them and put in the old ones' place. Backups and snapshots are out of reach.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vgaudit.errors import GalleryError
from vgaudit.likeness import gallery_file
from vgaudit.likeness.cohort import Cohort
from vgaudit.likeness.entries import ENTRY_FILE, GalleryEntry, check_entry_id, read_entry_file
from vgaudit.likeness.folder import is_picture
from vgaudit.likeness.gallery import TOMBSTONES, read_tombstones
from vgaudit.likeness.gallery_file import Tombstone
from vgaudit.likeness.photos import Photos
from vgaudit.likeness.private_file import unfinished, write_private
from vgaudit.likeness.purge_words import Names


def new_tombstones(
    entry_ids: Iterable[str], reason: str, today: dt.date, labels: Mapping[str, str] | None = None
) -> dict[str, Tombstone]:
    """A label for each entry, drawn at random: nobody can tell from it who it was.

    Args:
        entry_ids: Whom to remove.
        reason: Kept with the tombstone.
        today: The day.
        labels: Labels of an earlier purge that is gone on with, by entry id.
    """
    known = labels or {}
    return {
        name: Tombstone(known.get(name) or f"purged-{secrets.token_hex(4)}", today.isoformat(), reason)
        for name in sorted(set(entry_ids))
    }


def purgeable(path: Path) -> dict[str, GalleryEntry]:
    """Who is in a gallery file or folder, by id, with what may forbid a purge. Reads no picture.

    Raises:
        GalleryError: There is no gallery, or somebody's facts cannot be read, so that a legal hold might be missed.
    """
    if is_picture(path):
        raise GalleryError(f"{path}: one picture in place of a gallery; remove the file itself")
    if not path.is_dir():
        if not path.exists():
            raise GalleryError(
                f"{path}: no such gallery; expected a gallery file, or a folder with a folder per person"
            )
        return {entry.entry_id: entry for entry in gallery_file.read(path).entries}
    found = {}
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                name = check_entry_id(folder.name)
            except ValueError as error:
                raise GalleryError(f"{path}: {error}") from error
            found[name] = GalleryEntry.of(name, read_entry_file(folder / ENTRY_FILE))
    return found


def refuse_held(entries: Iterable[GalleryEntry], where: object) -> None:
    """Raise if one of the entries is under legal hold.

    Raises:
        GalleryError: Names them, with the reason.
    """
    held = [f"{entry.entry_id} ({entry.legal_hold})" for entry in entries if entry.legal_hold]
    if held:
        raise GalleryError(
            f"{where}: under legal hold and not purged: {', '.join(held)}. Nothing was removed. Whoever set the hold "
            f"can lift it: take legal_hold out of {ENTRY_FILE} and build the file again"
        )


def purge_gallery(path: Path, tombstones: Mapping[str, Tombstone], *, dry_run: bool) -> list[str]:
    """Remove entries from a gallery file or folder, and leave their tombstones; those who are not there are skipped.

    Args:
        path: The file or folder.
        tombstones: By entry id.
        dry_run: Only say what would be removed.

    Returns:
        A sentence for each thing removed.

    Raises:
        GalleryError: No gallery, or somebody is under legal hold.
    """
    people = purgeable(path)
    gone = {name: tombstone for name, tombstone in tombstones.items() if name in people}
    refuse_held([people[name] for name in gone], path)
    if path.is_dir():
        return _purge_folder(path, gone, dry_run)
    done = _purge_file(path, gone, dry_run) if gone else []
    return done + _sweep(path, dry_run)


def purge_photos(path: Path, entry_ids: Iterable[str], *, dry_run: bool) -> list[str]:
    """Remove people's photographs; see :func:`purge_gallery`."""
    if not path.exists():
        raise GalleryError(f"{path}: no such file")
    photos, ids = Photos.open(path), set(entry_ids)
    there = sorted(ids & set(photos.people))
    done = [f"{path}: {len(photos.pictures(name))} photographs of {name}" for name in there]
    if there and not dry_run:
        photos.without(ids).save(path)
    return done + _sweep(path, dry_run)


def purge_cohort(path: Path, entry_ids: Iterable[str], *, dry_run: bool) -> list[str]:
    """Remove people from a cohort file; see :func:`purge_gallery`.

    Raises:
        GalleryError: No cohort file, or somebody is under legal hold.
    """
    cohort, ids = Cohort.read(path), set(entry_ids)
    refuse_held([entry for entry in cohort.entries() if entry.entry_id in ids], path)
    there = sorted(ids & set(cohort.ids))
    done = [f"{path}: the template of {name}" for name in there]
    if there and not dry_run:
        cohort.without(ids).save(path)
    return done + _sweep(path, dry_run)


def purge_selftest(path: Path, names: Names, *, dry_run: bool) -> list[str]:
    """Remove people from the output of ``vgaudit selftest``: rows of plantings, and ``selftest.json`` if it has them.

    The same command writes ``selftest.json`` again, from the rows that are left.

    Args:
        path: The folder that was its ``--out``.
        names: The people.
        dry_run: Only say what would be removed.

    Returns:
        A sentence for each thing removed.

    Raises:
        GalleryError: No such output.
    """
    plantings, result = path / "plantings.jsonl", path / "selftest.json"
    if not (plantings.is_file() or result.is_file()):
        raise GalleryError(f"{path}: expected the output of `vgaudit selftest` (plantings.jsonl), found none")
    done = []
    if plantings.is_file():
        text = plantings.read_text("utf-8", "replace")
        kept, gone = [], 0
        for line in text.splitlines():
            try:
                row = json.loads(line)
                theirs = names.person_of(row) is not None
            except (ValueError, AttributeError):  # cut off by an interrupt: what it holds cannot be told
                theirs = True
            gone += theirs
            if not theirs:
                kept.append(json.dumps(names.value(row), ensure_ascii=False) + "\n")
        if gone or "".join(kept) != text:
            done.append(f"{plantings}: {gone} plantings, and mentions in others")
            if not dry_run:
                write_private(plantings, "".join(kept).encode())
    if result.is_file() and names.in_file(result):
        done.append(f"{result}: the file; the same command writes it again from what is left")
        if not dry_run:
            result.unlink()
    return done + _sweep(plantings, dry_run)


def _purge_file(path: Path, gone: Mapping[str, Tombstone], dry_run: bool) -> list[str]:
    stored = gallery_file.read(path)
    out = [i for i, entry in enumerate(stored.entries) if entry.entry_id in gone]
    done = [
        f"{path}: {len(stored.entries[i].images)} templates and the facts of {stored.entries[i].entry_id}"
        for i in out
    ]
    if dry_run:
        return done
    keep = ~np.isin(stored.owners, out)
    position = np.cumsum(~np.isin(np.arange(len(stored.entries)), out)) - 1
    gallery_file.write(
        path,
        replace(
            stored,
            entries=tuple(entry for entry in stored.entries if entry.entry_id not in gone),
            templates=stored.templates[keep],
            owners=position[stored.owners[keep]].astype(np.int32),
            mixups=tuple(m for m in stored.mixups if m.entry not in gone and m.other not in gone),
            purged=(*stored.purged, *gone.values()),
        ),
    )
    return done


def _purge_folder(path: Path, gone: Mapping[str, Tombstone], dry_run: bool) -> list[str]:
    done = []
    before = read_tombstones(path)
    for folder in sorted(path.iterdir()):
        name = unicodedata.normalize("NFC", folder.name)
        if name not in gone or not folder.is_dir():
            continue
        if folder.is_symlink():
            raise GalleryError(f"{folder}: a link; remove it and what it leads to by hand")
        files = sum(1 for file in folder.rglob("*") if not file.is_dir())
        done.append(f"{folder}: the folder with {files} files")
        if not dry_run:
            shutil.rmtree(folder)
    if gone and not dry_run:
        text = json.dumps({"purged": [vars(tombstone) for tombstone in (*before, *gone.values())]}, indent=1)
        write_private(path / TOMBSTONES, (text + "\n").encode())
    return done


def _sweep(path: Path, dry_run: bool) -> list[str]:
    """What killed writes left beside a file holds the old content too."""
    left = unfinished(path)
    if not dry_run:
        for file in left:
            file.unlink()
    return [f"{file}: left by a write that was killed" for file in left]
