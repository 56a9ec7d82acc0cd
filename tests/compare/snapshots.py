"""Small snapshots with any values, to compare without making clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vgaudit.compare.baseline import Side, baseline_bytes
from vgaudit.compare.snapshot import Clip, Kind, Snapshot
from vgaudit.estimates import cluster_means
from vgaudit.records import Result, digest

NAME = "temporal.warp_error"
Values = Mapping[str, Sequence[float | None]]
"""Prompt id to a value per seed."""


def spec(**facts: Any) -> dict[str, Any]:
    known = {
        "unit": "u",
        "higher_is_better": False,
        "low": 0.0,
        "high": 1.0,
        "per_clip": True,
        "per_group": True,
    }
    return {**known, "title": "", "description": "", **facts}


def snapshot(
    values: Values, *, group: str = "model", name: str = NAME, tags: Any = None, **facts: Any
) -> Snapshot:
    """A run with one value; clips are all different, and seeds count from 0."""
    clips, numbers = [], []
    for prompt, column in values.items():
        for seed, value in enumerate(column):
            sample = f"{prompt}-{seed}"
            sha = digest([sample, value, facts], 16)
            clips.append(Clip(sample, prompt, group, seed, "ok", sha, (tags or {}).get(prompt, {})))
            numbers.append(value)
    known = [(v, c.prompt_id) for v, c in zip(numbers, clips, strict=True) if v is not None]
    made = (
        Result(
            name, group, float(cluster_means([v for v, _ in known], [p for _, p in known]).mean()),
            n=len(known), n_clusters=len({p for _, p in known}), confidence=0.95, unit="u",
        )
        if known
        else Result.not_computed(name, group, "no clip has the value", unit="u")
    )  # fmt: skip
    metric = {"version": 1, "options": {"faces": False}, "identity": {}, "unavailable": "",
              "fingerprints": {"motion": "motion-v1-abc"}}  # fmt: skip
    return Snapshot(
        name="suite", created="2026-01-02T03:04:05+00:00", vgaudit="0.1.0", suite_digest="d" * 64,
        confidence=0.95, video={"frames": 17}, encoder={"crf": 10, "versions": {"av": "1"}},
        backends=({"name": group, "type": "files", "fingerprint": "f"},),
        metrics={name.partition(".")[0]: metric}, value_specs={name: spec(**facts)}, groups=(group,),
        prompts={p: {"text": digest(p, 24), "asked": digest([p], 24)} for p in values}, clips=tuple(clips),
        values={name: tuple(numbers)},
        missing={name: tuple("" if v is not None else "no value today" for v in numbers)},
        results=(made,), kinds={},
    )  # fmt: skip


def with_kind(made: Snapshot, kind: str, found: Sequence[int], unseen: Sequence[int] = ()) -> Snapshot:
    """``made`` with a finding of ``kind`` in the clips at these places."""
    return replace(made, kinds={**made.kinds, kind: Kind(dict.fromkeys(found, 1), frozenset(unseen))})


def side(made: Snapshot) -> Side:
    return Side(made, Path("somewhere.json.gz"))


def written(made: Snapshot, path: Path) -> Path:
    path.write_bytes(baseline_bytes(made, packed=True))
    return path
