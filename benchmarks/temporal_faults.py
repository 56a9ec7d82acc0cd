"""How many planted faults the detectors of ``temporal`` find in real clips, and how much they find where nothing is.

    python benchmarks/temporal_faults.py --data ../shared/data [--storyworld 300] [--strength moderate]

Every kind and strength of the fault library is planted in every real clip (fetv and ``clips``, 64 frames at most,
short side 256 at most; ``--crf`` stores the faulty clips with a run's encoder first). A fault is found if a finding
of a kind that ``ACCEPTED`` names overlaps its span; how well is the intersection over union in time. Then false
findings a minute on the untouched clips and on drawn ones, with an exact upper bound; what is really there is listed
by hand in ``temporal_truth.json``. Then the same on drawn clips that taught no threshold.

Fails where a moderate fault of ``NEEDED`` is found in fewer clips than it says, or localised worse than 0.6 (median
of those found), or where more than two false findings a minute are made.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import chi2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from temporal_clips import NEW_SEED, Clip, clean, clean_jobs, drawn_jobs, faulty, real_clips
from workers import pool

from vgaudit.metrics.temporal import MAJOR_FREEZE_S
from vgaudit.metrics.temporal_detectors import detect
from vgaudit.metrics.temporal_floors import floors
from vgaudit.metrics.temporal_signals import Found
from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS

ACCEPTED = {
    "flicker": ("flicker",),
    "freeze": ("freeze",),
    "exposure_jump": ("exposure_shift",),
    "colour_drift": ("colour_shift",),
    "duplicated_frames": ("duplicate_frames",),
    "jump_cut": ("jump_cut",),
    "subject_swap": ("subject_swap", "popping"),  # one name or the other by the size of what changes
    "popping_object": ("popping", "subject_swap"),
    "colour_swap": (
        "colour_swap",
        "subject_swap",
        "popping",
    ),  # the middle changes at once, if only in colour
    "dropped_frames": ("dropped_frames",),
    "ghosting": ("ghosting",),
    "warp": ("warping",),
    "jitter": ("jitter",),
    "noise_burst": ("noise_burst",),
    "blur_pulse": ("blur_pulse",),
}
"""Fault -> kinds of finding that name it. Of the others no detector is named yet, and none is counted."""
NEEDED = {
    "flicker": 0.9, "freeze": 0.9, "duplicated_frames": 0.9, "jump_cut": 0.9, "exposure_jump": 0.9,
    "noise_burst": 0.9, "blur_pulse": 0.9, "popping_object": 0.75, "subject_swap": 0.75, "jitter": 0.75,
    "ghosting": 0.75, "warp": 0.75,
}  # fmt: skip
MOST_FALSE = 2.0


def found_in(clip: Clip) -> dict[str, tuple[Found, ...]]:
    """Everything that is found, by kind."""
    found = detect(clip.signals, floors(clip.signals.side))
    told = found["duplicate_frames"]  # whose minor freezes the metric does not tell again
    apart = (
        f for f in clip.freezes
        if f.score >= MAJOR_FREEZE_S or not any(t.first <= f.first and f.end <= t.end for t in told)
    )  # fmt: skip
    return {**found, "freeze": tuple(apart)}


def overlap(found: Found, span: tuple[int, int]) -> float:
    """Intersection over union."""
    shared = min(found.end, span[1]) - max(found.first, span[0])
    return max(0, shared) / (max(found.end, span[1]) - min(found.first, span[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--storyworld", type=int, default=300, help="drawn clips of two seconds")
    parser.add_argument("--strength", action="append", choices=STRENGTHS, help="default: all three")
    parser.add_argument(
        "--seed", type=int, default=201, help="of the faults; 1 to 120 taught, 201 to 320 guided rules"
    )
    parser.add_argument("--repeats", type=int, default=2, help="faults of a kind and strength in each clip")
    parser.add_argument("--crf", type=int, help="store the faulty clips with a run's encoder first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    strengths = args.strength or list(STRENGTHS)
    names = [n for n in real_clips(args.data) if not n.endswith(".webm")]
    jobs = [
        (args.data, name, names[(i + 5) % len(names)], kind, strength, args.seed + 100 * again + i)
        for kind in KINDS if kind in ACCEPTED
        for strength in strengths
        for again in range(args.repeats)
        for i, name in enumerate(names)
    ]  # fmt: skip
    short: list[str] = []
    with pool(args.workers) as processes:
        planted = list(processes.map(partial(faulty, crf=args.crf), jobs, chunksize=8))
        print(f"faults in {len(names)} real clips: found, and median overlap with the fault of those found")
        for kind, names_of_it in ACCEPTED.items():
            cells = []
            for strength in strengths:
                best = [
                    max([overlap(f, truth.span) for k in names_of_it for f in found_in(clip)[k]] or [0.0])
                    for clip, truth in planted
                    if (truth.kind, truth.strength) == (kind, strength)
                ]
                hit = [b for b in best if b > 0]
                share, exact = len(hit) / len(best), float(np.median(hit)) if hit else 0.0
                cells.append(f"{strength} {share:4.0%} of {len(best)}, {exact:.2f}")
                if strength == "moderate" and share < NEEDED.get(kind, 0.0):
                    short.append(f"{kind}: {share:.0%} found, needed {NEEDED[kind]:.0%}")
                if strength == "moderate" and kind in NEEDED and exact < 0.6:
                    short.append(f"{kind}: overlap {exact:.2f}, needed 0.6")
            print(f"  {kind:18} {'   '.join(cells)}", flush=True)
        for kind in KINDS:
            if kind not in ACCEPTED:
                print(f"  {kind:18} no detector here")
        clips = list(processes.map(clean, clean_jobs(args.data, args.storyworld), chunksize=8))
        new = list(processes.map(clean, drawn_jobs(args.data, args.storyworld, NEW_SEED), chunksize=8))
    false = Counter[tuple[str, bool]]()
    for clip in clips:
        for kind, each in found_in(clip).items():
            false[kind, clip.is_real] += sum(not clip.is_true(kind, f) for f in each)
    for real in (True, False):
        minutes = sum(c.seconds for c in clips if c.is_real == real) / 60
        count = sum(n for (_, r), n in false.items() if r == real)
        by_kind = ", ".join(f"{n} x {k}" for (k, r), n in sorted(false.items()) if r == real and n) or "none"
        print(
            f"false findings in {minutes:.1f} minutes of {'real' if real else 'drawn'} clips: {count} ({by_kind}), "
            f"{count / minutes:.1f} a minute"
        )
    minutes, count = sum(c.seconds for c in clips) / 60, sum(false.values())
    bound = float(chi2.ppf(0.95, 2 * (count + 1))) / 2 / minutes
    print(f"together {count / minutes:.2f} a minute, 95 % upper bound {bound:.2f} (exact, Poisson)")
    scripted = sum(clip.scripted for clip in clips)
    print(f"not counted: {scripted} freezes in drawn scenes that come to stand still by their script")
    others = Counter[str]()
    for clip in new:
        others.update({kind: len(each) for kind, each in found_in(clip).items() if each})
    told = ", ".join(f"{n} x {k}" for k, n in sorted(others.items())) or "none"
    more = sum(c.seconds for c in new) / 60
    print(
        f"in {more:.1f} minutes of drawn clips that taught nothing: {others.total()}, "
        f"{others.total() / more:.2f} a minute ({told})"
    )
    if count / minutes > MOST_FALSE:
        short.append(f"{count / minutes:.2f} false findings a minute, at most {MOST_FALSE:g}")
    sys.exit("\n".join(short) or 0)


if __name__ == "__main__":
    main()
