"""VBench's dimensions under VBench's names, computed as VBench computes them, for those who come from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result
from vgaudit.stats import mean_results, rate_result
from vgaudit.zoo.catalogue import AESTHETIC, DINO, RAFT
from vgaudit.zoo.resolve import is_path, local_path

Dimension = Literal[
    "temporal_flickering", "subject_consistency", "background_consistency", "dynamic_degree", "aesthetic_quality"
]  # fmt: skip

_EXTRACTORS: dict[Dimension, str] = {
    "temporal_flickering": "pixels",
    "subject_consistency": "vbench_dino",
    "background_consistency": "vbench_clip",
    "dynamic_degree": "vbench_flow",
    "aesthetic_quality": "vbench_clip",
}
_TOO_SHORT = "the clip has fewer than two frames"


class WeightsOptions(BaseModel):
    """A file of weights, by name or path."""

    model_config = ConfigDict(extra="forbid")

    weights: str = Field(min_length=1, description="Name of the weights, or path of a file.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest the file must have.")


def _named(name: str, what: str) -> Any:
    return Field(default_factory=lambda: WeightsOptions(weights=name, sha256=None), description=what)


class VBenchOptions(BaseModel):
    """Which dimensions to compute, and where their weights are; other weights are never looked at."""

    model_config = ConfigDict(extra="forbid")

    dimensions: tuple[Dimension, ...] = Field(
        default=("temporal_flickering",), min_length=1, description="VBench dimensions, by VBench's names."
    )
    dino: WeightsOptions = _named(DINO, "DINO ViT-B/16, for subject_consistency.")
    clip: WeightsOptions = _named(
        "openai", "CLIP ViT-B/32, for background_consistency: openai, or a copy's path."
    )
    raft: WeightsOptions = _named(RAFT, "The large RAFT (raft-things), for dynamic_degree.")
    clip_large: WeightsOptions = _named("openai", "CLIP ViT-L/14, for aesthetic_quality: openai, or a path.")
    aesthetic: WeightsOptions = _named(AESTHETIC, "LAION's linear head, for aesthetic_quality.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")


class VBench:
    """VBench's dimensions (Huang et al., CVPR 2024), each only where ``dimensions`` names it.

    * ``temporal_flickering``, [0, 1], higher is better: ``(255 - mean_t MAE(f_t, f_{t+1})) / 255`` over all
      pixels and channels of the full-resolution RGB frames. A still picture scores 1: read it beside
      ``temporal.motion``.
    * ``subject_consistency``, ``background_consistency``, [0, 1], higher is better: mean over the frames from the
      second on of ``(max(0, cos(f_t, f_{t-1})) + max(0, cos(f_t, f_0))) / 2``, between class tokens of DINO ViT-B/16
      and between image embeddings of CLIP ViT-B/32. A still picture scores 1 here, too.
    * ``dynamic_degree``, 0 or 1, neither end is good: whether at least ``round(4 n / 16)`` pairs of neighbours among
      the n frames sampled about eight a second have a flow above ``6 min(h, w) / 256`` pixels, where a pair's flow
      is the mean of its 5 % longest vectors (RAFT). With n = 2 that number is 0 and every clip counts, as in VBench.
    * ``aesthetic_quality``, about 0.1 to 1, higher is better: mean over frames of a tenth of LAION's linear score of
      CLIP ViT-L/14 embeddings.

    Averages differ from VBench's: VBench averages ``subject_consistency`` over frames in one process and over videos
    in several, ``background_consistency`` over frames; here a clip is a value and a prompt is a cluster, always.
    If the weights of one dimension cannot be had, none of those asked for is computed. ``docs/vbench.md`` says what
    else differs and which dimensions there are not.
    """

    name: ClassVar[str] = "vbench"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BaseModel]] = VBenchOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            "temporal_flickering", "fraction of full scale", True,
            "One minus the mean absolute difference of neighbouring frames over the full scale of 255.", 0.0, 1.0,
        ),
        ValueSpec(
            "subject_consistency", "cosine", True,
            "Mean DINO similarity of each frame with the one before and with the first; 1 for a still picture.",
            0.0, 1.0,
        ),
        ValueSpec(
            "background_consistency", "cosine", True,
            "Mean CLIP similarity of each frame with the one before and with the first; 1 for a still picture.",
            0.0, 1.0,
        ),
        ValueSpec(
            "dynamic_degree", "fraction of clips", None,
            "Clips in which the fastest 5 % of pixels move far enough often enough, by RAFT.", 0.0, 1.0,
            title="Dynamic degree (as VBench has it)",
        ),
        ValueSpec(
            "aesthetic_quality", "tenth of a rating", True,
            "Mean over frames of LAION's aesthetic rating (1 to 10) over ten.",
        ),
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ()
    finding_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: VBenchOptions, context: MetricContext) -> None:
        self.options = options
        self._base_dir = context.base_dir

    @classmethod
    def chosen_values(cls, options: VBenchOptions) -> tuple[ValueSpec, ...]:
        """The dimensions asked for."""
        return tuple(spec for spec in cls.values if spec.name in options.dimensions)

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """One extractor for each dimension; its role is the dimension's name, but for ``pixels``."""
        return {
            _role(dimension): ExtractorSpec(_EXTRACTORS[dimension], self._extractor_options(dimension))
            for dimension in dict.fromkeys(self.options.dimensions)
        }

    def _extractor_options(self, dimension: Dimension) -> dict[str, Any]:
        o, base = self.options, self._base_dir
        if dimension == "temporal_flickering":
            return {}
        if dimension in ("subject_consistency", "dynamic_degree"):
            return {
                **_file(o.dino if dimension == "subject_consistency" else o.raft, base),
                "device": o.device,
            }
        if dimension == "background_consistency":
            return {"clip": _clip("ViT-B-32", o.clip, base, o.device)}
        head = _file(o.aesthetic, base)
        return {
            "clip": _clip("ViT-L-14", o.clip_large, base, o.device),
            "head": head["weights"],
            "head_sha256": head["sha256"],
        }

    def texts(self, sample: Sample) -> Sequence[str]:
        """No text is needed."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Options and features say everything."""
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        """The dimensions of one clip that were asked for."""
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        facts: dict[str, Any] = {}
        for dimension in dict.fromkeys(self.options.dimensions):
            features = clip.features[_role(dimension)]
            answer = _MEASURES[dimension](features)
            if isinstance(answer, str):
                missing[dimension] = answer
            else:
                values[dimension] = answer
            if dimension != "temporal_flickering":
                facts[dimension] = {k: features.facts[k] for k in _FACTS if k in features.facts}
        return Measurement(values=values, missing=missing, facts=facts)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Mean over prompts of each dimension asked for; of ``dynamic_degree`` the rate, with an exact interval."""
        specs = self.chosen_values(self.options)
        results = mean_results(
            self.name,
            [s for s in specs if s.name != "dynamic_degree"],
            measured,
            context.group,
            context.confidence,
        )
        for spec in specs:
            if spec.name == "dynamic_degree":
                clips = [
                    (m.sample, m.measurement.values.get(spec.name), m.measurement.missing.get(spec.name, ""))
                    for m in measured
                ]
                name = f"{self.name}.{spec.name}"
                results.append(rate_result(name, context.group, clips, spec, context.confidence))
        return results


_FACTS = ("weights", "weights_sha256", "licence", "device", "head", "interval")


def _role(dimension: str) -> str:
    return "pixels" if dimension == "temporal_flickering" else dimension


def _file(given: WeightsOptions, base_dir: Path) -> dict[str, Any]:
    return {"weights": local_path(given.weights, base_dir), "sha256": given.sha256}


def _clip(model: str, given: WeightsOptions, base_dir: Path, device: str) -> dict[str, Any]:
    """Options of the extractor ``clip``: OpenAI's weights of ``model``, by name or as a copy on disk."""
    stated = {"pretrained_tag": "openai"} if is_path(given.weights) else {}
    return {
        "model": model,
        "pretrained": local_path(given.weights, base_dir),
        "sha256": given.sha256,
        "device": device,
        **stated,
    }


