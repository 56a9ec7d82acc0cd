"""What is found of people before and after their faces are covered for a page that is passed on.

    python benchmarks/shareable_check.py ../shared/data

Portraits are planted in a moving ground, at several sizes, with a gallery of other photographs of the same people;
besides, a stretch of a film. Each goes the way of a clip in `vgaudit report RUN --shareable DIR --with-clips`. Then a
search of its own decodes both files and looks again: faces by the audit's detector, the nearest that any comes to the
gallery, and the nearest that what is left comes to the faces of the original, at the very places where they were.

Wanted: no face after, and nothing within the point at which the audit calls a match but under one flat colour. Exits
1 otherwise. It is our own detector and embedder; another one, or a person, may see more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.face_detection import FaceDetector
from vgaudit.extractors.faces import make_embedder
from vgaudit.likeness.gallery import build_gallery
from vgaudit.likeness.planting import Planting, cut_head, plant
from vgaudit.package_files import package_file
from vgaudit.pipeline.blurred_clip import LOW_MIN_FACE, LOW_THRESHOLDS, Judge, LeftOut, blur
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.video.reader import DEFAULT_LIMITS

UInt8 = NDArray[np.uint8]
SIZES = (48, 96, 160)


def picture(path: Path) -> UInt8:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert bgr is not None, path
    return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def ground(frames: int, height: int, width: int) -> UInt8:
    """Soft colours that drift: nobody is in them."""
    coarse = np.random.default_rng(5).integers(30, 220, (height // 20, width // 20, 3), dtype=np.uint8)
    still = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.roll(still, 2 * t, axis=1) for t in range(frames)]).astype(np.uint8)


def frames_of(path: Path, seconds: tuple[float, float] | None) -> list[UInt8]:
    out: list[UInt8] = []
    with ClipReader(path, DEFAULT_LIMITS) as reader:
        for block in reader:
            keep = block.pts_s <= seconds[1] if seconds else np.ones(len(block), bool)
            out += [*block.rgb[keep].copy()]
            if not keep.all():
                break
    return out


def look(judge: Judge, before: list[UInt8], after: list[UInt8]) -> tuple[int, int, list[str]]:
    """Faces before and after, and similarities: original to gallery, and what is left to gallery and original."""
    own, left, faces = [], [], [0, 0]
    for was, now in zip(before, after, strict=True):
        found = judge.ordinary.detect(was)
        faces[0] += len(found)
        faces[1] += len(judge.ordinary.detect(now))
        usable = judge.usable(was, found)
        own.append(judge.vectors(was, found.boxes[usable], found.landmarks[usable]))
        left.append(judge.vectors(now, found.boxes[usable], found.landmarks[usable]))
    a, b = np.concatenate(own), np.concatenate(left)
    pairs = ((a, judge.templates), (b, judge.templates), (b, a))
    told = [
        f"{1 - judge.nearest(x, y).max():.3f}" if len(x) and len(y) else "-" for x, y in pairs
    ]  # as L2 distances
    return faces[0], faces[1], told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with faces/ and clips/")
    arguments = parser.parse_args()
    ordinary, low = FaceDetector(), FaceDetector(LOW_MIN_FACE, thresholds=LOW_THRESHOLDS)
    embedder = make_embedder("dlib", {})
    for loaded in (ordinary, low, embedder):
        loaded.load()
    people = build_gallery(arguments.data / "faces", embedder)
    judge = Judge(ordinary, low, embedder, 0.4, people.templates, 24, 0.9)
    good = True
    print(
        "clip              frames  faces before  after  rounds  flat  gallery before  after  own after      s"
    )
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        jobs: list[tuple[str, Path, tuple[float, float] | None]] = []
        portraits = [arguments.data / "faces" / n for n in ("person_a/1.jpg", "person_b/1.jpg")]
        for path in [*portraits, package_file("package:skimage/data/astronaut.png")]:
            rgb = picture(path)
            face = ordinary.detect(rgb)
            head = cut_head(rgb, face.boxes[0], face.landmarks[0])
            for size in SIZES:
                if head.face_width < size:
                    continue
                planting = Planting(size, first=3, frames=24, at=(200.0, 180.0), drift=(2.0, 0.5))
                clip = scratch / f"{path.parent.name}-{size}.mp4"
                encode(plant(ground(30, 360, 480), head, planting).frames, 12, clip, EncoderSettings(crf=18))
                jobs.append((clip.stem, clip, None))
        jobs.append(("film", arguments.data / "clips" / "chaplin.mp4", (0.0, 3.0)))
        for label, clip, seconds in jobs:
            out, begun = scratch / "out.mp4", time.monotonic()
            try:
                checked = blur(clip, out, scratch / "out.jpg", judge, DEFAULT_LIMITS, seconds)
            except LeftOut as error:
                print(f"{label:17s} left out: {error}")
                good = False
                continue
            took = time.monotonic() - begun
            after = frames_of(out, None)
            n, m, told = look(judge, frames_of(clip, seconds)[: len(after)], after)
            good &= m == 0 and (checked.flat > 0 or all(t == "-" or float(t) > 0.6 for t in told[1:]))
            print(
                f"{label:17s} {checked.frames:6d}  {n:12d}  {m:5d}  {checked.rounds:6d}  {checked.flat:4d}  "
                f"{told[0]:>14s}  {told[1]:>5s}  {told[2]:>9s}  {took:5.1f}",
                flush=True,
            )
    print("as wanted" if good else "NOT as wanted")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
