"""SHA-256 of weights files, remembered by size and time of change so that a second run does not read them again.

The memory is a small JSON file in the user's cache folder (``$XDG_CACHE_HOME/vgaudit/digests.json``). It only saves
time: where it cannot be read or written, files are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

_REMEMBER_FROM = 2**20  # smaller files are read faster than looked up
_SETTLED_S = 2.0  # a file changed this recently may change again within the clock's resolution


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, streamed.

    Raises:
        OSError: The file cannot be read.
    """
    stat = path.stat()
    if stat.st_size < _REMEMBER_FROM:
        return _read(path)
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    known = _load()
    if key not in known:
        known[key] = _read(path)
        if time.time() - stat.st_mtime > _SETTLED_S:
            _store(known)
    return known[key]


def sha256_folder(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below ``folder``, hidden ones left out."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vgaudit" / "digests.json"


def _load() -> dict[str, str]:
    try:
        known = json.loads(_memory().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str) and len(v) == 64}


def _store(known: dict[str, str]) -> None:
    path = _memory()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(known, file)
        Path(file.name).replace(path)
