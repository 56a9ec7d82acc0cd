"""Frames that a network sees: rates, strides, several windows a clip; by a network that gives the frames' numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vgaudit.extractors.base import Features
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_networks import LOADERS, LoadedNetwork
from vgaudit.extractors.video_windows import Ticks
from vgaudit.video import ClipInfo, Frames

INFO = ClipInfo("c.mp4", 8, 8, 10.0, 40, 4.0, "h264", "mp4", "yuv420p")


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> LoadedNetwork:
        def batch(window: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(window[:, 0, 0, 0].astype(np.float32))[None]

        return LoadedNetwork(batch, lambda x: x, {})

    from vgaudit.extractors import video_embedding

    monkeypatch.setattr(video_embedding, "LOADERS", dict.fromkeys(LOADERS, load))


def numbered(count: int, times: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    frames = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3))
    return np.ascontiguousarray(frames), np.arange(count) / 10 if times is None else times


def seen(
    count: int, times: np.ndarray | None = None, block: int = 7, random: bool = False, **own: Any
) -> Features:
    protocol = {"name": "mine@x", "base": "fvd@r3d18", "fps": "own", **own}
    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol=protocol, random_window=random))
    extractor.load()
    extraction = extractor.start(INFO)
    frames, at = numbered(count, times)
    for start in range(0, count, block):
        extraction.push(Frames(frames[start : start + block], start, at[start : start + block]))
    return extraction.finish()


def ticks(fps: float | None, times: list[float]) -> list[int]:
    taking = Ticks(fps)
    frame = np.zeros((1, 1, 3), np.uint8)
    return [index for i, at in enumerate(times) for index, _ in taking.take(i, at, frame)]


@pytest.mark.parametrize(
    ("fps", "times", "expected"),
    [
        (None, [0.0, 0.5, 3.0], [0, 1, 2]),
        (10, [i / 10 for i in range(6)], [0, 1, 2, 3, 4, 5]),
        (5, [i / 10 for i in range(6)], [0, 2, 4]),
        (20, [i / 10 for i in range(3)], [0, 0, 1, 1, 2]),  # a tick between two frames is the earlier one's
        (15, [i / 24 for i in range(10)], [0, 2, 3, 5, 6, 8]),  # ticks at 0, 1.6, 3.2, 4.8, 6.4, 8 frames
        (15, [5 + i / 24 for i in range(10)], [0, 2, 3, 5, 6, 8]),  # counted from the first frame
        (2, [0.0, 0.1, 0.2, 0.95, 1.0, 1.6], [0, 2, 4, 5]),  # ticks 0, 0.5, 1, 1.5
        (10, [0.0, 0.31], [0, 0, 1, 1]),
        (30, [i / 30 for i in range(40)], list(range(40))),
        (30, [round(i / 30, 6) for i in range(40)], list(range(40))),
        (30, [round(i / 30, 3) for i in range(32)], list(range(32))),  # Matroska: 31 / 30 s is 1.033
        (15, [round((i + 1) / 15, 3) for i in range(30)], list(range(30))),  # from 0.067, both ends rounded
        (15, [i / 15 for i in range(29)] + [29 / 15 - 0.0015], list(range(29))),  # more than rounding
        (15, [2.0], [0]),
        (15, [], []),
    ],
)
def test_frames_nearest_to_the_ticks(fps: float | None, times: list[float], expected: list[int]) -> None:
    assert ticks(fps, times) == expected


def test_ticks_of_uneven_clips_are_the_nearest_by_search() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 200))
    made = ticks(12, times.tolist())
    at = times[0] + np.arange(len(made)) / 12
    assert at[-1] <= times[-1] < at[-1] + 1 / 12
    apart = np.abs(times - at[:, None])
    # The nearest, or the one before it where that is as near to the 2 ms by which containers may round the two.
    nearest = apart.argmin(axis=1)
    tied = [i > 0 and apart[k, i - 1] <= apart[k, i] + 2e-3 for k, i in enumerate(nearest)]
    assert made == (nearest - np.array(tied)).tolist()
    assert 0 < sum(tied) < len(at) / 5


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("block", [1, 7, 40])
def test_strides(block: int) -> None:
    features = seen(10, block=block, window=4, stride=3)
    assert features["embedding"].tolist() == [[0, 3, 6, 9]]
    assert features["window_start"].tolist() == [0]
    short = seen(9, block=block, window=4, stride=3)
    assert len(short["embedding"]) == 0
    assert short.facts["too_short"] == "9 frames; mine@x needs 10 frames"


@pytest.mark.usefixtures("counting")
def test_rates() -> None:
    features = seen(40, window=4, fps=5)
    assert features["embedding"].tolist() == [[0, 2, 4, 6]]
    short = seen(6, window=4, fps=5)
    assert (
        short.facts["too_short"]
        == "3 frames at 5 frames a second; mine@x needs 4 frames at 5 frames a second"
    )


@pytest.mark.usefixtures("counting")
def test_a_random_window_of_a_rate_says_its_frame_of_the_clip() -> None:
    starts = set()
    for first in range(30):
        frames, at = numbered(40)
        frames[0, 1] = first  # another first frame, another draw
        extractor = VideoEmbeddingExtractor(
            VideoEmbeddingOptions(
                protocol={"name": "mine@x", "base": "fvd@r3d18", "window": 4, "fps": 5}, random_window=True
            )
        )
        extractor.load()
        extraction = extractor.start(INFO)
        extraction.push(Frames(frames, 0, at))
        features = extraction.finish()
        begin = int(features["window_start"][1])
        assert features["embedding"][1].tolist() == [begin, begin + 2, begin + 4, begin + 6]
        starts.add(begin)
    assert starts <= set(range(0, 33, 2))
    assert len(starts) > 8


@pytest.mark.usefixtures("counting")
def test_several_windows_follow_one_another_and_are_averaged() -> None:
    features = seen(12, window=4, clips_per_video=3)
    assert features["embedding"].tolist() == [[4, 5, 6, 7]]  # mean of 0.., 4.., 8..
    assert features["window_start"].tolist() == [0]
    short = seen(11, window=4, clips_per_video=3)
    assert len(short["embedding"]) == 0  # two windows would be another number
    assert short.facts["too_short"] == "11 frames; mine@x needs 12 frames"
    strided = seen(14, window=2, stride=3, clips_per_video=3)
    assert strided["embedding"].tolist() == [[4, 7]]  # 0 3, 4 7, 8 11


@pytest.mark.usefixtures("counting")
def test_what_a_published_protocol_takes_of_a_clip() -> None:
    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@r3d18"))
    extractor.load()
    extraction = extractor.start(INFO)
    frames, _ = numbered(60)
    extraction.push(Frames(frames, 0, np.arange(60) / 30))
    assert extraction.finish()["embedding"].tolist() == [[float(i) for i in range(0, 32, 2)]]


@pytest.mark.parametrize(("rate", "fps"), [(30, 20), (60, 24), (30, 12), (24, 16)])
def test_of_two_equally_near_frames_the_earlier_is_seen_however_time_stamps_are_rounded(
    rate: int, fps: int
) -> None:
    """Against exact fractions; Matroska rounds to milliseconds."""
    from fractions import Fraction

    exact = []
    for tick in range(40 * fps // rate):
        at = Fraction(tick, fps)
        exact.append(min(range(41), key=lambda i: (abs(Fraction(i, rate) - at), i)))
    for digits in (9, 3):
        times = [round(i / rate, digits) for i in range(41)]
        assert ticks(fps, times)[: len(exact)] == exact
