"""torchvision's video networks without their classifiers: features of clips, from files of tensors.

R3D-18 (Tran et al. 2018, arXiv:1711.11248), S3D (Xie et al. 2018, arXiv:1712.04851) and Video Swin, tiny (Liu et al.
2021, arXiv:2106.13230). The networks are torchvision's own classes; of each the last layer is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.devices import Device
from vgaudit.zoo.tensors import VideoNetwork, fill, load_tensors

CLASSIFIERS: Mapping[str, str] = {"r3d_18": "fc", "s3d": "classifier", "swin3d_t": "head"}
"""torchvision's name of a network -> its layer that makes logits of features."""

CLASSES = 400
"""Of Kinetics-400."""


def load_torchvision_video(model: str, name_or_path: str, sha256: str | None, device: Device) -> VideoNetwork:
    """A network of :data:`CLASSIFIERS` with weights in torchvision's layout, classifier included.

    Args:
        model: torchvision's name.
        name_or_path: Catalogue name, or path of a local file.
        sha256: Digest the file must have; needed for a name whose digest is not established.
        device: Where it shall run.

    Raises:
        Unavailable: torchvision or the weights are not there, not those that were pinned, or not of this network.
    """
    tensors = load_tensors(name_or_path, sha256)
    network = build(model)
    where = fill(network, tensors.named, tensors.name, f"torchvision's {model} (Kinetics-400)", device)
    return VideoNetwork(without_classifier(network, model), where, {**tensors.facts, "device": where})


def build(model: str) -> Any:
    """Torchvision's network with weights still to be loaded.

    Raises:
        Unavailable: torchvision is not there.
    """
    try:
        from torchvision.models import video
    except ImportError as error:
        raise Unavailable("torchvision is not installed", "pip install torchvision") from error
    return getattr(video, model)(weights=None, num_classes=CLASSES)


def without_classifier(network: Any, model: str) -> Any:
    """``network`` itself, its classifier replaced by nothing: it gives features, pooled over time and place."""
    from torch import nn

    setattr(network, CLASSIFIERS[model], nn.Identity())
    return network
