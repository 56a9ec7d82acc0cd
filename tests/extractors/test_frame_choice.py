"""Which frames are examined: often enough, the ends always, whatever the blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.extractors.frame_choice import EVERY_S, MAX_GAP, MIN_FRAMES, FrameChooser


def chosen(n: int, pts: np.ndarray, stride: int | str, block: int) -> list[int]:
    seen: list[int] = []

    def examine(index: int, pts_s: float, rgb: np.ndarray) -> None:
        assert rgb[0, 0, 0] == index % 256, "the pixels of another frame, or of memory that was reused"
        assert pts_s == pts[index]
        seen.append(index)

    chooser = FrameChooser(stride, examine)  # type: ignore[arg-type]
    for start in range(0, n, block):
        part = np.zeros((min(block, n - start), 1, 1, 3), np.uint8)
        part[:, 0, 0, 0] = np.arange(start, start + len(part)) % 256
        for offset, rgb in enumerate(part):
            chooser.push(start + offset, float(pts[start + offset]), rgb)
        chooser.end_block()
        part[:] = 77
    chooser.finish()
    return seen


@given(
    n=st.integers(1, 260), fps=st.sampled_from([1, 4, 7.99, 10, 16, 24, 29.97, 60, 64, 120, 240]),
    block=st.integers(1, 40),
)  # fmt: skip
def test_auto_examines_both_ends_eight_frames_and_four_a_second(n: int, fps: float, block: int) -> None:
    pts = np.arange(n) / fps
    seen = chosen(n, pts, "auto", block)
    order = sorted(seen)
    assert len(set(seen)) == len(seen)
    assert order[0] == 0
    assert order[-1] == n - 1
    assert len(order) >= min(MIN_FRAMES, n)
    gaps = np.diff(pts[order])
    assert (gaps < EVERY_S + 1 / fps + 1e-9).all()
    assert order == sorted(chosen(n, pts, "auto", 1000)), "the blocks changed the choice"


@given(pts=st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_any_time_stamps_leave_no_long_gap(pts: list[float]) -> None:
    times = np.array(pts)
    seen = sorted(chosen(len(pts), times, "auto", 16))
    assert seen[0] == 0
    assert seen[-1] == len(pts) - 1
    assert len(seen) >= min(MIN_FRAMES, len(pts))
    assert max(np.diff(seen), default=0) <= MAX_GAP


def test_time_stamps_that_stand_still_do_not_hide_frames() -> None:
    seen = sorted(chosen(300, np.zeros(300), "auto", 16))
    assert max(np.diff(seen)) <= MAX_GAP


@given(n=st.integers(1, 100), stride=st.integers(1, 30))
def test_a_number_is_a_plain_stride_and_the_last_frame(n: int, stride: int) -> None:
    expected = set(range(0, n, stride)) | {n - 1}
    if len(expected) >= MIN_FRAMES or stride == 1:
        assert set(chosen(n, np.arange(n) / 10, stride, 7)) == expected


def test_a_short_clip_is_examined_evenly() -> None:
    seen = sorted(chosen(30, np.arange(30) / 24, "auto", 8))
    assert max(np.diff(seen)) <= 6


def test_no_frames() -> None:
    assert chosen(0, np.zeros(0), "auto", 4) == []
