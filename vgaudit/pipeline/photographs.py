"""Photographs of gallery entries for a reviewer's page: only of those who were matched, and only the right ones."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from vgaudit.errors import GalleryError, RunDirError
from vgaudit.likeness.photos import MADE_BY, Photos
from vgaudit.reports.data import ReportData
from vgaudit.reports.likeness_page import FACES
from vgaudit.rundir import owner_only

SHOWN = "likeness_shown.jsonl"
"""Of a run directory: a line for every photograph that a reviewer's page has shown, in the order of time."""


def photographs(path: Path, data: ReportData) -> dict[str, list[tuple[bytes, str]]]:
    """Pictures and digests of everybody who is matched in a run, by entry id, from a file of photographs.

    Raises:
        GalleryError: The file is none, or holds other pictures of somebody than the run compared with.
    """
    if not path.is_file():
        raise GalleryError(f"{path}: no such file of photographs; expected one made by {MADE_BY}")
    photos = Photos.open(path)
    matched = {
        str(f.detail["entry"]): f.detail.get("images_digest")
        for clip in data.clips
        for f in clip.findings
        if "entry" in f.detail
    }
    known = {name: person for name, person in photos.people.items() if name in matched}
    wrong = sorted(name for name, person in known.items() if person.images_digest != matched[name])
    if wrong:
        raise GalleryError(
            f"{path}: of {', '.join(wrong[:3])} it holds other pictures than this run compared with, so a reviewer "
            f"would look at the wrong ones; expected the file that {MADE_BY} made together with the run's gallery"
        )
    return {name: photos.pictures(name) for name in known}


def on_the_page(run: Path, report: Path | None = None) -> dict[str, list[str]]:
    """Entry id -> SHA-256 of the photographs that the report shows now; empty without a page.

    Args:
        run: The run directory.
        report: Another folder with a report of the run than the one in it.

    Raises:
        RunDirError: What the page says of it cannot be read.
    """
    file = (report or run / "report") / "likeness_shown.json"
    try:
        shown = json.loads(file.read_text(encoding="utf-8"))["photographs"]
        return {str(entry): [str(sha) for sha in digests] for entry, digests in shown.items() if digests}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunDirError(f"{file}: cannot be read ({error}); run `vgaudit report {run}` again") from error


def kept_on_the_page(run: Path) -> dict[str, list[tuple[bytes, str]]]:
    """The photographs that the likeness page shows now, as :func:`photographs` gives them.

    With them the page can be written again without the file they came from. One whose bytes have changed is left out.

    Raises:
        RunDirError: See :func:`on_the_page`.
    """
    kept: dict[str, list[tuple[bytes, str]]] = {}
    for entry, digests in on_the_page(run).items():
        for sha in digests:
            for file in (run / "report" / FACES).glob(f"photograph-{sha[:32]}.*"):
                if (
                    file.is_file()
                    and not file.is_symlink()
                    and sha256(data := file.read_bytes()).hexdigest() == sha
                ):
                    kept.setdefault(entry, []).append((data, sha))
    return kept


def record_shown(run: Path, report: Path | None = None) -> int:
    """Add what the report shows now to the run's :data:`SHOWN`; returns how many photographs that are.

    The caller holds the run's lock. Earlier lines stay, whatever becomes of the page; a purge takes a
    person's.

    Args:
        run: The run directory.
        report: Another folder with a report of the run than the one in it.

    Raises:
        RunDirError: The record cannot be kept.
    """
    time = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [
        {"entry": entry, "sha256": sha, "time": time}
        for entry, digests in on_the_page(run, report).items()
        for sha in digests
    ]
    try:
        with open(run / SHOWN, "a+b", opener=owner_only) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # of a writer that was killed
                    file.write(b"\n")
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunDirError(f"{run / SHOWN}: what was shown cannot be recorded ({error.strerror})") from error
    return len(rows)
