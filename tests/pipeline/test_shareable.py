"""Clips that are passed on: nobody is found in them, nothing else of it is kept, and what fails is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media import write_clip
from tests.portraits import head, planted
from vgaudit.cli.commands import app
from vgaudit.errors import Unavailable, UsageError
from vgaudit.extractors.face_detection import DetectionFailed, Detections, FaceDetector
from vgaudit.extractors.faces import make_embedder
from vgaudit.pipeline import blurred_clip, shareable
from vgaudit.pipeline.blurred_clip import LOW_MIN_FACE, LOW_THRESHOLDS, Judge, LeftOut, blur
from vgaudit.pipeline.face_masks import Found
from vgaudit.pipeline.finish import read_report_data
from vgaudit.pipeline.shareable import PictureJudge, share
from vgaudit.reports.likeness_pictures import mosaic
from vgaudit.rundir import RunDir
from vgaudit.video import ClipReader
from vgaudit.video.reader import DEFAULT_LIMITS

POINT = 0.4
"""dlib's published point, as a similarity."""


def judge_of(templates: np.ndarray | None = None) -> Judge:
    ordinary, low = FaceDetector(), FaceDetector(LOW_MIN_FACE, thresholds=LOW_THRESHOLDS)
    embedder = make_embedder("dlib", {})
    for loaded in (ordinary, low, embedder):
        loaded.load()
    held = np.zeros((0, 128), np.float32) if templates is None else templates
    return Judge(ordinary, low, embedder, POINT, held, 24, 0.9)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return judge_of()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "jane_doe.mp4"
    frames = planted(head(None, "astronaut"), frames=8, width=90, during=range(2, 7))
    return write_clip(path, frames, audio_seconds=1, options={"crf": "16"})


def frames_of(path: Path) -> list[np.ndarray]:
    with ClipReader(path, DEFAULT_LIMITS) as reader:
        return [frame for block in reader for frame in block.rgb.copy()]


def vectors_in(frames: list[np.ndarray], judge: Judge, detector: FaceDetector) -> np.ndarray:
    """Embeddings of everything that a detector finds."""
    found = [(rgb, detector.detect(rgb)) for rgb in frames]
    parts = [judge.vectors(rgb, each.boxes, each.landmarks) for rgb, each in found]
    return np.concatenate([np.zeros((0, 128), np.float32), *parts])


