"""``--set a.b=c``: put single values into a parsed suite, remembering who put them there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vgaudit.errors import SuiteError
from vgaudit.suite.located_yaml import Document, Location, dotted, parse, shown


def apply_override(document: Document, text: str) -> None:
    """Put one ``a.b.0.c=value`` into the document; the value is YAML.

    A name that itself contains dots is matched where it exists (``metrics.temporal.warp_error.size=128``).

    Raises:
        SuiteError: No ``=``, an empty path, a value that is not YAML, or a path through something that is
            neither a mapping nor a list.
    """
    path, equals, raw = text.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise SuiteError(f"--set {text}: expected name.of.value=value, found {text!r}")
    try:
        value = parse(raw, f"--set {text}").value
    except SuiteError as error:
        raise SuiteError(f"--set {text}: expected a YAML value after '=', found {raw!r} ({error})") from error
    if document.value is None:
        document.value = {}
    holder: Any = document.value
    location: Location = ()
    for part, last in _steps(holder, parts):
        location = (*location, part)
        if isinstance(holder, list):
            if not isinstance(part, int) or not 0 <= part < len(holder):
                size = f"0 to {len(holder) - 1}" if holder else "nothing, the list is empty"
                raise SuiteError(
                    f"--set {text}: {dotted(location[:-1])}: expected an index ({size}), found {part!r}"
                )
        elif not isinstance(holder, dict):
            at = dotted(location[:-1])
            raise SuiteError(f"--set {text}: {at}: expected a mapping or a list, found {shown(holder)}")
        if last:
            holder[part] = value
            for old in [k for k in document.overrides if k[: len(location)] == location]:
                del document.overrides[old]
            document.overrides[location] = text
            return
        if isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
        holder = holder[part]


def _steps(holder: Any, parts: list[str]) -> Iterator[tuple[str | int, bool]]:
    """Path parts with dotted names joined where the document has them, indexes as numbers."""
    at = 0
    while at < len(parts):
        part: str | int = parts[at]
        width = 1
        if isinstance(holder, dict):
            for size in range(len(parts) - at, 0, -1):
                if ".".join(parts[at : at + size]) in holder:
                    part, width = ".".join(parts[at : at + size]), size
                    break
        elif isinstance(holder, list) and parts[at].isdecimal():
            part = int(parts[at])
        at += width
        yield part, at >= len(parts)
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            holder = None
