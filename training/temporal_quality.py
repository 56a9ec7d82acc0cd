"""Fit the score of temporal quality to human ratings, say what it is worth, and write its coefficients.

    python training/temporal_quality.py --data ../shared/data/fetv --out vgaudit/metrics/temporal_quality.json

Reads FETV's clips and the mean of three raters (``index.csv``). Prints, with 95 % intervals from a bootstrap over
prompts, everything that ``docs/metrics/temporal.md`` quotes. The same seed gives the same file. Takes five minutes on
one core, most of it for altered copies of the clips; ``--cache`` keeps their features for the next time.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from clip_copies import CONTROLS, COPIES, FAULTS, FPS, altered
from clip_files import Clip, read
from rating_study import PRIOR, REAL, RIDGE, Floats, Measured, Study, partial_spearman, spearman

from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal_quality import (
    FEATURES,
    Coefficients,
    clip_motion,
    parse_coefficients,
    quality_score,
)
from vgaudit.video import ClipInfo, Frames

At = NDArray[np.intp]


def measure(frames: Clip) -> Measured:
    pts = np.arange(len(frames)) / FPS
    info = ClipInfo(
        path="clip", width=frames.shape[2], height=frames.shape[1], fps=FPS, frames=len(frames),
        duration_s=len(frames) / FPS, codec="raw", container="array", pixel_format="rgb24",
    )  # fmt: skip
    block = Frames(frames, 0, pts)
    motion, pixels = MotionExtractor(MotionOptions()).start(info), PixelsExtractor().start(info)
    motion.push(block)
    pixels.push(block)
    arrays, difference = motion.finish().arrays, pixels.finish()["mae_next"]
    freezes = find_freezes(difference, pts)
    if freezes is None:
        return Measured([], why="too little moves")
    clip = clip_motion(arrays)
    if isinstance(clip, str):
        return Measured([], why=clip)
    moved = arrays["quality_motion"][arrays["quality_chain"] >= 0].mean()
    failed = float(arrays["occluded_fraction"].mean())
    return Measured(
        list(map(float, clip.features)),
        clip.held,
        clip.second,
        clip.third,
        freezes.fraction,
        float(moved),
        failed,
    )


def all_measured(
    rows: Sequence[dict[str, str]], data: Path, cache: Path | None
) -> dict[str, dict[str, Measured]]:
    """Copy (``""`` for the clip itself) to path to features."""
    if cache and cache.is_file():
        kept = json.loads(cache.read_text())
        return {copy: {p: Measured(**m) for p, m in of.items()} for copy, of in kept.items()}
    out: dict[str, dict[str, Measured]] = {}
    begin = time.perf_counter()
    for index, row in enumerate(rows):
        for name, copy in altered(read(data / row["path"]), index):
            out.setdefault(name, {})[row["path"]] = measure(copy)
        print(f"\r{index + 1}/{len(rows)} clips, {time.perf_counter() - begin:.0f} s", end="", flush=True)
    print()
    if cache:
        cache.write_text(json.dumps({n: {p: asdict(m) for p, m in of.items()} for n, of in out.items()}))
    return out


class Report:
    """Prints what a study says, and keeps the numbers."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.numbers: dict[str, dict[str, float]] = {}
        self.crossed = study.crossed(study.clips, study.seed)

    def tell(self, name: str, of: Callable[[At], float]) -> float:
        """A number of the clips at hand with its interval; returns the share of draws above 0."""
        value, low, high, above = self.study.interval(of)
        self.numbers[name] = {"value": round(value, 3), "low": round(low, 3), "high": round(high, 3)}
        print(f"{name:<66} {value:+.3f} ({low:+.3f} .. {high:+.3f})")
        return above

    def correlations(self) -> None:
        """Of the score with the ratings, and of what may explain them as well."""
        study, crossed = self.study, self.crossed
        left_out, means = study.left_out(), study.model_means()
        every = np.arange(len(study.clips))
        self.tell("pooled Spearman, crossed by prompt", lambda at: study.pooled(crossed, at))
        spread = [study.pooled(study.crossed(study.clips, seed), every) for seed in range(20)]
        print(
            f"  over 20 other partitions into folds: {min(spread):.3f} to {max(spread):.3f}, "
            f"mean {np.mean(spread):.3f}"
        )
        self.tell("pooled Spearman of each model's mean rating, crossed", lambda at: study.pooled(means, at))
        own = np.array([study.ratings[study.models == m].mean() for m in study.models])
        self.tell("  the same, not crossed", lambda at: study.pooled(own, at))
        self.tell(
            "  score minus model mean (crossed)",
            lambda at: study.pooled(crossed, at) - study.pooled(means, at),
        )
        self.tell("within models, crossed by prompt", lambda at: study.within(crossed, at))
        self.tell("within models, each left out of the fit", lambda at: study.within(left_out, at))
        for name in study.names:
            of = study.models == name
            self.tell(f"  {name} left out", lambda at, of=of: study.within(left_out, at[of[at]]))
        motion = np.log(np.array([c.motion for c in study.clips]) + 5e-4)

        def given_motion(at: At) -> float:
            at = at[study.generated[at]]
            return partial_spearman(crossed[at], study.ratings[at], motion[at])

        self.tell("Spearman given motion, crossed", given_motion)
        self.tell("motion alone (negated)", lambda at: study.pooled(-motion, at))

    def rivals(self) -> None:
        """Single features, and what the score has over the best of them."""
        study, crossed = self.study, self.crossed
        features = -np.array([c.features for c in study.clips])
        failed = -np.array([c.failed for c in study.clips])
        ways = {"pooled": study.pooled, "within": study.within}
        alone: dict[str, Floats] = {f"  feature {name}": features[:, k] for k, name in enumerate(FEATURES)}
        alone["share of pixels that fail the check (negated)"] = failed
        for name, values in alone.items():
            for way, of in ways.items():
                self.tell(f"{name}, {way}", lambda at, of=of, values=values: of(values, at))
        every = np.arange(len(study.clips))
        best = max(range(len(FEATURES)), key=lambda k: study.pooled(features[:, k], every))
        rivals = {FEATURES[best]: features[:, best], "share of failing pixels": failed}
        for name, values in rivals.items():
            for way, of in ways.items():
                self.tell(
                    f"score minus {name}, {way}",
                    lambda at, of=of, values=values: of(crossed, at) - of(values, at),
                )

    def real_clips(self, c: Coefficients) -> None:
        """Where real clips come, which are in no fit."""
        study, crossed = self.study, self.crossed
        scores = np.array([quality_score(clip.rating(c), c) for clip in study.clips])
        print("mean scores, fitted on generated clips, and ratings:")
        for name in [*study.names, REAL]:
            of = study.models == name
            print(f"  {name:<20} {scores[of].mean():.3f}  rated {(study.ratings[of].mean() - 1) / 4:.3f}")

        def lead(at: At) -> float:
            of = {name: crossed[at[study.models[at] == name]] for name in [*study.names, REAL]}
            return float(np.mean(of[REAL]) - max(np.mean(of[name]) for name in study.names))

        above = self.tell("real minus best generator, mean score crossed", lead)
        print(f"  above 0 in {above:.3f} of the draws")
        error = crossed[study.generated] - (study.ratings[study.generated] - 1) / 4
        print(
            f"calibration, crossed: mean error {error.mean():+.3f}, mean absolute error {np.abs(error).mean():.3f}"
        )
        self.tell("pooled with real clips, crossed", lambda at: spearman(crossed[at], study.ratings[at]))

    def copies(self, measured: dict[str, list[Measured]]) -> None:
        """How many copies score higher than their clip."""
        print(
            "copies: share that score higher than the clip (a missing score is not higher), "
            "mean change, without a score"
        )
        total = len(self.study.clips)
        for name in [*COPIES, *CONTROLS, *(f"fault {kind}" for kind in FAULTS)]:
            copy = self.study.crossed(measured[name], self.study.seed)
            there = np.isfinite(copy)
            higher, missing = int(np.count_nonzero(copy[there] > self.crossed[there])), int((~there).sum())
            change = float((copy - self.crossed)[there].mean()) if there.any() else float("nan")
            self.numbers[f"copies: {name}"] = {"higher": higher, "clips": total, "missing": missing}
            print(f"  {name:<34} {higher}/{total} = {higher / total:.3f}   {change:+.3f}   {missing}")


