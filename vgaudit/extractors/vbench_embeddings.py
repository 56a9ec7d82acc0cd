"""Embeddings of frames as VBench makes them: DINO and CLIP behind VBench's own preprocessing, and beauty by a head.

VBench scales float tensors without smoothing (``antialias=False``), where CLIP's own transform scales pictures with
it, so the extractor ``clip`` cannot stand in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Extraction, Features, Unit, make_fingerprint
from vgaudit.extractors.clip import ClipOptions
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo.catalogue import DINO
from vgaudit.zoo.clip_models import load_clip
from vgaudit.zoo.devices import resolved_device, torch_release
from vgaudit.zoo.dino import load_dino
from vgaudit.zoo.resolve import pinned_digest
from vgaudit.zoo.tensors import fill, load_tensors

if TYPE_CHECKING:
    import torch

_VERSION = 1
SIDE = 224
"""Pixels of the short side after scaling; CLIP is shown the square in the middle, DINO all of it."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

Rows = NDArray[np.float32]


class DinoOptions(BaseModel):
    """Which weights DINO's ViT-B/16 has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(DINO, description="Name of the weights, or path of a checkpoint in either layout.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest the file must have.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    batch_size: int = Field(8, ge=1, le=1024, description="Frames of one clip that go through at once.")


class VBenchClipOptions(BaseModel):
    """Which CLIP, and whether LAION's linear head judges its embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip: ClipOptions = Field(
        default_factory=ClipOptions,
        description="Options of the extractor clip that say which network.",
    )
    head: str | None = Field(None, description="Name or path of a linear head; none: embeddings only.")
    head_sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{64}$", description="Digest the head must have."
    )


class VBenchDinoExtractor:
    """Frames -> DINO's class tokens, as VBench's ``subject_consistency`` makes them.

    Array: ``embedding`` float32 ``(T, 768)``, rows of length 1. Each frame: short side scaled to 224 (bilinear, no
    smoothing), divided by 255, ImageNet's normalisation; no crop. Batches hold frames of one clip only.
    """

    name: ClassVar[str] = "vbench_dino"
    Options: ClassVar[type[BaseModel]] = DinoOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: DinoOptions) -> None:
        self.options = options
        how = {
            "batch_size": options.batch_size,
            "device": resolved_device(options.device),
            "torch": torch_release(),
        }
        sha256 = pinned_digest(options.weights, options.sha256)
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, sha256=sha256)
        self._new: Callable[[], Extraction] | None = None

    def load(self) -> None:
        """Load the network.

        Raises:
            Unavailable: The weights are not there, not pinned, or not DINO's ViT-B/16.
        """
        dino = load_dino(self.options.weights, self.options.sha256, self.options.device)
        self._new = lambda: _Embedding(
            dino_input, dino.network, dino.device, self.options.batch_size, dino.facts
        )

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._new is None:
            raise RuntimeError("load() DINO before the first clip")
        return self._new()


