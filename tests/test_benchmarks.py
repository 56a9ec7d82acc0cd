"""The plain script is the yardstick: its numbers are ours, and the benchmark that compares them can fail."""

from __future__ import annotations

import importlib.util
import math
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.vbench import VBench, VBenchOptions
from vgaudit.plan import Sample
from vgaudit.video import ClipReader

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@cache
def script(name: str) -> ModuleType:
    """A benchmark as a module; it lies in no package."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def our_values(path: Path) -> dict[str, float]:
    """What the temporal metrics say of a clip, by full name."""
    with ClipReader(path) as reader:
        extractions: dict[str, Any] = {
            "pixels": PixelsExtractor().start(reader.info),
            "motion": MotionExtractor(MotionOptions()).start(reader.info),
        }
        for frames in reader:
            for extraction in extractions.values():
                extraction.push(frames)
        info = reader.info
    features: dict[str, Features] = {role: e.finish() for role, e in extractions.items()}
    clip = ClipView(Sample("s", "p", "", "g"), info, "", features)
    found: dict[str, float] = {}
    for metric in (
        Temporal(TemporalOptions(), MetricContext()),
        VBench(VBenchOptions(dimensions=["temporal_flickering"]), MetricContext()),
    ):
        found |= {f"{metric.name}.{k}": v for k, v in metric.measure(clip).values.items()}
    return found


@pytest.mark.parametrize("clip", ["real/0034.mp4", "zeroscope/0001.mp4"])
def test_our_numbers_are_the_plain_scripts(shared_data: Path, clip: str) -> None:
    path, naive = shared_data / "fetv" / clip, script("naive")
    plain = {
        "vbench.temporal_flickering": naive.temporal_flickering(path),
        "temporal.warp_error": naive.warp_error(path),
        "temporal.motion": naive.motion(path),
        "temporal.freeze_fraction": naive.freeze_fraction(path),
    }
    assert our_values(path) == pytest.approx(plain, rel=0, abs=script("fetv").TOLERANCE)


# Differences at which definitions part: nothing, traces, pulses, small and large movement; repeated, as clips do.
levels = st.sampled_from([0.0, 0.05, 0.29, 0.31, 0.6, 1.49, 1.51, 3.0, 7.9, 8.1, 30.0]) | st.floats(0, 40)
stretches = st.lists(st.tuples(levels, st.integers(1, 12)), min_size=1, max_size=12)


@given(stretches, st.sampled_from([8.0, 10.0, 24.0, 60.0]))
@settings(max_examples=150, deadline=None)
def test_freezes_are_defined_alike(runs: list[tuple[float, int]], fps: float) -> None:
    differences = [value for value, count in runs for _ in range(count)]
    times = np.arange(len(differences) + 1) / fps
    report = find_freezes(np.array(differences), times)
    plain = script("naive").frozen_share(differences, times)
    if report is None or plain is None:
        assert report is None
        assert plain is None
    else:
        assert report.fraction == pytest.approx(plain, abs=1e-12)


SAME: dict[str, dict[str, float | None]] = {"m.v": {"a": 0.5, "b": None}, "m.w": {"a": 1.0, "b": 2.0}}


@pytest.mark.parametrize(
    ("ours", "agrees"),
    [
        (SAME, True),
        ({**SAME, "m.v": {"a": 0.5 + 0.9e-5, "b": None}, "ours.only": {"a": 1.0}}, True),
        ({**SAME, "m.v": {"a": 0.5 + 1.1e-5, "b": None}}, False),
        ({**SAME, "m.v": {"a": 0.5, "b": 0.1}}, False),
        ({**SAME, "m.v": {"a": None, "b": None}}, False),
        ({**SAME, "m.v": {"b": None}}, False),
        ({**SAME, "m.v": {"a": 0.5, "b": None, "c": 0.1}}, False),
        ({**SAME, "m.v": {"a": math.nan, "b": None}}, False),
        ({"m.w": SAME["m.w"]}, False),
    ],
)
def test_the_comparison_can_fail(ours: dict[str, dict[str, float | None]], agrees: bool) -> None:
    found = script("fetv").comparisons(SAME, ours)
    assert [c.metric for c in found] == ["m.v", "m.w"]
    assert all(c.agrees for c in found) is agrees


@pytest.mark.parametrize("agrees", [True, False])
def test_the_benchmark_says_so_by_its_exit_code(
    agrees: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetv = script("fetv")

    def run(arguments: list[str], out: Path) -> tuple[float, str]:
        out.mkdir(exist_ok=True)
        (out / "manifest.json").write_text('{"decodes": 1, "timings": {}}')
        (out / "plan.jsonl").write_text("{}\n")
        (out / "results.json").write_text("[]")
        return 1.0, ""

    monkeypatch.setattr(fetv, "run", run)
    monkeypatch.setattr(fetv, "compare", lambda data, out, seconds: agrees)
    monkeypatch.setattr(sys, "argv", ["fetv.py", "--data", str(tmp_path), "--out", str(tmp_path / "run")])
    if agrees:
        fetv.main()
        return
    with pytest.raises(SystemExit) as ended:
        fetv.main()
    assert ended.value.code not in (0, None)
