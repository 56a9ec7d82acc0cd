"""How well a clip moves, as people would rate it: a few features of its flow, weighted, penalised and calibrated.

The features are ratios: how badly something moves over how much moves, so that a clip gains nothing by moving less.
Repeated pictures are left out of all of them. What is left to gain by repeating or mixing pictures is taken away by
three penalties that no rating was fitted to. Weights and calibration come from human ratings (``training/
temporal_quality.py``) and lie beside this file, with what they are worth; ``docs/metrics/temporal.md`` explains both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.metrics.freezes import FreezeReport
from vgaudit.stats import NOT_APPLICABLE_PREFIX

PREFIX = "quality_"
"""How the names of the arrays begin among those of the motion extractor."""

MIN_PAIRS = 5
"""Fewest pairs of distinct pictures: below, neither alternation nor a median says anything."""

FEATURES = ("acceleration", "deformation", "mismatch_unrest", "sharpness_unrest", "flicker")
"""All of them are worse the higher they are."""

SMALLEST_SIDE = 96
"""Pixels; pictures with a smaller short side have no score. The rated clips have 120 and more, and drawn clips of 64
pixels, whose edges move by half pixels, alternate as mixed frames do."""

TOO_SMALL = (
    f"{NOT_APPLICABLE_PREFIX} the picture's short side is under {SMALLEST_SIDE} pixels, less than that of any clip "
    "the score was fitted to"
)

LARGEST_SECOND = 1.2
"""Second differences above this count as this: how uneven ordinary motion is says nothing about mixed frames."""

TOO_STILL = f"{NOT_APPLICABLE_PREFIX} too little moves in this clip to judge how it moves"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coefficients:
    """What was fitted; see ``temporal_quality.json``, which holds them and how they were found.

    Attributes:
        means: Of each feature over the rated clips.
        scales: Standard deviations there, above 0.
        weights: Change of the predicted rating per standard deviation, at most 0.
        rating: Predicted rating (1 to 5) of a clip whose features are all at their means.
        limit: Standard deviations beyond which a feature counts no more.
        held: Points of rating that a clip loses whose pairs all repeat their picture.
        frozen: The same for one that is frozen all along.
        mixed: The same for each unit of rhythm above what ordinary clips have ...
        second_from: ... of second differences, ...
        third_from: ... and of third differences.
        intercept: Of the calibration.
        slope: Of the calibration, per point of rating, above 0.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    rating: float
    limit: float
    held: float
    frozen: float
    mixed: float
    second_from: float
    third_from: float
    intercept: float
    slope: float


@dataclass(frozen=True)
class ClipMotion:
    """What the score is made of.

    Attributes:
        features: float64 ``(5,)``, in the order of :data:`FEATURES`.
        held: Share of pairs that repeat their picture, 0..1.
        second: Rhythm of second differences in place, >= 0: how regularly frames mix their neighbours.
        third: Rhythm of third differences in place, >= 0.
    """

    features: Floats
    held: float = 0.0
    second: float = 0.0
    third: float = 0.0


@cache
def coefficients() -> Coefficients:
    """Those that the package brings along."""
    text = resources.files("vgaudit.metrics").joinpath("temporal_quality.json").read_text(encoding="utf-8")
    return parse_coefficients(json.loads(text))


def parse_coefficients(data: Mapping[str, Any]) -> Coefficients:
    """Read the fields ``features`` and ``score`` of ``temporal_quality.json``.

    Raises:
        ValueError: Features, signs or numbers are not what this code can use.
    """
    fitted = data["features"]
    if tuple(f["name"] for f in fitted) != FEATURES:
        raise ValueError(f"expected the features {', '.join(FEATURES)}")
    columns = {key: tuple(float(f[key]) for f in fitted) for key in ("mean", "scale", "weight")}
    score = {key: float(value) for key, value in data["score"].items()}
    found = Coefficients(columns["mean"], columns["scale"], columns["weight"], **score)
    if not all(np.isfinite([*found.means, *found.scales, *found.weights, *score.values()])):
        raise ValueError("expected finite numbers")
    if min(found.scales) <= 0 or max(found.weights) > 0 or found.slope <= 0:
        raise ValueError("expected positive scales and slope, and no positive weight")
    if min(found.held, found.frozen, found.mixed, found.second_from, found.third_from, found.limit) < 0:
        raise ValueError("expected no negative penalty or limit")
    return found


