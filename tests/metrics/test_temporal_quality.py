"""The score of temporal quality: its coefficients, what moves it, what has none, and that stopping never wins."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.metrics.test_temporal import load, measure_frames
from vgaudit.extractors.motion_quality import STATISTICS
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal_quality import (
    FEATURES,
    MIN_PAIRS,
    TOO_SMALL,
    TOO_STILL,
    ClipMotion,
    clip_motion,
    coefficients,
    parse_coefficients,
    predicted_rating,
    quality_score,
    temporal_quality,
)
from vgaudit.testing import example_clips

SHIPPED = json.loads(resources.files("vgaudit.metrics").joinpath("temporal_quality.json").read_text())
MOVES = find_freezes(np.full(10, 5.0), np.arange(11) / 10)


def arrays(pairs: int = 10, **other: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    given: dict[str, NDArray[np.generic]] = {n: rng.uniform(0.5, 1.5, pairs) * 0.02 for n in STATISTICS}
    given |= {"sharpness": rng.uniform(9, 11, pairs), "second_difference": np.full(pairs, 1.0)}
    given |= {"third_difference": np.full(pairs, 0.7), "repeat": np.zeros(pairs, bool)}
    given |= {"chain": np.minimum(np.arange(pairs), 2)}
    return {f"quality_{name}": array for name, array in (given | other).items()}


def features_of(given: dict[str, NDArray[np.generic]]) -> ClipMotion:
    clip = clip_motion(given)
    assert isinstance(clip, ClipMotion)
    return clip


# -- coefficients ----------------------------------------------------------------------------------


def test_the_shipped_coefficients_say_where_they_come_from() -> None:
    c = coefficients()
    assert tuple(f["name"] for f in SHIPPED["features"]) == FEATURES
    assert len(c.weights) == len(FEATURES)
    assert max(c.weights) <= 0
    assert sum(c.weights) < -0.3
    assert {"data", "clips", "index_sha256", "method", "command"} <= SHIPPED["fit"].keys()
    for found in SHIPPED["validation"].values():
        if "value" in found:
            assert found["low"] <= found["value"] <= found["high"]


def test_the_shipped_numbers_keep_the_floors_they_are_sold_with() -> None:
    v = SHIPPED["validation"]
    assert v["pooled Spearman, crossed by prompt"]["value"] >= 0.72
    assert v["within models, each left out of the fit"]["value"] >= 0.30
    assert v["within models, each left out of the fit"]["low"] > 0
    for name, found in v.items():
        if name.startswith("copies: frozen"):
            assert found["higher"] == 0, name
        if re.fullmatch("copies: (doubled|slowed)[^0-9]*", name):  # what x264 hides, the docs tell
            assert found["higher"] <= 0.05 * found["clips"], name


def test_they_were_fitted_on_the_ratings_at_hand(shared_data: Path) -> None:
    index = (shared_data / "fetv" / "index.csv").read_bytes()
    assert hashlib.sha256(index).hexdigest() == SHIPPED["fit"]["index_sha256"]


@pytest.mark.parametrize(
    "change",
    [
        {"features": SHIPPED["features"][:-1]},
        {"features": [{**SHIPPED["features"][0], "weight": 0.1}, *SHIPPED["features"][1:]]},
        {"features": [{**SHIPPED["features"][0], "scale": 0.0}, *SHIPPED["features"][1:]]},
        {"score": {**SHIPPED["score"], "slope": -1.0}},
        {"score": {**SHIPPED["score"], "frozen": -1.0}},
        {"score": {**SHIPPED["score"], "rating": float("nan")}},
    ],
)
def test_coefficients_that_cannot_be_meant_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_coefficients({**SHIPPED, **change})


# -- features and score ----------------------------------------------------------------------------


def test_features_follow_their_formulas() -> None:
    given = arrays(6)
    clip = features_of(given)
    moved = np.log(given["quality_motion"].mean() + 5e-4)
    mismatch, sharp = given["quality_mismatch"], np.log(given["quality_sharpness"] + 0.5)
    unrest = np.abs(mismatch[2:] - 2 * mismatch[1:-1] + mismatch[:-2]).mean() / (mismatch.mean() + 2e-4)
    expected = [
        np.log(given["quality_acceleration"][1:].mean() + 2e-4) - moved,
        np.log(np.median(given["quality_deformation"]) + 2e-3) - moved,
        np.log(unrest + 0.05),
        np.log(np.median(np.abs(sharp[2:] - 2 * sharp[1:-1] + sharp[:-2])) / 2 + 5e-3),
        np.log(np.median(given["quality_flicker"][1:]) + 2e-3) - 0.3 * moved,
    ]
    assert clip.features == pytest.approx(np.array(expected))
    assert (clip.held, clip.second, clip.third) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("feature", range(len(FEATURES)))
def test_no_feature_raises_the_score(feature: int) -> None:
    c = coefficients()
    better, worse = np.array(c.means), np.array(c.means)
    worse[feature] += 1.0 * c.scales[feature]
    first, second = (quality_score(predicted_rating(ClipMotion(f), 0.0, c), c) for f in (better, worse))
    assert 0 < second <= first < 1
    worse[feature] += 100 * c.scales[feature]
    assert predicted_rating(ClipMotion(worse), 0.0, c) >= 1.0 - 4.0  # one feature alone does not decide


def test_holding_freezing_and_mixing_cost() -> None:
    c = coefficients()
    f = np.array(c.means)

    def rating(frozen: float = 0.0, **other: float) -> float:
        return predicted_rating(ClipMotion(f, **other), frozen, c)

    plain = rating()
    assert rating(held=0.5) == pytest.approx(plain - 0.5 * c.held)
    assert rating(frozen=0.5) == pytest.approx(plain - 0.5 * c.frozen)
    assert rating(second=c.second_from, third=c.third_from) == pytest.approx(plain)
    assert rating(second=c.second_from + 1) == pytest.approx(plain - c.mixed)
    assert rating(third=c.third_from + 1) == pytest.approx(plain - c.mixed)


def test_a_rhythm_of_differences_is_seen() -> None:
    second = features_of(arrays(12, second_difference=np.array([0.0, 1.0] * 6)))
    third = features_of(arrays(12, third_difference=np.array([0.0, 0.7] * 6)))
    assert (second.second, second.third) == (pytest.approx(np.log(1.05 / 0.05)), 0.0)
    assert (third.second, third.third) == (0.0, pytest.approx(np.log(0.75 / 0.05)))


# -- what has no score -----------------------------------------------------------------------------


def test_too_few_distinct_pairs_are_said() -> None:
    why = temporal_quality(arrays(MIN_PAIRS - 1), MOVES, 256)
    assert isinstance(why, str)
    assert f"{MIN_PAIRS} are needed" in why
    assert isinstance(temporal_quality(arrays(MIN_PAIRS), MOVES, 96), float)
    assert isinstance(temporal_quality(arrays(0), MOVES, 256), str)


def test_stillness_has_no_score() -> None:
    assert temporal_quality(arrays(), None, 256) == TOO_STILL


def test_small_pictures_have_no_score() -> None:
    assert temporal_quality(arrays(), MOVES, 95) == TOO_SMALL
    assert measure_frames(example_clips(1)[0]).missing["quality"] == TOO_SMALL


def test_nan_never_becomes_a_number() -> None:
    broken = arrays(10, mismatch=np.full(10, np.nan))
    assert "not a finite number" in str(temporal_quality(broken, MOVES, 256))


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one value for each of 10 pairs"):
        clip_motion(arrays(10, mismatch=np.zeros(9)))


# -- of frames -------------------------------------------------------------------------------------


def score(frames: NDArray[np.uint8]) -> float | None:
    return measure_frames(frames).values.get("quality")


def test_a_clip_has_a_score_in_the_unit_interval() -> None:
    found = score(example_clips(1)[0].repeat(2, axis=1).repeat(2, axis=2))
    assert found is not None
    assert 0 <= found <= 1


def test_a_frozen_picture_has_no_score_and_a_reason() -> None:
    frames = np.repeat(example_clips(1)[0][:1], 12, axis=0)
    assert measure_frames(frames).missing["quality"] == TOO_STILL


@pytest.mark.parametrize(
    "clip",
    [
        "real/0060.mp4",
        "zeroscope/0001.mp4",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("real/0034.mp4", "cogvideo/0034.mp4", "text2video-zero/0001.mp4")
        ),
    ],
)
def test_stopping_repeating_and_mixing_do_not_win(shared_data: Path, clip: str) -> None:
    frames = load(shared_data / "fetv" / clip)
    plain = score(frames)
    assert plain is not None
    assert score(np.repeat(frames[:1], len(frames), axis=0)) is None
    middle = len(frames) // 2
    stopped = np.concatenate(
        [frames[:middle], np.repeat(frames[middle : middle + 1], len(frames) - middle, axis=0)]
    )
    assert (score(stopped) or 0.0) < plain
    assert (score(np.repeat(frames, 2, axis=0)) or 0.0) < plain
    mixed = [f for a, b in itertools.pairwise(frames) for f in (a, cv2.addWeighted(a, 0.5, b, 0.5, 0))]
    assert (score(np.stack(mixed)) or 0.0) < plain


def test_frames_out_of_order_score_lower(shared_data: Path) -> None:
    for clip in ("real/0001.mp4", "real/0079.mp4", "zeroscope/0001.mp4"):
        frames = load(shared_data / "fetv" / clip)[:16]
        order = np.random.default_rng(0).permutation(len(frames))
        good, bad = score(frames), score(frames[order])
        assert good is not None
        assert (bad or 0.0) < good


@pytest.mark.slow
def test_people_agree_with_the_score(shared_data: Path) -> None:
    """In sample; ``training/temporal_quality.py`` has the honest numbers."""
    from scipy.stats import spearmanr

    with (shared_data / "fetv" / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["model"] != "real"]
    scores = [score(load(shared_data / "fetv" / r["path"])) for r in rows]
    assert all(s is not None for s in scores)
    assert spearmanr(scores, [float(r["temporal_quality"]) for r in rows])[0] > 0.7
