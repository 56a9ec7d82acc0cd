"""VBench's prompts: ``VBench_full_info.json``, or its lists by dimension or category (one prompt a line)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from vgaudit.imports.entries import (
    Contrast,
    Entry,
    Reading,
    Wrong,
    checked_file,
    lists_in,
    one_of,
    prompt_text,
    prompts_in,
    words,
)
from vgaudit.rows import read_json, type_name

DIMENSIONS = (
    "subject_consistency", "background_consistency", "aesthetic_quality", "imaging_quality", "object_class",
    "multiple_objects", "color", "spatial_relationship", "scene", "temporal_style", "overall_consistency",
    "human_action", "temporal_flickering", "motion_smoothness", "dynamic_degree", "appearance_style",
)  # fmt: skip
"""The sixteen dimensions of the text-to-video benchmark, by VBench's names."""

CATEGORIES = ("animal", "architecture", "food", "human", "lifestyle", "plant", "scenery", "vehicles")
WHOLE = ("all_dimension", "all_category")
"""Lists that do not say which dimension or category a prompt is of."""

_ALSO = {
    "subject_consistency": ("dynamic_degree", "motion_smoothness"),
    "scene": ("background_consistency",),
    "overall_consistency": ("aesthetic_quality", "imaging_quality"),
}
"""Dimensions that are asked of another one's list."""
_LISTS = tuple(d for d in DIMENSIONS if d not in {other for others in _ALSO.values() for other in others})
_OPPOSITE = {
    "on the left of": "on the right of", "on the right of": "on the left of",
    "on the top of": "on the bottom of", "on the bottom of": "on the top of",
}  # fmt: skip
_WEIGHTS = ("subject_consistency", "background_consistency", "dynamic_degree", "aesthetic_quality")


def read(path: Path) -> Reading:
    """Read the JSON file, a list, or a folder of lists.

    Raises:
        UsageError: There is no such file, or it is too large.
        SuiteError: With what is wrong in it.
    """
    wrong, reading = Wrong(), Reading()
    if path.suffix.lower() == ".json" and not path.is_dir():
        _full_info(checked_file(path), reading, wrong)
    else:
        for file in lists_in(path, (".txt",)):
            _list(file, reading, wrong)
    wrong.raise_if_any()
    _protocol(reading)
    return reading


def _list(path: Path, reading: Reading, wrong: Wrong) -> None:
    stem = path.stem
    if stem in _LISTS:
        tags = {f"dimension.{name}": "yes" for name in (stem, *_ALSO.get(stem, ()))}
    elif stem in CATEGORIES:
        tags = {f"category.{stem}": "yes"}
    elif stem in WHOLE:
        tags = {}
    else:
        known = ", ".join((*_LISTS, *CATEGORIES, *WHOLE))
        wrong.add(
            str(path), f"expected a list named after what it is of ({known}), found {stem[:60]!r}; rename it"
        )
        return
    reading.entries += [Entry(text, dict(tags), stem) for text in prompts_in(path, wrong, reading)]


def _full_info(path: Path, reading: Reading, wrong: Wrong) -> None:
    reading.files.append(path)
    content = read_json(path)
    if not isinstance(content, list) or not content:
        wrong.add(str(path), f"expected a list of prompts with their dimensions, found {type_name(content)}")
        return
    stated: list[tuple[Entry, Any]] = []
    for number, item in enumerate(content, 1):
        place = f"{path}: entry {number}"
        if not isinstance(item, dict):
            wrong.add(place, f"expected an object with prompt_en and dimension, found {type_name(item)}")
            continue
        text = prompt_text(item.get("prompt_en"), place, wrong, "prompt_en")
        named = words(item.get("dimension"), place, "dimension", wrong)
        known = [d for d in named if one_of(d, DIMENSIONS, place, "dimension", wrong)]
        if isinstance(item.get("dimension"), list) and not named:
            wrong.add(place, "dimension: expected one or more, found none")
        about = item.get("auxiliary_info", {})
        if not isinstance(about, dict):
            wrong.add(place, f"auxiliary_info: expected an object, found {type_name(about)}")
            continue
        if text is not None and known:
            tags = {f"dimension.{d}": "yes" for d in known}
            stated.append((Entry(text, tags, known[0], _opposite(text, about)), about))
    reading.entries += _with_colours(stated)


