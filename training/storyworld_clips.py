"""Renders the clips that the bundled networks learn from: scenes as a run stores them, with and without faults.

    python training/storyworld_clips.py --out work/clips --clips 24000 --workers 2
    python training/storyworld_clips.py --out work/held-out --clips 2000 --held-out
    python training/storyworld_clips.py --out work/pictures --clips 20000 --side 96 --every 2 --clean
    python training/storyworld_clips.py --out work/drawn --clips 24000 --clean --as-drawn

A folder holds ``clean.npy`` and ``faulty.npy`` (not with ``--clean``), uint8 (N, 17, 64, 64, 3) or as ``--side`` and
``--every`` say, and ``labels/*.json``. Clips are drawn at several sizes, go through the run's own encoder and are
squashed to one side, because that is what the judging networks see in an audit; ``--as-drawn`` leaves them as they
come from the renderer, because that is what generators are to make. Finished shards are kept: the same command
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from clip_files import Clip, stored

from vgaudit.storyworld.fault_props import fault_props
from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.faults import plant
from vgaudit.storyworld.render import VERSION, render
from vgaudit.storyworld.scene import Scene, random_scene
from vgaudit.storyworld.split import is_held_out

FRAMES, SIDE = 17, 64
SHARD = 250
_SIZES = ((64, 64), (64, 96), (64, 112), (96, 96), (128, 128), (128, 192))
_SHARES = (0.55, 0.14, 0.10, 0.09, 0.06, 0.06)
_SIDES = (32, 48, 64, 80, 96, 128, 192, 256)
_ENCODED = 0.75
"""Share of clips that go through the encoder; the rest stay as drawn."""
_HELD_OUT_SEED = 1_000_000_000
_OTHER_SEED = 5_000_000_000
"""Of other shots that a fault shows; nothing else uses these seeds."""


@dataclass(frozen=True)
class Job:
    """One shard."""

    out: Path
    shard: int
    count: int
    held_out: bool
    side: int = SIDE
    every: int = 1
    clean: bool = False
    any_size: bool = False
    as_drawn: bool = False


def scenes(first: int, held_out: bool) -> Iterator[tuple[int, Scene]]:
    """Seeds and scenes of one side of the split, from seed ``first`` on."""
    seed = first
    while True:
        scene = random_scene(seed)
        if is_held_out(scene) == held_out:
            yield seed, scene
        seed += 1


def side_of(held_out: bool) -> Callable[[Scene], bool]:
    """Whether a scene is of one side of the split."""
    return lambda scene: is_held_out(scene) == held_out


def squashed(frames: Clip, side: int = SIDE) -> Clip:
    """Frames at ``side`` x ``side``, by the filter of the networks' own preprocessing."""
    size = (side, side)
    if frames.shape[1:3] == size:
        return frames
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BICUBIC)) for f in frames])


