"""How a purge recognises a person in text, and how it tells what it did without naming them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vgaudit.likeness import naming

ENTRY_FIELDS = ("entry", "entry_id")
KEPT = frozenset(
    {
        "entry", "entry_id", "record", "role", "tier", "intent", "unresolved", "meaning", "track", "frames",
        "best_frame", "best_s", "embedder", "embedder_fingerprint", "calibration", "point", "published_point",
        "source", "purged", "clips", "clips_assessed", "clips_not_assessed", "gallery", "gallery_digest",
        "supporting_frames", "comparisons",
    }
)  # fmt: skip
"""Facts of a finding or ledger row that say nothing of what the person looks like; all others go."""

_JOINT = r"[\s_.'\u2019-]"
_LONG = 6
"""Letters and digits from which on the parts of a name are found written as one word too."""

_WHOLE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Told:
    """One thing that a purge did, found, or would do.

    Attributes:
        kind: ``removed``, ``stays`` or ``written again``.
        what: The file, and how much of it; it names nobody.
    """

    kind: Literal["removed", "stays", "written again"]
    what: str

    def line(self, where: object, *, dry_run: bool) -> str:
        """For a reader: ``removed runs/a: results.json``."""
        said = "would remove" if dry_run and self.kind == "removed" else self.kind
        return f"{said} {where}: {self.what}"


class Names:
    """The people to purge: recognises them in text, and knows their labels.

    A person is known by the id, by further names (aliases), and by other spellings of each: other case, and spaces,
    underscores, hyphens, points or apostrophes in place of each other. A name is found where no letter, digit or
    underscore touches it, and in scripts without spaces between words anywhere. What :mod:`vgaudit.likeness.naming`
    takes for a further name (other accents) is found too, though no label takes its place. Names of one or two
    characters and mere numbers are found only in quotes or as part of a path: they are words of anybody's text. That
    an entry *is* the person is told by the id alone.

    Args:
        labels: Entry id -> the label that takes its place.
        further: Entry id -> further names of the person.
        as_words: Find short names as words, too.
    """

    def __init__(
        self,
        labels: Mapping[str, str],
        further: Mapping[str, Sequence[str]] | None = None,
        *,
        as_words: bool = False,
    ) -> None:
        self._label = {form.casefold(): label for e, label in labels.items() for form in _forms(e)}
        self.labels = frozenset(labels.values())
        called = dict(labels)
        for entry, names in (further or {}).items():
            if entry in labels:
                called |= {name: labels[entry] for name in names if name not in called}
        self._spelled = {_key(name): called[name] for name in reversed(called)}
        self._further = [
            name
            for names in (further or {}).values()
            for name in names
            if len(_key(name)) > 2 or naming.runs_on(name)
        ]
        self._pattern = _either(_pattern(n, as_words) for n in sorted(called, key=len, reverse=True))
        self._ids = _either(_exact(f) for e in sorted(labels, key=len, reverse=True) for f in _forms(e))
        self.seen: set[str] = set()
        """Labels of those who were met, by name or by label."""

    def label(self, value: Any) -> str | None:
        """The label of an id, or of a label itself; ``None`` for anything else."""
        if not isinstance(value, str):
            return None
        found = value if value in self.labels else self._label.get(value.casefold())
        if found:
            self.seen.add(found)
        return found

    def in_text(self, text: str) -> bool:
        """Whether a text names somebody; labels in it are noted."""
        self.seen |= {label for label in self.labels if label in text}
        return bool(self._pattern.search(text)) or any(naming.names(text, name) for name in self._further)

    def in_file(self, path: Path) -> bool:
        """Whether a text file names somebody."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                if path.stat().st_size <= _WHOLE:
                    return self.in_text(file.read())
                return any(self.in_text(line) for line in file)
        except FileNotFoundError:
            return False

    def text(self, text: str, *, ids_only: bool = False) -> str:
        """``text`` with labels in place of names; ``ids_only``: of ids as they are written in the gallery."""
        self.seen |= {label for label in self.labels if label in text}

        def put(match: re.Match[str]) -> str:
            label = self._spelled.get(_key(match[0])) or self._matched(match[0])
            self.seen.add(label)
            return label

        return (self._ids if ids_only else self._pattern).sub(put, text)

    def _matched(self, text: str) -> str:
        """The label of what matched but has another key: ``re`` takes dotted and dotless i for one letter."""
        return next(
            label
            for key, label in self._spelled.items()
            if re.fullmatch(re.escape(key), re.sub(_JOINT, "", text), re.IGNORECASE)
        )

    def value(self, value: Any) -> Any:
        """JSON without them: text gets labels, facts of a person are cut down, keys that are ids go."""
        if isinstance(value, str):
            return self.label(value) or self.text(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if not isinstance(value, dict):
            return value
        out = {k: self._field(k, v) for k, v in value.items() if self.label(k) is None}
        if isinstance(runner_up := value.get("runner_up"), dict) and self.person_of(runner_up):
            out["runner_up"] = None
        if person := self.person_of(value):
            out = {k: (v if k in KEPT else None) for k, v in out.items()}
            out |= dict.fromkeys((k for k in ENTRY_FIELDS if k in value), person) | {"purged": True}
        return out

    def _field(self, name: str, value: Any) -> Any:
        """Another person's id stays as it is, also if a name of the purged one is part of it."""
        return value if name in ENTRY_FIELDS and isinstance(value, str) else self.value(value)

    def person_of(self, value: Mapping[str, Any]) -> str | None:
        """The label of the person that a mapping is about, if it is one of them."""
        return next((label for k in ENTRY_FIELDS if (label := self.label(value.get(k)))), None)


def _forms(name: str) -> Iterator[str]:
    yield from dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))


def _key(name: str) -> str:
    """The same for all spellings of a name."""
    return re.sub(_JOINT, "", unicodedata.normalize("NFC", name)).casefold()


def _either(patterns: Iterator[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)


def _exact(name: str) -> str:
    if len(name) < 3 or name.isdecimal():
        return rf"""(?<=['"/]){re.escape(name)}(?=['"/.])"""
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def _pattern(name: str, as_words: bool) -> str:
    if naming.runs_on(name):
        return re.escape(unicodedata.normalize("NFC", name))
    if len(name) < 3 or name.isdecimal():
        return rf"(?<!\w){re.escape(name)}(?!\w)" if as_words else _exact(name)
    joint = _JOINT + ("{0,2}" if len(_key(name)) >= _LONG else "{1,2}")
    spelled = [
        joint.join(re.escape(part) for part in re.split(f"{_JOINT}+", form) if part) for form in _forms(name)
    ]
    return rf"(?<!\w)(?:{'|'.join([*map(re.escape, _forms(name)), *spelled])})(?!\w)"
