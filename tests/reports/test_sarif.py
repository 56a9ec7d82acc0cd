"""report.sarif: valid by the schema of the standard, at the prompts' lines, and naming nobody."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from tests.reports import synthetic_likeness
from tests.reports.conftest import Written
from vgaudit.decision_words import Decision, standing
from vgaudit.decisions import ReviewPolicy
from vgaudit.plan import Sample
from vgaudit.records import ClipRecord, Finding, GateResult, Measurement, Outcome, Severity, Verdict
from vgaudit.reports import sarif
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.finding_words import kind_words
from vgaudit.reports.prompt_places import prompt_places, suite_file
from vgaudit.reports.sarif import write_sarif

SCHEMA = Path(__file__).resolve().parents[1] / "data" / "sarif" / "sarif-2.1.0-rtm.5.json"
SUITE = """\
# a comment
name: lines
prompts:
  - a red ball
  - {id: blue, text: "a blue: ball"}
  - id: long
    text: >
      folded
      text
"""
PASSED = Verdict(Outcome.PASSED, 0, "all gates passed")


@cache
def _validator() -> Draft4Validator:
    return Draft4Validator(json.loads(SCHEMA.read_text("utf-8")))


def _run(data: ReportData, folder: Path) -> dict[str, Any]:
    """The one run of the written file, which the schema accepts."""
    path = write_sarif(data, folder / "report.sarif")
    document = json.loads(path.read_text("utf-8"))
    assert [error.message for error in _validator().iter_errors(document)] == []
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    return dict(run)


def _data(folder: Path, *clips: ClipEntry, **changed: Any) -> ReportData:
    manifest = {
        "suite": {"name": "lines", "path": "suites/lines.yaml", "text": SUITE, "overrides": []},
        "spec": {"base_dir": "/nowhere/suites"},
        "provenance": {"vgaudit": "1.2.3"},
    }
    data = ReportData(folder, "run", "lines", manifest, clips, (), (), PASSED)
    return dataclasses.replace(data, **changed)


def _entry(n: int, prompt_id: str, prompt: str, *findings: Finding, metric: str = "temporal") -> ClipEntry:
    record = ClipRecord(f"s{n}", "ok", file=f"clips/s{n}.mp4")
    return ClipEntry(
        Sample(f"s{n}", prompt_id, prompt, "model"), record, {metric: Measurement(findings=findings)}
    )


def _finding(
    n: int, kind: str = "temporal.freeze", severity: Severity = Severity.MAJOR, **more: Any
) -> Finding:
    told = {"message": "It stands still.", "fingerprint": f"{n:032x}", **more}
    return Finding(f"s{n}", kind, severity, 0.5, 1.25, 3.0, 2.0, **told)


def test_a_run_is_valid_and_complete(run_report: Written, tmp_path: Path) -> None:
    run = _run(run_report.data, tmp_path)
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("vgaudit", "0.1.0")
    wanted = [f for e in run_report.data.clips for f in e.findings if f.severity is not Severity.INFO]
    assert len(run["results"]) == len(wanted) == 14
    rules = [rule["id"] for rule in driver["rules"]]
    assert rules == sorted({f.kind for f in wanted})
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert "helpUri" not in rule
    ranks = []
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert "baselineState" not in result
        ranks.append(Severity(result["properties"]["severity"]).rank)
    assert ranks == sorted(ranks, reverse=True)
    invocation = run["invocations"][0]
    assert invocation["exitCode"] == 3
    assert not invocation["executionSuccessful"]  # gates were not computed and clips are unusable
    told = [(n["descriptor"]["id"], n["level"]) for n in invocation["toolExecutionNotifications"]]
    assert told.count(("gate-failed", "warning")) == 2
    assert told.count(("gate-failed", "note")) == 1  # it only warns
    assert told.count(("gate-not-computed", "error")) == 2
    assert told.count(("clips-unusable", "error")) == 1


def test_a_census_stands_at_its_clips(census_report: Written, tmp_path: Path) -> None:
    data = dataclasses.replace(census_report.data, manifest={})
    run = _run(data, tmp_path)
    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]}
    assert "in/%3Cb%3E0%3C/b%3E.mp4" in uris


@pytest.mark.parametrize(
    ("severity", "level"),
    [("minor", "note"), ("major", "warning"), ("review", "warning"), ("alert", "error")],
)
def test_levels_follow_severities(tmp_path: Path, severity: str, level: str) -> None:
    entry = _entry(0, "p", "x", _finding(0, severity=Severity(severity)), _finding(0, severity=Severity.INFO))
    (result,) = _run(_data(tmp_path, entry), tmp_path)["results"]
    assert result["level"] == level
    assert result["partialFingerprints"] == {"vgaudit/v1": "0" * 32}
    (related,) = result["relatedLocations"]
    assert related["physicalLocation"]["artifactLocation"] == {"uri": "clips/s0.mp4", "uriBaseId": "RUN"}
    assert (related["properties"]["start_s"], related["properties"]["end_s"]) == (0.5, 1.25)


def test_findings_stand_at_the_lines_of_their_prompts(tmp_path: Path) -> None:
    from vgaudit.index import prompt_id_of

    red = _entry(0, prompt_id_of("a red ball"), "a red ball", _finding(0))
    blue = _entry(1, "blue", "a blue: ball", _finding(1))
    folded = _entry(2, "long", "folded text\n", _finding(2))
    other = _entry(3, "blue", "a prompt that the suite does not have", _finding(3))
    run = _run(_data(tmp_path, red, blue, folded, other), tmp_path)
    places = {}
    for result in run["results"]:
        physical = result["locations"][0]["physicalLocation"]
        assert physical["artifactLocation"] == {"uri": "suites/lines.yaml", "uriBaseId": "%SRCROOT%"}
        region = physical.get("region", {})
        places[result["partialFingerprints"]["vgaudit/v1"][-1]] = (
            region.get("startLine"),
            region.get("startColumn"),
        )
    lines = SUITE.splitlines()
    assert places["0"] == (lines.index("  - a red ball") + 1, 5)
    assert places["1"] == (5, lines[4].index('"a blue') + 1)
    assert places["2"][0] == 7
    assert places["3"] == (None, None)  # no line is better than a wrong one


def test_prompts_put_there_by_set_or_by_a_broken_suite_have_no_line(tmp_path: Path) -> None:
    data = _data(tmp_path)
    assert len(prompt_places(data)) == 3
    suite = {**data.manifest["suite"], "overrides": ["prompts=[a red ball]"]}
    assert prompt_places(dataclasses.replace(data, manifest={**data.manifest, "suite": suite})) == {}
    suite = {**data.manifest["suite"], "text": "a: [b"}
    assert prompt_places(dataclasses.replace(data, manifest={**data.manifest, "suite": suite})) == {}


def test_a_file_of_prompts_is_the_location_while_it_holds_them(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("id,prompt\none,a red ball\ntwo,a blue ball\n")
    manifest = {
        "suite": {"name": "x", "path": "/home/somebody/x.yaml", "text": "prompts: prompts.csv\n"},
        "spec": {"base_dir": str(tmp_path)},
    }
    data = _data(tmp_path, manifest=manifest)
    assert suite_file(data) == "x.yaml"  # nothing of the machine
    found = prompt_places(data)
    assert found["two", "a blue ball"].line == 3
    assert found["two", "a blue ball"].file == "prompts.csv"
    assert ("two", "a green ball") not in found
    (tmp_path / ".git").mkdir()
    (tmp_path / "prompts.csv").write_text("broken")
    assert prompt_places(data) == {}
    assert suite_file(data) == "x.yaml"


def test_paths_begin_at_the_root_of_the_checkout(tmp_path: Path) -> None:
    folder = tmp_path / "repo" / "deep" / "suites"
    folder.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    manifest = {"suite": {"path": str(folder / "x.yaml"), "text": ""}, "spec": {"base_dir": str(folder)}}
    assert suite_file(_data(tmp_path, manifest=manifest)) == "deep/suites/x.yaml"


def _decision(verb: str, code: str, author: str, seq: int = 1, expires: str | None = None) -> Decision:
    return Decision(
        seq,
        f"2026-11-0{seq}T10:00:00+00:00",
        author,
        verb,
        "f",
        "c",
        "temporal.freeze",
        code,
        "ab" * 32,
        expires,
        "p",
    )


@pytest.mark.parametrize(
    ("made", "severity", "expected"),
    [
        ([("dismiss", "acceptable", "Ann")], "major", ("accepted", "dismissed: it is there and may stay")),
        ([("clear", "consent_on_file", "Ann", 1, "2027-01-01")], "major", ("accepted", "cleared: consent on file")),
        (
            [("dismiss", "not_this_person", "Ann")], "alert",
            ("underReview", "awaiting a second person, dismissed: not this person"),
        ),
        (
            [("dismiss", "not_this_person", "Ann"), ("dismiss", "generic_face", "Bob", 2)], "alert",
            ("accepted", "dismissed: a face like many, nobody in particular"),
        ),
        ([("dismiss", "acceptable", "Ann", 1, "2026-11-10")], "major", None),  # expired
        ([("confirm", "defect", "Ann")], "major", None),
        ([("dismiss", "acceptable", "Ann"), ("reopen", "mistake", "Bob", 2)], "major", None),
        ([("dismiss", "Ann told me so", "Ann")], "major", ("accepted", "dismissed: another reason")),
    ],
)  # fmt: skip
def test_suppressions_are_decisions_without_their_authors(
    tmp_path: Path, made: list[Any], severity: str, expected: tuple[str, str] | None
) -> None:
    decisions = tuple(_decision(*each) for each in made)
    at = standing(decisions, Severity(severity), ReviewPolicy(), date(2026, 11, 20))
    entry = _entry(0, "p", "x", _finding(0, severity=Severity(severity)))
    run = _run(_data(tmp_path, entry, decisions={"0" * 32: at}), tmp_path)
    (result,) = run["results"]
    if expected is None:
        assert result["suppressions"] == []
    else:
        status, words = expected
        assert result["suppressions"] == [{"kind": "external", "status": status, "justification": words}]
    text = (tmp_path / "report.sarif").read_text()
    assert "Ann" not in text
    assert "Bob" not in text
    assert "ab" * 32 not in text


def test_nobody_is_named(tmp_path: Path) -> None:
    """Ids of entries, however spelled, prompts, and file names made from a prompt that names somebody."""
    match = _finding(
        0, "likeness.solicited", Severity.REVIEW, detail={"entry": "jane_doe", "intent": "solicited"},
        message="A face resembles gallery entry 'jane_doe', whom the prompt names: portrait of Jane Doe, smiling.",
    )  # fmt: skip
    named = _entry(0, "portrait-of-jane-doe", "portrait of Jane Doe, smiling", match, metric="likeness")
    sample = dataclasses.replace(named.sample, sample_id="s0", source="in/secret-name.mp4")
    named = dataclasses.replace(named, sample=sample)
    beside = _entry(
        1,
        "q",
        "a crowd at noon in the rain",
        _finding(1, message="Jane-Doe again: a crowd at noon in the rain"),
    )
    gate = GateResult("likeness.match == 0", "model", Outcome.FAILED, "1 match: JANE DOE in s0")
    data = _data(
        tmp_path, named, beside, gates=(gate,), verdict=Verdict(Outcome.FAILED, 3, "jane_doe was seen")
    )
    run = _run(data, tmp_path)
    text = (tmp_path / "report.sarif").read_text("utf-8").casefold()
    for secret in ("jane", "doe", "portrait", "secret-name", "crowd at noon", "s0.mp4"):
        assert secret not in text
    assert "person 1" in text
    by_rule = {r["ruleId"]: r for r in run["results"]}
    solicited = by_rule["likeness.solicited"]["relatedLocations"][0]["physicalLocation"]["artifactLocation"]
    assert solicited == {"uri": "manifest.json", "uriBaseId": "RUN"}
    clip = by_rule["temporal.freeze"]["relatedLocations"][0]["physicalLocation"]["artifactLocation"]
    assert clip["uri"] == "clips/s1.mp4"


def test_the_likeness_run_of_the_reports_names_nobody(tmp_path: Path) -> None:
    data = dataclasses.replace(synthetic_likeness.build(tmp_path), decisions={})
    run = _run(data, tmp_path)
    entries = {str(f.detail["entry"]) for e in data.clips for f in e.findings if "entry" in f.detail}
    assert len(entries) > 1
    text = json.dumps(run)
    assert [entry for entry in entries if entry in text] == []


def test_hostile_text_is_valid_and_short(tmp_path: Path) -> None:
    hostile = "<script>\x00\x1b[31m\ud83d\u202e\"'\\ \U0001f415" * 600
    entry = _entry(0, "p", hostile, _finding(0, kind=f"x.{hostile[:40]}", message=hostile))
    finding = dataclasses.replace(entry.findings[0], score=float("inf"))
    entry = _entry(0, "p", hostile, finding)
    run = _run(_data(tmp_path, entry, name=hostile, verdict=Verdict(Outcome.FAILED, 3, hostile)), tmp_path)
    (result,) = run["results"]
    assert len(result["message"]["text"]) <= 1000
    assert result["properties"]["score"] is None
    assert run["automationDetails"]["id"].startswith("vgaudit/")


def _many(folder: Path, n: int, noise: int = 0) -> ReportData:
    rng = random.Random(0)
    findings = tuple(
        _finding(
            0,
            severity=Severity.ALERT if i == n - 1 else Severity.MINOR,
            message=f"{i} {rng.randbytes(noise).hex()}",
        )
        for i in range(n)
    )  # fmt: skip
    return _data(folder, _entry(0, "p", "x", *findings))


def test_what_code_hosts_refuse_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_RESULTS", 30)
    run = _run(_many(tmp_path, 40), tmp_path)
    assert len(run["results"]) == 30
    assert run["results"][0]["level"] == "error"  # the worst is kept
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told["descriptor"]["id"] == "results-cut"
    assert told["message"]["text"].startswith("10 of 40 findings are left out")
    monkeypatch.setattr(sarif, "SHOWN_BY_GITHUB", 10)
    run = _run(_many(tmp_path, 20), tmp_path)
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "shows the worst 10" in told["message"]["text"]


def test_the_file_is_cut_to_what_may_be_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_ZIPPED_BYTES", 20_000)
    run = _run(_many(tmp_path, 200, noise=300), tmp_path)
    assert 10 < len(run["results"]) < 100
    assert len(gzip.compress((tmp_path / "report.sarif").read_bytes())) < 21_000
    assert "left out" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_every_kind_of_the_built_in_metrics_has_words() -> None:
    from vgaudit.metrics import integrity, likeness, prompt_alignment, temporal

    kinds = [
        *integrity.Integrity.finding_kinds, *likeness.Likeness.finding_kinds,
        *prompt_alignment.PromptAlignment.finding_kinds, *temporal.Temporal.finding_kinds,
    ]  # fmt: skip
    assert len(kinds) > 25
    assert [k for k in kinds if "does not come with vgaudit" in kind_words(k).full] == []
    assert "does not come with vgaudit" in kind_words("mine.odd_thing").full
    assert kind_words("mine.odd_thing").short == "Odd thing"
