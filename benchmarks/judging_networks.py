"""What the bundled networks know, on scenes that were kept from their training: new combinations and new seeds.

    python benchmarks/judging_networks.py [--clips 1000] [--fault-clips 256] [--only clip|fvd|domain]
                                          [--size 64x64] [--real ../shared/data/fetv/videos]

Clips go the way of a run: drawn, encoded with the default settings, decoded, embedded by the audit's own extractors.
--size is that of the clips for the clip and the domain network; the Frechet distance keeps the size of its reference.
Fails where the clip network has less than 90 % top-1 of 64 captions, 95 % on subject, colour or setting, 85 % on
action; where fewer than 8 faults make the distance rise with each strength; where renders of new seeds, of all
combinations or of those kept from training, lie above the floor; where a real clip, whole or a stretch of it, is
taken for a drawn one, or a drawn one is not, of any size and softened as a weak generator softens, or one that a
bundled generator made.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "training"))

from clip_texts import ASPECTS, contrast
from generated_clips import BACKENDS, generated

from vgaudit.backends.base import BackendContext, PromptSpec
from vgaudit.backends.storyworld import PlantedFault, StoryworldBackend, StoryworldOptions
from vgaudit.errors import MediaError
from vgaudit.estimates import clopper_pearson
from vgaudit.extractors.base import Features
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.extractors.domain import DomainExtractor, DomainOptions
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_protocols import STORYWORLD
from vgaudit.metrics.domain_guard import FOREIGN_QUARTILE, guard_score
from vgaudit.metrics.frechet import FrechetInterval, frechet_interval, reference_floor
from vgaudit.metrics.fvd_reference import read_statistics, reference_path
from vgaudit.storyworld.fault_strengths import KINDS, STRENGTHS
from vgaudit.storyworld.render import MAX_SIDE, render
from vgaudit.storyworld.scene import Scene, caption, random_scene
from vgaudit.storyworld.split import is_held_out
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode

FIRST_SEED = 3_000_000_000
"""Far from the seeds of training and of the reference."""
MADE_SEED = 7_000_000_000
"""Of what the generators are asked for here, and nowhere else."""
NEEDED = {"top-1 of 64": 0.90, "subject": 0.95, "colour": 0.95, "setting": 0.95, "action": 0.85}
_VIDEO = VideoEmbeddingOptions(protocol=STORYWORLD.name)


@dataclass(frozen=True)
class Drawn:
    """A held-out scene and its seed."""

    scene: Scene
    seed: int


@dataclass(frozen=True)
class Size:
    """Of a clip, in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """From ``WIDTHxHEIGHT``.

        Raises:
            argparse.ArgumentTypeError: It is no size that can be drawn.
        """
        found = re.fullmatch(r"(\d+)x(\d+)", text)
        if not found or not all(8 <= int(side) <= MAX_SIDE for side in found.groups()):
            raise argparse.ArgumentTypeError(
                f"{text!r} is no size; expected WIDTHxHEIGHT, each 8 to {MAX_SIDE}, as 192x128"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def fresh(count: int, combinations: str = "all") -> list[Drawn]:
    """Scenes of new seeds, drawn evenly: of all combinations, or of those that were kept from training."""
    found: list[Drawn] = []
    seed = FIRST_SEED
    while len(found) < count:
        scene = random_scene(seed)
        if combinations == "all" or is_held_out(scene):
            found.append(Drawn(scene, seed))
        seed += 1
    return found


def features(path: Path, *extractors: Any) -> list[Features]:
    """What the extractors make of a stored clip, decoded once."""
    with ClipReader(path) as clip:
        running = [e.start(clip.info) for e in extractors]
        for block in clip:
            for extraction in running:
                extraction.push(block)
        return [extraction.finish() for extraction in running]


def through(frames: NDArray[np.uint8], *extractors: Any) -> list[Features]:
    """Features of frames after they were stored as a run stores them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encode(frames, 8.0, path, EncoderSettings())
        return features(path, *extractors)


def drawn_frames(d: Drawn, size: Size) -> NDArray[np.uint8]:
    """The scene's clip, ``(T, H, W, 3)``."""
    return render(d.scene, d.seed, width=size.width, height=size.height).frames


def embed_clip(job: tuple[list[Drawn], Size]) -> NDArray[np.float64]:
    """Mean embedding of each scene's frames, ``(N, d)``."""
    drawn, size = job
    extractor = ClipExtractor(ClipOptions(model="storyworld-clip"))
    extractor.load()
    rows = [through(drawn_frames(d, size), extractor)[0]["embedding"] for d in drawn]
    return np.stack([r.astype(np.float64).mean(axis=0) for r in rows])


def embed_video(job: tuple[list[Drawn], str | None, str | None]) -> NDArray[np.float64]:
    """Features of each scene, with a fault if one is named, ``(N, d)``."""
    drawn, kind, strength = job
    extractor = VideoEmbeddingExtractor(_VIDEO)
    extractor.load()
    faults = [PlantedFault(kind=kind, strength=strength)] if kind and strength else []
    backend = StoryworldBackend(StoryworldOptions(faults=faults), BackendContext(Path()))
    rows = []
    for d in drawn:
        prompt = PromptSpec(str(d.seed), caption(d.scene, d.seed % 2**31))
        (made,) = backend.generate(backend.samples([prompt], [d.seed]))
        if (frames := made.frames) is None:
            raise RuntimeError(made.message)
        if len(frames) >= 16:
            rows.append(through(frames, extractor)[0]["embedding"][0])
    return np.stack(rows).astype(np.float64) if rows else np.zeros((0, 0))


def shares(items: list[Any], workers: int) -> list[list[Any]]:
    return [items[i::workers] for i in range(workers)]


def rate(name: str, right: list[bool]) -> Iterator[str]:
    """Print a share with its exact interval; yields what falls short."""
    low, high = clopper_pearson(sum(right), len(right))
    value = sum(right) / len(right)
    print(f"  {name:12} {value:6.1%}  [{low:.1%}, {high:.1%}]  n = {len(right)}")
    if value < NEEDED[name]:
        yield f"{name}: {value:.1%}, needed {NEEDED[name]:.0%}"


def check_clip(count: int, workers: int, size: Size) -> Iterator[str]:
    print(f"storyworld-clip on {count} held-out scenes of {size}")
    if count < 64:
        print(f"  top-1 is of {count} captions at most: there are no more scenes")
    mine = [part for part in shares(fresh(count, "held out"), workers) if part]
    drawn = [d for part in mine for d in part]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(embed_clip, [(part, size) for part in mine]))
    images = np.concatenate(parts)
    texts = ClipTextExtractor(ClipOptions(model="storyworld-clip"))
    texts.load()
    rng = np.random.default_rng(0)
    captions = texts.extract_texts([caption(d.scene, d.seed % 2**31) for d in drawn])["embedding"]
    right: dict[str, list[bool]] = {name: [] for name in NEEDED}
    for i, d in enumerate(drawn):
        others = [j for j in rng.permutation(count) if j != i and drawn[j].scene != d.scene][:63]
        cosines = captions[[i, *others]] @ images[i]
        right["top-1 of 64"].append(bool(cosines[0] > cosines[1:].max()))
        for aspect in ASPECTS:
            true, false = contrast(d.scene, aspect, 3, rng)
            if false:
                cosines = texts.extract_texts([true, *false])["embedding"] @ images[i]
                right[aspect].append(bool(cosines[0] > cosines[1:].max()))
    for name, found in right.items():
        yield from rate(name, found)


