"""Photographs of gallery entries for a reviewer's page: only of those who were matched, and only the right ones."""

from __future__ import annotations

from pathlib import Path

from vgaudit.errors import GalleryError
from vgaudit.likeness.photos import MADE_BY, Photos
from vgaudit.reports.data import ReportData


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
