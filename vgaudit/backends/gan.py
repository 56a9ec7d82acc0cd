"""Backend ``gan``: a generator network that maps noise to a clip in one pass.

The network is called as ``model(z)``, ``model(z, class)`` or ``model(z, embedding)`` with ``z`` of shape
``(B, z_dim)`` and must return ``(B, C, T, H, W)`` in [-1, 1], C being 1 or 3. It comes as TorchScript, as a
``torch.export`` archive, or as a Python factory with safetensors weights. A factory runs the code of its module.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from vgaudit.backends.base import (
    BackendContext,
    DomainOptions,
    Generated,
    GenerationOutcome,
    OptionsClass,
    PromptSpec,
)
from vgaudit.backends.devices import numerics
from vgaudit.backends.gan_bundled import decoder_identity, is_bundled, spelled_out, weights_file
from vgaudit.backends.gan_loading import Network, PickleTrust, load_network, weights_identity
from vgaudit.backends.prompted import expand, fixed_batches
from vgaudit.backends.text_vectors import read_vectors, text_vectors
from vgaudit.errors import BackendError, SuiteError
from vgaudit.plan import Sample
from vgaudit.records import digest
from vgaudit.registry import nearest
from vgaudit.zoo.clip_models import ClipChoice, check_model_name, split_name
from vgaudit.zoo.generators import BUNDLED_GAN, GAN, UNKNOWN

if TYPE_CHECKING:
    import torch

_TOLERANCE = 0.05  # of [-1, 1]: rounding and slight overshoot are clamped, another range is an error


class GanOptions(DomainOptions):
    """Options of backend ``gan``; paths are relative to the suite file."""

    model: str | None = Field(
        None, description="TorchScript (.pt) or torch.export (.pt2) file; storyworld-gan ships along."
    )
    factory: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`module:callable` that returns the network; importing it runs that module's code.",
    )
    factory_options: dict[str, Any] = Field(default_factory=dict, description="Keywords for the factory.")
    weights: str | None = Field(None, description="Safetensors file for the factory's network.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Digest that the model or weights file must have."
    )
    allow_pickle: PickleTrust | None = Field(
        None, description="The words 'I trust this file' let a pickle be loaded; needs sha256."
    )
    z_dim: int = Field(ge=1, le=1_000_000, description="Length of the noise vector.")
    conditioning: Literal["none", "class", "text_embedding"] = "none"
    class_tag: str = Field("class", description="Tag of the prompt that holds its class.")
    classes: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Class index by tag value, or by prompt id where the tag is absent."
    )
    embeddings: str | None = Field(None, description="Safetensors file: one vector for each prompt id.")
    text_encoder: str | None = Field(
        None,
        description="In place of `embeddings`: CLIP that embeds the prompts, as openai/ViT-B-32; storyworld-clip "
        "ships along.",
    )
    truncation: float | None = Field(
        None, ge=0.1, le=10, description="Noise beyond this magnitude is drawn again (truncation trick)."
    )
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate; else that of `video`.")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    batch_size: int = Field(1, ge=1, le=1024, description="Clips made at once; part of the fingerprint.")

    @model_validator(mode="before")
    @classmethod
    def _bundled(cls, value: Any) -> Any:
        return spelled_out(value)

    @model_validator(mode="after")
    def _fits_together(self) -> GanOptions:
        if (self.model is None) == (self.factory is None):
            raise ValueError("expected either `model` (a file) or `factory` (module:callable), not both")
        if (self.factory is None) != (self.weights is None):
            raise ValueError("`factory` and `weights` belong together")
        if self.allow_pickle and not self.sha256:
            raise ValueError("`allow_pickle` needs `sha256`: trust is in one file, not in a path")
        given = (self.embeddings is not None) + (self.text_encoder is not None)
        if given != (self.conditioning == "text_embedding"):
            raise ValueError(
                "`conditioning: text_embedding` needs either `embeddings` (a safetensors file) or `text_encoder` (a "
                "CLIP), and nothing else takes them"
            )
        return self

    @field_validator("text_encoder")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            check_model_name(split_name(value, None)[0])
        return value


class GanBackend:
    """Makes clips with a generator network.

    Raises:
        SuiteError: A file or the frame rate is missing.
        BackendError: The weights are refused or have another digest.
    """

    type: ClassVar[str] = "gan"
    Options: ClassVar[OptionsClass] = GanOptions

    def __init__(self, options: GanOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        bundled = is_bundled(options.factory, options.weights)
        trained = GAN if bundled else UNKNOWN
        self._file = (
            weights_file() if bundled else context.base_dir / (options.model or options.weights or "")
        )
        self._name = BUNDLED_GAN if bundled else self._file.stem
        self.domain = options.domain or trained.domain
        self.notes = trained.notes
        fps = options.fps or context.video.fps or trained.fps
        if fps is None:
            raise SuiteError(
                "backend gan: expected a frame rate in `fps` or in the suite's `video.fps`, found neither"
            )
        self._fps = fps
        if not self._file.is_file():
            raise SuiteError(f"backend gan: {self._file} does not exist; expected the generator's weights")
        self._vectors: Mapping[str, NDArray[np.float32]] = {}
        self._encoder: ClipChoice | None = None
        self._text_facts: Mapping[str, Mapping[str, Any]] = {}
        if options.embeddings:
            self._vectors = read_vectors(context.base_dir / options.embeddings)
        if options.text_encoder:
            device = "auto" if options.device == "mps" else options.device
            self._encoder = ClipChoice(*split_name(options.text_encoder, None), device=device)
        self._plan: tuple[Sample, ...] = ()
        self._conditions: dict[str, int] = {}
        free = {"device", "allow_pickle", "sha256", "model", "weights", "embeddings", "classes", "domain"}
        self.fingerprint = digest(
            {
                "type": self.type,
                "weights": weights_identity(
                    self._file, options.sha256, options.allow_pickle, options.factory
                ),
                "fps": fps,
                "text_encoder_identity": self._encoder.identity() if self._encoder else None,
                **(decoder_identity() if bundled else {}),
                **numerics(options.device),
                **options.model_dump(mode="json", exclude=free),
            }
        )

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample for each prompt and seed.

        Raises:
            SuiteError: There are no prompts or seeds, or a prompt has no class or embedding.
        """
        group = self._context.name or self._name
        identity = {p.prompt_id: self._condition(p) for p in prompts}
        samples = expand(
            prompts,
            seeds,
            self._context,
            backend=self.type,
            group=group,
            fingerprint=self.fingerprint,
            per_prompt=lambda p: identity[p.prompt_id],
        )
        self._plan = tuple(samples)
        return samples

    def _condition(self, prompt: PromptSpec) -> dict[str, Any]:
        """Identity of what the network is told about a prompt."""
        if self._options.conditioning == "class":
            self._conditions[prompt.prompt_id] = self._class_of(prompt)
            return {"class": self._conditions[prompt.prompt_id]}
        if self._options.embeddings:
            vector = self._vectors.get(prompt.prompt_id)
            if vector is None:
                hint = nearest(prompt.prompt_id, list(self._vectors))
                raise SuiteError(
                    f"backend gan: {self._options.embeddings} has no embedding of prompt {prompt.prompt_id!r}{hint}"
                )
            return {"embedding": digest(vector.tobytes())}
        return {}

    def _class_of(self, prompt: PromptSpec) -> int:
        tag = prompt.tags.get(self._options.class_tag)
        key = prompt.prompt_id if tag is None else tag
        if key in self._options.classes:
            return self._options.classes[key]
        if tag is not None and tag.isascii() and tag.isdigit():
            return int(tag)
        raise SuiteError(
            f"backend gan: prompt {prompt.prompt_id!r} has no class: expected tag {self._options.class_tag!r} with a "
            f"number or a key of `classes`, found {tag!r}{nearest(key, list(self._options.classes))}"
        )

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Make the clips of ``samples`` in the plan's fixed batches.

        Raises:
            BackendError: The network cannot be loaded.
            Unavailable: The weights of `text_encoder` are not there.
        """
        if not samples:
            return
        if self._encoder:
            texts = {s.prompt_id: s.prompt for s in self._plan}
            self._vectors, self._text_facts = text_vectors(self._encoder, texts)
        network = load_network(self._file, self._options, self._context)
        for batch, wanted in fixed_batches(self._plan, samples, self._options.batch_size):
            start = time.perf_counter()
            try:
                clips: list[NDArray[np.uint8] | str] = self._make(network, batch)
            except Exception as error:  # a network may raise anything; the samples say so, the run goes on
                _raise_if_out_of_memory(error, self._options)
                clips = [_one_line(error)] * len(batch)
            seconds = (time.perf_counter() - start) / len(batch)
            for sample, clip in zip(batch, clips, strict=True):
                if sample.sample_id in wanted:
                    yield self._answer(sample, clip, seconds, network.device)

    def _answer(
        self, sample: Sample, clip: NDArray[np.uint8] | str, seconds: float, device: str
    ) -> Generated:
        facts = {"device": device, **self._text_facts.get(sample.prompt_id, {})}
        if isinstance(clip, str):
            return Generated(sample, GenerationOutcome.ERROR, message=clip, seconds=seconds, facts=facts)
        return Generated(sample, frames=clip, fps=self._fps, seconds=seconds, facts=facts)

    def _make(self, network: Network, batch: Sequence[Sample]) -> list[NDArray[np.uint8] | str]:
        import torch

        # A short last batch is filled up with its last sample: an exported graph may have a fixed
        # batch size, and every clip then comes from a batch of the same size.
        full = [*batch, *[batch[-1]] * (self._options.batch_size - len(batch))]
        inputs = [
            torch.stack([noise(s.seed or 0, self._options.z_dim, self._options.truncation) for s in full])
        ]
        if self._options.conditioning == "class":
            inputs.append(torch.tensor([self._conditions[s.prompt_id] for s in full]))
        elif self._options.conditioning == "text_embedding":
            inputs.append(torch.stack([torch.from_numpy(self._vectors[s.prompt_id].copy()) for s in full]))
        with torch.inference_mode():
            output = network.module(*[i.to(network.device) for i in inputs])
        if not isinstance(output, torch.Tensor):
            raise TypeError(
                f"the network returned {type(output).__name__}; expected a tensor (B, C, T, H, W)"
            )
        if output.ndim != 5 or output.shape[0] != len(full) or output.shape[1] not in (1, 3):
            expected = f"({len(full)}, 1 or 3, T, H, W)"
            raise ValueError(f"the network returned shape {tuple(output.shape)}; expected {expected}")
        return [to_frames(clip) for clip in output.float().cpu().numpy()[: len(batch)]]


def noise(seed: int, z_dim: int, truncation: float | None = None) -> torch.Tensor:
    """Standard normal ``(z_dim,)`` drawn on the CPU from ``seed`` alone, whatever the batch or device.

    Args:
        seed: Generation seed.
        z_dim: Length.
        truncation: Values beyond this magnitude are drawn again (Brock et al. 2019, truncation trick).
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    z = torch.randn(z_dim, generator=generator)
    if truncation is not None:
        while (outside := z.abs() > truncation).any():
            z[outside] = torch.randn(int(outside.sum()), generator=generator)
    return z


def to_frames(clip: NDArray[np.float32]) -> NDArray[np.uint8] | str:
    """``(C, T, H, W)`` in [-1, 1] as uint8 ``(T, H, W, 3)``, or why it is no clip."""
    if not np.isfinite(clip).all():
        return f"the network returned {int((~np.isfinite(clip)).sum())} values that are NaN or infinite"
    low, high = float(clip.min()), float(clip.max())
    if low < -1 - _TOLERANCE or high > 1 + _TOLERANCE:
        return f"the network returned values from {low:.3g} to {high:.3g}; expected [-1, 1]"
    scaled = np.rint((np.clip(clip, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(scaled, (3, *scaled.shape[1:])).transpose(1, 2, 3, 0))


def _raise_if_out_of_memory(error: Exception, options: GanOptions) -> None:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        raise BackendError(
            f"backend gan: out of memory with batch_size {options.batch_size}; lower `batch_size`, or `device: cpu`"
        ) from error


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {(lines[-1] if lines else '')[:300]}"
