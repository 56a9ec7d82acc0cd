"""dlib's network in torch gives what dlib gives, whatever the batch, and refuses files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.portraits import astronaut
from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.extractors.face_weights import DLIB_NET
from vgaudit.zoo.dlib_face import BLOCKS, DlibFaceNet, read_layers


@pytest.fixture(scope="module")
def net() -> DlibFaceNet:
    return DlibFaceNet(read_layers(DLIB_NET.verified()), "cpu")


@pytest.fixture(scope="module")
def chips() -> np.ndarray:
    """A face, noise, black, white, and a gradient: ``(5, 150, 150, 3)``."""
    detector, embedder = FaceDetector(), DlibEmbedder()
    detector.load()
    embedder.load()
    found = detector.detect(astronaut())
    face = embedder.align(astronaut(), found.boxes[:1], found.landmarks[:1])
    noise = np.random.default_rng(4).integers(0, 256, (1, 150, 150, 3), dtype=np.uint8)
    flat = np.zeros((2, 150, 150, 3), np.uint8)
    flat[1] = 255
    ramp = np.broadcast_to(np.linspace(0, 255, 150).astype(np.uint8)[None, :, None, None], (1, 150, 150, 3))
    return np.concatenate([face, noise, flat, ramp])


def test_it_gives_what_dlib_gives(net: DlibFaceNet, chips: np.ndarray) -> None:
    dlib = pytest.importorskip("dlib")
    model = dlib.face_recognition_model_v1(str(DLIB_NET.verified()))
    theirs = np.array(model.compute_face_descriptor([np.ascontiguousarray(c) for c in chips]), np.float32)
    ours = net(chips)
    assert ours.shape == (5, 128)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.linalg.norm(ours[0] - ours[1]) > 0.3, "not the same vector for everything"


def test_a_batch_changes_nothing(net: DlibFaceNet, chips: np.ndarray) -> None:
    alone = np.concatenate([net(chip[None]) for chip in chips])
    assert np.abs(net(chips) - alone).max() < 1e-5


def test_the_layers_are_those_of_the_network() -> None:
    layers = read_layers(DLIB_NET.verified())
    assert len(layers) == 2 * (1 + 2 * len(BLOCKS)) + 1
    assert sum(layer.values.size for layer in layers) == 5_614_592


@pytest.mark.parametrize("cut", [0, 100, 30_000, 5_000_000])
def test_a_file_cut_short_or_of_something_else_is_refused(tmp_path: Path, cut: int) -> None:
    short = tmp_path / "net.dat"
    short.write_bytes(DLIB_NET.verified().read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"layers with weights|does not know|ends within"):
        read_layers(short)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    data = bytearray(DLIB_NET.verified().read_bytes())
    at = data.find(b"\x05con_4") + 6
    assert data[at : at + 5] == b"\x01\x02\x02\x80\x12"
    data[at + 3 : at + 5] = b"\xff\x7f"
    lying = tmp_path / "net.dat"
    lying.write_bytes(data)
    with pytest.raises(ValueError, match=r"layers|weights|does not know"):
        DlibFaceNet(read_layers(lying), "cpu")
