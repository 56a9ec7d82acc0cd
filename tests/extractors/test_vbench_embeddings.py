"""VBench's preprocessing and its networks, held against plain ones written from the definitions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel

from tests.tiny_vbench import TINY, clip_options, moving, save_head, save_tiny_dino, sha256
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Extractor, Features
from vgaudit.extractors.clip import ClipOptions
from vgaudit.extractors.vbench_embeddings import (
    DinoOptions,
    VBenchClipExtractor,
    VBenchClipOptions,
    VBenchDinoExtractor,
    clip_input,
    dino_input,
)
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo import dino

INFO = ClipInfo("clip", 130, 90, 10.0, 5, 0.5, "raw", "array", "rgb24")


def extract(extractor: Extractor, frames: NDArray[np.uint8], block: int = 100) -> Features:
    extraction = extractor.start(INFO)
    for start in range(0, len(frames), block):
        part = frames[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / 10))
    return extraction.finish()


def tiny_dino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> VBenchDinoExtractor:
    path = save_tiny_dino(tmp_path, monkeypatch)
    extractor = VBenchDinoExtractor(DinoOptions(weights=str(path), device="cpu", **options))
    extractor.load()
    return extractor


def plain_scaled(frame: NDArray[np.uint8], kernel: Any, reach: int) -> NDArray[np.float64]:
    """Short side to 224 by sampling ``kernel`` at pixel centres, with edges repeated and no smoothing."""
    height, width = frame.shape[:2]
    short = min(height, width)
    picture = frame.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        target = 224 if size == short else int(224 * size / short)
        place = (np.arange(target) + 0.5) * size / target - 0.5
        base = np.floor(place).astype(int)
        total = 0.0
        for k in range(1 - reach, reach + 1):
            index = np.clip(base + k, 0, size - 1)
            weight = kernel(np.abs(place - (base + k)))
            total = total + np.take(picture, index, axis) * (
                weight[:, None, None] if axis == 0 else weight[None, :, None]
            )
        picture = total
    return picture


def linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0, 1 - x)


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return np.where(x <= 1, near, np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0))


@pytest.mark.parametrize("size", [(90, 130), (300, 240), (480, 854), (224, 224)])
def test_dino_sees_the_whole_frame_with_a_short_side_of_224(size: tuple[int, int]) -> None:
    frame = moving(1, *size)[0]
    plain = plain_scaled(frame, linear, 1)
    plain = (plain / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(dino_input(frame).numpy().transpose(1, 2, 0), plain, atol=2e-4)


@pytest.mark.parametrize("size", [(90, 130), (300, 240), (480, 854)])
def test_clip_sees_the_middle_of_a_frame_scaled_without_smoothing(size: tuple[int, int]) -> None:
    frame = moving(1, *size)[0]
    plain = plain_scaled(frame, cubic, 2)
    top, left = (round((n - 224) / 2.0) for n in plain.shape[:2])
    plain = plain[top : top + 224, left : left + 224]
    assert plain.max() > 255  # the overshoot of the cubic is kept, as on VBench's floats
    plain = (plain / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    np.testing.assert_allclose(clip_input(frame).numpy().transpose(1, 2, 0), plain, atol=2e-3)


def plain_vit(weights: dict[str, NDArray[np.float64]], picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class token of a vision transformer in numpy, for a square picture of 224 pixels ``(3, 224, 224)``."""
    w = weights

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    p, g = TINY.patch, TINY.grid
    patches = picture.reshape(3, g, p, g, p).transpose(1, 3, 0, 2, 4).reshape(g * g, -1)
    kernel = w["patch_embed.proj.weight"].reshape(TINY.width, -1)
    tokens = np.concatenate([w["cls_token"][0], patches @ kernel.T + w["patch_embed.proj.bias"]])
    x = tokens + w["pos_embed"][0]
    for i in range(TINY.depth):
        query, key, value = np.split(dense(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv"), 3, axis=1)
        heads = []
        for part in np.split(np.arange(TINY.width), TINY.heads):
            logits = query[:, part] @ key[:, part].T / math.sqrt(len(part))
            weight = np.exp(logits - logits.max(1, keepdims=True))
            heads.append(weight / weight.sum(1, keepdims=True) @ value[:, part])
        x = x + dense(np.concatenate(heads, axis=1), f"blocks.{i}.attn.proj")
        inner = dense(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")
        gelu = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = x + dense(gelu, f"blocks.{i}.mlp.fc2")
    return norm(x, "norm")[0]


def test_dino_is_the_transformer_it_says_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    frames = moving(2, 100, 100)
    rows = extract(tiny_dino(tmp_path, monkeypatch), frames)["embedding"]
    weights = {k: v.double().numpy() for k, v in torch.load(tmp_path / "dino.pth", weights_only=True).items()}
    for row, frame in zip(rows, frames, strict=True):
        token = plain_vit(weights, dino_input(frame).double().numpy())
        np.testing.assert_allclose(row, token / np.linalg.norm(token), atol=2e-5)


def test_positions_of_wide_frames_are_scaled_as_dino_scales_them() -> None:
    """Sampling points move by 0.1 patches over the whole width, which plain scaling to a size would not do."""
    import torch

    network = dino.build(TINY)
    with torch.no_grad():
        network.pos_embed.normal_(generator=torch.Generator().manual_seed(0))
        got = network._positions(224, 398)[0].double().numpy()
    rows, columns = 7, 12
    assert got.shape == (TINY.width, rows, columns)
    grid = network.pos_embed[0, 1:].detach().double().numpy().reshape(7, 7, TINY.width)
    plain = grid
    for axis, count in ((0, rows), (1, columns)):
        place = (np.arange(count) + 0.5) / ((count + 0.1) / 7) - 0.5
        base = np.floor(place).astype(int)
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        plain = sum(
            np.take(plain, np.clip(base + k, 0, 6), axis) * cubic(np.abs(place - base - k)).reshape(shape)
            for k in range(-1, 3)
        )
    np.testing.assert_allclose(got.transpose(1, 2, 0), plain, atol=1e-4)


def test_both_layouts_of_dino_give_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    path = save_tiny_dino(tmp_path, monkeypatch)
    own = torch.load(path, weights_only=True)
    hub = {"pooler.dense.weight": torch.zeros(2, 2)}
    for name, tensor in own.items():
        for old, new in (
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"), ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"), ("blocks.", "encoder.layer."),
            ("attn.proj", "attention.output.dense"), ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"), ("norm1", "layernorm_before"), ("norm2", "layernorm_after"),
        ):  # fmt: skip
            name = name.replace(old, new)  # noqa: PLW2901
        name = f"layer{name}" if name.startswith("norm.") else name  # noqa: PLW2901
        if "attn.qkv" in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                hub[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            hub[name] = tensor
    save_file(hub, tmp_path / "hub.safetensors")
    loaded = dino.load_dino(str(tmp_path / "hub.safetensors"), None, "cpu").network.state_dict()
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[name], own[name]) for name in own)


@pytest.mark.parametrize("block", [1, 2])
def test_blocks_and_batches_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    frames = moving()
    extractor = tiny_dino(tmp_path, monkeypatch, batch_size=2)
    whole = extract(extractor, frames)["embedding"]
    assert whole.shape == (5, TINY.width)
    np.testing.assert_array_equal(extract(extractor, frames, block)["embedding"], whole)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)


