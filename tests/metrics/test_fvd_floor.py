"""Floors of groups with several clips a prompt, and of the reference sets that ship along."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgaudit.extractors.base import Features
from vgaudit.extractors.video_protocols import STORYWORLD
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext
from vgaudit.metrics.frechet import frechet_distance_from_features, reference_floor
from vgaudit.metrics.fvd import Fvd
from vgaudit.metrics.fvd_floor import floors
from vgaudit.metrics.fvd_options import FvdOptions
from vgaudit.metrics.fvd_reference import read_statistics, reference_path
from vgaudit.plan import Sample
from vgaudit.records import Result
from vgaudit.video import ClipInfo

D = 6
INFO = ClipInfo("c.mp4", 64, 48, 10.0, 16, 1.6, "h264", "mp4", "yuv420p")


def rows(prompts: int, a_prompt: int, alike: float, seed: int) -> np.ndarray:
    """Clips of one distribution; ``alike`` is the share of variance that clips of a prompt have in common."""
    rng = np.random.default_rng(seed)
    common = np.repeat(rng.normal(size=(prompts, D)), a_prompt, axis=0)
    mixed: np.ndarray = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=common.shape)
    return mixed


def names(prompts: int, a_prompt: int) -> list[str]:
    return [f"p{i:03}" for i in range(prompts) for _ in range(a_prompt)]


def clips(group: str, x: np.ndarray, prompts: list[str]) -> list[Measured]:
    metric = Fvd(FvdOptions(reference={"group": "real"}), MetricContext())
    out = []
    for i, (row, prompt) in enumerate(zip(x, prompts, strict=True)):
        embedding = np.stack([row, row]).astype(np.float32)
        features = {"video": Features({"embedding": embedding, "window_start": np.arange(2)}, {})}
        sample = Sample(f"{group}-{i:03}", prompt, "", group)
        out.append(
            Measured(
                sample,
                metric.measure(ClipView(sample, INFO, sha256(f"{group}{i}".encode()).hexdigest(), features)),
                features,
            )
        )
    return out


def result(**groups: list[Measured]) -> Result:
    metric = Fvd(FvdOptions(reference={"group": "real"}), MetricContext())
    planned = [m.sample for m in groups["model"]]
    return metric.summarize(groups["model"], SummaryContext("model", planned, groups))[0]


def test_one_clip_a_prompt_has_one_floor() -> None:
    made = floors(rows(200, 1, 0, 0), ["r"], names(40, 1), 1)
    assert set(made.detail) == {"floor"}
    assert made.detail["floor"]["n"] == 40
    assert made.note == ""


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_floor_of_clustered_clips_lies_between_the_two(alike: float) -> None:
    detail = floors(rows(400, 1, 0, 0), ["r"], names(20, 4), 1).detail
    low, high = detail["floor"]["value"], detail["floor_of_prompts"]["value"]
    assert (detail["floor"]["n"], detail["floor_of_prompts"]["n"]) == (80, 20)
    reference = rows(320, 1, 0, 1)
    faultless = [frechet_distance_from_features(rows(20, 4, alike, 10 + i), reference) for i in range(60)]
    where = (np.mean(faultless) - low) / (high - low)  # 0 at the floor of clips, 1 at that of prompts
    near = {0.0: (-0.1, 0.1), 0.5: (0.1, 0.9), 1.0: (0.75, 1.1)}[alike]
    assert near[0] < where < near[1]


def test_a_result_gives_both_floors_and_says_how_to_read_them() -> None:
    real = clips("real", rows(100, 1, 0, 0), [f"r{i}" for i in range(100)])
    made = result(model=clips("model", rows(20, 2, 0.7, 1), names(20, 2)), real=real)
    assert (made.n, made.n_clusters) == (40, 20)
    low, high = made.detail["floor"], made.detail["floor_of_prompts"]
    assert (low["n"], low["n_reference"], high["n"], high["n_reference"]) == (40, 60, 20, 80)
    assert low["value"] < high["value"]
    assert made.detail["floor_reading"].startswith("40 clips of 20 prompts: their floor lies between `floor`")
    assert (
        f"40 clips of 20 prompts: the floor lies not below {low['value']:.4g} (were those of one prompt independent) "
        f"and not above {high['value']:.4g} (were those of one prompt all alike)"
    ) in made.reason
    alone = result(model=clips("model", rows(40, 1, 0, 1), names(40, 1)), real=real)
    assert "floor" not in alone.reason
    assert {key for key in alone.detail if key.startswith("floor")} == {"floor"}


def test_one_bound_without_the_other() -> None:
    made = floors(rows(60, 1, 0, 0), ["r"], names(20, 2), 1)
    assert made.detail["floor"]["reason"] == "60 reference clips leave 20 against 40"
    high = made.detail["floor_of_prompts"]["value"]
    assert made.note == (
        f"40 clips of 20 prompts: the floor lies not above {high:.4g} (were those of one prompt all alike)"
    )
    made = floors(rows(60, 1, 0, 0), ["r"], ["p"] * 20, 1)
    assert made.detail["floor_of_prompts"]["reason"] == "1 clip has no covariance; expected two or more"
    assert "not above" not in made.note
    made = floors(rows(30, 1, 0, 0), ["r"], names(20, 2), 1)
    assert (made.detail["floor_of_prompts"]["status"], made.note) == ("not computed", "")
    assert set(floors(None, [], names(20, 2), 1).detail) == {"floor"}


def test_a_reference_with_several_clips_a_prompt_is_split_by_prompts() -> None:
    x, labels = rows(60, 2, 1.0, 0), names(60, 2)
    made = reference_floor(x, 20, 1, 0, clusters=labels)
    assert (made.n, made.n_rest) == (20, 80)
    # Clips of a prompt are alike here: were they on both sides, or twice on one, the distance would differ.
    apart = reference_floor(x[::2], 20, 1, 0)
    assert np.mean(made.values) == pytest.approx(np.mean(apart.values), rel=0.15)
    assert reference_floor(x, 41, 1, 0, clusters=labels).reason == (
        "120 reference clips of 60 prompts leave 38 against 41"
    )
    each = [str(i) for i in range(120)]
    assert reference_floor(x, 20, 1, 0).values == pytest.approx(
        reference_floor(x, 20, 1, 0, clusters=sorted(each)).values, rel=1e-9
    )
    with pytest.raises(ValueError, match="120 rows but 3 cluster labels"):
        reference_floor(x, 20, 1, 0, clusters=["a", "b", "c"])


@pytest.mark.parametrize("name", ["storyworld", "storyworld-ad", "storyworld-film", "storyworld-anime"])
def test_references_that_ship_along_have_floors_that_fall_with_n(name: str) -> None:
    stored = read_statistics(reference_path(name, Path()), STORYWORLD.ddof)
    assert stored.features is not None
    made: dict[str, Any] = floors(stored.features, [name], names(40, 2), STORYWORLD.ddof).detail
    at_80, at_40 = made["floor"], made["floor_of_prompts"]
    assert (at_80["status"], at_80["n"], at_40["status"], at_40["n"]) == ("computed", 80, "computed", 40)
    assert 0 < at_80["least"] <= at_80["value"] <= at_80["most"] < at_40["least"]
    assert at_40["value"] == pytest.approx(2 * at_80["value"], rel=0.2)  # the bias is about 1/n
