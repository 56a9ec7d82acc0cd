"""The command line as users and CI meet it: texts, exit codes, start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.in_process import ROOT, vgaudit
from tests.clips import clip_folder, write_suite


def new_process(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What users and CI meet. It takes a second or two: one of each kind of ending is enough."""
    return subprocess.run(
        [sys.executable, "-m", "vgaudit", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clips"), seeds=1)


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        ("", 0),
        ("gates: ['temporal.warp_error <= 0.99']\n", 0),
        ("gates: ['temporal.warp_error <= 0.0000001']\n", 3),
        ("gates: ['temporal.warp_error <= 0.0000001', 'fvd.distance <= 3']\n", 2),
        ("gates: [{metric: temporal.warp_error, max: 0.0000001, severity: warn}]\n", 0),
    ],
)
def test_exit_codes_of_run(clips: Path, tmp_path: Path, gates: str, code: int) -> None:
    command = new_process if code in (2, 3) else vgaudit
    done = command("run", write_suite(tmp_path / "s.yaml", clips, gates), "--out", tmp_path / "run")
    assert done.returncode == code, done.stdout + done.stderr
    if code != 2:
        assert (
            done.stdout.rstrip().splitlines()[-1] == f"report: {tmp_path / 'run' / 'report' / 'index.html'}"
        )


def test_exit_zero_keeps_errors(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips, "gates: ['temporal.warp_error <= 0.0000001']\n")
    assert new_process("run", suite, "--out", tmp_path / "run", "--exit-zero").returncode == 0
    assert vgaudit("gate", tmp_path / "run").returncode == 3
    assert vgaudit("run", tmp_path / "absent.yaml", "--exit-zero").returncode == 2


def test_gates_of_another_suite(clips: Path, tmp_path: Path) -> None:
    write_suite(tmp_path / "s.yaml", clips)
    assert vgaudit("run", tmp_path / "s.yaml", "--out", tmp_path / "run").returncode == 0
    write_suite(tmp_path / "strict.yaml", clips, "gates: ['temporal.warp_error <= 0.0000001']\n")
    done = vgaudit("gate", tmp_path / "run", "--suite", tmp_path / "strict.yaml")
    assert done.returncode == 3
    assert "temporal.warp_error <= 1e-07" in done.stdout


def test_weights_that_cannot_be_had_do_not_stop_the_rest(clips: Path, tmp_path: Path) -> None:
    extra = (
        "  fvd: {reference: {group: alpha}}\ngates: ['fvd.distance <= 100', 'temporal.warp_error <= 0.99']\n"
    )
    done = vgaudit("run", write_suite(tmp_path / "s.yaml", clips, extra), "--out", tmp_path / "run")
    assert done.returncode == 4, done.stdout + done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    status = {r["name"]: r["status"] for r in results if r["group"] == "beta"}
    assert status["fvd.distance"] == "not computed"
    assert status["temporal.warp_error"] == "computed"


def test_a_run_without_a_distance_cites_nothing(clips: Path, tmp_path: Path) -> None:
    assert vgaudit("run", write_suite(tmp_path / "s.yaml", clips), "--out", tmp_path / "run").returncode == 0
    done = vgaudit("cite", tmp_path / "run")
    assert done.returncode == 2
    assert "nothing to cite" in done.stderr
    assert "no metric fvd" in done.stderr
    assert done.stdout == ""