def _with_colours(stated: list[tuple[Entry, Any]]) -> list[Entry]:
    """A prompt of a colour is contrasted with the file's prompts of the same object in other colours."""
    same: dict[str, dict[str, str]] = defaultdict(dict)
    things = [_coloured(entry, about) for entry, about in stated]
    for (entry, _), thing in zip(stated, things, strict=True):
        if thing:
            same[thing[1]].setdefault(thing[0], entry.text)
    out = []
    for (entry, _), thing in zip(stated, things, strict=True):
        others = tuple(text for colour, text in same[thing[1]].items() if colour != thing[0]) if thing else ()
        made = (Contrast("colour", entry.text, others),) if others else ()
        out.append(replace(entry, expect=(*entry.expect, *made)))
    return out


def _coloured(entry: Entry, about: dict[str, Any]) -> tuple[str, str] | None:
    """Colour and object of ``a red bicycle`` whose label says ``red``."""
    labelled = about.get("color")
    colour = labelled.get("color") if isinstance(labelled, dict) else None
    if "dimension.color" not in entry.tags or not isinstance(colour, str) or not colour:
        return None
    match = re.fullmatch(rf"an? {re.escape(colour)} (\S.*)", entry.text)
    return (colour, match[1]) if match else None


def _opposite(text: str, about: dict[str, Any]) -> tuple[Contrast, ...]:
    """A prompt that places two objects, against the same with the opposite relation."""
    stated = about.get("spatial_relationship")
    if isinstance(stated, dict) and isinstance(stated.get("spatial_relationship"), dict):
        stated = stated["spatial_relationship"]
    if not isinstance(stated, dict):
        return ()
    names = [stated.get(key) for key in ("object_a", "relationship", "object_b")]
    if not all(isinstance(name, str) and name for name in names):
        return ()
    first, relation, second = (str(name) for name in names)
    before, found, after = text.partition(f" {relation} ")
    if relation not in _OPPOSITE or not found or first not in before or second not in after or found in after:
        return ()
    return (Contrast("spatial relationship", text, (f"{before} {_OPPOSITE[relation]} {after}",)),)


def _protocol(reading: Reading) -> None:
    asked = {name.removeprefix("dimension.") for e in reading.entries for name in e.tags}
    flickering = [e for e in reading.entries if "dimension.temporal_flickering" in e.tags]
    only = len(flickering) == len(reading.entries)
    reading.seeds = 25 if only else 5
    reading.seeds_why = (
        "VBench asks for 25 clips of each prompt of temporal_flickering, and keeps the still ones of them with its "
        "static_filter.py, which is not here."
        if only
        else "VBench asks for 5 clips of each prompt."
    )
    if flickering and not only:
        reading.seeds_why += (
            f" Of the {len(flickering)} prompts of temporal_flickering it asks for 25, and keeps the still ones of "
            "them with its static_filter.py, which is not here: import prompts_per_dimension/temporal_flickering.txt "
            "as a suite of its own for that."
        )
    if flickering:
        reading.metrics.append("vbench: {dimensions: [temporal_flickering]}")
    if needs := [d for d in _WEIGHTS if d in asked]:
        reading.notes.append(
            f"Metric vbench computes {', '.join(needs)} too, once it has their weights (docs/vbench.md): add them "
            "to its dimensions."
        )
    computed = {*_WEIGHTS, "temporal_flickering"}
    if never := [d for d in DIMENSIONS if d in asked - computed]:
        reading.notes.append(
            f"Nothing here computes {', '.join(never)}; docs/vbench.md names what is nearest."
        )
    if any(e.expect for e in reading.entries):
        reading.notes.append(
            "Expectations are made where the file's labels leave no doubt: a colour against the other colours that "
            "the file asks of the same object, a place against its opposite. Labels of object_class, "
            "multiple_objects, scene and appearance_style say what should be there but nothing that must not be, so "
            "these have none. Metric prompt_alignment judges expectations; networks of its kind are weak at left "
            "and right, top and bottom."
        )
