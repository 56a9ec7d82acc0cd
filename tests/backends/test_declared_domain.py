"""What a backend declares of its clips: it changes how they are judged, and neither their ids nor their bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.clips import moving_square, write_clip
from tests.tiny_models import save_tiny_gan_torchscript
from vgaudit.backends.base import BackendContext, PromptSpec, VideoRequest
from vgaudit.backends.command import CommandBackend, CommandOptions
from vgaudit.backends.diffusers import DiffusersBackend, DiffusersOptions
from vgaudit.backends.files import FilesBackend, FilesOptions
from vgaudit.backends.gan import GanBackend, GanOptions
from vgaudit.backends.storyworld import StoryworldBackend
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Plan
from vgaudit.rundir import RunDir
from vgaudit.suite import load_suite

PROMPTS = [PromptSpec("p0", "a dog")]


def files(base: Path, **domain: str) -> FilesBackend:
    (base / "clips").mkdir(exist_ok=True)
    (base / "clips" / "a.mp4").write_bytes(b"not decoded here")
    return FilesBackend(FilesOptions(root="clips", **domain), BackendContext(base))


def gan(base: Path, **domain: str) -> GanBackend:
    if not (base / "g.pt").is_file():
        save_tiny_gan_torchscript(base / "g.pt")
    return GanBackend(GanOptions(model="g.pt", z_dim=8, fps=8, device="cpu", **domain), BackendContext(base))


def command(base: Path, **domain: str) -> CommandBackend:
    options = CommandOptions(argv=("{python}", "{request}", "{output}"), **domain)
    return CommandBackend(options, BackendContext(base, video=VideoRequest(frames=4, fps=8)))


def diffusers(base: Path, **domain: str) -> DiffusersBackend:
    (base / "pipeline").mkdir(exist_ok=True)
    (base / "pipeline" / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    return DiffusersBackend(DiffusersOptions(model="pipeline", **domain), BackendContext(base))


@pytest.mark.parametrize("make", [files, gan, command, diffusers])
def test_a_declaration_moves_no_id(make: Callable[..., Any], tmp_path: Path) -> None:
    silent, declared = make(tmp_path), make(tmp_path, domain="storyworld")
    assert (silent.domain, declared.domain) == ("", "storyworld")
    assert declared.fingerprint == silent.fingerprint
    ids = [
        [s.sample_id for s in b.samples(PROMPTS if b.type != "files" else [], [0])]
        for b in (silent, declared)
    ]
    assert ids[0] == ids[1]
    with pytest.raises(ValidationError, match="storyworld"):
        make(tmp_path, domain="ads")


def test_a_changed_declaration_keeps_clips_and_measures_anew(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4", moving_square(0))
    suite = tmp_path / "s.yaml"

    def run(domain: str) -> tuple[Plan, int, int]:
        backend = f"{{type: files, root: clips{domain}}}"
        suite.write_text(f"name: small\nbackend: {backend}\nmetrics: {{temporal: {{}}}}\n", encoding="utf-8")
        prepared = prepare(load_suite(suite))
        finished = execute(prepared, tmp_path / "run", workers=1)
        assert finished is not None
        stored = RunDir.open(tmp_path / "run")
        assert stored.plan() == prepared.plan
        clip = next((tmp_path / "run" / "clips").glob("*.mp4"))
        return prepared.plan, len(stored.read_measurements()), clip.stat().st_mtime_ns

    silent, first, clip = run("")
    declared, second, same_clip = run(", domain: storyworld")
    assert [s.domain for s in (*silent, *declared)] == ["", "storyworld"]
    assert second == 2 * first
    assert same_clip == clip


def test_the_storyworld_declares_itself(tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: drawn\nbackend: {type: storyworld}\nprompts: [a dog walking along the beach at sunset]\n"
    )
    assert [s.domain for s in prepare(load_suite(suite)).plan] == ["storyworld"]


@pytest.mark.parametrize("before", ["", "elsewhere"])
def test_a_declaration_that_the_backend_changed_reaches_a_run_that_lies_there(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite says nothing of it, so neither its digest nor the spec tells."""
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: drawn\nbackend: {type: storyworld}\nvideo: {frames: 4, fps: 8, width: 64, height: 64}\n"
        "metrics: {integrity: {}}\nprompts: [a dog walking along the beach at sunset]\n"
    )

    def run() -> tuple[list[str], int, int]:
        assert execute(prepare(load_suite(suite)), tmp_path / "run", workers=1) is not None
        stored = RunDir.open(tmp_path / "run")
        clip = next((tmp_path / "run" / "clips").glob("*.mp4"))
        return [s.domain for s in stored.plan()], len(stored.read_measurements()), clip.stat().st_mtime_ns

    with monkeypatch.context() as patch:
        patch.setattr(StoryworldBackend, "domain", before)
        first, measured, clip = run()
    again, measured_again, same_clip = run()
    assert (first, again) == ([before], ["storyworld"])
    assert (measured_again, same_clip) == (2 * measured, clip)
    assert run() == (again, measured_again, clip)  # and with nothing changed, nothing is done
