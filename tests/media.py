"""Makes clips for tests with real encoders: ordinary ones, odd ones, and ones no one should trust."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]


def moving_square(
    frames: int = 12, height: int = 64, width: int = 96, *, step: int = 3, seed: int = 0
) -> UInt8:
    """uint8 (frames, height, width, 3): a bright square that walks right over a smooth, still background."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 160, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    background = np.clip(ramp * rng.uniform(0.6, 1.0, 3), 0, 255).astype(np.uint8)
    clip = np.repeat(background[None], frames, axis=0)
    side = max(1, min(height, width) // 4)
    for index, frame in enumerate(clip):
        left = (index * step) % max(1, width - side)
        frame[height // 3 : height // 3 + side, left : left + side] = (250, 220, 30)
    return clip


def still(frames: int = 12, height: int = 64, width: int = 96) -> UInt8:
    """One picture, repeated."""
    return np.repeat(moving_square(1, height, width), frames, axis=0)


def plain(value: int, frames: int = 12, height: int = 64, width: int = 96) -> UInt8:
    """Frames of one grey value; 0 is black."""
    return np.full((frames, height, width, 3), value, dtype=np.uint8)


def write_clip(
    path: Path,
    frames: UInt8,
    *,
    fps: float = 10,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times: Sequence[float] | None = None,
    rotation: float = 0,
    audio_seconds: float = 0,
    color: dict[str, int] | None = None,
    reformat: dict[str, Any] | None = None,
) -> Path:
    """Encode RGB or RGBA frames with PyAV.

    Args:
        path: Its ending chooses the container.
        frames: uint8 (n, height, width, 3 or 4).
        fps: Rate; ignored for the time stamps where ``times`` are given.
        codec: Encoder.
        pixel_format: Stored pixel format.
        options: Encoder options.
        container_options: Muxer options.
        times: Seconds of each frame: a variable frame rate.
        rotation: Display rotation, degrees counter-clockwise.
        audio_seconds: Length of a silent audio stream; 0 for none.
        color: Stream tags, e.g. ``{"colorspace": 1, "color_range": 1}``.
        reformat: Arguments of the conversion from RGB, e.g. ``{"dst_colorspace": 1}``.
    """
    options = dict(options or {})
    if codec == "libx264":  # otherwise x264 writes other bytes, and pixels, each time at some sizes
        options.setdefault("x264-params", "mbtree=0:threads=1")
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        for name, value in (color or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        clock = Fraction(1, 1000) if times is not None else 1 / Fraction(fps).limit_denominator(1001)
        if times is not None:
            stream.codec_context.time_base = clock
        sound: Any = container.add_stream("aac", rate=44_100) if audio_seconds else None
        for index, picture in enumerate(frames):
            source = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture), format="rgba" if frames.shape[3] == 4 else "rgb24"
            )
            frame = source.reformat(format=pixel_format, **(reformat or {}))
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            silence = np.zeros((1, int(44_100 * audio_seconds)), dtype=np.float32)
            samples = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            samples.rate, samples.pts = 44_100, 0
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    return path


def two_video_streams(path: Path, sizes: Iterable[int] = (64, 32)) -> Path:
    """Matroska with several square video streams of 4 frames."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for size in sizes:
            stream: Any = container.add_stream("libx264", rate=10)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for index in range(4):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(
                    plain(40 * index, 1, stream.height, stream.width)[0], format="rgb24"
                )
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def with_cover_picture(path: Path) -> Path:
    """mp4 of 4 frames 64x64 with a 128x128 cover picture as its first stream."""
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("png", rate=1)
        cover.width = cover.height = 128
        cover.pix_fmt = "rgb24"
        cover.disposition = Disposition.attached_pic
        video: Any = container.add_stream("libx264", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(plain(200, 1, 128, 128)[0], format="rgb24")
        picture.pts = 0
        container.mux(cover.encode(picture))
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(plain(40 * index, 1, 64, 64)[0], format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        container.mux(cover.encode(None))
    return path


def sound_only(path: Path) -> Path:
    """mp4 with one second of silence and no video."""
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("aac", rate=44_100)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        samples.rate, samples.pts = 44_100, 0
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path


def changing_size(path: Path) -> Path:
    """avi whose motion JPEG pictures are 64x48 for 4 frames, then 32x32."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for start, (width, height) in ((0, (64, 48)), (4, (32, 32))):
            encoder: Any = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.framerate, encoder.time_base = 10, Fraction(1, 10)
            for index in range(4):
                frame = av.VideoFrame.from_ndarray(plain(40 * index, 1, height, width)[0], format="rgb24")
                frame = frame.reformat(format="yuvj420p")
                frame.pts, frame.time_base = start + index, Fraction(1, 10)
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
    return path


def gif_bomb(path: Path, side: int = 65_535) -> Path:
    """A gif of a few bytes whose header announces ``side`` x ``side`` pixels (17 GB when decoded)."""
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"
    image = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00"
    path.write_bytes(screen + image + b";")
    return path


def cut_short(source: Path, path: Path, share: float = 0.5) -> Path:
    """The first ``share`` of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def scrambled(source: Path, path: Path, every: int = 97) -> Path:
    """A file with one byte in ``every`` inverted in its second half."""
    data = bytearray(source.read_bytes())
    for index in range(len(data) // 2, len(data), every):
        data[index] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


def _bytes(content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


def _text(content: str) -> Callable[[Path], Path]:
    return _bytes(content.encode())


def _headless(path: Path) -> Path:
    whole = write_clip(path.with_name("whole.mp4"), moving_square())
    return cut_short(whole, path)


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _link_loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _picture(path: Path) -> Path:
    import cv2

    path.write_bytes(cv2.imencode(".png", plain(90, 1)[0])[1].tobytes())
    return path


def _raw_codec(path: Path) -> Path:
    return write_clip(path, moving_square(3, 48, 64), codec="flv", options={"qscale": "3"})


HOSTILE: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "absent": ("absent.mp4", lambda path: path, "no such file"),
    "empty": ("empty.mp4", _bytes(b""), r"empty \(0 bytes\)"),
    "folder": ("folder.mp4", _folder, "a folder, where a media file was expected"),
    "link loop": ("loop.mp4", _link_loop, "links lead in a circle"),
    "pipe": ("pipe.mp4", _fifo, "not a regular file"),
    "device": ("zero.mp4", lambda path: path.symlink_to("/dev/zero") or path, "not a regular file"),
    "NUL in the name": ("nul.mp4", lambda path: Path(f"{path}\0.mp4"), "not a usable file name"),
    "text": ("text.mp4", _text("not a video\n" * 50), "not a video that can be read"),
    "HLS playlist": (
        "list.mp4",
        _text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        "an HLS playlist, not a video; files that name other files are never followed",
    ),
    "concat list": (
        "join.mp4",
        _text("ffconcat version 1.0\nfile other.mp4\n"),
        "a concat list, not a video",
    ),
    "DASH manifest": ("dash.mp4", _text('<?xml version="1.0"?><MPD></MPD>'), "an XML file, not a video"),
    "session description": ("sdp.mp4", _text("v=0\nm=video 9 RTP/AVP 96\n"), "not a video that can be read"),
    "picture": ("picture.mp4", _picture, "not a video that can be read"),
    "program": (
        "program.mp4",
        _bytes(b"\x7fELF" + bytes(4096)),
        "not a video that can",
    ),
    "cut before the index": ("headless.mp4", _headless, "cut short: .* bytes are missing at its end"),
    "sound only": ("sound.mp4", sound_only, "no video stream in it .*audio"),
    "size changes": ("change.avi", changing_size, "changes from 64x48 to 32x32 at frame 4"),
    "picture bomb": ("bomb.gif", gif_bomb, "above limits.max_pixels = 33177600"),
    "codec not on the list": ("flash.avi", _raw_codec, "video codec 'flv' is not among those"),
    "zeros": (
        "zeros.mkv",
        _bytes(bytes(100_000)),
        "not a video that can be read",
    ),
}
"""Name -> (file name, maker, pattern of the message): media that must be refused with a MediaError."""


def hostile(name: str, folder: Path) -> tuple[Path, str]:
    """Make one of :data:`HOSTILE` in ``folder``; its path and the pattern of its message."""
    file_name, make, pattern = HOSTILE[name]
    return make(folder / file_name), pattern
