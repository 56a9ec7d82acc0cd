"""V-JEPA against parts counted by hand, and against the same network written out with plain sums."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_vjepa import TINY, checkpoints, drawn_vjepa, save_vjepa
from vgaudit.errors import Unavailable
from vgaudit.zoo import vjepa
from vgaudit.zoo.catalogue import VJEPA, VJEPA_PROBE, WEIGHTS
from vgaudit.zoo.vjepa import VITH16, Vjepa, build, load_vjepa, network_digest, position_embedding


def mlp(prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.fc1.weight": (5120, 1280), f"{prefix}.fc1.bias": (5120,),
        f"{prefix}.fc2.weight": (1280, 5120), f"{prefix}.fc2.bias": (1280,),
    }  # fmt: skip


def linear(name: str, to: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (to, 1280), f"{name}.bias": (to,)}


def norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (1280,), f"{name}.bias": (1280,)}


def test_every_parameter_is_the_published_ones() -> None:
    with torch.device("meta"):
        network = build(VITH16, True)
    encoder: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 8 * 14 * 14, 1280),
        "patch_embed.proj.weight": (1280, 3, 2, 16, 16),
        "patch_embed.proj.bias": (1280,),
        **norm("norm"),
    }
    for i in range(32):
        at = f"blocks.{i}"
        encoder |= norm(f"{at}.norm1") | norm(f"{at}.norm2") | mlp(f"{at}.mlp")
        encoder |= linear(f"{at}.attn.qkv", 3840) | linear(f"{at}.attn.proj", 1280)
    at = "cross_attention_block"
    pooler = {"query_tokens": (1, 1, 1280), **norm(f"{at}.norm1"), **norm(f"{at}.norm2"), **mlp(f"{at}.mlp")}
    for name, to in (("q", 1280), ("kv", 2560), ("proj", 1280)):
        pooler |= linear(f"{at}.xattn.{name}", to)
    found = [
        {k: tuple(v.shape) for k, v in part.state_dict().items()}
        for part in (network.encoder, network.pooler)
    ]
    assert found == [encoder, pooler]
    block = 12 * 1280**2 + 13 * 1280
    learned = 32 * block + 3 * 2 * 16 * 16 * 1280 + 1280 + 2 * 1280
    assert sum(p.numel() for p in network.encoder.parameters()) - 1568 * 1280 == learned == 631_648_000
    assert sum(p.numel() for p in network.pooler.parameters()) == block + 1280 == 19_678_720


@pytest.mark.parametrize("shape", [TINY, VITH16])
def test_positions_by_the_formula_one_by_one(shape: Any) -> None:
    found = position_embedding(shape)
    across = shape.size // shape.patch
    assert found.shape == (shape.frames // shape.tubelet * across * across, shape.width)
    third = 2 * -(-shape.width // 6)
    rng = np.random.default_rng(0)
    for token, place in zip(rng.integers(0, len(found), 500), rng.integers(0, shape.width, 500), strict=True):
        time, row, column = token // across**2, token // across % across, token % across
        position = (time, row, column)[place // third]
        within = place % third
        half = third // 2
        angle = position / 10000 ** ((within % half) / half)
        assert found[token, place] == pytest.approx(
            (math.sin if within < half else math.cos)(angle), abs=1e-12
        )


def normed(x: Tensor, named: dict[str, Tensor], at: str, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    spread = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / spread * named[f"{at}.weight"] + named[f"{at}.bias"]


def layer(x: Tensor, named: dict[str, Tensor], at: str) -> Tensor:
    return torch.einsum("ni,oi->no", x, named[f"{at}.weight"]) + named[f"{at}.bias"]


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Of one clip: tokens ``(n, width)``, head by head and query by query."""
    width = query.shape[1] // heads
    out = torch.zeros_like(query)
    for head in range(heads):
        of = slice(head * width, (head + 1) * width)
        for i in range(len(query)):
            scores = torch.stack([(query[i, of] * k[of]).sum() / math.sqrt(width) for k in key])
            share = (scores - scores.max()).exp()
            out[i, of] = ((share / share.sum())[:, None] * value[:, of]).sum(0)
    return out


def hidden(x: Tensor, named: dict[str, Tensor], at: str) -> Tensor:
    inner = layer(x, named, f"{at}.fc1")
    return layer(inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))), named, f"{at}.fc2")


