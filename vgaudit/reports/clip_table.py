"""The clip table of the overview: its first rows, all rows as data for the script, all rows as plain pages.

The overview of a large run stays small: it holds one page of rows, and ``assets/clips-data.js`` holds all of them,
from which the script filters, sorts and shows a page at a time. Without scripts, the plain pages hold the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment

from vgaudit.reports.clip_index import ClipRow
from vgaudit.reports.escaping import url_path, visible
from vgaudit.reports.media import MediaFile, prune
from vgaudit.reports.page_files import write_page

DATA_FILE = "clips-data.js"
FIRST_ROWS = 50
"""Rows that the overview holds, and that its script shows at a time."""
PAGE_ROWS = 200
"""Rows of a plain page."""
PROBLEMS_SHOWN = 50
_PLAIN_PAGES = "clips-*.html"
_IN_SCRIPTS = {ord("<"): "\\u003c", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True)
class PlainPage:
    """One page of the whole table; ``first`` and ``last`` count clips from 1."""

    number: int
    name: str
    first: int
    last: int
    rows: Sequence[ClipRow]


@dataclass(frozen=True)
class ShownRows:
    """Rows that fit a list, and how many there are in all."""

    rows: Sequence[ClipRow]
    total: int

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.total - len(self.rows)


@dataclass(frozen=True)
class ClipTable:
    """All rows in the order of the table; a census has an answer for each."""

    rows: Sequence[ClipRow]
    groups: Sequence[str]
    census: bool
    page_rows: int = PAGE_ROWS
    prompt_pages: Mapping[str, str] = field(default_factory=dict)
    """Row's stem -> URL of its prompt's page, where the prompt has one."""

    @property
    def total(self) -> int:
        """Number of clips."""
        return len(self.rows)

    @property
    def first(self) -> Sequence[ClipRow]:
        """Rows that the overview itself holds."""
        return self.rows[:FIRST_ROWS]

    @property
    def pages(self) -> list[PlainPage]:
        """Plain pages of all rows; none where the overview holds all of them."""
        if self.total <= FIRST_ROWS:
            return []
        starts = range(0, self.total, self.page_rows)
        parts = [(start, self.rows[start : start + self.page_rows]) for start in starts]
        return [
            PlainPage(n, f"clips-{n}.html", start + 1, start + len(rows), rows)
            for n, (start, rows) in enumerate(parts, 1)
        ]

    def problems(self) -> ShownRows:
        """The first clips that cannot be used."""
        found = [row for row in self.rows if row.problem]
        return ShownRows(found[:PROBLEMS_SHOWN], len(found))

    def state_of(self, row: ClipRow) -> str:
        """What the filter by state goes by: the answer of a census, else ``ok`` or ``problem``."""
        if self.census:
            return row.decision or "none"
        return "problem" if row.problem else "ok"

    def write_pages(self, environment: Environment, out_dir: Path, **common: Any) -> None:
        """Write the plain pages beside ``index.html``, and remove those of an earlier report.

        Raises:
            OSError: The folder cannot be written.
        """
        template = environment.get_template("clips.html")
        pages = self.pages
        for page in pages:
            title = f"Clips {page.first:,} to {page.last:,} of {self.total:,}"
            text = template.render(**common, **self.names(), page=page, title=title, root=".")
            write_page(out_dir / page.name, text)
        prune(out_dir, {page.name for page in pages}, _PLAIN_PAGES)

    def names(self) -> dict[str, Any]:
        """What templates with rows of the table need."""
        return {
            "clip_table": self,
            "groups": self.groups,
            "census": self.census,
            "state_of": self.state_of,
            "prompt_pages": self.prompt_pages,
        }

    def script(self) -> str:
        """``assets/clips-data.js``: one assignment of plain data, a list for every field of the rows.

        Words that recur are numbers into ``words``. What stands in a row of the page is here as the same text,
        cleaned like it; markup in it stays, for the script inserts it as text. No ``<`` and no line separator is
        written as such, so that the data means the same wherever a browser reads it.
        """
        words = _Words()
        group_of = {group: n for n, group in enumerate(self.groups)}
        columns = list(zip(*(row.cells for row in self.rows), strict=True)) if self.rows else []
        data: dict[str, Any] = {
            "page": FIRST_ROWS,
            "groups": [visible(group) for group in self.groups],
            "stem": [row.stem for row in self.rows],
            "name": [words.index(row.name) for row in self.rows],
            "source": [words.index(row.source if row.prompt else "") for row in self.rows],
            "prompt": [words.index(row.prompt_id) for row in self.rows],
            "promptPage": [words.index(self.prompt_pages.get(row.stem, "")) for row in self.rows],
            "seed": [words.index(row.seed_words) for row in self.rows],
            "group": [group_of[row.group] for row in self.rows],
            "problem": [words.index(row.problem) for row in self.rows],
            "state": [words.index(self.state_of(row)) for row in self.rows],
            "video": [words.index(_pattern(row.media.video, row.stem, "video")) for row in self.rows],
            "poster": [words.index(_pattern(row.media.poster, row.stem, "image")) for row in self.rows],
            "findings": [row.findings for row in self.rows],
            "severity": [words.index(row.severity) for row in self.rows],
            "rank": [row.rank for row in self.rows],
            "unseen": [words.index(row.not_looked_for) for row in self.rows],
            "reasons": [[words.index(reason) for reason in row.reasons[:2]] for row in self.rows],
            "moreReasons": [max(0, len(row.reasons) - 2) for row in self.rows],
            "cells": [
                {
                    "text": [words.index(cell.text) for cell in column],
                    "sort": [float(cell.sort) if cell.sort else None for cell in column],
                    "why": [words.index(cell.reason) for cell in column],
                }
                for column in columns
            ],
        }
        for name, of_nothing in (
            ("reasons", []),
            ("moreReasons", 0),
            ("source", words.index("")),
            ("promptPage", words.index("")),
        ):
            if all(value == of_nothing for value in data[name]):
                del data[name]
        data["words"] = words.all
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return f"globalThis.vgauditClips = {text.translate(_IN_SCRIPTS)};\n"


class _Words:
    """Texts that are written once, as a browser is to show them."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def index(self, text: str) -> int:
        return self._known.setdefault(text, len(self._known))

    @property
    def all(self) -> list[str]:
        return [visible(text) for text in self._known]


def _pattern(media: MediaFile, stem: str, kind: str) -> str:
    """A file's URL with ``*`` in place of the page's name, which most rows share; empty without such a file."""
    if not media or media.kind != kind:
        return ""
    return media.url.replace(url_path(stem), "*", 1)
