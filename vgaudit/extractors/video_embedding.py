"""Embeddings of whole clips by a video network, for Frechet distances, as a named protocol wants them."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.extractors.video_input import prepared
from vgaudit.extractors.video_protocols import PROTOCOLS, Preprocessing, completed
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.devices import resolved_device, torch_release
from vgaudit.zoo.inception_i3d import load_inception_i3d
from vgaudit.zoo.resolve import pinned_digest
from vgaudit.zoo.torchscript import load_torchscript

_VERSION = 1


class VideoEmbeddingOptions(BaseModel):
    """Which network, and which windows of a clip it sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Literal["fvd@styleganv", "fvd@videogpt", "fvd@storyworld"] = Field(
        "fvd@styleganv", description="What the network is fed and gives."
    )
    weights: str = Field(
        "",
        description="Name of the weights, or path of a file of the protocol's kind: TorchScript (needs `sha256`), "
        "or for fvd@videogpt tensors; else the protocol's.",
    )
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest the file must have.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    random_window: bool = Field(
        False, description="Embed a window at a random offset too (real clips' protocol)."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return completed(data)


class VideoEmbeddingExtractor:
    """Clips -> features of a video network, one row per window of consecutive frames at the clip's own frame rate.

    Arrays: ``embedding`` float32 ``(k, d)`` and ``window_start`` int64 ``(k,)``. Row 0 is the window from frame 0;
    with ``random_window`` row 1 is a window drawn evenly from all of the clip's, by a generator seeded with the
    first frame's bytes. A clip shorter than the window has no row, and the fact ``too_short`` says so.

    For ``fvd@styleganv`` and ``fvd@storyworld`` the network is TorchScript with the call of StyleGAN-V's I3D:
    ``net(x, rescale=True, resize=True, return_features=True)`` for uint8 ``x`` of shape ``(B, 3, 16, H, W)`` gives
    ``(B, d)`` (I3D: 400 logits; the bundled network: 64 features). It rescales and resizes by itself. TorchScript is
    code, so the file's digest must be pinned; it is checked on the very bytes that are then loaded.

    For ``fvd@videogpt`` it is the I3D built in :mod:`vgaudit.zoo.inception_i3d`, from a file of tensors; frames are
    prepared as the protocol's row says (:mod:`vgaudit.extractors.video_input`).
    """

    name: ClassVar[str] = "video_embedding"
    Options: ClassVar[type[BaseModel]] = VideoEmbeddingOptions
    unit: ClassVar[Unit] = "clip"

    def __init__(self, options: VideoEmbeddingOptions) -> None:
        self.options = options
        preprocessing = PROTOCOLS[options.protocol].preprocessing
        how = {
            "protocol": options.protocol,
            "random_window": options.random_window,
            "device": resolved_device(options.device),
            "torch": torch_release(),
            **({"preprocessing": asdict(preprocessing)} if preprocessing else {}),
        }
        sha256 = pinned_digest(options.weights, options.sha256)
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, sha256=sha256)
        self._network: _Network | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: The weights are not there, their digest is not pinned, or they are no such network.
        """
        o = self.options
        preprocessing = PROTOCOLS[o.protocol].preprocessing
        if preprocessing is None:
            script = load_torchscript(o.weights, o.sha256, o.device)
            batch, forward, facts = _raw(script.device), _by_itself(script.module), script.facts
        else:
            i3d = load_inception_i3d(o.weights, o.sha256, o.device)
            batch, forward, facts = _ready(preprocessing, i3d.device), i3d.network, i3d.facts
        self._network = _Network(batch, forward, {**facts, "protocol": o.protocol})

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._network is None:
            raise RuntimeError("load() the video network before the first clip")
        window = PROTOCOLS[self.options.protocol].window
        return _VideoExtraction(self._network, window, self.options.random_window)


def _raw(device: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Frames as they are, for a network that prepares them itself: ``(1, 3, t, h, w)`` uint8."""

    def batch(window: NDArray[np.uint8]) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(window.transpose(3, 0, 1, 2)))[None].to(device)

    return batch


def _by_itself(module: Any) -> Callable[[Any], Any]:
    """The call of StyleGAN-V's I3D."""
    return lambda x: module(x, rescale=True, resize=True, return_features=True)


def _ready(how: Preprocessing, device: str) -> Callable[[NDArray[np.uint8]], Any]:
    """Frames prepared for a network that takes them ready: ``(1, 3, t, size, size)`` float32."""
    return lambda window: prepared(window, how, device)[None]


class _Network:
    """The network on its device, one clip at a time.

    Args:
        batch: A window ``(t, h, w, 3)`` uint8 -> what ``forward`` takes, with one clip in it.
        forward: -> ``(1, d)``.
        facts: For reports.
    """

    def __init__(
        self,
        batch: Callable[[NDArray[np.uint8]], Any],
        forward: Callable[[Any], Any],
        facts: Mapping[str, Any],
    ) -> None:
        self._batch = batch
        self._forward = forward
        self.facts = facts
        self._lock = threading.Lock()

    def embed(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(16, H, W, 3)`` uint8 -> ``(d,)``; alone in its batch, so that no other clip can change it."""
        import torch

        batch = self._batch(window)
        with self._lock, torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            out = self._forward(batch)
        if out.ndim != 2 or len(out) != 1:
            raise ValueError(f"the video network gave shape {tuple(out.shape)}; expected (1, d)")
        row = np.asarray(out[0].float().cpu().numpy(), dtype=np.float32)
        if not np.isfinite(row).all():
            raise ValueError("the video network gave values that are not finite")
        return row


class _VideoExtraction:
    """One clip: keeps the first window and, if asked, one drawn from all by reservoir sampling."""

    def __init__(self, network: _Network, window: int, random_window: bool) -> None:
        self._network = network
        self._window = window
        self._random_window = random_window
        self._rng: np.random.Generator | None = None
        self._recent: deque[NDArray[np.uint8]] = deque(maxlen=window)
        self._first: NDArray[np.float32] | None = None
        self._drawn: tuple[int, list[NDArray[np.uint8]]] | None = None
        self._count = 0

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        for frame in frames.rgb:
            if self._first is not None and not self._random_window:
                return
            if self._rng is None:
                seed = hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()
                self._rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
            self._recent.append(frame.copy())  # a view would keep its whole block in memory
            self._count += 1
            start = self._count - self._window
            if start < 0:
                continue
            if self._first is None:
                self._first = self._network.embed(np.stack(self._recent))
            if self._random_window and self._rng.integers(start + 1) == 0:
                self._drawn = (start, list(self._recent))

    def finish(self) -> Features:
        """Features of the clip."""
        rows: list[NDArray[np.float32]] = []
        starts: list[int] = []
        facts = dict(self._network.facts)
        if self._first is None:
            facts["too_short"] = f"{self._count} frames; the network sees {self._window} at once"
        else:
            rows, starts = [self._first], [0]
            if self._drawn is not None:
                start, window = self._drawn
                rows.append(self._first if start == 0 else self._network.embed(np.stack(window)))
                starts.append(start)
        embedding = np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)
        return Features({"embedding": embedding, "window_start": np.array(starts, dtype=np.int64)}, facts)
