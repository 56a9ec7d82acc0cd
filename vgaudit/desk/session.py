"""The run as the desk sees it: opened once, then only what has changed is read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from vgaudit.decisions import FILE, ChainReader, Decision, ReviewPolicy
from vgaudit.errors import RunDirError, UsageError
from vgaudit.pipeline.decided import Decided, follows
from vgaudit.pipeline.deciding import Listed, Made, open_desk, record
from vgaudit.records import Verdict, digest
from vgaudit.reports.review_items import standing_json
from vgaudit.reports.write import MARK, reports_are_current
from vgaudit.rundir import MANIFEST, RunDir

_Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class View:
    """The run at one moment.

    Attributes:
        findings: Those one can decide on, by fingerprint, the worst first.
        review: What the suite asks of reviewers.
        decided: What was decided on them.
        decisions: The lines of the chain.
        verdict: As it was when decisions were last applied.
        applied: How many decisions verdict and reports know.
        current: Whether all reports were written from the results that are there now.
        applied_key: :attr:`~vgaudit.pipeline.decided.Decided.key` of those.
        edition: Digest that changes when the run is scored again with other findings.
        day: The day expiries were held against, in UTC.
    """

    findings: Mapping[str, Listed]
    review: ReviewPolicy
    decided: Decided
    decisions: tuple[Decision, ...]
    verdict: Verdict
    applied: int
    current: bool
    applied_key: str
    edition: str
    day: date

    @property
    def open(self) -> int:
        """How many findings count as open."""
        closed = sum(s.closed for f, s in self.decided.standings.items() if f in self.findings)
        return len(self.findings) - closed

    @property
    def head(self) -> str:
        """Digest of the chain's last line; empty without decisions."""
        return self.decisions[-1].hash if self.decisions else ""


class Session:
    """One run under review. Safe to use from several threads; other processes may write the run meanwhile."""

    def __init__(self, run: Path) -> None:
        """Open a scored run and read its findings.

        Raises:
            RunDirError: No run, or one that has not been scored.
        """
        self.run = run
        self.made = 0
        self._lock = threading.Lock()
        self._stamp: _Stamp = ()
        self._chain_stamp: _Stamp = ()
        self._edition = ""
        self._reader = ChainReader()
        self._anchor: Mapping[str, Any] = {"count": 0, "head": ""}
        self._findings: dict[str, Listed] = {}
        self._review = ReviewPolicy()
        self._stored: dict[str, Any] = {}
        self._applied, self._current = 0, False
        self._view: View | None = None
        self.look()

    def look(self) -> View:
        """The run as it is now.

        A run that was scored again meanwhile is read again; lines of the chain that were checked are not checked
        again unless their bytes have changed.

        Raises:
            RunDirError: It cannot be read.
        """
        with self._lock:
            files = _stamp(self.run / "results.json", self.run / MANIFEST, self.run / MARK)
            if files != self._stamp:
                self._read_results()
                self._stamp, self._view = files, None
            chain, today = _stamp(self.run / FILE), datetime.now(UTC).date()
            if self._view is None or chain != self._chain_stamp or self._view.day != today:
                self._view = self._read_chain(today)
                self._chain_stamp = chain
            return self._view

    def decide(self, finding: str, made: Made) -> Decision:
        """Write one decision; it is on disk when this returns.

        Raises:
            DecidedSince: There are decisions on the finding that its author did not know of.
            UsageError: No such finding, or a decision that is not complete.
            RunDirError: The chain is damaged, or the run cannot be read.
            OSError: The disk cannot be written.
        """
        view = self.look()
        target = view.findings.get(finding)
        if target is None:
            raise UsageError(
                f"this run has no finding {finding[:64]!r} to decide on; if it was scored again meanwhile, reload "
                "the page"
            )
        with self._lock:
            anchor, reader = self._anchor, self._reader
        (written,) = record(self.run, target, made, view.review, anchor=anchor, reader=reader).written
        with self._lock:
            self.made += 1
        return written

    def standing(self, view: View, finding: str) -> dict[str, Any]:
        """Where a finding stands, for the page."""
        return standing_json(self.run, view.decided.of(view.findings[finding].finding))

    def standings(self, view: View, since: int | None = None) -> dict[str, Any]:
        """Where findings stand, for the page.

        Args:
            view: The run.
            since: Only those with a decision after this one of the chain, and those whose decision has expired; all
                without, or if it is more than there are decisions.
        """
        told: set[str] = set(view.findings)
        if since is not None and since <= len(view.decisions):
            told &= {d.finding for d in view.decisions[since:]} | {
                f for f, s in view.decided.standings.items() if s.expired
            }
        return {f: self.standing(view, f) for f in view.findings if f in told}

    def _read_results(self) -> None:
        """Read what was computed, and the findings where they are others than before."""
        run = RunDir.open(self.run)
        stored, manifest = run.results(), run.manifest()
        try:
            edition = digest([stored["measurement_keys"], manifest["plan_digest"], manifest["spec"]])
            Verdict.from_json(stored["verdict"])
            kept = {"count": 0, **(stored.get("decisions") or {})}
            count = int(kept["count"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirError(
                f"{self.run / 'results.json'}: cannot be read ({error}); run `vgaudit score {self.run}` again"
            ) from error
        if edition != self._edition:
            desk = open_desk(self.run)
            self._findings = {listed.finding.fingerprint: listed for listed in desk.findings}
            self._review, self._edition = desk.spec.review, edition
        self._stored = stored
        self._current = reports_are_current(self.run)
        if self._current:
            self._applied = count
        if count > int(self._anchor["count"]):
            self._anchor = kept

    def _read_chain(self, today: date) -> View:
        self._reader = self._reader.again(self.run, self._anchor)
        chain = self._reader.chain
        if not chain.problem:
            self._anchor = chain.anchor  # lines that were seen once are missed if they go
        found = [listed.finding for listed in self._findings.values()]
        stored = self._stored
        return View(
            self._findings,
            self._review,
            follows(chain, self._review, found, self._anchor),
            chain.decisions,
            Verdict.from_json(stored["verdict"]),
            self._applied,
            self._current,
            str(stored.get("decided", "")),
            self._edition,
            today,
        )


def _stamp(*files: Path) -> _Stamp:
    """Changes whenever one of the files is written or replaced."""
    found: list[tuple[int, ...]] = []
    for file in files:
        try:
            stat = file.stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        except FileNotFoundError:
            found.append(())
    return tuple(found)
