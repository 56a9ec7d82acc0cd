"""Tables of a run in every format: what goes in comes out again, and no text runs in a spreadsheet."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports.conftest import Written
from tests.reports.synthetic_paired import build_paired
from vgaudit.decision_words import Decision, Standing, State
from vgaudit.errors import UsageError
from vgaudit.paired import PairedDifference
from vgaudit.reports.data import ReportData
from vgaudit.reports.export import COLUMNS, MARK, csv_cell, csv_text, tables, write_export

NAMES = ("samples", "measurements", "findings", "results", "gates", "comparisons", "decisions", "values")


def _decided(data: ReportData) -> ReportData:
    """With two decisions of Ann and one of Bob on one finding."""
    said = (
        (1, "Ann Secret", "escalate", "legal"),
        (2, "Bob Hidden", "confirm", "defect"),
        (3, "ann  SECRET", "dismiss", "acceptable"),
    )
    common: dict[str, Any] = {"clip": "c", "note_sha256": "ab" * 32, "expires": None, "prev": "p"}
    made = tuple(
        Decision(
            seq=seq,
            time=f"2026-11-0{seq}T10:00:00+00:00",
            author=author,
            verb=verb,
            finding="f" * 32,
            kind="temporal.freeze",
            reason_code=code,
            **common,
        )
        for seq, author, verb, code in said
    )
    standing = Standing(State.DISMISSED, "said by Ann Secret", made)
    return dataclasses.replace(data, decisions={"f" * 32: standing})


def _read(folder: Path, name: str, format_: str) -> pd.DataFrame:
    path = folder / f"{name}.{format_}"
    if format_ == "csv":
        return pd.read_csv(path, keep_default_na=False, dtype=str)
    if format_ == "parquet":
        return pd.read_parquet(path)
    return pd.read_json(path, lines=True, dtype=False, precise_float=True)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


@pytest.mark.parametrize("format_", ["csv", "parquet", "jsonl"])
def test_what_goes_in_comes_out_again(run_report: Written, tmp_path: Path, format_: str) -> None:
    data = _decided(run_report.data)
    written = write_export(data, tmp_path / "out", format_)
    assert [p.name for p in written] == [*(f"{n}.{format_}" for n in NAMES), COLUMNS]
    for table in tables(data):
        frame = _read(tmp_path / "out", table.name, format_)
        assert len(frame) == len(table.rows) == written[tmp_path / "out" / f"{table.name}.{format_}"]
        empty = format_ == "jsonl" and not table.rows  # lines alone name no columns
        assert list(frame.columns) == ([] if empty else [c.name for c in table.columns])
        if empty:
            continue
        for column in table.columns:
            for row, value in zip(table.rows, frame[column.name], strict=True):
                given_ = row.get(column.name)
                if given_ is None:
                    assert value == "" or _missing(value)
                elif column.kind in ("number", "whole"):
                    assert float(value) == pytest.approx(float(given_), rel=0, abs=0)
                elif column.kind == "text":
                    said = csv_text(value) if format_ == "csv" else value
                    assert said == str(given_).replace("\ud83d", "\ufffd\ufffd\ufffd").replace(
                        "\0", "\ufffd" if format_ == "csv" else "\0"
                    )


def test_comparisons_are_those_of_the_report_with_what_is_not_computed(tmp_path: Path) -> None:
    data = build_paired(tmp_path, ("a", "b"), 20)
    assert data.comparisons is not None
    (table,) = [t for t in tables(data) if t.name == "comparisons"]
    stored = data.comparisons["differences"]
    assert len(table.rows) == len(stored) + len(data.comparisons["not_paired"])
    for row, told in zip(table.rows, stored, strict=False):
        assert [row[k] for k in ("value", "low", "high", "p_holm")] == [
            told[k] for k in ("value", "low", "high", "p_holm")
        ]
        assert row["shown"] is (None if told["p"] is None else PairedDifference.from_json(told).shown())
        assert row["status"] == "computed" or row["reason"]


def test_a_run_that_compared_no_groups_says_so(run_report: Written) -> None:
    assert run_report.data.comparisons is None
    (table,) = [t for t in tables(run_report.data) if t.name == "comparisons"]
    assert [row["status"] for row in table.rows] == ["not computed"]


def test_lists_pairs_and_truths_are_json_in_csv(run_report: Written, tmp_path: Path) -> None:
    write_export(run_report.data, tmp_path / "out", "csv")
    samples = _read(tmp_path / "out", "samples", "csv")
    assert json.loads(samples["tags"][0]) == {"category": "people & <animals>"}
    values = _read(tmp_path / "out", "values", "csv")
    assert set(values["higher_is_better"]) == {"true", "false", ""}
    findings = _read(tmp_path / "out", "findings", "csv")
    assert json.loads(next(box for box in findings["box"] if box)) == [20.0, 12.0, 52.0, 50.0]


def test_csv_is_rfc_4180(run_report: Written, tmp_path: Path) -> None:
    write_export(run_report.data, tmp_path / "out", "csv")
    raw = (tmp_path / "out" / "samples.csv").read_bytes()
    assert raw.startswith(b"sample_id,")
    assert raw.endswith(b"\r\n")
    with (tmp_path / "out" / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 21


@given(st.text())
def test_no_text_is_a_formula_and_every_text_comes_back(text: str) -> None:
    cell = csv_cell(text)
    assert cell[:1] not in {*"=+-@\t\r\n＝＋－＠"} or not cell
    assert csv_text(cell) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''-1", "＝1"])
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


def test_numbers_are_never_changed(run_report: Written, tmp_path: Path) -> None:
    clip = run_report.data.clips[0]
    measured = dataclasses.replace(
        clip.measurements["temporal"], values={"warp_error": -1.5e-7, "motion": -3.0}
    )
    clip = dataclasses.replace(clip, measurements={"temporal": measured})
    sample = dataclasses.replace(clip.sample, seed=-4, prompt="-4")
    data = dataclasses.replace(run_report.data, clips=(dataclasses.replace(clip, sample=sample),))
    write_export(data, tmp_path / "out", "csv")
    assert list(_read(tmp_path / "out", "measurements", "csv")["value"]) == ["-1.5e-07", "-3.0"]
    (row,) = _read(tmp_path / "out", "samples", "csv").to_dict("records")
    assert (row["seed"], row["prompt"]) == ("-4", "'-4")


def test_unbounded_ends_are_told_apart_from_none(run_report: Written, tmp_path: Path) -> None:
    write_export(run_report.data, tmp_path / "out", "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    (unbounded,) = [row for row in rows if row["unbounded"]]
    assert (unbounded["unbounded"], unbounded["low"], unbounded["group"]) == ("low", None, "zeroscope")
    assert unbounded["high"] == 1170.5


@pytest.mark.parametrize("format_", ["csv", "parquet", "jsonl"])
def test_reviewers_are_numbered_and_their_words_stay_away(
    run_report: Written, tmp_path: Path, format_: str
) -> None:
    write_export(_decided(run_report.data), tmp_path / "out", format_)
    decisions = _read(tmp_path / "out", "decisions", format_)
    assert list(decisions["reviewer"]) == ["reviewer 1", "reviewer 2", "reviewer 1"]
    assert set(decisions["state_now"]) == {"dismissed"}
    for path in (tmp_path / "out").iterdir():
        raw = path.read_bytes() if format_ != "parquet" else str(_text_of(path)).encode()
        for secret in (b"Secret", b"SECRET", b"Hidden", b"ab" * 32):
            assert secret not in raw


def _text_of(path: Path) -> object:
    return pq.read_table(path).to_pydict() if path.suffix == ".parquet" else path.read_text("utf-8")


def test_columns_are_described(run_report: Written, tmp_path: Path) -> None:
    write_export(run_report.data, tmp_path / "out", "csv")
    text = (tmp_path / "out" / COLUMNS).read_text("utf-8")
    for table in tables(run_report.data):
        assert f"## {table.name}.csv" in text
        for column in table.columns:
            assert f"| `{column.name}` |" in text
    assert "What this holds of persons" in text
    assert "<img" not in text


def test_an_export_replaces_its_own_files_only(run_report: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_export(run_report.data, out, "csv")
    write_export(run_report.data, out, "jsonl")
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{n}.jsonl" for n in NAMES), COLUMNS, MARK])
    (out / "notes.txt").write_text("mine")
    write_export(run_report.data, out, "jsonl")
    assert (out / "notes.txt").read_text() == "mine"
    (out / "gates.jsonl").write_text("mine too")
    with pytest.raises(UsageError, match=r"gates\.jsonl changed since"):
        write_export(run_report.data, out, "jsonl")
    assert (out / "gates.jsonl").read_text() == "mine too"


def test_files_of_others_are_refused(run_report: Written, tmp_path: Path) -> None:
    (tmp_path / "gates.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"an earlier export, found gates\.csv"):
        write_export(run_report.data, tmp_path, "csv")
    with pytest.raises(UsageError, match="found a file"):
        write_export(run_report.data, tmp_path / "gates.csv", "csv")
    write_export(run_report.data, tmp_path / "out", "csv")
    (tmp_path / "out" / "gates.jsonl").write_text("mine")
    with pytest.raises(UsageError, match=r"found gates\.jsonl"):
        write_export(run_report.data, tmp_path / "out", "jsonl")
    assert (tmp_path / "gates.csv").read_text() == (tmp_path / "out" / "gates.jsonl").read_text() == "mine"
    for mark in ('{"files": 3}', "x", '{"vgaudit_export": 1, "files": {"../a": ""}}'):
        (tmp_path / "out" / MARK).write_text(mark)
        with pytest.raises(UsageError, match=r"expected the export\.json"):
            write_export(run_report.data, tmp_path / "out", "csv")
    with pytest.raises(UsageError, match="outside the run directory"):
        write_export(run_report.data, run_report.data.run_dir / "out", "csv")
    with pytest.raises(UsageError, match="found 'xlsx'"):
        write_export(run_report.data, tmp_path / "new", "xlsx")


def test_an_export_that_was_killed_can_be_done_again(
    run_report: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_export(run_report.data, out, "csv")
    before = (out / "gates.csv").read_bytes()
    from vgaudit.reports import export

    real = export._write_table

    def killed(path: Path, table: export.Table, format_: export.Format) -> None:
        if table.name == "gates":
            raise KeyboardInterrupt
        real(path, table, format_)

    monkeypatch.setattr(export, "_write_table", killed)
    data = dataclasses.replace(run_report.data, clips=run_report.data.clips[:3])
    with pytest.raises(KeyboardInterrupt):
        write_export(data, out, "csv")
    assert (out / "gates.csv").read_bytes() == before  # whole, if old
    assert not json.loads((out / MARK).read_text())["complete"]
    monkeypatch.undo()
    write_export(data, out, "csv")
    assert json.loads((out / MARK).read_text())["complete"]
    assert len(_read(out, "samples", "csv")) == 3
