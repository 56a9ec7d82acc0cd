"""What the report of a large run costs: writing it, its weight, and how long a browser takes to open and use it.

    python benchmarks/report_scale.py [--prompts 1000] [--groups 5] [--frames 24] [--keep DIR] [--no-browser]

A finished run is made up: a prompt's clips share its text, every clip has a poster of its own and one tiny video,
linked under many names, with values, series and findings as many as the bundled suites give. Its report is written
three times: anew, again without a change, and again after one decision. Then Chromium opens index.html, types a
word into the search field and turns pages. The whole is done for a fifth of the prompts too, which gives the exponent
by which the time to write grows. Exits 1 where index.html with its assets takes 3 MB or 2 s or more.

Times of a page are the browser's own: DOM ready is ``domContentLoadedEventEnd``, interactive is the later of this and
the end of the last task above 50 ms; a keystroke and a page turn last until the next frame is on the screen.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from tests.browser import CHROMIUM, Browser
from tests.reports.synthetic import manifest, write_media
from vgaudit.decisions import Standing, State
from vgaudit.estimates import cluster_bootstrap, seed_from_ids
from vgaudit.pipeline.comparing import compare_groups
from vgaudit.plan import Plan, Sample, make_sample_id
from vgaudit.records import (
    ClipRecord,
    Finding,
    GateResult,
    Measurement,
    Outcome,
    Result,
    Series,
    Severity,
    Verdict,
    digest,
)
from vgaudit.reports.data import ClipEntry, ReportData
from vgaudit.reports.html import write_html

MOST_BYTES, MOST_S = 3_000_000, 2.0
POSTER = (320, 180)
OTHERS = ("prompts*.html", "prompts-data.js", "prompts/*.html", "review.html")
SUBJECTS = ("a dog", "two children", "an old fisherman", "a red kite", "the night train", "a glass of water")
SCENES = (
    "walks along the beach at sunset",
    "waits under a street lamp in the rain",
    "turns slowly on a table",
)
VALUE_SPECS: dict[str, dict[str, Any]] = {
    "temporal.warp_error": {"unit": "fraction of full scale", "higher_is_better": False},
    "temporal.motion": {"unit": "short sides per second", "higher_is_better": None},
    "prompt_alignment.clip_score": {"unit": "100 x cosine", "higher_is_better": True},
    "aesthetics.score": {"unit": "points", "higher_is_better": True},
    "integrity.frames": {"unit": "frames", "higher_is_better": None},
}
GAP = "not applicable: the picture's short side is under 96 pixels, less than of any clip the score was fitted to"
UNSEEN = "shots of fewer than 10 different pictures, too few to look for what lasts"


def measurements(sample_id: str, index: int, frames: int) -> dict[str, Measurement]:
    """What four metrics say of one clip: five values or more, five series, a finding in every third clip."""
    rng = np.random.default_rng(index)
    times = tuple((np.arange(frames) / 12).tolist())
    warp, motion, difference, score, drift = (rng.random((5, frames)) * 0.1 + 0.02).round(6)
    findings = []
    if index % 3 == 0:
        severity = (Severity.MAJOR, Severity.MINOR, Severity.REVIEW)[index // 3 % 3]
        kind = ("temporal.jump", "temporal.freeze", "temporal.flicker")[index // 3 % 3]
        message = "The picture jumps: the warping error is twice what the clip's own motion explains."
        box = (10.0, 10.0, 60.0, 40.0) if index % 2 else None
        found = Finding(
            sample_id, kind, severity, 0.3, 0.8, 0.1 + float(rng.random()), 0.06, message, box,
            detail={"frames": [4, 5, 6], "baseline": 0.021}, fingerprint=digest([sample_id, kind], 40),
        )  # fmt: skip
        findings.append(found)
    unit = "fraction of full scale"
    return {
        "integrity": Measurement(
            {
                "frames": float(frames),
                "duration_s": frames / 12,
                "fps": 12.0,
                "black_fraction": 0.0,
                "ok": 1.0,
            },
            facts={"codec": "h264", "pixel format": "yuv420p", "asked for": "320x180, 12 fps"},
        ),
        "temporal": Measurement(
            {"warp_error": float(warp.mean()), "motion": float(motion.mean())},
            {
                "warp_error": Series(times, tuple(warp.tolist()), unit),
                "motion": Series(times, tuple(motion.tolist()), "short sides per second"),
                "frame_difference": Series(times, tuple(difference.tolist()), "grey levels"),
            },
            tuple(findings),
            {"quality": GAP},
            {"different_pictures": frames, "freeze_tolerance": 0.5},
            unassessed_kinds={"temporal.ghosting": UNSEEN} if index % 4 == 1 else {},
        ),
        "prompt_alignment": Measurement(
            {"clip_score": 22 + 9 * float(rng.random())}, {"clip_score": Series(times, tuple(score.tolist()))}
        ),
        "aesthetics": Measurement(
            {"score": 4 + 2 * float(rng.random())}, {"score": Series(times, tuple(drift.tolist()), "points")}
        ),
    }


def build(run_dir: Path, prompts: int, groups: int, frames: int) -> ReportData:
    """The run: in plan order, prompt by prompt; every 250th sample failed."""
    names = [f"model-{chr(ord('a') + g)}" for g in range(groups)]
    video, _ = write_media(run_dir, "one", 90)
    (run_dir / "previews").mkdir()
    entries = []
    for p in range(prompts):
        prompt_id = f"p{p:04d}"
        text = (
            f"{SUBJECTS[p % 6]} {SCENES[p % 3]}, take {p}: soft light, wide shot, shallow focus, 35 mm film"
        )
        ramp = np.linspace(0, 90, POSTER[0], dtype=np.uint8)
        picture = np.full((POSTER[1], POSTER[0], 3), (p % 160, 90, 160 - p % 160), np.uint8)
        picture[:, :, 1] += ramp
        for g, group in enumerate(names):
            index = p * groups + g
            sample_id = make_sample_id(prompt_id, 0, {"group": group})
            sample = Sample(sample_id, prompt_id, text, group, seed=0, tags={"scene": f"s{p % 3}"})
            if index % 250 == 249:
                failed = ClipRecord(sample_id, "error", message="CUDA out of memory while sampling")
                entries.append(ClipEntry(sample, failed))
                continue
            clip, poster = f"clips/{sample_id}.mp4", f"previews/{sample_id}.jpg"
            os.link(run_dir / video, run_dir / clip)
            picture[40:70, 20 + 30 * g : 50 + 30 * g] = 40 * g + 60
            cv2.imwrite(str(run_dir / poster), picture)
            info = {"width": 96, "height": 64, "fps": 10.0, "frames": 16, "duration_s": 1.6, "codec": "h264"}
            record = ClipRecord(
                sample_id, "ok", file=clip, playable=clip, poster=poster, sha256=digest(sample_id), info=info,
                backend_fingerprint=digest(group), seconds=1.5, facts={"steps": 20, "guidance": 7.5},
            )  # fmt: skip
            entries.append(ClipEntry(sample, record, measurements(sample_id, index, frames)))
    results = [mean(entries, group, name, spec) for group in names for name, spec in VALUE_SPECS.items()]
    gates = [
        GateResult("temporal.warp_error <= 0.08", group, Outcome.PASSED, "0.07 <= 0.08") for group in names
    ]
    compared = compare_groups(
        Plan(tuple(e.sample for e in entries)),
        {e.sample.sample_id: e.clip for e in entries},
        {
            metric: {e.sample.sample_id: e.measurements[metric] for e in entries if metric in e.measurements}
            for metric in dict.fromkeys(name.partition(".")[0] for name in VALUE_SPECS)
        },
        results,
        VALUE_SPECS,
        0.95,
    )
    return ReportData(
        run_dir=run_dir,
        kind="run",
        name=f"{prompts} prompts x {groups} groups",
        manifest=manifest(),
        clips=tuple(entries),
        results=tuple(results),
        gates=tuple(gates),
        verdict=Verdict(Outcome.PASSED, 0, f"all {groups} gates passed"),
        value_specs=VALUE_SPECS,
        comparisons=compared,
    )


def mean(entries: Sequence[ClipEntry], group: str, name: str, spec: Mapping[str, Any]) -> Result:
    """A value's mean over the prompts of a group."""
    metric, _, value = name.partition(".")
    own = [e for e in entries if e.sample.group == group and metric in e.measurements]
    values = [e.measurements[metric].values[value] for e in own]
    prompts = [e.sample.prompt_id for e in own]
    found = cluster_bootstrap(values, prompts, seed=seed_from_ids(prompts), resamples=999, confidence=0.9)
    return Result(
        name, group, found.value, found.low, found.high, 0.9, found.n, found.n_clusters, unit=str(spec["unit"]),
        higher_is_better=spec["higher_is_better"], reason=found.reason,
    )  # fmt: skip