def above_floor(what: str, found: FrechetInterval, floor: Sequence[float]) -> Iterator[str]:
    """Print a distance that should lie at the floor; yields why it does not: its whole interval is above it."""
    if found.low is None or found.high is None:
        yield f"{what}: {found.reason}"
        return
    print(f"  {what + ':':48}{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]")
    if found.low > max(floor):
        yield f"{what} lie at {found.value:.2f}, above the floor of {max(floor):.2f}"


def cell(found: FrechetInterval | None) -> str:
    if found is None:
        return "too short"
    if found.low is None or found.high is None:
        return f"{found.value:7.2f} ({found.reason})"
    return f"{found.value:7.2f} [{found.low:6.2f}, {found.high:6.2f}]"


def check_fvd(count: int, workers: int) -> Iterator[str]:
    drawn = fresh(count)
    reference = read_statistics(reference_path("storyworld", Path()), STORYWORLD.ddof)
    if reference.features is None:
        yield "the reference has no features"
        return
    kept = fresh(count, "held out")
    jobs: list[tuple[list[Drawn], str | None, str | None]] = [(drawn, None, None), (kept, "", "")]
    jobs += [(drawn, kind, strength) for kind in KINDS for strength in STRENGTHS]
    with ProcessPoolExecutor(workers) as pool:
        rows = dict(zip([job[1:] for job in jobs], pool.map(embed_video, jobs), strict=True))

    def distance(x: NDArray[np.float64]) -> FrechetInterval:
        """As the metric has it: the reference is fixed, and each scene is a prompt of its own."""
        return frechet_interval(x, reference.statistics, confidence=0.95, ddof=STORYWORLD.ddof)

    floor = reference_floor(reference.features, count, ddof=STORYWORLD.ddof, seed=0)
    if not floor.values:
        yield f"no floor: {floor.reason}"
        return
    clean = distance(rows[None, None])
    print(f"{STORYWORLD.name} at n = {count} against {len(reference.features)} renders")
    print(
        f"  floor, {floor.n} reference clips against the other {floor.n_rest}, {len(floor.values)} splits: "
        f"{min(floor.values):.2f} to {max(floor.values):.2f}"
    )
    yield from above_floor("renders of new seeds, all combinations", clean, floor.values)
    alone = distance(rows["", ""])
    yield from above_floor("renders of the combinations kept from training", alone, floor.values)
    rising = 0
    for kind in KINDS:
        found = [distance(rows[kind, s]) if len(rows[kind, s]) >= count // 2 else None for s in STRENGTHS]
        values = [clean.value, *(f.value for f in found if f)]
        rises = None not in found and all(a < b for a, b in pairwise(values))
        rising += rises
        cells = "  ".join(cell(f) for f in found)
        print(f"  {kind:18} {cells}  {'rises' if rises else ''}")
    print(f"  {rising} of {len(KINDS)} faults rise with each strength")
    if rising < 8:
        yield f"{rising} faults rise, needed 8"


SOFTENED = {
    "blurred by 1.5 pixels": lambda f: cv2.GaussianBlur(f, (0, 0), 1.5 * f.shape[0] / 64),
    "at a quarter of the size": lambda f: cv2.resize(
        cv2.resize(f, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
        (f.shape[1], f.shape[0]),
        interpolation=cv2.INTER_CUBIC,
    ),
    "at half the contrast": lambda f: ((f - 127.5) * 0.5 + 127.5).astype(np.uint8),
}
"""What a weak generator does to pictures; blur in pixels of 64."""
SIZES = tuple(Size(w, h) for w, h in ((32, 32), (64, 112), (144, 256), (192, 128), (480, 270)))


def windows(path: Path, length: int = 16) -> Iterator[NDArray[np.uint8]]:
    """The clip in stretches of ``length`` frames; a last one that is shorter only where it is all there is."""
    with ClipReader(path) as clip:
        frames = np.concatenate([block.rgb for block in clip])
    for first in range(0, max(1, len(frames) - length + 1), length):
        yield frames[first : first + length]


def readable(folder: Path) -> Iterator[Path]:
    """The folder's clips; one that the audit does not read is named."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".mp4", ".webm", ".avi", ".gif")):
        try:
            with ClipReader(path) as clip:
                next(iter(clip))
        except MediaError as error:
            print(f"  not read: {error}")
        else:
            yield path


def check_domain(count: int, real: Path | None, size: Size) -> Iterator[str]:
    guard = DomainExtractor(DomainOptions())
    guard.load()

    def score(logits: NDArray[np.float64]) -> float:
        found = guard_score(logits)
        if found is None:
            raise RuntimeError("a clip without frames")
        return found

    def logits(found: list[Features]) -> NDArray[np.float64]:
        return found[0]["logit"].astype(np.float64)

    def drawn(size: Size, change: Callable[[Any], Any] | None = None, n: int = count) -> list[Any]:
        clips = (drawn_frames(d, size) for d in fresh(n))
        return [logits(through(np.stack([*map(change, c)]) if change else c, guard)) for c in clips]

    whole = drawn(size)
    sides: dict[str, tuple[bool, list[float]]] = {f"drawn, {size}": (True, [*map(score, whole)])}
    few = max(1, count // 5)
    for other in SIZES:
        sides[f"drawn, {other}"] = (True, [*map(score, drawn(other, n=few))])
    for name, change in SOFTENED.items():
        sides[f"drawn, {name}"] = (True, [*map(score, drawn(size, change, few))])
    for model in BACKENDS:
        made = generated(model, range(MADE_SEED, MADE_SEED + count))
        sides[f"made by {model}"] = (True, [score(logits(through(clip, guard))) for clip in made])
    if real:
        files = [*readable(real)]
        clips = [logits(features(path, guard)) for path in files]
        sides["real, whole clips"] = (False, [*map(score, clips)])
        parts = [score(logits(through(w, guard))) for path in files for w in windows(path)]
        sides["real, stretches of 16 frames"] = (False, parts)
    print(
        f"storyworld-domain: score (the lesser of mean logit and lower quartile + {-FOREIGN_QUARTILE:g}), "
        "above 0 in the domain"
    )
    for side, (wanted, each) in sides.items():
        if not each:
            yield f"{side}: no clip was seen"
            continue
        inside = sum(s > 0 for s in each)
        print(f"  {side}: {inside} of {len(each)} in domain; scores {min(each):.2f} to {max(each):.2f}")
        if inside != (len(each) if wanted else 0):
            yield f"{inside} of {len(each)} clips are taken for the domain's: {side}"
    if real:
        for quarters in (1, 2):
            pairs = [
                score(np.concatenate([r[: 2 * quarters], np.resize(d, 8 - 2 * quarters)]))
                for r in clips
                if len(r) >= 2 * quarters
                for d in whole[:30]
            ]
            share = sum(s > 0 for s in pairs) / len(pairs)
            print(
                f"  {quarters} quarter(s) of the frames real, the rest drawn: {share:.1%} of {len(pairs)} in domain"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--fault-clips", type=int, default=256)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=("clip", "fvd", "domain"))
    parser.add_argument(
        "--size", type=Size.parse, default="64x64", help="of the clip and domain checks' clips, WIDTHxHEIGHT"
    )
    parser.add_argument("--real", type=Path, help="folder of clips that are not the storyworld's")
    args = parser.parse_args()
    short: list[str] = []
    if args.only in (None, "clip"):
        short += check_clip(args.clips, args.workers, args.size)
    if args.only in (None, "fvd"):
        short += check_fvd(args.fault_clips, args.workers)
    if args.only in (None, "domain"):
        short += check_domain(200, args.real, args.size)
    if short:
        sys.exit("\n".join(short))


if __name__ == "__main__":
    main()
