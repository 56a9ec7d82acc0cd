"""Filmstrips: which frames they show, and that those of the moment are marked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.errors import MediaError
from vgaudit.video import MediaLimits
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.video.filmstrip import AROUND, INSIDE, Moment, filmstrips

MARK = np.array([255, 176, 32])


def clip_of(tmp_path: Path, frames: int, size: tuple[int, int] = (64, 96)) -> Path:
    """Grey frames, each a little brighter than the one before, at 8 a second."""
    levels = np.linspace(20, 200, frames).astype(np.uint8)
    path = tmp_path / "clip.mp4"
    encode(
        np.broadcast_to(levels[:, None, None, None], (frames, *size, 3)).copy(), 8.0, path, EncoderSettings()
    )
    return path


def cells(strip: bytes, width: int) -> list[NDArray[np.uint8]]:
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(strip, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert picture.shape[1] % width == 0
    return np.split(picture, picture.shape[1] // width, axis=1)


def is_marked(cell: NDArray[np.uint8]) -> bool:
    return bool(np.abs(cell[20:60, 1].astype(int).mean(axis=0) - MARK).max() < 60)


WIDTH = round(96 * 120 / 64) + 8


@pytest.mark.parametrize(
    ("start", "end", "marks"),
    [
        (0.5, 0.875, "..###.."),
        (0.5, 0.625, "..#.."),
        (0.5, 0.5, "..#.."),
        (0.0, 0.25, "##.."),
        (0.125, 2.0, ".###"),
        (1.75, 2.0, "..##"),
        (0.0, 99.0, "###"),
        (0.55, 0.6, "..#.."),
    ],
    ids=["three", "one", "no length", "at the start", "many", "at the end", "all", "between two frames"],
)  # fmt: skip
def test_frames_around_a_moment_are_shown_and_its_own_are_marked(
    tmp_path: Path, start: float, end: float, marks: str
) -> None:
    (strip,) = filmstrips(clip_of(tmp_path, 16), [Moment(start, end)], MediaLimits())
    assert "".join(".#"[is_marked(cell)] for cell in cells(strip, WIDTH)) == marks


def test_the_moment_s_first_and_last_frame_are_always_shown(tmp_path: Path) -> None:
    moment = Moment(0.25, 1.5)
    filmstrips(clip_of(tmp_path, 16), [moment], MediaLimits())
    times = [seconds for seconds, _ in moment.inside]
    assert len(times) == INSIDE
    assert (times[0], times[-1]) == (0.25, 1.375)
    assert len(moment.before) == len(moment.after) == AROUND


def test_a_box_is_drawn_into_the_moment_s_frames_only(tmp_path: Path) -> None:
    box = (24.0, 16.0, 72.0, 48.0)
    path = clip_of(tmp_path, 16)
    plain, boxed = filmstrips(path, [Moment(0.5, 0.75), Moment(0.5, 0.75, box)], MediaLimits())
    for before, after in zip(cells(plain, WIDTH), cells(boxed, WIDTH), strict=True):
        changed = np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 60
        assert changed.any() == is_marked(after)
        if changed.any():
            rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            assert (rows[0] - 4) / 120 == pytest.approx(16 / 64, abs=0.03)
            assert (columns[-1] - 3) / (WIDTH - 8) == pytest.approx(72 / 96, abs=0.03)


@pytest.mark.parametrize("box", [(np.nan, 0.0, 1.0, 1.0), (-50.0, -50.0, 500.0, 500.0)])
def test_a_box_that_cannot_be_drawn_does_no_harm(
    tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    (strip,) = filmstrips(clip_of(tmp_path, 4), [Moment(0.0, 0.25, box)], MediaLimits())
    assert len(cells(strip, WIDTH)) == 4


def test_a_moment_after_the_clip_has_no_strip(tmp_path: Path) -> None:
    assert filmstrips(clip_of(tmp_path, 4), [Moment(9.0, 10.0)], MediaLimits()) == [b""]


def test_an_upright_clip_fills_the_height(tmp_path: Path) -> None:
    (strip,) = filmstrips(clip_of(tmp_path, 3, (128, 72)), [Moment(0.0, 0.1)], MediaLimits())
    assert len(cells(strip, round(72 * 120 / 128) + 8)) == 3


def test_what_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError):
        filmstrips(tmp_path / "clip.mp4", [Moment(0.0, 1.0)], MediaLimits())
