"""How far apart are two photographs of one person, and of two, for an embedder? The verification protocol, in full.

    D=../shared/data; python benchmarks/likeness_verification.py $D/faces --strangers $D/fetv $D/clips

Each argument is a folder with a folder of portraits per person; a person may be in several of them. The astronaut of
scikit-image comes along. `--strangers` adds one face of each clip of some folders (the one the detector is surest of,
of those that can be compared), photographed or generated: nobody knows who they are, except that they are none of the
portrayed, so they are held against portraits only. Portraits go the way of a gallery's, clips the way of a run's, and
what either leaves out is listed. Portraits of one person closer than 0.15 are copies of one photograph, as sizes and
formats of it are: one of them stays.

All pairs of pictures of one person are held against all pairs of two people. Printed: distances, a histogram, the
errors at each published point with exact 95 % intervals, and the n they rest on. Pairs share pictures, so they are
fewer independent trials than their number says; with a handful of people the intervals are wide, and that is the
answer.
Exits 1 if the distances of one and of two people overlap, or if a point of the embedder errs.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from vgaudit.errors import MediaError
from vgaudit.estimates import clopper_pearson
from vgaudit.extractors.face_embedding import FaceEmbedder
from vgaudit.extractors.faces import FacesExtractor, FacesOptions
from vgaudit.likeness.folder import scan_gallery
from vgaudit.likeness.gallery import build_gallery
from vgaudit.package_files import package_file
from vgaudit.pipeline.reference import find_videos
from vgaudit.video import ClipReader, probe

STEP = 0.05
SAME_PHOTOGRAPH = 0.15


def portraits(folders: list[Path], embedder: FaceEmbedder) -> list[tuple[str, np.ndarray]]:
    """Person and template of every usable portrait; the same file counts once."""
    with tempfile.TemporaryDirectory() as scratch:
        seen: set[str] = set()
        together = Path(scratch)
        for i, folder in enumerate(folders):
            for person in scan_gallery(folder):
                home = together / person.entry_id
                home.mkdir(exist_ok=True)
                for image in person.images:
                    if image.sha256 and image.sha256 not in seen:
                        seen.add(image.sha256)
                        shutil.copyfile(image.path, home / f"{i}-{image.path.name}")
        (together / "astronaut").mkdir()
        astronaut = package_file("package:skimage/data/astronaut.png")
        shutil.copyfile(astronaut, together / "astronaut" / astronaut.name)
        gallery = build_gallery(together, embedder)
    for warning in gallery.warnings:
        print(f"left out or doubtful: {warning}")
    kept: list[tuple[str, np.ndarray]] = []
    for owner, template in zip(gallery.owners, gallery.templates, strict=True):
        name = gallery.entries[owner].entry_id
        own = [other for known, other in kept if known == name]
        if own and (1 - embedder.similarity(template[None], np.stack(own)) < SAME_PHOTOGRAPH).any():
            print(f"{name}: a copy of a photograph that is there already")
            continue
        kept.append((name, template))
    return kept


def strangers(folders: list[Path], extractor: FacesExtractor) -> list[tuple[str, np.ndarray]]:
    """One face of each clip that has one that can be compared."""
    extractor.load()
    found = []
    for video in find_videos(folders)[0]:
        try:
            extraction = extractor.start(probe(video.path))
            with ClipReader(video.path) as reader:
                for frames in reader:
                    extraction.push(frames)
        except MediaError as error:
            print(f"left out: {error.reason}: {video.name}")
            continue
        faces = extraction.finish()
        usable = np.flatnonzero(faces["embedded"] if "embedded" in faces.arrays else faces["usable"])
        if len(usable):
            best = usable[np.argmax(faces["confidence"][usable])]
            found.append((f"stranger of {video.name}", faces["embedding"][best]))
    return found


def histogram(same: np.ndarray, other: np.ndarray) -> None:
    print("distance   one person  two people")
    edges = np.arange(0, max(same.max(initial=0), other.max(initial=0)) + STEP, STEP)
    for low in edges:
        a, b = (int(((d >= low) & (d < low + STEP)).sum()) for d in (same, other))
        if a or b:
            print(f"{low:.2f}-{low + STEP:.2f}  {a:10d}  {b:10d}  {'=' * min(a, 30)}{'x' * min(b, 60)}")


def errors(name: str, k: int, n: int) -> str:
    if not n:
        return f"{name}: no pair"
    low, high = clopper_pearson(k, n, 0.95)
    return f"{name}: {k} of {n} pairs, 95 % interval {100 * low:.2f} to {100 * high:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="a folder of portraits per person")
    parser.add_argument("--strangers", type=Path, nargs="*", default=[], help="clips of others")
    parser.add_argument("--embedder", default="dlib")
    arguments = parser.parse_args()
    extractor = FacesExtractor(FacesOptions(embedder=arguments.embedder))
    embedder = extractor.embedder
    pictures = portraits(arguments.folders, embedder)
    known = len(pictures)
    pictures += strangers(arguments.strangers, extractor) if arguments.strangers else []
    vectors = np.stack([vector for _, vector in pictures])
    distances = 1 - embedder.similarity(vectors, vectors)
    same, other, of_people = [], [], defaultdict(list)
    for i, j in itertools.combinations(range(len(pictures)), 2):
        if i >= known:
            continue  # two strangers may be one person
        one = pictures[i][0] == pictures[j][0]
        (same if one else other).append(distances[i, j])
        if one:
            of_people[pictures[i][0]].append(distances[i, j])
    a, b = np.array(same), np.array(other)
    people = len({name for name, _ in pictures[:known]})
    print(f"{embedder.name}: {known} portraits of {people} people, {len(pictures) - known} strangers")
    print(f"distance = 1 - similarity ({embedder.measure})")
    for name, own in of_people.items():
        print(f"  {name}: {len(own)} pairs, {min(own):.3f} to {max(own):.3f}")
    if not len(a) or not len(b):
        sys.exit("expected somebody with two pictures, and two people")
    histogram(a, b)
    print(
        f"one person: {len(a)} pairs, {a.min():.3f} to {a.max():.3f}; two people: {len(b)}, from {b.min():.3f} on"
    )
    good = bool(a.max() < b.min())
    print(f"no overlap: a gap of {b.min() - a.max():.3f}" if good else "they OVERLAP")
    for point in embedder.points:
        limit = 1 - point.similarity
        missed, confused = int((a > limit).sum()), int((b <= limit).sum())
        print(f"{point.name} point, {point.stated}:")
        print("  " + errors("one person called two", missed, len(a)))
        print("  " + errors("two people called one", confused, len(b)))
        if confused or (point.name == "published" and missed):
            good = False
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
