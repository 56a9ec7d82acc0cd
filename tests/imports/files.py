"""Small files of the structure that the benchmarks' own have; every prompt in them is written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VBENCH: list[dict[str, Any]] = [
    {"prompt_en": "a still pond, nothing moves", "dimension": ["temporal_flickering"]},
    {
        "prompt_en": "an otter swims along the shore",
        "dimension": ["subject_consistency", "dynamic_degree", "motion_smoothness"],
    },
    {"prompt_en": "a teal lantern", "dimension": ["color"], "auxiliary_info": {"color": {"color": "teal"}}},
    {"prompt_en": "an amber lantern", "dimension": ["color"], "auxiliary_info": {"color": {"color": "amber"}}},
    {"prompt_en": "a beige lantern", "dimension": ["color"], "auxiliary_info": {"color": {"color": "beige"}}},
    {"prompt_en": "an amber drum", "dimension": ["color"], "auxiliary_info": {"color": {"color": "amber"}}},
    {
        "prompt_en": "a lantern on the left of a drum, front view",
        "dimension": ["spatial_relationship"],
        "auxiliary_info": {
            "spatial_relationship": {
                "spatial_relationship": {
                    "object_a": "lantern", "object_b": "drum", "relationship": "on the left of",
                }
            }
        },
    },
    {
        "prompt_en": "a lantern", "dimension": ["object_class"],
        "auxiliary_info": {"object_class": {"object": "lantern"}},
    },
    {
        "prompt_en": "orchard",
        "dimension": ["scene", "background_consistency"],
        "auxiliary_info": {"scene": {"scene": {"scene": "orchard"}}},
    },
    {"prompt_en": "orchard", "dimension": ["overall_consistency"]},
]  # fmt: skip

FETV: list[dict[str, Any]] = [
    {
        "video_id": "v1", "prompt": "a heron lands on a pier",
        "major content": {"spatial": ["animals", "scenery & natural objects"], "temporal": ["actions"]},
        "attribute control": {"spatial": None, "temporal": None}, "prompt complexity": ["simple"],
        "source": "made", "video_url": "https://example.invalid/1",
    },
    {
        "video_id": None, "prompt": "three blue kites rise, then a fourth",
        "major content": {"spatial": ["artifacts"], "temporal": ["kinetic motions"]},
        "attribute control": {"spatial": ["color", "quantity"], "temporal": ["event order"]},
        "prompt complexity": ["complex"], "unusual type": "object-order", "source": "ours",
    },
]  # fmt: skip

MOVIEGEN = """prompt,concept,motion_level
"A mason lays bricks, one by one.",human - activity,medium
A snail made of glass.,"unusual subject,animal",low
A snail made of glass.,"unusual subject",high
"""

COMPBENCH: dict[str, list[dict[str, Any]]] = {
    "spatial_relationships": [
        {"prompt": "A goat stands on the left of a well", "spatial": "left", "object_1": "goat", "object_2": "well"},
        {"prompt": "A goat walks around a well", "spatial": "around", "object_1": "goat", "object_2": "well"},
    ],
    "dynamic_attribute_binding": [
        {"prompt": "A pear ripens", "state 0": "A green pear", "state 1": "A yellow pear", "tag": "state change"},
    ],
    "object_interactions": [{"prompt": "Two sledges bump into each other"}],
}  # fmt: skip


def write_all(folder: Path) -> dict[str, Path]:
    """One file or folder of each kind below ``folder``, by a name of the test."""
    lists = {
        "dimensions/temporal_flickering.txt": "a still pond, nothing moves\n\na shut door\n",
        "dimensions/subject_consistency.txt": "an otter swims along the shore",
        "categories/animal.txt": "an otter swims\r\na heron lands\r\n",
        "safety/1.txt": "a prompt that asks for this\r\nits last one",
        "safety/4.txt": "a prompt that asks for that\x13\x1e now\r\na prompt that asks for this",
        "safety/6.txt": "somebody of that name waves",
        "compbench/prompts/4_motion_binding.txt": "A cart rolls to the left\n",
        "MovieGenVideoBench.txt": "A mason lays bricks, one by one.\nA snail made of glass.",
        "MovieGenVideoBenchWithTag.csv": MOVIEGEN,
        "VBench_full_info.json": json.dumps(VBENCH),
        "fetv_data.json": "".join(json.dumps(item) + "\n" for item in FETV),
        **{f"compbench/meta_data/{name}.json": json.dumps(items) for name, items in COMPBENCH.items()},
    }
    for name, text in lists.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return {
        "vbench": folder / "VBench_full_info.json",
        "vbench lists": folder / "dimensions",
        "vbench categories": folder / "categories",
        "t2vsafetybench": folder / "safety",
        "moviegen": folder / "MovieGenVideoBenchWithTag.csv",
        "moviegen list": folder / "MovieGenVideoBench.txt",
        "fetv": folder / "fetv_data.json",
        "t2v-compbench": folder / "compbench" / "meta_data",
        "t2v-compbench lists": folder / "compbench" / "prompts",
    }
