"""CLIP as a video network, by a real open_clip network with random weights; and one loader for each kind."""

from __future__ import annotations

import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny_clip import save_tiny_clip
from vgaudit.errors import Unavailable
from vgaudit.extractors import video_networks
from vgaudit.extractors.video_networks import CLIP_PREPROCESSING, CLIP_TAG, LIBRARIES, LOADERS
from vgaudit.extractors.video_protocols import CLIP, PROTOCOLS, Loader
from vgaudit.zoo.catalogue import WEIGHTS
from vgaudit.zoo.clip_models import ClipChoice, ClipModel, load_clip
from vgaudit.zoo.clip_settings import settings_of_tag
from vgaudit.zoo.devices import release

VIDEO = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipModel:
    config, checkpoint = save_tiny_clip(tmp_path)
    made = load_clip(ClipChoice("", str(checkpoint), str(config), device="cpu"))
    asked: list[ClipChoice] = []
    said = replace(made, facts={**made.facts, "preprocessing": dict(CLIP_PREPROCESSING)})

    def load(choice: ClipChoice) -> ClipModel:
        asked.append(choice)
        assert (choice.model, choice.config) == ("ViT-B-32", None)
        assert CLIP_TAG in (choice.pretrained, choice.pretrained_tag)
        return said

    monkeypatch.setattr(video_networks, "load_clip", load)
    return made


@pytest.mark.parametrize("weights", [CLIP.weights, "./openai.safetensors"])
def test_a_clip_is_the_mean_of_its_frames_unit_vectors(tiny: ClipModel, weights: str) -> None:
    loaded = LOADERS["clip"](CLIP, weights, None, "cpu")
    with torch.inference_mode():
        made = loaded.forward(loaded.batch(VIDEO))
        frames = torch.stack([tiny.preprocess(Image.fromarray(frame)) for frame in VIDEO])
        rows = tiny.network.encode_image(frames)
        expected = (rows / rows.norm(dim=-1, keepdim=True)).mean(dim=0, keepdim=True)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)
    assert torch.equal(made, tiny.network.encode_image(frames, normalize=True).mean(dim=0, keepdim=True))
    assert made.shape == (1, 16)
    assert float(made.norm()) < 1.0  # the mean itself is not brought to length 1


def test_other_preprocessing_than_is_said_is_refused(
    tiny: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_networks, "load_clip", lambda choice: tiny)
    with pytest.raises(Unavailable, match=r"otherwise than fvd@clip-vit-b-32 says \(size, mean, std\)"):
        LOADERS["clip"](CLIP, CLIP.weights, None, "cpu")


def test_another_networks_name_is_refused() -> None:
    with pytest.raises(Unavailable, match="takes ViT-B-32/openai or a file of such weights"):
        LOADERS["clip"](CLIP, "ViT-L-14/openai", None, "cpu")


def test_what_is_said_of_clip_is_what_open_clip_does() -> None:
    from open_clip.transform import PreprocessCfg

    cfg = PreprocessCfg(**{**settings_of_tag("ViT-B-32", CLIP_TAG).preprocess_cfg, "size": 224})
    assert {
        "size": list(cfg.input_size[1:]), "mean": list(cfg.mean), "std": list(cfg.std),
        "interpolation": cfg.interpolation, "resize_mode": cfg.resize_mode,
    } == CLIP_PREPROCESSING  # fmt: skip
    for numbers in (cfg.mean, cfg.std):
        assert ", ".join(str(n) for n in numbers) in CLIP.pinned["value_range"]


def test_every_protocol_has_a_loader_and_weights() -> None:
    assert set(LOADERS) == set(typing.get_args(Loader))
    for protocol in PROTOCOLS.values():
        assert protocol.loader in LOADERS
        assert protocol.weights in WEIGHTS
        by_itself = protocol.loader in ("torchscript", "clip")
        assert (protocol.preprocessing is None) == by_itself
        if protocol.preprocessing and protocol.picture:
            assert protocol.preprocessing.picture == protocol.picture
        assert protocol.fewest <= protocol.window <= (protocol.most or protocol.window)
    assert all(release(package) != "absent" for package in LIBRARIES.values())
