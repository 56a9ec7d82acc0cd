"""A fit of temporal quality to human ratings, and what it is worth on clips that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from vgaudit.metrics.temporal_quality import ClipMotion, Coefficients, predicted_rating, quality_score

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

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
