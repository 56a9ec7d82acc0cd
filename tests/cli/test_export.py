"""``vgaudit export`` and ``vgaudit report --single-file`` as users meet them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from vgaudit.cli.commands import app
from vgaudit.errors import UsageError


@pytest.fixture
def run(likeness_run_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(likeness_run_dir, tmp_path / "run"))


def _say(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    app([*map(str, arguments)], standalone_mode=False)
    return capsys.readouterr().out.splitlines()


def test_export_writes_tables(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _say(capsys, "export", run, "--to", tmp_path / "out")
    samples = pd.read_csv(tmp_path / "out" / "samples.csv")
    assert f"{tmp_path / 'out' / 'samples.csv'}: {len(samples)} rows" in said
    assert f"{tmp_path / 'out' / 'columns.md'}" in said
    _say(capsys, "export", run, "--to", tmp_path / "out", "--format", "parquet")
    assert len(pd.read_parquet(tmp_path / "out" / "findings.parquet")) >= 4
    assert not (tmp_path / "out" / "samples.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["export", "RUN", "--to", "OUT", "--format", "xlsx"], "csv, parquet, jsonl, vbench, found 'xlsx'"),
        (["export", "RUN", "--to", "RUN/out"], "outside the run directory"),
        (["export", "OUT", "--to", "OUT"], "expected a run directory"),
        (
            ["export", "RUN", "--to", "OUT", "--format", "vbench"],
            "expected clips with values of metric vbench",
        ),
        (["report", "RUN", "--no-pictures"], "expected --single-file FILE"),
        (["report", "RUN", "--single-file", "OUT", "--shareable", "OUT"], "one at a time"),
        (["report", "RUN", "--single-file", "RUN/x.html"], "outside the run directory"),
    ],
)
def test_what_cannot_be_done_is_told(run: Path, tmp_path: Path, arguments: list[str], what: str) -> None:
    named = [a.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out")) for a in arguments]
    with pytest.raises(UsageError, match=what):
        app(named, standalone_mode=False)


def test_the_report_in_one_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _say(capsys, "report", run, "--single-file", tmp_path / "one.html")
    assert said == [str(run / "report" / "index.html"), str(tmp_path / "one.html")]
    assert "data:image/jpeg" in (tmp_path / "one.html").read_text("utf-8")
    _say(capsys, "report", run, "--single-file", tmp_path / "one.html", "--no-pictures")
    assert "data:image/jpeg" not in (tmp_path / "one.html").read_text("utf-8")
    assert (run / "report.sarif").is_file()