def clip_motion(arrays: Mapping[str, NDArray[Any]]) -> ClipMotion | str:
    """Features of a clip, or in words why it has none.

    Over pairs of distinct pictures, with ``m`` the mean motion and ``d2`` second differences over time:

    * ``acceleration``: log of (mean acceleration + 0.0002) / (m + 0.0005)
    * ``deformation``: log of (median deformation + 0.002) / (m + 0.0005)
    * ``mismatch_unrest``: log of (mean |d2 mismatch| / (mean mismatch + 0.0002) + 0.05)
    * ``sharpness_unrest``: log of (half the median |d2 log(sharpness + 0.5)| + 0.005)
    * ``flicker``: log of (median flicker + 0.002) / (m + 0.0005)^0.3

    and the rhythms, the mean of ``|log((r_t + 0.05) / (r_{t-1} + 0.05))|`` with ``r`` the ``second_difference``, 1.2
    at most, or the ``third_difference``: frames that were made from their neighbours alternate with others.

    Args:
        arrays: ``quality_*`` ``(T-1,)`` as :class:`~vgaudit.extractors.motion_quality.MotionQuality` describes them.
    """
    chain = np.asarray(arrays[PREFIX + "chain"])
    repeat = np.asarray(arrays[PREFIX + "repeat"], dtype=bool)
    get = {
        name: np.asarray(arrays[PREFIX + name], dtype=np.float64)
        for name in (
            "motion", "mismatch", "deformation", "acceleration", "flicker", "sharpness", "second_difference",
            "third_difference",
        )
    }  # fmt: skip
    if any(a.shape != chain.shape for a in (*get.values(), repeat)):
        raise ValueError(f"expected one value for each of {len(chain)} pairs in every array")
    distinct = chain >= 0
    n_distinct = int(np.count_nonzero(distinct))
    if n_distinct < MIN_PAIRS:
        return f"{n_distinct} pairs of frames differ; {MIN_PAIRS} are needed to judge how a clip moves"
    if not all(np.isfinite(a[distinct]).all() for a in get.values()):
        return "a statistic of a pair is not a finite number"
    moved = np.log(get["motion"][distinct].mean() + 5e-4)
    chained = chain >= 1
    mismatch = get["mismatch"][distinct]
    sharpness = np.log(get["sharpness"][distinct] + 0.5)
    unrest = np.abs(np.diff(mismatch, 2)).mean() / (mismatch.mean() + 2e-4)
    features = np.array(
        [
            np.log(get["acceleration"][chained].mean() + 2e-4) - moved,
            np.log(np.median(get["deformation"][distinct]) + 2e-3) - moved,
            np.log(unrest + 0.05),
            np.log(np.median(np.abs(np.diff(sharpness, 2))) / 2 + 5e-3),
            np.log(np.median(get["flicker"][chained]) + 2e-3) - 0.3 * moved,
        ]
    )
    return ClipMotion(
        features,
        held=float(np.count_nonzero(repeat)) / len(repeat),
        second=_rhythm(np.minimum(get["second_difference"][chained], LARGEST_SECOND)),
        third=_rhythm(get["third_difference"][chain >= 2]),
    )


def predicted_rating(clip: ClipMotion, frozen: float, c: Coefficients) -> float:
    """Points of rating, on the raters' scale of 1 to 5 but not bound to it.

    Args:
        clip: Features of the clip.
        frozen: Share of its pairs inside a freeze, 0..1.
        c: What was fitted.
    """
    z = np.clip((clip.features - np.array(c.means)) / np.array(c.scales), -c.limit, c.limit)
    return (
        c.rating
        + float(z @ np.array(c.weights))
        - c.held * clip.held
        - c.frozen * frozen
        - c.mixed * max(0.0, clip.second - c.second_from, clip.third - c.third_from)
    )


def quality_score(rating: float, c: Coefficients) -> float:
    """Score in (0, 1): ``1 / (1 + exp(-(intercept + slope * rating)))``, rising with the predicted rating."""
    exponent = float(np.clip(c.intercept + c.slope * rating, -30.0, 30.0))
    return float(1.0 / (1.0 + np.exp(-exponent)))


def temporal_quality(
    arrays: Mapping[str, NDArray[Any]], freezes: FreezeReport | None, side: int
) -> float | str:
    """The score of a clip in [0, 1], or in words why it has none.

    A clip in which nothing moves has no score: a frozen picture is no better than a moving one, and a missing score
    is no win. One that moves and then stops loses points for the share that is frozen.

    Args:
        arrays: As for :func:`clip_motion`.
        freezes: Of the same clip; ``None`` where too little moves to tell a freeze from stillness.
        side: Short side in pixels of the pictures that the flow ran on.
    """
    if freezes is None:
        return TOO_STILL
    if side < SMALLEST_SIDE:
        return TOO_SMALL
    clip = clip_motion(arrays)
    if isinstance(clip, str):
        return clip
    c = coefficients()
    return quality_score(predicted_rating(clip, freezes.fraction, c), c)


def _rhythm(differences: Floats) -> float:
    if len(differences) < 3:
        return 0.0
    return float(np.abs(np.diff(np.log(differences + 0.05))).mean())
