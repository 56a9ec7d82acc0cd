"""What a GPU makes of this package: generation beside the bare loop, scoring against the card's ceilings, sameness.

    python -m benchmarks.gpu all --out DIR [--toy] [--faces FOLDER] [--dlib-net FILE]
    python -m benchmarks.gpu ceilings|generation|scoring|sameness --out DIR ...

Networks have their full architecture and random weights (MTCNN its own, dlib's those of its package or of FILE), so
nothing is downloaded. Each part prints plain tables and writes DIR/<part>.json after every stage; `all` runs each in
a process of its own with a time limit, and one that fails or is cut off stops no other. --toy runs every path with
tiny networks in seconds, on a CPU too. Exits 1 where a part failed or the overhead of generation is over 2 %.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMITS = {"ceilings": 40, "generation": 190, "scoring": 155, "sameness": 90}
"""Seconds that `all` gives each part on a GPU; toys on a busy CPU get TOY_LIMIT each."""

TOY_LIMIT = 900


def run_all(args: argparse.Namespace, rest: list[str]) -> list[str]:
    """Every part in a process of its own; what failed."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="vgaudit-gpu-") as folder:
        for part in args.parts.split(","):
            limit = TOY_LIMIT if args.toy else LIMITS[part]
            command = [sys.executable, "-u", "-m", "benchmarks.gpu", part, *rest]
            if args.work is None:
                command += ["--work", folder]
            begin = time.perf_counter()
            try:
                code = subprocess.run(command, timeout=limit, check=False).returncode
                why = f"exit code {code}" if code else ""
            except subprocess.TimeoutExpired:
                why = f"cut off after {limit} s"
            print(f"-- {part}: {why or 'done'} in {time.perf_counter() - begin:.0f} s\n", flush=True)
            if why:
                failed.append(f"{part}: {why}")
    return failed


def run_part(args: argparse.Namespace, work: Path) -> bool:
    """One part in this process; whether what it must show holds."""
    import torch

    from benchmarks.gpu import measure

    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    report = measure.Report(args.out, args.part, measure.settings(device, args.toy))
    good = True
    if args.part == "ceilings":
        best = measure.ceilings(device, args.toy)
        report.add("ceilings", {"tflops": dict(best.tflops), "copy_gbs": best.copy_gbs})
        rows = [[f"{name} product", rate, "TFLOP/s"] for name, rate in best.tflops.items()]
        measure.table(["what", "rate", "unit"], [*rows, ["copy, read and written", best.copy_gbs, "GB/s"]])
    elif args.part == "generation":
        from benchmarks.gpu import generation

        good = generation.measure(
            report, work, device, toy=args.toy, seconds=args.seconds, steps=args.steps, clips=args.clips,
            frames=args.frames,
        )  # fmt: skip
    elif args.part == "scoring":
        from benchmarks.gpu import scoring

        scoring.measure(report, work, device, toy=args.toy, faces=args.faces, dlib_net=args.dlib_net)
    else:
        from benchmarks.gpu import sameness

        sameness.measure(report, work, device, toy=args.toy, faces=args.faces, dlib_net=args.dlib_net)
    report.done()
    return good


def main() -> None:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=lines[0])
    parser.add_argument("part", choices=["all", *LIMITS])
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON files")
    parser.add_argument(
        "--work", type=Path, help="folder for models and clips, kept; default a temporary one"
    )
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument(
        "--toy", action="store_true", help="tiny networks, a few clips: every path in seconds"
    )
    parser.add_argument("--parts", default=",".join(LIMITS), help="which parts `all` runs, by commas")
    parser.add_argument(
        "--faces", type=Path, help="folder of portraits to plant; without it clips show no face"
    )
    parser.add_argument("--dlib-net", type=Path, help="dlib's network file, if its package is not installed")
    parser.add_argument("--seconds", type=float, default=90, help="generation: for the rounds of both ways")
    parser.add_argument("--steps", type=int, help="generation: else as many as fit into --seconds")
    parser.add_argument("--clips", type=int, help="generation: of a round, each way; at least 2")
    parser.add_argument("--frames", type=int, help="generation: of a clip, 4 n + 1")
    args = parser.parse_args()
    if args.clips is not None and args.clips < 2:
        parser.error("--clips: a cycle needs 2 at least")
    if unknown := set(args.parts.split(",")) - LIMITS.keys():
        parser.error(f"--parts: expected some of {', '.join(LIMITS)}, found {', '.join(sorted(unknown))}")
    if args.part == "all":
        rest = sys.argv[1:]
        rest.remove("all")
        failed = run_all(args, rest)
        sys.exit("\n".join(failed) or 0)
    if args.work is not None:
        args.work.mkdir(parents=True, exist_ok=True)
        sys.exit(0 if run_part(args, args.work) else 1)
    with tempfile.TemporaryDirectory(prefix="vgaudit-gpu-") as folder:
        sys.exit(0 if run_part(args, Path(folder)) else 1)


if __name__ == "__main__":
    main()
