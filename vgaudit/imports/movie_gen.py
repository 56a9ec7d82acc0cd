"""Movie Gen Video Bench's prompts: ``MovieGenVideoBench.txt``, or ``MovieGenVideoBenchWithTag.csv`` with concepts."""

from __future__ import annotations

from pathlib import Path

from vgaudit.imports.entries import (
    Entry,
    Reading,
    Wrong,
    checked_file,
    one_of,
    prompt_text,
    prompts_in,
    tags_of,
)
from vgaudit.rows import Problems, read_csv

LEVELS = ("low", "medium", "high")
COLUMNS = ("prompt", "concept", "motion_level")


def read(path: Path) -> Reading:
    """Read the list or the table.

    Raises:
        UsageError: There is no such file, or it is too large.
        SuiteError: With what is wrong in it.
    """
    wrong, reading = Wrong(), Reading()
    reading.seeds_why = "The benchmark states no number of clips a prompt; it published one."
    suffix = checked_file(path).suffix.lower()
    if suffix == ".csv":
        _table(path, reading, wrong)
    elif suffix == ".txt":
        reading.entries += [Entry(text, {}) for text in prompts_in(path, wrong, reading)]
    else:
        wrong.add(
            str(path),
            f"expected MovieGenVideoBench.txt or MovieGenVideoBenchWithTag.csv, found {path.name!r}",
        )
    wrong.raise_if_any()
    return reading


def _table(path: Path, reading: Reading, wrong: Wrong) -> None:
    reading.files.append(path)
    problems = Problems(path)
    header, rows = read_csv(path, problems, "prompt")
    problems.raise_if_any()
    if absent := [name for name in COLUMNS if name not in header]:
        found = ", ".join(name[:40] for name in header[:8])
        wrong.add(
            f"{path}:1", f"expected columns {', '.join(COLUMNS)}, found {found}; {', '.join(absent)} missing"
        )
        return
    if not rows:
        wrong.add(f"{path}:1", "expected rows below the header, found none")
    for row in rows:
        place = f"{path}:{row.line}"
        text = prompt_text(row.fields["prompt"], place, wrong, "prompt")
        level = one_of(row.fields["motion_level"], LEVELS, place, "motion_level", wrong)
        tags = tags_of("concept", str(row.fields["concept"]).split(","), place, wrong)
        if text is not None and level and tags:
            reading.entries.append(Entry(text, {**tags, "motion_level": level}, next(iter(tags))))
    reading.notes.append(
        "motion_level is a tag as the benchmark has it; it is not the suite's `motion`, which has other levels."
    )
