"""Only this machine, only who has the address, only the desk's own page; and the same headers on every answer."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.desk.served import Answer, Desk
from vgaudit import decisions


def guarded(answer: Answer) -> int:
    """The status of an answer that carries all headers."""
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]
    return answer.status


def test_it_listens_on_this_machine_alone_and_the_token_is_long_and_new(desk: Desk, run: Path) -> None:
    assert desk.url.startswith("http://127.0.0.1:")
    assert len(desk.token) == 64
    with socket.socket() as probe:  # another address of the loopback network: nobody listens on all of them
        probe.settimeout(2)
        assert probe.connect_ex(("127.0.0.2", desk.port)) != 0
    with Desk(run) as other:
        assert other.token != desk.token
        assert other.port != desk.port
    stored = [p for p in desk.run.rglob("*") if p.is_file() and desk.token.encode() in p.read_bytes()]
    assert stored == []


@pytest.mark.parametrize(
    "path", ["/", "/review.html", "/api/state", "/{wrong}/review.html", "/{short}/api/state", "//"]
)
def test_without_the_token_there_is_nothing(desk: Desk, path: str) -> None:
    path = path.format(wrong=desk.token[::-1], short=desk.token[:-1])
    assert guarded(desk.ask(path, whole=True)) == 404


@pytest.mark.parametrize("path", ["review.html", "api/state", "assets/report.css"])
def test_with_the_token_there_is(desk: Desk, path: str) -> None:
    assert guarded(desk.ask(path)) == 200
    for host in (f"localhost:{desk.port}", f"[::1]:{desk.port}", f"LOCALHOST:{desk.port}"):
        assert guarded(desk.ask(path, Host=host)) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "127.0.0.1.nip.io:{port}"]
)
def test_another_host_is_refused(desk: Desk, host: str) -> None:
    assert guarded(desk.ask("review.html", Host=host.format(port=desk.port))) == 403
    assert guarded(desk.ask("/", whole=True, Host=host.format(port=desk.port))) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://127.0.0.1:{port}.evil"]
)  # fmt: skip
def test_another_origin_is_refused(desk: Desk, origin: str) -> None:
    named = {"Origin": origin.format(port=desk.port)}
    assert guarded(desk.ask("api/state", **named)) == 403
    assert guarded(desk.post(b"{}", **named)) == 403
    assert guarded(desk.post(b"{}", Origin=f"http://localhost:{desk.port}")) == 422


def test_a_decision_needs_what_no_page_of_others_can_send(desk: Desk) -> None:
    first = next(iter(desk.state()["standings"]))
    body = json.dumps(
        {"finding": first, "verb": "confirm", "reason_code": "same_person", "author": "Eve", "seen": 0}
    )
    assert guarded(desk.post(body.encode(), X_Vgaudit_Desk="0")) == 403
    assert guarded(desk.ask("api/decide", "POST", body.encode(), Content_Type="application/json")) == 403
    assert guarded(desk.post(body.encode(), Content_Type="text/plain")) == 415
    assert guarded(desk.post(b" " * (256 * 1024 + 1))) == 413
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        assert guarded(desk.ask("api/decide", method)) in (404, 405)
    assert guarded(desk.ask("review.html", "POST", b"")) == 405
    assert decisions.read_chain(desk.run).decisions == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verb": "delete"}, "expected one of confirm"),
        ({"reason_code": "because"}, "expected a reason code of dismiss"),
        ({"reason_code": "other"}, "expected a note"),
        ({"verb": "clear", "reason_code": "consent_on_file"}, "consent ends"),
        ({"verb": "reopen", "reason_code": "mistake"}, "nobody has decided on it"),
        ({"expires": "tomorrow"}, "2027-03-31"),
        ({"expires": "2020-01-01"}, "it is over"),
        ({"author": "  "}, "expected the name"),
        ({"author": "A\u202eB"}, "U+202E"),
        ({"author": "x" * 121}, "121 characters"),
        ({"author": 7}, "expected text as author"),
        ({"note": "x" * 10_001}, "10000 characters"),
        ({"note": "\ud800"}, "half of a surrogate pair"),
        ({"\ud800": 1}, "half of a surrogate pair"),
        ({"finding": "0" * 32}, "no finding"),
        ({"finding": ""}, "no finding"),
        ({"seen": None}, "as seen"),
        ({"seen": True}, "as seen"),
        ({"seen": -1}, "as seen"),
        ({"policy": "none"}, "found policy"),
    ],
)
def test_a_decision_that_is_not_complete_is_told(desk: Desk, change: dict[str, object], told: str) -> None:
    first = next(iter(desk.state()["standings"]))
    answer = desk.decide(
        str(change.get("finding", first)), **{k: v for k, v in change.items() if k != "finding"}
    )  # type: ignore[arg-type]
    assert guarded(answer) == 422
    assert told in answer.json["error"]
    assert decisions.read_chain(desk.run).decisions == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'"x"',
        b'{"seen": 1e999}',
    ],
)
def test_what_is_no_decision_is_told(desk: Desk, body: bytes) -> None:
    answer = desk.post(body)
    assert guarded(answer) == 422
    assert answer.json["error"]


def test_a_decision_that_says_two_things_is_told(desk: Desk) -> None:
    value = {
        "finding": next(iter(desk.state()["standings"])),
        "author": "Ann",
        "seen": 0,
        "reason_code": "other",
    }
    body = json.dumps({**value, "note": "So.", "verb": "confirm"}).removesuffix("}") + ', "verb": "dismiss"}'
    answer = desk.post(body.encode())
    assert guarded(answer) == 422
    assert "'verb' occurs twice" in answer.json["error"]
    assert decisions.read_chain(desk.run).decisions == ()


@pytest.mark.parametrize("since", ["-1", "x", "1e3", "²", "9999999999"])
def test_a_state_since_nothing_is_told(desk: Desk, since: str) -> None:
    from urllib.parse import quote

    assert guarded(desk.ask(f"api/state?since={quote(since)}")) == 422
