"""The temporal metric: its formulas, freezes against stillness and rhythm, and what it cannot measure."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, Measured, Metric, MetricContext, SummaryContext
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.pipeline.prepare import prepare
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Severity
from vgaudit.suite import load_suite_text
from vgaudit.testing import check_metric
from vgaudit.video import ClipInfo, Frames

METRIC = Temporal(TemporalOptions(), MetricContext())


def view(
    motion: dict[str, NDArray[np.generic]],
    mae: NDArray[np.float64],
    facts: dict[str, object],
    asked: str = "",
    prompt: str = "a dog",
) -> ClipView:
    sample = Sample("clip-0-0", "prompt", prompt, "group", tags={"motion": asked} if asked else {})
    info = ClipInfo("clip", 96, 64, 10.0, 1, 1.0, "raw", "array", "rgb24")
    size = {"height": 64, "width": 96}
    features = {
        "motion": Features(quiet("motion", len(mae)) | motion, size | facts),
        "pixels": Features(quiet("pixels", len(mae)) | {"mae_next": mae, "pts_s": motion["pts_s"]}),
    }
    return ClipView(sample, info, "0" * 64, features)


@cache
def drawn(frames: int) -> tuple[Features, Features]:
    """Features of a picture that pans, as the extractors give them."""
    wide = np.random.default_rng(0).integers(0, 256, (64, 96 + 2 * frames, 3), dtype=np.uint8)
    wide = cv2.GaussianBlur(wide, (0, 0), 2)
    block = Frames(np.stack([wide[:, 2 * t : 2 * t + 96] for t in range(frames)]), 0, np.arange(frames) / 10)
    info = ClipInfo("clip", 96, 64, 10.0, frames, frames / 10, "raw", "array", "rgb24")
    motion, pixels = MotionExtractor(MotionOptions()).start(info), PixelsExtractor().start(info)
    motion.push(block)
    pixels.push(block)
    return motion.finish(), pixels.finish()


def quiet(name: str, pairs: int) -> dict[str, NDArray[np.generic]]:
    """Arrays of an extractor for a clip of so many pairs in which nothing is wrong."""
    motion, pixels = drawn(pairs + 1)
    return dict((motion if name == "motion" else pixels).arrays)


def measure(
    mae: list[float],
    *,
    error: list[float] | None = None,
    top5: list[float] | None = None,
    valid: list[bool] | None = None,
    pts: list[float] | None = None,
    too_small: bool = False,
    asked: str = "",
    prompt: str = "a dog",
) -> Measurement:
    n = len(mae)
    arrays: dict[str, NDArray[np.generic]] = {
        "warp_error": np.array(error if error is not None else [0.02] * n),
        "motion_top5": np.array(top5 if top5 is not None else [0.01] * n),
        "valid": np.array(valid if valid is not None else [True] * n, dtype=bool),
        "pts_s": np.array(pts if pts is not None else [t / 10 for t in range(n + 1)]),
    }
    return METRIC.measure(view(arrays, np.array(mae), {"too_small": too_small}, asked, prompt))


def test_it_keeps_the_promises_of_a_metric() -> None:
    assert isinstance(METRIC, Metric)
    check_metric(Temporal)


def test_values_follow_their_formulas() -> None:
    m = measure([5.0, 6.0, 7.0], error=[0.01, 0.5, 0.03], top5=[0.1, 0.2, 0.3], valid=[True, False, True])
    assert m.values["warp_error"] == pytest.approx(0.02)
    assert m.values["motion"] == pytest.approx(0.6 / 0.3)
    assert m.values["freeze_fraction"] == 0
    assert m.facts["pairs_without_warp_error"] == 1
    assert m.series["warp_error"].values == (0.01, None, 0.03)
    assert m.series["warp_error"].times_s == pytest.approx((0.1, 0.2, 0.3))
    assert m.series["motion"].values == pytest.approx((1.0, 2.0, 3.0))
    assert m.series["frame_difference"].values == (5.0, 6.0, 7.0)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    slow = measure([5.0] * 4, top5=[0.2] * 4, pts=[0, 0.2, 0.4, 0.6, 0.8])
    fast = measure([5.0] * 8, top5=[0.1] * 8, pts=[t / 10 for t in range(9)])
    uneven = measure([5.0] * 4, top5=[0.1, 0.3, 0.3, 0.1], pts=[0, 0.1, 0.4, 0.7, 0.8])
    assert slow.values["motion"] == pytest.approx(fast.values["motion"])
    assert slow.values["motion"] == pytest.approx(uneven.values["motion"])


@pytest.mark.parametrize(("fps", "top5"), [(8, 6 / 256), (16, 3 / 256), (30, 6 * 8 / 30 / 256)])
def test_the_dynamic_degree_is_a_share_of_time_at_any_frame_rate(fps: float, top5: float) -> None:
    """VBench's 6 pixels of 256 a frame, at the 8 frames a second that it looks at."""
    n = 20
    pts = [t / fps for t in range(n + 1)]
    speeds = [1.01 * top5] * 5 + [0.99 * top5] * 15
    assert measure([5.0] * n, top5=speeds, pts=pts).values["dynamic_degree"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("asked", "speed", "kind"),
    [
        ("high", 0.01, "temporal.too_still"),
        ("high", 0.1, ""),
        ("low", 0.01, "temporal.too_still"),
        ("low", 0.1, ""),
        ("low", 0.9, ""),
        ("static", 0.01, ""),
        ("static", 0.3, "temporal.too_lively"),
        ("", 0.0, ""),
    ],
)
def test_motion_that_is_not_what_the_prompt_asks_for_is_a_finding(
    asked: str, speed: float, kind: str
) -> None:
    m = measure([5.0] * 20, top5=[speed / 10] * 20, asked=asked)
    found = [f for f in m.findings if f.kind in ("temporal.too_still", "temporal.too_lively")]
    assert [f.kind for f in found] == ([kind] if kind else [])
    if found:
        assert (found[0].start_s, found[0].end_s) == (0, pytest.approx(2.1))
        assert found[0].score > found[0].threshold
        assert "prompt asks" in found[0].message
    assert measure([5.0] * 20, top5=[speed / 10] * 20, asked=asked, prompt="").findings == ()


