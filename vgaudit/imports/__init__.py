"""Prompt files of public benchmarks of text-to-video, made into suites. Nothing of the benchmarks is shipped.

    >>> made = import_suite("vbench", Path("VBench_full_info.json"))  # doctest: +SKIP
    >>> Path("vbench.yaml").write_text(made.text)  # doctest: +SKIP

docs/suite.md, "Prompts of public benchmarks", says what a suite gets of each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vgaudit.errors import SuiteError, UsageError
from vgaudit.imports import comp_bench, fetv, movie_gen, t2v_safety, vbench
from vgaudit.imports.entries import MAX_LABELS, Entry, Reading
from vgaudit.imports.suite_text import CONTROL, merged, sampled, suite_text
from vgaudit.registry import nearest
from vgaudit.suite.loading import load_suite_text
from vgaudit.suite.located_yaml import MAX_BYTES
from vgaudit.suite.schema import NAME_PATTERN

PLACEHOLDER = "{type: storyworld}"
"""Backend of a suite for which none was named: it draws what it knows and gives no clip for any other prompt."""


@dataclass(frozen=True)
class Format:
    """A benchmark whose files are read: its title, what FILE may be, and the reader."""

    title: str
    file: str
    read: Callable[[Path], Reading]


FORMATS: dict[str, Format] = {
    "vbench": Format(
        "VBench", "VBench_full_info.json, a list by dimension or category, or a folder of lists", vbench.read
    ),
    "t2vsafetybench": Format(
        "T2VSafetyBench", "a list 1.txt to 14.txt, or a folder of them", t2v_safety.read
    ),
    "moviegen": Format(
        "Movie Gen Video Bench", "MovieGenVideoBench.txt or MovieGenVideoBenchWithTag.csv", movie_gen.read
    ),
    "fetv": Format("FETV", "fetv_data.json", fetv.read),
    "t2v-compbench": Format(
        "T2V-CompBench", "a file of prompts/ or meta_data/, or one of these folders", comp_bench.read
    ),
}


@dataclass(frozen=True)
class ImportedSuite:
    """A suite made of a benchmark's prompts.

    Attributes:
        text: The YAML; the same files and arguments give the same text.
        name: Its name.
        prompts: Prompts in it.
        different: Different prompts in the files.
        entries: Prompts in the files, repeated ones too.
        expectations: Contrasts in it.
        tags: Tag names to the number of prompts that have them.
        seeds: Clips a prompt.
        notes: What its head says beyond counts.
    """

    text: str
    name: str
    prompts: int
    different: int
    entries: int
    expectations: int
    tags: dict[str, int]
    seeds: int
    notes: tuple[str, ...]


def import_suite(
    format_: str,
    path: Path,
    *,
    name: str | None = None,
    sample: int | None = None,
    seeds: int | None = None,
    backend: str = PLACEHOLDER,
    base_dir: Path = Path(),
) -> ImportedSuite:
    """Make a suite of a benchmark's prompts; what is returned has been loaded as a suite.

    Args:
        format_: A key of :data:`FORMATS`.
        path: A file, or a folder of lists where the format has such.
        name: Of the suite; by default the format's, with the file's where that is one of several.
        sample: At most so many prompts, spread over their categories; the same ones each time.
        seeds: Clips a prompt instead of those that the benchmark asks for.
        backend: Block of the suite's backend, in YAML's flow style.
        base_dir: Folder that the suite will lie in.

    Raises:
        UsageError: An argument is wrong, a file is missing or too large, or the suite would be too large.
        SuiteError: With everything that is wrong in the files.
    """
    if format_ not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f"expected a format of {known}, found {format_!r}{nearest(format_, list(FORMATS))}")
    if not path.exists():
        raise UsageError(f"{path}: expected {FORMATS[format_].file}, found nothing of that name")
    called = _name(format_, path) if name is None else name
    if not re.fullmatch(NAME_PATTERN, called):
        raise UsageError(f"--name: expected at most 64 letters, digits, . _ -, found {called[:80]!r}")
    reading = FORMATS[format_].read(path)
    entries, torn = merged(reading.entries)
    chosen = entries if sample is None else sampled(entries, sample)
    _check(chosen, path)
    head = _head(format_, reading, entries, chosen, torn, seeds, backend)
    count = reading.seeds if seeds is None else seeds
    text = suite_text(chosen, reading, name=called, backend=backend, seeds=count, head=head)
    if (size := len(text.encode())) > MAX_BYTES:
        raise UsageError(
            f"{path}: expected prompts for a suite of at most {MAX_BYTES:,} bytes, found {size:,}; take some of them "
            "(--sample K), or import the lists one by one"
        )
    load_suite_text(text, base_dir=base_dir, label=f"suite of {path.name}")
    tags: dict[str, int] = {}
    for entry in chosen:
        for key, value in entry.tags.items():
            full = key if value == "yes" else f"{key}={value}"
            tags[full] = tags.get(full, 0) + 1
    return ImportedSuite(
        text=text,
        name=called,
        prompts=len(chosen),
        different=len(entries),
        entries=len(reading.entries),
        expectations=sum(len(entry.expect) for entry in chosen),
        tags=dict(sorted(tags.items())),
        seeds=count,
        notes=(reading.seeds_why, *reading.notes),
    )


def _name(format_: str, path: Path) -> str:
    several = format_ in ("vbench", "t2vsafetybench", "t2v-compbench") and path.suffix.lower() == ".txt"
    several |= format_ == "t2v-compbench" and path.suffix.lower() == ".json"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
    return f"{format_}-{stem}"[:64] if several and not path.is_dir() else format_


def _check(entries: list[Entry], path: Path) -> None:
    """What no suite may have: an id twice, or labels without end."""
    first: dict[str, str] = {}
    for entry in entries:
        other = first.setdefault(entry.prompt_id, entry.text)
        if other != entry.text:
            raise SuiteError(
                f"{path}: expected prompts with ids of their own, found two that share one: {other[:60]!r}"
            )
    labels = {f"{key}={value}" for entry in entries for key, value in entry.tags.items()}
    if len(labels) > MAX_LABELS:
        raise SuiteError(f"{path}: expected at most {MAX_LABELS} different labels, found {len(labels):,}")


def _head(
    format_: str, reading: Reading, entries: list[Entry], chosen: list[Entry], torn: set[str],
    seeds: int | None, backend: str,
) -> list[str]:  # fmt: skip
    """The comment at the top of the suite."""
    counts = f"{len(reading.entries):,} entries, {len(entries):,} different prompts"
    head = [
        f"Prompts of {FORMATS[format_].title}, made by `vgaudit import {format_}`: {counts}. They are the "
        "benchmark's and under its terms."
    ]
    head += [f"From {p.name}, SHA-256 {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in reading.files]
    if repeated := len(reading.entries) - len(entries):
        head.append(
            f"Entries with the text of an earlier one: {repeated:,}. They are one prompt with it, as prompts are "
            "what statistics count."
        )
    if torn:
        head.append(f"Where the same text has two values of {', '.join(sorted(torn))}, it has none here.")
    if reading.blank:
        head.append(f"Empty lines that were skipped: {reading.blank:,}.")
    if len(chosen) < len(entries):
        head.append(
            f"A SAMPLE: {len(chosen):,} of the {len(entries):,} prompts, spread evenly over their categories and "
            "chosen by digest of the text. Its results are not the benchmark's."
        )
    if odd := sum(CONTROL.search(entry.text) is not None for entry in chosen):
        head.append(f"Prompts with control characters, which are kept, as escapes: {odd:,}.")
    head += ["", reading.seeds_why + ("" if seeds is None else f" Here: {seeds}, as was asked for.")]
    head += reading.notes
    if backend == PLACEHOLDER:
        head.append(
            "The backend below is a stand-in that makes no clip of prompts that it does not know. Name the "
            "generator: vgaudit run SUITE --backend TYPE:WHAT, or here (docs/suite.md)."
        )
    return [*head, "There are no gates: add what must hold (docs/gates.md).", ""]
