"""How fast a clip moves and whether its prompt asked for that: rhythm, freezes, noise, and slow motion."""

from __future__ import annotations

import io
import itertools
from functools import cache

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.motion_asked import DYNAMIC_SPEED, STILL_SPEED, Pace, pace
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.plan import Sample
from vgaudit.records import Finding, Severity
from vgaudit.video import ClipInfo, Frames

METRIC = Temporal(TemporalOptions(), MetricContext())
FAST, MIDDLE, SLOW = 1.5 * DYNAMIC_SPEED, 2 * STILL_SPEED, STILL_SPEED / 2


def paced(pictures: list[tuple[int, float]], fps: float) -> Pace:
    """Of pictures shown for so many frames, each with the motion from it to the next one, in short sides."""
    repeat = [flag for count, _ in pictures for flag in (*[True] * (count - 1), False)][:-1]
    top5 = [m for count, motion in pictures for m in (*[0.001] * (count - 1), motion)][:-1]
    nothing = np.full(len(repeat), -1)
    return pace(
        {
            "pts_s": np.arange(len(repeat) + 1) / fps,
            "motion_top5": np.array(top5),
            "quality_repeat": np.array(repeat, dtype=bool),
            "far_motion": np.zeros(len(repeat)),
            "far_first": nothing,
            "far_last": nothing,
        },
        np.where(repeat, 0.2, 9.0),
    )


def of_speeds(speeds: list[float], frames: int, fps: float) -> Pace:
    """Of pictures that are each shown for ``frames`` and move at these speeds, short sides a second."""
    return paced([(frames, speed * frames / fps) for speed in [*speeds, 0.0]], fps)


SPEEDS = [FAST] * 5 + [MIDDLE] * 6 + [SLOW] * 9


@pytest.mark.parametrize("fps", [6, 8, 10, 12, 24, 30])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_pictures_shown_more_often_at_a_higher_rate_move_as_fast(frames: int, fps: float) -> None:
    found = of_speeds(SPEEDS, frames, frames * fps)
    assert found.dynamic_degree == pytest.approx(5 / 20, abs=1e-12)
    assert found.still_share == pytest.approx(9 / 20, abs=1e-12)


@pytest.mark.parametrize(("factor", "degree"), [(1.1, 0.0), (2.1, 1.0)])
def test_pictures_shown_twice_at_the_same_rate_are_half_as_fast(factor: float, degree: float) -> None:
    motion = factor * DYNAMIC_SPEED / 24
    assert paced([(1, motion)] * 20, 24).dynamic_degree == 1.0
    assert paced([(2, motion)] * 20, 24).dynamic_degree == degree


@pytest.mark.parametrize("cadence", [(1, 1, 1, 2), (3, 2), (2, 3), (4, 4, 4, 3)])
def test_a_converted_frame_rate_leaves_gaps_in_no_motion(cadence: tuple[int, ...]) -> None:
    """24 frames a second shown at 30, 12 or 24 at 30 or 60, 8 at 30: pictures move at 0.62 to 1.25 of their speed."""
    shown = list(cadence) * 6
    rate = len(cadence) / sum(cadence) * 30  # pictures a second, at 30 frames a second
    for speed, degree, still in (
        (1.7 * DYNAMIC_SPEED, 1, 0),
        (0.75 * DYNAMIC_SPEED, 0, 0),
        (0.75 * STILL_SPEED, 0, 1),
    ):
        found = paced([(count, speed / rate) for count in shown], 30)
        assert (found.dynamic_degree, found.still_share) == (degree, still)


def test_a_freeze_stands_still_for_its_whole_length() -> None:
    """A second, in a clip that moves: not slow motion for a second, however far the picture after it is."""
    moving = FAST / 24
    for jump in (moving, 24 * moving):
        found = paced([*[(1, moving)] * 24, (24, jump), *[(1, moving)] * 24], 24)
        assert found.dynamic_degree == pytest.approx(48 / 72 - 1 / 72, abs=0.02)
        assert found.still_share == pytest.approx(24 / 71)
    two = paced([*[(2, 2 * moving)] * 12, (24, moving), *[(2, 2 * moving)] * 12], 24)  # animated on twos
    assert two.dynamic_degree == pytest.approx(46 / 70)


def test_the_last_picture_counts_only_if_it_is_frozen() -> None:
    moving = FAST / 24
    assert paced([*[(2, 2 * moving)] * 12, (2, 0.0)], 24).dynamic_degree == 1.0
    assert paced([*[(2, 2 * moving)] * 12, (4, 0.0)], 24).dynamic_degree == 1.0
    assert paced([*[(2, 2 * moving)] * 12, (25, 0.0)], 24).dynamic_degree == pytest.approx(0.5)


@pytest.mark.parametrize("fps", [8, 24, 30])
def test_a_slide_show_stands_still(fps: int) -> None:
    found = paced([(fps, 0.3)] * 5, fps)
    assert (found.dynamic_degree, found.still_share) == (0, 1)


