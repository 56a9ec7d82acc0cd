"""The whole way of two reviewers: real page, real server, real browsers; with a kill, a damaged chain and an end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser
from tests.desk.served import ROOT, Desk
from vgaudit.decisions import FILE, NewDecision, append, note_of, read_chain, verify
from vgaudit.pipeline.deciding import open_desk

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

HOSTILE = "</script><script>alert(1)</script>\u202e\u05e9 \"'&amp; " + "x" * 9_000


def text(browser: Browser, name: str) -> str:
    return str(browser.run(f"document.getElementById({json.dumps(name)}).textContent"))


def until(browser: Browser, name: str, words: str, *, gone: bool = False) -> None:
    has = f"document.getElementById({json.dumps(name)}).textContent.includes({json.dumps(words)})"
    browser.until(f"!{has}" if gone else has, 20)


def visit(browser: Browser, desk: Desk, name: str) -> None:
    browser.open(f"{desk.url}review.html")
    until(browser, "verdict", "Verdict: ")
    if text(browser, "author") != f"Reviewer: {name}":
        browser.page.click("#author")
        browser.page.fill("#who-name", name)
        browser.page.keyboard.press("Enter")
        until(browser, "author", f"Reviewer: {name}")


def press(browser: Browser, *keys: str) -> None:
    for key in keys:
        browser.page.keyboard.press(key)


def go(browser: Browser, finding: str) -> None:
    browser.run(f"location.hash = '#f-{finding}'")
    browser.until(f"document.querySelector('[aria-selected=true]') && location.hash === '#f-{finding}'")


def said(run: Path) -> list[tuple[str, str]]:
    return [(d.author, d.verb) for d in read_chain(run).decisions]


def verified(run: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vgaudit", "decide", "verify", str(run)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_two_reviewers_from_the_first_hit_to_the_end(run: Path) -> None:
    one, two, three, four = (listed.finding for listed in open_desk(run).findings)
    clip = open_desk(run).findings[3].clip
    days = timedelta(days=3)
    past = datetime.now(UTC) - days
    over: dict[str, Any] = {"author": "Zoe", "time": past, "expires": past.date()}
    append(run, [NewDecision("dismiss", four.fingerprint, clip, four.kind, "generic_face", **over)])
    desk = Desk(run)
    with desk, Browser(width=390) as bob, Browser() as ann:
        visit(bob, desk, "Bob")
        visit(ann, desk, "Ann")
        # Three hits with the keyboard; the other one sees them.
        press(ann, "d", "1", "Enter")
        until(ann, "progress-text", "1 of 4 decided")
        press(ann, "c", "Enter")
        until(ann, "progress-text", "2 of 4 decided")
        press(ann, "e", "1", "m")
        ann.page.fill("#note", HOSTILE)
        press(ann, "Control+Enter")
        until(ann, "progress-text", "3 of 4 decided")
        assert said(run)[1:] == [("Ann", "dismiss"), ("Ann", "confirm"), ("Ann", "escalate")]
        until(bob, "progress-text", "3 of 4 decided")
        go(bob, three.fingerprint)
        until(bob, "history", HOSTILE[:60])
        assert note_of(run, read_chain(run).decisions[3]) == HOSTILE
        assert bob.run("document.documentElement.scrollWidth <= innerWidth")
        # What had an end, and it is over.
        assert "expired" in text(ann, "history")
        assert text(ann, "f-state") == "○open"
        # A second person: what Ann confirmed is not closed by Bob alone. Both see it.
        go(bob, two.fingerprint)
        press(bob, "d", "1", "Enter")
        until(bob, "progress-text", "2 of 4 decided, 1 awaits a second person")
        go(ann, two.fingerprint)
        until(ann, "f-state", "awaiting")
        # Both have chosen something else about it; the later one is told, and nothing of theirs is written.
        press(ann, "d", "1")
        go(bob, two.fingerprint)
        press(bob, "r", "1", "Enter")
        until(bob, "said", "Saved")
        press(ann, "Enter")
        until(ann, "notices", "somebody else has decided since")
        assert "reopened by Bob" in text(ann, "notices")
        assert said(run)[-1] == ("Bob", "reopen")
        press(ann, "Enter")
        until(ann, "progress-text", "3 of 4 decided")
        press(ann, "u")
        until(ann, "said", "Undone")
        assert said(run)[-2:] == [("Ann", "dismiss"), ("Ann", "reopen")]
        ann.page.reload()
        until(ann, "progress-text", "2 of 4 decided")
        until(ann, "author", "Ann")
        assert [p for p in ann.problems + bob.problems if "409" not in p] == []
        assert {u.startswith((desk.url, "about:", "blob:")) for u in ann.requests + bob.requests} == {True}
        # Killed: what is decided meanwhile is kept by the page, and saved by the next desk.
        before = said(run)
        desk.stop(signal.SIGKILL)
        go(ann, four.fingerprint)
        press(ann, "d", "3", "Enter")
        until(ann, "notices", "Not saved yet")
        assert (said(run), verify(run)) == (before, None)
        again = Desk(run, ("--port", str(desk.port)))
        with again:
            visit(ann, again, "Ann")
            until(ann, "progress-text", "3 of 4 decided")
            assert said(run) == [*before, ("Ann", "dismiss")]
            # A line is changed: server, page and command line name it, and nothing is added.
            whole = (run / FILE).read_bytes()
            (run / FILE).write_bytes(whole.replace(b'"author":"Ann"', b'"author":"Eve"', 1))
            until(ann, "alerts", "line 2: hash: the line was changed")
            assert "line 2: hash" in again.state()["problem"]
            code, words = verified(run)
            assert (code, "line 2: hash" in words) == (4, True)
            go(ann, one.fingerprint)
            press(ann, "c", "Enter")
            until(ann, "notices", "line 2: hash")
            assert (run / FILE).read_bytes().count(b"\n") == whole.count(b"\n")
            (run / FILE).write_bytes(whole)
            until(ann, "alerts", "Not saved", gone=True)
            until(ann, "alerts", "line 2", gone=True)
            assert said(run) == [*before, ("Ann", "dismiss"), ("Ann", "confirm")]
            assert again.stop() == 0
    assert verify(run) is None
    assert verified(run)[0] == 0
    assert any("2 decisions made here" in line for line in again.said)
