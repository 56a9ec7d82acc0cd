"""A run of several groups on the same prompts, without media, with known differences, computed as a run's are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.reports.synthetic import GROUPS, manifest
from vgaudit.pipeline.comparing import compare_groups
from vgaudit.plan import Plan, Sample, make_sample_id
from vgaudit.records import ClipRecord, Measurement, Outcome, Result, Verdict
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.stats import mean_result

SHARE: dict[str, Any] = {"unit": "fraction", "low": 0.0, "high": 1.0, "per_clip": True, "per_group": True}
OPEN: dict[str, Any] = {**SHARE, "unit": "short sides per second", "high": None}
SPECS: dict[str, dict[str, Any]] = {
    "temporal.warp_error": {**SHARE, "higher_is_better": False, "description": "How far frames miss each other."},
    "prompt_alignment.clip_score": {
        **SHARE, "unit": "100 x cosine", "high": 100.0, "higher_is_better": True, "description": "Cosine.",
    },
    "temporal.motion": {**OPEN, "higher_is_better": None, "description": "How much moves."},
    "vbench.temporal_flickering": {**SHARE, "higher_is_better": True, "description": "Flicker."},
    "temporal.freeze_fraction": {**SHARE, "higher_is_better": False, "description": "Share of frozen frames."},
    "likeness.face_rate": {**SHARE, "higher_is_better": None, "description": "Never computed here."},
    "integrity.frames": {**SHARE, "higher_is_better": None, "description": "A fact of a clip.", "per_group": False},
    "fvd.distance": {
        **OPEN, "unit": "I3D distance squared", "higher_is_better": False, "description": "Far.", "per_clip": False,
    },
}  # fmt: skip
NO_FACE = "not applicable: no face in the clip"


def value_of(name: str, group: int, prompt: int, seed: int, rng: np.random.Generator) -> float:
    """Hard prompts are hard for all; the groups differ by a known step, and on one value not at all."""
    hard, noise = 0.02 * np.sin(prompt * 1.7), float(rng.normal())
    if name == "temporal.warp_error":
        return float(0.05 + hard + 0.004 * group + 0.004 * noise)
    if name == "prompt_alignment.clip_score":
        return float(27 + 150 * hard + (-0.7, 0.0, 0.4, 0.1, -2.0)[group % 5] + 0.8 * noise)
    if name == "temporal.motion":
        return float(0.4 + 3 * hard + 0.05 * (group % 2) + 0.03 * noise)
    if name == "vbench.temporal_flickering":
        return float(0.95 + hard / 2 + 0.005 * noise)
    return 0.0


def plan_of(groups: tuple[str, ...], prompts: int, seeds: int) -> Plan:
    return Plan(
        tuple(
            Sample(make_sample_id(f"p{p}", s, {"g": g}), f"p{p}", f"prompt {p}", group, seed=s)
            for g, group in enumerate(groups)
            for p in range(prompts)
            for s in range(seeds)
        )
    )


def build_paired(
    run_dir: Path,
    groups: tuple[str, ...] = GROUPS,
    prompts: int = 40,
    seeds: int = 1,
    detail: dict[str, Any] | None = None,
) -> ReportData:
    """A run whose every third prompt lacks a flicker value in the first group.

    Args:
        run_dir: Its folder; nothing is written.
        groups: Names.
        prompts: How many, the same for all groups.
        seeds: Of each prompt.
        detail: Further facts of the results of ``vbench``.
    """
    plan = plan_of(groups, prompts, seeds)
    rng = np.random.default_rng(0)
    measurements: dict[str, dict[str, Measurement]] = {}
    per_clip = [n for n, spec in SPECS.items() if spec["per_clip"] and spec["per_group"] and "face" not in n]
    for sample in plan:
        prompt, group = int(sample.prompt_id[1:]), groups.index(sample.group)
        for name in per_clip:
            metric, _, short = name.partition(".")
            before = measurements.setdefault(metric, {}).get(sample.sample_id, Measurement())
            if metric == "vbench" and prompt % 3 == 0 and group == 0:
                now = replace(before, missing={**before.missing, short: "the flow broke"})
            else:
                value = value_of(name, group, prompt, sample.seed or 0, rng)
                now = replace(before, values={**before.values, short: value})
            measurements[metric][sample.sample_id] = now
    results: list[Result] = []
    for name in per_clip:
        metric, _, short = name.partition(".")
        for group in groups:
            rows = [
                (s, (m := measurements[metric][s.sample_id]).values.get(short), m.missing.get(short, ""))
                for s in plan
                if s.group == group
            ]
            facts = detail if metric == "vbench" else None
            results.append(mean_result(name, group, rows, _Spec(**SPECS[name]), detail=facts))
    results += [Result.not_computed("likeness.face_rate", g, "no detector was found") for g in groups]
    results += [
        Result("fvd.distance", g, 300.0 + 60 * i, 250.0 + 60 * i, 360.0 + 60 * i, 0.95, prompts, prompts)
        for i, g in enumerate(groups)
    ]
    records = {s.sample_id: ClipRecord(s.sample_id, "ok") for s in plan}
    return ReportData(
        run_dir=run_dir,
        kind="run",
        name="groups side by side",
        manifest=manifest(),
        clips=tuple(
            ClipEntry(s, records[s.sample_id], {m: by[s.sample_id] for m, by in measurements.items()})
            for s in plan
        ),
        results=tuple(results),
        gates=(),
        verdict=Verdict(Outcome.PASSED, 0, "The suite asks for no gates."),
        value_specs=SPECS,
        comparisons=compare_groups(plan, records, measurements, results, SPECS, 0.95),
    )


class _Spec:
    """A value's facts as attributes."""

    def __init__(
        self, unit: str, higher_is_better: bool | None, low: float | None, high: float | None, **_: Any
    ) -> None:
        self.unit, self.higher_is_better, self.low, self.high = unit, higher_is_better, low, high
