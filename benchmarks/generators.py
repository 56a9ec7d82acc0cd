"""How well the generators that ship along make storyworld clips, beside the drawings themselves.

    python benchmarks/generators.py [--clips 256] [--only storyworld-t2v|storyworld-gan|oracle] [--train work/drawn]

Prompts are of new seeds, drawn evenly from the whole grammar; clips go the way of a run: made by the backend, encoded
with the default settings, decoded, embedded by the audit's own extractors. Printed of each group:

* which subject, colour, action and setting two judges see, asked for one of all there are: storyworld-clip, and
  linear heads on the features of storyworld-video, which are fitted here to renders that no network has seen;
* fvd@storyworld against the shipped reference, with its interval, beside noise; precision, recall, density, coverage;
* how far clips of one prompt and two seeds lie apart; with --train, how near the nearest training clip is;
* seconds a clip, and whether a seed repeats exactly.

Fails where storyworld-t2v has less than 80 % of the subjects or settings or 75 % of the colours by either judge,
where its distance is not above the floor and below a tenth of noise's, where a clip of it takes more than 1.5 s, or
where of any group a seed does not repeat or two seeds agree. Else the GAN's numbers are printed as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from clip_texts import ASPECTS
from judging_networks import shares, through
from workers import pool

from vgaudit import registry
from vgaudit.backends.base import BackendContext, PromptSpec, VideoRequest
from vgaudit.estimates import clopper_pearson
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_protocols import STORYWORLD
from vgaudit.metrics.frechet import frechet_interval, reference_floor
from vgaudit.metrics.fvd_reference import read_statistics, reference_path
from vgaudit.metrics.prdc import precision_recall_density_coverage
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import Scene, caption, random_scene
from vgaudit.storyworld.vocabulary import ACTIONS, COLOURS, SETTINGS, SUBJECTS
from vgaudit.suite import load_suite

FIRST_SEED = 4_000_000_000
"""Far from the seeds of trainings, of the reference and of the other benchmark."""
HEADS_SEED = 4_500_000_000
NEEDED = {"subject": 0.80, "setting": 0.80, "colour": 0.75}
VALUES: dict[str, list[str]] = {
    "subject": list(SUBJECTS), "colour": list(COLOURS), "action": list(ACTIONS), "setting": list(SETTINGS)
}  # fmt: skip
Array = NDArray[np.float64]


@dataclass
class Clips:
    """What one group made: embeddings of both judges, coarse pictures, seconds."""

    clip: Array
    video: Array
    coarse: Array
    seconds: list[float] = field(default_factory=list)


def question(scene: Scene, aspect: str, value: str) -> str:
    """What storyworld-clip is asked about one value."""
    noun = SUBJECTS[scene.subject][0]
    if aspect == "subject":
        return f"a {value}"
    if aspect == "setting":
        return f"{SETTINGS[value][1]} {SETTINGS[value][0][0]}"
    if aspect == "action":
        return f"a {noun} {ACTIONS[value][0]}"
    return f"a person in {value}" if scene.subject == "person" else f"a {value} {noun}"


def coarse(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Four frames of a clip, 8 pixels a side, as one row in [0, 1]."""
    chosen = frames[np.linspace(0, len(frames) - 1, 4).round().astype(int)]
    small = [np.asarray(Image.fromarray(f).resize((8, 8), Image.Resampling.BOX), np.float64) for f in chosen]
    return np.stack(small).ravel() / 255


def extractors() -> tuple[ClipExtractor, VideoEmbeddingExtractor]:
    both = (
        ClipExtractor(ClipOptions(model="storyworld-clip")),
        VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol=STORYWORLD.name)),
    )
    for extractor in both:
        extractor.load()
    return both


def judged(job: list[NDArray[np.uint8]]) -> list[tuple[Array, Array, Array]]:
    """Of each clip, after it was stored: mean CLIP embedding, video features, coarse pictures."""
    both = extractors()
    rows = []
    for frames in job:
        clip, video = through(frames, *both)
        rows.append(
            (
                clip["embedding"].astype(np.float64).mean(0),
                video["embedding"][0].astype(np.float64),
                coarse(frames),
            )
        )
    return rows


def in_order(items: list[Any], workers: int) -> list[Any]:
    with pool(workers) as processes:
        parts = list(processes.map(judged, shares(items, workers)))
    out: list[Any] = [None] * len(items)
    for i, part in enumerate(parts):
        out[i::workers] = part
    return out


def embed_renders(seeds: list[int]) -> tuple[Array, list[Scene]]:
    (extractor,) = (VideoEmbeddingExtractor(VideoEmbeddingOptions(protocol=STORYWORLD.name)),)
    extractor.load()
    rows, scenes = [], []
    for seed in seeds:
        clip = render(random_scene(seed), seed)
        rows.append(through(clip.frames, extractor)[0]["embedding"][0].astype(np.float64))
        scenes.append(clip.truth.scene)
    return np.stack(rows), scenes


