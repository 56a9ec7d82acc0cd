"""Write the tables of a run for other programs: CSV, Parquet or JSON lines, with a description of every column.

The folder belongs to the export: ``export.json`` in it lists the files that were written with their digests. An
export into it again replaces these, and refuses where a file is somebody else's or was changed since.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from vgaudit.errors import UsageError
from vgaudit.paired import PairedDifference
from vgaudit.records import NOT_APPLICABLE, NOT_COMPUTED
from vgaudit.reports import numbers
from vgaudit.reports.data import ReportData
from vgaudit.reports.escaping import markdown_text
from vgaudit.reports.tables import (
    FINDINGS,
    MEASUREMENTS,
    SAMPLES,
    Column,
    finding_rows,
    measurement_rows,
    plain,
    sample_rows,
    write_parquet,
)
from vgaudit.rundir import atomic_write, file_digest, write_json

Format: TypeAlias = Literal["csv", "parquet", "jsonl"]
Writer: TypeAlias = Callable[[Path], int | None]
"""Writes a file to a path, and says how many rows it has; ``None`` where it is no table."""

MARK = "export.json"
COLUMNS = "columns.md"
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters that make a spreadsheet take a text for a formula; the last four are full-width ``=+-@``."""

RESULTS = (
    Column("name", "text", "<metric>.<value>, with @tag for a slice; table `values` has its unit."),
    Column("group", "text", "Model or backend that it is about."),
    Column("value", "number", "The estimate; null unless status is computed."),
    Column("low", "number", "Lower end of the interval; null where there is none or it is unbounded."),
    Column("high", "number", "Upper end of the interval; null where there is none or it is unbounded."),
    Column("unbounded", "text", "Which ends have no bound: low, high, low high; else empty."),
    Column("confidence", "number", "Coverage of the interval, as a fraction."),
    Column("n", "whole", "Clips that it rests on."),
    Column("n_clusters", "whole", "Independent prompts among them."),
    Column("unit", "text", "Unit; empty for none."),
    Column("higher_is_better", "truth", "Direction; null where neither end is good."),
    Column("status", "text", "computed, not computed or not applicable."),
    Column("reason", "text", "Why there is no number, or what qualifies it."),
    Column("detail", "text", "Further facts as JSON: protocol, sizes, weights."),
)
GATES = (
    Column("gate", "text", "The condition."),
    Column("group", "text", "Group that it was held against."),
    Column("outcome", "text", "passed, failed or not computed. What is not computed has not passed."),
    Column("severity", "text", "fail counts for the verdict, warn is only shown."),
    Column("neutral", "truth", "Not computed for lack of evidence, which the suite lets stand."),
    Column("reason", "text", "One sentence with the numbers."),
)
COMPARISONS = (
    Column("name", "text", "<metric>.<value>; table `values` has its unit."),
    Column("group", "text", "The one group; empty where the value is compared for no pair."),
    Column("reference", "text", "The other. Numbers are of group minus reference."),
    Column("value", "number", "Mean over prompts of the paired differences; null unless status is computed."),
    Column("low", "number", "Lower end of its interval; null where there is none."),
    Column("high", "number", "Upper end of its interval; null where there is none."),
    Column("confidence", "number", "Coverage of the intervals, as a fraction."),
    Column("shown", "truth", "Whether a difference is shown; false does not mean that groups are equal."),
    Column("p", "number", "Of the two-sided sign-flip test."),
    Column("p_holm", "number", "The same, adjusted for all comparisons of the run."),
    Column(
        "effect", "number", "d_z: mean over standard deviation of the differences; null where all are equal."
    ),
    Column("effect_low", "number", "Lower end of its interval."),
    Column("effect_high", "number", "Upper end of its interval."),
    Column("n_pairs", "whole", "Pairs of clips, or of averages of clips."),
    Column("n_prompts", "whole", "Prompts, the independent pieces of evidence."),
    Column("n_differing", "whole", "Prompts among them whose difference is not 0."),
    Column("n_dropped", "whole", "Prompts left out."),
    Column("dropped", "text", "Why, with how many prompts, as JSON."),
    Column("interval", "text", "bootstrap, t or empty."),
    Column("test", "text", "all sign flips, drawn sign flips, bound or empty."),
    Column("doubt", "text", "Why gates would not take the value; empty where they would."),
    Column("status", "text", "computed, not computed or not applicable."),
    Column("reason", "text", "Why there is no number, or what qualifies it."),
)
DECISIONS = (
    Column("seq", "whole", "Number of the decision in the run's chain, from 1."),
    Column("time", "text", "When it was decided, ISO 8601 in UTC."),
    Column("reviewer", "text", "reviewer 1, reviewer 2 ...: who decided, without the name."),
    Column("verb", "text", "confirm, dismiss, clear, escalate or reopen."),
    Column("fingerprint", "text", "The finding that it is about."),
    Column("kind", "text", "Kind of that finding."),
    Column("reason_code", "text", "Why, as a code."),
    Column("reason", "text", "Why, in the code's words. What reviewers wrote themselves is not exported."),
    Column("expires", "text", "Last day that it holds, ISO 8601; null for no end."),
    Column("state_now", "text", "Where the finding stands after all decisions on it."),
)
VALUES = (
    Column("name", "text", "<metric>.<value>."),
    Column("unit", "text", "Unit; empty for none."),
    Column("higher_is_better", "truth", "Direction; null where neither end is good."),
    Column("low", "number", "Least that it can be; null for no limit."),
    Column("high", "number", "Most that it can be; null for no limit."),
    Column("per_clip", "truth", "Whether single clips have it (table `measurements`)."),
    Column("description", "text", "What it means."),
)


