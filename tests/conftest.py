"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

# The same code passes the same tests each time. New examples: pytest --hypothesis-profile=explore
# No deadline: a busy machine makes any example slow; a test that hangs is pytest-timeout's to end.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real clips, statistics and portraits; the test is skipped where it is absent."""
    named = os.environ.get("VGAUDIT_TEST_DATA")
    path = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (path / "fetv" / "index.csv").is_file():
        pytest.skip("test data not found; set VGAUDIT_TEST_DATA to the folder that holds fetv/ and faces/")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[None]:
    """One process for all browsers of a module, where Chromium is installed."""
    from tests.browser import CHROMIUM, kept_open

    with kept_open() if CHROMIUM else nullcontext():
        yield


@pytest.fixture(scope="session")
def likeness_run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with four matches of two people; not to be changed, copy it."""
    from tests.decided_runs import likeness_run

    return likeness_run(tmp_path_factory.mktemp("decided"))
