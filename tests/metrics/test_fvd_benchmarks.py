"""The benchmarks of the FVD family: their closed forms and their draws are right, and they can fail."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vgaudit.metrics.frechet import frechet_distance_from_features

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def coverage() -> ModuleType:
    return script("fvd_coverage")


@pytest.fixture
def small_data(tmp_path: Path, coverage: ModuleType) -> Path:
    """Statistics of few dimensions under the names of the published ones."""
    (tmp_path / "i3d_stats").mkdir()
    for index, name in enumerate(coverage.PAIRS[False]):
        rng = np.random.default_rng(index)
        x = rng.normal(size=(60, 8)) * (1 + index) + index
        np.savez(tmp_path / "i3d_stats" / f"{name}.npz", mean=x.mean(0), cov_biased=np.cov(x.T, ddof=0))
    return tmp_path


def test_kernel_mean_by_hand_and_by_draws(coverage: ModuleType) -> None:
    # One dimension, N(1, 1) and N(2, 4): E x^k = 1, 2, 4 and E y^k = 2, 8, 32, so 4 * 32 + 3 * 2 * 8 + 3 * 2 + 1.
    p, q = coverage.Gaussian(np.ones(1), np.eye(1)), coverage.Gaussian(2 * np.ones(1), 4 * np.eye(1))
    assert coverage.kernel_mean(p, q) == pytest.approx(183)
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(2, 4, 4)) / 2
    p, q = (coverage.Gaussian(rng.normal(size=4), m @ m.T + np.eye(4) / 4) for m in mix)
    drawn = (np.sum(p.draw(rng, 400_000) * q.draw(rng, 400_000), axis=1) / 4 + 1) ** 3
    error = drawn.std() / np.sqrt(len(drawn))
    assert abs(drawn.mean() - coverage.kernel_mean(p, q)) < 4 * error
    assert error < 0.1 * abs(coverage.kernel_mean(p, q))


def test_drawn_moments_are_those_of_draws(coverage: ModuleType) -> None:
    mix = np.random.default_rng(1).normal(size=(2, 5, 5)) / 2
    p, q = (coverage.Gaussian(np.full(5, 0.2 * i), m @ m.T + np.eye(5) / 4) for i, m in enumerate(mix))
    rng = np.random.default_rng(2)
    quick = [coverage.plain_distance(p, q, 9, rng) for _ in range(3000)]
    slow = [frechet_distance_from_features(p.draw(rng, 9), q.draw(rng, 9)) for _ in range(3000)]
    error = np.hypot(np.std(quick), np.std(slow)) / np.sqrt(3000)
    assert abs(np.mean(quick) - np.mean(slow)) < 4 * error
    assert np.std(quick) == pytest.approx(np.std(slow), rel=0.15)


def test_coverage_runs_and_fails_outside_its_target(
    coverage: ModuleType,
    small_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["fvd_coverage.py", "--data", str(small_data), "--sets", "12", "--sizes", "16", "32"]
    )
    monkeypatch.setattr(coverage, "FRECHET_TARGET", (0.0, 1.0))
    monkeypatch.setattr(coverage, "KERNEL_TARGET", (0.0, 1.0))
    with pytest.raises(SystemExit) as done:
        coverage.main()
    assert done.value.code is None
    out = capsys.readouterr().out
    assert "n = 16: expected plain distance" in out
    assert "n = 32: expected plain distance" in out
    monkeypatch.setattr(coverage, "KERNEL_TARGET", (1.1, 1.2))
    with pytest.raises(SystemExit, match=r"n = 16: kernel interval covers .* n = 32: kernel interval covers"):
        coverage.main()


def test_speed_fails_where_it_is_missed(
    small_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = script("fvd_speed")
    monkeypatch.setattr("sys.argv", ["fvd_speed.py", "--data", str(small_data), "--repeats", "2"])
    monkeypatch.setattr(speed, "LEAST_RATIO", 0.0)
    with pytest.raises(SystemExit) as done:
        speed.main()
    assert done.value.code is None
    assert "value and interval, n = 2048" in capsys.readouterr().out
    monkeypatch.setattr(speed, "LEAST_RATIO", 1e9)
    monkeypatch.setattr(speed, "MOST_SECONDS", 0.0001)
    with pytest.raises(
        SystemExit, match=r"times as fast, at least 1e\+09; .* for an interval, at most 0.0001"
    ):
        speed.main()
