"""Run the fetv suite, run it again, run the plain reference script on the same clips, and compare.

    python benchmarks/fetv.py [--data DIR] [--out DIR] [--skip-naive]

Prints wall times, clips per second, decode count, results per group with intervals, and the largest difference
between our per-clip numbers and those of ``naive.py``. DIR holds ``fetv/`` and ``faces/``. Exits with 1 where a
number differs by more than 1e-5, or exists on one side only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

TOLERANCE = 1e-5
"""How far a number of ours may lie from the plain script's."""

Values = Mapping[str, Mapping[str, float | None]]  # metric -> clip -> number, or None where there is none


@dataclass(frozen=True)
class Comparison:
    """One metric on both sides: clips with two numbers, their largest difference, and clips with only one."""

    metric: str
    both: int
    worst: float
    one_sided: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every number has its like; a difference that is NaN is none within the tolerance."""
        return not self.one_sided and self.both > 0 and self.worst <= TOLERANCE


def comparisons(naive: Values, ours: Values) -> list[Comparison]:
    """Each metric of the plain script against ours, over the clips of either side."""
    found = []
    for metric, plain in naive.items():
        mine = ours.get(metric, {})
        pairs = {clip: (plain.get(clip), mine.get(clip)) for clip in sorted({*plain, *mine})}
        apart = [abs(a - b) for a, b in pairs.values() if a is not None and b is not None]
        worst = max(apart, key=lambda d: math.inf if math.isnan(d) else d, default=math.nan)
        lone = tuple(clip for clip, (a, b) in pairs.items() if (a is None) != (b is None))
        found.append(Comparison(metric, len(apart), worst, lone))
    return found


def run(suite_arguments: list[str], out: Path) -> tuple[float, str]:
    begin = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "vgaudit",
        "run",
        str(HERE / "fetv.yaml"),
        "--out",
        str(out),
        *suite_arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
    if done.returncode not in (0, 3, 4):
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - begin, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("VGAUDIT_TEST_DATA", str(HERE.parent.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--out", type=Path, help="keep the run here (must not exist yet)")
    parser.add_argument("--skip-naive", action="store_true")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="vgaudit-fetv-")) / "run"
    if out.exists():
        sys.exit(f"{out} exists; this benchmark measures a first run")
    where = [
        "--set", f"backend.root={options.data / 'fetv'}",
        "--set", f"metrics.likeness.gallery={options.data / 'faces'}",
    ]  # fmt: skip
    first, text = run(where, out)
    manifest = json.loads((out / "manifest.json").read_text())
    clips = len((out / "plan.jsonl").read_text().splitlines())
    print(text)
    print(
        f"first run   {first:7.1f} s, {clips} clips, {clips / first:.2f} clips/s, {manifest['decodes']} decodes"
    )
    print(f"            stages {manifest['timings']}")
    before = (out / "results.json").read_bytes()
    second, _ = run(where, out)
    assert (out / "results.json").read_bytes() == before, "the second run changed the results"
    print(f"second run  {second:7.1f} s, results unchanged")
    agrees = options.skip_naive or compare(options.data, out, first)
    if options.out is None:
        shutil.rmtree(out.parent)
    if not agrees:
        sys.exit(f"our numbers are not those of naive.py (to {TOLERANCE:g})")


def compare(data: Path, out: Path, ours_s: float) -> bool:
    """Run the plain script on the same clips; whether all of its numbers are ours."""
    import pyarrow.parquet as pq

    target = out.parent / "naive.json"
    command = [
        sys.executable, str(HERE / "naive.py"),
        "--root", str(data / "fetv"), "--index", str(data / "fetv" / "index.csv"),
        "--gallery", str(data / "faces"), "--out", str(target),
    ]  # fmt: skip
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    naive_s = time.perf_counter() - begin
    naive = json.loads(target.read_text())
    samples = {row["sample_id"]: row for row in pq.read_table(out / "samples.parquet").to_pylist()}
    sources = {
        json.loads(line)["sample_id"]: json.loads(line)["source"] for line in (out / "plan.jsonl").open()
    }
    ours: dict[str, dict[str, float | None]] = {}
    for row in pq.read_table(out / "measurements.parquet").to_pylist():
        ours.setdefault(row["metric"], {})[sources[row["sample_id"]]] = row["value"]
    assert set(sources) == set(samples)
    print(
        f"naive       {naive_s:7.1f} s; ours takes {ours_s / naive_s:.2f} of that ({naive_s / ours_s:.1f}x faster)"
    )
    print(f"            per metric {naive['seconds']}")
    found = comparisons(naive["values"], ours)
    for c in found:
        print(
            f"  {c.metric:<32} {c.both} clips, largest difference {c.worst:.2e}, "
            f"only on one side {len(c.one_sided)} {' '.join(c.one_sided[:5])}"
        )
    return all(c.agrees for c in found)


if __name__ == "__main__":
    main()