@pytest.mark.parametrize("frames", [2, 3, 4, 30])
def test_one_picture_stands_still(frames: int) -> None:
    found = paced([(frames, 0.3)], 30)
    assert (found.dynamic_degree, found.still_share) == (0, 1)


def stretched(far: float, pictures: list[tuple[int, float]]) -> Pace:
    """At 24 frames a second, with a flow from the first to the last picture."""
    repeat = [flag for count, _ in pictures for flag in (*[True] * (count - 1), False)][:-1]
    n, last = len(repeat), len(repeat) + 1 - pictures[-1][0]
    top5 = [m for count, motion in pictures for m in (*[0.0] * (count - 1), motion)][:-1]
    ends = np.where(np.arange(n) < last, last, -1)
    return pace(
        {
            "pts_s": np.arange(n + 1) / 24,
            "motion_top5": np.array(top5),
            "quality_repeat": np.array(repeat, dtype=bool),
            "far_motion": np.full(n, far),
            "far_first": np.where(ends < 0, -1, 0),
            "far_last": ends,
        },
        np.where(repeat, 0.0, 0.2),  # too little for a tolerance of the clip's own
    )


def test_flow_over_a_longer_time_says_whether_anything_is_seen_to_move() -> None:
    noise = 3 * STILL_SPEED / 24
    assert stretched(0.9 * STILL_SPEED * 6 / 24, [(1, noise)] * 7).still_share == 1
    assert stretched(1.1 * STILL_SPEED * 6 / 24, [(1, noise)] * 7).still_share == 0
    # What is frozen takes no part: motion before and after a second's freeze is not spread over that second.
    frozen = [(1, noise)] * 3 + [(24, noise)] + [(1, noise)] * 4
    assert stretched(1.1 * STILL_SPEED * 6 / 24, frozen).still_share == pytest.approx(24 / 30)
    assert stretched(0.9 * STILL_SPEED * 6 / 24, frozen).still_share == 1
    # As little as noise moves in an eighth of a second is none, however little of the stretch is not frozen.
    assert stretched(0.9 * STILL_SPEED / 8, [(24, noise), (1, noise), (1, noise)]).still_share == 1
    assert stretched(1.1 * STILL_SPEED / 8, [(24, noise), (1, noise), (1, noise)]).still_share == 24 / 25


# -- pictures through the whole metric -----------------------------------------------------------------------------


@cache
def ground() -> NDArray[np.float32]:
    """A wide picture with texture everywhere, float32 ``(96, 400, 3)``."""
    noise = np.random.default_rng(0).normal(size=(96, 400, 3)).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 6.0))
    return np.clip(128 + 120 * (fine + coarse), 10, 245)


def pan(speed: float, fps: float, seconds: float = 2.0, sigma: float = 0.0) -> NDArray[np.uint8]:
    """A camera that moves by ``speed`` short sides a second, with Gaussian noise of its own in each frame."""
    rng = np.random.default_rng(1)
    frames = []
    for t in range(round(seconds * fps) + 1):
        shift = np.array([[1, 0, -speed * 96 * t / fps], [0, 1, 0]], np.float32)
        picture = cv2.warpAffine(ground(), shift, (128, 96), flags=cv2.INTER_CUBIC)
        frames.append(picture + rng.normal(0, sigma, picture.shape) if sigma else picture)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def measure(frames: NDArray[np.uint8], fps: float, asked: str) -> tuple[float, tuple[Finding, ...]]:
    """Dynamic degree, and what is found that was not asked for."""
    info = ClipInfo("clip", 128, 96, fps, len(frames), len(frames) / fps, "raw", "array", "rgb24")
    block = Frames(frames, 0, np.arange(len(frames)) / fps)
    motion, pixels = MotionExtractor(MotionOptions()).start(info), PixelsExtractor().start(info)
    motion.push(block)
    pixels.push(block)
    sample = Sample("s", "p", "a dog", "g", tags={"motion": asked})
    clip = ClipView(sample, info, "", {"motion": motion.finish(), "pixels": pixels.finish()})
    m = METRIC.measure(clip)
    return m.values["dynamic_degree"], tuple(f for f in m.findings if f.kind.startswith("temporal.too_"))


