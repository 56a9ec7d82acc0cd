"""Somebody who could not be compared is told, however many others could be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.extractors.base import Features
from vgaudit.extractors.face_neighbours import box_overlaps
from vgaudit.likeness.assessability import assess, link_faces, runs


def features(
    faces: list[tuple[int, float, str]], *, frames: int, failed: list[int] | None = None,
    confidence: float | list[float] = 1.0, every_s: float = 0.25, beside: bool | list[bool] = True,
) -> Features:  # fmt: skip
    """Features with a 20 px face per (examined frame, left edge, reason it cannot be compared or '')."""
    faces = sorted(faces, key=lambda face: face[0])
    index = np.array([frame for frame, _, _ in faces], np.int32)
    left = np.array([x for _, x, _ in faces], np.float32)
    box = np.stack([left, 0 * left, left + 20, 0 * left + 20], axis=1)
    reason = np.array([why for _, _, why in faces], np.str_)
    arrays = {
        "frame_index": index * 5, "pts_s": index * every_s, "box": box, "usable": reason == "", "reason": reason,
        "confidence": np.broadcast_to(np.float32(confidence), len(faces)),
        "beside": np.broadcast_to(beside, len(faces)),
        "frames_examined": np.arange(frames, dtype=np.int32) * 5, "examined_pts_s": np.arange(frames) * every_s,
        "frames_failed": np.array(failed or [], np.int32) * 5,
    }  # fmt: skip
    return Features(arrays, {"failures": ["it broke"] if failed else []})


def test_a_sharp_stranger_does_not_hide_a_blurred_person() -> None:
    found = assess(
        features([(t, x, why) for t in range(8) for x, why in ((0, ""), (60, "blurred"))], frames=8)
    )
    assert [(s.first, s.last, s.reasons) for s in found.uncompared] == [(0, 7, {"blurred": 8})]
    assert found.reason == (
        "8 of 16 faces seen could not be compared, nor any that would stand for them (8 x blurred)"
    )


def test_faces_beyond_the_largest_are_not_forgotten() -> None:
    found = assess(features([(0, 0, ""), (0, 60, "too many faces in the frame")], frames=1))
    assert found.reason.endswith("(1 x too many faces in the frame)")


def test_one_frame_that_could_be_searched_does_not_excuse_the_rest() -> None:
    found = assess(features([(19, 0, "")], frames=20, failed=list(range(19))))
    assert found.reason == "19 of 20 frames could not be searched for faces (it broke)"
    assert [(s.first, s.last) for s in found.unsearched] == [(0, 18)]


def test_a_head_that_turns_away_for_a_moment_is_accounted_for() -> None:
    turning = [(t, 2.0 * t, "extreme pose" if t in (2, 3) else "") for t in range(6)]
    assert assess(features(turning, frames=6)).reason == ""
    lost_in_between = [face for face in turning if face[0] != 1]
    assert assess(features(lost_in_between, frames=6)).reason == ""


def test_a_face_stands_for_its_track_for_a_second_only() -> None:
    found = assess(features([(0, 0, ""), *((t, 0, "blurred") for t in range(1, 12))], frames=12))
    assert [(s.first, s.last) for s in found.uncompared] == [(5, 11)]


def test_two_boxes_of_one_face_are_one() -> None:
    assert assess(features([(0, 0, ""), (0, 4, "low contrast")], frames=1)).reason == ""


@pytest.mark.parametrize(
    ("faces", "confidence", "frames", "likely"),
    [
        ([(3, 0, "low confidence")], 0.79, 8, 0),
        ([(3, 0, "low confidence")], 0.81, 8, 1),
        ([(3, 0, "low confidence"), (4, 3, "low confidence")], 0.75, 8, 2),
        ([(3, 0, "low confidence"), (5, 3, "low confidence")], 0.75, 8, 2),
        ([(3, 0, "low confidence"), (4, 60, "low confidence")], 0.75, 8, 0),
        ([(0, 0, "low confidence")], 0.75, 1, 1),
    ],
    ids=["unsure and alone", "nearly sure", "seen again", "again after a gap", "elsewhere", "only frame"],
)  # fmt: skip
def test_what_is_taken_for_a_face(
    faces: list[tuple[int, float, str]], confidence: float, frames: int, likely: int
) -> None:
    found = assess(features(faces, frames=frames, confidence=confidence))
    assert (found.faces, found.doubtful) == (likely, len(faces) - likely)
    assert bool(found.reason) == (likely > 0)


@pytest.mark.parametrize(
    ("faces", "confidence", "beside", "likely"),
    [
        ([(3, 0, "too small")], [0.998], [False], 0),
        ([(3, 0, "too small")], [0.9995], [False], 1),
        ([(3, 0, "too small")], [0.85], [True], 1),
        ([(3, 0, "too small"), (4, 60, "too small")], [0.9, 0.9], [False, False], 2),
        ([(3, 0, "too small"), (3, 60, "too small")], [0.9, 0.9], [False, False], 0),
        ([(3, 0, "too small"), (4, 60, "too small")], [0.9, 0.79], [False, False], 0),
        ([(2, 0, ""), (6, 60, "turned away")], [0.99, 0.99], [False, False], 2),
        ([(3, 0, "too small"), (4, 60, "too small")], [0.9, 0.9995], [False, False], 2),
        ([(3, 0, "too small"), (4, 60, "too small")], [0.9, 0.9], [False, True], 2),
        ([(3, 0, "too small"), (4, 60, "x"), (5, 60, "x")], [0.9, 0.75, 0.75], [False, False, False], 3),
        ([(3, 0, "")], [0.9], [False], 1),
    ],
    ids=[
        "one frame only", "sure", "the next frame too", "in two frames, wherever", "two in one frame",
        "one of two unsure", "beside a compared one", "beside a sure one",
        "beside one that lasts", "beside one that is seen again", "compared all the same",
    ],
)  # fmt: skip
def test_one_frame_s_face_is_believed_where_the_clip_shows_another_or_it_lasts(
    faces: list[tuple[int, float, str]], confidence: list[float], beside: list[bool], likely: int
) -> None:
    found = assess(features(faces, frames=8, confidence=confidence, beside=beside))
    assert (found.faces, found.doubtful) == (likely, len(faces) - likely)


@pytest.mark.parametrize("why", ["blurred", ""])
@pytest.mark.parametrize("compare", [True, False])
def test_faces_in_many_places_are_never_all_doubted(why: str, compare: bool) -> None:
    """A person who runs past is seen nowhere twice."""
    faces = [(t, 100.0 * t, why) for t in range(12)]
    found = assess(features(faces, frames=12, confidence=0.998, beside=False), compare)
    assert (found.faces, found.doubtful) == (12, 0)


def test_a_frame_that_could_not_be_searched_confirms_no_doubt() -> None:
    found = assess(
        features([(7, 0, "blurred")], frames=8, failed=list(range(7)), confidence=0.99, beside=False)
    )
    assert (found.faces, found.doubtful) == (1, 0)


def test_without_a_gallery_a_face_that_could_be_compared_is_doubted_like_any() -> None:
    once = features([(3, 0, "")], frames=8, confidence=0.9, beside=False)
    assert (assess(once).faces, assess(once).compared) == (1, 1)
    unasked = assess(once, compare=False)
    assert (unasked.faces, unasked.compared, unasked.doubtful, unasked.seen) == (0, 0, 1, ())
    lasting = assess(features([(3, 0, "")], frames=8, confidence=0.9, beside=True), compare=False)
    assert (lasting.faces, len(lasting.seen)) == (1, 1)


@given(
    faces=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([0, 15, 60, 200]), st.sampled_from(["", "blurred"])),
        max_size=14,
    ),
    failed=st.sets(st.integers(0, 9)),
)  # fmt: skip
def test_no_face_and_no_frame_gets_lost(faces: list[tuple[int, float, str]], failed: set[int]) -> None:
    given_ = features(faces, frames=10, failed=sorted(failed))
    found = assess(given_)
    assert found.faces == len(faces)
    assert {t for s in found.unsearched for t in range(s.first, s.last + 1)} == failed
    told = {t for s in found.uncompared for t in range(s.first, s.last + 1)}
    for frame, left, why in faces:
        alone = all(ok or abs(x - left) > 30 for _, x, ok in faces)
        if why and alone:
            assert frame in told
    assert bool(found.reason) == bool(failed or found.uncompared)
    for stretch in found.uncompared:
        assert len(set(stretch.faces)) == len(stretch.faces) > 0
        assert not given_["usable"][list(stretch.faces)].any()


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 50, width=32), st.floats(1, 50, width=32)), max_size=12
    )
)
def test_a_track_has_one_face_a_frame(rows: list[tuple[int, float, float]]) -> None:
    frame = np.array(sorted(row[0] for row in rows), np.intp)
    box = np.array([[x, 0, x + side, side] for _, x, side in rows], np.float32).reshape(-1, 4)
    track = link_faces(frame, box)
    assert len({(t, f) for t, f in zip(track, frame, strict=True)}) == len(rows)
    assert (track >= 0).all()


def test_overlaps_and_runs() -> None:
    box = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [30, 30, 40, 40]], np.float32)
    np.testing.assert_allclose(box_overlaps(box, box), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    assert box_overlaps(box[:0], box).shape == (0, 3)
    assert list(runs(np.array([1, 2, 2, 4, 7]), 1)) == [(1, 2), (4, 4), (7, 7)]
    assert list(runs(np.array([1, 2, 2, 4, 7]), 2)) == [(1, 4), (7, 7)]
    assert list(runs(np.array([], np.intp), 1)) == []
