"""What the likeness page calls people, clips and prompts: as they are for the reviewer, veiled for anybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.escaping import one_line

MATCH, SOLICITED, CONSENTED = "likeness.match", "likeness.solicited", "likeness.consented"
HIT_KINDS = (MATCH, SOLICITED, CONSENTED)
REDACTED = "[prompt names the person: redacted]"
WITHHELD = "[prompt not shared]"
_QUOTED_FROM = 8  # characters from which a prompt inside other text is taken for a quotation
_FINGERPRINT_FROM = 8  # characters of a fingerprint by which a gate names a finding
_HEX = re.compile(rf"(?P<open> \()?\b(?P<hex>[0-9a-f]{{{_FINGERPRINT_FROM},}})\b(?(open)\))", re.IGNORECASE)


class Names:
    """The reviewer's names: everything is called what the run calls it."""

    shareable = False

    def __init__(self, data: ReportData) -> None:
        self._data = data

    def person(self, entry: str) -> str:
        """A gallery entry."""
        return entry

    def text(self, text: str) -> str:
        """Text that the run stored and that may name somebody."""
        return text

    def clip(self, entry: ClipEntry) -> str:
        """A clip: its file where it was made elsewhere, else its sample id."""
        census = self._data.kind == "census"
        return one_line((census and entry.sample.source) or entry.sample.sample_id, 120)

    def prompt(self, entry: ClipEntry, hit: bool) -> str:
        """A clip's prompt; ``hit`` says that it stands beside a hit in that clip."""
        return entry.sample.prompt


class VeiledNames(Names):
    """Names for a page that may be passed on.

    Entries are numbered. Their ids are also taken out of any text of the run, however their parts are joined and
    spelled: an id may be a name. Fingerprints of findings are taken out too: they could be tried with guessed ids.

    No prompt is shown, unless the one who passes the page on takes it upon themselves: that a hit is unintended says
    that the prompt does not name *that* person by a listed alias. It may name another one, or the same by a name
    that nobody listed.

    Args:
        data: The run.
        with_prompts: Show prompts beside hits, but for those that are known to name somebody: a hit of theirs is
            solicited, or a measurement says that they name an entry of the gallery, or does not say that they do not.

    Attributes:
        withheld: Prompts beside hits that are not shown although that was asked for, by why: they name somebody of
            the gallery, or the run does not say whether they do.
    """

    shareable = True

    def __init__(self, data: ReportData, with_prompts: bool = False) -> None:
        super().__init__(data)
        self._numbers: dict[str, int] = {}
        for entry in _entry_ids(data):
            self._numbers.setdefault(entry, len(self._numbers) + 1)
        self._clips = {e.sample.sample_id: i + 1 for i, e in enumerate(data.clips)}
        self._places = {
            place: self._clips[e.sample.sample_id]
            for e in data.clips
            for place in (e.sample.sample_id, e.sample.source or "", e.clip.file or "")
            if place
        }
        self._solicited = {
            e.sample.prompt for e in data.clips if any(is_solicited(f.kind, f.detail) for f in e.findings)
        }
        beside_hits = {e.sample.prompt for e in data.clips if any(f.kind == MATCH for f in e.findings)}
        naming, unknown = _naming(data)
        naming |= self._solicited
        self._shown = beside_hits - naming - unknown if with_prompts else set()
        self.withheld = (
            (len(beside_hits & naming), len(beside_hits & unknown - naming)) if with_prompts else (0, 0)
        )
        withheld = {e.sample.prompt for e in data.clips} - self._solicited - self._shown
        self._fingerprints = {
            f.fingerprint[:_FINGERPRINT_FROM] for e in data.clips for f in e.findings if f.fingerprint
        }
        words = dict.fromkeys(self._solicited, REDACTED)
        words |= {prompt: WITHHELD for prompt in withheld if len(prompt) >= _QUOTED_FROM}
        self._prompts = {p: words[p] for p in sorted(words, key=len, reverse=True) if p}
        quoted = [*self._prompts, *self._places]
        self._beginnings = {text[:_QUOTED_FROM] for text in quoted if len(text) >= _QUOTED_FROM}
        self._short = [text for text in quoted if len(text) < _QUOTED_FROM]
        # A number names nobody, and taking it out would change the numbers of the text.
        named = [entry for entry in self._numbers if any(c.isalpha() for c in entry)]
        self._by_shape = {_shape(entry).replace(" ", ""): entry for entry in named}
        spellings = {re.escape(entry): len(entry) for entry in named}
        spellings |= {
            r"[\W_]*".join(map(re.escape, _shape(entry).split())): len(entry)
            for entry in named
            if _shape(entry)
        }
        each = "|".join(sorted(spellings, key=lambda spelling: -spellings[spelling]))
        self._pattern = re.compile(rf"(?<![^\W_])(?:{each})(?![^\W_])", re.IGNORECASE) if each else None

    def person(self, entry: str) -> str:
        """``person 3``; an entry that the run never listed is ``a person``."""
        number = self._numbers.get(entry)
        return f"person {number}" if number else "a person"

    def text(self, text: str) -> str:
        """``text`` without ids of entries and of clips, fingerprints, and prompts that may name somebody."""
        if self._may_quote(text):
            for prompt, words in self._prompts.items():
                if prompt in text:
                    text = text.replace(prompt, words)
            for place, number in self._places.items():
                if place in text:
                    text = text.replace(place, f"clip {number}")
        return self.people(_HEX.sub(self._without_fingerprint, text))

    def people(self, text: str) -> str:
        """``text`` with nothing taken out but ids of entries: they are numbered."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda m: self._pseudonym(m.group()), text)

    def names_somebody(self, text: str) -> bool:
        """Whether ``text`` holds the id of an entry, however its parts are joined and spelled."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def clip(self, entry: ClipEntry) -> str:
        """``clip 12``: its position in the plan. File names and prompt ids may name somebody."""
        return f"clip {self._clips[entry.sample.sample_id]}"

    def prompt(self, entry: ClipEntry, hit: bool) -> str:
        """Words in its place; the prompt itself only beside a hit, where prompts were asked for."""
        prompt = entry.sample.prompt
        if prompt in self._solicited:
            return REDACTED
        if not hit or prompt not in self._shown:
            return WITHHELD if prompt else ""
        return self.text(prompt)

    def _may_quote(self, text: str) -> bool:
        """Whether a prompt or a place could be in ``text``: a run has thousands of them, and most texts have none."""
        windows = (text[i : i + _QUOTED_FROM] for i in range(len(text) - _QUOTED_FROM + 1))
        return any(w in self._beginnings for w in windows) or any(short in text for short in self._short)

    def _without_fingerprint(self, found: re.Match[str]) -> str:
        if found["hex"][:_FINGERPRINT_FROM].lower() not in self._fingerprints:
            return found[0]
        return "" if found["open"] else "a finding"

    def _pseudonym(self, found: str) -> str:
        return self.person(self._by_shape.get(_shape(found).replace(" ", ""), found))


