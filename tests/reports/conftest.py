"""Reports of the synthetic run and census, written once per test session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reports.synthetic import build
from vgaudit.reports.data import ReportData
from vgaudit.reports.html import write_html


@dataclass(frozen=True)
class Written:
    """A run and the report written of it."""

    data: ReportData
    folder: Path

    @property
    def pages(self) -> list[Path]:
        return [self.folder / "index.html", *sorted((self.folder / "clips").glob("*.html"))]


def _written(folder: Path, kind: str) -> Written:
    data = build(folder, kind)
    return Written(data, write_html(data, folder / "report").parent)


@pytest.fixture(scope="session")
def run_report(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return _written(tmp_path_factory.mktemp("run"), "run")


@pytest.fixture(scope="session")
def census_report(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return _written(tmp_path_factory.mktemp("census"), "census")
