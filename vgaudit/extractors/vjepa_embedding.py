"""Features of V-JEPA with the pooler of a probe: the first 16 frames of each clip, for JEDi."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import VJEPA, VJEPA_PROBE
from vgaudit.zoo.devices import resolved_device, torch_release
from vgaudit.zoo.resolve import pinned_digest
from vgaudit.zoo.vjepa import Vjepa, load_vjepa, network_digest

MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue, in 0 to 1: what both publications subtract."""

STD = (0.229, 0.224, 0.225)
"""What both then divide by."""

FRAMES = 16
"""Consecutive frames that the network sees, at the clip's own rate, from the first on."""

_VERSION = 1


@dataclass(frozen=True)
class JediProtocol:
    """One way from a clip to features.

    Attributes:
        name: As suites and reports say it.
        projected: Whether the pooler's attention goes through ``xattn.proj`` (:func:`vgaudit.zoo.vjepa.build`).
    """

    name: str
    projected: bool

    @property
    def pinned(self) -> dict[str, str]:
        """What moves the number beside the network, in words."""
        through = "through" if self.projected else "past"
        return {
            "window": f"{FRAMES} consecutive frames from frame 0",
            "resize": "the whole frame to 224 x 224, whatever its shape; nearest",
            "crop": "none",
            "value_range": f"x / 255, less {MEAN}, over {STD}",
            "features": f"1280, of V-JEPA's SSv2 attentive pooler, {through} its output projection",
        }


VIDEOJEDI = JediProtocol("jedi@videojedi", True)
"""As the published package computes features."""

AUTHORS = JediProtocol("jedi@vjepa", False)
"""As the probe was trained by V-JEPA's authors."""

JEDI_PROTOCOLS: Mapping[str, JediProtocol] = {p.name: p for p in (VIDEOJEDI, AUTHORS)}
"""What is implemented."""


class VjepaEmbeddingOptions(BaseModel):
    """Which two files of weights, and how they are asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Literal["jedi@videojedi", "jedi@vjepa"] = Field(
        "jedi@videojedi", description="What the network is fed and gives."
    )
    weights: str = Field(VJEPA, description="Name of the encoder's weights, or path of such a file.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest the encoder's file must have."
    )
    probe: str = Field(VJEPA_PROBE, description="Name of the probe's weights, or path of such a file.")
    probe_sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest the probe's file must have."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")


class VjepaEmbeddingExtractor:
    """Clips -> features of V-JEPA ViT-H/16 with the SSv2 attentive pooler, one row a clip.

    Arrays: ``embedding`` float32 ``(1, 1280)`` and ``window_start`` int64 ``(1,)``, which is 0. A clip of fewer than
    :data:`FRAMES` frames has no row, and the fact ``too_short`` says so. Frames are made ready by :func:`normalised`.
    """

    name: ClassVar[str] = "vjepa_embedding"
    Options: ClassVar[type[BaseModel]] = VjepaEmbeddingOptions
    unit: ClassVar[Unit] = "clip"

    def __init__(self, options: VjepaEmbeddingOptions) -> None:
        self.options = options
        self._protocol = JEDI_PROTOCOLS[options.protocol]
        how = {
            "protocol": options.protocol,
            "device": resolved_device(options.device),
            "torch": torch_release(),
            **self._protocol.pinned,
        }
        sha256 = network_digest(
            pinned_digest(options.weights, options.sha256),
            pinned_digest(options.probe, options.probe_sha256),
            self._protocol.projected,
        )
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, sha256=sha256)
        self._network: _Network | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: A file of weights is not there, its digest is not pinned, or it is of another network.
        """
        o = self.options
        loaded = load_vjepa(o.weights, o.sha256, o.probe, o.probe_sha256, self._protocol.projected, o.device)
        self._network = _Network(loaded, {**loaded.facts, "protocol": o.protocol})

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._network is None:
            raise RuntimeError("load() the video network before the first clip")
        return _FirstWindow(self._network)


def normalised(window: NDArray[np.uint8], size: int, device: str = "cpu") -> Any:
    """Frames as JEDi's published code has them: squeezed to a square, nearest pixel, normalised by channel.

    Pixel ``i`` of ``size`` is pixel ``floor(i * h / size)`` of ``h``, as ``torch.nn.functional.interpolate`` has
    it in mode ``nearest``.

    Args:
        window: ``(t, h, w, 3)`` RGB.
        size: Rows and columns afterwards.
        device: Where it is done.

    Returns:
        float32 tensor ``(3, t, size, size)``.
    """
    import torch
    from torch.nn.functional import interpolate

    def by_channel(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, device=device).reshape(3, 1, 1, 1)

    frames = [
        interpolate(
            torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1)))[None].to(device), size=(size, size)
        )[0]
        for f in window
    ]
    ready: torch.Tensor = (torch.stack(frames, dim=1).float() / 255 - by_channel(MEAN)) / by_channel(STD)
    return ready


class _Network:
    """The network on its device, one clip at a time, so that no other clip can change a number."""

    def __init__(self, loaded: Vjepa, facts: Mapping[str, Any]) -> None:
        self._loaded = loaded
        self.facts = facts
        self._lock = threading.Lock()

    def embed(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(16, h, w, 3)`` uint8 -> ``(d,)``."""
        import torch

        batch = normalised(window, self._loaded.shape.size, self._loaded.device)[None]
        with self._lock, torch.inference_mode():
            out = self._loaded.network(batch)
        row = np.asarray(out[0].float().cpu().numpy(), dtype=np.float32)
        if not np.isfinite(row).all():
            raise ValueError("V-JEPA gave values that are not finite")
        return row


class _FirstWindow:
    """One clip: keeps its first frames."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self._frames: list[NDArray[np.uint8]] = []

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        self._frames += [frame.copy() for frame in frames.rgb[: FRAMES - len(self._frames)]]

    def finish(self) -> Features:
        """Features of the clip."""
        facts = dict(self._network.facts)
        if len(self._frames) < FRAMES:
            facts["too_short"] = f"{len(self._frames)} frames; the network sees {FRAMES} at once"
            empty = np.zeros((0, 0), dtype=np.float32)
            return Features({"embedding": empty, "window_start": np.zeros(0, dtype=np.int64)}, facts)
        row = self._network.embed(np.stack(self._frames))
        return Features({"embedding": row[None], "window_start": np.zeros(1, dtype=np.int64)}, facts)
