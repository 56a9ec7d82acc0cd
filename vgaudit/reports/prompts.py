"""Clips by prompt: which belong together, where their page lies, how they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vgaudit.records import digest
from vgaudit.reports.clip_index import ClipRow
from vgaudit.reports.data import ClipEntry
from vgaudit.reports.escaping import is_safe_file_name, one_line, url_path


@dataclass(frozen=True)
class PromptClips:
    """One prompt with all its clips, in plan order; there is at least one.

    Attributes:
        prompt_id: The prompt's id.
        stem: File name of its page without extension; empty where it has one clip only, whose page says it all.
        entries: Its clips.
        rows: Their rows in the clip table.
    """

    prompt_id: str
    stem: str
    entries: tuple[ClipEntry, ...]
    rows: tuple[ClipRow, ...]

    @property
    def text(self) -> str:
        """The prompt; empty where it is not known."""
        return self.entries[0].sample.prompt

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the prompt."""
        return self.entries[0].sample.tags

    @property
    def name(self) -> str:
        """Short name: the prompt on one line; where that is unknown the file, or the prompt's id."""
        return one_line(self.text, 160) or self.rows[0].source or self.rows[0].prompt_id

    @property
    def href(self) -> str:
        """Where the clips can be seen, relative to the report's folder."""
        if self.stem:
            return url_path("prompts", f"{self.stem}.html")
        return url_path("clips", f"{self.rows[0].stem}.html")


def prompts_of(entries: Sequence[ClipEntry], rows: Sequence[ClipRow]) -> list[PromptClips]:
    """The prompts of a run in plan order.

    Args:
        entries: All clips in plan order.
        rows: Their rows, in the same order.
    """
    by_prompt: dict[str, list[tuple[ClipEntry, ClipRow]]] = {}
    for entry, row in zip(entries, rows, strict=True):
        by_prompt.setdefault(entry.sample.prompt_id, []).append((entry, row))
    taken: set[str] = set()
    out = []
    for prompt_id, pairs in by_prompt.items():
        stem = prompt_id
        if not is_safe_file_name(stem) or stem.casefold() in taken:
            stem = f"prompt-{digest(prompt_id.encode('utf-8', 'surrogatepass'), 24)}"
        taken.add(stem.casefold())
        several = len(pairs) > 1
        out.append(
            PromptClips(
                prompt_id, stem if several else "", tuple(e for e, _ in pairs), tuple(r for _, r in pairs)
            )
        )
    return out
