"""Embedders: alike faces close, others apart; and every way their weights can be missing or wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.portraits import faces_of, portrait
from vgaudit import registry
from vgaudit.errors import Unavailable, UsageError
from vgaudit.extractors import face_embedders
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedders import DlibEmbedder, FacenetEmbedder, OnnxEmbedder
from vgaudit.extractors.face_embedding import FaceEmbedder, l2_distances, published_point, unit_norm
from vgaudit.extractors.face_weights import DLIB_NET, MTCNN_NETS
from vgaudit.extractors.faces import make_embedder
from vgaudit.extractors.onnx_embedder import read_manifest, similarity_transform


@pytest.fixture(scope="module")
def portraits(shared_data: Path) -> dict[str, tuple[Any, Any]]:
    """Name -> picture, detections."""
    detector = FaceDetector(device="cpu")
    detector.load()
    found = {}
    for path in sorted((shared_data / "faces").glob("*/*.jpg")):
        picture = portrait(path)
        found[f"{path.parent.name}/{path.stem}"] = (picture, detector.detect(picture))
    return found


@pytest.fixture(scope="module")
def dlib_embedder() -> DlibEmbedder:
    embedder = DlibEmbedder()
    embedder.load()
    return embedder


def chips_of(embedder: FaceEmbedder, portraits: dict[str, tuple[Any, Any]]) -> np.ndarray:
    return np.concatenate(
        [
            embedder.align(picture, found.boxes[:1], found.landmarks[:1])
            for picture, found in portraits.values()
        ]
    )


# -- dlib ------------------------------------------------------------------------------------------


def test_dlib_keeps_pictures_of_one_person_together_and_others_apart(
    dlib_embedder: DlibEmbedder, portraits: dict[str, tuple[Any, Any]]
) -> None:
    vectors = dlib_embedder.embed(chips_of(dlib_embedder, portraits))
    similarity = dlib_embedder.similarity(vectors, vectors)
    people = np.array([name[:8] for name in portraits])
    same = people[:, None] == people[None, :]
    point = published_point(dlib_embedder.points)
    assert point is not None
    assert (similarity[same] > point.similarity).all()
    assert similarity[~same].max() < 0.28
    assert vectors.dtype == np.float32
    norms = np.linalg.norm(vectors, axis=1)
    assert ((norms > 1.3) & (norms < 1.5)).all(), "dlib's vectors must stay raw"


def test_dlib_gives_each_face_the_same_numbers_alone_and_in_a_batch(
    dlib_embedder: DlibEmbedder, portraits: dict[str, tuple[Any, Any]]
) -> None:
    chips = chips_of(dlib_embedder, portraits)
    together = dlib_embedder.embed(chips)
    for chip, vector in zip(chips, together, strict=True):
        np.testing.assert_allclose(dlib_embedder.embed(chip[None])[0], vector, atol=1e-6)


def test_dlib_survives_two_threads(
    dlib_embedder: DlibEmbedder, portraits: dict[str, tuple[Any, Any]]
) -> None:
    chips = chips_of(dlib_embedder, portraits)
    expected = dlib_embedder.embed(chips)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(dlib_embedder.embed(chips))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


def test_dlib_of_no_face(dlib_embedder: DlibEmbedder) -> None:
    nothing = dlib_embedder.align(
        np.zeros((40, 40, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)
    )
    assert dlib_embedder.embed(nothing).shape == (0, 128)


def test_dlib_aligns_a_box_that_leaves_the_frame(dlib_embedder: DlibEmbedder) -> None:
    rgb = np.full((60, 60, 3), 90, np.uint8)
    boxes = np.array([[-20, -30, 30, 40], [40, 40, 120, 130]], np.float32)
    chips = dlib_embedder.align(rgb, boxes, np.zeros((2, 5, 2), np.float32))
    assert chips.shape == (2, 150, 150, 3)


@pytest.mark.parametrize("file", [DLIB_NET, *MTCNN_NETS], ids=lambda f: Path(f.path).name)
def test_model_files_of_the_wheels_are_pinned(file: Any) -> None:
    assert hashlib.sha256(file.verified().read_bytes()).hexdigest() == file.sha256


def test_other_bytes_under_the_name_of_a_model_are_refused() -> None:
    other = dataclasses.replace(DLIB_NET, sha256="0" * 64)
    with pytest.raises(
        Unavailable, match=r"sha256 55533b28.*expected 00000000.*pip install --force-reinstall"
    ):
        other.verified()


def test_a_missing_package_names_the_command() -> None:
    gone = dataclasses.replace(DLIB_NET, requirement="no-such-distribution==1.0")
    with pytest.raises(Unavailable, match=r"not installed; pip install 'no-such-distribution==1\.0'"):
        gone.verified()


# -- distances -------------------------------------------------------------------------------------


@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.just(8)), elements=st.floats(-2, 2, width=32)),
    arrays(np.float32, st.tuples(st.integers(1, 6), st.just(8)), elements=st.floats(-2, 2, width=32)),
    st.floats(0, 1e-4),
)
def test_l2_equals_brute_force_even_where_vectors_nearly_coincide(
    a: np.ndarray, b: np.ndarray, step: float
) -> None:
    b = np.concatenate([b, a, a + np.float32(step)])
    brute = np.linalg.norm(a.astype(np.float64)[:, None] - b.astype(np.float64)[None], axis=2)
    found = l2_distances(a, b)
    np.testing.assert_allclose(found, brute, atol=1e-6)
    assert (found[np.arange(len(a)), len(b) - 2 * len(a) + np.arange(len(a))] == 0).all()


def test_unit_norm_refuses_a_vector_without_direction() -> None:
    with pytest.raises(ValueError, match="without direction"):
        unit_norm(np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="without direction"):
        unit_norm(np.array([[np.nan, 1]], np.float32))


def test_every_embedder_keeps_the_contract() -> None:
    assert set(registry.names("face_embedders")) >= {"dlib", "facenet", "onnx"}
    for embedder in (make_embedder("dlib", {}), make_embedder("facenet", {})):
        assert isinstance(embedder, FaceEmbedder)
        for point in embedder.points:
            assert point.source
            assert point.stated
    assert make_embedder("facenet", {}).points == (), "nobody published a threshold for these weights"


def test_unknown_embedder_options_are_named() -> None:
    with pytest.raises(
        UsageError, match=r"embedder_options of 'facenet': wieghts.*known: weights, sha256, device"
    ):
        make_embedder("facenet", {"wieghts": "x.pt"})
    with pytest.raises(UsageError, match="did you mean 'dlib'"):
        make_embedder("dlibb", {})


# -- FaceNet ---------------------------------------------------------------------------------------


def test_facenet_without_weights_says_where_they_are() -> None:
    embedder = FacenetEmbedder(FacenetEmbedder.Options())
    with pytest.raises(
        Unavailable, match=r"20180402-114759-vggface2\.pt.*embedder_options: \{weights: PATH\}"
    ):
        embedder.load()
    with pytest.raises(Unavailable, match="no file at"):
        FacenetEmbedder(FacenetEmbedder.Options(weights="gone.pt")).load()


@pytest.fixture(scope="module")
def facenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state of the real network, untrained, with the classifier the release file has too."""
    import torch
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    state = InceptionResnetV1(pretrained=None).state_dict()
    state |= {"logits.weight": torch.zeros(5, 512), "logits.bias": torch.zeros(5)}
    path = tmp_path_factory.mktemp("facenet") / "state.pt"
    torch.save(state, path)
    return path


