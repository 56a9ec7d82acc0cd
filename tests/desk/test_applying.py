"""Verdict and reports follow in the background; what goes wrong there is told and loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.desk.served import Desk, with_page
from vgaudit.cli.commands import app
from vgaudit.decisions import FILE, Verb
from vgaudit.desk import applying
from vgaudit.desk.applying import Applier, write_again
from vgaudit.desk.server import DeskServer
from vgaudit.desk.session import Session
from vgaudit.errors import RunDirError, RunLocked, UsageError
from vgaudit.pipeline.deciding import Made
from vgaudit.pipeline.photographs import on_the_page
from vgaudit.rundir import RunDir


def stored(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "results.json").read_text()))


def applied(run: Path) -> int:
    return int((stored(run).get("decisions") or {"count": 0})["count"])  # type: ignore[index]


def until(wanted: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.02)


def confirm(session: Session, seen: int = 0) -> int:
    first = next(iter(session.look().findings))
    return session.decide(first, Made(Verb.CONFIRM, "same_person", "Ann", seen=seen)).seq


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_what_is_not_applied_is_applied_when_it_is_stopped(run: Path, number: int) -> None:
    with Desk(run) as desk:
        one, *_ = desk.state()["standings"]
        assert desk.decide(one).status == 200
        assert applied(run) == 0
        assert desk.stop(number) == 0
    assert applied(run) == 1
    assert any("1 decision made here" in said for said in desk.said)
    assert any("3 of 4 findings are open" in said for said in desk.said)
    assert desk.said[-1].startswith("FAILED (vgaudit gate exits 3)")


def test_another_process_that_writes_the_run_is_waited_for(run: Path) -> None:
    with Desk(run) as desk:
        one, two, *_ = desk.state()["standings"]
        with RunDir.open(run).lock():
            assert desk.decide(one).status == 200
            state = desk.until(lambda state: state["applying"] == "waiting")
            assert "another vgaudit" in state["problem"]
            assert "decisions are saved" in state["problem"]
            assert desk.decide(two).status == 200
            assert desk.ask("review.html").status == 200
            assert applied(run) == 0
        state = desk.until(lambda state: state["applied"] == 2)
        assert desk.until(lambda state: state["applying"] == "idle")["problem"] == ""


def test_decisions_of_the_command_line_are_seen_and_those_not_applied_are_applied(run: Path) -> None:
    with Desk(run) as desk:
        count = desk.state()["count"]
        confirm(Session(run))  # of a process that was killed before it could apply it
        state = desk.until(lambda state: state["count"] == count + 1, 5)
        assert next(iter(state["standings"].values()))["state"] == "confirmed"
        desk.until(lambda state: state["applied"] == 1)


def test_requests_are_answered_while_reports_are_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, writing, go_on = Session(run), threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        writing.set()
        assert go_on.wait(20)
        write_again(session)

    monkeypatch.setattr(applying, "QUIET_S", 0.0)
    applier = Applier(session, slow)
    applier.start()
    confirm(session)
    assert writing.wait(10)
    assert confirm(session, 1) == 2
    assert (applier.doing, session.look().applied) == ("running", 0)
    go_on.set()
    until(lambda: session.look().applied == 2)
    until(lambda: applier.doing == "idle")
    applier.stop()
    assert not applier.due(session.look())


def test_what_fails_is_told_and_tried_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, tries = Session(run), []

    def fails(session: Session) -> None:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise ZeroDivisionError("a fault of the report")
        write_again(session)

    monkeypatch.setattr(applying, "_AFTER_FAILURE_S", 0.5)
    applier = Applier(session, fails)
    applier.start()
    confirm(session)
    until(lambda: applier.doing == "failed")
    assert applier.problem.startswith("problem applying: decisions are saved")
    assert "a fault of the report" in applier.problem
    until(lambda: session.look().applied == 1)
    until(lambda: applier.problem == "")
    applier.stop()
    assert len(tries) == 3
    assert tries[2] - tries[1] >= 0.5


def test_reports_are_written_once_it_is_quiet(run: Path) -> None:
    session, tries = Session(run), []
    applier = Applier(session, lambda session: tries.append(len(session.look().decisions)))
    applier.start()
    seen = 0
    for _ in range(4):
        seen = confirm(session, seen)
        time.sleep(0.4)
    assert tries == []
    until(lambda: tries == [4])
    time.sleep(1.0)
    applier.stop()
    assert tries == [4]


def test_a_run_that_is_scored_again_is_read_again(run: Path) -> None:
    session = Session(run)
    before = session.look()
    confirm(session)
    write_again(session)
    now = session.look()
    assert (now.edition, now.findings is before.findings, now.applied) == (before.edition, True, 1)
    results = stored(run)
    results["measurement_keys"]["likeness"] = results["measurement_keys"]["likeness"][:1]  # type: ignore[index]
    (run / "results.json").write_text(json.dumps(results))
    after = session.look()
    assert after.edition != before.edition
    assert 0 < len(after.findings) < len(before.findings)
    gone = next(f for f in before.findings if f not in after.findings)
    with pytest.raises(UsageError, match="scored again"):
        session.decide(gone, Made(Verb.CONFIRM, "same_person", "Ann"))
    (run / "results.json").write_text("{")
    with pytest.raises(RunDirError, match="cannot be read"):
        session.look()
    for count in ([1], {"count": "many"}):
        (run / "results.json").write_text(json.dumps({**results, "decisions": count}))
        with pytest.raises(RunDirError, match="cannot be read"):
            session.look()
    (run / "results.json").write_text(json.dumps(results))
    assert session.look().findings == after.findings


def test_lines_are_checked_once_and_a_change_is_seen_all_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgaudit import decision_chain

    session, checked = Session(run), []
    line = decision_chain._line
    monkeypatch.setattr(decision_chain, "_line", lambda text: checked.append(text) or line(text))
    other = Session(run)
    seen = 0
    for _ in range(5):
        seen = confirm(other, seen)
    session.look()
    checked.clear()
    confirm(other, seen)
    checked.clear()
    assert len(session.look().decisions) == 6
    assert len(checked) == 1
    session.look()
    assert len(checked) == 1
    checked.clear()
    confirm(session, 6)
    session.look()
    assert len(checked) == 1  # of a long chain neither the writer nor the reader checks every line each time
    text = (run / FILE).read_bytes()
    (run / FILE).write_bytes(text.replace(b"Ann", b"Eve", 1))
    assert "line 1" in session.look().decided.problem
    (run / FILE).write_bytes(text)
    assert session.look().decided.problem == ""


def test_photographs_stay_on_the_page(run: Path) -> None:
    import io

    from PIL import Image

    from tests.portraits import astronaut

    picture = io.BytesIO()
    Image.fromarray(astronaut()).save(picture, "PNG")
    data = picture.getvalue()
    sha = hashlib.sha256(data).hexdigest()
    from vgaudit.pipeline.finish import hold_again

    session = Session(run)
    entry = str(next(iter(session.look().findings.values())).finding.detail["entry"])
    with RunDir.open(run).lock():
        hold_again(RunDir.open(run), lambda _: {entry: [(data, sha)]})
    shown = on_the_page(run)
    assert shown == {entry: [sha]}
    confirm(session)
    write_again(session)
    assert applied(run) == 1
    assert on_the_page(run) == shown
    page = (run / "report" / "likeness.html").read_text("utf-8")
    assert f"photograph-{sha[:32]}.png" in page
    (run / "report" / "faces" / f"photograph-{sha[:32]}.png").write_bytes(b"\x89PNG\r\n\x1a\nanother")
    write_again(session)
    assert on_the_page(run) == {}


def test_a_report_that_is_not_current_is_written_again(run: Path) -> None:
    session = Session(run)
    confirm(session)
    (run / "report" / ".written").unlink()
    said: list[str] = []
    desk = DeskServer(run, say=said.append)
    desk.close()
    assert said == ["writing the reports again, as they are not those of the run as it is now"]
    assert applied(run) == 1
    said.clear()
    DeskServer(run, say=said.append).close()
    assert said == []
    shutil.rmtree(run / "report")
    with pytest.raises(RunDirError, match=r"review\.html") if not _writes_page() else _nothing():
        DeskServer(run, say=said.append).close()
    assert (run / "report" / "index.html").is_file()


def _writes_page() -> bool:
    from importlib.resources import files

    return (files("vgaudit.reports") / "templates" / "review.html").is_file()


def _nothing() -> object:
    from contextlib import nullcontext

    return nullcontext()


def test_what_stops_it_from_opening_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = DeskServer(run)
    port = desk._port
    with pytest.raises(UsageError, match=f"--port {port}: expected a free port .* it is taken"):
        DeskServer(run, port=port)
    desk.close()
    DeskServer(run, port=port).close()
    with pytest.raises(RunDirError, match="expected a run directory"):
        DeskServer(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="expected the name"):
        app(["review", str(run), "--author", " "], standalone_mode=False)
    (run / "results.json").unlink()
    with pytest.raises(RunDirError, match="vgaudit score"):
        app(["review", str(run)], standalone_mode=False)
    app(["review", "--help"], standalone_mode=False)
    assert "pack" in capsys.readouterr().out


def test_a_run_that_is_locked_cannot_have_its_reports_written(run: Path) -> None:
    with RunDir.open(run).lock(), pytest.raises(RunLocked, match=f"process {os.getpid()}"):
        write_again(Session(run), wait_s=0)
    write_again(Session(with_page(run)), wait_s=0)
