"""Parquet tables name clips as their owner does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq

from tests.reports.conftest import Written
from vgaudit.reports.tables import write_tables


def test_samples_have_the_path_of_a_clip_made_elsewhere(
    census_report: Written, run_report: Written, tmp_path: Path
) -> None:
    clips = tuple(e for e in census_report.data.clips if e.sample.prompt_id != "hostile")  # no Unicode text
    write_tables(dataclasses.replace(census_report.data, clips=clips), tmp_path)
    sources = pq.read_table(tmp_path / "samples.parquet")["source"].to_pylist()
    assert sources == [e.sample.source for e in clips]
    clips = tuple(e for e in run_report.data.clips if e.sample.prompt_id != "hostile")
    write_tables(dataclasses.replace(run_report.data, clips=clips), tmp_path)
    assert set(pq.read_table(tmp_path / "samples.parquet")["source"].to_pylist()) == {None}
