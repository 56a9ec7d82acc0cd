"""Tells from a container's own sizes whether the end of the file is missing.

Decoders read a file that was cut short as if it were a shorter clip; only the sizes its parts announce show that
something is gone (an interrupted download, a full disk).
"""

from __future__ import annotations

import os
from typing import BinaryIO

_MP4_BOXES = frozenset(
    [
        b"ftyp",
        b"moov",
        b"mdat",
        b"moof",
        b"free",
        b"skip",
        b"wide",
        b"uuid",
        b"sidx",
        b"mfra",
        b"meta",
        b"pdin",
    ]
)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MAX_PARTS = 100_000


def missing_bytes(file: BinaryIO) -> int:
    """Bytes that an mp4/mov, mkv/webm or avi file announces beyond its end; 1 for a gif without its end mark.

    0 where nothing is missing or the file does not say. The position in ``file`` is moved.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == _EBML:
        end = _matroska_end(file)
    elif head[:4] == b"RIFF":
        end = _riff_end(file, size)
    elif head[:4] == b"GIF8":
        return _gif_missing(file, size)
    elif head[4:8] in _MP4_BOXES:
        end = _mp4_end(file, size)
    else:
        return 0
    return max(0, end - size)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """End of the last box (ISO/IEC 14496-12) as it announces itself; unknown box types end the walk."""
    position = 0
    for _ in range(_MAX_PARTS):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8 or head[4:8] not in _MP4_BOXES:
            break
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # up to the end of the file
            return size
        if length < 8:
            break
        position += length
        if position >= size:
            break
    return position


def _riff_end(file: BinaryIO, size: int) -> int:
    position = 0
    for _ in range(_MAX_PARTS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        length = int.from_bytes(head[4:], "little")
        if length in (0, 0xFFFFFFFF):  # never filled in by the writer
            return size
        position += 8 + length + length % 2
    # The padding byte of the last chunk is often left out.
    return position - 1 if position == size + 1 else position


def _matroska_end(file: BinaryIO) -> int:
    """End of the first segment (RFC 8794, RFC 9559); 0 where its size is unknown, as in live recordings."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """An EBML variable-size integer; ``None`` at the end of the file or for the reserved "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    rest = file.read(extra)
    bits = 7 * (extra + 1)
    value = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    return None if len(rest) < extra or value == (1 << bits) - 1 else value


def _gif_missing(file: BinaryIO, size: int) -> int:
    file.seek(max(0, size - 64))
    return 0 if file.read().rstrip(b"\0\r\n ").endswith(b";") else 1
