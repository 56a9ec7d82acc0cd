"""Whether a clip looks more like what its prompt asks for than like what it must not be mistaken for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from vgaudit.metrics.base import Measured, SummaryContext, ValueSpec
from vgaudit.metrics.clip_similarity import TIE, clip_similarity
from vgaudit.plan import Sample
from vgaudit.records import Finding, Result, Severity
from vgaudit.stats import NOT_APPLICABLE_PREFIX, clustered_rate, mean_result, rate_result
from vgaudit.suite.schema import Expectation, written_out_expectation

MISMATCH = "prompt_alignment.mismatch"
NO_EXPECTATION = f"{NOT_APPLICABLE_PREFIX} the prompt has no expectation"
UNLABELLED = "unlabelled"
"""Where expectations without ``about`` stand in a breakdown."""


@dataclass(frozen=True)
class Judged:
    """One expectation held against one clip.

    Attributes:
        expectation: What was expected.
        probabilities: Of ``is``, then of each text of ``not``; they sum to 1.
        passed: Whether ``is`` beats every other text; a tie does not.
        cut: Texts that are longer than the text tower reads.
    """

    expectation: Expectation
    probabilities: tuple[float, ...]
    passed: bool
    cut: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """``is``, then ``not``."""
        return (self.expectation.is_, *self.expectation.not_)

    @property
    def rival(self) -> tuple[str, float]:
        """The likeliest text of ``not``, and its probability."""
        best = max(range(1, len(self.probabilities)), key=self.probabilities.__getitem__)
        return self.texts[best], self.probabilities[best]

    def to_json(self) -> dict[str, Any]:
        """As a fact of the clip."""
        return {
            "is": self.expectation.is_,
            "not": list(self.expectation.not_),
            **({"about": self.expectation.about} if self.expectation.about else {}),
            "passed": self.passed,
            "probabilities": dict(zip(self.texts, self.probabilities, strict=True)),
            **({"cut": list(self.cut)} if self.cut else {}),
        }


def expectations_of(sample: Sample) -> tuple[Expectation, ...]:
    """The expectations of a sample's prompt.

    Raises:
        ValueError: One cannot be read (lists of clips made elsewhere are not held to the suite's schema).
    """
    read = []
    for number, raw in enumerate(sample.expect, 1):
        try:
            read.append(Expectation.model_validate(written_out_expectation(dict(raw))))
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(map(str, first["loc"]))
            raise ValueError(
                f"expectation {number} of prompt {sample.prompt_id!r}: expected {{is: a, not: [b]}}, found "
                f"{dict(raw)!r} ({at + ': ' if at else ''}{first['msg']}); correct it where the prompt is listed"
            ) from error
    return tuple(read)


def contrast_probabilities(similarity: ArrayLike, logit_scale: float) -> NDArray[np.float64]:
    """Softmax of ``logit_scale`` x ``similarity`` ``(n,)``: CLIP's own probabilities of texts, given a picture.

    Source: Radford et al. 2021, zero-shot classification. A bias on the logits (SigLIP) would change nothing.
    """
    logits = logit_scale * np.asarray(similarity, dtype=np.float64)
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def undecidable(
    expectations: Sequence[Expectation], embedded: Mapping[str, NDArray[Any]], logit_scale: float
) -> str:
    """Why the expectations cannot be judged with these texts' embeddings, or an empty text."""
    if not math.isfinite(logit_scale) or logit_scale <= 0:
        return f"the network's logit scale is {logit_scale}; expected a positive number"
    for expectation in expectations:
        wanted = embedded[expectation.is_]
        for text in (expectation.is_, *expectation.not_):
            if not np.isfinite(embedded[text]).all() or not embedded[text].any():
                return f"the embedding of the expectation's text {text!r} is zero or not finite"
        for text in expectation.not_:
            if np.array_equal(embedded[text], wanted):
                return f"the text tower reads {text!r} and {expectation.is_!r} as the same text"
    return ""


def judge(
    expectations: Sequence[Expectation],
    frames: ArrayLike,
    embedded: Mapping[str, NDArray[Any]],
    logit_scale: float,
    cut: frozenset[str] = frozenset(),
) -> tuple[Judged, ...]:
    """Hold each expectation against a clip.

    Args:
        expectations: What is expected; :func:`undecidable` has no objection to them.
        frames: Embeddings ``(T, d)``, T >= 1.
        embedded: Text -> embedding ``(d,)``, for every text of the expectations.
        logit_scale: Factor on cosines before the softmax, as the network was trained.
        cut: Texts longer than the text tower reads.
    """
    out = []
    for expectation in expectations:
        texts = (expectation.is_, *expectation.not_)
        similarity = clip_similarity(frames, np.stack([embedded[text] for text in texts]))
        probabilities = contrast_probabilities(similarity, logit_scale)
        passed = bool(similarity[0] > similarity[1:].max() + TIE)
        out.append(
            Judged(
                expectation,
                tuple(probabilities.tolist()),
                passed,
                tuple(text for text in texts if text in cut),
            )
        )
    return tuple(out)


def mismatches(sample_id: str, judged: Sequence[Judged], end_s: float) -> tuple[Finding, ...]:
    """A finding for each expectation that does not hold, over the whole clip.

    The severity is minor: a network that confuses counts, actions and word order said so, of the clip as a whole and
    of no place in it. Gates on findings count minor ones unless told otherwise, and a finished clip goes to review.
    """
    found = []
    for one in judged:
        if one.passed:
            continue
        wanted, share = one.expectation.is_, one.probabilities[0]
        rival, rival_share = one.rival
        likeness = "more like" if f"{rival_share:.2f}" > f"{share:.2f}" else "as much like"
        than = "than" if likeness == "more like" else "as"
        cut = f"; cut by the text tower: {', '.join(map(repr, one.cut))}" if one.cut else ""
        found.append(
            Finding(
                sample_id=sample_id,
                kind=MISMATCH,
                severity=Severity.MINOR,
                start_s=0.0,
                end_s=end_s,
                score=share,
                threshold=rival_share,
                message=f"looks {likeness} {rival!r} ({rival_share:.2f}) {than} {wanted!r} ({share:.2f}){cut}",
                # Findings of one clip share their span; the contrast is what tells their fingerprints apart.
                detail={"entry": f"{wanted}, not {' or '.join(one.expectation.not_)}", **one.to_json()},
            )
        )
    return tuple(found)


def expectation_result(
    spec: ValueSpec, measured: Sequence[Measured], context: SummaryContext, detail: Mapping[str, Any]
) -> Result:
    """Share of expectations that hold, averaged over the clips of a prompt and then over prompts.

    Where every prompt has one expectation a clip's value is an event, and the interval is the exact one of rates;
    with several it is a share between 0 and 1, and the interval is that of means. ``detail.by_about`` has the rate of
    each ``about`` with an exact interval of its own.
    """
    name = f"prompt_alignment.{spec.name}"
    rows = [
        (m.sample, m.measurement.values.get(spec.name), m.measurement.missing.get(spec.name, ""))
        for m in measured
    ]
    judged = [
        (m.sample.prompt_id, entry)
        for m in measured
        if spec.name in m.measurement.values
        for entry in m.measurement.facts["expectations"]
    ]
    facts = {**detail, "n_expectations": len(judged), **_breakdown(judged, context.confidence)}
    one_each = all(len(m.sample.expect) <= 1 for m in measured)
    make = rate_result if one_each else mean_result
    return make(name, context.group, rows, spec, context.confidence, detail=facts)


def _breakdown(judged: Sequence[tuple[str, Mapping[str, Any]]], confidence: float) -> dict[str, Any]:
    """Rate, exact interval, expectations and prompts of each ``about``; empty where nobody stated any."""
    kinds: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for prompt_id, entry in judged:
        kinds[entry.get("about", UNLABELLED)].append((prompt_id, entry["passed"]))
    if not set(kinds) - {UNLABELLED}:
        return {}
    out = {}
    for about, events in sorted(kinds.items()):
        rate = clustered_rate([passed for _, passed in events], [prompt for prompt, _ in events], confidence)
        out[about] = {
            "rate": rate.value,
            "low": rate.low,
            "high": rate.high,
            "n": rate.n,
            "n_prompts": rate.n_clusters,
        }
    label = f"each alone: {100 * confidence:.4g} % Clopper-Pearson over prompts"
    return {"by_about": out, "by_about_interval": label}
