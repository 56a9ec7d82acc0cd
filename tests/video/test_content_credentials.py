"""A C2PA manifest is seen at the top level of a file, and nowhere else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from vgaudit.video import probe
from vgaudit.video.content_credentials import C2PA_UUID, has_content_credentials
from vgaudit.video.encoding import EncoderSettings, encode


def box(kind: bytes, body: bytes, *, large: bool = False) -> bytes:
    if large:
        return (1).to_bytes(4, "big") + kind + (16 + len(body)).to_bytes(8, "big") + body
    return (8 + len(body)).to_bytes(4, "big") + kind + body


FTYP = box(b"ftyp", b"isom\0\0\0\0")
C2PA = box(b"uuid", C2PA_UUID + b"manifest")


@pytest.mark.parametrize(
    ("data", "there"),
    [
        (FTYP + C2PA, True),
        (FTYP + box(b"uuid", C2PA_UUID, large=True), True),
        (FTYP + box(b"mdat", b"x" * 50, large=True) + C2PA, True),
        (FTYP, False),
        (FTYP + box(b"uuid", bytes(16)), False),
        (FTYP + box(b"mdat", C2PA), False),
        (FTYP + b"\0\0\0\0mdat" + C2PA, False),
        (FTYP + b"\0\0\0\x03uuid" + C2PA, False),
        (b"", False),
        (b"\x1a\x45\xdf\xa3" + C2PA, False),
    ],
)
def test_only_a_box_at_the_top_counts(data: bytes, there: bool) -> None:
    assert has_content_credentials(io.BytesIO(data)) is there


def test_a_clip_says_whether_it_has_one(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    encode(np.full((3, 32, 32, 3), 90, np.uint8), 8.0, clip, EncoderSettings())
    assert probe(clip).content_credentials is False
    clip.write_bytes(clip.read_bytes() + C2PA)
    assert probe(clip).content_credentials is True
