from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.reports.conftest import Written
from vgaudit.records import Outcome, Result, Verdict
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import markdown_text
from vgaudit.reports.markdown import write_markdown


@pytest.fixture(scope="module")
def summary(run_report: Written, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_markdown(run_report.data, tmp_path_factory.mktemp("md") / "summary.md").read_text("utf-8")


def test_verdict_gates_results_and_findings_are_there(summary: str) -> None:
    order = ["# ❌ Failed: fetv", "Exit code 3", "What would change it", "## Gates", "## Results"]
    order += ["## Samples without a usable clip", "## Worst findings (10 of 14)"]
    places = [summary.index(words) for words in order]
    assert places == sorted(places)
    assert "| temporal.warp_error | cogvideo | 0.0312 \\[0.0270, 0.0363\\] (95 % interval) |" in summary
    assert "not computed: weights i3d-kinetics400-styleganv are not here" in summary
    assert "(no interval: too few prompts for an interval)" in summary
    assert "lower is better | 18 | 18 |" in summary
    assert "❌ failed (warns only)" in summary


def test_every_table_row_has_the_cells_of_its_head(summary: str) -> None:
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert len(rows) > 40
    width = 0
    previous = ""
    for line in summary.splitlines():
        if not line.startswith("|"):
            previous = ""
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = cells if not previous else width
        assert cells == width, line
        previous = line


def test_no_markup_of_prompts_or_names_is_live(summary: str) -> None:
    assert "<" not in summary
    assert "javascript" in summary
    assert "[a](" not in summary
    assert "@someone" not in summary
    assert not re.search(r"(?<!\\)`", summary)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", summary)


def test_a_census_lists_answers_and_no_estimates(census_report: Written, tmp_path: Path) -> None:
    text = write_markdown(census_report.data, tmp_path / "summary.md").read_text("utf-8")
    answers = re.findall(r"^\| (\S+ (?:hold|review|publish)) \|", text, re.MULTILINE)
    assert len(answers) == 20
    assert answers == sorted(answers, key=lambda a: ["hold", "review", "publish"].index(a.split()[1]))
    assert "## Results" not in text
    assert "no rates, no bounds" in text
    for entry in census_report.data.clips:
        assert entry.sample.source
        assert f"| {markdown_text(entry.sample.source)} |" in text
        assert entry.sample.sample_id not in text


def test_long_tables_are_cut_and_say_so(run_report: Written, tmp_path: Path) -> None:
    results = tuple(Result.not_computed("a.b", f"g{i}", f"no weights {i}") for i in range(250))
    data = dataclasses.replace(run_report.data, results=results)
    text = write_markdown(data, tmp_path / "summary.md").read_text("utf-8")
    assert "150 more rows are in the report." in text
    assert text.count("no weights") == 100


def test_what_nothing_was_computed_of_is_one_row_with_one_reason(run_report: Written, tmp_path: Path) -> None:
    names = [f"fvd.{value}" for value in "abc"]
    results = [Result.not_computed(n, g, "no weights") for n in names for g in ("x", "y")]
    results.append(Result.not_computed("clip.score", "x", "no weights", unit="%"))
    data = dataclasses.replace(run_report.data, results=tuple(results), gates=())
    text = write_markdown(data, tmp_path / "summary.md").read_text("utf-8")
    assert text.count("no weights") == 2
    assert "| fvd (3 values) | all 2 | not computed: no weights |" in text
    assert "| clip.score | x | not computed: no weights |" in text


def test_the_direction_of_what_is_not_computed_is_the_declared_one(
    run_report: Written, tmp_path: Path
) -> None:
    results = (
        Result(
            "fvd.distance",
            "x",
            1.0,
            n=3,
            higher_is_better=False,
            reason="no interval: one clip cannot show it",
        ),
        Result.not_computed("fvd.distance", "y", "no clip"),
    )
    data = dataclasses.replace(run_report.data, results=results, gates=())
    text = write_markdown(data, tmp_path / "summary.md").read_text("utf-8")
    assert "no better direction" not in text
    assert "1 (no interval: one clip cannot show it)" in text


def test_an_empty_run_has_a_summary(tmp_path: Path) -> None:
    data = ReportData(
        tmp_path, "run", "x", {}, (), (), (), Verdict(Outcome.NOT_COMPUTED, 4, "nothing was made")
    )
    text = write_markdown(data, tmp_path / "deep" / "summary.md").read_text("utf-8")
    assert text.startswith("# ❔ Not computed: x\n\nnothing was made. Exit code 4.")