def flickering(features: Features) -> float | str:
    """``temporal_flickering`` of ``mae_next`` float64 ``(T - 1,)``, 0..255; or why there is none."""
    difference = np.asarray(features["mae_next"], dtype=np.float64)
    if not len(difference):
        return _TOO_SHORT
    if not np.isfinite(difference).all():
        return "the difference of a pair is not a finite number"
    return float((255 - difference.mean()) / 255)


def consistency(features: Features) -> float | str:
    """Similarity to the frame before and to the first, of ``embedding`` ``(T, d)``; or why there is none."""
    rows: NDArray[np.float64] = np.asarray(features["embedding"], dtype=np.float64)
    if len(rows) < 2:
        return _TOO_SHORT
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        return "the embedding of a frame is not finite, or zero"
    rows = rows / lengths
    before = (rows[1:] * rows[:-1]).sum(axis=1)
    first = rows[1:] @ rows[0]
    value = (np.maximum(0.0, before) + np.maximum(0.0, first)).mean() / 2
    return min(1.0, float(value))


def dynamic_degree(features: Features) -> float | str:
    """1 or 0 of ``top_flow`` float64 ``(n - 1,)`` in pixels, for n sampled frames; or why there is neither."""
    sampled, flow = len(features["frame_index"]), np.asarray(features["top_flow"], dtype=np.float64)
    if sampled < 2:
        return "the clip has fewer than two sampled frames, so no motion was looked at"
    if features.facts.get("too_small"):
        return "RAFT needs frames of at least 121 x 121 pixels"
    if not np.isfinite(flow).all():
        return "the flow of a pair is not finite"
    threshold = 6.0 * min(features.facts["height"], features.facts["width"]) / 256.0
    return float((flow > threshold).sum() >= round(4 * (sampled / 16.0)))


def aesthetic_quality(features: Features) -> float | str:
    """A tenth of the mean of ``score`` ``(T,)``; or why there is none."""
    scores = np.asarray(features["score"], dtype=np.float64)
    if not len(scores):
        return "the clip has no frame"
    if not np.isfinite(scores).all():
        return "the score of a frame is not finite"
    return float(scores.mean() / 10)


_MEASURES = {
    "temporal_flickering": flickering,
    "subject_consistency": consistency,
    "background_consistency": consistency,
    "dynamic_degree": dynamic_degree,
    "aesthetic_quality": aesthetic_quality,
}
