"""The HTTP example against a local service: submit, poll, download, refuse, busy, broken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import ROOT
from vgaudit.backends.base import BackendContext, Generated, PromptSpec
from vgaudit.backends.command import CommandBackend
from vgaudit.backends.command_options import CommandOptions

CLIP = b"the bytes of a clip"


class Service(ThreadingHTTPServer):
    """A provider: jobs by idempotency key, done at the second poll; words in the prompt make it misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.submitted: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polls: dict[str, int] = {}
        self.busy = 0
        self.polls_needed = 2

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def log_message(self, *_: Any) -> None:
        pass

    def say(
        self, code: int, value: Any = None, headers: dict[str, str] | None = None, data: bytes = b""
    ) -> None:
        body = data or json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer t0ken-value":
            return self.say(401, {"error": f"bad token {self.headers['Authorization']}"})
        if self.server.busy:
            self.server.busy -= 1
            return self.say(429, {"error": "slow down"}, {"Retry-After": "0"})
        if "forbidden" in body["prompt"]:
            return self.say(422, {"error": "prompt violates the policy"})
        job_id = f"job-{self.headers['Idempotency-Key']}"
        if job_id not in self.server.jobs:
            self.server.submitted.append(body)
            self.server.jobs[job_id] = body
        return self.say(202, {"id": job_id})

    def do_GET(self) -> None:
        if self.path.startswith("/v1/files/"):
            return self.say(200, data=CLIP)
        job_id = self.path.rsplit("/", 1)[-1]
        job = self.server.jobs[job_id]
        self.server.polls[job_id] = self.server.polls.get(job_id, 0) + 1
        if self.server.polls[job_id] < self.server.polls_needed:
            return self.say(200, {"status": "running"})
        if "nude" in job["prompt"]:
            return self.say(200, {"status": "refused", "reason": "unsafe output", "cost": 0.2})
        if "broken" in job["prompt"]:
            return self.say(200, {"status": "failed", "reason": "GPU fell over"})
        if "elsewhere" in job["prompt"]:
            return self.say(200, {"status": "succeeded", "download": "file:///etc/hostname"})
        if "redirect" in job["prompt"]:
            return self.say(302, {}, {"Location": "http://127.0.0.1:1/steal"})
        return self.say(200, {"status": "succeeded", "download": "files/x.mp4", "cost": 0.4})


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def ask(
    service: Service, prompts: dict[str, str], jobs: dict[str, str] | None = None, **options: Any
) -> dict[str, Generated]:
    argv = ("{python}", "client.py", "{request}", "--url", service.url, "--interval", "0.01", "--wait", "5")
    given = {"argv": argv, "env": ("VIDEO_API_TOKEN",), "max_wait_s": 0.01, **options}
    backend = CommandBackend(CommandOptions(**given), BackendContext(ROOT / "examples" / "http_backend"))
    samples = backend.samples([PromptSpec(k, v) for k, v in prompts.items()], (3,))
    pending = {s.sample_id: jobs[s.prompt_id] for s in samples if jobs and s.prompt_id in jobs}
    out = {}
    for answer in backend.generate(samples, pending=pending):
        if answer.path:
            assert answer.path.read_bytes() == CLIP
        out[answer.sample.prompt_id] = answer
    return out


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_API_TOKEN", "t0ken-value")


def test_submit_poll_download_and_refuse(service: Service) -> None:
    prompts = {"ok": "a dog", "in": "forbidden", "out": "nude", "bad": "broken"}
    prompts |= {"file": "elsewhere", "to": "redirect"}
    answers = ask(service, prompts)
    assert {k: a.outcome.value for k, a in answers.items()} == {
        "ok": "ok",
        "in": "refused_input",
        "out": "refused_output",
        "bad": "error",
        "file": "retry_after",
        "to": "retry_after",
    }
    assert answers["ok"].cost == 0.4
    assert (answers["out"].cost, answers["out"].message) == (0.2, "unsafe output")
    assert "HTTP 422" in answers["in"].message
    assert answers["bad"].message == "GPU fell over"
    assert "a link that is not http" in answers["file"].message
    assert "HTTP 302" in answers["to"].message
    assert service.submitted[0]["seed"] == 3


def test_a_long_job_stays_pending_and_is_polled_later(service: Service) -> None:
    service.polls_needed = 3
    argv = ("{python}", "client.py", "{request}", "--url", service.url, "--interval", "0.01", "--wait", "0")
    first = ask(service, {"ok": "a dog"}, argv=argv)["ok"]
    assert first.outcome.value == "retry_after"
    assert first.job_id is not None
    second = ask(service, {"ok": "a dog"}, {"ok": first.job_id}, argv=argv, max_attempts=5)["ok"]
    assert second.outcome.value == "ok"
    assert len(service.submitted) == 1


def test_a_busy_service_is_asked_again(service: Service) -> None:
    service.busy = 2
    assert ask(service, {"ok": "a dog"}, max_attempts=3)["ok"].outcome.value == "ok"


def test_a_wrong_token_shows_no_token(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_API_TOKEN", "wrong-value")
    answer = ask(service, {"ok": "a dog"})["ok"]
    assert answer.outcome.value == "error"
    assert "HTTP 401" in answer.message
    assert "bad token Bearer ***" in answer.message
    assert "wrong-value" not in answer.message


def test_the_examples_suite_is_valid() -> None:
    from vgaudit.suite import load_suite

    loaded = load_suite(ROOT / "examples" / "http_backend" / "suite.yaml")
    assert loaded.backends[0].type == "command"
    assert len(loaded.prompts) == 2
