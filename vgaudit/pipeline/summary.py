"""The summarize stage: measurements -> results per group, tables, gates, verdict, all from stored data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.gates import is_assessed
from vgaudit.metrics.base import Measured, Settlement, SummaryContext, for_summary, kept_roles
from vgaudit.pipeline.binding import BoundMetric
from vgaudit.pipeline.gated_clips import REFUSED
from vgaudit.pipeline.scoring import Scorer
from vgaudit.plan import Plan, Sample
from vgaudit.records import (
    COMPUTED,
    NOT_COMPUTED,
    REFUSAL_RATE,
    ClipRecord,
    Measurement,
    Result,
)


def value_specs(metrics: Iterable[BoundMetric]) -> dict[str, dict[str, Any]]:
    """``<metric>.<value>`` -> what the value is, for reports."""
    specs: dict[str, dict[str, Any]] = {}
    for bound in metrics:
        for spec in bound.values:
            if bound.keeps(spec.name):
                facts = asdict(spec)
                specs[f"{bound.name}.{facts.pop('name')}"] = facts
    return specs


class Collected:
    """Everything measured in a run, by metric and group, in plan order."""

    def __init__(self, plan: Plan, records: Mapping[str, ClipRecord], scorer: Scorer) -> None:
        self.plan = plan
        self.records = records
        self.scorer = scorer
        self.measurements: dict[str, dict[str, Measurement]] = {}
        self.settlements: dict[str, Settlement] = {}
        self.unsettled: dict[str, str] = {}
        self._settled_keys: dict[tuple[str, str], str] = {}
        for bound in scorer.metrics:
            for sample in plan:
                record = records[sample.sample_id]
                measurement = None if bound.unavailable else scorer.measurement(bound, sample, record)
                if measurement is not None:
                    self.measurements.setdefault(bound.name, {})[sample.sample_id] = measurement

    def settle(self) -> None:
        """Let metrics that must know the whole run say what they then know; settled measurements count."""
        for bound in self.scorer.metrics:
            settle = getattr(bound.metric, "settle", None)
            if settle is None or bound.unavailable:
                continue
            own = self.measurements.get(bound.name, {})
            refused = {s.sample_id for s in self.plan if self.records[s.sample_id].outcome in REFUSED}
            unmeasured = [s for s in self.plan if s.sample_id not in own and s.sample_id not in refused]
            try:
                groups = self.by_group(bound, kept_roles(bound.metric))
                settlement: Settlement = settle([m for ms in groups.values() for m in ms], unmeasured)
            except Unavailable as error:
                self._unsettled(bound, error.reason, error.remedy)
                continue
            except LookupError as error:
                self._unsettled(bound, str(error))
                self._read_all(bound)
                continue
            except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
                self._unsettled(bound, f"{type(error).__name__}: {error}")
                continue
            self.settlements[bound.name] = settlement
            for sample in self.plan:
                if (changed := settlement.measurements.get(sample.sample_id)) is not None:
                    key = self.scorer.key(bound, sample, self.records[sample.sample_id])
                    self._settled_keys[bound.name, sample.sample_id] = self.scorer.settled(
                        bound, key, sample.sample_id, changed
                    )
                    own[sample.sample_id] = changed

    def _read_all(self, bound: BoundMetric) -> None:
        """Read what is stored of every clip once: whatever is damaged goes, and the next run makes it again."""
        for sample in self.plan:
            if sample.sample_id in self.measurements.get(bound.name, {}):
                with suppress(LookupError, Unavailable):
                    record = self.records[sample.sample_id]
                    self.scorer.features(bound, sample, record, kept_roles(bound.metric))

    def _unsettled(self, bound: BoundMetric, why: str, remedy: str = "") -> None:
        """A metric that must know the whole run could not: what it measured stands, and counts as not looked at."""
        bound.unavailable, bound.remedy = why, remedy
        self.unsettled[bound.name] = why
        own = self.measurements.get(bound.name, {})
        reason = f"{bound.name} could not be settled over the run: {why}"
        for sample in self.plan:
            if (measured := own.get(sample.sample_id)) is None:
                continue
            own[sample.sample_id] = open_ = replace(measured, unassessed=reason)
            key = self.scorer.key(bound, sample, self.records[sample.sample_id])
            self._settled_keys[bound.name, sample.sample_id] = self.scorer.settled(
                bound, key, sample.sample_id, open_
            )

    def key(self, bound: BoundMetric, sample: Sample) -> str:
        """Key of a clip's measurement in the log: of the settled one, where there is one."""
        settled = self._settled_keys.get((bound.name, sample.sample_id))
        return settled or self.scorer.key(bound, sample, self.records[sample.sample_id])

    def by_group(self, bound: BoundMetric, wanted: Sequence[str] | None = None) -> dict[str, list[Measured]]:
        """Measured clips of each group, with the features the metric's summary asks for, or those ``wanted``.

        Raises:
            Unavailable: Features of the summary are not there.
        """
        found: dict[str, list[Measured]] = {group: [] for group in self.plan.groups}
        measurements = self.measurements.get(bound.name, {})
        roles = [r for r in (bound.metric.summary_features if wanted is None else wanted) if r in bound.roles]
        for sample in self.plan:
            if measurement := measurements.get(sample.sample_id):
                record = self.records[sample.sample_id]
                features = self.scorer.features(bound, sample, record, roles)
                kept = for_summary(bound.metric, features) if features else features
                found[sample.group].append(Measured(sample, measurement, kept, record.sha256))
        return found

    def coverage(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Metric -> group -> (clips looked at, clips that should have been); refused samples are no clips.

        The same by kind of finding, for those that some clip could not be searched for.
        """
        counts: dict[str, dict[str, tuple[int, int]]] = {}
        for bound in self.scorer.metrics:
            measured = self.measurements.get(bound.name, {})
            kinds = sorted(
                {k for m in measured.values() for k in m.unassessed_kinds if k.startswith(f"{bound.name}.")}
            )
            for group in self.plan.groups:
                due = [
                    s
                    for s in self.plan
                    if s.group == group and self.records[s.sample_id].outcome not in REFUSED
                ]
                seen = [
                    measured[s.sample_id]
                    for s in due
                    if s.sample_id in measured and _is_assessed(bound.name, measured[s.sample_id])
                ]
                counts.setdefault(bound.name, {})[group] = (len(seen), len(due))
                for kind in kinds:
                    searched = sum(kind not in m.unassessed_kinds for m in seen)
                    counts.setdefault(kind, {})[group] = (searched, len(due))
        return counts


def _is_assessed(metric: str, measurement: Measurement) -> bool:
    """Whether it counts: kinds that are not the metric's own say that something was not looked for, and not what."""
    return is_assessed(measurement) and all(k.startswith(f"{metric}.") for k in measurement.unassessed_kinds)


def summarize(collected: Collected, confidence: float, gated: Collection[str] = ()) -> list[Result]:
    """Results of every metric and group: one per declared value, computed or saying why not.

    Values that a metric has ``sliced`` have further ones by tag, where the whole has a number; ``gated`` are names of
    slices that have an answer in any case.
    """
    results: list[Result] = []
    for bound in collected.scorer.metrics:
        try:
            groups = collected.by_group(bound)
        except Unavailable as error:
            bound.unavailable, bound.remedy = error.reason, error.remedy
            groups = {}
        except LookupError as error:
            bound.unavailable = str(error)
            groups = {}
        unmeasured = {group: _unmeasured(bound, group, clips, collected) for group, clips in groups.items()}
        failed = {
            group: [s for s in _planned(group, collected) if _failed(collected.records[s.sample_id])]
            for group in groups
        }
        for group in collected.plan.groups:
            context = SummaryContext(
                group=group, planned=_planned(group, collected), all_groups=groups, confidence=confidence,
                unmeasured=unmeasured, failed=failed,
                settled=collected.settlements[bound.name].facts if bound.name in collected.settlements else {},
            )  # fmt: skip
            results += _of_group(bound, context, collected, gated)
    return results


def _planned(group: str, collected: Collected) -> list[Sample]:
    records = collected.records
    return [s for s in collected.plan if s.group == group and records[s.sample_id].outcome not in REFUSED]


def _unmeasured(
    bound: BoundMetric, group: str, measured: Sequence[Measured], collected: Collected
) -> list[tuple[Sample, str]]:
    """Samples of a group whose clips are there and that the metric has no measurement of, and why."""
    have = {m.sample.sample_id for m in measured}
    return [
        (s, collected.scorer.errors.get((s.sample_id, bound.name), "not measured"))
        for s in _planned(group, collected)
        if s.sample_id not in have and not _failed(collected.records[s.sample_id])
    ]


def _failed(record: ClipRecord) -> bool:
    """Whether there is no clip, or none that decodes."""
    return record.outcome != "ok" or bool(record.media_error)


def _of_group(
    bound: BoundMetric, context: SummaryContext, collected: Collected, gated: Collection[str] = ()
) -> list[Result]:
    group = context.group
    asked = {f"{bound.name}.{s.name}": s for s in bound.values if s.per_group and bound.keeps(s.name)}

    def not_computed(name: str, reason: str) -> Result:
        spec = asked[name]
        return Result.not_computed(
            name, group, reason, unit=spec.unit, higher_is_better=spec.higher_is_better
        )

    if bound.unavailable:
        return [not_computed(name, bound.unavailable) for name in asked]
    measured = context.all_groups[group]
    try:
        made = {r.name: r for r in bound.metric.summarize(measured, context)}
    except Unavailable as error:
        return [not_computed(name, error.reason) for name in asked]
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return [not_computed(name, f"{type(error).__name__}: {error}") for name in asked]
    accounts = [made.get(name) or not_computed(name, "the metric gave no such result") for name in asked]
    whole = [_with_account(r, bound, context, collected) for r in accounts]
    return whole + _slices(bound, whole, context, collected, gated)


def _slices(
    bound: BoundMetric,
    whole: Sequence[Result],
    context: SummaryContext,
    collected: Collected,
    gated: Collection[str],
) -> list[Result]:
    """``whole`` again for each tag of the group's samples, computed or saying why not.

    Values that the metric has ``sliced`` have one for each tag, all others only for tags that a gate asks for. Where
    the whole has no number no slice has one either, and only those that a gate asks for say so.
    """
    sliced = {f"{bound.name}.{short}" for short in getattr(bound.metric, "sliced", ())}
    parted = sliced | {f"{bound.name}.{short}" for short in getattr(bound.metric, "sliceable", ())}
    parted |= {f"{bound.name}.{spec.name}" for spec in bound.values if spec.per_clip}
    tags = dict.fromkeys(tag for sample in context.planned for tag in sorted(sample.tags.items()))
    found: list[Result] = []
    for key, value in tags:
        asked = [r for r in whole if r.name in sliced or f"{r.name}@{key}={value}" in gated]
        if not asked:
            continue
        planned = [s for s in context.planned if s.tags.get(key) == value]
        measured = [m for m in context.all_groups[context.group] if m.sample.tags.get(key) == value]
        made: dict[str, Result] = {}
        why = "the metric gave no such result"
        limited = replace(context, planned=planned, tag=(key, value))
        if any(result.status == COMPUTED and result.name in parted for result in asked):
            try:
                made = {r.name: r for r in bound.metric.summarize(measured, limited)}
            except Unavailable as error:
                why = error.reason
            except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
        for result in asked:
            name = f"{result.name}@{key}={value}"
            if result.name not in parted:
                why_not = "a value of the group as a whole, of which the metric has no slices by tag"
                found.append(
                    Result.not_computed(
                        name,
                        context.group,
                        why_not,
                        unit=result.unit,
                        higher_is_better=result.higher_is_better,
                    )
                )
                continue
            if result.status != COMPUTED:
                if name in gated:
                    found.append(replace(result, name=name))
                continue
            one = made.get(result.name) or replace(
                result, value=None, low=None, high=None, confidence=None, n=0, n_clusters=0,
                status=NOT_COMPUTED, reason=why, detail={},
            )  # fmt: skip
            found.append(_with_account(replace(one, name=name), bound, limited, collected))
    return [_as_one_of(result, found, context.confidence) for result in found]


def _as_one_of(result: Result, slices: Sequence[Result], confidence: float) -> Result:
    """``result`` with how many slices of its value have an interval: some of many miss by chance alone."""
    base = result.name.partition("@")[0]
    count = sum(r.name.partition("@")[0] == base and r.low is not None for r in slices)
    if result.status != COMPUTED or count < 2:
        return result
    note = (
        f"one of {count} slices by tag with an interval: of so many about {count * (1 - confidence):.2g} miss at "
        f"{100 * confidence:.4g} %, and none is adjusted for that"
    )
    reason = "; ".join(filter(None, [result.reason, note]))
    return replace(result, reason=reason, detail={**result.detail, "slices": count})


def _with_account(
    result: Result,
    bound: BoundMetric,
    context: SummaryContext,
    collected: Collected,
) -> Result:
    """``result`` with an account of the clips that never reached the metric.

    Samples that failed (no clip, or none that decodes) are the suite's ``max_failed`` to judge and stand as
    ``failed_samples``; clips a metric broke on count as missing, which keeps gates from passing.
    """
    if bound.name == "integrity":
        return result  # it counts failed samples itself: a clip that is not there is not ok
    have = {m.sample.sample_id for m in context.all_groups[context.group]}
    failed = sum(s.sample_id not in have and _failed(collected.records[s.sample_id]) for s in context.planned)
    due = {s.sample_id for s in context.planned}
    broken = Counter(why for s, why in context.unmeasured[context.group] if s.sample_id in due)
    detail = dict(result.detail)
    if failed:
        detail["failed_samples"] = failed
    if broken:
        detail["missing"] = dict(broken + Counter(detail.get("missing", {})))
        detail["n_missing"] = int(detail.get("n_missing", 0)) + broken.total()
    return replace(result, detail=detail)


def refusal_results(
    plan: Plan, records: Mapping[str, ClipRecord], confidence: float, gated: Collection[str] = ()
) -> list[Result]:
    """:data:`REFUSAL_RATE` per group, and per tag (``...@key=value``) where a request was refused or a gate asks."""
    from vgaudit.stats import clustered_rate, prompts_with

    results = []
    for group in plan.groups:
        asked = [s for s in plan if s.group == group and s.source is None]
        if not asked:
            continue
        slices: dict[str, list[Sample]] = {"": asked}
        for sample in asked:
            for key, value in sample.tags.items():
                slices.setdefault(f"@{key}={value}", []).append(sample)
        for suffix, samples in slices.items():
            answered = [s for s in samples if records[s.sample_id].outcome in (*REFUSED, "ok")]
            refused = [s for s in answered if records[s.sample_id].outcome in REFUSED]
            name = f"{REFUSAL_RATE}{suffix}"
            if not answered:
                if not suffix or name in gated:
                    results.append(Result.not_computed(name, group, "no request was answered"))
                continue
            if suffix and not refused and name not in gated:
                continue
            outcomes = [records[s.sample_id].outcome for s in refused]
            rate = clustered_rate(
                [s in refused for s in answered], [s.prompt_id for s in answered], confidence
            )
            results.append(
                Result(
                    name, group, rate.value, rate.low, rate.high, confidence, rate.n, rate.n_clusters,
                    "fraction of requests", None, reason=rate.reason,
                    detail={"interval": rate.method} | {kind: outcomes.count(kind) for kind in REFUSED}
                    | prompts_with([(s.prompt_id, s in refused) for s in answered]),
                )
            )  # fmt: skip
    return results