# -- what cannot be measured -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1])
def test_clips_without_a_pair_say_so(count: int) -> None:
    empty = np.zeros(0)
    arrays = {
        "warp_error": empty,
        "motion_top5": empty,
        "valid": empty.astype(bool),
        "pts_s": np.zeros(count),
    }
    m = METRIC.measure(view(arrays, empty, {}))
    assert m.values == {}
    assert set(m.missing) == {spec.name for spec in METRIC.values}
    assert f"{count} frame" in m.missing["motion"] == m.unassessed
    assert not m.missing["motion"].startswith("not applicable")


@pytest.mark.parametrize(
    "pts", [[0, 0.1, 0.1, 0.2], [0, 0.2, 0.1, 0.3], [0, 0, 0, 0], [0, float("nan"), 0.2, 0.3]]
)
def test_time_stamps_that_do_not_increase_measure_nothing(pts: list[float]) -> None:
    m = measure([5.0] * 3, pts=pts)
    assert set(m.missing) == {spec.name for spec in METRIC.values}
    assert "time stamps" in m.unassessed


def test_nothing_visible_in_two_frames_is_a_gap_and_not_a_zero() -> None:
    m = measure([5.0] * 3, error=[0.0] * 3, valid=[False] * 3)
    assert "no pixel" in m.missing["warp_error"]
    assert "motion" in m.values


def test_too_small_pictures_have_freezes_only() -> None:
    m = measure([5.0] * 3, error=[0.0] * 3, valid=[False] * 3, too_small=True)
    assert set(m.missing) == {"warp_error", "motion", "dynamic_degree", "quality"}
    assert m.series["warp_error"].values == (None, None, None)


@pytest.mark.parametrize(("frames", "assessed"), [(1, False), (2, False), (3, False), (9, False), (10, True)])
def test_the_shortest_clips_pass_no_gate_on_findings(frames: int, assessed: bool) -> None:
    m = measure([5.0] * (frames - 1))
    assert bool(m.unassessed) is (frames < 4)
    assert (
        bool(m.unassessed) or {"temporal.ghosting", "temporal.warping"} <= set(m.unassessed_kinds)
    ) is not assessed


@pytest.mark.parametrize(
    ("extractor", "name"),
    [
        ("pixels", "noise"), ("pixels", "luma_mean"), ("pixels", "sharpness"), ("motion", "shift"),
        ("motion", "residual"), ("motion", "quality_flicker"), ("motion", "quality_around"),
    ],
)  # fmt: skip
def test_a_statistic_that_is_no_number_passes_no_gate_on_findings(extractor: str, name: str) -> None:
    """Nothing is larger than NaN: a detector would find nothing, and a gate would pass."""
    motion, pixels = quiet("motion", 12), quiet("pixels", 12)
    arrays = motion if extractor == "motion" else pixels
    arrays[name] = arrays[name].astype(np.float64)
    arrays[name].reshape(-1)[7] = np.nan
    clip = view(motion, np.full(12, 5.0), {})
    features = {**clip.features, "pixels": Features(pixels)}
    m = METRIC.measure(replace(clip, features=features))
    assert name in m.unassessed
    assert "finite" in m.unassessed