@dataclass
class Heads:
    """Linear heads on standardised features, one an aspect, fitted by logistic regression."""

    middle: Array
    spread: Array
    weights: dict[str, Array]

    def choose(self, rows: Array, aspect: str) -> NDArray[np.int64]:
        x = (rows - self.middle) / self.spread
        return np.argmax(np.c_[x, np.ones(len(x))] @ self.weights[aspect], axis=1)


def fit(rows: Array, scenes: Sequence[Scene]) -> Heads:
    import torch

    middle, spread = rows.mean(0), rows.std(0)
    x = torch.from_numpy(np.c_[(rows - middle) / spread, np.ones(len(rows))])
    weights = {}
    for aspect, values in VALUES.items():
        y = torch.tensor([values.index(getattr(s, aspect)) for s in scenes])
        w = torch.zeros(x.shape[1], len(values), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

        def closure(w: Any = w, y: Any = y, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(x @ w, y) + 1e-4 * (w**2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        weights[aspect] = w.detach().numpy()
    return Heads(middle, spread, weights)


def backend_of(group: str) -> Any:
    """The group's backend as suite ``gan_vs_diffusion`` has it."""
    suite = load_suite("gan_vs_diffusion").suite
    (options,) = [dict(b) for b in suite.backend if b["name"] == group]
    kind, _ = options.pop("type"), options.pop("name")
    implementation = registry.load("backends", kind)
    return implementation(implementation.Options(**options), BackendContext(Path(), video=VideoRequest()))


def make(group: str, prompts: Sequence[PromptSpec], seed: int) -> tuple[list[NDArray[np.uint8]], list[float]]:
    backend = backend_of(group)
    samples = backend.samples(prompts, [seed])
    made = {g.sample.sample_id: g for g in backend.generate(samples)}
    ordered = [made[s.sample_id] for s in samples]
    for clip in ordered:
        if clip.frames is None:
            sys.exit(f"{group}: no clip of {clip.sample.prompt!r}: {clip.message}")
    return [clip.frames for clip in ordered], [clip.seconds for clip in ordered]


def seen(group: str, clips: Clips, heads: Heads, scenes: Sequence[Scene]) -> Iterator[str]:
    """Print what the judges see; yields what falls short."""
    texts = ClipTextExtractor(ClipOptions(model="storyworld-clip"))
    texts.load()
    for aspect in ASPECTS:
        values = VALUES[aspect]
        truth = np.array([values.index(getattr(s, aspect)) for s in scenes])
        questions = [[question(s, aspect, v) for v in values] for s in scenes]
        each = [*dict.fromkeys(q for asked in questions for q in asked)]
        known = dict(zip(each, texts.extract_texts(each)["embedding"], strict=True))
        asked = [np.stack([known[q] for q in row]) for row in questions]
        by_clip = np.array([int(np.argmax(t @ c)) for t, c in zip(asked, clips.clip, strict=True)])
        cells = []
        for judge, found in (
            ("storyworld-clip", by_clip),
            ("video heads", heads.choose(clips.video, aspect)),
        ):
            right, n = int((found == truth).sum()), len(truth)
            low, high = clopper_pearson(right, n)
            cells.append(f"{judge} {right / n:6.1%} [{low:.1%}, {high:.1%}]")
            if group == "storyworld-t2v" and right / n < NEEDED.get(aspect, 0.0):
                yield f"{group}: {aspect} by {judge}: {right / n:.1%}, needed {NEEDED[aspect]:.0%}"
        print(f"  {aspect:8} {'   '.join(cells)}")


def nearest(made: Array, training: Array) -> Array:
    """Distance of each row to its nearest training clip."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(made, training).min(1))


def training_rows(folder: Path) -> Array:
    """Of every clip and its mirror image: both are trained on."""
    from storyworld_clips import load

    clips = load(folder)[0]
    return np.stack([coarse(np.asarray(side)) for clip in clips for side in (clip, clip[:, :, ::-1])])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--heads", type=int, default=3000, help="renders that the second judge is fitted to")
    parser.add_argument("--only", action="append", help="groups of suite gan_vs_diffusion; default: all")
    parser.add_argument(
        "--train", type=Path, help="folder of the training clips: how near do clips come to them?"
    )
    parser.add_argument("--sheet", type=Path, help="folder for a sheet of each group's first clips, as PNG")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    seeds = [FIRST_SEED + i for i in range(args.clips)]
    scenes = [random_scene(seed) for seed in seeds]
    prompts = [PromptSpec(str(s), caption(scene, s % 2**31)) for s, scene in zip(seeds, scenes, strict=True)]

    fitted = [HEADS_SEED + i for i in range(args.heads + 500)]
    with pool(args.workers) as processes:
        size = -(-len(fitted) // args.workers)
        parts = list(
            processes.map(embed_renders, [fitted[i : i + size] for i in range(0, len(fitted), size)])
        )
    rows = np.concatenate([p[0] for p in parts])
    shown = [scene for p in parts for scene in p[1]]
    heads = fit(rows[: args.heads], shown[: args.heads])
    print(f"second judge: linear heads on storyworld-video, fitted to {args.heads} renders; on 500 others:")
    for aspect, values in VALUES.items():
        truth = np.array([values.index(getattr(s, aspect)) for s in shown[args.heads :]])
        print(f"  {aspect:8} {float((heads.choose(rows[args.heads :], aspect) == truth).mean()):6.1%}")

    reference = read_statistics(reference_path("storyworld", Path()), STORYWORLD.ddof)
    if reference.features is None:
        sys.exit("the reference has no features")
    floor = reference_floor(reference.features, args.clips, ddof=STORYWORLD.ddof, seed=0)
    print(f"{STORYWORLD.name} at n = {args.clips}: floor {min(floor.values):.2f} to {max(floor.values):.2f}")
    rng = np.random.default_rng(0)
    noise = np.stack(
        [
            r[1]
            for r in in_order(
                [rng.integers(0, 256, (17, 64, 64, 3), np.uint8) for _ in range(args.clips)], args.workers
            )
        ]
    )
    of_noise = frechet_interval(noise, reference.statistics, confidence=0.95, ddof=STORYWORLD.ddof)
    print(f"  noise: {of_noise.value:.1f}")
    training = training_rows(args.train) if args.train else None
    short: list[str] = []
    for group in args.only or ("storyworld-t2v", "storyworld-gan", "oracle"):
        frames, seconds = make(group, prompts, 0)
        again, _ = make(group, prompts[:8], 0)
        other, _ = make(group, prompts[: len(prompts) // 2], 1)
        both = in_order([*frames, *other], args.workers)
        clips = Clips(*(np.stack(column) for column in zip(*both[: len(frames)], strict=True)), seconds)
        second = np.stack([row[1] for row in both[len(frames) :]])
        print(f"{group}, {len(frames)} clips, one for each prompt")
        short += seen(group, clips, heads, scenes)
        found = frechet_interval(clips.video, reference.statistics, confidence=0.95, ddof=STORYWORLD.ddof)
        print(f"  {STORYWORLD.name} {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]")
        near = precision_recall_density_coverage(reference.features[: args.clips], clips.video)
        print(
            f"  precision {near.precision:.3f}, recall {near.recall:.3f}, density {near.density:.3f}, "
            f"coverage {near.coverage:.3f} (k = 5, {args.clips} renders)"
        )
        apart = np.linalg.norm(clips.video[: len(second)] - second, axis=1)
        across = np.linalg.norm(
            clips.video[: len(second)] - np.roll(clips.video[: len(second)], 1, axis=0), axis=1
        )
        print(
            f"  two seeds of a prompt lie {np.median(apart):.2f} apart (median), two prompts {np.median(across):.2f}"
        )
        if training is not None:
            d = nearest(clips.coarse, training)
            print(
                f"  nearest training clip (8x8 pixels, 4 frames): median {np.median(d):.2f}, least {d.min():.2f}"
            )
        repeats = all(np.array_equal(a, b) for a, b in zip(frames, again, strict=False))
        differ = not any(np.array_equal(a, b) for a, b in zip(frames, other, strict=False))
        cost = float(np.median(seconds))
        print(
            f"  {cost:.2f} s a clip (median); a seed repeats: {repeats}; seeds differ: {differ}", flush=True
        )
        if args.sheet:
            sheet(frames[:24], args.sheet / f"{group}.png")
        if not repeats or not differ:
            short.append(f"{group}: a seed repeats: {repeats}; two seeds differ: {differ}")
        if group == "storyworld-t2v":
            if cost > 1.5:
                short.append(f"{group}: {cost:.2f} s a clip, at most 1.5")
            if not max(floor.values) < found.value < of_noise.value / 10:
                short.append(
                    f"{group}: distance {found.value:.2f}; expected it between floor and a tenth of noise's"
                )
    sys.exit("\n".join(short) or 0)


def sheet(clips: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Clips side by side: first, middle and last frame of each, four clips a row."""
    rows = [np.concatenate(list(c[[0, len(c) // 2, -1]]), axis=1) for c in clips]
    lines = [np.concatenate(rows[i : i + 4], axis=1) for i in range(0, len(rows) - 3, 4)]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.concatenate(lines)
    Image.fromarray(picture).save(path)


if __name__ == "__main__":
    main()
