"""What ``vgaudit run --dry-run`` says: samples, disk and time, without touching anything."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from vgaudit.pipeline.generation import ClipStore, missing_samples, source_of
from vgaudit.pipeline.prepare import Prepared
from vgaudit.rundir import MANIFEST, RunDir

# Bits per pixel of H.264 at CRF 10, the upper end of what generated clips took; used for an estimate only.
_BITS_PER_PIXEL = 1.5


def describe(prepared: Prepared, out: Path | None) -> list[str]:
    """Lines for the terminal."""
    plan = prepared.plan
    path = out or prepared.default_out
    run = RunDir(path)
    store = ClipStore(run, prepared.loaded.encoder)
    missing = [
        s for i, b in enumerate(prepared.backends) for s in missing_samples(store, b, plan.of_backend(i))
    ]
    counts = Counter(s.group for s in plan)
    return [
        f"suite      {prepared.spec.name}",
        f"samples    {len(plan)} ({', '.join(f'{g}: {n}' for g, n in counts.items())}), "
        f"{len({s.prompt_id for s in plan})} prompts",
        f"to make    {len(missing)} clips ({len(plan) - len(missing)} are there already)",
        f"metrics    {', '.join(['integrity', *(m for m in prepared.spec.metrics if m != 'integrity')])}",
        f"gates      {'; '.join(g.text for g in prepared.spec.gates) or 'none'}",
        f"disk       {_disk(prepared, len(missing))}",
        f"time       {_time(prepared, path)}",
        f"run        {path}",
    ]


def _disk(prepared: Prepared, missing: int) -> str:
    known = unknown = 0
    for sample in prepared.plan:
        source = source_of(prepared.backends[sample.backend], sample)
        if source is not None and source.is_file():
            known += source.stat().st_size
        elif source is None:
            unknown += 1
    if not unknown:
        return f"{known / 2**20:.1f} MiB of clips, twice that where the report cannot link to them"
    video = prepared.spec.video
    frames = video.get("frames") or video.get("seconds", 0) * video.get("fps", 0)
    pixels = frames * video.get("width", 0) * video.get("height", 0)
    if not pixels:
        return "unknown: the suite's `video` does not say frames, width and height"
    return f"about {(known + missing * pixels * _BITS_PER_PIXEL / 8) / 2**20:.1f} MiB of clips at most"


def _time(prepared: Prepared, path: Path) -> str:
    """From earlier passes of this suite on this machine; never a guess."""
    for folder in [path, *sorted(Path("reports").glob(f"{prepared.spec.name}-*"))]:
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for past in reversed(manifest.get("passes", [])):
            seconds = past["timings"].get("generate and score", 0.0)
            if clips := past.get("clips", past["decodes"]):  # decodes may be more than one a clip
                each = seconds / clips
                return f"about {each * len(prepared.plan):.0f} s ({each:.2f} s a clip when {folder} was made)"
    return "unknown until clips of this suite have been made here; try --limit 1 first"
