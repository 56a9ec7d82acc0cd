"""Which faults of a clip an FVD sees, and which it does not, beside what the same network sees of single frames.

    python benchmarks/fvd_sensitivity.py [--clips 112] [--protocol fvd@storyworld] [--markdown]
    python benchmarks/fvd_sensitivity.py --protocol fvd@styleganv --weights FILE --sha256 DIGEST --videos FOLDER

So many untouched clips are held against as many others, of other prompts, that have a fault: every kind and strength
of the fault library, and two yardsticks. ``blur_throughout`` blurs every frame of a clip alike: all harm is in the
frames, none is in time. ``shuffled`` puts the frames of 2, 4 or all in a row in another order: no frame is harmed.

For each the Frechet distance with its interval (for its expectation at this n) and as a multiple of the floor, the
unbiased kernel distance with its interval (for the populations') and the p of a permutation test, and two measures
of harm to frames: the same distance between single frames, one of each clip, from the middle of the fault, held for
as long as the network sees; and the mean difference of a frame to the untouched one, in levels of 255. The floor is
made of the untouched clips alone, of both sides, dealt out anew. FVD sees a fault if it lies above every floor; KVD
if p is below 0.05 after Holm's correction for all rows. Dropped frames are taken from a longer clip, of which the
frames around the gap are kept.

The bundled network judges drawn clips. Others judge the videos of a folder, where their weights are given; every
video counts as a prompt of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

from clip_files import read, stored

from vgaudit.errors import MediaError, VgauditError
from vgaudit.extractors.video_embedding import VideoEmbeddingExtractor, VideoEmbeddingOptions
from vgaudit.extractors.video_protocols import PROTOCOLS
from vgaudit.metrics.estimators import KernelInterval, kernel_interval, permutation_test
from vgaudit.metrics.frechet import FrechetInterval, frechet_distance_from_features, frechet_interval
from vgaudit.pipeline.reference import find_videos
from vgaudit.storyworld.fault_props import fault_props
from vgaudit.storyworld.fault_strengths import KINDS, LEVELS, STRENGTHS
from vgaudit.storyworld.faults import plant
from vgaudit.storyworld.render import Rendered, render
from vgaudit.storyworld.scene import random_scene
from vgaudit.video import ClipInfo, Frames

Clip = NDArray[np.uint8]
Rows = NDArray[np.float64]

FIRST_SEED = 8_200_000_000
"""Far from the seeds of training, of the reference sets and of other benchmarks."""
FRAMES, LONG = 17, 29
"""Frames of a clip; and of one that loses some, so that the network still has enough."""
CRF = 10
FLOORS = 100
PERMUTATIONS = 1999
YARDSTICKS = ("blur_throughout", "shuffled")
SHUFFLED = (2, 4, 16)
"""Frames in a row that are put in another order."""


@dataclass(frozen=True)
class Source:
    """A clip without a fault: what it shows, and for dropped frames more of the same."""

    frames: Clip
    long: Clip
    fps: float
    seed: int
    drawn: Rendered | None = None


@dataclass(frozen=True)
class Faulty:
    """A clip with a fault, and what its frames were before, one for one; and the middle of the fault."""

    frames: Clip
    before: Clip
    middle: int


@dataclass(frozen=True)
class Row:
    """What is seen of one kind and strength."""

    kind: str
    strength: str
    fvd: FrechetInterval
    kvd: KernelInterval
    p: float
    stills: float
    levels: float


def drawn_sources(count: int, size: int = 64, longer: bool = True) -> Iterator[Source]:
    """So many drawn clips; every one is a prompt of its own. ``longer``: with more of the same besides."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scene = random_scene(seed)
        clip = render(scene, seed, frames=FRAMES, width=size, height=size)
        more = render(scene, seed, frames=LONG, width=size, height=size).frames if longer else clip.frames
        yield Source(clip.frames, more, 8.0, seed, clip)


