"""The promises of a metric's class, measurements and results, each with the sentence for when it is broken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic import BaseModel

from vgaudit.metrics.base import Metric, ValueSpec, values_of
from vgaudit.records import COMPUTED, Measurement, Result

TOLERANCE = 1e-5
"""How far batching and order may move a number: absolute below 1, relative above."""

_ATTRIBUTES = ("name", "version", "Options", "values", "summary_features")
_METHODS = ("needs", "texts", "identity", "measure", "summarize")


def broken(name: str, promise: str) -> NoReturn:
    """Raise the :class:`AssertionError` that says which promise metric ``name`` breaks."""
    raise AssertionError(f"metric {name!r} breaks a promise: {promise}")


def close(a: float | None, b: float | None) -> bool:
    """Whether two numbers (or two absences) are the same within :data:`TOLERANCE`."""
    if a is None or b is None:
        return a is b
    return a == b or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def check_class(cls: type[Any]) -> None:
    """The class has what the protocol asks for, and its values say what they are."""
    name = getattr(cls, "name", cls.__name__)
    for attribute in (*_ATTRIBUTES, *_METHODS):
        if not hasattr(cls, attribute):
            broken(name, f"the class has no {attribute}")
    if not isinstance(cls.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", cls.name):
        broken(name, f"name is {cls.name!r}; expected lower-case letters, digits and _")
    if not isinstance(cls.version, int) or cls.version < 1:
        broken(name, f"version is {cls.version!r}; expected a whole number from 1 on")
    if not (isinstance(cls.Options, type) and issubclass(cls.Options, BaseModel)):
        broken(name, "Options is no pydantic model")
    if cls.Options.model_config.get("extra") != "forbid":
        broken(name, "Options accept unknown keys, so a misspelt option would be ignored; set extra='forbid'")
    cls.Options.model_json_schema()
    if not cls.values:
        broken(name, "it declares no values")
    seen: set[str] = set()
    for spec in cls.values:
        if not isinstance(spec, ValueSpec):
            broken(name, f"values holds {spec!r}; expected a ValueSpec")
        if spec.name in seen or not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
            broken(
                name, f"the value name {spec.name!r} occurs twice or is not lower-case letters, digits and _"
            )
        seen.add(spec.name)
        if not spec.unit or not spec.description:
            broken(name, f"value {spec.name} does not say its {'description' if spec.unit else 'unit'}")
        if spec.higher_is_better not in (True, False, None):
            broken(
                name,
                f"value {spec.name}: higher_is_better is {spec.higher_is_better!r}; expected a bool or None",
            )
        if spec.low is not None and spec.high is not None and spec.low >= spec.high:
            broken(name, f"value {spec.name}: its range {spec.low} to {spec.high} is empty")
    kinds = getattr(cls, "finding_kinds", ())
    if not isinstance(kinds, tuple):
        broken(name, f"finding_kinds is {kinds!r}; expected a tuple of kinds, such as ('{cls.name}.what',)")
    for kind in kinds:
        if not isinstance(kind, str) or not kind.startswith(f"{cls.name}."):
            broken(name, f"finding kind {kind!r} does not begin with {cls.name + '.'!r}")


def _chosen(metric: Metric) -> tuple[ValueSpec, ...]:
    return values_of(type(metric), getattr(metric, "options", None))


def check_measurement(metric: Metric, sample_id: str, measurement: Measurement, at: str) -> None:
    """Every declared value is there or missing with a reason, within its range; findings are in order."""
    name = metric.name
    if not isinstance(measurement, Measurement):
        broken(name, f"measure returned {type(measurement).__name__}; expected a Measurement ({at})")
    specs = {spec.name: spec for spec in _chosen(metric)}
    told = {*measurement.values, *measurement.missing}
    if unknown := told - set(specs):
        broken(name, f"measure gave {sorted(unknown)}, which values does not declare ({at})")
    if untold := {n for n, s in specs.items() if s.per_clip} - told:
        broken(name, f"measure gave neither a value nor a reason for {sorted(untold)} ({at})")
    for value, reason in measurement.missing.items():
        if not reason.strip():
            broken(name, f"{value} is missing without a reason ({at})")
    for value, number in measurement.values.items():
        _check_range(name, specs[value], number, at)
    kinds = getattr(metric, "finding_kinds", None)
    if kinds is None and measurement.findings:
        broken(
            name,
            f"it makes findings ({measurement.findings[0].kind}), but the class has no finding_kinds ({at})",
        )
    for finding in measurement.findings:
        if finding.sample_id != sample_id:
            broken(name, f"finding {finding.kind} names sample {finding.sample_id!r} ({at})")
        if not finding.kind.startswith(f"{name}.") or finding.kind not in (kinds or ()):
            broken(
                name,
                f"finding kind {finding.kind!r} is not declared; expected one of {kinds} ({at})",
            )
        if not all(map(math.isfinite, (finding.start_s, finding.end_s, finding.score, finding.threshold))):
            broken(name, f"finding {finding.kind} holds a number that is not finite ({at})")
        if not 0 <= finding.start_s <= finding.end_s:
            broken(name, f"finding {finding.kind} spans {finding.start_s} s to {finding.end_s} s ({at})")
    _check_round_trip(name, f"measurement ({at})", measurement)


def _check_round_trip(name: str, what: str, record: Measurement | Result) -> None:
    try:
        text = json.dumps(record.to_json(), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        broken(name, f"the {what} is not JSON: {error}")
    again = json.dumps(type(record).from_json(json.loads(text)).to_json(), allow_nan=False, sort_keys=True)
    if again != text:
        broken(name, f"the {what} changes on its way through JSON")


def _check_range(name: str, spec: ValueSpec, number: float, at: str) -> None:
    too_low = spec.low is not None and number < spec.low - TOLERANCE
    if too_low or (spec.high is not None and number > spec.high + TOLERANCE):
        broken(name, f"{spec.name} is {number}, outside its range {spec.low} to {spec.high} ({at})")


def check_results(metric: Metric, results: Sequence[Result], at: str) -> None:
    """Exactly one result for each declared value, with its unit, direction, range and interval."""
    name = metric.name
    specs = {f"{name}.{spec.name}": spec for spec in _chosen(metric) if spec.per_group}
    if sorted(r.name for r in results) != sorted(specs):
        broken(
            name,
            f"summarize gave {sorted(r.name for r in results)}; expected one each of {sorted(specs)} ({at})",
        )
    for result in results:
        spec = specs[result.name]
        if result.group != "group":
            broken(name, f"{result.name} is about group {result.group!r}, but 'group' was summarised ({at})")
        if result.status == COMPUTED and (result.unit, result.higher_is_better) != (
            spec.unit,
            spec.higher_is_better,
        ):
            broken(name, f"{result.name} has another unit or direction than the value declares ({at})")
        if result.value is not None:
            _check_range(name, spec, result.value, at)
            if result.low is None and result.high is None and not result.reason:
                broken(name, f"{result.name} has neither an interval nor a reason for having none ({at})")
            if result.low is not None and result.high is not None and result.low > result.high:
                broken(name, f"{result.name} has the interval {result.low} to {result.high} ({at})")
        _check_round_trip(name, f"result {result.name} ({at})", result)