@dataclass(frozen=True)
class Table:
    """A table: its name, what its rows are, its columns, and the rows."""

    name: str
    words: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]


def tables(data: ReportData) -> list[Table]:
    """All tables of a run, in the order of the description."""
    return [
        Table("samples", "a sample of the plan", SAMPLES, sample_rows(data)),
        Table(
            "measurements", "a value of a clip, or why there is none", MEASUREMENTS, measurement_rows(data)
        ),
        Table("findings", "something a detector noticed in a clip", FINDINGS, finding_rows(data)),
        Table("results", "an estimate for a group", RESULTS, _result_rows(data)),
        Table("gates", "a condition held against a group", GATES, _gate_rows(data)),
        Table("comparisons", "a paired difference of two groups", COMPARISONS, _comparison_rows(data)),
        Table("decisions", "a reviewer's decision on a finding of this run", DECISIONS, _decision_rows(data)),
        Table("values", "a measured value: its unit and meaning", VALUES, _value_rows(data)),
    ]


def write_export(data: ReportData, folder: Path, format_: str) -> dict[Path, int | None]:
    """Write every table into ``folder``, with ``columns.md`` and ``export.json``.

    Each file appears whole or not at all, and ``export.json`` is written last.

    Args:
        data: The run.
        folder: A new or empty folder outside the run directory, or one of an earlier export.
        format_: ``csv``, ``parquet`` or ``jsonl``.

    Returns:
        Path of each file to its number of rows, ``None`` where it is no table.

    Raises:
        UsageError: The folder lies in the run, or holds files that no export wrote.
        OSError: The folder cannot be written.
    """
    if format_ not in ("csv", "parquet", "jsonl"):
        raise UsageError(f"expected the format csv, parquet or jsonl, found {format_!r}")
    every = tables(data)
    kind = cast(Format, format_)
    files: dict[str, Writer] = {f"{table.name}.{format_}": _table_writer(table, kind) for table in every}
    files[COLUMNS] = _text_writer(lambda: _description(data, every, kind))
    return write_folder(data, folder, files, format_)


def write_folder(
    data: ReportData, folder: Path, files: Mapping[str, Writer], format_: str
) -> dict[Path, int | None]:
    """Write an export: the files, and ``export.json`` that lists them, in a folder that is the export's alone.

    Args:
        data: The run.
        folder: As for :func:`write_export`.
        files: Name to what writes it to a path and says how many rows it has.
        format_: Name of the format, for ``export.json``.

    Returns:
        As :func:`write_export`.

    Raises:
        UsageError: As :func:`write_export`.
    """
    known = _checked(data, folder)
    names = list(files)
    foreign = [n for n in names if n not in known and (folder / n).exists()]
    if foreign:
        raise UsageError(
            f"--to {folder}: expected no files but those of an earlier export, found {', '.join(foreign[:3])}; name "
            "another folder"
        )
    # From here on a file may be old or new when the process is killed; both are ours.
    write_json(
        folder / MARK, {"vgaudit_export": 1, "complete": False, "files": dict.fromkeys([*known, *names], "")}
    )
    for name in known:
        if name not in names:
            (folder / name).unlink(missing_ok=True)
    written = {folder / name: write(folder / name) for name, write in files.items()}
    digests = {name: file_digest(folder / name) for name in names}
    write_json(folder / MARK, {"vgaudit_export": 1, "complete": True, "format": format_, "files": digests})
    return written


