"""What the whole temporal pass costs, as a multiple of its optical flow both ways.

    python benchmarks/temporal_cost.py --data ../shared/data [--clips 8] [--repeats 5]

Flow alone, both extractors (``motion`` holds the flow, ``pixels`` the rest) and what the metric makes of their
features, one thread, decoding not counted; then each detector by itself. Of each clip and part the quickest of a few
repeats counts, which other work on the machine disturbed least. Fails where all of it takes more than 2.5 times the
flow.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from temporal_clips import read

from vgaudit.extractors.flow_pair import dense_flow
from vgaudit.extractors.motion import SHORT_SIDE, MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.temporal_detectors import DETECTORS
from vgaudit.metrics.temporal_floors import floors
from vgaudit.metrics.temporal_signals import Signals
from vgaudit.plan import Sample
from vgaudit.video import ClipInfo, Frames

MOST = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    spent = np.zeros(4)
    alone = Counter[str]()
    pairs = 0
    metric = Temporal(TemporalOptions(), MetricContext())
    for path in sorted((args.data / "fetv").rglob("*.mp4"))[:: max(1, 89 // args.clips)]:
        frames, times = read(path)
        info = ClipInfo(
            path=str(path), width=frames.shape[2], height=frames.shape[1], fps=10.0, frames=len(frames),
            duration_s=len(frames) / 10, codec="", container="", pixel_format="",
        )  # fmt: skip
        block = Frames(frames, 0, times)
        luma = block.luma_short_side(SHORT_SIDE)
        block.rgb_short_side(SHORT_SIDE)
        repeats = []
        for _ in range(args.repeats):
            begin = time.perf_counter()
            for first, second in itertools.pairwise(luma):
                dense_flow(first, second)
                dense_flow(second, first)
            flown = time.perf_counter()
            motion = MotionExtractor(MotionOptions()).start(info)
            motion.push(block)
            moved = motion.finish()
            seen = time.perf_counter()
            pixels = PixelsExtractor().start(info)
            pixels.push(block)
            pictures = pixels.finish()
            looked = time.perf_counter()
            sample = Sample("a", "a", "a", "a")
            metric.measure(ClipView(sample, info, "", {"motion": moved, "pixels": pictures}))
            measured = time.perf_counter()
            repeats.append((flown - begin, seen - flown, looked - seen, measured - looked))
        spent += np.min(repeats, axis=0)
        side = min(moved.facts["height"], moved.facts["width"])
        for kind, seconds in by_detector(pictures.arrays, moved.arrays, side, args.repeats).items():
            alone[kind] += seconds
        pairs += len(frames) - 1
    flow, motion_, pixels_, measure = spent / spent[0]
    print(f"{pairs} pairs; flow both ways {1000 * spent[0] / pairs:.2f} ms a pair = {flow:.2f}")
    print(f"motion {motion_:.2f} (flow included), pixels {pixels_:.2f}, detectors and values {measure:.2f}")
    each = ", ".join(f"{kind} {seconds / spent[0]:.3f}" for kind, seconds in alone.most_common())
    print(f"detectors, each by itself: {each}")
    total = motion_ + pixels_ + measure
    print(f"all {total:.2f}, at most {MOST}")
    sys.exit(None if total <= MOST else f"{total:.2f} times the flow, at most {MOST}")


def by_detector(
    pixels: Mapping[str, NDArray[np.generic]],
    motion: Mapping[str, NDArray[np.generic]],
    side: int,
    repeats: int,
) -> dict[str, float]:
    """Seconds each takes by itself; signals are made anew, as what detectors share counts for each."""
    thresholds = floors(side)
    spent: dict[str, float] = {}
    for kind, detector in DETECTORS.items():
        took = []
        for _ in range(repeats):
            signals = Signals.of(pixels, motion, side)
            start = time.perf_counter()
            list(detector.find(signals, thresholds[kind]))
            took.append(time.perf_counter() - start)
        spent[kind] = min(took)
    return spent


if __name__ == "__main__":
    main()