def shard(job: Job) -> float:
    """Draw one shard; seconds it took."""
    start = time.perf_counter()
    cv2.setNumThreads(1)
    clean = np.load(job.out / "clean.npy", mmap_mode="r+")
    faulty = None if job.clean else np.load(job.out / "faulty.npy", mmap_mode="r+")
    labels: list[dict[str, Any]] = []
    base = (_HELD_OUT_SEED if job.held_out else 0) + job.shard * SHARD * 20
    drawn = scenes(base, job.held_out)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "clip.mp4"
        for i in range(job.count):
            seed, scene = next(drawn)
            rng = np.random.default_rng([seed, 77])
            height, width = _SIZES[int(rng.choice(len(_SIZES), p=_SHARES))]
            if job.any_size:
                height = int(rng.choice(_SIDES))
                width = 2 * round(height * float(np.exp(rng.uniform(-0.85, 0.85))) / 2)
            if job.as_drawn:
                height = width = job.side
            clip = render(scene, seed, frames=FRAMES, height=height, width=width)
            label = {
                "seed": seed,
                "scene": asdict(clip.truth.scene),
                "visible": list(clip.truth.visible)[:: job.every],
            }
            encoded = rng.random() < _ENCODED and not job.as_drawn
            crf = int(rng.choice([10, 10, 10, 18, 23]))

            def kept(frames: Clip, through: bool = encoded, crf: int = crf) -> Clip:
                frames = stored(frames, path, crf) if through else frames
                return squashed(frames[:: job.every], job.side)

            at = job.shard * SHARD + i
            clean[at] = kept(clip.frames)
            if faulty is not None:
                kind, strength = KINDS[int(rng.integers(len(KINDS)))], STRENGTHS[int(rng.integers(3))]
                other = _OTHER_SEED + int(rng.integers(2**30))
                props = fault_props(clip, kind, seed, other, allowed=side_of(job.held_out))
                broken = kept(plant(clip.frames, kind, strength, int(rng.integers(2**31)), **props).frames)
                faulty[at] = np.concatenate(
                    [broken, np.repeat(broken[-1:], faulty.shape[1] - len(broken), axis=0)]
                )
                label |= {"fault": kind, "strength": strength, "faulty_frames": len(broken)}
            labels.append(label)
    clean.flush()
    if faulty is not None:
        faulty.flush()
    file = job.out / "labels" / f"{job.shard:05d}.json"
    file.with_suffix(".part").write_text(json.dumps(labels), "utf-8")
    file.with_suffix(".part").rename(file)
    return time.perf_counter() - start


def load(folder: Path) -> tuple[Clip, list[dict[str, Any]]]:
    """``(clean, labels)`` of a finished folder; the array is mapped, not read."""
    clean = np.load(folder / "clean.npy", mmap_mode="r")
    labels: list[dict[str, Any]] = []
    for file in sorted((folder / "labels").glob("*.json")):
        labels += json.loads(file.read_text("utf-8"))
    if len(labels) != len(clean):
        sys.exit(
            f"{folder}: {len(labels)} of {len(clean)} clips are drawn; run storyworld_clips.py to its end"
        )
    return clean, labels


def load_faulty(folder: Path) -> Clip:
    """The clips of a finished folder with their faults, mapped."""
    file = folder / "faulty.npy"
    if not file.exists():
        sys.exit(f"{folder} was drawn with --clean; draw it without, since faulty clips are learnt from too")
    faulty: Clip = np.load(file, mmap_mode="r")
    return faulty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=24_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--held-out", action="store_true", help="scenes that no network is trained on")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels of a stored side")
    parser.add_argument("--every", type=int, default=1, help="keep one frame of so many")
    parser.add_argument("--clean", action="store_true", help="no faulty clips beside the clean ones")
    parser.add_argument(
        "--any-size", action="store_true", help="any size and shape, upright ones too, instead of six"
    )
    parser.add_argument(
        "--as-drawn", action="store_true", help="drawn at the stored side, and not through the encoder"
    )
    args = parser.parse_args()
    labels = args.out / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    recipe = {"clips": args.clips, "held_out": args.held_out, "drawing": VERSION}
    recipe |= {"side": args.side, "every": args.every, "clean": args.clean}
    recipe |= {"any_size": args.any_size, "as_drawn": args.as_drawn}
    stated = args.out / "recipe.json"
    if stated.exists() and json.loads(stated.read_text("utf-8")) != recipe:
        sys.exit(f"{args.out} holds other clips: {stated.read_text('utf-8')}; name another folder")
    shape = (args.clips, len(range(0, FRAMES, args.every)), args.side, args.side, 3)
    for name in ("clean.npy", "faulty.npy")[: 1 if args.clean else 2]:
        if not stated.exists():
            np.lib.format.open_memmap(args.out / name, "w+", np.uint8, shape).flush()
    stated.write_text(json.dumps(recipe), "utf-8")
    jobs = [
        Job(
            args.out,
            number,
            min(SHARD, args.clips - first),
            args.held_out,
            args.side,
            args.every,
            args.clean,
            args.any_size,
            args.as_drawn,
        )
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
