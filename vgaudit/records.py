"""The records that stages hand to each other: measurements, findings, results, gates, verdict.

Plain frozen dataclasses with JSON in and out. This module imports neither numpy nor torch, so that
``vgaudit gate`` and ``vgaudit report`` stay light.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

Status = Literal["computed", "not computed", "not applicable"]
COMPUTED: Status = "computed"
NOT_COMPUTED: Status = "not computed"
NOT_APPLICABLE: Status = "not applicable"


class Severity(StrEnum):
    """How bad a finding is. ``REVIEW`` and ``ALERT`` ask for a person's eyes."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    REVIEW = "review"
    ALERT = "alert"

    @property
    def rank(self) -> int:
        """Position from harmless (0) to worst (4)."""
        return list(Severity).index(self)


REFUSAL_RATE = "generation.refusal_rate"
"""Result of every run with a generator: the share of its requests that were refused."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: the text that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, length: int = 64) -> str:
    """SHA-256 of a JSON-able value (or of bytes) as hex, cut to ``length`` characters."""
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()[:length]


@dataclass(frozen=True)
class Finding:
    """Something wrong in one clip, localised in time and, where possible, in space.

    Attributes:
        sample_id: The sample whose clip it is in.
        kind: Dotted name, ``<metric>.<what>``, e.g. ``temporal.freeze`` or ``likeness.match``.
        severity: See :class:`Severity`.
        start_s: Start in seconds from the clip's first frame.
        end_s: End in seconds, exclusive; a single frame spans one frame's duration.
        score: What the detector measured.
        threshold: The value the score was held against.
        box: ``(left, top, right, bottom)`` in pixels of the clip at the strongest frame, if there is one.
        message: One plain-English sentence.
        evidence: Paths relative to the run directory (crops, frames).
        detail: Anything JSON-able a reader needs (gallery entry, frames, tier ...).
        fingerprint: Digest that survives re-scoring of the same bytes and changes with the clip or model.
    """

    sample_id: str
    kind: str
    severity: Severity
    start_s: float
    end_s: float
    score: float
    threshold: float
    message: str
    box: tuple[float, float, float, float] | None = None
    evidence: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        out = asdict(self)
        out["severity"] = self.severity.value
        out["box"] = list(self.box) if self.box else None
        out["evidence"] = list(self.evidence)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Inverse of :meth:`to_json`."""
        box = data.get("box")
        return cls(
            **{
                **data,
                "severity": Severity(data["severity"]),
                "box": (box[0], box[1], box[2], box[3]) if box else None,
                "evidence": tuple(data.get("evidence", ())),
            }
        )


@dataclass(frozen=True)
class Series:
    """A value over the time of a clip, for charts: ``values[i]`` belongs to second ``times_s[i]``.

    ``None`` stands for a moment at which the value does not exist (no face, no pair of frames).
    """

    times_s: tuple[float, ...]
    values: tuple[float | None, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.values):
            raise ValueError(f"series has {len(self.times_s)} times but {len(self.values)} values")


@dataclass(frozen=True)
class Measurement:
    """What one metric says of one clip.

    Attributes:
        values: Short value name (``warp_error``, not ``temporal.warp_error``) to a finite number.
        series: Short name to :class:`Series`.
        findings: What is wrong, localised.
        missing: Short value name to the reason it has no number for this clip. A value is in exactly
            one of ``values`` and ``missing``; NaN is never stored.
        facts: JSON-able facts for the report (faces seen, model used ...), never gated on.
        unassessed: What of the clip the metric could not look at although it gave values, as one reason; empty
            where it looked at all of it. Such a clip does not count as assessed.
        unassessed_kinds: Kinds of finding (``temporal.ghosting``) that could not be looked for in the clip, to the
            reason. The clip does not count as assessed for gates on these.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    unassessed: str = ""
    unassessed_kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if not math.isfinite(value):
                raise ValueError(f"measurement {name} is {value}; put it into `missing` with a reason")
        both = self.values.keys() & self.missing.keys()
        if both:
            raise ValueError(f"{sorted(both)} are both measured and missing")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "values": dict(self.values),
            "series": {k: {"t": s.times_s, "v": s.values, "unit": s.unit} for k, s in self.series.items()},
            "findings": [f.to_json() for f in self.findings],
            "missing": dict(self.missing),
            "facts": dict(self.facts),
            "unassessed": self.unassessed,
            "unassessed_kinds": dict(self.unassessed_kinds),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Inverse of :meth:`to_json`."""
        return cls(
            values=dict(data["values"]),
            series={k: Series(tuple(s["t"]), tuple(s["v"]), s["unit"]) for k, s in data["series"].items()},
            findings=tuple(Finding.from_json(f) for f in data["findings"]),
            missing=dict(data["missing"]),
            facts=dict(data["facts"]),
            unassessed=data.get("unassessed", ""),
            unassessed_kinds=dict(data.get("unassessed_kinds", {})),
        )


