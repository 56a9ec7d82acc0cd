"""Statistics of bad motion against closed forms: translation, stillness, noise, mixtures."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.extractors.test_motion import bilinear, extract, flow, panning, smooth
from vgaudit.extractors.flow_pair import FlowPair, compare, planes
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.motion_quality import COARSE, STATISTICS, MotionQuality, _camera_and_rest
from vgaudit.testing import example_clips

SHAPE = (64, 96)
SEEN = np.ones((32, 48), bool)
"""On the grid of every second pixel of every second row."""


def push(
    quality: MotionQuality, first: NDArray[np.uint8], second: NDArray[np.uint8], there: NDArray[np.float32]
) -> None:
    quality.push(first, second, pair_of(there, -there))


def pair_of(there: NDArray[np.float32], back: NDArray[np.float32]) -> FlowPair:
    """Of known flows, with nothing hidden nor led outside; ``back`` is what the forward flow meets as well."""
    u, v = planes(there, 2)
    return FlowPair(
        (u, v),
        planes(back, 2),
        planes(back, 2),
        ~SEEN,
        SEEN,
        np.zeros(SEEN.shape, np.float32),
        np.hypot(u, v),
        64,
    )


def shifted(step: float, count: int, shape: tuple[int, int] = SHAPE) -> list[NDArray[np.uint8]]:
    wide = smooth(shape[0], shape[1] + 80, 3)
    out = []
    for t in range(count):
        matrix = np.float32([[1, 0, -step * t], [0, 1, 0]])
        out.append(
            cv2.warpAffine(wide, matrix, (shape[1] + 80, shape[0]), flags=cv2.INTER_LINEAR)[:, : shape[1]]
        )
    return out


def test_a_translation_moves_and_does_nothing_else() -> None:
    quality = MotionQuality()
    frames = shifted(4, 5)
    for first, second in itertools.pairwise(frames):
        push(quality, first, second, flow(-4.0, 0.0, SHAPE))
    a = quality.arrays()
    assert a["motion"] == pytest.approx([4 / 64] * 4)
    assert a["chain"].tolist() == [0, 1, 2, 2]
    assert not a["repeat"].any()
    for name in ("mismatch", "deformation", "acceleration"):
        assert a[name] == pytest.approx([0.0] * 4, abs=1e-6), name
    assert (a["flicker"][1:] < 0.1).all()  # but for what the left border brings in


def test_mismatch_is_the_distance_of_the_two_flows() -> None:
    quality = MotionQuality()
    first, second = shifted(4, 2)
    quality.push(first, second, pair_of(flow(3.0, 0.0, SHAPE), flow(0.0, 4.0, SHAPE)))
    quality.push(second, first, pair_of(flow(300.0, 0.0, SHAPE), flow(0.0, 0.0, SHAPE)))
    assert quality.arrays()["mismatch"] == pytest.approx([5 / 64, 20 / 64], rel=1e-5)


def test_deformation_is_the_logarithm_of_the_area() -> None:
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    grow = np.dstack([0.1 * x, 0.2 * y])
    turn = np.dstack([(np.cos(0.3) - 1) * x - np.sin(0.3) * y, np.sin(0.3) * x + (np.cos(0.3) - 1) * y])
    quality = MotionQuality()
    first, second = shifted(4, 2)
    for field in (grow, turn.astype(np.float32), -2 * grow[..., ::-1] * 10):
        push(quality, first, second, np.ascontiguousarray(field))
        first, second = second, first
    a = quality.arrays()["deformation"]
    assert a[0] == pytest.approx(np.log(1.1 * 1.2), rel=1e-3)
    assert a[1] == pytest.approx(0.0, abs=1e-3)
    assert a[2] <= np.log(10) + 1e-6


def test_acceleration_follows_the_trajectory() -> None:
    quality = MotionQuality()
    first, second = shifted(4, 2)
    for step in (2.0, 2.0, 6.0, -1.0):
        push(quality, first, second, flow(step, 0.0, SHAPE))
        first, second = second, first
    assert quality.arrays()["acceleration"] == pytest.approx([0, 0, 4 / 64, 7 / 64], abs=1e-6)


def test_a_jerked_camera_shakes_and_bending_shapes_wobble() -> None:
    y, x = np.mgrid[-1:1:64j, -1:1:96j].astype(np.float32)
    turned = np.dstack([2 + 3 * x - y, -1 + x + 2 * y])
    bent = np.dstack([3 * np.sin(9 * x), 0 * y])
    quality = MotionQuality()
    first, second = shifted(0, 2)
    second = 255 - second
    for there in (np.zeros_like(turned), turned, turned, turned + bent):
        push(quality, first, second, np.ascontiguousarray(there, np.float32))
        first, second = second, first
    a = quality.arrays()
    assert a["shake"][0] == a["wobble"][0] == 0  # one pair alone has no change
    assert a["shake"][1] == pytest.approx(a["acceleration"][1], rel=0.1)
    assert a["shake"][1] > 0.03
    assert a["wobble"][1] < 0.02 * a["shake"][1]
    assert a["wobble"][3] == pytest.approx(np.abs(bent[..., 0]).mean() / 64, rel=0.25)


def test_the_camera_s_part_is_the_weighted_least_squares_one() -> None:
    rng = np.random.default_rng(0)
    field = rng.normal(size=(33, 45, 2)).astype(np.float32)
    weight = rng.random((33, 45)).astype(np.float32)
    part = np.s_[::COARSE, ::COARSE]
    rows, columns = field[part].shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    basis = np.stack([np.ones(x.size), x.ravel(), y.ravel()], axis=1)
    root = np.sqrt(weight[part].ravel())[:, None]
    flow = field[part].reshape(-1, 2)
    fit = np.linalg.lstsq(basis * root, flow * root, rcond=None)[0]
    lengths = [np.linalg.norm(v, axis=1) for v in (basis @ fit, flow - basis @ fit)]
    wanted = [np.average(v, weights=weight[part].ravel()) for v in lengths]
    assert _camera_and_rest(field[..., 0], field[..., 1], weight) == pytest.approx(wanted, rel=1e-4)
    assert np.isfinite(_camera_and_rest(field[..., 0], field[..., 1], np.zeros_like(weight))).all()


def test_light_that_blinks_is_flicker_and_not_motion() -> None:
    still = smooth(*SHAPE)
    calm = (still // 2 + 60).astype(np.uint8)
    quality = MotionQuality()
    for first, second in ((calm, calm + 10), (calm + 10, calm), (calm, calm + 10)):
        push(quality, first, second.astype(np.uint8), flow(0.0, 0.0, SHAPE))
    a = quality.arrays()
    half = cv2.GaussianBlur(
        cv2.resize(calm, (48, 32), interpolation=cv2.INTER_AREA).astype(np.float32), (3, 3), 0
    )
    assert a["flicker"] == pytest.approx([0, 20 / half.std(), 20 / half.std()], rel=1e-3)
    assert a["motion"].max() == 0
    assert a["difference"] == pytest.approx([10, 10, 10])


def test_a_mean_of_its_neighbours_has_no_second_difference() -> None:
    one, other = smooth(*SHAPE, 1) // 4 * 2, smooth(*SHAPE, 2) // 4 * 2
    between = ((one.astype(int) + other) // 2).astype(np.uint8)
    quality = MotionQuality()
    for first, second in ((one, between), (between, other), (other, one)):
        push(quality, first, second, flow(0.0, 0.0, SHAPE))
    found = quality.arrays()["second_difference"]
    assert found[1] < 0.05  # halving rounds
    assert found[2] > 0.5


def test_two_mixtures_that_meet_two_of_the_next_pair_have_no_third_difference() -> None:
    a, b, c = (smooth(*SHAPE, k).astype(int) // 4 * 4 for k in (1, 2, 3))
    mixed = [(3 * a + b) // 4, (a + 3 * b) // 4, (3 * b + c) // 4, (b + 3 * c) // 4]
    frames = [f.astype(np.uint8) for f in mixed]
    quality = MotionQuality()
    for first, second in itertools.pairwise([a.astype(np.uint8), *frames]):
        push(quality, first, second, flow(0.0, 0.0, SHAPE))
    found = quality.arrays()
    assert found["third_difference"][3] < 0.02  # halving rounds
    assert found["third_difference"][2] > 0.2


def test_noise_contradicts_itself() -> None:
    rng = np.random.default_rng(0)
    noise = np.repeat(rng.integers(0, 256, (4, *SHAPE, 1), dtype=np.uint8), 3, axis=3)
    bad, good = extract(noise), extract(panning(2))
    for name in ("mismatch", "deformation"):
        assert bad[f"quality_{name}"].min() > 5 * good[f"quality_{name}"].max(), name
    assert bad["quality_flicker"][1:].min() > 5 * good["quality_flicker"][1:].max()


def test_a_repeated_picture_is_passed_over() -> None:
    frames = example_clips(1)[0]
    once, twice = extract(frames), extract(np.repeat(frames, 2, axis=0))
    assert twice["quality_repeat"].tolist() == ([True, False] * len(frames))[:-1]
    moving = ~twice["quality_repeat"]
    for name in (*STATISTICS, "chain"):
        assert np.array_equal(twice[f"quality_{name}"][moving], once[f"quality_{name}"]), name
    assert (twice["quality_chain"][~moving] == -1).all()


def test_a_still_clip_has_repeats_only() -> None:
    features = extract(np.repeat(panning(1, 1), 4, axis=0))
    assert features["quality_repeat"].all()
    for name in STATISTICS:
        assert (features[f"quality_{name}"] == 0).all(), name


@pytest.mark.parametrize("block", [1, 2, 5, 12])
def test_blocks_do_not_change_a_bit(block: int) -> None:
    frames = np.concatenate([example_clips(1)[0][:6], example_clips(1)[0][5:9]])  # with a repeat in it
    whole, parts = extract(frames), extract(frames, block)
    for name in (*STATISTICS, "chain", "repeat"):
        assert np.array_equal(whole[f"quality_{name}"], parts[f"quality_{name}"]), name


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_clips_have_finite_arrays(count: int) -> None:
    features = extract(panning(2)[:count])
    for name in (*STATISTICS, "chain", "repeat"):
        array = features[f"quality_{name}"]
        assert array.shape == (max(0, count - 1),), name
        assert np.isfinite(array).all(), name
    assert features["quality_chain"].tolist() == [0, 1][: max(0, count - 1)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 96), (31, 200)])
def test_pictures_too_small_for_flow_have_no_statistics(height: int, width: int) -> None:
    features = extract(np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8))
    assert features["quality_chain"].tolist() == [-1] * 3
    assert not features["quality_repeat"].any()
    for name in STATISTICS:
        assert (features[f"quality_{name}"] == 0).all(), name


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 45), (91, 37), (32, 600)])
def test_odd_sizes_work(height: int, width: int) -> None:
    features = extract(np.random.default_rng(0).integers(0, 256, (5, height, width, 3), dtype=np.uint8))
    for name in STATISTICS:
        assert np.isfinite(features[f"quality_{name}"]).all(), name
        assert (features[f"quality_{name}"] >= 0).all(), name


def test_flat_pictures_give_numbers() -> None:
    grey = np.stack([np.full((48, 64, 3), v, np.uint8) for v in (10, 60, 10, 60, 10)])
    features = extract(grey)
    for name in STATISTICS:
        assert np.isfinite(features[f"quality_{name}"]).all(), name
    assert features["quality_flicker"][1:] == pytest.approx([100.0] * 3)


def test_it_holds_few_frames() -> None:
    quality = MotionQuality()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (30, *SHAPE), dtype=np.uint8)
    for first, second in itertools.pairwise(frames):
        push(quality, first, second, flow(0.0, 0.0, SHAPE))
    assert len(quality._pictures) == 3


def test_the_extractor_says_that_it_changed() -> None:
    assert MotionExtractor.version == 8
    assert MotionExtractor(MotionOptions()).fingerprint


def test_statistics_of_three_pictures_are_what_the_formulas_say() -> None:
    """By the book, in double precision, for textures that move along flows of every length."""
    pictures = [smooth(*SHAPE, k) for k in (1, 2, 3)]
    rng = np.random.default_rng(0)

    def field(spread: float) -> NDArray[np.float32]:
        return cv2.GaussianBlur(rng.normal(0, spread, (*SHAPE, 2)), (0, 0), 8).astype(np.float32)

    there = [field(60.0) + np.float32([1.5, -2]) for _ in "ab"]
    flows = [(f, field(15.0) - f) for f in there]
    quality = MotionQuality()
    pairs = []
    for (first, second), (onto, back) in zip(itertools.pairwise(pictures), flows, strict=True):
        pairs.append(compare(first, second, onto, back))
        assert quality.push(first, second, pairs[-1]) is pairs[-1]
    found = quality.arrays()

    half = (SHAPE[1] // 2, SHAPE[0] // 2)
    a, b, c = (
        cv2.GaussianBlur(
            cv2.resize(p, half, interpolation=cv2.INTER_AREA).astype(np.float32), (3, 3), 0
        ).astype(float)
        for p in pictures
    )
    y, x = np.indices(a.shape).astype(float)
    (ab, _), (bc, cb) = (
        [f[::2, ::2].astype(float) / 2 for f in both] for both in flows
    )  # in units of the grid
    one = (x + ab[..., 0], y + ab[..., 1])
    onward = [bilinear(bc[..., i], *one) for i in (0, 1)]
    ahead, end = bilinear(b, *one), bilinear(c, one[0] + onward[0], one[1] + onward[1])
    nearest = [np.rint(at).astype(int) for at in one]
    inside = (nearest[0] >= 0) & (nearest[0] < half[0]) & (nearest[1] >= 0) & (nearest[1] < half[1])
    seen = pairs[0].seen & inside
    seen[seen] = pairs[1].seen[nearest[1][seen], nearest[0][seen]]
    assert 0.05 < seen.mean() < 0.95
    lengths = [np.linalg.norm(f, axis=2).mean() * 2 / 64 for f in (ab, bc)]
    assert found["motion"] == pytest.approx(lengths, rel=1e-5)
    assert found["flicker"][1] == pytest.approx(np.abs(a - 2 * ahead + end)[seen].mean() / a.std(), rel=1e-3)
    assert abs(a.std() - b.std()) > 0.01 * a.std()  # or it would not matter whose it is divided by
    behind = bilinear(b, x + cb[..., 0], y + cb[..., 1])
    rows = np.stack([c - behind, a - behind, b - behind]).reshape(3, -1)
    assert found["before"][1] == pytest.approx(rows @ rows.T / rows.shape[1], rel=1e-3, abs=0.1)
