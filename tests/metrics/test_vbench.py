"""VBench's dimensions: equal to VBench's definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from vgaudit import registry
from vgaudit.extractors.base import Features
from vgaudit.metrics.base import ClipView, Metric, MetricContext
from vgaudit.metrics.vbench import VBench, VBenchOptions
from vgaudit.plan import Sample
from vgaudit.records import Measurement
from vgaudit.testing import check_metric, example_clips
from vgaudit.video import ClipInfo, Frames

INFO = ClipInfo("clip", 96, 64, 10.0, 12, 1.2, "raw", "array", "rgb24")


def metric() -> VBench:
    return VBench(VBenchOptions(), MetricContext())


def measure(mae: list[float]) -> Measurement:
    features = {"pixels": Features({"mae_next": np.array(mae)})}
    return metric().measure(ClipView(Sample("s", "p", "", "g"), INFO, "0" * 64, features))


def test_it_keeps_the_promises_of_a_metric() -> None:
    assert isinstance(metric(), Metric)
    check_metric(VBench)


@pytest.mark.parametrize("clip", range(3))
def test_temporal_flickering_is_vbenchs(clip: int) -> None:
    """The definition, written the plain way: mean absolute difference of neighbouring frames, then of those means."""
    frames = example_clips(3)[clip]
    differences = [
        np.mean(np.abs(a.astype(np.float64) - b.astype(np.float64))) for a, b in itertools.pairwise(frames)
    ]
    expected = (255.0 - np.mean(differences)) / 255.0
    cls = registry.load("extractors", "pixels")
    extractor = cls(cls.Options())
    extractor.load()
    extraction = extractor.start(INFO)
    extraction.push(Frames(frames, 0, np.arange(len(frames)) / 10))
    view = ClipView(Sample("s", "p", "", "g"), INFO, "0" * 64, {"pixels": extraction.finish()})
    assert metric().measure(view).values["temporal_flickering"] == pytest.approx(expected, abs=1e-6)


def test_ends_of_the_scale() -> None:
    assert measure([0.0, 0.0]).values["temporal_flickering"] == 1.0
    assert measure([255.0]).values["temporal_flickering"] == 0.0


@pytest.mark.parametrize(
    ("mae", "words"), [([], "fewer than two frames"), ([1.0, np.nan], "not a finite number")]
)
def test_no_number_without_evidence(mae: list[float], words: str) -> None:
    measurement = measure(mae)
    assert measurement.values == {}
    assert words in measurement.missing["temporal_flickering"]


@pytest.mark.parametrize(
    "options", [{"dimensions": ["motion_smoothness"]}, {"dimensions": []}, {"dimension": []}]
)
def test_dimensions_we_do_not_have_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VBenchOptions.model_validate(options)
