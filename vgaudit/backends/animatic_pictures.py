"""Still pictures that somebody handed in: found in a folder, and decoded without trusting the file."""

from __future__ import annotations

import os
import warnings
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vgaudit.errors import MediaError, SuiteError
from vgaudit.video.containers import MediaLimits, open_regular, over_limit
from vgaudit.video.frame_sources import PICTURES, natural_order

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Decoders that may run; Pillow knows many more, each of them a door."""

_BYTES_A_PIXEL = 8
"""Of the largest picture that is read, 16-bit RGBA without compression."""

_BYTES_BESIDE = 16 * 2**20
"""Room for headers, profiles and previews."""

_PLAIN = frozenset({"1", "L", "P", "RGB", "YCbCr"})
_WITH_ALPHA = frozenset({"LA", "PA", "RGBA"})


def find_pictures(root: Path, pattern: str) -> tuple[list[str], tuple[str, ...]]:
    """Pictures below ``root`` in natural order, sub-folders included, and notes on what was left out.

    Hidden files and folders are passed over, linked folders are not followed.

    Args:
        root: The folder.
        pattern: Shell pattern on the relative path; ``*`` also matches ``/``.

    Raises:
        SuiteError: A picture's name is not UTF-8, so that no record could name it.
    """
    found: list[str] = []
    other: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        for name in names:
            relative = Path(folder, name).relative_to(root).as_posix()
            if name.startswith(".") or not fnmatch(relative, pattern):
                continue
            (found if Path(name).suffix.lower() in PICTURES else other).append(relative)
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise SuiteError(f"{root}: a picture's name is not UTF-8; rename it ({name!r})") from error
    shown = ", ".join(ascii(name)[1:-1] for name in sorted(other, key=natural_order)[:5])
    more = f" and {len(other) - 5} more" if len(other) > 5 else ""
    return sorted(found, key=natural_order), ((f"not pictures: {shown}{more}",) if other else ())


def check_size(path: Path, size: int, limits: MediaLimits) -> None:
    """Refuse a file that cannot be a picture within the limits, before it is read to its end.

    Raises:
        MediaError: It has more than ``max_bytes``, or more than any picture of ``max_pixels`` needs.
    """
    limits.check_bytes(path, size)
    if size > _BYTES_A_PIXEL * limits.max_pixels + _BYTES_BESIDE:
        what = f"the file has {size} bytes, more than a picture of that many pixels needs"
        raise over_limit(path, what, "max_pixels", limits.max_pixels)


def read_picture(path: Path, limits: MediaLimits) -> Image:
    """A picture as 8-bit RGB, turned upright as its EXIF orientation says.

    Transparent pixels are shown over black; of 16 bits a sample the upper 8 are kept. Colours are taken for sRGB:
    an embedded profile is not applied. Size is checked before a pixel is decoded.

    Raises:
        MediaError: It cannot be read, is no still picture in one of :data:`FORMATS`, has colours that 8-bit RGB
            does not hold, or breaks a limit, Pillow's own included.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # `formats` only knows decoders that are registered
    with open_regular(path, limits) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF and the softer bomb warning: sizes are checked here
        check_size(path, os.fstat(file.fileno()).st_size, limits)
        try:
            with Image.open(file, formats=FORMATS) as picture:
                limits.check_pixels(path, *picture.size)
                count = int(getattr(picture, "n_frames", 1))
                if count > 1 and picture.format != "MPO":  # a phone's JPEG may hold more behind its first
                    raise MediaError(path, f"an animation of {count} pictures; expected a still one")
                picture.load()
                return _as_rgb(path, ImageOps.exif_transpose(picture))
        except MediaError:
            raise
        except UnidentifiedImageError as error:
            raise MediaError(
                path, f"not a picture in a known format (known: {', '.join(FORMATS)}), or damaged"
            ) from error
        except Exception as error:  # a damaged file can raise anything in a decoder
            raise MediaError(
                path, f"the picture cannot be decoded: {error or type(error).__name__}"
            ) from error


def _as_rgb(path: Path, picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if picture.mode in _WITH_ALPHA or (picture.mode in _PLAIN and "transparency" in picture.info):
        rgba = picture.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    if picture.mode in _PLAIN:
        return picture.convert("RGB")
    raise MediaError(
        path,
        f"colours of mode {picture.mode} are not shown alike everywhere; save it as 8-bit RGB (sRGB) first",
    )
