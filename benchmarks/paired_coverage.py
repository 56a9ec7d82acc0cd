"""How often intervals of paired differences hold the truth and their test errs: the table in docs/gates.md.

python benchmarks/paired_coverage.py [--repetitions 2000]

Two groups with the same prompts. A prompt makes both better or worse; what a group adds to that is drawn from one of
three shapes, and the difference between seeds of a prompt from a normal distribution. Each line has the share of 95 %
intervals that hold the true mean difference, the same of d_z, and the share of tests with p <= 0.05 although the true
mean difference is 0, each with its exact binomial interval.
"""

import argparse
from functools import cache
from types import SimpleNamespace

import numpy as np

from vgaudit.paired import Case, Side, paired_differences
from vgaudit.stats import clopper_pearson

SHAPES = {
    # name: (draw, its mean, its standard deviation)
    "normal": (lambda rng, n: rng.normal(size=n), 0.0, 1.0),
    "skewed (log-normal, sigma 0.7)": (
        lambda rng, n: rng.lognormal(0, 0.7, size=n), np.exp(0.245), np.sqrt((np.exp(0.49) - 1) * np.exp(0.49)),
    ),
    "heavy-tailed (t, 3 degrees)": (lambda rng, n: rng.standard_t(3, size=n), 0.0, np.sqrt(3.0)),
}  # fmt: skip
SEED_SPREAD = 0.5  # of the difference between seeds, as a share of the prompts' standard deviation


@cache
def sample(prompt, seed):
    return SimpleNamespace(sample_id=f"{prompt}-{seed}", prompt_id=f"p{prompt:03}", seed=seed)


def case(rng, draw, prompts, seeds, spread):
    """Two groups whose difference on a prompt is a draw, up to the noise of seeds."""
    level = rng.normal(scale=5.0, size=prompts)
    difference = draw(rng, prompts)
    noise = rng.normal(scale=spread * SEED_SPREAD / np.sqrt(2), size=(2, prompts, seeds))
    sides = []
    for k, name in enumerate(("first", "second")):
        rows = [
            (
                sample(p, s),
                float(level[p] + (difference[p] if k == 0 else 0.0) + noise[k, p, s]),
                "",
            )
            for p in range(prompts)
            for s in range(seeds)
        ]
        sides.append(Side.of(name, rows))
    return Case(*sides)


def counted(k, n):
    low, high = clopper_pearson(k, n)
    return f"{k / n:.3f} [{low:.3f}, {high:.3f}]"


def simulate(shape, prompts, seeds, repetitions, seed=0):
    """Hits of the interval, hits of d_z's, and false alarms, of so many repetitions."""
    draw, mean, deviation = SHAPES[shape]
    rng = np.random.default_rng([seed, prompts, seeds])
    true_effect = mean / np.sqrt(deviation**2 * (1 + SEED_SPREAD**2 / seeds))
    hits = effects = alarms = 0
    for start in range(0, repetitions, 250):
        n = min(250, repetitions - start)
        found = paired_differences([case(rng, draw, prompts, seeds, deviation) for _ in range(n)])
        centred = paired_differences(
            [case(rng, lambda g, k: draw(g, k) - mean, prompts, seeds, deviation) for _ in range(n)]
        )
        hits += sum(d.low <= mean <= d.high for d in found)
        effects += sum(d.effect_low <= true_effect <= d.effect_high for d in found)
        alarms += sum(d.p <= 0.05 for d in centred)
    return hits, effects, alarms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    n = parser.parse_args().repetitions
    print(f"{n} repetitions; shares with exact 95 % intervals")
    print("| differences | prompts | seeds | interval holds | d_z's holds | p <= 0.05, no difference |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for prompts in (10, 20, 40, 200):
            for seeds in (1, 4):
                shown = " | ".join(counted(k, n) for k in simulate(shape, prompts, seeds, n))
                print(f"| {shape} | {prompts} | {seeds} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
