"""Cohorts: one template a person, averaged as tracks are, bound to an embedder, and nobody counted twice."""

from __future__ import annotations

import datetime as dt
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.portraits import astronaut, background
from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedding import cosine_similarity, unit_norm
from vgaudit.extractors.faces import make_embedder
from vgaudit.likeness.cohort import Cohort, build_cohort
from vgaudit.likeness.folder import scan_gallery
from vgaudit.likeness.gallery import build_gallery
from vgaudit.likeness.portrait_faces import CHANGES, PortraitFace, changed_chips, face_of

EMBEDDER = make_embedder("dlib", {})
FACTS: dict[str, Any] = {"name": "demo", "source": "portraits at hand", "licence": "public domain"}


def put(path: Path, picture: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path, shared_data: Path) -> Path:
    """Three people, one of them with a group."""
    folder = tmp_path / "cohort"
    for name, files in {"person_a": ("1.jpg", "2.jpg"), "person_b": ("1.jpg",)}.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            shutil.copy(shared_data / "faces" / name / file, folder / name / file)
    put(folder / "star" / "1.png", astronaut()[:300, 60:360])
    (folder / "star" / "entry.yaml").write_text("group: one\nretain_until: 2026-05-20")
    return folder


@pytest.fixture
def cohort(folder: Path) -> Cohort:
    return build_cohort(folder, EMBEDDER, **FACTS, today=dt.date(2026, 5, 20))


def test_one_template_a_person_averaged_over_pictures_and_changes(folder: Path, cohort: Cohort) -> None:
    assert (cohort.n, cohort.people, cohort.ids) == (3, (2, 1, 1), ("person_a", "person_b", "star"))
    assert cohort.groups == ("", "", "one")
    assert cohort.templates.shape == (3, 128)
    assert cohort.templates.dtype == np.float32
    assert cohort.facts() == {
        "cohort": "demo",
        "people": 3,
        "source": FACTS["source"],
        "licence": "public domain",
    }
    (folder / "star" / "entry.yaml").unlink()
    single = build_gallery(folder, EMBEDDER)
    apart = 1 - EMBEDDER.similarity(single.templates, cohort.templates)
    own = apart[np.arange(4), single.owners]
    assert (own > 0.01).all(), "the template is one picture's vector"
    assert own.max() < 0.35
    strangers = single.owners[:, None] != single.owners
    other = 1 - EMBEDDER.similarity(cohort.templates, cohort.templates)
    between = (1 - EMBEDDER.similarity(single.templates, single.templates))[strangers]
    assert np.median(other[~np.eye(3, dtype=bool)]) < np.median(between), "averaging moves strangers closer"


