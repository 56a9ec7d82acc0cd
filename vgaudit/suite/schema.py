"""What may stand in a suite: the models, and the short forms they accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from vgaudit.suite.located_yaml import shown

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ID_PATTERN = r"^[^\s/\\][^/\\\r\n\t]{0,119}$"
MAX_SEED = 2**63 - 1


def _name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            f"expected a name of at most 64 letters, digits, . _ - (it names folders), found {value[:80]!r}"
        )
    return value


def _id(value: str) -> str:
    if not re.fullmatch(ID_PATTERN, value):
        raise ValueError(
            f"expected an id of 1 to 120 characters on one line, no slashes, found {value[:80]!r}"
        )
    return value


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN})]
PromptId = Annotated[str, AfterValidator(_id), Field(json_schema_extra={"pattern": ID_PATTERN})]
PromptText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5000)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
AboutWord = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, min_length=1, max_length=40, pattern=r"^[^\r\n\t]+$"
    ),
]


class Block(BaseModel):
    """Base of all parts of a suite: unknown names are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class VideoSpec(Block):
    """What is asked of every clip; what is left out is the backend's choice."""

    frames: int | None = Field(None, gt=0, le=100_000, description="Frames in each clip.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frames per second.")
    seconds: float | None = Field(None, gt=0, le=3600, description="Length; with fps it gives the frames.")
    width: int | None = Field(None, gt=0, le=16_384, description="Width in pixels.")
    height: int | None = Field(None, gt=0, le=16_384, description="Height in pixels.")
    encoder: dict[str, Any] = Field(default_factory=dict, description="How clips are stored.")

    @model_validator(mode="after")
    def _length_is_consistent(self) -> Self:
        if self.seconds is None:
            return self
        if self.fps is None:
            raise ValueError("expected `fps` beside `seconds`, found none; give both, or `frames` alone")
        if self.frames is not None and self.frames != max(1, round(self.seconds * self.fps)):
            raise ValueError(
                f"expected frames = seconds x fps = {max(1, round(self.seconds * self.fps))}, "
                f"found {self.frames}; leave one of the three out"
            )
        return self

    @property
    def frame_count(self) -> int | None:
        """Frames asked for, from ``frames`` or from ``seconds`` x ``fps``."""
        if self.frames is None and self.seconds is not None and self.fps is not None:
            return max(1, round(self.seconds * self.fps))
        return self.frames


class Limits(Block):
    """How large a clip may be before it is refused; the defaults are those of the video reader."""

    max_frames: int | None = Field(None, gt=0, description="Frames in one clip.")
    max_pixels: int | None = Field(None, gt=0, description="Width x height of one frame.")
    max_bytes: int | None = Field(None, gt=0, description="Size of the file on disk.")
    max_seconds: float | None = Field(None, gt=0, description="Length by the clip's time stamps.")


class Review(Block):
    """What the suite asks of the people who decide on findings (docs/decisions.md)."""

    second_person: Literal["none", "alert", "all"] = Field(
        "alert",
        description="alert: dismissing an alert needs two people; all: closing anything does; none: one is enough.",
    )
    expires_days: int | None = Field(
        None, gt=0, le=36_500, description="A dismissal without an expiry of its own holds for so many days."
    )


