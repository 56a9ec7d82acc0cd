"""Who may talk to the desk, and the headers that every answer carries, whatever it is."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = f"{CONTENT_SECURITY_POLICY}; connect-src 'self'"
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_LOG = logging.getLogger("vgaudit.desk")


class Guard:
    """Lets requests through that name this server, come from no other page, and know the token."""

    def __init__(self, app: App, token: str, port: int) -> None:
        """Guard ``app``, which sees paths without the token."""
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost", "[::1]")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                fixed = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
                kept = [(n, v) for n, v in message.get("headers", ()) if n.lower() not in fixed]
                message = {**message, "headers": [*kept, *fixed.items()]}
            await send(message)

        refused = self._refused(scope)
        if refused:
            await answer(sending, *refused)
            return
        path = str(scope["path"]).split("/", 2)
        inner = {**scope, "path": "/" + (path[2] if len(path) > 2 else ""), "root_path": ""}
        inner["raw_path"] = inner["path"].encode("utf-8", "replace")
        try:
            await self._app(inner, receive, sending)
        except Exception:  # of our own making: told on the terminal, and the desk goes on
            _LOG.exception("the desk could not answer %s %s", scope["method"], inner["path"][:200])
            if not started:
                await answer(sending, 500, "the desk could not answer; its terminal says why")

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = [(n.lower(), v) for n, v in scope["headers"]]
        hosts = [value.lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, "expected this machine's own name and the desk's port as Host"
        if any(value.lower() not in self._origins for name, value in headers if name == b"origin"):
            return 403, "expected a request of the desk's own page, found one of another origin"
        named = str(scope["path"]).split("/", 2)[1:2]
        if not named or not secrets.compare_digest(named[0].encode("utf-8", "replace"), self._token):
            return 404, "nothing here; use the whole address that `vgaudit review` printed"
        return None


async def answer(send: Send, status: int, error: str) -> None:
    """An error as JSON."""
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
