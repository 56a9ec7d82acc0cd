"""RAFT (Teed and Deng, ECCV 2020): torchvision's network, with weights in its layout or in the authors' own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.devices import Device
from vgaudit.zoo.tensors import fill, load_tensors

SMALLEST = 128
"""Pixels that each side must have at least, padded: below, the network's coarsest correlations have no extent."""

# Names in the authors' files (raft-things.pth) -> names in torchvision.
_AUTHORS = (
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"(encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"(encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"(encoder)\.conv2\.", r"\1.conv."),
    (r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"(layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
    (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
    (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
_TWICE = r"layer\d\.\d\.norm3\."
"""The authors' files hold the normalisation of a shortcut under a second name, too."""


@dataclass(frozen=True)
class Raft:
    """A loaded RAFT.

    Attributes:
        network: ``(image1, image2, num_flow_updates=n)`` -> list of n flows ``(1, 2, h, w)`` in pixels; images are
            float32 ``(1, 3, h, w)`` in [-1, 1] with sides that are multiples of 8, at least :data:`SMALLEST`.
        device: ``cpu`` or ``cuda``.
        facts: JSON-able facts for reports.
    """

    network: Any
    device: str
    facts: Mapping[str, Any]


def load_raft(name_or_path: str, sha256: str | None, device: Device) -> Raft:
    """The large RAFT from torchvision's file or from the authors' ``raft-things.pth``.

    Raises:
        Unavailable: torchvision or the weights are not there, not pinned, or not of this network.
    """
    tensors = load_tensors(name_or_path, sha256)
    try:
        from torchvision.models.optical_flow import raft_large
    except ImportError as error:
        raise Unavailable(f"torchvision cannot be imported: {error}", "pip install torchvision") from error
    network = raft_large(weights=None, progress=False)
    where = fill(network, torchvision_names(tensors.named), tensors.name, "the large RAFT", device)
    return Raft(network, where, {**tensors.facts, "device": where})


def torchvision_names(named: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under torchvision's names, whichever of the two layouts they came in."""
    if not any(name.startswith("fnet.") for name in named):
        return dict(named)
    out = {}
    for name, tensor in named.items():
        if re.search(_TWICE, name):
            continue
        renamed = name
        for pattern, theirs in _AUTHORS:
            renamed = re.sub(pattern, theirs, renamed)
        out[renamed] = tensor
    return out
