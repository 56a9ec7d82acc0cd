from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.reports import synthetic_likeness
from tests.reports.conftest import Written
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, Finding, GateResult, Measurement, Outcome, Result, Severity, Verdict
from vgaudit.reports.data import ClipEntry, PublishDecision, ReportData
from vgaudit.reports.escaping import markdown_text
from vgaudit.reports.junit import write_junit
from vgaudit.reports.markdown import MOST_BYTES, write_markdown


@pytest.fixture(scope="module")
def summary(run_report: Written, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_markdown(run_report.data, tmp_path_factory.mktemp("md") / "summary.md").read_text("utf-8")


def test_verdict_gates_results_and_findings_are_there(summary: str) -> None:
    order = ["# ❌ Failed: fetv", "Exit code 3", "What would change it", "## Gates", "## Results"]
    order += ["## Samples without a usable clip", "## Worst findings (all)"]
    places = [summary.index(words) for words in order]
    assert places == sorted(places)
    assert "| temporal.warp_error | cogvideo | 0.0312 \\[0.0270, 0.0363\\] (95 % interval) |" in summary
    assert "not computed: weights i3d-kinetics400-styleganv are not here" in summary
    assert "(no interval: too few prompts for an interval)" in summary
    assert "lower is better | 18 | 18 |" in summary
    assert "❌ failed (warns only)" in summary


def _tables_are_whole(text: str) -> None:
    """Every row of a table has as many cells as its head, and the second row is the rule."""
    table: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table}
        assert len(widths) <= 1, table
        assert not table or re.fullmatch(r"\|(?: -{3}:? \|)+", table[1])
        table = []


def _nothing_is_live(text: str) -> None:
    """No HTML, code, link, mention, reference or control character of the texts of the run."""
    assert "<" not in text
    assert "[a](" not in text
    assert not re.search(r"@\w|(?<!&)#\d|\bGH-\d|www\.", text)
    assert not re.search(r"(?<!\\)(?:\\\\)*`", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]", text)
    heads = [line for line in text.split("\n") if line.startswith("#")]
    assert all(re.match(r"# \S+ |## (?:Gates|Results|Answer|Samples|Worst)", head) for head in heads)


def test_every_table_row_has_the_cells_of_its_head(summary: str) -> None:
    assert len([line for line in summary.splitlines() if line.startswith("|")]) > 40
    _tables_are_whole(summary)


def test_no_markup_of_prompts_or_names_is_live(summary: str) -> None:
    assert "javascript" in summary
    _nothing_is_live(summary)


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


HOSTILE = (
    "</td><img src=x onerror=alert(1)>|`code`|@octocat #12 GH-12 www.example.invalid\n# head\r\n| x | \x00\x1b[31m "
    "\u202eevil\u202c \ud83d \U0001f415 [a](javascript:x) <!-- --> &amp; \\| ~~~"
)


def _extreme(tmp_path: Path, prompt: str, n: int, kind: Literal["run", "census"] = "run") -> ReportData:
    """``n`` clips whose texts are all ``prompt``, every second one broken, with gates and results to match."""
    clips = []
    for i in range(n):
        found = tuple(
            Finding(f"s{i}", f"temporal.{prompt[:300]}{k}", Severity.MAJOR, k, k + 1, 2.0, 1.0, prompt)
            for k in range(2)
        )
        broken = i % 2 == 0
        clips.append(
            ClipEntry(
                Sample(f"s{i}", f"p{i}", prompt, prompt[:500] + str(i % 300), seed=i, source=prompt[:400]),
                ClipRecord(f"s{i}", "error" if broken else "ok", prompt if broken else ""),
                {} if broken else {"temporal": Measurement(values={"x": 1.0}, findings=found)},
                PublishDecision("hold", (prompt[:500],) * 9) if kind == "census" else None,
            )
        )
    gates = tuple(GateResult(f"a.b <= {i} {prompt}", prompt, Outcome.FAILED, prompt) for i in range(200))
    results = tuple(
        Result.not_computed(f"m{i}.b", f"{prompt}{g}", prompt, unit=prompt)
        for i in range(150)
        for g in range(2)
    )
    verdict = Verdict(Outcome.FAILED, 3, prompt)
    return ReportData(tmp_path, kind, prompt, {}, tuple(clips), results, gates, verdict, (prompt,) * 50)


@pytest.mark.parametrize(
    ("prompt", "n", "kind"),
    [
        pytest.param("a plain prompt " * 667, 5000, "run", id="5,000 clips"),
        pytest.param(HOSTILE * 20, 200, "run", id="hostile"),
        pytest.param(HOSTILE * 20, 200, "census", id="hostile census"),
        pytest.param("\U0001f415" * 10_000, 200, "run", id="four bytes each"),
        pytest.param("<" * 10_000, 200, "census", id="all escaped"),
        pytest.param("_ * _ |" * 1430, 200, "run", id="all markup"),
    ],
)
def test_the_summary_stays_small_whatever_the_run(
    tmp_path: Path, prompt: str, n: int, kind: Literal["run", "census"]
) -> None:
    path = write_markdown(_extreme(tmp_path, prompt, n, kind), tmp_path / "summary.md")
    raw = path.read_bytes()
    assert 20_000 < len(raw) <= MOST_BYTES
    text = raw.decode("utf-8")  # no half characters
    worst = text.partition("## Worst findings (20 of ")[2]
    assert len(re.findall(r"^\| major \|", worst, re.MULTILINE)) == 20
    assert "more rows are in the report." in text
    assert "38 more are in the report" in text
    _tables_are_whole(text)
    _nothing_is_live(text)


def test_an_empty_run_has_a_summary(tmp_path: Path) -> None:
    data = ReportData(
        tmp_path, "run", "x", {}, (), (), (), Verdict(Outcome.NOT_COMPUTED, 4, "nothing was made")
    )
    text = write_markdown(data, tmp_path / "deep" / "summary.md").read_text("utf-8")
    assert text.startswith("# ❔ Not computed: x\n\nnothing was made. Exit code 4.")


def test_files_that_leave_the_desk_name_nobody_of_the_gallery(tmp_path: Path) -> None:
    data = synthetic_likeness.build(tmp_path)
    for made in (write_markdown(data, tmp_path / "summary.md"), write_junit(data, tmp_path / "junit.xml")):
        text = made.read_text("utf-8")
        assert "person 1" in text, made
        for name in ("jane_example", "jane example", "jane-example", "ordinary-person"):
            assert name not in text.lower().replace("\\", ""), made
