"""Whether a file carries a C2PA manifest, a signed statement of where it came from; neither read nor checked."""

from __future__ import annotations

import os
from typing import BinaryIO
from uuid import UUID

C2PA_UUID = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
"""Extended type of the box that holds it in files of the ISO base media format (C2PA Technical Specification)."""

_MAX_BOXES = 100_000


def has_content_credentials(file: BinaryIO) -> bool:
    """Whether an mp4 or mov file has a C2PA box at its top level; ``False`` for other containers.

    The position in ``file`` is moved.
    """
    size = file.seek(0, os.SEEK_END)
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(32)
        if len(head) < 8:
            return False
        length, offset = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, offset = int.from_bytes(head[8:16], "big"), 16
        if head[4:8] == b"uuid" and head[offset : offset + 16] == C2PA_UUID:
            return True
        if length < 8:  # 0: up to the end of the file
            return False
        position += length
        if position >= size:
            return False
    return False
