from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reports.conftest import Written
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, GateResult, Outcome, Verdict
from vgaudit.reports.data import ClipEntry, PublishDecision, ReportData
from vgaudit.reports.junit import write_junit

ANY_TEXT = st.text(st.characters(), max_size=40)


def _suites(path: Path) -> dict[str, ET.Element]:
    return {suite.get("name", ""): suite for suite in ET.parse(path).getroot()}


def _tags(suite: ET.Element) -> Counter[str]:
    return Counter(child.tag for case in suite for child in case)


def test_gates_and_broken_samples_are_cases(run_report: Written, tmp_path: Path) -> None:
    suites = _suites(write_junit(run_report.data, tmp_path / "junit.xml"))
    gates = suites["gates"]
    assert len(gates) == len(run_report.data.gates)
    assert _tags(gates) == {"failure": 2, "error": 2, "skipped": 1, "system-out": 5}
    assert "not computed: insufficient evidence" in ET.tostring(gates, "unicode")
    samples = suites["samples"]
    assert [case.get("name", "").split("-")[0] for case in samples] == ["rtl", "kite"]
    assert _tags(samples) == {"error": 2}
    assert _tags(suites["verdict"]) == {"failure": 1}


def test_counts_agree_with_the_cases(run_report: Written, tmp_path: Path) -> None:
    root = ET.parse(write_junit(run_report.data, tmp_path / "junit.xml")).getroot()
    assert root.get("skipped") is None
    for element in (root, *root):
        assert element.get("tests") == str(len(element.findall(".//testcase")))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if element is root and tag == "skipped":
                continue
            assert element.get(attribute) == str(len(element.findall(f".//{tag}")))


def test_a_census_has_a_case_per_clip(census_report: Written, tmp_path: Path) -> None:
    clips = _suites(write_junit(census_report.data, tmp_path / "junit.xml"))["clips"]
    answers = Counter(e.publish.decision for e in census_report.data.clips if e.publish)
    assert _tags(clips) == {
        "system-out": 20,
        "failure": answers["hold"],
        "skipped": answers["review"],
    }


def test_clips_made_elsewhere_are_named_by_their_path(census_report: Written, tmp_path: Path) -> None:
    suites = _suites(write_junit(census_report.data, tmp_path / "junit.xml"))
    assert [case.get("name") for case in suites["clips"]] == [
        e.sample.source for e in census_report.data.clips
    ]
    for case, entry in zip(suites["clips"], census_report.data.clips, strict=True):
        assert (case.findtext("system-out") or "").splitlines()[-1] == f"sample_id: {entry.sample.sample_id}"
    (broken, undecodable) = suites["samples"]
    assert (broken.get("name"), undecodable.get("name")) == ("in/<b>7</b>.mp4", "in/<b>13</b>.mp4")
    error = broken.find("error")
    assert error is not None
    assert (error.text or "").startswith("no clip: CUDA out of memory")


@pytest.mark.parametrize(
    ("verdict", "tag"),
    [
        (Verdict(Outcome.PASSED, 0, "all gates passed"), None),
        (Verdict(Outcome.FAILED, 3, "a gate failed"), "failure"),
        (Verdict(Outcome.NOT_COMPUTED, 4, "3 samples failed"), "error"),
        (Verdict(Outcome.PASSED, 1, "passed, but something broke"), "error"),
    ],
)
def test_a_run_that_did_not_pass_is_never_green(tmp_path: Path, verdict: Verdict, tag: str | None) -> None:
    data = ReportData(tmp_path, "run", "x", {}, (), (), (), verdict)
    suites = _suites(write_junit(data, tmp_path / "junit.xml"))
    assert [child.tag for child in suites["verdict"][0]] == ([tag] if tag else [])


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        ("refused_input", "skipped"),
        ("refused_output", "skipped"),
        ("pending", "error"),
        ("retry_after", "error"),
    ],
)
def test_refused_samples_are_skipped_and_unfinished_ones_are_errors(
    tmp_path: Path, outcome: str, tag: str
) -> None:
    clip = ClipEntry(Sample("s", "p", "text", "g"), ClipRecord("s", outcome, "because"))
    data = ReportData(tmp_path, "run", "x", {}, (clip,), (), (), Verdict(Outcome.PASSED, 0, "no gates"))
    samples = _suites(write_junit(data, tmp_path / "junit.xml"))["samples"]
    assert _tags(samples) == {tag: 1}
    assert "because" in ET.tostring(samples, "unicode")


