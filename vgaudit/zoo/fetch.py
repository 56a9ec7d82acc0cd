"""Fetching one file from an address so that an interrupted transfer goes on where it stopped.

The bytes come to a ``.part`` file; ``.part.json`` beside it keeps what the server said of the file (ETag, date,
size). Only if it says the same of the rest is the rest put behind what is there; with a server that does not promise
that, or sends the whole file, it begins anew. Nothing here verifies a digest: whoever asked does that before the file
is used.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vgaudit
from vgaudit.errors import Unavailable
from vgaudit.progress import Progress
from vgaudit.rundir import write_json
from vgaudit.zoo.folders import unwritable

TIMEOUT_S = 30.0
"""Seconds to wait for a connection, and for each piece of an answer."""

ATTEMPTS = 5
PAUSE_S = 0.5
"""Seconds before the second attempt; twice as many before each further one."""

_BLOCK = 1 << 16
_UNIT = 1 << 20
_PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class _Told:
    """What the server said of the whole file whose beginning a ``.part`` file holds."""

    url: str
    etag: str | None
    last_modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """What makes the server send the whole file if it is another one now; weak tags promise no equal bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


class _TryAgain(Exception):
    """This attempt failed in a way that may pass."""


def told_path(part: Path) -> Path:
    """The file that keeps what the server said."""
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Take a ``.part`` file away, and what belongs to it."""
    told_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def fetch(
    url: str, part: Path, progress: Progress, *, size: int | None = None, length_needed: bool = False
) -> None:
    """Bring the file at ``url`` to ``part``, whole and flushed to disk.

    Args:
        url: Address, ``https`` or ``http``.
        part: Where the bytes go; what an earlier call left there is continued.
        progress: Hears of it, counted in MiB.
        size: Bytes that the file must have, if known. It must have as many as the server tells in any case.
        length_needed: Refuse a file whose end the server does not tell: a cut one would not be noticed.

    Raises:
        Unavailable: The server refuses or does not answer, the file is another one, or there is no room for it.
    """
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            pause = PAUSE_S * 2 ** (attempt - 1)
            progress.note(f"{why}; attempt {attempt + 1} of {ATTEMPTS} in {pause:g} s")
            time.sleep(pause)
        try:
            _attempt(url, part, progress, size, length_needed)
        except _TryAgain as error:
            why = str(error)
        else:
            return
    raise Unavailable(f"{url} could not be fetched in {ATTEMPTS} attempts: {why}")


def _attempt(url: str, part: Path, progress: Progress, size: int | None, length_needed: bool) -> None:
    told, have = _left(url, part)
    if told is not None and told.total == have and size in (None, have):
        return
    headers = {"User-Agent": f"vgaudit/{vgaudit.__version__}", "Accept-Encoding": "identity"}
    if told is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(told.validator)}
    with _opened(url, headers, part) as response:
        if urlsplit(url).scheme == "https" != urlsplit(response.url).scheme:
            raise Unavailable(f"{url} leads to {response.url}, which is not encrypted")
        if response.status == http.client.PARTIAL_CONTENT:
            if told is None or not _same_file(told, have, response):
                discard(part)
                raise _TryAgain(
                    f"{url}: the file has changed since its first part was fetched; it begins anew"
                )
        elif response.status == http.client.OK:
            told, have = _told(url, response), 0
            chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
            if length_needed and told.total is None and not chunked:
                raise Unavailable(
                    f"{url}: the server does not tell the file's length, so a cut one would not be noticed"
                )
        else:
            raise Unavailable(f"{url}: the server answered with status {response.status}")
        _check_size(url, told.total, size, have, part)
        _receive(response, part, told, have, progress)
    whole, found = size if told.total is None else told.total, part.stat().st_size
    if whole is None or found == whole:
        return
    if found > whole:  # none of it can be gone on with
        discard(part)
        raise _TryAgain(f"{url}: {found} bytes came, expected {whole}; it begins anew")
    raise _TryAgain(f"{url}: the connection ended after {found} of {whole} bytes")


def _left(url: str, part: Path) -> tuple[_Told | None, int]:
    """What an earlier attempt left that can be continued: what was told of it, and how many bytes there are."""
    try:
        told = _Told(**json.loads(told_path(part).read_text("utf-8")))
        have = part.stat().st_size
        usable = (
            told.url == url and bool(told.validator) and type(told.total) is int and 0 < have <= told.total
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None, 0
    return (told, have) if usable else (None, 0)


def _opened(url: str, headers: dict[str, str], part: Path) -> Any:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked, of redirects too
    if urlsplit(url).scheme not in ("http", "https"):
        raise Unavailable(f"{url}: expected an address that begins with https:// or http://")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            discard(part)
            raise _TryAgain(
                f"{url}: the file is shorter than what was fetched of it; it begins anew"
            ) from error
        if error.code in _PASSING:
            raise _TryAgain(f"{url}: the server answered {error.code} {error.reason}") from error
        raise Unavailable(f"{url}: the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _TryAgain(f"{url}: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"{url}: {type(error).__name__}: {error}") from error


def _told(url: str, response: Any) -> _Told:
    length = response.headers.get("Content-Length", "")
    return _Told(
        url,
        response.headers.get("ETag"),
        response.headers.get("Last-Modified"),
        int(length) if length.isascii() and length.isdigit() else None,
    )


def _same_file(told: _Told, have: int, response: Any) -> bool:
    """Whether an answer to a request for the rest is the rest of this very file."""
    place = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip(), re.ASCII
    )
    if place is None or tuple(map(int, place.groups())) != (have, (told.total or 0) - 1, told.total):
        return False
    now = _told(told.url, response)
    if now.etag and told.etag and now.etag != told.etag:
        return False
    return now.validator == told.validator


def _check_size(url: str, total: int | None, size: int | None, have: int, part: Path) -> None:
    if total is None:
        return
    if size is not None and total != size:
        raise Unavailable(f"{url}: expected a file of {size} bytes, the server offers one of {total}")
    try:
        free = shutil.disk_usage(part.parent).free
    except OSError:
        return
    if have < total and total - have > free:
        raise Unavailable(
            f"{part.parent}: {total - have} bytes are needed and {free} are free",
            "make room, or name another folder with --to",
        )


def _receive(response: Any, part: Path, told: _Told, have: int, progress: Progress) -> None:
    """Put the answer's bytes behind the first ``have`` of the file."""
    rest = 0 if told.total is None else told.total - have
    if have:
        progress.note(f"going on at {have / _UNIT:.1f} of {(told.total or 0) / _UNIT:.1f} MiB")
    try:
        if not have:
            discard(part)
            write_json(told_path(part), asdict(told))
        file = part.open("ab")
    except OSError as error:
        raise unwritable(part, error) from error
    done = 0
    try:
        with progress.stage("MiB", -(-rest // _UNIT)) as stage, file:
            while block := _read(response, told.url):
                file.write(block)
                before, done = done, done + len(block)
                for _ in range(before // _UNIT, done // _UNIT):
                    stage.advance()
            if rest and done == rest and done % _UNIT:
                stage.advance()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(part, error) from error


def _read(response: Any, url: str) -> bytes:
    try:
        block: bytes = response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"{url}: the connection broke: {type(error).__name__}: {error}") from error
    return block