def test_nan_never_becomes_a_number() -> None:
    nan = float("nan")
    m = measure([5.0, nan, 5.0], error=[nan, 0.1, 0.1], top5=[nan, 0.1, 0.1])
    assert m.values == {}
    assert all("not a finite number" in reason for reason in m.missing.values())


def test_features_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one value for each of 3 pairs"):
        measure([5.0] * 2, error=[0.1] * 2, pts=[0, 0.1, 0.2, 0.3])


# -- freezes ---------------------------------------------------------------------------------------


def freezes(mae: list[float], fps: float = 10.0) -> list[tuple[int, int]] | None:
    report = find_freezes(np.array(mae, dtype=float), np.arange(len(mae) + 1) / fps)
    return None if report is None else [(f.first, f.last) for f in report.freezes]


def test_a_stop_in_a_moving_clip_is_found_where_it_is() -> None:
    m = measure(PAUSE)
    (found,) = m.findings
    assert (found.start_s, found.end_s) == (pytest.approx(0.4), pytest.approx(1.0))
    assert found.kind == "temporal.freeze"
    assert found.severity == Severity.MAJOR
    assert found.score == pytest.approx(0.6)
    assert found.threshold == pytest.approx(0.3)
    assert found.detail["first_frame"] == 4
    assert found.detail["last_frame"] == 9
    assert "0.60 s (6 equal frames)" in found.message
    assert m.values["freeze_fraction"] == pytest.approx(5 / 12)


PAUSE = [5.0] * 4 + [0.3, 0.0, 0.01, 0.0, 0.0] + [5.0] * 3


def test_who_was_asked_to_stand_still_may_pause() -> None:
    m = measure(PAUSE, asked="static")
    assert m.findings == ()
    why = "not applicable: the prompt asks for a still shot"
    assert m.missing == {"freeze_fraction": why, "quality": why}
    assert m.values == {k: v for k, v in measure(PAUSE).values.items() if k != "freeze_fraction"}
    broken = measure([5.0, float("nan"), 5.0], asked="static")
    assert "not a finite number" in broken.missing["freeze_fraction"]


@pytest.mark.parametrize(("asked", "prompt"), [("low", "a dog"), ("high", "a dog"), ("static", "")])
def test_a_pause_that_no_prompt_asked_for_is_a_freeze(asked: str, prompt: str) -> None:
    found = measure(PAUSE, asked=asked, prompt=prompt, top5=[0.05] * len(PAUSE)).findings
    assert [f.kind for f in found if f.kind != "temporal.too_lively"] == ["temporal.freeze"]


def test_motion_static_in_a_suite_reaches_the_sample(tmp_path: Path) -> None:
    prompts = "prompts: [{text: a man standing still by the lake, motion: static}]"
    text = f"name: still\nbackend: {{type: storyworld}}\nseeds: [0]\n{prompts}\n"
    (sample,) = prepare(load_suite_text(text, base_dir=tmp_path)).plan
    assert sample.tags["motion"] == "static"


def test_a_clip_that_ends_frozen_is_frozen_to_its_end() -> None:
    m = measure([5.0] * 6 + [0.0] * 3)
    assert m.findings[0].end_s == pytest.approx(1.0)
    assert m.findings[0].severity == Severity.MINOR


def test_a_single_repeated_frame_is_no_freeze() -> None:
    assert freezes([5, 5, 0, 5, 5, 5]) == []
    assert freezes([5, 5, 0, 0, 5, 5]) == [(2, 4)]


@pytest.mark.parametrize(
    "still",
    [
        [0.0] * 20,  # one picture
        [0.3, 0.0, 0.0, 1.2] * 5,  # one picture, compressed: key frames pulse
        [0.0] * 10 + [40.0] + [0.0] * 10,  # one cut between two still pictures
        ([0.0] * 11 + [1.9]) * 10,  # key frames at CRF 23 ...
        ([0.0] * 11 + [7.5]) * 10,  # ... and 42
        [1.0, 1.7] + ([0.0] * 10 + [1.97, 2.06]) * 8,  # of MPEG-4, which take two pairs
        [3.1] + ([0.0] * 7 + [3.2]) * 5,  # a key frame a second, at 8 frames a second
    ],
)
def test_a_still_clip_neither_wins_nor_loses(still: list[float]) -> None:
    assert freezes(still) is None
    m = measure(still)
    assert "freeze_fraction" not in m.values
    assert m.missing["freeze_fraction"].startswith("not applicable:")
    assert m.findings == ()


