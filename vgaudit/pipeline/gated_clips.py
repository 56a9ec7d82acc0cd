"""What gates need to know of every clip of a run, and why it was not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vgaudit.gate_evidence import GatedClip
from vgaudit.plan import Plan, Sample
from vgaudit.records import NOT_APPLICABLE, ClipRecord, Measurement

REFUSED = ("refused_input", "refused_output")
_NAME_LENGTH = 80


def gated_clips(
    plan: Plan,
    records: Mapping[str, ClipRecord],
    measurements: Mapping[str, Mapping[str, Measurement]],
    unchecked: Mapping[str, Mapping[str, str]],
    metrics: Iterable[str] = (),
) -> dict[str, GatedClip]:
    """Every sample of the plan as gates see it.

    A clip that a metric did not look at counts as not looked at for each of its kinds of finding, as it does in the
    coverage; refused samples are no clips.

    Args:
        plan: What should have been looked at.
        records: Sample id to what is stored of it.
        measurements: Metric to sample id to measurement.
        unchecked: Sample id to metric to why a decodable clip has no measurement.
        metrics: All metrics of the run; those without a single measurement would be forgotten otherwise.
    """
    names = dict.fromkeys(
        [*measurements, *(m for by_metric in unchecked.values() for m in by_metric), *metrics]
    )
    own = {
        metric: sorted(
            {
                kind
                for measurement in measurements.get(metric, {}).values()
                for kind in measurement.unassessed_kinds
                if kind.startswith(f"{metric}.")
            }
        )
        for metric in names
    }
    found = {}
    for sample in plan:
        record = records[sample.sample_id]
        unseen: dict[str, list[str]] = {}
        for metric in names:
            measurement = measurements.get(metric, {}).get(sample.sample_id)
            if measurement is None:
                why = unchecked.get(sample.sample_id, {}).get(metric, "not measured")
                whole = [_without_clip(record) or why]
            else:
                whole = _why_not_whole(metric, measurement)
            kinds = measurement.unassessed_kinds if measurement else {}
            told = {metric: whole} | {k: [*whole, *([kinds[k]] if k in kinds else [])] for k in own[metric]}
            unseen |= {name: reasons for name, reasons in told.items() if reasons}
        timed = record.outcome == "ok" and not record.media_error and sample.source is None
        found[sample.sample_id] = GatedClip(
            group=sample.group,
            prompt_id=sample.prompt_id,
            name=_called(sample),
            tags=sample.tags,
            due=record.outcome not in REFUSED,
            seconds=record.seconds if timed and record.seconds > 0 else None,
            unseen=unseen,
        )
    return found


def _without_clip(record: ClipRecord) -> str:
    if record.outcome != "ok":
        return f"there is no clip: {record.message or record.outcome}"
    return f"the clip cannot be decoded: {record.media_error}" if record.media_error else ""


def _why_not_whole(metric: str, measurement: Measurement) -> list[str]:
    """Why a clip does not count as looked at, in the words of what the coverage counts."""
    absent = [why for why in measurement.missing.values() if not why.startswith(f"{NOT_APPLICABLE}:")]
    stray = [why for k, why in measurement.unassessed_kinds.items() if not k.startswith(f"{metric}.")]
    return [*([measurement.unassessed] if measurement.unassessed else []), *absent, *stray]


def _called(sample: Sample) -> str:
    """What its owner calls a clip; of a long path the end, which tells files apart."""
    name = sample.source or sample.sample_id
    return name if len(name) <= _NAME_LENGTH else "\N{HORIZONTAL ELLIPSIS}" + name[1 - _NAME_LENGTH :]
