"""FETV's prompts: ``fetv_data.json``, which holds an object a line (a JSON list of them is read too)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vgaudit.imports.entries import Entry, Reading, Wrong, checked_file, prompt_text, tags_of, words
from vgaudit.rows import Problems, read_json, read_jsonl, read_text, type_name


def read(path: Path) -> Reading:
    """Read the file.

    Raises:
        UsageError: There is no such file, or it is too large.
        SuiteError: With what is wrong in it.
    """
    wrong, reading = Wrong(), Reading(files=[checked_file(path)])
    reading.seeds_why = "The benchmark states no number of clips a prompt."
    for place, item in _objects(path):
        entry = _entry(item, place, wrong)
        if entry is not None:
            reading.entries.append(entry)
    wrong.raise_if_any()
    reading.notes.append(
        "FETV's labels name what a prompt asks for, not what would be wrong: it has no expectations."
    )
    return reading


def _objects(path: Path) -> list[tuple[str, Any]]:
    if read_text(path).lstrip().startswith("["):
        found = [(f"{path}: entry {number}", item) for number, item in enumerate(read_json(path), 1)]
    else:
        problems = Problems(path)
        found = [(f"{path}:{row.line}", row.fields) for row in read_jsonl(path, problems)]
        told = Wrong()
        for problem in problems.found:
            told.add(*problem.split(": ", 1))
        told.raise_if_any()
    if not found:
        told = Wrong()
        told.add(f"{path}:1", "expected an object with a prompt a line, found none")
        told.raise_if_any()
    return found


def _entry(item: Any, place: str, wrong: Wrong) -> Entry | None:
    if not isinstance(item, dict):
        wrong.add(place, f"expected an object with a prompt and its labels, found {type_name(item)}")
        return None
    text = prompt_text(item.get("prompt"), place, wrong, "prompt")
    tags: dict[str, str] = {}
    for key, prefix in (("major content", "content"), ("attribute control", "control")):
        both = item.get(key)
        if not isinstance(both, dict):
            wrong.add(place, f"{key}: expected an object with spatial and temporal, found {type_name(both)}")
            continue
        for kind in ("spatial", "temporal"):
            labels = words(both.get(kind), place, f"{key}.{kind}", wrong, needed=False)
            tags |= tags_of(prefix, labels, place, wrong)
    complexity = words(item.get("prompt complexity"), place, "prompt complexity", wrong)
    if len(complexity) == 1:
        tags["complexity"] = _value(complexity[0], "prompt complexity", place, wrong)
    elif isinstance(item.get("prompt complexity"), list):
        wrong.add(place, f"prompt complexity: expected one, found {len(complexity)}")
    for key, name in (("unusual type", "unusual"), ("source", "source")):
        if item.get(key) is not None:
            tags[name] = _value(item[key], key, place, wrong)
    return Entry(text, tags, tags.get("complexity", "")) if text is not None else None


def _value(value: Any, name: str, place: str, wrong: Wrong) -> str:
    """A label that stands as a value: one short line."""
    if isinstance(value, str) and 0 < len(value) <= 60 and value.isprintable():
        return value
    found = repr(value[:60]) if isinstance(value, str) else type_name(value)
    wrong.add(place, f"{name}: expected a label of 1 to 60 printable characters, found {found}")
    return ""
