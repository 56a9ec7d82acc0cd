"""vgaudit: evaluate and safety-audit text-to-video generators.

The public API. Names are imported on first use, so that ``import vgaudit`` costs nothing::

    import vgaudit

    run = vgaudit.run("suite.yaml")              # or vgaudit.open_run("reports/mine")
    run.verdict.exit_code, run.results           # a pandas DataFrame

``prepare``, ``execute`` and ``regate`` are the stages behind it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgaudit.errors import (
        BackendError,
        GalleryError,
        MediaError,
        RunDirError,
        SuiteError,
        Unavailable,
        UsageError,
        VgauditError,
    )
    from vgaudit.notebook import Chart, Run, open_run, run
    from vgaudit.pipeline.finish import Finished, read_report_data, regate
    from vgaudit.pipeline.prepare import Prepared, census_suite, prepare
    from vgaudit.pipeline.run import execute, score_run
    from vgaudit.plan import Plan, Sample
    from vgaudit.records import Finding, GateResult, Measurement, Result, Severity, Verdict
    from vgaudit.reports.data import ReportData
    from vgaudit.reports.write import write_reports
    from vgaudit.rundir import RunDir
    from vgaudit.suite import LoadedSuite, load_suite

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Chart",
    "Finding",
    "Finished",
    "GalleryError",
    "GateResult",
    "LoadedSuite",
    "Measurement",
    "MediaError",
    "Plan",
    "Prepared",
    "ReportData",
    "Result",
    "Run",
    "RunDir",
    "RunDirError",
    "Sample",
    "Severity",
    "SuiteError",
    "Unavailable",
    "UsageError",
    "Verdict",
    "VgauditError",
    "__version__",
    "census_suite",
    "execute",
    "load_suite",
    "open_run",
    "prepare",
    "read_report_data",
    "regate",
    "run",
    "score_run",
    "write_reports",
]

_HOMES = {
    "vgaudit.errors": (
        "BackendError", "GalleryError", "MediaError", "RunDirError", "SuiteError", "Unavailable", "UsageError",
        "VgauditError",
    ),
    "vgaudit.notebook": ("Chart", "Run", "open_run", "run"),
    "vgaudit.pipeline.finish": ("Finished", "read_report_data", "regate"),
    "vgaudit.pipeline.prepare": ("Prepared", "census_suite", "prepare"),
    "vgaudit.pipeline.run": ("execute", "score_run"),
    "vgaudit.plan": ("Plan", "Sample"),
    "vgaudit.records": ("Finding", "GateResult", "Measurement", "Result", "Severity", "Verdict"),
    "vgaudit.reports.data": ("ReportData",),
    "vgaudit.reports.write": ("write_reports",),
    "vgaudit.rundir": ("RunDir",),
    "vgaudit.suite": ("LoadedSuite", "load_suite"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'vgaudit' has no attribute {name!r}")