def test_nobody_is_found_and_nothing_of_the_file_is_kept(judge: Judge, clip: Path, tmp_path: Path) -> None:
    with av.open(str(clip)) as container:
        assert container.streams.audio
    checked = blur(clip, tmp_path / "a.mp4", tmp_path / "a.jpg", judge, DEFAULT_LIMITS)
    before, after = frames_of(clip), frames_of(tmp_path / "a.mp4")
    assert len(vectors_in(before, judge, judge.ordinary)) == checked.faces == 5
    assert len(vectors_in(after, judge, judge.ordinary)) == checked.found == 0
    assert len(before) == len(after) == checked.frames == 8
    assert (checked.rounds, checked.tracks, checked.seconds) == (1, 1, None)
    assert checked.similarity_after is not None
    assert checked.similarity_after < POINT

    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert {*container.metadata} <= {"major_brand", "minor_version", "compatible_brands"}
        assert {*container.streams[0].metadata} <= {"language", "handler_name", "vendor_id"}
    poster = (tmp_path / "a.jpg").read_bytes()
    assert b"Exif" not in poster
    assert b"jane" not in (tmp_path / "a.mp4").read_bytes() + poster
    blur(clip, tmp_path / "b.mp4", tmp_path / "b.jpg", judge, DEFAULT_LIMITS)
    for ending in ("mp4", "jpg"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_a_part_of_a_clip_is_cut(judge: Judge, clip: Path, tmp_path: Path) -> None:
    checked = blur(clip, tmp_path / "a.mp4", tmp_path / "a.jpg", judge, DEFAULT_LIMITS, (0.15, 0.45))
    assert (checked.frames, checked.seconds) == (3, (0.15, 0.45))
    with ClipReader(tmp_path / "a.mp4", DEFAULT_LIMITS) as reader:
        assert [round(float(t), 2) for block in reader for t in block.pts_s] == [0, 0.1, 0.2]
    with pytest.raises(LeftOut, match="no frame in the span"):
        blur(clip, tmp_path / "b.mp4", tmp_path / "b.jpg", judge, DEFAULT_LIMITS, (7, 8))
    assert not (tmp_path / "b.mp4").exists()


def test_a_face_that_the_first_search_missed_is_covered_in_a_further_round(
    judge: Judge, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Found.add
    calls = iter(range(1000))
    monkeypatch.setattr(Found, "add", lambda *args: add(*args) if next(calls) >= 8 else None)
    checked = blur(clip, tmp_path / "a.mp4", tmp_path / "a.jpg", judge, DEFAULT_LIMITS)
    assert (checked.rounds, checked.found, checked.flat) == (2, 0, 1)
    assert len(vectors_in(frames_of(tmp_path / "a.mp4"), judge, judge.ordinary)) == 0


def test_what_cannot_be_covered_or_searched_is_left_out_and_not_written(
    judge: Judge, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, poster = tmp_path / "a.mp4", tmp_path / "a.jpg"
    monkeypatch.setattr(blurred_clip, "cover", lambda rgb, frame, masks: rgb)
    with pytest.raises(LeftOut, match="still found a face after 5 rounds"):
        blur(clip, video, poster, judge, DEFAULT_LIMITS)
    assert not [*tmp_path.iterdir()]
    monkeypatch.undo()

    def broken(*_: object) -> list[Detections]:
        raise DetectionFailed("no memory")

    monkeypatch.setattr(FaceDetector, "detect_many", broken)
    with pytest.raises(LeftOut, match="broke on a frame"):
        blur(clip, video, poster, judge, DEFAULT_LIMITS)
    assert not [*tmp_path.iterdir()]


def test_what_is_left_must_be_unlike_the_gallery_too(clip: Path, tmp_path: Path, judge: Judge) -> None:
    """A template of just what a mosaic gives: the mask becomes one colour, which nothing can be read from."""
    blur(clip, tmp_path / "a.mp4", tmp_path / "a.jpg", judge, DEFAULT_LIMITS)
    rgb, face = frames_of(tmp_path / "a.mp4")[4], judge.ordinary.detect(frames_of(clip)[4])
    alike = judge.vectors(rgb, face.boxes, face.landmarks)
    checked = blur(clip, tmp_path / "b.mp4", tmp_path / "b.jpg", judge_of(alike), DEFAULT_LIMITS)
    assert (checked.rounds, checked.flat) == (2, 1)


def test_pictures_are_held_against_their_source_and_the_gallery(judge: Judge, tmp_path: Path) -> None:
    from PIL import Image

    source = tmp_path / "face.png"
    Image.fromarray(head(None, "astronaut")).save(source)
    check = PictureJudge(judge)
    assert check(source, mosaic(source))
    assert not check(source, mosaic(source, 96)), "a picture that is hardly coarsened"
    assert not check(source, b"no picture")


def shared(run: Path, folder: Path) -> tuple[str, dict]:
    page = share(read_report_data(RunDir.open(run)), folder)
    return page.read_text("utf-8"), json.loads((folder / "checked.json").read_text("utf-8"))


def test_a_run_is_shared_with_its_clips(likeness_run_dir: Path, tmp_path: Path) -> None:
    app(
        ["report", str(likeness_run_dir), "--shareable", str(tmp_path / "x"), "--with-clips"],
        standalone_mode=False,
    )
    text = (tmp_path / "x" / "likeness.html").read_text("utf-8")
    told = json.loads((tmp_path / "x" / "checked.json").read_text("utf-8"))
    assert [clip["found"] for clip in told["clips"]] == [0] * len(told["clips"])
    names = {path.name for path in (tmp_path / "x" / "blurred").iterdir()}
    assert {clip["file"] for clip in told["clips"]} <= names
    assert text.count("<video") == text.count('<article class="hit ')
    assert told["pictures"]["pictures"] > 0
    for word in ("client-0042", "Other Person", "zoom_in"):
        assert word not in text + json.dumps(told)


def test_without_models_or_clips_the_page_is_complete_and_says_why(
    likeness_run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_report_data(RunDir.open(likeness_run_dir))
    gone = replace(
        data, clips=tuple(replace(e, clip=replace(e.clip, media_error="gone")) for e in data.clips)
    )
    monkeypatch.setattr(shareable, "_judge", lambda spec: judge_of())
    text = share(gone, tmp_path / "gone").read_text("utf-8")
    assert "Left out: the clip is not in the run directory any more, or was changed." in text
    assert "<video" not in text

    def missing(spec: object) -> Judge:
        raise Unavailable("no weights at /secret/jane_doe", "get them")

    monkeypatch.setattr(shareable, "_judge", missing)
    text = share(data, tmp_path / "bare").read_text("utf-8")
    assert "is not at hand, so no clip could be checked" in text
    assert "jane_doe" not in text
    assert text.count('<article class="hit ') == 4
    assert not (tmp_path / "bare" / "blurred").exists()
    assert json.loads((tmp_path / "bare" / "checked.json").read_text())["pictures"].keys() == {"unchecked"}


def test_clips_belong_to_the_page_that_is_passed_on(likeness_run_dir: Path) -> None:
    with pytest.raises(UsageError, match="--with-clips is about the page that may be passed on"):
        app(["report", str(likeness_run_dir), "--with-clips"], standalone_mode=False)


def test_a_page_without_clips_loads_no_torch(likeness_run_dir: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from vgaudit.cli.commands import app; "
        "app(['report', sys.argv[1], '--shareable', sys.argv[2]], standalone_mode=False); "
        "print([m for m in ('torch', 'facenet_pytorch', 'dlib') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(likeness_run_dir), str(tmp_path / "page")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clips/chaplin.mp4", "person_a/1.jpg", "person_b/1.jpg"])
def test_real_people_are_found_in_no_frame(shared_data: Path, tmp_path: Path, name: str) -> None:
    """By our own detector; and what stands in their place is far from them, wherever they were."""
    judge = judge_of()
    path, seconds = shared_data / name, (0.0, 1.5)
    if name.endswith(".jpg"):
        frames = planted(head(shared_data, name), frames=20, size=(360, 480), width=200, at=(100, 40))
        path = write_clip(tmp_path / "planted.mp4", frames, options={"crf": "16"})
    checked = blur(path, tmp_path / "a.mp4", tmp_path / "a.jpg", judge, DEFAULT_LIMITS, seconds)
    after = frames_of(tmp_path / "a.mp4")
    before = frames_of(path)[: len(after)]
    assert checked.faces >= 10
    own = []
    for was, now in zip(before, after, strict=True):
        assert len(judge.ordinary.detect(now)) == 0
        faces = judge.ordinary.detect(was)
        usable = judge.usable(was, faces)
        own.append((was, now, faces.boxes[usable], faces.landmarks[usable]))
    originals = np.concatenate([judge.vectors(was, boxes, points) for was, _, boxes, points in own])
    assert len(originals) == checked.usable > 0
    if name.endswith(".jpg"):
        left = np.concatenate([judge.vectors(now, boxes, points) for _, now, boxes, points in own])
        assert judge.nearest(left, originals).max() < POINT - 0.02
    found = vectors_in(after, judge, judge.low)
    assert (judge.nearest(found, originals) < POINT).all() or checked.flat
