"""Every layout and type a pipeline may return becomes the same uint8 clips; what would be a guess is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vgaudit.backends.video_output import BadOutputError, split_clips, to_uint8, to_uint8_clips

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 8, 3), dtype=np.uint8)
UNIT = (CLIPS / 255).astype(np.float32)


def pil(clip: np.ndarray[Any, Any]) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in clip]


LAYOUTS: dict[str, Callable[[], Any]] = {
    "BTHWC floats": lambda: UNIT,
    "BTHWC half": lambda: UNIT.astype(np.float16),
    "BTHWC bytes": lambda: CLIPS,
    "list of THWC": lambda: list(UNIT),
    "list of lists of HWC": lambda: [list(clip) for clip in UNIT],
    "lists of PIL": lambda: [pil(c) for c in CLIPS],
    "BTCHW tensor": lambda: torch.from_numpy(UNIT).permute(0, 1, 4, 2, 3),
    "BCTHW tensor": lambda: torch.from_numpy(UNIT).permute(0, 4, 1, 2, 3),
    "BTHWC tensor": lambda: torch.from_numpy(UNIT),
    "BTCHW bytes": lambda: torch.from_numpy(CLIPS).permute(0, 1, 4, 2, 3),
    "list of TCHW tensors": lambda: list(torch.from_numpy(UNIT).permute(0, 1, 4, 2, 3)),
    "tuple": lambda: tuple(UNIT),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    made = to_uint8_clips(LAYOUTS[layout]())
    assert len(made) == 2
    np.testing.assert_array_equal(np.stack(made), CLIPS)
    assert all(c.dtype == np.uint8 and c.flags["C_CONTIGUOUS"] for c in made)


SINGLE: dict[str, Callable[[], Any]] = {
    "THWC": lambda: UNIT[0],
    "list of PIL": lambda: pil(CLIPS[0]),
    "list of HWC": lambda: list(UNIT[0]),
    "TCHW tensor": lambda: torch.from_numpy(UNIT[0]).permute(0, 3, 1, 2),
}


@pytest.mark.parametrize("layout", SINGLE)
def test_a_single_clip(layout: str) -> None:
    (made,) = to_uint8_clips(SINGLE[layout]())
    np.testing.assert_array_equal(made, CLIPS[0])


def test_one_frame_and_three_frames_of_a_tensor() -> None:
    one = torch.from_numpy(UNIT[:, :1]).permute(0, 4, 1, 2, 3)  # (B, C, 1, H, W)
    np.testing.assert_array_equal(np.stack(to_uint8_clips(one)), CLIPS[:, :1])
    three = torch.from_numpy(UNIT[:, :3]).permute(0, 1, 4, 2, 3)  # (B, T, C, H, W), T and C both 3
    np.testing.assert_array_equal(np.stack(to_uint8_clips(three)), CLIPS[:, :3])


def test_bfloat16_and_grey() -> None:
    made = to_uint8_clips(torch.from_numpy(UNIT).permute(0, 1, 4, 2, 3).bfloat16())
    assert np.abs(np.stack(made).astype(int) - CLIPS).max() <= 1
    grey = to_uint8_clips(UNIT[..., :1])
    np.testing.assert_array_equal(grey[0], np.repeat(CLIPS[0, ..., :1], 3, axis=-1))
    images = [Image.fromarray(f[..., 0]) for f in CLIPS[0]]
    np.testing.assert_array_equal(to_uint8_clips(images)[0], np.repeat(CLIPS[0, ..., :1], 3, axis=-1))


@given(hnp.arrays(np.float32, (2, 3, 4, 3), elements=st.floats(0, 1, width=32)))
def test_rounding_is_to_the_nearest_level(clip: np.ndarray[Any, Any]) -> None:
    made = to_uint8(clip)
    assert np.abs(made / 255 - clip).max() <= 0.5 / 255 + 1e-6


def test_slight_overshoot_is_clipped() -> None:
    clip = np.array([-0.005, 1.005], dtype=np.float32).reshape(2, 1, 1, 1)
    assert to_uint8(clip)[:, 0, 0, 0].tolist() == [0, 255]


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "latents": (lambda: torch.zeros(2, 4, 5, 8, 8), r"expected 1 or 3 channels .* \(are these latents\?\)"),
    "latent array": (
        lambda: np.zeros((2, 5, 8, 8, 4), np.float32),
        r"found shape .* \(are these latents\?\)",
    ),
    "16 latent channels": (lambda: torch.zeros(1, 16, 2, 8, 8), "are these latents"),
    "NaN": (lambda: np.full((1, 2, 4, 4, 3), np.nan, np.float32), "100.0% of the values are NaN or infinite"),
    "one infinity": (lambda: np.where(UNIT.max() == UNIT, np.inf, UNIT), "are NaN or infinite"),
    "minus one to one": (lambda: UNIT * 2 - 1, r"expected values in \[0, 1\], found -1 to 1"),
    "0 to 255 as floats": (lambda: CLIPS.astype(np.float32), r"expected values in \[0, 1\], found 0 to 255"),
    "integers": (lambda: CLIPS.astype(np.int64), "expected uint8 or floating-point frames, found int64"),
    "two dimensions": (lambda: np.zeros((4, 4)), "expected shape .T, H, W, C. or"),
    "two dimensions of a tensor": (lambda: torch.zeros(4, 4), "expected a tensor .B, T, C, H, W."),
    "no frames": (lambda: np.zeros((1, 0, 4, 4, 3), np.float32), "the clip is empty"),
    "empty list": (lambda: [], "expected frames, found an empty list"),
    "text": (lambda: "frames", "expected frames, found str"),
    "list of numbers": (lambda: [1, 2], "expected frames, found list"),
    "nothing": (lambda: None, "expected frames, found NoneType"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_clip_is_refused(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(BadOutputError, match=message):
        to_uint8_clips(make())


def test_one_broken_clip_does_not_hide_the_others() -> None:
    broken = UNIT.copy()
    broken[0, 2] = np.nan
    first, second = split_clips(broken)
    with pytest.raises(BadOutputError, match=r"20.0% of the values"):
        to_uint8(first)
    np.testing.assert_array_equal(to_uint8(second), CLIPS[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4"), np.longdouble])
@pytest.mark.parametrize("turned", [False, True], ids=["plain", "flipped and strided"])
def test_scaling_rounds_as_numpy_does(dtype: type, turned: bool) -> None:
    clip = np.random.default_rng(0).random((3, 8, 6, 3)).astype(dtype)
    clip[0, 0, 0] = [0.5 / 255, 1.5 / 255, 2.5 / 255]  # halves go to the even neighbour
    if turned:
        clip = clip[::-1, :, ::2]
    expected = np.rint(np.clip(clip.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(to_uint8(clip), expected)
