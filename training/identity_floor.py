"""Learns from which distance on a face is less like the one it began as than faces of one person are.

    python training/identity_floor.py --data ../shared/data

Faces of real clips (``fetv/real`` and ``clips``) are linked and compared as ``temporal.identity_drift`` does it, with
the frames that the metric examines and again with every frame, and so are all pictures of one person in ``faces``.
Nobody changes in these, so the floor is the embedder's published operating point or, if that is larger, the largest
distance that two faces of a track in a row, or two pictures, have. ``noise`` is the largest ratio of that distance to
the median one of neighbouring faces, in tracks as the metric examines them, rounded up. Written to
``vgaudit/metrics/identity_drift.json`` with how it came about.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks"))

from identity_clips import portraits
from temporal_clips import real_clips

from vgaudit.extractors.face_embedding import published_point
from vgaudit.extractors.faces import FacesExtractor, FacesOptions, make_embedder
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.identity_drift import FILE, UNIT, Linked, compared_tracks, distances, faces_needed
from vgaudit.metrics.temporal_findings import artifacts
from vgaudit.video import ClipReader

AS_EXAMINED, EVERY_FRAME = "as examined", "every frame"


def tracks_of(path: Path, extractors: dict[str, Any]) -> dict[str, list[tuple[int, float, float]]]:
    """Of each track that can be compared its faces, its lasting distance, and that over the one of neighbours."""
    with ClipReader(path) as clip:
        started = {name: each.start(clip.info) for name, each in extractors.items()}
        for block in clip:
            for each in started.values():
                each.push(block)
        features = {name: each.finish() for name, each in started.items()}
        cuts = artifacts("", features["pixels"], features["motion"], clip.info).cuts
    out = {}
    for name in (AS_EXAMINED, EVERY_FRAME):
        faces, found = features[name], []
        for track in compared_tracks(faces, Linked.of(faces, cuts)):
            lasting = max(min(a, b) for a, b in pairwise(track.distance.tolist()))
            found.append((len(track.faces), lasting, lasting / track.step))
        out[name] = found
    return out


def same_person(data: Path) -> list[float]:
    """Distances of all pictures that show one person."""
    embedder = make_embedder("dlib", {})
    embedder.load()
    vectors = {p: embedder.embed(embedder.align(p.rgb, p.box[None], p.points[None])) for p in portraits(data)}
    pairs = [(a, b) for a, b in combinations(vectors, 2) if a.person == b.person]
    return [float(distances(vectors[a], vectors[b])[0, 0]) for a, b in pairs]


def up(value: float) -> float:
    """To two decimals, never less."""
    return math.ceil(value * 100) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    options = FacesOptions(**faces_needed().options)
    extractors: dict[str, Any] = {
        "pixels": PixelsExtractor(),
        "motion": MotionExtractor(MotionOptions()),
        AS_EXAMINED: FacesExtractor(options),
        EVERY_FRAME: FacesExtractor(options.model_copy(update={"stride": 1})),
    }
    for name in (AS_EXAMINED, EVERY_FRAME):
        extractors[name].load()
    tracks = {name: tracks_of(args.data / name, extractors) for name in real_clips(args.data)}
    pictures = same_person(args.data)
    point = published_point(make_embedder(options.embedder, options.embedder_options).points)
    if point is None:
        sys.exit(f"{options.embedder} has no published operating point")
    published = round(1 - point.similarity, 6)
    seen = {kind: [t for of in tracks.values() for t in of[kind]] for kind in (AS_EXAMINED, EVERY_FRAME)}
    lasting = {kind: max(t[1] for t in each) for kind, each in seen.items()}
    stored = {
        "about": "The distance over which a face is less like the one it began as than faces of one person are.",
        "script": "python training/identity_floor.py",
        "embedder": options.embedder,
        "unit": UNIT,
        "published": {"threshold": published, "stated": point.stated, "source": point.source},
        "clips": {
            "real": sorted(name for name, of in tracks.items() if any(of.values())),
            "without_comparable_faces": sorted(name for name, of in tracks.items() if not any(of.values())),
        },
        "tracks": {
            kind: {
                "tracks": len(each),
                "faces": sum(t[0] for t in each),
                "largest_lasting_distance": round(lasting[kind], 3),
                "largest_ratio_to_neighbours": round(max(t[2] for t in each), 3),
            }
            for kind, each in seen.items()
        },
        "pictures_of_one_person": {"pairs": len(pictures), "largest_distance": round(max(pictures), 3)},
        "threshold": max(published, up(max(*lasting.values(), *pictures))),
        "noise": up(max(t[2] for t in seen[AS_EXAMINED])),
    }
    args.out.write_text(json.dumps(stored, indent=2) + "\n", "utf-8")
    print(json.dumps(stored, indent=2))


if __name__ == "__main__":
    main()
