"""What the command line shows: a live display on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vgaudit.progress import Progress, Stage

_PLAIN_EVERY_S = 10.0


def make_progress(quiet: bool = False) -> Progress:
    """The display that fits standard error: a terminal gets bars, a log file or CI gets lines."""
    if quiet:
        from vgaudit.progress import Silent

        return Silent()
    return RichProgress() if sys.stderr.isatty() else PlainProgress()


class PlainProgress:
    """One line when a stage begins, at most one every ten seconds, and one when it ends."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Open a stage; a stage with nothing to do says nothing."""
        stage = _PlainStage(name, total)
        yield stage
        stage.close()

    def note(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)


class _PlainStage:
    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self._begin = self._last = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, detail: str = "") -> None:
        """Count; say so now and then."""
        with self._lock:
            self.done += 1
            now = time.monotonic()
            if now - self._last >= _PLAIN_EVERY_S and self.done < self.total:
                self._last = now
                left = (now - self._begin) / self.done * (self.total - self.done)
                self._say(f"{self.done}/{self.total} ({detail}), about {left:.0f} s left")

    def close(self) -> None:
        """Say how it ended."""
        if self.total:
            self._say(f"{self.done}/{self.total} in {time.monotonic() - self._begin:.1f} s")

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


class RichProgress:
    """Bars with counts and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}", justify="left"),
            console=self._console,
        )
        self._open = 0

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Open a bar; a stage with nothing to do shows none."""
        if not total:
            yield _NoBar()
            return
        if not self._open:
            self._bars.start()
        self._open += 1
        task = self._bars.add_task(name, total=total, detail="")
        try:
            yield _Bar(self._bars, task)
        finally:
            self._bars.update(task, detail="")
            self._open -= 1
            if not self._open:
                self._bars.stop()

    def note(self, text: str) -> None:
        """One line above the bars."""
        from rich.markup import escape

        self._console.print(escape(text), style="dim", highlight=False)


class _Bar:
    def __init__(self, bars: object, task: object) -> None:
        self._bars, self._task = bars, task

    def advance(self, detail: str = "") -> None:
        """One more is done; the bar shows which."""
        from rich.markup import escape

        self._bars.update(self._task, advance=1, detail=escape(detail[:40]))  # type: ignore[attr-defined]


class _NoBar:
    def advance(self, detail: str = "") -> None:
        """Nothing to show."""
