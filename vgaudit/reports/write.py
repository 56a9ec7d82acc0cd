"""Write every report of a run, in one call."""

from __future__ import annotations

from pathlib import Path

from vgaudit.reports.data import ReportData
from vgaudit.reports.html import write_html
from vgaudit.reports.junit import write_junit
from vgaudit.reports.markdown import write_markdown
from vgaudit.reports.tables import write_tables


def write_reports(data: ReportData) -> Path:
    """Write tables, ``junit.xml``, ``summary.md`` and the HTML report; returns the report's ``index.html``."""
    write_tables(data, data.run_dir)
    write_junit(data, data.run_dir / "junit.xml")
    write_markdown(data, data.run_dir / "summary.md")
    return write_html(data, data.run_dir / "report")
