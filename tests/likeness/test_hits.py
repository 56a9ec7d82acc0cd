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
    assert hit.best_similarity == hit.face_similarity.max()
    assert hit.runner_up is not None
    assert hit.runner_up[0] != 1
    assert hit.runner_up[1] < 0
    assert found.best == pytest.approx([hit.best_similarity])


def test_support_counts_frames_and_not_faces() -> None:
    (found,) = held([1], people=[1, 1, 1], track=[0, 0, 0], frame=[0, 0, 1])
    assert found.hits[0].support == 2


def wandering(distances: list[float]) -> Compared:
    """One track whose faces lie at these distances from a person, all in one direction."""
    features = faces_like(people=[9] * len(distances), track=[0] * len(distances))
    away = person(9) - person(1)
    away /= np.linalg.norm(away)
    features["embedding"][:] = person(1) + np.array(distances)[:, None] * away
    people = People.of([0], person(1)[None], np.zeros(1, np.int32))
    (found,) = compare(tracks_of(features, EMBEDDER, 0.0), features, [people], EMBEDDER, POINT, STRICT)
    return found


@pytest.mark.parametrize(
    ("distances", "match"),
    [
        ([0.59], True),  # all there is of it
        ([0.58, 0.61], True),  # the mean bears it out
        ([0.9, 0.58], True),  # two are too few to outvote one of them
        ([0.58, 0.9, 0.9, 0.9], False),  # one face of many, and nothing else
        ([0.58, 0.59, 0.9, 0.9, 0.9, 0.9], True),  # two faces
        ([0.45, 0.9, 0.9, 0.9, 0.9, 0.9], True),  # past the strict point
        ([0.61, 0.62], False),
    ],
)
def test_a_match_is_a_face_that_is_borne_out(distances: list[float], match: bool) -> None:
    found = wandering(distances)
    assert bool(found.hits) is match
    assert bool(found.let_go) is (not match and min(distances) <= 0.6), "what is let go is told"
    assert found.best == pytest.approx([1 - min(distances)], abs=1e-5), "the value is told all the same"


def test_the_mean_of_a_restless_track_is_no_match_by_itself() -> None:
    features = faces_like(people=[1] * 8, track=[0] * 8, noise=0.7)
    people = People.of([0], person(1)[None], np.zeros(1, np.int32))
    tracks = tracks_of(features, EMBEDDER, -1.0)
    assert np.linalg.norm(features["embedding"] - person(1), axis=1).min() > 0.6
    (found,) = compare(tracks, features, [people], EMBEDDER, POINT, STRICT)
    assert found.hits == ()


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


def test_without_a_strict_point_a_lone_face_is_never_let_go() -> None:
    features = faces_like(people=[9] * 8, track=[0] * 8)
    features["embedding"][3] = person(1)
    people = People.of([0], person(1)[None], np.zeros(1, np.int32))
    tracks = tracks_of(features, EMBEDDER, -2.0)
    (found,) = compare(tracks, features, [people], EMBEDDER, POINT, None)
    assert (len(found.hits), found.let_go) == (1, ())
