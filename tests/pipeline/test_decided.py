"""Decisions in whole runs: gates count what is open, reports tell of it, a damaged chain passes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.clips import moving_square as square
from tests.clips import write_clip
from tests.decided_runs import GATE, finished, likeness_suite
from vgaudit import decisions
from vgaudit.decisions import OPEN, ReviewPolicy, Standing, State, Verb
from vgaudit.errors import RunDirError, UsageError
from vgaudit.metrics.base import ClipView
from vgaudit.metrics.temporal import Temporal
from vgaudit.pipeline.deciding import apply, decide, open_desk, take_in
from vgaudit.pipeline.finish import read_report_data, regate
from vgaudit.pipeline.prepare import census_suite, prepare
from vgaudit.pipeline.publish import decide as answer
from vgaudit.pipeline.run import execute, score_run
from vgaudit.pipeline.runspec import RunSpec
from vgaudit.records import ClipRecord, Finding, Measurement, Outcome, Severity
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent.parent
LATER = date(2999, 1, 1)


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(likeness_run_dir, tmp_path / "run")
    return tmp_path / "run"


def close_all(run: Path, author: str = "Ann", expires: date | None = None) -> None:
    for listed in open_desk(run).findings:
        decide(
            run,
            Verb.DISMISS,
            listed.finding.fingerprint,
            reason="not_this_person",
            author=author,
            expires=expires,
        )


def gate(run: Path) -> tuple[str, str]:
    """Outcome and reason of the gate on matches, held now."""
    opened = RunDir.open(run)
    held = regate(opened, RunSpec.from_json(opened.manifest()["spec"]).gates, 0)
    return held.gates[0].outcome.value, held.gates[0].reason


def test_gates_count_open_findings_and_say_how_many_are_closed(run: Path) -> None:
    assert gate(run)[0] == "failed"
    one, *_ = open_desk(run).findings
    listed, _ = decide(run, Verb.DISMISS, "1", reason="generic_face", author="Ann", note="Like many.")
    assert (listed.finding, listed.standing.state) == (one.finding, State.DISMISSED)
    assert gate(run) == ("failed", gate(run)[1])
    assert "3 open findings, 0 allowed" in gate(run)[1]
    assert "1 closed by decisions" in gate(run)[1]
    close_all(run)
    assert gate(run)[0] == "passed"
    assert "4 closed by decisions" in gate(run)[1]
    for verb, reason in ((Verb.CONFIRM, "same_person"), (Verb.ESCALATE, "legal"), (Verb.REOPEN, "mistake")):
        decide(run, verb, one.finding.fingerprint[:6], reason=reason, author="Bob")
        assert gate(run)[0] == "failed"
        assert "1 open finding, 0 allowed" in gate(run)[1]
    with pytest.raises(UsageError, match="expected a decision to withdraw"):
        decide(run, Verb.REOPEN, "1", reason="mistake", author="Bob")
    assert decisions.verify(run) is None


def test_every_stage_sees_decisions_that_are_newer_than_the_verdict(run: Path, tmp_path: Path) -> None:
    assert not score_run(run).changed
    close_all(run)
    again = score_run(run)
    assert (again.changed, again.verdict.exit_code) == (True, 0)
    assert not score_run(run).changed
    stored = json.loads((run / "results.json").read_text())
    assert (stored["verdict"]["exit_code"], stored["decisions"]["count"]) == (0, 4)
    page = next((run / "report" / "clips").glob("*.html")).read_text()
    assert page.count("dismissed by Ann on ") == 2
    assert "dismissed by Ann on " in (run / "report" / "index.html").read_text()
    assert "dismissed by Ann on " in (run / "summary.md").read_text()
    assert "4 closed by decisions" in (run / "junit.xml").read_text()
    assert set(pq.read_table(run / "findings.parquet")["state"].to_pylist()) == {"dismissed"}
    assert "4 dismissed" in again.data.notes[-1]
    decide(run, Verb.REOPEN, "1", reason="mistake", author="Ann")
    data = read_report_data(RunDir.open(run))
    assert data.decisions[open_desk(run).findings[0].finding.fingerprint].state is State.OPEN
    assert apply(run).verdict.exit_code == 3
    worst = (run / "summary.md").read_text().partition("## Worst findings")[2].splitlines()
    assert ["reopened" in row for row in worst if row.startswith("| review")] == [True, False, False, False]
    assert json.loads((run / "results.json").read_text())["verdict"]["exit_code"] == 3


def test_an_expired_decision_opens_the_finding_and_no_findings_gate_passes_with_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_all(run, expires=datetime.now(UTC).date())
    assert score_run(run).verdict.exit_code == 0
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return tomorrow

    monkeypatch.setattr(decisions, "datetime", Tomorrow)
    after = score_run(run)
    assert (after.changed, after.verdict.exit_code) == (True, 3)
    assert "4 open findings, 0 allowed" in gate(run)[1]
    assert "4 decisions expired" in gate(run)[1]
    assert "open: the decision expired on" in (run / "summary.md").read_text()
    opened = RunDir.open(run)
    (lax, *_) = RunSpec.from_json(opened.manifest()["spec"]).gates
    held = regate(opened, [lax.model_copy(update={"max": 9.0})], 0).gates[0]
    assert (held.outcome, "decide again" in held.reason) == (Outcome.NOT_COMPUTED, True)


@pytest.mark.parametrize(
    "damage", ["changed", "torn", *(pytest.param(how, marks=pytest.mark.slow) for how in ("cut", "gone"))]
)
def test_with_a_damaged_chain_nothing_passes(run: Path, damage: str) -> None:
    close_all(run)
    assert score_run(run).verdict.exit_code == 0
    chain = run / decisions.FILE
    text = chain.read_bytes()
    if damage == "gone":
        chain.unlink()
    else:
        whole = text.splitlines(keepends=True)
        torn = b'{"author":"A'
        chain.write_bytes(
            {"changed": text.replace(b"Ann", b"Eve", 1), "torn": text + torn, "cut": whole[0]}[damage]
        )
    outcome, reason = gate(run)
    assert (outcome, "decisions.jsonl, line" in reason) == ("not computed", True)
    after = score_run(run)
    assert after.verdict.exit_code == 4
    assert "damaged" in after.data.notes[-1]
    assert after.data.decisions == {}
    held = regate(RunDir.open(run), [], 0)  # no gate asks for findings, and yet
    assert (held.verdict.exit_code, "damaged" in held.verdict.reason) == (4, True)
    assert score_run(run).verdict.exit_code == 4  # what was applied once is not forgotten
    chain.write_bytes(text)
    assert score_run(run).verdict.exit_code == 0


def test_other_gates_and_a_change_of_the_suite_keep_decisions(run: Path, likeness_run_dir: Path) -> None:
    close_all(run)
    suite = likeness_run_dir.parent / "s.yaml"
    extra = suite.read_text().replace(GATE, GATE + "review: {second_person: all}\n")
    other = suite.with_name("all.yaml")
    other.write_text(extra)
    after = finished(other, run)
    assert after.verdict.exit_code == 3
    assert all(s.awaiting for s in after.data.decisions.values())
    close_all(run, author=" ann")
    assert apply(run).verdict.exit_code == 3
    close_all(run, author="Bob")
    assert apply(run).verdict.exit_code == 0


def test_a_policy_that_was_made_weaker_opens_no_gate_and_one_person_alone_is_told(run: Path) -> None:
    def policy(second: str) -> None:
        manifest = RunDir.open(run).manifest()
        manifest["spec"]["review"] = {"second_person": second, "expires_days": None}
        RunDir.open(run).write_manifest(manifest)

    policy("all")
    close_all(run)
    policy("none")
    assert apply(run).verdict.exit_code == 3
    assert {d.policy for d in decisions.read_chain(run).decisions} == {"all"}
    close_all(run, author="Bob")
    data = apply(run)
    assert (data.verdict.exit_code, "by one person" in data.verdict.reason) == (0, False)

    log = run / "measurements" / "log.jsonl"
    log.write_text(log.read_text().replace('"severity": "review"', '"severity": "alert"'))
    (run / decisions.FILE).unlink()
    (run / "results.json").write_text(
        json.dumps(json.loads((run / "results.json").read_text()) | {"decisions": None})
    )
    close_all(run)
    data = apply(run)
    told = f"4 findings {decisions.ALONE}"
    assert (data.verdict.exit_code, told in data.verdict.reason, told in data.notes[-1]) == (0, True, True)
    assert all(decisions.ALONE in s.words for s in data.decisions.values())


def test_the_policy_comes_from_the_suite(tmp_path: Path) -> None:
    suite = likeness_suite(tmp_path, "review: {second_person: none, expires_days: 30}\n")
    spec = prepare(load_suite(suite)).spec
    assert spec.review == ReviewPolicy("none", 30)
    assert RunSpec.from_json(spec.to_json()) == spec
    old = spec.to_json()
    del old["review"]
    assert RunSpec.from_json(old).review == ReviewPolicy("alert", None)
    suite.write_text(suite.read_text().replace("none, exp", "nobody, exp"))
    with pytest.raises(UsageError, match=r"s.yaml:7:\d+: review.second_person: expected"):
        load_suite(suite)


def test_a_dismissal_takes_the_suite_s_expiry(run: Path) -> None:
    manifest = RunDir.open(run).manifest()
    manifest["spec"]["review"] = {"second_person": "alert", "expires_days": 30}
    RunDir.open(run).write_manifest(manifest)
    end = datetime.now(UTC).date() + timedelta(days=30)
    for verb, reason, expires in ((Verb.DISMISS, "not_a_face", end), (Verb.ESCALATE, "legal", None)):
        _, done = decide(run, verb, "1", reason=reason, author="Ann")
        assert done.written[0].expires == (expires.isoformat() if expires else None)
    _, done = decide(run, Verb.DISMISS, "2", reason="not_a_face", author="Ann", expires=LATER)
    assert done.written[0].expires == "2999-01-01"


def test_a_finding_is_named_by_number_or_a_unique_beginning(run: Path) -> None:
    desk = open_desk(run)
    first = desk.findings[0].finding.fingerprint
    assert desk.find("1") == desk.find(first) == desk.find(first[:6].upper()) == desk.findings[0]
    for name in ("0", "5", "abc", "zzzzzz", ""):
        with pytest.raises(UsageError, match=r"expected"):
            desk.find(name)
    twins = tuple(
        replace(f, finding=replace(f.finding, fingerprint="aaaaaa" + "b" * 26)) for f in desk.findings[:2]
    )
    with pytest.raises(UsageError, match="found 2"):
        replace(desk, findings=twins).find("aaaaaa")


def test_a_run_without_results_has_no_desk(run: Path) -> None:
    (run / "results.json").unlink()
    with pytest.raises(RunDirError, match="no results yet"):
        open_desk(run)


# -- taking in -------------------------------------------------------------------------------------


def line(run: Path, number: int, **changes: object) -> str:
    listed = open_desk(run).findings[number]
    value = {
        "finding": listed.finding.fingerprint, "verb": "dismiss", "reason_code": "not_this_person", "author": "Ann",
        "time": "2026-01-02T03:04:05+01:00", "note": "Not her.", **changes,
    }  # fmt: skip
    return json.dumps({k: v for k, v in value.items() if v != "drop"}) + "\n"


def test_decisions_made_elsewhere_are_taken_in_once(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    file.write_text(line(run, 0) + "\n" + line(run, 1, note=None, expires="2999-01-01"))
    assert len(take_in(run, file).written) == 2
    assert (len((again := take_in(run, file)).written), len(again.known)) == (0, 2)
    first, second = decisions.read_chain(run).decisions
    assert (first.time, second.expires) == ("2026-01-02T02:04:05+00:00", "2999-01-01")
    assert decisions.note_of(run, first) == "Not her."
    assert sum(f.standing.closed for f in open_desk(run).findings) == 2


def test_a_chain_of_another_copy_can_be_taken_in_with_its_notes(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    decide(tmp_path / "copy", Verb.DISMISS, "2", reason="not_this_person", author="Bob", note="Not him.")
    decide(run, Verb.ESCALATE, "1", reason="legal", author="Ann")
    (taken,) = take_in(run, tmp_path / "copy" / decisions.FILE).written
    assert (taken.seq, decisions.note_of(run, taken)) == (2, "Not him.")
    assert decisions.verify(run) is None
    (note,) = (tmp_path / "copy" / "decision_notes").iterdir()
    note.write_text(f"{note.read_text()} Or is it?")
    with pytest.raises(UsageError, match="was changed after the decision"):
        take_in(run, tmp_path / "copy" / decisions.FILE)
    shutil.rmtree(tmp_path / "copy" / "decision_notes")
    with pytest.raises(UsageError, match="its note is not in"):
        take_in(run, tmp_path / "copy" / decisions.FILE)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"finding": "0" * 32}, "this run has no finding"),
        ({"verb": "forgive"}, "the verb 'forgive'"),
        ({"verb": ["dismiss"]}, "expected text as verb"),
        ({"reason_code": "because"}, "reason code of dismiss"),
        ({"author": ""}, "expected the name"),
        ({"author": "drop"}, "expected author, found none"),
        ({"time": None}, "expected time, found none"),
        ({"time": "0001-01-01T00:00:00+05:00"}, "the time of a decision"),
        ({"note": "half \ud800"}, "half of a surrogate pair"),
        ({"seq": float("nan")}, "NaN"),
        ({"time": "yesterday"}, "yesterday"),
        ({"time": "2026-01-02T03:04:05"}, "with its zone"),
        ({"time": "2999-01-02T03:04:05Z"}, "lies ahead"),
        ({"expires": "2025-01-01"}, "it is over"),
        ({"expires": "soon"}, "soon"),
        ({"clip": "0" * 64}, "expected clip"),
        ({"kind": "likeness.consented"}, "expected kind"),
        ({"reasoncode": "x"}, "found reasoncode"),
        ({"note_sha256": "../../secret", "note": None}, "its note is not in"),
    ],
)
def test_if_one_line_is_wrong_none_is_taken_in(
    run: Path, tmp_path: Path, changes: dict[str, object], what: str
) -> None:
    file = tmp_path / "theirs.jsonl"
    file.write_text(line(run, 1) + line(run, 0, **changes) + "[1]\n" + "{\n")
    with pytest.raises(UsageError) as caught:
        take_in(run, file)
    told = str(caught.value)
    assert what in told
    assert all(f"theirs.jsonl:{n}: " in told for n in (2, 3, 4))
    assert "theirs.jsonl:1: " not in told
    assert not (run / decisions.FILE).exists()


def test_a_line_that_says_two_things_is_not_taken_in(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    file.write_text(line(run, 1).rstrip().removesuffix("}") + ', "verb": "confirm"}\n')
    with pytest.raises(UsageError, match="'verb' occurs twice"):
        take_in(run, file)


# -- a census, and single answers ------------------------------------------------------------------

FINE = ClipRecord("s", "ok", file="clips/s.mp4", sha256="0" * 64)


def finding(kind: str, severity: Severity) -> Finding:
    return Finding("s", kind, severity, 0.0, 1.0, 1.0, 0.5, "It is so.", fingerprint="f" * 32)


@pytest.mark.parametrize(
    ("kind", "severity", "standing", "expected"),
    [
        ("likeness.match", Severity.ALERT, OPEN, "hold"),
        ("likeness.match", Severity.ALERT, Standing(State.DISMISSED, "dismissed"), "publish"),
        ("likeness.match", Severity.ALERT, Standing(State.CLEARED, "cleared"), "publish"),
        ("likeness.match", Severity.ALERT, Standing(State.OPEN, "awaiting", awaiting=True), "hold"),
        ("likeness.match", Severity.REVIEW, Standing(State.DISMISSED, "dismissed"), "publish"),
        ("likeness.match", Severity.REVIEW, Standing(State.CONFIRMED, "confirmed"), "hold"),
        ("likeness.match", Severity.REVIEW, Standing(State.ESCALATED, "escalated"), "review"),
        ("likeness.match", Severity.REVIEW, Standing(State.OPEN, "expired", expired="2026-01-01"), "review"),
        ("integrity.black", Severity.MAJOR, Standing(State.DISMISSED, "dismissed"), "hold"),
    ],
)
def test_the_answer_for_a_clip_follows_the_decision(
    kind: str, severity: Severity, standing: Standing, expected: str
) -> None:
    measurement = Measurement(findings=(finding(kind, severity),))
    got = answer(FINE, {"m": measurement}, {}, {"f" * 32: standing})
    assert got.decision == expected
    assert standing is OPEN or standing.closed or standing.words in got.reasons[0]


def test_a_census_publishes_what_was_dismissed_and_not_with_a_damaged_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Temporal.measure

    def finds(self: Temporal, clip: ClipView) -> Measurement:
        found = Finding(clip.sample.sample_id, "temporal.flicker", Severity.REVIEW, 0, 0.5, 2, 1, "made")
        return replace(measure(self, clip), findings=(found,), missing={}, unassessed_kinds={})

    monkeypatch.setattr(Temporal, "measure", finds)
    write_clip(tmp_path / "c" / "a.mp4", square(1))
    loaded = census_suite(tmp_path / "c")
    done = execute(prepare(loaded, kind="census"), tmp_path / "run")
    assert done is not None
    (entry,) = done.data.clips
    assert entry.publish is not None
    open_reasons = [r for r in entry.publish.reasons if "flicker" in r]
    assert open_reasons
    decide(tmp_path / "run", Verb.DISMISS, "1", reason="acceptable", author="Ann")
    data = apply(tmp_path / "run")
    assert data.clips[0].publish is not None
    assert not [r for r in data.clips[0].publish.reasons if "temporal.flicker at" in r]
    decide(tmp_path / "run", Verb.CONFIRM, "1", reason="defect", author="Ann")
    assert apply(tmp_path / "run").verdict.exit_code == 3


def test_holding_again_loads_no_torch(run: Path) -> None:
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from vgaudit.decisions import Verb
        from vgaudit.pipeline.deciding import apply, decide
        decide(Path({str(run)!r}), Verb.DISMISS, "1", reason="not_a_face", author="Ann")
        apply(Path({str(run)!r}))
        print([m for m in ("torch", "dlib", "facenet_pytorch", "skimage") if m in sys.modules])
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
