"""Keeps every start of a program on disk until its answers are taken, so that ``kill -9`` costs no answer.

Each start has a folder below ``starts`` in the run's working folder:

* ``request.json``: what was asked; it is complete before the program is started.
* ``process.json``: which process the program is, for as long as nobody saw it end.
* ``ended.json``: how it ended; absent when the run was killed first.
* ``output``: what the program left.
* ``taken``: an empty file for each sample whose answer is recorded elsewhere.

Files come into being complete, by renaming, and a folder goes by being renamed first.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgaudit.backends.left_processes import process_mark, wait_or_end

_PREFIX = "vgaudit-"
_GONE = "gone-"


@dataclass(frozen=True)
class Ending:
    """How a program ended.

    Attributes:
        reason: Why it did not end well, or an empty string.
        seconds: How long it ran.
    """

    reason: str
    seconds: float


@dataclass(frozen=True)
class Start:
    """One start of the program."""

    path: Path

    @property
    def request(self) -> Path:
        """What is asked."""
        return self.path / "request.json"

    @property
    def output(self) -> Path:
        """Where the program puts its answers."""
        return self.path / "output"

    def ask(self, request: Mapping[str, Any]) -> None:
        """Write the request and make the output folder."""
        self.output.mkdir()
        _write(self.request, request)

    def asked(self) -> dict[str, str | None]:
        """``sample_id -> job_id`` of what was asked; empty when the program cannot have been started yet."""
        request = _read(self.request)
        parts = request.get("samples", [request])
        if not isinstance(parts, list):
            return {}
        found: dict[str, str | None] = {}
        for part in parts:
            if isinstance(part, dict) and isinstance(sample_id := part.get("sample_id"), str):
                job = part.get("job_id")
                found[sample_id] = job if isinstance(job, str) else None
        return found

    def began(self, pid: int) -> None:
        """Write down which process the program is."""
        _write(self.path / "process.json", {"pid": pid, "mark": process_mark(pid), "at": time.time()})

    def ended(self, ending: Ending) -> None:
        """Write down how the program ended."""
        _write(self.path / "ended.json", {"reason": ending.reason, "seconds": ending.seconds})

    def ending(self) -> Ending | None:
        """How the program ended; ``None`` when nobody saw it."""
        value = _read(self.path / "ended.json")
        return Ending(str(value["reason"]), float(value["seconds"])) if value else None

    def settle(self, timeout_s: float, late: str) -> None:
        """Let a program that outlived its run come to its end, within what is left of its time.

        Args:
            timeout_s: Time of one start.
            late: Why it did not end well, if it had to be ended.
        """
        process = _read(self.path / "process.json")
        if not process or process["mark"] is None or self.ending() is not None:
            return
        # A clock that was set back must not make the wait longer than one start may take.
        spent = min(max(0.0, time.time() - process["at"]), timeout_s)
        if not wait_or_end(int(process["pid"]), process["mark"], timeout_s - spent):
            self.ended(Ending(late, timeout_s))

    def take(self, sample_id: str) -> None:
        """The answer for ``sample_id`` is recorded elsewhere and will not be needed from here."""
        folder = self.path / "taken"
        folder.mkdir(exist_ok=True)
        (folder / sample_id).touch()

    def is_taken(self, sample_id: str) -> bool:
        """Whether :meth:`take` was called."""
        return (self.path / "taken" / sample_id).exists()


class Starts:
    """The starts of one backend.

    Args:
        work_dir: Folder of the run that outlives the process; without one, a start lives as long as it is used.
    """

    def __init__(self, work_dir: Path | None) -> None:
        self._root = None if work_dir is None else work_dir.resolve() / "starts"

    @contextmanager
    def new(self) -> Iterator[Start]:
        """A new start. It is removed at the end if all its answers were taken, and kept otherwise."""
        if self._root is None:
            with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
                yield Start(Path(name).resolve())
            return
        self._root.mkdir(parents=True, exist_ok=True)
        start = Start(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._root)))
        yield start  # an exception, or a consumer that goes away, leaves the folder for the next run
        if all(start.is_taken(s) for s in start.asked()):
            self.remove(start)

    def left_behind(self) -> list[Start]:
        """Starts of earlier runs; what is half removed goes."""
        if self._root is None or not self._root.is_dir():
            return []
        for folder in self._root.glob(f"{_GONE}*"):
            shutil.rmtree(folder, ignore_errors=True)
        return [Start(folder) for folder in sorted(self._root.glob(f"{_PREFIX}*")) if folder.is_dir()]

    def remove(self, start: Start) -> None:
        """Remove a start; it is gone at once or not at all."""
        gone = start.path.rename(start.path.with_name(_GONE + start.path.name))
        shutil.rmtree(gone, ignore_errors=True)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    new.replace(path)


def _read(path: Path) -> dict[str, Any]:
    """The object in ``path``; empty when there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
