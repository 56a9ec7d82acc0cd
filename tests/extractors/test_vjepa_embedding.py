from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.tiny_vjepa import TINY, drawn_vjepa, save_vjepa
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.extractors.vjepa_embedding import (
    JEDI_PROTOCOLS,
    VjepaEmbeddingExtractor,
    VjepaEmbeddingOptions,
    normalised,
)
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo import vjepa
from vgaudit.zoo.vjepa import network_digest

INFO = ClipInfo("c.mp4", 50, 37, 10.0, 20, 2.0, "h264", "mp4", "yuv420p")
VIDEO = np.random.default_rng(0).integers(0, 256, (20, 37, 50, 3), dtype=np.uint8)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(vjepa, "VITH16", TINY)
    return save_vjepa(tmp_path)


def extract(options: dict[str, str], video: np.ndarray = VIDEO, block: int = 20) -> Features:
    extractor = VjepaEmbeddingExtractor(VjepaEmbeddingOptions(**options))
    extractor.load()
    extraction = extractor.start(INFO)
    for start in range(0, len(video), block):
        part = video[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / 10))
    return extraction.finish()


def by_hand(video: np.ndarray, size: int) -> np.ndarray:
    """``(3, t, size, size)``: every pixel looked up alone."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    height, width = video.shape[1:3]
    out = np.zeros((3, len(video), size, size))
    for y in range(size):
        for x in range(size):
            out[:, :, y, x] = video[:, y * height // size, x * width // size].T / 255
    return (out - np.reshape(mean, (3, 1, 1, 1))) / np.reshape(std, (3, 1, 1, 1))


@pytest.mark.parametrize("shape", [(37, 50), (32, 32), (16, 20)])
def test_frames_are_looked_up_and_normalised(shape: tuple[int, int]) -> None:
    video = np.random.default_rng(1).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    np.testing.assert_allclose(normalised(video, 32).numpy(), by_hand(video, 32), atol=1e-5)


@pytest.mark.parametrize("protocol", list(JEDI_PROTOCOLS))
def test_first_frames_go_through_the_network(tiny: dict[str, str], protocol: str) -> None:
    features = extract({**tiny, "protocol": protocol})
    projected = protocol == "jedi@videojedi"
    batch = torch.from_numpy(by_hand(VIDEO[:16], 32)).float()[None]
    expected = drawn_vjepa(projected=projected)(batch)[0].numpy()
    assert features["embedding"].shape == (1, TINY.width)
    assert features["embedding"].dtype == np.float32
    np.testing.assert_allclose(features["embedding"][0], expected, rtol=1e-4, atol=1e-4)
    assert features["window_start"].tolist() == [0]
    assert features.facts["protocol"] == protocol
    assert features.facts["weights_sha256"] == network_digest(tiny["sha256"], tiny["probe_sha256"], projected)


def test_blocks_and_later_frames_move_nothing(tiny: dict[str, str]) -> None:
    whole = extract(tiny)["embedding"]
    np.testing.assert_array_equal(extract(tiny, block=7)["embedding"], whole)
    np.testing.assert_array_equal(extract(tiny, VIDEO[:16])["embedding"], whole)
    changed = VIDEO.copy()
    changed[15] = 255 - changed[15]
    assert np.abs(extract(tiny, changed)["embedding"] - whole).max() > 1e-3


def test_a_short_clip_has_no_row(tiny: dict[str, str]) -> None:
    features = extract(tiny, VIDEO[:15])
    assert len(features["embedding"]) == 0
    assert features.facts["too_short"] == "15 frames; the network sees 16 at once"


def test_every_digest_and_the_protocol_are_in_the_fingerprint(tiny: dict[str, str]) -> None:
    def fingerprint(**change: str) -> str:
        return VjepaEmbeddingExtractor(VjepaEmbeddingOptions(**{**tiny, **change})).fingerprint

    seen = {
        fingerprint(), fingerprint(sha256="1" * 64), fingerprint(probe_sha256="1" * 64),
        fingerprint(protocol="jedi@vjepa"),
    }  # fmt: skip
    assert len(seen) == 4


def test_weights_of_unknown_bytes_are_not_loaded_by_name() -> None:
    extractor = VjepaEmbeddingExtractor(VjepaEmbeddingOptions(device="cpu"))
    with pytest.raises(Unavailable, match="no digest is established for vjepa-vith16"):
        extractor.load()
    with pytest.raises(RuntimeError, match="load"):
        extractor.start(INFO)


def test_other_protocols_are_refused() -> None:
    with pytest.raises(ValidationError, match="protocol"):
        VjepaEmbeddingOptions(protocol="fvd@styleganv")


def test_making_one_imports_no_torch() -> None:
    code = (
        "import sys; from vgaudit.extractors.vjepa_embedding import *; "
        "VjepaEmbeddingExtractor(VjepaEmbeddingOptions()); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
