"""Reads frames that were never compressed: folders of pictures and NumPy arrays, exactly or not at all."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from vgaudit.arrays import HEADER_LOCK
from vgaudit.errors import MediaError
from vgaudit.video.containers import MediaLimits, open_regular, over_limit

UInt8 = NDArray[np.uint8]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_EIGHT_BIT = frozenset({"1", "L", "P", "RGB"})
_WITH_ALPHA = frozenset({"LA", "PA", "RGBA"})
_ARRAY_NAMES = ("frames", "video", "arr_0")
_ROUNDING = {np.dtype(np.float16): 0.1, np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}
"""How far ``255 x`` may be from a whole number for ``x = k / 255`` stored in each type."""


def natural_order(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key under which ``frame2`` comes before ``frame10``; equal numbers are ordered by their spelling."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), name


def read_frame_folder(path: Path | str, limits: MediaLimits) -> tuple[UInt8, list[str]]:
    """All pictures of a folder as one clip.

    Files are taken in natural order; files that are no pictures (by ending) and hidden files are passed over.
    Transparent pixels are shown over black. More than 8 bits per sample cannot be kept and are an error.

    Returns:
        uint8 RGB ``(n, height, width, 3)`` and the file names in the same order.

    Raises:
        MediaError: No pictures, one that cannot be read or differs in size (it is named), or a limit is broken.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise MediaError(folder, "a folder of pictures was expected")
    entries = (f.name for f in folder.iterdir() if f.suffix.lower() in PICTURES and f.name[0] != ".")
    names = sorted(entries, key=natural_order)
    if not names:
        raise MediaError(folder, f"no picture in the folder; expected {', '.join(sorted(PICTURES))}")
    limits.check_frames(folder, len(names))
    frames: UInt8 | None = None
    for index, name in enumerate(names):
        picture = _read_picture(folder / name, limits)
        if frames is None:
            _check_total(folder, (len(names), *picture.shape), 1, limits)
            frames = np.empty((len(names), *picture.shape), dtype=np.uint8)
        if picture.shape != frames.shape[1:]:
            first = f"{names[0]} is {frames.shape[2]}x{frames.shape[1]}"
            raise MediaError(
                folder / name, f"{picture.shape[1]}x{picture.shape[0]} pixels, but {first}; all must agree"
            )
        frames[index] = picture
    assert frames is not None
    return frames, names


