"""Frames as VideoGPT prepares them for I3D: closed forms, and torch's own resize written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_preprocessing import Preprocessing
from vgaudit.extractors.video_protocols import PROTOCOLS, VIDEOGPT

HOW = Preprocessing(size=224, low=-1.0, high=1.0)


def drawn(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([frames, height, width])
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def by_hand(line: NDArray[np.float64], out: int) -> NDArray[np.float64]:
    """A line resized to ``out`` values: bilinear between the two nearest centres, ends held."""
    at = (np.arange(out) + 0.5) * len(line) / out - 0.5
    return np.interp(at, np.arange(len(line)), line)


@pytest.mark.parametrize(("value", "expected"), [(0, -1.0), (255, 1.0), (51, -0.6), (128, 1 / 255)])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (37, 90), (501, 300)])
def test_a_constant_picture_stays_constant(value: int, expected: float, height: int, width: int) -> None:
    made = prepared(np.full((2, height, width, 3), value, dtype=np.uint8), HOW)
    assert made.shape == (3, 2, 224, 224)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, torch.full_like(made, expected), rtol=0, atol=3e-7)


def test_a_picture_of_the_size_is_only_rescaled() -> None:
    video = drawn(3, 224, 224)
    expected = video.transpose(3, 0, 1, 2).astype(np.float64) / 255 * 2 - 1
    np.testing.assert_allclose(prepared(video, HOW).numpy(), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize(("height", "width"), [(112, 256), (448, 900), (97, 300)])
def test_a_ramp_is_sampled_between_centres(height: int, width: int) -> None:
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    video = np.broadcast_to(ramp[None, None, :, None], (1, height, width, 3))
    columns = math.ceil(width * 224 / height)
    first = (columns - 224) // 2
    expected = by_hand(ramp / 255, columns)[first : first + 224] * 2 - 1
    made = prepared(video, HOW).numpy()
    np.testing.assert_allclose(made, np.broadcast_to(expected, made.shape), rtol=0, atol=3e-6)
    turned = prepared(video.transpose(0, 2, 1, 3), HOW).numpy()
    np.testing.assert_allclose(turned, made.transpose(0, 1, 3, 2), rtol=0, atol=3e-6)


def test_nothing_is_averaged_when_a_picture_shrinks() -> None:
    """Antialiasing would make grey of stripes; without it every output lies between two neighbours."""
    stripes = np.zeros((1, 224, 224 * 4, 3), dtype=np.uint8)
    stripes[:, :, ::8] = 255  # every eighth column
    tall = np.ascontiguousarray(np.repeat(stripes, 4, axis=1))  # 896 x 896: four to one
    made = prepared(tall, HOW)
    assert set(np.round(made.unique().numpy(), 5)) == {
        -1.0
    }  # samples fall between columns 1 and 2 of every four
    antialiased = interpolate(
        torch.from_numpy(tall[0]).permute(2, 0, 1)[None] / 255,
        size=(224, 224),
        mode="bilinear",
        antialias=True,
    )
    assert float(antialiased.max()) > 0.1


@pytest.mark.parametrize(
    ("height", "width"),
    [(30, 40), (40, 30), (224, 225), (223, 224), (240, 427), (50, 50), (719, 1281), (8, 8)],
)
def test_against_the_published_steps_written_out(height: int, width: int) -> None:
    video = drawn(2, height, width)
    x = torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255.0
    scale = 224 / min(height, width)
    shape = (224, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), 224)
    x = interpolate(x, size=shape, mode="bilinear", align_corners=False)
    top, left = (x.shape[2] - 224) // 2, (x.shape[3] - 224) // 2
    x = x[:, :, top : top + 224, left : left + 224].permute(1, 0, 2, 3)
    torch.testing.assert_close(prepared(video, HOW), (x - 0.5) * 2, rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (224, 224, (224, 224)),
        (240, 320, (224, 299)),  # 298.67
        (320, 240, (299, 224)),
        (720, 1280, (224, 399)),  # 398.2
        (64, 64, (224, 224)),
        (50, 50, (225, 224)),  # 50 * 4.48 is above 224 in float64
    ],
)
def test_resized_shape(height: int, width: int, expected: tuple[int, int]) -> None:
    assert HOW.resized(height, width) == expected


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(224, 224, (0, 0)), (224, 225, (0, 0)), (224, 299, (0, 37)), (300, 224, (38, 0)), (227, 224, (1, 0))],
)
def test_crop_offsets(height: int, width: int, expected: tuple[int, int]) -> None:
    assert HOW.offsets(height, width) == expected


def test_the_crop_takes_the_middle_of_an_odd_margin() -> None:
    video = np.zeros((1, 224, 227, 3), dtype=np.uint8)
    video[0, :, 1] = 255  # the first column inside: a margin of 3 leaves 1 before and 2 behind
    made = prepared(video, HOW)[0, 0, 0]
    assert made[0] == 1.0
    assert (made[1:] == -1.0).all()


def test_other_ranges_and_sizes() -> None:
    how = Preprocessing(size=16, low=-0.5, high=0.5)
    made = prepared(np.full((1, 20, 30, 3), 255, dtype=np.uint8), how)
    assert made.shape == (3, 1, 16, 16)
    assert made.unique().tolist() == [0.5]


def test_protocols_say_in_words_what_is_done() -> None:
    assert VIDEOGPT.preprocessing == HOW
    assert VIDEOGPT.pinned == {
        "resize": "short side to 224, long side rounded up; bilinear, antialias off, align_corners False, in float32",
        "crop": "centre, 224 x 224; an odd margin has its smaller half above and to the left",
        "value_range": "[-1, 1] (0 to 255 before)",
        "features": "400 logits of InceptionI3d (Kinetics-400)",
        "covariance": "divided by N - 1",
        "frame_rate": "the clip's own",
        "windows_per_clip": "1",
        "short_clips": "left out: fewer than 16 frames",
    }
    for protocol in PROTOCOLS.values():
        assert all(protocol.pinned.values())
        if protocol.preprocessing is None and protocol.itself is None:
            assert protocol.pinned["resize"] == "by the network itself"