def peak_mib() -> float:
    """The most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(data: ReportData, out: Path) -> float:
    """Seconds of CPU that writing takes, which other work on the machine changes less than those of the clock."""
    start, clock = time.process_time(), time.perf_counter()
    write_html(data, out)
    spent = time.process_time() - start
    print(f"    {spent:.1f} s of CPU, {time.perf_counter() - clock:.1f} s by the clock")
    return spent


def written(data: ReportData, out: Path) -> float:
    """Write the report anew, again, and after a decision; returns CPU seconds of the first."""
    before = peak_mib()
    print("  writing it:")
    first = timed(data, out)
    print(f"    peak memory {peak_mib():.0f} MiB, of which {before:.0f} held the run itself")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    print("  again, nothing changed:")
    timed(data, out)
    finding = next(f for entry in data.clips for f in entry.findings)
    said = Standing(State.DISMISSED, "dismissed by a reviewer: camera cut")
    print("  again, after one decision:")
    timed(dataclasses.replace(data, decisions={finding.fingerprint: said}), out)
    again = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    changed = sorted(str(path.relative_to(out)) for path, at in again.items() if times.get(path) != at)
    print(f"    {len(changed)} files replaced: {', '.join(changed[:4])}")
    return first


def weighed(out: Path) -> int:
    """Print numbers and weights of pages; returns bytes of index.html with all assets that it loads."""
    pages = sorted((out / "clips").glob("*.html"))
    sizes = [page.stat().st_size for page in pages]
    print(f"  {len(pages)} clip pages, {sum(sizes) / 1e6:.1f} MB, {statistics.mean(sizes) / 1e3:.1f} kB each")
    tables = sorted(out.glob("clips-*.html"))
    if tables:
        total = sum(page.stat().st_size for page in tables)
        print(f"  {len(tables)} pages of the plain table, {total / 1e6:.1f} MB")
    index = (out / "index.html").read_text("utf-8")
    parts = {"index.html": (out / "index.html").stat().st_size}
    for path in sorted((out / "assets").iterdir()):
        if f"assets/{path.name}" in index:
            parts[path.name] = path.stat().st_size
    total = sum(parts.values())
    for pattern in OTHERS:
        if sizes := sorted(path.stat().st_size for path in out.glob(pattern)):
            largest = f"{sizes[-1] / 1e3:.0f} kB"
            print(f"  {pattern}: {len(sizes)}, {sum(sizes) / 1e6:.2f} MB, the largest {largest}")
    section = index.partition('<section id="comparison"')[2].partition("</section>")[0]
    print(f"  of the index the comparison of groups is {len(section.encode()) / 1e3:.0f} kB")
    each = ", ".join(f"{name} {size / 1e3:.0f}" for name, size in parts.items())
    print(f"  index with its assets {total / 1e6:.3f} MB ({each} kB)")
    return total


AFTER = """new Promise((done) => {
  const start = performance.now();
  ACTION;
  const script = performance.now() - start;
  requestAnimationFrame(() => setTimeout(() => done([script, performance.now() - start])));
})"""
LOADED = """new Promise((done) => {
  let last = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) last = Math.max(last, task.startTime + task.duration);
  }).observe({ type: "longtask", buffered: true });
  setTimeout(() => {
    const n = performance.getEntriesByType("navigation")[0];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const ready = n.domContentLoadedEventEnd;
    done([paint ? paint.startTime : 0, ready, n.loadEventEnd, Math.max(ready, last)]);
  }, 1500);
})"""
KEYS = "f.value = 'WORD'; f.dispatchEvent(new Event('input', {bubbles: true}))"


def loaded(browser: Browser, page: Path, repeats: int) -> float:
    """Print how long opening a page takes; returns the median time to interactive in seconds."""
    loads = []
    for _ in range(repeats):
        browser.open(page)
        loads.append(browser.run(LOADED))
    middle = [statistics.median(values) for values in zip(*loads, strict=True)]
    print(
        "  {} opened (median of {}): first paint {:.0f} ms, DOM ready {:.0f}, loaded {:.0f}, interactive {:.0f}; "
        "slowest interactive {:.0f} ms".format(page.name, repeats, *middle, max(load[3] for load in loads))
    )
    return middle[3] / 1000


def browsed(index: Path, repeats: int = 5) -> float:
    """Print how long opening pages and using the overview takes; returns the slowest page in seconds."""
    slowest: list[float] = []
    with Browser(1440, 900) as browser:
        for other in ("review.html", "prompts.html", "prompts/*.html", "clips/*.html"):
            slowest.append(loaded(browser, next(index.parent.glob(other)), 3))
        slowest.append(loaded(browser, index, repeats))
        browser.run("window.f = document.querySelector('[data-filter=text]')")
        actions = {
            "keystroke": [KEYS.replace("WORD", word) for word in ("k", "ki", "kit", "kite", "kite 7", "")],
            "page turn": [
                "[...document.querySelectorAll('.pager button')].find(b => b.textContent === 'Next').click()"
            ]
            * 6,
            "sorting": ["document.querySelector('th[data-sort=\"0\"] button').click()"] * 4,
        }
        for name, scripts in actions.items():
            took = [browser.run(AFTER.replace("ACTION", script)) for script in scripts]
            spent, seen = ([t[n] for t in took] for n in (0, 1))
            print(
                f"  {name}: script {statistics.median(spent):.1f} ms (worst {max(spent):.1f}), "
                f"on the screen after {statistics.median(seen):.0f} ms (worst {max(seen):.0f})"
            )
        assert browser.problems == [], browser.problems
    return max(slowest)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--frames", type=int, default=24, help="length of every series")
    parser.add_argument("--keep", type=Path, help="an empty or new folder for the runs, which stay")
    parser.add_argument("--no-browser", action="store_true")
    args = parser.parse_args()
    wrong, spent = [], {}
    root = args.keep or Path(tempfile.mkdtemp())
    try:
        for prompts in (max(1, args.prompts // 5), args.prompts):
            clips = prompts * args.groups
            print(f"{prompts} prompts x {args.groups} groups = {clips} clips")
            run_dir = root / f"run-{clips}"
            run_dir.mkdir(parents=True)
            data = build(run_dir, prompts, args.groups, args.frames)
            spent[clips] = written(data, run_dir / "report")
            if weighed(run_dir / "report") >= MOST_BYTES:
                wrong.append(f"{clips} clips: index.html with its assets is too heavy")
            if not args.no_browser and CHROMIUM and browsed(run_dir / "report" / "index.html") >= MOST_S:
                wrong.append(f"{clips} clips: a page opens too late")
    finally:
        if not args.keep:
            shutil.rmtree(root)
    few, many = spent
    print(
        f"time to write grows with clips to the power of {math.log(spent[many] / spent[few], many / few):.2f}"
    )
    sys.exit("; ".join(wrong) or 0)


if __name__ == "__main__":
    main()
