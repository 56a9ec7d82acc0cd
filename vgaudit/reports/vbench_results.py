"""Write a run's measurements of metric ``vbench`` in the files that VBench's own ``evaluate.py`` leaves behind.

For each group ``<group>_eval_results.json`` with ``{dimension: [mean, [{video_path, video_results}, ...]]}``, and
``<group>_full_info.json`` with the clips of each prompt. A dimension stands there only if every clip that it is asked
of has a value; ``vbench.md`` beside them names the others, and why. Written from VBench's repository as of its commit
``45e79ec``; no code is VBench's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgaudit.errors import UsageError
from vgaudit.records import COMPUTED as COMPUTED_STATUS
from vgaudit.records import digest
from vgaudit.reports import numbers
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import is_safe_file_name, markdown_text
from vgaudit.reports.export import Writer, write_folder
from vgaudit.rundir import atomic_write

ABOUT = "vbench.md"
DIMENSION_TAG = "dimension."
"""Suites made by ``vgaudit import vbench`` have a tag ``dimension.<name>: yes`` for each dimension of a prompt."""

COMPUTED = (
    "subject_consistency", "background_consistency", "aesthetic_quality", "temporal_flickering", "dynamic_degree",
)  # fmt: skip
"""Dimensions that metric ``vbench`` computes by VBench's definition, in VBench's order."""
OTHERS = (
    "imaging_quality", "object_class", "multiple_objects", "color", "spatial_relationship", "scene", "temporal_style",
    "overall_consistency", "human_action", "motion_smoothness", "appearance_style",
)  # fmt: skip
_BY_FRAME = ("subject_consistency", "background_consistency")


@dataclass
class Evaluation:
    """What VBench's files say of one group.

    Attributes:
        group: Name of the group.
        results: Dimension to ``[mean, clips]``.
        full_info: A row for each prompt.
        absent: Dimension to why it is not in ``results``.
        clips: Dimension to how many clips it rests on.
    """

    group: str
    results: dict[str, list[Any]] = field(default_factory=dict)
    full_info: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)


def write_vbench(data: ReportData, folder: Path) -> dict[Path, int | None]:
    """Write VBench's two files for each group, and ``vbench.md``.

    Args:
        data: A scored run whose suite has metric ``vbench``.
        folder: As :func:`vgaudit.reports.export.write_export`.

    Returns:
        Path of each file to the number of its dimensions or prompts, ``None`` for ``vbench.md``.

    Raises:
        UsageError: No dimension of any group can be written, or the folder is not one to write into.
        OSError: The folder cannot be written.
    """
    found = evaluations(data)
    if not any(e.results for e in found):
        reasons = "; ".join(
            f"{e.group}: {name}: {why}" for e in found for name, why in e.absent.items() if why
        )
        raise UsageError(
            "--format vbench: expected clips with values of metric vbench, found none that can be written"
            f"{f' ({reasons[:400]})' if reasons else ''}; add `vbench: {{dimensions: [...]}}` to the suite's metrics "
            "and run it again"
        )
    files: dict[str, Writer] = {}
    for evaluation in found:
        if evaluation.results:
            stem = _stem(evaluation.group)
            files[f"{stem}_eval_results.json"] = _json(evaluation.results)
            files[f"{stem}_full_info.json"] = _json(evaluation.full_info)
    files[ABOUT] = _about(data, found)
    return write_folder(data, folder, files, "vbench")


def evaluations(data: ReportData) -> list[Evaluation]:
    """What VBench would say of each group, in order of first appearance."""
    groups: dict[str, list[ClipEntry]] = {}
    for entry in data.clips:
        groups.setdefault(entry.sample.group, []).append(entry)
    tagged = any(key.startswith(DIMENSION_TAG) for entry in data.clips for key in entry.sample.tags)
    whole = {(r.name, r.group): r.reason for r in data.results if r.status != COMPUTED_STATUS}
    return [_evaluation(group, entries, tagged, whole) for group, entries in groups.items()]


def _evaluation(
    group: str, entries: Sequence[ClipEntry], tagged: bool, whole: Mapping[tuple[str, str], str]
) -> Evaluation:
    made = Evaluation(group)
    for dimension in COMPUTED:
        asked = [e for e in entries if not tagged or _is_of(e, dimension)]
        answer = _dimension(dimension, asked, whole.get((f"vbench.{dimension}", group), ""))
        if isinstance(answer, str):
            made.absent[dimension] = answer
        else:
            made.results[dimension] = answer
            made.clips[dimension] = len(asked)
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        of = [d for d in (*COMPUTED, *OTHERS) if _is_of(entry, d)] if tagged else list(made.results)
        if not set(of) & set(made.results):
            continue
        text = entry.sample.prompt
        row = rows.setdefault(entry.sample.prompt_id, {"prompt_en": text, "dimension": of, "video_list": []})
        row["video_list"].append(_path(entry))
    made.full_info = list(rows.values())
    return made


def _is_of(entry: ClipEntry, dimension: str) -> bool:
    return entry.sample.tags.get(f"{DIMENSION_TAG}{dimension}") == "yes"


def _dimension(name: str, entries: Sequence[ClipEntry], why: str) -> list[Any] | str:
    """``[mean, clips]`` as VBench has them, or why there are none."""
    if not entries:
        return "no prompt of the suite is one of it"
    if all(name not in _values(e) and name not in _missing(e) for e in entries):
        return f"not computed: {why}" if why else "the suite does not ask for it"
    without = [(e, _missing(e).get(name) or _why_none(e)) for e in entries if name not in _values(e)]
    if without:
        first = without[0][1]
        return f"{numbers.count(len(without), 'clip')} of {len(entries)} without a value, the first: {first}"
    clips, total, weight = [], 0.0, 0
    for entry in entries:
        value = float(_values(entry)[name])
        row: dict[str, Any] = {"video_path": _path(entry)}
        row["video_results"] = value == 1.0 if name == "dynamic_degree" else value
        pairs = 1
        if (
            name in _BY_FRAME
        ):  # VBench averages these over the frames from the second on, of all clips together
            frames = entry.clip.info.get("frames")
            if not isinstance(frames, int) or frames < 2:
                return f"the number of frames of {entry.sample.sample_id} is not known"
            pairs = frames - 1
            if name == "background_consistency":
                row |= {"video_sim": value * pairs, "cnt_per_video": pairs}
        total, weight = total + value * pairs, weight + pairs
        clips.append(row)
    return [total / weight, clips]


def _values(entry: ClipEntry) -> dict[str, float]:
    measurement = entry.measurements.get("vbench")
    return dict(measurement.values) if measurement else {}


def _missing(entry: ClipEntry) -> dict[str, str]:
    measurement = entry.measurements.get("vbench")
    return dict(measurement.missing) if measurement else {}


def _why_none(entry: ClipEntry) -> str:
    if entry.clip.media_error or entry.clip.outcome != "ok":
        return f"there is no clip ({entry.clip.media_error or entry.clip.message or entry.clip.outcome})"
    return "it was not measured"


def _path(entry: ClipEntry) -> str:
    """Where the clip was made elsewhere its path as the index has it, else the file in the run."""
    return entry.sample.source or entry.clip.file or ""


def _stem(group: str) -> str:
    safe = is_safe_file_name(f"{group}_eval_results.json")
    return group if safe else f"group-{digest(group.encode('utf-8', 'surrogatepass'), 12)}"


# -- files -------------------------------------------------------------------------------------------


def _json(content: Any) -> Writer:
    def write(path: Path) -> int:
        with atomic_write(path) as file:
            file.write(json.dumps(content, indent=4, allow_nan=False).encode())
        return len(content)

    return write


def _about(data: ReportData, found: Sequence[Evaluation]) -> Writer:
    tagged = any(key.startswith(DIMENSION_TAG) for entry in data.clips for key in entry.sample.tags)
    of = (
        "Each dimension is asked of its own prompts only, as VBench does in mode vbench_standard."
        if tagged
        else "Each dimension is asked of all clips, as VBench does in mode custom_input."
    )
    lines = [
        f"# {markdown_text(data.name, 120)} in VBench's format", "",
        "Measured by vgaudit, not by VBench: docs/vbench.md says what differs. " + of, "",
        "A program that fills in what is missing, as VBench's cal_final_score.py does with 0, makes "
        "a total that means nothing. The prompts' auxiliary_info is not in the full info.", "",
    ]  # fmt: skip
    for evaluation in found:
        stem = _stem(evaluation.group)
        lines += [f"## {markdown_text(evaluation.group, 120)}", ""]
        if evaluation.results:
            lines += [f"`{stem}_eval_results.json`, `{stem}_full_info.json`", ""]
        lines += ["| dimension | mean | clips | |", "| --- | --- | --- | --- |"]
        for name in COMPUTED:
            if name in evaluation.results:
                mean = evaluation.results[name][0]
                lines.append(
                    f"| {name} | {mean:.4f} | {evaluation.clips[name]} | {_weights(data, evaluation, name)} |"
                )
            else:
                lines.append(f"| {name} | absent | | {markdown_text(evaluation.absent[name], 300)} |")
        lines += [f"| {name} | absent | | not computed here, see docs/vbench.md |" for name in OTHERS]
        lines.append("")

    def write(path: Path) -> None:
        with atomic_write(path) as file:
            file.write("\n".join(lines).encode("utf-8", "replace"))

    return write


def _weights(data: ReportData, evaluation: Evaluation, name: str) -> str:
    """The weights that the values rest on."""
    used = set()
    for entry in data.clips:
        measurement = entry.measurements.get("vbench")
        if entry.sample.group == evaluation.group and measurement:
            facts = measurement.facts.get(name)
            if isinstance(facts, dict) and facts.get("weights"):
                used.add(f"{facts['weights']}, SHA-256 {str(facts.get('weights_sha256') or 'unknown')[:16]}")
    return markdown_text("weights " + "; ".join(sorted(used)), 300) if used else ""
