"""What compression makes of repeated frames: the numbers behind the constants of vgaudit/metrics/freezes.py.

    python benchmarks/freeze_levels.py CLIP [CLIP ...]

For each clip and CRF, mean absolute differences of neighbouring frames, in grey levels, after x264: of a frame
repeated four times in the middle, of the pairs that move, and of the clip's first frame standing still.
"""

import io
import sys
from itertools import pairwise

import av
import numpy as np


def decode(source):
    with av.open(source) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def encoded(frames, crf):
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "g": "12", "x264-params": "mbtree=0:threads=1"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    return decode(buffer)


def differences(frames):
    return np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(frames)])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        frames = decode(path)
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
