"""Renders the clips that the bundled networks learn from: scenes as a run stores them, with and without faults.

    python training/storyworld_clips.py --out work/clips --clips 24000 --workers 2
    python training/storyworld_clips.py --out work/held-out --clips 2000 --held-out

A folder holds ``clean.npy`` and ``faulty.npy``, uint8 (N, 17, 64, 64, 3), and ``labels/*.json``. Clips are drawn at
several sizes, go through the run's own encoder and are squashed to 64x64, because that is what the networks see in
an audit. Finished shards are kept: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.faults import plant
from vgaudit.storyworld.render import VERSION, render
from vgaudit.storyworld.scene import Scene, random_scene
from vgaudit.storyworld.split import is_held_out
from vgaudit.storyworld.vocabulary import could_be
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode

FRAMES, SIDE = 17, 64
SHARD = 250
_SIZES = ((64, 64), (64, 96), (64, 112), (96, 96), (128, 128), (128, 192))
_SHARES = (0.55, 0.14, 0.10, 0.09, 0.06, 0.06)
_ENCODED = 0.75
"""Share of clips that go through the encoder; the rest stay as drawn."""
_HELD_OUT_SEED = 1_000_000_000
_OTHER_SEED = 5_000_000_000

Clip = NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """One shard."""

    out: Path
    shard: int
    count: int
    held_out: bool


def scenes(first: int, held_out: bool) -> Iterator[tuple[int, Scene]]:
    """Seeds and scenes of one side of the split, from seed ``first`` on."""
    seed = first
    while True:
        scene = random_scene(seed)
        if is_held_out(scene) == held_out:
            yield seed, scene
        seed += 1


def squashed(frames: Clip) -> Clip:
    """Frames at 64x64, by the filter of the networks' own preprocessing."""
    if frames.shape[1:3] == (SIDE, SIDE):
        return frames
    size = (SIDE, SIDE)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BICUBIC)) for f in frames])


def stored(frames: Clip, path: Path, crf: int) -> Clip:
    """Frames as they come back from a stored clip."""
    encode(frames, 8.0, path, EncoderSettings(crf=crf))
    with ClipReader(path) as clip:
        return np.concatenate([block.rgb for block in clip])


def shard(job: Job) -> float:
    """Draw one shard; seconds it took."""
    start = time.perf_counter()
    cv2.setNumThreads(1)
    clean = np.load(job.out / "clean.npy", mmap_mode="r+")
    faulty = np.load(job.out / "faulty.npy", mmap_mode="r+")
    labels: list[dict[str, Any]] = []
    base = (_HELD_OUT_SEED if job.held_out else 0) + job.shard * SHARD * 20
    drawn = scenes(base, job.held_out)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "clip.mp4"
        for i in range(job.count):
            seed, scene = next(drawn)
            rng = np.random.default_rng([seed, 77])
            height, width = _SIZES[int(rng.choice(len(_SIZES), p=_SHARES))]
            clip = render(scene, seed, frames=FRAMES, height=height, width=width)
            kind, strength = KINDS[int(rng.integers(len(KINDS)))], STRENGTHS[int(rng.integers(3))]
            props: dict[str, Any] = {}
            boxes = [b for b in clip.truth.boxes if b is not None]
            if boxes:
                x0, y0, x1, y1 = zip(*boxes, strict=True)
                props["box"] = (min(x0), min(y0), max(x1), max(y1))
            if kind == "subject_swap":
                others = [
                    s
                    for s in could_be(scene.action, scene.setting)
                    if s != scene.subject
                    and is_held_out(replace(clip.truth.scene, subject=s)) == job.held_out
                ]
                if others:
                    other = replace(scene, subject=others[int(rng.integers(len(others)))])
                    props["other"] = render(
                        other, seed, frames=FRAMES, height=height, width=width, shot=scene
                    ).frames
                    props["aligned"] = True
            elif kind == "jump_cut":
                # Of the same side of the split too, and of seeds that nothing else uses.
                _, other = next(scenes(_OTHER_SEED + int(rng.integers(2**30)), job.held_out))
                props["other"] = render(other, seed, frames=FRAMES, height=height, width=width).frames
            elif kind == "colour_swap":
                empty = render(scene, seed, frames=FRAMES, height=height, width=width, with_subject=False)
                props["mask"] = (clip.frames != empty.frames).any(axis=3)
            broken = plant(clip.frames, kind, strength, int(rng.integers(2**31)), **props).frames
            if rng.random() < _ENCODED:
                crf = int(rng.choice([10, 10, 10, 18, 23]))
                good, bad = stored(clip.frames, path, crf), stored(broken, path, crf)
            else:
                good, bad = clip.frames, broken
            at = job.shard * SHARD + i
            clean[at] = squashed(good)
            short = squashed(bad)
            faulty[at] = np.concatenate([short, np.repeat(short[-1:], FRAMES - len(short), axis=0)])
            labels.append(
                {
                    "seed": seed,
                    "scene": asdict(clip.truth.scene),
                    "visible": list(clip.truth.visible),
                    "fault": kind,
                    "strength": strength,
                    "faulty_frames": len(short),
                }
            )
    clean.flush()
    faulty.flush()
    file = job.out / "labels" / f"{job.shard:05d}.json"
    file.with_suffix(".part").write_text(json.dumps(labels), "utf-8")
    file.with_suffix(".part").rename(file)
    return time.perf_counter() - start


