"""Values of metric ``vbench`` in VBench's files: its form, its means, and nothing that is not known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from vgaudit.errors import UsageError
from vgaudit.imports.vbench import DIMENSIONS
from vgaudit.metrics.vbench import VBench
from vgaudit.plan import Sample
from vgaudit.records import NOT_COMPUTED, ClipRecord, Measurement, Outcome, Result, Verdict
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.vbench_results import COMPUTED, OTHERS, evaluations, write_vbench


def _entry(
    prompt: str,
    seed: int,
    values: dict[str, float],
    *,
    frames: int | None = 9,
    group: str = "ours",
    **more: Any,
) -> ClipEntry:
    name = f"{prompt.replace(' ', '-')}-{seed}-{group}"
    sample = Sample(
        name, prompt, prompt, group, seed=seed, tags=more.get("tags", {}), source=more.get("source")
    )
    info = {} if frames is None else {"frames": frames}
    clip = ClipRecord(name, more.get("outcome", "ok"), file=f"clips/{name}.mp4", info=info)
    measured = {"vbench": Measurement(values=values, missing=more.get("missing", {}))}
    return ClipEntry(sample, clip, measured if values or more.get("missing") else {})


def _data(run: Path, *entries: ClipEntry) -> ReportData:
    run.mkdir(exist_ok=True)
    return ReportData(
        run_dir=run, kind="run", name="suite", manifest={}, clips=entries, results=(), gates=(),
        verdict=Verdict(Outcome.PASSED, 0, "all gates passed"),
    )  # fmt: skip


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def test_our_dimensions_and_the_others_are_vbenchs_sixteen() -> None:
    assert {v.name for v in VBench.values} == set(COMPUTED)
    assert sorted((*COMPUTED, *OTHERS)) == sorted(DIMENSIONS)


def test_the_files_are_as_vbench_writes_them(tmp_path: Path) -> None:
    a = {
        "temporal_flickering": 0.9,
        "dynamic_degree": 1.0,
        "background_consistency": 0.8,
        "subject_consistency": 0.5,
    }
    b = {
        "temporal_flickering": 0.7,
        "dynamic_degree": 0.0,
        "background_consistency": 0.6,
        "subject_consistency": 1.0,
    }
    data = _data(
        tmp_path / "run", _entry("a dog", 0, a), _entry("a dog", 1, b, frames=25, source="clips/a dog-1.mp4")
    )
    written = write_vbench(data, tmp_path / "out")
    assert [p.name for p in written] == ["ours_eval_results.json", "ours_full_info.json", "vbench.md"]
    results = _read(tmp_path / "out", "ours_eval_results.json")
    assert list(results) == [
        "subject_consistency",
        "background_consistency",
        "temporal_flickering",
        "dynamic_degree",
    ]
    mean, clips = results["temporal_flickering"]
    assert mean == pytest.approx(0.8)
    assert clips == [
        {"video_path": "clips/a-dog-0-ours.mp4", "video_results": 0.9},
        {"video_path": "clips/a dog-1.mp4", "video_results": 0.7},
    ]
    assert results["dynamic_degree"][0] == 0.5
    assert [c["video_results"] for c in results["dynamic_degree"][1]] == [True, False]
    # These two VBench averages over frames: 8 of one clip, 24 of the other.
    assert results["subject_consistency"][0] == pytest.approx((8 * 0.5 + 24 * 1.0) / 32)
    assert results["background_consistency"][0] == pytest.approx((8 * 0.8 + 24 * 0.6) / 32)
    assert [(c["video_sim"], c["cnt_per_video"]) for c in results["background_consistency"][1]] == [
        (pytest.approx(6.4), 8), (pytest.approx(14.4), 24),
    ]  # fmt: skip
    assert _read(tmp_path / "out", "ours_full_info.json") == [
        {
            "prompt_en": "a dog", "dimension": list(results),
            "video_list": ["clips/a-dog-0-ours.mp4", "clips/a dog-1.mp4"],
        }
    ]  # fmt: skip
    about = (tmp_path / "out" / "vbench.md").read_text("utf-8")
    assert "| aesthetic_quality | absent | | the suite does not ask for it |" in about
    assert all(f"| {name} | absent | | not computed here" in about for name in OTHERS)
    assert "custom_input" in about


def test_with_tags_each_dimension_is_asked_of_its_own_prompts(tmp_path: Path) -> None:
    values = {"temporal_flickering": 0.9, "subject_consistency": 0.5}
    still = _entry("a pond", 0, values, tags={"dimension.temporal_flickering": "yes"})
    moves = {"dimension.subject_consistency": "yes", "dimension.motion_smoothness": "yes"}
    data = _data(
        tmp_path,
        still,
        _entry("an otter", 0, {**values, "temporal_flickering": 0.1}, tags=moves),
        _entry("a red van", 0, {**values, "temporal_flickering": 0.2}, tags={"dimension.color": "yes"}),
    )
    (made,) = evaluations(data)
    assert made.results["temporal_flickering"][0] == 0.9
    assert made.clips == {"temporal_flickering": 1, "subject_consistency": 1}
    assert [(row["prompt_en"], row["dimension"]) for row in made.full_info] == [
        ("a pond", ["temporal_flickering"]),
        ("an otter", ["subject_consistency", "motion_smoothness"]),
    ]
    assert made.absent["dynamic_degree"] == "no prompt of the suite is one of it"


ONE = "1 clip of 2 without a value, the first: "


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_entry("b", 0, {}, missing={"subject_consistency": "too short"}), f"{ONE}too short"),
        (_entry("b", 0, {}, outcome="error"), f"{ONE}there is no clip (error)"),
        (_entry("b", 0, {}), f"{ONE}it was not measured"),
        (
            _entry("b", 0, {"subject_consistency": 0.5}, frames=None),
            "the number of frames of b-0-ours is not known",
        ),
    ],
)
def test_a_mean_of_some_clips_is_no_mean(tmp_path: Path, bad: ClipEntry, why: str) -> None:
    data = _data(tmp_path / "run", _entry("a", 0, {"subject_consistency": 0.5}), bad)
    (made,) = evaluations(data)
    assert made.absent["subject_consistency"] == why
    with pytest.raises(UsageError, match="expected clips with values of metric vbench"):
        write_vbench(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_result_says_is_said(tmp_path: Path) -> None:
    result = Result("vbench.aesthetic_quality", "ours", None, status=NOT_COMPUTED, reason="no weights")
    data = dataclasses.replace(
        _data(tmp_path, _entry("a", 0, {"temporal_flickering": 0.5})), results=(result,)
    )
    assert evaluations(data)[0].absent["aesthetic_quality"] == "not computed: no weights"


def test_groups_get_files_of_their_own_that_are_safe(tmp_path: Path) -> None:
    value = {"temporal_flickering": 0.5}
    data = _data(tmp_path / "run", _entry("a", 0, value), _entry("a", 0, value, group="../evil"))
    written = write_vbench(data, tmp_path / "out")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in written}
    assert len(names) == 5
    assert all("/" not in name and ".." not in name for name in names)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*names, "export.json"}
    with pytest.raises(UsageError, match="outside the run directory"):
        write_vbench(data, tmp_path / "run" / "out")
