"""Run tasks on threads of this process, with a bound on how many wait.

Decoding, OpenCV and torch release the interpreter lock, so threads use the cores without copying frames
between processes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


def default_workers() -> int:
    """One per core available to this process, four at most (models share the cores with them)."""
    return max(
        1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    )


class LocalExecutor:
    """A thread pool whose :meth:`submit` blocks while ``2 x workers`` tasks are under way."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="vgaudit")
        self._room = threading.BoundedSemaphore(2 * workers)
        self._lock = threading.Lock()
        self._open: set[Future[None]] = set()
        self._error: BaseException | None = None

    def submit(self, task: Callable[[], None]) -> None:
        """Queue a task; blocks when the queue is full, so that frames do not pile up in memory.

        Raises:
            BaseException: The first error of an earlier task; nothing more is queued after it.
        """
        self._room.acquire()
        self._raise_first_error()
        future = self._pool.submit(task)
        with self._lock:
            self._open.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._open.discard(future)
            if not future.cancelled() and self._error is None:
                self._error = future.exception()
        self._room.release()

    def _raise_first_error(self) -> None:
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Wait for all tasks; raises the first error of any of them."""
        with self._lock:
            left = set(self._open)
        for future in left:
            future.result()
        self._raise_first_error()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._raise_first_error()
