"""Which frames are examined: often enough, the ends always, more where it is asked, whatever the blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.extractors.frame_choice import EVERY, EVERY_S, MIN_FRAMES, FrameChooser, HeldFrame

Answer = Callable[[int, int], tuple[bool, bool]]


def never(before: int, after: int) -> tuple[bool, bool]:
    return False, False


def chosen(
    n: int, pts: np.ndarray, stride: int | str, block: int, between: Answer = never, batch: int = 1
) -> list[int]:
    seen: list[int] = []

    def examine(frames: Sequence[HeldFrame]) -> None:
        assert 0 < len(frames) <= batch
        for frame in frames:
            assert frame.rgb[0, 0, 0] == frame.index % 256, (
                "another frame's pixels, or memory that was reused"
            )
            assert frame.pts_s == pts[frame.index]
            assert frame.shot == frame.index // 50
            seen.append(frame.index)

    chooser = FrameChooser(stride, examine, between, batch)  # type: ignore[arg-type]
    for start in range(0, n, block):
        part = np.zeros((min(block, n - start), 1, 1, 3), np.uint8)
        part[:, 0, 0, 0] = np.arange(start, start + len(part)) % 256
        for offset, rgb in enumerate(part):
            index = start + offset
            chooser.push(index, float(pts[index]), rgb, index // 50)
        chooser.end_block()
        part[:] = 77
    chooser.finish()
    assert len(set(seen)) == len(seen)
    return seen


@given(
    n=st.integers(1, 260), fps=st.sampled_from([1, 4, 7.99, 9, 10, 16, 24, 29.97, 60, 64, 120, 240]),
    block=st.integers(1, 40), batch=st.sampled_from([1, 3, 8]),
)  # fmt: skip
def test_auto_leaves_out_two_frames_at_most(n: int, fps: float, block: int, batch: int) -> None:
    pts = np.arange(n) / fps
    seen = sorted(chosen(n, pts, "auto", block, batch=batch))
    assert seen[0] == 0
    assert seen[-1] == n - 1
    assert len(seen) >= min(MIN_FRAMES, n)
    assert max(np.diff(seen), default=0) <= EVERY
    assert (np.diff(pts[seen]) < EVERY_S + 1 / fps + 1e-9).all()
    assert seen == sorted(chosen(n, pts, "auto", 1000)), "the blocks or the batch changed the choice"


def test_no_more_frames_than_every_third_are_examined_where_nothing_happens() -> None:
    for fps in (10.0, 24.0, 30.0, 60.0):
        assert chosen(16, np.arange(16) / fps, "auto", 16) == [0, 3, 6, 9, 12, 15]
    assert len(chosen(33, np.arange(33) / 10, "auto", 16)) == 12


@given(pts=st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_any_time_stamps_leave_no_long_gap(pts: list[float]) -> None:
    seen = sorted(chosen(len(pts), np.array(pts), "auto", 16))
    assert seen[0] == 0
    assert seen[-1] == len(pts) - 1
    assert max(np.diff(seen), default=0) <= EVERY


@given(n=st.integers(1, 100), stride=st.integers(1, 30))
def test_a_number_is_a_plain_stride_and_the_last_frame(n: int, stride: int) -> None:
    def asked(before: int, after: int) -> tuple[bool, bool]:
        raise AssertionError("nothing is to be decided")

    assert set(chosen(n, np.arange(n) / 10, stride, 7, asked)) == set(range(0, n, stride)) | {n - 1}


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 4, 40])
def test_frames_left_out_are_examined_where_it_is_asked(block: int, batch: int) -> None:
    asked: list[tuple[int, int]] = []

    def between(before: int, after: int) -> tuple[bool, bool]:
        asked.append((before, after))
        return after == 12, after == 21

    seen = chosen(30, np.arange(30) / 10, "auto", block, between, batch)
    grid = [*range(0, 30, 3), 29]
    assert sorted(seen) == sorted([*grid, 10, 11, 16, 17])
    assert asked == [*pairwise(grid), (29, 29)]


def test_frames_before_the_end_are_examined_where_it_is_asked() -> None:
    at_the_end = chosen(13, np.arange(13) / 10, "auto", 4, lambda a, b: (False, a == b))
    assert sorted(at_the_end) == [0, 3, 6, 9, 10, 11, 12]


@given(n=st.integers(1, 60), block=st.integers(1, 20), batch=st.sampled_from([1, 4]))
def test_all_frames_are_at_hand(n: int, block: int, batch: int) -> None:
    for answer in ((True, False), (False, True)):
        seen = chosen(n, np.arange(n) / 30, "auto", block, lambda *_, a=answer: a, batch)
        assert sorted(seen) == list(range(n))


def test_a_short_clip_is_filled_up() -> None:
    assert [sorted(chosen(n, np.arange(n) / 10, "auto", 8)) for n in (0, 1, 3, 4, 5, 7)] == [
        [], [0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 3, 4], [0, 1, 3, 6],
    ]  # fmt: skip
