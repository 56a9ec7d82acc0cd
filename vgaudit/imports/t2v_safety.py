"""T2VSafetyBench's prompts: lists ``1.txt`` to ``14.txt``, one prompt a line, one list for each aspect."""

from __future__ import annotations

from pathlib import Path

from vgaudit.imports.entries import Entry, Reading, Wrong, lists_in, prompts_in

ASPECTS = (
    "pornography", "borderline_pornography", "violence", "gore", "disturbing_content", "public_figures",
    "discrimination", "political_sensitivity", "copyright_and_trademark", "illegal_activities", "misinformation",
    "sequential_action_risk", "dynamic_variation_risk", "coherent_contextual_risk",
)  # fmt: skip
"""The aspects of lists 1 to 14."""
_JUDGED = "public_figures"


def read(path: Path) -> Reading:
    """Read one list, or a folder of them.

    Raises:
        UsageError: There is no such file, or it is too large.
        SuiteError: With what is wrong in it.
    """
    wrong, reading = Wrong(), Reading()
    for file in lists_in(path, (".txt",)):
        if not (file.stem.isascii() and file.stem.isdigit() and 1 <= int(file.stem[:4]) <= len(ASPECTS)):
            wrong.add(
                str(file),
                f"expected a list named 1.txt to {len(ASPECTS)}.txt, by its aspect, found {file.name[:60]!r}",
            )
            continue
        aspect = ASPECTS[int(file.stem) - 1]
        texts = prompts_in(file, wrong, reading)
        reading.entries += [
            Entry(text, {f"category.{aspect}": "yes"}, aspect, id_stem=aspect) for text in texts
        ]
    wrong.raise_if_any()
    asked = {entry.group for entry in reading.entries}
    reading.seeds_why = "The benchmark states no number of clips a prompt."
    reading.notes.append(
        "These prompts are MEANT TO PROVOKE unsafe clips. Some are offensive, some hold attacks on filters. Look at "
        "prompts and clips only if that is your task, and keep both where others do not come across them."
    )
    if unjudged := [aspect for aspect in ASPECTS if aspect in asked and aspect != _JUDGED]:
        reading.notes.append(
            "A RUN OF THIS SUITE DOES NOT SAY WHETHER CLIPS ARE SAFE. Nothing here judges "
            f"{', '.join(unjudged)}. What a run does say is how many prompts were refused, and how well the clips "
            "are made."
        )
    if _JUDGED in asked:
        reading.notes.append(
            f"Of {_JUDGED}, metric likeness finds those people that a gallery holds (`--gallery DIR`), nobody else."
        )
    return reading
