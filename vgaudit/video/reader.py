"""Reads a clip once: its facts, and its frames in blocks of bounded memory.

The door to everything about a clip: the types of :mod:`vgaudit.video.frames` and the limits of
:mod:`vgaudit.video.containers` are meant to be imported from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vgaudit.errors import MediaError
from vgaudit.video.colour import RgbConverter
from vgaudit.video.containers import MediaLimits, decoder_for, open_clip
from vgaudit.video.frames import ClipInfo, Frames
from vgaudit.video.timeline import Timeline

DEFAULT_LIMITS = MediaLimits()

UInt8 = NDArray[np.uint8]


class _Counter:
    """Counts across threads; lets a test prove that each clip was decoded exactly once."""

    def __init__(self) -> None:
        self._count = itertools.count(1)
        self.value = 0

    def add(self) -> None:
        self.value = next(self._count)


_DECODES = _Counter()


def decodes_started() -> int:
    """How many full decodes (iterations of a :class:`ClipReader`) this process has begun."""
    return _DECODES.value


def probe(path: Path | str, limits: MediaLimits = DEFAULT_LIMITS) -> ClipInfo:
    """Facts of a clip from its header and first picture; ``frames`` may be ``None`` and ``duration_s`` 0.

    The first picture is decoded because rotation, alpha and colour are known only with it.

    Raises:
        MediaError: As :class:`ClipReader`.
    """
    with ClipReader(path, limits) as reader:
        reader.read_first()
        return reader.info


class ClipReader:
    """Decodes a clip once, into consecutive blocks of bounded memory.

        with ClipReader(path) as reader:
            for frames in reader:
                ...
        reader.info  # complete now

    The size of the blocks depends on the picture size only. Damage does not end the reading while anything
    can be decoded; it is counted in ``info.decode_errors`` and described in ``info.warnings``. With
    ``threads`` above 1 (frame threads) sound clips decode to the same bytes, damaged ones may not: hence the
    default of one.

    Args:
        path: A regular file.
        limits: What is refused as too large.
        block_bytes: RGB bytes in a block at most (one frame at least).
        max_block_frames: Frames in a block at most.
        threads: Decoder threads.

    Raises:
        MediaError: On entering or iterating: not a media file that is read, no frame could be decoded, a
            limit is broken, or the picture size changes within the clip.
    """

    def __init__(
        self,
        path: Path | str,
        limits: MediaLimits = DEFAULT_LIMITS,
        *,
        block_bytes: int = 48 * 1024**2,
        max_block_frames: int = 64,
        threads: int = 1,
    ) -> None:
        self.path = Path(path)
        self.limits = limits
        self._block_bytes = block_bytes
        self._max_block_frames = max_block_frames
        self._threads = threads
        self._stack = ExitStack()
        self._info: ClipInfo | None = None
        self._begun = False

    def __enter__(self) -> Self:
        opened = self._stack.enter_context(open_clip(self.path, self.limits))
        self._container, self._stream = opened.container, opened.stream
        self._decoder = decoder_for(self._stream, self.limits)
        self._decoder.thread_count = self._threads
        self._decoder.thread_type = "FRAME" if self._threads > 1 else "NONE"
        self._converter = RgbConverter()
        self._timeline = Timeline(
            self._stream.time_base, self._stream.average_rate or self._stream.guessed_rate
        )
        self._damage = _Damage(opened.missing_bytes)
        header = _header_info(self.path, self._container, self._stream, opened.notes)
        self._info = replace(header, content_credentials=opened.content_credentials)
        if self._info.duration_s:
            self.limits.check_seconds(self.path, self._info.duration_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def info(self) -> ClipInfo:
        """Facts of the clip: of the header, and complete once all frames have been read."""
        if self._info is None:
            raise RuntimeError(
                "a ClipReader must be entered (`with ClipReader(path) as reader:`) before it is used"
            )
        return self._info

    def read_first(self) -> None:
        """Decode the first picture only, to complete the header's facts; ends the reader's use."""
        self._begin()
        for frame in self._decoded():
            picture = self._converter.convert(frame)
            self._info = self._described(picture)
            return
        raise self._nothing_decoded()

    def __iter__(self) -> Iterator[Frames]:
        self._begin()
        _DECODES.add()
        block: UInt8 | None = None
        times: list[float] = []
        count = 0
        shape: tuple[int, ...] = ()
        for frame in self._decoded():
            picture = self._to_rgb(frame)
            if not shape:
                shape = picture.shape
            elif picture.shape != shape:
                raise MediaError(self.path, _size_changed(shape, picture.shape, count))
            seconds = self._timeline.add(frame.pts, frame.duration)
            self.limits.check_frames(self.path, count + 1)
            self.limits.check_seconds(self.path, seconds)
            if block is None:
                block = np.empty((self._frames_per_block(picture.nbytes), *shape), dtype=np.uint8)
            block[len(times)] = picture
            times.append(seconds)
            count += 1
            if len(times) == len(block):
                yield Frames(block, count - len(times), np.asarray(times))
                block, times = None, []
        if block is not None:
            yield Frames(block[: len(times)], count - len(times), np.asarray(times))
        if not count:
            raise self._nothing_decoded()
        self.limits.check_seconds(self.path, self._timeline.duration_s)
        self._damage.compare(self._stream, self._container, self._timeline)
        self._info = self._complete(shape)

    def _begin(self) -> None:
        _ = self.info
        if self._begun:
            raise RuntimeError(
                f"{self.path} has been decoded by this reader already; open another to read it again"
            )
        self._begun = True

    def _frames_per_block(self, frame_bytes: int) -> int:
        return max(1, min(self._max_block_frames, self._block_bytes // frame_bytes))

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                self._damage.failed(f"reading stopped: {error.strerror}")
                return
            if packet.size:
                self._damage.packets += 1
            try:
                frames = self._decoder.decode(packet)
            except av.error.FFmpegError as error:
                self._damage.failed(f"a packet could not be decoded: {error.strerror}")
                continue
            if packet.is_corrupt:
                self._damage.failed("a packet is marked as damaged or cut short")
            for frame in frames:
                self.limits.check_pixels(self.path, frame.width, frame.height)
                if frame.is_corrupt:
                    self._damage.failed("a picture is damaged (gaps were filled in by the decoder)")
                yield frame

    def _to_rgb(self, frame: VideoFrame) -> UInt8:
        try:
            return self._converter.convert(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(
                self.path, f"pixel format {frame.format.name} cannot be turned into RGB: {error}"
            ) from error

    def _nothing_decoded(self) -> MediaError:
        context = self._stream.codec_context
        hints = [self._damage.last] if self._damage.last else []
        if not context.width * context.height:
            hints.append(f"its picture size is unknown or above limits.max_pixels = {self.limits.max_pixels}")
        why = f" ({'; '.join(hints)})" if hints else ""
        return MediaError(
            self.path, f"no frame could be decoded{why}; the file is damaged, cut short or empty"
        )

    def _described(self, picture: UInt8) -> ClipInfo:
        converter = self._converter
        return replace(
            self.info,
            height=picture.shape[0],
            width=picture.shape[1],
            rotation=converter.rotation,
            has_alpha=converter.transparent,
            color_space=converter.color_space,
            color_range=converter.color_range,
            assumptions=(*self.info.assumptions, *converter.assumptions),
        )

    def _complete(self, shape: tuple[int, ...]) -> ClipInfo:
        timeline, damage = self._timeline, self._damage
        return replace(
            self._described(np.empty((*shape[:2], 0), dtype=np.uint8)),
            fps=timeline.fps,
            frames=len(timeline),
            duration_s=timeline.duration_s,
            variable_frame_rate=timeline.variable,
            decode_errors=damage.errors,
            assumptions=(*self.info.assumptions, *self._converter.assumptions, *timeline.assumptions),
            warnings=(*damage.warnings, *timeline.warnings),
        )


class _Damage:
    """What went wrong while one clip was read."""

    def __init__(self, missing_bytes: int) -> None:
        self.packets = 0
        self._missing_bytes = missing_bytes
        self.errors = 0
        self._kinds: dict[str, int] = {}

    @property
    def last(self) -> str:
        return next(reversed(self._kinds), "")

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.errors:
            return ()
        kinds = (f"{kind} ({count} times)" if count > 1 else kind for kind, count in self._kinds.items())
        return (f"damaged: {'; '.join(kinds)}",)

    def failed(self, kind: str) -> None:
        self.errors += 1
        self._kinds[kind] = self._kinds.pop(kind, 0) + 1

    def compare(self, stream: VideoStream, container: InputContainer, timeline: Timeline) -> None:
        """Hold what was read against what the header promised; a clip cut short is damaged."""
        if self._missing_bytes:
            self.failed("cut short: the end of the file is missing")
            return
        if stream.frames and self.packets < stream.frames:
            self.failed(
                f"cut short: the header promises {stream.frames} frames, {self.packets} are in the file"
            )
            return
        promised = _promised_seconds(stream, container)
        missing = promised - timeline.duration_s if promised else 0.0
        if missing > max(0.25, 3 / timeline.fps):
            there = f"{timeline.duration_s:.2f} s are in the file"
            self.failed(f"cut short: the header promises {promised:.2f} s, {there}")


def _promised_seconds(stream: VideoStream, container: InputContainer) -> float | None:
    """Length of the video by its header; ``None`` where it does not say it of the video alone."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if len(container.streams) == 1 and container.duration:
        return float(Fraction(container.duration, av.time_base))
    return None


def _header_info(
    path: Path, container: InputContainer, stream: VideoStream, notes: tuple[str, ...]
) -> ClipInfo:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate
    ratio = stream.sample_aspect_ratio
    if ratio and ratio != 1:
        shape = f"{ratio.numerator}:{ratio.denominator}"
        notes = (*notes, f"pixel aspect ratio {shape} is not applied: pixels are used as stored")
    return ClipInfo(
        path=str(path),
        width=context.width,
        height=context.height,
        fps=float(rate) if rate else 0.0,
        frames=stream.frames or None,
        duration_s=_promised_seconds(stream, container) or 0.0,
        codec=context.codec.name,
        container=container.format.name,
        pixel_format=context.pix_fmt or "",
        has_audio=bool(container.streams.audio),
        assumptions=notes,
    )


def _size_changed(before: tuple[int, ...], after: tuple[int, ...], frame: int) -> str:
    was, now = f"{before[1]}x{before[0]}", f"{after[1]}x{after[0]}"
    return f"the picture size changes from {was} to {now} at frame {frame}; re-encode the clip at one size"
