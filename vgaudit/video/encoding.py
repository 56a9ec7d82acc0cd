"""Writes clips: the same bytes each time, close to the frames given, and playable in browsers.

Lossy compression changes what is measured, so the default is near-lossless (CRF 10); and x264 gives the
same bytes for the same frames at every size only with one thread and without macroblock-tree rate control.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.errors import MediaError
from vgaudit.video.colour import assumed_matrix
from vgaudit.video.frames import ClipInfo, Frames
from vgaudit.video.strip import ClipStrip

UInt8 = NDArray[np.uint8]

POSTER_WIDTH = 480
_CLOCK = Fraction(1, 90_000)
"""Ticks of previews: keeps the time stamps of clips with a variable frame rate."""
_DARK = 16.0
"""Mean luma (0..255) up to which a frame is too dark to stand for its clip in a table."""
_LIMITED = 1
_BT709 = 1
_MATRIX_TAGS = {1: 1, 5: 6}
"""swscale's matrix to the tag in the stream: BT.709, SMPTE 170M (BT.601)."""

_PLAYABLE = {
    "mov": {"h264", "av1", "libdav1d", "libaom-av1", "vp9"},
    "webm": {"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "libvpx", "libvpx-vp9"},
}
_PLAYABLE_PIXELS = {"yuv420p", "yuvj420p"}


class EncoderSettings(BaseModel):
    """How clips are stored (suite: ``video.encoder``).

    Attributes:
        codec: H.264 by x264, which every browser plays.
        crf: Constant rate factor, 0 (best) to 51.
        preset: x264's trade of time for size.
        pixel_format: 4:2:0, the only one every browser plays.
        mbtree: Macroblock-tree rate control; smaller files, but not the same bytes each time.
        threads: Encoder threads; more than one gives other bytes at some sizes.
        lossless: Keep an exact RGB record (H.264 RGB in Matroska) beside the playable copy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: Literal["h264"] = "h264"
    crf: int = Field(10, ge=0, le=51)
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ] = "medium"
    pixel_format: Literal["yuv420p"] = "yuv420p"
    mbtree: bool = False
    threads: int = Field(1, ge=1, le=64)
    lossless: bool = False

    def identity(self) -> Mapping[str, Any]:
        """Everything that can change the bytes written: settings, rules of this module, library versions."""
        versions = {"av": av.__version__, "libavcodec": list(av.library_versions["libavcodec"])}
        return {**self.model_dump(mode="json"), "rules": 1, "versions": versions}


@dataclass(frozen=True)
class Encoded:
    """What :func:`encode` wrote.

    Attributes:
        frames: Frames written.
        width: Stored width.
        height: Stored height.
        padding: Columns and rows added at the right and bottom (repeating the edge) to make sizes even.
    """

    frames: int
    width: int
    height: int
    padding: tuple[int, int] = (0, 0)


def encode(
    frames: Iterable[UInt8] | UInt8, fps: float, path: Path | str, settings: EncoderSettings
) -> Encoded:
    """Write frames as a clip, atomically.

    H.264 4:2:0 cannot hold odd sizes: such frames get their last column or row repeated, and ``padding`` says
    so. With ``settings.lossless`` the exact RGB frames are written, odd sizes included; ``path`` must then
    end in ``.mkv``, else in ``.mp4``.

    Args:
        frames: uint8 RGB: an array ``(n, height, width, 3)``, or an iterable of such or of single frames.
        fps: Frames per second.
        path: File to write; replaced if it is there.
        settings: How.

    Raises:
        MediaError: No frames, frames of differing size or of another type, or an impossible rate.
        ValueError: The ending of ``path`` does not fit.
    """
    target = Path(path)
    ending = ".mkv" if settings.lossless else ".mp4"
    if target.suffix.lower() != ending:
        raise ValueError(
            f"{target.name}: clips with lossless={settings.lossless} are written as {ending} files"
        )
    if not 0 < fps <= 1000:
        raise MediaError(target, f"a clip needs a frame rate above 0 and up to 1000, not {fps}")
    rate = Fraction(fps).limit_denominator(10_000)
    with _Writer(target, rate, 1 / rate, settings, lossless=settings.lossless) as writer:
        for index, frame in enumerate(_single(target, frames)):
            writer.write(frame, index)
        return writer.finish()


def is_browser_playable(info: ClipInfo) -> bool:
    """Whether current browsers play the clip as it is.

    8-bit 4:2:0 in mp4 (H.264, AV1, VP9) or webm (VP8, VP9, AV1). Demuxer and file ending decide together
    on the container, as FFmpeg tells neither mkv from webm nor mov from mp4.
    """
    ending = Path(info.path).suffix.lower()
    if info.pixel_format not in _PLAYABLE_PIXELS:
        return False
    if "mp4" in info.container.split(","):
        return ending in {".mp4", ".m4v"} and info.codec in _PLAYABLE["mov"]
    if "webm" in info.container.split(","):
        return ending == ".webm" and info.codec in _PLAYABLE["webm"]
    return False


class PreviewWriter:
    """Makes a clip's playable copy, its poster and its filmstrip from blocks that are being scored anyway.

    The poster is the first frame that is not nearly black (else the first frame), at most 480 pixels wide.
    No file appears before :meth:`finish`; a writer that is dropped leaves nothing behind.

    Args:
        video_path: mp4 to write, or ``None`` where the clip plays as it is.
        poster_path: JPEG to write.
        info: The clip's header facts.
        settings: How the copy is encoded; ``lossless`` does not concern it.
        strip_path: JPEG of the filmstrip to write, or ``None`` for none.

    Attributes:
        strip: After :meth:`finish`: what the filmstrip shows (:meth:`~vgaudit.video.strip.ClipStrip.drawn`); empty
            where none was asked for.
    """

    def __init__(
        self, video_path: Path | None, poster_path: Path, info: ClipInfo, settings: EncoderSettings,
        strip_path: Path | None = None,
    ) -> None:  # fmt: skip
        self.strip: dict[str, Any] = {}
        self._strip_path = strip_path
        self._strip = ClipStrip()
        self._poster_path = poster_path
        self._poster: UInt8 | None = None
        self._poster_is_final = False
        self._writer: _Writer | None = None
        if video_path is not None:
            rate = Fraction(min(max(info.fps or 25.0, 1.0), 240.0)).limit_denominator(10_000)
            self._writer = _Writer(video_path, rate, _CLOCK, settings, lossless=False)

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        if self._strip_path is not None:
            self._strip.push(frames)
        for picture, seconds in zip(frames.rgb, frames.pts_s, strict=True):
            self._consider(picture)
            if self._writer is not None:
                self._writer.write(picture, round(float(seconds) / _CLOCK))

    def finish(self) -> None:
        """Put the files in place.

        Raises:
            MediaError: No frame was pushed.
        """
        if self._poster is None:
            raise MediaError(self._poster_path, "a preview needs at least one frame")
        if self._writer is not None:
            self._writer.finish()
        ok, data = cv2.imencode(
            ".jpg", cv2.cvtColor(self._poster, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )
        if not ok:
            raise MediaError(self._poster_path, "the poster could not be written as JPEG")
        if self._strip_path is not None:
            strip, self.strip = self._strip.drawn()
            _put(strip, self._strip_path)
        _put(data.tobytes(), self._poster_path)

    def abort(self) -> None:
        """Give up: remove what was begun."""
        if self._writer is not None:
            self._writer.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    def _consider(self, picture: UInt8) -> None:
        if self._poster_is_final:
            return
        bright = cv2.mean(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0] > _DARK
        if self._poster is None or bright:
            height, width = picture.shape[:2]
            if width > POSTER_WIDTH:
                size = (POSTER_WIDTH, max(1, round(height * POSTER_WIDTH / width)))
                self._poster = np.asarray(
                    cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8
                )
            else:
                self._poster = picture.copy()
            self._poster_is_final = bool(bright)


class _Writer:
    """One file being encoded under a temporary name."""

    def __init__(
        self, path: Path, rate: Fraction, clock: Fraction, settings: EncoderSettings, *, lossless: bool
    ) -> None:
        self.path = path
        self._rate = rate
        self._clock = clock
        self._settings = settings
        self._lossless = lossless
        self._reformatter = VideoReformatter()
        self._shape: tuple[int, ...] = ()
        self._padding = (0, 0)
        self._count = 0
        self._temporary = _temporary(path)
        self._cleanup = weakref.finalize(self, self._temporary.unlink, missing_ok=True)
        muxer = "matroska" if lossless else "mp4"
        # bitexact: no random ids, dates or version strings in the file.
        options = {"fflags": "+bitexact"} | ({} if lossless else {"movflags": "+faststart"})
        self._container = av.open(str(self._temporary), "w", format=muxer, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, picture: UInt8, pts: int) -> None:
        """Encode one frame, shown at ``pts`` ticks."""
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise MediaError(
                self.path,
                f"frame {self._count} must be uint8 (height, width, 3), not {picture.dtype} {picture.shape}",
            )
        if not self._shape:
            self._begin(picture)
        if picture.shape != self._shape:
            raise MediaError(
                self.path,
                f"frame {self._count} has shape {picture.shape}, the first has {self._shape}; all must agree",
            )
        frame = self._frame(picture)
        frame.pts, frame.time_base = pts, self._clock
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> Encoded:
        """Flush, and put the file in place."""
        if not self._count:
            self.abort()
            raise MediaError(self.path, "a clip needs at least one frame, none came")
        self._container.mux(self._stream.encode(None))
        self._container.close()
        _publish(self._temporary, self.path)
        self._cleanup.detach()
        right, bottom = self._padding
        return Encoded(self._count, self._shape[1] + right, self._shape[0] + bottom, self._padding)

    def abort(self) -> None:
        """Close and remove the temporary file, if it is still there."""
        self._container.close()
        self._cleanup()

    def _begin(self, picture: UInt8) -> None:
        self._shape = picture.shape
        height, width = picture.shape[:2]
        self._padding = (0, 0) if self._lossless else (width % 2, height % 2)
        x264 = f"mbtree={int(self._settings.mbtree)}:threads={self._settings.threads}"
        quality = {"qp": "0"} if self._lossless else {"crf": str(self._settings.crf)}
        options = {**quality, "preset": self._settings.preset, "x264-params": x264}
        stream = self._container.add_stream(
            "libx264rgb" if self._lossless else "libx264", rate=self._rate, options=options
        )
        stream.width, stream.height = width + self._padding[0], height + self._padding[1]
        stream.pix_fmt = "rgb24" if self._lossless else self._settings.pixel_format
        context = stream.codec_context
        context.time_base = self._clock
        context.thread_count = self._settings.threads
        # Matrix by size, as players assume it, so that those who ignore the tags are right too.
        self._matrix, _ = assumed_matrix(stream.width, stream.height)
        context.color_primaries = context.color_trc = _BT709
        if not self._lossless:
            context.colorspace, context.color_range = _MATRIX_TAGS[self._matrix], _LIMITED
        self._stream = stream

    def _frame(self, picture: UInt8) -> VideoFrame:
        right, bottom = self._padding
        if right or bottom:
            picture = np.asarray(
                cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE), dtype=np.uint8
            )
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        if self._lossless:
            return frame
        return self._reformatter.reformat(
            frame,
            format=self._settings.pixel_format,
            dst_colorspace=self._matrix,
            dst_color_range=_LIMITED,
            threads=1,
        )


def _single(path: Path, frames: Iterable[UInt8] | UInt8) -> Iterator[UInt8]:
    for item in frames:
        if isinstance(item, np.ndarray) and item.ndim == 4:
            yield from item
        elif isinstance(item, np.ndarray):
            yield item
        else:
            raise MediaError(path, f"frames must be uint8 arrays, not {type(item).__name__}")


def _temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less what the umask takes
    return temporary


def _put(data: bytes, path: Path) -> None:
    temporary = _temporary(path)
    temporary.write_bytes(data)
    _publish(temporary, path)


def _publish(temporary: Path, path: Path) -> None:
    """Flush the temporary file to disk and rename it onto ``path``."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
