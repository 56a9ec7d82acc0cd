"""R-precision: ranks against plain numpy, ties, candidates, exact intervals, and what is held in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.extractors.base import Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, for_summary
from vgaudit.metrics.prompt_alignment import PromptAlignment, PromptAlignmentOptions
from vgaudit.metrics.r_precision import condensed, true_ranks
from vgaudit.plan import Sample
from vgaudit.records import Result
from vgaudit.stats import clopper_pearson
from vgaudit.video import ClipInfo

INFO = ClipInfo("c.mp4", 64, 48, 10.0, 3, 0.3, "h264", "mp4", "yuv420p")
METRIC = PromptAlignment(PromptAlignmentOptions(), MetricContext())


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def clip(
    frames: np.ndarray,
    text: np.ndarray,
    prompt: int,
    seed: int = 0,
    group: str = "g",
    words: str | None = None,
) -> Measured:
    """A measured clip of prompt number ``prompt``."""
    words = f"prompt {prompt}" if words is None else words
    sample = Sample(f"{group}-{prompt}-{seed}", f"p{prompt}", words, group, seed=seed)
    rows = text[None] if words.strip() else text[None][:0]
    features = {
        "frames": Features({"embedding": frames, "pts_s": np.arange(len(frames)) / 10}, {}),
        "prompt": Features(
            {"embedding": rows, "token_count": np.full(len(rows), 4), "truncated": np.zeros(len(rows), bool)},
            {"context_length": 77, "logit_scale": 10.0},
        ),
    }
    measurement = METRIC.measure(ClipView(sample, INFO, "0" * 64, features))
    return Measured(sample, measurement, for_summary(METRIC, features))


def axes(prompts: int, wrong: Sequence[int] = (), seeds: int = 1, group: str = "g") -> list[Measured]:
    """Prompts along the axes; clips show their own prompt, those of ``wrong`` the next one instead."""
    eye = np.eye(prompts, dtype=np.float32)
    return [
        clip(np.repeat(eye[(p + (p in wrong)) % prompts][None], 3, axis=0), eye[p], p, s, group)
        for p in range(prompts)
        for s in range(seeds)
    ]


def results(
    measured: Sequence[Measured], *others: Measured, planned: Sequence[Sample] = ()
) -> dict[int, Result]:
    groups = {"g": measured, "other": others}
    context = SummaryContext("g", [m.sample for m in measured] + list(planned), groups)
    made = {r.name: r for r in METRIC.summarize(measured, context)}
    return {k: made[f"prompt_alignment.r_precision_top{k}"] for k in (1, 5)}


def test_one_clip_a_prompt_has_the_exact_binomial_interval() -> None:
    made = results(axes(10, wrong=[3, 4]))[1]
    assert (made.value, made.n, made.n_clusters) == (pytest.approx(0.8), 10, 10)
    assert (made.low, made.high) == pytest.approx(clopper_pearson(8, 10))
    assert made.detail["interval"] == "exact"
    assert made.detail["interval_over"] == "clips, one a prompt"
    assert (made.detail["candidates"], made.detail["chance"]) == (10, 0.1)
    assert made.reason == "ranked among 10 prompts; chance 0.1"
    assert made.detail["median_rank"] == 1


def test_several_clips_of_a_prompt_are_not_counted_as_independent() -> None:
    made = results(axes(10, wrong=[3], seeds=4))[1]
    assert (made.value, made.n, made.n_clusters) == (pytest.approx(0.9), 40, 10)
    assert (made.low, made.high) == pytest.approx(clopper_pearson(9, 10))
    assert made.detail["interval_over"] == "prompts: clips of one are not independent"


def test_ties_count_against_the_clip() -> None:
    # Clip 3 shows prompt 4 alone: its own prompt ties with the eight others at cosine 0.
    assert results(axes(10, wrong=[3]))[5].value == pytest.approx(0.9)
    same = np.eye(3, dtype=np.float32)[[0, 0, 2]]
    made = results([clip(row[None], row, i) for i, row in enumerate(same)])[1]
    assert made.value == pytest.approx(1 / 3)  # two prompts the text tower cannot tell apart
    assert made.detail["candidates"] == 3


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 12))
def test_ranks_are_those_of_plain_numpy_in_any_order(seed: int, prompts: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    texts, rows = unit(rng.normal(size=(prompts, 6))), unit(rng.normal(size=(clips, 6)))
    own = rng.integers(0, prompts, clips)
    similarity = rows.astype(float) @ texts.T.astype(float)
    expected = [
        1 + sum(similarity[i, j] >= similarity[i, own[i]] - 1e-6 for j in range(prompts) if j != own[i])
        for i in range(clips)
    ]
    ranks = true_ranks(rows, texts, own)
    assert ranks.tolist() == expected
    turn, shuffle = rng.permutation(prompts), rng.permutation(clips)
    moved = true_ranks(rows[shuffle], texts[turn], np.argsort(turn)[own[shuffle]])
    assert moved.tolist() == ranks[shuffle].tolist()


def test_many_clips_are_compared_in_blocks() -> None:
    rng = np.random.default_rng(0)
    texts, rows = unit(rng.normal(size=(7, 4))), unit(rng.normal(size=(600, 4)))
    own = rng.integers(0, 7, 600)
    alone = [int(true_ranks(rows[i : i + 1], texts, own[i : i + 1])[0]) for i in range(600)]
    assert true_ranks(rows, texts, own).tolist() == alone


def test_the_rank_rests_on_the_mean_cosine_over_frames() -> None:
    rng = np.random.default_rng(1)
    texts = unit(rng.normal(size=(8, 5)))
    clips = [clip(unit(rng.normal(size=(4, 5)) + texts[i]), texts[i], i) for i in range(8)]
    rows = [c.features["frames"]["mean"] @ texts[i] for i, c in enumerate(clips)]
    assert rows == pytest.approx([c.measurement.values["clipsim"] for c in clips], abs=1e-6)


def test_all_groups_face_the_prompts_of_the_whole_run() -> None:
    eye = np.eye(8, dtype=np.float32)
    other = [clip(eye[p][None], eye[p], p, group="other") for p in range(8)]
    made = results([clip(eye[p][None], eye[p], p) for p in range(2)], *other)
    assert made[1].detail["candidates"] == made[5].detail["candidates"] == 8
    assert made[5].detail["chance"] == pytest.approx(5 / 8)
    assert made[5].value == 1


def test_too_few_prompts_make_a_rank_meaningless() -> None:
    one = results(axes(1))
    for k in (1, 5):
        assert one[k].status == "not applicable"
        assert one[k].reason == "not applicable: the run has one prompt; a rank needs two or more"
    five = results(axes(5))
    assert five[1].value == 1
    assert five[5].status == "not applicable"
    assert five[5].reason == "not applicable: the run has 5 prompts, so that the best 5 are all of them"
    assert results(axes(6))[5].value == 1
    twice = [*axes(1), *axes(1, seeds=2)[1:]]
    assert results(twice)[1].detail["candidates"] == 1


def test_prompts_that_were_planned_and_never_measured_are_told() -> None:
    planned = [Sample(f"x{i}", f"x{i}", f"another prompt {i}", "g") for i in range(3)]
    made = results(axes(6), planned=planned)[1]
    assert "could not be embedded and were no candidates: 3" in made.reason
    lone = results(axes(1), planned=planned)[1]
    assert lone.status == "not computed"  # not "not applicable", which a gate may let pass
    assert "only 1 of 4 prompts could be embedded" in lone.reason


def test_clips_without_a_prompt_or_a_frame_are_not_ranked() -> None:
    eye = np.eye(7, dtype=np.float32)
    bare = clip(eye[:1], eye[0], 50, words=" ")
    empty = clip(eye[:0], eye[0], 51)
    broken = clip(np.full((1, 7), np.nan, np.float32), eye[1], 52)
    made = results([*axes(7), bare, empty, broken])[1]
    assert made.n == 7
    assert (made.detail["n_missing"], made.detail["n_not_applicable"]) == (2, 1)
    assert results([empty])[1].status == "not computed"
    assert results([bare])[1].status == "not applicable"
    assert results([])[1].status == "not computed"


def test_a_prompt_without_an_embedding_is_no_candidate() -> None:
    bad = clip(np.eye(7, dtype=np.float32)[:1], np.full(7, np.nan, np.float32), 60)
    made = results([*axes(7), bad])[1]
    assert made.detail["candidates"] == 7
    assert "could not be embedded and were no candidates: 1" in made.reason


def test_a_prompt_with_unknown_words_is_no_candidate() -> None:
    eye = np.eye(8, dtype=np.float32)
    strange = clip(eye[7][None], eye[7], 7, group="other")
    kept = strange.features["prompt"].arrays
    strange.features["prompt"] = Features({**kept, "unknown_count": np.ones(1, np.int64)}, {})  # type: ignore[index]
    made = results([clip(eye[p][None], eye[p], p) for p in range(7)], strange)[1]
    assert (made.detail["candidates"], made.detail["n_unknown_prompts"]) == (7, 1)
    texts = {"embedding": eye[:2], "unknown_count": np.array([2, 0])}
    full = {"frames": Features({"embedding": eye[:1]}, {}), "prompt": Features(texts, {})}
    assert condensed(full)["prompt"]["unknown_count"].tolist() == [2]


@pytest.mark.parametrize("frames", [0, 1, 500])
def test_a_summary_holds_two_vectors_of_a_clip_whatever_its_length(frames: int) -> None:
    features = {
        "frames": Features(
            {"embedding": np.ones((frames, 8), np.float32), "pts_s": np.arange(frames) * 1.0}, {}
        ),
        "prompt": Features({"embedding": np.ones((9, 8), np.float32)}, {"logit_scale": 1.0}),
    }
    kept = condensed(features)
    arrays = [a for f in kept.values() for a in f.arrays.values()]
    assert all(a.base is None and a.nbytes <= 32 for a in arrays)  # a view would keep the whole in memory
