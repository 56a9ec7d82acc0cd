"""Remembers submitted jobs on disk, so that not even ``kill -9`` makes a paid job be submitted twice.

With a working folder of the run, each start of a program has its folder there, and each job id is written down as
soon as it is known. Without one, both live only as long as the process.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vgaudit.backends.command_response import Response, read_responses

_ANY_SIZE = 2**63


class JobNotes:
    """Notes of one backend.

    Args:
        work_dir: Folder of the run that outlives the process, or ``None``.
    """

    def __init__(self, work_dir: Path | None) -> None:
        self._notes = None if work_dir is None else work_dir / "jobs"
        self._starts = None if work_dir is None else work_dir / "starts"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for one start; it is removed when the consumer has taken the clips out of it."""
        if self._starts is not None:
            self._starts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix="vgaudit-", dir=self._starts, ignore_cleanup_errors=True
        ) as name:
            yield Path(name).resolve()

    def known(self, sample_ids: Sequence[str]) -> dict[str, str]:
        """``sample_id -> job_id`` of what was noted, and of what a killed process left in its folders."""
        found = {}
        if self._notes is not None and self._notes.is_dir():
            for sample_id in sample_ids:
                path = self._notes / f"{sample_id}.json"
                if path.is_file():
                    found[sample_id] = str(json.loads(path.read_text())["job_id"])
        for sample_id, job_id in self._left_behind().items():
            self.note(sample_id, job_id)
            found[sample_id] = job_id
        if self._starts is not None:
            shutil.rmtree(self._starts, ignore_errors=True)
        return {s: j for s, j in found.items() if s in set(sample_ids)}

    def _left_behind(self) -> dict[str, str]:
        if self._starts is None or not self._starts.is_dir():
            return {}
        found: dict[str, str] = {}
        for request in self._starts.glob("*/request.json"):
            try:
                asked = json.loads(request.read_text(encoding="utf-8"))
            except ValueError:
                continue  # killed while writing it: nothing was started yet
            ids = [s["sample_id"] for s in asked.get("samples", [asked])]
            for sample_id, answer in read_responses(request.parent / "output", ids, _ANY_SIZE).items():
                if isinstance(answer, Response) and answer.job_id:
                    found[sample_id] = answer.job_id
        return found

    def note(self, sample_id: str, job_id: str) -> None:
        """Write a job down, atomically."""
        if self._notes is None:
            return
        self._notes.mkdir(parents=True, exist_ok=True)
        new = self._notes / f"{sample_id}.new"
        new.write_text(json.dumps({"job_id": job_id}))
        new.replace(self._notes / f"{sample_id}.json")

    def forget(self, sample_id: str) -> None:
        """The job has ended and its answer was taken."""
        if self._notes is not None:
            (self._notes / f"{sample_id}.json").unlink(missing_ok=True)
