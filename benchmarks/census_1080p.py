"""`vgaudit score FOLDER` on 40 clips of 8 s at 1080p, without suite or gallery: time and peak memory.

    python benchmarks/census_1080p.py [--source DIR] [--clips 40] [--seconds 8]

The clips are camera moves over real footage of DIR (fetv's ``real`` folder), scaled up, 24 fps; every eighth has
distinct pictures and the rest are the same pictures in another order of time, so that no two files are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
FPS, WIDTH, HEIGHT = 24, 1920, 1080


def footage(source: Path) -> np.ndarray:
    with av.open(str(source)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def write(path: Path, frames: np.ndarray, seconds: float, phase: int) -> None:
    """Walk to and fro through the footage with a slow zoom; encoded fast, as content matters here, not size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        n = len(frames)
        for t in range(int(seconds * FPS)):
            at = (t // 2 + phase) % (2 * n - 2) if n > 1 else 0
            picture = frames[at if at < n else 2 * n - 2 - at]
            height, width = picture.shape[:2]
            keep = 1 - 0.1 * t / (seconds * FPS)
            y, x = int(height * (1 - keep) / 2), int(width * (1 - keep) / 2)
            cut = picture[y : height - y, x : width - x]
            big = cv2.resize(cut, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(big, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("VGAUDIT_TEST_DATA", str(HERE.parent.parent / "shared" / "data"))
    parser.add_argument("--source", type=Path, default=Path(data) / "fetv" / "real")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    sources = sorted(options.source.glob("*.mp4"))[: max(1, options.clips // 8)]
    with tempfile.TemporaryDirectory(prefix="vgaudit-census-") as temporary:
        folder = Path(temporary) / "clips"
        folder.mkdir()
        for number in range(options.clips):
            frames = footage(sources[number % len(sources)])
            write(folder / f"clip{number:03d}.mp4", frames, options.seconds, number // len(sources))
        megabytes = sum(p.stat().st_size for p in folder.iterdir()) / 2**20
        total = int(options.clips * options.seconds * FPS)
        shape = f"{WIDTH}x{HEIGHT} at {FPS} fps"
        print(f"{options.clips} clips of {options.seconds:g} s, {shape}: {total} frames, {megabytes:.0f} MiB")
        out = Path(temporary) / "run"
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "vgaudit", "score", str(folder), "--out", str(out)],
            capture_output=True, text=True, cwd=HERE.parent, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(done.stdout[-1500:])
        if done.returncode not in (0, 3, 4):
            sys.exit(done.stderr)
        decodes = json.loads((out / "manifest.json").read_text())["decodes"]
        print(
            f"{wall:.1f} s, {options.clips / wall:.2f} clips/s, {total / wall:.0f} frames/s, "
            f"peak memory {peak:.2f} GiB, {decodes} decodes, exit code {done.returncode}"
        )


if __name__ == "__main__":
    main()
