"""Faces of a clip: found where they are, judged, and the same whatever the blocks and the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.portraits import astronaut, background, faces_of, head, info_of, planted
from vgaudit.extractors import face_detection, face_quality, face_weights
from vgaudit.extractors import faces as faces_module
from vgaudit.extractors.base import Extractor
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.video import Frames
from vgaudit.zoo.devices import resolved_device


def test_a_planted_face_is_found_where_it_is() -> None:
    clip = planted(head(None, "astronaut"), at=(60, 15), during=range(2, 6))
    faces = faces_of(clip, stride=1)
    assert sorted(faces["frame_index"]) == [2, 3, 4, 5]
    np.testing.assert_allclose(faces["pts_s"], [0.2, 0.3, 0.4, 0.5])
    assert faces["usable"].all()
    for box in faces["box"]:
        assert 60 <= box[0] < box[2] <= 150
        assert 15 <= box[1] < box[3] <= 130
    eyes, mouth = faces["landmarks"][:, :2], faces["landmarks"][:, 3:]
    assert (eyes[..., 1].mean(1) < mouth[..., 1].mean(1)).all()
    assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all()
    assert faces["frames_examined"].tolist() == list(range(9))


def test_shapes_types_and_facts() -> None:
    faces = faces_of(planted(head(None, "astronaut"), during=range(1)), stride=1)
    assert {n: (a.dtype.kind, a.shape) for n, a in faces.arrays.items()} == {
        "frame_index": ("i", (1,)), "pts_s": ("f", (1,)), "box": ("f", (1, 4)), "landmarks": ("f", (1, 5, 2)),
        "confidence": ("f", (1,)), "usable": ("b", (1,)), "reason": ("U", (1,)), "embedding": ("f", (1, 128)),
        "frames_examined": ("i", (9,)), "examined_pts_s": ("f", (9,)), "frames_failed": ("i", (0,)),
        "beside": ("b", (1,)), "quality": ("f", (1,)), "track": ("i", (1,)),
        "shot": ("i", (9,)), "crop_jpeg": ("u", faces["crop_jpeg"].shape), "crop_start": ("i", (2,)),
    }  # fmt: skip
    assert faces["crop_start"].tolist() == [0, len(faces["crop_jpeg"])]
    assert faces.facts["faces"] == faces.facts["usable"] == 1
    assert faces.facts["frames_examined"] == 9


@pytest.mark.parametrize("frames", [0, 1, 9])
def test_a_clip_without_faces_gives_empty_arrays(frames: int) -> None:
    faces = faces_of(background(frames, 96, 128))
    assert faces["box"].shape == (0, 4)
    assert faces["landmarks"].shape == (0, 5, 2)
    assert faces["embedding"].shape == (0, 128)
    assert faces["reason"].shape == faces["usable"].shape == (0,)
    assert faces["frames_examined"].tolist() == {0: [], 1: [0], 9: [0, 3, 6, 8]}[frames]
    assert faces["shot"].tolist() == [0] * len(faces["frames_examined"])
    assert len(faces["frames_failed"]) == 0


@pytest.mark.parametrize("size", [(1, 1), (8, 200), (19, 19), (19, 300)])
def test_frames_too_small_to_hold_a_face_are_named_not_passed(size: tuple[int, int]) -> None:
    faces = faces_of(np.zeros((3, *size, 3), np.uint8))
    assert faces["frames_failed"].tolist() == [0, 1, 2]
    assert faces.facts["failures"] == [f"frames of {size[1]}x{size[0]} px are too small to search for faces"]


@pytest.mark.parametrize("size", [(20, 20), (20, 400), (33, 21)])
def test_frames_just_large_enough_are_searched(size: tuple[int, int]) -> None:
    faces = faces_of(np.full((2, *size, 3), 128, np.uint8))
    assert faces["frames_failed"].tolist() == []
    assert len(faces["frames_examined"]) == 2


def test_blocks_and_batches_change_nothing(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = planted(head(shared_data, "person_b/1.jpg"), width=80, at=(10, 10))
    clip[:, :, 100:] = planted(head(None, "astronaut"), width=80, at=(100, 30))[:, :, 100:]
    whole = faces_of(clip, stride=2)
    assert len(whole["usable"]) == 10
    for block, batch in ((1, 1), (4, 3)):
        monkeypatch.setattr(faces_module, "EMBED_BATCH", batch)
        other = faces_of(clip, block, stride=2)
        for name, array in whole.arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(other[name], array, atol=1e-5)
            else:
                np.testing.assert_array_equal(other[name], array)


def test_a_face_at_the_edge_is_compared_or_named(shared_data: Path) -> None:
    picture = head(None, "astronaut")
    kept = faces_of(planted(picture, at=(-22, 10), frames=1))
    assert kept["usable"].tolist() == [True], kept["reason"]
    assert kept["box"][0, 0] < 15
    cut = faces_of(planted(picture, at=(-46, 10), frames=1))
    assert not cut["usable"].any()
    assert cut["embedding"].any() == np.False_


def test_small_faces_are_named(shared_data: Path) -> None:
    faces = faces_of(planted(head(None, "astronaut"), width=40, frames=1))
    assert faces["reason"].tolist() == [face_quality.TOO_SMALL]
    assert not faces["embedding"].any()
    assert faces.facts["unusable"] == {"too small": 1}


def test_blurred_faces_are_named() -> None:
    import cv2

    clip = planted(head(None, "astronaut"), frames=1, width=110, at=(30, 5))
    assert faces_of(clip)["usable"].all()
    clip[0] = cv2.GaussianBlur(clip[0], (0, 0), 3.5)
    assert faces_of(clip, min_confidence=0)["reason"].tolist() == [face_quality.BLURRED]


def test_low_confidence_and_crowds_are_named() -> None:
    clip = planted(head(None, "astronaut"), frames=1, width=80, at=(5, 20))
    clip[:, :, 95:] = planted(head(None, "astronaut"), frames=1, width=70, at=(105, 20))[:, :, 95:]
    assert faces_of(clip)["usable"].tolist() == [True, True]
    assert faces_of(clip, max_faces=1)["reason"].tolist() == ["", face_quality.TOO_MANY]
    assert set(faces_of(clip, min_confidence=1)["reason"]) == {face_quality.LOW_CONFIDENCE}


def test_faces_in_profile_are_named() -> None:
    frontal = np.array([[10, 10], [30, 10], [20, 20], [12, 30], [28, 30]], np.float32)
    assert not face_quality.is_extreme_pose(frontal)
    profile = frontal.copy()
    profile[2] = [33, 20]
    assert face_quality.is_extreme_pose(profile)
    turned = frontal @ np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)
    assert not face_quality.is_extreme_pose(turned), "a head tilted in the picture is no profile"
    assert face_quality.is_extreme_pose(np.zeros((5, 2), np.float32))


def test_detection_in_a_smaller_picture_gives_boxes_of_the_clip() -> None:
    picture = astronaut()[None]
    full, half = faces_of(picture), faces_of(picture, short_side=256)
    np.testing.assert_allclose(full["box"], half["box"], atol=12)
    np.testing.assert_allclose(full["landmarks"], half["landmarks"], atol=8)
    assert np.linalg.norm(full["embedding"][0] - half["embedding"][0]) < 0.25
    assert half.facts["smallest_face_px"] == 40.0


class _Breaking:
    """A cascade that breaks on any batch with a frame of one colour."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def detect(self, frames: Sequence[np.ndarray]) -> Any:
        if any(rgb.std() == 0 for rgb in frames):
            raise RuntimeError("out of candidates")
        return self.real.detect(frames)


