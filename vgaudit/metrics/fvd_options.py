"""What a suite may say about ``fvd``: protocol, network and reference set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vgaudit.errors import SuiteError
from vgaudit.extractors.video_own import OwnProtocol, Protocol, is_protocol_file, named, read_own, rules_of
from vgaudit.extractors.video_protocols import AUTO, VideoProtocol, completed

MIN_WORDS = 5
"""Different words a reason for ``accept_small_n`` has at least; a bare yes is none."""


def in_words(reason: str) -> str:
    """A reason for ``accept_small_n`` with single spaces, or nothing.

    Raises:
        ValueError: It has fewer than :data:`MIN_WORDS` different words.
    """
    reason = " ".join(reason.split())
    words = {word.lower() for word in re.findall(r"[^\W\d_]{2,}", reason)}
    if reason and len(words) < MIN_WORDS:
        raise ValueError(
            f"accept_small_n says {reason!r}; expected a reason of {MIN_WORDS} different words or more, which "
            "every report prints, or nothing"
        )
    return reason


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
    protocol: Protocol = Field(
        "fvd@styleganv",
        description="Named protocol; auto: fvd@storyworld, where the backend declares that domain; or one of your "
        "own, written out (name, base, what differs) or as a .yaml file.",
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
        return in_words(reason)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return completed(data)

    @field_validator("protocol", mode="before")
    @classmethod
    def _implemented(cls, value: Any) -> Any:
        return named(value, (AUTO,), files=True)

    def resolved(self, base_dir: Path) -> FvdOptions:
        """These options with a protocol in place of the file that holds it.

        Args:
            base_dir: Folder that the file's path is relative to.

        Raises:
            SuiteError: The file is missing, or wrong; it says where.
        """
        if not isinstance(self.protocol, str) or not is_protocol_file(self.protocol):
            return self
        path = base_dir / Path(self.protocol).expanduser()
        own = read_own(path)
        try:
            return FvdOptions.model_validate({**self.model_dump(), "protocol": own.model_dump()})
        except ValidationError as error:
            why = "; ".join(
                str(e.get("ctx", {}).get("error", e["msg"])) for e in error.errors(include_url=False)
            )
            raise SuiteError(f"{path}:1:1: {why}") from error

    @property
    def rules(self) -> VideoProtocol:
        """The protocol itself."""
        return rules_of(self.protocol)

    @property
    def extracted(self) -> str | dict[str, Any]:
        """The protocol as the extractor takes it: a name, or all that is said."""
        if isinstance(self.protocol, OwnProtocol):
            return self.protocol.model_dump(mode="json", exclude_none=True)
        return self.rules.name

    @property
    def forced(self) -> bool:
        """Whether the suite names the protocol, and with it the network, instead of leaving it to the domain."""
        return self.protocol != AUTO