def by_hand(network: Any, clip: Tensor, projected: bool) -> tuple[Tensor, Tensor]:
    """Tokens and features of one clip ``(3, 16, 32, 32)``."""
    body = {k: v.double() for k, v in network.encoder.state_dict().items()}
    head = {k: v.double() for k, v in network.pooler.state_dict().items()}
    kernel, tokens = body["patch_embed.proj.weight"], []
    for t in range(0, 16, 2):
        for y in range(0, 32, 16):
            for x in range(0, 32, 16):
                piece = clip.double()[:, t : t + 2, y : y + 16, x : x + 16]
                tokens.append((kernel * piece).sum(dim=(1, 2, 3, 4)) + body["patch_embed.proj.bias"])
    seen = torch.stack(tokens) + torch.from_numpy(position_embedding(TINY))
    width = TINY.width
    for i in range(TINY.depth):
        at = f"blocks.{i}"
        qkv = layer(normed(seen, body, f"{at}.norm1", 1e-6), body, f"{at}.attn.qkv")
        mixed = attention(qkv[:, :width], qkv[:, width : 2 * width], qkv[:, 2 * width :], TINY.heads)
        seen = seen + layer(mixed, body, f"{at}.attn.proj")
        seen = seen + hidden(normed(seen, body, f"{at}.norm2", 1e-6), body, f"{at}.mlp")
    seen = normed(seen, body, "norm", 1e-6)
    at, query = "cross_attention_block", head["query_tokens"][0]
    kv = layer(normed(seen, head, f"{at}.norm1", 1e-5), head, f"{at}.xattn.kv")
    mixed = attention(layer(query, head, f"{at}.xattn.q"), kv[:, :width], kv[:, width:], TINY.heads)
    query = query + (layer(mixed, head, f"{at}.xattn.proj") if projected else mixed)
    query = query + hidden(normed(query, head, f"{at}.norm2", 1e-5), head, f"{at}.mlp")
    return seen, query[0]


@pytest.mark.parametrize("projected", [True, False])
def test_the_network_is_what_plain_sums_give(projected: bool) -> None:
    network = drawn_vjepa(projected=projected)
    clips = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens, features = network.encoder(clips), network(clips)
    assert features.shape == (2, TINY.width)
    for i, clip in enumerate(clips):
        seen, out = by_hand(network, clip, projected)
        torch.testing.assert_close(tokens[i].double(), seen, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(features[i].double(), out, atol=1e-4, rtol=1e-4)


def test_the_projection_moves_features() -> None:
    clip = torch.randn(1, 3, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    assert (drawn_vjepa(projected=True)(clip) - drawn_vjepa(projected=False)(clip)).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(1, 3, 8, 32, 32), (1, 3, 16, 48, 32), (1, 1, 16, 32, 32)])
def test_other_clips_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, \*\(3, 16, 32, 32\)\)"):
        drawn_vjepa()(torch.zeros(shape))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vjepa, "VITH16", TINY)


def loaded(options: dict[str, str], projected: bool = True) -> Vjepa:
    return load_vjepa(
        options["weights"], options["sha256"], options["probe"], options["probe_sha256"], projected, "cpu"
    )


@pytest.mark.usefixtures("tiny")
def test_both_files_are_loaded(tmp_path: Path) -> None:
    options = save_vjepa(tmp_path)
    found, drawn = loaded(options), drawn_vjepa()
    clip = torch.randn(1, 3, 16, 32, 32, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(found.network(clip), drawn(clip), atol=0, rtol=0)
    assert found.facts["encoder_sha256"] == options["sha256"]
    assert found.facts["probe_sha256"] == options["probe_sha256"]
    assert found.facts["weights_sha256"] == network_digest(options["sha256"], options["probe_sha256"], True)
    assert found.facts["weights_sha256"] != loaded(options, False).facts["weights_sha256"]
    assert found.facts["weights_pinned"] is True
    assert not any(p.requires_grad for p in found.network.parameters())


def saved(folder: Path, change: Any) -> dict[str, str]:
    encoder, probe = checkpoints(drawn_vjepa())
    change(encoder, probe)
    torch.save(encoder, folder / "a.pth.tar")
    torch.save(probe, folder / "b.pth.tar")
    names = {"weights": str(folder / "a.pth.tar"), "probe": str(folder / "b.pth.tar")}
    return {**names, "sha256": None, "probe_sha256": None}  # type: ignore[dict-item]


def test_all_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vjepa, "VITH16", TINY)

    def change(encoder: Any, probe: Any) -> None:
        named = encoder["target_encoder"]
        for i in range(2):
            del named[f"module.backbone.blocks.{i}.attn.qkv.weight"]
        named["module.backbone.norm.bias"] = torch.zeros(7)
        named["module.backbone.cls_token"] = torch.zeros(3)
        named["stray"] = torch.zeros(3)
        named["module.backbone.norm.weight"][0] = math.nan

    with pytest.raises(Unavailable) as caught:
        loaded(saved(tmp_path, change))
    for text in (
        "missing: blocks.0.attn.qkv.weight", "missing: blocks.1.attn.qkv.weight", "unexpected: cls_token",
        "unexpected: stray", "norm.bias is (7,), expected (20,)", "norm.weight holds numbers that are not finite",
    ):  # fmt: skip
        assert text in str(caught.value)


