"""What a run directory remembers of its suite, so that later stages need neither the suite file nor its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vgaudit.conditions import GateSpec
from vgaudit.decisions import ReviewPolicy

Kind = Literal["run", "census"]


@dataclass(frozen=True)
class MetricSpec:
    """A metric as the suite asked for it.

    Attributes:
        options: Options as written, JSON-able.
        select: Short value names asked for; empty for all.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    select: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """Everything of a suite that scoring, gating and reporting need.

    Attributes:
        name: Suite name.
        kind: ``run`` (estimates, gates) or ``census`` (finished clips, an answer per clip, no rates).
        base_dir: Folder that relative paths in metric options are relative to.
        metrics: In the suite's order.
        gates: In the suite's order.
        video: What is asked of every clip; absent keys are not asked for.
        encoder: Fields of the encoder settings.
        limits: Fields of the media limits.
        max_failed: Samples that may fail.
        confidence: Coverage of intervals.
        review: What is asked of the people who decide on findings.
    """

    name: str
    kind: Kind
    base_dir: Path
    metrics: Mapping[str, MetricSpec] = field(default_factory=dict)
    gates: tuple[GateSpec, ...] = ()
    video: Mapping[str, float] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    max_failed: int = 0
    confidence: float = 0.95
    review: ReviewPolicy = field(default_factory=ReviewPolicy)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.name,
            "kind": self.kind,
            "base_dir": str(self.base_dir),
            "metrics": {
                n: {"options": dict(m.options), "select": list(m.select)} for n, m in self.metrics.items()
            },
            "metric_order": list(self.metrics),
            "gates": [g.model_dump(mode="json", exclude_none=True) for g in self.gates],
            "video": dict(self.video),
            "encoder": dict(self.encoder),
            "limits": dict(self.limits),
            "max_failed": self.max_failed,
            "confidence": self.confidence,
            "review": asdict(self.review),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunSpec:
        """Inverse of :meth:`to_json`."""
        metrics = data["metrics"]
        return cls(
            name=data["name"],
            kind=data["kind"],
            base_dir=Path(data["base_dir"]),
            metrics={
                n: MetricSpec(metrics[n]["options"], tuple(metrics[n]["select"]))
                for n in data["metric_order"]
            },
            gates=tuple(GateSpec.model_validate(g) for g in data["gates"]),
            video=data["video"],
            encoder=data["encoder"],
            limits=data["limits"],
            max_failed=data["max_failed"],
            confidence=data["confidence"],
            review=ReviewPolicy(**data.get("review", {})),
        )
