"""Each detector on series with a known answer, and on drawn clips with a planted fault and without."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.temporal_detectors import DETECTORS, detect
from vgaudit.metrics.temporal_findings import KINDS, artifacts
from vgaudit.metrics.temporal_floors import SMALL, floors
from vgaudit.metrics.temporal_signals import Found, Signals
from vgaudit.metrics.temporal_windows import (
    STATISTICS,
)
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Severity
from vgaudit.storyworld.fault_props import fault_props
from vgaudit.storyworld.faults import plant
from vgaudit.storyworld.render import Rendered, render
from vgaudit.storyworld.scene import Scene
from vgaudit.video import ClipInfo, ClipReader, Frames

UInt8 = NDArray[np.uint8]


def quiet(n: int = 24) -> Signals:
    """A clip of pictures of their own in which nothing happens."""
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 200, (32, 32, 3)).astype(np.uint8)
    fine = np.repeat(picture[None], n, axis=0)
    return Signals(
        total=n,
        frame=np.arange(n),
        light=np.full(n, 5.0),
        thumb=fine.reshape(n, 16, 2, 16, 2, 3).mean(axis=(2, 4)),
        fine=fine,
        noise=np.full(n, 2.0),
        sharpness=np.full(n, 0.2),
        shift=np.zeros((n - 1, 2)),
        side=128,
        residual=np.full((n - 1, 8, 8), 2.0),
        drifted=np.zeros(n - 1, bool),
        statistics=np.zeros((n - 1, len(STATISTICS))),
    )


def changed(s: Signals, fine: NDArray[Any]) -> Signals:
    """The same with other pictures."""
    fine = np.clip(np.rint(fine), 0, 255).astype(np.uint8)
    return replace(s, fine=fine, thumb=fine.reshape(len(fine), 16, 2, 16, 2, 3).mean(axis=(2, 4)))


def lit(light: NDArray[np.float64]) -> Signals:
    """The same picture in other light."""
    s = quiet()
    return replace(changed(s, s.fine * np.exp(light - 5)[:, None, None, None]), light=light)


def spans(kind: str, s: Signals, side: int = 128) -> list[tuple[int, int]]:
    return [(f.first, f.end) for f in DETECTORS[kind].find(s, floors(side)[kind])]


def test_nothing_is_found_where_nothing_happens() -> None:
    found = detect(quiet(), floors(128))
    assert set(found) == set(DETECTORS) == set(floors(128)) == set(floors(SMALL - 1))
    assert not any(found.values())


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_the_shortest_clips_have_no_artifacts(n: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (n, 64, 96, 3), dtype=np.uint8)
    pixels, motion = features_of(frames)
    s = Signals.of(pixels.arrays, motion.arrays, 64)
    assert len(s) == n
    assert not any(detect(s, floors(64)).values()) or n == 3


def test_light_that_alternates_is_flicker_and_one_step_is_exposure() -> None:
    light = np.full(24, 5.0)
    light[8:14] += 0.1 * np.array([1, -1, 1, -1, 1, -1])
    assert spans("flicker", replace(quiet(), light=light)) == [(7, 15)]
    assert spans("exposure_shift", replace(quiet(), light=light)) == []
    light = np.full(24, 5.0)
    light[10:] -= 0.3
    assert spans("exposure_shift", lit(light)) == [(10, 24)]
    assert spans("flicker", lit(light)) == []
    light[16:] += 0.3
    assert spans("exposure_shift", lit(light)) == [(10, 16)]


def test_a_part_that_darkens_is_no_change_of_exposure() -> None:
    light = np.full(24, 5.0)
    light[10:] -= 0.3
    s = lit(light)
    fine = s.fine.copy()
    fine[10:, :, 16:] = quiet().fine[10:, :, 16:]
    assert spans("exposure_shift", replace(changed(s, fine), light=light)) == []


def test_a_slow_fade_is_no_step() -> None:
    assert spans("exposure_shift", lit(np.linspace(5, 4, 24))) == []


def test_a_step_between_two_shots_is_no_change_of_light() -> None:
    s = quiet()
    fine = s.fine.copy()
    fine[10:] = np.random.default_rng(1).integers(0, 200, (32, 32, 3))
    light = s.light.copy()
    light[10:] -= 0.5
    assert spans("exposure_shift", replace(changed(s, fine), light=light)) == []


def test_colours_that_drift_everywhere_are_told_and_a_coloured_thing_is_not() -> None:
    s = quiet()
    fine = s.fine.copy()
    fine = fine + np.r_[np.zeros(8), np.linspace(2, 40, 16)][:, None, None, None] * np.array([1, 0, 0])
    ((first, end),) = spans("colour_shift", changed(s, fine))
    assert first <= 12
    assert end == 24
    fine = s.fine.copy()
    fine[8:, :12, :12, 0] = np.minimum(fine[8:, :12, :12, 0], 170) + 80
    assert spans("colour_shift", changed(s, fine)) == []


@pytest.mark.parametrize(("kind", "name"), [("noise_burst", "noise"), ("blur_pulse", "sharpness")])
def test_a_burst_begins_and_ends_at_once(kind: str, name: str) -> None:
    factor = 8.0 if kind == "noise_burst" else 1 / 30
    values = np.full(24, 2.0 if kind == "noise_burst" else 0.2)
    values[9:14] *= factor
    assert spans(kind, replace(quiet(), **{name: values})) == [(9, 14)]
    values = np.full(24, 2.0 if kind == "noise_burst" else 0.2) * factor ** np.linspace(0, 1.2, 24)
    assert spans(kind, replace(quiet(), **{name: values})) == []
    values = np.full(24, 2.0 if kind == "noise_burst" else 0.2)
    values[2:22] *= factor  # most of the clip: what it is like
    assert spans(kind, replace(quiet(), **{name: values})) == []


def test_a_lens_that_turns_to_the_sky_is_not_out_of_focus() -> None:
    s = quiet()
    fine, sharpness = s.fine.copy(), s.sharpness.copy()
    fine[9:14] = np.random.default_rng(1).integers(0, 255, (32, 32, 3))
    sharpness[9:14] /= 30
    assert spans("blur_pulse", replace(changed(s, fine), sharpness=sharpness)) == []


def test_a_picture_that_jumps_is_jitter_and_a_pan_is_not() -> None:
    shift = np.zeros((23, 2))
    shift[8:15, 0] = 0.05 * np.array([1, -1, 1, -1, 1, -1, 1])
    ((first, end),) = spans("jitter", replace(quiet(), shift=shift))
    assert abs(first - 9) <= 1
    assert abs(end - 15) <= 1
    assert spans("jitter", replace(quiet(), shift=np.full((23, 2), 0.05))) == []
    shift = np.zeros((23, 2))
    shift[11, 0] = 0.2  # one jerk
    assert spans("jitter", replace(quiet(), shift=shift)) == []


def test_another_shot_is_one_finding_where_it_comes_back_and_one_a_cut_where_it_does_not() -> None:
    s = quiet()
    fine, residual = s.fine.copy(), s.residual.copy()
    fine[9:14] = np.random.default_rng(1).integers(0, 255, (32, 32, 3))
    residual[[8, 13]] = 40.0
    back = replace(changed(s, fine), residual=residual)
    assert spans("jump_cut", back) == [(9, 14)]
    fine = fine.copy()
    fine[14:] = np.random.default_rng(2).integers(0, 255, (32, 32, 3))
    assert spans("jump_cut", replace(changed(s, fine), residual=residual)) == [(9, 10), (14, 15)]


@pytest.mark.parametrize(("size", "kind"), [(2, "popping"), (5, "subject_swap")])
def test_a_part_that_changes_and_changes_back_is_told_with_its_place(size: int, kind: str) -> None:
    s = quiet()
    fine, residual = s.fine.copy(), s.residual.copy()
    fine[9:14, 4 : 4 + 4 * size, 8 : 8 + 4 * size] = 250.0
    for pair in (8, 13):
        residual[pair, 1 : 1 + size, 2 : 2 + size] = 80.0
    here = replace(changed(s, fine), residual=residual)
    (found,) = DETECTORS[kind].find(here, floors(128)[kind])
    assert found == Found(9, 14, found.score, (0.25, 0.125, 0.25 + size / 8, 0.125 + size / 8))
    other = {"popping": "subject_swap", "subject_swap": "popping"}[kind]
    assert spans(other, here) == []


def test_a_long_clip_takes_its_time_and_no_more() -> None:
    """Each pair of a noisy clip may begin an insert: the search for its end is bounded."""
    n = 1200
    rng = np.random.default_rng(0)
    s = replace(
        changed(quiet(n), rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)),
        residual=rng.gamma(1.0, 20.0, (n - 1, 8, 8)),
    )
    begin = time.perf_counter()
    list(DETECTORS["popping"].find(s, floors(128)["popping"]))
    assert time.perf_counter() - begin < 30


def test_what_came_from_nearby_has_not_popped() -> None:
    s = quiet()
    fine, residual = np.full_like(s.fine, 90.0), s.residual.copy()
    for frame in range(24):  # a bright thing that passes by, eight cells of 32 a frame from frame 8 on
        x = 8 * (frame - 8)
        if 0 <= x < 32:
            fine[frame, 8:16, x : x + 8] = 250.0
            residual[frame - 1, 2:4, x // 4 : x // 4 + 2] = 80.0
    assert spans("popping", replace(changed(s, fine), residual=residual)) == []


def test_a_later_detector_does_not_tell_a_moment_again() -> None:
    s = quiet()
    light, noise = s.light.copy(), s.noise.copy()
    light[8:14] += 0.1 * np.array([1, -1, 1, -1, 1, -1])
    noise[9:13] *= 8
    found = detect(replace(s, light=light, noise=noise), floors(128))
    assert len(found["flicker"]) == 1
    assert found["noise_burst"] == ()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("...rr.rr.rr.....", [(3, 12)]),
        ("..r.r.r.r.......", [(2, 10)]),
        ("...rrrrrrr......", []),  # a freeze
        ("...rr.rr........", []),  # twice is no rhythm
        ("r.r.r.r.r.r.r.r.", []),  # animated on twos from end to end
        ("................", []),
    ],
)
def test_repeated_frames_in_a_row_are_a_stretch(pattern: str, expected: list[tuple[int, int]]) -> None:
    repeat = np.array([c == "r" for c in pattern])
    total = len(repeat) + 1
    first = np.flatnonzero(np.r_[True, ~repeat])
    s = replace(quiet(total), total=total, frame=first, drifted=np.zeros(len(first) - 1, bool))
    assert np.array_equal(s.repeat, repeat)
    assert spans("duplicate_frames", s) == expected


# -- drawn clips -----------------------------------------------------------------------------------------------------

SCENE = Scene("dog", "running", "forest", colour="black", camera="pan")


@pytest.fixture(scope="module")
def drawn() -> Rendered:
    return render(SCENE, 5, frames=33, width=192, height=128)


def info_of(frames: UInt8, fps: float = 8.0, scale: int = 1) -> ClipInfo:
    return ClipInfo(
        path="clip", width=scale * frames.shape[2], height=scale * frames.shape[1], fps=fps, frames=len(frames),
        duration_s=len(frames) / fps, codec="", container="", pixel_format="",
    )  # fmt: skip


def features_of(frames: UInt8, block: int = 8) -> tuple[object, object]:
    info = info_of(frames)
    pixels, motion = PixelsExtractor().start(info), MotionExtractor(MotionOptions()).start(info)
    for first in range(0, len(frames), block):
        part = frames[first : first + block]
        both = Frames(part, first, (first + np.arange(len(part))) / 8)
        pixels.push(both)
        motion.push(both)
    return pixels.finish(), motion.finish()


def measured(frames: UInt8, fps: float = 8.0, block: int = 8, **tags: str) -> Measurement:
    pixels, motion = features_of(frames, block)
    motion.arrays["pts_s"][:] *= 8 / fps
    sample = Sample("a-0", "a", "a dog", "g", tags=tags)
    view = ClipView(sample, info_of(frames, fps), "", {"pixels": pixels, "motion": motion})
    return Temporal(TemporalOptions(), MetricContext()).measure(view)


def test_a_clean_drawing_has_no_findings(drawn: Rendered) -> None:
    found = measured(drawn.frames)
    assert found.findings == ()
    assert set(found.series) == {"warp_error", "motion", "frame_difference"}
    assert found.unassessed == ""


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("flicker", "flicker"), ("exposure_jump", "exposure_shift"), ("duplicated_frames", "duplicate_frames"),
        ("jump_cut", "jump_cut"), ("jitter", "jitter"), ("noise_burst", "noise_burst"), ("freeze", "freeze"),
        ("blur_pulse", "blur_pulse"), ("ghosting", "ghosting"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found_where_it_is(drawn: Rendered, fault: str, kind: str) -> None:
    planted = plant(drawn.frames, fault, "strong", 3, **fault_props(drawn, fault, 3, 9))
    found = measured(planted.frames)
    best = max(
        (f for f in found.findings if f.kind == f"temporal.{kind}"),
        key=lambda f: min(f.end_s, planted.truth.seconds[1]) - max(f.start_s, planted.truth.seconds[0]),
        default=None,
    )
    assert best is not None, [f.kind for f in found.findings]
    shared = min(best.end_s, planted.truth.seconds[1]) - max(best.start_s, planted.truth.seconds[0])
    whole = max(best.end_s, planted.truth.seconds[1]) - min(best.start_s, planted.truth.seconds[0])
    assert shared / whole > 0.6
    assert best.score > best.threshold > 0 or kind == "freeze"
    assert best.kind in {*KINDS, "temporal.freeze"}
    assert " s" in best.message
    assert "{" not in best.message


@pytest.mark.parametrize(("fault", "kind"), [("warp", "warping"), ("ghosting", "ghosting")])
def test_lasting_faults_are_found_in_clips_of_cameras(fault: str, kind: str, shared_data: Path) -> None:
    overlaps = []
    for path in sorted((shared_data / "fetv" / "real").glob("*.mp4"))[3:11]:
        with ClipReader(path) as clip:
            frames = np.concatenate([block.rgb.copy() for block in clip])
        planted = plant(frames, fault, "moderate", 7)
        begin, end = planted.truth.seconds
        found = [f for f in measured(planted.frames).findings if f.kind == f"temporal.{kind}"]
        shared = [
            (min(f.end_s, end) - max(f.start_s, begin)) / (max(f.end_s, end) - min(f.start_s, begin))
            for f in found
        ]
        overlaps.append(max(0.0, *shared, 0.0))
    assert sum(o > 0.5 for o in overlaps) >= 5, overlaps


def test_a_thing_that_has_another_colour_at_once_is_found_with_its_place(drawn: Rendered) -> None:
    frames = drawn.frames.copy()
    frames[14:, 40:88, 60:120] = frames[14:, 40:88, 60:120, ::-1] // 2 + np.array([120, 0, 60], np.uint8)
    (found,) = (f for f in measured(frames).findings if f.kind == "temporal.colour_swap")
    assert (found.start_s, found.end_s) == (14 / 8, pytest.approx(33 / 8))
    left, top, right, bottom = found.box or (0, 0, 0, 0)
    assert left <= 72
    assert right >= 108
    assert top <= 48
    assert bottom >= 80


@pytest.mark.parametrize("container", ["mkv", "mov", "avi"])
def test_neither_container_nor_lossless_storage_changes_a_bit(
    drawn: Rendered, container: str, tmp_path: Path
) -> None:
    planted = plant(drawn.frames, "noise_burst", "strong", 3)
    path = tmp_path / f"clip.{container}"
    with av.open(path, "w") as file:
        codec = {"avi": "png", "mkv": "ffv1", "mov": "qtrle"}[container]
        stream: Any = file.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "bgr0" if container == "mkv" else "rgb24"
        for frame in planted.frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    with ClipReader(path) as clip:
        frames = np.concatenate([block.rgb.copy() for block in clip])
    assert np.array_equal(frames, planted.frames)
    assert measured(frames) == measured(planted.frames)


def test_findings_do_not_depend_on_blocks_and_follow_the_frame_rate(drawn: Rendered) -> None:
    planted = plant(drawn.frames, "noise_burst", "strong", 3)
    one, other, faster = (
        measured(planted.frames),
        measured(planted.frames, block=5),
        measured(planted.frames, fps=16.0),
    )
    assert one == other
    (slow,), (fast,) = ([f for f in m.findings if f.kind == "temporal.noise_burst"] for m in (one, faster))
    assert (fast.start_s, fast.end_s) == (slow.start_s / 2, slow.end_s / 2)
    assert (fast.score, fast.detail) == (slow.score, slow.detail)


def test_stutter_is_told_once_and_not_as_freezes(drawn: Rendered) -> None:
    planted = plant(drawn.frames, "duplicated_frames", "moderate", 3)
    assert [f.kind for f in measured(planted.frames).findings] == ["temporal.duplicate_frames"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [([2, 2, 2, 2], "2 times each"), ([2, 3, 2, 3], "about 2.5 times each"), ([4, 4, 4], "4 times")],
)
def test_a_stutter_says_how_often_frames_are_shown(drawn: Rendered, counts: list[int], said: str) -> None:
    end = 6 + len(counts)
    held = np.concatenate([drawn.frames[:6], drawn.frames[6:end].repeat(counts, axis=0), drawn.frames[end:]])
    (stutter,) = (f for f in measured(held, 10.0).findings if f.kind == "temporal.duplicate_frames")
    assert f"Frames are shown {said}" in stutter.message


@pytest.mark.parametrize(("fps", "freezes"), [(8.0, 2), (10.0, 0)])
def test_a_major_freeze_in_a_stutter_is_told_as_well(drawn: Rendered, fps: float, freezes: int) -> None:
    """Four frames that show one picture last half a second at 8 frames a second, which is a major freeze."""
    frames = drawn.frames
    held = np.concatenate([frames[:6], frames[6:9].repeat([4, 2, 4], axis=0), frames[9:]])
    found = measured(held, fps).findings
    assert [f.kind for f in found] == ["temporal.freeze"] * freezes + ["temporal.duplicate_frames"]
    assert all(f.severity == Severity.MAJOR for f in found[:-1])


def test_the_benchmark_tells_the_freezes_of_a_stutter_as_the_metric_does(
    drawn: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    clips, faults = (importlib.import_module(name) for name in ("temporal_clips", "temporal_faults"))
    frames = drawn.frames
    held = np.concatenate([frames[:6], frames[6:9].repeat([4, 2, 4], axis=0), frames[9:]])
    for fps, freezes in ((8, 2), (10, 0)):
        found = faults.found_in(clips.seen("held", held, np.arange(len(held)) / fps))
        assert {kind: len(each) for kind, each in found.items() if each} == (
            {"duplicate_frames": 1, "freeze": freezes} if freezes else {"duplicate_frames": 1}
        )


def test_a_box_is_in_pixels_of_the_clip(drawn: Rendered) -> None:
    frames = drawn.frames.copy()
    frames[12:20, 16:48, 24:72] = np.random.default_rng(0).integers(0, 60, 3, dtype=np.uint8)
    pixels, motion = features_of(frames)
    info = info_of(frames, scale=2)  # as if decoded at twice the size
    found = [f for f in artifacts("a", pixels, motion, info).findings if f.box is not None]
    assert found
    left, top, right, bottom = found[0].box or (0, 0, 0, 0)
    assert left <= 2 * 36 <= 2 * 60 <= right
    assert top <= 2 * 24 <= 2 * 40 <= bottom
    assert (found[0].start_s, found[0].end_s) == (1.5, 2.5)
    assert "on the left" in found[0].message


def test_pictures_too_small_for_flow_are_not_assessed() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (12, 16, 24, 3), dtype=np.uint8)
    assert "too small" in measured(frames).unassessed
