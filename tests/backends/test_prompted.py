"""Samples of prompts and seeds, and batches that do not depend on what is left to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.backends.base import BackendContext, PromptSpec, VideoRequest
from vgaudit.backends.prompted import expand, fixed_batches
from vgaudit.errors import BackendError, SuiteError
from vgaudit.plan import Sample

PROMPTS = [PromptSpec(f"p{i}", f"prompt {i}", {"k": str(i)}) for i in range(4)]


def samples(
    prompts: list[PromptSpec] = PROMPTS,
    seeds: tuple[int, ...] = (0, 1, 2),
    context: BackendContext | None = None,
    fingerprint: str = "f",
) -> list[Sample]:
    context = context or BackendContext(Path())
    return expand(prompts, seeds, context, backend="test", group="g", fingerprint=fingerprint)


def test_prompts_are_outermost_and_everything_is_kept() -> None:
    made = samples()
    assert [(s.prompt_id, s.seed) for s in made[:4]] == [("p0", 0), ("p0", 1), ("p0", 2), ("p1", 0)]
    assert (made[3].prompt, made[3].tags, made[3].group) == ("prompt 1", {"k": "1"}, "g")


def test_an_id_changes_with_what_changes_the_clip_and_with_nothing_else() -> None:
    base = samples()[0].sample_id
    assert samples([PROMPTS[0]], (0,))[0].sample_id == base
    changed = [
        samples([PromptSpec("p0", "other")]),
        samples(seeds=(9,)),
        samples(fingerprint="other"),
        samples(context=BackendContext(Path(), video=VideoRequest(frames=3))),
        samples(context=BackendContext(Path(), identity={"encoder": 1})),
    ]
    assert len({base, *(made[0].sample_id for made in changed)}) == 6
    tagged = samples([PromptSpec("p0", "prompt 0", {"new": "tag"})])
    assert tagged[0].sample_id == base


@given(st.sets(st.integers(0, 11), min_size=1), st.integers(1, 13))
def test_what_is_left_does_not_change_who_shares_a_batch(left: set[int], size: int) -> None:
    plan = samples()
    whole = [batch for batch, _ in fixed_batches(plan, plan, size)]
    missing = [plan[i] for i in sorted(left)]
    batches = list(fixed_batches(plan, missing, size))
    assert all(batch in whole for batch, _ in batches)
    assert sorted(i for _, wanted in batches for i in wanted) == sorted(s.sample_id for s in missing)


def test_wrong_calls() -> None:
    with pytest.raises(SuiteError, match="backend test: expected `prompts` in the suite, found none"):
        samples([])
    with pytest.raises(SuiteError, match="backend test: expected at least one seed"):
        samples(seeds=())
    with pytest.raises(BackendError, match="are not of this backend's plan; list the samples first"):
        list(fixed_batches([], samples(), 2))
