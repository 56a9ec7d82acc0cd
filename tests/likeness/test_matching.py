"""Matching is exact: every face against every template, the same whatever the chunk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.extractors.face_embedding import cosine_similarity, l2_similarity, unit_norm
from vgaudit.likeness.matching import entry_similarities

RNG = np.random.default_rng(0)


@given(
    faces=st.integers(0, 7), pictures=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    chunk=st.integers(1, 40), l2=st.booleans(), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_equals_brute_force(faces: int, pictures: list[int], chunk: int, l2: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(pictures), dtype=np.int32), pictures)
    templates = unit_norm(rng.normal(size=(len(owners), 6)).astype(np.float32))
    vectors = (
        unit_norm(rng.normal(size=(faces, 6)).astype(np.float32)) if faces else np.zeros((0, 6), np.float32)
    )
    similarity = l2_similarity if l2 else cosine_similarity
    found = entry_similarities(vectors, templates, owners, similarity, chunk)
    assert found.shape == (faces, len(pictures))
    for f in range(faces):
        for e in range(len(pictures)):
            own = templates[owners == e].astype(np.float64)
            face = vectors[f].astype(np.float64)
            each = 1 - np.linalg.norm(own - face, axis=1) if l2 else own @ face
            assert found[f, e] == pytest.approx(each.max(), abs=1e-6)


def test_a_face_equal_to_a_template_has_similarity_one() -> None:
    templates = RNG.normal(size=(3, 128)).astype(np.float32)
    scores = entry_similarities(templates, templates, np.arange(3, dtype=np.int32), l2_similarity)
    assert (np.diag(scores) == 1).all()


@pytest.mark.parametrize(
    ("faces", "templates", "owners", "message"),
    [
        ((2, 4), (3, 5), [0, 1, 2], "one dimension"),
        ((2, 4), (3, 4), [0, 1], "as many owners"),
        ((2, 4), (0, 4), [], "as many owners"),
        ((2, 4), (3, 4), [0, 2, 1], "grouped by owner"),
        ((2, 4), (3, 4), [0, 2, 2], "grouped by owner"),
        ((2, 4), (3, 4), [0, 1, 0], "grouped by owner"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    faces: tuple[int, int], templates: tuple[int, int], owners: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        entry_similarities(
            np.zeros(faces, np.float32),
            np.zeros(templates, np.float32),
            np.array(owners, np.int32),
            l2_similarity,
        )