def without_target(encoder: Any, probe: Any) -> None:
    del encoder["target_encoder"]


def other_classes(encoder: Any, probe: Any) -> None:
    probe["classifier"]["module.linear.weight"] = torch.zeros(400, 20)


def without_head(encoder: Any, probe: Any) -> None:
    del probe["classifier"]["module.linear.bias"]


def narrow_query(encoder: Any, probe: Any) -> None:
    probe["classifier"]["module.pooler.query_tokens"] = torch.zeros(1, 2, 20)


def shifted_positions(encoder: Any, probe: Any) -> None:
    encoder["target_encoder"]["module.backbone.pos_embed"] += 0.1


def counts(encoder: Any, probe: Any) -> None:
    encoder["target_encoder"] = {"module.backbone.norm.bias": 3}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (without_target, "no tensors under 'target_encoder' .it holds: encoder, predictor, opt, epoch"),
        (counts, "no tensors under 'target_encoder'"),
        (other_classes, r"another probe: module.linear.weight is \(400, 20\), expected \(174, 20\)"),
        (without_head, "another probe: module.linear.bias is missing"),
        (narrow_query, r"query_tokens is \(1, 2, 20\), expected \(1, 1, 20\)"),
        (shifted_positions, "position embedding that is up to 0.1 off"),
    ],
)
def test_files_of_other_networks_are_refused(tmp_path: Path, change: Any, text: str) -> None:
    with pytest.raises(Unavailable, match=text):
        loaded(saved(tmp_path, change))


@pytest.mark.usefixtures("tiny")
def test_rounding_of_a_moving_average_is_forgiven_and_kept(tmp_path: Path) -> None:
    def drift(encoder: Any, probe: Any) -> None:
        encoder["target_encoder"]["module.backbone.pos_embed"] += 0.004

    found = loaded(saved(tmp_path, drift)).network.encoder.pos_embed
    assert float(found[0, 0, 0]) == pytest.approx(0.004)


class Live:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.usefixtures("tiny")
def test_a_file_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(encoder: Any, probe: Any) -> None:
        encoder["opt"] = Live()

    with pytest.raises(Unavailable, match=r"a.pth.tar is no checkpoint that loads here"):
        loaded(saved(tmp_path, change))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_other_bytes_than_pinned(tmp_path: Path) -> None:
    options = {**save_vjepa(tmp_path), "probe_sha256": "0" * 64}
    with pytest.raises(Unavailable, match="is pinned to 0000"):
        loaded(options)


def test_catalogue_has_no_digest_that_nobody_established() -> None:
    for name in (VJEPA, VJEPA_PROBE):
        assert (WEIGHTS[name].sha256, WEIGHTS[name].licence) == (None, "CC-BY-NC-4.0")
    with pytest.raises(Unavailable, match=f"no digest is established for {VJEPA}"):
        load_vjepa(VJEPA, None, VJEPA_PROBE, None, True, "cpu")


def test_a_digest_of_two_files_needs_both() -> None:
    assert network_digest("absent", "1" * 64, True) == "absent"
    assert network_digest("1" * 64, "absent", True) == "absent"
    assert len({network_digest(a, b, p) for a in "12" for b in "12" for p in (True, False)}) == 8
