"""A web server for one file that can behave as badly as real ones do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served and how; everything may be changed between requests.

    Attributes:
        data: The file.
        etag: Its tag; none is sent if ``None``.
        modified: Its ``Last-Modified``; none is sent if ``None``.
        ranges: Whether a request for a part gets a part.
        heeds_if_range: Whether ``If-Range`` is looked at.
        cuts: Bytes of the body after which the connection ends, one for each request to come.
        statuses: Answers other than the file, one for each request to come.
        stall: If set, a cut answer waits for this instead of ending.
        length: Whether the length is told.
        url: Where it is.
        requests: ``Range`` header of each request so far; "" where there was none.
    """

    data: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    stall: threading.Event | None = None
    length: bool = True
    redirect: str = ""
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        tags = {"ETag": self.etag, "Last-Modified": self.modified}
        return {name: value for name, value in tags.items() if value is not None}

    def begin_of(self, wanted: str, if_range: str) -> int | None:
        """First byte to send; ``None``: the whole file."""
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        if match is None or not self.ranges:
            return None
        if self.heeds_if_range and if_range and if_range not in (self.etag, self.modified):
            return None
        return int(match[1])


@contextmanager
def serving(data: bytes) -> Iterator[FileServer]:
    """Serve ``data`` at ``url`` until the block ends."""
    told = FileServer(data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            told.requests.append(wanted)
            if told.redirect and self.path == "/file":
                self.send_response(302)
                self.send_header("Location", told.redirect)
                self.end_headers()
                return
            if told.statuses:
                self.send_error(told.statuses.pop(0))
                return
            begin = told.begin_of(wanted, self.headers.get("If-Range", ""))
            if begin is not None and begin >= len(told.data):
                self.send_error(416)
                return
            body = told.data[begin or 0 :]
            self.send_response(200 if begin is None else 206)
            if begin is not None:
                self.send_header("Content-Range", f"bytes {begin}-{len(told.data) - 1}/{len(told.data)}")
            if told.length:
                self.send_header("Content-Length", str(len(body)))
            for name, value in told.headers().items():
                self.send_header(name, value)
            self.end_headers()
            cut = told.cuts.pop(0) if told.cuts else None
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if cut is not None and told.stall is not None:
                told.stall.wait(20)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        if told.stall is not None:
            told.stall.set()
        server.shutdown()
        server.server_close()