def test_dry_run_touches_nothing(clips: Path, tmp_path: Path) -> None:
    done = vgaudit("run", write_suite(tmp_path / "s.yaml", clips), "--out", tmp_path / "run", "--dry-run")
    assert done.returncode == 0
    assert "6 (alpha: 3, beta: 3)" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["score", "absent"], "expected a run directory, a folder of clips, or a clip, found nothing there"),
        (["gate", "absent"], "expected a run directory"),
        (["report", "absent"], "expected a run directory"),
        (["run", "adz"], "did you mean 'ads'"),
        (["run", "ads", "--backend", "nonsense"], "expected TYPE:WHAT"),
        (["run", "ads", "--gallery", "absent"], "expected a folder of people, one picture or a"),
        (["score", ".", "--use", "ads"], "--use is held against consents; expected --gallery with it"),
        (
            ["score", ".", "--gallery", "none", "--cohort", "x"],
            "--cohort calibrates a gallery; expected --gallery",
        ),
        (["list", "metric"], "did you mean 'metrics'"),
        (["init", "--from", "absent"], "expected a folder of clips"),
    ],
)
def test_wrong_use_says_what_was_expected(tmp_path: Path, arguments: list[str], text: str) -> None:
    done = vgaudit(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("gallery", ["none", "./none"])
def test_no_gallery_is_not_a_folder_of_that_name(tmp_path: Path, gallery: str) -> None:
    (tmp_path / "none").mkdir()
    done = vgaudit("run", "ads", "--gallery", gallery, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert ("says that there is no gallery" in done.stderr) == (gallery == "none")


def test_faces_can_be_counted_without_a_gallery(tmp_path: Path) -> None:
    done = vgaudit("run", "likeness_demo", "--gallery", "none", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "c").mkdir()
    np.save(tmp_path / "c" / "one.npy", np.full((6, 64, 64, 3), 90, np.uint8))
    scored = vgaudit(
        "score", "c", "--fps", 6, "--gallery", "none", "--out", "run", "--exit-zero", cwd=tmp_path
    )
    assert scored.returncode == 0, scored.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert manifest["metrics"]["likeness"]["gallery"] == "none"


def test_the_use_of_finished_clips_reaches_the_audit(tmp_path: Path) -> None:
    from vgaudit.pipeline.prepare import census_suite

    (tmp_path / "c").mkdir()
    (tmp_path / "people" / "a").mkdir(parents=True)
    loaded = census_suite(tmp_path / "c", gallery=tmp_path / "people", use="ads")
    (likeness,) = [m for m in loaded.metrics if m.name == "likeness"]
    assert likeness.raw["use"] == "ads"


@pytest.mark.parametrize(("backend", "look"), [("storyworld", "ad"), ("storyworld:anime", "anime")])
def test_any_suite_of_the_grammar_can_be_drawn(tmp_path: Path, backend: str, look: str) -> None:
    done = vgaudit(
        "generate",
        "ads",
        "--backend",
        backend,
        "--limit",
        1,
        "--set",
        "seeds=1",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (tmp_path / "run" / "clips").glob("*.json")
    assert json.loads(record.read_text("utf-8"))["facts"]["scene"]["look"] == look


def test_help_is_quick_and_light() -> None:
    def seconds(*command: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT)
        return time.perf_counter() - begin

    # In turns, so that what else the machine does meanwhile slows both.
    both = [(seconds("-m", "vgaudit", "--help"), seconds("-c", "import typer")) for _ in range(5)]
    assert min(ours for ours, _ in both) <= 3 * min(typer for _, typer in both)
    code = (
        "import sys; sys.argv = ['vgaudit', '--help']\n"
        "from vgaudit.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["gate", "report"])
def test_gate_and_report_load_no_torch(clips: Path, tmp_path: Path, command: str) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips, "gates: ['temporal.motion >= 0']\n")
    vgaudit("run", suite, "--out", tmp_path / "run")
    code = (
        f"import sys; sys.argv = ['vgaudit', {command!r}, {str(tmp_path / 'run')!r}]\n"
        "from vgaudit.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code, e.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_list_and_schema_and_validate(clips: Path, tmp_path: Path) -> None:
    for what in ("backends", "metrics", "extractors", "embedders", "suites"):
        done = vgaudit("list", what)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    assert "temporal.warp_error" in vgaudit("list", "metrics").stdout
    assert json.loads(new_process("schema").stdout)["type"] == "object"
    done = vgaudit("validate", write_suite(tmp_path / "s.yaml", clips))
    assert "6 samples, 3 prompts, 2 group(s)" in done.stdout


def test_init_from_a_folder_runs_as_it_is(clips: Path, tmp_path: Path) -> None:
    done = vgaudit("init", tmp_path / "new", "--from", clips)
    assert done.returncode == 0, done.stderr
    suite = next((tmp_path / "new").glob("*.yaml"))
    assert vgaudit("validate", suite).returncode == 0, vgaudit("validate", suite).stderr


def test_an_interrupt_says_how_to_go_on(clips: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.yaml", clips)
    code = (
        "import os, signal, sys, time\n"
        "from vgaudit.pipeline.generation import ClipStore\n"
        # A shell that starts something in the background has it ignore this signal: take it up again.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        # The sleep is where the signal arrives: it may come a moment after it was sent.
        "ClipStore.put = lambda *a: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5))\n"
        f"sys.argv = ['vgaudit', 'run', {str(suite)!r}, '--out', {str(tmp_path / 'run')!r}]\n"
        "from vgaudit.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 130, done.stderr
    assert "the same command continues" in done.stderr
    assert vgaudit("run", suite, "--out", tmp_path / "run").returncode == 0


def test_wrong_options_are_usage_errors() -> None:
    done = new_process("run", "ads", "--limt", 3)
    assert done.returncode == 2
    assert "--limit" in done.stderr