def real_sources(folder: Path, count: int, window: int) -> Iterator[Source]:
    """The first so many videos of a folder that can be read and are long enough."""
    found = 0
    for video in find_videos([folder])[0]:
        try:
            frames = read(video.path)
        except MediaError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if len(frames) < window + 1:
            continue
        yield Source(frames[: window + 1], frames[:LONG], 8.0, found)
        found += 1
        if found == count:
            return


def shuffled(frames: Clip, run: int, seed: int) -> Clip:
    """Every ``run`` frames in a row in another order than they were; of the last, fewer, likewise."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    for first in range(0, len(frames), run):
        here = np.arange(first, min(first + run, len(frames)))
        mixed = rng.permutation(here)
        order += list(np.roll(here, 1) if len(here) > 1 and (mixed == here).all() else mixed)
    return frames[order]


def with_fault(source: Source, kind: str, strength: str, other: Source) -> Faulty:
    """A copy with a fault; ``other`` is what it cuts to where nothing better is known."""
    frames, level = source.frames, STRENGTHS.index(strength)
    if kind == "shuffled":
        return Faulty(shuffled(frames, SHUFFLED[level], source.seed), frames, len(frames) // 2)
    if kind == "blur_throughout":
        sigma = LEVELS["blur_pulse"][level] * min(frames.shape[1:3])
        out = np.stack([cv2.GaussianBlur(f, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for f in frames])
        return Faulty(out, frames, len(frames) // 2)
    props = fault_props(source.drawn, kind, source.seed, source.seed + 500_000) if source.drawn else {}
    if not source.drawn and kind in ("jump_cut", "subject_swap"):
        props = {"other": other.frames}
    if kind == "dropped_frames":
        planted = plant(source.long, kind, strength, source.seed, fps=source.fps)
        gap = planted.truth.span[0]
        first = int(np.clip(gap - FRAMES // 2, 0, max(0, len(planted.frames) - FRAMES)))
        out = planted.frames[first : first + FRAMES]
        return Faulty(out, out, min(gap - first, len(out) - 1))
    planted = plant(frames, kind, strength, source.seed, fps=source.fps, **props)
    first, end = planted.truth.span
    return Faulty(planted.frames, frames, (first + end) // 2)


class Eye:
    """The network of a protocol."""

    def __init__(self, protocol: str, weights: str = "", sha256: str | None = None) -> None:
        self.rules = PROTOCOLS[protocol]
        self._extractor = VideoEmbeddingExtractor(
            VideoEmbeddingOptions(protocol=protocol, weights=weights, sha256=sha256)
        )
        self._extractor.load()

    def sees(self, frames: Clip) -> NDArray[np.float32] | None:
        """Features of the first window, ``(d,)``; ``None`` where the clip is shorter."""
        info = ClipInfo("", frames.shape[2], frames.shape[1], 8.0, len(frames), len(frames) / 8, "", "", "")
        running = self._extractor.start(info)
        running.push(Frames(frames, 0, np.arange(len(frames)) / 8))
        rows = running.finish()["embedding"]
        return rows[0] if len(rows) else None

    def sees_still(self, frame: Clip) -> NDArray[np.float32]:
        """Features of one frame, held."""
        seen = self.sees(np.repeat(frame[None], self.rules.window, axis=0))
        assert seen is not None
        return seen


def measured(
    eye: Eye, clean: Rows, clean_stills: Rows, sources: Sequence[Source], kind: str, strength: str
) -> Row | None:
    """One kind and strength against the untouched clips of other prompts; ``None`` where clips are too short."""
    rows, stills, levels = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, source in enumerate(sources):
            fault = with_fault(source, kind, strength, sources[(i + 1) % len(sources)])
            frames = stored(fault.frames, Path(folder) / "clip.mp4", CRF, source.fps)
            seen = eye.sees(frames)
            if seen is None:
                return None
            rows.append(seen)
            at = min(fault.middle, eye.rules.window - 1, len(frames) - 1)
            stills.append(eye.sees_still(frames[at]))
            if kind == "shuffled":  # the same frames
                levels.append(0.0)
            else:
                shown = min(eye.rules.window, len(fault.frames))
                apart = fault.frames[:shown].astype(np.int16) - fault.before[:shown]
                levels.append(float(np.abs(apart).mean()))
    x, ddof = np.stack(rows).astype(np.float64), eye.rules.ddof
    return Row(
        kind, strength,
        frechet_interval(x, clean, ddof=ddof),
        kernel_interval(x, clean),
        permutation_test(x, clean, permutations=PERMUTATIONS).p,
        frechet_distance_from_features(np.stack(stills), clean_stills, ddof=ddof),
        float(np.mean(levels)),
    )  # fmt: skip


def floors(both: Rows, ddof: int, count: int = FLOORS) -> NDArray[np.float64]:
    """Distances between two halves of untouched clips, dealt out at random so many times."""
    rng, half = np.random.default_rng(0), len(both) // 2
    out = []
    for _ in range(count):
        order = rng.permutation(len(both))
        out.append(
            frechet_distance_from_features(both[order[:half]], both[order[half : 2 * half]], ddof=ddof)
        )
    return np.array(out)


def holm(values: Sequence[float]) -> list[float]:
    """p-values after Holm's correction for as many tests as there are."""
    out, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[i]))
        out[i] = largest
    return out


