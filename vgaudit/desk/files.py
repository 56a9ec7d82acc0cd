"""Files of the report folder, and of nothing else, opened so that a file that is replaced meanwhile stays whole."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".jsonl": "text/plain; charset=utf-8",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".mov": "video/quicktime",
}
"""What a report holds, by extension; anything else is sent as bytes that no browser opens."""

_BLOCK = 1 << 18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class OpenFile:
    """A file that is open: its bytes are those of one moment, also when another one takes its name.

    Attributes:
        size: In bytes.
        type: Its media type.
    """

    def __init__(self, handle: int, name: str) -> None:
        self._handle = handle
        self.size = os.fstat(handle).st_size
        self.type = TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")

    def read(self) -> bytes:
        """All bytes."""
        return b"".join(self.blocks(0, self.size))

    def blocks(self, begin: int, end: int) -> Iterator[bytes]:
        """Bytes from ``begin`` to before ``end``, a block at a time; closes the file at its end."""
        try:
            while begin < end:
                block = os.pread(self._handle, min(_BLOCK, end - begin), begin)
                if not block:
                    raise OSError("the file became shorter while it was read")
                begin += len(block)
                yield block
        finally:
            self.close()

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.close()


def open_below(folder: Path, path: str) -> OpenFile | None:
    """A regular file below ``folder``, or ``None``.

    No symbolic link is followed, wherever it leads, and no name that begins with a dot or holds a backslash or a
    control character is looked at; so nothing outside of the folder is reached.

    Args:
        folder: The folder.
        path: Decoded path, relative to it, with ``/`` between names.
    """
    names = path.split("/")
    if any(not n or n.startswith(".") or "\\" in n or not n.isprintable() for n in names):
        return None
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for name in names[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(name, flags, dir_fd=at)
            os.close(at)
            at = below
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(names[-1], flags, dir_fd=at)
    except (OSError, ValueError):
        return None
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return OpenFile(handle, names[-1])


def part(wanted: str, size: int) -> tuple[int, int] | None:
    """The bytes that a ``Range`` header asks for: the first, and the one after the last.

    ``None`` where the whole file is to be sent: no range, several, or one that cannot be read.

    Raises:
        ValueError: The file has none of these bytes.
    """
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or not (match[1] or match[2]) or max(map(len, match.groups())) > 18:
        return None
    if not match[1]:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < begin:
            return None
    if begin >= end:
        raise ValueError(f"expected bytes below {size}, found {wanted}")
    return begin, end
