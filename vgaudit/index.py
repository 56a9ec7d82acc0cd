"""Reads an index of clips (CSV, JSONL) and lists of prompts (CSV, JSONL, TXT).

An index says of every clip where it is and what was asked for. Everything wrong with a file is raised as one
:class:`~vgaudit.errors.SuiteError` with a ``file:line:`` for each problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from vgaudit.errors import SuiteError
from vgaudit.records import digest
from vgaudit.registry import nearest
from vgaudit.rows import Problems, Row, read_csv, read_jsonl, read_lines, type_name

INDEX_COLUMNS = ("path", "prompt", "prompt_id", "seed", "model", "tags")
PROMPT_COLUMNS = ("prompt", "id", "prompt_id", "path", "tags", "expect")

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class IndexRow:
    """One clip of an index.

    Attributes:
        path: Where the clip is, relative to the index's root, with ``/``; never leaves it.
        prompt: What was asked for; empty when unknown.
        prompt_id: Cluster of the clip: given, or derived from the prompt, or from the path.
        seed: Generation seed, if the index says.
        model: Group of the clip; empty when the index has no ``model`` column.
        tags: All further columns, as text.
        line: Line of the index, from 1.
        id_given: The index itself gave ``prompt_id``.
    """

    path: str
    prompt: str
    prompt_id: str
    seed: int | None
    model: str
    tags: dict[str, str]
    line: int
    id_given: bool = False


@dataclass(frozen=True)
class PromptRow:
    """One prompt of a list.

    Attributes:
        prompt_id: Given, or derived from the text.
        text: The prompt.
        tags: All further columns, as text.
        expect: Contrastive expectations (JSONL only), unchecked beyond being objects.
        path: Clip it belongs to, when the list has a ``path`` column.
        line: Line of the list, from 1.
        id_given: The list itself gave the id.
    """

    prompt_id: str
    text: str
    tags: dict[str, str] = field(default_factory=dict)
    expect: tuple[Mapping[str, Any], ...] = ()
    path: str | None = None
    line: int = 0
    id_given: bool = False


def prompt_id_of(text: str) -> str:
    """Stable id of a prompt that has none: a readable slug and 8 hex digits of the text's digest."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-")
    return f"{slug}-{digest(text.encode(), 8)}" if slug else digest(text.encode(), 8)


