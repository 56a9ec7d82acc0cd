"""Prompt alignment and FVD in a whole run: clips on disk, real (tiny, random) networks, results per group."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.clips import moving_square, write_clip
from tests.tiny_clip import save_tiny_clip
from tests.tiny_i3d import save_tiny_i3d
from vgaudit.metrics.frechet import frechet_distance_from_features
from vgaudit.pipeline.finish import Finished
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Plan
from vgaudit.records import Result, digest
from vgaudit.suite import load_suite

N = 16


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedding_metrics")
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prompt", "prompt_id", "model"])
        for m, model in enumerate(("alpha", "real")):
            for i in range(N):
                write_clip(folder / f"{model}{i}.mp4", moving_square(100 * m + i, frames=16, size=32))
                writer.writerow([f"{model}{i}.mp4", f"a square over ground number {i}", f"p{i}", model])
    save_tiny_clip(folder / "clip")
    sha256 = save_tiny_i3d(folder / "tiny_i3d.pt")
    (folder / "suite.yaml").write_text(
        "name: embeddings\n"
        "backend: {type: files, root: ., index: index.csv}\n"
        "metrics:\n"
        "  prompt_alignment: {config: clip/open_clip_config.json, pretrained: clip/tiny_clip.safetensors}\n"
        f"  fvd: {{reference: {{group: real}}, weights: tiny_i3d.pt, sha256: {sha256}}}\n",
        encoding="utf-8",
    )
    return folder / "suite.yaml"


def run(suite: Path, out: Path, workers: int) -> Finished:
    finished = execute(prepare(load_suite(suite)), out, workers=workers)
    assert finished is not None
    return finished


def by_key(finished: Finished) -> Mapping[tuple[str, str], Result]:
    return {(r.name, r.group): r for r in finished.data.results}


def stored_windows(run_dir: Path, group: str) -> np.ndarray:
    """``(n, 2, d)``: both windows of every clip of a group, from the files of the run directory."""
    (folder,) = (run_dir / "features").glob("video_embedding-*")
    samples = Plan.from_jsonl((run_dir / "plan.jsonl").read_text(encoding="utf-8"))
    rows = []
    for sample in samples:
        if sample.group == group:
            (record,) = (run_dir / "clips").glob(f"{sample.sample_id}.json")
            (file,) = folder.glob(f"{json.loads(record.read_text(encoding='utf-8'))['sha256']}.*")
            with np.load(file) as stored:
                rows.append(stored["embedding"])
    return np.stack(rows)


def test_results_rest_on_the_stored_features(suite: Path, tmp_path: Path) -> None:
    results = by_key(run(suite, tmp_path / "run", workers=2))
    for group in ("alpha", "real"):
        for value in ("clip_score", "clipsim", "clip_frame_consistency"):
            made = results[f"prompt_alignment.{value}", group]
            assert made.value is not None, made.reason
            assert (made.n, made.n_clusters) == (N, N)
            assert made.detail["weights"] == "tiny_clip.safetensors"
            assert made.detail["activation"] == "GELU"
            assert made.detail["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    score, similarity = (results[f"prompt_alignment.{v}", "alpha"].value for v in ("clip_score", "clipsim"))
    assert score == pytest.approx(max(0.0, 100 * float(similarity or 0)), abs=1e-6)

    assert results["fvd.distance", "real"].status == "not applicable"
    made = results["fvd.distance", "alpha"]
    assert made.n == N
    assert made.detail["n_reference"] == N
    assert made.detail["published_network"] is False
    generated, real = (stored_windows(tmp_path / "run", group) for group in ("alpha", "real"))
    expected = frechet_distance_from_features(generated[:, 0], real[:, 1], ddof=0)
    assert made.value == pytest.approx(expected, rel=1e-9)


def test_clips_are_ranked_among_the_prompts_of_the_whole_run(suite: Path, tmp_path: Path) -> None:
    finished = run(suite, tmp_path / "run", workers=1)
    made = by_key(finished)["prompt_alignment.r_precision_top5", "alpha"]
    assert made.detail["candidates"] == N  # both groups have the same prompts
    assert made.detail["chance"] == pytest.approx(5 / N)

    features = tmp_path / "run" / "features"
    (seen,), (read,) = features.glob("clip-*"), features.glob("clip_text-*")
    prompts = {}
    for sample in finished.data.clips:
        key = f"text-{digest([sample.sample.prompt], 40)}"
        with np.load(read / f"{key}.npz") as stored:
            prompts[sample.sample.prompt] = stored["embedding"][0].astype(np.float64)
    found = []
    for entry in finished.data.clips:
        if entry.sample.group == "alpha":
            with np.load(seen / f"{entry.clip.sha256}.npz") as stored:
                frames = stored["embedding"].astype(np.float64)
            mean = {text: float((frames @ row).mean()) for text, row in prompts.items()}
            own = mean.pop(entry.sample.prompt)
            found.append(sum(other >= own - 1e-6 for other in mean.values()) < 5)
    assert len(found) == N
    assert made.value == pytest.approx(np.mean(found))


def test_expectations_of_a_suite_reach_results_findings_and_report(suite: Path, tmp_path: Path) -> None:
    expect = [
        {"is": "a square", "not": ["a dog on a beach"], "about": "subject"},
        {"is": "a square over ground", "not": ["a blue sky", "a red car"], "about": "setting"},
    ]
    rows = [{"id": f"p{i}", "prompt": f"a square over ground number {i}", "expect": expect} for i in range(3)]
    (suite.parent / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for i in range(3):
        (suite.parent / "few").mkdir(exist_ok=True)
        (suite.parent / "few" / f"p{i}.mp4").write_bytes((suite.parent / f"alpha{i}.mp4").read_bytes())
    few = suite.with_name("few.yaml")
    few.write_text(
        "name: few\n"
        "backend: {type: files, root: few, prompts: some.jsonl}\n"
        "metrics:\n"
        "  prompt_alignment: {config: clip/open_clip_config.json, pretrained: clip/tiny_clip.safetensors}\n",
        encoding="utf-8",
    )
    finished = run(few, tmp_path / "run", workers=1)
    (made,) = [r for r in finished.data.results if r.name == "prompt_alignment.expectation_rate"]
    assert made.detail["n_expectations"] == 6
    assert set(made.detail["by_about"]) == {"subject", "setting"}
    judged = [
        one
        for entry in finished.data.clips
        for one in entry.measurements["prompt_alignment"].facts["expectations"]
    ]
    failed = sum(not one["passed"] for one in judged)
    assert 0 < failed < 6
    assert made.value == pytest.approx(1 - failed / 6)
    found = [f for e in finished.data.clips for f in e.measurements["prompt_alignment"].findings]
    assert [f.kind for f in found] == ["prompt_alignment.mismatch"] * failed
    assert all(f.evidence and f.fingerprint for f in found)
    assert len({f.fingerprint for f in found}) == failed
    pages = "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "run" / "report").rglob("*.html"))
    assert "passed: no" in pages
    assert "passed: yes" in pages
    assert all(f.message in html.unescape(pages) for f in found)


def test_without_weights_only_that_metric_is_missing(suite: Path, tmp_path: Path) -> None:
    text = suite.read_text(encoding="utf-8").replace("tiny_i3d.pt", "absent.pt")
    broken = suite.with_name("broken.yaml")
    broken.write_text(text, encoding="utf-8")
    results = by_key(run(broken, tmp_path / "run", workers=2))
    assert results["prompt_alignment.clipsim", "alpha"].value is not None
    for group in ("alpha", "real"):
        missing = results["fvd.distance", group]
        assert missing.status == "not computed"
        assert "no file at" in missing.reason
