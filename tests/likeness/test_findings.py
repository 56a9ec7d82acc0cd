"""Findings: never milder than review, with the fixed words, the right frame and the runner-up."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.likeness.synthetic import faces_like, person
from tests.likeness.test_assessability import features
from tests.portraits import background, info_of
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.assessability import assess
from vgaudit.likeness.entries import GalleryEntry, Role
from vgaudit.likeness.findings import (
    Audit,
    MatchPoint,
    frame_duration_s,
    match_findings,
    shown_faces,
    unassessable_findings,
)
from vgaudit.likeness.hits import People, compare
from vgaudit.likeness.tracks import tracks_of
from vgaudit.likeness.wording import FIXED_WORDS
from vgaudit.records import Finding, Severity

POINT = MatchPoint(0.4, "L2 distance 0.6", "its source", "published", strict=0.5, published=0.4)
EMBEDDER = DlibEmbedder()
ROLES: tuple[Role, ...] = ("protected", "consented", "cohort")


def find(
    people: list[int],
    roles: list[Role],
    *,
    frame: list[int] | None = None,
    named: tuple[int, ...] = (),
    noise: float = 0.05,
    measure: Literal["l2", "cosine"] = "l2",
) -> list[Finding]:
    """Findings of one track a person, against a gallery of as many people as there are roles."""
    faces = faces_like(people=people, track=people, frame=frame, noise=noise)
    tracks = tracks_of(faces, EMBEDDER, 0.0)
    entries = [GalleryEntry(f"person{i}", role) for i, role in enumerate(roles)]
    templates = np.stack([person(i) for i in range(len(roles))])
    owners = np.arange(len(roles), dtype=np.int32)
    groups = [
        People.of([i for i, r in enumerate(roles) if r == role], templates, owners)
        for role in ("protected", "consented")
    ]
    held = compare(tracks, faces, groups, EMBEDDER, POINT.similarity, POINT.strict)
    hits = [hit for c in held for hit in c.hits]
    audit = Audit(entries, roles, POINT, "dlib", measure)
    return list(match_findings("s1", hits, tracks, faces, audit, named=named, frame_s=0.1))


@given(
    roles=st.lists(st.sampled_from(ROLES), min_size=1, max_size=4),
    people=st.lists(st.integers(0, 5), max_size=8),
    measure=st.sampled_from(["l2", "cosine"]),
    named=st.sets(st.integers(0, 3)),
)
def test_every_protected_match_is_found_and_none_is_milder_than_review(
    roles: list[Role], people: list[int], measure: Literal["l2", "cosine"], named: set[int]
) -> None:
    found = find(people, roles, measure=measure, named=tuple(named))
    for i, role in enumerate(roles):
        own = [f for f in found if f.detail["entry"] == f"person{i}"]
        assert len(own) == (0 if role == "cohort" else int(i in people))
        kind = "consented" if role == "consented" else "solicited" if i in named else "match"
        assert {f.kind for f in own} <= {f"likeness.{kind}"}
        assert all(f.detail["frames"] == people.count(i) for f in own)
    for finding in found:
        if finding.kind != "likeness.consented":
            assert finding.severity is Severity.REVIEW
        assert finding.score >= finding.threshold == POINT.similarity
        assert FIXED_WORDS in finding.message
        assert "uncalibrated" in finding.message
        assert finding.detail["calibration"] == "uncalibrated"
        assert finding.detail["rate"] is finding.detail["histogram"] is None
        assert finding.detail["meaning"] == FIXED_WORDS
        assert finding.start_s < finding.end_s
        assert ("distance" in finding.detail) == (measure == "l2")
        assert Finding.from_json(finding.to_json()) == finding


def test_a_finding_says_who_when_where_and_who_else() -> None:
    (found,) = find([0, 0, 0, 0, 0], ["protected", "protected", "cohort"], frame=[1, 2, 4, 6, 7])
    assert (found.start_s, found.end_s) == pytest.approx((0.1, 0.8))
    detail = found.detail
    assert (detail["entry"], detail["role"], detail["intent"]) == ("person0", "protected", "unintended")
    assert (detail["frames"], detail["supporting_frames"], detail["frames_past_strict_point"]) == (5, 5, 5)
    timeline = detail["timeline"]
    best = int(np.argmax(timeline["similarity"]))
    assert detail["best_s"] == timeline["t"][best]
    assert detail["best_frame"] == [1, 2, 4, 6, 7][best]
    assert found.score == detail["best_similarity"] == 1 - detail["distance"]
    assert found.box == (10, 10, 70, 70)
    runner_up = detail["runner_up"]
    assert runner_up["entry"] == "person1", "a cohort is no runner-up"
    assert runner_up["margin"] == pytest.approx(detail["similarity"] - runner_up["similarity"])
    assert detail["point"]["source"] == detail["source"] == "its source"
    assert ", past L2 distance 0.6" in found.message
    assert [s["kind"] for s in detail["shown"]] == ["best", "best", "best", "typical"]
    assert detail["shown"][0]["similarity"] == max(timeline["similarity"])


def test_one_person_has_no_runner_up() -> None:
    assert find([0], ["protected"])[0].detail["runner_up"] is None


def test_whom_the_prompt_names_is_told_apart() -> None:
    (found,) = find([0], ["protected", "protected"], named=(0,))
    assert (found.kind, found.detail["intent"]) == ("likeness.solicited", "solicited")
    assert "whom the prompt names" in found.message
    (other,) = find([0], ["protected", "protected"], named=(1,))
    assert other.kind == "likeness.match"


@pytest.mark.parametrize(
    ("n", "kinds"), [(0, []), (1, ["best"]), (3, ["best"] * 3), (9, ["best"] * 3 + ["typical"])]
)
def test_three_best_faces_and_a_typical_one_are_shown(n: int, kinds: list[str]) -> None:
    similarity = np.random.default_rng(3).permutation(n) / 10
    shown = shown_faces(similarity)
    assert [kind for _, kind in shown] == kinds
    assert [similarity[i] for i, _ in shown[:3]] == sorted(similarity, reverse=True)[:3]
    if n > 3:
        rest = sorted(similarity)[: n - 3]
        assert abs(rest.index(similarity[shown[3][0]]) - (n - 4) / 2) <= 0.5, "the middle of the others"


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


def test_a_message_is_made_of_sentences_and_tells_why_a_consent_does_not_count() -> None:
    faces = faces_like(people=[0, 0, 0], track=[0, 0, 0])
    tracks = tracks_of(faces, EMBEDDER, 0.0)
    templates, owners = np.stack([person(0)]), np.zeros(1, np.int32)
    held = compare(
        tracks, faces, [People.of([0], templates, owners)], EMBEDDER, POINT.similarity, POINT.strict
    )
    entries: list[GalleryEntry] = [GalleryEntry("person0", "protected")]
    for gap in ("", "consent covers ads, not the use 'film'"):
        audit = Audit(entries, ["protected"], POINT, "dlib", "l2", None, (gap,))
        (found,) = match_findings("s", held[0].hits, tracks, faces, audit, named=(), frame_s=0.1)
        assert found.detail.get("consent_gap", "") == gap
        told = f" The consent on file does not count here: {gap}." if gap else ""
        assert found.message.endswith(
            f", past L2 distance 0.6.{told} It is uncalibrated: without a cohort nobody knows how many unrelated "
            f"people are as alike. This is {FIXED_WORDS}."
        )
