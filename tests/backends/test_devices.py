"""The device is known before torch is imported, and is part of what a fingerprint says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.tiny_models import save_tiny_gan_torchscript
from vgaudit.backends import devices
from vgaudit.backends.base import BackendContext
from vgaudit.backends.devices import choose_device, expected_device, minor_release
from vgaudit.backends.diffusers import DiffusersBackend, DiffusersOptions
from vgaudit.backends.gan import GanBackend, GanOptions
from vgaudit.errors import BackendError


def pretend(monkeypatch: pytest.MonkeyPatch, gpu: bool, platform: str = "linux") -> None:
    """As on a machine with or without a GPU; how that is found out is ``vgaudit.zoo.devices``' own test."""
    monkeypatch.setattr(devices, "resolved_device", lambda _: "cuda" if gpu else "cpu")
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "arm64")


def test_what_is_expected_here_is_what_torch_finds() -> None:
    assert expected_device("auto") == choose_device("auto")
    assert torch.__version__.startswith(minor_release("torch"))


def test_expecting_imports_no_torch() -> None:
    code = "import sys; from vgaudit.backends.devices import numerics as n; n('auto'); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("gpu", "platform", "expected"),
    [(True, "linux", "cuda"), (False, "linux", "cpu"), (False, "darwin", "mps")],
)
def test_what_a_machine_is_expected_to_have(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, platform: str, expected: str
) -> None:
    pretend(monkeypatch, gpu, platform)
    assert expected_device("auto") == expected
    assert expected_device("cpu") == "cpu"


def test_another_device_than_was_planned_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BackendError, match=r"planned for 'cuda', but torch finds 'cpu'; say `device: cpu`"):
        choose_device("auto")
    assert choose_device("cpu") == "cpu"


def pipeline_folder(base: Path) -> None:
    (base / "wan").mkdir()
    (base / "wan" / "model_index.json").write_text('{"_class_name": "WanPipeline"}')


def test_fingerprints_tell_devices_and_precisions_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline_folder(tmp_path)
    save_tiny_gan_torchscript(tmp_path / "g.pt")

    def diffusers(**options: Any) -> str:
        return DiffusersBackend(
            DiffusersOptions(model="wan", **options), BackendContext(tmp_path)
        ).fingerprint

    def gan(**options: Any) -> str:
        return GanBackend(
            GanOptions(model="g.pt", z_dim=8, fps=8, **options), BackendContext(tmp_path)
        ).fingerprint

    pretend(monkeypatch, False)
    cpu = (diffusers(), gan())
    assert cpu == (diffusers(device="cpu", dtype="float32"), gan(device="cpu"))
    pretend(monkeypatch, True)
    cuda = (diffusers(), gan())
    assert cuda == (diffusers(device="cuda", dtype="bfloat16"), gan(device="cuda"))
    assert diffusers(dtype={"default": "auto"}) == diffusers(dtype={"default": "bfloat16"})
    assert cuda[0] != cpu[0]
    assert cuda[1] != cpu[1]
    assert diffusers(dtype="float32") not in (cpu[0], cuda[0])
    monkeypatch.setattr(devices, "torch_release", lambda: "1.2")
    assert gan() != cuda[1]
