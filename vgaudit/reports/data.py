"""What a report is written from: everything of a finished run, read once, free of models and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vgaudit.decisions import Standing
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, Finding, GateResult, Measurement, Result, Verdict


@dataclass(frozen=True)
class PublishDecision:
    """The answer for one finished clip: ``publish``, ``review`` or ``hold``, with the reasons."""

    decision: Literal["publish", "review", "hold"]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipEntry:
    """One sample with everything known of it."""

    sample: Sample
    clip: ClipRecord
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    publish: PublishDecision | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings of all metrics, worst first, then by time."""
        found = [f for m in self.measurements.values() for f in m.findings]
        return tuple(sorted(found, key=lambda f: (-f.severity.rank, f.start_s, f.kind)))


@dataclass(frozen=True)
class ReportData:
    """A whole run as reports see it.

    Attributes:
        run_dir: The run directory (read only; reporters write below ``run_dir/report`` and beside it).
        kind: ``run`` (a suite with estimates) or ``census`` (finished clips, an answer per clip, no rates).
        name: Suite name.
        manifest: Parsed ``manifest.json`` (suite text, provenance, fingerprints, timings).
        clips: In plan order.
        results: Estimates per group; empty for a census.
        gates: Gate results.
        verdict: Answer of the run.
        notes: Sentences a reader must see (likeness not assessed, clips changed on disk ...).
        decisions: Fingerprint of a finding -> what reviewers decided on it; a finding without an entry is open.
        undecidable: Why no reviewer's decision counts (a damaged chain), or empty. Then ``decisions`` is empty.
        value_specs: ``<metric>.<value>`` -> {unit, higher_is_better, description, low, high, per_clip, title}.
        settled: Metric -> facts that it knows of the whole run only; paths in them are the run's.
        comparisons: Paired differences between groups, as ``results.json`` has them; ``None`` where the run was
            scored by a version that made none.
        ledger: Rows of ``likeness_ledger.jsonl``: how near anybody came, and what could not be assessed.
    """

    run_dir: Path
    kind: Literal["run", "census"]
    name: str
    manifest: Mapping[str, Any]
    clips: tuple[ClipEntry, ...]
    results: tuple[Result, ...]
    gates: tuple[GateResult, ...]
    verdict: Verdict
    notes: tuple[str, ...] = ()
    value_specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ledger: tuple[Mapping[str, Any], ...] = ()
    decisions: Mapping[str, Standing] = field(default_factory=dict)
    undecidable: str = ""
    comparisons: Mapping[str, Any] | None = None