def test_facenet_embeds_to_unit_norm_whatever_the_batch(
    facenet_file: Path, portraits: dict[str, tuple[Any, Any]]
) -> None:
    embedder = FacenetEmbedder(FacenetEmbedder.Options(weights=str(facenet_file), device="cpu"))
    embedder.load()
    chips = chips_of(embedder, dict(list(portraits.items())[:3]))
    assert chips.shape == (3, 160, 160, 3)
    vectors = embedder.embed(chips)
    assert vectors.shape == (3, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embedder.embed(chips[1:2])[0], vectors[1], atol=1e-5)
    assert embedder.similarity(vectors, vectors).max() <= 1
    other = FacenetEmbedder(FacenetEmbedder.Options(weights=str(facenet_file), sha256="0" * 64))
    assert other.fingerprint != embedder.fingerprint
    with pytest.raises(Unavailable, match="pinned to 0000"):
        other.load()


class _Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (Path(_Trap.target),)

    target = ""


def test_a_pickle_in_place_of_weights_runs_nothing(tmp_path: Path) -> None:
    import torch

    _Trap.target = str(tmp_path / "executed")
    torch.save({"conv2d_1a.conv.weight": _Trap()}, tmp_path / "trap.pt")
    with pytest.raises(Unavailable, match="no state of InceptionResnetV1"):
        FacenetEmbedder(FacenetEmbedder.Options(weights=str(tmp_path / "trap.pt"))).load()
    assert not (tmp_path / "executed").exists()


