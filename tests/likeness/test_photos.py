"""Photographs for reviewers: cut to the face, without what cameras note, bound to the gallery's pictures."""

from __future__ import annotations

import hashlib
import io
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.portraits import astronaut
from vgaudit.errors import GalleryError
from vgaudit.extractors.faces import make_embedder
from vgaudit.likeness.gallery import build_with_photos
from vgaudit.likeness.photos import SIDE, Photos, cut_face, photos_of_folder

EMBEDDER = make_embedder("dlib", {})


def put(path: Path, picture: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    folder = tmp_path / "people"
    for i in range(5):
        put(folder / "anna" / f"{i}.jpg", astronaut()[: 290 + 5 * i, 60:360], exif=exif)
    return folder


def test_the_best_three_pictures_are_kept_cut_to_the_face(folder: Path, tmp_path: Path) -> None:
    gallery, photos = build_with_photos(folder, EMBEDDER)
    pictures = photos.pictures("anna")
    assert len(pictures) == len(photos) == 3
    scores = [picture.score for picture in photos.people["anna"].pictures]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == max(i.quality.score for i in gallery.entries[0].images if i.quality)
    for jpeg, sha256 in pictures:
        assert hashlib.sha256(jpeg).hexdigest() == sha256
        with Image.open(io.BytesIO(jpeg)) as shown:
            assert shown.format == "JPEG"
            assert max(shown.size) <= SIDE
            assert not shown.getexif()
        assert b"SECRETCAMERA" not in jpeg
    path = tmp_path / "p" / "photos"
    photos.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Photos.open(path)
    assert again.people == photos.people
    again.check(gallery.entries, path)
    assert photos.pictures("bert") == []
    assert photos_of_folder(folder).people == photos.people


def test_photographs_of_other_pictures_are_refused(folder: Path) -> None:
    photos = photos_of_folder(folder)
    (folder / "anna" / "0.jpg").unlink()
    gallery, _ = build_with_photos(folder, EMBEDDER)
    with pytest.raises(GalleryError, match=r"not those of this gallery's templates .*anna"):
        photos.check(gallery.entries)
    photos.without(["anna"]).check(gallery.entries)


def test_a_single_picture_has_photographs(tmp_path: Path) -> None:
    put(tmp_path / "anna.png", astronaut()[:300, 60:360])
    assert len(photos_of_folder(tmp_path / "anna.png").pictures("anna")) == 1


def test_changed_and_foreign_files_are_refused(folder: Path, tmp_path: Path) -> None:
    gallery, photos = build_with_photos(folder, EMBEDDER)
    path = tmp_path / "photos"
    photos.save(path)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(GalleryError, match="not those it was saved with"):
        Photos.open(path)
    gallery.save(path)
    with pytest.raises(GalleryError, match="no photographs; expected one made by"):
        Photos.open(path)
    path.write_bytes(b"x")
    with pytest.raises(GalleryError, match="not a photographs file"):
        Photos.open(path)
    with pytest.raises(GalleryError, match="not a photographs file"):
        Photos.open(tmp_path / "absent")


@pytest.mark.parametrize("box", [(-40, -30, 60, 90), (150, 100, 260, 230), (20, 20, 300, 280)])
def test_a_cut_that_leaves_the_picture_is_square(box: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(cut_face(picture, np.array(box, np.float32)))) as shown:
        assert abs(shown.width - shown.height) <= 1
        assert shown.width <= SIDE
