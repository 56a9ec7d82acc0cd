"""torchvision's video networks without classifiers: real classes with random weights, and what the catalogue says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import video as published

from vgaudit.errors import Unavailable
from vgaudit.zoo import resolve as resolving
from vgaudit.zoo.catalogue import R3D_18, S3D, SWIN3D_T, WEIGHTS
from vgaudit.zoo.resolve import resolve
from vgaudit.zoo.torchvision_video import CLASSIFIERS, build, load_torchvision_video

CLIPS = {"r3d_18": (3, 4, 32, 32), "s3d": (3, 14, 224, 224), "swin3d_t": (3, 4, 64, 64)}
WIDTHS = {"r3d_18": 512, "s3d": 1024, "swin3d_t": 768}
ENUMS = {
    R3D_18: published.R3D_18_Weights.KINETICS400_V1,
    S3D: published.S3D_Weights.KINETICS400_V1,
    SWIN3D_T: published.Swin3D_T_Weights.KINETICS400_V1,
}


def drawn(model: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build(model)
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape))
            elif name.endswith("running_mean"):
                tensor.copy_(0.1 * torch.randn(tensor.shape))
    return network.eval()


@pytest.mark.parametrize(
    "model",
    [name if name == "r3d_18" else pytest.param(name, marks=pytest.mark.slow) for name in CLASSIFIERS],
)
def test_features_are_what_enters_the_classifier(model: str, tmp_path: Path) -> None:
    network, path = drawn(model), tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    loaded = load_torchvision_video(model, str(path), None, "cpu")
    clip = torch.randn(1, *CLIPS[model], generator=torch.Generator().manual_seed(0))
    entered: list[torch.Tensor] = []
    last = getattr(network, CLASSIFIERS[model])
    last.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    with torch.inference_mode():
        network(clip)
        features = loaded.network(clip)
    (seen,) = entered
    expected = seen.mean(dim=(2, 3, 4)) if seen.ndim == 5 else seen
    assert features.shape == (1, WIDTHS[model])
    assert torch.equal(features, expected)
    assert features.std() > 0
    assert loaded.facts["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(build("s3d").state_dict(), tmp_path / "s3d.pth")
    with pytest.raises(Unavailable, match=r"s3d.pth does not load as torchvision's r3d_18.*stem"):
        load_torchvision_video("r3d_18", str(tmp_path / "s3d.pth"), None, "cpu")


def test_every_fault_of_a_file_is_named_however_many_there_are(tmp_path: Path) -> None:
    tensors = build("r3d_18").state_dict()
    for name in [name for name in tensors if name.startswith(("stem.", "layer1."))]:
        del tensors[name]
    tensors |= {"head.weight": torch.zeros(2), "fc.bias": torch.zeros(174)}
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(Unavailable) as refused:
        load_torchvision_video("r3d_18", str(tmp_path / "other.pth"), None, "cpu")
    missing = sum(name.startswith(("stem.", "layer1.")) for name in build("r3d_18").state_dict())
    assert f"{missing} missing: stem.0.weight, " in str(refused.value)
    assert f" and {missing - 5} more; 1 unexpected: head.weight; " in str(refused.value)
    assert "1 of another shape: fc.bias (174,), expected (400,)" in str(refused.value)


def test_weights_without_a_layer_are_refused(tmp_path: Path) -> None:
    tensors = build("s3d").state_dict()
    del tensors["classifier.1.bias"]
    torch.save(tensors, tmp_path / "s3d.pth")
    with pytest.raises(Unavailable, match=r"classifier\.1\.bias"):
        load_torchvision_video("s3d", str(tmp_path / "s3d.pth"), None, "cpu")


@pytest.mark.parametrize("name", ENUMS)
def test_the_catalogue_names_the_files_that_torchvision_fetches(name: str) -> None:
    entry = WEIGHTS[name]
    assert entry.url == ENUMS[name].url
    assert entry.filename == entry.url.rpartition("/")[2]
    assert entry.filename.endswith(f"-{entry.sha256_prefix}.pth")
    assert len(entry.sha256_prefix) == 8
    assert entry.sha256 is None  # eight digits pin nothing


@pytest.mark.parametrize("name", ENUMS)
def test_a_prefix_alone_is_no_pin(name: str) -> None:
    with pytest.raises(Unavailable, match=f"no digest is established for {name}"):
        resolve(name)


def test_a_digest_that_cannot_be_the_files_is_refused() -> None:
    with pytest.raises(Unavailable, match="says that it begins with b3b3357e"):
        resolve(R3D_18, "0" * 64)


def test_the_prefix_is_held_against_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resolving.MIRROR_VARIABLE, str(tmp_path))
    entry = WEIGHTS[R3D_18]
    path = tmp_path / entry.mirror_path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other bytes")
    with pytest.raises(Unavailable, match="is pinned to b3b3357e"):
        resolve(R3D_18, "b3b3357e" + "0" * 56)
    sha256 = hashlib.sha256(b"other bytes").hexdigest()
    fitting = replace(entry, sha256_prefix=sha256[:8])
    assert resolve(R3D_18, sha256, entry=fitting).sha256 == sha256
