"""Find again where prompts stand: the line of each in the suite's file, or in the file of prompts that it names.

The manifest has the suite's text as it ran, so its lines are right even where the file has changed since. A file of
prompts is read again, and a line counts only where it still holds the very prompt. Paths are relative and name
nothing of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vgaudit.errors import SuiteError
from vgaudit.index import prompt_id_of, read_prompts
from vgaudit.reports.data import ReportData
from vgaudit.suite.located_yaml import Document, Location, parse
from vgaudit.suite.overrides import apply_override
from vgaudit.suite.schema import normalised


@dataclass(frozen=True)
class Place:
    """Where a prompt stands.

    Attributes:
        file: Relative path with forward slashes: from the root of the git checkout where there is one.
        line: From 1.
        column: In characters, from 1.
        end_column: Behind the last character of the line.
    """

    file: str
    line: int
    column: int
    end_column: int


def suite_file(data: ReportData) -> str:
    """The suite's file as a relative path; empty where the suite came from no file (finished clips)."""
    path = str(_mapping(data.manifest.get("suite")).get("path") or "")
    return _portable(Path(path), _base_dir(data)) if path else ""


def prompt_places(data: ReportData) -> dict[tuple[str, str], Place]:
    """``(prompt id, prompt)`` to its place, for each prompt whose line is known.

    A suite that cannot be parsed any more, or prompts put there by ``--set``, have no lines; that is no error.
    """
    suite = _mapping(data.manifest.get("suite"))
    text, file = str(suite.get("text") or ""), suite_file(data)
    if not text or not file:
        return {}
    try:
        document = parse(text, file)
        written = normalised(document.value) if isinstance(document.value, dict) else {}
        lines = dict(document.values)
        for override in suite.get("overrides") or ():
            apply_override(document, str(override))
    except SuiteError:
        return {}
    if any(location[:1] == ("prompts",) for location in document.overrides):
        return {}  # what ran is not what the file says
    prompts = written.get("prompts")
    if isinstance(prompts, str):
        return _of_file(prompts, _base_dir(data))
    if not isinstance(prompts, list):
        return {}
    return _of_suite(prompts, document, lines, text.splitlines(), file)


def _of_suite(
    prompts: list[Any], document: Document, lines: Mapping[Location, tuple[int, int]], text: list[str], file: str
) -> dict[tuple[str, str], Place]:  # fmt: skip
    found = {}
    for index, item in enumerate(prompts):
        if not isinstance(item, dict) or not isinstance(item.get("text"), str):
            continue
        here: Location = ("prompts", index)
        mark = lines.get((*here, "text")) or lines.get((*here, "prompt")) or lines.get(here)
        if mark is None or mark[0] >= len(text):
            continue
        name = str(item.get("id") or prompt_id_of(item["text"]))
        found[name, item["text"]] = Place(file, mark[0] + 1, mark[1] + 1, len(text[mark[0]]) + 1)
    return found


def _of_file(name: str, base_dir: Path | None) -> dict[tuple[str, str], Place]:
    if base_dir is None:
        return {}
    path = base_dir / name
    try:
        rows = read_prompts(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (SuiteError, OSError, ValueError):
        return {}  # it is gone, or is another file by now
    file = _portable(path, path.parent)
    return {
        (row.prompt_id, row.text): Place(file, row.line, 1, len(lines[row.line - 1]) + 1)
        for row in rows
        if 0 < row.line <= len(lines)
    }


def _base_dir(data: ReportData) -> Path | None:
    folder = _mapping(data.manifest.get("spec")).get("base_dir")
    return Path(str(folder)) if folder else None


def _portable(path: Path, folder: Path | None) -> str:
    """``path`` from the root of the checkout it is in; else as it was given, if relative; else its name."""
    if folder is not None and folder.is_absolute() and "site-packages" not in folder.parts:
        full = folder / path.name
        root = next((up for up in full.parents if (up / ".git").exists()), None)
        if root is not None:
            return full.relative_to(root).as_posix()
    pure = PurePosixPath(path.as_posix())
    if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        return pure.name
    return pure.as_posix()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
