from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

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
    for element in (root, *root):
        assert element.get("tests") == str(len(element.findall(".//testcase")))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(attribute) == str(len(element.findall(f".//{tag}")))


def test_a_census_has_a_case_per_clip(census_report: Written, tmp_path: Path) -> None:
    clips = _suites(write_junit(census_report.data, tmp_path / "junit.xml"))["clips"]
    answers = Counter(e.publish.decision for e in census_report.data.clips if e.publish)
    assert _tags(clips) == {
        "properties": 20,
        "failure": answers["hold"],
        "skipped": answers["review"],
        "system-out": answers["publish"],
    }


def test_clips_made_elsewhere_are_named_by_their_path(census_report: Written, tmp_path: Path) -> None:
    suites = _suites(write_junit(census_report.data, tmp_path / "junit.xml"))
    assert [case.get("name") for case in suites["clips"]] == [
        e.sample.source for e in census_report.data.clips
    ]
    for case, entry in zip(suites["clips"], census_report.data.clips, strict=True):
        (property_,) = case.findall("properties/property")
        assert property_.attrib == {"name": "sample_id", "value": entry.sample.sample_id}
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
    assert _tags(_suites(write_junit(data, tmp_path / "junit.xml"))["clips"]) == {"properties": 1, "error": 1}


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
    assert len(_suites(write_junit(data, tmp_path / "junit.xml"))) == 4
