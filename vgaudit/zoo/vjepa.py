"""V-JEPA's ViT-H/16 (Bardes et al. 2024, arXiv:2404.08471) with the attentive pooler of a probe, for clips.

Built here from torch alone, with the parameter names of the published files: ``vith16.pth.tar``, of which the network
under ``target_encoder`` is taken, and ``ssv2-probe.pth.tar``, of which the pooler under ``classifier`` is. Both are
read as tensors, without running code. The probe's linear layer is known and not used.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import Unavailable
from vgaudit.records import digest
from vgaudit.zoo.catalogue import WEIGHTS, by_digest
from vgaudit.zoo.devices import Device, torch_device
from vgaudit.zoo.resolve import ResolvedWeights, resolve

ABSENT = "absent"
"""Digest of a network of which a file is not there or not pinned (as :func:`vgaudit.zoo.resolve.pinned_digest`)."""


@dataclass(frozen=True)
class VjepaShape:
    """Sizes of a network.

    Attributes:
        width: Of a token, and of a clip's features.
        depth: Blocks.
        heads: Of every attention, the pooler's too.
        ratio: Width of the hidden layers over ``width``.
        size: Rows and columns of a frame.
        patch: Rows and columns of a token.
        frames: Of a clip.
        tubelet: Frames of a token.
        classes: Of the probe's linear layer.
    """

    width: int
    depth: int
    heads: int
    ratio: int
    size: int
    patch: int
    frames: int
    tubelet: int
    classes: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns."""
        return self.frames // self.tubelet, self.size // self.patch, self.size // self.patch


VITH16 = VjepaShape(
    width=1280, depth=32, heads=16, ratio=4, size=224, patch=16, frames=16, tubelet=2, classes=174
)
"""The published network, with the probe of Something-Something v2."""

_ENCODER_EPS = 1e-6
_POOLER_EPS = 1e-5
_DRIFT = 0.02
"""By how much a stored position embedding may differ from the formula: 90,000 steps of a moving average round it."""


@dataclass(frozen=True)
class Vjepa:
    """A loaded network.

    Attributes:
        network: float32 ``(n, 3, 16, 224, 224)``, normalised by channel -> features ``(n, 1280)``, on ``device``.
        shape: Its sizes.
        device: ``cpu`` or ``cuda``.
        facts: JSON-able facts for reports: ``weights``, ``weights_sha256`` (:func:`network_digest`),
            ``encoder_sha256``, ``probe_sha256``, ``weights_pinned``, ``licence``, ``device``.
    """

    network: Any
    shape: VjepaShape
    device: str
    facts: Mapping[str, Any]


def network_digest(encoder_sha256: str, probe_sha256: str, projected: bool) -> str:
    """One digest for the network: of both files' digests and of whether the pooler projects.

    Args:
        encoder_sha256: Of the encoder's file, or ``absent``.
        probe_sha256: Of the probe's file, or ``absent``.
        projected: See :func:`build`.

    Returns:
        64 hex digits, or ``absent`` where either file is.
    """
    if ABSENT in (encoder_sha256, probe_sha256):
        return ABSENT
    return digest([encoder_sha256, probe_sha256, "projected" if projected else "not projected"])


def load_vjepa(
    encoder: str,
    encoder_sha256: str | None,
    probe: str,
    probe_sha256: str | None,
    projected: bool,
    device: Device,
) -> Vjepa:
    """The network with weights in the layout of the two published files.

    Args:
        encoder: Catalogue name, or path of a local file.
        encoder_sha256: Digest that file must have; needed for a name whose digest is not established.
        probe: Likewise, of the probe.
        probe_sha256: Likewise.
        projected: See :func:`build`.
        device: Where it shall run.

    Raises:
        Unavailable: A file is not there, not the bytes that were pinned, or not of this network; every tensor that
            is missing, unexpected, of another shape or not finite is named.
    """
    files = resolve(encoder, encoder_sha256), resolve(probe, probe_sha256)
    shape, where = VITH16, torch_device(device)
    import torch

    with torch.device("meta"):
        network = build(shape, projected)
    body = _within(files[0], "target_encoder", "module.backbone.", {})
    head = _within(
        files[1], "classifier", "module.pooler.",
        {"module.linear.weight": (shape.classes, shape.width), "module.linear.bias": (shape.classes,)},
    )  # fmt: skip
    _put(network.encoder, body, files[0].name, "V-JEPA's ViT-H/16 encoder")
    _put(network.pooler, head, files[1].name, "the attentive pooler of V-JEPA's ViT-H/16 probe for SSv2")
    _check_positions(network.encoder.pos_embed, shape, files[0].name)
    network.to(where).eval().requires_grad_(False)
    entries = [WEIGHTS.get(n) or by_digest(f.sha256) for n, f in zip((encoder, probe), files, strict=True)]
    names = [e.name if e else f.name for e, f in zip(entries, files, strict=True)]
    licences = dict.fromkeys(e.licence if e else "not stated" for e in entries)
    facts = {
        "weights": " + ".join(names),
        "weights_sha256": network_digest(files[0].sha256, files[1].sha256, projected),
        "encoder_sha256": files[0].sha256,
        "probe_sha256": files[1].sha256,
        "weights_pinned": all(f.pinned or e is not None for f, e in zip(files, entries, strict=True)),
        "licence": ", ".join(licences),
        "device": where,
    }
    return Vjepa(network, shape, where, facts)


