"""A run as notebooks use it: the same numbers as the run directory's, as tables; what is missing says so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import vgaudit
from vgaudit.errors import RunDirError, UsageError

SUITE = """
name: small
backend:
  - {name: drawn, type: storyworld, frames: 9}
  - {name: film, type: storyworld, frames: 9, look: film}
seeds: 2
metrics:
  temporal: {}
  likeness: {gallery: none}
gates:
  - {metric: temporal.warp_error, max: 0.000001, on: estimate, reason: <b>steady</b> & calm}
  - likeness.alert_rate <= 0.5
prompts:
  - {id: dog, text: a dog is running on the beach at sunset}
  - {id: ball, text: a red ball is rotating in a white studio}
  - {id: cup, text: a blue cup is sliding into view in a living room}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> vgaudit.Run:
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "suite.yaml").write_text(SUITE, encoding="utf-8")
    return vgaudit.run(folder / "suite.yaml", out=folder / "run", overrides=["seeds=1"])


def test_results_are_those_of_the_run(made: vgaudit.Run) -> None:
    stored = json.loads((made.path / "results.json").read_text("utf-8"))["results"]
    table = made.results
    assert len(table) == len(stored) > 4
    for row, result in zip(table.to_dict("records"), stored, strict=True):
        assert (row["result"], row["group"], row["status"]) == (
            result["name"],
            result["group"],
            result["status"],
        )
        for end in ("value", "low", "high"):
            assert row[end] == result[end] or (math.isnan(row[end]) and result[end] is None)
    assert made.groups == ("drawn", "film")
    assert made.verdict.exit_code == 3
    assert made.report.is_file()


def test_what_was_not_computed_has_no_number_and_a_reason(made: vgaudit.Run) -> None:
    table = made.results.set_index(["result", "group"])
    row = table.loc[("likeness.alert_rate", "drawn")]
    assert math.isnan(row["value"])
    assert row["status"] == "not applicable"
    assert row["reason"]
    outcomes = made.gates.groupby("gate")["outcome"].first()
    assert outcomes["temporal.warp_error <= 1e-06 on estimate"] == "failed"
    assert outcomes["likeness.alert_rate <= 0.5"] == "not computed"


def test_clips_have_the_values_of_the_measurements_table(made: vgaudit.Run) -> None:
    clips = made.clips
    assert len(clips) == 6
    long = pd.read_parquet(made.path / "measurements.parquet")
    for _, row in long.iterrows():
        value = clips.loc[row["sample_id"], row["metric"]]
        assert value == row["value"] or (math.isnan(value) and math.isnan(row["value"]))
    assert set(made.missing["value"]) == set(long[long["value"].isna()]["metric"])
    assert Path(clips["clip"].iloc[0]).is_file()
    assert clips["seed"].unique().tolist() == [0]


def test_series_of_a_clip(made: vgaudit.Run) -> None:
    sample = made.clips.index[0]
    series = made.series(sample)
    assert {"temporal.motion"} <= set(series["series"])
    assert series["time_s"].is_monotonic_increasing or series["series"].nunique() > 1
    with pytest.raises(UsageError, match="expected the id of a sample"):
        made.series("nothing")


def test_a_notebook_shows_names_as_text(made: vgaudit.Run) -> None:
    html = made._repr_html_()
    assert "<b>steady</b>" not in html
    assert "&lt;b&gt;steady&lt;/b&gt; &amp; calm" in html
    assert "FAILED" in html
    assert "not computed" in html
    ET.fromstring(html)  # well formed, so nothing of a name can open or close an element


def test_a_chart_has_a_row_for_each_group(made: vgaudit.Run, tmp_path: Path) -> None:
    chart = made.plot("temporal.warp_error")
    root = ET.fromstring(chart._repr_html_())
    assert len([e for e in root.iter() if e.get("class", "").startswith("forest tone")]) == 2
    assert "<svg" in chart.save(tmp_path / "chart.html").read_text("utf-8")
    with pytest.raises(UsageError, match=r"temporal\.warp_error"):
        made.plot("temporal.warp_eror")


def test_wrong_use_is_told(made: vgaudit.Run, tmp_path: Path) -> None:
    with pytest.raises(RunDirError):
        vgaudit.open_run(tmp_path)
    with pytest.raises(UsageError, match="a list of"):
        vgaudit.run("quickstart", out=tmp_path / "x", overrides="seeds=1")
    assert repr(vgaudit.open_run(made.path)) == f"<vgaudit run 'small' at {made.path}: failed>"
