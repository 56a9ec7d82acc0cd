"""Where a face stops carrying the person: distance to the own portrait as faces get smaller or more blurred.

    python benchmarks/face_limits.py ../shared/data/faces

Each portrait is scaled so that its face is so many pixels wide, blurred (sigma as share of the face's width), and
compressed as JPEG 50; then it goes the way of a clip's frame. Printed per size and blur: in how many pictures the
face was found, mean and largest dlib distance to the template of the same, unspoilt picture, the smallest distance
to anybody else, the median of `face_quality.detail`, and how many of the found faces the extractor calls usable.
The limits in `vgaudit.extractors.face_quality` and `FacesOptions` come from this table.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from vgaudit.extractors.face_detection import Detections, FaceDetector
from vgaudit.extractors.face_embedders import DlibEmbedder
from vgaudit.extractors.face_quality import detail, unusable_reason
from vgaudit.extractors.faces import FacesOptions
from vgaudit.likeness.portraits import decode_portrait

SIZES = (20, 24, 28, 34, 45, 60, 100)
BLURS = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06)
OPTIONS = FacesOptions()

detector, embedder = FaceDetector(), DlibEmbedder()


def vector(rgb: np.ndarray, found: Detections) -> np.ndarray:
    return embedder.embed(embedder.align(rgb, found.boxes[:1], found.landmarks[:1]))[0]


def spoilt(rgb: np.ndarray, factor: float, sigma: float) -> np.ndarray:
    small = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if sigma:
        small = cv2.GaussianBlur(small, (0, 0), sigma)
    small = cv2.copyMakeBorder(small, 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    return cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)


def face_luma(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = np.clip(box, 0, None).astype(int)
    return cv2.cvtColor(rgb[top:bottom, left:right], cv2.COLOR_RGB2GRAY)


def main() -> None:
    detector.load()
    embedder.load()
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for path in sorted(Path(sys.argv[1]).glob("*/*.jpg")):
        pictures[path.parent.name, path.stem] = decode_portrait(path.read_bytes())
    clean = {key: detector.detect(rgb) for key, rgb in pictures.items()}
    templates = {key: vector(pictures[key], found) for key, found in clean.items()}
    print("width  blur  found  same mean  same max  other min  detail  usable")
    for size in SIZES:
        for blur in BLURS:
            same, other, details, usable = [], [], [], 0
            for key, rgb in pictures.items():
                width = float(clean[key].boxes[0, 2] - clean[key].boxes[0, 0])
                if size > width:
                    continue
                seen = spoilt(rgb, size / width, blur * size)
                found = detector.detect(seen)
                if not len(found):
                    continue
                here = vector(seen, found)
                same.append(np.linalg.norm(here - templates[key]))
                other.append(min(np.linalg.norm(here - t) for k, t in templates.items() if k[0] != key[0]))
                details.append(detail(face_luma(seen, found.boxes[0])))
                usable += not unusable_reason(
                    seen, found.boxes[0], found.landmarks[0], float(found.confidence[0]),
                    min_side=OPTIONS.min_side, min_confidence=OPTIONS.min_confidence,
                )  # fmt: skip
            print(
                f"{size:5d}  {blur:4.2f}  {len(same):2d}/{len(pictures):<2d}  {np.mean(same):9.3f}  "
                f"{max(same):8.3f}  {min(other):9.3f}  {np.median(details):6.4f}  {usable:2d}/{len(same)}"
            )


if __name__ == "__main__":
    main()
