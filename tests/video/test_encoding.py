"""Writing clips: the same bytes each time, faithful, playable, and whole or absent."""

from __future__ import annotations

import json
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from tests.browser import CHROMIUM, Browser
from tests.media import moving_square, plain, write_clip
from vgaudit.errors import MediaError
from vgaudit.video import ClipInfo, ClipReader, decodes_started, probe
from vgaudit.video.encoding import EncoderSettings, PreviewWriter, encode, is_browser_playable

SETTINGS = EncoderSettings()
EXACT = EncoderSettings(lossless=True)


def read(path: Path) -> tuple[np.ndarray, ClipInfo]:
    with ClipReader(path) as reader:
        frames = np.concatenate([block.rgb for block in reader])
    return frames, reader.info


@pytest.mark.parametrize(
    "size", [(64, 64), (50, 66), (63, 65), (144, 176), pytest.param((240, 426), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("settings", [SETTINGS, EXACT], ids=["playable", "exact"])
def test_eight_encodes_give_the_same_bytes(
    tmp_path: Path, size: tuple[int, int], settings: EncoderSettings
) -> None:
    clip = moving_square(5, *size)
    clip += np.random.default_rng(0).integers(0, 12, clip.shape, dtype=np.uint8)
    digests = set()
    for turn in range(8):
        path = tmp_path / f"{turn}{'.mkv' if settings.lossless else '.mp4'}"
        encode(clip, 8, path, settings)
        digests.add(sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("size", [(64, 96), (63, 65), (1, 1), (2, 3), (31, 64)])
def test_exact_record_is_exact(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = np.random.default_rng(1).integers(0, 256, (5, *size, 3), dtype=np.uint8)
    written = encode(clip, 12.5, tmp_path / "a.mkv", EXACT)
    frames, info = read(tmp_path / "a.mkv")
    assert np.array_equal(frames, clip)
    assert (info.fps, info.frames, info.warnings) == (12.5, 5, ())
    assert (written.frames, written.height, written.width, written.padding) == (5, *size, (0, 0))
    assert not is_browser_playable(info)


@pytest.mark.parametrize("fps", [1, 8, 10, 12.5, 23.976, 24000 / 1001, 25, 29.97, 60])
def test_playable_copy_is_near_and_tagged(tmp_path: Path, fps: float) -> None:
    clip = moving_square(6)
    encode(clip, fps, tmp_path / "a.mp4", SETTINGS)
    frames, info = read(tmp_path / "a.mp4")
    assert np.abs(frames.astype(int) - clip).mean() < 3
    assert info.fps == pytest.approx(fps, rel=1e-6)
    assert info.duration_s == pytest.approx(6 / fps)
    assert (info.codec, info.pixel_format, info.color_space, info.color_range) == (
        "h264", "yuv420p", "bt601", "limited",
    )  # fmt: skip
    assert not info.assumptions
    assert is_browser_playable(info)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # playing can begin before the whole file is there


def test_large_pictures_are_bt709(tmp_path: Path) -> None:
    encode(plain(90, 2, 2, 1280), 8, tmp_path / "a.mp4", SETTINGS)
    assert read(tmp_path / "a.mp4")[1].color_space == "bt709"


def test_crf_10_keeps_a_colour_within_rounding(tmp_path: Path) -> None:
    clip = np.full((4, 64, 64, 3), (180, 90, 40), dtype=np.uint8)
    encode(clip, 8, tmp_path / "a.mp4", SETTINGS)
    assert np.abs(read(tmp_path / "a.mp4")[0].astype(int) - clip).max() <= 4


def test_odd_sizes_are_padded_with_their_edge_and_said(tmp_path: Path) -> None:
    clip = moving_square(4, 63, 65)
    written = encode(clip, 8, tmp_path / "a.mp4", SETTINGS)
    assert (written.width, written.height, written.padding) == (66, 64, (1, 1))
    frames, info = read(tmp_path / "a.mp4")
    assert (info.width, info.height) == (66, 64)
    assert np.abs(frames[:, :63, :65].astype(int) - clip).mean() < 4
    assert np.abs(frames[:, 63].astype(int) - frames[:, 62]).mean() < 6


def test_frames_may_come_one_by_one_or_in_blocks(tmp_path: Path) -> None:
    clip = moving_square(9)
    encode(clip, 8, tmp_path / "a.mp4", SETTINGS)
    encode((frame for frame in clip), 8, tmp_path / "b.mp4", SETTINGS)
    encode(iter([clip[:4], clip[4:5], clip[5:]]), 8, tmp_path / "c.mp4", SETTINGS)
    whole = (tmp_path / "a.mp4").read_bytes()
    assert (tmp_path / "b.mp4").read_bytes() == whole == (tmp_path / "c.mp4").read_bytes()


@pytest.mark.parametrize(
    ("frames", "fps", "pattern"),
    [
        (plain(0, 0), 8, "at least one frame"),
        (plain(0), 0, "frame rate above 0"),
        (plain(0), float("nan"), "frame rate above 0"),
        (plain(0), 1e9, "frame rate above 0"),
        (plain(0).astype(np.float32), 8, r"must be uint8 \(height, width, 3\), not float32"),
        (plain(0)[..., :1], 8, "must be uint8"),
        ([plain(0, 1)[0], plain(0, 1, 32, 32)[0]], 8, r"frame 1 has shape \(32, 32, 3\), the first has"),
        (["frame"], 8, "not str"),
    ],
)
def test_what_cannot_be_a_clip_is_refused_and_leaves_nothing(
    tmp_path: Path, frames: np.ndarray, fps: float, pattern: str
) -> None:
    with pytest.raises(MediaError, match=pattern):
        encode(frames, fps, tmp_path / "a.mp4", SETTINGS)
    assert not list(tmp_path.iterdir())


def test_ending_must_fit(tmp_path: Path) -> None:
    for name, settings in (("a.mkv", SETTINGS), ("a.mp4", EXACT)):
        with pytest.raises(ValueError, match="are written as"):
            encode(plain(0), 8, tmp_path / name, settings)


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encode(plain(40), 8, path, SETTINGS)
    before = path.read_bytes()

    def broken() -> object:
        yield plain(80, 1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(broken(), 8, path, SETTINGS)
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["a.mp4"]


def test_settings_are_strict_and_identify_the_bytes() -> None:
    with pytest.raises(ValidationError):
        EncoderSettings(crf=52)
    with pytest.raises(ValidationError):
        EncoderSettings(bitrate=1000)  # type: ignore[call-arg]
    identity = json.loads(json.dumps(SETTINGS.identity()))
    assert identity["crf"] == 10
    assert identity["mbtree"] is False
    assert identity["versions"]["libavcodec"]
    assert EncoderSettings(crf=11).identity() != SETTINGS.identity()


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "playable"),
    [
        ("a.mp4", "libx264", "yuv420p", True),
        ("a.mp4", "libx264", "yuv444p", False),
        ("a.mp4", "libx264", "yuv420p10le", False),
        ("a.mp4", "mpeg4", "yuv420p", False),
        ("a.webm", "libvpx-vp9", "yuv420p", True),
        ("a.webm", "libvpx", "yuv420p", True),
        ("a.mkv", "libx264", "yuv420p", False),
        ("a.avi", "mjpeg", "yuvj420p", False),
        ("a.gif", "gif", "rgb8", False),
    ],
)
def test_browser_playable(tmp_path: Path, name: str, codec: str, pixel_format: str, playable: bool) -> None:
    path = write_clip(tmp_path / name, moving_square(3), codec=codec, pixel_format=pixel_format)
    assert is_browser_playable(probe(path)) is playable


def test_preview_is_made_in_the_same_pass(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.6, 0.7, 1.4]
    clip = np.concatenate([plain(0, 2, 300, 701), moving_square(4, 300, 701)])
    source = write_clip(tmp_path / "a.mkv", clip, codec="libx264rgb", pixel_format="rgb24", times=times)
    before = decodes_started()
    with (
        ClipReader(source, max_block_frames=4) as reader,
        PreviewWriter(tmp_path / "p.mp4", tmp_path / "p.jpg", reader.info, EXACT) as preview,
    ):
        for frames in reader:
            preview.push(frames)
    assert decodes_started() == before + 1
    with ClipReader(tmp_path / "p.mp4") as copy:
        blocks = list(copy)
    assert is_browser_playable(copy.info)
    assert np.concatenate([b.pts_s for b in blocks]) == pytest.approx(
        times, abs=1e-3
    )  # findings' spans still fit
    poster = cv2.imread(str(tmp_path / "p.jpg"))
    assert poster.shape == (205, 480, 3)
    assert poster.mean() > 30  # not one of the black frames
    assert {f.name for f in tmp_path.iterdir()} == {"a.mkv", "p.mp4", "p.jpg"}


def test_poster_of_a_black_clip_is_black_and_never_enlarged(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", plain(0))
    with (
        ClipReader(source) as reader,
        PreviewWriter(None, tmp_path / "p.jpg", reader.info, SETTINGS) as preview,
    ):
        for frames in reader:
            preview.push(frames)
    poster = cv2.imread(str(tmp_path / "p.jpg"))
    assert poster.shape == (64, 96, 3)
    assert poster.max() == 0


def test_a_preview_that_is_dropped_or_fails_leaves_nothing(tmp_path: Path) -> None:
    info = probe(write_clip(tmp_path / "a.mp4", moving_square(3)))
    writer = PreviewWriter(tmp_path / "p.mp4", tmp_path / "p.jpg", info, SETTINGS)
    del writer
    with pytest.raises(MediaError, match="at least one frame"):
        PreviewWriter(tmp_path / "p.mp4", tmp_path / "p.jpg", info, SETTINGS).finish()
    with pytest.raises(RuntimeError), PreviewWriter(tmp_path / "p.mp4", tmp_path / "p.jpg", info, SETTINGS):
        raise RuntimeError
    assert [f.name for f in tmp_path.iterdir()] == ["a.mp4"]


def test_rate_is_stored_as_the_fraction_it_is(tmp_path: Path) -> None:
    encode(moving_square(4), 30000 / 1001, tmp_path / "a.mp4", SETTINGS)
    assert Fraction(read(tmp_path / "a.mp4")[1].fps).limit_denominator(2000) == Fraction(30000, 1001)


PAGE = """<video id=v src={name} muted></video><p id=out>waiting</p><script>
const v = document.getElementById("v"), out = document.getElementById("out");
v.onerror = () => out.textContent = "error " + v.error.message;
v.onloadeddata = () => v.currentTime = 0.5;
v.onseeked = () => out.textContent = v.videoWidth + "x" + v.videoHeight + " " + v.duration.toFixed(2);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("size", "shown"), [((64, 96), "96x64 1.00"), ((63, 65), "66x64 1.00")])
def test_a_browser_plays_the_playable_copy(tmp_path: Path, size: tuple[int, int], shown: str) -> None:
    encode(moving_square(8, *size), 8, tmp_path / "a.mp4", SETTINGS)
    (tmp_path / "page.html").write_text(PAGE.format(name="a.mp4"))
    with Browser() as browser:
        browser.open(tmp_path / "page.html")
        browser.until("document.getElementById('out').textContent !== 'waiting'")
        assert browser.run("document.getElementById('out').textContent") == shown
