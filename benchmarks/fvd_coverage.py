"""How often the intervals of the FVD family hold what they claim, and how far off the estimates are.

    python benchmarks/fvd_coverage.py --data ../shared/data [--sets 500] [--sizes 64 256 1024] [--near]

Clips are drawn from Gaussians with the published I3D statistics (UCF-101 and Kinetics-400, 2,048 clips each, 256 px,
d = 400), n a side. The Frechet distance of those is a closed form, and so is the kernel distance. The expectation of
the plug-in distance at each n is the mean of a simulation of its own, of Wishart matrices drawn by Bartlett's
decomposition where n > d. Fails where a coverage is outside its target, or an extrapolated value is not nearer to the
truth on average than the plain one. ``--near`` takes two sets of UCF-101 at 128 px instead, which are almost alike,
and holds nothing to a target.

``--shared 0.5`` looks at prompts that are on both sides instead: a clip of each prompt a side, that share of whose
variance is the prompt's and the same on both. Fails where the kernel distance is off its truth by more than three
standard errors, or its interval covers outside its target. What it came to if pairs of one prompt counted across the
sides is printed beside it. So are the extrapolated distance, with prompts left out of both sides at once and, beside
it, with the sides taken for two samples; and how often the interval of the plain one holds the mean of all sets'
values. It fails where that is outside its target, or, from 256 prompts on, where the extrapolated distance is off by
more than three standard errors, or its width around it covers outside the same target.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from vgaudit.metrics.estimators import (
    MIN_EXTRAPOLATED,
    effective_rank,
    extrapolated_distance,
    kernel_interval,
)
from vgaudit.metrics.frechet import frechet_distance, frechet_distance_from_features, frechet_interval

PAIRS = {
    False: ("ucf101_2048_res256_len16", "kinetics_2048_res256_len16"),
    True: ("ucf101_2048_res128_len16", "ucf101_full_res128_len16"),
}
FRECHET_TARGET = (0.92, 0.99)
KERNEL_TARGET = (0.92, 0.98)
SURE = 256  # prompts from which the extrapolated distance is held to its target; below, its bias is no line in 1/n
FRACTIONS = (0.5, 0.625, 0.75, 0.875, 1.0)  # of n, for the line of Chong and Forsyth
LINES = 40  # sets that line is fitted for; it costs thirteen distances each


class Gaussian:
    """Mean, covariance and draws."""

    def __init__(self, mean: np.ndarray, cov: np.ndarray) -> None:
        self.mean, self.cov = mean, cov
        self.factor = np.linalg.cholesky(cov)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.normal(size=(n, len(self.mean))) @ self.factor.T + self.mean

    def sample_moments(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean of ``n > d`` draws and a factor of their covariance, without drawing them: Bartlett."""
        d = len(self.mean)
        lower = np.tril(rng.normal(size=(d, d)), -1)
        lower[np.diag_indices(d)] = np.sqrt(rng.chisquare(n - 1 - np.arange(d)))
        return self.mean + self.factor @ rng.normal(size=d) / np.sqrt(n), self.factor @ lower / np.sqrt(n - 1)


def kernel_mean(p: Gaussian, q: Gaussian) -> float:
    """``E (x.y / d + 1)^3`` for independent x of p and y of q, by the moments of ``x.y``."""
    d, m = len(p.mean), float(p.mean @ q.mean)
    spread = float(p.mean @ q.cov @ p.mean + q.mean @ p.cov @ q.mean + (p.cov * q.cov).sum())
    second = m * m + spread
    third = m**3 + 3 * m * spread + 6 * float(p.mean @ q.cov @ p.cov @ q.mean)
    return third / d**3 + 3 * second / d**2 + 3 * m / d + 1


