from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiny_bundled import install, save_domain
from vgaudit.errors import Unavailable
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_VIDEO
from vgaudit.zoo.domain import DomainModel, domain_distance, guard_for, read_domain

finite = st.floats(-1e3, 1e3)


@given(arrays(np.float64, 5, elements=finite), arrays(np.float64, 5, elements=finite))
def test_distance_is_mahalanobis_in_the_kept_directions(x: np.ndarray, mean: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    directions, _ = np.linalg.qr(rng.normal(size=(5, 3)))
    spread = np.array([2.0, 1.0, 0.5])
    model = DomainModel(mean, directions / spread, 1.0)
    covariance = directions @ np.diag(spread**2) @ directions.T
    expected = np.sqrt(max(0.0, (x - mean) @ np.linalg.pinv(covariance) @ (x - mean)))
    assert domain_distance(x, model) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert domain_distance(mean, model) == 0


def test_features_without_a_distance_are_refused() -> None:
    model = DomainModel(np.zeros(4), np.eye(4), 1.0)
    with pytest.raises(ValueError, match="not finite"):
        domain_distance([0, 0, np.nan, 0], model)
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(4,\)"):
        domain_distance([0, 0, 0], model)


def test_guards_are_those_of_the_bundled_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path / "bundled", monkeypatch, clip_threshold=0.5, video_threshold=2.0)
    assert guard_for("ViT-B-32/openai") is None
    assert guard_for("mine.safetensors") is None
    clip, video = guard_for(BUNDLED_CLIP), guard_for(BUNDLED_VIDEO)
    assert clip is not None
    assert video is not None
    assert (clip.threshold, video.threshold, clip.domain) == (0.5, 2.0, "storyworld")
    assert (clip.mean.shape, video.whitening.shape) == ((16,), (64, 3))
    save_domain(folder / BUNDLED_CLIP, 16, 5.0)
    os.utime(
        folder / BUNDLED_CLIP / "domain.safetensors", ns=(1, 1)
    )  # digests are kept until the time changes
    with pytest.raises(Unavailable, match="is pinned to"):  # a wider threshold is another file
        guard_for(BUNDLED_CLIP)
    (folder / BUNDLED_VIDEO / "domain.safetensors").unlink()
    with pytest.raises(Unavailable, match="is not there"):
        guard_for(BUNDLED_VIDEO)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mean": np.zeros(5, np.float32)}, "expected"),
        ({"whitening": np.zeros(4, np.float32)}, "expected"),
        ({"whitening": np.zeros((4, 0), np.float32)}, "expected"),
        ({"threshold": np.ones(2, np.float32)}, "expected"),
        ({"threshold": np.zeros(1, np.float32)}, "not positive"),
        ({"threshold": np.full(1, np.nan, np.float32)}, "not finite"),
        ({"threshold": np.full(1, np.inf, np.float32)}, "not finite"),
        ({"mean": np.full(4, np.nan, np.float32)}, "not finite"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    save_domain(tmp_path, 4, 1.0, change)
    with pytest.raises(ValueError, match=text):
        read_domain(tmp_path / "domain.safetensors")


def test_files_that_are_something_else(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="header"):
        read_domain(tmp_path / "text.safetensors")
    save_file({"mean": np.zeros(4, np.float32)}, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match="lacks threshold, whitening"):
        read_domain(tmp_path / "half.safetensors")
