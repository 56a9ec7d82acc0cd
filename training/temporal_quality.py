"""Fit the score of temporal quality to human ratings, say what it is worth, and write its coefficients.

    python training/temporal_quality.py --data ../shared/data/fetv --out vgaudit/metrics/temporal_quality.json

Reads FETV's clips and the mean of three raters (``index.csv``). Prints, with 95 % intervals from a bootstrap over
prompts, everything that ``docs/metrics/temporal.md`` quotes. The same seed gives the same file. Takes five minutes on
one core, most of it for altered copies of the clips; ``--cache`` keeps their features for the next time.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from vgaudit.extractors.motion import MotionExtractor, MotionOptions, dense_flow
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal_quality import (
    FEATURES,
    ClipMotion,
    Coefficients,
    clip_motion,
    parse_coefficients,
    predicted_rating,
    quality_score,
)
from vgaudit.storyworld.faults import plant
from vgaudit.video import ClipInfo, Frames

FPS = 10.0
FOLDS = 6
DRAWS = 2000
REAL = "real"

PRIOR = (1.0, 2.0, 1.0, 1.0, 2.0)
"""Weights of the features, up to a factor, that the ratings have to argue against. More for the two in which real
clips are better than any generator's; see the section "Quality" of docs/metrics/temporal.md."""

RIDGE = 300.0
"""How strongly the weights are held to the prior, in clips."""

LIMIT = 3.0
PENALTIES = {"held": 1.0, "frozen": 8.0, "mixed": 8.0, "second_from": 0.2, "third_from": 0.25}
"""Chosen on altered copies of clips and never fitted to ratings."""

FAULTS = (
    "flicker", "exposure_jump", "jitter", "warp", "popping_object", "subject_swap", "jump_cut", "ghosting",
    "noise_burst", "dropped_frames",
)  # fmt: skip

Clip = NDArray[np.uint8]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


# -- copies ----------------------------------------------------------------------------------------


def between_pairs(frames: Clip, between: Callable[[Clip, Clip], Sequence[Clip]], last: bool) -> Clip:
    made = [f for a, b in itertools.pairwise(frames) for f in between(a, b)]
    return np.stack([*made, frames[-1]] if last else made)


def mix(a: Clip, b: Clip, share: float) -> Clip:
    found: Clip = cv2.addWeighted(a, 1 - share, b, share, 0)
    return found


