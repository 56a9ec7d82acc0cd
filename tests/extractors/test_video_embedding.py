from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.tiny_i3d import NARROW, WIDTH, TinyI3d, save_inception, save_tiny_i3d
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_protocols import STYLEGANV, VIDEOGPT
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo import devices, inception_i3d

INFO = ClipInfo("c.mp4", 40, 30, 10.0, 40, 4.0, "h264", "mp4", "yuv420p")
VIDEO = np.random.default_rng(0).integers(0, 256, (40, 30, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("tiny_i3d") / "tiny_i3d.pt"
    return {"sha256": save_tiny_i3d(path), "weights": str(path), "device": "cpu"}


def loaded(options: dict[str, object]) -> VideoEmbeddingExtractor:
    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(**options))
    extractor.load()
    return extractor


def extract(options: dict[str, object], video: np.ndarray = VIDEO, block: int = 40) -> Features:
    return run(loaded(options), video, block)


def run(extractor: VideoEmbeddingExtractor, video: np.ndarray, block: int = 40) -> Features:
    extraction = extractor.start(INFO)
    for start in range(0, len(video), block):
        part = video[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / 10))
    return extraction.finish()


def by_hand(video: np.ndarray, start: int) -> np.ndarray:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TinyI3d().eval()
    window = torch.from_numpy(video[start : start + 16].transpose(3, 0, 1, 2).copy())[None]
    with torch.inference_mode():
        return network(window, rescale=True, resize=True, return_features=True)[0].numpy()


def test_first_window_goes_through_the_network(tiny: dict[str, object]) -> None:
    features = extract(tiny)
    assert features["embedding"].shape == (1, WIDTH)
    assert features["embedding"].dtype == np.float32
    assert features["window_start"].tolist() == [0]
    np.testing.assert_allclose(features["embedding"][0], by_hand(VIDEO, 0), atol=1e-5)
    assert features.facts["weights_sha256"] == tiny["sha256"]


def test_random_window_is_drawn_by_the_clip_and_embedded_as_it_is(tiny: dict[str, object]) -> None:
    features = extract({**tiny, "random_window": True})
    first, drawn = features["window_start"]
    assert first == 0
    assert 0 <= drawn <= 24
    np.testing.assert_allclose(features["embedding"][1], by_hand(VIDEO, int(drawn)), atol=1e-5)
    np.testing.assert_array_equal(
        features["embedding"], extract({**tiny, "random_window": True}, block=7)["embedding"]
    )


def test_random_windows_are_even(tiny: dict[str, object]) -> None:
    rng = np.random.default_rng(1)
    extractor = loaded({**tiny, "random_window": True})
    starts = []
    for _ in range(240):
        video = rng.integers(0, 256, (19, 8, 8, 3), dtype=np.uint8)
        starts.append(int(run(extractor, video)["window_start"][1]))
    counts = np.bincount(starts, minlength=4)
    assert len(counts) == 4  # windows start at 0, 1, 2 or 3
    assert counts.min() > 35  # 60 expected each; below 36 in less than 1 of 5,000 runs


@pytest.mark.parametrize("block", [1, 5, 16, 40])
def test_blocks_move_no_number(tiny: dict[str, object], block: int) -> None:
    np.testing.assert_array_equal(extract(tiny, block=block)["embedding"], extract(tiny)["embedding"])


@pytest.mark.parametrize("frames", [0, 1, 15])
def test_too_short(tiny: dict[str, object], frames: int) -> None:
    features = extract(tiny, VIDEO[:frames])
    assert len(features["embedding"]) == 0
    assert len(features["window_start"]) == 0
    assert features.facts["too_short"] == f"{frames} frames; the network sees 16 at once"


def test_sixteen_frames_are_enough(tiny: dict[str, object]) -> None:
    features = extract({**tiny, "random_window": True}, VIDEO[:16])
    assert features["window_start"].tolist() == [0, 0]
    np.testing.assert_array_equal(features["embedding"][0], features["embedding"][1])


def test_code_without_a_stated_digest_is_not_run(tiny: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match=f"add `sha256: {tiny['sha256']}`"):
        extract({"weights": tiny["weights"]})


def test_code_of_another_digest_is_not_run(tiny: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="is pinned to"):
        extract({**tiny, "sha256": "0" * 64})


def test_a_file_that_is_no_torchscript(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "x.pt").write_bytes(b"hello")
    sha256 = hashlib.sha256(b"hello").hexdigest()
    with pytest.raises(Unavailable, match="no TorchScript"):
        extract({"weights": str(tmp_path / "x.pt"), "sha256": sha256})


def test_a_missing_file_and_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no file at"):
        extract({"weights": str(tmp_path / "absent.pt"), "sha256": "0" * 64})
    with pytest.raises(Unavailable, match="did you mean 'i3d-kinetics400-styleganv'"):
        extract({"weights": "i3d-kinetics400-stylegan"})


