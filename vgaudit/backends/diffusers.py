"""Backend ``diffusers``: any text-to-video pipeline of the diffusers library, by hub id or local folder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from vgaudit.backends.base import (
    BackendContext,
    DomainOptions,
    Generated,
    GenerationOutcome,
    OptionsClass,
    PromptSpec,
)
from vgaudit.backends.devices import choose_device, expected_device, minor_release, numerics
from vgaudit.backends.diffusers_model import TRAINED_FPS, ModelSource, find_model, hub_silence
from vgaudit.backends.pipeline_call import (
    RESERVED,
    Answer,
    Signature,
    arguments,
    call,
    signature_of,
    with_defaults,
)
from vgaudit.backends.prompted import expand, fixed_batches
from vgaudit.errors import BackendError, SuiteError, Unavailable
from vgaudit.plan import Sample
from vgaudit.records import digest
from vgaudit.registry import nearest

_CALL = 2
"""Raised whenever the same options call a pipeline otherwise: since 2 it is told the frame rate that is stored."""

Dtype = Literal["auto", "float32", "float16", "bfloat16"]


class DiffusersOptions(DomainOptions):
    """Options of backend ``diffusers``; a relative ``model`` folder is relative to the suite file."""

    model: str = Field(
        min_length=1,
        description="Folder written by save_pretrained, hub id org/name, or storyworld-t2v, which ships along.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model.")
    variant: str | None = Field(None, description="Variant of the weights files, such as fp16.")
    pipeline: str | None = Field(
        None, description="Pipeline class, if not the one the model names.", pattern=r"^\w+$"
    )
    dtype: Dtype | dict[str, Dtype] = Field(
        "auto", description="Precision, or one for each component with `default`; auto: bfloat16 on a GPU."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    offload: Literal["none", "model", "sequential"] = Field(
        "none", description="Keep what is not at work in main memory (needs a GPU)."
    )
    batch_size: int = Field(1, ge=1, le=256, description="Clips made at once; part of the fingerprint.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the pipeline: num_inference_steps, guidance_scale ..."
    )
    fps: float | None = Field(
        None, gt=0, le=1000, description="Frame rate; else that of `video` or the model."
    )
    local_files_only: bool = Field(False, description="Never ask the hub.")

    @field_validator("parameters")
    @classmethod
    def _ours_to_set(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RESERVED & value.keys()):
            raise ValueError(f"{taken[0]!r} is set by vgaudit; remove it")
        if value.get("output_type", "np") not in ("np", "pt"):
            raise ValueError(f"output_type {value['output_type']!r}: expected 'np' or 'pt', or leave it out")
        return value


class DiffusersBackend:
    """Makes clips with a diffusers pipeline. Code that comes with a model is never run.

    Construction reads the model's index and the digests of its files; torch is imported by :meth:`generate`.

    Raises:
        SuiteError: The model is not a pipeline, or no frame rate is known.
        Unavailable: A hub model is neither in the cache nor reachable.
    """

    type: ClassVar[str] = "diffusers"
    Options: ClassVar[OptionsClass] = DiffusersOptions

    def __init__(self, options: DiffusersOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        self._source = find_model(options.model, context.base_dir, options.revision, options.local_files_only)
        trained = self._source.trained
        self.domain = options.domain or trained.domain
        self.notes = trained.notes
        self._class_name = options.pipeline or self._source.class_name
        fps, told = options.fps or context.video.fps, options.parameters.get("frame_rate")
        if told is not None and fps is not None and told != fps:
            raise SuiteError(
                f"backend diffusers: parameters: frame_rate is {told!r}, but clips would be stored at {fps:g} frames "
                "a second (`fps` of the backend or of `video`); keep one"
            )
        fps = fps or told or trained.fps or TRAINED_FPS.get(self._class_name)
        if fps is None:
            raise SuiteError(
                f"backend diffusers: the frame rate of {self._class_name} is not known; set `fps` on the backend or "
                "under `video`"
            )
        self._fps = fps
        self._parameters = with_defaults(trained.defaults, options.parameters, context.video)
        self._plan: tuple[Sample, ...] = ()
        kept = {"pipeline", "variant", "offload", "batch_size"}
        self.fingerprint = digest(
            {
                "type": self.type,
                "call": _CALL,
                "model": dict(self._source.identity),
                "fps": fps,
                "diffusers": minor_release("diffusers"),
                **numerics(options.device),
                "dtype": _dtypes(options.dtype, expected_device(options.device)),
                **options.model_dump(mode="json", include=kept),
                "parameters": self._parameters,
            }
        )

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample for each prompt and seed.

        Raises:
            SuiteError: There are no prompts or no seeds.
        """
        group = self._context.name or self._source.name
        samples = expand(
            prompts, seeds, self._context, backend=self.type, group=group, fingerprint=self.fingerprint
        )
        self._plan = tuple(samples)
        return samples

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Make the clips of ``samples``, in the plan's fixed batches if the pipeline takes lists.

        Each sample has a generator of its own, seeded on the CPU, so its noise does not depend on its batch.

        Raises:
            SuiteError: ``parameters`` names what the pipeline does not take.
            BackendError: The pipeline cannot be loaded, or memory is out.
            Unavailable: Weights are missing.
        """
        if not samples:
            return
        import torch

        kind = _pipeline_class(self._class_name)
        signature = signature_of(kind)
        given = {
            name: value
            for name, value in self._parameters.items()
            if name in signature.names
            or name in self._options.parameters  # another class may lack a default's
        }
        fixed = arguments(signature, given, replace(self._context.video, fps=self._fps))
        device = choose_device(self._options.device)
        pipeline = _load(kind, self._source, self._options, device)
        facts = {
            "device": device,
            "pipeline": self._class_name,
            "dtype": str(pipeline.dtype).removeprefix("torch."),
        }
        size = self._options.batch_size if signature.takes_lists else 1
        try:
            for batch, wanted in fixed_batches(self._plan, samples, size):
                start = time.perf_counter()
                made = self._make(pipeline, signature, fixed, batch)
                seconds = (time.perf_counter() - start) / len(batch)
                for sample, answer in zip(batch, made, strict=True):
                    if sample.sample_id in wanted:
                        yield self._generated(sample, answer, seconds, facts)
        finally:
            del pipeline
            if device == "cuda":
                torch.cuda.empty_cache()  # scoring needs the memory next

    def _make(
        self, pipeline: Any, signature: Signature, fixed: Mapping[str, Any], batch: Sequence[Sample]
    ) -> list[Answer]:
        import torch

        generators = [torch.Generator("cpu").manual_seed(s.seed or 0) for s in batch]
        try:
            with torch.inference_mode():
                return call(pipeline, signature, fixed, [s.prompt for s in batch], generators)
        except torch.OutOfMemoryError as error:
            raise BackendError(f"backend diffusers: {_OUT_OF_MEMORY}") from error
        except BackendError:
            raise
        except Exception as error:  # a pipeline may raise anything; the sample says so, the run goes on
            if "can't allocate memory" in str(error):
                raise BackendError(f"backend diffusers: {_OUT_OF_MEMORY}") from error
            message = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
            return [Answer(message=message)] * len(batch)

    def _generated(self, sample: Sample, answer: Answer, seconds: float, facts: dict[str, str]) -> Generated:
        if answer.frames is not None:
            return Generated(sample, frames=answer.frames, fps=self._fps, seconds=seconds, facts=facts)
        outcome = GenerationOutcome.REFUSED_OUTPUT if answer.refused else GenerationOutcome.ERROR
        return Generated(sample, outcome, message=answer.message, seconds=seconds, facts=facts)


_OUT_OF_MEMORY = (
    "out of memory; ask for fewer frames or a smaller size, lower `batch_size`, use `dtype: bfloat16`, or set "
    "`offload: model` (slower: `sequential`)"
)


def _pipeline_class(name: str) -> Any:
    import diffusers

    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)):
        known = [n for n in dir(diffusers) if n.endswith("Pipeline")]
        raise SuiteError(
            f"backend diffusers: diffusers {diffusers.__version__} has no pipeline {name!r}{nearest(name, known)}"
        )
    return kind


def _load(kind: Any, source: ModelSource, options: DiffusersOptions, device: str) -> Any:
    import diffusers
    import transformers

    if options.offload != "none" and device == "cpu":
        raise BackendError(f"backend diffusers: `offload: {options.offload}` needs a GPU; found the CPU only")
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Newer releases call it `dtype` and warn; the releases we still support know only this name.
            warnings.filterwarnings("ignore", message=".*torch_dtype", category=FutureWarning)
            pipeline = kind.from_pretrained(
                source.load_from,
                revision=source.revision,
                variant=options.variant,
                torch_dtype=_torch_dtypes(options.dtype, device),
                local_files_only=options.local_files_only
                or (source.revision is not None and hub_silence() != ""),
                trust_remote_code=False,
            )
    except OSError as error:
        remedy = (
            f"hf download {source.name}"
            if source.revision
            else "save the pipeline again with `save_pretrained`"
        )
        reason = " ".join(str(error).split())[:300]
        raise Unavailable(f"weights of {source.name} are missing: {reason}", remedy) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise BackendError(f"backend diffusers: {source.name} cannot be loaded: {reason}") from error
    pipeline.set_progress_bar_config(disable=True)
    if options.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif options.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return pipeline


def _dtypes(dtype: Dtype | dict[str, Dtype], device: str) -> str | dict[str, str]:
    """``dtype`` with every ``auto`` resolved for ``device``."""

    def one(name: Dtype) -> str:
        return {"cpu": "float32", "mps": "float16"}.get(device, "bfloat16") if name == "auto" else name

    return one(dtype) if isinstance(dtype, str) else {part: one(name) for part, name in dtype.items()}


def _torch_dtypes(dtype: Dtype | dict[str, Dtype], device: str) -> Any:
    import torch

    names = _dtypes(dtype, device)
    if isinstance(names, str):
        return getattr(torch, names)
    return {part: getattr(torch, name) for part, name in names.items()}