def stored(frames: NDArray[np.uint8], fps: int, crf: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = {"crf": str(crf), "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.mark.parametrize("asked", ["high", "low", "static"])
@pytest.mark.parametrize("speed", [0.5, 0.06, 0.01])
def test_a_clip_on_twos_and_threes_says_what_the_clip_itself_says(speed: float, asked: str) -> None:
    frames = pan(speed, 10)
    degree, findings = measure(frames, 10, asked)
    kind = {"static": "temporal.too_lively"}.get(asked, "temporal.too_still")
    expected = speed == (0.5 if asked == "static" else 0.01)
    assert [f.kind for f in findings] == [kind] * expected
    for shown in (2, 3):
        again, same = measure(np.repeat(frames, shown, axis=0), 10 * shown, asked)
        assert again == pytest.approx(degree, abs=1e-9)
        assert [(f.kind, f.severity) for f in same] == [(f.kind, f.severity) for f in findings]
        assert [f.score for f in same] == pytest.approx([f.score for f in findings], abs=1e-9)


def test_the_same_rate_makes_a_clip_on_twos_half_as_fast() -> None:
    frames = pan(0.28, 24, seconds=1)
    assert measure(frames, 24, "low")[0] == 1.0
    assert measure(np.repeat(frames, 2, axis=0), 24, "low") == (0.0, ())
    crawling = pan(0.02, 24, seconds=1)
    assert measure(crawling, 24, "high") == (0.0, ())
    assert [f.kind for f in measure(np.repeat(crawling, 2, axis=0), 24, "high")[1]] == ["temporal.too_still"]


@pytest.mark.parametrize("crf", [10, 23, 28])
@pytest.mark.parametrize("shown", [2, 3])
def test_compression_hides_no_rhythm(shown: int, crf: int) -> None:
    frames = stored(np.repeat(pan(0.4, 12), shown, axis=0), 12 * shown, crf)
    degree, findings = measure(frames, 12 * shown, "high")
    assert degree > 0.9
    assert findings == ()


@pytest.mark.parametrize("shown", [2, 3])
def test_repeats_that_differ_by_traces_hide_no_rhythm(shown: int) -> None:
    held = np.repeat(pan(0.4, 12), shown, axis=0).astype(np.float32)
    frames = np.rint(held + np.random.default_rng(0).normal(0, 0.35, held.shape)).astype(np.uint8)
    differences = [float(np.abs(a.astype(np.int16) - b).mean()) for a, b in itertools.pairwise(frames)]
    assert 0.1 < min(differences) < 0.5
    degree, findings = measure(frames, 12 * shown, "high")
    assert degree > 0.9
    assert findings == ()


def test_24_frames_a_second_shown_at_30() -> None:
    for speed, degree in ((0.5, 1.0), (0.07, 0.0)):
        frames = pan(speed, 24)
        converted = frames[np.arange(len(frames) * 30 // 24) * 24 // 30]
        assert (converted[1:] == converted[:-1]).all(axis=(1, 2, 3)).sum() > 10
        assert measure(converted, 30, "low") == measure(frames, 24, "low") == (degree, ())


def test_a_freeze_in_a_fast_clip_is_still_time() -> None:
    moving = pan(0.6, 24, seconds=1)
    frames = np.concatenate([moving[:13], np.repeat(moving[12:13], 23, axis=0), moving[13:]])  # 1 s of 2
    degree, _ = measure(frames, 24, "high")
    assert degree == pytest.approx(0.5, abs=0.03)
    frames = np.concatenate([moving, np.repeat(moving[-1:], 48, axis=0)])  # stops for good
    degree, (found,) = measure(frames, 24, "high")
    assert degree == pytest.approx(1 / 3, abs=0.03)
    assert (found.kind, found.severity) == ("temporal.too_still", Severity.MAJOR)
    assert found.score == pytest.approx(2 / 3, abs=0.03)


def test_a_slide_show_is_too_still() -> None:
    rng = np.random.default_rng(0)
    slides = rng.integers(0, 256, (5, 12, 16, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    for fps in (8, 24):
        degree, (found,) = measure(np.repeat(slides, fps, axis=0), fps, "low")
        assert (degree, found.kind, found.score) == (0.0, "temporal.too_still", 1.0)


@pytest.mark.parametrize("fps", [8, 24, 30, 60])
@pytest.mark.parametrize("sigma", [0, 1, 2])
def test_noise_at_any_frame_rate_is_no_motion_and_slow_motion_is(fps: int, sigma: float) -> None:
    still = measure(pan(0.0, fps, seconds=1, sigma=sigma), fps, "low")
    assert [f.kind for f in still[1]] == ["temporal.too_still"]
    assert measure(pan(0.03, fps, seconds=1, sigma=sigma), fps, "high")[1] == ()


@pytest.mark.parametrize("fps", [8, 24, 30, 60])
def test_a_thing_that_crosses_slowly_in_noise_is_seen(fps: int) -> None:
    """A patch of a sixth of the picture that moves by 4 % of the short side a second; no camera, median flow 0."""
    rng = np.random.default_rng(2)
    back, front = pan(0.0, 1, seconds=1)[0].astype(np.float32), ground()[20:60, 200:250]
    frames = []
    for t in range(fps + 1):
        shift = np.array([[1, 0, 30 + 0.04 * 96 * t / fps], [0, 1, 25]], np.float32)
        mask = cv2.warpAffine(np.ones(front.shape, np.float32), shift, (128, 96))
        picture = back * (1 - mask) + cv2.warpAffine(front, shift, (128, 96)) * mask
        frames.append(picture + rng.normal(0, 1, picture.shape))
    moving = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    assert measure(moving, fps, "high")[1] == ()
