"""How often 95 % intervals of a mean over few prompts hold the true mean: the table in docs/gates.md.

python benchmarks/interval_coverage.py [--repetitions 1500] [--resamples 2000]
"""

import argparse

import numpy as np
import scipy.stats

from vgaudit.stats import expanded_tail


def bca_ends(values, means):
    """Percentiles of a bias-corrected and accelerated interval (Efron 1987)."""
    n, mean = len(values), values.mean()
    bias = scipy.stats.norm.ppf(np.clip((means < mean).mean(), 1e-6, 1 - 1e-6))
    left_out = (mean * n - values) / (n - 1)
    spread = left_out.mean() - left_out
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    z = bias + scipy.stats.norm.ppf([0.025, 0.975])
    return scipy.stats.norm.cdf(bias + z / (1 - acceleration * z))


def studentised(values, rows, means):
    errors = rows.std(axis=1, ddof=1) / np.sqrt(len(values))
    own = values.std(ddof=1) / np.sqrt(len(values))
    t = (means - values.mean()) / np.maximum(errors, 1e-12)
    low, high = np.quantile(t, [0.025, 0.975])
    return values.mean() - high * own, values.mean() - low * own


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1500)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    draws = {
        "normal": (lambda rng, n: rng.normal(size=n), 0.0),
        "log-normal": (lambda rng, n: rng.lognormal(0, 0.7, size=n), np.exp(0.245)),
    }
    for name, (draw, truth) in draws.items():
        for n in (5, 8, 12, 18, 30):
            rng = np.random.default_rng(n)
            hits = dict.fromkeys(
                ["percentile", "BCa", "Student's t", "expanded percentile", "studentised"], 0
            )
            tail = expanded_tail(n, 0.95)
            for _ in range(options.repetitions):
                values = draw(rng, n)
                rows = values[rng.integers(0, n, (options.resamples, n))]
                means = rows.mean(axis=1)
                half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
                ends = {
                    "percentile": np.quantile(means, [0.025, 0.975]),
                    "BCa": np.quantile(means, bca_ends(values, means)),
                    "Student's t": (values.mean() - half, values.mean() + half),
                    "expanded percentile": np.quantile(means, [tail, 1 - tail]),
                    "studentised": studentised(values, rows, means),
                }
                for method, (low, high) in ends.items():
                    hits[method] += low <= truth <= high
            shown = ", ".join(f"{method} {count / options.repetitions:.2f}" for method, count in hits.items())
            print(f"{name:<10} n = {n:<3} {shown}", flush=True)


if __name__ == "__main__":
    main()
