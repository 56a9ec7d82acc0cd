from __future__ import annotations

import hashlib
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest

from vgaudit.errors import Unavailable
from vgaudit.zoo import resolve as module
from vgaudit.zoo.catalogue import WEIGHTS
from vgaudit.zoo.resolve import file_sha256, is_path, local_path, pinned_digest, resolve

I3D = WEIGHTS["i3d-kinetics400-styleganv"]
DATA = b"not really weights"
DATA_SHA = hashlib.sha256(DATA).hexdigest()
ENTRY = replace(I3D, name="mine", sha256=DATA_SHA)


@pytest.fixture(autouse=True)
def _closed_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No mirror, an empty hub cache, no network."""
    monkeypatch.delenv("VGAUDIT_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def put(path: Path, data: bytes = DATA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_local_file_is_hashed_and_recorded(tmp_path: Path) -> None:
    path = put(tmp_path / "w.safetensors")
    found = resolve(str(path))
    assert (found.path, found.sha256, found.pinned) == (path, DATA_SHA, False)
    assert resolve(str(path), DATA_SHA.upper()).pinned
    with pytest.raises(Unavailable, match=f"has sha256 {DATA_SHA}, but w.safetensors is pinned to 1111"):
        resolve(str(path), "1" * 64)


def test_missing_local_file(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no file at"):
        resolve(str(tmp_path / "w.safetensors"))


def test_mirror_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path))
    path = put(tmp_path / ENTRY.mirror_path)
    found = resolve("mine", entry=ENTRY)
    assert (found.path, found.name, found.pinned) == (path, "mine", True)
    put(path, b"tampered with")
    with pytest.raises(Unavailable, match="delete it and fetch it again"):
        resolve("mine", entry=ENTRY)


def test_hub_cache(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / f"models--{ENTRY.repo.replace('/', '--')}"
    path = put(folder / "snapshots" / ENTRY.revision / ENTRY.filename)
    cached = huggingface_hub.try_to_load_from_cache(
        ENTRY.repo, ENTRY.filename, revision=ENTRY.revision, cache_dir=tmp_path / "hub"
    )
    assert cached == str(path)
    found = resolve("mine", entry=ENTRY)
    assert found.path == path


def test_offline_says_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        resolve(I3D.name)
    assert "HF_HUB_OFFLINE is set" in caught.value.reason
    assert I3D.download_command in caught.value.remedy
    assert str(I3D.sha256) in caught.value.remedy
    assert f"$VGAUDIT_WEIGHTS/{I3D.mirror_path}" in caught.value.remedy


def test_a_hub_that_does_not_answer_costs_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:  # bound and closed: nothing listens there
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        resolve(I3D.name)
    assert time.monotonic() - begun < module.CONNECT_TIMEOUT_S + 1


def test_no_digest_no_loading() -> None:
    with pytest.raises(Unavailable, match="no digest is established") as caught:
        resolve("mine", entry=replace(ENTRY, sha256=None))
    assert "prints the digest of what it fetched" in caught.value.remedy


def test_unknown_name() -> None:
    with pytest.raises(Unavailable, match="did you mean 'ViT-B-32/openai'"):
        resolve("ViT-B-32/openia")


def test_digest_is_taken_again_when_the_file_changes(tmp_path: Path) -> None:
    path = put(tmp_path / "w.bin")
    assert file_sha256(path) == DATA_SHA
    put(path, DATA[::-1])
    os.utime(path, ns=(1, 1))
    assert file_sha256(path) == hashlib.sha256(DATA[::-1]).hexdigest()


def test_digest_for_fingerprints(tmp_path: Path) -> None:
    path = put(tmp_path / "w.pt")
    assert pinned_digest(str(path)) == DATA_SHA
    assert pinned_digest(str(path), "A" * 64) == "a" * 64
    assert pinned_digest(str(tmp_path / "absent.pt")) == "absent"
    assert pinned_digest(I3D.name) == I3D.sha256
    assert pinned_digest("ViT-L-14/laion2b_s32b_b82k") == "absent"


def test_what_is_a_path(tmp_path: Path) -> None:
    assert [is_path(n) for n in ("openai", "ViT-B-32/openai", I3D.name)] == [False] * 3
    assert [is_path(n) for n in ("w.safetensors", "./w", "~/w", "/w", "sub/W.PT")] == [True] * 5
    assert local_path("w.pt", tmp_path) == str(tmp_path / "w.pt")
    assert local_path("openai", tmp_path) == "openai"


def test_a_stated_digest_replaces_no_established_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another file's numbers would stand under the catalogue's name and licence."""
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path))
    put(tmp_path / ENTRY.mirror_path, b"another file")
    other = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(Unavailable, match="is another file's"):
        resolve("mine", other, entry=ENTRY)
