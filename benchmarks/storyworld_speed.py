"""How many storyworld clips a second are drawn: on one core, and on two.

    python benchmarks/storyworld_speed.py [--clips 200] [--size 64] [--frames 17]

Scenes are drawn evenly from the whole grammar. Wall time depends on what else the machine does; the benchmark fails
at the default size when a core draws fewer than 20 clips in a second of its own time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import cv2

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import random_scene


def draw(job: tuple[int, int, int, int]) -> float:
    """Draw clips; the seconds of CPU time it took."""
    first, count, size, frames = job
    cv2.setNumThreads(1)
    start = time.process_time()
    for seed in range(first, first + count):
        render(random_scene(seed), seed, frames=frames, height=size, width=size)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--frames", type=int, default=17)
    args = parser.parse_args()
    rates = {}
    for cores in (1, 2):
        with ProcessPoolExecutor(cores) as pool:
            share = args.clips // cores
            list(pool.map(draw, [(0, 4, args.size, args.frames)] * cores))  # warm up
            start = time.perf_counter()
            used = sum(
                pool.map(draw, [(1000 + i * share, share, args.size, args.frames) for i in range(cores)])
            )
            wall = time.perf_counter() - start
            rates[cores] = cores * share / used
        print(
            f"{cores} core(s): {cores * share / wall:.1f} clips/s; {rates[cores]:.1f} for each second of CPU time "
            f"({args.frames} frames of {args.size}x{args.size})"
        )
    if (args.size, args.frames) == (64, 17) and min(rates.values()) < 20:
        sys.exit("slower than 20 clips for each second of CPU time")


if __name__ == "__main__":
    main()
