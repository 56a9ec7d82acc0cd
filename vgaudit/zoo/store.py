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
from vgaudit.zoo.folders import (
    PINS,
    first_folder,
    known_folder,
    pinned_by_user,
    pins,
    record_pin,
    unwritable,
    weights_folders,
)
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


def source_of(entry: Weights, *, short: bool = True) -> str:
    """Where an entry's file is published, in words; of a commit only the beginning, if ``short``."""
    if entry.bundled:
        return "ships with vgaudit"
    return entry.url or f"{entry.repo}@{entry.revision[: 12 if short else None]} {entry.filename}"


def state_of(entry: Weights) -> State:
    """Where the file is, without reading it.

    Raises:
        UsageError: A ``pins.json`` is damaged.
        Unavailable: A folder may not be looked into.
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
        Unavailable: The file cannot be read, or weights that ship along are not there or were changed.
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


def pull(
    name: str,
    progress: Progress,
    *,
    sha256: str | None = None,
    folder: Path | None = None,
    replace: bool = False,
) -> Checked:
    """Fetch an entry's file, or go on where an earlier attempt stopped, and hold it against its digest.

    Args:
        name: Of the catalogue.
        progress: Hears of it.
        sha256: Digest that the user vouches for, where the catalogue has none; it is recorded in ``pins.json``.
        folder: Where to; by default the first of :func:`~vgaudit.zoo.folders.weights_folders`, the only ones that are
            looked into. Files of the hub stay in its own cache unless a folder is named.
        replace: ``sha256`` may take the place of another digest that the user pinned before.

    Returns:
        ``ok``; or ``not established`` with the digest of what was fetched: it is not used until it is stated.

    Raises:
        UsageError: No such name, the digest stated is not the catalogue's or not the one pinned before, or there is
            no folder to put it in.
        Unavailable: It cannot be fetched or read, or is not the file it should be.
    """
    entry = entry_of(name)
    if entry.bundled:
        return check(entry)
    folder = known_folder(folder) if folder else None
    pin = _stated(entry, sha256, folder, replace) or pinned_by_user(name)
    state = state_of(entry)
    here, damaged = state.path, False
    if here is not None and pin is not None and (found := file_sha256(here)) != pin:
        progress.note(f"{here} is not the file it should be (sha256 {found}); it is fetched anew")
        here, damaged = None, state.place == "hub cache"
    if here is None and not entry.url:
        here = _of_hub(entry, pin, progress, damaged)
    if here is not None and folder is None:
        return _settled(entry, here, pin, here, None, sha256)
    target = (folder or first_folder()) / entry.mirror_path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            fetched = _copy(here, target) if here else _published(entry, target, progress, pin)
            return _settled(entry, fetched, pin, target, folder, sha256)
    except OSError as error:
        raise unwritable(target, error) from error


def _of_hub(entry: Weights, pin: str | None, progress: Progress, damaged: bool) -> Path:
    """The file in the hub's cache; fetched once more if the one that is there is damaged."""
    path = from_hub(entry, anew=damaged)
    if pin is None or damaged or (found := file_sha256(path)) == pin:
        return path
    progress.note(f"{path} is not the file it should be (sha256 {found}); it is fetched anew")
    return from_hub(entry, anew=True)


def _published(entry: Weights, target: Path, progress: Progress, pin: str | None) -> Path:
    """The whole file from the publisher's page, beside its place."""
    fetched, part = _beside(target, ".unverified"), _beside(target, ".part")
    if fetched.is_file():
        written_down = entry.sha256 or pinned_by_user(entry.name)
        if pin is None or pin != written_down or (found := file_sha256(fetched)) == pin:
            return fetched  # a digest that is only stated may be mistyped
        progress.note(f"{fetched} is not the file that is pinned (sha256 {found}); it is fetched anew")
    other_way = f"fetch it elsewhere and run `vgaudit models import FILE --as {entry.name}`"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Unavailable(f"{entry.name} is at {entry.url}, and HF_HUB_OFFLINE is set", other_way)
    try:
        fetch(entry.url, part, progress, size=entry.size, length_needed=pin is None)
    except Unavailable as error:
        there = part.stat().st_size if part.is_file() else 0
        kept = f"try again (the {there:,} bytes that are here are kept), or " if there else ""
        raise Unavailable(f"{entry.name}: {error.reason}", f"{error.remedy or kept + other_way}") from error
    part.replace(fetched)
    discard(part)
    return fetched


