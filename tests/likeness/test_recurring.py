"""Faces that come back: over prompts, not over clips of one prompt, and without chains."""

from __future__ import annotations

import numpy as np

from tests.likeness.synthetic import person
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.likeness.recurring import MOST_SHOWN, recurring_faces

EMBEDDER = DlibEmbedder()


def test_only_faces_of_several_prompts_are_told() -> None:
    templates = np.stack([person(p, 0.2, seed=i) for i, p in enumerate([1, 2, 1, 3, 1, 2])])
    prompts = ["a", "a", "b", "b", "c", "a"]
    (found,) = recurring_faces(templates, prompts, EMBEDDER, 0.5)
    assert found.tracks == (0, 2, 4)
    assert found.prompts == 3
    assert 0.5 <= found.similarity < 1


def test_a_chain_of_look_alikes_is_not_one_person() -> None:
    start, end = person(1), person(2)
    steps = np.stack([start + (end - start) * t for t in np.linspace(0, 1, 12)]).astype(np.float32)
    found = recurring_faces(steps, [str(i) for i in range(12)], EMBEDDER, 0.5)
    assert len(found) > 1
    for group in found:
        first = group.tracks[0]
        assert all(np.linalg.norm(steps[first] - steps[i]) <= 0.5 for i in group.tracks)


def test_the_list_is_short_and_sorted() -> None:
    people = list(range(70)) * 2 + [0]
    templates = np.stack([person(p) for p in people])
    found = recurring_faces(templates, [str(i) for i in range(len(people))], EMBEDDER, 0.5)
    assert len(found) == MOST_SHOWN
    assert found[0].tracks == (0, 70, 140)
    assert recurring_faces(np.zeros((0, 128), np.float32), [], EMBEDDER, 0.5) == []
