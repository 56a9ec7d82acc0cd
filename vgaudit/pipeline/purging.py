"""Purge a person from a run directory and write its reports again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vgaudit.likeness.purge import purge_run
from vgaudit.likeness.purge_words import Told
from vgaudit.pipeline.finish import hold_again
from vgaudit.rundir import RunDir


def purge_run_and_report(
    run: Path,
    labels: Mapping[str, str],
    *,
    dry_run: bool,
    names: Mapping[str, Sequence[str]] | None = None,
    features: bool = False,
    say: Callable[[Told], object] | None = None,
) -> list[Told]:
    """As :func:`vgaudit.likeness.purge.purge_run`; the reports are written again from what is left.

    Raises:
        RunDirError: As there.
    """
    return purge_run(
        run, labels, dry_run=dry_run, names=names, features=features, say=say,
        rewrite=lambda path: hold_again(RunDir(path)),
    )  # fmt: skip
