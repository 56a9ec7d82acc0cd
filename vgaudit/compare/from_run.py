"""Make a :class:`~vgaudit.compare.snapshot.Snapshot` of a run directory."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vgaudit.compare.snapshot import Clip, Kind, Snapshot
from vgaudit.errors import RunDirError
from vgaudit.gates import is_assessed
from vgaudit.paired import MIN_PROMPTS
from vgaudit.pipeline.finish import read_report_data, stored_measurements
from vgaudit.pipeline.gated_clips import REFUSED
from vgaudit.records import Measurement, Result, digest
from vgaudit.reports.data import ReportData
from vgaudit.rundir import RunDir

PROTOCOL = (
    "protocol", "weights", "weights_sha256", "reference_sha256", "n_reference", "probe_sha256", "features", "kernel",
    "k", "covariance", "crop", "resize", "window", "windows_per_clip", "frame_rate", "value_range", "short_clips",
    "preprocessing", "activation", "model", "every", "embedder", "calibration",
)  # fmt: skip
"""Keys of a result's detail that say how it was made; results that differ in one are not comparable."""

DOUBT = ("out_of_domain", "uncalibrated", "insufficient")
"""Keys of a result's detail for which gates would not take it."""

_SPEC = ("unit", "higher_is_better", "low", "high", "per_clip", "per_group", "title", "description")
_DIGITS = 24
_REASON = 200
_TAG = 60
_PATH = re.compile(r"(?<![\w/])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][^\s/\\'\":;,()]+){2,}[/\\]?")
_PATH_OPTION = "(a path or an id with a slash)"


def without_paths(text: str) -> str:
    """``text`` with what looks like a path replaced; baselines are committed, and paths name people and machines."""
    return _PATH.sub("(path)", text)


def snapshot_of(run: RunDir) -> tuple[Snapshot, ReportData]:
    """What a comparison needs of a scored run, and the run as reports see it.

    Raises:
        RunDirError: It has not been scored, is damaged, is a census, or was scored by a version that did not record
            with what.
    """
    stored = run.results()
    if stored.get("kind") == "census":
        raise RunDirError(
            f"{run.path}: expected a run of a suite, found a publish check of finished clips, which has no "
            "groups and no estimates to compare"
        )
    measured_with = stored.get("measured_with")
    if measured_with is None:
        raise RunDirError(
            f"{run.path}: scored by a version of vgaudit that did not record the versions of its metrics; "
            f"run `vgaudit score {run.path}` to record them, which measures nothing anew"
        )
    data = read_report_data(run)
    manifest = data.manifest
    specs = {
        name: {key: spec[key] for key in _SPEC if key in spec} for name, spec in data.value_specs.items()
    }
    values, missing = _values(data, specs)
    return Snapshot(
        name=data.name,
        created=str(manifest.get("created") or ""),
        vgaudit=str(manifest.get("provenance", {}).get("vgaudit") or ""),
        suite_digest=str(manifest["suite"].get("digest") or ""),
        confidence=float(manifest["spec"]["confidence"]),
        video=dict(manifest["spec"]["video"]),
        encoder=dict(manifest.get("encoder") or manifest["spec"]["encoder"]),
        backends=tuple(
            {key: without_paths(str(b.get(key) or "")) for key in ("name", "type", "fingerprint")}
            for b in manifest.get("backends", ())
        ),
        metrics={name: _metric(facts) for name, facts in measured_with.items()},
        value_specs=specs,
        groups=tuple(stored["groups"]),
        prompts=_prompts(data),
        clips=_clips(data),
        values=values,
        missing=missing,
        results=tuple(_result(r) for r in data.results if "@" not in r.name),
        kinds=_kinds(data, stored["finding_kinds"], stored_measurements(run, stored)),
    ), data


def _metric(facts: Mapping[str, Any]) -> dict[str, Any]:
    identity = {
        key: value if value is None or isinstance(value, bool | int | float) else digest(value, _DIGITS)
        for key, value in facts["identity"].items()
    }
    return {
        "version": facts["version"],
        "options": _no_path_in(facts["options"]),
        "identity": identity,
        "fingerprints": dict(facts["fingerprints"]),
        "unavailable": without_paths(facts["unavailable"])[:_REASON],
    }


