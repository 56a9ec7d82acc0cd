"""Frames from folders and arrays: exactly what was saved, or an error that names the file."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media import moving_square
from vgaudit.errors import MediaError
from vgaudit.video import MediaLimits
from vgaudit.video.frame_sources import natural_order, read_array, read_frame_folder

LIMITS = MediaLimits()


def save_pictures(folder: Path, clip: np.ndarray, pattern: str = "{}.png") -> Path:
    folder.mkdir(exist_ok=True)
    for index, frame in enumerate(clip):
        cv2.imwrite(str(folder / pattern.format(index)), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


# -- folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["{}.png", "frame-{}.bmp", "f{:03}.tiff", "F{}.PNG"])
def test_pictures_come_back_exactly_and_in_natural_order(tmp_path: Path, pattern: str) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (12, 31, 17, 3), dtype=np.uint8)
    save_pictures(tmp_path / "clip", clip, pattern)
    (tmp_path / "clip" / "notes.txt").write_text("not a picture")
    (tmp_path / "clip" / ".hidden.png").write_text("nor this")
    frames, names = read_frame_folder(tmp_path / "clip", LIMITS)
    assert np.array_equal(frames, clip)
    assert names == [pattern.format(i) for i in range(12)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_natural_order_is_the_order_of_numbers(numbers: list[int]) -> None:
    names = sorted((f"frame_{n}_v2.png" for n in numbers), key=natural_order)
    assert [int(name.split("_")[1]) for name in names] == sorted(numbers)


def test_natural_order_is_total() -> None:
    assert sorted(["1.png", "01.png", "a.png", "²1.png"], key=natural_order)[:2] == ["01.png", "1.png"]


def test_jpeg_webp_grey_palette_and_alpha(tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "clip"
    folder.mkdir()
    picture = moving_square(1, 32, 48)[0]
    Image.fromarray(picture).save(folder / "0.jpg", quality=95)
    Image.fromarray(picture).save(folder / "1.webp", lossless=True)
    Image.fromarray(picture[..., 0]).save(folder / "2.png")
    Image.fromarray(picture).quantize(8).save(folder / "3.png")
    Image.fromarray(np.dstack([picture, np.full((32, 48), 128, np.uint8)])).save(folder / "4.png")
    frames, _ = read_frame_folder(folder, LIMITS)
    assert np.abs(frames[0].astype(int) - picture).mean() < 4
    assert np.array_equal(frames[1], picture)
    assert np.array_equal(frames[2], np.repeat(picture[..., :1], 3, axis=2))
    assert np.abs(frames[4] - picture * (128 / 255)).max() <= 0.5


def _sixteen_bit(folder: Path) -> None:
    cv2.imwrite(str(folder / "2.png"), np.zeros((64, 96, 3), dtype=np.uint16))


def _grey_sixteen_bit(folder: Path) -> None:
    cv2.imwrite(str(folder / "2.png"), np.zeros((64, 96), dtype=np.uint16))


def _animation(folder: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(f) for f in moving_square(2)]
    pictures[0].save(folder / "2.webp", save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (lambda f: (f / "2.png").write_bytes(b"GIF89a"), r"2\.png: the picture cannot be read"),
        (lambda f: (f / "2.png").write_bytes(b""), r"2\.png: the file is empty"),
        (
            lambda f: (f / "2.png").write_bytes((f / "1.png").read_bytes()[:90]),
            r"2\.png: the picture cannot be read",
        ),
        (
            lambda f: save_pictures(f, moving_square(1, 64, 90), "7{}.png"),
            r"70\.png: 90x64 pixels, but 0\.png is 96x64",
        ),
        (lambda f: os.mkfifo(f / "3.png"), r"3\.png: not a regular file"),
        (lambda f: (f / "3.png").symlink_to("/dev/zero"), r"3\.png: not a regular file"),
        (lambda f: (f / "3.png").mkdir(), r"3\.png: a folder"),
        (_grey_sixteen_bit, r"2\.png: .*more than 8 bits"),
        (_sixteen_bit, r"2\.png: .*more than 8 bits"),
        (_animation, r"2\.webp: an animation of 2 pictures"),
    ],
)
def test_the_odd_file_is_named(tmp_path: Path, spoil: Any, pattern: str) -> None:
    folder = save_pictures(tmp_path / "clip", moving_square(2))
    spoil(folder)
    with pytest.raises(MediaError, match=pattern):
        read_frame_folder(folder, LIMITS)


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no picture in the folder; expected \.bmp"):
        read_frame_folder(tmp_path, LIMITS)
    with pytest.raises(MediaError, match="a folder of pictures was expected"):
        read_frame_folder(tmp_path / "absent", LIMITS)


def test_folder_limits(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "clip", moving_square(3))
    for limits, key in (
        (MediaLimits(max_frames=2), "max_frames"),
        (MediaLimits(max_pixels=6000), "max_pixels"),
        (MediaLimits(max_bytes=50_000), "max_bytes"),
    ):
        with pytest.raises(MediaError, match=f"limits.{key} = "):
            read_frame_folder(folder, limits)


# -- arrays -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 0, 1, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_arrays_come_back_exactly(tmp_path: Path, axes: tuple[int, ...], dtype: Any, ending: str) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    array = clip if dtype is np.uint8 else (clip / 255).astype(dtype)
    path = tmp_path / f"clip{ending}"
    if ending == ".npy":
        np.save(path, np.asfortranarray(array.transpose(axes)))
    else:
        np.savez_compressed(path, frames=array.transpose(axes), fps=np.array(8.0))
    assert np.array_equal(read_array(path, LIMITS), clip)


def _bomb(path: Path) -> None:
    """A zip of a few kilobytes whose array announces 60 GB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (20_000, 1000, 1000, 3)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.npy", header.getvalue() + bytes(1 << 20))


