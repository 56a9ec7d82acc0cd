"""Runs one outside program: no shell, a minimal environment, a deadline for it and everything it started."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vgaudit.backends.left_processes import GRACE_S, end_group, group_lives
from vgaudit.errors import BackendError

_TAIL_BYTES = 8192
_ALWAYS_PASSED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


@dataclass(frozen=True)
class Finished:
    """How a program ended.

    Attributes:
        code: Exit code, negative for a signal; ``None`` when it ran past its deadline and was killed.
        stderr: The end of what it wrote to standard error.
        seconds: How long it ran.
    """

    code: int | None
    stderr: str
    seconds: float


def minimal_environment(passed: Sequence[str]) -> dict[str, str]:
    """What every program needs, and the variables named in ``passed``.

    Raises:
        BackendError: One of ``passed`` is not set.
    """
    if missing := [name for name in passed if name not in os.environ]:
        raise BackendError(
            f"backend command: `env` names {', '.join(missing)}, but it is not set; export it first"
        )
    return {name: os.environ[name] for name in (*_ALWAYS_PASSED, *passed) if name in os.environ}


def run_program(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    began: Callable[[int], None] = lambda pid: None,
) -> Finished:
    """Run ``argv`` to its end or its deadline; whatever it started ends with it.

    Args:
        argv: Program and arguments.
        cwd: Working folder.
        env: The whole environment.
        timeout_s: Deadline.
        began: Told the process number, which is also that of its process group, at once.

    Raises:
        BackendError: The program cannot be started.
    """
    start = time.perf_counter()
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a process group of its own, which can be ended as a whole
        )
    except (OSError, ValueError) as error:
        raise BackendError(f"backend command: {argv[0]!r} cannot be started: {error}") from error
    tail: deque[bytes] = deque()
    assert process.stderr is not None
    reader = threading.Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
    code: int | None = None
    try:
        began(process.pid)
        reader.start()
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout_s)
    finally:
        end_group(process.pid, lambda: process.poll() is None or group_lives(process.pid))
        process.wait()
    reader.join(GRACE_S)
    text = b"".join(tail)[-_TAIL_BYTES:].decode("utf-8", errors="replace")
    return Finished(code, text, time.perf_counter() - start)


def _keep_tail(stream: IO[bytes], tail: deque[bytes]) -> None:
    kept = 0
    with suppress(ValueError, OSError), stream:
        while chunk := os.read(stream.fileno(), 4096):
            tail.append(chunk)
            kept += len(chunk)
            while kept - len(tail[0]) >= _TAIL_BYTES:
                kept -= len(tail.popleft())


def last_lines(text: str, secrets: Sequence[str], count: int = 5) -> str:
    """The last lines of ``text`` on one line, with ``secrets`` blotted out."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])[:800]