def read_array(path: Path | str, limits: MediaLimits) -> UInt8:
    """A clip stored as ``.npy`` or ``.npz``.

    The layout is found from where the three channels are: ``(T, H, W, 3)``, ``(T, 3, H, W)`` or ``(3, T, H, W)``.
    Types are uint8, or float with every value exactly ``k / 255``. An ``.npz`` holds one array, or one called
    ``frames``, ``video`` or ``arr_0``. Pickled objects are never loaded.

    Returns:
        uint8 RGB ``(n, height, width, 3)``.

    Raises:
        MediaError: Not such a file, an ambiguous layout, values that 8 bits cannot hold, or a limit is broken.
    """
    file_path = Path(path)
    with open_regular(file_path, limits) as file:
        try:
            if file_path.suffix.lower() == ".npz":
                with (
                    zipfile.ZipFile(file) as archive,
                    archive.open(_array_name(file_path, archive)) as member,
                ):
                    dtype, shape = _header(file_path, member, limits)
                    with archive.open(member.name) as again:
                        array = npy_format.read_array(again, allow_pickle=False)
            else:
                dtype, shape = _header(file_path, file, limits)
                file.seek(0)
                array = npy_format.read_array(file, allow_pickle=False)
        except (
            ValueError,
            EOFError,
            OSError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise MediaError(file_path, f"not a readable NumPy array file: {error}") from error
    axis = _channel_axis(file_path, shape)
    return _as_uint8(file_path, np.moveaxis(array, (_time_axis(axis), axis), (0, 3)), dtype)


def _read_picture(path: Path, limits: MediaLimits) -> UInt8:
    from PIL import Image

    with open_regular(path, limits) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(file, formats=_FORMATS) as image:
                    limits.check_pixels(path, *image.size)
                    if (count := int(getattr(image, "n_frames", 1))) > 1:
                        raise MediaError(
                            path, f"an animation of {count} pictures; a folder holds one per file"
                        )
                    return _as_rgb(path, image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise MediaError(path, f"the picture cannot be read: {error}") from error


def _as_rgb(path: Path, image: Any) -> UInt8:
    # Pillow cuts 16-bit colour to 8 bits in silence; only the raw mode of its decoder tells.
    if any(";16" in str(tile[3]) for tile in image.tile):
        raise MediaError(path, "its samples have more than 8 bits; save the picture as 8-bit RGB first")
    if image.mode in _EIGHT_BIT and "transparency" not in image.info:
        return np.array(image.convert("RGB"), dtype=np.uint8)
    if image.mode in _EIGHT_BIT | _WITH_ALPHA:
        rgba = np.array(image.convert("RGBA"), dtype=np.uint16)
        return ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)
    raise MediaError(
        path, f"pictures of mode {image.mode} do not fit 8-bit RGB; save them as 8-bit RGB first"
    )


def _array_name(path: Path, archive: zipfile.ZipFile) -> str:
    names = [n for n in archive.namelist() if n.endswith(".npy")]
    if len(names) == 1:
        return names[0]
    for wanted in _ARRAY_NAMES:
        if f"{wanted}.npy" in names:
            return f"{wanted}.npy"
    there = ", ".join(n.removesuffix(".npy") for n in names[:8]) or "none"
    raise MediaError(path, f"expected one array, or one called {', '.join(_ARRAY_NAMES)}; found {there}")


def _header(path: Path, file: IO[bytes], limits: MediaLimits) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape, checked against the limits before anything is allocated."""
    version = npy_format.read_magic(file)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version in readers:
        with HEADER_LOCK:
            shape, _, dtype = readers[version](file)
    else:
        raise MediaError(path, f"npy format version {version} is not read; expected 1.0 or 2.0")
    if dtype != np.uint8 and dtype not in _ROUNDING:
        raise MediaError(path, f"expected uint8 (or floats that are exactly k/255), found {dtype}")
    axis = _channel_axis(path, shape)
    time, height, width = (n for i, n in enumerate(shape) if i != axis)
    if min(time, height, width) < 1:
        raise MediaError(path, f"the array is empty: its shape is {shape}")
    limits.check_frames(path, time)
    limits.check_pixels(path, width, height)
    _check_total(path, shape, dtype.itemsize, limits)
    return dtype, shape


def _check_total(path: Path, shape: tuple[int, ...], itemsize: int, limits: MediaLimits) -> None:
    total = math.prod(shape) * itemsize
    if total > limits.max_bytes:
        raise over_limit(path, f"its frames take {total} bytes in memory", "max_bytes", limits.max_bytes)


def _channel_axis(path: Path, shape: tuple[int, ...]) -> int:
    layouts = {3: "(T, H, W, 3)", 1: "(T, 3, H, W)", 0: "(3, T, H, W)"}
    if len(shape) == 4:
        found = [axis for axis in layouts if shape[axis] == 3]
        if len(found) == 1:
            return found[0]
        if found:
            both = " or ".join(layouts[axis] for axis in found)
            raise MediaError(
                path, f"shape {shape} can be {both}; save the clip as a folder of pictures instead"
            )
    raise MediaError(path, f"expected shape {', '.join(layouts.values())}, found {shape}")


def _time_axis(channel_axis: int) -> int:
    return 1 if channel_axis == 0 else 0


def _as_uint8(path: Path, array: NDArray[Any], dtype: np.dtype[Any]) -> UInt8:
    if dtype == np.uint8:
        return np.ascontiguousarray(array)
    out = np.empty(array.shape, dtype=np.uint8)
    for index, frame in enumerate(array):  # one by one: a whole float64 clip times three would not fit
        scaled = frame.astype(np.float64) * 255
        if not np.isfinite(scaled).all() or scaled.min() < -0.5 or scaled.max() > 255.5:
            raise MediaError(
                path,
                f"frame {index} has values outside 0..1; make it uint8 first (-1..1: ((x + 1) * 127.5).round())",
            )
        whole = np.rint(scaled)
        if np.abs(scaled - whole).max() > _ROUNDING[dtype]:
            raise MediaError(
                path,
                f"frame {index} has {dtype} values between the 256 levels k/255; round it to uint8 yourself, "
                "so that what is scored is what you saved",
            )
        out[index] = whole
    return out
