"""VideoMAE: transformers' classes in both layouts, held against a second forward pass written out from functions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import conv3d, gelu, layer_norm, linear, softmax

from vgaudit.errors import Unavailable
from vgaudit.zoo import videomae
from vgaudit.zoo.videomae import BASE, GIANT, author_names, build, from_authors, in_names_of, load_videomae

TINY_BASE = replace(BASE, width=32, depth=2, heads=2, hidden=48, patch=56, classes=5)
TINY_GIANT = replace(GIANT, width=32, depth=2, heads=2, hidden=48, patch=56, classes=5)
CLIP = torch.randn(1, 3, 16, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videomae, "SHAPES", {"base": TINY_BASE, "giant": TINY_GIANT})


def author_file(path: Path, within: str = "", **changes: Any) -> dict[str, torch.Tensor]:
    """Random tensors under the authors' names, written to ``path``; ``None`` in ``changes`` leaves one out."""
    generator = torch.Generator().manual_seed(2)
    named = {
        name: (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        + 0.2 * torch.randn(size, generator=generator)
        for name, size in author_names(TINY_GIANT).items()
    }
    for name, tensor in changes.items():
        named.pop(name, None)
        if tensor is not None:
            named[name] = tensor
    torch.save({within: named, "epoch": 3} if within else named, path)
    return named


def sinusoids(tokens: int, width: int) -> torch.Tensor:
    """Position embeddings: sine on even and cosine on odd channels, a pair a frequency."""
    at, channel = np.arange(tokens)[:, None], np.arange(width)[None]
    angle = at / np.power(10000.0, 2 * (channel // 2) / width)
    return torch.from_numpy(np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))).float()


def by_hand(named: dict[str, torch.Tensor], clip: torch.Tensor) -> torch.Tensor:
    """The features as the paper and the authors' code have them, from functions."""
    s = TINY_GIANT
    step = (s.tubelet, s.patch, s.patch)
    x = conv3d(clip, named["patch_embed.proj.weight"], named["patch_embed.proj.bias"], stride=step)
    x = x.flatten(2).transpose(1, 2)
    x = x + sinusoids(x.shape[1], s.width)
    for i in range(s.depth):
        p = {n.removeprefix(f"blocks.{i}."): t for n, t in named.items() if n.startswith(f"blocks.{i}.")}
        y = layer_norm(x, (s.width,), p["norm1.weight"], p["norm1.bias"], 1e-6)
        bias = torch.cat([p["attn.q_bias"], torch.zeros(s.width), p["attn.v_bias"]])
        q, k, v = (
            part.view(1, -1, s.heads, s.width // s.heads).transpose(1, 2)
            for part in linear(y, p["attn.qkv.weight"], bias).split(s.width, dim=-1)
        )
        seen = softmax(q @ k.transpose(2, 3) * (s.width // s.heads) ** -0.5, dim=-1) @ v
        x = x + linear(
            seen.transpose(1, 2).reshape(1, -1, s.width), p["attn.proj.weight"], p["attn.proj.bias"]
        )
        y = layer_norm(x, (s.width,), p["norm2.weight"], p["norm2.bias"], 1e-6)
        y = gelu(linear(y, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
        x = x + linear(y, p["mlp.fc2.weight"], p["mlp.fc2.bias"])
    return layer_norm(x.mean(1), (s.width,), named["fc_norm.weight"], named["fc_norm.bias"], 1e-6)


@pytest.mark.parametrize("within", ["", "model", "module"])
def test_the_authors_file_gives_what_the_authors_network_gives(within: str, tmp_path: Path) -> None:
    named = author_file(tmp_path / "g.pth", within)
    loaded = load_videomae("giant", str(tmp_path / "g.pth"), None, "cpu")
    with torch.inference_mode():
        made = loaded.network(CLIP)
    assert made.shape == (1, TINY_GIANT.width)
    torch.testing.assert_close(made, by_hand(named, CLIP), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_epsilon_after_the_mean_is_the_shapes(
    eps: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = author_file(tmp_path / "g.pth")
    monkeypatch.setattr(videomae, "SHAPES", {"giant": replace(TINY_GIANT, pool_eps=eps)})
    with torch.inference_mode():
        made = load_videomae("giant", str(tmp_path / "g.pth"), None, "cpu").network(CLIP)
    assert torch.allclose(made, by_hand(named, CLIP), rtol=1e-4, atol=1e-5) == (eps == 1e-6)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"blocks.1.attn.q_bias": None}, r"it lacks blocks\.1\.attn\.q_bias"),
        ({"fc_norm.weight": None, "fc_norm.bias": None}, r"lacks fc_norm\.bias, fc_norm\.weight"),
        ({"cls_token": torch.zeros(1)}, "it has besides cls_token"),
        ({"blocks.2.norm1.bias": torch.zeros(32)}, r"it has besides blocks\.2\.norm1\.bias"),
        ({"head.bias": torch.zeros(6)}, r"has head\.bias of shape \(6,\).*\(5,\)"),
        (
            {"norm.weight": torch.zeros(32), "fc_norm.bias": None},
            r"lacks fc_norm\.bias; it has besides norm\.",
        ),
        ({"fc_norm.bias": torch.full((32,), float("nan"))}, "not finite"),
    ],
)
def test_a_file_that_is_not_exactly_this_network_is_refused(
    changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    author_file(tmp_path / "g.pth", **changes)
    with pytest.raises(Unavailable, match=text):
        load_videomae("giant", str(tmp_path / "g.pth"), None, "cpu")


def hub_file(path: Path, older: bool) -> Any:
    """transformers' own network with random weights, saved as the hub's file; names of an older release if asked."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = build(TINY_BASE).eval()
    tensors = dict(network.state_dict())
    if older:
        tensors = in_names_of(["a.q_bias"], tensors)
        assert any(name.endswith("attention.attention.q_bias") for name in tensors)
    torch.save(tensors, path)
    return network


@pytest.mark.parametrize("older", [False, True])
def test_the_hubs_file_gives_what_enters_transformers_classifier(older: bool, tmp_path: Path) -> None:
    network = hub_file(tmp_path / "b.bin", older)
    entered: list[torch.Tensor] = []
    network.classifier.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    with torch.inference_mode():
        network(CLIP.transpose(1, 2))
        made = load_videomae("base", str(tmp_path / "b.bin"), None, "cpu").network(CLIP)
    assert torch.equal(made, entered[0])
    assert made.std() > 0


def test_one_layout_is_not_the_other(tmp_path: Path) -> None:
    hub_file(tmp_path / "b.bin", older=False)
    author_file(tmp_path / "g.pth")
    with pytest.raises(Unavailable, match=r"lacks blocks\.0\.attn\.proj\.bias"):
        load_videomae("giant", str(tmp_path / "b.bin"), None, "cpu")
    with pytest.raises(Unavailable, match=r"has besides blocks\.0\.attn\.proj\.bias"):
        load_videomae("base", str(tmp_path / "g.pth"), None, "cpu")


@pytest.mark.slow
def test_the_giant_layer_by_layer() -> None:
    """On the meta device, which holds no numbers."""
    assert (GIANT.depth, GIANT.width, GIANT.heads, GIANT.hidden) == (40, 1408, 16, 6144)
    assert (GIANT.patch, GIANT.tubelet, GIANT.frames, GIANT.size, GIANT.classes) == (14, 2, 16, 224, 174)
    assert GIANT.hidden == GIANT.width * 48 / 11  # the authors' ratio
    with torch.device("meta"):
        network = build(GIANT)
        theirs = {name: torch.empty(size) for name, size in author_names(GIANT).items()}
    made = from_authors(theirs, GIANT, "g.pth")
    own = network.state_dict()
    assert {n: tuple(t.shape) for n, t in made.items()} == {n: tuple(t.shape) for n, t in own.items()}
    assert len(theirs) == 2 + 40 * 13 + 4
    block = (
        1408 * 1408 * 4 + 2 * 1408 * 6144 + 6144 + 8 * 1408
    )  # projections, MLP, its bias; norms and biases
    patches = 1408 * 3 * 2 * 14 * 14 + 1408
    count = patches + 40 * block + 2 * 1408 + 1408 * 174 + 174
    assert sum(p.numel() for p in network.parameters()) == count == 1_011_855_918
    for layer in network.videomae.encoder.layer:
        assert layer.attention.attention.num_attention_heads == 16
        assert layer.attention.attention.attention_head_size == 88
        assert layer.layernorm_before.eps == layer.layernorm_after.eps == 1e-6
    assert len(network.videomae.encoder.layer) == 40
    assert network.fc_norm.eps == 1e-6
    assert tuple(network.videomae.embeddings.patch_embeddings.projection.stride) == (2, 14, 14)
    assert network.videomae.embeddings.num_patches == 8 * 16 * 16
    positions = network.videomae.embeddings.position_embeddings[0]
    torch.testing.assert_close(positions, sinusoids(2048, 1408), rtol=0, atol=1e-6)


def test_the_base_is_the_published_size() -> None:
    with torch.device("meta"):
        network = build(BASE)
    assert sum(p.numel() for p in network.parameters()) == 86_534_800
    assert network.config.layer_norm_eps == 1e-12
    assert network.fc_norm.eps == 1e-5
