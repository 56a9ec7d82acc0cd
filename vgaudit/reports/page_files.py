"""What all pages of a report share: templates, assets, the policy against anything from elsewhere, writing."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from vgaudit.records import Outcome
from vgaudit.reports import numbers
from vgaudit.reports.escaping import finalize, url_path
from vgaudit.reports.media import prune
from vgaudit.rundir import owner_only

ASSETS = (
    "report.css", "comparison.css", "likeness.css", "prompts.css", "review.css", "table.js", "comparison.js",
    "player.js", "prompts.js", "prompt.js", "review.js", "icon.svg",
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


def write_assets(folder: Path, names: Sequence[str] = ASSETS, made: Mapping[str, str] | None = None) -> None:
    """Write style sheets, scripts and the icon; files of an earlier report that are not among them go.

    Args:
        folder: The report's ``assets/``.
        names: Files that ship with the package.
        made: File name -> text of what was made for this report: data for its scripts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = files("vgaudit.reports") / "assets"
    for name in names:
        write_page(folder / name, (source / name).read_text("utf-8"))
    for name, text in (made or {}).items():
        write_page(folder / name, text)
    prune(folder, {*names, *(made or {})})


def write_page(path: Path, text: str, *, private: bool = False) -> Path:
    """Replace a file at once, without waiting for the disk: a report can always be written again.

    A file that has these bytes already stays as it is, with its time, so that copying a report anew or publishing it
    moves only what changed.

    Args:
        path: The file.
        text: Its content.
        private: Readable by its owner alone, whatever the umask.
    """
    data = text.encode("utf-8")
    if _holds(path, data) and not (private and path.stat().st_mode & 0o077):
        return path
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "wb", opener=owner_only if private else None) as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _holds(path: Path, data: bytes) -> bool:
    """Whether ``path`` is a regular file, no link, of exactly these bytes."""
    try:
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and found.st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False