def coefficients_file(c: Coefficients, study: Study, index: Path, numbers: dict[str, Any]) -> dict[str, Any]:
    """What ships: coefficients, where they come from, what they are worth."""
    return {
        "about": "Coefficients of temporal.quality; see docs/metrics/temporal.md, section Quality",
        "fit": {
            "data": "FETV (llyx97/FETV, CC-BY-4.0): generated clips of 18 prompts by CogVideo, Text2Video-Zero, "
            "VideoFusion and ZeroScope, mean temporal quality of three raters; real clips are left out",
            "clips": int(study.generated.sum()),
            "index_sha256": hashlib.sha256(index.read_bytes()).hexdigest(),
            "method": f"ridge regression ({RIDGE:g}) to prior weights {PRIOR}, no weight above 0; "
            "binomial calibration",
            "command": f"python training/temporal_quality.py --data ../shared/data/fetv --seed {study.seed} "
            "--out vgaudit/metrics/temporal_quality.json",
            "opencv": cv2.__version__,
        },
        "features": [
            {"name": n, "mean": round(m, 6), "scale": round(s, 6), "weight": round(w, 6)}
            for n, m, s, w in zip(FEATURES, c.means, c.scales, c.weights, strict=True)
        ],
        "score": {
            key: round(value, 6)
            for key, value in asdict(c).items()
            if key not in ("means", "scales", "weights")
        },
        "validation": numbers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="FETV's folder, with index.csv")
    parser.add_argument("--out", type=Path, help="where to write the coefficients; nowhere without it")
    parser.add_argument("--cache", type=Path, help="features of all copies: read if there, else written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    index = options.data / "index.csv"
    with index.open() as file:
        rows = list(csv.DictReader(file))
    measured = all_measured(rows, options.data, options.cache)
    study = Study(
        [measured[""][r["path"]] for r in rows],
        np.array([float(r["temporal_quality"]) for r in rows]),
        np.array([r["model"] for r in rows]),
        np.array([r["prompt_id"] for r in rows]),
        options.seed,
    )
    print(
        f"{len(rows)} clips, {len(set(study.prompts))} prompts; "
        f"features missing: {sum(bool(c.why) for c in study.clips)}"
    )
    report = Report(study)
    report.correlations()
    report.rivals()
    c = study.fit(study.generated)
    report.real_clips(c)
    report.copies({name: [of[r["path"]] for r in rows] for name, of in measured.items()})
    written = coefficients_file(c, study, index, report.numbers)
    parse_coefficients(written)
    print(json.dumps(written["features"]), json.dumps(written["score"]))
    if options.out:
        options.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
