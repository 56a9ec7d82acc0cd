"""Real prompt files of public benchmarks, imported, loaded and validated.

    python benchmarks/import_suites.py FOLDER [--out DIR]

FOLDER holds copies of the benchmarks' files in any folders below it, under the benchmarks' own names (checkouts of
Vchitect/VBench, yibo-miao/T2VSafetyBench, facebookresearch/MovieGenBench, llyx97/FETV and KaiyueSun98/T2V-CompBench
will do). None of them come along with vgaudit. Each that is found becomes a suite twice, with the same bytes wanted;
the suite is loaded and goes through ``vgaudit validate``. One line each: entries of the files, different prompts,
expectations, tags, seeds, and seconds for all of it. Exits 1 where one fails or fewer than three are found.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vgaudit.cli.commands import app
from vgaudit.errors import VgauditError
from vgaudit.imports import ImportedSuite, import_suite
from vgaudit.suite import load_suite

LEAST = 3
# A name below FOLDER, and whether it is the file itself that is read or the folder that it lies in.
WANTED = (
    ("vbench", "VBench_full_info.json", False),
    ("vbench", "prompts_per_dimension/temporal_flickering.txt", False),
    ("vbench", "prompts_per_dimension/color.txt", True),
    ("vbench", "prompts_per_category/animal.txt", True),
    ("t2vsafetybench", "T2VSafetyBench/1.txt", True),
    ("t2vsafetybench", "Tiny-T2VSafetyBench/1.txt", True),
    ("moviegen", "MovieGenVideoBenchWithTag.csv", False),
    ("moviegen", "MovieGenVideoBench.txt", False),
    ("fetv", "fetv_data.json", False),
    ("t2v-compbench", "meta_data/spatial_relationships.json", True),
    ("t2v-compbench", "prompts/1_consistent_attr.txt", True),
)


def found_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for format_, name, whole in WANTED:
        parts = Path(name).parts
        for path in sorted(folder.rglob(parts[-1])):
            if path.parts[-len(parts) :] == parts:
                yield format_, path.parent if whole else path
                break


def checked(format_: str, path: Path, out: Path) -> ImportedSuite:
    """Import, write, load and validate; raises where something is not as it should be."""
    made, again = (import_suite(format_, path) for _ in range(2))
    if made.text != again.text:
        raise AssertionError("the same files gave other bytes the second time")
    out.write_text(made.text, encoding="utf-8", newline="")
    suite = load_suite(out)
    if [p.prompt_id for p in suite.prompts] != list(dict.fromkeys(p.prompt_id for p in suite.prompts)):
        raise AssertionError("an id occurs twice")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        app(["validate", str(out)], standalone_mode=False)
    wanted = f"valid; {made.prompts * made.seeds} samples, {made.prompts} prompts"
    if wanted not in said.getvalue():
        raise AssertionError(f"validate did not say {wanted!r}")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="copies of the benchmarks' files")
    parser.add_argument("--out", type=Path, help="where suites stay; default: nowhere")
    options = parser.parse_args()
    failed, seen = 0, set()
    print(
        f"{'format':15} {'files':42} {'entries':>7} {'prompts':>7} {'expect':>6} {'tags':>5} {'seeds':>5} {'s':>5}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for number, (format_, path) in enumerate(found_in(options.folder), 1):
            begin, shown = time.perf_counter(), "/".join(path.parts[-2:])[-42:]
            try:
                made = checked(format_, path, folder / f"{number:02}-{format_}.yaml")
            except (VgauditError, AssertionError) as error:
                failed += 1
                print(f"{format_:15} {shown:42} FAILED: {str(error)[:300]}")
                continue
            seen.add(format_)
            print(
                f"{format_:15} {shown:42} {made.entries:7,} {made.prompts:7,} {made.expectations:6,} "
                f"{len(made.tags):5} {made.seeds:5} {time.perf_counter() - begin:5.1f}"
            )
    print(f"{len(seen)} benchmarks imported and validated, {failed} failures")
    return int(failed > 0 or len(seen) < LEAST)


if __name__ == "__main__":
    sys.exit(main())
