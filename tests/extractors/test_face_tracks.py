"""Faces over time: linked, compared by what they look like, and looked at more closely where they change."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.portraits import astronaut, background, head, info_of, planted
from vgaudit.extractors import face_detection
from vgaudit.extractors.base import Features
from vgaudit.extractors.face_chains import Chains, SeenFaces
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_quality import combined, quality
from vgaudit.extractors.face_tracks import (
    SAME_LOOK,
    link_faces,
    look,
    matched,
)
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.extractors.frame_choice import EVERY
from vgaudit.extractors.shot_cuts import ShotCounter
from vgaudit.video import Frames


def tracks_of(clip: np.ndarray, fps: float = 10.0, block: int = 16) -> Features:
    extractor = FacesExtractor(FacesOptions())
    extractor.load()
    extraction = extractor.start(info_of(clip))
    for start in range(0, len(clip), block):
        part = clip[start : start + block].copy()
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / fps))
        part[:] = 0
    return extraction.finish()


def laid_over(
    clip: np.ndarray, picture: np.ndarray, width: int, at: tuple[int, int], during: range
) -> np.ndarray:
    """The clip with a picture over it in some frames."""
    over = planted(picture, frames=len(clip), size=clip.shape[1:3], width=width, at=at, during=during)
    shown = (over != background(*clip.shape[:3])).any(axis=(0, 3))
    out = clip.copy()
    for t in during:
        out[t][shown] = over[t][shown]
    return out


# -- linking ---------------------------------------------------------------------------------------


def box(x: float, side: float = 20) -> list[float]:
    return [x, 0, x + side, side]


def test_the_largest_overlap_is_linked_first_and_each_box_once() -> None:
    a, b = np.array([box(0), box(6)], np.float32), np.array([box(5), box(100)], np.float32)
    assert list(matched(a, b)) == [(1, 0)]
    assert list(matched(a[:0], b)) == []


def test_a_face_is_looked_for_as_far_as_asked() -> None:
    frame, boxes = np.array([0, 3, 9, 16], np.intp), np.array([box(0), box(2), box(3), box(3)], np.float32)
    assert link_faces(frame, boxes, reach=6).tolist() == [0, 0, 0, 1]
    assert link_faces(frame, boxes, reach=2).tolist() == [0, 1, 2, 3]


# -- what faces look like --------------------------------------------------------------------------


def looks_of(clip: np.ndarray) -> np.ndarray:
    detector = FaceDetector(device="cpu")
    detector.load()
    return np.array([look(rgb, detector.detect(rgb).landmarks[0]) for rgb in clip])


def test_a_face_looks_like_itself_and_not_like_another(shared_data: Path) -> None:
    sizes = [
        planted(head(None, "astronaut"), frames=1, size=(240, 240), width=w, at=at)[0]
        for w, at in ((70, (20, 20)), (90, (60, 50)), (140, (40, 20)))
    ]
    others = [
        planted(head(shared_data, f"person_{p}/1.jpg"), frames=1, size=(240, 240), width=90)[0] for p in "ab"
    ]
    looks = looks_of(np.array([*sizes, *others]))
    alike = looks @ looks.T
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    assert alike[:3, :3].min() > SAME_LOOK
    assert alike[:3, 3:].max() < SAME_LOOK
    assert alike[3, 4] < SAME_LOOK


def test_landmarks_that_make_no_sense_give_no_picture_and_no_error() -> None:
    rgb = astronaut()[:64, :64]
    for points in (
        np.zeros((5, 2)),
        np.full((5, 2), 900.0),
        np.array([[-50, -50], [90, -40], [20, 3], [0, 99], [9, 9]]),
    ):
        picture = look(rgb, points.astype(np.float32))
        assert picture.shape == (32 * 32,)
        assert np.isfinite(picture).all()


# -- where a second look is taken ------------------------------------------------------------------


def seen(*faces: tuple[float, bool], shot: int = 0, who: int = 0) -> SeenFaces:
    looks = np.zeros((len(faces), 4), np.float32)
    looks[:, who] = 1
    boxes = np.array([box(x) for x, _ in faces], np.float32).reshape(-1, 4)
    return SeenFaces(shot, boxes, np.array([ok for _, ok in faces], bool), looks)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([seen(), seen()], [(False, False)]),
        ([seen((0, True)), seen((1, True))], [(False, False)]),
        ([seen(), seen((0, True))], [(True, False)]),
        ([seen((0, True)), seen()], [(True, True)]),
        ([seen((0, True))] * 3 + [seen()], [(False, False), (False, False), (True, False)]),
        ([seen((0, True)), seen((0, True), who=1)], [(True, True)]),
        ([seen((0, True)), seen((0, True), shot=1)], [(True, True)]),
        ([seen((0, True)), *[seen((0, False))] * 3], [(False, False)] * 2 + [(True, False)]),
        ([seen((0, False))] * 4, [(False, False)] * 3),
    ],
    ids=["nobody", "goes on", "comes", "goes", "goes after three", "another", "cut", "too rarely", "never usable"],
)  # fmt: skip
def test_where_frames_left_out_are_examined(
    steps: list[SeenFaces], expected: list[tuple[bool, bool]]
) -> None:
    chains = Chains()
    assert [chains.step(a, b) for a, b in pairwise(steps)] == expected


def test_at_the_end_of_the_clip_a_face_seen_too_rarely_is_looked_for() -> None:
    chains = Chains()
    chains.step(seen(), seen((0, True)))
    assert chains.end()
    chains.step(seen((0, True)), seen((0, True)))
    chains.step(seen((0, True)), seen((0, True)))
    assert not chains.end()


# -- whole clips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [10.0, 24.0, 30.0, 60.0])
@pytest.mark.parametrize("first", [0, 1, 7, 8, 9, 17])
def test_a_face_of_three_frames_is_seen_in_all_three(fps: float, first: int) -> None:
    clip = planted(head(None, "astronaut"), frames=20, at=(50, 15), during=range(first, first + 3))
    faces = tracks_of(clip, fps)
    assert faces["frame_index"][faces["usable"]].tolist() == [first, first + 1, first + 2]
    assert len(np.unique(faces["track"])) == 1
    assert set(range(0, 20, EVERY)) | {19} <= set(faces["frames_examined"].tolist())


def test_a_face_laid_over_another_for_three_frames_is_embedded(shared_data: Path) -> None:
    long = planted(head(None, "astronaut"), frames=24, size=(160, 200), width=100, at=(50, 15))
    clip = laid_over(long, head(shared_data, "person_b/1.jpg"), 104, (48, 12), range(10, 13))
    faces = tracks_of(clip)
    alone = tracks_of(long)
    known = alone["embedding"][alone["usable"]].mean(axis=0)
    other = np.linalg.norm(faces["embedding"] - known, axis=1) > 0.6
    assert faces["frame_index"][faces["usable"] & other].tolist() == [10, 11, 12]
    assert len(np.unique(faces["track"][faces["usable"]])) >= 1
    mine = faces["usable"] & ~other
    assert (faces["frame_index"][mine] < 10).sum() >= 3
    assert (faces["frame_index"][mine] > 12).sum() >= 3


def test_a_long_face_is_looked_at_in_every_third_frame() -> None:
    faces = tracks_of(planted(head(None, "astronaut"), frames=33, at=(50, 15)))
    assert faces["frames_examined"].tolist() == [*range(0, 31, 3), 32]
    assert faces["usable"].all()
    assert np.linalg.norm(faces["embedding"], axis=1).min() > 1, "each of them is embedded"


def test_only_the_middle_of_a_face_changes_for_three_frames(shared_data: Path) -> None:
    """Hair and outline stay, so the frames look alike; whoever it is in between is compared all the same."""
    clip = planted(head(None, "astronaut"), frames=33, at=(50, 15))
    found = tracks_of(clip)
    left, top, right, bottom = found["box"][0].round().astype(int)
    other = head(shared_data, "person_b/1.jpg")
    seen = tracks_of(planted(other, frames=1))["box"][0].round().astype(int)
    shown = planted(other, frames=1)[0][seen[1] : seen[3], seen[0] : seen[2]]
    face = cv2.resize(shown, (right - left, bottom - top))
    mask = np.zeros(face.shape[:2], np.float32)
    centre = (face.shape[1] // 2, int(0.55 * face.shape[0]))
    cv2.ellipse(mask, centre, (int(0.36 * face.shape[1]), int(0.38 * face.shape[0])), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    for t in (16, 17, 18):
        part = clip[t, top:bottom, left:right]
        part[:] = mask * face + (1 - mask) * part
    faces = tracks_of(clip)
    swapped = np.isin(faces["frame_index"], (16, 17, 18))
    assert swapped.any()
    assert faces["usable"][swapped].all()
    template = tracks_of(planted(other, frames=1))["embedding"][0]
    near = np.linalg.norm(faces["embedding"] - template, axis=1)
    assert near[swapped].max() < near[~swapped].min(), "the faces in between are embedded by themselves"


def test_blocks_and_batches_of_frames_change_nothing(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = planted(
        head(None, "astronaut"), frames=21, size=(160, 200), width=80, at=(100, 30), during=range(4, 15)
    )
    clip = laid_over(clip, head(shared_data, "person_b/1.jpg"), 60, (10, 40), range(7, 10))
    whole = tracks_of(clip)
    assert len(np.unique(whole["track"])) == 2
    for block, batch in ((1, 1), (5, 4), (21, 8)):
        monkeypatch.setitem(face_detection.DETECT_BATCH, "cpu", batch)
        other = tracks_of(clip, block=block)
        for name, array in whole.arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(other[name], array, atol=1e-2)
            elif name not in ("crop_jpeg", "crop_start"):
                np.testing.assert_array_equal(other[name], array)


def test_crops_can_be_looked_at() -> None:
    faces = tracks_of(planted(head(None, "astronaut"), frames=20, at=(50, 15)))
    start = faces["crop_start"]
    assert start[0] == 0
    assert start[-1] == len(faces["crop_jpeg"])
    assert (np.diff(start) > 0).tolist() == faces["usable"].tolist()
    detector = FaceDetector(device="cpu")
    detector.load()
    for i in np.flatnonzero(faces["usable"]):
        picture = cv2.imdecode(faces["crop_jpeg"][start[i] : start[i + 1]], cv2.IMREAD_COLOR)
        assert max(picture.shape[:2]) == 160
        assert len(detector.detect(np.ascontiguousarray(picture[..., ::-1]))) == 1


def test_a_cut_tears_a_track(shared_data: Path) -> None:
    picture = head(None, "astronaut")
    one = planted(picture, frames=11, at=(50, 15))
    two = 255 - background(10, 144, 192)
    two[:, 15:125, 50:140] = one[:10, 15:125, 50:140]
    faces = tracks_of(np.concatenate([one, two]))
    at = faces["frames_examined"]
    assert faces["shot"].tolist() == (at >= 11).astype(int).tolist()
    assert {9, 10, 11, 12} <= set(at.tolist())
    track = faces["track"]
    assert set(track[faces["frame_index"] < 11]).isdisjoint(track[faces["frame_index"] >= 11])


def test_shots_are_counted_in_real_clips(shared_data: Path) -> None:
    from vgaudit.video import ClipReader

    names = ("real/0001", "real/0405", "cogvideo/0001")
    parts = []
    for name in names:
        with ClipReader(shared_data / "fetv" / f"{name}.mp4") as clip:
            parts.append(np.concatenate([block.rgb for block in clip])[:12])
    counter, found, index = ShotCounter(), [], 0
    for part in parts:
        for rgb in part:
            found.append(counter.push(index, cv2.resize(rgb, (160, 120))))
            index += 1
    assert found[:12] == [0] * 12
    assert found[11] < found[12]
    assert found[23] < found[24]
    assert found[24:] == [found[24]] * 12


# -- quality ---------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1, 3), min_size=4, max_size=4), st.integers(0, 3), st.floats(0, 2))
def test_more_of_anything_never_lowers_the_quality(shares: list[float], which: int, more: float) -> None:
    better = list(shares)
    better[which] += more
    assert 0 <= combined(*shares) <= combined(*better) + 1e-12 <= 1 + 1e-12


def test_quality_falls_with_size_blur_doubt_and_pose() -> None:
    detector = FaceDetector(device="cpu")
    detector.load()

    def of(rgb: np.ndarray, confidence: float | None = None, nose: float = 0.0) -> float:
        found = detector.detect(rgb)
        points = found.landmarks[0].copy()
        points[2] += nose * (points[1] - points[0])
        return quality(rgb, found.boxes[0], points, confidence or float(found.confidence[0]))

    large, small = (
        planted(head(None, "astronaut"), frames=1, size=(240, 240), width=w)[0] for w in (150, 70)
    )
    assert 0 < of(small) < of(large) <= 1
    assert of(cv2.GaussianBlur(large, (0, 0), 2.5)) < of(large)
    assert of(large, confidence=0.91) < of(large)
    assert of(large, nose=0.4) < of(large)
