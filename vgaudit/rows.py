"""Reads the tables people write (CSV, JSONL) into rows with line numbers, collecting every problem.

Nothing here knows what a column means. Input is not trusted: sizes are bounded, text must be UTF-8 without
NUL bytes, and a row that does not fit its header is a problem, never a guess.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vgaudit.errors import SuiteError

MAX_FILE_BYTES = 64 * 2**20
MAX_FIELD_CHARS = 20_000
MAX_ROWS = 1_000_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Problems:
    """What is wrong with one file, in the order found.

    Attributes:
        file: Name shown before the line number.
        found: ``file:line: message`` strings.
    """

    file: Path
    found: list[str] = field(default_factory=list)

    def add(self, line: int, message: str) -> None:
        """Remember one problem of one line (1 is the first)."""
        self.found.append(f"{self.file}:{line}: {message}")

    def raise_if_any(self) -> None:
        """Raise one :class:`SuiteError` that holds everything found so far."""
        if self.found:
            raise SuiteError(self.found)


@dataclass(frozen=True)
class Row:
    """One record: CSV fields are strings, JSONL fields are what JSON says."""

    line: int
    fields: dict[str, Any]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped).

    Raises:
        SuiteError: The file is missing, not a regular file, above 64 MiB, not UTF-8, or holds NUL bytes.
    """
    if not path.exists():
        raise SuiteError(f"{path}: no such file; the path is taken relative to the suite file")
    if not path.is_file():
        raise SuiteError(f"{path}: expected a file, found something else (a folder?)")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise SuiteError(f"{path}: {size} bytes, more than the {MAX_FILE_BYTES} allowed for a list")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SuiteError(f"{path}:1: the file is UTF-16; save it as UTF-8")
    if (nul := data.find(b"\0")) >= 0:
        raise SuiteError(f"{path}:{_line_at(data, nul)}: found a NUL byte; expected plain text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        byte = data[error.start]
        raise SuiteError(f"{path}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def read_csv(path: Path, problems: Problems, key: str) -> tuple[list[str], list[Row]]:
    """Header and rows of a comma-separated file; ``Row.line`` is the line a record begins on.

    Semicolons and tabs separate too, as spreadsheets write them, where the header then has the column ``key``.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text, key), strict=True)
    header: list[str] = []
    rows: list[Row] = []
    line = 1
    try:
        for record in reader:
            start, line = line, reader.line_num + 1
            if not record or record == [""]:
                continue
            if not header:
                header = _header(record, start, problems)
            elif len(record) != len(header):
                problems.add(start, f"expected {len(header)} fields as in the header, found {len(record)}")
            elif _fields_fit(record, start, problems):
                rows.append(Row(start, dict(zip(header, record, strict=True))))
            if len(rows) > MAX_ROWS:
                problems.add(start, f"more than {MAX_ROWS} rows")
                break
    except csv.Error as error:
        problems.add(line, f"not well-formed CSV: {error}")
    if not header:
        problems.add(1, "the file is empty; expected a header line and at least one row")
    return header, rows


def _separator(text: str, key: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    for separator in (",", ";", "\t"):
        if key in [name.strip().strip('"').strip() for name in first.split(separator)]:
            return separator
    return ","


def _header(record: list[str], line: int, problems: Problems) -> list[str]:
    names = [name.strip() for name in record]
    if len(names) == 1 and (separator := next((c for c in ";\t|" if c in names[0]), "")):
        problems.add(line, f"the header is separated by {separator!r}; expected commas")
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.add(line, f"column {name!r} occurs {names.count(name)} times in the header")
    if "" in names:
        problems.add(line, f"column {names.index('') + 1} of the header has no name")
    return names


def _fields_fit(record: list[str], line: int, problems: Problems) -> bool:
    longest = max(len(value) for value in record)
    if longest > MAX_FIELD_CHARS:
        problems.add(line, f"a field has {longest} characters; at most {MAX_FIELD_CHARS} are allowed")
    return longest <= MAX_FIELD_CHARS


def read_jsonl(path: Path, problems: Problems) -> list[Row]:
    """The objects of a JSON-lines file; blank lines are skipped."""
    rows: list[Row] = []
    for number, line in _lines(read_text(path)):
        if not line.strip():
            continue
        try:
            value = strict_json(line)
        except UnicodeError as error:
            problems.add(number, str(error))
            continue
        except ValueError as error:
            problems.add(number, f"not a JSON object: {error}")
            continue
        if not isinstance(value, dict):
            problems.add(number, f"expected a JSON object, found {type_name(value)}")
        elif _fields_fit(["", *(v for v in value.values() if isinstance(v, str))], number, problems):
            rows.append(Row(number, value))
        if len(rows) > MAX_ROWS:
            problems.add(number, f"more than {MAX_ROWS} rows")
            break
    return rows


def strict_json(text: str | bytes) -> Any:
    """JSON that everybody reads alike: no key twice in an object, no NaN, and every string is text.

    Raises:
        ValueError: It is not such JSON, or is nested too deeply; a :class:`UnicodeError` where a string is no text.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise UnicodeError("a string holds half of a surrogate pair, such as \\ud83d alone; that is no text")
    return value


def read_json(path: Path) -> Any:
    """What a JSON file holds, with each key of an object once and every number finite.

    Raises:
        SuiteError: The text is not JSON, or nested too deeply; and as :func:`read_text`.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise SuiteError(f"{path}:{error.lineno}:{error.colno}: expected JSON: {error.msg}") from None
    except RecursionError:
        raise SuiteError(f"{path}: expected JSON of a few levels, found it nested too deeply") from None
    except ValueError as error:
        raise SuiteError(f"{path}: expected JSON: {error}") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """``(line number, text)`` of every line that is neither blank nor a ``#`` comment."""
    return [
        (number, line.strip())
        for number, line in _lines(read_text(path))
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # str.splitlines would also cut at U+2028 and form feeds, which JSON strings and prompts may hold.
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"key {key!r} occurs twice")
        out[key] = value
    return out


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def type_name(value: Any) -> str:
    """What JSON calls the type of ``value``."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
