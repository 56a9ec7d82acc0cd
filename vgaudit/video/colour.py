"""Turns decoded pictures into RGB as a viewer sees them: matrix, range, alpha and orientation.

What the file says is honoured; what it leaves open is decided here and said in ``assumptions``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]

_MATRICES = {
    1: (1, "bt709"),
    4: (4, "fcc"),
    5: (5, "bt601"),
    6: (5, "bt601"),
    7: (7, "smpte240m"),
    9: (9, "bt2020"),
    10: (9, "bt2020"),
}
"""AVCOL_SPC_* (ISO/IEC 23091-4) to swscale's matrix and our name for it."""

_UNSPECIFIED = 2
_LIMITED, _FULL = 1, 2
_TRANSFERS = {16: "PQ (HDR)", 18: "HLG (HDR)"}


def assumed_matrix(width: int, height: int) -> tuple[int, str]:
    """Matrix of an untagged picture: BT.709 from 1280 columns or 577 lines on, else BT.601."""
    return _MATRICES[1] if width >= 1280 or height > 576 else _MATRICES[5]


class RgbConverter:
    """Converts the frames of one clip; remembers what it had to assume.

    Chroma is upsampled as swscale does by default, so that tagged limited-range frames equal
    ``VideoFrame.to_ndarray(format="rgb24")`` bit for bit.

    Attributes:
        color_space: Matrix used, ``rgb`` for RGB sources, empty before the first frame.
        color_range: ``limited`` or ``full``, empty before the first frame.
        rotation: Degrees counter-clockwise, 0, 90, 180 or 270.
        transparent: Whether a pixel that is not opaque was met.
    """

    def __init__(self) -> None:
        self.color_space = ""
        self.color_range = ""
        self.rotation = 0
        self.transparent = False
        self._assumptions: dict[str, None] = {}
        self._reformatter = VideoReformatter()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Sentences, in the order they were first made."""
        return tuple(self._assumptions)

    def convert(self, frame: VideoFrame) -> UInt8:
        """The frame as uint8 ``(height, width, 3)``, upright, over black where transparent."""
        alpha = any(c.is_alpha for c in frame.format.components) or frame.format.has_palette
        picture = self._to_rgb(frame, "rgba" if alpha else "rgb24")
        if alpha:
            picture = self._over_black(picture)
        return self._upright(frame, picture)

    def _assume(self, sentence: str) -> None:
        self._assumptions.setdefault(sentence)

    def _to_rgb(self, frame: VideoFrame, target: str) -> UInt8:
        bits = max((component.bits for component in frame.format.components), default=8)
        if bits > 8:
            self._assume(f"{bits}-bit samples are reduced to 8 bits")
        if transfer := _TRANSFERS.get(frame.color_trc):
            self._assume(f"transfer {transfer} is not tone-mapped")
        if frame.interlaced_frame:
            self._assume("interlaced frames are used as stored, fields are not separated")
        if frame.format.is_rgb or frame.format.has_palette:
            self.color_space, self.color_range = "rgb", "full"
            return _array(self._reformatter.reformat(frame, format=target, threads=1))
        matrix, value_range = self._matrix(frame), self._range(frame)
        return _array(
            self._reformatter.reformat(
                frame,
                format=target,
                src_colorspace=matrix,
                src_color_range=value_range,
                dst_color_range=_FULL,
                interpolation=Interpolation.BILINEAR,
                threads=1,
            )
        )

    def _matrix(self, frame: VideoFrame) -> int:
        known = _MATRICES.get(frame.colorspace)
        if known is None:
            known = assumed_matrix(frame.width, frame.height)
            said = (
                "untagged"
                if frame.colorspace == _UNSPECIFIED
                else f"tagged {frame.colorspace}, which is not supported"
            )
            self._assume(f"colour matrix {said}: {known[1]} assumed from the size")
        self.color_space = known[1]
        return known[0]

    def _range(self, frame: VideoFrame) -> int:
        full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
        if not full and frame.color_range != _LIMITED:
            full = frame.format.name.startswith("gray")
            self._assume(f"colour range untagged: {'full' if full else 'limited'} assumed")
        self.color_range = "full" if full else "limited"
        return _FULL if full else _LIMITED

    def _over_black(self, rgba: UInt8) -> UInt8:
        alpha = rgba[..., 3:]
        if int(alpha.min(initial=255)) == 255:
            return np.ascontiguousarray(rgba[..., :3])
        self.transparent = True
        self._assume("transparent pixels are shown over black")
        return ((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)

    def _upright(self, frame: VideoFrame, picture: UInt8) -> UInt8:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return picture
        a, b, _, c, d, *_ = np.sign(np.frombuffer(bytes(data), dtype="=i4").astype(np.int64)).tolist()
        if (a and d and not b and not c) or (b and c and not a and not d):
            self.rotation = round(frame.rotation) % 360
            if a * d - b * c < 0:
                self._assume("the file asks for a mirrored picture; it is shown mirrored")
            return orient(picture, a, b, c, d)
        self._assume("a display matrix that is no quarter turn or mirror is ignored")
        return picture


def orient(picture: UInt8, a: int, b: int, c: int, d: int) -> UInt8:
    """Apply the display matrix ``x' = a x + c y, y' = b x + d y`` with entries -1, 0, 1 to an image."""
    if a and d:
        flip_x, flip_y = a < 0, d < 0
    else:
        picture, flip_x, flip_y = cv2.transpose(picture), c < 0, b < 0
    if flip_x and flip_y:
        return np.asarray(cv2.flip(picture, -1), dtype=np.uint8)
    if flip_x or flip_y:
        return np.asarray(cv2.flip(picture, 1 if flip_x else 0), dtype=np.uint8)
    return picture


def _array(frame: VideoFrame) -> UInt8:
    return np.asarray(frame.to_ndarray(), dtype=np.uint8)
