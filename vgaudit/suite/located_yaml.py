"""YAML whose every value knows its line and column, so that a suite error can point at its cause.

ruamel.yaml composes the node tree (YAML 1.2); this module turns it into plain Python values beside a table
of positions. It builds no objects: only mappings, lists, text, numbers, true/false and null exist, dates stay
text, and any other tag is refused. Size, depth and alias expansion are bounded.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from vgaudit.errors import SuiteError

Location = tuple[str | int, ...]

MAX_BYTES = 4_000_000
MAX_DEPTH = 40
MAX_VALUES = 200_000
_CORE = "tag:yaml.org,2002:"
_WHAT = {"map": "a mapping", "seq": "a list"}


@dataclass
class Document:
    """A parsed file: plain values, and where each of them stands.

    Attributes:
        label: File name for messages.
        value: The content; ``None`` for an empty file.
        values: Location to 0-based ``(line, column)`` of the value.
        keys: Location to 0-based ``(line, column)`` of the key.
        overrides: Location to the text of the ``--set`` that put the value there.
    """

    label: str
    value: Any = None
    values: dict[Location, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    overrides: dict[Location, str] = field(default_factory=dict)

    def where(self, location: Location, *, key: bool = False) -> str:
        """``file:line:col`` of a value (or of its key), or the override that set it.

        A location that is not in the file (a missing field) gives that of its nearest parent.
        """
        for size in range(len(location), -1, -1):
            if text := self.overrides.get(location[:size]):
                return f"--set {text}"
        for size in range(len(location), -1, -1):
            here = location[:size]
            mark = (self.keys.get(here) if key else None) or self.values.get(here)
            if mark:
                return f"{self.label}:{mark[0] + 1}:{mark[1] + 1}"
        return f"{self.label}:1:1"

    def problem(self, location: Location, message: str, *, key: bool = False) -> str:
        """``file:line:col: where.in.suite: message``."""
        name = dotted(location)
        return f"{self.where(location, key=key)}: {name + ': ' if name else ''}{message}"


def dotted(location: Location) -> str:
    """``("gates", 0, "value")`` as ``gates[0].value``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """A value as a message quotes it: one line, at most 60 characters."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_text(path: Path) -> str:
    """The text of a suite file.

    Raises:
        SuiteError: Missing, a folder, too large, unreadable, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise SuiteError(f"{path}: expected a suite file, found a folder; name the .yaml file in it")
        if not path.is_file():
            raise SuiteError(f"{path}: expected a suite file, found nothing of that name")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SuiteError(
                f"{path}: expected at most {MAX_BYTES:,} bytes, found {size:,}; keep long prompt lists in a "
                "CSV or JSONL file and name it under `prompts:`"
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise SuiteError(
            f"{path}:{line}:{column}: expected UTF-8 text, found byte 0x{data[error.start]:02x}; "
            "save the file as UTF-8"
        ) from error


def parse(text: str, label: str) -> Document:
    """Parse one YAML document.

    Raises:
        SuiteError: Not YAML, duplicate keys, foreign tags, too deep, or aliases that expand without end.
    """
    try:
        yaml = YAML(typ="safe", pure=True)
        root = yaml.compose(text)
        document = Document(label)
        if root is not None:
            builder = _Builder(document, yaml)
            document.value = builder.build(root, (), 0)
            if builder.problems:
                raise SuiteError(builder.problems)
    except ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        found = (
            f"character 0x{ord(text[error.position]):02x}" if before or text else "an unreadable character"
        )
        raise SuiteError(f"{label}:{line}:{column}: expected printable text, found {found}") from error
    except MarkedYAMLError as error:
        raise SuiteError(_syntax_problem(error, label)) from error
    except RecursionError as error:
        raise SuiteError(
            f"{label}:1:1: expected at most {MAX_DEPTH} levels of nesting, found more"
        ) from error
    except (YAMLError, ValueError) as error:
        raise SuiteError(f"{label}:1:1: expected YAML, found something else: {error}") from error
    return document


def _syntax_problem(error: MarkedYAMLError, label: str) -> str:
    mark = error.problem_mark or error.context_mark
    at = f"{label}:{mark.line + 1}:{mark.column + 1}" if mark else f"{label}:1:1"
    message = ": ".join(part for part in (error.context, error.problem) if part)
    if "\\t" in message:
        message += "; indent with spaces, YAML does not allow tabs there"
    elif "mapping values are not allowed" in message:
        message += "; quote text that contains ': '"
    elif "another document" in message:
        message = "expected one document, found a second one after '---'"
    elif "undefined alias" in message:
        message += (
            "; an alias `*name` needs an anchor `&name` above it, and text that starts with * needs quotes"
        )
    return f"{at}: expected YAML: {message}" if not message.startswith("expected one") else f"{at}: {message}"


class _Builder:
    """Nodes to values; collects problems so that all are told at once."""

    def __init__(self, document: Document, yaml: YAML) -> None:
        self.document = document
        self.yaml = yaml
        self.problems: list[str] = []
        self.left = MAX_VALUES

    def build(self, node: Node, location: Location, depth: int) -> Any:
        mark = (node.start_mark.line, node.start_mark.column)
        self.document.values[location] = mark
        self._spend(location, depth)
        tag = str(node.tag or "")
        if isinstance(node, MappingNode) and tag == f"{_CORE}map":
            return self._mapping(node, location, depth)
        if isinstance(node, SequenceNode) and tag == f"{_CORE}seq":
            return [self.build(child, (*location, i), depth + 1) for i, child in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, tag, location)
        self._tag_problem(tag, location)
        return None

    def _mapping(self, node: MappingNode, location: Location, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        self._fill(out, node, location, depth)
        return out

    def _fill(self, out: dict[str, Any], node: MappingNode, location: Location, depth: int) -> None:
        """Put a node's keys into ``out``, then those of its merges (``<<: *base``), which never replace."""
        merges: list[Node] = []
        already = frozenset(out)
        for key_node, value_node in node.value:
            mark = (key_node.start_mark.line, key_node.start_mark.column)
            at = f"{self.document.label}:{mark[0] + 1}:{mark[1] + 1}"
            if key_node.tag == f"{_CORE}merge":
                merges += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            if not isinstance(key_node, ScalarNode) or key_node.tag != f"{_CORE}str":
                scalar = isinstance(key_node, ScalarNode)
                found = f"{key_node.value!r}; put it in quotes" if scalar else "a list or mapping"
                self.problems.append(f"{at}: {_prefix(location)}expected a name as key, found {found}")
                continue
            key = str(key_node.value)
            here = (*location, key)
            if key in already:
                continue
            if key in out:
                first = self.document.keys[here][0] + 1
                self.problems.append(
                    f"{at}: {dotted(here)}: expected each name once, found it again (first on line {first})"
                )
                continue
            self.document.keys[here] = mark
            out[key] = self.build(value_node, here, depth + 1)
        for merged in merges:
            self._spend(location, depth)
            if isinstance(merged, MappingNode):
                self._fill(out, merged, location, depth + 1)
            else:
                self.problems.append(self.document.problem(location, "expected a mapping after `<<`"))

    def _spend(self, location: Location, depth: int) -> None:
        """Count one value; stop when aliases or nesting would exhaust the machine."""
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            values = f"{MAX_VALUES:,} values once aliases are expanded"
            what = values if self.left < 0 else f"{MAX_DEPTH} levels of nesting"
            raise SuiteError(self.document.problem(location[:3], f"expected at most {what}, found more"))

    def _scalar(self, node: ScalarNode, tag: str, location: Location) -> Any:
        kind = tag.removeprefix(_CORE)
        if kind in ("str", "timestamp", "merge", "value"):
            text = str(node.value)
            if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
                self.problems.append(
                    self.document.problem(location, "expected text, found a character that no text may hold")
                )
            return text
        if kind not in ("int", "float", "bool", "null"):
            self._tag_problem(tag, location)
            return None
        try:
            value = self.yaml.constructor.construct_object(node)
        except (ValueError, OverflowError, YAMLError):
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            found = shown(node.value)
            self.problems.append(self.document.problem(location, f"expected a finite number, found {found}"))
            return 0.0
        if isinstance(value, int) and abs(value) >= 2**63:
            found = shown(node.value)
            self.problems.append(
                self.document.problem(location, f"expected a whole number below 2^63, found {found}")
            )
            return 0
        return value

    def _tag_problem(self, tag: str, location: Location) -> None:
        name = tag.replace(_CORE, "!!")
        self.problems.append(
            self.document.problem(
                location, f"expected plain values, found the tag {name!r}; suites hold data, never objects"
            )
        )


def _prefix(location: Location) -> str:
    return f"{dotted(location)}: " if location else ""


def did_you_mean(name: str, known: list[str]) -> str:
    """``; did you mean 'x'?``, or all known names when none is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
