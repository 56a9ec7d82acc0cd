"""Findings: never milder than review, with the fixed words, the right frame and the runner-up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.likeness.test_assessability import features
from tests.portraits import background, info_of
from vgaudit.likeness.assessability import assess
from vgaudit.likeness.entries import Role
from vgaudit.likeness.findings import (
    ComparedFaces,
    MatchPoint,
    frame_duration_s,
    match_findings,
    unassessable_findings,
)
from vgaudit.likeness.wording import FIXED_WORDS
from vgaudit.records import Finding, Severity

POINT = MatchPoint(0.4, "L2 distance 0.6", "its source", "published", strict=0.5, published=0.4)
ROLES: tuple[Role, ...] = ("protected", "consented", "cohort")


def compared(scores: np.ndarray, frame: np.ndarray, frames: int) -> ComparedFaces:
    boxes = np.arange(4 * len(scores), dtype=np.float32).reshape(-1, 4)
    return ComparedFaces(scores, frame, boxes, np.arange(frames, dtype=np.int32) * 5, np.arange(frames) * 0.5)


def find(
    scores: np.ndarray, frame: list[int], frames: int, roles: list[Role], **options: object
) -> list[Finding]:
    people = [(f"person{i}", role) for i, role in enumerate(roles)]
    settings = {"embedder": "dlib", "measure": "l2", "frame_s": 0.1} | options
    return list(
        match_findings("s1", compared(scores, np.array(frame, np.intp), frames), people, POINT, **settings)  # type: ignore[arg-type]
    )


@given(
    roles=st.lists(st.sampled_from(ROLES), min_size=1, max_size=4), frames=st.integers(1, 6),
    faces=st.integers(0, 8), seed=st.integers(0, 10_000), measure=st.sampled_from(["l2", "cosine"]),
)  # fmt: skip
def test_every_protected_match_is_found_and_none_is_milder_than_review(
    roles: list[Role], frames: int, faces: int, seed: int, measure: str
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 0.8, (faces, len(roles)))
    frame = sorted(rng.integers(0, frames, faces).tolist())
    found = find(scores, frame, frames, roles, measure=measure)
    for i, role in enumerate(roles):
        own = [f for f in found if f.detail["entry"] == f"person{i}"]
        past = {t for t, s in zip(frame, scores[:, i], strict=True) if s >= POINT.similarity}
        assert sum(f.detail["frames"] for f in own) == (0 if role == "cohort" else len(past))
        assert {f.kind for f in own} <= {"likeness.consented" if role == "consented" else "likeness.match"}
    for finding in found:
        if finding.kind == "likeness.match":
            assert finding.severity.rank >= Severity.REVIEW.rank
            assert finding.severity is not Severity.ALERT, "an uncalibrated comparison cannot alert"
        assert finding.score >= finding.threshold == POINT.similarity
        assert FIXED_WORDS in finding.message
        assert "uncalibrated" in finding.message
        assert finding.detail["calibration"] == "uncalibrated"
        assert finding.detail["meaning"] == FIXED_WORDS
        assert finding.start_s < finding.end_s
        assert ("distance" in finding.detail) == (measure == "l2")
        assert Finding.from_json(finding.to_json()) == finding


def test_a_finding_says_who_when_where_and_who_else() -> None:
    scores = np.array([[0.45, 0.1, 0.9], [0.62, 0.3, 0.9], [0.1, 0.2, 0.9], [0.41, 0.0, 0.9]])
    found = find(scores, [1, 2, 2, 4], 6, ["protected", "protected", "cohort"])
    assert [(f.start_s, f.end_s) for f in found] == [(0.5, 1.1), (2.0, 2.1)]
    first = found[0]
    assert first.box == (4, 5, 6, 7)
    detail = first.detail
    assert (detail["entry"], detail["role"], detail["frames"]) == ("person0", "protected", 2)
    assert (detail["best_frame"], detail["best_s"]) == (10, 1.0)
    assert detail["distance"] == pytest.approx(0.38)
    assert detail["runner_up"] == pytest.approx(
        {"entry": "person1", "similarity": 0.3, "margin": 0.32, "distance": 0.7}
    ), "a cohort is no runner-up"
    assert detail["frames_past_strict_point"] == 1
    assert detail["published_point"]["source"] == detail["source"] == "its source"
    assert "L2 distance 0.380, past L2 distance 0.6" in first.message


def test_one_person_has_no_runner_up() -> None:
    assert find(np.array([[0.5]]), [0], 1, ["protected"])[0].detail["runner_up"] is None


def test_unassessable_asks_for_a_person_and_says_where() -> None:
    faces = features([(1, 10, "blurred"), (2, 12, "blurred"), (2, 70, "too small")], frames=6, failed=[5])
    found = list(unassessable_findings("s", assess(faces), faces, frame_s=0.1, end_s=3.0))
    assert [(f.kind, f.severity) for f in found] == [("likeness.unassessable", Severity.REVIEW)] * 2
    frames, people = found
    assert (frames.start_s, frames.end_s) == pytest.approx((1.25, 1.35))
    assert "1 examined frame could not be searched for faces (it broke)" in frames.message
    assert (people.start_s, people.end_s) == pytest.approx((0.25, 0.6))
    assert people.detail["reasons"] == {"blurred": 2, "too small": 1}
    assert people.detail["tracks"] == len(people.detail["boxes"]) == 2
    assert list(people.box or ()) == people.detail["boxes"][0]
    assert all("not a pass" in f.message for f in found)
    assert all(Finding.from_json(f.to_json()) == f for f in found)


def test_beside_a_compared_face_it_is_a_part() -> None:
    faces = features([(1, 10, ""), (1, 70, "blurred")], frames=3)
    (part,) = unassessable_findings("s", assess(faces), faces, frame_s=0.1, end_s=3.0)
    assert (part.kind, part.severity) == ("likeness.partly_unassessable", Severity.REVIEW)
    assert part.box == (70.0, 0.0, 90.0, 20.0)


def test_a_clip_without_an_examined_frame_is_told_as_a_whole() -> None:
    faces = features([], frames=0)
    (whole,) = unassessable_findings("s", assess(faces), faces, frame_s=0.1, end_s=3.0)
    assert (whole.kind, whole.start_s, whole.end_s) == ("likeness.unassessable", 0.0, 3.0)


def test_the_fixed_words() -> None:
    assert FIXED_WORDS == "not the probability that this is the person; face only, not voice, body or name"


def test_frame_duration() -> None:
    info = info_of(background(4, 8, 8))
    assert frame_duration_s(info) == pytest.approx(0.1)
    import dataclasses

    assert frame_duration_s(dataclasses.replace(info, fps=0.0)) == pytest.approx(0.1)
    assert math.isfinite(frame_duration_s(dataclasses.replace(info, fps=0.0, frames=None)))
