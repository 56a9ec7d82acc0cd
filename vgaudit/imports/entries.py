"""What readers of benchmarks' prompt files hand on, and the checks that every text and label goes through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgaudit.errors import SuiteError, UsageError
from vgaudit.index import prompt_id_of
from vgaudit.records import digest
from vgaudit.rows import read_text, type_name

MAX_BYTES = 16 * 2**20
"""Largest file that is read; those of the benchmarks are below half a MiB."""
MAX_TEXT = 5000
"""Characters of a prompt, as in a suite."""
MAX_LABELS = 200
"""Different tags in one suite: more are no categories."""
_TOLD = 50
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Contrast:
    """An expectation of a suite: ``is``, what it must not be, and what is contrasted."""

    about: str
    is_: str
    not_: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One prompt as the file has it.

    Attributes:
        text: The prompt, without white space around it.
        tags: Name to value; names are made by :func:`label`.
        group: What a sample is spread over: the first category.
        expect: Contrasts that the file states.
        id_stem: What the id begins with instead of words of the text.
    """

    text: str
    tags: dict[str, str]
    group: str = ""
    expect: tuple[Contrast, ...] = ()
    id_stem: str = ""

    @property
    def prompt_id(self) -> str:
        """As a suite would make it from the text, or the stem and 8 hex digits of the text's digest."""
        if self.id_stem:
            return f"{self.id_stem}-{digest(self.text.encode(), 8)}"
        return prompt_id_of(self.text)


@dataclass
class Reading:
    """What was read of a benchmark.

    Attributes:
        entries: In the order of the files.
        files: Those read.
        blank: Empty lines that were skipped.
        seeds: Clips of each prompt that the benchmark asks for.
        seeds_why: One sentence on that.
        metrics: Lines of the suite's ``metrics`` beyond ``integrity`` and ``temporal``.
        notes: Sentences for the head of the suite.
    """

    entries: list[Entry] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    blank: int = 0
    seeds: int = 1
    seeds_why: str = ""
    metrics: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Wrong:
    """Collects what is wrong; at most :data:`_TOLD` things are told."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.more = 0

    def add(self, place: str, message: str) -> None:
        """Remember one problem at ``file:line`` or ``file: entry n``."""
        if len(self.found) < _TOLD:
            self.found.append(f"{place}: {message}")
        else:
            self.more += 1

    def raise_if_any(self) -> None:
        """Raise all that was found as one error."""
        if self.found:
            rest = [f"... and {self.more:,} more such problems"] if self.more else []
            raise SuiteError([*self.found, *rest])


def checked_file(path: Path) -> Path:
    """``path``, where it is a file of a size that can be one of these.

    Raises:
        UsageError: It is none.
    """
    if not path.is_file():
        found = "nothing of that name" if not path.exists() else "something else"
        raise UsageError(f"{path}: expected a file of prompts, found {found}")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UsageError(f"{path}: expected at most {MAX_BYTES:,} bytes of prompts, found {size:,}")
    return path


def lists_in(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """``path`` itself if it is a file, else the lists directly in that folder, by name (numbers as numbers).

    Raises:
        UsageError: There is none, or one is too large.
    """
    if not path.is_dir():
        return [checked_file(path)]
    found = [p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file()]
    if not found:
        raise UsageError(
            f"{path}: expected a folder with {' or '.join(suffixes)} files, found none directly in it"
        )
    return [checked_file(p) for p in sorted(found, key=_natural)]


def _natural(path: Path) -> tuple[int, str]:
    digits = re.match(r"[0-9]{1,9}", path.name)
    return (int(digits[0]) if digits else -1, path.name)


def lines_of(path: Path) -> list[tuple[int, str]]:
    """``(line number, text)`` of every line, empty ones too; only line feeds end a line, with or without CR."""
    text = read_text(path)
    lines = text.split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    return [(number, line.removesuffix("\r")) for number, line in enumerate(lines, 1)]


def prompts_in(path: Path, wrong: Wrong, reading: Reading) -> list[str]:
    """The prompts of a list with one a line; empty lines are counted in ``reading``."""
    reading.files.append(path)
    found = []
    for number, line in lines_of(path):
        if not line.strip():
            reading.blank += 1
        elif (text := prompt_text(line, f"{path}:{number}", wrong)) is not None:
            found.append(text)
    if not found and not wrong.found:
        wrong.add(f"{path}:1", "expected prompts, one a line, found none")
    return found


def prompt_text(value: Any, place: str, wrong: Wrong, name: str = "") -> str | None:
    """A prompt, or ``None`` after telling why it is none.

    Control characters stay, as some benchmarks attack with them; NUL and halves of surrogate pairs are no text.
    """
    at = f"{name}: " if name else ""
    if not isinstance(value, str):
        wrong.add(place, f"{at}expected a prompt as text, found {type_name(value)}")
        return None
    text = value.strip(" \t\r\n")
    if not text.strip():
        wrong.add(place, f"{at}expected a prompt, found an empty text")
    elif "\0" in text or _LONE_SURROGATE.search(text):
        wrong.add(place, f"{at}expected text, found a NUL or half of a surrogate pair")
    elif len(text) > MAX_TEXT:
        wrong.add(place, f"{at}expected at most {MAX_TEXT:,} characters, found {len(text):,}")
    else:
        return text
    return None


def words(value: Any, place: str, name: str, wrong: Wrong, *, needed: bool = True) -> list[str]:
    """A list of labels; ``null`` stands for an empty one where none is needed."""
    if value is None and not needed:
        return []
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        found = type_name(value) if not isinstance(value, list) else "other things in it"
        wrong.add(place, f"{name}: expected a list of texts, found {found}")
        return []
    return list(value)


def label(text: str) -> str:
    """A label as a tag is named: ``scenery & natural objects`` is ``scenery_natural_objects``; may be empty."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].rstrip("_")


def tags_of(prefix: str, labels: Iterable[str], place: str, wrong: Wrong) -> dict[str, str]:
    """``{prefix.label: yes}`` for each label."""
    out = {}
    for text in labels:
        if name := label(text):
            out[f"{prefix}.{name}"] = "yes"
        else:
            wrong.add(place, f"{prefix}: expected a label with letters or digits, found {text[:40]!r}")
    return out


def one_of(value: Any, known: Iterable[str], place: str, name: str, wrong: Wrong) -> str | None:
    """A text that must be one of ``known``, or ``None`` after telling."""
    allowed = list(known)
    if isinstance(value, str) and value in allowed:
        return value
    found = repr(value[:60]) if isinstance(value, str) else type_name(value)
    wrong.add(place, f"{name}: expected one of {', '.join(allowed)}, found {found}")
    return None
