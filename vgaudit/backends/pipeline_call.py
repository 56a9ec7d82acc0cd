"""Calls a diffusers pipeline by its own signature: what it takes, what it is asked, what it answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.backends.base import VideoRequest
from vgaudit.backends.video_output import BadOutputError, split_clips, to_uint8
from vgaudit.errors import BackendError, SuiteError
from vgaudit.registry import nearest

if TYPE_CHECKING:
    import torch

RESERVED = frozenset(
    """prompt generator return_dict latents prompt_embeds negative_prompt_embeds callback callback_on_step_end
    callback_steps callback_on_step_end_tensor_inputs num_videos_per_prompt num_images_per_prompt image images
    video""".split()  # noqa: SIM905
)
"""Arguments that are vgaudit's to set, or that make something else than one clip of one prompt."""

_NAMES = {
    "frames": ("num_frames", "video_length", "frames"),
    "width": ("width",),
    "height": ("height",),
    "fps": ("frame_rate", "fps"),
}
_OUTPUTS = ("frames", "videos", "video", "images", "sample")


@dataclass(frozen=True)
class Signature:
    """What a pipeline's ``__call__`` takes.

    Attributes:
        pipeline: Class name.
        names: Its argument names.
        takes_lists: Whether both prompts and generators may come as lists, so that it can be batched.
    """

    pipeline: str
    names: tuple[str, ...]
    takes_lists: bool


def signature_of(pipeline: type) -> Signature:
    """The signature of a pipeline class."""
    call: Callable[..., Any] = pipeline.__call__
    parameters = inspect.signature(call).parameters
    lists = all(
        name in parameters and "list" in str(parameters[name].annotation).lower()
        for name in ("prompt", "generator")
    )
    return Signature(pipeline.__name__, tuple(n for n in parameters if n != "self"), lists)


def with_defaults(
    defaults: Mapping[str, Any], given: Mapping[str, Any], video: VideoRequest
) -> dict[str, Any]:
    """The suite's parameters, and a model's own defaults for what neither they nor the video request say."""
    asked = {name for wanted, names in _NAMES.items() if getattr(video, wanted) is not None for name in names}
    return {**{name: value for name, value in defaults.items() if name not in asked}, **given}


def arguments(signature: Signature, given: Mapping[str, Any], video: VideoRequest) -> dict[str, Any]:
    """Keyword arguments of every call: the suite's parameters, and its video request where the pipeline takes it.

    Raises:
        SuiteError: A parameter is not one of the pipeline's, or contradicts the video request.
    """
    problems = []
    for name in given:
        if name not in signature.names:
            known = [n for n in signature.names if n not in RESERVED]
            problems.append(
                f"backend diffusers: parameters: {signature.pipeline} takes no {name!r}{nearest(name, known)} "
                f"(it takes {', '.join(known)})"
            )
    out = dict(given)
    for wanted, names in _NAMES.items():
        value = getattr(video, wanted)
        name = next((n for n in names if n in signature.names), "")
        if value is None or not name:
            continue
        if name in given and given[name] != value and wanted != "fps":
            problems.append(
                f"backend diffusers: parameters: {name} is {given[name]!r}, but `video.{wanted}` is "
                f"{value!r}; keep one"
            )
        out.setdefault(name, _as_whole(value))
    if problems:
        raise SuiteError(problems)
    if "output_type" in signature.names:
        out.setdefault("output_type", "np")  # the only type in which NaN can still be seen
    if "return_dict" in signature.names:
        out["return_dict"] = True
    return out


def _as_whole(value: float) -> float:
    return int(value) if value == int(value) else value  # pipelines write rates as integers


@dataclass(frozen=True)
class Answer:
    """One clip of a call, or why there is none.

    Attributes:
        frames: uint8 ``(T, H, W, 3)``, or ``None``.
        refused: The pipeline's safety checker held it back.
        message: Why there are no frames.
    """

    frames: NDArray[np.uint8] | None = None
    refused: bool = False
    message: str = ""


def call(
    pipeline: Any,
    signature: Signature,
    fixed: Mapping[str, Any],
    prompts: Sequence[str],
    generators: Sequence[torch.Generator],
) -> list[Answer]:
    """One call for ``prompts``, which are one unless the pipeline takes lists.

    Raises:
        BackendError: The answer has no frames in any known place, or not one clip for each prompt.
    """
    varying: dict[str, Any] = {"prompt": prompts[0]}
    if "generator" in signature.names:
        varying["generator"] = generators[0]
    keywords = dict(fixed)
    if len(prompts) > 1:
        varying = {"prompt": list(prompts), "generator": list(generators)}
        for name, value in fixed.items():
            if name.startswith("negative_prompt") and isinstance(value, str):
                keywords[name] = [value] * len(prompts)  # most pipelines want the type of `prompt`
    return answers(pipeline(**keywords, **varying), len(prompts))


def answers(output: Any, count: int) -> list[Answer]:
    """The clips of a pipeline's output object.

    Raises:
        BackendError: It has no frames in any known place, or not ``count`` clips.
    """
    content = next((c for name in _OUTPUTS if (c := getattr(output, name, None)) is not None), None)
    flags = _flags(getattr(output, "nsfw_content_detected", None), count)
    if content is None and all(flags):
        return [Answer(refused=True, message=_FLAGGED)] * count
    if content is None:
        raise BackendError(
            f"the pipeline returned {type(output).__name__} without any of {', '.join(_OUTPUTS)}"
        )
    try:
        clips = split_clips(content)
    except BadOutputError as error:
        return [Answer(message=str(error))] * count
    if len(clips) != count:
        raise BackendError(f"the pipeline returned {len(clips)} clips for {count} prompts")
    return [
        Answer(refused=True, message=_FLAGGED) if f else _one(c) for f, c in zip(flags, clips, strict=True)
    ]


_FLAGGED = "the pipeline's safety checker flagged the output"


def _one(clip: NDArray[Any]) -> Answer:
    try:
        return Answer(to_uint8(clip))
    except BadOutputError as error:
        return Answer(message=str(error))


def _flags(value: Any, count: int) -> list[bool]:
    """One flag for each clip, of flags for each clip, for each frame, or for all."""
    if value is None:
        return [False] * count
    flat = [bool(v) for v in np.asarray(value, dtype=bool).reshape(-1)]
    if flat and len(flat) % count == 0:
        per = len(flat) // count
        return [any(flat[i * per : (i + 1) * per]) for i in range(count)]
    return [any(flat)] * count  # flags that cannot be told apart hold for all
