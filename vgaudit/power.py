"""How many prompts and seeds a comparison or a gate needs, before anything is generated.

Values of one model vary between prompts (some are hard) and between seeds within a prompt. The mean over ``n``
prompts of ``m`` seeds has the variance ``(sd_prompt^2 + sd_seed^2 / m) / n``: more seeds narrow only the second part.
Of a paired comparison the components are those of the *differences* between the two sides.

Power is that of the t test over prompts (noncentral t): the chance that the two-sided interval leaves out a number
that is ``margin`` away from the truth, on the right side. It is one and the same for showing a true difference of
``margin``, for showing "no worse by ``margin``" where there is no difference, and for a gate whose limit is
``margin`` beyond the truth.
``benchmarks/power_check.py`` holds it against simulated comparisons.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vgaudit.errors import UsageError

MIN_PROMPTS = 6
"""Fewest prompts that are asked for: with fewer no sign-flip test reaches 0.05."""

MOST_PROMPTS = 1_000_000


@dataclass(frozen=True)
class Components:
    """Standard deviations between prompts and between the seeds of a prompt, and what they were estimated from.

    Attributes:
        prompt: Between prompts, what their seeds add taken out; 0 where the estimate was not above 0.
        seed: Between seeds of a prompt; 0 also where no prompt had two.
        n_prompts: Prompts they rest on; 0 where they were stated.
        n_values: Values they rest on.
        seeds_known: Whether the two could be told apart: some prompt has several seeds.
    """

    prompt: float
    seed: float
    n_prompts: int = 0
    n_values: int = 0
    seeds_known: bool = True

    def of_mean(self, seeds: int) -> float:
        """Standard deviation of the mean of a prompt's ``seeds``."""
        return math.sqrt(self.prompt**2 + self.seed**2 / seeds)


def components(values: Sequence[tuple[str, float]]) -> Components:
    """Variance components of ``(prompt, value)`` pairs by analysis of variance, unequal numbers of seeds allowed.

    Within: the mean square between values of a prompt. Between: ``(MSB - MSW) / n0``, cut at 0, where ``n0`` is the
    number of seeds of a prompt, corrected for unequal ones (Searle and others, Variance Components, 1992).
    Without a second seed anywhere the two cannot be told apart, and all of it counts as between prompts, which more
    seeds do not help.

    Raises:
        UsageError: Fewer than two prompts.
    """
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for prompt, value in values:
        by_prompt[prompt].append(value)
    k, total = len(by_prompt), len(values)
    if k < 2:
        raise UsageError(
            f"expected values of two prompts or more, found {k}: one shows not how prompts differ"
        )
    grand = math.fsum(v for _, v in values) / total
    means = {p: math.fsum(v) / len(v) for p, v in by_prompt.items()}
    between = math.fsum(len(v) * (means[p] - grand) ** 2 for p, v in by_prompt.items()) / (k - 1)
    if total == k:
        return Components(math.sqrt(between), 0.0, k, total, seeds_known=False)
    within = math.fsum((x - means[p]) ** 2 for p, v in by_prompt.items() for x in v) / (total - k)
    n0 = (total - sum(len(v) ** 2 for v in by_prompt.values()) / total) / (k - 1)
    return Components(math.sqrt(max(0.0, (between - within) / n0)), math.sqrt(within), k, total)


def power(spread: Components, margin: float, prompts: int, seeds: int, confidence: float = 0.95) -> float:
    """Chance that an interval over ``prompts`` leaves out a number ``margin`` away from the truth.

    Args:
        spread: Of the values, or of the paired differences.
        margin: Above 0, in the value's unit.
        prompts: At least 2.
        seeds: Of each prompt, at least 1.
        confidence: Coverage of the two-sided interval.
    """
    from scipy.special import nctdtr, stdtrit

    sd = spread.of_mean(seeds)
    if sd <= 0:
        return 1.0
    critical = float(stdtrit(prompts - 1, 0.5 + confidence / 2))
    found = float(nctdtr(prompts - 1, margin * math.sqrt(prompts) / sd, critical))
    return 1.0 if math.isnan(found) else 1 - found  # so far from 0 that the distribution underflows


def half_width(spread: Components, prompts: int, seeds: int, confidence: float = 0.95) -> float:
    """Expected half width of the interval, as of Student's t at the expected standard deviation."""
    from scipy.special import stdtrit

    return float(stdtrit(prompts - 1, 0.5 + confidence / 2)) * spread.of_mean(seeds) / math.sqrt(prompts)


def prompts_for(
    spread: Components, margin: float, seeds: int, wanted: float, confidence: float = 0.95
) -> int | None:
    """The smallest number of prompts with power ``wanted``, at least 6; ``None`` beyond a million."""

    def enough(n: int) -> bool:
        return power(spread, margin, n, seeds, confidence) >= wanted

    low, high = MIN_PROMPTS - 1, MIN_PROMPTS
    while not enough(high):
        if high >= MOST_PROMPTS:
            return None
        low, high = high, min(2 * high, MOST_PROMPTS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