def test_clip_and_head(tmp_path: Path) -> None:
    import torch

    from vgaudit.zoo.clip_models import load_clip

    frames, clip, head = moving(3), ClipOptions(**clip_options(tmp_path)), save_head(tmp_path)
    extractor = VBenchClipExtractor(VBenchClipOptions(clip=clip, head=str(head), head_sha256=sha256(head)))
    extractor.load()
    features = extract(extractor, frames)
    network = load_clip(clip.choice).network
    with torch.inference_mode():
        plain = network.encode_image(torch.stack([clip_input(f, 32) for f in frames])).numpy()
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    weights = {k: v.numpy() for k, v in torch.load(head, weights_only=True).items()}
    np.testing.assert_allclose(features["embedding"], plain, atol=1e-5)
    np.testing.assert_allclose(
        features["score"], plain @ weights["weight"][0] + weights["bias"][0], atol=1e-5
    )
    assert features.facts["head"]["weights_sha256"] == sha256(head)
    assert "score" not in extract(_loaded(VBenchClipExtractor(VBenchClipOptions(clip=clip))), frames).arrays


def _loaded(extractor: VBenchClipExtractor) -> VBenchClipExtractor:
    extractor.load()
    return extractor


def test_fingerprints_follow_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = VBenchDinoExtractor(DinoOptions(weights=str(save_tiny_dino(tmp_path, monkeypatch)))).fingerprint
    other = VBenchDinoExtractor(
        DinoOptions(weights=str(save_tiny_dino(tmp_path, monkeypatch, 1)))
    ).fingerprint
    assert first != other
    clip = ClipOptions(**clip_options(tmp_path))
    with_head = VBenchClipOptions(clip=clip, head=str(save_head(tmp_path)))
    assert (
        VBenchClipExtractor(VBenchClipOptions(clip=clip)).fingerprint
        != VBenchClipExtractor(with_head).fingerprint
    )


def test_what_does_not_load_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    path = save_tiny_dino(tmp_path, monkeypatch)
    own = torch.load(path, weights_only=True)
    wrong: dict[str, Any] = {
        "cut": path.read_bytes()[:100],
        "nested": {"teacher": own},
        "lacking": {k: v for k, v in own.items() if k != "norm.bias"},
        "wider": {**own, "cls_token": torch.zeros(1, 1, 99)},
        "endless": {**own, "cls_token": own["cls_token"] * math.inf},
        "lone": {"encoder.layer.0.attention.attention.query.weight": torch.zeros(2, 2)},
    }
    for name, content in wrong.items():
        file = tmp_path / f"{name}.pth"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(Unavailable, match=file.name) as caught:
            VBenchDinoExtractor(DinoOptions(weights=str(file), device="cpu")).load()
        assert caught.value.remedy
    head = tmp_path / "two.pth"
    torch.save({"0.weight": torch.zeros(1, 16)}, head)
    options = VBenchClipOptions(clip=ClipOptions(**clip_options(tmp_path)), head=str(head))
    with pytest.raises(Unavailable, match="no linear head"):
        VBenchClipExtractor(options).load()


def test_a_name_without_an_established_digest_asks_for_one() -> None:
    with pytest.raises(Unavailable, match=r"no digest is established for dino-vitb16") as caught:
        VBenchDinoExtractor(DinoOptions(device="cpu")).load()
    assert "vgaudit models pull dino-vitb16" in caught.value.remedy


def test_options_are_strict() -> None:
    kinds: tuple[type[BaseModel], ...] = (DinoOptions, VBenchClipOptions)
    for kind in kinds:
        json.dumps(kind.model_json_schema())
        with pytest.raises(ValueError, match="extra"):
            kind.model_validate({"wieghts": "x"})
