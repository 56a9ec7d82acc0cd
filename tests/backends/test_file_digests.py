"""Digests of weights files: right, remembered for large files, and never of an older file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from vgaudit.backends import file_digests
from vgaudit.backends.file_digests import sha256_file, sha256_folder


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vgaudit" / "digests.json"


def old(path: Path, data: bytes, mtime: int = 1_000_000_000) -> Path:
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))
    return path


def test_large_files_are_read_once(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(2**20)
    path = old(tmp_path / "w.bin", data)
    assert sha256_file(path) == hashlib.sha256(data).hexdigest()
    assert memory.is_file()
    monkeypatch.setattr(file_digests, "_read", lambda _: pytest.fail("the file was read again"))
    assert sha256_file(path) == hashlib.sha256(data).hexdigest()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = old(tmp_path / "w.bin", bytes(2**20))
    first = sha256_file(path)
    old(path, b"\1" * 2**20, 1_000_000_001)
    assert sha256_file(path) != first


def test_a_file_just_written_is_not_remembered(tmp_path: Path, memory: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(2**20))
    sha256_file(tmp_path / "w.bin")
    assert not memory.exists()


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"x": 1})])
def test_a_damaged_memory_is_ignored(tmp_path: Path, memory: Path, content: str) -> None:
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    data = b"\2" * 2**20
    assert sha256_file(old(tmp_path / "w.bin", data)) == hashlib.sha256(data).hexdigest()


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(sha256_file(old(tmp_path / "w.bin", bytes(2**20)))) == 64


def test_folders_leave_hidden_files_out(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "vae").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ("a.json", "vae/w.bin", ".hidden", ".cache/x"):
        (folder / name).write_bytes(name.encode())
    assert list(sha256_folder(folder)) == ["a.json", "vae/w.bin"]
