"""A suite's own protocol in a whole run: torchvision's R3D-18 with random weights on small clips."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clips import moving_square, write_clip
from vgaudit.cli.commands import app
from vgaudit.errors import UsageError
from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_own import OwnProtocol
from vgaudit.extractors.video_protocols import PROTOCOLS
from vgaudit.metrics.frechet import frechet_distance_from_features
from vgaudit.metrics.fvd import _published
from vgaudit.metrics.reference_build import describe
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.records import Result
from vgaudit.rundir import file_digest
from vgaudit.suite import load_suite
from vgaudit.video import ClipReader
from vgaudit.zoo.torchvision_video import build as build_network
from vgaudit.zoo.torchvision_video import load_torchvision_video

N = 16
OWN: dict[str, Any] = {
    "name": "mine@strided", "base": "fvd@r3d18", "window": 3, "stride": 2, "fps": "own", "clips_per_video": 2,
    "preprocessing": {"size": 32, "mean": [0.5, 0.5, 0.5]}, "ddof": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fvd_own")
    with (made / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prompt", "prompt_id", "model"])
        for m, model in enumerate(("alpha", "real")):
            for i in range(N):
                write_clip(made / f"{model}{i}.mp4", moving_square(100 * m + i, frames=10, size=40))
                writer.writerow([f"{model}{i}.mp4", f"a square over ground number {i}", f"p{i}", model])
    torch.save(build_network("r3d_18").state_dict(), made / "r3d.pth")
    return made


def run(folder: Path, out: Path, **fvd: Any) -> Mapping[str, Result]:
    options = {"reference": {"group": "real"}, "weights": "r3d.pth", "device": "cpu", **fvd}
    suite = folder / "suite.yaml"
    suite.write_text(
        "name: own\nbackend: {type: files, root: ., index: index.csv}\n"
        f"metrics: {json.dumps({'fvd': options})}\n",
        encoding="utf-8",
    )
    finished = execute(prepare(load_suite(suite)), out, workers=1)
    assert finished is not None
    return {r.group: r for r in finished.data.results if r.name == "fvd.distance"}


def by_hand(folder: Path, network: Any, group: str) -> np.ndarray:
    """Features as the protocol says: frames 0 2 4 and 5 7 9, each through the network, and their mean."""
    how = OwnProtocol.model_validate(OWN).rules.preprocessing
    assert how is not None
    rows = []
    for i in range(N):
        with ClipReader(folder / f"{group}{i}.mp4") as reader:
            frames = np.concatenate([block.rgb for block in reader])
        with torch.inference_mode():
            both = [network(prepared(frames[list(at)], how)[None])[0] for at in ((0, 2, 4), (5, 7, 9))]
        rows.append(torch.stack(both).double().mean(dim=0).numpy())
    return np.stack(rows)


def features(run_dir: Path) -> set[str]:
    return {path.name for path in (run_dir / "features").glob("video_embedding-*")}


def test_a_run_by_a_protocol_of_ones_own(folder: Path, tmp_path: Path) -> None:
    (folder / "own.yaml").write_text(json.dumps(OWN), encoding="utf-8")  # JSON is YAML
    made = run(folder, tmp_path / "run", protocol="own.yaml")["alpha"]
    assert made.value is not None, made.reason
    network = load_torchvision_video("r3d_18", str(folder / "r3d.pth"), None, "cpu").network
    by = [by_hand(folder, network, group) for group in ("alpha", "real")]
    expected = frechet_distance_from_features(*by, ddof=0)
    assert made.value == pytest.approx(expected, rel=1e-4)
    rules = OwnProtocol.model_validate(OWN).rules
    said = {
        "protocol": rules.label,
        "window": "2 times 3 (every 2nd) frames, one after the other from frame 0",
        "reference_window": "2 times 3 (every 2nd) frames, one after the other from frame 0",
        "covariance": "divided by N",
        **rules.pinned,
    }
    assert {key: made.detail[key] for key in said} == said
    assert rules.label.startswith("mine@strided#")
    assert replace(rules, stride=3).label != rules.label  # two of one name are told apart
    assert replace(rules).label == rules.label
    assert (
        "mine@strided is the suite's own protocol, made from fvd@r3d18: no published number compares"
        in made.reason
    )
    assert made.detail["published_network"] is False  # its digest does not begin as the published file's
    (folder / "own.yaml").write_text(json.dumps({**OWN, "ddof": 1}), encoding="utf-8")
    again = run(folder, tmp_path / "run", protocol="own.yaml")["alpha"]
    assert again.value is not None
    assert again.value != pytest.approx(made.value, rel=1e-6)  # not the number stored under that name
    assert len(features(tmp_path / "run")) == 1  # and from the same features


def test_clips_too_short_are_counted(folder: Path, tmp_path: Path) -> None:
    made = run(folder, tmp_path / "run", protocol={**OWN, "clips_per_video": 3})["alpha"]
    assert made.value is None
    assert "shorter than 15 frames" in made.reason


RANDOM = {"name": "mine@random", "base": "fvd@r3d18", "window": 3, "fps": 6.0, "random_reference": True,
          "preprocessing": {"size": 32}}  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "everything"),
    [
        pytest.param(OWN, True, marks=pytest.mark.slow, id="strided"),
        pytest.param(RANDOM, True, marks=pytest.mark.slow, id="random"),
        pytest.param(RANDOM, False, id="in parts"),
    ],
)
def test_statistics_built_by_a_protocol_of_ones_own_stand_for_the_group(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: dict[str, Any],
    everything: bool,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "built.yaml").write_text(json.dumps(protocol), encoding="utf-8")
    real = [f"real{i}.mp4" for i in range(N)]
    build = [
        "reference",
        "build",
        "--protocol",
        "built.yaml",
        "--weights",
        "r3d.pth",
        "--device",
        "cpu",
        "-q",
    ]
    for i in (1, 2):
        app(
            [*build, *real, "--features", "--shard", f"{i}/2", "-o", f"{i}.safetensors"],
            standalone_mode=False,
        )
    app(
        ["reference", "merge", "1.safetensors", "2.safetensors", "-o", "real.safetensors"],
        standalone_mode=False,
    )
    if everything:
        app([*build, *real, "--features", "-o", "whole.safetensors"], standalone_mode=False)
    group = run(folder, tmp_path / "group", protocol="built.yaml")["alpha"]
    assert group.value is not None, group.reason
    rules = OwnProtocol.model_validate(protocol).rules
    for name in ("real", "whole") if everything else ("real",):
        file = run(folder, tmp_path / name, protocol="built.yaml", reference=f"{name}.safetensors")["alpha"]
        assert file.value == pytest.approx(group.value, rel=1e-6)
        made = file.detail["reference_made"]
        assert (made["protocol"], made["list_sha256"]) == (rules.label, group.detail["reference_list_sha256"])
        assert OwnProtocol.model_validate(made["recipe"]["protocol"]).rules == rules
        assert made["options"]["protocol"] == "built.yaml"
    assert dict(describe(folder / "real.safetensors"))["protocol"] == rules.label
    for change in (
        {"ddof": 1 - rules.ddof},
        {"window": 2},
        {"name": "mine@other"},
        {"preprocessing": {"size": 48}},
    ):
        other = {**protocol, **change}
        label = OwnProtocol.model_validate(other).rules.label
        with pytest.raises(UsageError, match=f"protocol {rules.label}, but is to be compared by {label}"):
            run(folder, tmp_path / "other", protocol=other, reference="real.safetensors")
    with pytest.raises(UsageError, match=f"protocol {rules.label}, but is to be compared by fvd@r3d18"):
        run(folder, tmp_path / "other", protocol="fvd@r3d18", reference="real.safetensors")
    if everything:
        torch.save(build_network("r3d_18").state_dict(), folder / "another.pth")
        with pytest.raises(UsageError, match="was made by the network with sha256"):
            run(
                folder,
                tmp_path / "other",
                protocol=protocol,
                reference="real.safetensors",
                weights="another.pth",
            )
    (folder / "built.yaml").write_text(json.dumps({**protocol, "window": 4}), encoding="utf-8")
    app([*build, *real, "--features", "--shard", "2/2", "-o", "2.safetensors"], standalone_mode=False)
    with pytest.raises(UsageError, match=f"not parts of one set: protocol is {rules.label}"):
        app(
            ["reference", "merge", "1.safetensors", "2.safetensors", "-o", "w.safetensors"],
            standalone_mode=False,
        )
    (folder / "built.yaml").write_text("name: mine@x\nbase: fvd@r3d18\nwindow: many\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"built\.yaml:3:9: window: expected a whole number"):
        app([*build, *real, "-o", "w.safetensors"], standalone_mode=False)
    assert not (folder / "w.safetensors").exists()


def test_statistics_that_say_no_protocol_are_refused(folder: Path, tmp_path: Path) -> None:
    stored: dict[str, Any] = {
        "num_clips": np.int64(20), "mean": np.zeros(512), "cov": np.eye(512),
        "weights_sha256": np.array(file_digest(folder / "r3d.pth")),
    }  # fmt: skip
    np.savez(folder / "stored.npz", **stored)
    with pytest.raises(UsageError, match=r"stored.npz does not say by which protocol .*mine@strided#"):
        run(folder, tmp_path / "run", protocol=OWN, reference="stored.npz")
    label = OwnProtocol.model_validate(OWN).rules.label
    np.savez(folder / "stored.npz", protocol=np.array(label), **stored)
    made = run(folder, tmp_path / "run", protocol=OWN, reference="stored.npz")["alpha"]
    assert made.value is not None, made.reason


@pytest.mark.parametrize(
    ("protocol", "sha256", "published"),
    [
        ("fvd@r3d18", "0" * 64, False),
        ("fvd@r3d18", "b3b3357e" + "0" * 56, None),  # eight digits are no proof
        ("fvd@r3d18", None, False),
        ("fvd@videogpt", "0" * 64, None),
    ],
)
def test_whether_a_network_is_the_published_one(
    protocol: str, sha256: str | None, published: bool | None
) -> None:
    assert _published(PROTOCOLS[protocol], sha256) is published
