"""Faults: exact truth, growing with strength, on drawn and real clips of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.storyworld.fault_strengths import KINDS, LEVELS, SPAN, STRENGTHS
from vgaudit.storyworld.faults import plant
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene
from vgaudit.storyworld.time_faults import span_without
from vgaudit.video import ClipReader

CLIP = render(Scene("horse", "running", "forest", "brown", camera="pan"), 1).frames
OTHER = render(Scene("boat", "sailing", "lake", "red"), 2, height=40, width=50, frames=9).frames


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=(1, 2, 3))


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_exact(kind: str, strength: str) -> None:
    for seed in range(6):
        made = plant(CLIP, kind, strength, seed, other=OTHER if seed % 2 else None)
        again = plant(CLIP, kind, strength, seed, other=OTHER if seed % 2 else None)
        truth, (first, end) = made.truth, made.truth.span
        assert made.frames.tobytes() == again.frames.tobytes()
        assert truth.kind == kind
        assert truth.level == LEVELS[truth.kind][STRENGTHS.index(truth.strength)]
        assert truth.seconds == (first / 8, end / 8)
        assert 0 <= first < end <= len(made.frames)
        if kind == "dropped_frames":
            gone = len(CLIP) - len(made.frames)
            assert gone >= 1
            assert np.array_equal(made.frames[:first], CLIP[:first])
            assert np.array_equal(made.frames[first:], CLIP[first + gone :])
            continue
        assert made.frames.shape == CLIP.shape
        touched = changed(CLIP, made.frames)
        assert not touched[:first].any()
        assert not touched[end:].any()
        if kind == "duplicated_frames":
            repeats = (made.frames[1:] == made.frames[:-1]).all(axis=(1, 2, 3))
            assert repeats[first - 1]
            assert not repeats[: first - 1].any()
            assert not repeats[end:].any()
        else:
            assert touched[first:end].all()
        if kind == "freeze":
            assert (made.frames[first:end] == CLIP[first - 1]).all()
        if truth.box is not None:
            x0, y0, x1, y1 = truth.box
            outside = (made.frames != CLIP).any(axis=(0, 3))
            outside[y0:y1, x0:x1] = False
            assert not outside.any()


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_is_more(kind: str) -> None:
    for seed in range(4):
        amounts = []
        for strength in STRENGTHS:
            made = plant(CLIP, kind, strength, seed)
            if kind == "dropped_frames":
                amounts.append(float(len(CLIP) - len(made.frames)))
            elif kind == "duplicated_frames":
                amounts.append(float((made.frames[1:] == made.frames[:-1]).all(axis=(1, 2, 3)).sum()))
            else:
                amounts.append(float(np.abs(made.frames.astype(int) - CLIP).mean()))
        assert amounts[0] < amounts[1] < amounts[2], (kind, seed, amounts)


@pytest.mark.parametrize("kind", KINDS)
def test_any_size_and_the_shortest_clip(kind: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((8, 9, 8, 3), (8, 33, 57, 3), (11, 64, 21, 3), (60, 16, 16, 3)):
        clip = rng.integers(0, 256, shape, np.uint8)
        kept = clip.copy()
        for strength in STRENGTHS:
            made = plant(clip, kind, strength, 3, other=OTHER)
            assert made.frames.dtype == np.uint8
            assert made.frames.shape[1:] == shape[1:]
        assert np.array_equal(clip, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_real_clips(kind: str, shared_data: Path) -> None:
    with ClipReader(shared_data / "fetv" / "real" / "0034.mp4") as reader:
        clip = np.concatenate([block.rgb for block in reader])[:24, :120]
    made = plant(clip, kind, "strong", 1, fps=10)
    assert made.truth.seconds == (made.truth.span[0] / 10, made.truth.span[1] / 10)
    if kind == "dropped_frames":
        assert len(made.frames) < len(clip)
    else:
        assert changed(clip, made.frames).any()


def test_a_box_can_be_given() -> None:
    made = plant(CLIP, "colour_swap", "strong", 0, box=(5, 6, 20, 30))
    assert made.truth.box == (5, 6, 20, 30)


@pytest.mark.parametrize(
    ("clip", "arguments", "told"),
    [
        (CLIP[:7], {}, "at least 8 frames"),
        (CLIP[:, :7], {}, "8x8 pixels"),
        (CLIP[..., 0], {}, "expected uint8"),
        (CLIP.astype(np.float32), {}, "expected uint8"),
        (CLIP, {"kind": "gremlin"}, "unknown fault 'gremlin'"),
        (CLIP, {"strength": "huge"}, "unknown strength 'huge'"),
        (CLIP, {"aligned": True}, "aligned: expected"),
        (CLIP, {"mask": np.ones((17, 2, 2), bool)}, "mask: expected"),
        (CLIP, {"fps": 0}, "positive frame rate"),
        (CLIP, {"other": CLIP[:, :, :, 0]}, "other: expected uint8"),
        (CLIP, {"kind": "colour_swap", "box": (0, 0, 65, 10)}, "does not lie"),
    ],
)
def test_what_cannot_be_planted_is_said(clip: np.ndarray, arguments: dict, told: str) -> None:
    options = {"kind": "flicker", "strength": "mild", "seed": 0, **arguments}
    with pytest.raises(ValueError, match=told):
        plant(clip, options.pop("kind"), options.pop("strength"), options.pop("seed"), **options)


def test_levels_rise_and_every_kind_has_a_length() -> None:
    for kind, (mild, moderate, strong) in LEVELS.items():
        assert mild < moderate < strong or (kind == "compression" and mild > moderate > strong)
    timed_by_level = {"freeze", "dropped_frames", "jump_cut", "subject_swap", "compression"}
    assert set(SPAN) | timed_by_level == set(KINDS)
    assert not set(SPAN) & timed_by_level


@given(st.data())
def test_a_span_without_frames_is_where_the_rest_of_its_frames_are(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 20))
    start = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(start + 1, n))
    first = data.draw(st.integers(0, n - 1))
    count = data.draw(st.integers(0, n - first))
    kept = [i for i in range(n) if not first <= i < first + count]
    left = [at for at, i in enumerate(kept) if start <= i < end]
    assert span_without((start, end), first, count) == ((left[0], left[-1] + 1) if left else None)
