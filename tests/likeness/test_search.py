"""The search finds what a comparison of all pairs in float64 finds, whatever the chunk, at and around the point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vgaudit.extractors.face_embedding import Measure, cosine_similarity, l2_similarity, unit_norm
from vgaudit.likeness import search as module
from vgaudit.likeness.matching import entry_similarities
from vgaudit.likeness.search import NOBODY, Found, search


def brute_force(
    tracks: NDArray[np.float32], templates: NDArray[np.float32], owners: NDArray[np.int32], measure: Measure
) -> NDArray[np.float64]:
    similarity = l2_similarity if measure == "l2" else cosine_similarity
    return entry_similarities(tracks, templates, owners, similarity)


def check(found: Found, scores: NDArray[np.float64], point: float) -> None:
    """``found`` is what ``scores``, ``(t, e)``, say; they are another product's, so equal up to the last digits."""
    n_tracks, n_entries = scores.shape
    order = np.argsort(-np.round(scores, 10), axis=1, kind="stable")
    rows = np.arange(n_tracks)
    assert (found.best == order[:, 0]).all()
    assert found.best_score == pytest.approx(scores[rows, order[:, 0]], abs=1e-9)
    if n_entries > 1:
        assert (found.second == order[:, 1]).all()
        assert found.second_score == pytest.approx(scores[rows, order[:, 1]], abs=1e-9)
    else:
        assert (found.second == NOBODY).all()
        assert (found.second_score == -np.inf).all()
    assert (found.entry_track == np.argmax(np.round(scores, 10), axis=0)).all()
    assert found.entry_best == pytest.approx(scores.max(axis=0), abs=1e-9)
    assert [(p.track, p.entry) for p in found.past] == [
        tuple(p) for p in np.argwhere(scores >= point).tolist()
    ]
    assert [p.score for p in found.past] == pytest.approx(scores[scores >= point].tolist(), abs=1e-9)


def vectors(rng: np.random.Generator, n: int, d: int, measure: Measure) -> NDArray[np.float32]:
    drawn = rng.normal(size=(n, d)).astype(np.float32)
    return unit_norm(drawn) if measure == "cosine" else np.float32(1.4) * unit_norm(drawn)


@given(
    n_tracks=st.integers(1, 9), pictures=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    chunk=st.integers(1, 90), measure=st.sampled_from(["l2", "cosine"]), seed=st.integers(0, 10_000),
    copies=st.booleans(),
)  # fmt: skip
def test_equals_brute_force(
    n_tracks: int, pictures: list[int], chunk: int, measure: Measure, seed: int, copies: bool
) -> None:
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(pictures), dtype=np.int32), pictures)
    templates, tracks = vectors(rng, len(owners), 6, measure), vectors(rng, n_tracks, 6, measure)
    if copies:  # equal templates in several entries, and tracks that are a template
        templates[rng.integers(0, len(owners), 3)] = templates[0]
        tracks[0] = templates[-1]
        tracks[-1] = templates[0]
    scores = brute_force(tracks, templates, owners, measure)
    point = float(np.quantile(scores, rng.random())) + 1e-7
    check(search(tracks, templates, owners, measure, point, chunk), scores, point)


