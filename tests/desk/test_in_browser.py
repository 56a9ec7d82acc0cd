"""A page of the report at the desk, in a real browser: it may ask the server, and a page of others may not."""

from __future__ import annotations

import http.server
import json
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser
from tests.desk.served import Desk, with_page
from vgaudit.decisions import read_chain

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

SCRIPT = """
"use strict";
window.decide = async (finding, seen) => {
  const body = {finding, verb: "confirm", reason_code: "same_person", note: "", expires: null, author: "Ann", seen};
  const headers = {"Content-Type": "application/json", "X-Vgaudit-Desk": "1"};
  const answer = await fetch("api/decide", {method: "POST", headers, body: JSON.stringify(body)});
  return answer.status;
};
window.state = async () => (await fetch("api/state")).json();
"""


def go(browser: Browser, url: str) -> None:
    browser.call("Page.navigate", url=url)
    browser.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")


@pytest.mark.slow
def test_the_served_page_decides_and_one_of_another_origin_cannot(run: Path, tmp_path: Path) -> None:
    with_page(run, SCRIPT)
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "index.html").write_text("<!doctype html><title>evil</title>")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "evil"))
    evil = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    with Desk(run) as desk, Browser() as browser:
        go(browser, f"{desk.url}review.html")
        assert browser.run("document.querySelector('meta[name=vgaudit-desk]').content") == "served"
        first = browser.run("state().then((s) => Object.keys(s.standings)[0])")
        assert browser.run(f"decide({json.dumps(first)}, 0)") == 200
        assert browser.run(f"decide({json.dumps(first)}, 0)") == 409
        browser.problems.clear()  # the console tells of the 409
        video = next((run / "report" / "media").glob("*.mp4")).name
        browser.run(f"""new Promise((done, failed) => {{
            const video = document.createElement("video");
            video.onseeked = done;
            video.onerror = failed;
            video.onloadedmetadata = () => {{ video.currentTime = video.duration / 2; }};
            video.src = "media/{video}";
        }}).then(() => true)""")
        go(browser, f"{desk.url}index.html")
        assert browser.run("document.styleSheets[0].cssRules.length > 5")
        assert browser.problems == []
        assert {url.startswith(desk.url) for url in browser.requests} == {True}
        go(browser, f"http://127.0.0.1:{evil.server_port}/index.html")
        tried = browser.run(f"""Promise.all([
            fetch("{desk.url}api/state").then((a) => a.text(), () => "refused"),
            fetch("{desk.url}api/decide", {{method: "POST", headers: {{"X-Vgaudit-Desk": "1"}}, body: "{{}}"}})
                .then((a) => a.text(), () => "refused"),
            new Promise((done) => {{
                const frame = document.createElement("iframe");
                frame.onload = () => done(frame.contentDocument ? "seen" : "refused");
                frame.src = "{desk.url}review.html";
                document.body.append(frame);
            }}),
        ])""")
        assert tried == ["refused"] * 3
    evil.shutdown()
    evil.server_close()
    assert len(read_chain(run).decisions) == 1