def plain_distance(p: Gaussian, q: Gaussian, n: int, rng: np.random.Generator) -> float:
    """Plug-in distance of ``n`` draws a side."""
    if n <= len(p.mean):
        return frechet_distance_from_features(p.draw(rng, n), q.draw(rng, n))
    (mean_p, a), (mean_q, b) = p.sample_moments(rng, n), q.sample_moments(rng, n)
    product = a.T @ b
    nuclear = np.sqrt(np.clip(np.linalg.eigvalsh(product.T @ product), 0, None)).sum()
    return float(((mean_p - mean_q) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * nuclear)


def line(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Chong and Forsyth 2020: the intercept of a line in 1/n through distances of random parts."""
    n, sizes, values = len(x), [], []
    for fraction in FRACTIONS:
        k = round(fraction * n)
        for _ in range(1 if k == n else 3):
            a, b = x[rng.permutation(n)[:k]], y[rng.permutation(n)[:k]]
            sizes.append(1 / k)
            values.append(frechet_distance_from_features(a, b))
    return float(np.polyfit(sizes, values, 1)[1])


def shown(values: list[float], truth: float) -> str:
    off = np.array(values) - truth
    return f"{off.mean():+.1f} +- {off.std(ddof=1) / np.sqrt(len(off)):.1f} (sd {off.std(ddof=1):.1f})"


def shared_prompts(p: Gaussian, q: Gaussian, share: float, options: argparse.Namespace) -> list[str]:
    """Both distances of sets whose prompts are the same; what misses its target."""
    distance = frechet_distance(p.mean, p.cov, q.mean, q.cov)
    kernel = kernel_mean(p, p) + kernel_mean(q, q) - 2 * kernel_mean(p, q)
    print(
        f"Frechet distance {distance:.4f}, kernel distance {kernel:.4f}; {options.sets} sets, seed {options.seed}, "
        f"share of prompts {share:g}"
    )
    missed = []
    for n in options.sizes:
        begin = time.perf_counter()
        rng = np.random.default_rng([options.seed, n, 3])
        names = [str(i) for i in range(n)]
        values: dict[str, list[float]] = {"left out": [], "counted": []}
        held = dict.fromkeys(values, 0)
        plain, halves = [], []
        extrapolated: dict[str, list[float]] = {"left out": [], "counted": []}
        for _ in range(options.sets):
            prompt = rng.normal(size=(n, len(p.mean)))
            x, y = (
                (np.sqrt(share) * prompt + np.sqrt(1 - share) * rng.normal(size=prompt.shape)) @ side.factor.T
                + side.mean
                for side in (p, q)
            )
            for way, others in (("left out", names), ("counted", None)):
                found = kernel_interval(x, y, clusters=names, other_clusters=others)
                values[way].append(found.value)
                held[way] += found.low <= kernel <= found.high
                around = frechet_interval(x, y, clusters=names, reference_clusters=others)
                extrapolated[way].append(around.value - around.bias)
                if way == "left out":
                    plain.append(around.value)
                    halves.append(around.high - around.value)
        covers = held["left out"] / options.sets
        print(
            f"n = {n}: pairs of one prompt left out across the sides: {shown(values['left out'], kernel)} off the "
            f"truth, the interval covers {covers:.3f}; if they counted, two samples: "
            f"{shown(values['counted'], kernel)}, {held['counted'] / options.sets:.3f}; "
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        off = np.array(values["left out"]) - kernel
        if abs(off.mean()) > 3 * off.std(ddof=1) / np.sqrt(len(off)):
            missed.append(f"n = {n}: off the truth by {off.mean():.2f}")
        if not KERNEL_TARGET[0] <= covers <= KERNEL_TARGET[1]:
            missed.append(f"n = {n}: covers {covers:.3f}, target {KERNEL_TARGET[0]} to {KERNEL_TARGET[1]}")
        of_plain = float(np.mean(np.abs(np.array(plain) - np.mean(plain)) <= halves))
        apart = np.array(extrapolated["left out"]) - distance
        of_truth = float(np.mean(np.abs(apart) <= halves))
        print(
            f"    Frechet: plain {shown(plain, distance)} off the truth, its interval covers the mean of these "
            f"{of_plain:.3f}; extrapolated {shown(extrapolated['left out'], distance)}, its width covers the truth "
            f"{of_truth:.3f} ({'given' if n >= MIN_EXTRAPOLATED else 'not given'} at this n); extrapolated as two "
            f"samples {shown(extrapolated['counted'], distance)}",
            flush=True,
        )
        low, high = FRECHET_TARGET
        if not low <= of_plain <= high:
            missed.append(f"n = {n}: Frechet interval covers {of_plain:.3f}, target {low} to {high}")
        if n >= SURE and abs(apart.mean()) > 3 * apart.std(ddof=1) / np.sqrt(len(apart)):
            missed.append(f"n = {n}: extrapolated off the truth by {apart.mean():.2f}")
        if n >= SURE and not low <= of_truth <= high:
            missed.append(f"n = {n}: extrapolated covers {of_truth:.3f}, target {low} to {high}")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--shared", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    p, q = (
        Gaussian(stored["mean"], stored["cov_biased"])
        for stored in (np.load(options.data / "i3d_stats" / f"{name}.npz") for name in PAIRS[options.near])
    )
    if options.shared:
        missed = shared_prompts(p, q, options.shared, options)
        sys.exit(None if options.near or not missed else "; ".join(missed))
    distance = frechet_distance(p.mean, p.cov, q.mean, q.cov)
    kernel = kernel_mean(p, p) + kernel_mean(q, q) - 2 * kernel_mean(p, q)
    print(
        f"Frechet distance {distance:.4f}, kernel distance {kernel:.4f}; {options.sets} sets, seed {options.seed}"
    )
    missed = []
    for n in options.sizes:
        begin = time.perf_counter()
        apart = np.random.default_rng([options.seed, n, 1])
        simulated = [plain_distance(p, q, n, apart) for _ in range(max(50, 4 * options.sets))]
        expected, error = float(np.mean(simulated)), float(np.std(simulated) / np.sqrt(len(simulated)))
        rng = np.random.default_rng([options.seed, n, 2])
        held = {"Frechet": 0, "kernel": 0, "t alone": 0, "extrapolated": 0}
        plain, extrapolated, lines, ranks = [], [], [], []
        has_interval = False
        for index in range(options.sets):
            x, y = p.draw(rng, n), q.draw(rng, n)
            found = frechet_interval(x, y)
            at_infinity = (
                extrapolated_distance(x, y) if not index else None
            )  # it is that interval less its bias
            if at_infinity is not None:
                assert at_infinity.value == found.value - found.bias
                has_interval = at_infinity.low is not None
            plain.append(found.value)
            extrapolated.append(found.value - found.bias)
            half = found.high - found.value
            held["Frechet"] += found.low <= expected <= found.high
            held["extrapolated"] += abs(extrapolated[-1] - distance) <= half
            own = kernel_interval(x, y)
            held["kernel"] += own.low <= kernel <= own.high
            held["t alone"] += abs(own.value - kernel) <= own.value - own.low
            ranks.append(effective_rank(np.cov(x.T)) if index < LINES else np.nan)
            if index < LINES:
                lines.append(line(x, y, rng))
        share = {name: count / options.sets for name, count in held.items()}
        print(
            f"n = {n}: expected plain distance {expected:.1f} +- {error:.1f} ({len(simulated)} simulated); "
            f"coverage: Frechet interval of that {share['Frechet']:.3f}, kernel interval of the populations' value "
            f"{share['kernel']:.3f} (Student's t without the skew {share['t alone']:.3f}), extrapolated interval "
            f"{share['extrapolated']:.3f} ({'given' if has_interval else 'not given'} at this n)"
        )
        print(
            f"    off the truth: plain {shown(plain, distance)}, extrapolated {shown(extrapolated, distance)}, "
            f"line through 5 sizes ({len(lines)} sets) {shown(lines, distance)}; "
            f"effective rank of a sample {np.nanmean(ranks):.0f}, of its population {effective_rank(p.cov):.0f}; "
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        for name, (low, high) in (("Frechet", FRECHET_TARGET), ("kernel", KERNEL_TARGET)):
            if not low <= share[name] <= high:
                missed.append(f"n = {n}: {name} interval covers {share[name]:.3f}, target {low} to {high}")
        if abs(np.mean(extrapolated) - distance) >= abs(np.mean(plain) - distance):
            missed.append(f"n = {n}: the extrapolated distance is no nearer than the plain one")
    sys.exit(None if options.near or not missed else "; ".join(missed))


if __name__ == "__main__":
    main()
