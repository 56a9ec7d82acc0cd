"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real clips, statistics and portraits; the test is skipped where it is absent."""
    named = os.environ.get("VGAUDIT_TEST_DATA")
    path = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (path / "fetv" / "index.csv").is_file():
        pytest.skip("test data not found; set VGAUDIT_TEST_DATA to the folder that holds fetv/ and faces/")
    return path
