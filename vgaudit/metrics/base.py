"""What a metric is: features (+ prompt, + reference) -> a measurement per clip and results per group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.plan import Sample
from vgaudit.records import Measurement, Result
from vgaudit.video import ClipInfo


@dataclass(frozen=True)
class ValueSpec:
    """What one value of a metric is.

    Attributes:
        name: Short name, e.g. ``warp_error``.
        unit: For people.
        higher_is_better: Direction; ``None`` when neither end is good.
        low: Smallest possible value, if any.
        high: Largest possible value, if any.
        description: One sentence with the definition.
        per_clip: Whether each clip has it (otherwise only groups do).
        per_group: Whether groups have an estimate of it (otherwise it is a fact of each clip).
        title: Heading that a reader understands alone, where the name's words do not do: ``distance`` of what?
    """

    name: str
    unit: str
    higher_is_better: bool | None
    description: str
    low: float | None = None
    high: float | None = None
    per_clip: bool = True
    per_group: bool = True
    title: str = ""


@dataclass(frozen=True)
class MetricContext:
    """Where a metric finds itself.

    Attributes:
        base_dir: Folder that relative paths in its options are relative to (the suite's folder).
    """

    base_dir: Path = field(default_factory=Path)


@dataclass(frozen=True)
class ClipView:
    """What a metric sees of one clip.

    Attributes:
        sample: The sample.
        info: Facts of the decoded clip (size, fps, frames, duration).
        sha256: Digest of the clip of record.
        features: Role (as named in ``needs``) to features.
    """

    sample: Sample
    info: ClipInfo
    sha256: str
    features: Mapping[str, Features]


@dataclass(frozen=True)
class Measured:
    """A clip's measurement together with what run-level summaries need."""

    sample: Sample
    measurement: Measurement
    features: Mapping[str, Features] = field(default_factory=dict)
    sha256: str = ""
    """Digest of the clip of record."""


@dataclass(frozen=True)
class Settlement:
    """What a metric says once it knows the whole run.

    Attributes:
        measurements: Sample id to the measurement that takes the place of the one of :meth:`Metric.measure`.
        facts: Of the run, JSON-able: reports show them, and :class:`SummaryContext` hands them to the summary.
        ledger: Rows of an account of the run, JSON-able, for ``<metric>_ledger.jsonl``.
        pictures: File name to JPEG: what ``facts`` names, below ``evidence/`` in the run directory.
    """

    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Sequence[Mapping[str, Any]] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class SummaryContext:
    """What a summary may use besides the measurements.

    Attributes:
        group: The group summarised.
        planned: The samples of the group, failed ones included; refused ones are an answer of their own.
        all_groups: Every measured clip of the run by group (for references that are groups of the run).
        confidence: Coverage of intervals, e.g. 0.95.
        tag: Key and value of the tag that measured and planned clips are limited to, for a slice; ``all_groups`` are
            whole. ``None`` for the whole group.
        unmeasured: By group the samples whose clips are there but that never reached the metric, and why: an
            extractor, or the metric itself, broke on them. Those of the summarised group are counted for the metric;
            one that takes another group for a reference counts that one's.
        settled: What the metric's ``settle`` said of the run; empty without one.
        failed: By group the samples that have no clip, or none that decodes. How many may fail is the suite's
            ``max_failed`` to say, for all groups; they are stated and do not count as missing.
    """

    group: str
    planned: Sequence[Sample]
    all_groups: Mapping[str, Sequence[Measured]]
    confidence: float = 0.95
    tag: tuple[str, str] | None = None
    unmeasured: Mapping[str, Sequence[tuple[Sample, str]]] = field(default_factory=dict)
    failed: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    settled: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Metric(Protocol):
    """Features -> measurements -> results.

    Class attributes:
        name: Registered name; results are called ``<name>.<value>``.
        version: Raised whenever the same features give other numbers; part of the cache key.
        Options: Pydantic model of the options, validated together with the suite.
        values: The values it can produce.
        summary_features: Roles whose features :meth:`summarize` needs (kept out of memory otherwise).
        finding_kinds: Kinds of finding it can make; required where it makes any, so that gates on misspelt kinds
            are refused.

    ``sliced``, optional, names values that get slices by tag (``<metric>.<value>@key=value``): :meth:`summarize` is
    then called once more for every tag of a group's samples, with its clips only, and ``context.tag``.

    ``sliceable``, optional, names values of groups alone that may have such slices too where a gate asks for one:
    :meth:`summarize` counts the clips it is given for them and nothing else. Values of clips need not be named.

    ``settle(measured, unmeasured)``, optional, is called once when all clips of a run are measured, before any
    summary, where a measurement depends on the whole run (how many comparisons it makes): it takes every measured
    clip with the features of the class attribute ``settle_features``, and the planned samples that have no
    measurement, and gives a :class:`Settlement`.

    ``pictures(finding, features)``, optional, gives JPEG files that show a finding, in the order in which a reader
    should see them; they become its evidence.

    ``filmstrips = True``, optional, has the frames around each of its findings stored as evidence.

    Constructing a metric must not import torch nor read large files. What it compares with (a gallery) it may load
    in an optional ``prepare()``, which is called once before the first clip is decoded; a ``UsageError`` there ends
    the run, ``Unavailable`` ends the metric. Where :meth:`summarize` needs less of ``summary_features`` than was
    stored (a mean instead of all frames), an optional ``condense(features)`` makes that of each clip's features as
    they are read, so that a large run never holds all of them; it must not fail on features that are not finite.
    Where options choose among ``values``, an optional classmethod ``chosen_values(options)`` gives those that are
    computed: measurements, results, reports and gates know no others. Such a metric keeps its ``options``.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Options: ClassVar[type[BaseModel]]
    values: ClassVar[tuple[ValueSpec, ...]]
    summary_features: ClassVar[tuple[str, ...]]

    def __init__(self, options: Any, context: MetricContext) -> None: ...

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Role name -> extractor. Roles of ``unit: text`` extractors get the texts of :meth:`texts`."""
        ...

    def texts(self, sample: Sample) -> Sequence[str]:
        """Texts to embed for a sample (usually its prompt); empty for metrics without text."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """JSON-able identity of everything besides options and features that changes numbers (gallery digest...)."""
        ...

    def measure(self, clip: ClipView) -> Measurement:
        """What this metric says of one clip. Pure: equal input, equal output.

        Raises:
            Unavailable: Something the metric itself needs (gallery, reference) is missing.
        """
        ...

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Results of one group: exactly one per value with ``per_group``, computed or saying why not."""
        ...


def kept_roles(metric: Metric) -> tuple[str, ...]:
    """Roles whose features must be stored when the run is settled and summarized."""
    settle: tuple[str, ...] = getattr(metric, "settle_features", ())
    return tuple(dict.fromkeys((*metric.summary_features, *settle)))


def for_summary(metric: Metric, features: Mapping[str, Features]) -> Mapping[str, Features]:
    """What ``metric`` keeps of a clip's ``summary_features``: all, or what its ``condense`` makes of them."""
    condense: Callable[[Mapping[str, Features]], Mapping[str, Features]] | None
    condense = getattr(metric, "condense", None)
    return features if condense is None else condense(features)


def values_of(metric: type[Any], options: Any) -> tuple[ValueSpec, ...]:
    """The values that the class ``metric`` computes with ``options``: all, or what its ``chosen_values`` says."""
    choose: Callable[[Any], tuple[ValueSpec, ...]] | None = getattr(metric, "chosen_values", None)
    values: tuple[ValueSpec, ...] = metric.values
    return values if choose is None else choose(options)
