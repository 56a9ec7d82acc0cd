"""What compression makes of repeated frames: the numbers behind the constants of vgaudit/metrics/freezes.py.

    python benchmarks/freeze_levels.py CLIP [CLIP ...]

For each clip and CRF, mean absolute differences of neighbouring frames, in grey levels, after x264: of a frame
repeated four times in the middle, of the pairs that move, and of the clip's first frame standing still.
"""

import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from clip_files import read


def encoded(frames, crf):
    """Frames after x264 with a key frame every 12, which other people's clips have and a run's own have not."""
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write(frames[:, :height, :width], crf, path)
        return read(path)


def write(frames, crf, path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "g": "12", "x264-params": "mbtree=0:threads=1"}
        for frame in frames:
            picture = np.ascontiguousarray(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def differences(frames):
    return np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(frames)])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        frames = read(Path(path))
        middle = len(frames) // 2
        repeated = np.concatenate(
            [frames[:middle], np.repeat(frames[middle : middle + 1], 5, 0), frames[middle + 1 :]]
        )
        still = np.repeat(frames[:1], 40, 0)
        for crf in (10, 18, 23, 28, 35, 42):
            found = differences(encoded(repeated, crf))
            held = found[middle : middle + 4]
            moving = np.delete(found, range(middle, middle + 4))
            print(
                f"{path} CRF {crf}: repeats {held.round(3)}, moving median {np.median(moving):.2f}, "
                f"still at most {differences(encoded(still, crf)).max():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
