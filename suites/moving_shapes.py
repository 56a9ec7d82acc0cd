"""Draws moving shapes, so that the whole road from prompt to report can be walked offline in a minute.

It is no generator and learns nothing: it picks colour, shape and direction out of the prompt's words and
draws them with numpy. It also shows what the ``command`` backend asks of a program in any language:
read a request, write a clip, write a response.

    python moving_shapes.py request.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

COLOURS = {
    "red": (214, 62, 54),
    "blue": (52, 100, 216),
    "green": (64, 160, 84),
    "yellow": (236, 198, 60),
    "white": (236, 236, 232),
    "orange": (236, 138, 46),
    "grey": (128, 132, 138),
    "black": (34, 36, 42),
}
DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}


def noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Smooth texture (height, width), mean 0: bilinear interpolation of a coarse random grid."""
    grid = rng.standard_normal((height // cell + 2, width // cell + 2))
    y, x = np.arange(height) / cell, np.arange(width) / cell
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None], (x - x0)[None]
    top = grid[y0][:, x0] * (1 - fx) + grid[y0][:, x0 + 1] * fx
    bottom = grid[y0 + 1][:, x0] * (1 - fx) + grid[y0 + 1][:, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def distance(shape: str, x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Distance to the shape's edge in pixels, negative inside."""
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - size
    if shape == "diamond":
        return (np.abs(x) + np.abs(y)) / np.sqrt(2) - size
    return np.hypot(x, y) - size


def draw(prompt: str, seed: int, frames: int, fps: float, width: int, height: int) -> np.ndarray:
    """uint8 clip (frames, height, width, 3) of what the prompt's words name."""
    words = prompt.lower().replace(",", " ").split()
    colours = [w for w in words if w in COLOURS] or ["red"]
    shape = next((w for w in words if w in ("square", "diamond")), "circle")
    direction = next((DIRECTIONS[w] for w in words if w in DIRECTIONS), (0, 0))
    grows = "growing" in words
    rng = np.random.default_rng([seed, *prompt.encode()])
    short = min(width, height)
    ground = np.array(COLOURS[colours[1]] if len(colours) > 1 else (198, 206, 214), float)
    back = ground + 14 * noise(rng, height, width, max(2, short // 10))[..., None]
    skin = 16 * noise(rng, 2 * height, 2 * width, max(2, short // 16))
    start = np.array([width, height]) * rng.uniform(0.4, 0.6, 2) - 0.25 * short * np.array(direction)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    clip = np.empty((frames, height, width, 3), np.uint8)
    for index in range(frames):
        at = start + np.array(direction) * short * 0.25 * index / fps
        size = short * (0.16 + (0.04 * index / fps if grows else 0))
        inside = np.clip(0.5 - distance(shape, x - at[0], y - at[1], size), 0, 1)[..., None]
        rows = np.clip(np.rint(y - at[1]).astype(int) + height, 0, 2 * height - 1)
        columns = np.clip(np.rint(x - at[0]).astype(int) + width, 0, 2 * width - 1)
        body = np.array(COLOURS[colours[0]], float) + skin[rows, columns][..., None]
        clip[index] = np.clip(back * (1 - inside) + body * inside, 0, 255).round()
    return clip


def main() -> None:
    """Answer one request of the ``command`` backend."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    video = request.get("video", {})
    fps = float(video.get("fps") or 8)
    clip = draw(
        request["prompt"],
        int(request.get("seed") or 0),
        int(video.get("frames") or 16),
        fps,
        int(video.get("width") or 128),
        int(video.get("height") or 128),
    )
    folder = Path(request["output_dir"])
    np.save(folder / "clip.npy", clip)
    answer = {"outcome": "ok", "file": "clip.npy"}
    (folder / "response.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
