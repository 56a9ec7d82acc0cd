"""``vgaudit gate-suggest``: a first ``gates:`` block from two runs of the model that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgaudit.errors import ExitCode


def gate_suggest(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A scored run.")],
    second: Annotated[
        Path, typer.Argument(metavar="RUN_B", help="The same suite and model with other seeds.")
    ],
) -> None:
    """Print limits and margins for a suite's gates, from two runs of one model with other seeds.

    Exits with 4 where no gate could be suggested.
    """
    from vgaudit.cli.conclusion import say
    from vgaudit.pipeline.finish import read_report_data
    from vgaudit.pipeline.suggesting import as_yaml, suggest
    from vgaudit.rundir import RunDir

    runs = [read_report_data(RunDir.open(path)) for path in (first, second)]
    found = suggest(*runs)
    for line in as_yaml(found, *runs):
        say(line)
    if not any(one.gate for one in found):
        raise typer.Exit(ExitCode.NOT_COMPUTED)
