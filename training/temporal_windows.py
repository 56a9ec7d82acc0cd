"""Teaches the temporal detectors of lasting faults (ghosts of earlier pictures, shapes that warp) what to look at.

    python training/temporal_windows.py --data ../shared/data [--storyworld 600]

Faults of the library are planted in real clips; the window of each is held against windows of clips in which
nothing is wrong, real and drawn, by Fisher's linear discriminant. Then, twice, the windows of clean clips that it
takes most for a fault are added to the latter, and it is taught anew. Written to
``vgaudit/metrics/temporal_windows.json``; thresholds are the business of ``temporal_floors.py``, run afterwards.

Prints, for each fault at moderate strength, how many are found in clips that were left out (five folds) at the
threshold that the clean clips ask for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks"))

from temporal_clips import Clip, clean, clean_jobs, faulty, real_clips
from workers import pool

from vgaudit.metrics.temporal_floors import SMALL
from vgaudit.metrics.temporal_parts import barred
from vgaudit.metrics.temporal_signals import Found
from vgaudit.metrics.temporal_windows import (
    FILE,
    STEPS,
    Floats,
    WindowModel,
    best_windows,
    scores,
    shot_statistics,
    shot_windows,
    shots,
    window_features,
)
from vgaudit.storyworld.faults import FaultTruth

CHOSEN: dict[str, dict[str, Any]] = {
    "ghosting": {
        "fault": "ghosting",
        "level": (
            "mismatch", "deformation", "acceleration", "flicker", "sharpness", "second_difference",
            "third_difference", "difference", "warp_error", "occluded_fraction",
            "echo_before", "echo_after", "echo_around", "echo_lead", "shake", "wobble",
        ),
        "edge": (
            "sharpness", "third_difference", "acceleration", "echo_around", "echo_after", "echo_before", "wobble",
        ),
        "steps": True,
    },
    "warping": {
        "fault": "warp",
        "level": (
            "motion", "mismatch", "deformation", "acceleration", "flicker", "sharpness", "second_difference",
            "difference", "warp_error", "shift", "shake", "wobble",
        ),
        "edge": ("acceleration", "deformation", "sharpness", "difference", "warp_error"),
        "steps": False,
    },
}  # fmt: skip
"""Kind of finding -> the fault that teaches it, and its features."""
SEEDS = (1, 101, 1001, 1101, 1201, 1301)
STRENGTHS = ("moderate", "strong")
SHRINK = 0.3
"""Share of each feature's variance added to it, so that few clips do not decide on differences of features."""
ROUNDS = 3
OF_REAL, OF_DRAWN = 200, 40
"""Windows of a clean clip, drawn at random, that teach."""
FOLDS = 5
LEAST_SCORE = 2.0
"""Standard deviations below which no window is counted."""


@dataclass(frozen=True)
class Lesson:
    """A clip and where its fault is, if it has one."""

    clip: Clip
    truth: FaultTruth | None = None
    strength: str = ""
    name: str = ""


def features_of(kind: str, clip: Clip, p: Any, q: Any) -> Floats:
    """Of those windows that lie in a shot and do not begin it."""
    of, s = CHOSEN[kind], clip.signals
    found = []
    for a, b in shots(barred(s)):
        inside = (p > a) & (q <= b)
        x = shot_statistics(s.statistics, a, b)
        found.append(window_features(x, p[inside] - a, q[inside] - a, of["level"], of["edge"], of["steps"]))
    return np.concatenate(found)


def free(kind: str, clip: Clip, p: Any, q: Any) -> Any:
    """Which windows hold nothing of the kind that is really there."""
    s = clip.signals
    frame = np.r_[s.frame, s.total]
    return np.array(
        [
            not clip.touches_true(kind, int(frame[a + 1]), int(frame[b + 1]))
            for a, b in zip(p, q, strict=True)
        ],
        bool,
    )


def discriminant(bad: Floats, good: Floats) -> tuple[Floats, Floats]:
    """Mean of the good, and weights under which these have a standard deviation of 1."""
    spread = (np.cov(good.T) + np.cov(bad.T)) / 2
    spread += SHRINK * np.diag(np.diag(spread))
    weight = np.linalg.solve(spread, bad.mean(axis=0) - good.mean(axis=0))
    return good.mean(axis=0), weight / np.sqrt(weight @ np.cov(good.T) @ weight)


