"""How well frames match the prompt, and each other, in CLIP's joint space: named conventions, never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from vgaudit.extractors.base import ExtractorSpec
from vgaudit.extractors.clip import ClipOptions
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result, Series
from vgaudit.stats import NOT_APPLICABLE_PREFIX, mean_result
from vgaudit.zoo.resolve import local_path

NO_PROMPT = f"{NOT_APPLICABLE_PREFIX} no prompt to compare with"
_WITH_PROMPT = ("clip_score", "clipsim")
_SHARED_FACTS = (
    "model",
    "weights",
    "weights_sha256",
    "weights_pinned",
    "licence",
    "activation",
    "preprocessing",
)


def frame_similarity(frames: ArrayLike, text: ArrayLike) -> NDArray[np.float64]:
    """Cosine of each row of ``frames`` ``(T, d)`` with ``text`` ``(d,)``; ``(T,)`` in [-1, 1]."""
    return np.clip(_unit(frames) @ _unit(text), -1.0, 1.0)


def clip_score(similarity: ArrayLike) -> float:
    """``max(0, mean_t 100 cos_t)``: torchmetrics' CLIPScore with the frames of a clip as its images.

    torchmetrics takes the mean first and clamps it then, so a frame with a negative cosine counts as such.
    Source: ``torchmetrics.functional.multimodal.clip_score``; Hessel et al. 2021 for the idea.
    """
    return max(0.0, float(np.mean(100.0 * np.asarray(similarity, dtype=np.float64))))


def frame_consistency(frames: ArrayLike) -> float:
    """Mean cosine of adjacent rows of ``frames`` ``(T, d)``, T >= 2; in [-1, 1]."""
    rows = _unit(frames)
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} frame(s) have no neighbours; expected two or more")
    return float(np.clip((rows[:-1] * rows[1:]).sum(axis=1), -1.0, 1.0).mean())


class PromptAlignmentOptions(ClipOptions):
    """The CLIP to measure with; as the options of the ``clip`` extractor."""


class PromptAlignment:
    """``clip_score``, ``clipsim``, ``clip_frame_consistency`` and the per-frame series ``clipsim``.

    All three take the CLIP embedding of every frame (or every n-th: ``every``). Prompts longer than the text tower's
    context (77 tokens in most) are cut, which is recorded per clip and said in the result.
    """

    name: ClassVar[str] = "prompt_alignment"
    version: ClassVar[int] = 1
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
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: PromptAlignmentOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Frames and prompt through the same CLIP."""
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
        return {"frames": ExtractorSpec("clip", frames), "prompt": ExtractorSpec("clip_text", network)}

    def texts(self, sample: Sample) -> Sequence[str]:
        """The prompt, if there is one."""
        return (sample.prompt,) if sample.prompt.strip() else ()

    def identity(self) -> Mapping[str, Any]:
        """Nothing besides options and features."""
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        """The three values of one clip, and the cosine of each frame with the prompt over time."""
        features = clip.features["frames"]
        frames, pts_s = features["embedding"], features["pts_s"]
        facts: dict[str, Any] = {k: features.facts[k] for k in _SHARED_FACTS if k in features.facts}
        facts |= {"frames": len(frames), "every": features.facts.get("every", 1)}
        if not len(frames):
            return Measurement(missing=dict.fromkeys((v.name for v in self.values), "no frame"), facts=facts)
        if not np.isfinite(frames).all():
            reason = "the embedding of a frame is not finite"
            return Measurement(missing=dict.fromkeys((v.name for v in self.values), reason), facts=facts)
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        series: dict[str, Series] = {}
        if len(frames) > 1:
            values["clip_frame_consistency"] = frame_consistency(frames)
        else:
            missing["clip_frame_consistency"] = "one frame has no neighbour"
        if not self.texts(clip.sample):
            missing |= dict.fromkeys(_WITH_PROMPT, NO_PROMPT)
        elif not np.isfinite((prompt := clip.features["prompt"])["embedding"]).all():
            missing |= dict.fromkeys(_WITH_PROMPT, "the embedding of the prompt is not finite")
        else:
            cosines = frame_similarity(frames, prompt["embedding"][0])
            values |= {"clip_score": clip_score(cosines), "clipsim": float(cosines.mean())}
            series["clipsim"] = Series(tuple(map(float, pts_s)), tuple(map(float, cosines)), "cosine")
            facts |= {
                "prompt_tokens": int(prompt["token_count"][0]),
                "context_length": int(prompt.facts["context_length"]),
                "prompt_truncated": bool(prompt["truncated"][0]),
            }
        return Measurement(values=values, series=series, missing=missing, facts=facts)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Means over clips with intervals over prompts."""
        results = []
        shared = measured[0].measurement.facts if measured else {}
        cut = sum(bool(m.measurement.facts.get("prompt_truncated")) for m in measured)
        for spec in self.values:
            detail: dict[str, Any] = {k: shared[k] for k in (*_SHARED_FACTS, "every") if k in shared}
            rows = [
                (m.sample, m.measurement.values.get(spec.name), m.measurement.missing.get(spec.name, ""))
                for m in measured
            ]
            if cut and spec.name in _WITH_PROMPT:
                detail["n_prompt_truncated"] = cut
            result = mean_result(
                f"{self.name}.{spec.name}", context.group, rows, spec, context.confidence, detail=detail
            )
            if cut and spec.name in _WITH_PROMPT:
                note = f"{cut} of {len(measured)} prompts are longer than the text tower reads and were cut"
                result = replace(result, reason="; ".join(filter(None, [result.reason, note])))
            results.append(result)
        return results


def _unit(vectors: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.isfinite(rows).all() or not (lengths > 0).all():
        raise ValueError("an embedding is zero or not finite; its direction is undefined")
    return np.asarray(rows / lengths, dtype=np.float64)
