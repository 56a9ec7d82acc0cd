"""What a suite may say about a ``command`` backend, and how its argument template is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from vgaudit.backends.base import DomainOptions
from vgaudit.registry import nearest

PLACEHOLDERS = ("request", "output", "output_dir", "prompt", "seed", "sample_id", "python")
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>\w+)\}\}|\{(?P<name>\w+)\}")
_ONE_SAMPLE = {"output", "prompt", "seed", "sample_id"}


def _named(argument: str) -> list[str]:
    return [match["name"] for match in _PLACEHOLDER.finditer(argument) if match["name"]]


class CommandOptions(DomainOptions):
    """Options of backend ``command``."""

    argv: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1,
        description="Program and arguments; {request} {output} {output_dir} {prompt} {seed} {sample_id} {python} "
        "are filled in ({{x}} is {x}). No shell is involved; the working folder is the suite's.",
    )
    per: Literal["sample", "batch"] = Field("sample", description="One start for each sample, or for many.")
    batch_size: int = Field(64, ge=1, le=10_000, description="Samples of one start with `per: batch`.")
    timeout_s: float = Field(600.0, gt=0, le=86_400, description="Seconds after which a start is ended.")
    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], ...] = Field(
        (), description="Environment variables passed on (tokens); all others but a few are withheld."
    )
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate of frame folders and arrays.")
    seed: Literal["supported", "unsupported"] = Field(
        "supported", description="unsupported: the seed only numbers the takes, and the request says null."
    )
    model: str = Field("", description="What is asked; part of the fingerprint and the group's name.")
    version: str = Field("", description="Change it when the model behind the command changes.")
    suffix: Literal[".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif", ".npy", ".npz"] = Field(
        ".mp4", description="Ending of {output}."
    )
    max_attempts: int = Field(1, ge=1, le=10_000, description="Starts for one sample that says retry_after.")
    max_wait_s: float = Field(60.0, ge=0, le=3600, description="Longest wait between two starts.")
    max_bytes: int = Field(2 * 2**30, ge=1, description="Largest clip accepted.")

    @field_validator("argv")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for argument in value:
            for name in _named(argument):
                if name not in PLACEHOLDERS:
                    known = ", ".join(f"{{{p}}}" for p in PLACEHOLDERS)
                    raise ValueError(
                        f"unknown placeholder {{{name}}}{nearest(name, list(PLACEHOLDERS))} (known: {known})"
                    )
        if _named(value[0]) and value[0] != "{python}":
            raise ValueError("the program itself may not come from a placeholder, other than {python}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> CommandOptions:
        used = {name for argument in self.argv for name in _named(argument)}
        if self.per == "batch" and (wrong := used & _ONE_SAMPLE):
            raise ValueError(
                f"{{{min(wrong)}}} is of one sample; `per: batch` has {{request}} and {{output_dir}}"
            )
        if self.per == "batch" and "request" not in used:
            raise ValueError("`per: batch` needs {request} in argv")
        if not used & {"request", "output", "output_dir"}:
            raise ValueError(
                "argv has none of {request}, {output} and {output_dir}: the program could not answer"
            )
        if self.seed == "unsupported" and "seed" in used:
            raise ValueError("argv has {seed}, but `seed: unsupported` says there is none to give")
        return self


def fill_in(template: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """``template`` with its placeholders replaced; what is filled in is never searched for placeholders again."""

    def one(match: re.Match[str]) -> str:
        return f"{{{match['literal']}}}" if match["literal"] else values[match["name"]]

    return [_PLACEHOLDER.sub(one, argument) for argument in template]
