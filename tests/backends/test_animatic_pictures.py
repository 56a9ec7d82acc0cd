"""Pictures of all kinds become 8-bit RGB or a clear message; hostile ones never more than that."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgaudit.backends.animatic_pictures import find_pictures, read_picture
from vgaudit.errors import MediaError, SuiteError
from vgaudit.video import MediaLimits

LIMITS = MediaLimits(max_pixels=1_000_000, max_bytes=2_000_000)


def gradient(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:40, :60]
    return Image.fromarray(np.stack([x * 4, y * 6, 128 + 0 * x], -1).astype(np.uint8)).convert(mode)


def read(picture: Image.Image, path: Path, **how: object) -> np.ndarray:
    picture.save(path, **how)  # type: ignore[arg-type]
    return np.asarray(read_picture(path, LIMITS))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "jpg"])
def test_plain_pictures_are_read(tmp_path: Path, suffix: str) -> None:
    how = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    seen = read(gradient(), tmp_path / f"a.{suffix}", **how)
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - np.asarray(gradient())).mean() < (2 if suffix == "jpg" else 1e-9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "YCbCr"])
def test_other_ways_to_hold_colour_are_brought_to_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.tiff" if mode == "YCbCr" else "a.png"
    seen = read(gradient(mode), tmp_path / name)
    assert seen.shape == (40, 60, 3)
    assert np.array_equal(seen, np.asarray(gradient(mode).convert("RGB")))


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    picture = gradient("RGBA")
    picture.paste((200, 100, 50, 0), (0, 0, 30, 40))
    picture.paste((200, 100, 50, 128), (30, 0, 60, 40))
    seen = read(picture, tmp_path / "a.png")
    assert (seen[:, :30] == 0).all()
    assert np.abs(seen[:, 30:].astype(int) - (100, 50, 25)).max() <= 1
    palette = gradient("P")
    assert (read(palette, tmp_path / "p.png", transparency=palette.getpixel((5, 5)))[5, 5] == 0).all()


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 27
    seen = read(Image.fromarray(deep), tmp_path / "a.png")
    assert np.array_equal(seen[..., 0], deep >> 8)


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F"])
def test_colours_that_differ_from_screen_to_screen_are_refused(tmp_path: Path, mode: str) -> None:
    picture = Image.new(mode, (40, 60))
    with pytest.raises(MediaError, match=f"mode {mode} .*save it as 8-bit RGB"):
        read(picture, tmp_path / "a.tiff")


def test_a_picture_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    seen = read(gradient(), tmp_path / "a.png", exif=exif)
    assert seen.shape == (60, 40, 3)
    assert np.array_equal(seen, np.rot90(np.asarray(gradient()), -1))


def test_of_a_phone_s_photograph_the_first_picture_is_taken(tmp_path: Path) -> None:
    depth = Image.new("RGB", (30, 20))
    seen = read(
        gradient(), tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[depth], quality=95
    )
    assert np.abs(seen.astype(int) - np.asarray(gradient())).mean() < 2


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG by its chunks: the size it claims and the pixels it has need not agree."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def bytes_of(suffix: str) -> bytes:
    out = io.BytesIO()
    gradient().save(out, suffix)
    return out.getvalue()


def animation() -> bytes:
    out = io.BytesIO()
    gradient().save(out, "png", save_all=True, append_images=[gradient("L").convert("RGB")])
    return out.getvalue()


HOSTILE = {
    "bomb": (png(60_000, 60_000), "3600000000 pixels.* exceeds limit"),
    "beyond the limit": (png(1001, 1000), "max_pixels"),
    "fewer pixels than claimed": (png(900, 900, b"\0" * 50), "cannot be decoded"),
    "cut off": (bytes_of("png")[:-40], "cannot be decoded"),
    "cut off jpeg": (bytes_of("jpeg")[:-200], "cannot be decoded"),
    "empty": (b"", "empty|0 bytes"),
    "text": (b"not a picture at all", "not a picture in a known format"),
    "a clip": (b"\0\0\0\x18ftypmp42" + b"\0" * 100, "not a picture in a known format"),
    "a gif": (bytes_of("gif"), "not a picture in a known format"),
    "an svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a known format"),
    "an animation": (animation(), "an animation of 2 pictures"),
    "too many bytes": (bytes_of("png") + b"\0" * 2_000_000, "max_bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_errors_with_a_reason(tmp_path: Path, case: str) -> None:
    data, message = HOSTILE[case]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MediaError, match=message):
        read_picture(tmp_path / "a.png", LIMITS)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "absent.png"):
        with pytest.raises(MediaError):
            read_picture(tmp_path / name, LIMITS)


@given(st.sampled_from(["png", "jpeg", "bmp", "tiff", "webp"]), st.data())
@settings(max_examples=120, deadline=None)
def test_damage_is_never_more_than_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    spoilt = bytearray(bytes_of(suffix))
    for _ in range(data.draw(st.integers(1, 6))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("spoilt") / f"a.{suffix}"
    path.write_bytes(spoilt[: data.draw(st.integers(1, len(spoilt)))])
    try:
        picture = read_picture(path, LIMITS)
    except MediaError:
        return
    assert picture.mode == "RGB"
    assert picture.width * picture.height <= LIMITS.max_pixels


def test_a_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.png", "9.jpg", "sub/2.PNG", "notes.txt", ".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    assert find_pictures(tmp_path, "*") == (["9.jpg", "10.png", "sub/2.PNG"], ("not pictures: notes.txt",))
    assert find_pictures(tmp_path, "sub/*") == (["sub/2.PNG"], ())


def test_a_name_that_no_record_could_hold_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png")).touch()
    with pytest.raises(SuiteError, match="not UTF-8"):
        find_pictures(tmp_path, "*")
