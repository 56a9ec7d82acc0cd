"""Learns the thresholds of the temporal detectors from clips in which nothing is wrong.

    python training/temporal_floors.py --data ../shared/data [--storyworld 600]

A floor is the least threshold at which the detector, alone, finds no more than its share of false things a minute
(``ALLOWED``) in real clips and in drawn ones together; what is really there in the real clips is listed by hand in
``benchmarks/temporal_truth.json``. Written to ``vgaudit/metrics/temporal_floors.json`` with how it came about.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks"))

from temporal_clips import STORYWORLD_SEED, Clip, clean, clean_jobs
from workers import pool

from vgaudit.metrics.temporal_detectors import DETECTORS
from vgaudit.metrics.temporal_floors import FILE, SMALL

LEARNED = [kind for kind in DETECTORS if kind != "duplicate_frames"]
ALLOWED = dict.fromkeys(LEARNED, 0.1) | {
    "popping": 0.55, "subject_swap": 0.55, "ghosting": 0.5, "warping": 0.65,
    "dropped_frames": 0.0, "flicker": 0.0,
}  # fmt: skip
"""False findings a minute; most where a fault is hardest to tell from what a camera sees."""
GRID = 160
OF_SMALL = ("popping", "subject_swap", "ghosting", "warping")
"""Those that look at parts of the picture, or at small motion, have floors of their own where it is small."""

ALLOWED_OF_SMALL = 0.05
"""The same for each of these where the picture is small: no real clip is, and drawn ones are moved by leaps."""

RANGES = {
    "jump_cut": (0.12, 2.0),
    "flicker": (0.005, 0.5),
    "exposure_shift": (0.08, 2.0),
    "colour_shift": (2.0, 80.0),
    "noise_burst": (0.4, 3.0),
    "blur_pulse": (0.3, 6.0),
    "jitter": (0.002, 0.2),
    "subject_swap": (5.0, 200.0),
    "popping": (5.0, 200.0),
    "colour_swap": (8.0, 200.0),
    "ghosting": (2.0, 20.0),
    "warping": (2.0, 20.0),
    "dropped_frames": (0.3, 5.0),
}
"""Where a floor is looked for: from what a viewer hardly sees to what no clip shows."""


def floor_of(kind: str, clips: Sequence[Clip], allowed_a_minute: float) -> dict[str, Any]:
    """The least threshold at which a detector finds few enough false things in clean clips."""
    minutes = sum(c.seconds for c in clips) / 60
    allowed = int(allowed_a_minute * minutes)
    low, high = RANGES[kind]
    least, false, asked = high, 0, False
    for threshold in np.geomspace(high, low, GRID):
        count = sum(
            not c.is_true(kind, f) for c in clips for f in DETECTORS[kind].find(c.signals, float(threshold))
        )
        if count > allowed:
            asked = True
            break
        least, false = float(threshold), count
    if least == high:
        sys.exit(f"{kind}: more than {allowed} false findings even at {high}: no floor in this range")
    found = {
        "threshold": round(least, 4),
        "unit": DETECTORS[kind].unit,
        "false_findings": false,
        "minutes": round(minutes, 2),
    } | ({} if asked else {"is": "the least looked for: clean clips ask for no more"})
    print(kind, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--storyworld", type=int, default=600, help="drawn clips of two seconds")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    with pool(args.workers) as processes:
        clips = list(processes.map(clean, clean_jobs(args.data, args.storyworld), chunksize=8))
    minutes = sum(c.seconds for c in clips) / 60
    large = [c for c in clips if c.signals.side >= SMALL]
    floors = {kind: floor_of(kind, large if kind in OF_SMALL else clips, ALLOWED[kind]) for kind in LEARNED}
    small = {
        kind: floor_of(kind, [c for c in clips if c.signals.side < SMALL], ALLOWED_OF_SMALL)
        for kind in OF_SMALL
    }
    real = [c for c in clips if c.is_real]
    stored = {
        "about": "Thresholds of the temporal detectors, learned from clips in which nothing is wrong.",
        "script": f"python training/temporal_floors.py --storyworld {args.storyworld}",
        "clips": {
            "real": sorted(c.name for c in real),
            "real_minutes": round(sum(c.seconds for c in real) / 60, 2),
            "storyworld": {"seeds": [STORYWORLD_SEED, STORYWORLD_SEED + args.storyworld - 1]},
            "minutes": round(minutes, 2),
        },
        "allowed_per_minute": ALLOWED,
        "allowed_per_minute_where_small": ALLOWED_OF_SMALL,
        "floors": floors,
        "small_floors": small,
    }
    args.out.write_text(json.dumps(stored, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
