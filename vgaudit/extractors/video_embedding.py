"""Embeddings of whole clips by a video network, for Frechet distances, as a named protocol wants them."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.extractors.video_networks import LIBRARIES, LOADERS, LoadedNetwork
from vgaudit.extractors.video_own import Protocol, named, rules_of
from vgaudit.extractors.video_protocols import VideoProtocol, completed
from vgaudit.extractors.video_windows import Picture, Ticks
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.devices import release, resolved_device, torch_release
from vgaudit.zoo.resolve import pinned_digest

_VERSION = 1


class VideoEmbeddingOptions(BaseModel):
    """Which network, and which windows of a clip it sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Protocol = Field(
        "fvd@styleganv", description="What the network is fed and gives: a name, or a protocol written out."
    )
    weights: str = Field(
        "",
        description="Name of the weights, or path of a file of the protocol's kind: TorchScript (needs `sha256`), "
        "or tensors; else the protocol's.",
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

    @field_validator("protocol", mode="before")
    @classmethod
    def _implemented(cls, value: Any) -> Any:
        return named(value)

    @property
    def rules(self) -> VideoProtocol:
        """The protocol itself."""
        return rules_of(self.protocol)


class VideoEmbeddingExtractor:
    """Clips -> features of a video network, one row per window of frames as the protocol says.

    Arrays: ``embedding`` float32 ``(k, d)`` and ``window_start`` int64 ``(k,)``, frames of the clip. Row 0 is the
    window from frame 0, or where the protocol has several a clip, the mean of what the network gives for each; with
    ``random_window`` row 1 is a window drawn evenly from all of the clip's, by a generator seeded with the first
    frame's bytes. A clip too short for all its windows has no row, and the fact ``too_short`` says so.

    For ``fvd@styleganv`` and ``fvd@storyworld`` the network is TorchScript with the call of StyleGAN-V's I3D:
    ``net(x, rescale=True, resize=True, return_features=True)`` for uint8 ``x`` of shape ``(B, 3, 16, H, W)`` gives
    ``(B, d)`` (I3D: 400 logits; the bundled network: 64 features). It rescales and resizes by itself. TorchScript is
    code, so the file's digest must be pinned; it is checked on the very bytes that are then loaded.

    All others come from files of tensors (:mod:`vgaudit.extractors.video_networks`); frames are prepared as the
    protocol's row says (:mod:`vgaudit.extractors.video_input`), for CLIP by open_clip.
    """

    name: ClassVar[str] = "video_embedding"
    Options: ClassVar[type[BaseModel]] = VideoEmbeddingOptions
    unit: ClassVar[Unit] = "clip"

    def __init__(self, options: VideoEmbeddingOptions) -> None:
        self.options = options
        rules = options.rules
        how = {
            **rules.identity,
            "random_window": options.random_window,
            "device": resolved_device(options.device),
            "torch": torch_release(),
            **({"library": release(LIBRARIES[rules.loader])} if rules.loader in LIBRARIES else {}),
        }
        sha256 = pinned_digest(options.weights, options.sha256)
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, sha256=sha256)
        self._network: _Network | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: The weights are not there, their digest is not pinned, or they are no such network.
        """
        o, rules = self.options, self.options.rules
        self._network = _Network(LOADERS[rules.loader](rules, o.weights, o.sha256, o.device), rules.name)

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._network is None:
            raise RuntimeError("load() the video network before the first clip")
        return _VideoExtraction(self._network, self.options.rules, self.options.random_window)


class _Network:
    """The network on its device, one clip at a time."""

    def __init__(self, loaded: LoadedNetwork, protocol: str) -> None:
        self._loaded = loaded
        self.facts = {**loaded.facts, "protocol": protocol}
        self._lock = threading.Lock()

    def embed(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(t, H, W, 3)`` uint8 -> ``(d,)``; alone in its batch, so that no other clip can change it."""
        import torch

        batch = self._loaded.batch(window)
        with self._lock, torch.inference_mode():
            out = self._loaded.forward(batch)
        if out.ndim != 2 or len(out) != 1:
            raise ValueError(f"the video network gave shape {tuple(out.shape)}; expected (1, d)")
        row = np.asarray(out[0].float().cpu().numpy(), dtype=np.float32)
        if not np.isfinite(row).all():
            raise ValueError("the video network gave values that are not finite")
        return row


class _VideoExtraction:
    """One clip: the windows one after the other and, if asked, one drawn from all by reservoir sampling."""

    def __init__(self, network: _Network, rules: VideoProtocol, random_window: bool) -> None:
        self._network = network
        self._rules = rules
        self._random_window = random_window
        self._rng: np.random.Generator | None = None
        self._ticks = Ticks(rules.fps)
        self._recent: deque[Picture] = deque(maxlen=rules.span)
        self._first: list[NDArray[np.float32]] = []
        self._drawn: tuple[int, list[Picture]] | None = None
        self._count = 0

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        for i, frame in enumerate(frames.rgb):
            if len(self._first) == self._rules.clips_per_video and not self._random_window:
                return
            if self._rng is None:
                seed = hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()
                self._rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
            own = frame.copy()  # a view would keep its whole block in memory
            for picture in self._ticks.take(frames.start + i, float(frames.pts_s[i]), own):
                self._take(picture, self._rng)

    def _take(self, picture: Picture, rng: np.random.Generator) -> None:
        self._recent.append(picture)
        self._count += 1
        start, span = self._count - self._rules.span, self._rules.span
        if start < 0:
            return
        if start % span == 0 and len(self._first) < self._rules.clips_per_video:
            self._first.append(self._embed(self._recent))
        if self._random_window and rng.integers(start + 1) == 0:
            self._drawn = (start, list(self._recent))

    def _embed(self, pictures: deque[Picture] | list[Picture]) -> NDArray[np.float32]:
        chosen = [frame for _, frame in list(pictures)[:: self._rules.stride]]
        return self._network.embed(np.stack(chosen))

    def finish(self) -> Features:
        """Features of the clip."""
        rows: list[NDArray[np.float32]] = []
        starts: list[int] = []
        facts, rules = dict(self._network.facts), self._rules
        if len(self._first) < rules.clips_per_video:
            facts["too_short"] = self._too_short()
        else:
            mean = np.stack(self._first).astype(np.float64).mean(axis=0)
            rows, starts = [np.asarray(mean, dtype=np.float32)], [0]
            if self._drawn is not None:
                start, window = self._drawn
                rows.append(rows[0] if start == 0 and len(self._first) == 1 else self._embed(window))
                starts.append(window[0][0])
        embedding = np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)
        return Features({"embedding": embedding, "window_start": np.array(starts, dtype=np.int64)}, facts)

    def _too_short(self) -> str:
        rules = self._rules
        if (rules.fps, rules.stride, rules.clips_per_video) == (None, 1, 1):
            return f"{self._count} frames; the network sees {rules.window} at once"
        rate = f" at {rules.fps:g} frames a second" if rules.fps else ""
        return f"{self._count} frames{rate}; {rules.name} needs {rules.least}"
