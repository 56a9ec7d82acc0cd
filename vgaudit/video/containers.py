"""Opens an untrusted media file so that it can neither reach elsewhere nor ask for endless memory.

Only regular files are opened, by descriptor, so that no name can be read as a URL, and only containers and
codecs of the lists below. Playlists (HLS, DASH, concat) and image sequences, which name other files or
addresses, are therefore refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.codec import CodecContext
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vgaudit.errors import MediaError
from vgaudit.video.content_credentials import has_content_credentials
from vgaudit.video.truncation import missing_bytes

CONTAINERS = ("mov", "mp4", "matroska", "webm", "avi", "gif")
"""Demuxers that may be used."""

VIDEO_CODECS = frozenset(
    [
        *("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "gif"),
        *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "h263", "theora", "mjpeg", "png", "prores"),
        *("dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "qtrle", "rawvideo"),
    ]
)
"""Decoders that may be used."""

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_PLAYLISTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "a concat list",
    b"<?xml": "an XML file",
    b"[playlist]": "a playlist",
}
_READABLE = "vgaudit reads mp4, mov, webm, mkv, avi and gif"


@dataclass(frozen=True)
class MediaLimits:
    """How large a clip may be before it is refused (suite key ``limits``).

    Attributes:
        max_frames: Frames in one clip.
        max_pixels: Width x height of one frame.
        max_bytes: Size of the file on disk.
        max_seconds: Length of the clip by its time stamps.
    """

    max_frames: int = 20_000
    max_pixels: int = 7680 * 4320
    max_bytes: int = 4 * 1024**3
    max_seconds: float = 3600.0

    def check_bytes(self, path: Path | str, size: int) -> None:
        """Raise :class:`MediaError` for a file of more than ``max_bytes``."""
        if size > self.max_bytes:
            raise over_limit(path, f"the file has {size} bytes", "max_bytes", self.max_bytes)

    def check_frames(self, path: Path | str, frames: int) -> None:
        """Raise :class:`MediaError` for more than ``max_frames`` frames."""
        if frames > self.max_frames:
            raise over_limit(path, f"the clip has at least {frames} frames", "max_frames", self.max_frames)

    def check_pixels(self, path: Path | str, width: int, height: int) -> None:
        """Raise :class:`MediaError` for frames of more than ``max_pixels``."""
        if width * height > self.max_pixels:
            what = f"frames of {width}x{height} have {width * height} pixels"
            raise over_limit(path, what, "max_pixels", self.max_pixels)

    def check_seconds(self, path: Path | str, seconds: float) -> None:
        """Raise :class:`MediaError` for a clip longer than ``max_seconds``."""
        if seconds > self.max_seconds:
            what = f"the clip lasts at least {seconds:.1f} s"
            raise over_limit(path, what, "max_seconds", self.max_seconds)


def over_limit(path: Path | str, what: str, key: str, limit: float) -> MediaError:
    """The error for a broken limit: the value, the limit, and how to raise it."""
    remedy = f"raise `limits: {{{key}: ...}}` in the suite to read it"
    return MediaError(path, f"{what}, more than limits.{key} = {limit:.10g} allows; {remedy}")


@contextmanager
def open_regular(path: Path | str, limits: MediaLimits) -> Iterator[BinaryIO]:
    """Open a regular file for reading; links to regular files are followed.

    Raises:
        MediaError: There is none, it is a folder, pipe, device or socket, it is empty or over the limit.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(path, _why_unopened(error)) from error
    except ValueError as error:  # a NUL byte in the name
        raise MediaError(str(path).replace("\0", "\\0"), f"not a usable file name: {error}") from error
    status = os.fstat(descriptor)
    if problem := _why_unreadable(status):
        os.close(descriptor)
        raise MediaError(path, problem)
    with os.fdopen(descriptor, "rb") as file:
        limits.check_bytes(path, status.st_size)
        yield file


