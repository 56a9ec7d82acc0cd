"""Write a comparison: ``compare.json``, ``compare.md``, ``compare.html`` and ``junit.xml`` into one folder."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from vgaudit.compare import words
from vgaudit.compare.comparison import Comparison
from vgaudit.errors import UsageError
from vgaudit.records import COMPUTED, Outcome
from vgaudit.reports.junit import add_case, add_outcome, add_output, save_junit
from vgaudit.rundir import is_run_dir, write_json


def write_comparison(comparison: Comparison, out: Path) -> list[Path]:
    """Write all files; what an earlier comparison left there is replaced.

    Args:
        comparison: From :func:`~vgaudit.compare.comparison.compare`.
        out: A folder, made if need be; no run directory, whose own files would be replaced.

    Returns:
        The files, the page last.

    Raises:
        UsageError: ``out`` is a file, a run directory, or cannot be written.
    """
    from vgaudit.compare.markdown import write_markdown
    from vgaudit.compare.page import write_page

    if is_run_dir(out) or (out.exists() and not out.is_dir()):
        found = "a run directory" if out.is_dir() else "a file"
        raise UsageError(f"{out}: expected a folder for the comparison, found {found}; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "compare.json", comparison.to_json())
        return [
            out / "compare.json",
            write_markdown(comparison, out / "compare.md"),
            write_junit(comparison, out / "junit.xml"),
            write_page(comparison, out),
        ]
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from error


def write_junit(comparison: Comparison, path: Path) -> Path:
    """A case for the verdict and one per value; failures and errors are what the exit code counts.

    With margins the values without one pass, or are skipped where they are worse or could not be compared.
    """
    name = words.title(comparison)
    root = Element("testsuites", {"name": name})
    neutral = comparison.asked.on_insufficient == "neutral"
    case = add_case(SubElement(root, "testsuite", {"name": "verdict"}), f"{name}.verdict", "verdict")
    verdict = comparison.verdict
    if verdict.outcome is Outcome.FAILED:
        add_outcome(case, "failure", verdict.reason, "failed")
    elif verdict.outcome is Outcome.NOT_COMPUTED:
        add_outcome(case, "skipped" if neutral else "error", verdict.reason, "not shown")
    suite = SubElement(root, "testsuite", {"name": "values"})
    margins = bool(comparison.asked.margins)
    for row in comparison.values:
        pair = words.groups(row.base_group, row.candidate_group)
        case = add_case(suite, f"{name}.values.{pair}", f"{row.name} [{pair}]")
        text = f"{row.judgement}: {words.difference(row)}. {words.why(row)}".rstrip(". ")
        held = row.margin.outcome if row.margin is not None else ""
        if held == "violated" or (row.side == "worse" and not margins):
            add_outcome(case, "failure", text, "worse")
        elif held == "not shown" or (row.lost and not margins):
            add_outcome(case, "skipped" if neutral else "error", text, "not shown")
        elif held != "holds" and (row.side == "worse" or row.difference.status != COMPUTED):
            add_outcome(case, "skipped", text, "reported only")
        else:
            add_output(case, text)
    return save_junit(root, path)
