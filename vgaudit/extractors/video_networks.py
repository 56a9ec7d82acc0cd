"""From a protocol to its loaded network: one function for each kind, by the name in the protocol's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.errors import Unavailable
from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_preprocessing import Preprocessing
from vgaudit.extractors.video_protocols import Loader, VideoProtocol
from vgaudit.zoo.catalogue import CLIP_B_32
from vgaudit.zoo.clip_models import ClipChoice, load_clip
from vgaudit.zoo.devices import Device
from vgaudit.zoo.inception_i3d import load_inception_i3d
from vgaudit.zoo.resolve import is_path
from vgaudit.zoo.tensors import VideoNetwork
from vgaudit.zoo.torchscript import load_torchscript
from vgaudit.zoo.torchvision_video import load_torchvision_video
from vgaudit.zoo.videomae import load_videomae

CLIP_TAG = "openai"
"""open_clip's name of the weights of ``fvd@clip-vit-b-32``."""

CLIP_PREPROCESSING: Mapping[str, Any] = {
    "size": [224, 224],
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""What ``fvd@clip-vit-b-32`` says in words of what open_clip does to a frame."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with what it is fed.

    Attributes:
        batch: A window ``(t, h, w, 3)`` uint8 -> what ``forward`` takes, with one clip in it.
        forward: -> ``(1, d)``.
        facts: For reports.
    """

    batch: Callable[[NDArray[np.uint8]], Any]
    forward: Callable[[Any], Any]
    facts: Mapping[str, Any]


Load = Callable[[VideoProtocol, str, str | None, Device], LoadedNetwork]
"""Protocol, weights (name or path), their digest and the device -> the network; raises ``Unavailable``."""


def _torchscript(protocol: VideoProtocol, weights: str, sha256: str | None, device: Device) -> LoadedNetwork:
    """A network with the call of StyleGAN-V's I3D, which prepares frames itself."""
    script = load_torchscript(weights, sha256, device)

    def forward(x: Any) -> Any:
        return script.module(x, rescale=True, resize=True, return_features=True)

    return LoadedNetwork(_raw(script.device), forward, script.facts)


def _i3d(protocol: VideoProtocol, weights: str, sha256: str | None, device: Device) -> LoadedNetwork:
    return _from_tensors(protocol, load_inception_i3d(weights, sha256, device))


def _torchvision(protocol: VideoProtocol, weights: str, sha256: str | None, device: Device) -> LoadedNetwork:
    return _from_tensors(protocol, load_torchvision_video(protocol.model, weights, sha256, device))


def _videomae(protocol: VideoProtocol, weights: str, sha256: str | None, device: Device) -> LoadedNetwork:
    return _from_tensors(protocol, load_videomae(protocol.model, weights, sha256, device))


def _from_tensors(protocol: VideoProtocol, loaded: VideoNetwork) -> LoadedNetwork:
    """A network that takes frames ready, with what makes them so."""
    return LoadedNetwork(_ready(protocol, loaded.device), loaded.network, loaded.facts)


def _clip(protocol: VideoProtocol, weights: str, sha256: str | None, device: Device) -> LoadedNetwork:
    """CLIP's vectors of single frames, each of length 1, and their mean."""
    local = is_path(weights)
    if not local and weights != CLIP_B_32:
        raise Unavailable(
            f"{protocol.name} takes {CLIP_B_32} or a file of such weights, not {weights}",
            "leave `weights` out, or name a local checkpoint",
        )
    tag = CLIP_TAG if local else None
    model = load_clip(ClipChoice(protocol.model, weights if local else CLIP_TAG, None, sha256, device, tag))
    differs = [key for key, value in CLIP_PREPROCESSING.items() if model.facts["preprocessing"][key] != value]
    if differs:
        raise Unavailable(
            f"open_clip prepares frames for {model.facts['weights']} otherwise than {protocol.name} says "
            f"({', '.join(differs)})",
            "name weights that are prepared as OpenAI's are",
        )

    def batch(window: NDArray[np.uint8]) -> Any:
        import torch
        from PIL import Image

        return torch.stack([model.preprocess(Image.fromarray(frame)) for frame in window]).to(model.device)

    def forward(frames: Any) -> Any:
        return model.network.encode_image(frames, normalize=True).float().mean(dim=0, keepdim=True)

    return LoadedNetwork(batch, forward, model.facts)


LOADERS: Mapping[Loader, Load] = {
    "torchscript": _torchscript,
    "i3d": _i3d,
    "torchvision": _torchvision,
    "videomae": _videomae,
    "clip": _clip,
}
"""What builds the network of a protocol, by the name in its row."""

LIBRARIES: Mapping[Loader, str] = {
    "torchvision": "torchvision",
    "videomae": "transformers",
    "clip": "open_clip_torch",
}
"""The package whose code the network is, where it is not this one's; its release is part of the fingerprint."""


def _raw(device: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Frames as they are, for a network that prepares them itself: ``(1, 3, t, h, w)`` uint8."""

    def batch(window: NDArray[np.uint8]) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(window.transpose(3, 0, 1, 2)))[None].to(device)

    return batch


def _ready(protocol: VideoProtocol, device: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Frames prepared for a network that takes them ready: ``(1, 3, t, rows, columns)`` float32."""
    if protocol.preprocessing is None:
        raise ValueError(f"{protocol.name} says nothing of preprocessing, which its network needs")
    how: Preprocessing = protocol.preprocessing
    return lambda window: prepared(window, how, device)[None]
