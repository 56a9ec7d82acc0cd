"""VBench's dimensions under VBench's names, computed as VBench computes them, for those who come from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.extractors.base import ExtractorSpec
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result
from vgaudit.stats import mean_results

Dimension = Literal["temporal_flickering"]


class VBenchOptions(BaseModel):
    """Which dimensions to compute."""

    model_config = ConfigDict(extra="forbid")

    dimensions: tuple[Dimension, ...] = Field(
        default=("temporal_flickering",), min_length=1, description="VBench dimensions, by VBench's names."
    )


class VBench:
    """VBench's dimensions (Huang et al., CVPR 2024).

    * ``temporal_flickering``, [0, 1], higher is better: ``(255 - mean_t MAE(f_t, f_{t+1})) / 255`` over all
      pixels and channels of the full-resolution RGB frames. A still picture scores 1: read it beside
      ``temporal.motion``.

    Averages differ from VBench's in one way: VBench averages over videos in one process and over processes'
    frames on several; here a clip is a value and a prompt is a cluster, always.
    """

    name: ClassVar[str] = "vbench"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BaseModel]] = VBenchOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            "temporal_flickering", "fraction of full scale", True,
            "One minus the mean absolute difference of neighbouring frames over the full scale of 255.", 0.0, 1.0,
        ),
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ()
    finding_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: VBenchOptions, context: MetricContext) -> None:
        self.options = options

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Differences of neighbouring frames."""
        return {"pixels": ExtractorSpec("pixels")}

    def texts(self, sample: Sample) -> Sequence[str]:
        """No text is needed."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Options and features say everything."""
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        """The dimensions of one clip."""
        difference = np.asarray(clip.features["pixels"]["mae_next"], dtype=np.float64)
        if not len(difference):
            return Measurement(missing={"temporal_flickering": "the clip has fewer than two frames"})
        if not np.isfinite(difference).all():
            return Measurement(
                missing={"temporal_flickering": "the difference of a pair is not a finite number"}
            )
        return Measurement(values={"temporal_flickering": float((255 - difference.mean()) / 255)})

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Mean over prompts of each dimension."""
        return mean_results(self.name, self.values, measured, context.group, context.confidence)