def read_index(path: Path) -> list[IndexRow]:
    """The clips of an index file.

    Columns (or JSON keys): ``path``, and ``prompt`` or ``prompt_id`` or both; optional ``seed``, ``model``
    and ``tags`` (an object; in CSV ``name=value; name=value``). Any further column is a tag. Commas separate in
    CSV, or semicolons or tabs where the header then has the column ``path``.

    Raises:
        SuiteError: With every problem of the file.
    """
    problems = Problems(path)
    table = _read_table(path, problems, ("path",), INDEX_COLUMNS)
    for missing in _without_any(table, ("prompt", "prompt_id")):
        problems.add(1, f"expected a column 'prompt' or 'prompt_id', found neither{missing}")
    rows = [row for raw in table if (row := _index_row(raw, problems))]
    _check_duplicate_paths([(r.path, r.line) for r in rows], problems)
    _check_one_prompt_per_id([(r.prompt_id, r.prompt, r.line) for r in rows if r.prompt], problems)
    problems.raise_if_any()
    return rows


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts of a CSV, JSONL or TXT file.

    CSV and JSONL have ``prompt`` and optionally ``id`` (or ``prompt_id``), ``path``, ``tags`` and, in JSONL,
    ``expect`` (a list of objects); further columns are tags. TXT has one prompt a line; lines that begin with
    ``#`` are comments.

    Raises:
        SuiteError: With every problem of the file.
    """
    problems = Problems(path)
    if path.suffix.lower() == ".txt":
        rows = [PromptRow(prompt_id_of(text), text, line=line) for line, text in read_lines(path)]
        if not rows:
            problems.add(1, "no prompts; expected one a line")
    else:
        table = _read_table(path, problems, ("prompt",), PROMPT_COLUMNS)
        rows = [row for raw in table if (row := _prompt_row(raw, problems))]
    if any(r.path is not None for r in rows):
        # One prompt may then belong to several clips; it is the clips that must be unique.
        _check_duplicate_paths([(r.path, r.line) for r in rows if r.path is not None], problems)
        _check_one_prompt_per_id([(r.prompt_id, r.text, r.line) for r in rows], problems)
    else:
        _check_unique_prompts(rows, problems)
    problems.raise_if_any()
    return rows


def _read_table(
    path: Path, problems: Problems, required: tuple[str, ...], known: tuple[str, ...]
) -> list[Row]:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        header, rows = read_csv(path, problems, required[0])
        _check_columns(header, 1, required, known, problems)
    elif suffix in (".jsonl", ".ndjson"):
        rows = read_jsonl(path, problems)
        for row in rows:
            _check_columns(list(row.fields), row.line, required, known, problems)
    else:
        lists = ".csv, .jsonl or .txt" if "path" not in required else ".csv or .jsonl"
        raise SuiteError(f"{path}: expected a {lists} file, found {path.suffix or 'no extension'!r}")
    if not rows and not problems.found:
        problems.add(1, "no rows; expected at least one")
    return rows


def _check_columns(
    names: list[str], line: int, required: tuple[str, ...], known: tuple[str, ...], problems: Problems
) -> None:
    absent = [n for n in known if n not in names]
    meant = {name: _meant(name, absent) for name in names if name not in known}
    for name, column in meant.items():
        if column:
            # A misspelt column would otherwise become a tag, and the clips would be scored without it.
            hint = f"did you mean {column!r}? (rename it if it is meant as a tag)"
            problems.add(line, f"column {name!r} is not known; {hint}")
    for name in required:
        if names and name not in names and name not in meant.values():
            found = ", ".join(repr(n) for n in names[:12])
            problems.add(line, f"expected a column {name!r}, found {found}{nearest(name, names)}")


def _meant(name: str, columns: list[str]) -> str:
    """The column that ``name`` is a slip of the pen away from, or an empty string."""
    return next(iter(get_close_matches(name.lower(), columns, n=1, cutoff=0.75)), "")


def _without_any(rows: list[Row], names: tuple[str, ...]) -> list[str]:
    """One hint (perhaps empty) when no row has any of ``names``; else nothing."""
    if not rows or any(name in row.fields for row in rows for name in names):
        return []
    return [nearest(names[0], list(rows[0].fields))]


def _index_row(raw: Row, problems: Problems) -> IndexRow | None:
    before = len(problems.found)
    path = _clip_path(raw, problems)
    prompt = _text(raw, "prompt", problems)
    given = _name(raw, "prompt_id", problems)
    model = _name(raw, "model", problems)
    seed = _seed(raw, problems)
    tags = _tags(raw, INDEX_COLUMNS, problems)
    if len(problems.found) > before or not path:
        return None
    prompt_id = given or (prompt_id_of(prompt) if prompt else PurePosixPath(path).with_suffix("").as_posix())
    return IndexRow(path, prompt, prompt_id, seed, model, tags, raw.line, bool(given))


def _prompt_row(raw: Row, problems: Problems) -> PromptRow | None:
    before = len(problems.found)
    text = _text(raw, "prompt", problems)
    if not text and len(problems.found) == before and "prompt" in raw.fields:
        problems.add(raw.line, "the prompt is empty")
    if "id" in raw.fields and "prompt_id" in raw.fields:
        problems.add(raw.line, "found both 'id' and 'prompt_id'; keep one")
    given = _name(raw, "id", problems) or _name(raw, "prompt_id", problems)
    path = _clip_path(raw, problems) if "path" in raw.fields else None
    tags = _tags(raw, PROMPT_COLUMNS, problems)
    expect = _expect(raw, problems)
    if len(problems.found) > before or not text:
        return None
    return PromptRow(given or prompt_id_of(text), text, tags, expect, path, raw.line, bool(given))


def _text(raw: Row, name: str, problems: Problems) -> str:
    value = raw.fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        problems.add(raw.line, f"{name}: expected a string, found {type_name(value)}")
        return ""
    if "\0" in value:  # JSON can write one as an escape
        problems.add(raw.line, f"{name}: found a NUL character")
        return ""
    return value.strip()


def _name(raw: Row, name: str, problems: Problems) -> str:
    if isinstance(raw.fields.get(name), int) and not isinstance(raw.fields[name], bool):
        return str(raw.fields[name])  # JSONL ids are often plain numbers
    value = _text(raw, name, problems)
    if _CONTROL.search(value):
        problems.add(raw.line, f"{name}: {value!r} holds a control character")
        return ""
    if len(value) > 200:
        problems.add(raw.line, f"{name}: {len(value)} characters; at most 200 are allowed")
        return ""
    return value


def _clip_path(raw: Row, problems: Problems) -> str:
    before = len(problems.found)
    value = _text(raw, "path", problems)
    if len(problems.found) > before or "path" not in raw.fields:
        return ""
    if reason := path_problem(value):
        problems.add(raw.line, f"path: {reason}")
        return ""
    return PurePosixPath(value).as_posix()


def path_problem(value: str) -> str:
    """Why ``value`` may not name a clip below a root, or an empty string."""
    if not value:
        return "is empty; expected the clip's path relative to the root"
    if _CONTROL.search(value):
        return f"{value!r} holds a control character"
    windows = PureWindowsPath(value)
    if PurePosixPath(value).is_absolute() or windows.drive or windows.root:
        return f"{value!r} is absolute; expected a path relative to the root"
    if ".." in windows.parts or ".." in PurePosixPath(value).parts:
        return f"{value!r} leaves the root ('..' is not allowed)"
    if PurePosixPath(value).as_posix() == ".":
        return f"{value!r} is the root itself; expected a clip in it"
    return ""


def _seed(raw: Row, problems: Problems) -> int | None:
    value = raw.fields.get("seed")
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63):
        return value
    problems.add(raw.line, f"seed: expected an integer, found {str(value)[:40]!r}")
    return None


def _tags(raw: Row, known: tuple[str, ...], problems: Problems) -> dict[str, str]:
    tags: dict[str, str] = {}
    nested = raw.fields.get("tags")
    if isinstance(nested, Mapping):
        for key, value in nested.items():
            _add_tag(tags, key, value, raw.line, problems)
    elif isinstance(nested, str):
        tags.update(_tag_text(nested, raw.line, problems))
    elif nested is not None:
        problems.add(raw.line, f"tags: expected an object of names and values, found {type_name(nested)}")
    for key, value in raw.fields.items():
        if key in tags:
            problems.add(raw.line, f"{key}: given both as a column and in 'tags'")
        if key not in known:
            _add_tag(tags, key, value, raw.line, problems)
    return tags


def _tag_text(text: str, line: int, problems: Problems) -> dict[str, str]:
    """``"style=ink; mood=calm"`` as a mapping: tags in one CSV cell."""
    tags: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals or not key:
            problems.add(line, f"tags: expected 'name=value; name=value', found {part!r}")
        else:
            tags[key] = value
    return tags


def _add_tag(tags: dict[str, str], key: str, value: Any, line: int, problems: Problems) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        tags[key] = "true" if value else "false"
    elif isinstance(value, str | int | float):
        tags[key] = str(value)
    else:
        problems.add(line, f"{key}: expected text or a number for a tag, found {type_name(value)}")


def _expect(raw: Row, problems: Problems) -> tuple[Mapping[str, Any], ...]:
    value = raw.fields.get("expect")
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        problems.add(raw.line, f"expect: expected a list of objects (JSONL), found {type_name(value)}")
        return ()
    return tuple(value)


def _check_duplicate_paths(paths: Iterable[tuple[str, int]], problems: Problems) -> None:
    first: dict[str, int] = {}
    for path, line in paths:
        if path in first:
            problems.add(line, f"path: {path!r} was already given in line {first[path]}")
        first.setdefault(path, line)


def _check_one_prompt_per_id(rows: Iterable[tuple[str, str, int]], problems: Problems) -> None:
    first: dict[str, tuple[str, int]] = {}
    for prompt_id, text, line in rows:
        seen, at = first.setdefault(prompt_id, (text, line))
        if seen != text:
            problems.add(
                line,
                f"prompt_id {prompt_id!r} has the prompt {_cut(text)}, but in line {at} it has {_cut(seen)}",
            )


def _check_unique_prompts(rows: list[PromptRow], problems: Problems) -> None:
    by_id: dict[str, PromptRow] = {}
    for row in rows:
        seen = by_id.setdefault(row.prompt_id, row)
        if seen is not row:
            what = "prompt" if not row.id_given else "id"
            shown = _cut(row.prompt_id if row.id_given else row.text)
            problems.add(row.line, f"{what} {shown} was already given in line {seen.line}")


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
