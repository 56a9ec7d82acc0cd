"""What a backend is: it lists the samples it can provide and turns samples into clips.

A backend is constructed once per run with its validated options. Construction is cheap: it checks
options and computes the fingerprint, and imports torch only inside :meth:`Backend.generate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.plan import Sample
from vgaudit.video import MediaLimits

OptionsClass = type[BaseModel]
"""Type of a backend's ``Options``; an alias because the protocol has a member named ``type``."""


class Options(BaseModel):
    """Base of all option models: unknown names are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DomainOptions(Options):
    """Options of backends whose clips could be of a world that a bundled network knows."""

    domain: Literal["storyworld"] | None = Field(
        None, description="What the clips show, if a bundled network knows it."
    )


class GenerationOutcome(StrEnum):
    """What became of a request. Anything but ``retry_after`` and ``error`` is final for its sample id."""

    OK = "ok"
    REFUSED_INPUT = "refused_input"
    REFUSED_OUTPUT = "refused_output"
    ERROR = "error"
    RETRY_AFTER = "retry_after"


@dataclass(frozen=True)
class Generated:
    """What a backend gives back for one sample.

    Exactly one of ``frames`` and ``path`` is set when ``outcome`` is ``ok``, none otherwise.

    Attributes:
        sample: The sample it answers.
        outcome: See :class:`GenerationOutcome`.
        frames: uint8 array ``(T, H, W, 3)``, RGB.
        fps: Frame rate of ``frames``.
        path: A finished media file; it is copied into the run directory, never moved.
        exact: ``frames`` came from a lossless source (frame folder, array): keep an exact record.
        message: Why it was refused or failed.
        job_id: The provider's handle of a submitted job, so that resume polls instead of resubmitting.
        cost: What the provider charged, in its own unit.
        seconds: Wall time of generation.
        facts: JSON-able facts for the sidecar.
    """

    sample: Sample
    outcome: GenerationOutcome = GenerationOutcome.OK
    frames: NDArray[np.uint8] | None = None
    fps: float | None = None
    path: Path | None = None
    exact: bool = False
    message: str = ""
    job_id: str | None = None
    cost: float | None = None
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptSpec:
    """A prompt as a backend sees it when it lists its samples."""

    prompt_id: str
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class VideoRequest:
    """What is asked of every clip; ``None`` means "whatever the backend makes"."""

    frames: int | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class BackendContext:
    """Where a backend finds itself.

    Attributes:
        base_dir: Folder that relative paths in the options are relative to (the suite's folder).
        name: Group name given in the suite, or empty for the backend's own choice.
        index: Position of the backend in the suite.
        video: What the suite asks of every clip.
        identity: Further JSON-able identity (encoder settings) that goes into every sample id.
        limits: How large a clip may be that a backend reads into memory itself.
    """

    base_dir: Path
    name: str = ""
    index: int = 0
    video: VideoRequest = VideoRequest()
    identity: Mapping[str, Any] = field(default_factory=dict)
    limits: MediaLimits = field(default_factory=MediaLimits)


@runtime_checkable
class Backend(Protocol):
    """Turns samples into clips.

    Class attributes:
        type: Name in the suite (``backend: {type: ...}``).
        Options: Pydantic model of the options, without ``type`` and ``name``.
        needs_prompts: Optional: whether the suite must have prompts; taken as true where it is absent.

    An instance may have ``notes``, sentences a reader of the report must see, ``source_path(sample)`` for
    clips made elsewhere, so that a changed source is noticed, and ``domain``, what its clips show if a bundled
    network knows it; all its samples get that. The domain changes no clip, so it belongs into no fingerprint.

    ``fingerprint`` is a digest of weights and parameters; it is part of every sample id.
    """

    type: ClassVar[str]
    Options: ClassVar[OptionsClass]
    fingerprint: str

    def __init__(self, options: Any, context: BackendContext) -> None: ...

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """All samples this backend contributes, in a stable order. No generation happens here."""
        ...

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Yield one :class:`Generated` per sample, in any order.

        Args:
            samples: Samples of this backend that have no clip yet.
            pending: ``sample_id -> job_id`` of jobs submitted by an earlier attempt.
            work_dir: Folder of the run in which a backend may keep notes that must survive ``kill -9`` (jobs it
                submitted); ``None`` when there is none.

        Raises:
            BackendError: When nothing further can be generated at all.
        """
        ...
