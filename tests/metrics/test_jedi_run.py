"""JEDi in a whole run: clips on disk, a tiny V-JEPA, a result per group; and a run without its weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.clips import moving_square, write_clip
from tests.tiny_vjepa import TINY, save_vjepa
from vgaudit.metrics.jedi_estimate import jedi_distance
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Plan
from vgaudit.records import Result
from vgaudit.suite import load_suite
from vgaudit.zoo import vjepa

N = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("jedi")
    with (made / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prompt", "prompt_id", "model"])
        for m, model in enumerate(("alpha", "real")):
            for i in range(N):
                write_clip(made / f"{model}{i}.mp4", moving_square(100 * m + i, frames=16, size=32))
                writer.writerow([f"{model}{i}.mp4", f"a square over ground number {i}", f"p{i}", model])
    return made


def suite(folder: Path, name: str, options: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nbackend: {{type: files, root: ., index: index.csv}}\n"
        f"metrics:\n  jedi: {{reference: {{group: real}}{options}}}\n",
        encoding="utf-8",
    )
    return path


def run(path: Path, out: Path) -> dict[str, Result]:
    finished = execute(prepare(load_suite(path)), out, workers=1)
    assert finished is not None
    return {r.group: r for r in finished.data.results if r.name == "jedi.distance"}


def stored(run_dir: Path, group: str) -> np.ndarray:
    (features,) = (run_dir / "features").glob("vjepa_embedding-*")
    samples = Plan.from_jsonl((run_dir / "plan.jsonl").read_text(encoding="utf-8"))
    found = {}
    for file in features.iterdir():
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                found[file.stem] = arrays["embedding"]
    assert len(found) == 2 * N
    return np.concatenate(
        [
            found[json.loads((run_dir / "clips" / f"{s.sample_id}.json").read_text("utf-8"))["sha256"]]
            for s in samples
            if s.group == group
        ]
    )


def test_a_whole_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vjepa, "VITH16", TINY)
    made = save_vjepa(folder)
    options = (
        f", weights: vith16.pth.tar, sha256: '{made['sha256']}', "
        f"probe: ssv2-probe.pth.tar, probe_sha256: '{made['probe_sha256']}', device: cpu"
    )
    results = run(suite(folder, "whole", options), tmp_path / "run")
    alpha, real = (stored(tmp_path / "run", group) for group in ("alpha", "real"))
    assert alpha.shape == (N, TINY.width)
    assert results["alpha"].value == pytest.approx(jedi_distance(alpha, real), rel=1e-6)
    assert (results["alpha"].n, results["alpha"].n_clusters) == (N, N)
    assert results["alpha"].detail["encoder_sha256"] == made["sha256"]
    assert results["alpha"].detail["floor"]["status"] == "not computed"  # 16 clips leave none against 16
    assert results["real"].status == "not applicable"
    pages = "".join(p.read_text("utf-8") for p in (tmp_path / "run" / "report").rglob("*.html"))
    assert "JEDi falls as the number of clips grows" in pages


def test_without_weights_nothing_is_computed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    result = run(suite(folder, "unpinned", ""), tmp_path / "a")["alpha"]
    assert (result.status, result.value) == ("not computed", None)
    assert "no digest is established for vjepa-vith16" in result.reason
    stated = f", sha256: '{'1' * 64}', probe_sha256: '{'2' * 64}'"
    result = run(suite(folder, "absent", stated), tmp_path / "b")["alpha"]
    assert (result.status, result.value) == ("not computed", None)
    assert "weights vjepa-vith16 are not here" in result.reason
