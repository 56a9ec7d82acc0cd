"""Write every report of a run, in one call, and know whether that has been done."""

from __future__ import annotations

from pathlib import Path

from vgaudit.reports.data import ReportData
from vgaudit.reports.likeness_pictures import Photographs
from vgaudit.rundir import atomic_write, file_digest

MARK = Path("report") / ".written"
"""Of a run directory: what the reports were written from."""


def write_reports(data: ReportData, photos: Photographs | None = None) -> Path:
    """Write tables, ``junit.xml``, ``report.sarif``, ``summary.md`` and the pages; returns their ``index.html``.

    The mark that all of them are there is written last, so that a run killed in between writes them again.

    Args:
        data: The run.
        photos: Photographs of gallery entries, for the reviewer's cards.
    """
    from vgaudit.reports.html import write_html
    from vgaudit.reports.junit import write_junit
    from vgaudit.reports.markdown import write_markdown
    from vgaudit.reports.sarif import write_sarif
    from vgaudit.reports.tables import write_tables

    (data.run_dir / MARK).unlink(missing_ok=True)
    results = file_digest(data.run_dir / "results.json")
    write_tables(data, data.run_dir)
    write_junit(data, data.run_dir / "junit.xml")
    write_sarif(data, data.run_dir / "report.sarif")
    write_markdown(data, data.run_dir / "summary.md")
    report = data.run_dir / "report"
    index = write_html(data, report) if photos is None else write_html(data, report, photos)
    with atomic_write(data.run_dir / MARK, "w") as file:
        file.write(results)
    return index


def reports_are_current(run_dir: Path) -> bool:
    """Whether all reports were written from the ``results.json`` that is there now."""
    try:
        return (run_dir / MARK).read_text(encoding="utf-8") == file_digest(run_dir / "results.json")
    except OSError:
        return False
