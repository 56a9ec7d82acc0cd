"""Prompts x seeds -> samples, and the fixed batches in which generators make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vgaudit.backends.base import BackendContext, PromptSpec
from vgaudit.errors import BackendError, SuiteError
from vgaudit.plan import Sample, make_sample_id


def _nothing(prompt: PromptSpec) -> Mapping[str, Any]:
    return {}


def expand(
    prompts: Sequence[PromptSpec],
    seeds: Sequence[int],
    context: BackendContext,
    *,
    backend: str,
    group: str,
    fingerprint: str,
    per_prompt: Callable[[PromptSpec], Mapping[str, Any]] = _nothing,
) -> list[Sample]:
    """One sample for each prompt and seed, prompts outermost.

    Args:
        prompts: What to ask for.
        seeds: Seeds of every prompt.
        context: Where the backend finds itself.
        backend: Backend type, for messages.
        group: Name of the group.
        fingerprint: Of the backend; part of every id.
        per_prompt: Further identity of one prompt (its class, its embedding).

    Raises:
        SuiteError: There are no prompts or no seeds.
    """
    if not prompts:
        raise SuiteError(
            f"backend {backend}: expected `prompts` in the suite, found none; it makes one clip for each"
        )
    if not seeds:
        raise SuiteError(f"backend {backend}: expected at least one seed in `seeds`, found none")
    samples = []
    for prompt in prompts:
        identity = {
            "group": group,
            "backend": fingerprint,
            "prompt": prompt.text,
            "video": asdict(context.video),
            **per_prompt(prompt),
            **context.identity,
        }
        samples += [
            Sample(
                sample_id=make_sample_id(prompt.prompt_id, seed, identity),
                prompt_id=prompt.prompt_id,
                prompt=prompt.text,
                group=group,
                backend=context.index,
                seed=seed,
                tags=dict(prompt.tags),
                expect=tuple(prompt.expect),
            )
            for seed in seeds
        ]
    return samples


def fixed_batches(
    plan: Sequence[Sample], missing: Sequence[Sample], size: int
) -> Iterator[tuple[tuple[Sample, ...], frozenset[str]]]:
    """Batches of the plan that hold something missing: ``(whole batch, ids of its missing samples)``.

    Numbers that come out of a network depend a little on what else is in the batch. Batches are
    therefore cut from the plan, never from what is left: a resumed run makes a batch again as a whole and
    keeps only what it lacks, so its clips are those an uninterrupted run would have made.

    Raises:
        BackendError: A missing sample is not in ``plan``.
    """
    wanted = {s.sample_id for s in missing}
    if unknown := wanted - {s.sample_id for s in plan}:
        raise BackendError(
            f"samples {sorted(unknown)[:3]} are not of this backend's plan; list the samples first"
        )
    for start in range(0, len(plan), size):
        batch = tuple(plan[start : start + size])
        if lacking := wanted & {s.sample_id for s in batch}:
            yield batch, frozenset(lacking)
