"""Masks over faces: they stay where a face was for a moment, hold few colours, and the same ones in every frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.pipeline.face_masks import CELLS, COLOUR_STEP, Found, colours, cover, covers, mean_cells, region

BOX = np.array([40, 30, 60, 55], np.float32)


def noise(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def found(numbers: list[int], step: float = 0.0) -> Found:
    gathered = Found()
    for n in numbers:
        gathered.add(n, noise(n), (BOX + step * n)[None])
    return gathered


def test_gaps_are_bridged_and_masks_stay_before_and_after() -> None:
    (mask,) = found([10, 14], step=1.0).masks(fps=10, frames=40)
    assert [*mask.frames] == [*range(6, 19)]  # 0.4 s before and after
    at = mask.at(12)
    assert at is not None
    np.testing.assert_allclose(at, BOX + 12)
    assert mask.at(5) is None
    assert mask.at(19) is None
    assert [len(m.frames) for m in found([10, 30]).masks(fps=10, frames=40)] == [
        9,
        9,
    ]  # too far apart to be one
    (mask,) = found([1]).masks(fps=10, frames=3)
    assert [*mask.frames] == [0, 1, 2]
    assert Found().masks(10, 5) == []


def test_all_frames_together_show_no_more_than_one_mosaic() -> None:
    masks = found([*range(10)], step=0.7).masks(fps=10, frames=10)
    shown = set()
    for n in range(10):
        x0, y0, x1, y1 = region(masks[0].at(n), 0, (96, 128))  # type: ignore[arg-type]
        shown |= {tuple(c) for c in cover(noise(n), n, masks)[y0:y1, x0:x1].reshape(-1, 3)}
    assert len(shown) <= CELLS[0] ** 2
    assert {v % COLOUR_STEP for c in shown for v in c} == {COLOUR_STEP // 2}


def test_the_last_level_is_one_colour_and_reaches_further() -> None:
    (mask,) = found([3]).masks(fps=10, frames=6)
    flat = mask.coarser()
    assert (mask.flat, flat.flat, flat.coarser().flat) == (False, True, True)
    assert colours(flat.cells, 7).shape == (1, 1, 3)
    out = cover(noise(3), 3, [flat])
    x0, y0, x1, y1 = region(BOX, flat.level, (96, 128))
    assert len(np.unique(out[y0:y1, x0:x1].reshape(-1, 3), axis=0)) == 1
    inner = region(BOX, 0, (96, 128))
    assert x0 < inner[0] < inner[2] < x1
    assert (out[: y0 - 1] == noise(3)[: y0 - 1]).all()


def test_hair_and_chin_are_covered_too() -> None:
    x0, y0, x1, y1 = region(BOX, 0, (96, 128))
    assert x0 <= 40 - 5
    assert x1 >= 60 + 5
    assert y0 <= 30 - 10
    assert y1 >= 55 + 6


@settings(deadline=None)
@given(st.lists(st.floats(-300, 300, width=32), min_size=4, max_size=4), st.integers(0, 4))
def test_any_box_can_be_covered(sides: list[float], level: int) -> None:
    left, top = sides[:2]
    box = np.array([left, top, left + 1 + abs(sides[2]), top + 1 + abs(sides[3])], np.float32)
    rgb = noise(0)
    cells = mean_cells(rgb, region(box, level, rgb.shape))
    assert cells.shape == (CELLS[0], CELLS[0], 3)
    gathered = Found()
    gathered.add(0, rgb, box[None])
    masks = gathered.masks(25, 1, level)
    out = cover(rgb, 0, masks)
    x0, y0, x1, y1 = region(box, level, rgb.shape)
    assert out.shape == rgb.shape
    assert len(np.unique(out[y0:y1, x0:x1].reshape(-1, 3), axis=0)) <= CELLS[0] ** 2
    if box[0] < 127 and box[1] < 95 and box[2] > 1 and box[3] > 1:
        assert covers(masks[0], 0, box, rgb.shape) == pytest.approx(1, abs=1e-5)


def test_how_much_of_a_box_lies_under_a_mask() -> None:
    (mask,) = found([0]).masks(10, 1)
    x0, y0, x1, y1 = region(BOX, 0, (96, 128))
    half = np.array([x0 - (x1 - x0), y0, x1, y1], np.float32)
    assert covers(mask, 0, half, (96, 128)) == pytest.approx(0.5)
    assert covers(mask, 0, np.array([100, 60, 120, 80], np.float32), (96, 128)) == 0
    assert covers(mask, 9, BOX, (96, 128)) == 0
