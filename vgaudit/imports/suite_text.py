"""The text of an imported suite: the same prompts give the same bytes."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from vgaudit.imports.entries import Entry, Reading

# What does not show, or what YAML would not take as it is: controls, joiners, odd spaces, private use.
_ESCAPED = re.compile(
    '["\\\\\x00-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\uf8ff\ufeff'
    "\ufff0-\uffff\U000e0000-\U0010ffff]"
)
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_WIDTH = 110


def quoted(text: str) -> str:
    """``text`` between double quotes as YAML 1.2 reads it back, on one line."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    wide = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _SHORT.get(match[0], wide)


def suite_text(
    entries: Sequence[Entry], reading: Reading, *, name: str, backend: str, seeds: int, head: Sequence[str]
) -> str:
    """The suite.

    Args:
        entries: Its prompts, each text once.
        reading: What they were read from.
        name: Of the suite.
        backend: The block, in YAML's flow style.
        seeds: Clips a prompt.
        head: Sentences for the comment at the top.
    """
    lines = [line for sentence in head for line in _comment(sentence)]
    lines += [f"name: {quoted(name)}", f"backend: {backend}", f"seeds: {seeds}", "", "metrics:"]
    lines += [f"  {line}" for line in ("integrity:", "temporal:", *reading.metrics)]
    lines += ["", "prompts:"]
    for entry in entries:
        lines += [f"  - id: {quoted(entry.prompt_id)}", f"    text: {quoted(entry.text)}"]
        if entry.tags:
            tags = ", ".join(f"{key}: {quoted(value)}" for key, value in entry.tags.items())
            lines.append(f"    tags: {{{tags}}}")
        if entry.expect:
            lines.append("    expect:")
        for contrast in entry.expect:
            others = ", ".join(map(quoted, contrast.not_))
            lines.append(f"      - {{about: {contrast.about}, is: {quoted(contrast.is_)}, not: [{others}]}}")
    return "\n".join([*lines, ""])


def _comment(sentence: str) -> list[str]:
    """Lines of a comment; what a file name may hold beyond plain characters is escaped."""
    plain = _ESCAPED.sub(lambda m: m[0] if m[0] in '"\\' else _escape(m), sentence)
    wrapped = textwrap.wrap(plain, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in wrapped] or ["#"]


def merged(entries: Sequence[Entry]) -> tuple[list[Entry], set[str]]:
    """Each text once, with the labels of all entries that have it.

    Returns:
        The entries in order of first appearance, and the names of tags that were dropped somewhere because the file
        gives one text two values of them.
    """
    first: dict[str, Entry] = {}
    torn: dict[str, set[str]] = {}
    for entry in entries:
        before = first.get(entry.text)
        if before is None:
            first[entry.text] = entry
            continue
        differ = {key for key, value in entry.tags.items() if before.tags.get(key, value) != value}
        torn.setdefault(entry.text, set()).update(differ)
        expect = dict.fromkeys((*before.expect, *entry.expect))
        first[entry.text] = replace(before, tags={**before.tags, **entry.tags}, expect=tuple(expect))
    kept = []
    for text, entry in first.items():
        lost = torn.get(text, set())
        tags = {key: value for key, value in entry.tags.items() if key not in lost}
        kept.append(replace(entry, tags=tags) if lost else entry)
    return kept, {name for names in torn.values() for name in names}


def sampled(entries: Sequence[Entry], size: int) -> list[Entry]:
    """``size`` of the entries, spread evenly over their groups, chosen by digest of the text; in their order."""
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(entries)), key=lambda i: hashlib.sha256(entries[i].text.encode()).digest()):
        groups.setdefault(entries[index].group, []).append(index)
    turns = sorted(
        (place, group, index) for group, members in groups.items() for place, index in enumerate(members)
    )
    return [entries[i] for i in sorted(index for _, _, index in turns[:size])]
