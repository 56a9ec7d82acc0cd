"""The desk's web app: the report's files, the state of the review, and a decision at a time."""

from __future__ import annotations

import html
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from vgaudit.decisions import Verb, author_name
from vgaudit.desk.applying import Applier
from vgaudit.desk.files import open_below, part
from vgaudit.desk.guard import POLICY, App, Guard
from vgaudit.desk.session import Session
from vgaudit.errors import RunDirError, UsageError
from vgaudit.pipeline.deciding import DecidedSince, Made
from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY
from vgaudit.rows import strict_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = "review.html"
MARK = '<meta name="vgaudit-desk" content="served">'
HEADER = "X-Vgaudit-Desk"
"""A page of another origin cannot send it without this server's consent, which is never given."""

MAX_BODY = 256 * 1024
"""Bytes of a decision, at most: a note of the longest kind, every character of it escaped, has room."""

_WHOLE = 4 * 1024 * 1024
_FIELDS = {"finding", "verb", "reason_code", "note", "expires", "author", "seen"}


def build_app(session: Session, applier: Applier, token: str, port: int, author: str = "") -> App:
    """The app, guarded.

    Args:
        session: The run.
        applier: Writes the reports.
        token: What every path begins with.
        port: The port it is served at.
        author: Who decides where the page gives no name; empty for nobody.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    desk = _Desk(session, applier, author)
    routes = [
        Route("/api/state", desk.state, methods=["GET"]),
        Route("/api/decide", desk.decide, methods=["POST"]),
        Route("/{path:path}", desk.file, methods=["GET"]),
    ]
    starlette = Starlette(routes=routes)
    starlette.router.redirect_slashes = False
    return Guard(starlette, token, port)


def served_page(page: str) -> str:
    """``review.html`` as the desk sends it: it says that it is served, and may ask this server."""
    head, end, body = page.partition("</head>")
    if "connect-src" not in head:
        escaped = html.escape(CONTENT_SECURITY_POLICY)
        for spelling in (CONTENT_SECURITY_POLICY, escaped, escaped.replace("&#x27;", "&#39;")):
            if spelling in head:
                head = head.replace(spelling, html.escape(POLICY), 1)
                break
    if not end:
        raise RunDirError(f"{PAGE}: expected a page with a head, found none; run `vgaudit report` again")
    return f"{head}{MARK}\n{end}{body}"


class _Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, error: str) -> None:
        self.status, self.error = status, error
        super().__init__(error)


class _Desk:
    def __init__(self, session: Session, applier: Applier, author: str) -> None:
        self._session, self._applier, self._author = session, applier, author
        self._report = session.run / "report"

    # -- the report's files ------------------------------------------------------------------------

    def file(self, request: Request) -> Response:
        """A file of the report, or the part of it that was asked for. Runs on a thread."""
        from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

        path = request.scope["path"][1:]
        if not path:
            return RedirectResponse(PAGE)
        found = open_below(self._report, path)
        if found is None:
            return PlainTextResponse("the report has no such file\n", 404)
        if path == PAGE:
            try:
                return Response(served_page(found.read().decode("utf-8")), media_type=found.type)
            except (RunDirError, UnicodeDecodeError) as error:
                return PlainTextResponse(f"{error}\n", 500)
        headers = {"Accept-Ranges": "bytes", "Content-Type": found.type}
        begin, end, status = 0, found.size, 200
        # No validator is ever sent, so an If-Range fits none: then all is sent.
        if "range" in request.headers and "if-range" not in request.headers:
            try:
                span = part(request.headers["range"], found.size)
            except ValueError:
                found.close()
                return Response(status_code=416, headers={"Content-Range": f"bytes */{found.size}"})
            if span is not None:
                (begin, end), status = span, 206
                headers["Content-Range"] = f"bytes {begin}-{end - 1}/{found.size}"
        headers["Content-Length"] = str(end - begin)
        if request.method == "HEAD":
            found.close()
            return Response(status_code=status, headers=headers)
        if end - begin <= _WHOLE:
            return Response(b"".join(found.blocks(begin, end)), status, headers)
        return StreamingResponse(found.blocks(begin, end), status, headers)

    # -- what there is to know ---------------------------------------------------------------------

    def state(self, request: Request) -> Response:
        """Where the review stands. Runs on a thread."""
        text = request.query_params.get("since")
        if text is not None and not (text.isascii() and text.isdecimal() and len(text) < 10):
            return _json({"error": f"expected since=COUNT, found {text[:40]!r}"}, 422)
        try:
            view = self._session.look()
        except (RunDirError, OSError) as error:
            return _json({"error": str(error)}, 503)
        problems = [view.decided.problem, self._applier.problem]
        return _json(
            {
                "count": len(view.decisions),
                "head": view.head,
                "problem": "; ".join(p for p in problems if p),
                "verdict": {"outcome": view.verdict.outcome.value, "reason": view.verdict.reason},
                "applied": view.applied,
                "applying": self._applier.doing,
                "total": len(view.findings),
                "open": view.open,
                "edition": view.edition,
                "author": self._author,
                "standings": self._session.standings(view, None if text is None else int(text)),
            }
        )

    # -- deciding ----------------------------------------------------------------------------------

    async def decide(self, request: Request) -> Response:
        """Take one decision; the answer is 200 only when it is on disk."""
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import ClientDisconnect

        try:
            body = await _body(request)
        except _Refused as error:
            return _json({"error": error.error}, error.status)
        except ClientDisconnect:
            return _json({"error": "the request ended early"}, 400)
        return await run_in_threadpool(self._decide, body)

    def _decide(self, body: bytes) -> Response:
        finding = ""
        try:
            finding, made = _made(body, self._author)
            written = self._session.decide(finding, made)
        except DecidedSince as error:
            view = self._session.look()
            return _json({"error": str(error), "standing": self._session.standing(view, finding)}, 409)
        except RunDirError as error:
            return _json({"error": str(error)}, 503)
        except UsageError as error:
            return _json({"error": str(error)}, 422)
        except OSError as error:
            return _json({"error": f"{self._session.run}: the decision cannot be written: {error}"}, 503)
        # What is said from here on must not take back that it is written.
        try:
            view = self._session.look()
            standing = self._session.standing(view, finding) if finding in view.findings else None
            count, head = len(view.decisions), view.head
        except (RunDirError, OSError):
            standing, count, head = None, written.seq, written.hash
        return _json({"count": count, "head": head, "seq": written.seq, "standing": standing})


async def _body(request: Request) -> bytes:
    if request.headers.get(HEADER) != "1":
        raise _Refused(403, f"expected the header {HEADER}: 1")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "expected a decision as application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _Refused(413, f"expected a decision of at most {MAX_BODY} bytes, found more")
    return body


def _made(body: bytes, author: str) -> tuple[str, Made]:
    """The finding and the decision that a request names; raises UsageError."""
    try:
        value = strict_json(body)
    except ValueError as error:
        raise UsageError(f"expected a decision as JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError("expected a decision as a JSON object")
    if odd := sorted(value.keys() - _FIELDS):
        raise UsageError(f"expected {', '.join(sorted(_FIELDS))}, found {', '.join(odd)[:200]}")
    text: dict[str, str] = {}
    for name in sorted(_FIELDS - {"seen"}):
        given: Any = value.get(name) or ""
        if not isinstance(given, str):
            raise UsageError(f"expected text as {name}")
        text[name] = given
    seen = value.get("seen")
    if not isinstance(seen, int) or isinstance(seen, bool) or seen < 0:
        raise UsageError(
            f"expected the number of the last decision that was seen, or 0, as seen, found {str(seen)[:40]!r}"
        )
    try:
        verb = Verb(text["verb"])
    except ValueError as error:
        raise UsageError(
            f"expected one of {', '.join(Verb)}, found the verb {text['verb'][:40]!r}"
        ) from error
    try:
        expires = date.fromisoformat(text["expires"]) if text["expires"] else None
    except ValueError as error:
        raise UsageError(
            f"expires: expected a day such as 2027-03-31, found {text['expires'][:40]!r}"
        ) from error
    name = author_name(text["author"] or author, {})
    return text["finding"], Made(verb, text["reason_code"], name, text["note"], expires, seen)


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(json.dumps(value, ensure_ascii=False), status, media_type="application/json")
