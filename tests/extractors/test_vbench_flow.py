"""The flow that VBench's dynamic_degree asks for, with a real RAFT of random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny_vbench import moving, save_raft, sha256
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.extractors.vbench_flow import FlowOptions, VBenchFlowExtractor, sampling_interval
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.raft import torchvision_names

INFO = ClipInfo("clip", 150, 130, 8.0, 3, 0.4, "raw", "array", "rgb24")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_raft(tmp_path_factory.mktemp("raft"))


@pytest.fixture(scope="module")
def extractor(weights: Path) -> VBenchFlowExtractor:
    made = VBenchFlowExtractor(FlowOptions(weights=str(weights), device="cpu"))
    made.load()
    return made


def extract(
    extractor: VBenchFlowExtractor, frames: NDArray[np.uint8], fps: float = 8.0, block: int = 100
) -> Features:
    extraction = extractor.start(replace(INFO, fps=fps))
    for start in range(0, len(frames), block):
        part = frames[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / fps))
    return extraction.finish()


@pytest.mark.parametrize(
    ("fps", "interval"),
    [(1, 1), (4, 1), (8, 1), (12, 2), (16, 2), (20, 2), (24, 3), (25, 3), (29.97, 4), (60, 8)],
)
def test_about_eight_frames_a_second_are_sampled(fps: float, interval: int) -> None:
    assert sampling_interval(fps) == interval


def test_the_longest_twentieth_of_the_flow_over_the_padded_frame(
    extractor: VBenchFlowExtractor, weights: Path
) -> None:
    """By hand: 130 x 150 is padded by 6 rows (3 above, 3 below) and 2 columns (1 and 1), edges repeated."""
    import torch
    from torchvision.models.optical_flow import raft_large

    frames = moving(2, 130, 150)
    features = extract(extractor, frames)
    network = raft_large(weights=None).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    padded = np.pad(frames.astype(np.float32), ((0, 0), (3, 3), (1, 1), (0, 0)), mode="edge")
    first, second = torch.from_numpy(padded.transpose(0, 3, 1, 2) / 255 * 2 - 1).split(1)
    with torch.inference_mode():
        flow = network(first, second, num_flow_updates=20)[-1][0].numpy()
    assert flow.shape == (2, 136, 152)
    length = sorted(np.hypot(*flow).ravel(), reverse=True)
    expected = np.mean(length[: int(136 * 152 * 0.05)])
    assert features["top_flow"] == pytest.approx([expected], rel=1e-4)
    assert features["frame_index"].tolist() == [0, 1]
    assert (features.facts["height"], features.facts["width"], features.facts["interval"]) == (130, 150, 1)


def test_blocks_change_nothing_and_frames_between_are_left_out(extractor: VBenchFlowExtractor) -> None:
    frames = moving(5, 128, 128)
    whole = extract(extractor, frames, fps=16)
    assert whole["frame_index"].tolist() == [0, 2, 4]
    assert whole["top_flow"].shape == (2,)
    np.testing.assert_array_equal(extract(extractor, frames, 16, 1)["top_flow"], whole["top_flow"])
    np.testing.assert_array_equal(extract(extractor, frames[::2], 8)["top_flow"], whole["top_flow"])


def test_small_frames_have_no_flow(extractor: VBenchFlowExtractor) -> None:
    features = extract(extractor, moving(3, 120, 200))
    assert features.facts["too_small"]
    assert features["top_flow"].size == 0
    assert "too_small" not in extract(extractor, moving(1, 121, 121)).facts
    assert extract(extractor, moving(0))["top_flow"].size == 0


def test_the_authors_layout_gives_the_same_network(weights: Path) -> None:
    """Names of raft-things.pth, as the authors' code gives them, one of each kind."""
    import torch
    from torchvision.models.optical_flow import raft_large

    pairs = {
        "fnet.conv1.weight": "feature_encoder.convnormrelu.0.weight",
        "fnet.layer2.0.conv2.bias": "feature_encoder.layer2.0.convnormrelu2.0.bias",
        "fnet.layer2.0.downsample.0.weight": "feature_encoder.layer2.0.downsample.0.weight",
        "fnet.conv2.weight": "feature_encoder.conv.weight",
        "cnet.norm1.running_mean": "context_encoder.convnormrelu.1.running_mean",
        "cnet.layer3.0.norm1.weight": "context_encoder.layer3.0.convnormrelu1.1.weight",
        "cnet.layer3.0.downsample.1.running_var": "context_encoder.layer3.0.downsample.1.running_var",
        "update_block.encoder.convc1.weight": "update_block.motion_encoder.convcorr1.0.weight",
        "update_block.encoder.convf2.bias": "update_block.motion_encoder.convflow2.0.bias",
        "update_block.encoder.conv.weight": "update_block.motion_encoder.conv.0.weight",
        "update_block.gru.convz1.weight": "update_block.recurrent_block.convgru1.convz.weight",
        "update_block.gru.convq2.bias": "update_block.recurrent_block.convgru2.convq.bias",
        "update_block.flow_head.conv1.weight": "update_block.flow_head.conv1.weight",
        "update_block.mask.0.weight": "mask_predictor.convrelu.0.weight",
        "update_block.mask.2.bias": "mask_predictor.conv.bias",
    }
    tensors = {name: torch.zeros(1) for name in pairs} | {"cnet.layer3.0.norm3.weight": torch.zeros(1)}
    assert list(torchvision_names(tensors)) == list(pairs.values())
    assert set(pairs.values()) <= set(raft_large(weights=None).state_dict())
    own = torch.load(weights, weights_only=True)
    assert torchvision_names(own) == own


def test_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("VGAUDIT_WEIGHTS", raising=False)
    for stated, words in ((None, "no digest is established"), ("0" * 64, "not fetched by themselves")):
        with pytest.raises(Unavailable, match=words) as caught:
            VBenchFlowExtractor(FlowOptions(device="cpu", sha256=stated)).load()
        assert "https://download.pytorch.org/models/raft_large_C_T_V1-22a6c225.pth" in caught.value.remedy


def test_torchs_own_cache_is_searched(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("VGAUDIT_WEIGHTS", raising=False)
    file = tmp_path / "hub" / "checkpoints" / "raft_large_C_T_V1-22a6c225.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(weights.read_bytes())
    with pytest.raises(Unavailable, match="pinned to 0000"):
        VBenchFlowExtractor(FlowOptions(device="cpu", sha256="0" * 64)).load()
    VBenchFlowExtractor(FlowOptions(device="cpu", sha256=sha256(file))).load()
