"""Mix-ups inside a gallery, on vectors whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.portraits import astronaut
from vgaudit.extractors.face_embedding import OperatingPoint, cosine_similarity, l2_similarity
from vgaudit.likeness.mixups import COPY, MAX_SHOWN, Filed, MixUp, find_mixups, thumbnail

POINT = OperatingPoint("published", 0.4, "L2 distance 0.6", "a test")
D = 128


def people(n: int, each: int, seed: int = 0, spread: float = 0.15) -> Filed:
    """``n`` people far from each other with ``each`` pictures close together."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n, D)) / np.sqrt(D)
    vectors = np.repeat(centres, each, axis=0) + rng.normal(size=(n * each, D)) * spread / np.sqrt(D)
    ids = [f"p{i:03d}" for i in range(n)]
    images = [f"{i:08x}" + "0" * 56 for i in range(n * each)]
    return Filed(ids, images, vectors.astype(np.float32), np.repeat(np.arange(n, dtype=np.int32), each))


def kinds(found: list[MixUp]) -> list[tuple[str, str, str]]:
    return [(mixup.kind, mixup.entry, mixup.other) for mixup in found]


@pytest.mark.parametrize("block", [7, 1024])
def test_a_gallery_in_order_has_no_mixups(block: int) -> None:
    assert find_mixups(people(40, 3), l2_similarity, POINT, block=block) == ([], [])


@pytest.mark.parametrize("block", [1, 5, 64, 1024])
def test_a_misfiled_picture_is_named_with_whom_it_resembles(block: int) -> None:
    filed = people(30, 3)
    filed.templates[13] = filed.templates[61] + 0.001  # a picture of p020 in the folder of p004
    found, notes = find_mixups(filed, l2_similarity, POINT, block=block)
    assert kinds(found) == [
        ("unlike", "p004", "p004"),
        ("misfiled", "p004", "p020"),
        ("misfiled", "p020", "p004"),
        ("same person", "p004", "p020"),
    ]
    assert found[1].image == filed.images[13]
    assert found[1].other_image == filed.images[61]
    words = found[1].words("l2", {f"p004/{filed.images[13]}": "p004/b.jpg"})
    assert words.startswith("p004/b.jpg resembles p020 (p020/0000003d, L2 distance 0.0")
    assert notes == []


@pytest.mark.parametrize("block", [5, 1024])
def test_blocks_find_what_brute_force_finds(block: int) -> None:
    filed = people(25, 2, seed=4, spread=1.6)
    similarity = l2_similarity(filed.templates, filed.templates)
    point = OperatingPoint("published", float(np.quantile(similarity, 0.9)), "a quantile", "")
    found, _ = find_mixups(filed, l2_similarity, point, block=block)
    alike, nearer = set(), set()
    for i in range(len(similarity)):
        for j in range(i + 1, len(similarity)):
            if filed.owners[i] != filed.owners[j] and similarity[i, j] >= point.similarity:
                alike.add((filed.ids[filed.owners[i]], filed.ids[filed.owners[j]]))
        own = similarity[i, i ^ 1]
        others = np.where(filed.owners == filed.owners[i], -np.inf, similarity[i])
        if others.max() > own and others.max() >= point.similarity:
            nearer.add((filed.images[i], filed.ids[filed.owners[int(others.argmax())]]))
    assert alike
    assert nearer
    assert {(m.entry, m.other) for m in found if m.kind == "same person"} == alike
    assert {(m.image, m.other) for m in found if m.kind == "misfiled"} == nearer


def test_without_a_published_point_the_gallery_itself_is_the_measure() -> None:
    filed = people(20, 2)
    vectors = filed.templates / np.linalg.norm(filed.templates, axis=1, keepdims=True)
    vectors[7] = vectors[20]
    filed = Filed(filed.ids, filed.images, vectors, filed.owners)
    found, notes = find_mixups(filed, cosine_similarity, None)
    assert ("misfiled", "p003", "p010") in kinds(found)
    assert ("same person", "p003", "p010") in kinds(found)
    assert "unlike" not in {mixup.kind for mixup in found}
    (note,) = notes
    assert "no point is published" in note
    assert "20 pairs" in note
    assert "no published point" in found[-1].words("cosine", {})
    assert find_mixups(people(20, 1), cosine_similarity, None)[1][0].startswith(
        "people who look alike were not looked"
    )


def test_copies_do_not_vouch_for_each_other() -> None:
    filed = people(10, 3)
    rng = np.random.default_rng(1)
    small = np.stack([thumbnail(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(30)])
    filed.templates[4] = filed.templates[3] = filed.templates[21]  # p001: a picture of p007, twice
    small[4] = small[3]
    found, _ = find_mixups(
        Filed(filed.ids, filed.images, filed.templates, filed.owners, small), l2_similarity, POINT
    )
    assert ("copy", "p001", "p001") in kinds(found)
    misfiled = {mixup.image for mixup in found if mixup.kind == "misfiled"}
    assert {filed.images[3], filed.images[4]} <= misfiled


@pytest.mark.parametrize("point", [POINT, None])
def test_one_picture_under_two_people_is_found_with_and_without_a_point(point: OperatingPoint | None) -> None:
    filed = people(12, 1)
    rng = np.random.default_rng(2)
    small = np.stack([thumbnail(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(12)])
    filed.templates[9], small[9] = filed.templates[2] + 0.0001, small[2]
    found, _ = find_mixups(
        Filed(filed.ids, filed.images, filed.templates, filed.owners, small), l2_similarity, point, block=4
    )
    assert [kind for kind in kinds(found) if kind[0] == "copy"] == [("copy", "p002", "p009")]
    assert "one picture under two people" in found[0].words("l2", {})


def test_everybody_alike_is_cut_short_and_said() -> None:
    filed = people(60, 1)
    filed.templates[:] = filed.templates[0] + np.random.default_rng(0).normal(size=(60, D)) * 1e-3
    found, notes = find_mixups(filed, l2_similarity, POINT, block=16)
    assert len([m for m in found if m.kind == "same person"]) == MAX_SHOWN
    assert any("there are more of kind 'same person'" in note for note in notes)


def test_a_face_coded_again_is_a_copy_and_another_is_not() -> None:
    face = np.ascontiguousarray(astronaut()[0:220, 130:320])
    _, coded = cv2.imencode(".jpg", cv2.resize(face, None, fx=0.6, fy=0.6), [cv2.IMWRITE_JPEG_QUALITY, 40])
    again = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    assert float(thumbnail(face) @ thumbnail(again)) > COPY
    assert float(thumbnail(face) @ thumbnail(np.ascontiguousarray(face[:, ::-1]))) < COPY
    assert not thumbnail(np.full((20, 20, 3), 7, np.uint8)).any()
