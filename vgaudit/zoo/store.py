"""Weights on this machine: what is there, fetching what is not, and taking in what came another way.

Nothing half-fetched is ever used: a file is written beside its place (``.part``), hashed, and only then moved there.
One whose digest nobody has established stays beside it (``.unverified``) until the user states the digest.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from vgaudit.errors import Unavailable, UsageError
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import WEIGHTS, Weights
from vgaudit.zoo.folders import PINS, pinned_by_user, record_pin, weights_folders
from vgaudit.zoo.resolve import bundled_file, cached, file_sha256, from_hub, mirrored

TIMEOUT_S = 20.0
ATTEMPTS = 4
BLOCK = 1 << 20

Verdict = Literal["ok", "absent", "differs", "not established"]
Report = Callable[[int, int | None], None]
"""Bytes that are there, and of how many if that is known."""


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
        path = bundled_file(entry, entry.filename).path
        return State(entry, path, "package", sha256, by)
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
    state = state_of(entry)
    if state.path is None:
        return Checked(state, "absent")
    found = file_sha256(state.path)
    if state.sha256 is None:
        return Checked(state, "not established", found)
    return Checked(state, "ok" if found == state.sha256 else "differs", found)


def pull(
    name: str, *, sha256: str | None = None, folder: Path | None = None, report: Report | None = None
) -> Checked:
    """Fetch an entry's file, or go on where an earlier attempt stopped, and hold it against its digest.

    Args:
        name: Of the catalogue.
        sha256: Digest that the user vouches for, where the catalogue has none; it is recorded in ``pins.json``.
        folder: Where to; by default the first of :func:`~vgaudit.zoo.folders.weights_folders`, the only ones that are
            looked into. Files of the hub stay in its own cache unless a folder is named.
        report: Called with bytes there and bytes in all.

    Returns:
        ``ok``; or ``not established`` with the digest of what was fetched: it is not used until it is stated.

    Raises:
        UsageError: No such name, or the digest stated is not the catalogue's.
        Unavailable: It cannot be fetched, or is not the file it should be.
    """
    entry = entry_of(name)
    if entry.bundled:
        return check(entry)
    pin = _stated(entry, sha256)
    here = state_of(entry)
    if here.path is not None and folder is None:
        return _settled(entry, here.path, pin, here.path, weights_folders()[0], sha256)
    home = folder or weights_folders()[0]
    target = home / entry.mirror_path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if here.path is not None:
                copied = _copy(here.path, target)
            elif entry.url:
                copied = _beside(target, ".unverified")
                if not copied.is_file():
                    _fetch(entry, _beside(target, ".part"), report)
                    _beside(target, ".part").replace(copied)
            else:
                fetched = from_hub(entry)
                if folder is None:
                    return _settled(entry, fetched, pin, fetched, home, sha256)
                copied = _copy(fetched, target)
            return _settled(entry, copied, pin, target, home, sha256)
    except OSError as error:
        raise Unavailable(
            f"{target} cannot be written: {error.strerror or error}",
            "make room or name another folder with --to; the next attempt goes on where this one stopped",
        ) from error


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
    if pin is None:
        return Checked(State(entry, fetched, "partial", None, ""), "not established", found)
    if found != pin or not found.startswith(entry.sha256_prefix):
        if fetched != target:
            fetched.unlink()
        expected = (
            f"{entry.name} is pinned to {pin}" if found != pin else f"its name says {entry.sha256_prefix}..."
        )
        raise Unavailable(
            f"{target.name} from {source_of(entry)} has sha256 {found}, but {expected}",
            "the file is damaged, was changed, or is another one: do not use it before you know which",
        )
    if fetched != target:
        fetched.replace(target)
    if stated and not entry.sha256:
        home.mkdir(parents=True, exist_ok=True)
        record_pin(home, entry.name, pin)
    return Checked(State(entry, target, "folder", pin, "catalogue" if entry.sha256 else PINS), "ok", found)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _copy(path: Path, target: Path) -> Path:
    """A copy beside the place it is for."""
    copied = _beside(target, ".unverified")
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


def _fetch(entry: Weights, part: Path, report: Report | None) -> None:
    """Bring all of ``entry.url`` into ``part``, several times if the connection breaks."""
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(min(2.0 ** (attempt - 1), 8.0))
        try:
            if _fetch_on(entry.url, part, report):
                return
            last = ConnectionError("the connection ended early")
        except urllib.error.HTTPError as error:
            last = error
            if error.code == 416:  # what is there is more than there is: begin anew
                part.unlink(missing_ok=True)
            elif error.code < 500:
                break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            last = error
    there = part.stat().st_size if part.is_file() else 0
    raise Unavailable(
        f"{entry.name} could not be fetched from {entry.url}: {last}",
        f"try again (the {there:,} bytes that are here are kept), or fetch that file elsewhere and run "
        f"`vgaudit models import FILE --as {entry.name}`",
    ) from last


def _fetch_on(url: str, part: Path, report: Report | None) -> bool:
    """Go on with ``part``; whether all of it is there afterwards."""
    mark = _beside(part, ".etag")
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(  # noqa: S310 - the catalogue's own address
        url, headers={"User-Agent": "vgaudit", "Accept-Encoding": "identity"}
    )
    if there and mark.is_file():  # only if the file is still the one that was begun
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", mark.read_text("utf-8"))
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        goes_on = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(
            f"bytes {there}-"
        )
        if not goes_on:
            if answer.status == 206:
                raise ConnectionError("the server sent another range than was asked for")
            there = 0
        if strong := _validator(answer.headers.get("ETag"), answer.headers.get("Last-Modified")):
            mark.write_text(strong, "utf-8")
        else:
            mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        whole = there + int(length) if length and length.isdigit() else None
        with part.open("ab" if goes_on else "wb") as file:
            there = _receive(answer, file, there, whole, report)
    complete = whole is None or there == whole
    if complete:
        mark.unlink(missing_ok=True)
    return complete


def _receive(
    answer: http.client.HTTPResponse, file: BinaryIO, there: int, whole: int | None, report: Report | None
) -> int:
    while block := answer.read(BLOCK):
        file.write(block)
        there += len(block)
        if report:
            report(there, whole)
    file.flush()
    os.fsync(file.fileno())
    return there


def _validator(etag: str | None, modified: str | None) -> str:
    """What tells that a file is still the same one, byte by byte; a weak ETag does not."""
    return etag if etag and not etag.startswith("W/") else (modified or "")
