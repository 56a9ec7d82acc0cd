"""How far a clip's fastest pixels move, by RAFT, as VBench's ``dynamic_degree`` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import RAFT
from vgaudit.zoo.devices import resolved_device, torch_release
from vgaudit.zoo.raft import SMALLEST, Raft, load_raft
from vgaudit.zoo.resolve import pinned_digest

if TYPE_CHECKING:
    import torch

_VERSION = 1
_UPDATES = 20
_PER_SECOND = 8
_TOP = 0.05


class FlowOptions(BaseModel):
    """Which weights RAFT has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(RAFT, description="Name of the weights, or path of a checkpoint in either layout.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest the file must have.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")


class VBenchFlowExtractor:
    """Frames -> flow of the fastest pixels between neighbouring sampled frames.

    Every ``max(1, round(fps / 8))``-th frame is sampled, from the first on. Arrays: ``frame_index`` int64 ``(n,)``;
    ``top_flow`` float64 ``(n - 1,)``: mean length, in pixels, of the 5 % longest flow vectors from a sampled frame to
    the next, by RAFT's 20th estimate at full resolution, over the frame as it was padded (edges repeated) to sides
    that are multiples of 8. Facts: ``interval``, ``height`` and ``width``; ``too_small`` where the padded frame has
    a side below 128 pixels, for which there is no flow.
    """

    name: ClassVar[str] = "vbench_flow"
    Options: ClassVar[type[BaseModel]] = FlowOptions
    unit: ClassVar[Unit] = "pair"

    def __init__(self, options: FlowOptions) -> None:
        self.options = options
        how = {"device": resolved_device(options.device), "torch": torch_release()}
        sha256 = pinned_digest(options.weights, options.sha256)
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, sha256=sha256)
        self._raft: Raft | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: The weights are not there, not pinned, or not the large RAFT's.
        """
        self._raft = load_raft(self.options.weights, self.options.sha256, self.options.device)

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._raft is None:
            raise RuntimeError("load() RAFT before the first clip")
        return _Flow(self._raft, sampling_interval(info.fps))


def sampling_interval(fps: float) -> int:
    """Frames from one sampled frame to the next: about eight are sampled a second.

    Halves go to the even number, as Python rounds: 12 and 20 frames a second both give 2.
    """
    return max(1, round(fps / _PER_SECOND))


class _Flow:
    """One clip; keeps one sampled frame between blocks."""

    def __init__(self, raft: Raft, interval: int) -> None:
        self._raft = raft
        self._interval = interval
        self._previous: torch.Tensor | None = None
        self._index: list[int] = []
        self._top: list[float] = []
        self._facts: dict[str, Any] = {**raft.facts, "interval": interval}

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        for i, frame in enumerate(frames.rgb, start=frames.start):
            if i % self._interval:
                continue
            height, width = frame.shape[:2]
            self._facts |= {"height": height, "width": width}
            self._index.append(i)
            padded = self._padded(frame)
            if min(padded.shape[-2:]) < SMALLEST:
                self._facts["too_small"] = True
                continue
            if self._previous is not None:
                self._top.append(self._fastest(self._previous, padded))
            self._previous = padded

    def finish(self) -> Features:
        """Features of all frames pushed."""
        arrays: dict[str, NDArray[Any]] = {
            "frame_index": np.array(self._index, dtype=np.int64),
            "top_flow": np.array(self._top, dtype=np.float64),
        }
        return Features(arrays, self._facts)

    def _padded(self, frame: NDArray[np.uint8]) -> torch.Tensor:
        """float32 ``(1, 3, h, w)`` in [-1, 1]; what is lacking to multiples of 8 is shared by both sides."""
        import torch
        from torch.nn.functional import pad

        pixels = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1), dtype=np.float32))[None]
        down, across = (-n % 8 for n in frame.shape[:2])
        edges = (across // 2, across - across // 2, down // 2, down - down // 2)
        return (2 * (pad(pixels, edges, mode="replicate") / 255.0) - 1.0).to(self._raft.device)

    def _fastest(self, first: torch.Tensor, second: torch.Tensor) -> float:
        import torch

        with torch.inference_mode():
            flow = self._raft.network(first, second, num_flow_updates=_UPDATES)[-1][0].float().cpu().numpy()
        length = np.sqrt(np.square(flow[0]) + np.square(flow[1])).ravel()
        count = int(length.size * _TOP)
        return float(np.sort(length)[len(length) - count :].astype(np.float64).mean())
