"""Finds a program that a killed run left behind, so that it is never started a second time beside itself.

A process number alone proves nothing, since numbers are used again; with its start time it names one process. The
time comes from ``/proc`` on Linux and from ``ps`` elsewhere. Where neither can tell, the program is taken to be gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GRACE_S = 2.0
"""Seconds between asking a program to end and ending it."""


def process_mark(pid: int) -> str | None:
    """What tells process ``pid`` from a later one of the same number; ``None`` when it is gone or unknown."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold anything, so fields are counted from its end: state, ..., start.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    try:
        shown = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def wait_or_end(pid: int, mark: str, remaining_s: float) -> bool:
    """Wait until the process is gone; when ``remaining_s`` have passed, end its process group.

    Returns:
        Whether it ended by itself.
    """
    deadline = time.monotonic() + remaining_s
    while process_mark(pid) == mark:
        if time.monotonic() >= deadline:
            end_group(pid, lambda: group_lives(pid))
            return False
        time.sleep(0.05)
    return True


def end_group(group: int, lives: Callable[[], bool]) -> None:
    """End a process group: asked first, killed when ``lives`` still holds after :data:`GRACE_S`."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, sign)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and lives():
            time.sleep(0.01)
        if not lives():
            break


def group_lives(group: int) -> bool:
    """Whether anything is left of a process group; it outlives its leader while a child is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
