"""What a suite may say about ``fvd``: protocol, network and reference set."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vgaudit.extractors.video_protocols import AUTO, PROTOCOLS, VideoProtocol, completed, protocol_of

MIN_WORDS = 5
"""Different words a reason for ``accept_small_n`` has at least; a bare yes is none."""


class GroupReference(BaseModel):
    """Another group of the same run as reference: its real clips."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str = Field(description="Name of the group.")


class FvdOptions(BaseModel):
    """Protocol, network and reference set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Annotated[str, Field(min_length=1)] | GroupReference = Field(
        description="storyworld or storyworld-<look>, which ship along; or a file (.npz, .safetensors: mean, "
        "num_clips, cov_biased or cov); or {group: NAME}."
    )
    protocol: Literal["auto", "fvd@styleganv", "fvd@videogpt", "fvd@storyworld"] = Field(
        "fvd@styleganv",
        description="Named protocol; auto: fvd@storyworld, where the backend declares that domain.",
    )
    weights: str = Field(
        "", description="Name of the network's weights, or path of a file of that kind; else the protocol's."
    )
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Digest of a local file.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")

    accept_small_n: str = Field(
        "",
        description="Why gates may take a distance of too few clips, in words; printed beside every such value.",
    )

    @field_validator("accept_small_n")
    @classmethod
    def _in_words(cls, reason: str) -> str:
        reason = " ".join(reason.split())
        words = {word.lower() for word in re.findall(r"[^\W\d_]{2,}", reason)}
        if reason and len(words) < MIN_WORDS:
            raise ValueError(
                f"accept_small_n says {reason!r}; expected a reason of {MIN_WORDS} different words or more, which "
                "every report prints, or nothing"
            )
        return reason

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return completed(data)

    @field_validator("protocol", mode="before")
    @classmethod
    def _implemented(cls, value: Any) -> Any:
        if value not in (AUTO, *PROTOCOLS):
            raise ValueError(f"protocol {value!r} is not implemented; implemented: {', '.join(PROTOCOLS)}")
        return value

    @property
    def rules(self) -> VideoProtocol:
        """The protocol itself."""
        return protocol_of(self.protocol)

    @property
    def forced(self) -> bool:
        """Whether the suite names the protocol, and with it the network, instead of leaving it to the domain."""
        return self.protocol != AUTO
