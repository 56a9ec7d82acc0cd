"""Weights files are told apart by looking, and those that would run code are refused without running it."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.tiny_models import save_tiny_gan_export, save_tiny_gan_torchscript, tiny_generator
from vgaudit.backends.checkpoints import _is_arithmetic, check_export, check_torchscript, kind_of_checkpoint
from vgaudit.errors import BackendError


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gan_export(tmp_path_factory.mktemp("export") / "g.pt2")


def test_kinds(tmp_path: Path, exported: Path) -> None:
    script = save_tiny_gan_torchscript(tmp_path / "g.pt")
    torch.save(tiny_generator().state_dict(), tmp_path / "state.pth")
    torch.save(tiny_generator().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(tiny_generator().state_dict(), tmp_path / "g.safetensors")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    kinds = {
        script: "torchscript",
        exported: "export",
        tmp_path / "state.pth": "pickle",
        tmp_path / "old.pth": "pickle",
        tmp_path / "plain.pkl": "pickle",
        tmp_path / "g.safetensors": "safetensors",
        tmp_path / "text.pt": "unknown",
        tmp_path / "empty.pt": "unknown",
    }
    assert {path: kind_of_checkpoint(path) for path in kinds} == kinds
    check_torchscript(script)
    check_export(exported)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be read: No such file"):
        kind_of_checkpoint(tmp_path / "no.pt")
    whole = save_tiny_gan_torchscript(tmp_path / "g.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackendError, match="the archive is damaged"):
        kind_of_checkpoint(tmp_path / "cut.pt")
    with zipfile.ZipFile(tmp_path / "two.pt", "w") as archive:
        archive.writestr("g/data.pkl", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("g/data.pkl", b"")
    with pytest.raises(BackendError, match="two files of one name"):
        kind_of_checkpoint(tmp_path / "two.pt")


def test_torchscript_that_writes_a_file_is_refused(tmp_path: Path) -> None:
    code = "def forward(self, z):\n  return torch.from_file('x', True, 8)\n"
    with zipfile.ZipFile(tmp_path / "g.pt", "w") as archive:
        archive.writestr("g/data.pkl", b"")
        archive.writestr("g/constants.pkl", b"")
        archive.writestr("g/code/__torch__.py", code)
    assert kind_of_checkpoint(tmp_path / "g.pt") == "torchscript"
    with pytest.raises(BackendError, match=r"its code calls torch.from_file, which touches files"):
        check_torchscript(tmp_path / "g.pt")


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename.split("/", 1)[1], old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    return target


def graph_with(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def apply(name: str, data: bytes) -> bytes:
        if name != "models/model.json":
            return data
        graph = json.loads(data)
        change(graph)
        return json.dumps(graph).encode()

    return apply


def _call_system(graph: dict[str, Any]) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.serialization.os.system"


def _open_file(graph: dict[str, Any]) -> None:
    graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def _evaluate(graph: dict[str, Any]) -> None:
    sizes = graph["graph_module"]["graph"]["tensor_values"]["z"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = "__import__('os').system('true')"


def _guard(graph: dict[str, Any]) -> None:
    graph["guards_code"] = ["open('x', 'w')"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_call_system, "its graph calls 'torch.serialization.os.system'"),
        (_open_file, "its graph calls 'torch.ops.aten.from_file.default'"),
        (_evaluate, "a size in it is the expression"),
        (_guard, "it carries guards that are not arithmetic"),
    ],
)
def test_export_with_a_door_in_its_graph_is_refused(
    tmp_path: Path, exported: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = rewritten(exported, tmp_path / "g.pt2", graph_with(change))
    with pytest.raises(BackendError, match=message):
        check_export(path)


def test_export_with_a_pickle_inside_is_refused(tmp_path: Path, exported: Path) -> None:
    def pickled(value: Any) -> bytes:
        out = io.BytesIO()
        torch.save(value, out)
        return out.getvalue()

    target = tmp_path / "ran"
    evil = pickled((Evil(target),))
    inputs = rewritten(
        exported,
        tmp_path / "a.pt2",
        lambda name, data: evil if name.startswith("data/sample_inputs/") else data,
    )
    flagged = rewritten(
        exported,
        tmp_path / "b.pt2",
        lambda name, data: data.replace(b'"use_pickle": false', b'"use_pickle": true'),
    )
    legacy = tmp_path / "c.pt2"
    legacy.write_bytes(exported.read_bytes())
    with zipfile.ZipFile(legacy, "a") as archive:
        archive.writestr("g/data/weights/model.pt", evil)
    for path, message in [
        (inputs, "holds more than tensors"),
        (flagged, "stored as a pickle"),
        (legacy, "is a pickle"),
    ]:
        with pytest.raises(BackendError, match=message):
            check_export(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("Symbol('s68', positive=True, integer=True)", True),
        ("Max(1, 2*s0 + s1//4)", True),
        ("Mod(u0, 4)", True),
        ("L['z'].size()[0] >= 2", True),
        ("().__class__", False),
        ("Symbol.mro()", False),
        ("s0 if open('x') else 1", False),
        ("lambda: 0", False),
        ("Symbol('os.system(1)')", False),
        (5, False),
    ],
)
def test_arithmetic(expression: Any, fine: bool) -> None:
    assert _is_arithmetic(expression) is fine
