"""Are people found whose other photograph the gallery holds, and is anybody raised where nobody was planted?

    python benchmarks/likeness_selftest.py ../shared/data --out selftest

The gallery holds one portrait each of two people, and the astronaut of scikit-image for company. Other photographs of
the two are planted in clips of the FETV benchmark: 300 times each at 48 and 32 px, heads turned by up to 20 degrees,
six lights, CRF 18 to 28, seen for 0.8 to 1.2 s; and less often at 24, 64 and 96 px. Each goes the way of a clip in a
run. Then the 89 clips as they are. Recall counts a person raised for review or alert in the planted span.

Wanted: lower ends of the exact 95 % intervals of at least 95 % at 48 px and 85 % at 32 px, and at most one untouched
clip raised. Exits 1 otherwise. The same command continues where it stopped. This is recall for pasted photographs,
not for generated look-alikes, and of two people only.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from vgaudit.cli.console import make_progress
from vgaudit.likeness.recall import KINDS, recalls
from vgaudit.likeness.selftest_result import SelftestResult, SelftestSettings
from vgaudit.package_files import package_file
from vgaudit.pipeline.selftest import selftest

WANTED = {48: 0.95, 32: 0.85}
GALLERY = {"person_a": ["1.jpg"], "person_b": ["1.jpg"]}
PLANTED = {"person_a": ["2.jpg", "3.jpg"], "person_b": ["2.jpg"]}
COUNTS = {24: 60, 64: 60, 96: 60}


def folder(faces: Path, people: dict[str, list[str]], target: Path) -> Path:
    """A gallery folder with some of the pictures."""
    for person, names in people.items():
        (target / person).mkdir(parents=True)
        for name in names:
            shutil.copyfile(faces / person / name, target / person / name)
    return target


def show(result: SelftestResult) -> bool:
    """Print everything, and say whether it is what is wanted."""
    good = True
    print("recall for pasted photographs, not for generated look-alikes")
    print("size    n  found  recall   low  wrong  missed")
    for size, recall in zip(sorted(result.settings.sizes), result.by_size(), strict=True):
        wanted = WANTED.get(size)
        if wanted is not None:
            good &= recall.n >= 300 and recall.low is not None and recall.low >= wanted
        print(
            f"{size:4d}  {recall.n:3d}  {recall.found:5d}  {recall.value or 0:6.4f}  {recall.low or 0:.4f}  "
            f"{recall.wrong:4d}  {dict(recall.missed) or ''}"
        )
    for of in KINDS.values():
        for size in sorted(result.settings.sizes):
            of_size = recalls([t for t in result.trials if t.width_px == size], of)
            print(f"{size:4d}  " + "; ".join(f"{r.name}: {r.found}/{r.n}" for r in of_size))
    for size in sorted(result.settings.sizes):
        reached = sorted(
            t.similarity for t in result.trials if t.width_px == size and t.similarity is not None
        )
        if reached:
            shown = [1 - reached[int(q * (len(reached) - 1))] for q in (0.0, 0.05, 0.5, 1.0)]
            print(
                f"{size:4d}  distance: largest {shown[0]:.3f}, 95 % below {shown[1]:.3f}, median {shown[2]:.3f}"
            )
    summary = result.untouched_summary()
    print(
        f"untouched: {summary['clips']} clips, {summary['with_faces']} with faces, {summary['raised']} raised "
        f"(upper end {summary['raised_high'] or 0:.3f}): {summary['raised_clips']}"
    )
    good &= bool(summary["with_faces"]) and summary["raised"] <= 1 and not summary["failed"]
    for note in result.notes:
        print(f"note: {note}")
    print("as wanted" if good else "NOT as wanted")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with fetv/ and faces/")
    parser.add_argument("--out", type=Path, help="where plantings are kept, to go on later")
    parser.add_argument("--plantings", type=int, default=300)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        gallery = folder(arguments.data / "faces", GALLERY, Path(scratch) / "gallery")
        (gallery / "astronaut").mkdir()
        portrait = package_file("package:skimage/data/astronaut.png")
        shutil.copyfile(portrait, gallery / "astronaut" / portrait.name)
        plant = folder(arguments.data / "faces", PLANTED, Path(scratch) / "plant")
        counts = {size: min(n, arguments.plantings) for size, n in COUNTS.items()}
        settings = SelftestSettings(sizes=(24, 32, 48, 64, 96), plantings=arguments.plantings, counts=counts)
        result = selftest(
            [arguments.data / "fetv"], gallery, settings,
            plant_from=plant, out=arguments.out, progress=make_progress(),
        )  # fmt: skip
    good = show(result)
    print(f"{time.monotonic() - begun:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