def position_embedding(shape: VjepaShape) -> NDArray[np.float64]:
    """Fixed embedding of where a token is, ``(tokens, width)``; tokens go by time, then row, then column.

    Time, row and column have ``2 ceil(width / 6)`` places each, in that order, and what is over is cut off at the end
    (the published configuration's ``uniform_power``). Of ``k`` places the first half are ``sin(p / 10000^(2i / k))``
    of the position ``p``, the second half cosines, ``i`` from 0.
    """
    places = 2 * math.ceil(shape.width / 6)
    rates = 10000.0 ** (-2.0 * np.arange(places // 2) / places)
    axes = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape.grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * rates for axis in axes]
    return np.hstack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])[:, : shape.width]


def build(shape: VjepaShape, projected: bool) -> Any:
    """The network with weights still to be loaded: ``network.encoder`` and ``network.pooler``.

    ``network.encoder(x)`` gives the normalised tokens ``(n, tokens, width)``.

    Args:
        shape: Sizes.
        projected: Whether what the pooler's attention gives goes through ``xattn.proj``. Every file has that layer.
            V-JEPA's authors trained their probes past it; the package that JEDi is published with goes through it.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import gelu, scaled_dot_product_attention

    width = shape.width

    def apart(x: Tensor) -> Tensor:
        """``(n, tokens, width)`` -> ``(n, heads, tokens, width of a head)``."""
        return x.reshape(len(x), -1, shape.heads, width // shape.heads).transpose(1, 2)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen = scaled_dot_product_attention(apart(query), apart(key), apart(value))
        return seen.transpose(1, 2).flatten(2)

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(width, shape.ratio * width)
            self.fc2 = nn.Linear(shape.ratio * width, width)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc2(gelu(self.fc1(x)))
            return out

    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.proj(attend(*self.qkv(x).chunk(3, dim=2)))
            return out

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width, eps=_ENCODER_EPS)
            self.attn = SelfAttention()
            self.norm2 = nn.LayerNorm(width, eps=_ENCODER_EPS)
            self.mlp = Mlp()

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attn(self.norm1(x))
            out: Tensor = x + self.mlp(self.norm2(x))
            return out

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kernel = (shape.tubelet, shape.patch, shape.patch)
            self.proj = nn.Conv3d(3, width, kernel, stride=kernel)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.proj(x).flatten(2).transpose(1, 2)
            return out

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pos_embed = nn.Parameter(torch.empty(1, math.prod(shape.grid), width))
            self.patch_embed = Patches()
            self.blocks = nn.ModuleList(Block() for _ in range(shape.depth))
            self.norm = nn.LayerNorm(width, eps=_ENCODER_EPS)

        def forward(self, x: Tensor) -> Tensor:
            expected = (3, shape.frames, shape.size, shape.size)
            if tuple(x.shape[1:]) != expected:
                raise ValueError(f"V-JEPA got clips of shape {tuple(x.shape)}; expected (n, *{expected})")
            tokens = self.patch_embed(x) + self.pos_embed
            for block in self.blocks:
                tokens = block(tokens)
            out: Tensor = self.norm(tokens)
            return out

    class CrossAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(width, width)
            self.kv = nn.Linear(width, 2 * width)
            self.proj = nn.Linear(width, width)

        def forward(self, query: Tensor, x: Tensor) -> Tensor:
            out = attend(self.q(query), *self.kv(x).chunk(2, dim=2))
            return self.proj(out) if projected else out

    class CrossAttentionBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(width, eps=_POOLER_EPS)
            self.xattn = CrossAttention()
            self.norm2 = nn.LayerNorm(width, eps=_POOLER_EPS)
            self.mlp = Mlp()

        def forward(self, query: Tensor, x: Tensor) -> Tensor:
            query = query + self.xattn(query, self.norm1(x))
            out: Tensor = query + self.mlp(self.norm2(query))
            return out

    class Pooler(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query_tokens = nn.Parameter(torch.empty(1, 1, width))
            self.cross_attention_block = CrossAttentionBlock()

        def forward(self, tokens: Tensor) -> Tensor:
            query = self.query_tokens.expand(len(tokens), -1, -1)
            out: Tensor = self.cross_attention_block(query, tokens)
            return out[:, 0]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder()
            self.pooler = Pooler()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.pooler(self.encoder(x))
            return out

    return Network()


def _within(
    found: ResolvedWeights, key: str, prefix: str, ignored: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Tensors of a checkpoint's part ``key`` by their names without ``prefix``.

    Names without it stay whole, so that they are told as unexpected. Those of ``ignored`` must be there, in those
    shapes: they tell a probe of other classes, whose pooler would load as well.
    """
    import torch

    fetch = f"name the file as it is published, with tensors under {key!r}"
    try:
        stored: Any = torch.load(
            found.path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(found.path)
        )
    except Exception as error:  # torch raises many kinds for a file that is none
        raise Unavailable(
            f"{found.name} is no checkpoint that loads here: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}",
            fetch,
        ) from error
    part = stored.get(key) if isinstance(stored, Mapping) else None
    if (
        not isinstance(part, Mapping)
        or not part
        or not all(isinstance(t, torch.Tensor) for t in part.values())
    ):
        has = ", ".join(map(str, stored)) if isinstance(stored, Mapping) else type(stored).__name__
        raise Unavailable(f"{found.name} has no tensors under {key!r} (it holds: {has})", fetch)
    wrong = [
        f"{name} is {tuple(part[name].shape)}, expected {expected}" if name in part else f"{name} is missing"
        for name, expected in ignored.items()
        if name not in part or tuple(part[name].shape) != expected
    ]
    if wrong:
        raise Unavailable(
            f"{found.name} is another probe: {'; '.join(wrong)}",
            "name the probe of ViT-H/16 at 224 for Something-Something v2",
        )
    return {str(name).removeprefix(prefix): tensor for name, tensor in part.items() if name not in ignored}


