"""Thresholds of the temporal detectors, read from data: ``temporal_floors.json`` says which clips taught them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
SMALL = 96
"""Pixels of the short side below which parts of a picture ask for more to be told apart."""


SHOWN_TWICE: Mapping[str, float] = {"threshold": 2.0}
"""A repeated picture is one by definition; there is nothing to learn."""


@cache
def floors(side: int) -> Mapping[str, float]:
    """Kind of a detector -> its threshold, in the unit of its series, for pictures of this short side in pixels."""
    stored = json.loads(FILE.read_text("utf-8"))
    chosen = {
        "duplicate_frames": SHOWN_TWICE,
        **stored["floors"],
        **(stored["small_floors"] if side < SMALL else {}),
    }
    return {kind: float(entry["threshold"]) for kind, entry in chosen.items()}