class VBenchClipExtractor:
    """Frames -> CLIP's vectors, as VBench's ``background_consistency`` and ``aesthetic_quality`` make them.

    Arrays: ``embedding`` float32 ``(T, d)``, rows of length 1; with a ``head``, ``score`` float32 ``(T,)``: its
    weights times the embedding plus its bias, about 1 to 10. Each frame: short side scaled to 224 (bicubic, no
    smoothing, overshoot kept), the middle 224 x 224, divided by 255, CLIP's normalisation.
    """

    name: ClassVar[str] = "vbench_clip"
    Options: ClassVar[type[BaseModel]] = VBenchClipOptions
    unit: ClassVar[Unit] = "frame"

    def __init__(self, options: VBenchClipOptions) -> None:
        self.options = options
        weights = options.clip.choice.identity()
        if options.head:
            weights["head"] = pinned_digest(options.head, options.head_sha256)
        how = {"batch_size": options.clip.batch_size}
        self.fingerprint = make_fingerprint(self.name, _VERSION, how, **weights)
        self._new: Callable[[], Extraction] | None = None

    def load(self) -> None:
        """Load CLIP, or share it with whoever has; and the head.

        Raises:
            Unavailable: Weights are not there, not pinned, or do not fit each other.
        """
        o = self.options
        model = load_clip(o.clip.choice)
        size = int(model.facts["preprocessing"]["size"][0])
        head, facts = None, dict(model.facts)
        if o.head:
            head, about = _load_head(o, int(model.network.visual.output_dim))
            facts["head"] = about
        self._new = lambda: _Embedding(
            lambda rgb: clip_input(rgb, size), model.network.encode_image, model.device, o.clip.batch_size,
            facts, head,
        )  # fmt: skip

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip."""
        if self._new is None:
            raise RuntimeError("load() CLIP before the first clip")
        return self._new()


def _load_head(options: VBenchClipOptions, width: int) -> tuple[Any, Mapping[str, Any]]:
    import torch

    tensors = load_tensors(options.head or "", options.head_sha256)
    head = torch.nn.Linear(width, 1)
    if set(tensors.named) != {"weight", "bias"}:
        raise Unavailable(
            f"{tensors.name} is no linear head: it holds {', '.join(sorted(tensors.named)[:5])}",
            "name LAION's sa_0_4_vit_l_14_linear.pth",
        )
    fill(head, tensors.named, tensors.name, f"a linear head on {width} numbers", options.clip.device)
    return head, tensors.facts


def dino_input(rgb: NDArray[np.uint8]) -> torch.Tensor:
    """A frame as VBench shows it to DINO: uint8 ``(H, W, 3)`` -> float32 ``(3, h, w)`` with a short side of 224."""
    from torchvision.transforms import InterpolationMode

    return _normalised(_scaled(rgb, SIDE, InterpolationMode.BILINEAR), *_IMAGENET)


def clip_input(rgb: NDArray[np.uint8], side: int = SIDE) -> torch.Tensor:
    """A frame as VBench shows it to CLIP: uint8 ``(H, W, 3)`` -> float32 ``(3, side, side)``."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop

    return _normalised(center_crop(_scaled(rgb, side, InterpolationMode.BICUBIC), [side, side]), *_CLIP)


def _scaled(rgb: NDArray[np.uint8], side: int, interpolation: Any) -> torch.Tensor:
    import torch
    from torchvision.transforms.functional import resize

    frame = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32))
    scaled: torch.Tensor = resize(frame, [side], interpolation=interpolation, antialias=False)
    return scaled


def _normalised(frame: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    from torchvision.transforms.functional import normalize

    out: torch.Tensor = normalize(frame / 255.0, list(mean), list(std))
    return out


class _Embedding:
    """One clip: gathers prepared frames into batches of fixed size, whatever the blocks pushed."""

    def __init__(
        self, prepare: Callable[[NDArray[np.uint8]], torch.Tensor], network: Callable[[torch.Tensor], torch.Tensor],
        device: str, batch_size: int, facts: Mapping[str, Any], head: Any = None,
    ) -> None:  # fmt: skip
        self._prepare = prepare
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._facts = facts
        self._head = head
        self._waiting: list[torch.Tensor] = []
        self._embedded: list[Rows] = []
        self._scores: list[Rows] = []

    def push(self, frames: Frames) -> None:
        """Take the next block."""
        for frame in frames.rgb:
            self._waiting.append(self._prepare(frame))
            if len(self._waiting) == self._batch_size:
                self._embed()

    def finish(self) -> Features:
        """Features of all frames pushed."""
        self._embed()
        arrays = {
            "embedding": np.concatenate(self._embedded) if self._embedded else np.zeros((0, 0), np.float32)
        }
        if self._head is not None:
            arrays["score"] = np.concatenate(self._scores) if self._scores else np.zeros(0, np.float32)
        return Features(arrays, dict(self._facts))

    def _embed(self) -> None:
        import torch
        from torch.nn.functional import normalize

        if not self._waiting:
            return
        batch = torch.stack(self._waiting).to(self._device)
        self._waiting.clear()
        with torch.inference_mode():
            rows = normalize(self._network(batch).float(), dim=-1)
            self._embedded.append(rows.cpu().numpy())
            if self._head is not None:
                self._scores.append(self._head(rows)[:, 0].cpu().numpy())
