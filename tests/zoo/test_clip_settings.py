from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
from open_clip import factory, pretrained

from tests.tiny_clip import CONFIG, save_tiny_clip
from vgaudit.errors import Unavailable
from vgaudit.zoo import catalogue, clip_models
from vgaudit.zoo.clip_models import ClipChoice, ClipModel, load_clip
from vgaudit.zoo.clip_settings import settings_of_all_tags, settings_of_tag

CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
SQUASH = {
    "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic", "resize_mode": "squash",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("ViT-B-16-SigLIP", SQUASH),
        (
            "MobileCLIP-S1",
            {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bilinear", "resize_mode": "shortest"},
        ),
        ("ViT-H-14-378-quickgelu", {"resize_mode": "squash"}),
        ("RN50", {**CLIP, "interpolation": "bicubic", "resize_mode": "shortest"}),
    ],
)
def test_what_all_published_weights_share(model: str, expected: dict[str, Any]) -> None:
    found = settings_of_all_tags(model, "w.pt")
    assert {key: found.preprocess_cfg[key] for key in expected} == expected
    assert bool(found.model_cfg.get("quick_gelu")) == (model.startswith("RN") or "quickgelu" in model)


@pytest.mark.parametrize(
    ("model", "keys"), [("ViT-B-32", "quick_gelu"), ("ViT-L-14", "mean, std, quick_gelu")]
)
def test_published_weights_that_differ_are_no_guide(model: str, keys: str) -> None:
    with pytest.raises(Unavailable) as caught:
        settings_of_all_tags(model, "w.pt")
    assert caught.value.reason.endswith(f"the published weights of {model} differ in {keys}")
    assert "`pretrained_tag:` (one of openai, laion400m_e31," in caught.value.remedy


def test_a_stated_tag_decides() -> None:
    openai, laion = (settings_of_tag("ViT-L-14", tag) for tag in ("openai", "laion2b_s32b_b82k"))
    assert (openai.model_cfg.get("quick_gelu"), laion.model_cfg.get("quick_gelu")) == (True, None)
    assert (openai.preprocess_cfg["mean"], laion.preprocess_cfg["mean"]) == (CLIP["mean"], (0.5, 0.5, 0.5))
    assert "quick_gelu" not in open_clip.get_model_config("ViT-L-14"), "open_clip's own table was changed"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of an architecture that open_clip knows as ``tiny``; tags are added by the tests."""
    _, checkpoint = save_tiny_clip(tmp_path / "tiny")
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", CONFIG["model_cfg"])
    monkeypatch.setattr(clip_models, "_loaded", {})
    return checkpoint


def load(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, Any], **choice: Any) -> ClipModel:
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", tags)
    return load_clip(ClipChoice("tiny", str(checkpoint), device="cpu", **choice))


def test_local_checkpoint_is_run_as_all_published_ones(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny, monkeypatch, {"a": dict(SQUASH), "b": {**SQUASH, "hf_hub": "x/y"}})
    assert model.facts["preprocessing"] == {
        "size": [32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    assert model.facts["settings"] == "shared by all tags of tiny"
    assert type(model.preprocess.transforms[0]).__name__ == "Resize"
    assert "CenterCrop" not in str(model.preprocess)
    assert model.facts["activation"] == "GELU"


def test_local_checkpoint_takes_the_activation_of_its_tag(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"openai": {**CLIP, "quick_gelu": True}, "laion": dict(CLIP)}
    with pytest.raises(Unavailable, match="differ in quick_gelu"):
        load(tiny, monkeypatch, tags)
    quick = load(tiny, monkeypatch, tags, pretrained_tag="openai")
    plain = load(tiny, monkeypatch, tags, pretrained_tag="laion")
    assert (quick.facts["activation"], plain.facts["activation"]) == ("QuickGELU", "GELU")
    assert load(tiny, monkeypatch, {"openai": tags["openai"]}).facts["activation"] == "QuickGELU"


def test_known_bytes_need_no_tag_and_take_no_other(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"openai": {**CLIP, "quick_gelu": True}, "laion": dict(CLIP)}
    sha256 = hashlib.sha256(tiny.read_bytes()).hexdigest()
    entry = replace(catalogue.WEIGHTS["ViT-B-32/openai"], name="tiny/openai", sha256=sha256)
    monkeypatch.setitem(catalogue.WEIGHTS, entry.name, entry)
    assert load(tiny, monkeypatch, tags).facts["activation"] == "QuickGELU"
    with pytest.raises(Unavailable, match="is tiny/openai byte for byte"):
        load(tiny, monkeypatch, tags, pretrained_tag="laion")
