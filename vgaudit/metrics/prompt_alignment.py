"""How well clips match their prompts, and frames each other, in CLIP's joint space: conventions, never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.extractors.clip import AUTO, ClipOptions
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.clip_similarity import clip_score, frame_consistency, frame_similarity
from vgaudit.metrics.domain_guard import (
    NETWORK_FACTS,
    DomainJudgement,
    clip_logit,
    forced_facts,
    guard_identity,
    guard_needs,
    judge_domain,
    refused_result,
)
from vgaudit.metrics.expectations import (
    MISMATCH,
    NO_EXPECTATION,
    expectation_result,
    expectations_of,
    judge,
    mismatches,
    undecidable,
)
from vgaudit.metrics.r_precision import condensed, r_precision_results
from vgaudit.plan import Sample
from vgaudit.records import COMPUTED, Finding, Measurement, Result, Series
from vgaudit.stats import NOT_APPLICABLE_PREFIX, mean_result
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN
from vgaudit.zoo.resolve import local_path

NO_PROMPT = f"{NOT_APPLICABLE_PREFIX} no prompt to compare with"
_WITH_PROMPT = ("clip_score", "clipsim")
_MEANS = (*_WITH_PROMPT, "clip_frame_consistency")
_PER_CLIP = (*_MEANS, "expectation_rate")


class PromptAlignmentOptions(ClipOptions):
    """The CLIP to measure with; as the options of the ``clip`` extractor."""


class PromptAlignment:
    """CLIP scores of a clip and its prompt, contrastive expectations, and R-precision.

    * ``clip_score``, ``clipsim``, ``clip_frame_consistency`` and the per-frame series ``clipsim``, from the embedding
      of every frame (or every n-th: ``every``);
    * ``expectation_rate``: share of the prompt's expectations that hold (:mod:`vgaudit.metrics.expectations`), with a
      finding ``prompt_alignment.mismatch`` for each that does not: its score is the probability of what was expected,
      its threshold that of the likeliest other text;
    * ``r_precision_top1``, ``r_precision_top5``: share of clips whose own prompt is the best, or among the best five,
      of the run's (:mod:`vgaudit.metrics.r_precision`).

    Texts longer than the text tower's context (77 tokens in most) are cut, which is recorded per clip and said in the
    result. The network that ships along judges only clips and words of its own world
    (:mod:`vgaudit.metrics.domain_guard`); ``model: auto`` moreover only those whose backend declares it.
    """

    name: ClassVar[str] = "prompt_alignment"
    version: ClassVar[int] = 3
    Options: ClassVar[type[BaseModel]] = PromptAlignmentOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            "clip_score", "100 x cosine", True,
            "max(0, mean over frames of 100 x cosine of frame and prompt), as torchmetrics.", 0.0, 100.0,
        ),
        ValueSpec("clipsim", "cosine", True, "Mean over frames of the cosine of frame and prompt.", -1.0, 1.0),
        ValueSpec(
            "clip_frame_consistency", "cosine", True,
            "Mean cosine of adjacent frames; a still clip reaches 1, so read it beside the motion.", -1.0, 1.0,
        ),
        ValueSpec(
            "expectation_rate", "fraction of expectations", True,
            "Share of the prompt's expectations that hold: the clip is likelier what it should be than what not.",
            0.0, 1.0,
        ),
        ValueSpec(
            "r_precision_top1", "fraction of clips", True,
            "Clips that match their own prompt better than every other prompt of the run.", 0.0, 1.0, per_clip=False,
        ),
        ValueSpec(
            "r_precision_top5", "fraction of clips", True,
            "Clips whose own prompt is among the five of the run that match best.", 0.0, 1.0, per_clip=False,
        ),
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ("frames", "prompt")
    finding_kinds: ClassVar[tuple[str, ...]] = (MISMATCH,)

    def __init__(self, options: PromptAlignmentOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Frames and prompt through the same CLIP; if that is a bundled one, frames through the guard too."""
        o = self.options
        network: dict[str, Any] = {
            "model": o.model,
            "pretrained": local_path(o.pretrained or "openai", self._base_dir),
            "pretrained_tag": o.pretrained_tag,
            "config": str((self._base_dir / o.config).resolve()) if o.config else None,
            "sha256": o.sha256,
            "device": o.device,
            "precision": o.precision,
        }
        frames = {**network, "batch_size": o.batch_size, "every": o.every}
        choice = ClipOptions(**network).choice
        return {
            "frames": ExtractorSpec("clip", frames),
            "prompt": ExtractorSpec("clip_text", network),
            **guard_needs(choice.model, choice.identity()["sha256"], o.device),
        }

    def texts(self, sample: Sample) -> Sequence[str]:
        """The prompt, if there is one, then the texts of its expectations; each text once.

        Row i of the ``prompt`` features belongs to text i.
        """
        prompt = [sample.prompt] if sample.prompt.strip() else []
        expected = [text for e in expectations_of(sample) for text in (e.is_, *e.not_)]
        return tuple(dict.fromkeys(prompt + expected))

    def identity(self) -> Mapping[str, Any]:
        """Of a bundled network, the rule by which its guard decides; else nothing besides options and features."""
        return guard_identity(self.needs())

    def condense(self, features: Mapping[str, Features]) -> Mapping[str, Features]:
        """Of a clip's features, the mean over frames and the prompt's embedding: all that R-precision needs."""
        return condensed(features)

    def measure(self, clip: ClipView) -> Measurement:
        """The values of one clip, the cosine of each frame with the prompt over time, and failed expectations."""
        features = clip.features["frames"]
        facts: dict[str, Any] = {k: features.facts[k] for k in NETWORK_FACTS if k in features.facts}
        facts |= {"frames": len(features["embedding"]), "every": features.facts.get("every", 1)}
        reason = _unusable(clip)
        if not reason:
            judged = self._domain(clip, (clip.sample.prompt,))
            facts, reason = {**facts, **judged.facts}, judged.reason
        if reason:
            return Measurement(missing=dict.fromkeys(_PER_CLIP, reason), facts=facts)
        parts = [_consistency(clip), self._with_prompt(clip), self._with_expectations(clip)]
        return Measurement(
            values={k: v for p in parts for k, v in p.values.items()},
            series={k: v for p in parts for k, v in p.series.items()},
            findings=tuple(f for p in parts for f in p.findings),
            missing={k: v for p in parts for k, v in p.missing.items()},
            facts=facts | {k: v for p in parts for k, v in p.facts.items()},
            # Else a gate on findings passes where none is found.
            unassessed=str(facts.get("domain_note", "")),
        )

    def _domain(self, clip: ClipView, texts: Sequence[str]) -> DomainJudgement:
        """Whether the network may hold a clip against ``texts``."""
        frames, prompt = clip.features["frames"], clip.features["prompt"]
        unknown: dict[str, Sequence[str]] = {}
        if frames.facts.get("bundled"):  # a fact that is not there must not pass for "knows every word"
            unknown = dict(zip(self.texts(clip.sample), prompt.facts["unknown_words"], strict=True))
        return judge_domain(
            frames.facts,
            declared=clip.sample.domain,
            forced=self.options.model != AUTO,
            logit=clip_logit(clip.features),
            unknown_words=[word for text in texts for word in unknown.get(text, ())],
        )

    def _with_prompt(self, clip: ClipView) -> Measurement:
        """``clip_score`` and ``clipsim``."""
        if not clip.sample.prompt.strip():
            return Measurement(missing=dict.fromkeys(_WITH_PROMPT, NO_PROMPT))
        prompt = clip.features["prompt"]
        row = self.texts(clip.sample).index(clip.sample.prompt)
        if not np.isfinite(prompt["embedding"][row]).all():
            return Measurement(
                missing=dict.fromkeys(_WITH_PROMPT, "the embedding of the prompt is not finite")
            )
        frames = clip.features["frames"]
        cosines = frame_similarity(frames["embedding"], prompt["embedding"][row])
        over_time = Series(tuple(map(float, frames["pts_s"])), tuple(map(float, cosines)), "cosine")
        return Measurement(
            values={"clip_score": clip_score(cosines), "clipsim": float(cosines.mean())},
            series={"clipsim": over_time},
            facts={
                "prompt_tokens": int(prompt["token_count"][row]),
                "context_length": int(prompt.facts["context_length"]),
                "prompt_truncated": bool(prompt["truncated"][row]),
            },
        )

    def _with_expectations(self, clip: ClipView) -> Measurement:
        """``expectation_rate``, with a finding for each expectation that does not hold."""
        if not (expectations := expectations_of(clip.sample)):
            return Measurement(missing={"expectation_rate": NO_EXPECTATION})
        expected = [text for e in expectations for text in (e.is_, *e.not_)]
        if reason := self._domain(clip, expected).reason:
            return Measurement(missing={"expectation_rate": reason})
        features, texts = clip.features["prompt"], self.texts(clip.sample)
        embedded = dict(zip(texts, features["embedding"], strict=True))
        scale = float(features.facts["logit_scale"])
        if reason := undecidable(expectations, embedded, scale):
            return Measurement(missing={"expectation_rate": reason})
        cut = frozenset(t for t, longer in zip(texts, features["truncated"], strict=True) if longer)
        judged = judge(expectations, clip.features["frames"]["embedding"], embedded, scale, cut)
        findings: tuple[Finding, ...] = mismatches(clip.sample.sample_id, judged, _end_s(clip))
        return Measurement(
            values={"expectation_rate": sum(one.passed for one in judged) / len(judged)},
            findings=findings,
            facts={"expectations": [one.to_json() for one in judged]},
        )

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Means over clips with intervals over prompts, and rates with exact ones."""
        shared = measured[0].measurement.facts if measured else {}
        detail = {k: shared[k] for k in (*NETWORK_FACTS, "every") if k in shared}
        specs = {spec.name: spec for spec in self.values}
        means = [self._mean(specs[name], measured, context, detail) for name in _MEANS]
        expected = expectation_result(specs["expectation_rate"], measured, context, detail)
        ranked = {1: specs["r_precision_top1"], 5: specs["r_precision_top5"]}
        ranks = r_precision_results(ranked, measured, context, detail)
        about_prompts = [r for r in (*means, *ranks) if r.name != f"{self.name}.clip_frame_consistency"]
        rest = [r for r in means if r not in about_prompts]
        results = [
            *(_noting_cut_prompts(r, measured) for r in about_prompts),
            _noting_cut_expectations(expected, measured),
            *rest,
        ]
        return [_within_domain(r, specs[r.name.partition(".")[2]], measured) for r in results]

    def _mean(
        self,
        spec: ValueSpec,
        measured: Sequence[Measured],
        context: SummaryContext,
        detail: Mapping[str, Any],
    ) -> Result:
        rows = [
            (m.sample, m.measurement.values.get(spec.name), m.measurement.missing.get(spec.name, ""))
            for m in measured
        ]
        return mean_result(
            f"{self.name}.{spec.name}", context.group, rows, spec, context.confidence, detail=detail
        )


def _unusable(clip: ClipView) -> str:
    """Why nothing can be said of a clip in the network's space, or an empty text.

    Every value of the metric comes from the frames' embeddings. Whatever makes those mean nothing belongs here: all
    values of the clip are then missing with this one reason, and the clip is not ranked.
    """
    embedding = clip.features["frames"]["embedding"]
    if not len(embedding):
        return "no frame"
    if not np.isfinite(embedding).all():
        return "the embedding of a frame is not finite"
    return ""


def _within_domain(result: Result, spec: ValueSpec, measured: Sequence[Measured]) -> Result:
    """``result``, marked where its domain was not declared, or why there is none where the network knows not all."""
    value = spec.name if spec.per_clip else "clipsim"  # without which a clip is not ranked
    reasons = {m.sample.sample_id: m.measurement.missing.get(value, "") for m in measured}
    refused = refused_result(result.name, result.group, spec, reasons, len(measured), result.detail)
    if refused is not None:
        return refused
    if result.status != COMPUTED or not result.detail.get("bundled"):
        return result
    note = f"{result.detail['weights']} knows the {BUNDLED_DOMAIN} only: compares with no other CLIP"
    noted = _noting(result, note, forced_facts(measured, result.detail))
    outside = str(noted.detail.get("out_of_domain", ""))
    return replace(noted, reason="; ".join(filter(None, [outside, noted.reason])))


def _consistency(clip: ClipView) -> Measurement:
    frames = clip.features["frames"]["embedding"]
    if len(frames) < 2:
        return Measurement(missing={"clip_frame_consistency": "one frame has no neighbour"})
    return Measurement(values={"clip_frame_consistency": frame_consistency(frames)})


def _end_s(clip: ClipView) -> float:
    """The clip's end; a clip of one frame lasts as long as the frame."""
    frame_s = 1 / clip.info.fps if clip.info.fps else 0.0
    return max(clip.info.duration_s, frame_s)


def _noting_cut_prompts(result: Result, measured: Sequence[Measured]) -> Result:
    cut = sum(bool(m.measurement.facts.get("prompt_truncated")) for m in measured)
    note = f"{cut} of {len(measured)} prompts are longer than the text tower reads and were cut"
    return _noting(result, note, {"n_prompt_truncated": cut}) if cut else result


def _noting_cut_expectations(result: Result, measured: Sequence[Measured]) -> Result:
    judged = [m.measurement.facts.get("expectations", ()) for m in measured]
    cut = sum(any("cut" in one for one in of_clip) for of_clip in judged)
    note = (
        f"in {cut} of {len(measured)} clips a text expected is longer than the text tower reads and was cut"
    )
    return _noting(result, note, {"n_expectation_truncated": cut}) if cut else result


def _noting(result: Result, note: str, facts: Mapping[str, Any]) -> Result:
    reason = "; ".join(filter(None, [result.reason, note]))
    return replace(result, reason=reason, detail={**result.detail, **facts})
