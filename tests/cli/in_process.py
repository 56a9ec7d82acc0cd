"""The command line without a process of its own, whose imports cost more than most commands."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from vgaudit.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent


def vgaudit(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What ``vgaudit ARGUMENTS`` in ``cwd`` prints and exits with; a trace of an error is raised."""
    words = ["vgaudit", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
