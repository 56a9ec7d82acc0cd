"""VideoMAE (Tong et al. 2022, arXiv:2203.12602; v2: Wang et al. 2023, arXiv:2303.16727) for features of clips.

The classes are those of transformers. Weights come under its names, as on the hub, or under the names of the
authors' own files, which are converted. A clip's features are what enters the classifier: tokens of the last block,
their mean, a layer norm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.devices import Device
from vgaudit.zoo.tensors import VideoNetwork, fill, load_tensors


@dataclass(frozen=True)
class VideoMaeShape:
    """Sizes of a network.

    Attributes:
        what: What it is, for messages.
        width: Of a token, and of a clip's features.
        depth: Blocks.
        heads: Of every attention.
        hidden: Width of the hidden layers.
        patch: Rows and columns of a token.
        classes: Of the classifier, which is known and not used.
        eps: Added to variances in the blocks' layer norms.
        pool_eps: The same, in the layer norm after the mean.
        authors: Whether the file has the authors' names; else transformers'.
        tubelet: Frames of a token.
        frames: Of a clip.
        size: Rows and columns of a frame.
    """

    what: str
    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    classes: int
    eps: float
    pool_eps: float
    authors: bool
    tubelet: int = 2
    frames: int = 16
    size: int = 224


BASE = VideoMaeShape(
    "VideoMAE's ViT-B (Kinetics-400)", 768, 12, 12, 3072, 16, 400, 1e-12, 1e-5, authors=False
)
"""Both epsilons are those that transformers runs the published file with; the authors' own code has 1e-6."""

GIANT = VideoMaeShape("VideoMAE v2's ViT-g (SSv2)", 1408, 40, 16, 6144, 14, 174, 1e-6, 1e-6, authors=True)
"""The authors' code has 1e-6 everywhere."""

SHAPES = {"base": BASE, "giant": GIANT}
"""Name in a protocol -> its network."""

_SHOWN = 5

_BLOCK = r"^blocks\.(\d+)\."
_LAYER = r"videomae.encoder.layer.\1."
# The authors' names -> those of transformers; the attention's first layer is taken apart by itself.
_AUTHORS = (
    (r"^patch_embed\.proj\.", "videomae.embeddings.patch_embeddings.projection."),
    (_BLOCK + r"norm1\.", _LAYER + "layernorm_before."),
    (_BLOCK + r"norm2\.", _LAYER + "layernorm_after."),
    (_BLOCK + r"attn\.proj\.", _LAYER + "attention.output.dense."),
    (_BLOCK + r"mlp\.fc1\.", _LAYER + "intermediate.dense."),
    (_BLOCK + r"mlp\.fc2\.", _LAYER + "output.dense."),
    (_BLOCK + r"attn\.q_bias$", _LAYER + "attention.attention.query.bias"),
    (_BLOCK + r"attn\.v_bias$", _LAYER + "attention.attention.value.bias"),
    (r"^head\.", "classifier."),
)
_QKV = re.compile(_BLOCK + r"attn\.qkv\.weight$")
# Names of older releases of transformers, which the hub's files have -> those of later ones.
_OLDER = ((".attention.attention.q_bias", ".attention.attention.query.bias"),
          (".attention.attention.v_bias", ".attention.attention.value.bias"))  # fmt: skip


def load_videomae(name: str, name_or_path: str, sha256: str | None, device: Device) -> VideoNetwork:
    """A network of :data:`SHAPES` with its published weights, classifier included.

    Args:
        name: ``base`` or ``giant``.
        name_or_path: Catalogue name, or path of a local file.
        sha256: Digest the file must have; needed for a name whose digest is not established.
        device: Where it shall run.

    Raises:
        Unavailable: transformers or the weights are not there, not those that were pinned, or not of this network;
            tensors that are missing or unexpected are named.
    """
    shape = SHAPES[name]
    tensors = load_tensors(name_or_path, sha256, ("model", "module") if shape.authors else ())
    named = tensors.named
    if shape.authors:
        _all_there(named, author_names(shape), tensors.name, shape.what)
        named = from_authors(named, shape, tensors.name)
    import torch

    with torch.device("meta"):
        network = build(shape)
    of_class = set(network.state_dict())
    named = in_names_of(of_class, named)
    _all_there(named, of_class, tensors.name, shape.what)
    where = fill(network, named, tensors.name, shape.what, device)
    network.classifier = torch.nn.Identity()

    def features(clips: Any) -> Any:
        return network(clips.transpose(1, 2)).logits

    return VideoNetwork(features, where, {**tensors.facts, "device": where})


