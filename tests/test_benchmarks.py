"""The plain script is the yardstick: its numbers are ours, and the benchmark that compares them can fail."""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
import math
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.clips import moving_square, write_clip
from tests.tiny_clip import save_tiny_clip
from tests.tiny_i3d import save_tiny_i3d
from vgaudit.extractors.base import Features
from vgaudit.extractors.motion import MotionExtractor, MotionOptions
from vgaudit.extractors.pixels import PixelsExtractor
from vgaudit.metrics.base import ClipView, MetricContext
from vgaudit.metrics.freezes import find_freezes
from vgaudit.metrics.temporal import Temporal, TemporalOptions
from vgaudit.metrics.vbench import VBench, VBenchOptions
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Sample
from vgaudit.suite import load_suite
from vgaudit.video import ClipReader
from vgaudit.video.encoding import EncoderSettings, encode

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
        "temporal.dynamic_degree": naive.dynamic_degree(path),
        "temporal.freeze_fraction": naive.freeze_fraction(path),
    }
    ours = our_values(path)
    assert 0 <= ours.pop("temporal.quality") <= 1  # fitted, not defined: the plain script has no such number
    assert ours == pytest.approx(plain, rel=0, abs=script("fetv").TOLERANCE)


def held_clips() -> dict[str, NDArray[np.uint8]]:
    """A pan on twos, on threes, converted from 24 to 30 frames, frozen in the middle, at the end, and all along; and
    a small thing that moves too little for a clip's own tolerance."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (64, 400, 3), dtype=np.uint8), (0, 0), 2)
    pan = np.stack([wide[:, x : x + 96] for x in np.cumsum([0, *[1, 2, 0, 3] * 5])])
    small = np.repeat(wide[None, :, :96], 20, axis=0)
    for t, picture in enumerate(small):
        picture[30:34, 40 + t : 44 + t] = 90
    return {
        "twos": np.repeat(pan, 2, axis=0),
        "threes": np.repeat(pan, 3, axis=0),
        "converted": pan[np.arange(26) * 24 // 30],
        "frozen": np.concatenate([pan[:9], np.repeat(pan[8:9], 9, axis=0), pan[9:]]),
        "stopped": np.concatenate([pan[:9], np.repeat(pan[8:9], 9, axis=0)]),
        "still": np.repeat(pan[:1], 9, axis=0),
        "small": np.repeat(small, 2, axis=0),
    }


@pytest.mark.parametrize("crf", [10, 28])
@pytest.mark.parametrize("name", ["twos", "threes", "converted", "frozen", "stopped", "still", "small"])
def test_held_pictures_are_defined_alike(tmp_path: Path, name: str, crf: int) -> None:
    for fps in (5, 12, 24):
        path = tmp_path / f"{fps}.mp4"
        encode(held_clips()[name], fps, path, EncoderSettings(crf=crf))
        plain = script("naive").dynamic_degree(path)
        assert our_values(path)["temporal.dynamic_degree"] == pytest.approx(plain, abs=1e-12)
        if name in ("still", "small"):
            assert plain == 0


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two models, longer than I3D's window, with a tiny CLIP, a tiny I3D, and a suite that uses both."""
    folder = tmp_path_factory.mktemp("networks")
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "prompt", "prompt_id", "model"])
        for m, model in enumerate(("alpha", "real")):
            for i in range(16):
                clip = moving_square(100 * m + i, frames=16 + i % 4, size=32)
                write_clip(folder / f"{model}{i}.mp4", clip)
                prompt = f"a square over ground number {i}" if i else ""
                rows.writerow([f"{model}{i}.mp4", prompt, f"p{i}", model])
    save_tiny_clip(folder / "clip")
    sha256 = save_tiny_i3d(folder / "tiny_i3d.pt")
    (folder / "suite.yaml").write_text(
        "name: networks\n"
        "backend: {type: files, root: ., index: index.csv}\n"
        "metrics:\n"
        "  prompt_alignment: {config: clip/open_clip_config.json, pretrained: clip/tiny_clip.safetensors}\n"
        f"  fvd: {{reference: {{group: real}}, weights: tiny_i3d.pt, sha256: {sha256}}}\n"
    )
    return folder


@pytest.mark.slow
def test_the_numbers_of_networks_are_the_plain_scripts(
    networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {
        "--root": networks, "--index": networks / "index.csv", "--out": networks / "naive.json",
        "--clip-config": networks / "clip" / "open_clip_config.json",
        "--clip-checkpoint": networks / "clip" / "tiny_clip.safetensors",
        "--i3d": networks / "tiny_i3d.pt", "--fvd-reference": "real",
    }  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["naive.py", *(str(a) for pair in arguments.items() for a in pair)])
    script("naive").main()
    plain = json.loads((networks / "naive.json").read_text())["values"]

    finished = execute(prepare(load_suite(networks / "suite.yaml")), networks / "run", workers=1)
    assert finished is not None
    sources = {s.sample_id: str(s.source) for s in prepare(load_suite(networks / "suite.yaml")).plan}
    ours: dict[str, dict[str, float | None]] = {}
    for row in pq.read_table(networks / "run" / "measurements.parquet").to_pylist():
        ours.setdefault(row["metric"], {})[sources[row["sample_id"]]] = row["value"]
    ours["fvd.distance"] = {
        r.group: r.value for r in finished.data.results if r.name == "fvd.distance" and r.group != "real"
    }
    names = ("prompt_alignment.clip_score", "prompt_alignment.clipsim", "fvd.distance")
    found = script("fetv").comparisons({name: plain[name] for name in names}, ours)
    assert [(c.metric, c.both) for c in found] == list(zip(names, (30, 30, 1), strict=True))
    assert all(c.agrees for c in found), found
    assert plain["fvd.distance"]["alpha"] > 1e-3


def test_the_plain_script_imports_nothing_of_vgaudit() -> None:
    tree = ast.parse((BENCHMARKS / "naive.py").read_text("utf-8"))
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert "numpy" in modules
    assert not {m for m in modules if m.partition(".")[0] in ("vgaudit", "tests", "")}


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


def test_the_report_of_the_scale_benchmark_can_be_written(tmp_path: Path) -> None:
    scale = script("report_scale")
    data = scale.build(tmp_path, 8, 2, 12)
    assert {d["status"] for d in data.comparisons["differences"]} == {"computed"}
    scale.written(data, tmp_path / "report")
    assert 0 < scale.weighed(tmp_path / "report") < scale.MOST_BYTES
