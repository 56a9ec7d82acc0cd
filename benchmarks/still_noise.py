"""What noise feigns in still pictures, and what of slow motion is seen: the numbers behind "nothing is seen to move".

    python benchmarks/still_noise.py CLIP [CLIP ...]

The first picture of each clip, scaled to several short sides, stands still under Gaussian noise of its own in each
frame, as it is and after x264. For each: motion of a pair, as a fraction of the short side (``motion_top5``; median
and the largest over the clips), and at several frame rates the share of the time that
:mod:`vgaudit.metrics.motion_asked` calls still, by pairs alone and as the metric does (mean over clips). Then the
same of the picture as it pans by 3 % of its short side a second, which must not be called still.
"""

from __future__ import annotations

import argparse
import io
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.metrics.motion_asked import pace
from vgaudit.video import ClipInfo, ClipReader, Frames

SIGMAS = (0.0, 0.5, 1.0, 2.0, 4.0)
RATES = (8, 24, 30, 60)
PAN = 0.03
SECONDS = 1.0


def filmed(picture, fps, sigma, speed, rng):
    """A second of a picture that pans by so many short sides a second, each frame with noise of its own."""
    height, width = picture.shape[:2]
    frames = []
    for frame in range(round(SECONDS * fps) + 1):
        shift = np.float32([[1, 0, -speed * min(height, width) * frame / fps], [0, 1, 0]])
        moved = cv2.warpAffine(
            picture, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        noisy = moved + rng.normal(0, sigma, moved.shape).astype(np.float32) if sigma else moved
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return np.stack(frames)


def stored(frames, fps, crf):
    """``frames`` after x264; as they are without a ``crf``."""
    if crf is None:
        return frames
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = {"crf": str(crf), "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def seen(frames, fps):
    """Motion of a pair, and the share of the time that is still: by pairs alone, and as the metric says."""
    info = ClipInfo("clip", frames.shape[2], frames.shape[1], fps, None, 0.0, "raw", "array", "rgb24")
    extraction = MotionExtractor(MotionOptions()).start(info)
    extraction.push(Frames(frames, 0, np.arange(len(frames)) / fps))
    motion = dict(extraction.finish().arrays)
    difference = np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(frames)])
    whole = pace(motion, difference).still_share
    alone = pace(motion | {"far_first": np.full(len(frames) - 1, -1)}, difference).still_share
    return float(np.median(motion["motion_top5"])), alone, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--side", type=int, action="append", help="short sides; default 256, 512 and 1080")
    parser.add_argument("--crf", type=int, action="append", help="default: none, 10, 23 and 28")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = []
    for path in args.clips:
        with ClipReader(path) as reader:
            pictures.append(next(iter(reader)).rgb[0])
    print("short side, CRF, noise: motion of a pair (median, largest) | still by pairs -> still, at", RATES)
    for speed in (0.0, PAN):
        print(f"pan of {speed:.0%} of the short side a second" if speed else "still")
        for side in args.side or (256, 512, 1080):
            for crf in args.crf or (None, 10, 23, 28):
                for sigma in SIGMAS:
                    rng = np.random.default_rng(0)
                    cells, motions = [], []
                    for fps in RATES:
                        found = []
                        for picture in pictures:
                            scale = side / min(picture.shape[:2])
                            size = tuple(round(n * scale / 2) * 2 for n in picture.shape[1::-1])
                            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
                            scaled = cv2.resize(picture, size, interpolation=how).astype(np.float32)
                            found.append(seen(stored(filmed(scaled, fps, sigma, speed, rng), fps, crf), fps))
                        motion, alone, whole = np.array(found).T
                        motions += motion.tolist()
                        cells.append(f"{alone.mean():.2f} -> {whole.mean():.2f}")
                    print(
                        f"{side:5} {crf or 'raw':>4} {sigma:3g}: {np.median(motions):.5f} {max(motions):.5f} | "
                        + "   ".join(cells),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
