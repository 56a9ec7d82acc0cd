"""Gives the clips of a bare folder their prompts from a separate file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vgaudit.errors import SuiteError
from vgaudit.index import PromptRow

if TYPE_CHECKING:
    from vgaudit.backends.files import Entry

_NUMBERED = re.compile(r"(?P<id>.+)[-_](?P<seed>[0-9]{1,9})")


def match_prompts(
    entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path
) -> tuple[list[Entry], tuple[str, ...]]:
    """Entries with their prompts, and notes on clips that got none.

    A list with a ``path`` column is matched by path; one without, by id: a clip's name without suffix is the
    id, or the id and a seed (``0001-2.mp4``, ``0001_2.mp4``); a TXT file gives line i to the i-th clip.

    Raises:
        SuiteError: A prompt names no clip, a TXT file has another number of lines, or nothing matches.
    """
    if file.suffix.lower() == ".txt":
        return _in_order(entries, prompts, file), ()
    if any(p.path is not None for p in prompts):
        matched = _by_path(entries, prompts, file)
    else:
        matched = _by_id(entries, prompts, file)
    bare = [e.source for e in matched if not e.prompt]
    more = f" and {len(bare) - 5} more" if len(bare) > 5 else ""
    return matched, ((f"clips without a prompt: {', '.join(bare[:5])}{more}",) if bare else ())


def _given(entry: Entry, prompt: PromptRow, file: Path, seed: int | None = None) -> Entry:
    return replace(
        entry,
        prompt=prompt.text,
        prompt_id=prompt.prompt_id,
        seed=seed,
        tags=prompt.tags,
        expect=prompt.expect,
        where=f"{file}:{prompt.line}",
        id_given=prompt.id_given,
    )


def _in_order(entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path) -> list[Entry]:
    if len(entries) != len(prompts):
        raise SuiteError(
            f"{file}: {len(prompts)} prompts for {len(entries)} clips; a text file needs one line for each "
            "clip, in the order of their names (use a CSV with path,prompt to name them)"
        )
    return [_given(e, p, file) for e, p in zip(entries, prompts, strict=True)]


def _by_path(entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path) -> list[Entry]:
    by_path = {p.path: p for p in prompts}
    sources = {e.source for e in entries}
    if lost := [p for p in prompts if p.path not in sources]:
        raise SuiteError(
            [f"{file}:{p.line}: path {p.path!r} is not among the {len(entries)} clips" for p in lost]
        )
    return [_given(e, by_path[e.source], file) if e.source in by_path else e for e in entries]


def _by_id(entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path) -> list[Entry]:
    by_id = {p.prompt_id: p for p in prompts}
    out = []
    for entry in entries:
        name = PurePosixPath(entry.prompt_id).name
        numbered = _NUMBERED.fullmatch(name)
        if name in by_id:
            out.append(_given(entry, by_id[name], file))
        elif numbered and numbered["id"] in by_id:
            out.append(_given(entry, by_id[numbered["id"]], file, int(numbered["seed"])))
        else:
            out.append(entry)
    if not any(e.prompt for e in out):
        raise SuiteError(
            f"{file}: no prompt's id is the name of a clip (first id {prompts[0].prompt_id!r}, first clip "
            f"{entries[0].source!r}); name clips <id>.mp4, or add a column `path`"
        )
    return out
