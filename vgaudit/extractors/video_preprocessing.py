"""What becomes of frames before a video network that takes them ready: numbers, and the same in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

Channels = tuple[float, float, float]
"""A number for red, green and blue."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop and range (:mod:`vgaudit.extractors.video_input` does it).

    Attributes:
        size: Pixels of the short side after the resize, and of both sides after the crop.
        low: What 0 becomes, before ``mean`` and ``std``.
        high: What 255 becomes, before ``mean`` and ``std``.
        resize_to: Rows and columns after the resize, whatever the ratio, in place of ``size``.
        crop_to: Rows and columns after the crop, in place of ``size``.
        long_side: How the long side is rounded.
        margin: Where a half pixel of an odd margin goes: ``down``, the smaller half lies above and to the left;
            ``even``, the half is rounded to an even number (torchvision's).
        antialias: Whether a picture that shrinks is smoothed.
        whole: Values are rounded to whole ones after the resize, as they are where uint8 is resized.
        mean: Taken off each channel at last.
        std: What each channel is then divided by.

    Raises:
        ValueError: The crop is larger than the resized picture, or of ``mean`` and ``std`` one is missing.
    """

    size: int
    low: float
    high: float
    resize_to: tuple[int, int] | None = None
    crop_to: tuple[int, int] | None = None
    long_side: Literal["up", "down"] = "up"
    margin: Literal["down", "even"] = "down"
    antialias: bool = False
    whole: bool = False
    mean: Channels | None = None
    std: Channels | None = None

    def __post_init__(self) -> None:
        rows, columns = self.resize_to or (self.size, self.size)
        if self.picture[0] > rows or self.picture[1] > columns:
            raise ValueError(
                f"expected a crop that the resized picture holds, found {_by(self.picture)} of {_by((rows, columns))}"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("expected `mean` and `std` together, found one of them")

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns that the network sees."""
        return self.crop_to or (self.size, self.size)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of a picture after the resize.

        Rounded up, the long side is the product in float64, as VideoGPT's published code has it. So it may be one
        more than the exact product asks for, even of a square: 50 x 50 to 224 gives 225 rows. The crop takes that
        away, but the resize sampled by it. Rounded down it is torchvision's.
        """
        if self.resize_to:
            return self.resize_to
        if self.long_side == "down":
            long = int(self.size * max(height, width) / min(height, width))
            return (self.size, long) if height <= width else (long, self.size)
        scale = self.size / min(height, width)
        if height < width:
            return self.size, math.ceil(width * scale)
        return math.ceil(height * scale), self.size

    def offsets(self, rows: int, columns: int) -> tuple[int, int]:
        """First row and first column of the crop in a picture of that size."""
        margins = rows - self.picture[0], columns - self.picture[1]
        if self.margin == "even":
            return round(margins[0] / 2), round(margins[1] / 2)
        return margins[0] // 2, margins[1] // 2

    @property
    def identity(self) -> dict[str, Any]:
        """All that moves a number, for fingerprints; what is as it was before it could be chosen is left out."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        always = ("size", "low", "high")
        return {f.name: given[f.name] for f in fields(self) if f.name in always or given[f.name] != f.default}

    @property
    def resize(self) -> str:
        """The resize in words."""
        if self.resize_to:
            target = f"to {_by(self.resize_to)} (rows x columns), whatever the ratio"
        else:
            target = f"short side to {self.size}, long side rounded {self.long_side}"
        whole = ", then rounded to whole values" if self.whole else ""
        antialias = "on" if self.antialias else "off"
        return f"{target}; bilinear, antialias {antialias}, align_corners False, in float32{whole}"

    @property
    def crop(self) -> str:
        """The crop in words."""
        if self.resize_to == self.picture:
            return "none"
        odd = (
            "half an odd margin is rounded to an even number above and to the left"
            if self.margin == "even"
            else "an odd margin has its smaller half above and to the left"
        )
        return f"centre, {_by(self.picture)}; {odd}"

    @property
    def value_range(self) -> str:
        """The values in words."""
        text = f"[{self.low:g}, {self.high:g}] (0 to 255 before)"
        if self.mean is None or self.std is None:
            return text
        return f"{text}, less ({_listed(self.mean)}), over ({_listed(self.std)}), for red, green, blue"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _listed(numbers: Channels) -> str:
    return ", ".join(f"{number:.9g}" for number in numbers)
