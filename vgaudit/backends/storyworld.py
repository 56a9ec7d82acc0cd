"""Backend ``storyworld``: draws what the prompt asks for, faultless or with planted faults."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vgaudit.backends.base import (
    BackendContext,
    Generated,
    GenerationOutcome,
    Options,
    OptionsClass,
    PromptSpec,
)
from vgaudit.backends.prompted import expand
from vgaudit.errors import SuiteError
from vgaudit.plan import Sample
from vgaudit.records import digest
from vgaudit.storyworld.fault_props import fault_props
from vgaudit.storyworld.fault_strengths import FaultKind, Strength, level
from vgaudit.storyworld.faults import MIN_FRAMES, plant
from vgaudit.storyworld.render import MAX_FRAMES, MAX_SIDE, VERSION, render
from vgaudit.storyworld.scene import Scene, parse
from vgaudit.storyworld.time_faults import span_without
from vgaudit.storyworld.vocabulary import Look


class PlantedFault(Options):
    """A fault to plant."""

    kind: FaultKind = Field(description="What goes wrong.")
    strength: Strength = Field("moderate", description="How badly; the levels are fixed.")
    share: float = Field(
        1.0, gt=0, le=1, description="Share of clips that have it, drawn by prompt and seed."
    )


class StoryworldOptions(Options):
    """Options of backend ``storyworld``.

    Size, length and frame rate of the suite's `video` come first. A suite that is also asked of generators, each
    with a size of its own, names none there and gives the drawing's here.
    """

    look: Look = Field("ad", description="Look of prompts that name none.")
    frames: int | None = Field(
        None, ge=1, le=MAX_FRAMES, description="Frames where the suite's `video` names none; else 17."
    )
    fps: float | None = Field(
        None, gt=0, le=240, description="Frame rate where the suite's `video` names none; else 8."
    )
    width: int | None = Field(
        None,
        ge=8,
        le=MAX_SIDE,
        description="Width where the suite's `video` names none; else as the height, or 64.",
    )
    height: int | None = Field(
        None,
        ge=8,
        le=MAX_SIDE,
        description="Height where the suite's `video` names none; else as the width, or 64.",
    )
    faults: list[PlantedFault] = Field(
        default_factory=list,
        max_length=16,
        description="Planted one after another; frames are dropped last, wherever `dropped_frames` stands.",
    )


_DRAWINGS = (
    "Clips of backend storyworld are drawings made from their prompts, not a generator's work: their scores show "
    "how the audit works, and say nothing about any model."
)
_NAMED = 3
"""Prompts outside the grammar that a note names."""


class StoryworldBackend:
    """Renders the scene of each prompt. What it makes is a drawing: it says nothing about any generator.

    Attributes:
        notes: What the clips are and, once the samples are listed, which prompts cannot be drawn.

    Raises:
        SuiteError: The size or number of frames asked for cannot be drawn, or is too small for the faults.
    """

    type: ClassVar[str] = "storyworld"
    domain: ClassVar[str] = "storyworld"
    Options: ClassVar[OptionsClass] = StoryworldOptions

    def __init__(self, options: StoryworldOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        self.notes: tuple[str, ...] = (_DRAWINGS,)
        # The one fault that changes the number of frames comes last: the others are made with what the scene
        # shows frame by frame. Their order decides the clip, so that it is also the one in the fingerprint.
        self._faults = sorted(options.faults, key=lambda fault: fault.kind == "dropped_frames")
        video = context.video
        self._frames = video.frames or options.frames or 17
        self._fps = video.fps or options.fps or 8.0
        width, height = video.width or options.width, video.height or options.height
        self._width, self._height = width or height or 64, height or width or 64
        if not (8 <= self._width <= MAX_SIDE and 8 <= self._height <= MAX_SIDE):
            raise SuiteError(
                f"backend storyworld: expected a size of 8 to {MAX_SIDE} pixels a side, found "
                f"{self._width}x{self._height}; change `video`, or the backend's width and height"
            )
        # Dropped frames make a clip shorter before frames are dropped once more.
        least = 1
        for fault in reversed(self._faults):
            lost = level(fault.kind, fault.strength) if fault.kind == "dropped_frames" else 0.0
            least = max(MIN_FRAMES, -int(-least // (1 - lost)) + 1 if lost else least)
        if not least <= self._frames <= MAX_FRAMES:
            raise SuiteError(
                f"backend storyworld: expected {least} to {MAX_FRAMES} frames, found {self._frames}; "
                "change `video.frames`, or the backend's frames"
            )
        self.fingerprint = digest(
            {
                "type": self.type,
                "version": VERSION,
                "opencv": version("opencv-python-headless"),
                "frames": self._frames,
                "fps": self._fps,
                "size": [self._width, self._height],
                "look": options.look,
                "faults": [fault.model_dump(mode="json") for fault in self._faults],
            }
        )

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample for each prompt and seed; ``notes`` then names prompts outside the grammar.

        Raises:
            SuiteError: There are no prompts or no seeds.
        """
        self.notes = (_DRAWINGS, *self._not_drawn(prompts))
        group = self._context.name or "storyworld"
        return expand(
            prompts, seeds, self._context, backend=self.type, group=group, fingerprint=self.fingerprint
        )

    def _not_drawn(self, prompts: Sequence[PromptSpec]) -> tuple[str, ...]:
        """A note on prompts outside the grammar, if there are any."""
        reasons = []
        for prompt in prompts:
            try:
                parse(prompt.text, look=self._options.look)
            except ValueError as error:
                reasons.append(f"{prompt.prompt_id} ({error})")
        if not reasons:
            return ()
        more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        return (
            f"{len(reasons)} of {len(prompts)} prompts are outside storyworld's grammar and get no clip: "
            f"{'; '.join(reasons[:_NAMED])}{more}. Reword them (docs/storyworld.md has the grammar), or ask a "
            "generator instead.",
        )

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Draw the clips of ``samples``; a prompt outside the grammar is an error of its samples."""
        for sample in samples:
            start = time.perf_counter()
            try:
                scene = parse(sample.prompt, look=self._options.look)
            except ValueError as error:
                yield Generated(
                    sample, GenerationOutcome.ERROR, message=f"not in storyworld's grammar: {error}"
                )
                continue
            yield self._draw(sample, scene, start)

    def _draw(self, sample: Sample, scene: Scene, start: float) -> Generated:
        seed = sample.seed or 0
        clip = render(scene, seed, frames=self._frames, height=self._height, width=self._width, fps=self._fps)
        frames, boxes, visible = clip.frames, list(clip.truth.boxes), list(clip.truth.visible)
        planted: list[dict[str, Any]] = []
        for number, fault in enumerate(self._faults):
            key = f"{sample.prompt_id}|{seed}|{number}|{fault.kind}"
            draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
            if draw % 1_000_000 >= fault.share * 1_000_000:
                continue
            at = (draw >> 20) & 0x7FFF_FFFF
            props = fault_props(clip, fault.kind, seed, at, fps=self._fps)
            faulty = plant(frames, fault.kind, fault.strength, at, fps=self._fps, **props)
            if fault.kind == "dropped_frames":
                first, gone = faulty.truth.span[0], len(frames) - len(faulty.frames)
                del boxes[first : first + gone], visible[first : first + gone]
                planted = [_without(record, first, gone, self._fps) for record in planted]
            frames = faulty.frames
            planted.append(asdict(faulty.truth))
        facts = {
            "domain": self.domain,
            "scene": asdict(clip.truth.scene),
            "speed": clip.truth.speed,
            "boxes": [list(b) if b else None for b in boxes],
            "visible": visible,
            "faults": planted,
        }
        seconds = time.perf_counter() - start
        return Generated(sample, frames=frames, fps=self._fps, seconds=seconds, facts=facts)


def _without(record: dict[str, Any], first: int, gone: int, fps: float) -> dict[str, Any]:
    """A fault's record in frames of the clip that lacks ``gone`` frames from ``first`` on."""
    span = span_without(record["span"], first, gone)
    if span is None and record["kind"] == "dropped_frames":
        span = first, first + 1  # both gaps are one now, and this is the frame after it
    return record | {"span": span, "seconds": (span[0] / fps, span[1] / fps) if span else None}
