"""Read a picture of a person that somebody handed in, without trusting the file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Decoders that may run; Pillow knows many more, each of them a door."""


class PortraitError(ValueError):
    """A picture cannot be used; the message says why, without the file's name."""


def read_bytes(path: Path, root: Path) -> bytes:
    """The bytes of a picture below ``root``.

    Raises:
        PortraitError: It is a link that leads out of ``root``, no plain file, empty, or too large.
    """
    try:
        if not path.resolve(strict=True).is_relative_to(root.resolve()):
            raise PortraitError("a link that leads out of the gallery; copy the picture instead")
        if not path.is_file():
            raise PortraitError("not a plain file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise PortraitError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not data:
        raise PortraitError("0 bytes")
    if len(data) > MAX_BYTES:
        raise PortraitError(f"larger than {MAX_BYTES // 2**20} MiB")
    return data


def decode_portrait(data: bytes) -> NDArray[np.uint8]:
    """uint8 ``(height, width, 3)`` RGB, turned upright as its EXIF orientation says.

    Raises:
        PortraitError: Not a picture of a known format, damaged, or with more than 50 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # `formats` only knows decoders that are registered
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning: the size is checked below
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise PortraitError(f"{width}x{height} px, more than {MAX_PIXELS:,} pixels")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith(("I", "F")):
            return _from_deep(np.asarray(upright, dtype=np.float64))
        return np.array(upright.convert("RGB"), dtype=np.uint8)
    except PortraitError:
        raise
    except UnidentifiedImageError as error:
        raise PortraitError(f"not a picture in a known format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise PortraitError(f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise PortraitError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def _from_deep(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey pictures of 16 or 32 bits, their range brought to 8."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all() or high <= low:
        raise PortraitError("one colour only")
    grey = ((values - low) * (255 / (high - low))).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
