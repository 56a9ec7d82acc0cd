"""What all pages of a report share: templates, assets, the policy against anything from elsewhere, writing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vgaudit.records import Outcome
from vgaudit.reports import numbers
from vgaudit.reports.escaping import finalize, url_path
from vgaudit.reports.media import prune

ASSETS = (
    "report.css", "comparison.css", "likeness.css", "table.js", "comparison.js", "player.js", "icon.svg",
)  # fmt: skip
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def moment(text: object) -> str:
    """An ISO time stamp for people; other text stays as it is, and nothing stays empty."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return "" if text is None else str(text)


def page_environment() -> Environment:
    """Templates of all pages: text is escaped, a missing name or ``None`` is an error."""
    environment = Environment(
        loader=PackageLoader("vgaudit.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=numbers.number, count=numbers.count, seconds=numbers.seconds)
    environment.globals["url"] = url_path
    environment.globals["tone"] = {
        Outcome.PASSED.value: "pass",
        Outcome.FAILED.value: "fail",
        Outcome.NOT_COMPUTED.value: "nc",
        "publish": "pass",
        "review": "nc",
        "hold": "fail",
    }
    return environment


def write_assets(folder: Path, names: Sequence[str] = ASSETS) -> None:
    """Write style sheets, scripts and the icon; files of an earlier report that are not among them go."""
    folder.mkdir(parents=True, exist_ok=True)
    source = files("vgaudit.reports") / "assets"
    for name in names:
        write_page(folder / name, (source / name).read_text("utf-8"))
    prune(folder, set(names))


def write_page(path: Path, text: str) -> Path:
    """Replace a file at once, without waiting for the disk: a report can always be written again."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
