"""Protocols stand beside names; numbers of different ones never stand side by side; empty slices share a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports.synthetic import build
from tests.reports.test_citation import result as cited
from vgaudit.cli.conclusion import print_conclusion
from vgaudit.errors import UsageError
from vgaudit.records import GateResult, Outcome, Result
from vgaudit.reports.citation import citation
from vgaudit.reports.data import ReportData
from vgaudit.reports.estimates import result_blocks
from vgaudit.reports.html import write_html
from vgaudit.reports.markdown import write_markdown
from vgaudit.reports.named import folded, label, require_one_protocol, size_note

WORDS = "twenty clips must do for this smoke test"


def distance(group: str, protocol: str = "fvd@storyworld", slice_: str = "", **detail: object) -> Result:
    facts = {**({"protocol": protocol} if protocol else {}), **detail}
    return Result(f"fvd.distance{slice_}", group, 8.2, 7.0, 9.4, 0.95, 20, 20, detail=facts)


def empty(tag: str, group: str = "a") -> Result:
    return Result.not_computed(f"fvd.distance@{tag}", group, f"few clips with {tag}")


@pytest.fixture
def run(tmp_path: Path) -> ReportData:
    return build(tmp_path / "run")


def shown(data: ReportData, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, str]:
    """Markdown, HTML and terminal."""
    markdown = write_markdown(data, folder / "summary.md").read_text("utf-8")
    html = write_html(data, folder / "report").read_text("utf-8")
    capsys.readouterr()
    print_conclusion(data, None, True)
    return markdown, html, capsys.readouterr().out


def test_the_protocol_and_the_words_of_the_suite_stand_beside_every_value(
    run: ReportData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = (
        distance("a", accepted_small_n=WORDS, small_n="20 clips"),
        distance("b", insufficient="20 clips"),
    )
    for text in shown(replace(run, results=results, gates=()), tmp_path, capsys):
        assert "fvd.distance (fvd@storyworld)" in text.replace("\\", "").replace("\u200b", "")
        assert f"few clips, accepted: {WORDS}" in text
        assert "too few clips: insufficient" in text


def test_without_a_protocol_a_name_is_a_name() -> None:
    assert label(distance("a", "")) == "fvd.distance"
    assert label(distance("a")) == "fvd.distance (fvd@storyworld)"
    assert size_note(distance("a")) == ""


def test_protocols_never_share_a_plot(run: ReportData) -> None:
    absent = Result.not_computed("fvd.distance", "c", "too few clips")
    results = (distance("a"), distance("b", "fvd@videogpt"), absent, distance("d"))
    blocks = result_blocks(replace(run, results=results, gates=()))
    assert [(block.label, [row.group for row in block.rows]) for block in blocks] == [
        ("fvd.distance (fvd@storyworld)", ["a", "c", "d"]),
        ("fvd.distance (fvd@videogpt)", ["b"]),
    ]


def test_protocols_are_not_cited_in_one_table(run: ReportData) -> None:
    assert require_one_protocol([distance("a"), distance("b")]) == "fvd@storyworld"
    assert require_one_protocol([]) == ""
    with pytest.raises(UsageError, match=r"of b by no named protocol"):
        require_one_protocol([distance("a"), distance("b", "")])
    two = (cited(), replace(cited(), group="b", detail={**cited().detail, "protocol": "fvd@videogpt"}))
    with pytest.raises(
        UsageError, match=r"by fvd@styleganv, fvd.distance of b by fvd@videogpt; compare within"
    ):
        list(citation(replace(run, results=two)))
    few = replace(cited(), detail={**cited().detail, "accepted_small_n": WORDS, "small_n": "20 clips"})
    assert f"FEW CLIPS (20 clips), accepted because: {WORDS}" in next(citation(replace(run, results=(few,))))


def test_slices_without_a_number_share_a_line(
    run: ReportData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = [empty(f"k={i}") for i in range(5)]
    results = [distance("a"), distance("a", slice_="@k=x"), *slices, empty("k=0", "b")]
    made = folded(results)
    assert [r.name for r in made] == [
        "fvd.distance",
        "fvd.distance@k=x",
        "fvd.distance@5 tags",
        "fvd.distance@k=0",
    ]
    assert made[2].reason == (
        "k=0: few clips with k=0; k=1: few clips with k=1; k=2: few clips with k=2; "
        "and 2 more, which results.json has"
    )
    kept = folded(results, ["fvd.distance@k=3"])
    assert [r.name for r in kept][2:4] == ["fvd.distance@4 tags", "fvd.distance@k=3"]
    gate = GateResult("fvd.distance@k=3 <= 5", "a", Outcome.NOT_COMPUTED, "few clips")
    for text in shown(replace(run, results=tuple(results), gates=(gate,)), tmp_path, capsys):
        assert "few clips with k=3" in text
        assert "4 tags" in text
        assert "few clips with k=4" not in text