class Expectation(Block):
    """A contrast the clip must show: ``{is: a red ball, not: [a blue ball], about: colour}``."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    is_: PromptText = Field(alias="is", description="What the clip should show.")
    not_: tuple[PromptText, ...] = Field(alias="not", min_length=1, description="What it should not be.")
    about: AboutWord | None = Field(
        None,
        description="What is contrasted (subject, colour, action, setting ...); results break down by it.",
    )

    @model_validator(mode="after")
    def _texts_differ(self) -> Self:
        seen: set[str] = set()
        for text in (self.is_, *self.not_):
            if (key := text.casefold()) in seen:
                raise ValueError(
                    f"expected texts that differ, found {text!r} twice; a contrast needs two things"
                )
            seen.add(key)
        return self


Motion = Literal["static", "low", "high"]
"""How much motion a prompt may ask for."""


class Prompt(Block):
    """One prompt with what is known of it."""

    id: PromptId | None = Field(None, description="Stable id; made from the text when left out.")
    text: PromptText = Field(description="What the model is asked for.")
    tags: dict[str, str] = Field(default_factory=dict, description="Anything to group or filter by.")
    expect: tuple[Expectation, ...] = Field((), description="Contrastive expectations.")
    motion: Motion | None = Field(None, description="How much motion is asked for.")


class Suite(Block):
    """A suite in its full form (short forms are written out by :func:`normalised`)."""

    name: Name = Field(description="Name of the suite; also that of its run directory.")
    description: str = Field("", description="What the suite is for.")
    backend: tuple[dict[str, Any], ...] = Field(min_length=1, description="Where clips come from.")
    video: VideoSpec = Field(VideoSpec(), description="What is asked of every clip.")
    seeds: tuple[Seed, ...] = Field(
        (0,), min_length=1, max_length=100_000, description="Seeds of each prompt."
    )
    prompts: Any = Field(None, description="Prompts, or a CSV/JSONL/TXT file; each is held to `Prompt`.")
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict, description="What is computed.")
    gates: Any = Field((), description="Conditions on results; they decide the exit code.")
    on_insufficient: Literal["fail", "neutral"] = Field(
        "fail",
        description="neutral: gates without an answer for lack of evidence do not count, unless they say otherwise.",
    )
    limits: Limits = Field(Limits(), description="How large a clip may be.")
    max_failed: int | float = Field(0, description="Samples that may fail: a number, or a fraction (0.05).")
    review: Review = Field(Review(), description="What is asked of the people who decide on findings.")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="Coverage of all intervals.")
    notes: str = Field("", description="Anything a reader of the report should know.")

    @field_validator("backend", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(
                f"expected a mapping such as {{type: files, root: clips}}, or a list of them, found {shown(value)}"
            )
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _list_or_count(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a list of seeds, or how many (1 to 100,000), found {shown(value)}")
        return value

    @field_validator("max_failed")
    @classmethod
    def _number_or_fraction(cls, value: int | float) -> int | float:
        if value < 0 or (isinstance(value, float) and value > 1):
            raise ValueError(f"expected a whole number >= 0 or a fraction from 0 to 1, found {value}")
        return value


def normalised(value: Mapping[str, Any]) -> dict[str, Any]:
    """The suite's mapping with its short forms written out; whatever else it holds is left as it is."""
    out = {k: v for k, v in value.items() if v is not None or k in ("name", "backend", "prompts")}
    if isinstance(out.get("backend"), dict):
        out["backend"] = [out["backend"]]
    if (
        isinstance(out.get("seeds"), int)
        and not isinstance(out["seeds"], bool)
        and 0 < out["seeds"] <= 100_000
    ):
        out["seeds"] = list(range(out["seeds"]))
    if isinstance(out.get("prompts"), list):
        out["prompts"] = [_prompt(p) for p in out["prompts"]]
    if isinstance(out.get("metrics"), list) and all(isinstance(m, str) for m in out["metrics"]):
        out["metrics"] = {name: {} for name in out["metrics"]}
    elif isinstance(out.get("metrics"), dict):
        out["metrics"] = {k: {} if v is None else v for k, v in out["metrics"].items()}
    if isinstance(out.get("gates"), dict):
        out["gates"] = [{k: v} for k, v in out["gates"].items()]
    if isinstance(out.get("video"), dict) and out["video"].get("encoder", {}) is None:
        out["video"] = {**out["video"], "encoder": {}}
    return out


def _prompt(value: Any) -> Any:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        return value
    out = dict(value)
    if "prompt" in out and "text" not in out:
        out["text"] = out.pop("prompt")
    tags = out.get("tags")
    if isinstance(tags, list) and all(isinstance(t, str) for t in tags):
        out["tags"] = dict.fromkeys(tags, "yes")
    elif isinstance(tags, dict):
        out["tags"] = {k: _tag(v) for k, v in tags.items()}
    if isinstance(out.get("expect"), dict):
        out["expect"] = [out["expect"]]
    if isinstance(out.get("expect"), list):
        out["expect"] = [written_out_expectation(e) for e in out["expect"]]
    return {k: v for k, v in out.items() if v is not None}


def written_out_expectation(value: Any) -> Any:
    """``{is: a, not: b}`` as ``{is: a, not: [b]}``."""
    if isinstance(value, dict) and isinstance(value.get("not"), str):
        return {**value, "not": [value["not"]]}
    return value


def _tag(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | float) else value
