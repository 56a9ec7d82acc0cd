"""The benchmarks of the FVD family: their closed forms and their draws are right, and they can fail."""

from __future__ import annotations

import importlib.util
import sys
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
    sys.modules[spec.name] = module  # dataclasses look their module up
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


@pytest.fixture
def speed(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr("sys.argv", ["fvd_speed.py", "--data", str(small_data), "--repeats", "2"])
    return script("fvd_speed")


@pytest.mark.slow
def test_speed_runs(
    speed: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "LEAST_RATIO", 0.0)
    with pytest.raises(SystemExit) as done:
        speed.main()
    assert done.value.code is None
    assert "value and interval, n = 2048" in capsys.readouterr().out


def test_speed_fails_where_it_is_missed(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "LEAST_RATIO", 1e9)
    monkeypatch.setattr(speed, "MOST_SECONDS", 0.0001)
    with pytest.raises(
        SystemExit, match=r"times as fast, at least 1e\+09; .* for an interval, at most 0.0001"
    ):
        speed.main()


@pytest.mark.slow
def test_the_table_of_faults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sensitivity = script("fvd_sensitivity")
    monkeypatch.setattr(sensitivity, "PERMUTATIONS", 499)
    kinds = ["shuffled", "blur_throughout"]
    monkeypatch.setattr("sys.argv", ["fvd_sensitivity.py", "--clips", "16", "--markdown", "--kinds", *kinds])
    sensitivity.main()
    lines = capsys.readouterr().out.splitlines()
    cells = {tuple(line.split()[:2]): line.split() for line in lines}
    assert all((kind, s) in cells for kind in kinds for s in ("mild", "moderate", "strong"))
    blurred, mixed = cells["blur_throughout", "strong"], cells["shuffled", "mild"]
    assert float(blurred[2]) > float(mixed[2])
    assert "KVD" in blurred[-1] or blurred[-1] == "both"
    assert mixed[-1] == "neither"
    assert mixed[-2] == "0.0"  # no frame was harmed
    assert sum(line.startswith("| `") for line in lines) == len(kinds)
    for name in ("fvd@styleganv", "fvd@videogpt"):
        assert any(line.startswith(f"{name}: not measured: weights absent") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--protocol", "fvd@styleganv", "--weights", "absent.pt"], "not measured: weights absent"),
        (["--videos", "."], "knows the storyworld only"),
        (["--clips", "15"], "expected 16 or more"),
    ],
)
def test_what_cannot_be_measured_ends_the_table(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.setattr("sys.argv", ["fvd_sensitivity.py", *arguments])
    with pytest.raises(SystemExit, match=text):
        script("fvd_sensitivity").main()


def test_the_yardsticks_of_faults() -> None:
    sensitivity = script("fvd_sensitivity")
    (source, other) = sensitivity.drawn_sources(2, size=32)
    for strength in ("mild", "moderate", "strong"):
        shown = sensitivity.with_fault(source, "dropped_frames", strength, other)
        assert 16 <= len(shown.frames) <= 17
        assert 0 < shown.middle <= 16
    assert (sensitivity.with_fault(source, "subject_swap", "strong", other).frames != source.frames).any()
    frames = np.arange(17, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 3), np.uint8)
    for run in sensitivity.SHUFFLED:
        order = sensitivity.shuffled(frames, run, 3)[:, 0, 0, 0]
        assert sorted(order) == list(range(17))
        assert all(sorted(order[i : i + run]) == list(range(17))[i : i + run] for i in range(0, 17, run))
        assert all((order[i : i + run] != np.arange(17)[i : i + run]).any() for i in range(0, 16, run))
    assert sensitivity.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert sensitivity.holm([0.6, 0.7]) == [1.0, 1.0]
