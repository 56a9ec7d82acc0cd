"""From likeness measurements to results of a group: means, the uncalibrated match rate, and coverage.

Two denominators, never mixed. The match rate counts assessed clips: those in which every face could be compared, and
those in which the detector ran and saw none; and clips with a match, whatever else is in them. Coverage counts the
clips in which faces were seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vgaudit.metrics.base import Measured, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Result
from vgaudit.stats import NOT_APPLICABLE_PREFIX, mean_result, rate_result

NO_FACE = f"{NOT_APPLICABLE_PREFIX} no face found"
UNASSESSED = "unassessable: no face that was seen could be compared"
PARTLY = "unassessable: faces could not be compared, or frames not searched, beside faces that were compared"
UNSEARCHED = "unassessable: frames could not be searched for faces"

Row = tuple[Sample, float | None, str]


def mean_of(
    spec: ValueSpec, measured: Sequence[Measured], context: SummaryContext, facts: Mapping[str, Any]
) -> Result:
    """Mean of a per-clip value over the clips that have it; ``facts`` mark it ``uncalibrated``."""
    rows = [
        (m.sample, m.measurement.values.get(spec.name), m.measurement.missing.get(spec.name, "not selected"))
        for m in measured
    ]
    return mean_result(
        f"likeness.{spec.name}", context.group, rows, spec, context.confidence, detail=dict(facts)
    )


def match_rate(
    spec: ValueSpec, measured: Sequence[Measured], context: SummaryContext, facts: Mapping[str, Any]
) -> Result:
    """Share of the assessed clips with a match; ``facts`` mark it ``uncalibrated``, so that no gate rests on it."""
    rows: list[Row] = []
    for m in measured:
        known = m.measurement.facts
        matched = float(bool(known.get("matched"))) if known.get("assessed") or known.get("matched") else None
        rows.append((m.sample, matched, "" if matched is not None else _why_not(known)))
    counts = {
        "clips_assessed": sum(bool(m.measurement.facts.get("assessed")) for m in measured),
        "clips_with_match": sum(value == 1.0 for _, value, _ in rows),
        "clips_not_measured": len(context.planned) - len(measured),
    }
    detail = {**facts, **counts}
    return rate_result(f"likeness.{spec.name}", context.group, rows, spec, context.confidence, detail=detail)


def coverage(
    spec: ValueSpec, measured: Sequence[Measured], context: SummaryContext, facts: Mapping[str, Any]
) -> Result:
    """Share of the clips with faces that could be assessed; not applicable where no clip has faces."""
    rows: list[Row] = []
    for m in measured:
        known = m.measurement.facts
        if known.get("faces"):
            rows.append((m.sample, 1.0 if known.get("assessed") else 0.0, ""))
        else:
            rows.append((m.sample, None, NO_FACE if known.get("assessed") else UNSEARCHED))
    detail = {
        **facts,
        "clips_with_faces": sum(value is not None for _, value, _ in rows),
        "clips_unassessable": sum(value == 0.0 for _, value, _ in rows),
    }
    return rate_result(f"likeness.{spec.name}", context.group, rows, spec, context.confidence, detail=detail)


def _why_not(facts: Mapping[str, Any]) -> str:
    if facts.get("usable"):
        return PARTLY
    return UNASSESSED if facts.get("faces") else UNSEARCHED
