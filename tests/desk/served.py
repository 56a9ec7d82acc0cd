"""A desk in a process of its own, and requests to it as a browser or a stranger would make them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
STAND_IN = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" content="{csp}">\n<title>Review</title>\n'
    '<link rel="icon" href="assets/icon.svg"><script defer src="assets/stand_in.js"></script></head>\n'
    '<body><p id="said"></p></body></html>\n'
)


def with_page(run: Path, script: str = "") -> Path:
    """A run whose report has a page for reviewers, whichever version wrote the report."""
    import html

    from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY

    page = run / "report" / "review.html"
    if script or not page.is_file():
        page.write_text(STAND_IN.format(csp=html.escape(CONTENT_SECURITY_POLICY)), encoding="utf-8")
        (run / "report" / "assets" / "stand_in.js").write_text(script, encoding="utf-8")
    return run


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Desk:
    """``vgaudit review`` of ``run``; a context manager that ends it as Ctrl-C does."""

    run: Path
    options: tuple[str, ...] = ()
    url: str = ""
    said: list[str] = field(default_factory=list)

    def __enter__(self) -> Desk:
        environment = {k: v for k, v in os.environ.items() if k != "VGAUDIT_AUTHOR"}
        command = (sys.executable, "-m", "vgaudit", "review", str(self.run), "--no-browser", *self.options)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if line.startswith("http://"):
                self.url = line.strip().removesuffix("review.html")
                return self
        raise AssertionError("\n".join(self.said))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.stop()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, wait for the end; returns the exit code."""
        assert self.process.stdout is not None
        self.process.send_signal(number)
        self.said += self.process.stdout.read().splitlines()
        self.process.stdout.close()
        return self.process.wait(60)

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    @property
    def token(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, whole: bool = False, **headers: str
    ) -> Answer:
        """One request; ``path`` is below the token unless it is ``whole``. ``X_Y`` is the header ``X-Y``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            target = path if whole else f"/{self.token}/{path}"
            connection.putrequest(method, target, skip_host="Host" in named, skip_accept_encoding=True)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def state(self, since: int | None = None) -> Any:
        answer = self.ask("api/state" if since is None else f"api/state?since={since}")
        assert answer.status == 200, answer.body
        return answer.json

    def until(self, wanted: Any, seconds: float = 30.0) -> Any:
        """The state, once ``wanted`` is true of it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if wanted(state):
                return state
            time.sleep(0.1)
        raise AssertionError(f"never so: {state}")

    def decide(self, finding: str, verb: str = "dismiss", **other: Any) -> Answer:
        codes = {"confirm": "same_person", "dismiss": "not_this_person", "clear": "consent_on_file",
                 "escalate": "legal", "reopen": "mistake"}  # fmt: skip
        value = {"finding": finding, "verb": verb, "reason_code": codes.get(verb, "other"), "note": "",
                 "expires": None, "author": "Ann", "seen": 0, **other}  # fmt: skip
        return self.post(json.dumps(value).encode())

    def post(self, body: bytes, **headers: str) -> Answer:
        usual = {"Content_Type": "application/json", "X_Vgaudit_Desk": "1"}
        return self.ask("api/decide", "POST", body, **{**usual, **headers})
