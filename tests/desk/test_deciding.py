"""Decisions made at the desk: on disk before they are answered, none lost, whoever else decides and whatever dies."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.desk.served import ROOT, Desk
from vgaudit import decisions
from vgaudit.decisions import FILE, read_chain, verify


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / FILE).read_text("utf-8").splitlines()]


def test_a_review_from_the_first_finding_to_the_verdict(run: Path) -> None:
    with Desk(run, ("--author", "Default Person")) as desk:
        before = desk.state()
        one, two, three, four = before["standings"]
        assert (before["count"], before["head"], before["total"], before["open"]) == (0, "", 4, 4)
        assert (
            desk.state(0)["standings"] == {}
        )  # a page that asks every two seconds is not told all each time
        assert (before["author"], before["verdict"]["outcome"]) == ("Default Person", "failed")
        answer = desk.decide(one, note="Other <b>ears</b>.")
        (line,) = lines(run)
        assert answer.status == 200
        said = answer.json
        assert (said["count"], said["head"], said["seq"]) == (1, line["hash"], 1)
        assert (said["standing"]["state"], said["standing"]["closed"]) == ("dismissed", True)
        (made,) = said["standing"]["history"]
        assert made == {
            "seq": 1, "time": line["time"], "author": "Ann", "verb": "dismiss", "reason_code": "not_this_person",
            "reason": "not this person", "expires": None, "note": "Other <b>ears</b>.",
        }  # fmt: skip
        end = (date.today() + timedelta(days=300)).isoformat()
        cleared = desk.decide(two, "clear", expires=end, author="").json["standing"]
        assert cleared["history"][0]["author"] == "Default Person"
        assert desk.decide(three, "escalate").json["standing"]["state"] == "escalated"
        assert desk.decide(four, "confirm").json["seq"] == 4
        undone = desk.decide(four, "reopen", seen=4).json
        assert (undone["seq"], undone["standing"]["state"], len(undone["standing"]["history"])) == (
            5,
            "open",
            2,
        )
        assert "decided by mistake" in undone["standing"]["words"]
        late = desk.decide(four, "reopen", seen=5)
        assert (late.status, "it is open" in late.json["error"]) == (422, True)
        now = desk.state(3)
        assert (now["count"], now["open"], set(now["standings"])) == (5, 2, {four})
        assert set(desk.state(5)["standings"]) == set()
        assert set(desk.state(99)["standings"]) == {one, two, three, four}
        desk.decide(three, author="Bob", seen=3)
        desk.decide(three, seen=6, author="ann ")  # the one who escalated it says so too
        assert desk.decide(four, seen=5).status == 200
        after = desk.until(lambda state: state["applied"] == 8)
        assert (after["verdict"]["outcome"], after["open"], after["problem"]) == ("passed", 0, "")
        assert "dismissed by Ann on" in desk.ask("index.html").body.decode()
        assert desk.stop() == 0
    assert any("4 of 4 findings are open" in said for said in desk.said)
    assert any("8 decisions made here" in said for said in desk.said)
    assert any(said.startswith("PASSED (vgaudit gate exits 0)") for said in desk.said)
    assert verify(run) is None
    assert {row["policy"] for row in lines(run)} == {"alert"}


def test_of_two_who_decide_on_one_finding_the_later_is_told_what_the_first_said(run: Path) -> None:
    with Desk(run) as desk:
        one, *_ = desk.state()["standings"]
        assert desk.decide(one, "confirm", author="Ann").status == 200
        late = desk.decide(one, "dismiss", author="Bob", seen=0)
        assert late.status == 409
        assert "Ann has decided on it meanwhile" in late.json["error"]
        assert [d["verb"] for d in late.json["standing"]["history"]] == ["confirm"]
        assert len(lines(run)) == 1
        assert desk.decide(one, "dismiss", author="Bob", seen=1).json["standing"]["awaiting"]


def test_reviewers_and_the_command_line_at_once_lose_nothing(run: Path) -> None:
    each, saved, refused = 15, [], []
    with Desk(run) as desk:
        names = list(desk.state()["standings"])

        def review(author: str, finding: str) -> None:
            seen = 0
            while len([s for s in saved if s[1] == author]) < each:
                verb = "escalate" if seen % 2 else "confirm"
                answer = desk.decide(finding, verb, author=author, seen=seen)
                if answer.status == 200:
                    seen = answer.json["seq"]
                    saved.append((seen, author))
                else:
                    assert answer.status == 409
                    refused.append(author)
                    seen = max(d["seq"] for d in answer.json["standing"]["history"])

        threads = [threading.Thread(target=review, args=(a, names[0])) for a in ("Ann", "Bob")]
        for thread in threads:
            thread.start()
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-m", "vgaudit", "decide", "confirm", str(run), names[1], "--author", "Carl"],
                capture_output=True, text=True, cwd=ROOT,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        for thread in threads:
            thread.join()
        desk.until(lambda state: state["applied"] == 2 * each + 2)
    written = lines(run)
    assert verify(run) is None
    assert len(written) == 2 * each + 2
    assert sorted(saved) == sorted((row["seq"], row["author"]) for row in written if row["author"] != "Carl")
    assert sum(row["author"] == "Carl" for row in written) == 2


@pytest.mark.slow
def test_a_desk_that_is_killed_at_any_moment_loses_no_decision(run: Path) -> None:
    chance = random.Random(8)
    kept: dict[int, str] = {}
    for attempt in range(6):
        with Desk(run) as desk:
            state = desk.state()
            assert not state["problem"]
            assert all(state["count"] >= seq for seq in kept)
            names = list(state["standings"])
            saved: list[tuple[int, str]] = []

            def review(
                author: str, finding: str, desk: Desk = desk, saved: list[tuple[int, str]] = saved
            ) -> None:
                seen, number = 10**9, 0
                while True:
                    number += 1
                    try:
                        answer = desk.decide(
                            finding, "confirm", author=author, seen=seen, note=f"{author} {number}"
                        )
                    except (OSError, ValueError):
                        return
                    except Exception:  # the connection ended inside the answer: nothing was acknowledged
                        return
                    assert answer.status == 200, answer.body
                    saved.append((answer.json["seq"], f"{author} {number}"))

            threads = [threading.Thread(target=review, args=(f"R{attempt}{i}", names[i])) for i in (0, 1)]
            for thread in threads:
                thread.start()
            while not saved:
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 2.5))  # also while reports are written
            desk.process.kill()
            desk.process.wait()
            desk.process.stdout.close()  # type: ignore[union-attr]
            for thread in threads:
                thread.join()
            assert len(saved) > 0
            kept |= dict(saved)
        problem = verify(run)
        assert problem is None or problem.what.startswith("torn")
    decisions.cut_torn_line(run)
    assert verify(run) is None
    chain = read_chain(run)
    notes = {d.seq: decisions.note_of(run, d) for d in chain.decisions}
    assert {seq: notes[seq] for seq in kept} == kept
    assert len(kept) >= 12


def test_a_torn_line_is_cut_off_when_the_desk_opens(run: Path) -> None:
    (run / FILE).write_bytes(b'{"author":"A')
    with Desk(run) as desk:
        state = desk.state()
        assert (state["problem"], state["count"]) == ("", 0)
        assert any("cut off 12 bytes" in said for said in desk.said)
        one, *_ = state["standings"]
        with (run / FILE).open("ab") as file:
            file.write(b'{"author":"A')
        assert "torn" in desk.until(lambda state: state["problem"])["problem"]
        assert desk.decide(one).json["seq"] == 1
        assert desk.until(lambda state: not state["problem"])["count"] == 1
    assert verify(run) is None


@pytest.mark.parametrize(
    "damage", ["changed", *(pytest.param(how, marks=pytest.mark.slow) for how in ("cut", "gone", "restored"))]
)
def test_a_damaged_chain_is_told_and_nothing_is_added_to_it(run: Path, damage: str) -> None:
    with Desk(run) as desk:
        one, two, *_ = desk.state()["standings"]
        for seen in (0, 1):
            assert desk.decide(one, "confirm", seen=seen).status == 200
        text = (run / FILE).read_bytes()
        first = text.splitlines(keepends=True)[0]
        harm = {"changed": text.replace(b"Ann", b"Eve", 1), "cut": first, "gone": b"", "restored": first}[
            damage
        ]
        if damage == "gone":
            (run / FILE).unlink()
        else:
            (run / FILE).write_bytes(harm)
        state = desk.state()
        assert "decisions.jsonl, line" in state["problem"]
        assert ("line 1" if damage in ("changed", "gone") else "line 2") in state["problem"]
        answer = desk.decide(two)
        assert answer.status == 503
        assert "restore the file" in answer.json["error"]
        assert not (run / FILE).is_file() or (run / FILE).read_bytes() == harm
        if damage == "restored":
            (run / FILE).write_bytes(text)
            assert desk.decide(two).json["seq"] == 3
            assert desk.until(lambda state: not state["problem"])["count"] == 3


def test_a_disk_that_cannot_be_written_is_told(run: Path) -> None:
    with Desk(run) as desk:
        one, *_ = desk.state()["standings"]
        (run / FILE).mkdir()
        answer = desk.decide(one)
        assert answer.status == 503
        assert answer.json["error"]
        (run / FILE).rmdir()
        assert desk.decide(one).status == 200