def _no_path_in(value: Any) -> Any:
    """Options without paths: what a path leads to is in the metric's identity and its extractors' fingerprints."""
    if isinstance(value, Mapping):
        return {k: _no_path_in(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_no_path_in(v) for v in value]
    return _PATH_OPTION if isinstance(value, str) and ("/" in value or "\\" in value) else value


def _prompts(data: ReportData) -> dict[str, dict[str, str]]:
    texts: dict[str, set[str]] = defaultdict(set)
    asked: dict[str, set[str]] = defaultdict(set)
    for entry in data.clips:
        sample = entry.sample
        texts[sample.prompt_id].add(sample.prompt)
        expected = [[dict(e) for e in sample.expect], sample.tags.get("motion", "")]
        asked[sample.prompt_id].add(digest(expected))
    return {
        p: {"text": digest(sorted(texts[p]), _DIGITS), "asked": digest(sorted(asked[p]), _DIGITS)}
        for p in texts
    }


def _clips(data: ReportData) -> tuple[Clip, ...]:
    prompts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in data.clips:
        for tag in entry.sample.tags.items():
            prompts[tag].add(entry.sample.prompt_id)
    kept = {
        tag
        for tag, found in prompts.items()
        if len(found) >= MIN_PROMPTS and len(tag[1]) <= _TAG and not set("/\\") & set(tag[0] + tag[1])
    }
    return tuple(
        Clip(
            e.sample.sample_id, e.sample.prompt_id, e.sample.group, e.sample.seed,
            "undecodable" if e.clip.media_error else e.clip.outcome, e.clip.sha256[:16],
            {k: v for k, v in sorted(e.sample.tags.items()) if (k, v) in kept},
        )
        for e in data.clips
    )  # fmt: skip


def _values(
    data: ReportData, specs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, tuple[float | None, ...]], dict[str, tuple[str, ...]]]:
    values: dict[str, tuple[float | None, ...]] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for name, spec in specs.items():
        if not (spec.get("per_clip", True) and spec.get("per_group", True)):
            continue
        metric, _, short = name.partition(".")
        numbers: list[float | None] = []
        reasons: list[str] = []
        for entry in data.clips:
            measured = entry.measurements.get(metric)
            value = None if measured is None else measured.values.get(short)
            numbers.append(value)
            why = ""
            if value is None:
                why = _without(entry.clip.outcome, entry.clip.media_error)
                if measured is not None:
                    why = measured.missing.get(short, "the metric gave neither a value nor a reason")
            reasons.append(without_paths(why)[:_REASON])
        values[name], missing[name] = tuple(numbers), tuple(reasons)
    return values, missing


def _without(outcome: str, media_error: str) -> str:
    if outcome != "ok":
        return f"there is no clip ({outcome})"
    return "the clip cannot be decoded" if media_error else "not measured"


def _result(result: Result) -> Result:
    detail = {key: _no_path_in(result.detail[key]) for key in (*PROTOCOL, *DOUBT) if key in result.detail}
    return replace(result, detail=detail, reason=without_paths(result.reason)[:_REASON])


def _kinds(
    data: ReportData,
    declared: Mapping[str, list[str]],
    measurements: Mapping[str, Mapping[str, Measurement]],
) -> dict[str, Kind]:
    """Kinds of all metrics; of one that declares none those it found, and ``<metric>.*`` for the others."""
    found: dict[str, Kind] = {}
    for metric, by_sample in sorted(measurements.items()):
        counts: dict[str, dict[int, int]] = defaultdict(dict)
        unseen: dict[str, set[int]] = defaultdict(set)
        whole: set[int] = set()
        for i, entry in enumerate(data.clips):
            measured = by_sample.get(entry.sample.sample_id)
            if entry.clip.outcome in REFUSED or measured is None or not is_assessed(measured):
                whole.add(i)
            if measured is None:
                continue
            for kind in measured.unassessed_kinds:
                (unseen[kind] if kind.startswith(f"{metric}.") else whole).add(i)
            for kind, n in Counter(f.kind for f in measured.findings).items():
                counts[kind][i] = n
        names = {*declared.get(metric, ()), *counts, *unseen}
        if metric not in declared:
            names.add(f"{metric}.*")
        for name in sorted(names):
            # Where one was found it was looked for, whatever else of the clip was not.
            found[name] = Kind(dict(counts[name]), frozenset((whole | unseen[name]) - counts[name].keys()))
    return found
