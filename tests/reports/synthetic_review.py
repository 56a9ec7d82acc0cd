"""The synthetic run with findings one can decide on, a few of them decided, and a server that plays the desk's."""

from __future__ import annotations

import html
import json
import threading
from dataclasses import dataclass, field, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.reports.synthetic import build
from vgaudit.decisions import REASONS, Decision, Standing, State, Verb
from vgaudit.records import Finding, Severity, digest
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY, page_environment, write_assets
from vgaudit.reports.review_page import write_review

HOSTILE = "</script><script>alert('m')</script><!-- \u202eevil \x1b[31m \ud83d & \"q\" {{ x }} \u2028 end"
TOKEN = "0123456789abcdef0123456789abcdef"


def _printed(entry: ClipEntry) -> ClipEntry:
    """The clip with a fingerprint for each finding, and hostile words in one of them."""
    measurements = {
        name: replace(
            m,
            findings=tuple(
                replace(
                    f,
                    fingerprint=digest([f.sample_id, f.kind, f.start_s], 32),
                    message=HOSTILE if f.kind == "temporal.freeze" else f.message,
                )
                for f in m.findings
            ),
        )
        for name, m in entry.measurements.items()
    }
    return replace(entry, measurements=measurements)


def decision(seq: int, finding: Finding, verb: Verb, code: str, author: str = "Ann") -> Decision:
    """A line of a chain, without its digests."""
    return Decision(seq, f"2026-01-0{seq}T10:00:00+00:00", author, verb, finding.fingerprint, "c", finding.kind,
                    code, None, None, "p")  # fmt: skip


def decidable_run(folder: Path) -> ReportData:
    """Five groups, findings of three severities; one is dismissed, one alert awaits a second person."""
    data = build(folder)
    clips = tuple(map(_printed, data.clips))
    found = [f for c in clips for m in c.measurements.values() for f in m.findings]
    alert = next(f for f in found if f.severity is Severity.ALERT)
    major = next(f for f in found if f.severity is Severity.MAJOR)
    first = decision(1, alert, Verb.DISMISS, "generic_face", "Bob")
    second = decision(2, major, Verb.DISMISS, "acceptable")
    words = "open, awaiting a second person (dismissed by Bob on 2026-01-01: a face like many)"
    return replace(
        data,
        clips=clips,
        manifest={**data.manifest, "spec": {"review": {"second_person": "alert", "expires_days": 30}}},
        decisions={
            alert.fingerprint: Standing(State.OPEN, words, (first,), awaiting=True),
            major.fingerprint: Standing(
                State.DISMISSED, "dismissed by Ann on 2026-01-02: it is there and may stay", (second,)
            ),
        },
    )


def many(folder: Path, count: int) -> Path:
    """The review page alone, with ``count`` findings in one clip."""
    data = build(folder)
    entry = next(e for e in data.clips if e.findings)
    first = entry.findings[0]
    own = replace(
        entry.measurements["temporal"],
        findings=tuple(replace(first, fingerprint=digest(n, 32), message=f"Jump {n}.") for n in range(count)),
    )
    data = replace(data, clips=(replace(entry, measurements={"temporal": own}),))
    out = folder / "report"
    out.mkdir()
    write_assets(out / "assets")
    none = SimpleNamespace(url="", kind="", problem="none was stored")
    row: Any = SimpleNamespace(stem="clip", media=SimpleNamespace(video=none, poster=none))
    rows = {entry.sample.sample_id: row}
    assert write_review(data, out, page_environment(), rows=rows, evidence={}) == count
    return out / "review.html"


@dataclass
class FakeDesk:
    """The desk's API over a report folder, to the letter of its contract and no more.

    Attributes:
        standings: Fingerprint -> standing, for those that were decided on.
        received: Bodies of decisions, as they came.
        answers: What to do with the next decisions: a status to refuse with, ``drop`` (the connection breaks before
            anything is written) or ``mute`` (it breaks after that). Empty: as asked.
        down: Whether every connection breaks.
    """

    report: Path
    total: int
    standings: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int | str] = field(default_factory=list)
    down: bool = False
    count: int = 2

    def __enter__(self) -> FakeDesk:
        desk = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(desk.report))

            def log_message(self, *_: Any) -> None:
                pass

            def send(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                begin = f"/{TOKEN}/"
                if desk.down or not self.path.startswith(begin):
                    return
                self.path = self.path[len(begin) - 1 :]
                if self.path.startswith("/api/state"):
                    self.send(200, desk.state())
                elif self.path.partition("#")[0] == "/review.html":
                    data = desk.page().encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "text/html; charset=utf-8")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                else:
                    super().do_GET()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if desk.down:
                    return
                assert self.path == f"/{TOKEN}/api/decide"
                assert self.headers["X-Vgaudit-Desk"] == "1"
                assert self.headers["Content-Type"] == "application/json"
                desk.received.append(body)
                answer = desk.answers.pop(0) if desk.answers else ""
                if answer == "drop":
                    return
                if isinstance(answer, int):
                    self.send(answer, {"error": f"a reason for {answer}"})
                    return
                status, value = desk.decide(body)
                if answer != "mute":
                    self.send(status, value)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{TOKEN}/review.html"

    def page(self) -> str:
        text = (self.report / "review.html").read_text("utf-8")
        own = str(html.escape(CONTENT_SECURITY_POLICY)).replace("&#x27;", "&#39;")
        assert own in text
        text = text.replace(own, own + "; connect-src &#39;self&#39;")
        return text.replace("</head>", '<meta name="vgaudit-desk" content="served">\n</head>')

    def state(self) -> dict[str, Any]:
        return {
            "count": self.count, "head": "h", "problem": "", "applied": 2, "total": self.total, "open": self.total,
            "verdict": {"outcome": "failed", "reason": "1 gate failed"}, "standings": self.standings,
        }  # fmt: skip

    def decide(self, body: dict[str, Any], author: str = "") -> tuple[int, dict[str, Any]]:
        """Take a decision, or refuse it because of a newer one."""
        history = self.standings.get(body["finding"], {}).get("history", [])
        last = max((h["seq"] for h in history), default=0)
        if last > body["seen"]:
            return 409, {
                "error": f"{body['finding']}: decided meanwhile",
                "standing": self.standings[body["finding"]],
            }
        self.count += 1
        verb, name = body["verb"], author or body["author"]
        reason = REASONS[Verb(verb)][body["reason_code"]]
        made = {
            "seq": self.count, "time": "2026-01-05T10:00:00+00:00", "author": name, "verb": verb, "reason": reason,
            "reason_code": body["reason_code"], "expires": body["expires"], "note": body["note"],
        }  # fmt: skip
        state = {"reopen": "open", "dismiss": "dismissed", "confirm": "confirmed", "escalate": "escalated"}[
            verb
        ]
        self.standings[body["finding"]] = {
            "state": state, "words": f"{state} by {name}: {reason}", "closed": state == "dismissed",
            "awaiting": False, "expired": "", "history": [*history, made],
        }  # fmt: skip
        return 200, {"count": self.count, "head": "h", "seq": self.count,
                     "standing": self.standings[body["finding"]]}  # fmt: skip
