"""Runs for the desk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk.served import Desk, with_page


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(likeness_run_dir, tmp_path / "run")
    return with_page(tmp_path / "run")


@pytest.fixture(scope="module")
def desk(likeness_run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One that is shared: nothing is decided at it."""
    folder = tmp_path_factory.mktemp("desk") / "run"
    shutil.copytree(likeness_run_dir, folder)
    with Desk(with_page(folder)) as opened:
        yield opened
