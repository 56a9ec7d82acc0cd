"""Small real clips for tests of whole runs, made by the project's own encoder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vgaudit.video.encoding import EncoderSettings, encode

PROMPTS = {
    "p0": "a red ball rolling to the right",
    "p1": "a blue ball rolling to the left",
    "p2": "a green ball",
}


def moving_square(
    seed: int, frames: int = 8, size: int = 64, freeze_from: int | None = None
) -> NDArray[np.uint8]:
    """uint8 ``(frames, size, size, 3)``: a square over a textured ground; optionally it stops for good."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 200, (size // 8, size // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    colour = rng.integers(0, 255, 3)
    clip = np.repeat(ground[None], frames, axis=0)
    for t in range(frames):
        step = min(t, freeze_from) if freeze_from is not None else t
        x = (5 + 3 * step + seed) % (size - 16)
        clip[t, 20:36, x : x + 16] = colour
    return clip


def write_clip(path: Path, frames: NDArray[np.uint8], fps: float = 8) -> Path:
    """Encode ``frames`` to ``path`` with the default settings."""
    encode(frames, fps, path, EncoderSettings())
    return path


def clip_folder(folder: Path, models: tuple[str, ...] = ("alpha", "beta"), seeds: int = 2) -> Path:
    """A folder of clips of several models with ``index.csv``; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prompt", "prompt_id", "seed", "model", "kind"])
        for m, model in enumerate(models):
            for p, (prompt_id, prompt) in enumerate(PROMPTS.items()):
                for seed in range(seeds):
                    name = f"{model}-{prompt_id}-{seed}.mp4"
                    write_clip(folder / name, moving_square(100 * m + 10 * p + seed))
                    writer.writerow([name, prompt, prompt_id, seed, model, "ball"])
    return folder


def write_suite(path: Path, root: Path, extra: str = "") -> Path:
    """A suite over :func:`clip_folder` with the metrics that need no weights."""
    path.write_text(
        f"name: small\nbackend: {{type: files, root: {root}, index: index.csv}}\n"
        "metrics:\n  temporal: {}\n  vbench: {}\n" + extra,
        encoding="utf-8",
    )
    return path