@pytest.mark.parametrize("pulse", [0.0, 2.0, 7.5])
@pytest.mark.parametrize("moving", [3, 4, 6, 9, 10])  # 3, 3.3, 5, 8 and 8.3 % of the pairs
def test_a_clip_that_stops_almost_at_once_is_frozen(moving: int, pulse: float) -> None:
    tail = ([0.0] * 11 + [pulse]) * 10
    m = measure([5.0] * moving + tail[: 120 - moving])
    assert m.values["freeze_fraction"] > 0.8
    assert m.findings[0].severity == Severity.MAJOR
    assert sum(f.score for f in m.findings) > 10
    small = freezes([0.4] * moving + [0.0] * (120 - moving))
    assert small == [(moving, 120)]


def test_one_jump_is_no_movement_but_two_are() -> None:
    assert freezes([0.0] * 30 + [20.0] + [0.0] * 30) is None
    assert freezes([0.0] * 30 + [20.0] + [0.0] * 30 + [20.0] + [0.0] * 30) == [(0, 30), (31, 61), (62, 92)]
    assert freezes([0.0] * 30 + [3.0, 0.0, 3.0] + [0.0] * 30) == [(0, 30), (33, 63)]


def test_a_quiet_noisy_clip_is_not_frozen() -> None:
    noise = np.random.default_rng(0).uniform(1.6, 2.4, 30)
    assert freezes(noise.tolist()) == []


@pytest.mark.parametrize("held", [2, 3, 4])
def test_animation_on_twos_and_threes_is_not_frozen(held: int) -> None:
    rhythm = ([0.0] * (held - 1) + [6.0]) * 10
    assert freezes(rhythm, fps=24) == []
    stop = rhythm + [0.0] * (3 * held) + [6.0] + rhythm
    assert len(freezes(stop, fps=24) or []) == 1


def test_a_slide_show_is_frozen_all_along() -> None:
    slides = ([0.0] * 4 + [30.0]) * 6
    report = find_freezes(np.array(slides), np.arange(len(slides) + 1) / 8)
    assert report is not None
    assert report.fraction == pytest.approx(0.8)


@given(
    st.lists(st.floats(2.0, 60.0), min_size=8, max_size=30),
    st.integers(2, 6),
    st.data(),
    st.floats(5.0, 60.0),
)
@settings(max_examples=60, deadline=None)
def test_a_planted_freeze_is_found_at_any_place_and_rate(
    moving: list[float], repeats: int, data: st.DataObject, fps: float
) -> None:
    at = data.draw(st.integers(0, len(moving)))
    found = freezes(moving[:at] + [0.0] * repeats + moving[at:], fps)
    assert found == [(at, at + repeats)]


@given(st.lists(st.floats(0.0, 60.0), min_size=1, max_size=40))
@settings(max_examples=80, deadline=None)
def test_fraction_counts_the_pairs_inside_freezes(mae: list[float]) -> None:
    report = find_freezes(np.array(mae), np.arange(len(mae) + 1) / 10)
    if report is None:
        return
    assert 0 <= report.fraction < 1
    assert report.fraction == pytest.approx(sum(f.last - f.first for f in report.freezes) / len(mae))
    ends = [(f.first, f.last) for f in report.freezes]
    assert ends == sorted(ends)
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(ends))


@pytest.mark.parametrize(("mae", "pts"), [([1.0], [0.0]), ([float("nan")], [0.0, 0.1])])
def test_freezes_of_nonsense_are_refused(mae: list[float], pts: list[float]) -> None:
    with pytest.raises(ValueError, match=r"time stamps"):
        find_freezes(np.array(mae), np.array(pts))


# -- results ---------------------------------------------------------------------------------------