def build(shape: VideoMaeShape) -> Any:
    """Transformers' ``VideoMAEForVideoClassification`` of this shape, with weights still to be loaded.

    Raises:
        Unavailable: transformers is not there.
    """
    try:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    except ImportError as error:
        raise Unavailable("transformers is not installed", "pip install transformers") from error
    config = VideoMAEConfig(
        image_size=shape.size,
        patch_size=shape.patch,
        num_frames=shape.frames,
        tubelet_size=shape.tubelet,
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.hidden,
        layer_norm_eps=shape.eps,
        num_labels=shape.classes,
        hidden_act="gelu",
        qkv_bias=True,
        use_mean_pooling=True,
    )
    network = VideoMAEForVideoClassification(config)
    network.fc_norm.eps = shape.pool_eps
    return network


def author_names(shape: VideoMaeShape) -> dict[str, tuple[int, ...]]:
    """Every tensor of the authors' file for this shape, by its name there, with its shape."""
    w, h = shape.width, shape.hidden
    block: dict[str, tuple[int, ...]] = {
        "norm1.weight": (w,), "norm1.bias": (w,), "attn.q_bias": (w,), "attn.v_bias": (w,),
        "attn.qkv.weight": (3 * w, w), "attn.proj.weight": (w, w), "attn.proj.bias": (w,),
        "norm2.weight": (w,), "norm2.bias": (w,), "mlp.fc1.weight": (h, w), "mlp.fc1.bias": (h,),
        "mlp.fc2.weight": (w, h), "mlp.fc2.bias": (w,),
    }  # fmt: skip
    out: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (w, 3, shape.tubelet, shape.patch, shape.patch),
        "patch_embed.proj.bias": (w,),
    }
    out |= {f"blocks.{i}.{name}": size for i in range(shape.depth) for name, size in block.items()}
    return {
        **out,
        "fc_norm.weight": (w,),
        "fc_norm.bias": (w,),
        "head.weight": (shape.classes, w),
        "head.bias": (shape.classes,),
    }


def from_authors(named: Mapping[str, Any], shape: VideoMaeShape, file: str) -> dict[str, Any]:
    """Tensors of the authors' file under transformers' names; query, key and value become three.

    Raises:
        Unavailable: A tensor has another shape than this network's.
    """
    out: dict[str, Any] = {}
    for name, size in author_names(shape).items():
        tensor = named[name]
        if tuple(tensor.shape) != size:
            raise Unavailable(
                f"{file} has {name} of shape {tuple(tensor.shape)}; {shape.what} has {size}",
                f"name a checkpoint of {shape.what}",
            )
        if match := _QKV.match(name):
            layer = f"videomae.encoder.layer.{match[1]}.attention.attention."
            for part, rows in zip(("query", "key", "value"), tensor.split(shape.width), strict=True):
                out[f"{layer}{part}.weight"] = rows.contiguous()
            continue
        new = name
        for pattern, other in _AUTHORS:
            new = re.sub(pattern, other, new)
        out[new] = tensor
    return out


def in_names_of(wanted: Iterable[str], named: Mapping[str, Any]) -> dict[str, Any]:
    """``named`` in the names of the installed transformers, whichever release wrote them."""
    later = not any(name.endswith(".q_bias") for name in wanted)
    out = {}
    for name, tensor in named.items():
        found = name
        for old, new in _OLDER:
            found = found.replace(old, new) if later else found.replace(new, old)
        out[found] = tensor
    return out


def _all_there(named: Iterable[str], wanted: Iterable[str], file: str, what: str) -> None:
    """Raise ``Unavailable`` unless both have the same names."""
    have, want = set(named), set(wanted)
    lists = [(word, sorted(names)) for word, names in (("lacks", want - have), ("has besides", have - want))]
    told = [
        f"{word} {', '.join(names[:_SHOWN])}" + (f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else "")
        for word, names in lists
        if names
    ]
    if told:
        raise Unavailable(
            f"{file} does not load as {what}: it {'; it '.join(told)}", f"name a checkpoint of {what}"
        )
