"""Comparisons between the groups of a whole run: stored with its results, kept by gates, and absent in old runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clips import clip_folder, write_suite
from vgaudit.paired import PairedDifference
from vgaudit.pipeline.finish import hold_again, read_report_data
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.reports.write import write_reports
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    suite = write_suite(
        folder / "s.yaml", clip_folder(folder / "clips"), "gates: ['temporal.warp_error <= 0.9']\n"
    )
    assert execute(prepare(load_suite(suite)), folder / "run", workers=1) is not None
    return folder / "run"


def test_results_hold_the_comparisons(finished: Path) -> None:
    stored = json.loads((finished / "results.json").read_text())
    made = stored["comparisons"]
    assert {(d["group"], d["reference"]) for d in made["differences"]} == {("beta", "alpha")}
    compared = {d["name"] for d in made["differences"]}
    assert "temporal.warp_error" in compared
    assert "integrity.frames" not in compared  # a fact of a clip, which groups have no estimate of
    assert "integrity.ok_rate" in made["not_paired"]
    for entry in made["differences"]:
        found = PairedDifference.from_json(entry)
        assert found.status == "not computed"
        assert found.n_prompts == 3 or found.reason.startswith("both groups: ")
    assert made["family"] == 0
    page = (finished / "report" / "index.html").read_text("utf-8")
    assert "only 3 prompts have a value in both groups; expected 6 or more" in page


def test_holding_gates_again_keeps_them_and_an_old_run_is_still_reported(finished: Path) -> None:
    run = RunDir.open(finished)
    before = run.results()
    hold_again(run)
    assert run.results()["comparisons"] == before["comparisons"]
    run.write_results({k: v for k, v in before.items() if k != "comparisons"})
    data = read_report_data(run)
    assert data.comparisons is None
    page = write_reports(data).read_text("utf-8")
    assert "did not compare groups" in page
    run.write_results(before)
    assert read_report_data(run).comparisons == before["comparisons"]
