"""Tracks hold one face: split where the embedding says that it is another one, whatever the boxes say."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.likeness.synthetic import faces_like
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.tracks import _steps, tracks_of

EMBEDDER = DlibEmbedder()
COHERENCE = 0.4


def spans(**faces: object) -> list[tuple[list[int], list[int]]]:
    found = tracks_of(faces_like(**faces), EMBEDDER, COHERENCE)  # type: ignore[arg-type]
    return [(t.faces.tolist(), t.embedded.tolist()) for t in found]


def test_one_face_over_time_is_one_track() -> None:
    assert spans(people=[0, 0, 0, 0], track=[0, 0, 0, 0]) == [([0, 1, 2, 3], [0, 1, 2, 3])]


def test_two_tracks_of_the_extractor_stay_two() -> None:
    assert spans(people=[0, 1, 0, 1], track=[0, 1, 0, 1], frame=[0, 0, 1, 1]) == [
        ([0, 2], [0, 2]),
        ([1, 3], [1, 3]),
    ]


def test_somebody_elses_face_at_the_same_place_is_another_track() -> None:
    assert spans(people=[0, 0, 1, 1, 0], track=[0] * 5) == [
        ([0, 1], [0, 1]),
        ([2, 3], [2, 3]),
        ([4], [4]),
    ]


def test_faces_without_embedding_go_with_the_nearest_in_time() -> None:
    found = spans(people=[0, 0, 0, 1, 1], track=[0] * 5, embedded=[True, False, False, True, False])
    assert found == [([0, 1], [0]), ([2, 3, 4], [3])]


def test_a_track_without_any_embedding_is_none() -> None:
    assert spans(people=[0, 0, 1], track=[0, 0, 1], embedded=[False, False, True]) == [([2], [2])]
    assert spans(people=[], track=[]) == []


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_order_of_the_faces_does_not_matter(order: list[int]) -> None:
    faces = faces_like(people=[0, 0, 1, 1], track=[0, 0, 0, 0])
    of_frames = ("shot", "frames_examined", "examined_pts_s", "crop_jpeg", "crop_start", "frames_failed")
    shuffled = type(faces)({k: v if k in of_frames else v[order] for k, v in faces.arrays.items()})
    found = tracks_of(shuffled, EMBEDDER, COHERENCE)
    frames = [shuffled["frame_index"][t.faces].tolist() for t in found]
    assert frames == [[0, 1], [2, 3]]
    assert all(np.all(np.diff(shuffled["pts_s"][t.faces]) > 0) for t in found)


def test_a_face_that_goes_on_past_a_cut_is_one_track_and_another_is_not() -> None:
    same = faces_like(people=[0, 0, 0, 0], track=[0, 0, 1, 1])
    same["box"][:] = same["box"][0]
    assert len(tracks_of(same, EMBEDDER, COHERENCE)) == 2, "two tracks of one shot stay two"
    same["shot"][2:] = 1
    (track,) = tracks_of(same, EMBEDDER, COHERENCE)
    assert track.faces.tolist() == track.embedded.tolist() == [0, 1, 2, 3]
    assert (track.start_s, track.last_s) == (0.0, pytest.approx(0.3))
    other = faces_like(people=[0, 0, 1, 1], track=[0, 0, 1, 1])
    other["box"][:] = other["box"][0]
    other["shot"][2:] = 1
    assert len(tracks_of(other, EMBEDDER, COHERENCE)) == 2
    moved = faces_like(people=[0, 0, 0, 0], track=[0, 0, 1, 1])
    moved["shot"][2:] = 1
    assert len(tracks_of(moved, EMBEDDER, COHERENCE)) == 2, "somewhere else in the picture"
    late = faces_like(people=[0, 0, 0], track=[0, 0, 1], frame=[0, 1, 9])
    late["box"][:] = late["box"][0]
    late = type(late)(
        {**late.arrays, "frames_examined": np.arange(10, dtype=np.int32), "shot": np.arange(10) // 5}
    )
    assert len(tracks_of(late, EMBEDDER, COHERENCE)) == 2, "long after"


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 258, 600])
def test_neighbours_are_compared_in_blocks_as_all_pairs_would(count: int) -> None:
    vectors = np.random.default_rng(count).standard_normal((count, 128)).astype(np.float32)
    every = EMBEDDER.similarity(vectors, vectors).diagonal(1)
    assert _steps(vectors, EMBEDDER) == pytest.approx(every, abs=1e-9)
    assert len(_steps(vectors, EMBEDDER)) == count - 1


def test_thousands_of_tracks_are_linked_in_no_time() -> None:
    """Each lasts one frame, in a shot of its own at its own place: all have to be asked, none goes on."""
    n = 4000
    faces = faces_like(people=[0] * n, track=list(range(n)))
    faces["shot"][:] = np.arange(n)
    begun = time.process_time()
    assert len(tracks_of(faces, EMBEDDER, COHERENCE)) == n
    assert time.process_time() - begun < 3
