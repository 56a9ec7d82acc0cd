"""Clips that a bundled generator makes, for the guard: what is to count as the storyworld although nobody drew it.

    python training/generated_clips.py storyworld-t2v --out work/made-t2v --clips 1500
    python training/generated_clips.py storyworld-t2v --out work/held-out-made-t2v --clips 250 --held-out

A folder is laid out as that of ``storyworld_clips.py --clean``. Prompts are captions of scenes drawn evenly; seeds
are used by nothing else, and those of ``--held-out`` not by the other clips. Clips go through the run's own encoder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from clip_files import Clip, stored
from storyworld_clips import FRAMES, SIDE
from workers import pool

from vgaudit import registry
from vgaudit.backends.base import BackendContext, PromptSpec, VideoRequest
from vgaudit.storyworld.scene import caption, random_scene
from vgaudit.zoo.generators import BUNDLED_GAN, BUNDLED_T2V

FIRST_SEED = 6_000_000_000
HELD_OUT_SEED = 6_500_000_000
BACKENDS = {BUNDLED_T2V: "diffusers", BUNDLED_GAN: "gan"}


def generated(model: str, seeds: Iterable[int]) -> Iterator[Clip]:
    """A clip ``(17, 64, 64, 3)`` for each seed: what the model makes of the caption of that seed's scene."""
    implementation = registry.load("backends", BACKENDS[model])
    backend: Any = implementation(
        implementation.Options(model=model, batch_size=8), BackendContext(Path(), video=VideoRequest())
    )
    for seed in seeds:
        prompt = PromptSpec(str(seed), caption(random_scene(seed), seed % 2**31))
        (one,) = backend.generate(backend.samples([prompt], [seed % 2**31]))
        if one.frames is None:
            raise RuntimeError(f"{prompt.text!r}: {one.message}")
        yield one.frames


def decoded(job: tuple[str, list[int]]) -> list[Clip]:
    """The clips of some seeds, stored and decoded as in a run."""
    with tempfile.TemporaryDirectory() as folder:
        return [stored(clip, Path(folder) / "clip.mp4", crf=10) for clip in generated(*job)]


def shares(seeds: list[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(seeds), size):
        yield seeds[first : first + size]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=BACKENDS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--held-out", action="store_true", help="clips to measure on")
    args = parser.parse_args()
    first = HELD_OUT_SEED if args.held_out else FIRST_SEED
    seeds = list(range(first, first + args.clips))
    (args.out / "labels").mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    with pool(args.workers) as processes:
        for part in processes.map(decoded, [(args.model, share) for share in shares(seeds, 50)]):
            clips += part
            print(f"{len(clips)} of {len(seeds)} clips", flush=True)
    whole = np.stack(clips)
    if whole.shape[1:] != (FRAMES, SIDE, SIDE, 3):
        sys.exit(f"{args.model} makes clips of {whole.shape[1:]}, expected {(FRAMES, SIDE, SIDE, 3)}")
    np.save(args.out / "clean.npy", whole)
    labels = [{"seed": seed, "model": args.model} for seed in seeds]
    (args.out / "labels" / "00000.json").write_text(json.dumps(labels), "utf-8")


if __name__ == "__main__":
    main()
