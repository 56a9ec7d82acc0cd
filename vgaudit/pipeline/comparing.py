"""Compare the groups of a run with each other, value by value, on the prompts that they share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vgaudit.estimates import cluster_means
from vgaudit.paired import (
    MIN_PROMPTS,
    Case,
    PairedDifference,
    Row,
    Side,
    adjusted,
    not_computed,
    paired_differences,
)
from vgaudit.plan import Plan
from vgaudit.records import COMPUTED, ClipRecord, Measurement, Result

VERSION = 1
"""Raised whenever the same measurements give other comparisons; runs of another version are summarized again."""

MAX_ALL_PAIRS = 8
"""Groups up to which every pair is compared; of more, each is compared with the first."""

_SAME_MEAN = 1e-6


def compare_groups(
    plan: Plan,
    records: Mapping[str, ClipRecord],
    measurements: Mapping[str, Mapping[str, Measurement]],
    results: Sequence[Result],
    value_specs: Mapping[str, Mapping[str, Any]],
    confidence: float,
) -> dict[str, Any]:
    """Paired differences of every value that clips have, for every pair of groups, as one family.

    A value is compared only where both groups have a result of it that is the mean of its clips' values: what a
    metric would not compute, or computes in another way, is no difference of means.

    Args:
        plan: Samples of all groups.
        records: What is stored of each sample.
        measurements: Metric to sample id to measurement, as settled.
        results: Of all groups.
        value_specs: ``<metric>.<value>`` to its facts.
        confidence: Coverage of the intervals; one minus it is the error probability of the whole family.

    Returns:
        For ``results.json``: ``version``, ``confidence``, ``min_prompts``, ``family`` (how many comparisons the
        adjusted p holds for), ``differences`` (``name``, ``group``, ``reference``, ``doubt``, and the fields of
        :class:`~vgaudit.paired.PairedDifference`; group minus reference) and ``not_paired`` (value to why it has no
        paired differences). Without differences where there is one group.
    """
    groups = plan.groups
    pairs = [(a, b) for b, a in itertools.combinations(groups, 2)]
    if len(groups) > MAX_ALL_PAIRS:
        pairs = [(a, groups[0]) for a in groups[1:]]
    by_key = {(r.name, r.group): r for r in results}
    asked = [n for n, spec in value_specs.items() if spec.get("per_group", True)] if pairs else []
    keys: list[tuple[str, str, str]] = []
    found: list[PairedDifference | Case] = []
    for name in (n for n in asked if value_specs[n].get("per_clip", True)):
        spec = value_specs[name]
        sides: dict[str, Side] = {}
        refused: dict[str, str] = {}
        for group in groups:
            rows = _rows(name, group, plan, records, measurements)
            if why := why_not(by_key.get((name, group)), rows):
                refused[group] = why
            else:
                sides[group] = Side.of(group, rows)
        for a, b in pairs:
            keys.append((name, a, b))
            if whys := {g: refused[g] for g in (b, a) if g in refused}:
                found.append(not_computed(told(whys)))
            else:
                found.append(Case(sides[a], sides[b], (spec.get("low"), spec.get("high"))))
    made = iter(paired_differences([f for f in found if isinstance(f, Case)], confidence=confidence))
    family = adjusted([next(made) if isinstance(f, Case) else f for f in found])
    return {
        "version": VERSION,
        "confidence": confidence,
        "min_prompts": MIN_PROMPTS,
        "family": sum(d.p is not None and d.n_differing > 0 for d in family),
        "differences": [
            {
                "name": name, "group": a, "reference": b,
                "doubt": doubts(by_key.get((name, g)) for g in (b, a)), **d.to_json(),
            }
            for (name, a, b), d in zip(keys, family, strict=True)
        ],
        "not_paired": {
            n: "a value of the group as a whole, not of its clips"
            for n in asked
            if not value_specs[n].get("per_clip", True)
        },
    }  # fmt: skip


def _rows(
    name: str, group: str, plan: Plan, records: Mapping[str, ClipRecord],
    measurements: Mapping[str, Mapping[str, Measurement]],
) -> list[Row]:  # fmt: skip
    """Every planned clip of a group with its value, or why it has none."""
    metric, _, short = name.partition(".")
    by_sample = measurements.get(metric, {})
    rows: list[Row] = []
    for sample in plan:
        if sample.group != group:
            continue
        measured = by_sample.get(sample.sample_id)
        if measured is None:
            record = records[sample.sample_id]
            why = "the clip cannot be decoded" if record.media_error else "not measured"
            rows.append(
                (sample, None, f"there is no clip ({record.outcome})" if record.outcome != "ok" else why)
            )
        else:
            why = measured.missing.get(short, "the metric gave neither a value nor a reason")
            rows.append((sample, measured.values.get(short), why))
    return rows


def told(whys: Mapping[str, str]) -> str:
    """Why a pair is not compared; a reason that both groups have is said once."""
    if len(whys) == 2 and len(set(whys.values())) == 1:
        return f"both groups: {next(iter(whys.values()))}"
    return "; ".join(f"{group}: {why}" for group, why in whys.items())


def why_not(result: Result | None, rows: Sequence[Row]) -> str:
    """Why a group's value cannot be compared by its clips; empty where it can."""
    if result is None:
        return "there is no result"
    if result.value is None:
        return result.reason
    values = [(value, sample.prompt_id) for sample, value, _ in rows if value is not None]
    means = cluster_means([v for v, _ in values], [p for _, p in values])
    if not len(means):
        return "no clip has the value"
    if not np.isclose(
        float(means.mean()), result.value, rtol=_SAME_MEAN, atol=_SAME_MEAN * float(np.abs(means).max())
    ):
        return "the result is not the mean of its clips' values"
    return ""


def doubts(results: Iterable[Result | None]) -> str:
    """Why gates would not take the results compared; a reader must not take the difference for one of quality."""
    known: dict[str, None] = {}
    for result in results:
        if result is None or result.status != COMPUTED:
            continue
        detail = result.detail
        if outside := detail.get("out_of_domain"):
            known[outside if isinstance(outside, str) else "judged outside the world it knows"] = None
        if detail.get("uncalibrated"):
            known["uncalibrated: it has no known error rate"] = None
        if insufficient := detail.get("insufficient"):
            known[insufficient if isinstance(insufficient, str) else "insufficient evidence"] = None
    return "; ".join(known)
