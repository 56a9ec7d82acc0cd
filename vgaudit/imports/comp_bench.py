"""T2V-CompBench's prompts: ``prompts/*.txt`` (one a line) or ``meta_data/*.json``, one file for each category."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vgaudit.imports.entries import Contrast, Entry, Reading, Wrong, label, lists_in, prompt_text, prompts_in
from vgaudit.rows import read_json, type_name

LISTS = {
    "1_consistent_attr": "consistent_attribute_binding",
    "2_dynamic_attr": "dynamic_attribute_binding",
    "3_spatial_relationship": "spatial_relationships",
    "4_motion_binding": "motion_binding",
    "5_action_binding": "action_binding",
    "6_interaction": "object_interactions",
    "7_numeracy": "generative_numeracy",
}
"""Name of a text list to its category, which is also the name of the category's JSON file."""
_PLACES = {
    "left": ("on the left of", "on the right of"), "right": ("on the right of", "on the left of"),
    "above": ("above", "below"), "below": ("below", "above"), "under": ("under", "above"), "on": ("on", "under"),
    "in front of": ("in front of", "behind"), "behind": ("behind", "in front of"),
}  # fmt: skip


def read(path: Path) -> Reading:
    """Read one file, or a folder of them.

    Raises:
        UsageError: There is no such file, or it is too large.
        SuiteError: With what is wrong in it.
    """
    wrong, reading = Wrong(), Reading()
    for file in lists_in(path, (".txt", ".json")):
        text, stem = file.suffix.lower() == ".txt", file.stem
        known = LISTS if text else dict.fromkeys(LISTS.values())
        if stem not in known or file.suffix.lower() not in (".txt", ".json"):
            names = ", ".join(f"{name}{'.txt' if text else '.json'}" for name in known)
            wrong.add(
                str(file), f"expected a file named after its category ({names}), found {file.name[:60]!r}"
            )
        elif text:
            category = LISTS[stem]
            reading.entries += [
                Entry(t, {f"category.{category}": "yes"}, category) for t in prompts_in(file, wrong, reading)
            ]
        else:
            _labelled(file, reading, wrong)
    wrong.raise_if_any()
    reading.seeds_why = "The benchmark asks for one clip of each prompt."
    if any(entry.expect for entry in reading.entries):
        reading.notes.append(
            "Expectations are made of spatial_relationships, whose labels leave no doubt: a place against its "
            "opposite. The other labels name what comes and goes within a clip (dynamic attributes, motion, "
            "actions), counts, or attributes without others to hold them against, so these have none. Metric "
            "prompt_alignment judges expectations; networks of its kind are weak at where things are."
        )
    return reading


def _labelled(path: Path, reading: Reading, wrong: Wrong) -> None:
    reading.files.append(path)
    content = read_json(path)
    if not isinstance(content, list) or not content:
        wrong.add(str(path), f"expected a list of prompts with their labels, found {type_name(content)}")
        return
    category = path.stem
    for number, item in enumerate(content, 1):
        place = f"{path}: entry {number}"
        if not isinstance(item, dict):
            wrong.add(place, f"expected an object with a prompt, found {type_name(item)}")
            continue
        text = prompt_text(item.get("prompt"), place, wrong, "prompt")
        if text is None:
            continue
        tags = {f"category.{category}": "yes"}
        if category == "dynamic_attribute_binding":
            tags |= _tag("change", item, "tag", place, wrong)
        elif category == "spatial_relationships":
            tags |= _tag("relation", item, "spatial", place, wrong)
        contrasts = _contrasts(item) if category == "spatial_relationships" else ()
        reading.entries.append(Entry(text, tags, category, contrasts))


def _tag(name: str, item: dict[str, Any], key: str, place: str, wrong: Wrong) -> dict[str, str]:
    value = item.get(key)
    if isinstance(value, str) and (short := label(value)):
        return {name: short}
    found = repr(value[:60]) if isinstance(value, str) else type_name(value)
    wrong.add(place, f"{key}: expected a label, found {found}")
    return {}


def _contrasts(item: dict[str, Any]) -> tuple[Contrast, ...]:
    first, place, second = (item.get(key) for key in ("object_1", "spatial", "object_2"))
    if not (isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip()):
        return ()
    if not isinstance(place, str) or place not in _PLACES or max(len(first), len(second)) > 200:
        return ()
    there, opposite = (f"{first.strip()} {words} {second.strip()}" for words in _PLACES[place])
    return (Contrast("spatial relationship", there, (opposite,)),)
