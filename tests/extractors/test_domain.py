"""The guard's extractor: which frames it looks at, what it keeps, and which files it runs. A tiny real network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.tiny_bundled import install, pin, save_guard
from vgaudit import registry
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.extractors.domain import DomainExtractor, DomainOptions
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import BUNDLED_GUARD, WEIGHTS

INFO = ClipInfo("c.mp4", 20, 12, 10.0, 10, 1.0, "h264", "mp4", "yuv420p")
VIDEO = np.random.default_rng(0).integers(0, 256, (10, 12, 20, 3), dtype=np.uint8)
CONSTANT = 100.0


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield install(tmp_path_factory.mktemp("domain") / "bundled", monkeypatch, CONSTANT)


def loaded(**options: Any) -> DomainExtractor:
    extractor = DomainExtractor(DomainOptions(device="cpu", **options))
    extractor.load()
    return extractor


def run(extractor: DomainExtractor, video: np.ndarray = VIDEO, block: int = 10) -> Features:
    extraction = extractor.start(INFO)
    for start in range(0, len(video), block):
        part = video[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / 10))
    return extraction.finish()


def test_every_fourth_frame_goes_through_the_network(bundled: Path) -> None:
    features = run(loaded())
    assert features["frame_index"].tolist() == [0, 4, 8]
    assert features["frame_index"].dtype == np.int64
    assert features["logit"].dtype == np.float32
    by_hand = VIDEO[::4].astype(np.float64).mean(axis=(1, 2, 3)) - CONSTANT
    np.testing.assert_allclose(features["logit"], by_hand, atol=1e-3)
    assert features.facts == {
        "weights": BUNDLED_GUARD,
        "weights_sha256": WEIGHTS[BUNDLED_GUARD].sha256,
        "bundled": True,
        "domain": "storyworld",
        "device": "cpu",
        "every": 4,
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10))
def test_blocks_and_other_frames_move_no_number(bundled: Path, every: int, block: int, length: int) -> None:
    extractor = loaded(every=every)
    features = run(extractor, VIDEO[:length], block)
    assert features["frame_index"].tolist() == list(range(0, length, every))
    alone = [run(extractor, VIDEO[i : i + 1])["logit"][0] for i in range(0, length, every)]
    np.testing.assert_array_equal(features["logit"], np.array(alone, dtype=np.float32))


def test_the_fingerprint_says_which_network_looks_at_what(
    bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fingerprint(**options: Any) -> str:
        return DomainExtractor(DomainOptions(**{"device": "cpu", **options})).fingerprint

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(every=2), fingerprint(device="cuda")}) == 3
    before = fingerprint()
    monkeypatch.setattr("vgaudit.extractors.domain.torch_release", lambda: "9.9")
    assert fingerprint() != before
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as other:
        install(bundled.parent / "other", other, CONSTANT + 1)
        assert fingerprint() != before


def test_only_the_pinned_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(tmp_path / "bundled", monkeypatch, CONSTANT) / BUNDLED_GUARD / "network.pt"
    save_guard(path, -1.0)  # one that lets everything through
    os.utime(path, ns=(1, 1))  # digests are kept until the time changes
    with pytest.raises(Unavailable, match="is pinned to"):
        loaded()
    path.unlink()
    with pytest.raises(
        Unavailable, match=r"storyworld-domain ships with vgaudit, but its file network\.pt is not"
    ):
        loaded()


class Odd(torch.nn.Module):
    """Not a number per picture."""

    def __init__(self, nan: bool) -> None:
        super().__init__()
        self.nan = nan

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.float().mean(dim=[2, 3])
        return y[:, 0] / 0.0 * 0.0 if self.nan else y


@pytest.mark.parametrize(("nan", "text"), [(True, "not finite"), (False, r"shape \(1, 3\); expected \(1,\)")])
def test_answers_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nan: bool, text: str) -> None:
    folder = install(tmp_path / "bundled", monkeypatch)
    with pytest.warns(FutureWarning):
        torch.jit.script(Odd(nan).eval()).save(str(folder / BUNDLED_GUARD / "network.pt"))
    pin(folder, monkeypatch)
    with pytest.raises(ValueError, match=text):
        run(loaded())


def test_wrong_use(bundled: Path) -> None:
    with pytest.raises(RuntimeError, match=r"load\(\)"):
        DomainExtractor(DomainOptions()).start(INFO)
    for wrong in ({"network": "storyworld-clip"}, {"every": 0}, {"stride": 2}):
        with pytest.raises(ValidationError):
            DomainOptions(**wrong)
    assert registry.load("extractors", "domain") is DomainExtractor


def test_constructing_imports_no_torch() -> None:
    code = (
        "import sys; from vgaudit.extractors.domain import *;"
        "DomainExtractor(DomainOptions()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
