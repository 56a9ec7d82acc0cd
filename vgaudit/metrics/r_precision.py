"""R-precision: whether a clip is found by its own prompt among all prompts of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgaudit.extractors.base import Features
from vgaudit.metrics.base import Measured, SummaryContext, ValueSpec
from vgaudit.metrics.clip_similarity import TIE, unit_rows
from vgaudit.plan import Sample
from vgaudit.records import COMPUTED, NOT_APPLICABLE, Result
from vgaudit.stats import NOT_APPLICABLE_PREFIX, rate_result

_BLOCK = 256  # clips compared with all prompts at once


def true_ranks(clips: ArrayLike, prompts: ArrayLike, own: ArrayLike) -> NDArray[np.int64]:
    """Rank of each clip's own prompt by cosine, 1 for the best; prompts that tie with it stand before it.

    Args:
        clips: Mean over frames of the frames' unit embeddings, ``(n, d)``: its product with a prompt's is the mean
            cosine.
        prompts: Unit embeddings of the candidates, ``(p, d)``.
        own: Row in ``prompts`` of each clip's prompt, ``(n,)``.

    Returns:
        ``(n,)``, from 1 to p.
    """
    rows, texts = np.asarray(clips, dtype=np.float64), np.asarray(prompts, dtype=np.float64)
    index = np.asarray(own, dtype=np.intp)
    ranks = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        similarity = rows[part] @ texts.T
        true = np.take_along_axis(similarity, index[part, None], axis=1)
        ranks[part] = (similarity >= true - TIE).sum(axis=1)  # the prompt itself is one of them
    return ranks


def condensed(features: Mapping[str, Features]) -> dict[str, Features]:
    """What the ranking needs of a clip's ``frames`` and ``prompt``: mean embedding ``(d,)``, first text ``(d,)``.

    Either is empty where there is no frame, or no text.
    """
    frames, texts = features["frames"]["embedding"], features["prompt"]["embedding"]
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and is left out of the ranking
        mean = frames.mean(axis=0, dtype=np.float64) if len(frames) else np.zeros(0)
    first = texts[0].copy() if len(texts) else np.zeros(0, dtype=np.float32)
    unknown = features["prompt"].arrays.get("unknown_count", np.zeros(0, dtype=np.int64))[:1].copy()
    return {
        "frames": Features({"mean": np.asarray(mean, dtype=np.float32)}, {}),
        "prompt": Features({"embedding": first, "unknown_count": unknown}, {}),
    }


def r_precision_results(
    specs: Mapping[int, ValueSpec],
    measured: Sequence[Measured],
    context: SummaryContext,
    detail: Mapping[str, Any],
) -> list[Result]:
    """Share of clips whose own prompt is among the best k of the run's prompts, for each k of ``specs``.

    Candidates are the distinct prompts of all measured clips of the run, so that all groups face the same ones. A
    clip is ranked where it has a ``clipsim``. The interval is exact and over prompts: with one clip a prompt it is
    the binomial one; several clips of one prompt are not counted as independent.
    """
    everyone = [m for group in context.all_groups.values() for m in group] + list(measured)
    candidates = _candidates(everyone)
    if unknown := {_text(m.sample) for m in everyone if _text(m.sample) and _unknown(m)}:
        detail = {**detail, "n_unknown_prompts": len(unknown)}
    ranks = _ranks(measured, candidates)
    asked = {_text(s) for s in context.planned} | {_text(m.sample) for m in measured}
    known = (asked | set(candidates)) - {""} - unknown
    return [
        _result(
            k,
            spec,
            measured,
            context,
            ranks=ranks,
            candidates=len(candidates),
            known=len(known),
            detail=detail,
        )
        for k, spec in specs.items()
    ]


def _result(
    k: int,
    spec: ValueSpec,
    measured: Sequence[Measured],
    context: SummaryContext,
    *,
    ranks: Mapping[str, int],
    candidates: int,
    known: int,
    detail: Mapping[str, Any],
) -> Result:
    rows = []
    for m in measured:
        rank = ranks.get(m.sample.sample_id)
        why = m.measurement.missing.get("clipsim", "the embedding of the prompt is not there")
        rows.append((m.sample, None if rank is None else float(rank <= k), "" if rank is not None else why))
    facts = {**detail, "candidates": candidates, "ties": "count against the clip"}
    result = rate_result(
        f"prompt_alignment.{spec.name}", context.group, rows, spec, context.confidence, detail=facts
    )
    if result.status != COMPUTED:
        return result
    if candidates <= k:
        common: dict[str, Any] = {
            "unit": spec.unit,
            "higher_is_better": spec.higher_is_better,
            "detail": facts,
        }
        if known > candidates:
            why = f"only {candidates} of {known} prompts could be embedded, too few for a rank up to {k}"
            return Result.not_computed(result.name, context.group, why, **common)
        return Result(
            result.name, context.group, None, status=NOT_APPLICABLE, reason=_too_few(candidates, k), **common
        )
    one_each = result.n == result.n_clusters
    facts = {
        **result.detail,
        "chance": k / candidates,
        "median_rank": float(np.median(list(ranks.values()))),
        "interval_over": "clips, one a prompt" if one_each else "prompts: clips of one are not independent",
    }
    notes = [f"ranked among {candidates} prompts; chance {k / candidates:.3g}"]
    if known > candidates:
        notes.append(f"prompts that could not be embedded and were no candidates: {known - candidates}")
    return replace(result, detail=facts, reason="; ".join([*notes, *filter(None, [result.reason])]))


def _too_few(candidates: int, k: int) -> str:
    if candidates == 1:
        return f"{NOT_APPLICABLE_PREFIX} the run has one prompt; a rank needs two or more"
    return f"{NOT_APPLICABLE_PREFIX} the run has {candidates} prompts, so that the best {k} are all of them"


def _text(sample: Sample) -> str:
    return " ".join(sample.prompt.split())


def _candidates(measured: Iterable[Measured]) -> dict[str, NDArray[np.float64]]:
    """Unit embedding of every distinct prompt that has one, by text and in the order of texts."""
    found: dict[str, NDArray[np.float64]] = {}
    for m in measured:
        text = _text(m.sample)
        if text and text not in found and "prompt" in m.features:
            embedding = m.features["prompt"]["embedding"]
            if _unknown(m):
                continue
            if embedding.size and np.isfinite(embedding).all() and embedding.any():
                found[text] = unit_rows(embedding)
    return dict(sorted(found.items()))


def _unknown(m: Measured) -> bool:
    """Whether the network does not know a word of the clip's prompt: nothing can be ranked against that."""
    return (
        bool(np.any(m.features["prompt"].arrays.get("unknown_count", 0))) if "prompt" in m.features else False
    )


def _ranks(measured: Sequence[Measured], candidates: Mapping[str, NDArray[np.float64]]) -> dict[str, int]:
    """Sample id -> rank, for the clips that have a mean cosine with their prompt."""
    place = {text: i for i, text in enumerate(candidates)}
    ranked = [m for m in measured if "clipsim" in m.measurement.values and _text(m.sample) in place]
    if not ranked:
        return {}
    ranks = true_ranks(
        np.stack([m.features["frames"]["mean"] for m in ranked]),
        np.stack(list(candidates.values())),
        [place[_text(m.sample)] for m in ranked],
    )
    return {m.sample.sample_id: int(rank) for m, rank in zip(ranked, ranks, strict=True)}
