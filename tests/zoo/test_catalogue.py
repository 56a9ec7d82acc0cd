from __future__ import annotations

import re

from vgaudit.zoo.catalogue import CLIP_ALIASES, WEIGHTS, by_digest


def test_entries_are_complete() -> None:
    for name, weights in WEIGHTS.items():
        assert weights.name == name
        assert weights.licence
        assert weights.sha256 is None or re.fullmatch("[0-9a-f]{64}", weights.sha256)
        assert weights.sha256 is None or weights.bundled or re.fullmatch("[0-9a-f]{40}", weights.revision), (
            "a digest needs its commit"
        )
        assert weights.bundled or weights.name in weights.download_command
        assert weights.filename in weights.mirror_path


def test_torchscript_is_always_pinned() -> None:
    assert all(w.sha256 for w in WEIGHTS.values() if w.kind == "torchscript" and not w.bundled)


def test_aliases_lead_to_entries() -> None:
    assert {f"{model}/{tag}" for model, tag in CLIP_ALIASES.values()} <= set(WEIGHTS)


def test_open_clip_agrees_on_source_and_activation() -> None:
    import open_clip

    for weights in WEIGHTS.values():
        if weights.kind == "open_clip" and not weights.bundled:
            model, _, tag = weights.name.partition("/")
            known = open_clip.get_pretrained_cfg(model, tag)
            assert known["hf_hub"].rstrip("/") == weights.repo
            assert bool(known.get("quick_gelu")) == weights.quick_gelu


def test_by_digest() -> None:
    i3d = WEIGHTS["i3d-kinetics400-styleganv"]
    assert by_digest(str(i3d.sha256)) is i3d
    assert by_digest("0" * 64) is None
