"""Pictures somebody handed in: read upright, or refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgaudit.likeness import portraits
from vgaudit.likeness.portraits import PortraitError, decode_portrait, read_bytes


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def ramp() -> Image.Image:
    values = np.zeros((20, 30, 3), np.uint8)
    values[..., 0] = np.linspace(0, 255, 30)
    values[:5, :, 1] = 200
    return Image.fromarray(values)


def bomb(width: int, height: int) -> bytes:
    """A valid PNG of a few hundred bytes that claims ``width`` x ``height`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation: int) -> None:
    upright = ramp()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transpositions that undo what EXIF asks for
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode_portrait(encoded(stored, exif=exif)), np.array(upright))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    rgb = decode_portrait(encoded(ramp().convert(mode), kind))
    assert rgb.shape == (20, 30, 3)
    assert rgb.dtype == np.uint8


def test_sixteen_bits_keep_their_range() -> None:
    deep = Image.fromarray(np.linspace(0, 40_000, 600).reshape(20, 30).astype(np.uint16))
    rgb = decode_portrait(encoded(deep))
    assert (rgb.min(), rgb.max()) == (0, 255)
    with pytest.raises(PortraitError, match="one colour"):
        decode_portrait(encoded(Image.fromarray(np.full((9, 9), 700, np.uint16))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_known_formats(kind: str) -> None:
    assert decode_portrait(encoded(ramp(), kind)).shape == (20, 30, 3)


HOSTILE = {
    "text": (b"not a picture", "not a picture in a known format"),
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "not a picture in a known",
    ),
    "bomb": (bomb(60_000, 60_000), "more than 50,000,000 pixels"),
    "large": (bomb(9_000, 9_000), "9000x9000 px, more than"),
    "truncated": (encoded(ramp(), "JPEG")[:300], "cannot be decoded"),
    "damaged": (bomb(50, 50).replace(b"IDAT", b"IDAX"), "not a picture in a known format"),
    "gif, a decoder we do not run": (encoded(ramp(), "GIF"), "not a picture in a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a known format"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os", "not a picture in a known format"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_refused_with_a_reason(case: str) -> None:
    data, message = HOSTILE[case]
    with pytest.raises(PortraitError, match=message):
        decode_portrait(data)


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_a_portrait_error_or_a_picture(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF"]))
    content = bytearray(encoded(ramp(), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        rgb = decode_portrait(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except PortraitError:
        return
    assert rgb.ndim == 3
    assert rgb.dtype == np.uint8


def test_files_that_are_not_what_they_seem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "gallery"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "out.jpg").symlink_to(tmp_path / "secret")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "empty.jpg").touch()
    (root / "folder.jpg").mkdir()
    (root / "in.jpg").write_bytes(b"12345")
    (root / "inside.jpg").symlink_to(root / "in.jpg")
    for name, message in {
        "out.jpg": "leads out of the gallery", "loop.jpg": "cannot be read", "empty.jpg": "0 bytes",
        "folder.jpg": "not a plain file", "gone.jpg": "cannot be read",
    }.items():  # fmt: skip
        with pytest.raises(PortraitError, match=message):
            read_bytes(root / name, root)
    assert read_bytes(root / "inside.jpg", root) == b"12345"
    monkeypatch.setattr(portraits, "MAX_BYTES", 4)
    with pytest.raises(PortraitError, match="larger than"):
        read_bytes(root / "in.jpg", root)
