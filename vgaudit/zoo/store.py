"""Weights on this machine: what is there, fetching what is not, and taking in what came another way.

Nothing half-fetched is ever used: a file is written beside its place (``.part``), hashed, and only then moved there.
One whose digest nobody has established stays beside it (``.unverified``) until the user states the digest.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vgaudit.errors import Unavailable, UsageError
from vgaudit.progress import Progress
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import WEIGHTS, Weights
from vgaudit.zoo.fetch import discard, fetch
from vgaudit.zoo.folders import PINS, pinned_by_user, record_pin, unwritable, weights_folders
from vgaudit.zoo.resolve import bundled_file, cached, file_sha256, from_hub, mirrored

Verdict = Literal["ok", "absent", "differs", "not established"]


@dataclass(frozen=True)
class State:
    """What is known of an entry of the catalogue and of its file here.

    Attributes:
        entry: The entry.
        path: Where its file is, or ``None``.
        place: ``package``, ``folder``, ``hub cache``, ``torch cache``, ``partial`` or ``absent``.
        sha256: Digest that the file has to have, or ``None`` where nobody has established one.
        pinned_by: ``catalogue``, ``pins.json``, or empty.
    """

    entry: Weights
    path: Path | None
    place: str
    sha256: str | None
    pinned_by: str


@dataclass(frozen=True)
class Checked:
    """A file held against its digest.

    Attributes:
        state: Of the entry.
        verdict: ``ok``, ``absent``, ``differs``, or ``not established`` where there is nothing to hold it against.
        found: The file's digest, or empty.
    """

    state: State
    verdict: Verdict
    found: str = ""


def entry_of(name: str) -> Weights:
    """The entry of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in WEIGHTS:
        raise UsageError(
            f"no weights are known as {name!r}{nearest(name, sorted(WEIGHTS))}; see `vgaudit models list`"
        )
    return WEIGHTS[name]


def source_of(entry: Weights) -> str:
    """Where an entry's file is published, in words."""
    if entry.bundled:
        return "ships with vgaudit"
    return entry.url or f"{entry.repo}@{entry.revision[:12]} {entry.filename}"


def state_of(entry: Weights) -> State:
    """Where the file is, without reading it.

    Raises:
        UsageError: A ``pins.json`` is damaged.
    """
    pin = pinned_by_user(entry.name)
    sha256, by = (entry.sha256, "catalogue") if entry.sha256 else (pin, "pins.json" if pin else "")
    path: Path | None
    if entry.bundled:
        try:
            return State(entry, bundled_file(entry, entry.filename).path, "package", sha256, by)
        except Unavailable:
            return State(entry, None, "absent", sha256, by)
    if path := mirrored(entry):
        return State(entry, path, "folder", sha256, by)
    if path := cached(entry):
        return State(entry, path, "torch cache" if entry.url else "hub cache", sha256, by)
    begun = any(
        _beside(folder / entry.mirror_path, suffix).exists()
        for folder in weights_folders()
        for suffix in (".part", ".unverified")
    )
    return State(entry, None, "partial" if begun else "absent", sha256, by)


def check(entry: Weights) -> Checked:
    """Hash the file that would be used.

    Raises:
        Unavailable: Weights that ship along are not there or were changed.
        UsageError: A ``pins.json`` is damaged.
    """
    for filename in (entry.filename, *entry.beside) if entry.bundled else ():
        bundled_file(entry, filename)  # says what is wrong with it
    state = state_of(entry)
    if state.path is None:
        return Checked(state, "absent")
    found = file_sha256(state.path)
    if state.sha256 is None:
        return Checked(state, "not established", found)
    return Checked(state, "ok" if found == state.sha256 else "differs", found)


def pull(name: str, progress: Progress, *, sha256: str | None = None, folder: Path | None = None) -> Checked:
    """Fetch an entry's file, or go on where an earlier attempt stopped, and hold it against its digest.

    Args:
        name: Of the catalogue.
        progress: Hears of it.
        sha256: Digest that the user vouches for, where the catalogue has none; it is recorded in ``pins.json``.
        folder: Where to; by default the first of :func:`~vgaudit.zoo.folders.weights_folders`, the only ones that are
            looked into. Files of the hub stay in its own cache unless a folder is named.

    Returns:
        ``ok``; or ``not established`` with the digest of what was fetched: it is not used until it is stated.

    Raises:
        UsageError: No such name, or the digest stated is not the catalogue's.
        Unavailable: It cannot be fetched, or is not the file it should be.
    """
    entry = entry_of(name)
    if entry.bundled:
        return check(entry)
    pin = _stated(entry, sha256) or pinned_by_user(name)
    here = state_of(entry).path
    if here is not None and pin is not None and file_sha256(here) != pin:
        progress.note(f"{here} is not the file it should be (sha256 {file_sha256(here)}); it is fetched anew")
        here = None
    home = folder or weights_folders()[0]
    if here is not None and folder is None:
        return _settled(entry, here, pin, here, home, sha256)
    target = home / entry.mirror_path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if here is not None:
                fetched = _copy(here, target)
            elif entry.url:
                fetched = _published(entry, target, progress, pinned=pin is not None)
            else:
                found = from_hub(entry)
                if folder is None:
                    return _settled(entry, found, pin, found, home, sha256)
                fetched = _copy(found, target)
            return _settled(entry, fetched, pin, target, home, sha256)
    except OSError as error:
        raise unwritable(target, error) from error