@dataclass(frozen=True)
class Result:
    """A run-level estimate for one group (model) of the run.

    Attributes:
        name: ``<metric>.<value>``.
        group: The backend or model it is about.
        value: The estimate; ``None`` unless ``status`` is ``computed``.
        low: Lower end of the interval; ``None`` where there is no interval (``reason`` says why).
        high: Upper end of the interval.
        confidence: Coverage of the interval, e.g. 0.95.
        n: Clips the estimate rests on.
        n_clusters: Independent prompts among them.
        unit: For people: ``"fraction"``, ``"cosine"``, ``"I3D distance^2"``; empty for none.
        higher_is_better: Direction; ``None`` when neither end is good (amount of motion).
        status: ``computed``, ``not computed`` or ``not applicable``.
        reason: Why there is no number, or what qualifies it.
        detail: Further JSON-able facts (protocol, n_reference, floor, digest of weights, uncalibrated).
    """

    name: str
    group: str
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    n: int = 0
    n_clusters: int = 0
    unit: str = ""
    higher_is_better: bool | None = None
    status: Status = COMPUTED
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status == COMPUTED and (self.value is None or not math.isfinite(self.value) or self.n <= 0):
            raise ValueError(f"{self.name}[{self.group}] is computed but value={self.value}, n={self.n}")
        if self.status != COMPUTED and (self.value is not None or not self.reason):
            raise ValueError(f"{self.name}[{self.group}] is {self.status}: it needs a reason and no value")
        for end in (self.low, self.high):
            if end is not None and math.isnan(end):
                raise ValueError(f"{self.name}[{self.group}] has NaN in its interval")

    @classmethod
    def not_computed(cls, name: str, group: str, reason: str, **extra: Any) -> Result:
        """A result that says it has no number, and why."""
        return cls(name=name, group=group, value=None, status=NOT_COMPUTED, reason=reason, **extra)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object (infinite interval ends become ``null`` with ``unbounded`` in the detail)."""
        out = asdict(self)
        unbounded = [k for k in ("low", "high") if out[k] is not None and math.isinf(out[k])]
        for key in unbounded:
            out[key] = None
        if unbounded:
            out["detail"] = {**out["detail"], "unbounded": unbounded}
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """Inverse of :meth:`to_json`."""
        fields = dict(data)
        detail = dict(fields.get("detail", {}))
        for key in detail.pop("unbounded", ()):
            fields[key] = -math.inf if key == "low" else math.inf
        return cls(**{**fields, "detail": detail})


class Outcome(StrEnum):
    """How a gate ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class GateResult:
    """One gate held against one group.

    Attributes:
        gate: The condition as text, e.g. ``temporal.warp_error <= 0.05``.
        group: Group it was held against.
        outcome: passed, failed or not computed.
        reason: One sentence with the numbers.
        severity: ``fail`` counts for the exit code, ``warn`` is only shown.
        neutral: Not computed for lack of evidence, and its suite lets that stand: it does not count.
    """

    gate: str
    group: str
    outcome: Outcome
    reason: str
    severity: Literal["fail", "warn"] = "fail"
    neutral: bool = False

    @property
    def counts(self) -> bool:
        """Whether the verdict hangs on it."""
        return self.severity == "fail" and not self.neutral

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; ``neutral`` only where it is true, as in files from before there was any."""
        out = {**asdict(self), "outcome": self.outcome.value}
        return out if self.neutral else {k: v for k, v in out.items() if k != "neutral"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateResult:
        """Inverse of :meth:`to_json`."""
        return cls(**{**data, "outcome": Outcome(data["outcome"])})


@dataclass(frozen=True)
class Verdict:
    """The run's answer: the outcome, the exit code, and a sentence on why."""

    outcome: Outcome
    exit_code: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "outcome": self.outcome.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Inverse of :meth:`to_json`."""
        return cls(**{**data, "outcome": Outcome(data["outcome"])})


def fingerprinted(finding: Finding, clip_sha256: str, detector: str) -> Finding:
    """``finding`` with its fingerprint: clip bytes + detector + kind + span + entry, and track if it has one.

    A decision is bound to it, so two faces that resemble one person at the same time must not share it.
    """
    entry, track = finding.detail.get("entry", ""), finding.detail.get("track")
    span = [round(finding.start_s, 3), round(finding.end_s, 3)]
    what = [clip_sha256, detector, finding.kind, span, entry, *([] if track is None else [track])]
    return replace(finding, fingerprint=digest(what, 32))


def worst(findings: Sequence[Finding]) -> Severity | None:
    """The highest severity among ``findings``."""
    return max((f.severity for f in findings), key=lambda s: s.rank, default=None)


def iter_groups(results: Sequence[Result]) -> Iterator[str]:
    """Groups in order of first appearance."""
    yield from dict.fromkeys(r.group for r in results)


@dataclass(frozen=True)
class ClipRecord:
    """What is stored of one sample in the run directory, whether or not it became a clip.

    Attributes:
        sample_id: The sample.
        outcome: ``ok``, ``refused_input``, ``refused_output``, ``error``, ``retry_after`` or ``pending``.
        message: Why there is no clip, or empty.
        file: Clip of record, relative to the run directory; every score is computed from it.
        playable: What a browser can play, relative to the run directory (may equal ``file``); ``None`` if nothing.
        poster: Still picture for tables, relative to the run directory.
        strip: Frames of the clip side by side in one picture: ``file`` (relative to the run directory), ``times_s``
            (the moments shown), ``width`` and ``height`` (pixels of one frame); empty where there is none, as in runs
            that were scored before there were strips.
        sha256: Digest of ``file``.
        media_error: Why ``file`` cannot be decoded, or empty.
        info: Facts of the decoded clip (width, height, fps, frames, duration_s, codec, warnings ...); empty
            until it has been decoded.
        backend_fingerprint: Of the backend that made it.
        seconds: Generation time.
        job_id: Provider's job handle.
        cost: What the provider charged.
        facts: Further facts of the backend.
    """

    sample_id: str
    outcome: str
    message: str = ""
    file: str | None = None
    playable: str | None = None
    poster: str | None = None
    sha256: str = ""
    media_error: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    backend_fingerprint: str = ""
    seconds: float = 0.0
    job_id: str | None = None
    cost: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    strip: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the sample ended without a usable clip; a refusal is an answer, not a failure."""
        return bool(self.media_error) or self.outcome in ("error", "pending", "retry_after")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClipRecord:
        """Inverse of :meth:`to_json`."""
        return cls(**data)
