"""``vgaudit reference`` as users meet it: texts, exit codes, and what an interrupt leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.in_process import ROOT, vgaudit
from tests.cli.test_commands import new_process
from vgaudit.cli.commands import app
from vgaudit.errors import UsageError
from vgaudit.storyworld.render import render
from vgaudit.storyworld.scene import random_scene
from vgaudit.video.encoding import EncoderSettings, encode

N = 16


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    for seed in range(9_300_000_000, 9_300_000_000 + N):
        frames = render(random_scene(seed), seed, width=48, height=48).frames
        encode(frames, 8.0, folder / f"{seed}.mp4", EncoderSettings())
    return folder


def build(
    *arguments: object, command: Callable[..., subprocess.CompletedProcess[str]] = vgaudit
) -> subprocess.CompletedProcess[str]:
    return command("reference", "build", *arguments, "--protocol", "fvd@storyworld")


def test_build_merge_show(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in (1, 2):
        done = build(clips, "--shard", f"{i}/2", "-o", tmp_path / f"{i}.safetensors")
        assert done.returncode == 0, done.stderr
        assert "embed: 8/8" in done.stderr
    again = build(clips, "--shard", "2/2", "-o", tmp_path / "2.safetensors", "-q")
    assert (again.returncode, again.stderr) == (0, "")
    assert "share 2/2 of these clips is there already" in again.stdout
    parts = [tmp_path / f"{i}.safetensors" for i in (1, 2)]
    out = tmp_path / "all.safetensors"
    done = vgaudit("reference", "merge", *parts, "-o", out)
    assert done.returncode == 0, done.stderr
    assert f"{out}: {N} clips, fvd@storyworld" in done.stdout
    for path in (out, parts[0]):
        app(["reference", "show", str(path)], standalone_mode=False)
        shown = capsys.readouterr().out
        assert "fvd@storyworld" in shown
        assert max(map(len, shown.splitlines())) <= 80
    for wrong in (parts[:1], [parts[0], parts[0]], [parts[0], out]):
        with pytest.raises(UsageError):
            app(
                ["reference", "merge", *map(str, wrong), "-o", str(tmp_path / "w.safetensors")],
                standalone_mode=False,
            )
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["absent"], 2, "found nothing there"),
        ([".", "--shard", "3/2"], 2, "expected i/N"),
        ([".", "-o", "r.npz"], 2, "ends in .safetensors"),
        ([".", "--sha256", "xyz"], 2, "sha256"),
    ],
)
def test_wrong_arguments(clips: Path, arguments: list[str], code: int, text: str) -> None:
    out = [] if "-o" in arguments else ["-o", "r.safetensors"]
    done = build(clips / arguments[0], *arguments[1:], *out)
    assert done.returncode == code, done.stdout + done.stderr
    assert text in done.stderr


def test_what_cannot_be_read_has_an_exit_code_of_its_own(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    out = tmp_path / "r.safetensors"
    done = build(clips, tmp_path / "broken.mp4", "-o", out, command=new_process)
    assert done.returncode == 4
    assert "broken.mp4: " in done.stderr
    assert not out.exists()
    done = build(clips, tmp_path / "broken.mp4", "-o", out, "--max-failed", "1")
    assert done.returncode == 0, done.stderr
    assert "  broken.mp4: " in done.stdout


def test_an_interrupt_leaves_no_half_file(clips: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.txt"
    folder = tmp_path / "out"
    folder.mkdir()
    for i in range(60):  # contents of their own, so that there is time to interrupt
        source = sorted(clips.iterdir())[i % N].read_bytes()
        (tmp_path / f"{i}.mp4").write_bytes(source + bytes([0, 0, 0, 9]) + b"free" + bytes([i]))
    many.write_text("".join(f"{i}.mp4\n" for i in range(60)))
    running = subprocess.Popen(
        [sys.executable, "-m", "vgaudit", "reference", "build", many, "--protocol", "fvd@storyworld",
         "--workers", "1", "-o", folder / "r.safetensors"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("look:"):
            break
    time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130, rest
    assert "interrupted; nothing was written" in rest
    assert list(folder.iterdir()) == []
