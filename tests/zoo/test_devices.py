from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

import vgaudit
from vgaudit.errors import Unavailable
from vgaudit.zoo import devices
from vgaudit.zoo.devices import resolved_device, torch_device, torch_release

DRIVER = """
int cuInit(unsigned int flags) {{ return {init}; }}
int cuDeviceGetCount(int *count) {{ *count = {count}; return {get}; }}
"""


@pytest.fixture(autouse=True)
def _ask_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers are kept per process: forget them before and after."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    caches = (devices._driver_counts_gpus, devices._torch_has_cuda)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a compiled driver library with the stated answers in the real one's place."""
    compiler = next((c for c in ("cc", "gcc", "clang") if _there(c)), None)
    if compiler is None:
        pytest.skip("no C compiler to build a driver library with")

    def build(init: int = 0, count: int = 1, get: int = 0) -> None:
        name = f"driver{init}_{count}_{get}"
        (tmp_path / f"{name}.c").write_text(DRIVER.format(init=init, count=count, get=get))
        library = tmp_path / f"{name}.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / f"{name}.c"], check=True)
        monkeypatch.setattr(devices, "_DRIVER", str(library))

    return build


def _there(program: str) -> bool:
    return shutil.which(program) is not None


def cuda_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: str = "'12.8'") -> None:
    """A torch package on disk that says which CUDA it was built for."""
    package = tmp_path / f"torch_{len(list(tmp_path.iterdir()))}"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "version.py").write_text(f"from typing import Optional\ncuda: Optional[str] = {cuda}\n")
    spec = spec_from_file_location("torch", package / "__init__.py")
    monkeypatch.setattr(devices, "find_spec", lambda name: spec)


def test_a_stated_device_is_taken_at_its_word() -> None:
    assert resolved_device("cpu") == "cpu"
    assert resolved_device("cuda") == "cuda"


def test_auto_is_cuda_where_the_driver_counts_one(driver, monkeypatch, tmp_path: Path) -> None:
    driver()
    cuda_torch(monkeypatch, tmp_path)
    assert resolved_device("auto") == "cuda"


@pytest.mark.parametrize("hidden", ["", " ", "-1"])
def test_hidden_gpus_are_not_there(driver, monkeypatch, tmp_path: Path, hidden: str) -> None:
    driver()
    cuda_torch(monkeypatch, tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert resolved_device("auto") == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert resolved_device("auto") == "cuda"


@pytest.mark.parametrize("answers", [{"init": 100}, {"count": 0}, {"get": 3}])
def test_a_driver_without_a_gpu(driver, monkeypatch, tmp_path: Path, answers: dict[str, int]) -> None:
    driver(**answers)
    cuda_torch(monkeypatch, tmp_path)
    assert resolved_device("auto") == "cpu"


def test_no_driver(monkeypatch, tmp_path: Path) -> None:
    cuda_torch(monkeypatch, tmp_path)
    monkeypatch.setattr(devices, "_DRIVER", str(tmp_path / "absent.so"))
    assert resolved_device("auto") == "cpu"


def test_a_torch_built_without_cuda_uses_no_gpu(driver, monkeypatch, tmp_path: Path) -> None:
    driver()
    cuda_torch(monkeypatch, tmp_path, cuda="None")
    assert resolved_device("auto") == "cpu"
    devices._torch_has_cuda.cache_clear()
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert resolved_device("auto") == "cpu"


def test_the_installed_torch_agrees() -> None:
    import torch

    assert devices._torch_has_cuda() == (torch.version.cuda is not None)
    assert torch_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu") == resolved_device("auto")
    assert torch.__version__.startswith(f"{torch_release()}.")
    assert torch_device("cpu") == "cpu"


def test_disagreement_is_refused(monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: True)
    with pytest.raises(Unavailable, match="auto means cuda by the CUDA driver, but torch sees no GPU"):
        torch_device("auto")
    with pytest.raises(Unavailable, match="torch sees no GPU here"):
        torch_device("cuda")
    assert torch_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device("auto") == "cuda"
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: False)
    with pytest.raises(Unavailable, match="auto means cpu by the CUDA driver, but torch sees a GPU"):
        torch_device("auto")
    assert torch_device("cuda") == "cuda"


def test_asking_imports_no_torch() -> None:
    code = (
        "import sys; from vgaudit.zoo.devices import *; from vgaudit.zoo import devices;"
        "devices.resolved_device('auto'); devices.torch_release(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_network_runs_in_tensorfloat_whatever_other_threads_do() -> None:
    import torch

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        assert torch_device("cpu") == "cpu"
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    package = Path(vgaudit.__file__).parent
    assert [p.name for p in package.rglob("*.py") if "cudnn.flags" in p.read_text("utf-8")] == []
