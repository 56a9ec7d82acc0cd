"""Backend ``files``: clips made elsewhere, from an index or from a bare folder.

With ``index``, the index says which clips there are. Without, every clip below ``root`` is a sample: its
prompt comes from ``prompts``, from VBench's ``<prompt>-<i>`` file names, or is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from vgaudit.backends.base import BackendContext, DomainOptions, Generated, OptionsClass, PromptSpec
from vgaudit.backends.clip_naming import Naming, naming_notes, read_names
from vgaudit.backends.clip_prompts import Entry, match_prompts, with_suite_prompts
from vgaudit.backends.clip_sources import FPS_NEEDED, failed, find_clips, hand_on, inside, kind_of
from vgaudit.errors import SuiteError
from vgaudit.index import prompt_id_of, read_index, read_prompts
from vgaudit.plan import Sample
from vgaudit.records import digest

_PROBLEMS_SHOWN = 10


class FilesOptions(DomainOptions):
    """Options of backend ``files``; paths are relative to the suite file."""

    root: str = Field(description="Folder that holds the clips.")
    index: str | None = Field(
        None,
        description="CSV/JSONL: path, prompt, prompt_id, seed, model. Sought beside the suite, then in root.",
    )
    prompts: str | None = Field(
        None,
        description="Prompts of a bare folder: CSV/JSONL by path or id (= file name), TXT in order of names.",
    )
    pattern: str = Field("*", min_length=1, description="Shell pattern on paths in root, for a bare folder.")
    naming: Naming = Field(
        "auto",
        description="Are names VBench's <prompt>-<i>? auto: if all are; vbench: those that are; plain: no.",
    )
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate of frame folders and arrays.")


class FilesBackend:
    """Reads clips made elsewhere. Nothing is generated, moved or changed.

    Attributes:
        notes: What was left out of a bare folder, and why; which files of an index are missing.

    Raises:
        SuiteError: The root, index or prompts file is wrong, or no clip is there.
    """

    type: ClassVar[str] = "files"
    Options: ClassVar[OptionsClass] = FilesOptions

    def __init__(self, options: FilesOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        self.domain = options.domain or ""
        self._root = context.base_dir / options.root
        self._check_options()
        self.notes: tuple[str, ...] = ()
        self._entries = self._from_index() if options.index is not None else self._from_folder()
        self._check_seeds()
        # The fps that a frame folder or array gets is the only thing here that changes stored bytes.
        self._fps = options.fps or context.video.fps
        if options.index is not None:
            self._check_fps()
        self.fingerprint = digest(
            {
                "type": self.type,
                **options.model_dump(exclude={"domain"}),
                "clips": [_facts(e) for e in self._entries],
            }
        )

    def _check_options(self) -> None:
        if not self._root.exists():
            raise SuiteError(f"backend files: root: {self._root} does not exist; expected a folder of clips")
        if not self._root.is_dir():
            raise SuiteError(
                f"backend files: root: {self._root} is a file; expected the folder that holds it"
            )
        if self._options.index is not None:
            for name in ("prompts", "pattern"):
                if name in self._options.model_fields_set and getattr(self._options, name) is not None:
                    raise SuiteError(
                        f"backend files: {name} is for a folder without an index; remove one of the two"
                    )

    def _from_index(self) -> list[Entry]:
        given = self._options.index or ""
        beside = self._context.base_dir / given
        path = beside if beside.exists() or not (self._root / given).exists() else self._root / given
        group = self._context.name or self._root.resolve().name
        entries = [
            Entry(
                source=row.path,
                prompt=row.prompt,
                prompt_id=row.prompt_id,
                seed=row.seed,
                group=row.model or group,
                where=f"{path}:{row.line}",
                tags=row.tags,
                id_given=row.id_given,
            )
            for row in read_index(path)
        ]
        missing = [e.source for e in entries if not (self._root / e.source).exists()]
        if len(missing) == len(entries):
            raise SuiteError(
                f"{path}: none of the {len(entries)} clips is in {self._root} "
                f"(first: {entries[0].source}); check `root`"
            )
        if missing:
            self.notes += (
                f"{len(missing)} of the index's {len(entries)} files are missing: {_first(missing)}",
            )
        return entries

    def _from_folder(self) -> list[Entry]:
        found = find_clips(self._root, self._options.pattern)
        self.notes = found.notes
        if not found.clips:
            raise SuiteError(
                f"backend files: root: no clip in {self._root} ({'; '.join(found.notes) or 'it is empty'})"
            )
        try:
            named = read_names(found.clips, self._options.naming if not self._options.prompts else "plain")
        except ValueError as error:
            raise SuiteError(f"backend files: {error}") from error
        if not self._options.prompts and self._options.naming != "plain":
            self.notes += naming_notes(found.clips, named)
        group = self._context.name or self._root.resolve().name
        entries = []
        for clip in found.clips:
            prompt, seed = named.get(clip, ("", None))
            stem = (
                clip if kind_of(self._root / clip) == "frames" else str(PurePosixPath(clip).with_suffix(""))
            )
            entries.append(Entry(clip, prompt, prompt_id_of(prompt) if prompt else stem, seed, group, clip))
        if not self._options.prompts:
            return entries
        path = self._context.base_dir / self._options.prompts
        matched, notes = match_prompts(entries, read_prompts(path), path)
        self.notes += notes
        return matched

    def _check_seeds(self) -> None:
        first: dict[tuple[str, str, int], Entry] = {}
        problems = []
        for entry in self._entries:
            if entry.seed is None:
                continue
            other = first.setdefault((entry.group, entry.prompt_id, entry.seed), entry)
            if other is not entry:
                problems.append(
                    f"{entry.where}: seed {entry.seed} of prompt {entry.prompt_id!r} in group "
                    f"{entry.group!r} is also {other.source!r} ({other.where}); give each its seed, or a `model`"
                )
        if problems:
            raise SuiteError(problems)

    def _check_fps(self) -> None:
        """An index names what it wants judged; in a bare folder such a clip is an error of its own."""
        if self._fps is not None:
            return
        without = [e for e in self._entries if kind_of(self._root / e.source) in ("frames", "array")]
        problems = [f"{e.where}: {e.source}: {FPS_NEEDED}" for e in without[:_PROBLEMS_SHOWN]]
        if len(without) > _PROBLEMS_SHOWN:
            problems.append(f"{len(without) - _PROBLEMS_SHOWN} more clips lack a frame rate")
        if problems:
            raise SuiteError(problems)

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample per clip; ``seeds`` are those of the clips, the suite's are for generators.

        Raises:
            SuiteError: The suite has prompts and a clip belongs to none of them.
        """
        entries = with_suite_prompts(self._entries, prompts) if prompts else self._entries
        return [self._sample(entry) for entry in entries]

    def _sample(self, entry: Entry) -> Sample:
        identity: dict[str, Any] = {
            "group": entry.group,
            "source": entry.source,
            "prompt": entry.prompt,
            "video": asdict(self._context.video),
        }
        if kind_of(self._root / entry.source) in ("frames", "array"):  # media are kept as they are
            identity |= {"fps": self._fps, **self._context.identity}
        return entry.sample(identity, entry.seed, self._context.index)

    def source_path(self, sample: Sample) -> Path | None:
        """Where the clip of ``sample`` lies; ``None`` when it is missing or leaves the root."""
        path = self._root / (sample.source or "")
        return None if sample.source is None or inside(self._root, path) else path

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Hand on the clips of ``samples``: media files by path, frame folders and arrays as exact frames."""
        for sample in samples:
            start = time.perf_counter()
            answer = Generated(sample, facts={"source_path": sample.source})
            path = self._root / (sample.source or "")
            if reason := inside(self._root, path):
                yield failed(answer, f"{sample.source}: {reason}")
            else:
                made = hand_on(answer, path, self._fps, self._context.limits)
                yield replace(made, seconds=time.perf_counter() - start)


def _first(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _facts(entry: Entry) -> dict[str, Any]:
    return {"source": entry.source, "prompt": entry.prompt, "group": entry.group, "seed": entry.seed}
