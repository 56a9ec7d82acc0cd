"""How much a clip's pictures look like the storyworld's, by a network trained for nothing else.

The other networks that ship along have seen that world only. They give plausible numbers for any clip, and their own
features do not tell a drawn clip from a real one. So this network says whether they may be asked
(:mod:`vgaudit.metrics.domain_guard`).
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import BUNDLED_GUARD
from vgaudit.zoo.devices import resolved_device, torch_release
from vgaudit.zoo.resolve import pinned_digest
from vgaudit.zoo.torchscript import TorchScript, load_torchscript

_VERSION = 1


class DomainOptions(BaseModel):
    """Which network looks at which frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Literal["storyworld-domain"] = Field(BUNDLED_GUARD, description="It ships with the package.")
    every: int = Field(4, ge=1, description="Look at every n-th frame, from the first on.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")


class DomainExtractor:
    """Frames -> a logit each: above 0 where a picture looks like the storyworld's.

    Arrays: ``logit`` float32 ``(k,)``; ``frame_index`` int64 ``(k,)``: the clip's frames 0, n, 2n, ... A clip without
    a frame has no row.

    The network is TorchScript: ``net(x)`` for uint8 ``x`` of shape ``(B, 3, H, W)``, RGB, of any size from 8 x 8 on,
    gives float32 ``(B,)``. It resizes by itself. Each frame is alone in its batch, so that no other can change its
    number. The digest is pinned, and checked on the very bytes that are loaded.
    """

    name: ClassVar[str] = "domain"
    Options: ClassVar[type[BaseModel]] = DomainOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: DomainOptions) -> None:
        self.options = options
        how = {"every": options.every, "device": resolved_device(options.device), "torch": torch_release()}
        self.fingerprint = make_fingerprint(
            self.name, _VERSION, how, sha256=pinned_digest(options.network, None)
        )
        self._network: _Network | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: Its file is missing, or is not the pinned one.
        """
        self._network = _Network(load_torchscript(self.options.network, None, self.options.device))

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._network is None:
            raise RuntimeError("load() the domain network before the first clip")
        return _DomainExtraction(self._network, self.options.every)


class _Network:
    """The network on its device, one frame at a time."""

    def __init__(self, loaded: TorchScript) -> None:
        self.loaded = loaded
        self._lock = threading.Lock()

    def logit(self, frame: NDArray[np.uint8]) -> float:
        """Of ``(H, W, 3)`` uint8."""
        import torch

        batch = torch.from_numpy(frame.transpose(2, 0, 1).copy())[None].to(self.loaded.device)
        with self._lock, torch.inference_mode():
            out = self.loaded.module(batch)
        if tuple(out.shape) != (1,):
            raise ValueError(f"the domain network gave shape {tuple(out.shape)}; expected (1,)")
        value = float(out[0])
        if not np.isfinite(value):
            raise ValueError("the domain network gave a value that is not finite")
        return value


class _DomainExtraction:
    """One clip."""

    def __init__(self, network: _Network, every: int) -> None:
        self._network = network
        self._every = every
        self._logits: list[float] = []
        self._index: list[int] = []

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        for i in range(len(frames)):
            if (frames.start + i) % self._every == 0:
                self._logits.append(self._network.logit(frames.rgb[i]))
                self._index.append(frames.start + i)

    def finish(self) -> Features:
        """Features of all frames pushed."""
        arrays: dict[str, NDArray[Any]] = {
            "logit": np.array(self._logits, dtype=np.float32),
            "frame_index": np.array(self._index, dtype=np.int64),
        }
        return Features(arrays, {**self._network.loaded.facts, "every": self._every})
