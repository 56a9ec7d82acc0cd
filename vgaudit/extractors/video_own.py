"""A suite's own protocol of a Frechet video distance: a built-in one with other windows, frames or preprocessing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from vgaudit.errors import SuiteError
from vgaudit.extractors.video_preprocessing import Preprocessing
from vgaudit.extractors.video_protocols import (
    FILES,
    PROTOCOLS,
    RESERVED,
    VideoProtocol,
    protocol_of,
)
from vgaudit.suite.located_yaml import parse, read_text
from vgaudit.suite.problems import validated

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*")

Side = Annotated[int, Field(ge=8, le=4096)]
Sides = Annotated[tuple[Side, Side], Field(description="Rows and columns.")]
Three = tuple[float, float, float]


class OwnPreprocessing(BaseModel):
    """What is done to frames; what is left out is as in the protocol that it is made from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: Side | None = Field(None, description="Short side after the resize, both sides after the crop.")
    resize_to: Sides | None = Field(
        None, description="Rows and columns after the resize, whatever the ratio."
    )
    crop_to: Sides | None = Field(None, description="Rows and columns after the crop.")
    long_side: Literal["up", "down"] | None = Field(None, description="How the long side is rounded.")
    margin: Literal["down", "even"] | None = Field(None, description="How half an odd margin is rounded.")
    antialias: bool | None = Field(None, description="Smooth pictures that shrink.")
    whole: bool | None = Field(None, description="Round to whole values after the resize.")
    low: float | None = Field(None, description="What 0 becomes, before mean and std.")
    high: float | None = Field(None, description="What 255 becomes, before mean and std.")
    mean: Three | None = Field(None, description="Taken off red, green and blue.")
    std: Three | None = Field(None, description="What they are then divided by.")

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Three | None) -> Three | None:
        if std is not None and min(std) <= 0:
            raise ValueError("expected three numbers > 0")
        return std

    def over(self, base: Preprocessing) -> Preprocessing:
        """These in place of ``base``'s; with ``size``, what ``resize_to`` and ``crop_to`` say of that falls away.

        Raises:
            ValueError: They do not go together.
        """
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        if self.size is not None:
            given = {"resize_to": None, "crop_to": None, **given}
        made = replace(base, **given)
        if made.low >= made.high:
            raise ValueError(f"expected low < high, found {made.low:g} and {made.high:g}")
        return made


