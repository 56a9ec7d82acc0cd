"""The benchmark for a GPU runs on a CPU at toy size, counts what it says, and says what failed."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import generation
from benchmarks.gpu.clips import drawn
from benchmarks.gpu.measure import Ceilings, Report, settings, times, work_of


def test_operations_and_bytes_are_counted() -> None:
    layer, x = torch.nn.Linear(30, 20, bias=False), torch.randn(7, 30)
    flops, moved = work_of(lambda: layer(x))
    assert flops == 2 * 7 * 30 * 20
    assert moved == 4 * (7 * 30 + 30 * 20 + 7 * 20)


def test_attention_counts_though_its_joint_kernel_would_not() -> None:
    layer = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.randn(1, 5, 16)
    flops, _ = work_of(lambda: layer(x, x, x, need_weights=False))
    assert flops == 2 * 5 * 16 * (3 * 16 + 16) + 2 * 2 * 5 * 5 * 16
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_floor_is_the_larger_of_two_times() -> None:
    best = Ceilings({"fp32": 2.0}, 100.0)
    assert best.floor(4e12, 1e9, "fp32") == (2.0, "FLOPs")
    assert best.floor(4e12, 300e9, "fp32") == (3.0, "memory")


def test_every_run_is_timed() -> None:
    calls: list[int] = []
    found = times(lambda: calls.append(1), "cpu", 0.0, fewest=3)
    assert len(found) == 3
    assert len(calls) == 4  # one to warm up


def test_a_report_is_on_disk_before_its_part_ends(tmp_path: Path) -> None:
    report = Report(tmp_path / "out", "scoring", settings("cpu", True))
    report.add("clips", {"frames": 4})
    found = json.loads((tmp_path / "out" / "scoring.json").read_text())
    assert (found["clips"], found["complete"]) == ({"frames": 4}, False)
    report.done()
    assert json.loads((tmp_path / "out" / "scoring.json").read_text())["complete"] is True


def test_drawn_clips_repeat_and_move() -> None:
    clip = drawn(3, 4, 40, 60, [])
    assert clip.shape == (4, 40, 60, 3)
    assert (clip == drawn(3, 4, 40, 60, [])).all()
    assert (clip[0] != clip[1]).any()


def test_a_part_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(arguments: list[str], timeout: float, check: bool) -> Any:
        asked.append(arguments[4])
        if arguments[4] == "scoring":
            raise subprocess.TimeoutExpired(arguments, timeout)
        return Namespace(returncode=3 if arguments[4] == "generation" else 0)

    monkeypatch.setattr(subprocess, "run", run)
    args = Namespace(parts=",".join(command.LIMITS), work=None, toy=False)
    failed = command.run_all(args, ["--out", "x"])
    assert asked == list(command.LIMITS)
    assert failed == ["generation: exit code 3", f"scoring: cut off after {command.LIMITS['scoring']} s"]


def test_an_overhead_that_is_too_large_is_said(tmp_path: Path) -> None:
    report = Report(tmp_path, "generation", settings("cpu", True))
    row = dict.fromkeys(
        ("bare_call_s", "ours_call_s", "before_s", "after_s", "bare_whole_s", "ours_whole_s"), 1.0
    )
    for overhead, good in ((0.019, True), (0.021, False)):
        rows = [{**row, "bare_cycle_s": 1.0, "ours_cycle_s": 1 + overhead, "overhead": overhead}]
        assert generation._conclude(report, rows, 20, 0.1, toy=False) is good
    assert report.data["result"]["extra_s_a_clip"] == pytest.approx(0.021)


@pytest.mark.slow
def test_generation_runs_at_toy_size(tmp_path: Path) -> None:
    arguments = ["generation", "--toy", "--device", "cpu", "--out", str(tmp_path)]
    root = Path(command.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "generation.json").read_text())
    assert found["complete"]
    assert found["same_frames_as_bare"]
    assert len(found["rounds"]) == generation.TOY_ROUNDS
    assert found["transformer"]["tflop_per_forward"] > 0
