"""What an extractor is: frames -> features. Models live here, and features are cached.

Extraction is a stream, so that a long 1080p clip never has to be in memory: for each clip the pipeline
calls :meth:`Extractor.start`, pushes consecutive :class:`~vgaudit.video.Frames` blocks, and takes the
:class:`Features` from ``finish``. Batches are formed within one clip only; results therefore cannot depend
on which clips happen to be left to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray
from pydantic import BaseModel

from vgaudit.records import canonical_json, digest
from vgaudit.video import ClipInfo, Frames

Unit = Literal["frame", "pair", "clip", "text"]


@dataclass(frozen=True)
class ExtractorSpec:
    """Which extractor with which options a metric needs; equal specs share one extractor.

    Attributes:
        name: Registered extractor name.
        options: JSON-able options, validated by the extractor's ``Options``.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Text that is equal for equal specs."""
        return f"{self.name}{canonical_json(dict(self.options))}"

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Features:
    """Named arrays that one extractor computed from one clip (or from texts).

    Attributes:
        arrays: Name to array; per-frame arrays have the frame (or pair) as first axis.
        facts: JSON-able facts about the extraction (resize used, frames skipped and why).
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]


class Extraction(Protocol):
    """One clip on its way through one extractor."""

    def push(self, frames: Frames) -> None:
        """Take the next block of consecutive frames."""
        ...

    def finish(self) -> Features:
        """Features of all frames pushed. A clip too short gives empty arrays, not an error."""
        ...


@runtime_checkable
class Extractor(Protocol):
    """Frames -> features.

    Class attributes:
        name: Registered name.
        Options: Pydantic model of the options.
        unit: What one feature row belongs to.

    ``fingerprint`` names everything that can change the bytes: version of the code, options, weights digest,
    preprocessing. Constructing an extractor must not import torch nor load weights: that happens in ``load``.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    unit: ClassVar[Unit]
    fingerprint: str

    def __init__(self, options: Any) -> None: ...

    def load(self) -> None:
        """Load weights; called once before the first ``start``.

        Raises:
            Unavailable: Weights or a package are missing; the message names the command that gets them.
        """
        ...

    def start(self, info: ClipInfo) -> Extraction:
        """Begin a clip. Thread-safe: several clips may be in progress at once."""
        ...


@runtime_checkable
class TextExtractor(Protocol):
    """Texts -> features; ``unit`` is ``"text"``."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    unit: ClassVar[Unit]
    fingerprint: str

    def __init__(self, options: Any) -> None: ...

    def load(self) -> None:
        """As :meth:`Extractor.load`."""
        ...

    def extract_texts(self, texts: Sequence[str]) -> Features:
        """Features whose first axis is the text, in the order given."""
        ...


def make_fingerprint(name: str, version: int, options: Mapping[str, Any], **weights: Any) -> str:
    """``<name>-v<version>-<12 hex>`` over options and weight digests; safe as a folder name."""
    return f"{name}-v{version}-{digest({'options': dict(options), 'weights': weights}, 12)}"