@dataclass(frozen=True)
class OpenClip:
    """A media file opened for reading.

    Attributes:
        container: The container.
        stream: The video stream chosen.
        notes: Sentences on what was chosen where there was a choice.
        missing_bytes: Bytes that the file announces but does not hold.
        content_credentials: Whether it carries a C2PA manifest.
    """

    container: InputContainer
    stream: VideoStream
    notes: tuple[str, ...]
    missing_bytes: int
    content_credentials: bool = False


@contextmanager
def open_clip(path: Path | str, limits: MediaLimits) -> Iterator[OpenClip]:
    """Open a media file and choose its video stream; no frame is decoded here.

    Raises:
        MediaError: It is no media file we read, has no video, or its header breaks a limit.
    """
    with open_regular(path, limits) as file:
        head = file.read(16)
        missing = missing_bytes(file)
        credentials = has_content_credentials(file)
        file.seek(0)
        options = {
            "format_whitelist": ",".join(CONTAINERS),
            "protocol_whitelist": "none",
            "max_pixels": _decoder_limit(limits),
        }
        try:
            container = av.open(file, mode="r", options=options, metadata_errors="replace")
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise MediaError(path, _why_not_media(head, missing, error)) from error
        with container:
            stream, notes = _choose_stream(path, container)
            limits.check_pixels(path, stream.codec_context.width, stream.codec_context.height)
            if stream.frames:
                limits.check_frames(path, stream.frames)
            yield OpenClip(container, stream, tuple(notes), missing, credentials)


def decoder_for(stream: VideoStream, limits: MediaLimits) -> VideoCodecContext:
    """The decoder of a stream, which itself refuses pictures far over the limit, whatever the header says.

    VP8 and VP9 keep transparency in a second picture that only libvpx decodes.
    """
    context = stream.codec_context
    if context.codec.name in _ALPHA_DECODERS and stream.metadata.get("alpha_mode") == "1":
        alpha = CodecContext.create(_ALPHA_DECODERS[context.codec.name], "r")
        if isinstance(alpha, VideoCodecContext):
            context = alpha
    context.options = {"max_pixels": _decoder_limit(limits)}
    return context


def _decoder_limit(limits: MediaLimits) -> str:
    """Pixels FFmpeg may allocate: decoders pad pictures, so some above what is then checked exactly."""
    return str(2 * limits.max_pixels + (1 << 16))


def _choose_stream(path: Path | str, container: InputContainer) -> tuple[VideoStream, list[str]]:
    pictures = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    videos = [s for s in container.streams.video if s not in pictures]
    if not videos:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        cover = " beside a cover picture" if pictures else ""
        raise MediaError(path, f"there is no video stream in it{cover} (it holds: {kinds})")
    chosen = max(videos, key=lambda s: (bool(s.disposition & Disposition.default), -s.index))
    context = chosen.codec_context
    if context is None:
        raise MediaError(path, "its video codec is unknown, or its header is damaged")
    if context.codec.name not in VIDEO_CODECS:
        known = ", ".join(sorted(VIDEO_CODECS))
        raise MediaError(
            path, f"video codec {context.codec.name!r} is not among those vgaudit reads ({known})"
        )
    notes = []
    if len(videos) > 1:
        notes.append(f"{len(videos)} video streams: stream {chosen.index} is used")
    if pictures:
        notes.append("an attached cover picture is ignored")
    return chosen, notes


def _why_unopened(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "its symbolic links lead in a circle"
    if error.errno == errno.ENOENT:
        return "no such file"
    return f"cannot be opened: {error.strerror or error}"


def _why_unreadable(status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "a folder, where a media file was expected"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file (a pipe, device or socket); only regular files are read"
    return "the file is empty (0 bytes)" if status.st_size == 0 else ""


def _why_not_media(head: bytes, missing: int, error: Exception) -> str:
    for start, kind in _PLAYLISTS.items():
        if head.startswith(start):
            return f"{kind}, not a video; files that name other files are never followed; {_READABLE}"
    detail = getattr(error, "strerror", None) or str(error)
    if missing:
        return f"cut short: {missing} bytes are missing at its end, and nothing can be read without them ({detail})"
    return f"not a video that can be read ({detail}); {_READABLE}; is it damaged or of another kind?"