def test_frames_the_detector_broke_on_stand_in_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = planted(head(None, "astronaut"), frames=12, at=(50, 10))
    clip[[3, 9]] = 128
    real = face_detection._load_cascade(20, "auto", face_detection.THRESHOLDS)
    monkeypatch.setattr(face_detection, "_load_cascade", lambda *_: _Breaking(real))
    for batch in (1, 4):
        monkeypatch.setitem(face_detection.DETECT_BATCH, "cpu", batch)
        extractor = FacesExtractor(FacesOptions(device="cpu"))
        extractor.load()
        extraction = extractor.start(info_of(clip))
        extraction.push(Frames(clip, 0, np.arange(12) / 10))
        faces = extraction.finish()
        assert faces["frames_failed"].tolist() == [3, 9]
        assert faces.facts["failures"] == ["the face detector broke: RuntimeError: out of candidates"]
        assert {0, 6, 11} <= set(faces["frame_index"].tolist())


def test_options_change_the_fingerprint_and_paths_do_not(tmp_path: Path) -> None:
    base = FacesExtractor(FacesOptions()).fingerprint
    changed = [{"stride": 1}, {"min_side": 30}, {"min_face": 24}, {"short_side": 480},
               {"min_confidence": 0.5}, {"embedder": "facenet"}, {"device": "cuda"}]  # fmt: skip
    prints = {base, *(FacesExtractor(FacesOptions(**c)).fingerprint for c in changed)}
    assert len(prints) == len(changed) + 1
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pt").write_bytes(b"same bytes")
    one, two = (
        FacesExtractor(
            FacesOptions(embedder="facenet", embedder_options={"weights": str(tmp_path / f / "w.pt")})
        )
        for f in ("a", "b")
    )
    assert one.fingerprint == two.fingerprint


def test_what_computes_the_numbers_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def prints() -> list[str]:
        made = FacesExtractor(FacesOptions())
        return [made.fingerprint, made.detector.fingerprint, made.embedder.fingerprint]

    before = prints()
    assert prints() == before
    real = face_weights.version
    for package, changed in (("dlib-bin", (0, 2)), ("facenet-pytorch", (0, 1))):
        with monkeypatch.context() as patch:
            patch.setattr(face_weights, "version", lambda name, p=package: "0.0" if name == p else real(name))
            assert [i for i, (a, b) in enumerate(zip(before, prints(), strict=True)) if a != b] == list(
                changed
            )
    for name, value in (("resolved_device", "cuda"), ("torch_release", "1.0")):
        with monkeypatch.context() as patch:
            patch.setattr(face_detection, name, lambda *_, v=value: v)
            assert prints()[:2] != before[:2]
    monkeypatch.setattr(face_detection.cv2, "__version__", "4.0")
    assert prints()[1] != before[1]


def test_a_device_that_is_named_or_found_is_the_same_device() -> None:
    found = resolved_device("auto")
    assert FaceDetector(device=found).fingerprint == FaceDetector(device="auto").fingerprint


def test_the_extractor_keeps_its_contract() -> None:
    extractor = FacesExtractor(FacesOptions())
    assert isinstance(extractor, Extractor)
    assert extractor.unit == "frame"
    assert info_of(background(2, 8, 8)).frames == 2
