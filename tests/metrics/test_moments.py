"""Moments from batches and shards: those of the whole set, however it was cut and joined."""

from __future__ import annotations

import tracemalloc
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.metrics.frechet import frechet_distance, statistics
from vgaudit.metrics.moments import Moments


def features(seed: int, n: int, d: int, offset: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ (rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)) + offset


def exact(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scatter in longer arithmetic, by the definition."""
    long = x.astype(np.longdouble)
    centred = long - long.mean(axis=0)
    scatter = (centred[:, :, None] * centred[:, None, :]).sum(axis=0)
    return long.mean(axis=0).astype(np.float64), scatter.astype(np.float64)


def assert_same(found: Moments, x: np.ndarray, rel: float = 1e-9) -> None:
    mean, scatter = exact(x)
    spread = np.sqrt(np.trace(scatter) / len(x))
    assert found.n == len(x)
    assert np.abs(found.mean - mean).max() <= rel * (np.abs(mean).max() + spread)
    assert np.linalg.norm(found.scatter - scatter) <= rel * np.linalg.norm(scatter)
    assert np.array_equal(found.scatter, found.scatter.T)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 60),
    d=st.integers(1, 5),
    offset=st.sampled_from([0.0, -3.0, 1e3, 1e6]),
    cuts=st.lists(st.integers(0, 60), max_size=12),
)
def test_any_splitting_gives_the_moments_of_the_whole(
    seed: int, n: int, d: int, offset: float, cuts: list[int]
) -> None:
    x = features(seed, n, d, offset)
    shards = np.split(x, sorted(min(c, n) for c in cuts))  # equal cuts leave empty shards between them
    parts = [Moments.of(shard) for shard in shards]
    forth = reduce(Moments.merge, parts)
    assert_same(forth, x)
    assert_same(reduce(Moments.merge, parts[::-1]), x)
    assert_same(reduce(Moments.update, shards, Moments.empty(d)), x)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_one_row_at_a_time(offset: float) -> None:
    x = features(0, 300, 4, offset)
    assert_same(reduce(Moments.update, x[:, None, :], Moments.empty(4)), x)


def test_far_shards_add_what_lies_between_them() -> None:
    # Two points 2e6 apart have all their scatter between the shards: 2 * (1e6)^2.
    whole = Moments.of([[-1e6]]).merge(Moments.of([[1e6]]))
    assert (whole.n, whole.mean[0], whole.scatter[0, 0]) == (2, 0.0, 2e12)
    # Three against one: mean (3 * 0 + 8) / 4, scatter 3 * 1 / 4 * 64.
    uneven = Moments.of([[0.0]] * 3).merge(Moments.of([[8.0]]))
    assert (uneven.n, uneven.mean[0], uneven.scatter[0, 0]) == (4, 2.0, 48.0)


def test_a_mean_is_exact_where_the_sum_is_not() -> None:
    # 2^52 plus 0 to 8: the sum of 9000 needs more digits than a float64 has.
    found = Moments.of(2.0**52 + np.arange(18_000.0).reshape(9000, 2) % 9)
    assert list(found.mean - 2.0**52) == [4, 4]
    assert list(found.scatter.diagonal()) == [60_000, 60_000]


def test_an_empty_side_changes_nothing() -> None:
    some = Moments.of(features(1, 9, 3, 0.0))
    for both in (some.merge(Moments.empty(3)), Moments.empty(3).merge(some), some.update(np.empty((0, 3)))):
        assert both.n == 9
        assert np.array_equal(both.mean, some.mean)
        assert np.array_equal(both.scatter, some.scatter)
    assert Moments.empty(3).merge(Moments.empty(3)).n == 0


def test_nothing_given_is_changed() -> None:
    x = features(2, 8, 3, 0.0)
    first, kept = Moments.of(x), x.copy()
    mean, scatter = first.mean.copy(), first.scatter.copy()
    first.merge(Moments.of(x + 1))
    first.update(x)
    assert np.array_equal(x, kept)
    assert np.array_equal(first.mean, mean)
    assert np.array_equal(first.scatter, scatter)


@pytest.mark.parametrize("ddof", [0, 1])
def test_statistics_are_those_of_the_features(ddof: int) -> None:
    x = features(3, 50, 6, 2.0)
    whole, streamed = statistics(x, ddof), Moments.of(x[:20]).update(x[20:]).statistics(ddof)
    assert streamed.n == 50
    assert streamed.mean == pytest.approx(whole.mean, rel=1e-12)
    assert streamed.cov == pytest.approx(whole.cov, rel=1e-11, abs=1e-12)
    apart = frechet_distance(whole.mean, whole.cov, streamed.mean, streamed.cov)
    assert apart == pytest.approx(0, abs=1e-9)


def test_stored_and_read_again(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    found = Moments.of(features(4, 30, 5, 1e6)[:, ::-1])
    save_file(found.arrays(), tmp_path / "m.safetensors")
    again = Moments.from_arrays(load_file(tmp_path / "m.safetensors"))
    assert again.n == 30
    assert again.mean.tobytes() == found.mean.tobytes()
    assert again.scatter.tobytes() == found.scatter.tobytes()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros(4), r"shape \(4,\); expected \(n, d\)"),
        (np.zeros((4, 0)), r"shape \(4, 0\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([[1.0, np.nan]], "not finite"),
    ],
)
def test_features_that_are_none(x: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Moments.of(x)  # type: ignore[arg-type]


def test_moments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="of 3 and of 2 features"):
        Moments.empty(3).update(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"1 vector\(s\); a covariance takes two"):
        Moments.of(np.ones((1, 3))).statistics(0)
    with pytest.raises(ValueError, match="ddof is 2"):
        Moments.of(np.eye(3)).statistics(2)
    with pytest.raises(ValueError, match="d is 0"):
        Moments.empty(0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": None}, "no array n"),
        ({"n": np.array([3.0])}, "one whole number"),
        ({"n": np.array([1, 2])}, r"shape \(2,\)"),
        ({"n": np.array([-1])}, "n is -1"),
        ({"n": np.array([0])}, "so few vectors"),
        ({"n": np.array([0]), "scatter": np.zeros((2, 2))}, "so few vectors"),
        ({"n": np.array([1])}, "so few vectors"),
        ({"mean": np.zeros(3)}, r"mean has shape \(3,\) and scatter \(2, 2\)"),
        ({"scatter": np.full((2, 2), np.inf)}, "not finite"),
    ],
)
def test_arrays_that_are_no_moments(change: dict[str, np.ndarray | None], says: str) -> None:
    arrays = {**Moments.of([[1.0, 2.0], [3.0, 5.0]]).arrays(), **change}
    with pytest.raises(ValueError, match=says):
        Moments.from_arrays({k: v for k, v in arrays.items() if v is not None})


def test_memory_is_that_of_one_batch_however_many_there_are() -> None:
    """Twenty times as many vectors; features of all of them would take five times the limit."""
    batch = np.random.default_rng(0).normal(size=(256, 64))

    def peak(batches: int) -> int:
        tracemalloc.start()
        found = Moments.empty(64)
        for _ in range(batches):
            found = found.update(batch)
        assert found.n == 256 * batches
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(10), peak(200)
    assert many < 1.1 * few
    assert many < 256 * 200 * 64 * 8 / 5
