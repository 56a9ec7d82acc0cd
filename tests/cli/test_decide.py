"""``vgaudit decide`` as reviewers meet it: texts, exit codes, and what reaches the verdict."""

from __future__ import annotations

import fcntl
import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.in_process import vgaudit
from tests.cli.test_commands import new_process
from tests.portraits import astronaut
from vgaudit import decisions
from vgaudit.cli.commands import app
from vgaudit.errors import RunDirError, UsageError, VgauditError
from vgaudit.likeness.photos import Photos, photos_of_folder
from vgaudit.pipeline import deciding


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VGAUDIT_AUTHOR", "Ann")
    shutil.copytree(likeness_run_dir, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> object:
    def said(*arguments: object) -> str:
        app(["decide", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return said


def test_a_review_from_list_to_verdict(run: Path, say: object) -> None:
    shown = say("list", run)  # type: ignore[operator]
    assert "4 findings to decide on, 4 open, 0 closed" in shown
    prints = [line.split()[1] for line in shown.splitlines() if line[:4].strip().isdigit()]
    assert [len(p) for p in prints] == [12] * 4
    said = say("dismiss", run, prints[0], "--reason", "generic_face", "--note", "Like\x1b[31m many.")  # type: ignore[operator]
    assert "dismissed by Ann on" in said
    assert "FAILED (vgaudit gate exits 3)" in said
    say("clear", run, 2, "--expires", f"{date.today() + timedelta(days=365)}")  # type: ignore[operator]
    say("escalate", run, 3, "--reason", "legal", "--author", "Bob")  # type: ignore[operator]
    shown = say("list", run, "--open")  # type: ignore[operator]
    assert "4 findings to decide on, 2 open, 2 closed" in shown
    assert prints[0] not in shown
    shown = say("list", run)  # type: ignore[operator]
    assert "note of Ann on " in shown
    assert "\x1b" not in shown
    say("confirm", run, 3)  # type: ignore[operator]
    said = say("reopen", run, 3, "--reason", "mistake")  # type: ignore[operator]
    assert "reopened by Ann" in said
    said = say("dismiss", run, 3, "--reason", "not_this_person")  # type: ignore[operator]
    assert "awaiting a second person" in said  # Bob's escalation stands
    for number, author in ((3, "Bob"), (4, "Ann")):
        said = say("dismiss", run, number, "--reason", "not_this_person", "--author", author)  # type: ignore[operator]
    assert "4 closed by decisions" in said
    assert "PASSED (vgaudit gate exits 0)" in said
    assert "8 decisions, the chain is whole" in say("verify", run)  # type: ignore[operator]
    there = say("import", run, run / decisions.FILE)  # type: ignore[operator]
    assert "0 decisions taken in, 8 were there already" in there


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["dismiss", "RUN", "1", "--reason", "because"], "not_this_person"),
        (["dismiss", "RUN", "9", "--reason", "not_a_face"], "from 1 to 4"),
        (["dismiss", "RUN", "1", "--reason", "other"], "--note TEXT"),
        (["clear", "RUN", "1", "--expires", "tomorrow"], "2027-03-31"),
        (["clear", "RUN", "1", "--expires", "2020-01-01"], "it is over"),
        (["clear", "RUN", "1", "--expires", "2999-01-01"], "after 10 years"),
        (["dismiss", "RUN", "1", "--reason", "not_a_face", "--author", " "], "expected the name"),
        (["list", "nowhere"], "expected a run directory"),
        (["import", "RUN", "nowhere"], "expected decisions"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(run: Path, arguments: list[str], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        app(["decide", *[str(run) if a == "RUN" else a for a in arguments]], standalone_mode=False)
    assert not (run / decisions.FILE).exists()


def test_exit_codes_of_whole_commands(run: Path) -> None:
    """Deciding succeeds whatever the gates say; `gate` says it, and `verify` tells a damaged chain."""
    done = vgaudit("decide", "dismiss", run, 1, "--reason", "not_a_face")
    assert (done.returncode, done.stderr) == (0, "")
    assert new_process("gate", run).returncode == 3
    chain = run / decisions.FILE
    chain.write_bytes(chain.read_bytes() + b"{")
    done = new_process("decide", "verify", run)
    assert (done.returncode, "line 2: torn" in done.stderr) == (4, True)
    assert vgaudit("gate", run).returncode == 4
    done = vgaudit("decide", "verify", run, "--cut")
    assert (done.returncode, "cut off 1 bytes" in done.stdout) == (0, True)
    chain.write_bytes(chain.read_bytes().replace(b"Ann", b"Eve"))
    done = vgaudit("decide", "list", run)
    assert (done.returncode, "line 1: hash" in done.stderr) == (4, True)
    done = vgaudit("decide", "dismiss", run, 2, "--reason", "not_a_face")
    assert (done.returncode, "nothing was added" in done.stderr) == (2, True)


def test_a_decision_is_saved_while_another_process_writes_the_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "_WAIT_S", 0.3)
    with (run / ".lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RunDirError, match="saved, but the reports do not know it yet"):
            app(["decide", "dismiss", str(run), "1", "--reason", "not_a_face"], standalone_mode=False)
    assert len(decisions.read_chain(run).decisions) == 1
    assert deciding.apply(run).decisions


def test_the_report_command_writes_the_verdict_anew(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in "1234":
        deciding.decide(run, decisions.Verb.DISMISS, number, reason="not_a_face")
    app(["report", str(run)], standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(run / "report" / "index.html")
    assert "4 closed by decisions" in (run / "summary.md").read_text()
    with pytest.raises(VgauditError):
        app(["decide", "reopen", str(run), "abcdef", "--reason", "mistake"], standalone_mode=False)


def test_what_was_shown_outlives_the_page_and_is_kept_line_by_line(
    run: Path,
    say: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    detail = deciding.open_desk(run).findings[0].finding.detail
    photographs_of(tmp_path / "photos", str(detail["entry"]), str(detail["images_digest"]))
    for _ in range(2):
        app(["report", str(run), "--photos", str(tmp_path / "photos")], standalone_mode=False)
    capsys.readouterr()
    page = json.loads((run / "report" / "likeness_shown.json").read_text())["photographs"]
    (shown,) = page[detail["entry"]]
    record = run / "likeness_shown.jsonl"
    before = record.read_bytes()
    rows = [json.loads(line) for line in before.splitlines()]
    assert [(row["entry"], row["sha256"]) for row in rows] == [(detail["entry"], shown)] * 2
    assert all(row["time"].endswith("+00:00") for row in rows)
    assert record.stat().st_mode & 0o777 == 0o600
    said = say("confirm", run, 1)  # type: ignore[operator]
    assert f"written again without photographs; `vgaudit report {run} --photos FILE`" in said
    assert "photographs" not in say("escalate", run, 1, "--reason", "legal")  # type: ignore[operator]
    assert not any(json.loads((run / "report" / "likeness_shown.json").read_text())["photographs"].values())
    assert record.read_bytes() == before


def photographs_of(path: Path, entry: str, images_digest: str) -> None:
    """A file of photographs with one picture of one person."""
    folder = path.with_name("people") / entry
    folder.mkdir(parents=True)
    Image.fromarray(astronaut()).save(folder / "1.png")
    kept = photos_of_folder(folder.parent)
    Photos({entry: replace(kept.people[entry], images_digest=images_digest)}).save(path)
