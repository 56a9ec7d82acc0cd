"""Clips made elsewhere and their prompts: from a list beside a bare folder, or from the suite."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vgaudit.backends.base import PromptSpec
from vgaudit.backends.clip_naming import split_vbench
from vgaudit.errors import SuiteError
from vgaudit.index import PromptRow
from vgaudit.plan import Sample, make_sample_id
from vgaudit.registry import nearest

_NUMBERED = re.compile(r"(?P<id>.+)[-_](?P<seed>[0-9]{1,9})")


@dataclass(frozen=True)
class Entry:
    """One clip before it becomes a sample.

    Attributes:
        source: Path relative to the root, with ``/``.
        prompt: Empty when unknown.
        prompt_id: Cluster.
        seed: ``None`` when unknown.
        group: Model name.
        tags: Further columns.
        expect: Contrastive expectations.
        where: ``file:line`` of an index, or the clip's path: for messages.
        id_given: Somebody wrote the id; it was not derived.
    """

    source: str
    prompt: str
    prompt_id: str
    seed: int | None
    group: str
    where: str
    tags: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[Mapping[str, Any], ...] = ()
    id_given: bool = False

    def sample(self, identity: Mapping[str, Any], seed: int | None, backend: int) -> Sample:
        """The sample of this clip; its bytes are decided by ``identity``."""
        return Sample(
            sample_id=make_sample_id(self.prompt_id, seed, identity),
            prompt_id=self.prompt_id,
            prompt=self.prompt,
            group=self.group,
            backend=backend,
            seed=seed,
            tags=dict(self.tags),
            expect=self.expect,
            source=self.source,
        )


def match_prompts(
    entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path
) -> tuple[list[Entry], tuple[str, ...]]:
    """Entries with their prompts, and notes on clips that got none.

    A list with a ``path`` column is matched by path; one without, by id: a clip's name without suffix is the
    id, or the id and a seed (``0001-2.mp4``, ``0001_2.mp4``); a TXT file gives line i to the i-th clip. Where no
    id matches (and in a TXT file, first of all) clips named like VBench's ``<prompt>-<i>`` are matched by the
    prompt's text, whatever its case and spaces.

    Raises:
        SuiteError: A prompt names no clip, a TXT file has another number of lines, or nothing matches.
    """
    if file.suffix.lower() == ".txt":
        matched = _by_text(entries, prompts, file) or _in_order(entries, prompts, file)
    elif any(p.path is not None for p in prompts):
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
        out = _by_text(entries, prompts, file)
    if not out:
        raise SuiteError(
            f"{file}: no prompt's id is the name of a clip (first id {prompts[0].prompt_id!r}, first clip "
            f"{entries[0].source!r}); name clips <id>.mp4 or <prompt>-<i>.mp4, or add a column `path`"
        )
    return out


def _by_text(entries: Sequence[Entry], prompts: Sequence[PromptRow], file: Path) -> list[Entry]:
    """Entries whose VBench name holds a prompt of the list; empty when there is none."""
    counts = Counter(_plain(p.text) for p in prompts)
    # Prompts that differ in case or spaces alone cannot be told apart by a name.
    by_text = {text: p for p in prompts if counts[text := _plain(p.text)] == 1}
    out, matched = [], False
    for entry in entries:
        named = split_vbench(entry.source)
        prompt_row = by_text.get(_plain(named[0])) if named else None
        matched = matched or prompt_row is not None
        out.append(_given(entry, prompt_row, file, named[1]) if named and prompt_row else entry)
    return out if matched else []


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def with_suite_prompts(entries: Sequence[Entry], prompts: Sequence[PromptSpec]) -> list[Entry]:
    """Entries filled in from the suite's prompts, by id or, where the id was derived, by text.

    Raises:
        SuiteError: An entry belongs to no prompt of the suite, or has another text than its prompt.
    """
    by_id = {p.prompt_id: p for p in prompts}
    by_text = {p.text: p for p in prompts}
    out, problems = [], []
    for entry in entries:
        prompt = by_id.get(entry.prompt_id) or (None if entry.id_given else by_text.get(entry.prompt))
        if prompt is None:
            known = nearest(entry.prompt_id, list(by_id))
            problems.append(
                f"{entry.where}: prompt_id {entry.prompt_id!r} is not among the suite's {len(by_id)} prompts"
                f"{known}; add it, or leave `prompts` out of the suite"
            )
        elif entry.prompt and entry.prompt != prompt.text:
            problems.append(
                f"{entry.where}: prompt {entry.prompt!r} of {entry.prompt_id!r} differs from the suite's "
                f"{prompt.text!r}"
            )
        else:
            out.append(
                replace(
                    entry,
                    prompt_id=prompt.prompt_id,
                    prompt=prompt.text,
                    tags={**prompt.tags, **entry.tags},
                    expect=entry.expect or tuple(prompt.expect),
                )
            )
    if problems:
        raise SuiteError(problems)
    return out