def verdict(row: Row, p: float, most: float) -> str:
    """Which of the two sees it."""
    return {(True, True): "both", (True, False): "FVD", (False, True): "KVD", (False, False): "neither"}[
        row.fvd.value > most, p < 0.05
    ]


def seen_untouched(eye: Eye, sources: Sequence[Source]) -> tuple[Rows, Rows]:
    """Features of clips and of their middle frames, both as stored."""
    rows, stills = [], []
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            frames = stored(source.frames, Path(folder) / "clip.mp4", CRF, source.fps)
            seen = eye.sees(frames)
            assert seen is not None
            rows.append(seen)
            stills.append(eye.sees_still(frames[len(frames) // 2]))
    return np.stack(rows).astype(np.float64), np.stack(stills).astype(np.float64)


def report(eye: Eye, sources: Sequence[Source], kinds: Sequence[str], markdown: bool) -> list[Row]:
    """Measure and print everything of one protocol; the first half of the clips stays untouched."""
    half = len(sources) // 2
    both, both_stills = seen_untouched(eye, sources)
    own, own_stills = floors(both, eye.rules.ddof), floors(both_stills, eye.rules.ddof)
    print(
        f"{eye.rules.name}: {half} untouched clips against {half} of other prompts with a fault, one clip a prompt\n"
        f"floor, {FLOORS} halvings of {2 * half} untouched clips: FVD {own.mean():.2f} ({own.min():.2f} to "
        f"{own.max():.2f}), of stills {own_stills.mean():.2f} ({own_stills.min():.2f} to {own_stills.max():.2f})",
        flush=True,
    )
    rows, short = [], []
    for kind in kinds:
        for strength in STRENGTHS:
            row = measured(eye, both[:half], both_stills[:half], sources[half : 2 * half], kind, strength)
            if row is None:
                short.append(f"{kind} {strength}")
            else:
                rows.append(row)
    adjusted = holm([row.p for row in rows])
    verdicts = [verdict(row, p, own.max()) for row, p in zip(rows, adjusted, strict=True)]
    print(
        f"{'fault':17} {'strength':8} {'FVD':>6} {'interval':>16} {'/floor':>6} {'KVD':>8} {'interval':>19} "
        f"{'p':>6} {'stills':>6} {'/floor':>6} {'levels':>6} seen by"
    )
    for row, told in zip(rows, verdicts, strict=True):
        fvd, kvd = row.fvd, row.kvd
        print(
            f"{row.kind:17} {row.strength:8} {fvd.value:6.2f} {_ends(fvd.low, fvd.high, 2):>16} "
            f"{fvd.value / own.mean():6.1f} {kvd.value:8.4f} {_ends(kvd.low, kvd.high, 4):>19} {row.p:6.4f} "
            f"{row.stills:6.2f} {row.stills / own_stills.mean():6.1f} {row.levels:6.1f} {told}"
        )
    if markdown:
        print_markdown(rows, verdicts, own, own_stills)
    for name in short:
        print(f"{name}: not measured: fewer than {eye.rules.window} frames are left")
    summarise(rows)
    return rows


def _ends(low: float | None, high: float | None, digits: int) -> str:
    return "no interval" if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def print_markdown(
    rows: Sequence[Row], verdicts: Sequence[str], own: NDArray[np.float64], stills: NDArray[np.float64]
) -> None:
    """A line a fault: as multiples of the floor, clips and stills, and p."""
    print("| fault | mild | moderate | strong | stills, strong | seen by |\n|---|---|---|---|---|---|")
    told = {(row.kind, row.strength): (row, v) for row, v in zip(rows, verdicts, strict=True)}
    for kind in dict.fromkeys(row.kind for row in rows):
        cells, last = [], None
        for strength in STRENGTHS:
            found = told.get((kind, strength))
            if found is None:
                cells.append("too short")
                continue
            last = found[0]
            cells.append(f"{last.fvd.value / own.mean():.1f}, p {last.p:.4f}")
        assert last is not None
        seen = [told[kind, s][1] for s in STRENGTHS if (kind, s) in told]
        print(f"| `{kind}` | {' | '.join(cells)} | {last.stills / stills.mean():.1f} | {', '.join(seen)} |")


def summarise(rows: Sequence[Row]) -> None:
    """How the distance goes with harm to frames, and what it makes of the two yardsticks."""
    rank = float(spearmanr([r.fvd.value for r in rows], [r.stills for r in rows]).statistic)
    print(f"rank correlation of FVD with the distance of stills, {len(rows)} rows: {rank:.2f}")
    for name in YARDSTICKS:
        own = [f"{r.strength} {r.fvd.value:.2f}" for r in rows if r.kind == name]
        if own:
            print(f"{name}: FVD {', '.join(own)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Which faults of a clip an FVD sees, and which it does not.")
    parser.add_argument("--protocol", choices=[*PROTOCOLS], default="fvd@storyworld")
    parser.add_argument("--weights", default="", help="name or file, if not the protocol's own")
    parser.add_argument("--sha256", help="digest of that file")
    parser.add_argument("--videos", type=Path, help="folder of real videos; default: drawn clips")
    parser.add_argument("--clips", type=int, default=112, help="clips on each side")
    parser.add_argument(
        "--kinds", nargs="+", choices=[*YARDSTICKS, *KINDS], help="these faults; default: all"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="a shorter table too, for the page of the metric"
    )
    args = parser.parse_args()
    rules = PROTOCOLS[args.protocol]
    if rules.bundled and args.videos:
        sys.exit(f"{args.protocol} knows the storyworld only: leave --videos out, and drawn clips are taken")
    if args.clips < 16:
        sys.exit(f"--clips {args.clips}: expected 16 or more on each side")
    begin = time.monotonic()
    try:
        eye = Eye(args.protocol, args.weights, args.sha256)
    except VgauditError as error:
        sys.exit(f"{args.protocol}: not measured: weights absent ({error})")
    kinds, count = args.kinds or [*YARDSTICKS, *KINDS], 2 * args.clips
    sources = list(
        real_sources(args.videos, count, rules.window)
        if args.videos
        else drawn_sources(count, longer="dropped_frames" in kinds)
    )
    if len(sources) < count:
        sys.exit(
            f"{args.videos}: {len(sources)} videos can be used; expected {count} (--clips says how many)"
        )
    report(eye, sources, kinds, args.markdown)
    for name in PROTOCOLS:
        if name != args.protocol:
            print(f"{name}: not measured: weights absent, none given (--protocol {name} --weights FILE)")
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
