"""Bring clips and pictures of a run into the report's folder, so that it can be moved and opened anywhere."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vgaudit.reports.escaping import url_path

VIDEO = frozenset({".mp4", ".m4v", ".webm", ".ogv", ".mov"})
IMAGE = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


@dataclass(frozen=True)
class MediaFile:
    """A file of the report, or why there is none.

    Attributes:
        url: Percent-encoded, relative to the report's folder; empty when ``problem`` is set.
        kind: ``video``, ``image`` or empty.
        problem: One clause, e.g. ``the file is missing``.
    """

    url: str = ""
    kind: str = ""
    problem: str = ""

    def __bool__(self) -> bool:
        return not self.problem


class MediaFolder:
    """``media/`` of one report. Every file directly in it belongs to this class."""

    def __init__(self, run_dir: Path, folder: Path) -> None:
        self._run_dir = run_dir.resolve()
        self._folder = folder
        self._written: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, relative: str | None, stem: str) -> MediaFile:
        """Hard-link (or copy) a file of the run directory to ``<stem><its extension>``.

        Args:
            relative: Path relative to the run directory. It comes from stored records, so it is not trusted:
                one that leaves the run directory, also through a symbolic link, is refused.
            stem: Safe file name without extension, unique in the report.
        """
        found = self.find(relative)
        if isinstance(found, MediaFile):
            return found
        source, kind = found
        name = stem + PurePosixPath(str(relative)).suffix.lower()
        link_or_copy(source, self._folder / name)
        return self._added(name, kind)

    def find(self, relative: str | None) -> tuple[Path, str] | MediaFile:
        """A file of the run with its kind (``video`` or ``image``), or why the report cannot have it."""
        if not relative:
            return MediaFile(problem="none was stored")
        suffix = PurePosixPath(relative).suffix.lower()
        kind = "video" if suffix in VIDEO else "image" if suffix in IMAGE else ""
        if not kind:
            return MediaFile(problem=f"browsers do not play {suffix or 'files without an extension'}")
        try:
            source = (self._run_dir / relative).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return MediaFile(problem="the file is missing")
        if not source.is_relative_to(self._run_dir):
            return MediaFile(problem="the file lies outside of the run directory")
        if not source.is_file():
            return MediaFile(problem="it is no regular file")
        return source, kind

    def write(self, name: str, data: bytes, mode: int = 0o666) -> MediaFile:
        """Write a picture that is no file of the run; an equal name is replaced, never written through a link.

        Args:
            name: Safe file name, unique in the report.
            data: The picture.
            mode: Permissions, less what the umask takes.
        """
        temporary = self._folder / f".{name}.{os.getpid()}.tmp"
        try:
            with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
                file.write(data)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        return self._added(name, "image")

    def _added(self, name: str, kind: str) -> MediaFile:
        self._written.add(name)
        return MediaFile(url_path(self._folder.name, name), kind)

    def prune(self) -> None:
        """Remove files of an earlier report that this one does not have (sub-folders are left alone)."""
        prune(self._folder, self._written)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link, or a copy where links are impossible."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        if not target.is_symlink() and target.exists() and target.samefile(source):
            return
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without hard links
            shutil.copy(source, temporary)  # with its mode: faces are for their owner alone
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def prune(folder: Path, keep: set[str], pattern: str = "*") -> None:
    """Remove the regular files directly in ``folder`` that match ``pattern`` and whose names are not in ``keep``."""
    for path in folder.glob(pattern):
        if path.name not in keep and (path.is_symlink() or path.is_file()):
            path.unlink()