@pytest.mark.parametrize("measure", ["l2", "cosine"])
def test_no_chunk_and_no_block_of_tracks_changes_a_digit(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    owners = np.sort(np.r_[np.arange(150), rng.integers(0, 150, 250)])
    templates, tracks = vectors(rng, len(owners), 32, measure), vectors(rng, 40, 32, measure)
    templates[owners == 149] = templates[owners == 3][0]
    tracks[7] = tracks[11] = templates[owners == 3][0]
    whole = search(tracks, templates, owners, measure, 0.2)
    check(whole, brute_force(tracks, templates, owners.astype(np.int32), measure), 0.2)
    assert whole.best[7] == 3
    assert whole.second[7] == 149
    assert whole.entry_track[3] == 7
    for chunk, block in ((1, 4096), (777, 4096), (100_000, 7), (5000, 1)):
        monkeypatch.setattr(module, "TRACK_BLOCK", block)
        monkeypatch.setattr(module, "RECHECK_ROWS", 2 + chunk % 50)
        again = search(tracks, templates, owners, measure, 0.2, chunk)
        for name, value in vars(whole).items():
            assert np.array_equal(value, getattr(again, name)), (chunk, block, name)


@pytest.mark.parametrize("measure", ["l2", "cosine"])
def test_float64_decides_at_the_point(measure: Measure) -> None:
    """Scores within a float32's rounding of the point, on both sides: float32 alone would get half of them wrong."""
    rng = np.random.default_rng(2)
    track = vectors(rng, 1, 512, measure)
    side = vectors(rng, 1, 512, measure)
    mix = np.linspace(0.6 - 2e-6, 0.6 + 2e-6, 400)[:, None]
    templates = (mix * track + (1 - mix) * side).astype(np.float32)
    owners = np.arange(400, dtype=np.int32)
    scores = brute_force(track, templates, owners, measure)
    point = float(np.median(scores)) + 1e-13
    found = search(track, templates, owners, measure, point)
    assert {p.entry for p in found.past} == set(np.flatnonzero(scores[0] >= point))
    assert len(found.past) == 200
    in_float32 = (templates @ track[0]) if measure == "cosine" else None
    if in_float32 is not None:
        assert set(np.flatnonzero(in_float32 >= point)) != {p.entry for p in found.past}


def test_float64_tracks_are_compared_as_they_are() -> None:
    rng = np.random.default_rng(3)
    templates = vectors(rng, 50, 16, "cosine")
    tracks = templates[[4, 9]].astype(np.float64) + 1e-9
    found = search(tracks, templates, np.arange(50), "l2", 0.9)
    assert found.best.tolist() == [4, 9]
    assert found.best_score == pytest.approx(1 - 4e-9, abs=1e-12)


def test_identical_vectors_have_a_score_of_one() -> None:
    templates = np.float32(1.41) * vectors(np.random.default_rng(4), 30, 128, "cosine")
    found = search(templates, templates, np.arange(30), "l2", 1.0)
    assert (found.best_score == 1).all()
    assert [(p.track, p.entry) for p in found.past] == [(i, i) for i in range(30)]


def test_templates_all_alike_go_to_the_earlier_entry() -> None:
    templates = np.ones((90, 4), np.float32) / 2
    found = search(templates[:3], templates, np.repeat(np.arange(30), 3), "cosine", 2.0, chunk=20)
    assert found.best.tolist() == [0, 0, 0]
    assert found.second.tolist() == [1, 1, 1]
    assert (found.entry_track == 0).all()
    assert found.past == []


def test_no_tracks_and_one_entry() -> None:
    found = search(np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), np.arange(2), "l2", 0.4)
    assert found.best.shape == (0,)
    assert found.entry_best.tolist() == [-np.inf, -np.inf]
    assert found.entry_track.tolist() == [NOBODY, NOBODY]
    alone = search(np.ones((1, 4), np.float32), np.ones((2, 4), np.float32), np.zeros(2, int), "l2", 0.4)
    assert (alone.best[0], alone.second[0], alone.second_score[0]) == (0, NOBODY, -np.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tracks": np.ones((2, 3), np.float32)}, "do not have one dimension"),
        ({"owners": np.array([0, 1])}, "as many owners"),
        ({"owners": np.array([0, 2, 2])}, "grouped by owner"),
        ({"owners": np.array([0, 1, 0])}, "grouped by owner"),
        ({"measure": "l1"}, "expected 'l2' or 'cosine'"),
        ({"point": float("nan")}, "finite similarity"),
        ({"tracks": np.full((2, 4), np.nan, np.float32)}, "not finite"),
        ({"templates": np.full((3, 4), np.inf, np.float32)}, "not finite"),
        ({"tracks": np.full((2, 4), 1e25, np.float32)}, "cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "tracks": np.ones((2, 4), np.float32), "templates": np.ones((3, 4), np.float32),
        "owners": np.array([0, 1, 1]), "measure": "l2", "point": 0.4,
    }  # fmt: skip
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
        search(**(given | change))
