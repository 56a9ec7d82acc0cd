"""Where weights lie that are neither in the package nor in another tool's cache, and which bytes a user has pinned.

A folder holds files as ``<repo>/<filename>`` and may hold ``pins.json``: names of the catalogue to the sha256 that a
user vouches for, where the catalogue establishes none. A pin never replaces a digest that is established.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from pathlib import Path

from vgaudit.errors import Unavailable, UsageError
from vgaudit.zoo.catalogue import WEIGHTS

MIRROR_VARIABLE = "VGAUDIT_WEIGHTS"
PINS = "pins.json"
_DIGEST = re.compile("[0-9a-f]{64}")


def expanded(path: str | Path) -> Path:
    """``path`` with a leading ``~`` made the home folder.

    Raises:
        UsageError: Whose home that is, is not known: ``HOME`` is not set, and the system knows no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{path}: which home folder ~ is cannot be told (HOME is not set, or there is no such user); set HOME, "
            "or write the whole path"
        ) from error


def user_folder() -> Path | None:
    """The user's own folder of weights, there or not: ``vgaudit/weights`` where the system keeps users' data.

    ``None`` where the user has no home folder, as in some containers.
    """
    try:
        data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    except RuntimeError:
        return None
    return data / "vgaudit" / "weights"


def weights_folders() -> tuple[Path, ...]:
    """Folders that are looked into, in turn: that of ``VGAUDIT_WEIGHTS``, if it is set, and the user's own, if any.

    Raises:
        UsageError: ``VGAUDIT_WEIGHTS`` begins with a ``~`` that is nobody's home.
    """
    named, own = os.environ.get(MIRROR_VARIABLE), user_folder()
    return (*((expanded(named),) if named else ()), *((own,) if own else ()))


def first_folder() -> Path:
    """Where weights are put if no folder is named.

    Raises:
        UsageError: There is no such folder.
    """
    folders = weights_folders()
    if not folders:
        raise UsageError(
            "there is no folder to put weights in: no home folder is known (HOME is not set); set "
            f"{MIRROR_VARIABLE} or XDG_DATA_HOME to a folder, or name one with --to"
        )
    return folders[0]


def known_folder(named: Path) -> Path:
    """A folder as :func:`weights_folders` writes it where it is one of those, else its whole path.

    So ``weights``, its whole path and a link to it are one folder.

    Raises:
        UsageError: It begins with a ``~`` that is nobody's home, or its links go round in a circle.
    """
    try:
        whole = expanded(named).resolve()
        return next((known for known in weights_folders() if known.resolve() == whole), whole)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"--to {named}: {error}; expected a folder") from error


def pins(folder: Path) -> dict[str, str]:
    """Name -> sha256 as hex that a user pinned in a folder; empty where there is no ``pins.json``.

    Raises:
        UsageError: The file is not such a mapping.
    """
    path = folder / PINS
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}; mend it, or delete it and pin again") from error
    if not isinstance(stored, dict):
        raise UsageError(f"{path}: expected a mapping of names to sha256, found {type(stored).__name__}")
    for name, sha256 in stored.items():
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            raise UsageError(f"{path}: {name}: expected 64 hexadecimal digits, found {sha256!r}")
    return stored


def pinned_by_user(name: str) -> str | None:
    """Digest that a user pinned for a name, the first folder's; ``None`` if there is none or the catalogue has one.

    Raises:
        UsageError: A ``pins.json`` is damaged.
    """
    entry = WEIGHTS.get(name)
    if entry is None or entry.sha256:
        return None
    return next((found[name] for folder in weights_folders() if name in (found := pins(folder))), None)


def record_pin(folder: Path, name: str, sha256: str) -> None:
    """Write a pin into a folder's ``pins.json``, whole or not at all.

    Raises:
        UsageError: The file there is damaged.
        OSError: It cannot be written.
    """
    with (folder / f".{PINS}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stored = pins(folder) | {name: sha256.lower()}
        written = folder / f".{PINS}.{os.getpid()}"
        written.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n", "utf-8")
        written.replace(folder / PINS)


def unwritable(path: Path, error: OSError) -> Unavailable:
    """The error for a file or folder that cannot be written, a full disk included."""
    return Unavailable(
        f"{path} cannot be written: {error.strerror or error}",
        "make room or give yourself the right to write there, or name another folder with --to",
    )