# -- ONNX ------------------------------------------------------------------------------------------

SIZE, DIMENSION = 32, 12


def onnx_folder(folder: Path, batch: str | int = "n", **manifest: Any) -> Path:
    """A real little network (average pool, then a matrix) with its manifest; returns the manifest."""
    import onnx

    helper, types = onnx.helper, onnx.TensorProto
    matrix = projection()
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "face",
        [helper.make_tensor_value_info("x", types.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", types.FLOAT, [batch, DIMENSION])],
        [helper.make_tensor("w", types.FLOAT, matrix.shape, matrix.ravel().tolist())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "face.onnx").write_bytes(model.SerializeToString())
    fields = {
        "name": "little", "file": "face.onnx", "licence": "Apache-2.0", "dimension": DIMENSION, "size": SIZE,
        "sha256": hashlib.sha256((folder / "face.onnx").read_bytes()).hexdigest(),
        "mean": [100.0, 110.0, 120.0], "std": 128.0, "threshold": 0.5, "threshold_source": "made up for a test",
    } | manifest  # fmt: skip
    path = folder / "face.yaml"
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
    return path


def projection() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(3 * 16, DIMENSION)).astype(np.float32)


def onnx_embedder(manifest: Path) -> OnnxEmbedder:
    embedder = OnnxEmbedder(OnnxEmbedder.Options(manifest=str(manifest)))
    embedder.load()
    return embedder


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_onnx_preprocesses_as_its_manifest_says(tmp_path: Path, batch: str | int, channels: str) -> None:
    embedder = onnx_embedder(onnx_folder(tmp_path, batch, channels=channels))
    chips = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    pixels = chips[..., ::-1] if channels == "bgr" else chips
    scaled = ((pixels.astype(np.float64) - [100, 110, 120]) / 128).transpose(0, 3, 1, 2)
    pooled = scaled.reshape(5, 3, 4, 8, 4, 8).mean(axis=(3, 5)).reshape(5, -1)
    expected = pooled @ projection()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(chips), expected, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(chips[3:4])[0], expected[3], atol=1e-5)
    assert published_point(embedder.points).similarity == 0.5  # type: ignore[union-attr]


def test_onnx_runs_in_the_faces_extractor(tmp_path: Path, shared_data: Path) -> None:
    manifest = onnx_folder(tmp_path)
    picture = portrait(shared_data / "faces" / "person_b" / "1.jpg")[None, ::3, ::3]
    faces = faces_of(picture, embedder="onnx", embedder_options={"manifest": str(manifest)}, device="cpu")
    assert faces["embedding"].shape == (1, DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(faces["embedding"]), 1, atol=1e-6)


def test_onnx_moves_the_landmarks_onto_the_template(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(OnnxEmbedder.Options(manifest=str(onnx_folder(tmp_path, size=112))))
    target = embedder.manifest.points()
    source = (target * 1.7 + [40, 25]).astype(np.float32)
    rgb = np.zeros((300, 300, 3), np.uint8)
    for x, y in source:
        rgb[round(float(y)) - 2 : round(float(y)) + 3, round(float(x)) - 2 : round(float(x)) + 3] = 255
    chip = embedder.align(rgb, np.zeros((1, 4), np.float32), source[None])[0]
    for x, y in target:
        assert chip[round(y), round(x)].min() > 200


@given(
    st.floats(0.2, 5), st.floats(-3.1, 3.1), st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    arrays(np.float64, (5, 2), elements=st.floats(0, 100), unique=True),
)  # fmt: skip
def test_similarity_transform_recovers_rotation_scale_and_shift(
    scale: float, angle: float, shift: tuple[float, float], points: np.ndarray
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity_transform(points, points @ turn.T + shift)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], points @ turn.T + shift, atol=1e-5)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_similarity_transform_of_points_that_coincide_is_a_shift() -> None:
    matrix = similarity_transform(np.zeros((5, 2)), np.ones((5, 2)))
    np.testing.assert_allclose(matrix, [[1, 0, 1], [0, 1, 1]])


