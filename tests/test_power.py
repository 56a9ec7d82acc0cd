"""Planning a run: variance components, the power they give, and the command that tells it."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import nct, t

from vgaudit.errors import UsageError
from vgaudit.power import Components, components, half_width, power, prompts_for

ROOT = Path(__file__).resolve().parent.parent


def test_components_are_those_of_the_analysis_of_variance() -> None:
    values = [("a", 1.0), ("a", 3.0), ("b", 5.0), ("b", 7.0), ("c", 9.0), ("c", 11.0)]
    found = components(values)  # MSW = 2, MSB = 2 * var(2, 6, 10) = 32
    assert found.seed == pytest.approx(math.sqrt(2))
    assert found.prompt == pytest.approx(math.sqrt((32 - 2) / 2))
    assert (found.n_prompts, found.n_values, found.seeds_known) == (3, 6, True)
    assert components(values[::-1]) == found


def test_components_of_unequal_seeds_hit_the_truth_on_average() -> None:
    rng = np.random.default_rng(0)
    seeds = [1, 2, 2, 3, 5, 1, 4] * 4
    between, within = [], []
    for _ in range(400):
        level = rng.normal(scale=2.0, size=len(seeds))
        found = components(
            [(f"p{i}", float(level[i] + rng.normal())) for i, m in enumerate(seeds) for _ in range(m)]
        )
        between.append(found.prompt**2)
        within.append(found.seed**2)
    assert np.mean(between) == pytest.approx(4.0, rel=0.06)
    assert np.mean(within) == pytest.approx(1.0, rel=0.06)


def test_components_are_cut_at_zero_and_say_what_is_not_known() -> None:
    alike = components([("a", 0.0), ("a", 2.0), ("b", 0.0), ("b", 2.0)])
    assert (alike.prompt, alike.seed) == (0.0, pytest.approx(math.sqrt(2)))
    once = components([("a", 0.0), ("b", 2.0), ("c", 4.0)])
    assert (once.prompt, once.seed, once.seeds_known) == (pytest.approx(2.0), 0.0, False)
    with pytest.raises(UsageError, match="found 1"):
        components([("a", 0.0), ("a", 1.0)])


@pytest.mark.parametrize(("n", "m", "margin"), [(6, 1, 0.5), (20, 4, 0.4), (200, 2, 0.05)])
def test_power_is_that_of_the_noncentral_t_test(n: int, m: int, margin: float) -> None:
    spread = Components(0.8, 1.2)
    sd = math.sqrt(0.64 + 1.44 / m)
    critical = t.ppf(0.975, n - 1)
    assert power(spread, margin, n, m) == pytest.approx(
        nct.sf(critical, n - 1, margin * math.sqrt(n) / sd), abs=1e-9
    )
    assert half_width(spread, n, m) == pytest.approx(critical * sd / math.sqrt(n))


def test_the_smallest_number_of_prompts_is_the_smallest() -> None:
    spread = Components(1.0, 1.0)
    needed = prompts_for(spread, 0.5, 2, 0.8)
    assert needed is not None
    assert power(spread, 0.5, needed, 2) >= 0.8 > power(spread, 0.5, needed - 1, 2)
    fewer = prompts_for(spread, 0.5, 8, 0.8)
    assert fewer is not None
    assert 6 < fewer < needed
    assert prompts_for(spread, 9.0, 1, 0.8) == 6
    assert prompts_for(spread, 1e-5, 1, 0.8) is None
    assert power(spread, 1e6, 50, 1) == 1.0


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("power_check", ROOT / "benchmarks" / "power_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("prompts", "seeds", "wanted"), [(15, 1, 0.8), (30, 4, 0.3)])
def test_comparisons_detect_as_often_as_predicted(prompts: int, seeds: int, wanted: float) -> None:
    check, spread = benchmark(), Components(0.3, 1.5)
    margin = check.margin_for(spread, prompts, seeds, wanted)
    assert power(spread, margin, prompts, seeds) == pytest.approx(wanted)
    assert check.detected(spread, margin, prompts, seeds, 400) / 400 == pytest.approx(wanted, abs=0.07)
