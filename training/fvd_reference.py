"""Draws the reference sets of ``fvd@storyworld`` and stores their features with their provenance.

    python training/fvd_reference.py [--clips 1024] [--only storyworld-ad] [--workers 2]

One set of all looks and one for each look, at the size that the storyworld and ``storyworld-t2v`` make. Clips are
stored with the default encoder, decoded, and embedded by the audit's own extractor, like any clip that is held
against them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.storyworld.render import VERSION, render
from vgaudit.storyworld.scene import Scene, random_scene
from vgaudit.storyworld.vocabulary import Look
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode
from vgaudit.zoo.catalogue import WEIGHTS

SETS: dict[str, tuple[Look | None, int, int]] = {
    "storyworld": (None, 64, 64),
    "storyworld-ad": ("ad", 64, 64),
    "storyworld-film": ("film", 64, 64),
    "storyworld-anime": ("anime", 64, 64),
}
"""Name -> look (``None`` for all), width, height."""
FIRST_SEED = 2_000_000_000
"""Far from the seeds of training and of tests."""
FOLDER = Path(__file__).resolve().parents[1] / "reference_data" / "storyworld"


def scene(seed: int, look: Look | None) -> Scene:
    """A scene drawn evenly, in this look if one is named."""
    drawn = random_scene(seed)
    return replace(drawn, look=look) if look else drawn


def embed(job: tuple[str, Sequence[int]]) -> NDArray[np.float32]:
    """Features of the scenes of some seeds, ``(n, d)``."""
    look, width, height = SETS[job[0]]
    extractor = VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol="fvd@storyworld"))
    extractor.load()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        for seed in job[1]:
            frames = render(scene(seed, look), seed, width=width, height=height).frames
            encode(frames, 8.0, path, EncoderSettings())
            with ClipReader(path) as clip:
                running = extractor.start(clip.info)
                for block in clip:
                    running.push(block)
                rows.append(running.finish()["embedding"][0])
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1024)
    parser.add_argument("--only", action="append", choices=[*SETS], help="these sets; default: all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers) as pool:
        for number, (name, (look, width, height)) in enumerate(SETS.items()):
            if args.only and name not in args.only:
                continue
            first = FIRST_SEED + number * 1_000_000
            every = range(first, first + args.clips)
            size = -(-args.clips // args.workers)
            shares = [every[i : i + size] for i in range(0, args.clips, size)]
            features = np.concatenate(list(pool.map(embed, [(name, share) for share in shares])))
            wide = features.astype(np.float64)
            arrays = {
                "features": features,
                "mean": wide.mean(axis=0),
                "cov": np.cov(wide, rowvar=False),
                "num_clips": np.array(len(features), np.int64),
            }
            recipe = {
                "scenes": f"drawn evenly from the whole grammar, {f'look {look}' if look else 'all looks'}",
                "seeds": [first, first + args.clips - 1],
                "drawing": VERSION,
                "video": {"frames": 17, "width": width, "height": height, "fps": 8},
                "command": f"python training/fvd_reference.py --clips {args.clips}",
            }
            metadata = {
                "protocol": "fvd@storyworld",
                "weights": "storyworld-video",
                "weights_sha256": str(WEIGHTS["storyworld-video"].sha256),
                "recipe": json.dumps(recipe, sort_keys=True),
                "encoder": json.dumps(EncoderSettings().identity(), sort_keys=True),
            }
            save_file(arrays, FOLDER / f"{name}.safetensors", metadata)
            print(f"{name}: {len(features)} clips", flush=True)


if __name__ == "__main__":
    main()
