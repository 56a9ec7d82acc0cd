"""Puts trained networks where the package has them, with what tells their own domain from other clips.

    python training/bundle.py --data work/train --held-out work/held-out --clip work/clip --video work/video

Domain statistics are the mean and a whitening of each network's features of training clips, faulty ones included;
the threshold lies above every held-out clip. Prints the digests that ``vgaudit/zoo/catalogue.py`` pins.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

from storyworld_clips import load
from train_clip import MEAN, STD
from video_network import WINDOW

BUNDLED = Path(__file__).resolve().parents[1] / "vgaudit" / "zoo" / "bundled"
CLIP_FILES = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
MARGIN = 1.5
"""Threshold over the farthest held-out clip: a generator's clips lie farther out than drawn ones."""
RIDGE = 1e-3
"""Share of the mean variance that is added to every direction: directions nobody uses must not decide alone."""

Rows = NDArray[np.float64]


@torch.no_grad()
def clip_rows(network: Any, clips: NDArray[np.uint8]) -> Rows:
    """Mean over frames of unit frame embeddings, ``(N, d)``."""
    rows = []
    for clip in clips:
        frames = torch.from_numpy(clip.copy()).permute(0, 3, 1, 2).float() / 255
        rows.append(network.encode_image((frames - MEAN) / STD, normalize=True).mean(0).double().numpy())
    return np.stack(rows)


@torch.no_grad()
def video_rows(network: Any, clips: NDArray[np.uint8]) -> Rows:
    """Features of the first 16 frames, ``(N, d)``."""
    rows = []
    for clip in clips:
        x = torch.from_numpy(clip[:WINDOW].copy()).permute(3, 0, 1, 2)[None]
        rows.append(network(x, rescale=True, resize=True, return_features=True)[0].double().numpy())
    return np.stack(rows)


def domain(train: Rows, held_out: Rows) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Statistics of a domain, and how far its clips lie from its middle."""
    mean = train.mean(0)
    values, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    whitening = vectors / np.sqrt(np.maximum(values, 0) + RIDGE * values.mean())
    far = np.linalg.norm((held_out - mean) @ whitening, axis=1)
    arrays = {"mean": mean, "whitening": whitening, "threshold": np.array([far.max() * MARGIN])}
    spread = {
        "median": float(np.median(far)),
        "largest": float(far.max()),
        "threshold": float(far.max() * MARGIN),
    }
    return {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}, spread


def put(out: Path, name: str, files: list[Path], train: Rows, held_out: Rows) -> None:
    """One network's folder."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    arrays, spread = domain(train, held_out)
    save_file(arrays, folder / "domain.safetensors")
    for file in files:
        shutil.copyfile(file, folder / file.name)
    print(name, json.dumps(spread))
    for file in sorted(folder.iterdir()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"  {file.name}: {file.stat().st_size} bytes, sha256 {digest}")


def main() -> None:
    import open_clip

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "held-out", "clip", "video"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=BUNDLED)
    parser.add_argument("--clips", type=int, default=3_000, help="training clips the statistics rest on")
    args = parser.parse_args()
    train = [a[: args.clips] for a in load(args.data)[:2]]
    held = load(args.held_out)[:2]
    clip = open_clip.create_model(f"local-dir:{args.clip}", precision="fp32").eval()
    video = torch.jit.load(str(args.video / "network.pt")).eval()
    sides = [np.concatenate([clip_rows(clip, part) for part in side]) for side in (train, held)]
    put(args.out, "storyworld-clip", [args.clip / name for name in CLIP_FILES], *sides)
    sides = [np.concatenate([video_rows(video, part) for part in side]) for side in (train, held)]
    put(args.out, "storyworld-video", [args.video / "network.pt"], *sides)


if __name__ == "__main__":
    main()