class OwnProtocol(BaseModel):
    """A protocol of a suite's own; what is left out is as in ``base``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(description="OWNER@NAME, as reports shall say it; fvd@ is for built-in ones.")
    base: str = Field(description="The built-in protocol whose network sees the clips.")
    window: int | None = Field(None, ge=1, le=1024, description="Frames that the network sees at once.")
    stride: int | None = Field(None, ge=1, le=1024, description="Take every n-th frame of the clip.")
    fps: float | Literal["own"] | None = Field(
        None, description="Frames a second that clips are brought to first (nearest time stamps); own: none."
    )
    clips_per_video: int | None = Field(
        None, ge=1, le=64, description="Windows of a clip, one after the other; features are their mean."
    )
    random_reference: bool | None = Field(
        None, description="See clips of a reference group at a random offset."
    )
    preprocessing: OwnPreprocessing | None = Field(None, description="What is done to frames.")
    ddof: Literal[0, 1] | None = Field(None, description="Covariances are divided by N - ddof.")

    @field_validator("name")
    @classmethod
    def _own_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or len(name) > 64:
            raise ValueError(f"expected OWNER@NAME of letters, digits, . _ -, 64 at most, found {name!r}")
        if name.lower().startswith((RESERVED, "jedi")):
            raise ValueError(
                f"expected a name of your own such as mine@{name.partition('@')[2]}, found {name!r}: such names are "
                "for built-in protocols"
            )
        return name

    @field_validator("base")
    @classmethod
    def _known_base(cls, base: str) -> str:
        if base not in PROTOCOLS:
            raise ValueError(f"expected a built-in protocol ({', '.join(PROTOCOLS)}), found {base!r}")
        if PROTOCOLS[base].bundled:
            raise ValueError(
                f"expected another protocol, found {base!r}: its network may judge only what its guard has looked at"
            )
        return base

    @field_validator("fps")
    @classmethod
    def _a_rate(cls, fps: float | Literal["own"] | None) -> float | Literal["own"] | None:
        if isinstance(fps, float) and not 0.1 <= fps <= 240:
            raise ValueError(f"expected 0.1 to 240 frames a second, or own, found {fps:g}")
        return fps

    @model_validator(mode="after")
    def _goes_together(self) -> OwnProtocol:
        _ = self.rules
        return self

    @property
    def rules(self) -> VideoProtocol:
        """The protocol itself.

        Raises:
            ValueError: The network of ``base`` does not take such clips.
        """
        base = PROTOCOLS[self.base]
        fps = base.fps if self.fps is None else None if self.fps == "own" else float(self.fps)
        stride = base.stride if self.stride is None else self.stride
        if stride > 1 and fps:
            why = " (the base's: say `fps: own`)" if self.fps is None else ""
            raise ValueError(
                f"expected `stride` or `fps`, found stride {stride} and {fps:g} frames a second{why}"
            )
        window = self.window or base.window
        if window < base.fewest or (base.most and window > base.most):
            most = "" if base.most == base.fewest else " or more" if base.most is None else f" to {base.most}"
            raise ValueError(
                f"expected a window of {base.fewest}{most} frames for {self.base}, found {window}"
            )
        many = self.clips_per_video or base.clips_per_video
        random = self.random_reference
        if many > 1 and random:
            raise ValueError("expected `random_reference: false` with several windows a clip, found true")
        how = base.preprocessing
        if self.preprocessing is not None:
            if how is None:
                raise ValueError(
                    f"expected no `preprocessing`, found some: the network of {self.base} does it itself"
                )
            how = self.preprocessing.over(how)
            if base.picture and how.picture != base.picture:
                raise ValueError(
                    f"expected pictures of {base.picture[0]} x {base.picture[1]} for {self.base}, found "
                    f"{how.picture[0]} x {how.picture[1]}"
                )
        return replace(
            base,
            name=self.name,
            base=self.base,
            window=window,
            stride=stride,
            fps=fps,
            clips_per_video=many,
            random_reference=many == 1 and (base.random_reference if random is None else random),
            preprocessing=how,
            ddof=base.ddof if self.ddof is None else self.ddof,
            clips=None,
            unsigned_reference=False,
        )


def _kind(value: Any) -> str:
    return "name" if isinstance(value, str) else "own"


Protocol = Annotated[
    Annotated[str, Tag("name")] | Annotated[OwnProtocol, Tag("own")],
    Discriminator(_kind),
]
"""A name, a file, or a protocol written out."""


def rules_of(protocol: str | OwnProtocol) -> VideoProtocol:
    """The protocol of a name, or one written out."""
    return protocol_of(protocol) if isinstance(protocol, str) else protocol.rules


def is_protocol_file(protocol: object) -> bool:
    """Whether ``protocol`` is meant as a file."""
    return isinstance(protocol, str) and protocol.lower().endswith(FILES)


def named(value: Any, besides: tuple[str, ...] = (), files: bool = False) -> Any:
    """``value`` where it may be a protocol: a known name, a mapping, or with ``files`` a path.

    Raises:
        ValueError: It is not.
    """
    if isinstance(value, dict | OwnProtocol) or (files and is_protocol_file(value)):
        return value
    if not isinstance(value, str) or value not in (*besides, *PROTOCOLS):
        own = ", or one of your own: a mapping" + (f" or a file ({', '.join(FILES)})" if files else "")
        raise ValueError(f"protocol {value!r} is not implemented; implemented: {', '.join(PROTOCOLS)}{own}")
    return value


def read_own(path: Path) -> OwnProtocol:
    """A protocol from a YAML file.

    Raises:
        SuiteError: It is missing, no YAML or no protocol; one ``file:line:col: message`` for each thing wrong.
    """
    if not path.is_file():
        raise SuiteError(
            f"{path}: expected a file with a protocol, found none; write name, base and what differs"
        )
    document = parse(read_text(path), str(path))
    problems: list[str] = []
    value = document.value
    if not isinstance(value, dict):
        raise SuiteError(document.problem((), "expected a mapping with name, base and what differs"))
    made = validated(OwnProtocol, value, document, (), problems)
    if made is None:
        raise SuiteError(problems)
    return made
