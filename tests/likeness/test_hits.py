"""Tracks held against people: exact, with support by frames, and with who else they resemble."""

from __future__ import annotations

import numpy as np
import pytest

from tests.likeness.synthetic import faces_like, person
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.hits import Compared, People, compare
from vgaudit.likeness.tracks import tracks_of

EMBEDDER = DlibEmbedder()
POINT, STRICT = 0.4, 0.5
TEMPLATES = np.stack([person(0), person(0, 0.3), person(1), person(2), person(3)])
OWNERS = np.array([0, 0, 1, 2, 3], np.int32)


def held(*groups: list[int], **faces: object) -> list[Compared]:
    features = faces_like(**faces)  # type: ignore[arg-type]
    people = [People.of(group, TEMPLATES, OWNERS) for group in groups]
    return compare(tracks_of(features, EMBEDDER, POINT), features, people, EMBEDDER, POINT, STRICT)


def test_people_keep_their_places() -> None:
    people = People.of([3, 0], TEMPLATES, OWNERS)
    assert people.entries.tolist() == [0, 3]
    assert people.owners.tolist() == [0, 0, 1]
    assert np.array_equal(people.of_entry(1), TEMPLATES[4:])
    assert np.array_equal(people.of_entry(0), TEMPLATES[:2])


def test_a_track_of_somebody_is_a_hit_with_its_support() -> None:
    (found,) = held([0, 1, 2, 3], people=[1, 1, 1, 1], track=[0, 0, 0, 0])
    (hit,) = found.hits
    assert (hit.track, hit.entry, hit.support, hit.strict_support) == (0, 1, 4, 4)
    assert hit.similarity > 0.9
    assert hit.face_similarity.shape == (4,)
    assert hit.best_similarity >= hit.similarity
    assert hit.runner_up is not None
    assert hit.runner_up[0] != 1
    assert hit.runner_up[1] < 0
    assert found.best == pytest.approx([hit.best_similarity])


def test_support_counts_frames_and_not_faces() -> None:
    (found,) = held([1], people=[1, 1, 1], track=[0, 0, 0], frame=[0, 0, 1])
    assert found.hits[0].support == 2


def test_one_frame_is_a_hit_though_the_template_is_not() -> None:
    features = faces_like(people=[9] * 6, track=[0] * 6, noise=0.02)
    features["embedding"][2] = person(9) + (person(1) - person(9)) * 0.3
    near = features["embedding"][2:3] + (person(1) - person(9)) * 0.02
    people = People.of([0], near.astype(np.float32), np.zeros(1, np.int32))
    tracks = tracks_of(features, EMBEDDER, 0.0)
    (found,) = compare(tracks, features, [people], EMBEDDER, 0.9, 0.95)
    (hit,) = found.hits
    assert hit.similarity < 0.9 < hit.best_similarity
    assert (hit.support, hit.strict_support) == (1, 1)


def test_groups_are_told_apart_and_a_runner_up_may_be_of_any() -> None:
    protected, consented = held([1, 2], [0], people=[0, 0, 2, 2], track=[0, 0, 1, 1], frame=[0, 1, 0, 1])
    assert [h.entry for h in protected.hits] == [2]
    assert [h.entry for h in consented.hits] == [0]
    assert protected.hits[0].runner_up is not None
    assert protected.hits[0].runner_up[0] in (0, 1)
    assert np.isnan(protected.face_best).sum() == 0


def test_nobody_to_compare_with_and_nobody_to_compare() -> None:
    nobody, somebody = held([], [1], people=[1], track=[0])
    assert nobody.hits == ()
    assert np.isneginf(nobody.best).all()
    assert somebody.hits[0].entry == 1
    assert somebody.hits[0].runner_up is None, "there is nobody else"
    (empty,) = held([1], people=[], track=[])
    assert empty.hits == ()


def test_faces_without_embedding_are_not_compared() -> None:
    (found,) = held([1], people=[1, 1, 1], track=[0, 0, 0], embedded=[True, False, True])
    assert np.isnan(found.face_best).tolist() == [False, True, False]
    assert found.hits[0].support == 2
