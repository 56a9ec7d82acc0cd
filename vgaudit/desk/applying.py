"""Verdict and reports follow decisions in the background, so that nobody who decides waits for them."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Literal

from vgaudit.desk.session import Session, View
from vgaudit.errors import RunDirError, RunLocked
from vgaudit.pipeline.deciding import apply
from vgaudit.pipeline.photographs import kept_on_the_page
from vgaudit.reports.data import ReportData

QUIET_S = 1.5
"""Nobody has decided for so long before the reports are written, or for as long as that took the last time."""

LONGEST_S = 60.0
"""After so long they are written even while reviewers go on."""

_TICK_S = 0.25
_AGAIN_S = 1.0
_AFTER_FAILURE_S = 30.0

Doing = Literal["idle", "due", "running", "waiting", "failed"]


def write_again(session: Session, *, wait_s: float | None = None) -> ReportData:
    """Hold the gates and write the reports; photographs that the page shows stay on it."""
    return apply(session.run, wait_s=wait_s, photos=lambda data: kept_on_the_page(data.run_dir))


class Applier:
    """Applies decisions, whoever made them, once it has been quiet for a short time."""

    def __init__(self, session: Session, write: Callable[[Session], object] | None = None) -> None:
        """Watch ``session``; ``write`` is called to apply, by default :func:`write_again` without waiting."""
        self._session = session
        self._write = write or (lambda session: write_again(session, wait_s=0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vgaudit-desk-applier", daemon=True)
        self._done_for = ""
        self._quiet_s = QUIET_S
        self.doing: Doing = "idle"
        self.problem = ""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits for reports that are being written."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def due(self, view: View) -> bool:
        """Whether verdict or reports do not know all decisions, or not that one has expired."""
        return not view.current or view.decided.key not in (view.applied_key, self._done_for)

    def _watch(self) -> None:
        key, changed, first, not_before = "", 0.0, 0.0, 0.0
        while not self._stop.wait(_TICK_S):
            now = time.monotonic()
            try:
                view = self._session.look()
            except (RunDirError, OSError):
                continue  # whoever asks for the state is told
            if not self.due(view):
                key, self.doing, self.problem = "", "idle", ""
                continue
            if view.decided.key != key:
                first = first if key else now
                key, changed = view.decided.key, now
                if self.doing != "waiting":
                    self.doing, self.problem, not_before = "due", "", 0.0
            if now >= not_before and (now - changed >= self._quiet_s or now - first >= LONGEST_S):
                key = "" if self._tried(key) else key
                not_before = time.monotonic() + (_AFTER_FAILURE_S if self.doing == "failed" else _AGAIN_S)

    def _tried(self, key: str) -> bool:
        """Apply once; says how it went in ``doing`` and ``problem``. A decision is never lost here."""
        begin = time.monotonic()
        self.doing = "running"
        try:
            self._write(self._session)
        except RunLocked as error:
            self.doing = "waiting"
            self.problem = f"decisions are saved; verdict and report follow once the run is free: {error}"
            return False
        except Exception as error:  # whatever it is, the desk goes on
            traceback.print_exc()
            self.doing = "failed"
            self.problem = (
                f"problem applying: decisions are saved, but verdict and report do not know them: {error}"
            )
            return False
        self._done_for, self.doing, self.problem = key, "idle", ""
        self._quiet_s = max(QUIET_S, time.monotonic() - begin)
        return True
