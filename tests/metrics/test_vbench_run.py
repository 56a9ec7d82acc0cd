"""VBench's dimensions in a whole run, on a folder as VBench's users have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import moving_square, write_clip
from tests.tiny_vbench import save_tiny_dino
from vgaudit.errors import ExitCode, SuiteError
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import load_suite

PROMPTS = ("a dog runs", "a well-known cat")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vbench")
    for p, prompt in enumerate(PROMPTS):
        for i in range(2):
            write_clip(folder / f"{prompt}-{i}.mp4", moving_square(10 * p + i, frames=6, size=32))
    write_clip(folder / "leftover.mp4", moving_square(99, frames=6, size=32))
    return folder


def suite(folder: Path, clips: Path, metrics: str, gates: str = "") -> Path:
    path = folder / "suite.yaml"
    path.write_text(
        f"name: migrated\nbackend: {{type: files, name: ours, root: '{clips}', naming: vbench}}\n"
        f"metrics:\n  {metrics}\n" + (f"gates:\n  - {gates}\n" if gates else ""),
        encoding="utf-8",
    )
    return path


def run(path: Path) -> Finished:
    finished = execute(prepare(load_suite(path)), path.parent / "run", workers=1)
    assert finished is not None
    return finished


def test_a_folder_of_vbench_is_scored(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_dino(tmp_path, monkeypatch)
    asked = "vbench: {dimensions: [temporal_flickering, subject_consistency], dino: {weights: dino.pth}, device: cpu}"
    finished = run(suite(tmp_path, clips, asked, "vbench.subject_consistency >= 0"))
    results = {r.name: r for r in finished.data.results if r.name.startswith("vbench.")}
    assert set(results) == {"vbench.temporal_flickering", "vbench.subject_consistency"}
    for result in results.values():
        assert result.value is not None, result.reason
        assert 0 < result.value < 1
        assert (result.n, result.n_clusters) == (5, 3)
    assert finished.data.verdict.exit_code == ExitCode.OK
    samples = {c.sample.source: c.sample for c in finished.data.clips}
    assert samples["a well-known cat-1.mp4"].prompt == PROMPTS[1]
    assert samples["a well-known cat-1.mp4"].seed == 1
    assert any("no prompt is known of leftover.mp4" in note for note in finished.data.notes)
    measured = finished.data.clips[0].measurements["vbench"]
    assert measured.facts["subject_consistency"]["weights"] == "dino.pth"


def test_without_weights_nothing_passes(clips: Path, tmp_path: Path) -> None:
    asked = "vbench: {dimensions: [temporal_flickering, subject_consistency], device: cpu}"
    finished = run(suite(tmp_path, clips, asked, "vbench.subject_consistency >= 0"))
    results = {r.name: r for r in finished.data.results if r.name.startswith("vbench.")}
    for result in results.values():
        assert (result.status, result.value) == ("not computed", None)
        assert "no digest is established for dino-vitb16" in result.reason
    assert finished.data.verdict.exit_code == ExitCode.NOT_COMPUTED
    assert any("vgaudit models pull dino-vitb16" in note for note in finished.data.notes)


@pytest.mark.parametrize(
    ("metrics", "gates", "words"),
    [
        ("vbench: {}", "vbench.subject_consistency >= 0.9", "expected a gate on something computed"),
        ("vbench.dynamic_degree: {}", "", r"'dynamic_degree' \(asked for: temporal_flickering\)"),
        ("vbench: {dimensions: [motion_smoothness]}", "", "temporal_flickering"),
        ("vbench: {dino: {file: x.pth}}", "", "dino"),
    ],
)
def test_what_a_suite_cannot_have_is_an_error(
    clips: Path, tmp_path: Path, metrics: str, gates: str, words: str
) -> None:
    with pytest.raises(SuiteError, match=words):
        load_suite(suite(tmp_path, clips, metrics, gates))