def test_network_that_gives_nan_or_another_shape_is_refused(tiny: dict[str, object], tmp_path: Path) -> None:
    class Flat(torch.nn.Module):
        def forward(
            self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
        ) -> torch.Tensor:
            return x.float().mean(dim=[1, 2, 3, 4])

    import hashlib

    with pytest.warns(FutureWarning):
        torch.jit.script(Flat()).save(str(tmp_path / "flat.pt"))
    sha256 = hashlib.sha256((tmp_path / "flat.pt").read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=r"expected \(1, d\)"):
        extract({"weights": str(tmp_path / "flat.pt"), "sha256": sha256, "device": "cpu"})


def test_fingerprint_and_options(tiny: dict[str, str], tmp_path: Path) -> None:
    one = VideoEmbeddingExtractor(VideoEmbeddingOptions(**tiny)).fingerprint
    moved = tmp_path / "moved.pt"
    moved.write_bytes(Path(tiny["weights"]).read_bytes())
    assert (
        VideoEmbeddingExtractor(VideoEmbeddingOptions(**{**tiny, "weights": str(moved)})).fingerprint == one
    )
    assert VideoEmbeddingExtractor(VideoEmbeddingOptions(**tiny, random_window=True)).fingerprint != one
    assert VideoEmbeddingExtractor(VideoEmbeddingOptions()).fingerprint != one
    with pytest.raises(ValidationError, match="fvd@styleganv"):
        VideoEmbeddingOptions(protocol="fvd@nothing")
    with pytest.raises(RuntimeError, match="load"):
        VideoEmbeddingExtractor(VideoEmbeddingOptions(**tiny)).start(INFO)


def test_constructing_imports_no_torch() -> None:
    code = (
        "import sys; from vgaudit.extractors.video_embedding import *;"
        "VideoEmbeddingExtractor(VideoEmbeddingOptions()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fingerprint_holds_the_class_of_device_and_the_release_of_torch(
    tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    prints = {
        d: VideoEmbeddingExtractor(VideoEmbeddingOptions(**{**tiny, "device": d})).fingerprint
        for d in ("auto", "cpu", "cuda")
    }
    assert prints["auto"] == prints["cpu"] != prints["cuda"]
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: True)
    assert (
        VideoEmbeddingExtractor(VideoEmbeddingOptions(**{**tiny, "device": "auto"})).fingerprint
        == prints["cuda"]
    )
    monkeypatch.setattr(devices, "version", lambda package: "9.9.1")
    assert (
        VideoEmbeddingExtractor(VideoEmbeddingOptions(**{**tiny, "device": "cpu"})).fingerprint
        != prints["cpu"]
    )


@pytest.mark.parametrize("shape", [NARROW, inception_i3d.KINETICS_400])
def test_frames_are_prepared_for_a_network_of_tensors(
    shape: inception_i3d.I3dShape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_i3d, "KINETICS_400", shape)
    sha256 = save_inception(tmp_path / "i3d.pt", shape)
    options = {
        "protocol": VIDEOGPT.name, "weights": str(tmp_path / "i3d.pt"), "sha256": sha256, "device": "cpu",
        "random_window": True,
    }  # fmt: skip
    features = extract(options)
    network = inception_i3d.load_inception_i3d(str(tmp_path / "i3d.pt"), sha256, "cpu").network
    assert VIDEOGPT.preprocessing is not None
    for row, start in zip(features["embedding"], features["window_start"], strict=True):
        with torch.inference_mode():
            expected = network(prepared(VIDEO[start : start + 16], VIDEOGPT.preprocessing)[None])[0].numpy()
        assert row.shape == (shape.classes,)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5 * expected.std())
    first, drawn = features["embedding"]
    assert np.abs(first - drawn).max() > 1e-3 * first.std()  # of windows that differ, and it shows
    assert features.facts["protocol"] == "fvd@videogpt"
    assert features.facts["weights_sha256"] == sha256
    again = extract(options, block=7)
    np.testing.assert_array_equal(features["embedding"], again["embedding"])


def test_preprocessing_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from vgaudit.extractors import video_protocols

    def fingerprint() -> str:
        return VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@videogpt")).fingerprint

    one = fingerprint()
    assert VIDEOGPT.preprocessing is not None
    half = replace(VIDEOGPT, preprocessing=replace(VIDEOGPT.preprocessing, low=-0.5, high=0.5))
    monkeypatch.setattr(video_protocols, "PROTOCOLS", {STYLEGANV.name: STYLEGANV, half.name: half})
    assert fingerprint() != one


def test_torchscript_is_no_file_of_tensors(tiny: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="is no checkpoint that loads here"):
        extract({**tiny, "protocol": "fvd@videogpt"})