def _put(module: Any, named: Mapping[str, Any], name: str, what: str) -> None:
    """Give ``module``, which is on the meta device, copies of these tensors as float32.

    Raises:
        Unavailable: Names or shapes differ, or a number is not finite.
    """
    import torch

    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    wrong = [f"missing: {key}" for key in expected if key not in named]
    wrong += [f"unexpected: {key}" for key in named if key not in expected]
    for key in expected.keys() & named.keys():
        if tuple(named[key].shape) != expected[key]:
            wrong.append(f"{key} is {tuple(named[key].shape)}, expected {expected[key]}")
        elif not named[key].is_floating_point() or not named[key].isfinite().all():
            wrong.append(f"{key} holds numbers that are not finite, or none with a point")
    if wrong:
        raise Unavailable(
            f"{name} does not load as {what}: {'; '.join(sorted(wrong))}", f"name a checkpoint of {what}"
        )
    module.load_state_dict(
        {key: tensor.to(torch.float32, copy=True) for key, tensor in named.items()}, assign=True
    )


def _check_positions(stored: Any, shape: VjepaShape, name: str) -> None:
    """Refuse an encoder whose stored position embedding is not :func:`position_embedding`.

    The stored one is used, as published code does. It tells a network that was trained with another embedding.
    """
    off = float(np.abs(stored.detach().numpy()[0] - position_embedding(shape)).max())
    if off > _DRIFT:
        raise Unavailable(
            f"{name} holds a position embedding that is up to {off:.3g} off the published formula; "
            f"expected {_DRIFT:g} or less",
            "name V-JEPA's ViT-H/16 at 224, trained on 16 frames",
        )