def test_an_unanswered_clip_is_an_error(census_report: Written, tmp_path: Path) -> None:
    first = dataclasses.replace(census_report.data.clips[0], publish=None)
    data = dataclasses.replace(census_report.data, clips=(first,))
    assert _tags(_suites(write_junit(data, tmp_path / "junit.xml"))["clips"]) == {"system-out": 1, "error": 1}


# What the schema of Jenkins' xunit plugin (junit-10.xsd) allows, as far as GitLab and GitHub read it too.
ALLOWED: dict[
    str, tuple[set[str], set[str], set[str]]
] = {  # element: children, attributes it must and may have
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": ({"testcase"}, {"name", "tests", "failures", "errors"}, {"time", "skipped"}),
    "testcase": ({"skipped", "error", "failure", "system-out"}, {"name"}, {"classname", "time"}),
    "skipped": (set(), set(), {"message"}),
    "error": (set(), set(), {"message", "type"}),
    "failure": (set(), set(), {"message", "type"}),
    "system-out": (set(), set(), set()),
}


def _conforms(path: Path) -> None:
    """Structure, times, one outcome a case, and names that no two cases share."""
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    for element in root.iter():
        children, must, may = ALLOWED[element.tag]
        assert {child.tag for child in element} <= children
        assert must <= set(element.attrib) <= must | may
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    assert all(classname and name for classname, name in names)
    for case in root.iter("testcase"):
        assert sum(child.tag != "system-out" for child in case) <= 1
        assert len(case.findall("system-out")) <= 1


def test_only_what_all_readers_know_is_written(
    run_report: Written, census_report: Written, tmp_path: Path
) -> None:
    for report in (run_report, census_report):
        _conforms(write_junit(report.data, tmp_path / "junit.xml"))


def test_cases_of_one_name_stay_apart(tmp_path: Path) -> None:
    gates = tuple(
        GateResult("a.b <= 1" + "x" * 3000, "g", outcome, "because")
        for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.NOT_COMPUTED)
    )
    data = ReportData(tmp_path, "run", "x", {}, (), (), gates, Verdict(Outcome.FAILED, 3, "no"))
    path = write_junit(data, tmp_path / "junit.xml")
    _conforms(path)
    names = [case.get("name", "") for case in _suites(path)["gates"]]
    assert [name[-4:] for name in names[1:]] == [" (2)", " (3)"]


def test_times_are_those_of_the_last_pass(run_report: Written, tmp_path: Path) -> None:
    root = ET.parse(write_junit(run_report.data, tmp_path / "junit.xml")).getroot()
    assert root.get("time") == "77.523"  # 73.4 s of scoring and 4.123 s of sums
    assert sum(float(case.get("time", "x")) for case in root.iter("testcase")) == pytest.approx(77.523)


@pytest.mark.parametrize(
    ("outcome", "severity", "tag"),
    [
        (Outcome.FAILED, "fail", "failure"),
        (Outcome.NOT_COMPUTED, "fail", "error"),
        (Outcome.FAILED, "warn", "skipped"),
        (Outcome.NOT_COMPUTED, "warn", "skipped"),
        (Outcome.PASSED, "warn", "system-out"),
    ],
)
def test_a_gate_that_only_warns_breaks_no_build(
    tmp_path: Path, outcome: Outcome, severity: Literal["fail", "warn"], tag: str
) -> None:
    gate = GateResult("a.b <= 1", "g", outcome, "because", severity)
    data = ReportData(tmp_path, "run", "x", {}, (), (), (gate,), Verdict(Outcome.PASSED, 0, "fine"))
    assert _tags(_suites(write_junit(data, tmp_path / "junit.xml"))["gates"]) == {tag: 1}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_text_gives_valid_xml(tmp_path: Path, name: str, group: str, reason: str) -> None:
    gate = GateResult(f"a.b <= 1 {name}", group, Outcome.FAILED, reason)
    clip = ClipEntry(
        Sample(name, "p", name, group),
        ClipRecord(name, "error", reason),
        {},
        PublishDecision("hold", (reason,)),
    )
    data = ReportData(tmp_path, "census", name, {}, (clip,), (), (gate,), Verdict(Outcome.FAILED, 3, reason))
    path = write_junit(data, tmp_path / "junit.xml")
    assert len(_suites(path)) == 4
    _conforms(path)