def test_results_are_means_over_prompts_with_intervals() -> None:
    clips = [
        Measured(Sample(f"s{i}", f"p{i // 2}", "", "g"), measure([5.0] * 4, error=[0.01 * (1 + i // 2)] * 4))
        for i in range(16)
    ]
    results = {
        r.name: r for r in METRIC.summarize(clips, SummaryContext("g", [c.sample for c in clips], {}, 0.9))
    }
    assert set(results) == {
        "temporal.warp_error",
        "temporal.motion",
        "temporal.dynamic_degree",
        "temporal.freeze_fraction",
        "temporal.quality",
    }
    error = results["temporal.warp_error"]
    assert error.value == pytest.approx(0.045)
    assert (error.n, error.n_clusters, error.confidence, error.higher_is_better) == (16, 8, 0.9, False)
    assert error.low < 0.045 < error.high
    assert results["temporal.motion"].higher_is_better is None


def test_the_result_counts_pairs_without_a_warp_error() -> None:
    valid = [[True] * 4, [True, False, True, False], [False, True, True, True]]
    clips = [
        Measured(Sample(f"s{i}", f"p{i}", "", "g"), measure([5.0] * 4, valid=v)) for i, v in enumerate(valid)
    ]
    results = {r.name: r for r in METRIC.summarize(clips, SummaryContext("g", [], {}, 0.9))}
    assert results["temporal.warp_error"].detail["pairs_without_warp_error"] == 3
    assert "pairs_without_warp_error" not in results["temporal.motion"].detail


def load(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def measure_frames(frames: NDArray[np.uint8], fps: float = 10.0) -> Measurement:
    pts = np.arange(len(frames)) / fps
    extraction = MotionExtractor(MotionOptions()).start(
        ClipInfo("c", 1, 1, fps, None, 0.0, "raw", "array", "rgb24")
    )
    extraction.push(Frames(frames, 0, pts))
    mae = np.array([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)])
    motion = extraction.finish()
    return METRIC.measure(view(dict(motion.arrays), mae, dict(motion.facts)))


def test_real_clips_warp_better_than_the_same_clips_with_frames_out_of_order(shared_data: Path) -> None:
    with (shared_data / "fetv" / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["model"] == "real"][:4]
    for row in rows:
        frames = load(shared_data / "fetv" / row["path"])[:12]
        order = np.random.default_rng(0).permutation(len(frames))
        good, bad = measure_frames(frames), measure_frames(frames[order])
        assert good.values["warp_error"] < bad.values["warp_error"]
        assert good.values["motion"] < bad.values["motion"]
        assert good.findings == ()


def stored_at(frames: NDArray[np.uint8], crf: int, keyframes: int = 12) -> NDArray[np.uint8]:
    """``frames`` after x264 at ``crf``, with a key frame every ``keyframes``."""
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "g": str(keyframes), "threads": "1"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def frozen(frames: NDArray[np.uint8]) -> float | None:
    mae = [float(np.abs(a.astype(np.int16) - b).mean()) for a, b in itertools.pairwise(frames)]
    report = find_freezes(np.array(mae), np.arange(len(frames)) / 10)
    return None if report is None else report.fraction


@pytest.mark.parametrize("crf", [10, 23])
@pytest.mark.parametrize(
    "clip",
    [
        "real/0034.mp4",
        pytest.param("real/0060.mp4", marks=pytest.mark.slow),
        "zeroscope/0001.mp4",
        pytest.param("cogvideo/0034.mp4", marks=pytest.mark.slow),
    ],
)
def test_a_real_clip_that_stops_after_its_first_frames(shared_data: Path, clip: str, crf: int) -> None:
    frames = load(shared_data / "fetv" / clip)[:10]
    while max(frames.shape[1:3]) > 300:
        frames = frames[:, ::2, ::2]
    for moving in (3, 5, 8):  # of 100 pairs
        tail = np.repeat(frames[moving : moving + 1], 100 - moving, axis=0)
        assert (frozen(stored_at(np.concatenate([frames[: moving + 1], tail]), crf)) or 0.0) > 0.8
    assert frozen(stored_at(np.repeat(frames[:1], 60, axis=0), crf)) is None


@pytest.mark.slow
def test_no_untouched_clip_has_a_freeze(shared_data: Path) -> None:
    clips = sorted((shared_data / "fetv").glob("*/*.mp4"))
    assert len(clips) > 80
    assert {str(path): share for path in clips if (share := frozen(load(path))) != 0} == {}


def test_a_real_clip_with_a_planted_freeze(shared_data: Path) -> None:
    frames = load(shared_data / "fetv" / "real" / "0060.mp4")[:12]
    planted = np.concatenate([frames[:5], np.repeat(frames[4:5], 4, axis=0), frames[5:]])
    (found,) = measure_frames(planted).findings
    assert (found.detail["first_frame"], found.detail["last_frame"]) == (4, 8)
