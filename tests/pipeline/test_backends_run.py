"""Whole runs through each generating backend, offline, with tiny models built here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_models import save_tiny_gan_torchscript, save_tiny_text_to_video_sd, save_tiny_wan
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import load_suite_text

PROGRAM = """
import json, pathlib, sys
import numpy as np
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(request["output_dir"])
if "knife" in request["prompt"]:
    answer = {"outcome": "refused_input", "message": "weapons", "job_id": "j1"}
else:
    rng = np.random.default_rng(request["seed"])
    np.save(out / "clip.npy", rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8))
    answer = {"outcome": "ok", "file": "clip.npy", "cost": 0.5}
(out / "response.json").write_text(json.dumps(answer))
"""


def run(folder: Path, backend: str, extra: str = "") -> Finished:
    text = (
        f"name: tiny\nbackend: {backend}\nprompts: [a dog on a beach, a cat with a knife]\nseeds: 2\n"
        f"metrics: {{temporal: , vbench: }}\n{extra}"
    )
    finished = execute(prepare(load_suite_text(text, base_dir=folder)), folder / "run", workers=2)
    assert finished is not None
    return finished


def outcomes(done: Finished) -> list[str]:
    return [entry.clip.outcome for entry in done.data.clips]


@pytest.mark.parametrize(
    "build", [pytest.param(save_tiny_text_to_video_sd, marks=pytest.mark.slow), save_tiny_wan]
)
def test_diffusers_pipelines_of_two_families(tmp_path: Path, build: object) -> None:
    build(tmp_path / "model")  # type: ignore[operator]
    parameters = "{num_inference_steps: 2, output_type: np}"
    backend = f"{{type: diffusers, model: model, fps: 8, parameters: {parameters}}}"
    video = "video: {frames: 5, width: 32, height: 32}\n"
    first = run(tmp_path, backend, video)
    assert outcomes(first) == ["ok"] * 4
    assert all(e.measurements["temporal"].values for e in first.data.clips)
    shas = [e.clip.sha256 for e in first.data.clips]
    assert shas[0] != shas[1]  # seeds differ; untrained weights may not hear the prompt
    again = run(tmp_path, backend, video)
    assert (again.changed, [e.clip.sha256 for e in again.data.clips]) == (False, shas)


def test_gan(tmp_path: Path) -> None:
    save_tiny_gan_torchscript(tmp_path / "g.pt")
    done = run(tmp_path, "{type: gan, model: g.pt, z_dim: 8, fps: 8}")
    assert outcomes(done) == ["ok"] * 4
    assert all("temporal_flickering" in e.measurements["vbench"].values for e in done.data.clips)


def test_command_with_refusals(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    backend = "{type: command, argv: ['{python}', program.py, '{request}'], fps: 8}"
    done = run(tmp_path, backend, "gates: ['generation.refusal_rate <= 0.9']\n")
    assert sorted(outcomes(done)) == ["ok", "ok", "refused_input", "refused_input"]
    rate = next(r for r in done.data.results if r.name == "generation.refusal_rate")
    assert (rate.value, rate.n, rate.n_clusters) == (0.5, 4, 2)
    assert done.verdict.exit_code == 4  # two prompts are too little evidence
    exact = [json.loads(p.read_text())["file"] for p in (tmp_path / "run" / "clips").glob("*.json")]
    assert sum(str(f).endswith(".mkv") for f in exact) == 2  # arrays keep an exact record ...
    assert len(list((tmp_path / "run" / "previews").glob("*.mp4"))) == 2  # ... and a playable copy beside it
    assert not list((tmp_path / "run" / "work").glob("*"))
