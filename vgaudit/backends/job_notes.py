"""Remembers submitted jobs on disk, so that not even ``kill -9`` makes a paid job be submitted twice."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path


class JobNotes:
    """Notes of one backend.

    Args:
        work_dir: Folder of the run that outlives the process; without one, nothing is remembered.
    """

    def __init__(self, work_dir: Path | None) -> None:
        self._folder = None if work_dir is None else work_dir / "jobs"

    def known(self, sample_ids: Collection[str]) -> dict[str, str]:
        """``sample_id -> job_id`` of what was noted; notes of samples that are not asked for any more go."""
        found = {}
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.glob("*.json"):
                if path.stem in sample_ids:
                    found[path.stem] = str(json.loads(path.read_text())["job_id"])
                else:
                    path.unlink()
        return found

    def note(self, sample_id: str, job_id: str) -> None:
        """Write a job down, atomically."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f"{sample_id}.new"
        new.write_text(json.dumps({"job_id": job_id}))
        new.replace(self._folder / f"{sample_id}.json")

    def forget(self, sample_id: str) -> None:
        """The job has ended and its answer is recorded."""
        if self._folder is not None:
            (self._folder / f"{sample_id}.json").unlink(missing_ok=True)
