"""A track's template: weighted, well spread, and in the form its embedder needs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.likeness.synthetic import faces_like, person
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.templates import MOST_FACES, track_template, track_templates, well_spread
from vgaudit.likeness.tracks import tracks_of


def test_few_faces_all_enter() -> None:
    assert well_spread(np.arange(8.0), np.ones(8, np.float32), 8).tolist() == list(range(8))


def test_of_many_the_best_of_each_stretch_of_time_enter() -> None:
    times = np.r_[np.linspace(0, 0.1, 20), np.linspace(9.9, 10, 20)]  # two bursts
    quality = np.random.default_rng(1).random(40).astype(np.float32)
    chosen = well_spread(times, quality, 4)
    assert len(chosen) == 2, "stretches without a face give none"
    assert chosen[0] == np.argmax(quality[:20])
    assert chosen[1] == 20 + np.argmax(quality[20:])
    even = well_spread(np.arange(40.0), quality, 4)
    assert [c // 10 for c in even] == [0, 1, 2, 3]
    assert len(well_spread(np.zeros(40), quality, 4)) == 4, "faces of one moment are dealt by order"


def test_quality_weighs() -> None:
    a, b = person(1), person(2)
    mean = track_template(np.stack([a, b]), np.arange(2.0), np.array([0.9, 0.1], np.float32), "l2")
    assert mean == pytest.approx(0.9 * a + 0.1 * b, abs=1e-6)
    even = track_template(np.stack([a, b]), np.arange(2.0), np.zeros(2, np.float32), "l2")
    assert even == pytest.approx((a + b) / 2, abs=1e-6)


def test_normalisation_is_the_embedders() -> None:
    vectors = np.stack([person(1), person(2)])
    raw = track_template(vectors, np.arange(2.0), np.ones(2, np.float32), "l2")
    unit = track_template(vectors, np.arange(2.0), np.ones(2, np.float32), "cosine")
    assert np.linalg.norm(raw) < 1.3, "raw means get shorter, as L2 wants"
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)


def test_a_template_is_of_a_track() -> None:
    faces = faces_like(people=[1] * (3 * MOST_FACES), track=[0] * (3 * MOST_FACES), noise=0.4)
    tracks = tracks_of(faces, DlibEmbedder(), 0.2)
    (template,) = track_templates(tracks, faces, "l2")
    single = np.linalg.norm(faces["embedding"] - person(1), axis=1)
    assert np.linalg.norm(template - person(1)) < 0.6 * np.median(single), "averaging takes noise out"
    assert track_templates([], faces, "l2").shape == (0, 128)
