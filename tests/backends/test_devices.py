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


class Driver:
    """The part of a CUDA driver that is asked."""

    def __init__(self, count: int, status: int = 0) -> None:
        self.count, self.status = count, status

    def cuInit(self, _: int) -> int:  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, pointer: Any) -> int:  # noqa: N802
        pointer._obj.value = self.count
        return 0


def pretend(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, platform: str = "linux") -> None:
    monkeypatch.setattr(devices, "_cuda_driver", lambda: driver)
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "arm64")


def test_what_is_expected_here_is_what_torch_finds() -> None:
    assert expected_device("auto") == choose_device("auto")
    assert torch.__version__.startswith(minor_release("torch"))


def test_expecting_imports_no_torch() -> None:
    code = "import sys; from vgaudit.backends.devices import numerics as n; n('auto'); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_what_a_machine_is_expected_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver, platform, expected in (
        (Driver(2), "linux", "cuda"),
        (Driver(0), "linux", "cpu"),
        (Driver(2, status=100), "linux", "cpu"),  # the driver is there, but no device it may use
        (None, "linux", "cpu"),
        (None, "darwin", "mps"),
    ):
        with monkeypatch.context() as patch:
            pretend(patch, driver, platform)
            assert expected_device("auto") == expected
            assert expected_device("cpu") == "cpu"
    with monkeypatch.context() as patch:
        pretend(patch, Driver(1))
        patch.setattr(devices, "_torch_has_cuda", lambda: False)
        assert expected_device("auto") == "cpu"


def test_another_device_than_was_planned_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Driver(1))
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

    pretend(monkeypatch, Driver(0))
    cpu = (diffusers(), gan())
    assert cpu == (diffusers(device="cpu", dtype="float32"), gan(device="cpu"))
    pretend(monkeypatch, Driver(1))
    cuda = (diffusers(), gan())
    assert cuda == (diffusers(device="cuda", dtype="bfloat16"), gan(device="cuda"))
    assert diffusers(dtype={"default": "auto"}) == diffusers(dtype={"default": "bfloat16"})
    assert cuda[0] != cpu[0]
    assert cuda[1] != cpu[1]
    assert diffusers(dtype="float32") not in (cpu[0], cuda[0])
    monkeypatch.setattr(devices, "version", lambda package: "1.2.3+cu1")
    assert gan() != cuda[1]
    assert minor_release("torch") == "1.2"