def _truncated(path: Path) -> None:
    np.save(path, moving_square(4))
    path.write_bytes(path.read_bytes()[:5000])


def _pickle(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


CLIP = moving_square(4)


@pytest.mark.parametrize(
    ("name", "make", "pattern"),
    [
        ("a.npy", _pickle, "found object"),
        ("a.npz", _bomb, "take 60000000000 bytes in memory, more than limits.max_bytes"),
        ("a.npy", _truncated, "not a readable NumPy array file"),
        ("a.npy", lambda p: p.write_bytes(b"\x93NUMPY"), "not a readable NumPy array file"),
        ("a.npz", lambda p: p.write_bytes(b"PK nonsense"), "not a readable NumPy array file"),
        ("a.npz", lambda p: np.savez(p, left=CLIP, right=CLIP), "found left, right"),
        (
            "a.npy",
            lambda p: np.save(p, CLIP[..., :1]),
            r"expected shape \(T, H, W, 3\), .*found \(4, 64, 96, 1\)",
        ),
        ("a.npy", lambda p: np.save(p, CLIP[0]), r"found \(64, 96, 3\)"),
        ("a.npy", lambda p: np.save(p, CLIP[:3]), r"can be \(T, H, W, 3\) or \(3, T, H, W\)"),
        ("a.npy", lambda p: np.save(p, CLIP[:0]), "the array is empty"),
        ("a.npy", lambda p: np.save(p, CLIP.astype(np.int64)), "found int64"),
        ("a.npy", lambda p: np.save(p, CLIP / 255 * 2 - 1), "values outside 0..1"),
        ("a.npy", lambda p: np.save(p, CLIP.astype(np.float32)), "values outside 0..1"),
        ("a.npy", lambda p: np.save(p, np.full(CLIP.shape, np.nan)), "values outside 0..1"),
        ("a.npy", lambda p: np.save(p, CLIP / 300), "between the 256 levels k/255"),
    ],
)
def test_arrays_that_cannot_be_kept_exactly_are_refused(
    tmp_path: Path, name: str, make: Any, pattern: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(MediaError, match=pattern):
        read_array(path, LIMITS)


def test_array_limits(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLIP)
    for limits, key in (
        (MediaLimits(max_frames=3), "max_frames"),
        (MediaLimits(max_pixels=6000), "max_pixels"),
    ):
        with pytest.raises(MediaError, match=f"limits.{key} = "):
            read_array(tmp_path / "a.npy", limits)
