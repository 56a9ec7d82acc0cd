"""Reading clips: what comes out, what is said of it, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media import (
    HOSTILE,
    cut_short,
    hostile,
    moving_square,
    plain,
    scrambled,
    two_video_streams,
    with_cover_picture,
    write_clip,
)
from vgaudit.errors import MediaError
from vgaudit.video import ClipInfo, ClipReader, Frames, MediaLimits, decodes_started, probe, short_side_size
from vgaudit.video.timeline import Timeline
from vgaudit.video.truncation import missing_bytes


def read(path: Path, **options: object) -> tuple[np.ndarray, np.ndarray, ClipInfo]:
    """All frames, their times, and the complete facts."""
    with ClipReader(path, **options) as reader:
        blocks = list(reader)
    return np.concatenate([b.rgb for b in blocks]), np.concatenate([b.pts_s for b in blocks]), reader.info


# -- containers and their oddities ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("b.webm", "libvpx", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("b.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "rgb8"),
        ("ten.mp4", "libx264", "yuv420p10le"),
    ],
)
def test_reads_each_container(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    clip = moving_square(8)
    frames, times, info = read(write_clip(tmp_path / name, clip, codec=codec, pixel_format=pixel_format))
    assert frames.shape == clip.shape
    assert np.abs(frames.astype(int) - clip).mean() < (20 if codec == "gif" else 8)
    assert times == pytest.approx(np.arange(8) / 10)
    assert (info.fps, info.frames, info.duration_s) == (10.0, 8, 0.8)
    assert not info.variable_frame_rate
    assert not info.warnings
    assert ("10-bit samples are reduced to 8 bits" in info.assumptions) == (name == "ten.mp4")


@pytest.mark.parametrize(
    ("name", "frames", "fps", "size"),
    [
        ("chaplin.mp4", 241, 25.0, (640, 360)),
        ("mmaction_demo.mp4", 280, 28.0, (340, 256)),
        ("pancake.mkv", 310, 30.0, (426, 240)),
        ("no_duration.webm", 74, 15000 / 1001, (1280, 720)),
    ],
)
def test_reads_real_clips(
    shared_data: Path, name: str, frames: int, fps: float, size: tuple[int, int]
) -> None:
    path = shared_data / "clips" / name
    header = probe(path)
    with ClipReader(path) as reader:
        assert sum(len(block) for block in reader) == frames
    info = reader.info
    assert (info.width, info.height) == size == (header.width, header.height)
    assert info.fps == pytest.approx(fps)
    assert info.frames == frames
    assert info.duration_s == pytest.approx(frames / fps)
    assert header.frames in (frames, None)
    assert not info.warnings
    assert ClipInfo.from_json(info.to_json()) == info


def test_frames_equal_plain_pyav(shared_data: Path) -> None:
    path = shared_data / "fetv" / "real" / "0001.mp4"
    with av.open(str(path)) as container:
        expected = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert np.array_equal(read(path)[0], expected)


def test_damage_is_counted_and_said(shared_data: Path) -> None:
    _, _, info = read(shared_data / "clips" / "corrupted.mp4")
    assert info.frames == 49  # the header says 50
    assert info.decode_errors == 2
    assert "a packet could not be decoded" in info.warnings[0]
    assert "a picture is damaged" in info.warnings[0]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif"])
def test_a_clip_cut_short_gives_its_frames_and_a_warning(tmp_path: Path, name: str) -> None:
    codec, pixels = {"a.gif": ("gif", "rgb8"), "a.avi": ("mpeg4", "yuv420p")}.get(
        name, ("libx264", "yuv420p")
    )
    whole = write_clip(
        tmp_path / name,
        np.random.default_rng(0).integers(0, 256, (30, 64, 96, 3), dtype=np.uint8),
        codec=codec,
        pixel_format=pixels,
        container_options={"movflags": "+faststart"} if name == "a.mp4" else {},
    )
    short = cut_short(whole, tmp_path / f"short{name[1:]}", 0.8)
    assert read(whole)[2].decode_errors == 0
    frames, _, info = read(short)
    assert 0 < len(frames) < 30
    assert info.decode_errors > 0
    assert "cut short: the end of the file is missing" in info.warnings[0]


def test_truncation_is_not_seen_in_whole_files(shared_data: Path) -> None:
    for path in sorted((shared_data / "clips").iterdir()):
        with path.open("rb") as file:
            assert missing_bytes(file) == 0, path.name


def test_scrambled_clip_is_damaged_or_refused(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", moving_square(30), container_options={"movflags": "+faststart"})
    path = scrambled(whole, tmp_path / "scrambled.mp4")
    first = read(path)
    assert first[2].decode_errors > 0
    assert np.array_equal(first[0], read(path)[0])  # damage decodes to the same bytes each time


@pytest.mark.parametrize("size", [(63, 65), (1, 1), (2, 3), (17, 64), (64, 17)])
def test_odd_sizes_stay_odd(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "a.mkv", clip, codec="libx264rgb", pixel_format="rgb24", options={"qp": "0"})
    frames, _, info = read(path)
    assert np.array_equal(frames, clip)
    assert (info.height, info.width) == size
    assert (info.color_space, info.color_range) == ("rgb", "full")


@pytest.mark.parametrize("size", [(33, 35), (32, 35), (33, 34)])
def test_odd_sizes_of_subsampled_chroma_convert_to_the_last_pixel(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    clip = np.full((2, *size, 3), (200, 60, 30), dtype=np.uint8)
    path = write_clip(tmp_path / "a.webm", clip, codec="libvpx-vp9", options={"crf": "4", "b": "0"})
    frames, _, _ = read(path)
    assert frames.shape == clip.shape
    assert np.abs(frames.astype(int) - clip).max() <= 6


@pytest.mark.parametrize(("degrees", "quarter_turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(tmp_path: Path, degrees: float, quarter_turns: int) -> None:
    clip = moving_square(4, 48, 64)
    upright = read(write_clip(tmp_path / "a.mp4", clip))[0]
    path = write_clip(tmp_path / "b.mp4", clip, rotation=degrees)
    frames, _, info = read(path)
    assert np.array_equal(frames, np.rot90(upright, quarter_turns, axes=(1, 2)))
    assert info.rotation == degrees % 360
    assert (info.height, info.width) == frames.shape[1:3]
    header = probe(path)
    assert (header.height, header.width) == frames.shape[1:3]


def test_rotation_that_is_no_quarter_turn_is_ignored_and_said(tmp_path: Path) -> None:
    _, _, info = read(write_clip(tmp_path / "a.mp4", moving_square(2), rotation=30))
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert any("no quarter turn" in a for a in info.assumptions)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p"), ("b.webm", "libvpx", "yuva420p")],
)
def test_alpha_is_shown_over_black(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    clip = np.concatenate([plain(200, 4), plain(255, 4)[..., :1]], axis=3)
    clip[:, :, :48, 3] = 0
    options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}
    path = write_clip(tmp_path / name, clip, codec=codec, pixel_format=pixel_format, options=options)
    frames, _, info = read(path)
    assert info.has_alpha
    assert "transparent pixels are shown over black" in info.assumptions
    assert frames[:, :, :40].max() < 8
    assert abs(int(frames[:, :, 56:].mean()) - 200) < 8


def test_an_opaque_alpha_channel_is_no_alpha(tmp_path: Path) -> None:
    clip = np.concatenate([plain(200, 2), plain(255, 2)[..., :1]], axis=3)
    assert not read(write_clip(tmp_path / "a.mov", clip, codec="qtrle", pixel_format="argb"))[2].has_alpha


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.7, 0.8, 1.5]
    _, seen, info = read(write_clip(tmp_path / "a.mkv", moving_square(6), times=times))
    assert seen == pytest.approx(times, abs=1e-3)
    assert info.variable_frame_rate
    assert info.fps == pytest.approx(6 / info.duration_s)
    assert info.duration_s > 1.5


def test_one_frame(tmp_path: Path) -> None:
    frames, times, info = read(write_clip(tmp_path / "a.mp4", moving_square(1), fps=5))
    assert (len(frames), info.frames, info.fps, info.duration_s) == (1, 1, 5.0, 0.2)
    assert times.tolist() == [0.0]


def test_matrix_and_range_tags_are_honoured(tmp_path: Path) -> None:
    colours = np.zeros((2, 64, 96, 3), dtype=np.uint8)
    colours[:, :, :32], colours[:, :, 32:64], colours[:, :, 64:] = (220, 40, 40), (40, 200, 60), (40, 60, 210)
    wrong = None
    for matrix, tag, value_range in ((1, 1, 1), (5, 6, 1), (1, 1, 2), (9, 9, 1)):
        path = write_clip(
            tmp_path / f"{tag}-{value_range}.mp4",
            colours,
            options={"crf": "1"},
            color={"colorspace": tag, "color_range": value_range},
            reformat={"dst_colorspace": matrix, "dst_color_range": value_range},
        )
        frames, _, info = read(path)
        inner = np.r_[4:28, 36:60, 68:92]  # 4:2:0 blurs colour at edges
        assert np.abs(frames[:, :, inner].astype(int) - colours[:, :, inner]).max() <= 6, (tag, value_range)
        assert info.color_space == {1: "bt709", 6: "bt601", 9: "bt2020"}[tag]
        assert info.color_range == {1: "limited", 2: "full"}[value_range]
        assert not any("assumed" in a for a in info.assumptions)
        untagged = write_clip(tmp_path / "u.mp4", colours, reformat={"dst_colorspace": matrix})
        wrong = read(untagged)[2]
    assert wrong is not None
    assert "colour matrix untagged: bt601 assumed from the size" in wrong.assumptions


def test_several_streams_and_covers_are_told(tmp_path: Path) -> None:
    _, _, info = read(two_video_streams(tmp_path / "a.mkv"))
    assert info.width == 64
    assert "2 video streams: stream 0 is used" in info.assumptions
    _, _, info = read(with_cover_picture(tmp_path / "a.mp4"))
    assert (info.width, info.frames) == (64, 4)
    assert "an attached cover picture is ignored" in info.assumptions


def test_audio_is_noticed_and_left_alone(tmp_path: Path) -> None:
    assert read(write_clip(tmp_path / "a.mp4", moving_square(5), audio_seconds=2))[2].has_audio


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_media_is_refused(tmp_path: Path, name: str) -> None:
    path, pattern = hostile(name, tmp_path)
    with pytest.raises(MediaError, match=pattern) as caught:
        read(path)
    assert caught.value.exit_code == 1
    if name != "size changes":  # only a full read can see that
        with pytest.raises(MediaError, match=pattern):
            probe(path)


def test_playlists_never_reach_other_files(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4", moving_square(3))
    for text in (
        "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.mp4\n",
    ):
        for ending in (".mp4", ".m3u8", ".txt", ".mkv"):
            path = tmp_path / f"list{ending}"
            path.write_text(text)
            with pytest.raises(MediaError, match="never followed"):
                read(path)


@pytest.mark.parametrize(
    "name", ["http:a.mp4", "concat:x|y.mp4", "-i.mp4", "a%03d.mp4", "pipe:0", "ünï ✓.mp4"]
)
def test_names_are_names_and_nothing_else(tmp_path: Path, name: str) -> None:
    plain_name = write_clip(tmp_path / "plain.mp4", moving_square(3))
    assert len(read(plain_name.rename(tmp_path / name))[0]) == 3


def test_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_square(3))
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert len(read(tmp_path / "link.mp4")[0]) == 3


@pytest.mark.parametrize(
    ("limits", "pattern"),
    [
        (
            MediaLimits(max_frames=7),
            r"at least 8 frames, more than limits.max_frames = 7.*raise `limits: \{max_frames",
        ),
        (MediaLimits(max_pixels=96 * 64 - 1), r"96x64 have 6144 pixels, more than limits.max_pixels = 6143"),
        (MediaLimits(max_bytes=100), "the file has [0-9]+ bytes, more than limits.max_bytes = 100"),
        (MediaLimits(max_seconds=0.5), "lasts at least 0.[0-9] s, more than limits.max_seconds = 0.5"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_limits_name_the_value_and_the_key(
    tmp_path: Path, limits: MediaLimits, pattern: str, name: str
) -> None:
    codec = "libx264" if name == "a.mp4" else "libvpx"
    path = write_clip(tmp_path / name, moving_square(8), codec=codec)
    assert len(read(path, limits=MediaLimits(8, 96 * 64, 10**6, 0.8))[0]) == 8
    with pytest.raises(MediaError, match=pattern):
        read(path, limits=limits)


def test_a_time_stamp_far_away_breaks_the_limit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", moving_square(3), times=[0.0, 0.1, 90_000.0])
    with pytest.raises(MediaError, match="max_seconds"):
        read(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.avi", "a.gif"])
def test_random_damage_gives_frames_or_a_media_error(tmp_path: Path, name: str) -> None:
    codec = {"a.mp4": "libx264", "a.webm": "libvpx-vp9", "a.avi": "mpeg4", "a.gif": "gif"}[name]
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    whole = write_clip(
        tmp_path / name, moving_square(6, 32, 48), codec=codec, pixel_format=pixels
    ).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"damaged{name[1:]}"
    for _ in range(60):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), 8):
            data[position] = rng.integers(256)
        path.write_bytes(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]))
        try:
            frames, times, info = read(path)
        except MediaError:
            continue
        assert len(frames) == len(times) == info.frames
        assert np.isfinite([info.fps, info.duration_s]).all()
        assert info.fps > 0


# -- blocks -----------------------------------------------------------------------------------------


def test_blocks_depend_on_size_only_and_hold_every_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_square(23))
    whole, times, _ = read(path)
    for block_bytes, expected in ((5 * 96 * 64 * 3, 5), (1, 1), (1 << 30, 7)):
        with ClipReader(path, block_bytes=block_bytes, max_block_frames=7) as reader:
            blocks = list(reader)
        assert {len(b) for b in blocks[:-1]} == {expected}
        assert [b.start for b in blocks] == list(range(0, 23, expected))
        assert np.array_equal(np.concatenate([b.rgb for b in blocks]), whole)
        assert np.array_equal(np.concatenate([b.pts_s for b in blocks]), times)


def test_each_iteration_is_one_counted_decode(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving_square(5))
    before = decodes_started()
    probe(path)
    assert decodes_started() == before
    with ClipReader(path) as reader:
        assert reader.info.frames == 5
        list(reader)
        with pytest.raises(RuntimeError, match="already"):
            list(reader)
    assert decodes_started() == before + 1
    with pytest.raises(RuntimeError, match="must be entered"):
        list(ClipReader(path))


def test_views_are_shared_and_as_documented() -> None:
    clip = moving_square(3, 90, 160)
    frames = Frames(clip, 0, np.arange(3) / 10)
    assert frames.luma() is frames.luma()
    assert np.array_equal(frames.luma()[1], cv2.cvtColor(clip[1], cv2.COLOR_RGB2GRAY))
    assert frames.luma_short_side(45).shape == (3, 45, 80)
    assert frames.rgb_short_side(45).shape == (3, 45, 80, 3)
    assert np.array_equal(
        frames.rgb_short_side(45)[2], cv2.resize(clip[2], (80, 45), interpolation=cv2.INTER_AREA)
    )
    assert frames.luma_short_side(90) is frames.luma()  # never scaled up
    assert frames.rgb_short_side(500) is frames.rgb
    with pytest.raises(ValueError, match="as many time stamps"):
        Frames(clip, 0, np.zeros(2))
    with pytest.raises(ValueError, match="uint8"):
        Frames(clip.astype(np.float32), 0, np.zeros(3))  # type: ignore[arg-type]


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_short_side_size(height: int, width: int, side: int) -> None:
    h, w = short_side_size(height, width, side)
    assert min(h, w) == min(side, height, width)
    assert h <= height
    assert w <= width
    assert abs(h * width - w * height) <= max(height, width)  # the aspect within a pixel


# -- time stamps ------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=1, max_size=40))
def test_time_always_runs_forward_from_zero(stamps: list[int | None]) -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(25))
    times = [timeline.add(stamp) for stamp in stamps]
    assert times[0] == 0.0
    assert all(b > a for a, b in pairwise(times))
    assert timeline.duration_s > times[-1]
    assert timeline.fps > 0
    assert bool(timeline.assumptions) == (None in stamps)


def test_missing_and_disordered_stamps_are_told() -> None:
    timeline = Timeline(Fraction(1, 1000), Fraction(10))
    assert [timeline.add(p) for p in (None, None, 700, 650, 900)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert timeline.assumptions == ("2 of 5 frames have no time stamp: spaced by 10 frames per second",)
    assert timeline.warnings == ("1 time stamps are not later than the one before: replaced by even spacing",)


def test_unknown_rate_is_assumed_and_told() -> None:
    timeline = Timeline(None, None)
    timeline.add(None)
    assert timeline.fps == 25
    assert "the frame rate is not given: 25 frames per second assumed" in timeline.assumptions


# -- memory -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_is_bounded_on_a_long_720p_clip(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    frames_of_a_still = np.broadcast_to(moving_square(1, 720, 1280), (300, 720, 1280, 3))
    write_clip(path, frames_of_a_still, fps=30, options={"preset": "ultrafast"})
    code = (
        "import resource, sys\n"
        "from vgaudit.video import ClipReader\n"
        "with ClipReader(sys.argv[1]) as reader:\n"
        "    first = next(blocks := iter(reader)); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    n = len(first) + sum(len(b) for b in blocks)\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    frames, kib = map(int, run.stdout.split())
    assert frames == 300
    assert kib < 160 * 1024  # all frames would take 830 MB, two blocks take 96 MiB
