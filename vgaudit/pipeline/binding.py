"""Bind the metrics a suite names to their extractors: built once, loaded on first need, never twice."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgaudit import registry
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Extractor, ExtractorSpec, TextExtractor
from vgaudit.metrics.base import Metric, MetricContext, ValueSpec, values_of
from vgaudit.pipeline.runspec import MetricSpec


class ExtractorPool:
    """Extractors by spec. Constructing is cheap; loading (weights, torch) happens once, on first need."""

    def __init__(self) -> None:
        self._made: dict[str, Extractor | TextExtractor] = {}
        self._loaded: dict[str, Unavailable | None] = {}
        self._lock = threading.Lock()

    def get(self, spec: ExtractorSpec) -> Extractor | TextExtractor:
        """The extractor of ``spec``, constructed but perhaps not loaded."""
        if spec.key not in self._made:
            implementation = registry.load("extractors", spec.name)
            self._made[spec.key] = implementation(implementation.Options(**spec.options))
        return self._made[spec.key]

    def problem(self, spec: ExtractorSpec) -> Unavailable | None:
        """Load the extractor if that has not been tried, and say what is missing, if anything is."""
        with self._lock:
            if spec.key not in self._loaded:
                try:
                    self.get(spec).load()
                    self._loaded[spec.key] = None
                except Unavailable as error:
                    self._loaded[spec.key] = error
            return self._loaded[spec.key]


@dataclass
class BoundMetric:
    """A metric of the suite with its extractors.

    Attributes:
        name: Registered name.
        metric: The instance.
        options: Its options as in the suite, JSON-able.
        select: Short value names to keep; empty for all.
        roles: Role to extractor spec.
        fingerprints: Role to extractor fingerprint.
        identity: What besides options and features changes its numbers (digest of a gallery ...).
        unavailable: Why it cannot be computed at all, or empty.
        remedy: The command that helps, or what to do instead.
        values: What it computes with its options.
    """

    name: str
    metric: Metric
    options: Mapping[str, Any]
    select: frozenset[str] = frozenset()
    roles: Mapping[str, ExtractorSpec] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    unavailable: str = ""
    remedy: str = ""
    values: tuple[ValueSpec, ...] = ()

    def keeps(self, value: str) -> bool:
        """Whether a short value name was asked for."""
        return not self.select or value in self.select


def bind(metrics: Mapping[str, MetricSpec], base_dir: Path, pool: ExtractorPool) -> list[BoundMetric]:
    """Construct every metric of a run.

    Args:
        metrics: Registered name to what the suite asked of it.
        base_dir: Folder that relative paths in options are relative to.
        pool: Where extractors are shared.
    """
    context = MetricContext(base_dir=base_dir)
    bound = []
    for name, spec in metrics.items():
        implementation = registry.load("metrics", name)
        options = implementation.Options(**spec.options)
        metric: Metric = implementation(options, context)
        made = BoundMetric(
            name, metric, options.model_dump(mode="json"), frozenset(spec.select),
            values=values_of(implementation, options),
        )  # fmt: skip
        try:
            made.roles = dict(metric.needs())
            made.fingerprints = {role: pool.get(need).fingerprint for role, need in made.roles.items()}
            made.identity = dict(metric.identity())
        except Unavailable as error:
            made.unavailable, made.remedy = error.reason, error.remedy
        bound.append(made)
    return bound
