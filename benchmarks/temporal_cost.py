"""What the statistics of the temporal metric cost, as a multiple of the optical flow both ways.

    python benchmarks/temporal_cost.py fetv/zeroscope/0001.mp4 fetv/cogvideo/0034.mp4

Decoding is not counted. One thread.
"""

from __future__ import annotations

import itertools
import sys
import time

import av
import cv2
import numpy as np

from vgaudit.extractors.motion import SHORT_SIDE, _compare, dense_flow
from vgaudit.extractors.motion_quality import MotionQuality
from vgaudit.video import Frames


def main() -> None:
    cv2.setNumThreads(1)
    spent = np.zeros(3)
    pairs = 0
    for path in sys.argv[1:]:
        with av.open(path) as container:
            frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        luma = Frames(frames, 0, np.zeros(len(frames))).luma_short_side(SHORT_SIDE)
        quality = MotionQuality()
        for first, second in itertools.pairwise(luma):
            begin = time.perf_counter()
            forward, backward = dense_flow(first, second), dense_flow(second, first)
            flown = time.perf_counter()
            _, back, seen = _compare(first, second, forward, backward)
            compared = time.perf_counter()
            quality.push(first, second, forward, back, seen)
            spent += flown - begin, compared - flown, time.perf_counter() - compared
            pairs += 1
    flow, compare, judge = spent / spent[0]
    print(f"{pairs} pairs; flow both ways {1000 * spent[0] / pairs:.2f} ms a pair = {flow:.2f}")
    print(
        f"warp error, occlusion, motion {compare:.2f}; quality {judge:.2f}; all {flow + compare + judge:.2f}"
    )


if __name__ == "__main__":
    main()
