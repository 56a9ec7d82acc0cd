"""Frames as torchvision's presets, transformers' processor and cd-fvd prepare them, and the words for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate
from torchvision.models import video as published

from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_preprocessing import Preprocessing
from vgaudit.extractors.video_protocols import (
    CD_VIDEOMAE,
    CLIP,
    PROTOCOLS,
    R3D18,
    S3D_PROTOCOL,
    SWIN3D,
    VIDEOMAE,
    VideoProtocol,
)

SIZES = [(30, 40), (128, 171), (256, 256), (300, 257), (240, 427), (719, 1281), (257, 300)]
PRESETS = [
    (R3D18, published.R3D_18_Weights.KINETICS400_V1),
    (S3D_PROTOCOL, published.S3D_Weights.KINETICS400_V1),
    (SWIN3D, published.Swin3D_T_Weights.KINETICS400_V1),
]


def drawn(height: int, width: int, frames: int = 2) -> NDArray[np.uint8]:
    rng = np.random.default_rng([frames, height, width])
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def how(protocol: VideoProtocol) -> Preprocessing:
    assert protocol.preprocessing is not None
    return protocol.preprocessing


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("protocol", "weights"), PRESETS)
def test_frames_are_torchvisions_to_the_bit(
    protocol: VideoProtocol, weights: Any, height: int, width: int
) -> None:
    video = drawn(height, width)
    expected = weights.transforms()(torch.from_numpy(video).permute(0, 3, 1, 2))
    assert torch.equal(prepared(video, how(protocol)), expected)


@pytest.mark.parametrize(("protocol", "weights"), PRESETS)
def test_windows_and_rate_are_those_the_weights_were_measured_with(
    protocol: VideoProtocol, weights: Any
) -> None:
    said = weights.meta["_docs"]
    assert f"`clip_len={protocol.window}`" in said
    assert f"`frame_rate={protocol.fps:g}`" in said
    assert protocol.fewest >= weights.meta.get("min_temporal_size", 1)


@pytest.mark.parametrize(("height", "width"), [(300, 257), (240, 427), (100, 130), (224, 224)])
def test_frames_are_those_of_transformers_processor_up_to_one_level(height: int, width: int) -> None:
    """It resizes uint8 by another kernel, so that a value may be rounded the other way."""
    from transformers import VideoMAEImageProcessor

    video, preset = drawn(height, width), how(VIDEOMAE)
    processor = VideoMAEImageProcessor(image_mean=list(preset.mean or ()), image_std=list(preset.std or ()))
    expected = processor(list(video), return_tensors="pt")["pixel_values"][0].transpose(0, 1)
    made = prepared(video, preset)
    level = 1 / 255 / min(preset.std or ())
    assert made.shape == expected.shape
    torch.testing.assert_close(made, expected, rtol=0, atol=1.01 * level)
    assert float((made - expected).abs().mean()) < 0.3 * level


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_content_debiased_frames_are_squeezed_and_not_normalised(height: int, width: int) -> None:
    video = drawn(height, width)
    x = torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255
    x = interpolate(x, size=(224, 224), mode="bilinear", align_corners=False)
    made = prepared(video, how(CD_VIDEOMAE))
    assert torch.equal(made, x.permute(1, 0, 2, 3))
    assert float(made.min()) >= 0.0
    assert float(made.max()) <= 1.0


def test_a_crop_must_fit() -> None:
    with pytest.raises(ValueError, match="found 112 x 172 of 128 x 171"):
        Preprocessing(112, 0.0, 1.0, resize_to=(128, 171), crop_to=(112, 172))
    with pytest.raises(ValueError, match="`mean` and `std` together"):
        Preprocessing(112, 0.0, 1.0, mean=(0.5, 0.5, 0.5))


def test_words_are_exact() -> None:
    assert R3D18.pinned == {
        "resize": "to 128 x 171 (rows x columns), whatever the ratio; bilinear, antialias off, align_corners False, "
        "in float32, then rounded to whole values",
        "crop": "centre, 112 x 112; half an odd margin is rounded to an even number above and to the left",
        "value_range": "[0, 1] (0 to 255 before), less (0.43216, 0.394666, 0.37645), over (0.22803, 0.22145, "
        "0.216989), for red, green, blue",
        "features": "512 features of torchvision's r3d_18 (Kinetics-400), before the classifier",
        "covariance": "divided by N - 1",
        "frame_rate": "brought to 15 frames a second, by nearest time stamps",
        "windows_per_clip": "1",
        "short_clips": "left out: fewer than 16 frames at 15 frames a second",
    }
    assert SWIN3D.pinned["resize"].startswith("short side to 256, long side rounded down; bilinear")
    assert VIDEOMAE.pinned["resize"].endswith("antialias on, align_corners False, in float32, then rounded to "
                                              "whole values")  # fmt: skip
    assert CD_VIDEOMAE.pinned["crop"] == "none"
    assert CD_VIDEOMAE.pinned["value_range"] == "[0, 1] (0 to 255 before)"
    assert CD_VIDEOMAE.pinned["covariance"] == "divided by N"
    assert "0.48145466, 0.4578275, 0.40821073" in CLIP.pinned["value_range"]


def test_every_field_moves_the_identity_and_usual_ones_are_left_out() -> None:
    from dataclasses import replace

    plain = Preprocessing(32, 0.0, 1.0)
    assert plain.identity == {"size": 32, "low": 0.0, "high": 1.0}
    changes: dict[str, Any] = {
        "size": 48, "low": -1.0, "high": 2.0, "resize_to": (40, 50), "crop_to": (16, 16), "long_side": "down",
        "margin": "even", "antialias": True, "whole": True,
    }  # fmt: skip
    made = [replace(plain, **{name: value}).identity for name, value in changes.items()]
    made.append(replace(plain, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)).identity)
    assert all(one != plain.identity for one in made)
    assert len({str(one) for one in made}) == len(made)


def test_names_of_protocols() -> None:
    assert {"fvd@r3d18", "fvd@s3d", "fvd@swin3d-t", "fvd@videomae-base", "fvd@cd-videomae",
            "fvd@clip-vit-b-32"} < set(PROTOCOLS)  # fmt: skip
