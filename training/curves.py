"""Draws the curves of training runs, as measured, into one SVG each for the docs.

    python training/curves.py --clip work/clip --video work/video --out docs/bundled-models
    python training/curves.py --vae work/vae --t2v work/t2v --gan work/gan --out docs/bundled-models

Copies ``curve.jsonl`` of each beside the picture, so that the numbers behind it can be read.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from jinja2 import Environment

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 340, 220, 44, 30, 28
_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#97266d", "#718096", "#b7791f", "#4c51bf", "#e53e3e")

_PAGE = Environment(autoescape=True).from_string(
    """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}"
 font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>
{% for p in panels %}<g transform="translate({{ p.x }} 0)">
<text x="{{ left }}" y="16" font-size="12" font-weight="bold">{{ p.title }}</text>
{% for y, label in p.grid %}<path d="M{{ left }} {{ y }}H{{ right }}" stroke="#ddd"/>
<text x="{{ left - 5 }}" y="{{ y + 4 }}" text-anchor="end" fill="#555">{{ label }}</text>{% endfor %}
{% for x, label in p.ticks %}
<text x="{{ x }}" y="{{ base + 14 }}" text-anchor="middle" fill="#555">{{ label }}</text>{% endfor %}
{% for line in p.lines %}
<polyline fill="none" stroke="{{ line.colour }}" stroke-width="1.5" points="{{ line.points }}"/>
<text x="{{ right + 4 }}" y="{{ line.y }}" fill="{{ line.colour }}">{{ line.name }} {{ line.last }}</text>{% endfor %}
</g>
{% endfor %}</svg>
"""
)


def panel(
    title: str, series: dict[str, list[tuple[int, float]]], at: float, percent: bool
) -> dict[str, object]:
    """One chart: ``series`` are (step, value) by name."""
    base = HEIGHT - BOTTOM
    last = max(x for points in series.values() for x, _ in points)
    top = 1.0 if percent else max(y for points in series.values() for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + WIDTH * x / last, base - (base - TOP) * y / top

    lines, ends = [], []
    for number, (name, points) in enumerate(series.items()):
        final = points[-1][1]
        ends.append([place(0, final)[1] + 4, number])
        said = f"{final:.1%}" if percent else f"{final:.2f}"
        xy = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
        lines.append({"name": name, "points": xy, "colour": _COLOURS[number % len(_COLOURS)], "last": said})
    lowest = float("-inf")
    for y, number in sorted(ends):  # labels of lines that end together stand below each other
        lowest = max(y, lowest + 12)
        lines[int(number)]["y"] = round(lowest, 1)
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    return {
        "title": title,
        "x": at,
        "lines": lines,
        "grid": [
            (round(place(0, s * top)[1], 1), f"{s * top:.0%}" if percent else f"{s * top:.1f}")
            for s in shares
        ],
        "ticks": [(round(place(s * last, 0)[0], 1), f"{s * last:.0f}") for s in (0.0, 0.5, 1.0)],
    }


Series = dict[str, list[tuple[int, float]]]


def curves(folder: Path) -> tuple[Series, Series]:
    """What a training plots at every step, and what it measures on held-out scenes, by step."""
    plotted: Series = {}
    held_out: Series = {}
    for text in (folder / "curve.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)
        for name, value in line.items():
            if name not in ("step", "held_out"):
                plotted.setdefault(name, []).append((line["step"], value))
        for name, value in line.get("held_out", {}).items():
            held_out.setdefault(name.replace("_", " "), []).append((line["step"], value))
    return plotted, held_out


_UNITS = {"psnr": "PSNR on held-out scenes, dB", "distance": "Fréchet distance of latents"}
"""Titles of what is no share."""

TRAININGS = {
    "clip": "storyworld-clip",
    "video": "storyworld-video",
    "vae": "storyworld-t2v-vae",
    "t2v": "storyworld-t2v",
    "gan": "storyworld-gan",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in TRAININGS:
        parser.add_argument(f"--{option}", type=Path, help="folder of the training")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for option, name in TRAININGS.items():
        folder = getattr(args, option)
        if folder is None:
            continue
        plotted, held_out = curves(folder)
        step = WIDTH + 190
        losses = {k: v for k, v in plotted.items() if k in ("loss", "discriminator", "generator")}
        panels = [panel(f"{name}: training loss", losses, 0, False)]
        if held_out:
            title = _UNITS.get(next(iter(held_out)), "right on held-out scenes")
            panels.append(panel(f"{name}: {title}", held_out, step, title not in _UNITS.values()))
        page = _PAGE.render(
            panels=panels,
            width=step * len(panels),
            height=HEIGHT,
            left=LEFT,
            right=LEFT + WIDTH,
            base=HEIGHT - BOTTOM,
        )
        (args.out / f"{name}.svg").write_text(page, "utf-8")
        shutil.copyfile(folder / "curve.jsonl", args.out / f"{name}.jsonl")


if __name__ == "__main__":
    main()