WRONG_MANIFESTS = {
    "sha256": ({"sha256": "abc"}, "sha256"),
    "no licence": ({"licence": None}, "licence"),
    "escape": ({"file": "../face.onnx"}, "beside the manifest"),
    "absolute": ({"file": "/etc/face.onnx"}, "beside the manifest"),
    "threshold without source": ({"threshold_source": None}, "threshold_source"),
    "zero std": ({"std": 0}, "std"),
    "two stds": ({"std": [1, 2]}, "std"),
    "points in a line": ({"template": [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]}, "one line"),
    "unknown field": ({"colour": "rgb"}, "colour"),
    "channels": ({"channels": "gray"}, "channels"),
    "mean": ({"mean": float("inf")}, "mean"),
}


@pytest.mark.parametrize("case", WRONG_MANIFESTS)
def test_a_wrong_manifest_is_named_with_its_field(tmp_path: Path, case: str) -> None:
    fields, message = WRONG_MANIFESTS[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_manifest(onnx_folder(tmp_path, **fields))
    assert "face.yaml" in str(caught.value)


def test_a_manifest_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a YAML or JSON file"):
        read_manifest(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text("[1, 2]")
    with pytest.raises(UsageError, match="manifest: "):
        read_manifest(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError, match="not a YAML or JSON file"):
        read_manifest(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text("a" * 70_000)
    with pytest.raises(UsageError, match="at most"):
        read_manifest(tmp_path / "m.yaml")
    with pytest.raises(Unavailable, match="cannot be read"):
        read_manifest(tmp_path / "gone.yaml")


def test_a_network_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="its manifest says 0000"):
        onnx_embedder(onnx_folder(tmp_path, sha256="0" * 64))
    with pytest.raises(UsageError, match="output has 12 numbers"):
        onnx_embedder(onnx_folder(tmp_path, dimension=16))
    with pytest.raises(UsageError, match=r"manifest says \(n, 3, 48, 48\)"):
        onnx_embedder(onnx_folder(tmp_path, size=48))
    manifest = onnx_folder(tmp_path)
    (tmp_path / "face.onnx").unlink()
    with pytest.raises(Unavailable, match="put the network there"):
        onnx_embedder(manifest)
    junk = b"not a network"
    (tmp_path / "junk").mkdir()
    broken = onnx_folder(tmp_path / "junk", sha256=hashlib.sha256(junk).hexdigest())
    (tmp_path / "junk" / "face.onnx").write_bytes(junk)
    with pytest.raises(UsageError, match="cannot be loaded by onnxruntime"):
        onnx_embedder(broken)


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = onnx_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Unavailable, match=r"pip install 'vgaudit\[onnx\]'"):
        onnx_embedder(manifest)


def test_a_manifests_threshold_does_not_change_what_vectors_are(tmp_path: Path) -> None:
    one = OnnxEmbedder(OnnxEmbedder.Options(manifest=str(onnx_folder(tmp_path / "a"))))
    two = OnnxEmbedder(OnnxEmbedder.Options(manifest=str(onnx_folder(tmp_path / "b", threshold=0.7))))
    three = OnnxEmbedder(OnnxEmbedder.Options(manifest=str(onnx_folder(tmp_path / "c", channels="bgr"))))
    assert one.fingerprint == two.fingerprint != three.fingerprint


def test_constructing_imports_no_torch() -> None:
    import subprocess

    code = (
        "import sys; from vgaudit.extractors.faces import *; FacesExtractor(FacesOptions()); "
        "from vgaudit.metrics import likeness; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'dlib', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert face_embedders.__all__ == ["DlibEmbedder", "FacenetEmbedder", "OnnxEmbedder"]