def load(folder: Path) -> tuple[Clip, Clip, list[dict[str, Any]]]:
    """``(clean, faulty, labels)`` of a finished folder; the arrays are mapped, not read."""
    clean = np.load(folder / "clean.npy", mmap_mode="r")
    faulty = np.load(folder / "faulty.npy", mmap_mode="r")
    labels: list[dict[str, Any]] = []
    for file in sorted((folder / "labels").glob("*.json")):
        labels += json.loads(file.read_text("utf-8"))
    if len(labels) != len(clean):
        sys.exit(
            f"{folder}: {len(labels)} of {len(clean)} clips are drawn; run storyworld_clips.py to its end"
        )
    return clean, faulty, labels


def keep_curve(curve: Path, steps: int) -> None:
    """Cut a curve back to the step a training goes on from, so that no step stands in it twice."""
    if curve.exists():
        lines = [line for line in curve.read_text("utf-8").splitlines() if json.loads(line)["step"] <= steps]
        curve.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=24_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--held-out", action="store_true", help="scenes that no network is trained on")
    args = parser.parse_args()
    labels = args.out / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    recipe = {"clips": args.clips, "held_out": args.held_out, "drawing": VERSION}
    stated = args.out / "recipe.json"
    if stated.exists() and json.loads(stated.read_text("utf-8")) != recipe:
        sys.exit(f"{args.out} holds other clips: {stated.read_text('utf-8')}; name another folder")
    shape = (args.clips, FRAMES, SIDE, SIDE, 3)
    for name in ("clean.npy", "faulty.npy"):
        if not stated.exists():
            np.lib.format.open_memmap(args.out / name, "w+", np.uint8, shape).flush()
    stated.write_text(json.dumps(recipe), "utf-8")
    jobs = [
        Job(args.out, number, min(SHARD, args.clips - first), args.held_out)
        for number, first in enumerate(range(0, args.clips, SHARD))
        if not (labels / f"{number:05d}.json").exists()
    ]
    start = time.perf_counter()
    with ProcessPoolExecutor(args.workers) as pool:
        for done, _ in enumerate(pool.map(shard, jobs), 1):
            rate = done * SHARD / (time.perf_counter() - start)
            print(f"{done} of {len(jobs)} shards, {rate:.1f} clips/s", flush=True)


if __name__ == "__main__":
    main()
