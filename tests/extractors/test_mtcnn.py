"""The cascade finds what facenet-pytorch finds, whatever else is in the batch, and never breaks."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.portraits import astronaut, background, head, planted, portrait
from vgaudit.extractors import mtcnn
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_neighbours import box_overlaps
from vgaudit.extractors.mtcnn import Cascade, Found
from vgaudit.video import ClipReader


@cache
def cascade() -> Cascade:
    return Cascade(20, "cpu")


@cache
def theirs() -> Any:
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, device="cpu").eval()


def agree(rgb: np.ndarray) -> int:
    """How many faces of a frame both find; every confident one of either must be one of the other."""
    boxes, scores, landmarks = theirs().detect(rgb, landmarks=True)
    ours = cascade().detect([rgb])[0]
    if boxes is None:
        assert not (ours.scores >= 0.75).any()
        return 0
    boxes, scores, landmarks = (np.asarray(a, np.float32) for a in (boxes, scores, landmarks))
    overlaps = box_overlaps(boxes, ours.boxes)
    for i in np.flatnonzero(scores >= 0.9):
        j = int(overlaps[i].argmax())
        assert overlaps[i, j] > 0.8
        side = boxes[i, 2] - boxes[i, 0]
        np.testing.assert_allclose(ours.boxes[j], boxes[i], atol=0.01 * side)
        np.testing.assert_allclose(ours.landmarks[j], landmarks[i], atol=0.01 * side)
        np.testing.assert_allclose(ours.scores[j], scores[i], atol=1e-3)
    for j in np.flatnonzero(ours.scores >= 0.9):
        assert overlaps[:, j].max() > 0.8
    return int((scores >= 0.9).sum())


def frames_of(path: Path, every: int) -> list[np.ndarray]:
    with ClipReader(path) as clip:
        return list(np.concatenate([block.rgb for block in clip])[::every])


def test_it_finds_what_facenet_pytorch_finds_in_a_portrait() -> None:
    assert agree(astronaut()) >= 1
    assert agree(astronaut()[:301, 33:400]) >= 1


def test_it_finds_what_facenet_pytorch_finds_in_clips(shared_data: Path) -> None:
    faces = agree(portrait(shared_data / "faces" / "person_b" / "1.jpg"))
    for name in ("cogvideo/0405", "real/0405", "real/0272", "text2video-zero/0272", "zeroscope/0405"):
        faces += sum(agree(rgb) for rgb in frames_of(shared_data / "fetv" / f"{name}.mp4", 8))
    assert faces >= 20


def same(a: Found, b: Found) -> None:
    assert len(a.boxes) == len(b.boxes)
    for name in ("boxes", "landmarks", "scores"):
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), atol=1e-2 if name != "scores" else 1e-4
        )


def test_what_else_is_in_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = planted(head(None, "astronaut"), frames=2, at=(40, 10))
    frames = [
        *one,
        *background(2, 144, 192),
        *planted(head(None, "astronaut"), frames=2, width=60, at=(100, 60)),
    ]
    alone = [cascade().detect([rgb])[0] for rgb in frames]
    assert [len(each.boxes) for each in alone] == [1, 1, 0, 0, 1, 1]
    for order in ([0, 1, 2, 3, 4, 5], [5, 2, 0], [3, 3, 4]):
        for chunk in (256, 2):
            monkeypatch.setattr(mtcnn, "CHUNK", chunk)
            for i, found in zip(order, cascade().detect([frames[i] for i in order]), strict=True):
                same(found, alone[i])


@settings(max_examples=25, deadline=None)
@given(height=st.integers(20, 90), width=st.integers(20, 90), seed=st.integers(0, 99), flat=st.booleans())
def test_no_frame_breaks_it(height: int, width: int, seed: int, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgb[:] = rgb[0, 0] if flat else rgb
    (found,) = cascade().detect([rgb])
    assert found.boxes.shape == (len(found.scores), 4)
    assert found.landmarks.shape == (len(found.scores), 5, 2)


def test_faces_that_leave_the_frame_do_not_break_it() -> None:
    for at in ((-40, 10), (150, 10), (40, -50), (40, 110), (-30, -40)):
        clip = planted(head(None, "astronaut"), frames=1, at=at)
        (found,) = cascade().detect(list(clip))
        assert np.isfinite(found.boxes).all()


@settings(max_examples=20, deadline=None)
@given(height=st.integers(20, 1100), width=st.integers(20, 2000), min_face=st.sampled_from([12, 20, 37]))
def test_the_steps_of_the_pyramid_do_not_touch(height: int, width: int, min_face: int) -> None:
    if min(height, width) < min_face:
        return
    for canvas in mtcnn.pyramid(height, width, min_face):
        taken = np.zeros((canvas.height, canvas.width), np.int8)
        for step in canvas.steps:
            assert step.top % 2 == step.left % 2 == 0
            taken[step.top : step.top + step.height, step.left : step.left + step.width] += 1
        assert taken.max() == 1
        assert taken.sum() == sum(s.height * s.width for s in canvas.steps), "a step leaves its canvas"
        assert len(np.unique(canvas.cell)) == len(canvas.cell)


def test_a_larger_frame_is_searched_at_the_short_side_asked_for() -> None:
    detector = FaceDetector(short_side=256, device="cpu")
    detector.load()
    found = detector.detect(astronaut())
    whole = cascade().detect([astronaut()])[0]
    largest = whole.boxes[(whole.boxes[:, 2] - whole.boxes[:, 0]).argmax()]
    assert box_overlaps(found.boxes[:1], largest[None])[0, 0] > 0.7
