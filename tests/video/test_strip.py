"""The filmstrip of a clip: even distances in time whatever the length, the same bytes, little memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.media import moving_square, write_clip
from vgaudit.errors import MediaError
from vgaudit.video import ClipReader, decodes_started
from vgaudit.video.encoding import EncoderSettings, PreviewWriter
from vgaudit.video.frames import Frames
from vgaudit.video.strip import FRAMES, ClipStrip


def _drawn(
    count: int, block: int = 7, size: tuple[int, int] = (12, 16)
) -> tuple[np.ndarray, dict[str, object]]:
    """Strip of a clip whose frame ``i`` is grey ``i % 250``, at 10 frames per second."""
    strip = ClipStrip()
    for start in range(0, count, block):
        index = np.arange(start, min(start + block, count))
        rgb = np.broadcast_to((index % 250).astype(np.uint8)[:, None, None, None], (len(index), *size, 3))
        strip.push(Frames(np.ascontiguousarray(rgb), start, index / 10))
    data, facts = strip.drawn()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), facts


@pytest.mark.parametrize("count", [8, 9, 31, 32, 33, 64, 100, 250])
def test_frames_lie_at_even_distances(count: int) -> None:
    picture, facts = _drawn(count)
    times = np.array(facts["times_s"])
    assert len(times) == FRAMES
    assert times[0] == 0
    assert times[-1] == pytest.approx((count - 1) / 10)
    steps = np.linspace(0, (count - 1) / 10, FRAMES)
    assert np.abs(times - steps).max() <= max(0.05, count / 10 / 16) + 1e-9
    assert picture.shape == (12, 16 * FRAMES, 3)
    for i, seconds in enumerate(times):  # each cell shows the frame of its time
        cell = picture[:, 16 * i + 4 : 16 * i + 12]
        assert abs(float(cell.mean()) - round(seconds * 10) % 250) < 4


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_short_clip_shows_each_of_its_frames_once(count: int) -> None:
    picture, facts = _drawn(count)
    assert facts == {"times_s": [i / 10 for i in range(count)], "width": 16, "height": 12}
    assert picture.shape == (12, 16 * count, 3)


def test_large_frames_are_small_in_the_strip() -> None:
    picture, facts = _drawn(9, size=(1080, 1920))
    assert (facts["width"], facts["height"], picture.shape) == (171, 96, (96, 171 * 8, 3))
    picture, facts = _drawn(9, size=(200, 2000))
    assert (facts["width"], facts["height"]) == (240, 24)


def test_it_comes_with_the_poster_in_one_decode_and_as_the_same_bytes(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", moving_square(20))
    made = []
    for turn in range(2):
        before = decodes_started()
        strip = tmp_path / f"{turn}.strip.jpg"
        with (
            ClipReader(source, max_block_frames=6) as reader,
            PreviewWriter(None, tmp_path / f"{turn}.jpg", reader.info, EncoderSettings(), strip) as preview,
        ):
            for frames in reader:
                preview.push(frames)
        assert decodes_started() == before + 1
        made.append((strip.read_bytes(), preview.strip))
    assert made[0] == made[1]
    assert len(made[0][1]["times_s"]) == FRAMES


def test_without_frames_there_is_none() -> None:
    with pytest.raises(MediaError, match="at least one frame"):
        ClipStrip().drawn()