def take_in(
    path: Path, name: str, *, sha256: str | None = None, folder: Path | None = None, replace: bool = False
) -> Checked:
    """Copy a file that came another way to where it is looked for, after its digest was verified.

    Args:
        path: The file.
        name: Of the catalogue.
        sha256: Digest that the user vouches for, needed where the catalogue has none.
        folder: Where to; by default the first of :func:`~vgaudit.zoo.folders.weights_folders`.
        replace: ``sha256`` may take the place of another digest that the user pinned before.

    Raises:
        UsageError: No such file or name, a file that cannot be read, weights that ship along, no digest to hold it
            against, another one than was pinned before, or no folder to put it in.
        Unavailable: It is another file, or cannot be written.
    """
    entry = entry_of(name)
    if entry.bundled:
        raise UsageError(f"{name} ships with vgaudit; nothing is to be imported for it")
    folder = known_folder(folder) if folder else None
    try:
        if not path.is_file():
            raise UsageError(f"no file at {path}")
        found = file_sha256(path)
    except (OSError, Unavailable) as error:
        why = error.reason if isinstance(error, Unavailable) else f"{path} cannot be read: {error.strerror}"
        raise UsageError(f"{why}; expected a file of weights that you may read") from error
    if not found.startswith(entry.sha256_prefix):
        raise Unavailable(
            f"{path} has sha256 {found}, but that of {entry.filename} begins with {entry.sha256_prefix}, as its "
            "published name says",
            f"it is another file: import the one of {source_of(entry)}",
        )
    pin = _stated(entry, sha256, folder, replace) or pinned_by_user(name)
    if pin is None:
        raise UsageError(
            f"no digest is established for {name}. {path} has sha256 {found}; if you trust it, run the same command "
            f"with --sha256 {found}"
        )
    if found != pin:
        raise Unavailable(
            f"{path} has sha256 {found}, but {name} is pinned to {pin}", "import the file it names"
        )
    target = (folder or first_folder()) / entry.mirror_path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            return _settled(entry, _copy(path, target), pin, target, folder, sha256, str(path))
    except OSError as error:
        raise unwritable(target, error) from error


def _stated(entry: Weights, sha256: str | None, folder: Path | None, replace: bool) -> str | None:
    """The digest that the file has to have, of the catalogue or the user.

    Raises:
        UsageError: The user's is no digest, not the catalogue's, or not the one pinned before.
    """
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256: expected 64 hexadecimal digits, found {sha256!r}")
    if sha256 and entry.sha256 and sha256.lower() != entry.sha256:
        raise UsageError(
            f"{entry.name} is pinned to {entry.sha256}; --sha256 {sha256.lower()} is another file's"
        )
    if sha256 and not entry.sha256:
        _pin_may_be_written(entry.name, sha256.lower(), folder or first_folder(), replace)
    return entry.sha256 or (sha256.lower() if sha256 else None)


def _pin_may_be_written(name: str, sha256: str, home: Path, replace: bool) -> None:
    """That no other digest was pinned before, in the folder of the new one or where this machine looks for pins.

    Raises:
        UsageError: One was, and is not to be replaced; or it would go on counting.
    """
    looked_into = weights_folders()
    places = looked_into if home in looked_into else (home,)
    for place in places:
        before = pins(place).get(name)
        if before in (None, sha256):
            continue
        said = f"{name} is pinned to {before} in {place / PINS}, and --sha256 states {sha256}"
        if not replace:
            raise UsageError(f"{said}; nothing was changed. If the new one is right, add --replace")
        if places.index(place) < places.index(home):
            raise UsageError(
                f"{said}; {place} is looked into before {home}, so the old one would go on counting: add --to {place}"
            )


def _settled(
    entry: Weights, fetched: Path, pin: str | None, target: Path, folder: Path | None, stated: str | None,
    imported: str = "",
) -> Checked:  # fmt: skip
    """Verify what was fetched, put it in its place, and write down a digest that only the user vouches for."""
    what = imported or f"{target.name} from {source_of(entry)}"
    found = file_sha256(fetched)
    if not found.startswith(entry.sha256_prefix):
        if fetched != target:
            fetched.unlink()
        raise Unavailable(
            f"{what} has sha256 {found}, but its name says {entry.sha256_prefix}...",
            "it is another file, such as a page that asks to log in: fetch it another way and import it",
        )
    if pin is None:
        if fetched != target:
            fetched = fetched.replace(_beside(target, ".unverified"))
        return Checked(State(entry, fetched, "partial", None, ""), "not established", found)
    if found != pin:
        if fetched != target and (found != entry.sha256 is not None or fetched.suffix == ".copy"):
            fetched.unlink()  # what only a stated digest contradicts is kept: that may be mistyped
        by_now = "but --sha256 states" if stated and not entry.sha256 else f"but {entry.name} is pinned to"
        raise Unavailable(
            f"{what} has sha256 {found}, {by_now} {pin}",
            "the file is damaged, was changed, or is another one; it is not used"
            + _where(fetched, found if stated and not entry.sha256 else ""),
        )
    if fetched != target:
        fetched.replace(target)
    if stated and not entry.sha256:
        home = folder or first_folder()
        home.mkdir(parents=True, exist_ok=True)
        record_pin(home, entry.name, pin)
    used = check(entry)  # what a run would take: a folder that comes first may hold another file
    if (folder is None or folder in weights_folders()) and used.verdict == "differs":
        raise Unavailable(
            f"{target} is right, but {used.state.path} is found first and has sha256 {used.found}",
            f"delete {used.state.path}",
        )
    return Checked(State(entry, target, "folder", pin, "catalogue" if entry.sha256 else PINS), "ok", found)


def _where(path: Path, mistyped: str) -> str:
    """Where a refused file is left, if it is, and what to do with it."""
    if not path.exists():
        return ""
    if path.suffix != ".unverified":
        return f", and stays at {path}"
    if mistyped:
        return f", and stays at {path}: state {mistyped} if you trust it, or delete it to fetch it again"
    return f", and stays at {path} until it is fetched anew, which the next pull does"


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _copy(path: Path, target: Path) -> Path:
    """A copy beside the place it is for, which nobody takes for a whole one before it is verified."""
    copied = _beside(target, ".copy")
    try:
        shutil.copyfile(path, copied)
    except BaseException:
        copied.unlink(missing_ok=True)
        raise
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
