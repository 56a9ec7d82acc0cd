"""Write the review page: every finding one can decide on, for a person who goes through them with the keyboard.

The same file works in three ways: without scripts it is a table with the commands to type; opened as a file it keeps
a draft of decisions in the browser, to be downloaded and taken in by ``vgaudit decide import``; served by ``vgaudit
review`` it saves each decision at once.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from vgaudit.reports.clip_index import ClipRow
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import visible
from vgaudit.reports.likeness_pictures import PhotographCase
from vgaudit.reports.overview import verdict_word
from vgaudit.reports.page_files import CONTENT_SECURITY_POLICY, moment, write_page
from vgaudit.reports.review_items import (
    Evidence,
    ItemMaker,
    decidable,
    plain_rows,
    policy_json,
    reasons,
    standing_of,
)

PAGE = "review.html"


def write_review(
    data: ReportData,
    out_dir: Path,
    environment: Environment,
    *,
    rows: Mapping[str, ClipRow],
    evidence: Evidence,
    case: PhotographCase | None = None,
) -> int:
    """Write ``review.html``, readable by its owner alone: it has the notes of reviewers.

    Args:
        data: The run.
        out_dir: The report's folder, which has ``assets/`` and ``clips/``.
        environment: Templates.
        rows: Sample id -> row of the clip table.
        evidence: Pictures of findings that are in the report's folder.
        case: Photographs of the gallery; ``None`` for a run without a likeness audit.

    Returns:
        How many findings there are to decide on.

    Raises:
        OSError: The folder cannot be written.
    """
    found = decidable(data)
    closed = sum(standing_of(data, one.finding).closed for one in found)
    content = {
        "run": data.name,
        "folder": data.run_dir.resolve().name,
        "importing": f"vgaudit decide import {shlex.quote(data.run_dir.resolve().name)}",
        "plan": str(data.manifest.get("plan_digest") or ""),
        "policy": policy_json(data),
        "reasons": reasons(),
        "verdict": {"outcome": data.verdict.outcome.value, "reason": data.verdict.reason},
        "problem": data.undecidable,
        "items": ItemMaker(data, rows, evidence, case).items(found),
    }
    text = environment.get_template(PAGE).render(
        csp=CONTENT_SECURITY_POLICY,
        version=str(data.manifest.get("provenance", {}).get("vgaudit") or "unknown version"),
        root=".",
        title="Review",
        run_name=data.name,
        created=moment(data.manifest.get("created")),
        verdict=f"{verdict_word(data)}: {data.verdict.reason}",
        problem=data.undecidable,
        command=f"vgaudit decide dismiss {shlex.quote(data.run_dir.resolve().name)}",
        total=len(found),
        closed=closed,
        rows=plain_rows(data, found, rows),
        content=script_json(content),
    )
    write_page(out_dir / PAGE, text, private=True)
    return len(found)


def script_json(value: Any) -> Markup:
    """``value`` as JSON that can stand in a ``script`` element: nothing in it ends the element or begins markup.

    Control characters and lone surrogates become visible ones, as in all text of a report; a number that is not
    finite becomes ``null``.
    """
    text = json.dumps(_clean(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