def _table_writer(table: Table, format_: Format) -> Writer:
    def write(path: Path) -> int:
        _write_table(path, table, format_)
        return len(table.rows)

    return write


def _text_writer(text: Callable[[], str]) -> Writer:
    def write(path: Path) -> None:
        with atomic_write(path) as file:
            file.write(text().encode())

    return write


def csv_cell(text: str) -> str:
    """A text for a CSV cell: one that a spreadsheet would take for a formula gets an apostrophe before it.

    So does one that begins with apostrophes before such a character. So :func:`csv_text` can take it off again.
    """
    return f"'{text}" if text.lstrip("'")[:1] in _FORMULA and text.lstrip("'") else text


def csv_text(cell: str) -> str:
    """Inverse of :func:`csv_cell`."""
    return (
        cell[1:] if cell.startswith("'") and cell.lstrip("'")[:1] in _FORMULA and cell.lstrip("'") else cell
    )


# -- where it goes -----------------------------------------------------------------------------------


def _checked(data: ReportData, folder: Path) -> list[str]:
    """Names of the files of an earlier export; refuses any other folder that is not empty."""
    if folder.resolve().is_relative_to(data.run_dir.resolve()):
        raise UsageError(
            f"--to {folder}: expected a folder outside the run directory, found one inside {data.run_dir}; an export "
            "is a copy that a purge of the run does not reach, so name a folder elsewhere"
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--to {folder}: expected a folder, found a file; name a folder")
    if not folder.is_dir():
        return []
    there = sorted(
        p.name for p in folder.iterdir() if not (p.name.startswith(".") and p.name.endswith(".tmp"))
    )
    if MARK not in there:
        if there:
            raise UsageError(
                f"--to {folder}: expected an empty folder or one of an earlier export, found {', '.join(there[:3])}; "
                "name another folder"
            )
        return []
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        files = {str(k): str(v) for k, v in mark["files"].items()}
        if mark["vgaudit_export"] != 1 or any(Path(name).name != name for name in files):
            raise ValueError("not a list of files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--to {folder}: expected the {MARK} of an earlier export, found something else ({error}); name "
            "another folder"
        ) from error
    changed = [
        n for n, sha in files.items() if sha and (folder / n).is_file() and file_digest(folder / n) != sha
    ]
    if changed:
        raise UsageError(
            f"--to {folder}: expected the files of an earlier export, found {', '.join(changed[:3])} changed since; "
            "move them away, or name another folder"
        )
    return [name for name in files if (folder / name).is_file()]


# -- rows --------------------------------------------------------------------------------------------


def _result_rows(data: ReportData) -> list[dict[str, Any]]:
    rows = []
    for result in data.results:
        row = result.to_json()
        detail = dict(row["detail"])
        row["unbounded"] = " ".join(detail.pop("unbounded", ()))
        row["detail"] = json.dumps(detail, sort_keys=True, ensure_ascii=False, default=str)
        rows.append(row)
    return rows


def _comparison_rows(data: ReportData) -> list[dict[str, Any]]:
    stored = data.comparisons
    rows: list[dict[str, Any]] = []
    if stored is None:
        if data.kind == "census" or len({entry.sample.group for entry in data.clips}) < 2:
            return rows
        why = "the run was scored by a version of vgaudit that did not compare groups; score it again"
        return [{"name": "", "group": "", "reference": "", "status": NOT_COMPUTED, "reason": why}]
    for entry in stored["differences"]:
        found = PairedDifference.from_json(entry)
        dropped = json.dumps(entry.get("dropped") or {}, ensure_ascii=False)
        rows.append({**entry, "dropped": dropped, "shown": found.shown() if found.p is not None else None})
    for name, why in stored["not_paired"].items():
        rows.append({"name": name, "group": "", "reference": "", "status": NOT_APPLICABLE, "reason": why})
    return rows


def _gate_rows(data: ReportData) -> list[dict[str, Any]]:
    return [{"neutral": False, **gate.to_json()} for gate in data.gates]


def _decision_rows(data: ReportData) -> list[dict[str, Any]]:
    """Decisions on the findings of the run, in the order of the chain; reviewers are numbered by their first one."""
    from vgaudit.decisions import person

    made = {
        decision.seq: (decision, str(standing.state))
        for standing in data.decisions.values()
        for decision in standing.history
    }
    reviewers: dict[str, int] = {}
    rows = []
    for seq in sorted(made):
        decision, state = made[seq]
        number = reviewers.setdefault(person(decision.author), len(reviewers) + 1)
        rows.append(
            {
                "seq": seq, "time": decision.time, "reviewer": f"reviewer {number}", "verb": decision.verb,
                "fingerprint": decision.finding, "kind": decision.kind, "reason_code": decision.reason_code,
                "reason": decision.reason, "expires": decision.expires, "state_now": state,
            }
        )  # fmt: skip
    return rows


def _value_rows(data: ReportData) -> list[dict[str, Any]]:
    return [{**spec, "name": name, "unit": spec.get("unit") or ""} for name, spec in data.value_specs.items()]


# -- formats -----------------------------------------------------------------------------------------


def _write_table(path: Path, table: Table, format_: Format) -> None:
    if format_ == "parquet":
        write_parquet(path, table.columns, table.rows)
        return
    with atomic_write(path) as file:
        if format_ == "csv":
            file.write(_csv_line([column.name for column in table.columns]))
        for row in table.rows:
            cells = [_value(row.get(column.name), column) for column in table.columns]
            if format_ == "csv":
                file.write(_csv_line([_csv_value(v, c) for v, c in zip(cells, table.columns, strict=True)]))
            else:
                record = {c.name: v for c, v in zip(table.columns, cells, strict=True)}
                file.write(f"{json.dumps(record, ensure_ascii=False, allow_nan=False)}\n".encode())


def _value(value: Any, column: Column) -> Any:
    """A value as JSON has it: numbers finite, texts that UTF-8 can hold."""
    if value is None:
        return None
    if column.kind == "text":
        return plain(str(value))
    if column.kind == "texts":
        return [plain(str(item)) for item in value]
    if column.kind == "pairs":
        return {plain(str(k)): plain(str(v)) for k, v in value.items()}
    if column.kind == "number":
        return float(value) if math.isfinite(value) else None
    return list(value) if column.kind == "numbers" else value


def _csv_value(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if column.kind == "text":
        return csv_cell(value.replace("\0", "\ufffd"))
    if column.kind in ("number", "whole"):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)  # lists, pairs, true and false


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()


# -- description -------------------------------------------------------------------------------------

_KIND_WORDS = {
    "text": "text", "number": "number", "whole": "whole number", "truth": "true or false",
    "numbers": "list of numbers", "texts": "list of texts", "pairs": "names, each with a text",
}  # fmt: skip
_HOW = {
    "csv": "CSV after RFC 4180: UTF-8, commas, lines end with CR LF, a cell with a comma, quote or line break stands "
    "in double quotes. An empty cell is null or an empty text. Lists and pairs are JSON. A text that a spreadsheet "
    "would take for a formula (it begins with =, +, -, @, a tab or a line break) has an apostrophe before it, and so "
    "has one that begins with apostrophes before such a character: take one off to have the text. Numbers are never "
    "changed.",
    "parquet": "Apache Parquet. Lists are lists, pairs are a map.",
    "jsonl": "JSON lines: UTF-8, an object a line, null where there is nothing.",
}
_PERSONS = (
    "Prompts, tags, file names, messages and reasons stand here as the run has them. They may name people.",
    "People of a gallery stand here by the ids of their entries, in messages and details of likeness findings. "
    "Whoever has the gallery knows who that is. Names and aliases of the gallery, faces and embeddings are not here.",
    "Reviewers are numbered in the order of their first decision. Their names and notes are not here; decisions on "
    "findings that the run does not have any more are not either. Where the chain of decisions is damaged, none "
    "counts, and the table is empty.",
    "A purge of the run does not reach this folder: delete it, and export again.",
)


def _description(data: ReportData, every: Sequence[Table], format_: Format) -> str:
    """``columns.md``."""
    lines = [
        f"# Tables of {markdown_text(data.name, 120)}", "",
        f"Written by `vgaudit export`. Verdict of the run: {data.verdict.outcome.value}. "
        f"Run: plan {str(data.manifest.get('plan_digest') or 'not recorded')[:12]}.", "",
        _HOW[format_], "",
        "`sample_id` joins samples, measurements and findings; `fingerprint` joins findings and decisions; the name "
        "of a value joins measurements (`metric`), results (`name`, up to an `@`) and values.", "",
    ]  # fmt: skip
    for table in every:
        count = numbers.count(len(table.rows), "row")
        lines += [f"## {table.name}.{format_}", "", f"{count}, each {table.words}.", ""]
        lines += ["| column | holds | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{c.name}` | {_KIND_WORDS[c.kind]} | {_escaped(c.words)} |" for c in table.columns]
        lines.append("")
    return "\n".join([*lines, "## What this holds of persons", "", *(f"- {words}" for words in _PERSONS), ""])


def _escaped(words: str) -> str:
    return words.replace("<", "&lt;").replace(">", "&gt;")
