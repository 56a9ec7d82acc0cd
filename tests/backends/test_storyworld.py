"""The storyworld backend: draws what is asked, says what it does not understand, plants what is ordered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vgaudit.backends.base import (
    Backend,
    BackendContext,
    Generated,
    GenerationOutcome,
    PromptSpec,
    VideoRequest,
)
from vgaudit.backends.storyworld import StoryworldBackend, StoryworldOptions
from vgaudit.errors import SuiteError
from vgaudit.registry import load

PROMPTS = [
    PromptSpec("beach", "a dog walking along the beach at sunset"),
    PromptSpec("car", "a cinematic shot of a red car driving through the city at night"),
]


def backend(video: VideoRequest | None = None, **options: Any) -> StoryworldBackend:
    return StoryworldBackend(
        StoryworldOptions(**options), BackendContext(Path(), video=video or VideoRequest())
    )


def run(made: StoryworldBackend, prompts: list[PromptSpec] = PROMPTS) -> list[Generated]:
    return list(made.generate(made.samples(prompts, (0, 1))))


def test_it_is_a_backend_of_the_storyworld() -> None:
    assert load("backends", "storyworld") is StoryworldBackend
    assert isinstance(backend(), Backend)
    assert backend().domain == "storyworld"


def test_it_draws_what_is_asked() -> None:
    made = run(backend())
    assert [g.outcome for g in made] == [GenerationOutcome.OK] * 4
    for one in made:
        assert one.frames is not None
        assert one.frames.shape == (17, 64, 64, 3)
        assert one.fps == 8
        json.dumps(one.facts)
    assert made[0].facts["scene"]["subject"] == "dog"
    assert made[2].facts["scene"]["look"] == "film"
    again = run(backend())
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(made, again, strict=True))


def test_the_suite_says_how_large_and_the_options_which_look() -> None:
    made = run(backend(VideoRequest(frames=5, fps=12.0, width=50, height=30), look="anime"))
    assert made[0].frames is not None
    assert made[0].frames.shape == (5, 30, 50, 3)
    assert made[0].fps == 12
    assert made[0].facts["scene"]["look"] == "anime"
    assert made[2].facts["scene"]["look"] == "film"  # the prompt says so


def test_its_own_size_counts_where_the_suite_names_none() -> None:
    own = {"frames": 6, "fps": 4, "width": 48, "height": 32}
    made = run(backend(**own))[0]
    assert made.frames is not None
    assert (made.frames.shape, made.fps) == ((6, 32, 48, 3), 4)
    asked = run(backend(VideoRequest(frames=5, width=40), **own))[0]
    assert asked.frames is not None
    assert (asked.frames.shape, asked.fps) == ((5, 32, 40, 3), 4)
    square = run(backend(height=24, frames=2))[0]
    assert square.frames is not None
    assert square.frames.shape == (2, 24, 24, 3)


def test_where_a_size_was_said_is_no_part_of_the_clips_identity() -> None:
    own = backend(frames=5, fps=12, width=50, height=30)
    asked = backend(VideoRequest(frames=5, fps=12.0, width=50, height=30))
    assert own.fingerprint == asked.fingerprint != backend().fingerprint


def test_a_prompt_outside_the_grammar_is_an_error_of_its_samples() -> None:
    made = run(backend(), [PromptSpec("x", "a dragon over a castle"), PROMPTS[0]])
    assert [g.outcome for g in made] == [GenerationOutcome.ERROR] * 2 + [GenerationOutcome.OK] * 2
    assert made[0].frames is None
    assert made[0].message.startswith("not in storyworld's grammar: not understood: 'dragon'")


def test_prompts_outside_the_grammar_are_named_before_anything_is_drawn() -> None:
    made = backend()
    assert len(made.notes) == 1
    made.samples(PROMPTS, (0,))
    assert len(made.notes) == 1
    wrong = [PromptSpec(f"bad{i}", f"a dragon{i} walking in a forest") for i in range(5)]
    made.samples([*PROMPTS, *wrong], (0, 1))
    assert made.notes[1].startswith("5 of 7 prompts are outside storyworld's grammar")
    assert "bad0 (not understood: 'dragon0')" in made.notes[1]
    assert "and 2 more" in made.notes[1]
    assert "bad3" not in made.notes[1]
    made.samples(PROMPTS, (0,))
    assert len(made.notes) == 1


def test_faults_are_planted_with_their_truth() -> None:
    clean = run(backend())
    faulty = run(backend(faults=[{"kind": "freeze", "strength": "strong"}, {"kind": "noise_burst"}]))
    for a, b in zip(clean, faulty, strict=True):
        assert a.sample.sample_id != b.sample.sample_id
        assert a.frames is not None
        assert b.frames is not None
        freeze, noise = b.facts["faults"]
        assert (freeze["kind"], freeze["strength"], noise["strength"]) == ("freeze", "strong", "moderate")
        spans = np.zeros(17, bool)
        for fault in (freeze, noise):
            spans[fault["span"][0] : fault["span"][1]] = True
        assert np.array_equal(a.frames[~spans], b.frames[~spans])
        json.dumps(b.facts)


@pytest.mark.parametrize("strength", ["mild", "strong"])
def test_subjects_and_colours_are_swapped_within_the_shot(strength: str) -> None:
    prompts = [PromptSpec("cup", "a white cup standing still in a forest"), *PROMPTS]
    clean = run(backend(), prompts)
    for kind in ("subject_swap", "colour_swap", "jump_cut"):
        for a, b in zip(
            clean, run(backend(faults=[{"kind": kind, "strength": strength}]), prompts), strict=True
        ):
            assert a.frames is not None
            assert b.frames is not None
            (fault,) = b.facts["faults"]
            first, end = fault["span"]
            differs = (a.frames != b.frames).any(axis=3)
            assert not differs[:first].any()
            assert not differs[end:].any()
            seen = [i for i in range(first, end) if a.facts["visible"][i]]
            assert all(differs[i].mean() > 0.01 for i in seen)
            if kind == "colour_swap":  # the subject and nothing else
                for i in range(first, end):
                    box = a.facts["boxes"][i]
                    outside = differs[i].copy()
                    if box:
                        outside[box[1] : box[3], box[0] : box[2]] = False
                    assert not outside.any()


def kept_frames(whole: np.ndarray, short: np.ndarray, first: int) -> list[int]:
    """Which frames of ``whole`` are left in ``short``, whose gap lies before ``first``."""
    gone = len(whole) - len(short)
    kept = [*range(first), *range(first + gone, len(whole))]
    assert np.array_equal(whole[kept], short)
    return kept


@pytest.mark.parametrize("kind", ["freeze", "subject_swap", "colour_swap", "jump_cut", "noise_burst"])
@pytest.mark.parametrize("strength", ["moderate", "strong"])
def test_every_truth_speaks_of_the_frames_that_are_left(kind: str, strength: str) -> None:
    fault, drop = {"kind": kind, "strength": "strong"}, {"kind": "dropped_frames", "strength": strength}
    clean, whole = run(backend()), run(backend(faults=[fault]))
    short = run(backend(faults=[fault, drop]))
    for a, b, c in zip(clean, whole, short, strict=True):
        assert a.frames is not None
        assert b.frames is not None
        assert c.frames is not None
        planted, dropped = c.facts["faults"]
        kept = kept_frames(b.frames, c.frames, dropped["span"][0])
        assert len(kept) < len(b.frames)
        assert c.facts["boxes"] == [a.facts["boxes"][i] for i in kept]
        assert c.facts["visible"] == [a.facts["visible"][i] for i in kept]
        first, end = b.facts["faults"][0]["span"]
        hit = [at for at, i in enumerate(kept) if first <= i < end]
        span = (hit[0], hit[-1] + 1) if hit else None
        assert planted["span"] == span
        assert planted["seconds"] == (span and (span[0] / 8, span[1] / 8))
        differs = (c.frames != a.frames[kept]).any(axis=(1, 2, 3))
        assert not np.delete(differs, hit).any()
        assert planted["box"] == b.facts["faults"][0]["box"]
        json.dumps(c.facts)


def test_frames_are_dropped_last_whatever_the_order() -> None:
    swap, drop = {"kind": "subject_swap"}, {"kind": "dropped_frames"}
    first, last = backend(faults=[drop, swap]), backend(faults=[swap, drop])
    assert first.fingerprint == last.fingerprint
    assert backend(faults=[swap, swap, drop]).fingerprint != last.fingerprint
    for a, b in zip(run(first), run(last), strict=True):
        assert np.array_equal(a.frames, b.frames)
        assert a.facts == b.facts
        assert [f["kind"] for f in a.facts["faults"]] == ["subject_swap", "dropped_frames"]


def test_two_gaps_are_told_where_they_are() -> None:
    strong = {"kind": "dropped_frames", "strength": "strong"}
    video, prompts = VideoRequest(frames=40), [PromptSpec("b", "a ball bouncing in a forest, camera panning")]
    clean = run(backend(video), prompts)
    for a, b in zip(clean, run(backend(video, faults=[strong, strong]), prompts), strict=True):
        assert a.frames is not None
        assert b.frames is not None
        spans = sorted({tuple(fault["span"]) for fault in b.facts["faults"]})
        assert len(b.facts["boxes"]) == len(b.facts["visible"]) == len(b.frames)
        order = [int(np.flatnonzero((a.frames == f).all(axis=(1, 2, 3)))[0]) for f in b.frames]
        assert b.facts["boxes"] == [a.facts["boxes"][i] for i in order]
        assert [(i, i + 1) for i in range(1, len(order)) if order[i] != order[i - 1] + 1] == spans


def test_a_fault_of_which_nothing_is_left_has_no_span() -> None:
    clean = run(backend())
    faults = [{"kind": "noise_burst"}, {"kind": "dropped_frames", "strength": "strong"}]
    spans = []
    for a, b in zip(clean, run(backend(faults=faults)), strict=True):
        assert a.frames is not None
        assert b.frames is not None
        noise, dropped = b.facts["faults"]
        first, gone = dropped["span"][0], len(a.frames) - len(b.frames)
        kept = [*range(first), *range(first + gone, len(a.frames))]
        assert (
            np.array_equal(a.frames[kept], b.frames) == (noise["span"] is None) == (noise["seconds"] is None)
        )
        spans.append(noise["span"])
    assert None in spans
    assert any(spans)


def test_a_share_of_clips_is_hit() -> None:
    made = backend(VideoRequest(frames=8, width=8, height=8), faults=[{"kind": "flicker", "share": 0.3}])
    hit = [bool(g.facts["faults"]) for g in made.generate(made.samples(PROMPTS, range(60)))]
    assert 0.15 < np.mean(hit) < 0.45


@pytest.mark.parametrize(
    ("video", "faults", "told"),
    [
        (VideoRequest(width=4), [], "8 to 2048"),
        (VideoRequest(frames=20_000), [], "1 to 10000 frames"),
        (VideoRequest(frames=7), [{"kind": "flicker"}], "8 to 10000 frames"),
        (
            VideoRequest(frames=9),
            [{"kind": "dropped_frames"}, {"kind": "flicker"}, {"kind": "dropped_frames"}],
            "to 10000 frames, found 9",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is(
    video: VideoRequest, faults: list[dict[str, str]], told: str
) -> None:
    with pytest.raises(SuiteError, match=told):
        backend(video, faults=faults)


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        StoryworldOptions(faults=[{"kind": "gremlin"}])
