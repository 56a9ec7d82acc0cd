"""Margins and limits from two runs of one model with other seeds: what differs between them is nothing but chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgaudit.conditions import GateSpec
from vgaudit.errors import UsageError
from vgaudit.gates import evaluate
from vgaudit.paired import MIN_PROMPTS, Case, Row, Side, paired_differences
from vgaudit.pipeline.planning import per_clip_values
from vgaudit.records import COMPUTED, Outcome, Result
from vgaudit.reports.data import ReportData

_MUST_AGREE = ("kind", "video", "encoder", "limits", "metrics", "confidence")


@dataclass(frozen=True)
class Suggestion:
    """What two runs of one model say of one value.

    Attributes:
        name: ``<metric>.<value>``.
        margin: Largest size of a difference that chance alone explains: the far end of the interval of the mean
            difference, rounded up to two digits; ``None`` where there is none.
        gate: A gate that both runs pass; ``None`` where there is none.
        note: What it rests on, or why there is nothing.
    """

    name: str
    margin: float | None
    gate: GateSpec | None
    note: str


def suggest(first: ReportData, second: ReportData) -> list[Suggestion]:
    """Margin and limit of every value that clips have, the worst over all groups.

    The null difference is that of the prompts' means over each run's own seeds. The limit is the worst end of any
    group's interval in either run, rounded outwards to two digits; it says what these runs do, not what is good.

    Raises:
        UsageError: Not two runs of one model and suite with other seeds; every field that differs is named.
    """
    refuse_other_runs(first, second)
    by_key = [{(r.name, r.group): r for r in run.results} for run in (first, second)]
    return [_of_value(name, first, second, by_key) for name in per_clip_values(first.value_specs)]


def refuse_other_runs(first: ReportData, second: ReportData) -> None:
    """Raise unless all but the seeds of two runs is the same, and no seed is."""
    specs = [run.manifest["spec"] for run in (first, second)]
    wrong = [key for key in _MUST_AGREE if specs[0].get(key) != specs[1].get(key)]
    if [_backend(b) for b in first.manifest.get("backends", ())] != [
        _backend(b) for b in second.manifest.get("backends", ())
    ]:
        wrong.append("backend (its name, options or weights)")
    if sorted(first.manifest.get("extractors", {})) != sorted(second.manifest.get("extractors", {})):
        wrong.append("extractors (fingerprints)")
    asked = [
        {(e.sample.group, e.sample.prompt_id, e.sample.prompt) for e in run.clips} for run in (first, second)
    ]
    if asked[0] != asked[1]:
        wrong.append(f"groups or prompts ({len(asked[0] ^ asked[1])} are in one run alone)")
    if wrong:
        raise UsageError(
            f"{first.run_dir} and {second.run_dir}: expected two runs of one suite that differ in seeds alone, found "
            f"other {', '.join(wrong)}"
        )
    seeds = [{(e.sample.prompt_id, e.sample.seed) for e in run.clips} for run in (first, second)]
    if any(seed is None for _, seed in seeds[0] | seeds[1]):
        raise UsageError(
            "expected clips with known seeds, found some without: they may be the same clips twice"
        )
    if common := seeds[0] & seeds[1]:
        raise UsageError(
            f"{first.run_dir} and {second.run_dir}: expected other seeds in each, found {len(common)} prompts and "
            "seeds in both; run one of them again with --set 'seeds=[10, 11]'"
        )


def _backend(block: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells one model from another; of clips made elsewhere the fingerprint tells their files apart."""
    kind = block.get("type")
    return block.get("name"), kind, None if kind == "files" else block.get("fingerprint")


