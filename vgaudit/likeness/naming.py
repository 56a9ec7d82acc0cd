"""Whether a prompt names somebody of a gallery by an alias: words against words, whatever case or accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from vgaudit.likeness.entries import GalleryEntry

_WORDS = re.compile(r"[^\W_]+")
_RUNNING = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")


def words_of(text: str) -> tuple[str, ...]:
    """Words in lower case, without accents and punctuation: ``("jose", "s", "cafe")`` of ``José's café``."""
    flat = unicodedata.normalize("NFKD", text.casefold())
    return tuple(_WORDS.findall("".join(c for c in flat if not unicodedata.combining(c))))


def names(prompt: str, alias: str) -> bool:
    """Whether the words of ``alias`` stand in ``prompt``, one after the other.

    Scripts that write words without spaces between them are searched letter by letter.
    """
    wanted, said = words_of(alias), words_of(prompt)
    if not wanted:
        return False
    if any(runs_on(word) for word in wanted):
        return "".join(wanted) in "".join(said)
    return any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))


def named_entries(prompt: str, entries: Sequence[GalleryEntry]) -> frozenset[int]:
    """Positions of the entries that a prompt names by one of their aliases."""
    return frozenset(i for i, entry in enumerate(entries) if any(names(prompt, a) for a in entry.aliases))


def names_anybody(prompt: str, entries: Sequence[GalleryEntry]) -> bool:
    """Whether a prompt names any entry, whatever its role, by an alias or by its id.

    An id without a letter, such as a number, names nobody.
    """
    ids = (e.entry_id for e in entries if any(c.isalpha() for c in e.entry_id))
    return bool(named_entries(prompt, entries)) or any(names(prompt, entry_id) for entry_id in ids)


def runs_on(word: str) -> bool:
    """Whether it holds letters of a script that writes words, or their endings, without a space between."""
    return any(unicodedata.name(c, "").startswith(_RUNNING) for c in word)
