"""What the whole temporal pass costs, as a multiple of its optical flow both ways.

    python benchmarks/temporal_cost.py --data ../shared/data [--clips 8]

Flow alone, both extractors (``motion`` holds the flow, ``pixels`` the rest) and what the metric makes of their
features, one thread, decoding not counted; then each detector by itself. Fails where all of it takes more than 2.5
times the flow.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from temporal_clips import read

from vgaudit.extractors.motion import SHORT_SIDE, MotionExtractor, MotionOptions, dense_flow
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
        side = min(moved.facts["height"], moved.facts["width"])
        thresholds = floors(side)
        for kind, detector in DETECTORS.items():
            signals = Signals.of(
                pictures.arrays, moved.arrays, side
            )  # anew: what detectors share counts for each
            start = time.perf_counter()
            list(detector.find(signals, thresholds[kind]))
            alone[kind] += time.perf_counter() - start
        spent += flown - begin, seen - flown, looked - seen, measured - looked
        pairs += len(frames) - 1
    flow, motion_, pixels_, measure = spent / spent[0]
    print(f"{pairs} pairs; flow both ways {1000 * spent[0] / pairs:.2f} ms a pair = {flow:.2f}")
    print(f"motion {motion_:.2f} (flow included), pixels {pixels_:.2f}, detectors and values {measure:.2f}")
    each = ", ".join(f"{kind} {seconds / spent[0]:.3f}" for kind, seconds in alone.most_common())
    print(f"detectors, each by itself: {each}")
    total = motion_ + pixels_ + measure
    print(f"all {total:.2f}, at most {MOST}")
    sys.exit(None if total <= MOST else f"{total:.2f} times the flow, at most {MOST}")


if __name__ == "__main__":
    main()
