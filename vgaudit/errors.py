"""Every error vgaudit raises on purpose, and the exit code each one carries.

    VgauditError                 1  something unexpected that we could still describe
    ├── UsageError               2  wrong arguments, or a run directory that cannot serve
    │   ├── SuiteError           2  a suite, index or prompt file is wrong (file:line:col)
    │   ├── GalleryError         2  a gallery folder or file is wrong
    │   └── RunDirError          2  a run directory is locked, newer, damaged or of another run
    ├── BackendError             1  a backend could not be built or died
    ├── MediaError               1  a clip cannot be decoded, or breaks a limit
    └── Unavailable              4  weights or a package are missing: the metric is not computed

A message says what was expected, what came, where, and what to do.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """What the process says to CI. 3 wins over 4."""

    OK = 0
    ERROR = 1
    USAGE = 2
    GATE_FAILED = 3
    NOT_COMPUTED = 4
    INTERRUPTED = 130


class VgauditError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ExitCode = ExitCode.ERROR


class UsageError(VgauditError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = ExitCode.USAGE


class SuiteError(UsageError):
    """A suite, index or prompt file is wrong.

    Attributes:
        problems: One ``file:line:col: message`` string for each thing that is wrong.
    """

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class GalleryError(UsageError):
    """A gallery folder or a built gallery file is wrong."""


class RunDirError(UsageError):
    """A run directory is locked, damaged, of a newer schema, or belongs to another run."""


class RunLocked(RunDirError):
    """Another process is writing the run directory; it can be tried again when that one is done."""


class BackendError(VgauditError):
    """A backend could not be built, or failed in a way that ends generation."""


class MediaError(VgauditError):
    """A media file cannot be decoded, or is larger than the limits allow."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class Unavailable(VgauditError):
    """Weights or an optional package are not there.

    The pipeline turns this into results with status ``not computed``.

    Attributes:
        reason: What is missing, in one sentence.
        remedy: The command that gets it, or what to do instead; may be empty.
    """

    exit_code = ExitCode.NOT_COMPUTED

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
