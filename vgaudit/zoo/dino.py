"""DINO's ViT-B/16 (Caron et al., ICCV 2021): the network built as published, and its weights in either layout.

Built here from torch alone. The class in transformers is run with another epsilon and places the position of a
patch differently in pictures that are not square, which would move VBench's numbers; and its parameter names
change between releases, while those of the two published files do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.devices import Device
from vgaudit.zoo.tensors import fill, load_tensors


@dataclass(frozen=True)
class VitShape:
    """Sizes of a vision transformer.

    Attributes:
        width: Length of a token.
        depth: Blocks.
        heads: Attention heads of a block.
        patch: Side of a patch in pixels.
        grid: Patches along each side of the picture that the positions were learnt at.
    """

    width: int
    depth: int
    heads: int
    patch: int
    grid: int


VIT_B_16 = VitShape(width=768, depth=12, heads=12, patch=16, grid=14)
"""The only one: another DINO would give other numbers under the same name."""

_EPS = 1e-6
_OFFSET = 0.1
"""Added to the number of patches before positions are scaled, as DINO does: it moves every sampling point."""

_WHAT = "DINO's ViT-B/16"

# Names in transformers' published file -> names in DINO's own.
_TRANSFORMERS = (
    (r"^vit\.", ""),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^layernorm\.", "norm."),
)


@dataclass(frozen=True)
class Dino:
    """A loaded DINO.

    Attributes:
        network: ``(n, 3, h, w)`` float32 normalised pictures -> ``(n, 768)`` class tokens, on ``device``.
        device: ``cpu`` or ``cuda``.
        facts: JSON-able facts for reports.
    """

    network: Any
    device: str
    facts: Mapping[str, Any]


def load_dino(name_or_path: str, sha256: str | None, device: Device) -> Dino:
    """DINO's ViT-B/16 from the hub's file (transformers' names) or from DINO's own ``dino_vitbase16_pretrain.pth``.

    Raises:
        Unavailable: The weights are not there, not pinned, or not of this network.
    """
    tensors = load_tensors(name_or_path, sha256)
    network = build(VIT_B_16)
    where = fill(network, own_names(tensors.named, tensors.name), tensors.name, _WHAT, device)
    return Dino(network, where, {**tensors.facts, "device": where})


def own_names(named: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Parameters under DINO's own names, whichever of the two layouts they came in; heads and poolers are dropped.

    Raises:
        Unavailable: A query comes without its key and value.
    """
    import torch

    out: dict[str, Any] = {}
    for name, tensor in named.items():
        own = name
        for pattern, own_name in _TRANSFORMERS:
            own = re.sub(pattern, own_name, own)
        if not own.startswith(("pooler.", "head.", "classifier.")):
            out[own] = tensor
    for name in [n for n in out if ".attn.query." in n]:
        parts = [out.pop(name.replace("query", part), None) for part in ("query", "key", "value")]
        if any(part is None for part in parts):
            raise Unavailable(f"{file} has {name} without its key or value", f"name a checkpoint of {_WHAT}")
        out[name.replace("query", "qkv")] = torch.cat(parts)
    return out


def build(shape: VitShape) -> Any:
    """The network with weights still to be loaded; parameters are named as in DINO's own file."""
    import torch
    from torch import nn
    from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

    width = shape.width

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n, tokens, _ = x.shape
            query, key, value = self.qkv(x).view(n, tokens, 3, shape.heads, -1).permute(2, 0, 3, 1, 4)
            seen = scaled_dot_product_attention(query, key, value)
            out: torch.Tensor = self.proj(seen.transpose(1, 2).reshape(n, tokens, width))
            return out

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc2(gelu(self.fc1(x)))
            return out

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
            self.attn, self.mlp = Attention(), Mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.attn(self.norm1(x))
            out: torch.Tensor = x + self.mlp(self.norm2(x))
            return out

    class Vit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.grid**2, width))
            self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, shape.patch, shape.patch)})
            self.blocks = nn.ModuleList([Block() for _ in range(shape.depth)])
            self.norm = nn.LayerNorm(width, eps=_EPS)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            patches = self.patch_embed["proj"](pictures)
            first = (self.cls_token + self.pos_embed[:, :1]).expand(len(pictures), -1, -1)
            rest = patches + self._positions(pictures.shape[-2], pictures.shape[-1])
            x = torch.cat((first, rest.flatten(2).transpose(1, 2)), dim=1)
            for block in self.blocks:
                x = block(x)
            out: torch.Tensor = self.norm(x)[:, 0]
            return out

        def _positions(self, height: int, width_px: int) -> torch.Tensor:
            """Position embeddings of the patches of a picture, ``(1, width, rows, columns)``."""
            grid = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, width, shape.grid, shape.grid)
            rows, columns = height // shape.patch, width_px // shape.patch
            if height == width_px and rows == shape.grid:
                return grid
            scale = ((rows + _OFFSET) / shape.grid, (columns + _OFFSET) / shape.grid)
            scaled: torch.Tensor = interpolate(grid, scale_factor=scale, mode="bicubic")
            return scaled

    return Vit()