def _published(entry: Weights, target: Path, progress: Progress, *, pinned: bool) -> Path:
    """The whole file from the publisher's page, beside its place."""
    fetched, part = _beside(target, ".unverified"), _beside(target, ".part")
    if fetched.is_file():
        return fetched
    other_way = f"fetch it elsewhere and run `vgaudit models import FILE --as {entry.name}`"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Unavailable(f"{entry.name} is at {entry.url}, and HF_HUB_OFFLINE is set", other_way)
    try:
        fetch(entry.url, part, progress, size=entry.size, length_needed=not pinned)
    except Unavailable as error:
        there = part.stat().st_size if part.is_file() else 0
        kept = f"try again (the {there:,} bytes that are here are kept), or " if there else ""
        raise Unavailable(f"{entry.name}: {error.reason}", f"{error.remedy or kept + other_way}") from error
    part.replace(fetched)
    discard(part)
    return fetched


def take_in(path: Path, name: str, *, sha256: str | None = None, folder: Path | None = None) -> Checked:
    """Copy a file that came another way to where it is looked for, after its digest was verified.

    Args:
        path: The file.
        name: Of the catalogue.
        sha256: Digest that the user vouches for, needed where the catalogue has none.
        folder: Where to; by default the first of :func:`~vgaudit.zoo.folders.weights_folders`.

    Raises:
        UsageError: No such file or name, weights that ship along, or no digest to hold it against.
        Unavailable: It is another file, or cannot be written.
    """
    entry = entry_of(name)
    if entry.bundled:
        raise UsageError(f"{name} ships with vgaudit; nothing is to be imported for it")
    if not path.is_file():
        raise UsageError(f"no file at {path}")
    pin = _stated(entry, sha256) or pinned_by_user(name)
    found = file_sha256(path)
    if pin is None:
        raise UsageError(
            f"no digest is established for {name}. {path} has sha256 {found}; if you trust it, run the same command "
            f"with --sha256 {found}"
        )
    if found != pin:
        raise Unavailable(
            f"{path} has sha256 {found}, but {name} is pinned to {pin}", "import the file it names"
        )
    home = folder or weights_folders()[0]
    target = home / entry.mirror_path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            return _settled(entry, _copy(path, target), pin, target, home, sha256)
    except OSError as error:
        raise Unavailable(
            f"{target} cannot be written: {error.strerror or error}", "name another folder"
        ) from error


def _stated(entry: Weights, sha256: str | None) -> str | None:
    """The digest that the file has to have, of the catalogue or the user."""
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256: expected 64 hexadecimal digits, found {sha256!r}")
    if sha256 and entry.sha256 and sha256.lower() != entry.sha256:
        raise UsageError(
            f"{entry.name} is pinned to {entry.sha256}; --sha256 {sha256.lower()} is another file's"
        )
    return entry.sha256 or (sha256.lower() if sha256 else None)


def _settled(
    entry: Weights, fetched: Path, pin: str | None, target: Path, home: Path, stated: str | None
) -> Checked:
    """Verify what was fetched, put it in its place, and write down a digest that only the user vouches for."""
    pin = pin or pinned_by_user(entry.name)
    found = file_sha256(fetched)
    if not found.startswith(entry.sha256_prefix):
        if fetched != target:
            fetched.unlink()
        raise Unavailable(
            f"{target.name} from {source_of(entry)} has sha256 {found}, but its name says {entry.sha256_prefix}...",
            "it is another file, such as a page that asks to log in: fetch it another way and import it",
        )
    if pin is None:
        if fetched != target:
            fetched = fetched.replace(_beside(target, ".unverified"))
        return Checked(State(entry, fetched, "partial", None, ""), "not established", found)
    if found != pin:
        if fetched != target and (found != entry.sha256 is not None or fetched.suffix == ".copy"):
            fetched.unlink()  # what only a stated digest contradicts is kept: that may be mistyped
        raise Unavailable(
            f"{target.name} from {source_of(entry)} has sha256 {found}, but {entry.name} is pinned to {pin}",
            f"the file is damaged, was changed, or is another one; it is not used{_where(fetched)}",
        )
    if fetched != target:
        fetched.replace(target)
    if stated and not entry.sha256:
        home.mkdir(parents=True, exist_ok=True)
        record_pin(home, entry.name, pin)
    used = check(entry)  # what a run would take: a folder that comes first may hold another file
    if home in weights_folders() and used.verdict == "differs":
        raise Unavailable(
            f"{target} is right, but {used.state.path} is found first and has sha256 {used.found}",
            f"delete {used.state.path}",
        )
    return Checked(State(entry, target, "folder", pin, "catalogue" if entry.sha256 else PINS), "ok", found)


def _where(path: Path) -> str:
    return f", and stays at {path}: delete it to fetch it again" if path.exists() else ""


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _copy(path: Path, target: Path) -> Path:
    """A copy beside the place it is for, which nobody takes for a whole one before it is verified."""
    copied = _beside(target, ".copy")
    shutil.copyfile(path, copied)
    return copied


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Nobody else fetches or imports this file meanwhile."""
    with _beside(target, ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"another process is fetching {target.name}", "wait for it, or stop it; what it has is kept"
            ) from error
        yield
