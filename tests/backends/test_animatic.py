"""The animatic backend: one clip for each picture and seed, the same each time, and a reason where there is none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.backends.test_animatic_moves import ground
from vgaudit.backends import animatic_stills
from vgaudit.backends.animatic import AnimaticBackend, AnimaticOptions
from vgaudit.backends.animatic_moves import MOVES
from vgaudit.backends.base import (
    Backend,
    BackendContext,
    Generated,
    GenerationOutcome,
    PromptSpec,
    VideoRequest,
)
from vgaudit.backends.file_digests import sha256_file
from vgaudit.errors import BackendError, SuiteError, UsageError
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.registry import load
from vgaudit.suite import load_suite_text
from vgaudit.video import MediaLimits

SMALL = VideoRequest(frames=4, fps=5.0, width=48, height=32)


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """Three pictures of different shapes, one in a folder of its own, and a text file."""
    folder = tmp_path / "stills"
    (folder / "sub").mkdir(parents=True)
    ground(120, 90, 1).save(folder / "wide.png")
    ground(60, 140, 2).save(folder / "sub" / "tall.jpg")
    ground(48, 32, 3).convert("P").save(folder / "exact.png")
    (folder / "notes.txt").write_text("from the shoot")
    return folder


def backend(base: Path, video: VideoRequest = SMALL, name: str = "", **options: Any) -> AnimaticBackend:
    return AnimaticBackend(AnimaticOptions(**options), BackendContext(base, name, video=video))


def run(
    made: AnimaticBackend, seeds: Sequence[int] = (0, 1), prompts: Sequence[PromptSpec] = ()
) -> list[Generated]:
    return list(made.generate(made.samples(prompts, seeds)))


def pixels(made: Sequence[Generated]) -> list[np.ndarray]:
    assert all(g.frames is not None for g in made), [g.message for g in made]
    return [g.frames for g in made if g.frames is not None]


def test_it_is_a_backend_that_needs_no_prompts_and_says_what_it_is(stills: Path) -> None:
    assert load("backends", "animatic") is AnimaticBackend
    made = backend(stills.parent, root="stills")
    assert isinstance(made, Backend)
    assert made.needs_prompts is False
    assert "no video generator made them" in made.notes[0]
    assert made.notes[1:] == ("not pictures: notes.txt",)


def test_a_folder_gives_a_clip_for_each_picture_and_seed(stills: Path) -> None:
    made = run(backend(stills.parent, root="stills"))
    assert [(g.sample.prompt_id, g.sample.seed) for g in made] == [
        ("exact", 0), ("exact", 1), ("sub/tall", 0), ("sub/tall", 1), ("wide", 0), ("wide", 1),
    ]  # fmt: skip
    for one in made:
        assert one.outcome is GenerationOutcome.OK
        assert one.frames is not None
        assert one.frames.shape == (4, 32, 48, 3)
        assert one.frames.dtype == np.uint8
        assert one.fps == 5.0
        assert (one.sample.group, one.sample.prompt) == ("animatic", "")
        assert one.facts["move"] in MOVES
        assert one.facts["source_path"] == one.sample.source
        json.dumps(one.facts)
        assert (np.abs(np.diff(one.frames.astype(int), axis=0)).mean((1, 2, 3)) > 0.3).all()


def test_what_the_suite_leaves_open_has_a_default(stills: Path) -> None:
    ground(300, 300).save(stills / "wide.png")
    (one,) = run(backend(stills.parent, VideoRequest(), root="stills", pattern="wide*"), [0])
    assert one.frames is not None
    assert (one.frames.shape, one.fps) == ((24, 256, 256, 3), 8.0)
    (one,) = run(backend(stills.parent, VideoRequest(height=64), root="stills", pattern="wide*"), [0])
    assert one.frames is not None
    assert one.frames.shape == (24, 64, 64, 3)


def test_the_same_seed_repeats_exactly_and_another_one_does_not(stills: Path) -> None:
    first, again = (run(backend(stills.parent, root="stills"), range(9)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(pixels(first), pixels(again), strict=True))
    alone = backend(stills.parent, root="stills")
    samples = alone.samples([], range(9))
    (one,) = alone.generate(samples[4:5])
    assert np.array_equal(pixels([one])[0], pixels(first)[4])
    for at in range(0, 27, 9):
        clips = {g.tobytes() for g in pixels(first[at : at + 9])}
        assert len(clips) == 9
        assert {g.facts["move"] for g in first[at : at + 9]} == set(MOVES)


def test_moves_can_be_chosen_for_all_or_for_one(stills: Path) -> None:
    made = run(backend(stills.parent, root="stills", moves=["pan_left", "zoom_out"]))
    assert {g.facts["move"] for g in made[:2]} == {"pan_left", "zoom_out"}
    pictures = [{"file": "stills/wide.png", "move": "drift"}, {"file": "stills/exact.png"}]
    made = run(backend(stills.parent, pictures=pictures, moves=["zoom_in"]))
    assert [g.facts["move"] for g in made] == ["drift", "drift", "zoom_in", "zoom_in"]
    assert made[0].facts["windows"] != made[1].facts["windows"]


def test_the_focus_is_where_the_camera_goes(stills: Path) -> None:
    corners = [
        run(
            backend(stills.parent, pictures=[{"file": "stills/wide.png", "move": "zoom_in", "focus": at}]),
            [0],
        )[0].facts["windows"][1]
        for at in ([0, 0], [1, 1])
    ]
    assert corners[0][:2] == [0, 0]
    assert corners[1][2:] == [120, 90]


def test_a_list_names_pictures_anywhere_also_those_of_a_package(stills: Path) -> None:
    pictures = [
        {"file": str(stills / "wide.png"), "id": "hills", "prompt": "soft hills"},
        {"file": "stills/wide.png"},
        {"file": "package:skimage/data/coffee.png"},
    ]
    made = backend(stills.parent, pictures=pictures, name="slides")
    samples = made.samples([], [0])
    assert [(s.prompt_id, s.prompt, s.group) for s in samples] == [
        ("hills", "soft hills", "slides"), ("wide", "", "slides"), ("coffee", "", "slides"),
    ]  # fmt: skip
    assert samples[2].source == "package:skimage/data/coffee.png"
    assert [g.facts["picture"] for g in run(made, [0])] == [[120, 90], [120, 90], [600, 400]]


def test_pictures_belong_to_the_prompts_of_the_suite_by_id(stills: Path) -> None:
    prompts = [
        PromptSpec("wide", "soft hills", {"people": "no"}, ({"is": "hills", "not": ["a sea"]},)),
        PromptSpec("exact", "a meadow"),
        PromptSpec("unused", "a lake"),
    ]
    shutil.rmtree(stills / "sub")
    made = run(backend(stills.parent, root="stills"), [0], prompts)
    assert [(g.sample.prompt_id, g.sample.prompt) for g in made] == [
        ("exact", "a meadow"),
        ("wide", "soft hills"),
    ]
    assert made[1].sample.tags == {"people": "no"}
    assert made[1].sample.expect == prompts[0].expect
    with pytest.raises(SuiteError, match="prompt_id 'exact' is not among the suite's 1 prompts"):
        backend(stills.parent, root="stills").samples(prompts[:1], [0])


def test_two_endings_are_two_pictures(stills: Path) -> None:
    shutil.copy(stills / "sub" / "tall.jpg", stills / "wide.jpg")
    made = backend(stills.parent, root="stills", pattern="w*")
    assert [s.prompt_id for s in made.samples([], [0])] == ["wide.jpg", "wide.png"]


def test_ids_follow_what_changes_the_clip_and_nothing_else(stills: Path) -> None:
    def ids(**options: Any) -> list[str]:
        video = options.pop("video", SMALL)
        return [s.sample_id for s in backend(stills.parent, video, root="stills", **options).samples([], [0])]

    before, print_before = ids(), backend(stills.parent, root="stills").fingerprint
    assert before == ids()
    for change in ({"amount": 0.3}, {"moves": ["drift"]}, {"video": VideoRequest(5, 5.0, 48, 32)}):
        assert not set(before) & set(ids(**change))
    ground(20, 20).save(stills / "another.png")
    assert set(before) < set(ids())
    (stills / "another.png").unlink()
    assert backend(stills.parent, root="stills").fingerprint == print_before
    ground(120, 90, 9).save(stills / "wide.png")
    assert len(set(before) - set(ids())) == 1
    assert backend(stills.parent, root="stills").fingerprint != print_before


def test_a_changed_picture_is_noticed(stills: Path) -> None:
    made = backend(stills.parent, root="stills")
    samples = made.samples([], [0])
    assert made.source_path(samples[2]) == stills / "wide.png"
    ground(120, 90, 9).save(stills / "wide.png")
    outcomes = [(g.outcome.value, g.message) for g in made.generate(samples)]
    assert [o for o, _ in outcomes] == ["ok", "ok", "error"]
    assert "wide.png: changed since the run was planned; start the run again" in outcomes[2][1]


def test_a_picture_that_cannot_be_used_fails_alone(stills: Path, tmp_path: Path) -> None:
    ground(120, 90).save(tmp_path / "outside.png")
    (stills / "a-link.png").symlink_to(tmp_path / "outside.png")
    (stills / "a-cut.png").write_bytes((stills / "wide.png").read_bytes()[:900])
    (stills / "a-text.png").write_text("hello")
    (stills / "a-lost.png").symlink_to("nowhere")
    ground(11, 300).save(stills / "a-thin.png")
    Image.new("CMYK", (90, 90)).save(stills / "a-print.tiff")
    made = backend(stills.parent, root="stills", pattern="[aw]*")
    told = {g.sample.prompt_id: (g.outcome.value, g.message) for g in run(made, [0])}
    assert told.pop("wide") == ("ok", "")
    assert {outcome for outcome, _ in told.values()} == {"error"}
    assert "leaves the root" in told["a-link"][1]
    assert "cannot be decoded" in told["a-cut"][1]
    assert "not a picture" in told["a-text"][1]
    assert "file not found" in told["a-lost"][1]
    assert "11x300 pixels are too few for frames of 48x32; expected at least 12x8" in told["a-thin"][1]
    assert "mode CMYK" in told["a-print"][1]
    by_id = {s.prompt_id: s for s in made.samples([], [0])}
    assert made.source_path(by_id["a-link"]) is None


def test_a_file_too_large_for_a_picture_is_not_read_at_all(
    stills: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = stills / "huge.png"
    huge.write_bytes((stills / "wide.png").read_bytes())
    os.truncate(huge, 4 * 1024**3)  # sparse, and within the limit on files, which is one of clips
    read: list[str] = []

    def watched(path: Path) -> str:
        read.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(animatic_stills, "sha256_file", watched)
    made = {g.sample.prompt_id: g for g in run(backend(stills.parent, root="stills"), seeds=[0])}
    assert made["huge"].outcome is GenerationOutcome.ERROR
    assert "4294967296 bytes, more than a picture of that many pixels needs" in made["huge"].message
    assert {made[name].outcome for name in ("wide", "exact")} == {GenerationOutcome.OK}
    assert "wide.png" in read
    assert "huge.png" not in read


def test_the_suite_s_limits_hold_for_pictures(stills: Path) -> None:
    context = BackendContext(stills.parent, video=SMALL, limits=MediaLimits(max_pixels=9000))
    made = AnimaticBackend(AnimaticOptions(root="stills"), context)
    outcomes = {g.sample.prompt_id: g.message for g in made.generate(made.samples([], [0]))}
    assert outcomes["exact"] == ""
    assert "120x90 have 10800 pixels" in outcomes["wide"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "expected `root` or `pictures`, found neither"),
        ({"root": "stills", "pictures": [{"file": "stills/wide.png"}]}, "found both"),
        ({"root": "absent"}, "absent does not exist; expected a folder of pictures"),
        ({"root": "stills/wide.png"}, "wide.png is a file; expected a folder"),
        ({"root": "stills", "pattern": "x*"}, "no picture in .*stills"),
        ({"root": "stills", "pattern": "n*"}, r"no picture in .*stills \(not pictures: notes.txt\)"),
        ({"pictures": [{"file": "absent.png"}]}, "expected a picture at .*absent.png, found nothing"),
        ({"pictures": [{"file": "stills"}]}, "found a folder"),
        ({"pictures": [{"file": "stills/wide.png"}], "pattern": "w*"}, "pattern is for a folder"),
        (
            {"pictures": [{"file": "stills/wide.png"}, {"file": "stills/exact.png", "id": "wide"}]},
            "stills/wide.png and stills/exact.png are both called 'wide'; give each an `id`",
        ),
        ({"root": "stills", "moves": ["drift", "drift"]}, "moves: expected each once, found drift, drift"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_made(
    stills: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(SuiteError, match=told):
        backend(stills.parent, **options)


@pytest.mark.parametrize(
    ("video", "told"),
    [
        (VideoRequest(width=8, height=64), "16 to 4096 pixels a side, found 8x64"),
        (VideoRequest(width=5000), "found 5000x5000"),
        (VideoRequest(frames=1), "expected 2 to"),
        (VideoRequest(frames=60_000, width=1024), "expected 2 to 682 frames of 1024x1024, found 60000"),
    ],
)
def test_frames_that_cannot_be_made_are_refused(stills: Path, video: VideoRequest, told: str) -> None:
    with pytest.raises(SuiteError, match=told):
        backend(stills.parent, video, root="stills")


@pytest.mark.parametrize(
    "options",
    [
        {"root": "stills", "moves": []},
        {"root": "stills", "moves": ["spin"]},
        {"root": "stills", "amount": 0},
        {"root": "stills", "amount": 1.5},
        {"pictures": []},
        {"pictures": [{"file": "a.png", "focus": [0.5, 2]}]},
        {"pictures": [{"file": "a.png", "mvoe": "drift"}]},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnimaticOptions(**options)


def test_a_package_s_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in the installed skimage"):
        backend(tmp_path, pictures=[{"file": "package:skimage/data/nobody.png"}])


def test_seeds_are_needed_and_samples_must_be_its_own(stills: Path) -> None:
    with pytest.raises(SuiteError, match="at least one seed"):
        backend(stills.parent, root="stills").samples([], [])
    samples = backend(stills.parent, root="stills").samples([], [0])
    with pytest.raises(BackendError, match="list the samples first"):
        list(backend(stills.parent, root="stills").generate(samples))


def test_a_run_finds_every_clip_as_asked_and_makes_a_touched_picture_again(
    stills: Path, tmp_path: Path
) -> None:
    text = (
        "name: slides\nbackend: {type: animatic, root: stills}\n"
        "video: {frames: 6, fps: 6, width: 48, height: 32}\nmetrics: {integrity: }\n"
        "gates: [findings integrity.* <= 0]\nnotes: from the shoot\n"
    )

    def made() -> dict[str, int]:
        done = execute(prepare(load_suite_text(text, base_dir=stills.parent)), tmp_path / "run")
        assert done is not None
        assert (done.verdict.exit_code, len(done.data.clips)) == (0, 3)
        assert done.data.notes.count("from the shoot") == 1
        assert sum("no video generator" in note for note in done.data.notes) == 1
        return {f.stem: f.stat().st_mtime_ns for f in (tmp_path / "run" / "clips").glob("*.mp4")}

    first = made()
    assert made() == first
    (stills / "wide.png").touch()
    again = made()
    assert [n.split("-")[0] for n in first if first[n] != again[n]] == ["wide"]