def _of_value(
    name: str, first: ReportData, second: ReportData, by_key: Sequence[Mapping[tuple[str, str], Result]]
) -> Suggestion:
    spec = first.value_specs[name]
    groups = list(dict.fromkeys(e.sample.group for e in first.clips))
    confidence = float(first.manifest["spec"]["confidence"])
    results = [of.get((name, group)) for of in by_key for group in groups]
    if bad := next((r for r in results if r is None or r.status != COMPUTED), None):
        return Suggestion(name, None, None, f"{bad.group}: {bad.reason}")
    if any(r is None for r in results):
        return Suggestion(name, None, None, "a run has no such result")
    known = [r for r in results if r is not None]
    sides = [
        [Side.of(run.run_dir.name, _rows(run, name, group)) for run in (first, second)] for group in groups
    ]
    cases = [Case(a, b, (spec["low"], spec["high"])) for a, b in sides]
    found = paired_differences(cases, confidence=confidence, min_prompts=MIN_PROMPTS)
    ends = [max(abs(d.low), abs(d.high)) for d in found if d.low is not None and d.high is not None]
    whys = [d.reason for d in found if d.low is None or d.high is None]
    margin = rounded(max(ends), up=True) if ends and not whys else None
    basis = f"{found[0].n_prompts} prompts, seeds {_seeds(first)} and {_seeds(second)}"
    note = f"margin {margin:g}; {basis}" if margin is not None else f"no margin: {whys[0]}"
    gate, why = _limit(name, spec, known)
    if gate is not None:
        for run in (first, second):
            held = evaluate([gate], run.results, groups)
            if stuck := next((h for h in held if h.outcome is not Outcome.PASSED), None):
                gate, why = None, f"{run.run_dir.name} does not pass it ({stuck.group}): {stuck.reason}"
                break
    return Suggestion(name, margin, gate, note + (f"; no limit: {why}" if gate is None else ""))


def _limit(name: str, spec: Mapping[str, Any], results: Sequence[Result]) -> tuple[GateSpec | None, str]:
    better = spec.get("higher_is_better")
    if better is None:
        return None, "neither end is good"
    ends = [r.low if better else r.high for r in results]
    if any(end is None or not math.isfinite(end) for end in ends):
        return None, "a result has no interval"
    worst = (min if better else max)(e for e in ends if e is not None)
    limit = rounded(worst, up=not better)
    if limit == (spec.get("low") if better else spec.get("high")):
        return None, f"the interval reaches {limit:g}, the end of the value's range, so any run would pass"
    return GateSpec.model_validate({"metric": name, "min" if better else "max": limit}), ""


def _rows(run: ReportData, name: str, group: str) -> list[Row]:
    metric, _, short = name.partition(".")
    rows: list[Row] = []
    for entry in run.clips:
        if entry.sample.group == group:
            measured = entry.measurements.get(metric)
            value = None if measured is None else measured.values.get(short)
            why = "not measured" if measured is None else measured.missing.get(short, "no value")
            rows.append((entry.sample, value, why))
    return rows


def _seeds(run: ReportData) -> str:
    seeds = sorted({e.sample.seed for e in run.clips if e.sample.seed is not None})
    return ", ".join(map(str, seeds[:4])) + (f" and {len(seeds) - 4} more" if len(seeds) > 4 else "")


def rounded(value: float, *, up: bool) -> float:
    """``value`` to two significant digits, never towards the other side."""
    if value == 0 or not math.isfinite(value):
        return value
    digits = 1 - math.floor(math.log10(abs(value)))
    step = 10.0**-digits
    whole = (math.ceil if up else math.floor)(round(value / step, 9))
    return float(f"{whole * step:.{max(0, digits)}f}") if digits >= 0 else float(whole * step)


def as_yaml(found: Sequence[Suggestion], first: ReportData, second: ReportData) -> list[str]:
    """A ``gates:`` block with comments, line by line; reads as YAML whatever stands in names and reasons."""
    head = f"# From two runs of one model with other seeds: {first.run_dir.name} and {second.run_dir.name}."
    lines = [
        head,
        "# Limits are the worst ends of the intervals seen, so both runs pass; they say what is usual, not good.",
        "# Margins are the largest mean differences that chance alone explains; compare new versions with them.",
        "gates:" if any(s.gate for s in found) else "gates: []",
    ]
    for one in found:
        if one.gate is not None:
            lines += [f"  # {one.note}", f"  - {one.gate.text}"]
    lines += [f"# {one.name}: {one.note}" for one in found if one.gate is None]
    return [" ".join(line.splitlines()) if line.lstrip().startswith("#") else line for line in lines]