def _naming(data: ReportData) -> tuple[set[str], set[str]]:
    """Prompts that name somebody of the gallery, and those of which the run does not say whether they do.

    Whom a prompt names is known to the audit alone: aliases are private. A run scored before that was kept for every
    entry, consenting ones too, does not say it.
    """
    naming, unknown = set(), set()
    for entry in data.clips:
        if measured := entry.measurements.get("likeness"):
            said = [measured.facts.get(key) for key in ("names_entry", "named")]
            if any(value is True for value in said):
                naming.add(entry.sample.prompt)
            elif said[0] is not False:
                unknown.add(entry.sample.prompt)
    return naming, unknown


def is_solicited(kind: str, detail: Mapping[str, Any]) -> bool:
    """Whether the prompt of a hit names the person."""
    return kind == SOLICITED or detail.get("intent") == "solicited"


def _shape(entry: str) -> str:
    """An id as its lower-case words, split at everything that is no letter or digit."""
    return " ".join(part for part in re.split(r"[\W_]+", entry.lower()) if part)


def _entry_ids(data: ReportData) -> Iterator[str]:
    """Every entry that the run names, in order of first appearance."""
    for clip in data.clips:
        for finding in clip.findings:
            if finding.kind in HIT_KINDS:
                runner_up = finding.detail.get("runner_up")
                other = runner_up.get("entry") if isinstance(runner_up, Mapping) else None
                yield from (str(e) for e in (finding.detail.get("entry"), other) if e)
    yield from (str(row["entry"]) for row in data.ledger if row.get("entry"))
    settled = data.settled.get("likeness")
    for key in ("entries", "gallery"):
        value = settled.get(key) if isinstance(settled, Mapping) else None
        yield from _listed(value.get("entries") if isinstance(value, Mapping) else value)


def _listed(value: Any) -> Iterator[str]:
    """Ids in a list of ids or of rows with an ``entry``, or in the keys of a mapping."""
    if isinstance(value, Mapping):
        yield from map(str, value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            entry = item.get("entry") or item.get("id") if isinstance(item, Mapping) else item
            if isinstance(entry, str):
                yield entry