def halfway(a: Clip, b: Clip) -> Clip:
    """A frame between two, from both along half the flow."""
    one, other = (np.ascontiguousarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)) for f in (a, b))
    height, width = one.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    parts = []
    for picture, flow in ((a, dense_flow(one, other)), (b, dense_flow(other, one))):
        u, v = x - 0.5 * flow[..., 0], y - 0.5 * flow[..., 1]
        parts.append(cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return mix(parts[0], parts[1], 0.5)


def stored(frames: Clip, crf: int = 23) -> Clip:
    """Frames after x264."""
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "x264-params": "mbtree=0:threads=1"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    return load(file)


def half_frozen(frames: Clip) -> Clip:
    middle = len(frames) // 2
    return np.concatenate(
        [frames[:middle], np.repeat(frames[middle : middle + 1], len(frames) - middle, axis=0)]
    )


COPIES: dict[str, Callable[[Clip], Clip]] = {
    "frozen": lambda f: np.repeat(f[:1], len(f), axis=0),
    "frozen from the middle": half_frozen,
    "doubled": lambda f: np.repeat(f, 2, axis=0),
    "slowed, mixed between": lambda f: between_pairs(f, lambda a, b: (a, mix(a, b, 0.5)), last=True),
    "slowed, every frame mixed": lambda f: between_pairs(
        f, lambda a, b: (mix(a, b, 0.25), mix(a, b, 0.75)), last=False
    ),
    "slowed, flow between": lambda f: between_pairs(f, lambda a, b: (a, halfway(a, b)), last=True),
}
COPIES |= {
    f"{name}, x264": lambda f, make=COPIES[name]: stored(make(f))  # type: ignore[misc]
    for name in (
        "frozen",
        "frozen from the middle",
        "doubled",
        "slowed, mixed between",
        "slowed, every frame mixed",
    )
}
CONTROLS: dict[str, Callable[[Clip], Clip]] = {
    "x264 alone": stored,
    "backwards": lambda f: f[::-1],
    "every second frame": lambda f: f[::2],
    "smaller by 0.6": lambda f: np.stack(
        [cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for p in f]
    ),
    "each frame mixed with the next": lambda f: between_pairs(f, lambda a, b: (mix(a, b, 0.5),), last=False),
}


# -- features --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A clip's features, or why it has none."""

    features: list[float]
    held: float = 0.0
    second: float = 0.0
    third: float = 0.0
    frozen: float = 0.0
    motion: float = 0.0
    failed: float = 0.0
    why: str = ""

    def rating(self, c: Coefficients) -> float:
        if self.why:
            return float("nan")
        return predicted_rating(
            ClipMotion(np.array(self.features), self.held, self.second, self.third), self.frozen, c
        )


def load(source: Any) -> Clip:
    with av.open(source if isinstance(source, io.BytesIO) else str(source)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def measure(frames: Clip) -> Measured:
    pts = np.arange(len(frames)) / FPS
    info = ClipInfo(
        "clip", frames.shape[2], frames.shape[1], FPS, len(frames), len(frames) / FPS, "raw", "array", "rgb24"
    )
    block = Frames(frames, 0, pts)
    motion, pixels = MotionExtractor(MotionOptions()).start(info), PixelsExtractor().start(info)
    motion.push(block)
    pixels.push(block)
    arrays, difference = motion.finish().arrays, pixels.finish()["mae_next"]
    freezes = find_freezes(difference, pts)
    if freezes is None:
        return Measured([], why="too little moves")
    clip = clip_motion(arrays)
    if isinstance(clip, str):
        return Measured([], why=clip)
    moved = arrays["quality_motion"][arrays["quality_chain"] >= 0].mean()
    failed = float(arrays["occluded_fraction"].mean())
    return Measured(
        list(map(float, clip.features)),
        clip.held,
        clip.second,
        clip.third,
        freezes.fraction,
        float(moved),
        failed,
    )


def all_measured(
    rows: Sequence[dict[str, str]], data: Path, cache: Path | None
) -> dict[str, dict[str, Measured]]:
    """Copy (``""`` for the clip itself) to path to features."""
    if cache and cache.is_file():
        kept = json.loads(cache.read_text())
        return {copy: {p: Measured(**m) for p, m in of.items()} for copy, of in kept.items()}
    out: dict[str, dict[str, Measured]] = {}
    begin = time.perf_counter()
    for index, row in enumerate(rows):
        frames = load(data / row["path"])
        copies = {"": frames} | {name: make(frames) for name, make in (COPIES | CONTROLS).items()}
        for kind in FAULTS:
            strength = "strong" if index % 2 else "moderate"
            copies[f"fault {kind}"] = plant(frames, kind, strength, index).frames
        for name, copy in copies.items():
            out.setdefault(name, {})[row["path"]] = measure(copy)
        print(f"\r{index + 1}/{len(rows)} clips, {time.perf_counter() - begin:.0f} s", end="", flush=True)
    print()
    if cache:
        cache.write_text(json.dumps({n: {p: asdict(m) for p, m in of.items()} for n, of in out.items()}))
    return out


# -- the fit ---------------------------------------------------------------------------------------


def fit(clips: Sequence[Measured], ratings: Floats) -> Coefficients:
    """Ridge regression to the prior's direction, no weight above 0; then the calibration.

    The prior is scaled to the slope of the ratings on it; the weights minimise
    ``|ratings - X w|^2 + RIDGE |w - prior|^2`` with standardised, clipped features, and those that come out above 0
    are set to 0. The calibration maximises the binomial likelihood of ``(rating - 1) / 4``.
    """
    x = np.array([c.features for c in clips])
    means, scales = x.mean(axis=0), x.std(axis=0)
    z = np.clip((x - means) / scales, -LIMIT, LIMIT)
    offset = z.mean(axis=0)
    z = z - offset
    centred = ratings - ratings.mean()
    direction = -np.array(PRIOR) / sum(PRIOR)
    along = z @ direction
    prior = direction * max(0.0, float(along @ centred) / float(along @ along))
    step = np.linalg.solve(z.T @ z + RIDGE * np.eye(len(prior)), z.T @ (centred - z @ prior))
    weights = np.minimum(prior + step, 0.0)
    rough = Coefficients(
        tuple(map(float, means)), tuple(map(float, scales)), tuple(map(float, weights)),
        float(ratings.mean() - offset @ weights), LIMIT, **PENALTIES, intercept=0.0, slope=1.0,
    )  # fmt: skip
    predicted = np.array([c.rating(rough) for c in clips])
    target = (ratings - 1) / 4

    def loss(p: Floats) -> float:
        exponent = p[0] + p[1] * (predicted - 3)
        return float(np.logaddexp(0, exponent).sum() - target @ exponent)

    found = minimize(loss, np.array([0.0, 1.0]), method="BFGS").x
    intercept, slope = round(float(found[0] - 3 * found[1]), 6), round(float(max(found[1], 1e-3)), 6)
    return Coefficients(**(asdict(rough) | {"intercept": intercept, "slope": slope}))


def spearman(a: Floats, b: Floats) -> float:
    return float(spearmanr(a, b)[0]) if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def partial_spearman(a: Floats, b: Floats, given: Floats) -> float:
    ab, ac, bc = (
        float(np.corrcoef(rankdata(p), rankdata(q))[0, 1]) for p, q in ((a, b), (a, given), (b, given))
    )
    return (ab - ac * bc) / float(np.sqrt((1 - ac**2) * (1 - bc**2)))


@dataclass(frozen=True)
class Study:
    """The rated clips in order of ``index.csv``."""

    clips: list[Measured]
    ratings: Floats
    models: NDArray[np.str_]
    prompts: NDArray[np.str_]
    seed: int

    @property
    def generated(self) -> Bools:
        return self.models != REAL

    @property
    def names(self) -> list[str]:
        return sorted(set(self.models[self.generated]))

    def fit(self, which: Bools) -> Coefficients:
        return fit([self.clips[i] for i in np.flatnonzero(which)], self.ratings[which])

    def folds(self, seed: int) -> list[Bools]:
        order = np.random.default_rng(seed).permutation(sorted(set(self.prompts)))
        return [np.isin(self.prompts, order[k::FOLDS]) for k in range(FOLDS)]

    def crossed(self, clips: Sequence[Measured], seed: int) -> Floats:
        """Scores of clips (one for each of the study's) by fits on generated clips of other prompts."""
        out = np.full(len(clips), np.nan)
        for test in self.folds(seed):
            c = self.fit(self.generated & ~test)
            for i in np.flatnonzero(test):
                out[i] = quality_score(clips[i].rating(c), c)
        return out

    def left_out(self) -> Floats:
        """Scores of each generator's clips by fits on the other generators."""
        out = np.full(len(self.clips), np.nan)
        for name in self.names:
            c = self.fit(self.generated & (self.models != name))
            for i in np.flatnonzero(self.models == name):
                out[i] = quality_score(self.clips[i].rating(c), c)
        return out

    def model_means(self) -> Floats:
        """Each clip's model's mean rating on the other folds' prompts."""
        out = np.full(len(self.clips), np.nan)
        for test in self.folds(self.seed):
            for name in self.names:
                of = self.models == name
                out[test & of] = self.ratings[of & ~test].mean()
        return out

    def pooled(self, values: Floats, at: NDArray[np.intp]) -> float:
        at = at[self.generated[at]]
        return spearman(values[at], self.ratings[at])

    def within(self, values: Floats, at: NDArray[np.intp]) -> float:
        of = [at[self.models[at] == name] for name in self.names]
        found = [spearman(values[i], self.ratings[i]) for i in of]
        return float(np.mean([f for f in found if np.isfinite(f)]))

    def interval(self, of: Callable[[NDArray[np.intp]], float]) -> tuple[float, float, float, float]:
        """Value, its 95 % interval over resampled prompts, and the share of draws above 0."""
        rng = np.random.default_rng(self.seed)
        groups = [np.flatnonzero(self.prompts == p) for p in sorted(set(self.prompts))]
        draws = []
        for _ in range(DRAWS):
            pick = rng.integers(len(groups), size=len(groups))
            draws.append(of(np.concatenate([groups[k] for k in pick])))
        low, high = np.nanquantile(draws, [0.025, 0.975])
        return of(np.arange(len(self.clips))), float(low), float(high), float(np.mean(np.array(draws) > 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="FETV's folder, with index.csv")
    parser.add_argument("--out", type=Path, help="where to write the coefficients; nowhere without it")
    parser.add_argument("--cache", type=Path, help="features of all copies: read if there, else written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    index = options.data / "index.csv"
    with index.open() as file:
        rows = list(csv.DictReader(file))
    measured = all_measured(rows, options.data, options.cache)
    study = Study(
        [measured[""][r["path"]] for r in rows],
        np.array([float(r["temporal_quality"]) for r in rows]),
        np.array([r["model"] for r in rows]),
        np.array([r["prompt_id"] for r in rows]),
        options.seed,
    )
    numbers: dict[str, Any] = {}

    def tell(name: str, found: tuple[float, float, float, float]) -> None:
        numbers[name] = {"value": round(found[0], 3), "low": round(found[1], 3), "high": round(found[2], 3)}
        print(f"{name:<66} {found[0]:+.3f} ({found[1]:+.3f} .. {found[2]:+.3f})")

    print(
        f"{len(rows)} clips, {len(set(study.prompts))} prompts; "
        f"features missing: {sum(bool(c.why) for c in study.clips)}"
    )
    crossed, left_out = study.crossed(study.clips, options.seed), study.left_out()
    means = study.model_means()
    every = np.arange(len(rows))
    tell("pooled Spearman, crossed by prompt", study.interval(lambda at: study.pooled(crossed, at)))
    spread = [study.pooled(study.crossed(study.clips, seed), every) for seed in range(20)]
    print(
        f"  over 20 other partitions into folds: {min(spread):.3f} to {max(spread):.3f}, mean {np.mean(spread):.3f}"
    )
    tell(
        "pooled Spearman of each model's mean rating, crossed",
        study.interval(lambda at: study.pooled(means, at)),
    )
    own = np.array([study.ratings[study.models == m].mean() for m in study.models])
    tell("  the same, not crossed", study.interval(lambda at: study.pooled(own, at)))
    tell(
        "  score minus model mean (crossed)",
        study.interval(lambda at: study.pooled(crossed, at) - study.pooled(means, at)),
    )
    tell("within models, crossed by prompt", study.interval(lambda at: study.within(crossed, at)))
    tell("within models, each left out of the fit", study.interval(lambda at: study.within(left_out, at)))
    for name in study.names:
        tell(
            f"  {name} left out",
            study.interval(
                lambda at, n=name: study.within(
                    np.where(study.models == n, left_out, np.nan), at[study.models[at] == n]
                )
            ),  # type: ignore[misc]
        )
    motion = np.log(np.array([c.motion for c in study.clips]) + 5e-4)
    tell(
        "Spearman given motion, crossed",
        study.interval(
            lambda at: partial_spearman(
                *(v[at[study.generated[at]]] for v in (crossed, study.ratings, motion))
            )
        ),
    )
    tell("motion alone (negated)", study.interval(lambda at: study.pooled(-motion, at)))

    features = -np.array([c.features for c in study.clips])
    for k, name in enumerate(FEATURES):
        tell(f"  feature {name}, pooled", study.interval(lambda at, k=k: study.pooled(features[:, k], at)))  # type: ignore[misc]
        tell(f"  feature {name}, within", study.interval(lambda at, k=k: study.within(features[:, k], at)))  # type: ignore[misc]
    best = max(range(len(FEATURES)), key=lambda k: study.pooled(features[:, k], every))
    failed = -np.array([clip.failed for clip in study.clips])
    tell(
        "share of pixels that fail the check (negated), pooled",
        study.interval(lambda at: study.pooled(failed, at)),
    )
    tell(
        "share of pixels that fail the check (negated), within",
        study.interval(lambda at: study.within(failed, at)),
    )
    rivals = {FEATURES[best]: features[:, best], "share of failing pixels": failed}
    for name, rival in rivals.items():
        for how, of in (("pooled", study.pooled), ("within", study.within)):
            tell(
                f"score minus {name}, {how}",
                study.interval(lambda at, of=of, rival=rival: of(crossed, at) - of(rival, at)),  # type: ignore[misc]
            )

    c = study.fit(study.generated)
    scores = np.array([quality_score(clip.rating(c), c) for clip in study.clips])
    print("mean scores, fitted on generated clips, and ratings:")
    for name in [*study.names, REAL]:
        of = study.models == name
        print(f"  {name:<20} {scores[of].mean():.3f}  rated {(study.ratings[of].mean() - 1) / 4:.3f}")

    def lead(at: NDArray[np.intp]) -> float:
        of = {name: crossed[at[study.models[at] == name]] for name in [*study.names, REAL]}
        return float(np.mean(of[REAL]) - max(np.mean(of[name]) for name in study.names))

    found = study.interval(lead)
    tell("real minus best generator, mean score crossed", found)
    print(f"  above 0 in {found[3]:.3f} of the draws")
    error = crossed[study.generated] - (study.ratings[study.generated] - 1) / 4
    print(
        f"calibration, crossed: mean error {error.mean():+.3f}, mean absolute error {np.abs(error).mean():.3f}"
    )
    tell(
        "pooled with real clips, crossed",
        study.interval(lambda at: spearman(crossed[at], study.ratings[at])),
    )

    print(
        "copies: share that score higher than the clip (a missing score is not higher), mean change, without a score"
    )
    for name in [*COPIES, *CONTROLS, *(f"fault {kind}" for kind in FAULTS)]:
        copy = study.crossed([measured[name][r["path"]] for r in rows], options.seed)
        there = np.isfinite(copy)
        higher = int(np.count_nonzero(copy[there] > crossed[there]))
        change = float((copy - crossed)[there].mean()) if there.any() else float("nan")
        numbers[f"copies: {name}"] = {"higher": higher, "clips": len(rows), "missing": int((~there).sum())}
        print(
            f"  {name:<34} {higher}/{len(rows)} = {higher / len(rows):.3f}   {change:+.3f}   {int((~there).sum())}"
        )

    written = {
        "about": "Coefficients of temporal.quality; see docs/metrics/temporal.md, section Quality",
        "fit": {
            "data": "FETV (llyx97/FETV, CC-BY-4.0): generated clips of 18 prompts by CogVideo, Text2Video-Zero, "
            "VideoFusion and ZeroScope, mean temporal quality of three raters; real clips are left out",
            "clips": int(study.generated.sum()),
            "index_sha256": hashlib.sha256(index.read_bytes()).hexdigest(),
            "method": f"ridge regression ({RIDGE:g}) to prior weights {PRIOR}, no weight above 0; "
            "binomial calibration",
            "command": f"python training/temporal_quality.py --data ../shared/data/fetv --seed {options.seed} "
            "--out vgaudit/metrics/temporal_quality.json",
            "opencv": cv2.__version__,
        },
        "features": [
            {"name": n, "mean": round(m, 6), "scale": round(s, 6), "weight": round(w, 6)}
            for n, m, s, w in zip(FEATURES, c.means, c.scales, c.weights, strict=True)
        ],
        "score": {
            key: round(value, 6)
            for key, value in asdict(c).items()
            if key not in ("means", "scales", "weights")
        },
        "validation": numbers,
    }
    parse_coefficients(written)
    print(json.dumps(written["features"]), json.dumps(written["score"]))
    if options.out:
        options.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