def test_what_is_saved_is_what_is_loaded(cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "demo.cohort"
    cohort.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    today = dt.date(2026, 5, 20)
    again = Cohort.load(path, EMBEDDER, today=today)
    np.testing.assert_array_equal(again.templates, cohort.templates)
    assert again.digest == cohort.digest
    assert again.retain_until == (None, None, today)
    assert again.measure == "l2"
    with pytest.raises(GalleryError, match=r"star \(2026-05-20\).*purge star --cohort .*demo.cohort"):
        Cohort.load(path, EMBEDDER, today=dt.date(2026, 5, 21))
    with pytest.raises(GalleryError, match=r"made with dlib .*embedded with facenet"):
        Cohort.load(path, make_embedder("facenet", {}))
    cohort.without(["star"]).save(path)
    with pytest.raises(GalleryError, match="2 people left in it; at least 3"):
        Cohort.load(path, EMBEDDER)
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(GalleryError, match="not those it was saved with"):
        Cohort.read(path)


def test_people_without_a_face_are_left_out_and_counted(folder: Path) -> None:
    put(folder / "wall" / "1.png", background(1, 200, 200)[0])
    cohort = build_cohort(folder, EMBEDDER, **FACTS, today=dt.date(2026, 1, 1))
    assert (cohort.n, cohort.left_out) == (3, 1)
    assert cohort.warnings == ("wall/1.png: no face found",)
    shutil.rmtree(folder / "star")
    with pytest.raises(
        GalleryError, match=r"2 people with a usable picture; a cohort needs at least 3(.|\n)*wall/1\.png"
    ):
        build_cohort(folder, EMBEDDER, **FACTS)


def test_somebody_who_is_there_twice_is_refused_and_named(folder: Path, shared_data: Path) -> None:
    (folder / "again").mkdir()
    shutil.copy(shared_data / "faces" / "person_a" / "3.jpg", folder / "again" / "1.jpg")
    with pytest.raises(GalleryError, match="again and person_a look alike") as caught:
        build_cohort(folder, EMBEDDER, **FACTS, today=dt.date(2026, 1, 1))
    assert "--keep-duplicates" in str(caught.value)
    kept = build_cohort(folder, EMBEDDER, **FACTS, keep_duplicates=True, today=dt.date(2026, 1, 1))
    assert kept.duplicates == (("again", "person_a"),)
    assert kept.without(["again"]).duplicates == ()


def test_a_cohort_needs_its_facts_and_nobody_past_the_day(folder: Path) -> None:
    for name in FACTS:
        with pytest.raises(GalleryError, match=f"expected a {name}"):
            build_cohort(folder, EMBEDDER, **{**FACTS, name: " "})
    with pytest.raises(GalleryError, match="retain_until: star"):
        build_cohort(folder, EMBEDDER, **FACTS, today=dt.date(2026, 5, 21))


def test_entries_of_a_gallery_with_role_cohort_serve(folder: Path) -> None:
    assert Cohort.of_gallery(build_gallery(folder, EMBEDDER, today=dt.date(2026, 1, 1))) is None
    for person in folder.iterdir():
        (person / "entry.yaml").write_text("role: cohort\nprovenance: at hand\nlicence: CC0\ngroup: g")
    gallery = build_gallery(folder, EMBEDDER)
    assert {image.embedded for entry in gallery.entries for image in entry.images} == {len(CHANGES)}
    served = Cohort.of_gallery(gallery)
    assert served is not None
    built = build_cohort(folder, EMBEDDER, **FACTS)
    np.testing.assert_allclose(served.templates, built.templates, atol=1e-6)
    assert (served.source, served.licence, served.groups) == ("at hand", "CC0", ("g", "g", "g"))
    gallery.save(folder.parent / "g")
    (folder / "star" / "entry.yaml").write_text("role: protected")
    with pytest.raises(GalleryError, match="2 entries of role cohort; at least 3"):
        Cohort.of_gallery(build_gallery(folder, EMBEDDER))


class Pixels:
    """An embedder compared by cosine, without a published point: a small picture of the face."""

    name, fingerprint, dimension, measure, points = "pixels", "pixels-v1", 300, "cosine", ()

    def load(self) -> None: ...

    def align(self, rgb: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        out = []
        for left, top, right, bottom in boxes.round().astype(int):
            cut = Image.fromarray(rgb[max(top, 0) : bottom, max(left, 0) : right])
            out.append(np.asarray(cut.resize((10, 10), Image.Resampling.BOX)))
        return np.stack(out)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        return unit_norm(chips.reshape(len(chips), -1).astype(np.float64) - 100)

    similarity = staticmethod(cosine_similarity)


def test_cosine_templates_have_unit_norm_and_doubles_go_by_the_evidence_there_is(folder: Path) -> None:
    cohort = build_cohort(folder, Pixels(), **FACTS, today=dt.date(2026, 1, 1))  # type: ignore[arg-type]
    np.testing.assert_allclose(np.linalg.norm(cohort.templates, axis=1), 1, atol=1e-6)
    assert any("copies of pictures only" in warning for warning in cohort.warnings)
    put(folder / "again" / "1.jpg", astronaut()[:310, 60:360], quality=60)
    with pytest.raises(GalleryError, match=r"again/1\.jpg and star/1\.png are one picture under two people"):
        build_cohort(folder, Pixels(), **FACTS, today=dt.date(2026, 1, 1))  # type: ignore[arg-type]


def test_changes_move_the_box_and_the_landmarks_with_the_face(folder: Path) -> None:
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    class Noted(Pixels):
        def align(self, rgb: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
            seen.append((rgb, boxes[0], landmarks[0]))
            return super().align(rgb, boxes, landmarks)

    detector = FaceDetector()
    detector.load()
    (star,) = (person for person in scan_gallery(folder) if person.entry_id == "star")
    face: PortraitFace = face_of(star.images[0], folder, detector)
    chips = changed_chips(face, Noted())  # type: ignore[arg-type]
    assert chips.shape == (len(CHANGES), 10, 10, 3)
    assert len({chip.tobytes() for chip in chips}) == len(CHANGES)
    for rgb, box, landmarks in seen:
        assert landmarks[0, 0] < landmarks[1, 0], "the left eye lies left, also mirrored"
        assert landmarks[0, 1] < landmarks[3, 1]
        assert (landmarks[:, 0] > box[0]).all()
        assert (landmarks[:, 0] < box[2]).all()
        found = detector.detect(rgb)
        side = box[2] - box[0]
        assert np.abs(found.boxes[0] - box).max() < 0.12 * side