def teach(kind: str, faults: Sequence[Lesson], sound: Sequence[Clip]) -> WindowModel:
    rng = np.random.default_rng(0)
    bad = []
    for lesson in faults:
        assert lesson.truth is not None
        frame = lesson.clip.signals.frame
        p, q = np.searchsorted(frame, lesson.truth.span) - 1
        if q - p >= 1:
            bad += list(features_of(kind, lesson.clip, np.array([p]), np.array([q])))
    good: list[Floats] = []
    for clip in sound:
        p, q = shot_windows(barred(clip.signals))
        keep = np.flatnonzero(free(kind, clip, p, q))
        most = OF_REAL if clip.is_real else OF_DRAWN
        pick = rng.choice(keep, min(most, len(keep)), replace=False) if len(keep) else keep
        if len(pick):
            good += list(features_of(kind, clip, p[pick], q[pick]))
    of = CHOSEN[kind]
    for round_ in range(ROUNDS):
        mean, weight = discriminant(np.array(bad), np.array(good))
        model = WindowModel(of["level"], of["edge"], of["steps"], mean, weight)
        if round_ == ROUNDS - 1:
            break
        for clip in sound:
            p, q, s = scores(clip.signals.statistics, model, barred(clip.signals))
            keep = np.flatnonzero(free(kind, clip, p, q))
            if len(keep):
                worst = keep[np.argmax(s[keep])]
                hard = features_of(kind, clip, p[[worst]], q[[worst]])
                good += list(hard) * (6 if clip.is_real else 3)
    return model


def findings(clip: Clip, model: WindowModel, threshold: float) -> Iterator[Found]:
    """What the detector finds, before what others see of the same moment is taken off."""
    s = clip.signals
    for window in best_windows(s.statistics, model, barred(s), threshold):
        yield s.span(window.first + 1, window.end + 1, window.score)


def false_scores(kind: str, clip: Clip, model: WindowModel) -> list[float]:
    """Scores of the findings in a clean clip that are not really there."""
    return [f.score for f in findings(clip, model, LEAST_SCORE) if not clip.is_true(kind, f)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--storyworld", type=int, default=600, help="drawn clips of two seconds")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    names = [n for n in real_clips(args.data) if not n.endswith(".webm")]
    jobs = [
        (args.data, name, names[(i + 5) % len(names)], of["fault"], strength, seed + i)
        for of in CHOSEN.values()
        for strength in STRENGTHS
        for seed in SEEDS
        for i, name in enumerate(names)
    ]
    with pool(args.workers) as processes:
        clips = list(processes.map(clean, clean_jobs(args.data, args.storyworld), chunksize=8))
        planted = list(processes.map(faulty, jobs, chunksize=8))
    sound = [c for c in clips if c.signals.side >= SMALL and len(c.signals) > 8]
    lessons = [Lesson(c, t, job[4], job[1]) for job, (c, t) in zip(jobs, planted, strict=True)]
    stored: dict[str, Any] = {
        "about": "Linear discriminants of lasting temporal faults; see docs/metrics/temporal.md, section Artifacts.",
        "script": f"python training/temporal_windows.py --storyworld {args.storyworld}",
        "clips": {"real": names, "drawn": sum(not c.is_real for c in sound), "seeds": list(SEEDS)},
        "models": {},
    }
    for kind, of in CHOSEN.items():
        faults = [x for x in lessons if x.truth is not None and x.truth.kind == of["fault"]]
        model = teach(kind, faults, sound)
        found = []
        false = {c.name: false_scores(kind, c, model) for c in sound if not c.is_real}
        for fold in range(FOLDS):
            out = set(names[fold::FOLDS])
            other = teach(
                kind, [x for x in faults if x.name not in out], [c for c in sound if c.name not in out]
            )
            found += [
                (list(findings(x.clip, other, LEAST_SCORE)), x.truth.span)
                for x in faults
                if x.name in out and x.strength == "moderate" and x.truth is not None
            ]
            false |= {c.name: false_scores(kind, c, other) for c in sound if c.name in out}
        minutes = sum(c.seconds for c in sound) / 60
        for allowed in (0.1, 0.25, 0.5, 1.0):
            scored = sorted(itertools.chain.from_iterable(false.values()), reverse=True)
            threshold = scored[int(allowed * minutes)]
            hit = sum(
                any(f.score > threshold and f.first < end and f.end > first for f in each)
                for each, (first, end) in found
            )
            print(
                f"{kind}: {hit} of {len(found)} moderate faults in clips left out, {allowed} false findings a minute",
                flush=True,
            )
        stored["models"][kind] = {
            "level": model.level,
            "edge": model.edge,
            "steps": list(STEPS) if model.steps else [],
            "mean": model.mean.round(5).tolist(),
            "weight": model.weight.round(5).tolist(),
        }
    args.out.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
