"""Run the fetv suite, run it again, run the plain reference script on the same clips, and compare.

    python benchmarks/fetv.py [--data DIR] [--out DIR] [--skip-naive]

Prints wall times, clips per second, decode count, results per group with intervals, and the largest difference
between our per-clip numbers and those of ``naive.py``. DIR holds ``fetv/`` and ``faces/``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


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
    if not options.skip_naive:
        compare(options.data, out, first)
    if options.out is None:
        shutil.rmtree(out.parent)


def compare(data: Path, out: Path, ours_s: float) -> None:
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
    for metric, values in naive["values"].items():
        pairs = [(values[s], ours[metric].get(s)) for s in values]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        one_sided = sum((a is None) != (b is None) for a, b in pairs)
        worst = max((abs(a - b) for a, b in both), default=float("nan"))
        print(
            f"  {metric:<32} {len(both)} clips, largest difference {worst:.2e}, only on one side {one_sided}"
        )


if __name__ == "__main__":
    main()
