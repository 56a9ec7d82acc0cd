"""``fvd@videogpt`` in a whole run: clips on disk, I3D with random weights (narrow, the same graph), results."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import moving_square, write_clip
from tests.tiny_i3d import NARROW, save_inception, save_tiny_i3d
from vgaudit.errors import UsageError
from vgaudit.extractors.video_protocols import VIDEOGPT
from vgaudit.metrics.base import MetricContext
from vgaudit.metrics.frechet import frechet_distance_from_features
from vgaudit.metrics.fvd import Fvd, FvdOptions
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.plan import Plan
from vgaudit.records import Result
from vgaudit.suite import load_suite
from vgaudit.zoo import inception_i3d

N = 16
WEIGHTS = "i3d.pt"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_i3d, "KINETICS_400", NARROW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fvd_videogpt")
    with (made / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prompt", "prompt_id", "model"])
        for m, model in enumerate(("alpha", "real")):
            for i in range(N):
                frames = 16 if model == "alpha" else 18
                write_clip(made / f"{model}{i}.mp4", moving_square(100 * m + i, frames=frames, size=32))
                writer.writerow([f"{model}{i}.mp4", f"a square over ground number {i}", f"p{i}", model])
    save_inception(made / WEIGHTS)
    return made


def digest(folder: Path) -> str:
    import hashlib

    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def run(folder: Path, out: Path, **fvd: Any) -> Mapping[str, Result]:
    options = {
        "protocol": "fvd@videogpt",
        "weights": WEIGHTS,
        "sha256": digest(folder),
        "device": "cpu",
        **fvd,
    }
    suite = folder / "suite.yaml"
    suite.write_text(
        "name: videogpt\nbackend: {type: files, root: ., index: index.csv}\n"
        f"metrics: {json.dumps({'fvd': options})}\n",
        encoding="utf-8",
    )
    finished = execute(prepare(load_suite(suite)), out, workers=1)
    assert finished is not None
    return {r.group: r for r in finished.data.results if r.name == "fvd.distance"}


def stored(run_dir: Path, group: str) -> list[np.ndarray]:
    (features,) = (run_dir / "features").glob("video_embedding-*")
    rows = []
    for sample in Plan.from_jsonl((run_dir / "plan.jsonl").read_text(encoding="utf-8")):
        if sample.group == group:
            record = json.loads((run_dir / "clips" / f"{sample.sample_id}.json").read_text(encoding="utf-8"))
            (file,) = features.glob(f"{record['sha256']}.*")
            with np.load(file) as arrays:
                rows.append(arrays["embedding"])
    return rows


def test_a_run_gives_a_number_and_says_all_that_it_pins(folder: Path, tmp_path: Path) -> None:
    results = run(folder, tmp_path / "run", reference={"group": "real"})
    made = results["alpha"]
    assert results["real"].status == "not applicable"
    assert made.value is not None, made.reason
    generated = np.stack([rows[0] for rows in stored(tmp_path / "run", "alpha")])
    real = np.stack([rows[1] for rows in stored(tmp_path / "run", "real")])  # the window at a random offset
    assert made.value == pytest.approx(frechet_distance_from_features(generated, real, ddof=1), rel=1e-9)
    assert made.value != pytest.approx(frechet_distance_from_features(generated, real, ddof=0), rel=1e-5)
    assert made.n == made.detail["n_reference"] == N
    expected = {
        "protocol": "fvd@videogpt",
        "weights": WEIGHTS,
        "weights_sha256": digest(folder),
        "window": "16 consecutive frames from frame 0",
        "reference_window": "16 consecutive frames at a random offset, seeded by the clip's first frame",
        "published_network": None,
        **VIDEOGPT.pinned,
    }
    assert {key: made.detail[key] for key in expected} == expected
    assert "no digest of i3d-rgb-imagenet is established here" in made.reason
    assert "(the protocol's are 256)" in made.reason


def statistics(path: Path, **said: Any) -> Path:
    x = np.random.default_rng(5).normal(size=(300, NARROW.classes))
    np.savez(path, num_clips=np.int64(300), mean=x.mean(0), cov=np.cov(x.T, ddof=1), **said)
    return path


def test_statistics_of_the_same_network_are_taken(folder: Path, tmp_path: Path) -> None:
    statistics(folder / "same.npz", weights_sha256=np.array(digest(folder)))
    made = run(folder, tmp_path / "run", reference="same.npz")["alpha"]
    assert made.value is not None, made.reason
    assert made.detail["n_reference"] == 300


@pytest.mark.parametrize("said", ["0" * 64, None])
def test_statistics_of_another_network_or_of_none_are_refused(
    folder: Path, tmp_path: Path, said: str | None
) -> None:
    """Both published I3Ds give 400 logits, so that the number of dimensions tells nothing."""
    statistics(folder / "other.npz", **({"weights_sha256": np.array(said)} if said else {}))
    text = (
        "was made by the network with sha256 000000000000" if said else "does not say which network made it"
    )
    with pytest.raises(UsageError, match=text):
        run(folder, tmp_path / "run", reference="other.npz")


def test_statistics_made_by_this_network_are_none_of_styleganv(folder: Path, tmp_path: Path) -> None:
    statistics(tmp_path / "i3d.npz", weights_sha256=np.array(digest(folder)))
    sha256 = save_tiny_i3d(tmp_path / "tiny_i3d.pt")
    options = FvdOptions(reference="i3d.npz", protocol="fvd@styleganv", weights="tiny_i3d.pt", sha256=sha256)
    with pytest.raises(UsageError, match="was made by the network with sha256"):
        Fvd(options, MetricContext(tmp_path)).identity()


def test_weights_of_another_layout_give_no_number_but_the_reason(folder: Path, tmp_path: Path) -> None:
    sha256 = save_inception(
        folder / "wide.pt", inception_i3d.I3dShape((4, 4, 4), NARROW.mixed, NARROW.classes)
    )
    made = run(folder, tmp_path / "run", weights="wide.pt", sha256=sha256, reference={"group": "real"})[
        "alpha"
    ]
    assert made.value is None
    assert "wide.pt does not load as I3D" in made.reason


def test_the_name_alone_asks_for_a_digest(folder: Path, tmp_path: Path) -> None:
    made = run(
        folder, tmp_path / "run", weights="i3d-rgb-imagenet", sha256=None, reference={"group": "real"}
    )["alpha"]
    assert made.value is None
    assert "no digest is established for i3d-rgb-imagenet" in made.reason


def test_the_networks_name_brings_its_protocol() -> None:
    assert FvdOptions(reference="x.npz", weights="i3d-rgb-imagenet").protocol == "fvd@videogpt"
    assert FvdOptions(reference="x.npz", protocol="fvd@videogpt").weights == "i3d-rgb-imagenet"
    with pytest.raises(ValueError, match="is the network of fvd@videogpt, not of fvd@styleganv"):
        FvdOptions(reference="x.npz", protocol="fvd@styleganv", weights="i3d-rgb-imagenet")
