"""Who is to be purged, by every name and spelling: recognising them in text and JSON, and what may stay of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgaudit.likeness.naming import runs_on as _runs_on

_ENTRY = ("entry", "entry_id")
KEPT = frozenset(
    {
        "record", "entry", "entry_id", "role", "tier", "intent", "clips", "clips_not_assessed",
        "embedder_fingerprint",
        "supporting_frames", "comparisons", "unresolved", "meaning", "track", "frames", "best_frame",
        "best_s", "embedder", "calibration", "point", "published_point", "source", "purged", "clips_assessed",
        "clips_not_assessable", "gallery", "gallery_digest", "assessed", "not_assessable",
    }
)  # fmt: skip
"""Facts of a finding or ledger row that say nothing of what the person looks like; all others go."""


class PurgedNames:
    """Ids of the people to purge: recognises them in text, and knows their labels.

    A word is taken for an id where no letter, digit or underscore touches it. Ids of one or two characters and mere
    numbers are taken for one only in quotes or as part of a path: they are words of anybody's text.
    """

    def __init__(self, labels: Mapping[str, str], names: Mapping[str, Sequence[str]] | None = None) -> None:
        own = {e: (e, *(names or {}).get(e, ())) for e in labels}
        forms = {form: labels[e] for e, all_of in own.items() for name in all_of for form in _forms(name)}
        forms = {
            form: label for form, label in forms.items() if not _is_word(form) or form in self._ids_of(labels)
        }
        self._label = {name.casefold(): label for name, label in forms.items()}
        self._ids = {form.casefold(): label for e, label in labels.items() for form in _forms(e)}
        self.labels = frozenset(labels.values())
        parts = [_pattern(name) for name in sorted(forms, key=len, reverse=True)]
        self._pattern = re.compile("|".join(parts), re.IGNORECASE)
        self.seen: set[str] = set()
        """Labels of those who were met, by name or by label."""

    @staticmethod
    def _ids_of(labels: Mapping[str, str]) -> set[str]:
        return {form for entry in labels for form in _forms(entry)}

    def label(self, value: Any) -> str | None:
        """The label of an id, or of a label itself; ``None`` for anything else."""
        if not isinstance(value, str):
            return None
        found = value if value in self.labels else self._ids.get(value.casefold())
        if found:
            self.seen.add(found)
        return found

    def in_text(self, text: str) -> bool:
        """Whether a text names somebody; labels in it are noted."""
        self.seen |= {label for label in self.labels if label in text}
        return bool(self._pattern.search(text))

    def in_file(self, path: Path) -> bool:
        """Whether a text file names somebody."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                return any(self.in_text(line) for line in file)
        except FileNotFoundError:
            return False

    def text(self, text: str) -> str:
        """``text`` with labels in place of ids."""
        self.seen |= {label for label in self.labels if label in text}

        def put(match: re.Match[str]) -> str:
            label = self._label.get(match[0].casefold()) or self._by_pattern(match[0])
            self.seen.add(label)
            return label

        return self._pattern.sub(put, text)

    def _by_pattern(self, text: str) -> str:
        """The label of a text that matched although folding its case does not give the name (a dotted I)."""
        return next(v for k, v in self._label.items() if re.fullmatch(re.escape(k), text, re.IGNORECASE))

    def value(self, value: Any) -> Any:
        """JSON without them: text gets labels, facts of a person are cut down, keys that are ids go."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if not isinstance(value, dict):
            return value
        out = {k: self.value(v) for k, v in value.items() if self.label(k) is None}
        if isinstance(runner_up := value.get("runner_up"), dict) and self.person_of(runner_up):
            out["runner_up"] = None
        if person := self.person_of(value):
            out = {k: (v if k in KEPT else None) for k, v in out.items()}
            out |= dict.fromkeys((k for k in _ENTRY if k in value), person) | {"purged": True}
        return out

    def person_of(self, value: Mapping[str, Any]) -> str | None:
        """The label of the person that a mapping is about, if it is one of them."""
        return next((label for k in _ENTRY if (label := self.label(value.get(k)))), None)


def _forms(name: str) -> Iterator[str]:
    """Spellings of an id or a name: composed or not, its words joined by a space, ``_``, ``-``, ``.`` or nothing."""
    parts = [part for part in re.split(r"[\s_.-]+", name) if part]
    spelt = [name] + [joint.join(parts) for joint in (" ", "_", "-", ".", "") if len(parts) > 1]
    for form in spelt:
        yield unicodedata.normalize("NFC", form)
        yield unicodedata.normalize("NFD", form)


def mentions(text: str, entries: Sequence[str], names: Mapping[str, Sequence[str]]) -> bool:
    """Whether a text names one of some people, by id or by another name, however spelt."""
    return PurgedNames(dict.fromkeys(entries, "purged"), names).in_text(text)


def _is_word(name: str) -> bool:
    """Whether a further name is a lower-case word of any text: taking those out would tear what they stand in."""
    return name.isascii() and name.isalpha() and name.islower()


def _pattern(name: str) -> str:
    if _runs_on(name):  # scripts without spaces between words
        return re.escape(name)
    if len(name) < 3 or name.isdecimal():
        return rf"""(?<=['"/]){re.escape(name)}(?=['"/.])"""
    return rf"(?<!\w){re.escape(name)}(?!\w)"
