"""A clip's facts and blocks of its frames: what decoding hands to extractors and metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipInfo:
    """Facts of a clip: of its header after :func:`probe`, of its decoded frames after a full read.

    Attributes:
        path: Where it was read from.
        width: Displayed width in pixels, after rotation; odd sizes stay odd.
        height: Displayed height in pixels, after rotation.
        fps: Average frames per second.
        frames: Frames; ``None`` where the header does not say and nothing was decoded.
        duration_s: Seconds from the first frame's start to the last frame's end; 0 where unknown.
        codec: Decoder's name of the video codec, e.g. ``h264``.
        container: Demuxer's name of the container, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        pixel_format: Stored pixel format, e.g. ``yuv420p``.
        rotation: Degrees (0, 90, 180, 270) the stored picture was turned counter-clockwise for display.
        has_alpha: Whether the clip carries transparency.
        has_audio: Whether there is an audio stream.
        content_credentials: Whether the file carries a C2PA manifest, a signed statement of where it came from;
            it is neither read nor checked.
        variable_frame_rate: Whether the frames are unevenly spaced in time.
        color_space: Matrix used for the conversion to RGB (``bt709``, ``bt601``, ``bt2020``, ``rgb`` ...).
        color_range: Range used, ``limited`` or ``full``.
        decode_errors: Errors met while decoding: packets or frames that were damaged or missing.
        assumptions: Sentences on what the file does not say and we chose.
        warnings: Sentences on what is wrong with the file.
    """

    path: str
    width: int
    height: int
    fps: float
    frames: int | None
    duration_s: float
    codec: str
    container: str
    pixel_format: str
    rotation: int = 0
    has_alpha: bool = False
    has_audio: bool = False
    content_credentials: bool = False
    variable_frame_rate: bool = False
    color_space: str = ""
    color_range: str = ""
    decode_errors: int = 0
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            **asdict(self),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(
            **{
                **data,
                "assumptions": tuple(data.get("assumptions", ())),
                "warnings": tuple(data.get("warnings", ())),
            }
        )


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """``(height, width)`` whose shorter side is ``side``, aspect kept; the input size if that is not smaller.

    The longer side is rounded half up to whole pixels.

    >>> short_side_size(1080, 1920, 256)
    (256, 455)
    >>> short_side_size(100, 50, 256)
    (100, 50)
    """
    short = min(height, width)
    if short <= side:
        return height, width
    return tuple((2 * n * side + short) // (2 * short) for n in (height, width))  # type: ignore[return-value]


class Frames:
    """A block of consecutive frames of one clip, with views that several extractors share.

    Every view is computed at most once, on first use, and may be asked for from several threads.
    Treat all arrays as read-only.

    Attributes:
        rgb: uint8 ``(n, height, width, 3)``.
        start: Index in the clip of the first frame.
        pts_s: float64 ``(n,)``: seconds from the clip's first frame.
    """

    def __init__(self, rgb: UInt8, start: int = 0, pts_s: NDArray[np.float64] | None = None) -> None:
        if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 (n, height, width, 3), not {rgb.dtype} {rgb.shape}")
        times = np.zeros(0) if pts_s is None else np.asarray(pts_s, dtype=np.float64)
        if times.shape != (len(rgb),):
            raise ValueError(f"{len(rgb)} frames need as many time stamps, not an array {times.shape}")
        self.rgb = rgb
        self.start = start
        self.pts_s = times
        self._lock = threading.RLock()
        self._views: dict[str, UInt8] = {}

    def __len__(self) -> int:
        return len(self.rgb)

    def luma(self) -> UInt8:
        """uint8 ``(n, height, width)``: BT.601 luma of the RGB frames, full range."""
        return self._view("luma", lambda: _each(self.rgb, lambda f: cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)))

    def luma_short_side(self, side: int) -> UInt8:
        """uint8 ``(n, h, w)``: :meth:`luma` scaled down (area) to :func:`short_side_size`; never up."""
        return self._view(f"luma{side}", lambda: _shrink(self.luma(), side))

    def rgb_short_side(self, side: int) -> UInt8:
        """uint8 ``(n, h, w, 3)``: :attr:`rgb` scaled down (area) to :func:`short_side_size`; never up."""
        return self._view(f"rgb{side}", lambda: _shrink(self.rgb, side))

    def _view(self, name: str, make: Callable[[], UInt8]) -> UInt8:
        with self._lock:
            if name not in self._views:
                self._views[name] = make()
            return self._views[name]


def _each(frames: UInt8, turn: Callable[[UInt8], Any]) -> UInt8:
    return np.stack([turn(frame) for frame in frames]) if len(frames) else frames[..., 0]


def _shrink(frames: UInt8, side: int) -> UInt8:
    if side < 1:
        raise ValueError(f"the short side must be at least one pixel, not {side}")
    height, width = frames.shape[1:3]
    new_height, new_width = short_side_size(height, width, side)
    if (new_height, new_width) == (height, width):
        return frames
    out = np.empty((len(frames), new_height, new_width, *frames.shape[3:]), dtype=np.uint8)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source, (new_width, new_height), dst=target, interpolation=cv2.INTER_AREA)
    return out
