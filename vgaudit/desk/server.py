"""The server of the desk: a port of this machine alone, a token that nobody can guess, and an orderly end."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vgaudit.decisions import cut_torn_line
from vgaudit.desk.app import PAGE, build_app
from vgaudit.desk.applying import Applier, write_again
from vgaudit.desk.session import Session, View
from vgaudit.errors import RunDirError, UsageError
from vgaudit.pipeline.finish import hold_again
from vgaudit.pipeline.photographs import photographs, record_shown
from vgaudit.reports.write import reports_are_current
from vgaudit.rundir import RunDir

if TYPE_CHECKING:
    import uvicorn

ADDRESS = "127.0.0.1"
PORT = 8750
"""Taken where no port is asked for; if it is not free, any other is."""

_END_S = 3


class DeskServer:
    """A run under review at an address of this machine.

    Attributes:
        session: The run.
        url: Where the page is; whoever knows it can decide.
    """

    def __init__(
        self, run: Path, *, port: int | None = None, author: str = "", photos: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        """Open the run, write its reports again where they are not current, and take the port.

        Args:
            run: A scored run.
            port: The port; by default :data:`PORT`, or another one that is free.
            author: Who decides where the page gives no name.
            photos: Photographs (``gallery build --photos``) to be shown beside matches.
            say: Is told what has to be done before the desk can open.

        Raises:
            RunDirError: No run, one that has not been scored or cannot be written, or another process writes it.
            UsageError: The port is taken.
        """
        RunDir.open(run)
        if not os.access(run, os.W_OK):
            raise RunDirError(
                f"{run}: expected a run directory that can be written, as decisions are kept in it; `vgaudit review "
                "pack` makes a copy whose decisions are sent back"
            )
        if mended := cut_torn_line(run):
            say(f"decisions.jsonl: {mended}")
        self.session = Session(run)
        self._applier = Applier(self.session)
        self._write_reports(photos, say)
        self._socket = _listening(port)
        self._token = secrets.token_hex(32)
        self._port = int(self._socket.getsockname()[1])
        self.url = f"http://{ADDRESS}:{self._port}/{self._token}/{PAGE}"
        self._app = build_app(self.session, self._applier, self._token, self._port, author)

    def _write_reports(self, photos: Path | None, say: Callable[[str], None]) -> None:
        run = self.session.run
        page = run / "report" / PAGE
        if photos is not None:
            say("writing the reports with photographs")
            opened = RunDir.open(run)
            with opened.lock():
                hold_again(opened, lambda data: photographs(photos, data))
                record_shown(run)
        elif not page.is_file() or not reports_are_current(run):
            say("writing the reports again, as they are not those of the run as it is now")
            write_again(self.session)
        if not page.is_file():
            raise RunDirError(f"{page}: expected the page for reviewers, found none after writing the report")

    def serve(self, ready: Callable[[str], None] = lambda url: None) -> None:
        """Answer requests until Ctrl-C or a SIGTERM. Decisions are on disk before they are answered.

        Args:
            ready: Called with :attr:`url`; a browser that it opens is answered.
        """
        import uvicorn

        config = uvicorn.Config(
            self._app, http="h11", ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
            access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=_END_S,
        )  # fmt: skip
        server = uvicorn.Server(config)
        self._applier.start()
        try:
            with _ended_by_signals(server):
                ready(self.url)
                server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def finish(self) -> View:
        """Apply what has not been applied, and say where the run stands.

        Raises:
            RunDirError: Verdict and reports cannot be written; decisions are saved all the same.
        """
        self._applier.stop()
        view = self.session.look()
        if self._applier.due(view):
            write_again(self.session)
            view = self.session.look()
        return view

    def close(self) -> None:
        """Give the port back without having served."""
        self._applier.stop()
        self._socket.close()


def _listening(port: int | None) -> socket.socket:
    """A socket that listens on the loopback interface."""
    for wanted in (PORT, 0) if port is None else (port,):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((ADDRESS, wanted))
            taken.listen(128)
        except OSError as error:
            taken.close()
            if port is None and wanted:
                continue
            what = {EADDRINUSE: "it is taken", EACCES: "this user may not use it"}.get(
                error.errno or 0, str(error)
            )
            raise UsageError(
                f"--port {wanted}: expected a free port of this machine, found that {what}; give another, or leave "
                "--port out to have a free one chosen"
            ) from error
        return taken
    raise AssertionError("the last port is any that is free")


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """A signal ends the server, and not the process.

    While it runs, the server hears signals itself; it raises them once more when it has ended. One that comes
    before it listens to them counts as well.
    """

    def heard(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
