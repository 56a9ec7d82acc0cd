"""How many faces that become another one ``temporal`` finds, and how often it says so where nobody changes.

    python benchmarks/identity_drift.py --data ../shared/data [--crf 23]

Portraits move over a ground (``identity_clips.py``). From the twelfth frame on the face of another person is blended
into the face box, gradually or at once, back again or to the end, in turns; a blend of 1 shows that face alone, 0.5
half of it. A clip counts as found where ``temporal.identity_drift`` overlaps the frames that show more than half of
the blend, and localisation is the intersection over union in time. False findings are counted on real clips
(``fetv/real`` and ``clips``), on clips of one portrait, and on clips in which one portrait becomes another one *of
the same person*. Bounds are exact: Clopper-Pearson for shares, Poisson for findings a minute, 95 %. Clips of
generators (``fetv``, asked for with ``--generators``) are counted apart: nobody knows what is wrong in them.

Fails where less than 0.9 of the whole swaps are found, or anything is found where nobody changes.
"""

from __future__ import annotations

import argparse
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
from identity_clips import (
    FPS,
    FRAMES,
    Portrait,
    blocks,
    info_of,
    measured,
    measured_file,
    moving,
    portraits,
    shares,
)
from identity_clips import through_the_encoder as through
from scipy.stats import chi2

from vgaudit.metrics.identity_drift import KIND
from vgaudit.records import Finding, Measurement
from vgaudit.stats import clopper_pearson

STRENGTHS = {"mild": 0.5, "moderate": 0.75, "strong": 1.0}
NEEDED = 0.9
REAL_CLIPS = ("chaplin.mp4", "mmaction_demo.mp4", "no_duration.webm", "pancake.mkv")


def found_in(base: Portrait, other: Portrait, share: np.ndarray, seed: int, crf: int | None) -> list[Finding]:
    """Drifts in a planted clip."""
    clip = moving(base, other, share, seed)
    clip = clip if crf is None else through(clip, crf)
    said, _ = measured(info_of(clip), blocks(clip))
    return [f for f in said.findings if f.kind == KIND]


def is_open(said: Measurement) -> bool:
    """Whether a clip is not assessed for faces that become another one."""
    return bool(said.unassessed) or KIND in said.unassessed_kinds


def overlap(found: Finding, start_s: float, end_s: float) -> float:
    """Intersection over union in time."""
    shared = min(found.end_s, end_s) - max(found.start_s, start_s)
    return max(0.0, shared) / (max(found.end_s, end_s) - min(found.start_s, start_s))


def share_of(hits: int, n: int) -> str:
    low, high = clopper_pearson(hits, n, 0.95)
    return f"{hits} of {n}, {hits / n:.0%} ({low:.0%} to {high:.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crf", type=int, help="store the planted clips with a run's encoder first")
    parser.add_argument("--generators", action="store_true", help="look at the clips of generators as well")
    args = parser.parse_args()
    pairs = list(permutations(portraits(args.data), 2))
    apart = [(a, b) for a, b in pairs if a.person != b.person]
    short: list[str] = []
    print("another person's face: found (95 % interval), and median overlap in time of those found")
    for name, strength in STRENGTHS.items():
        best = []
        for i, (base, other) in enumerate(apart if name == "strong" else apart[::2]):
            share = shares(strength, gradual=i % 2 == 0, back=i // 2 % 2 == 0)
            shown = np.flatnonzero(share > strength / 2)
            drifts = found_in(base, other, share, i, args.crf)
            best.append(max([overlap(f, shown[0] / FPS, (shown[-1] + 1) / FPS) for f in drifts] or [0.0]))
        hit = [b for b in best if b > 0]
        print(f"  {name:9} {share_of(len(hit), len(best))}, {np.median(hit or [0.0]):.2f}", flush=True)
        if name == "strong" and len(hit) < NEEDED * len(best):
            short.append(f"{name}: {len(hit)} of {len(best)} found, needed {NEEDED:.0%}")
    same = [(a, b) for a, b in pairs if a.person == b.person]
    same_share = shares(1.0, gradual=False, back=True)
    another = [found_in(a, b, same_share, 100 + i, args.crf) for i, (a, b) in enumerate(same)]
    nothing = np.zeros(FRAMES)
    alone = [found_in(p, p, nothing, 200 + i, args.crf) for i in range(2) for p in portraits(args.data)]
    print(
        f"another picture of the same person: {share_of(sum(map(bool, another)), len(another))} clips with a finding"
    )
    print(f"one picture all along: {share_of(sum(map(bool, alone)), len(alone))} clips with a finding")
    files = [
        *sorted((args.data / "fetv" / "real").glob("*.mp4")),
        *(args.data / "clips" / n for n in REAL_CLIPS),
    ]
    count, minutes, tracks, seconds = 0, 0.0, 0, 0.0
    seen = open_ones = 0
    for path in files:
        said, faces, length = measured_file(path)
        count += sum(f.kind == KIND for f in said.findings)
        minutes += length / 60
        seen, open_ones = seen + (len(faces["box"]) > 0), open_ones + is_open(said)
        tracks += said.facts.get("identity", {}).get("tracks_compared", 0)
        seconds += len(np.unique(faces["frame_index"])) / max(1, len(faces["frames_examined"])) * length
    bound = float(chi2.ppf(0.95, 2 * (count + 1))) / 2
    print(
        f"real clips: {count} in {minutes:.2f} minutes ({seconds:.0f} s of them with faces, {tracks} faces compared "
        f"over time): at most {bound / minutes:.1f} a minute, {bound / (seconds / 60):.1f} a minute with faces"
    )
    print(f"  not assessed: {open_ones} of {seen} in which a face is seen")
    if count or any(map(bool, another)) or any(map(bool, alone)):
        short.append("something is found where nobody changes")
    made = [p for p in sorted((args.data / "fetv").glob("*/*.mp4")) if p.parent.name != "real"]
    compared = told = seen = open_ones = 0
    for path in made if args.generators else ():
        said, faces, _ = measured_file(path)
        compared += said.facts.get("identity", {}).get("tracks_compared", 0) > 0
        told += any(f.kind == KIND for f in said.findings)
        seen, open_ones = seen + (len(faces["box"]) > 0), open_ones + is_open(said)
    if args.generators:
        print(
            f"clips of generators: {told} with a finding, of {compared} in which a face was compared over time"
        )
        print(f"  not assessed: {open_ones} of {seen} in which a face is seen")
    sys.exit("\n".join(short) or 0)


if __name__ == "__main__":
    main()
