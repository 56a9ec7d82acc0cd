"""Galleries from folders and files: one face a picture, nobody left out in silence, nothing of the pictures kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.portraits import astronaut, background, head, portrait
from vgaudit.errors import GalleryError
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.faces import make_embedder
from vgaudit.likeness import portrait_faces
from vgaudit.likeness.gallery import Gallery, build_gallery, describe_gallery, load_gallery

EMBEDDER = make_embedder("dlib", {})


@contextmanager
def refused(message: str) -> Iterator[pytest.ExceptionInfo[GalleryError]]:
    """What happens inside is a wrong gallery, which ends a command with exit code 2."""
    with pytest.raises(GalleryError, match=message) as caught:
        yield caught
    assert caught.value.exit_code == 2


@pytest.fixture(scope="module")
def built(shared_data: Path) -> Gallery:
    return load_gallery(shared_data / "faces", EMBEDDER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery of one person with one good, small picture."""
    put(tmp_path / "people" / "anna" / "1.png", astronaut()[:300, 60:360])
    return tmp_path / "people"


def put(path: Path, picture: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def test_a_folder_per_person_becomes_a_template_per_picture(built: Gallery) -> None:
    assert [(e.entry_id, e.role, len(e.images)) for e in built.entries] == [
        ("person_a", "protected", 3),
        ("person_b", "protected", 2),
    ]
    assert built.templates.shape == (5, 128)
    assert built.owners.tolist() == [0, 0, 0, 1, 1]
    assert built.warnings == ()
    assert built.embedder_fingerprint == EMBEDDER.fingerprint
    similarity = EMBEDDER.similarity(built.templates, built.templates)
    same = built.owners[:, None] == built.owners
    assert similarity[same].min() > 0.5
    assert similarity[~same].max() < 0.25


def test_a_gallery_is_built_once_in_a_process(built: Gallery, shared_data: Path) -> None:
    assert load_gallery(shared_data / "faces", make_embedder("dlib", {})) is built


def test_pictures_are_turned_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    put(folder / "anna" / "2.jpg", np.rot90(astronaut()[:300, 60:360]), exif=exif)
    gallery = build_gallery(folder, EMBEDDER)
    (warning,) = gallery.warnings
    assert warning.startswith("anna/1.png and anna/2.jpg are the same picture twice, counted as two (")
    assert EMBEDDER.similarity(gallery.templates[:1], gallery.templates[1:])[0, 0] > 0.8


def two_faces() -> np.ndarray:
    return np.concatenate([astronaut()[:300, 60:360], astronaut()[:300, 60:360][:, ::-1]], axis=1)


def bad(folder: Path, case: str) -> None:
    """Put one bad picture beside the good one."""
    person = folder / "anna"
    match case:
        case "no face":
            put(person / "bad.png", background(1, 200, 200)[0])
        case "two faces":
            put(person / "bad.png", two_faces())
        case "too small":
            put(person / "bad.png", astronaut()[:300:3, 60:360:3])
        case "tiny":
            put(person / "bad.png", astronaut()[:10, :10])
        case "zero bytes":
            (person / "bad.png").touch()
        case "not a picture":
            (person / "bad.jpg").write_bytes(b"\x00" * 500)
        case "svg":
            (person / "bad.svg").write_text("<svg/>")
        case "link out":
            shutil.copy(person / "1.png", folder.parent / "elsewhere.png")
            (person / "bad.png").symlink_to(folder.parent / "elsewhere.png")
        case "dead link":
            (person / "bad.png").symlink_to(folder / "gone.png")
        case "folder":
            (person / "bad.png").mkdir()
        case "pipe":
            os.mkfifo(person / "bad.png")
        case "cut":
            put(person / "bad.png", astronaut()[:300, 225:420])


BAD = {
    "no face": "bad.png: no face found",
    "two faces": "bad.png: 2 faces; cut the picture to one person",
    "too small": "bad.png: the face is too small (.* px; at least 40 px needed)",
    "tiny": r"bad.png: too small \(10x10 px\)",
    "zero bytes": "bad.png: 0 bytes",
    "not a picture": "bad.jpg: not a picture in a known format",
    "svg": "bad.svg: not a picture file",
    "link out": "bad.png: a link that leads out of the gallery",
    "dead link": "bad.png: cannot be read",
    "folder": "bad.png: a folder",
    "pipe": "bad.png: not a plain file",
    "cut": "bad.png: (no face found|the face cannot be compared)",
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_picture_beside_a_good_one_is_a_warning(folder: Path, case: str) -> None:
    bad(folder, case)
    gallery = build_gallery(folder, EMBEDDER)
    assert len(gallery.warnings) == 1
    assert gallery.warnings[0].startswith("anna/")
    assert re.search(BAD[case], gallery.warnings[0]), gallery.warnings[0]
    assert len(gallery.templates) == 1


@pytest.mark.parametrize("case", BAD)
def test_a_person_with_nothing_but_bad_pictures_is_an_error(folder: Path, case: str) -> None:
    put(folder / "bert" / "1.png", astronaut()[:290, 60:350])
    bad(folder, case)
    (folder / "anna" / "1.png").unlink()
    with refused(f"no usable picture of anna(.|\n)*{BAD[case]}"):
        build_gallery(folder, EMBEDDER)


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "anna")


def loose(folder: Path) -> None:
    shutil.copy(folder / "anna" / "1.png", folder / "1.png")


def doubled(folder: Path) -> None:
    shutil.copytree(folder / "anna", folder / "bert")


def same_letters(folder: Path) -> None:
    put(folder / "ANNA" / "1.png", astronaut()[:290, 60:350])


def unsafe_id(folder: Path) -> None:
    (folder / "anna").rename(folder / "..anna ")
    (folder / "..anna ").rename(folder / "-anna")


def linked_person(folder: Path) -> None:
    shutil.copytree(folder / "anna", folder.parent / "bert")
    (folder / "bert").symlink_to(folder.parent / "bert")


def linked_facts(folder: Path) -> None:
    (folder.parent / "facts.yaml").write_text("role: cohort")
    (folder / "anna" / "entry.yaml").symlink_to(folder.parent / "facts.yaml")


def no_picture(folder: Path) -> None:
    (folder / "bert").mkdir()


def a_picture_instead(folder: Path) -> None:
    shutil.copy(folder / "anna" / "1.png", folder.parent / "face.png")
    shutil.rmtree(folder)
    (folder.parent / "face.png").rename(folder)


WRONG: list[tuple[Callable[[Path], None], str]] = [
    (empty, "nobody in it; expected one folder of pictures per person"),
    (
        loose,
        "1.png lies directly in the gallery; expected one folder per person, such as people/person_a/1.png",
    ),
    (doubled, "anna/1.png and bert/1.png are the same picture under two people"),
    (same_letters, "'ANNA' and 'anna' differ only in case"),
    (unsafe_id, "'-anna' cannot be the id of an entry"),
    (linked_person, "bert: a link that leads out of the gallery"),
    (linked_facts, "entry.yaml: not a plain file"),
    (no_picture, "no usable picture of bert(.|\n)*bert: no picture in its folder"),
    (a_picture_instead, "neither a gallery file nor a folder"),
    (shutil.rmtree, "no such gallery"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[w[0].__name__ for w in WRONG])
def test_a_wrong_gallery_is_refused(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(folder)
    with refused(message):
        load_gallery(folder, EMBEDDER)


def test_a_gallery_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with refused(r"people: cannot be read \(Permission denied\)"):
        load_gallery(folder, EMBEDDER)


def test_hidden_files_and_notes_are_not_people(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "README.md").write_text("whose pictures these are")
    (folder / "anna" / ".DS_Store").touch()
    gallery = build_gallery(folder, EMBEDDER)
    assert [e.entry_id for e in gallery.entries] == ["anna"]
    assert gallery.warnings == ()


def test_pictures_that_contradict_their_folders_are_named(folder: Path, shared_data: Path) -> None:
    put(folder / "anna" / "2.png", portrait(shared_data / "faces" / "person_a" / "3.jpg"))
    put(folder / "bert" / "1.png", portrait(shared_data / "faces" / "person_a" / "2.jpg"))
    warnings = build_gallery(folder, EMBEDDER).warnings
    assert [re.sub(r"distance \d\.\d+", "distance D", w) for w in warnings] == [
        "anna: its pictures do not all look like the same person (L2 distance D): anna/1.png and anna/2.png, "
        "L2 distance D",
        "anna/2.png resembles bert (bert/1.png, L2 distance D) more than the other pictures of anna (L2 distance D); "
        "is it filed under the wrong name?",
        "anna and bert look alike (L2 distance D): anna/2.png and bert/1.png, L2 distance D",
    ]


def test_describing_a_gallery_loads_no_model_and_sees_every_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FaceDetector) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(FaceDetector, "load", refuse)
    seen = [describe_gallery(folder).digest]
    (folder / "anna" / "entry.yaml").write_text("role: cohort")
    seen.append(describe_gallery(folder).digest)
    assert describe_gallery(folder).entries[0].role == "cohort"
    put(folder / "anna" / "2.png", astronaut()[:280, 60:340])
    seen.append(describe_gallery(folder).digest)
    (folder / "anna" / "2.png").rename(folder / "anna" / "3.png")
    assert describe_gallery(folder).digest == seen[-1], "a file's name is no identity"
    (folder / "anna").rename(folder / "bert")
    seen.append(describe_gallery(folder).digest)
    assert len(set(seen)) == 4


# -- the file --------------------------------------------------------------------------------------


@pytest.fixture
def file(built: Gallery, tmp_path: Path) -> Path:
    path = tmp_path / "people.gallery"
    built.save(path)
    return path


def test_a_gallery_file_is_the_gallery(built: Gallery, file: Path) -> None:
    again = load_gallery(file, EMBEDDER)
    np.testing.assert_array_equal(again.templates, built.templates)
    np.testing.assert_array_equal(again.owners, built.owners)
    assert again.entries == built.entries
    assert again.digest == built.digest
    assert Gallery.load(file, EMBEDDER).digest == built.digest
    assert describe_gallery(file).entries == built.entries


def test_a_gallery_file_holds_no_pictures_and_no_names_of_files(
    file: Path, shared_data: Path, folder: Path
) -> None:
    content = file.read_bytes()
    assert len(content) < 8_000
    for path in (shared_data / "faces").glob("*/*.jpg"):
        picture = path.read_bytes()
        for start in range(0, len(picture) - 64, 16):
            assert picture[start : start + 64] not in content
        assert path.name.encode() not in content
    assert str(shared_data).encode() not in content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in file.parent.glob("*gallery*")] == [file.name], "a temporary file was left behind"


def test_building_writes_nothing_beside_the_pictures(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    build_gallery(folder, EMBEDDER)
    assert sorted(folder.rglob("*")) == before


def test_consent_survives_the_file(folder: Path) -> None:
    (folder / "anna" / "entry.yaml").write_text("role: consented\nconsent_until: 2026-05-20")
    path = folder.parent / "g.safetensors"
    build_gallery(folder, EMBEDDER).save(path)
    entry = Gallery.load(path, EMBEDDER).entries[0]
    assert entry.effective_role(dt.date(2026, 5, 20)) == "consented"
    assert entry.effective_role(dt.date(2026, 5, 21)) == "protected"


def test_templates_of_another_embedder_are_refused(file: Path) -> None:
    with refused(r"built with dlib \(dlib-v.*embedded with facenet .*build the gallery again"):
        load_gallery(file, make_embedder("facenet", {}))


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(file, framework="numpy") as stored:
        header = json.loads(stored.metadata()["vgaudit_gallery"])
        tensors = {name: stored.get_tensor(name).copy() for name in stored.keys()}  # noqa: SIM118
    content = json.loads(tensors.pop("description").tobytes()) | header
    change(content, tensors)
    header = {"version": content.pop("version")}
    tensors["description"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    save_file(tensors, file, metadata={"vgaudit_gallery": json.dumps(header)})


def changes() -> dict[str, tuple[Callable[[dict[str, Any], dict[str, np.ndarray]], Any], str]]:
    return {
        "newer": (lambda c, t: c.update(version=3), "gallery format 3; this vgaudit reads formats 1 and 2"),
        "another template": (
            lambda c, t: t["templates"].__setitem__((0, 0), 0.5),
            "not those it was saved with",
        ),
        "not finite": (lambda c, t: t["templates"].__setitem__((0, 0), np.nan), "not finite"),
        "somebody less": (lambda c, t: c["entries"].pop(), "do not go together"),
        "nobody": (lambda c, t: c["entries"].clear(), "nobody in it"),
        "twice": (lambda c, t: c["entries"][1].update(entry_id="person_a"), "an id twice"),
        "path as id": (lambda c, t: c["entries"][0].update(entry_id="../x"), "cannot be the id"),
        "role": (lambda c, t: c["entries"][0].update(role="friend"), "role: "),
        "measure": (lambda c, t: c.update(measure="manhattan"), "measure 'manhattan'"),
        "owners": (lambda c, t: t["owners"].__setitem__(0, 1), "do not go together"),
        "no entries": (lambda c, t: c.pop("entries"), "description is damaged"),
        "entries of text": (lambda c, t: c.update(entries="abc"), "description is damaged"),
        "more tensors": (lambda c, t: t.update(faces=np.zeros(3, np.uint8)), "no gallery"),
        "purpose": (
            lambda c, t: c["entries"][0].update(purpose="art"),
            "facts are not those it was saved with",
        ),
        "a note": (lambda c, t: c["notes"].append("fine"), "facts are not those"),
        "tombstone": (
            lambda c, t: c.update(purged=[{"label": "anna", "when": "", "reason": ""}]),
            "tombstone",
        ),
        "integers": (lambda c, t: t.update(templates=t["templates"].astype(np.int32)), "templates int32"),
    }


@pytest.mark.parametrize("case", changes())
def test_a_changed_gallery_file_is_refused(file: Path, case: str) -> None:
    change, message = changes()[case]
    rewritten(file, change)
    with refused(message) as caught:
        load_gallery(file, EMBEDDER)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b'\x10\0\0\0\0\0\0\0{"a": 1}        '])
def test_bytes_that_are_no_gallery_file_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with refused("neither a gallery file nor a folder"):
        load_gallery(tmp_path / "x", EMBEDDER)


def test_a_picture_that_changes_while_it_is_read_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = portrait_faces.read_bytes
    monkeypatch.setattr(portrait_faces, "read_bytes", lambda path, root: real(path, root) + b"\0")
    with refused("changed while it was read"):
        build_gallery(folder, EMBEDDER)


def test_files_of_the_first_format_are_read(built: Gallery, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    entries = [
        {
            "entry_id": entry.entry_id,
            "role": "consented" if entry.entry_id == "person_a" else "protected",
            "consent_until": "2027-01-01" if entry.entry_id == "person_a" else None,
            "images": [{"sha256": image.sha256, "side_px": image.side_px} for image in entry.images],
        }
        for entry in built.entries
    ]
    description = {
        "version": 1, "embedder": "dlib", "embedder_fingerprint": EMBEDDER.fingerprint, "measure": "l2",
        "detector_fingerprint": built.detector_fingerprint, "entries": entries,
        "templates_sha256": hashlib.sha256(built.templates.tobytes() + built.owners.tobytes()).hexdigest(),
    }  # fmt: skip
    path = tmp_path / "old.gallery"
    tensors = {"templates": built.templates, "owners": built.owners}
    save_file(tensors, path, metadata={"vgaudit_gallery": json.dumps(description)})
    old = load_gallery(path, EMBEDDER)
    np.testing.assert_array_equal(old.templates, built.templates)
    assert old.entries[0].consent_until == dt.date(2027, 1, 1)
    assert old.entries[1].images[0].quality is None
    description["templates_sha256"] = "0" * 64
    save_file(tensors, path, metadata={"vgaudit_gallery": json.dumps(description)})
    with refused("not those it was saved with"):
        load_gallery(path, EMBEDDER)


def test_facts_and_rejections_survive_the_file_without_names(folder: Path) -> None:
    (folder / "anna" / "entry.yaml").write_text(
        "purpose: a test\ngroup: one\naliases: [Anna Known]\nimages: {1.png: {licence: CC0}}"
    )
    bad(folder, "no face")
    built = build_gallery(folder, EMBEDDER)
    path = folder.parent / "g"
    built.save(path)
    entry = Gallery.load(path, EMBEDDER).entries[0]
    assert entry == built.entries[0]
    assert (entry.purpose, entry.group, entry.aliases, entry.images[0].licence) == (
        "a test", "one", ("Anna Known",), "CC0",
    )  # fmt: skip
    quality = entry.images[0].quality
    assert quality is not None
    assert 0.8 < quality.score <= 1.0
    assert [image.reason for image in entry.rejected] == ["no face found"]
    assert Gallery.load(path, EMBEDDER).warnings == (f"anna/{entry.rejected[0].sha256[:8]}: no face found",)
    assert b".png" not in path.read_bytes()


def test_a_poor_picture_has_a_lower_quality(folder: Path) -> None:
    small = cv2.resize(astronaut()[:300, 60:360], (190, 190), interpolation=cv2.INTER_AREA)
    put(folder / "anna" / "2.png", cv2.GaussianBlur(small, (0, 0), 1.2))
    good, poor = (image.quality for image in build_gallery(folder, EMBEDDER).entries[0].images)
    assert good is not None
    assert poor is not None
    assert poor.score < good.score - 0.1
    assert poor.detail < good.detail


def test_the_same_file_twice_counts_once(folder: Path) -> None:
    shutil.copy(folder / "anna" / "1.png", folder / "anna" / "2.png")
    gallery = build_gallery(folder, EMBEDDER)
    assert len(gallery.templates) == 1
    assert gallery.warnings == ("anna/2.png: the same file as another picture of this entry",)


def test_facts_of_a_picture_that_is_not_there_are_refused(folder: Path) -> None:
    (folder / "anna" / "entry.yaml").write_text("images: {1.pgn: {licence: CC0}}")
    with refused("anna/entry.yaml: images: '1.pgn' is no file of the folder; did you mean '1.png'"):
        build_gallery(folder, EMBEDDER)


def test_nobody_is_used_or_dropped_past_the_day_of_retention(folder: Path) -> None:
    facts = folder / "anna" / "entry.yaml"
    facts.write_text("retain_until: 2026-05-20")
    last, after = dt.date(2026, 5, 20), dt.date(2026, 5, 21)
    path = folder.parent / "g"
    build_gallery(folder, EMBEDDER, today=last).save(path)
    for where in (path, folder):
        assert describe_gallery(where, today=last).entries
        assert load_gallery(where, EMBEDDER, today=last).entries
        for use in (
            lambda p: describe_gallery(p, today=after),
            lambda p: load_gallery(p, EMBEDDER, today=after),
        ):
            with refused(r"anna \(2026-05-20\).*vgaudit gallery purge anna --gallery .*or extend"):
                use(where)
    with refused("anna"):
        build_gallery(folder, EMBEDDER, today=after)
    facts.write_text("retain_until: 2026-05-20\nlegal_hold: case 17")
    assert load_gallery(folder, EMBEDDER, today=after).entries[0].legal_hold == "case 17"


def test_embeddings_are_made_in_batches_and_one_that_fails_is_one_rejection(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(19):
        put(folder / "anna" / f"x{i}.png", astronaut()[: 280 + i, 60:360])
    sizes: list[int] = []
    real = EMBEDDER.embed

    def embed(chips: np.ndarray) -> np.ndarray:
        sizes.append(len(chips))
        vectors = real(chips)
        if len(sizes) == 1:
            vectors[3] = np.nan
        return vectors

    monkeypatch.setattr(EMBEDDER, "embed", embed)
    gallery = build_gallery(folder, EMBEDDER)
    assert sizes == [16, 4]
    assert len(gallery.templates) == 19
    assert [image.reason for image in gallery.entries[0].rejected] == [
        "the embedder gave no finite vector for it"
    ]


def test_templates_of_another_size_are_refused(file: Path) -> None:
    class Longer:
        name, fingerprint, dimension = "dlib", EMBEDDER.fingerprint, 129

    with refused("templates of 128 numbers; the embedder gives 129"):
        load_gallery(file, Longer())  # type: ignore[arg-type]


def test_the_second_face_of_a_portrait_may_be_small(folder: Path) -> None:
    picture = astronaut()[:300, 60:360].copy()
    small = head(None, "astronaut")[::4, ::4]
    picture[-small.shape[0] :, : small.shape[1]] = small
    put(folder / "anna" / "2.png", picture)
    (warning,) = build_gallery(folder, EMBEDDER).warnings
    assert "the same picture twice" in warning


def test_a_single_picture_is_a_gallery_of_one_protected_person(tmp_path: Path, folder: Path) -> None:
    put(tmp_path / "anna k.png", astronaut()[:300, 60:360])
    (tmp_path / "link.png").symlink_to(tmp_path / "anna k.png")
    for name in ("anna k", "link"):
        gallery = load_gallery(tmp_path / f"{name}.png", EMBEDDER)
        (entry,) = gallery.entries
        assert (entry.entry_id, entry.role, len(entry.images)) == (name, "protected", 1)
        assert gallery.templates.shape == (1, 128)
        assert describe_gallery(tmp_path / f"{name}.png").entries[0].entry_id == name
    (of_folder,) = load_gallery(folder, EMBEDDER).templates
    assert EMBEDDER.similarity(gallery.templates, of_folder[None])[0, 0] > 0.9
    before = describe_gallery(tmp_path / "link.png").digest
    put(tmp_path / "anna k.png", astronaut()[:310, 60:370])
    assert describe_gallery(tmp_path / "link.png").digest != before


def test_a_single_picture_must_be_usable_and_have_a_safe_name(tmp_path: Path) -> None:
    put(tmp_path / "anna.png", background(1, 200, 200)[0])
    with refused("no usable picture of anna(.|\n)*anna.png: no face found"):
        load_gallery(tmp_path / "anna.png", EMBEDDER)
    (tmp_path / "anna.jpg").write_bytes(b"not a picture")
    with refused("no usable picture of anna(.|\n)*anna.jpg: not a picture in a known format"):
        load_gallery(tmp_path / "anna.jpg", EMBEDDER)
    put(tmp_path / "-anna.png", astronaut())
    with refused("a single picture is named after its file, and '-anna' cannot be the id"):
        load_gallery(tmp_path / "-anna.png", EMBEDDER)
