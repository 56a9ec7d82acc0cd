"""``vgaudit export``: the tables of a run as CSV, Parquet or JSON lines, or its values as VBench writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgaudit.errors import UsageError

_FORMATS = ("csv", "parquet", "jsonl", "vbench")


def export(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A scored run directory.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DIR", help="A new or empty folder outside the run, or an earlier export."
        ),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="csv|parquet|jsonl|vbench",
            help="Format of the tables, or VBench's results files.",
        ),
    ] = "csv",
) -> None:
    """Write samples, measurements, findings, results, gates and decisions of a run as tables.

    columns.md beside them says what each column means, and what the tables hold of persons. Format vbench writes
    instead the values of metric vbench in the files of VBench's evaluate.py (docs/vbench.md).
    """
    if format_ not in _FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(_FORMATS)}, found {format_!r}")
    from vgaudit.cli.conclusion import say
    from vgaudit.pipeline.finish import read_report_data
    from vgaudit.rundir import RunDir

    data = read_report_data(RunDir.open(run_dir))
    if format_ == "vbench":
        from vgaudit.reports.vbench_results import write_vbench

        for path in write_vbench(data, to):
            say(f"{path}")
        return
    from vgaudit.reports.export import write_export

    for path, rows in write_export(data, to, format_).items():
        say(f"{path}" if rows is None else f"{path}: {rows:,} row{'' if rows == 1 else 's'}")
