"""Whether `vgaudit power` predicts what comparisons then show: predicted power against simulated detection.

python benchmarks/power_check.py [--repetitions 1000]

Two sides with the same prompts and seeds, normal prompt and seed components, and a true difference of one margin. A
difference counts as detected where `vgaudit.paired` shows it: the interval leaves out 0 on its side, and
the sign-flip test has p <= 0.05.
"""

import argparse
import math
from functools import cache
from types import SimpleNamespace

import numpy as np

from vgaudit.paired import Case, Side, paired_differences
from vgaudit.power import Components, power
from vgaudit.stats import clopper_pearson

SPREADS = (Components(1.0, 0.5), Components(0.3, 1.5), Components(0.0, 1.0))
GRID = [(n, m) for n in (8, 15, 30, 60) for m in (1, 4)]
WANTED = (0.3, 0.8)


@cache
def sample(prompt, seed):
    return SimpleNamespace(sample_id=f"{prompt}-{seed}", prompt_id=f"p{prompt:04}", seed=seed)


def margin_for(spread, prompts, seeds, wanted):
    """The margin at which the prediction is ``wanted``."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(spread, middle, prompts, seeds) < wanted else (low, middle)
    return high


def detected(spread, margin, prompts, seeds, repetitions, seed=0):
    """How many of so many comparisons show the difference."""
    rng = np.random.default_rng([seed, prompts, seeds, int(1000 * spread.seed)])
    found = 0
    for start in range(0, repetitions, 200):
        cases = []
        for _ in range(min(200, repetitions - start)):
            level = rng.normal(scale=3.0, size=prompts)
            extra = margin + rng.normal(scale=spread.prompt, size=prompts)
            noise = rng.normal(scale=spread.seed / math.sqrt(2), size=(2, prompts, seeds))
            sides = [
                Side.of(
                    name,
                    [
                        (sample(p, s), float(level[p] + k * extra[p] + noise[k, p, s]), "")
                        for p in range(prompts)
                        for s in range(seeds)
                    ],
                )
                for k, name in enumerate(("base", "candidate"))
            ]
            cases.append(Case(sides[1], sides[0]))
        found += sum(d.low is not None and d.low > 0 and d.p <= 0.05 for d in paired_differences(cases))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    n = parser.parse_args().repetitions
    worst = 0.0
    print("| sd between prompts | between seeds | prompts | seeds | predicted | detected | off by |")
    print("|---|---|---|---|---|---|---|")
    for spread in SPREADS:
        for prompts, seeds in GRID:
            for wanted in WANTED:
                margin = margin_for(spread, prompts, seeds, wanted)
                hits = detected(spread, margin, prompts, seeds, n)
                low, high = clopper_pearson(hits, n)
                off = hits / n - wanted
                worst = max(worst, abs(off))
                print(
                    f"| {spread.prompt} | {spread.seed} | {prompts} | {seeds} | {wanted} | "
                    f"{hits / n:.3f} [{low:.3f}, {high:.3f}] | {off:+.3f} |",
                    flush=True,
                )
    print(f"largest difference: {100 * worst:.1f} points")


if __name__ == "__main__":
    main()
