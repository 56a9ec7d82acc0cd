from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No weights but those a test brings, no proxies, no waiting; the folder that stands for the user's home."""
    import huggingface_hub.constants

    from vgaudit.zoo import fetch

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("VGAUDIT_WEIGHTS", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    return home
