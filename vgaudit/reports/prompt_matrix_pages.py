"""Write the heat map: static pages of a hundred prompts and one group each, and the data for the script over them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import one_line, visible
from vgaudit.reports.page_files import write_page
from vgaudit.reports.prompt_matrix import (
    REASONS_SHOWN,
    SHADES,
    Matrices,
    MatrixCell,
    MatrixColumn,
    MatrixRow,
    matrices,
)
from vgaudit.reports.prompts import PromptClips

PAGE = 100
"""Prompts of one page."""
DATA = "prompts-data.js"
_TAGS_SHOWN = 300
_OWN = re.compile(r"prompts(-\d+-\d+)?\.html|prompts-data\.js")


def has_matrix(data: ReportData, prompts: Sequence[PromptClips]) -> bool:
    """Whether a run has a heat map: two prompts or more; a census has clips and no prompts to compare."""
    return data.kind == "run" and len(prompts) > 1


def write_matrix(
    data: ReportData,
    prompts: Sequence[PromptClips],
    out_dir: Path,
    environment: Environment,
    common: Mapping[str, Any],
) -> None:
    """Write ``prompts.html``, its further pages and its data; those of an earlier report that are no more go.

    Args:
        data: The run.
        prompts: Its prompts.
        out_dir: The report's folder.
        environment: Templates.
        common: What every template is given.

    Raises:
        OSError: The folder cannot be written.
    """
    written = set()
    if has_matrix(data, prompts):
        shown = matrices(data, prompts)
        write_page(out_dir / DATA, script(shown))
        written.add(DATA)
        template = environment.get_template("prompts.html")
        names = list(shown.groups)
        reasons = [escape(visible(reason)) for reason, _ in shown.reasons]

        def cells(row: MatrixRow) -> Markup:
            return row_markup(row, shown.columns, reasons)

        for g, (group, rows) in enumerate(shown.groups.items()):
            pages = [page_name(g, p) for p in range(max(1, -(-len(rows) // PAGE)))]
            for p, name in enumerate(pages):
                text = template.render(
                    **common,
                    root=".",
                    title=f"Prompts of {data.name}",
                    matrix=shown,
                    group=group,
                    group_index=g,
                    groups=[(other, page_name(i, 0)) for i, other in enumerate(names)],
                    rows=rows[p * PAGE : (p + 1) * PAGE],
                    row_total=len(rows),
                    page=p,
                    page_rows=PAGE,
                    pages=pages,
                    tags=tag_words(prompts),
                    reasons=shown.reasons[:REASONS_SHOWN],
                    more_reasons=max(0, len(shown.reasons) - REASONS_SHOWN),
                    cells=cells,
                )
                write_page(out_dir / name, text)
                written.add(name)
    for path in out_dir.iterdir():
        if _OWN.fullmatch(path.name) and path.name not in written and (path.is_symlink() or path.is_file()):
            path.unlink()


def page_name(group: int, page: int) -> str:
    """File of a page of the heat map, groups and pages from 0."""
    return "prompts.html" if group == page == 0 else f"prompts-{group + 1}-{page + 1}.html"


def tag_words(prompts: Sequence[PromptClips]) -> list[str]:
    """Tags to filter by, as ``category: people``, those of one prompt's only last; at most 300."""
    counts: dict[str, int] = {}
    for prompt in prompts:
        for word in _tags(prompt):
            counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: (-counts[word], word))[:_TAGS_SHOWN]
    return sorted(word for word in common if counts[word] < len(prompts))


def _tags(prompt: PromptClips) -> list[str]:
    return [one_line(f"{key}: {value}", 80) for key, value in prompt.tags.items()]


def cell_title(cell: MatrixCell, column: MatrixColumn) -> str:
    """What a pointer over a number says; the script says the same."""
    text = f"{'worse' if column.sign else 'higher'} than {cell.share} %"
    return f"{text}; mean of {cell.clips} clips" if cell.clips > 1 else text


def _part(cell: MatrixCell, row: MatrixRow) -> str:
    """Says of how many clips the number is, where some have none; the script says the same."""
    usable = row.clips - row.unusable
    return f'<span class="part">{cell.clips} of {usable} clips</span>' if cell.clips < usable else ""


def row_markup(row: MatrixRow, columns: Sequence[MatrixColumn], reasons: Sequence[Markup]) -> Markup:
    """The cells of a row, written here and not in the template: a large run has a hundred thousand.

    Args:
        row: The row.
        columns: Its columns.
        reasons: Reasons of cells without a number, escaped.
    """
    parts = []
    for cell, column in zip(row.cells, columns, strict=True):
        text = escape(cell.text)
        if cell.reason >= 0:
            why = reasons[cell.reason]
            listed = cell.reason < REASONS_SHOWN
            note = f" <sup>{cell.reason + 1}</sup>" if listed else f'<span class="sr">: {why}</span>'
            parts.append(f'<td class="hx"><span title="{why}">{text}{note}</span></td>')
            continue
        kind = "h" if column.sign else "n"
        worst = '<span class="sr"> worst tenth</span>' if column.sign and cell.shade == SHADES - 1 else ""
        title, part = cell_title(cell, column), _part(cell, row)
        parts.append(f'<td class="{kind}{cell.shade}" title="{title}">{text}{worst}{part}</td>')
    return Markup("".join(parts))  # noqa: S704 - what comes from the run was escaped above


def script(shown: Matrices) -> str:
    """The data of all groups as a script file: a page opened from a disk may load scripts, but no JSON.

    Cells of a column are one text, ``number~shade~share~clips`` or ``text~reason``, parted by ``|``.
    """
    tags = tag_words(shown.prompts)
    places = {word: i for i, word in enumerate(tags)}
    groups = [
        {
            "prompt": [row.prompt for row in rows],
            "clips": [row.clips for row in rows],
            "unusable": [row.unusable for row in rows],
            "findings": [row.findings for row in rows],
            "severity": [row.severity for row in rows],
            "rank": [row.rank for row in rows],
            "unseen": [int(row.unseen) for row in rows],
            "cells": ["|".join(_packed(row.cells[i]) for row in rows) for i in range(len(shown.columns))],
        }
        for rows in shown.groups.values()
    ]
    content = {
        "page": PAGE,
        "reasonsShown": REASONS_SHOWN,
        "reasons": [reason for reason, _ in shown.reasons],
        "prompts": {
            "name": [prompt.name for prompt in shown.prompts],
            "id": [one_line(prompt.prompt_id, 80) for prompt in shown.prompts],
            "href": [prompt.href for prompt in shown.prompts],
            "tags": [[places[word] for word in _tags(p) if word in places] for p in shown.prompts],
        },
        "groups": groups,
    }
    return f"globalThis.vgauditPrompts = {json.dumps(content, ensure_ascii=True, separators=(',', ':'))};\n"


def _packed(cell: MatrixCell) -> str:
    if cell.reason >= 0:
        return f"{cell.text}~{cell.reason}"
    return f"{cell.text}~{cell.shade}~{cell.share}~{cell.clips}"
