"""Backend ``animatic``: still pictures under a moving camera, the slideshow that a generator has to beat."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vgaudit.backends.animatic_moves import MOVES, Move, endpoints, film, largest_window, path
from vgaudit.backends.animatic_pictures import read_picture
from vgaudit.backends.animatic_stills import Still, StillPicture, stills_of_folder, stills_of_list
from vgaudit.backends.base import BackendContext, Generated, Options, OptionsClass, PromptSpec
from vgaudit.backends.clip_prompts import with_suite_prompts
from vgaudit.backends.clip_sources import failed
from vgaudit.errors import BackendError, MediaError, SuiteError
from vgaudit.plan import Sample
from vgaudit.records import digest

VERSION = 1
"""Raised whenever the same picture, seed and options give other frames."""

MIN_SIDE, MAX_SIDE = 16, 4096
MAX_BYTES = 2 * 1024**3
"""Of a clip's frames in memory."""

MAX_ENLARGEMENT = 4.0
"""A picture with fewer pixels than that would show only what was made up between them."""


class AnimaticOptions(Options):
    """Options of backend ``animatic``; size, length and frame rate come from the suite's `video`."""

    root: str | None = Field(
        None, min_length=1, description="Folder of pictures; or name them in `pictures`."
    )
    pattern: str = Field("*", min_length=1, description="Shell pattern on paths in root.")
    pictures: list[StillPicture] | None = Field(None, min_length=1, description="The pictures, one by one.")
    moves: list[Move] = Field(
        list(MOVES), min_length=1, description="What the camera may do; seeds take one after another."
    )
    amount: float = Field(
        0.25,
        ge=0.02,
        le=1,
        description="How far at most: 0.25 zooms to 1.25 times the size, or travels a quarter of the frame.",
    )


class AnimaticBackend:
    """Moves a camera over still pictures. Nothing in them moves by itself, and no generator had a part in it.

    Attributes:
        notes: What the clips are, and what of the folder was left out.

    Raises:
        SuiteError: The folder or a named picture is not there, ids repeat, or `video` asks for what cannot be made.
        UsageError: A file of a package is not there.
    """

    type: ClassVar[str] = "animatic"
    needs_prompts: ClassVar[bool] = False
    Options: ClassVar[OptionsClass] = AnimaticOptions

    def __init__(self, options: AnimaticOptions, context: BackendContext) -> None:
        self._options = options
        self._context = context
        video = context.video
        self._frames, self._fps = video.frames or 24, video.fps or 8.0
        self._size = (video.width or video.height or 256, video.height or video.width or 256)
        self._check_video()
        if len(set(options.moves)) < len(options.moves):
            raise SuiteError(f"backend animatic: moves: expected each once, found {', '.join(options.moves)}")
        if (options.root is None) == (options.pictures is None):
            found = "neither" if options.root is None else "both"
            raise SuiteError(f"backend animatic: expected `root` or `pictures`, found {found}")
        self.notes: tuple[str, ...] = (
            "Clips of backend animatic are still pictures under a moving camera: no video generator made them, and "
            "nothing in them moves by itself.",
        )
        self._stills = [replace(still, sha256=still.digest(context.limits)) for still in self._found()]
        self._planned: dict[str, Still] = {}
        self._look = {
            "type": self.type,
            "version": VERSION,
            "pillow": version("pillow"),
            "frames": self._frames,
            "fps": self._fps,
            "size": list(self._size),
            "moves": list(options.moves),
            "amount": options.amount,
        }
        pictures = [
            [s.entry.source, s.entry.prompt_id, s.entry.prompt, s.sha256, s.move, list(s.focus)]
            for s in self._stills
        ]
        self.fingerprint = digest({**self._look, "pictures": pictures})

    def _check_video(self) -> None:
        width, height = self._size
        if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
            raise SuiteError(
                f"backend animatic: expected a size of {MIN_SIDE} to {MAX_SIDE} pixels a side, found "
                f"{width}x{height}; change `video`"
            )
        most = MAX_BYTES // (3 * width * height)
        if not 2 <= self._frames <= most:
            raise SuiteError(
                f"backend animatic: expected 2 to {most} frames of {width}x{height}, found {self._frames}; change "
                "`video`"
            )

    def _found(self) -> list[Still]:
        options, base_dir = self._options, self._context.base_dir
        group = self._context.name or self.type
        if options.pictures is not None:
            if "pattern" in options.model_fields_set:
                raise SuiteError(
                    "backend animatic: pattern is for a folder (`root`); remove it beside `pictures`"
                )
            return stills_of_list(options.pictures, base_dir, group)
        stills, notes = stills_of_folder(base_dir / (options.root or ""), options.pattern, group)
        self.notes += notes
        return stills

    def samples(self, prompts: Sequence[PromptSpec], seeds: Sequence[int]) -> list[Sample]:
        """One sample for each picture and seed; where the suite has prompts, a picture's id names its prompt.

        Raises:
            SuiteError: There are no seeds, or the suite has prompts and a picture belongs to none of them.
        """
        if not seeds:
            raise SuiteError("backend animatic: expected at least one seed in `seeds`, found none")
        entries = [s.entry for s in self._stills]
        if prompts:
            entries = with_suite_prompts(entries, prompts)
        samples = []
        for still, entry in zip(self._stills, entries, strict=True):
            for seed in seeds:
                samples.append(self._sample(replace(still, entry=entry), seed))
                self._planned[samples[-1].sample_id] = still
        return samples

    def _sample(self, still: Still, seed: int) -> Sample:
        entry = still.entry
        identity: dict[str, Any] = {
            "group": entry.group,
            "backend": self._look,
            "source": entry.source,
            "sha256": still.sha256,
            "move": still.move,
            "focus": list(still.focus),
            "prompt": entry.prompt,
            "video": asdict(self._context.video),
            **self._context.identity,
        }
        return entry.sample(identity, seed, self._context.index)

    def source_path(self, sample: Sample) -> Path | None:
        """Where the picture of ``sample`` lies; ``None`` when it may not be read."""
        still = self._planned.get(sample.sample_id)
        return None if still is None or still.closed else still.path

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        pending: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
    ) -> Iterator[Generated]:
        """Film the pictures of ``samples``; one that cannot be used is an error of its samples."""
        for sample in samples:
            start = time.perf_counter()
            answer = Generated(sample, facts={"source_path": sample.source})
            if (still := self._planned.get(sample.sample_id)) is None:
                raise BackendError(
                    f"sample {sample.sample_id} is not of this backend's plan; list the samples first"
                )
            try:
                made = self._film(answer, still)
            except MediaError as error:
                yield failed(answer, str(error))
            else:
                yield replace(made, seconds=time.perf_counter() - start)

    def _film(self, answer: Generated, still: Still) -> Generated:
        if still.closed:
            raise MediaError(still.entry.source, still.closed)
        picture = read_picture(still.path, self._context.limits)
        if still.digest(self._context.limits) != still.sha256:
            raise MediaError(still.path, "changed since the run was planned; start the run again")
        window = largest_window(picture.size, self._size)
        if window[0] * MAX_ENLARGEMENT < self._size[0]:
            least = [math.ceil(side / MAX_ENLARGEMENT) for side in self._size]
            raise MediaError(
                still.path,
                f"{picture.width}x{picture.height} pixels are too few for frames of {self._size[0]}x"
                f"{self._size[1]}; expected at least {least[0]}x{least[1]}. Ask for smaller frames in `video`",
            )
        move, amount, angle = self._choice(still, answer.sample)
        first, last = endpoints(picture.size, self._size, move, amount, focus=still.focus, angle=angle)
        frames = film(picture, path(picture.size, first, last, self._frames), self._size)
        facts = {
            **answer.facts,
            "sha256": still.sha256,
            "picture": list(picture.size),
            "move": move,
            "amount": round(amount, 4),
            "windows": [[round(side, 2) for side in asdict(w).values()] for w in (first, last)],
        }
        return replace(answer, frames=frames, fps=self._fps, facts=facts)

    def _choice(self, still: Still, sample: Sample) -> tuple[Move, float, float]:
        """What the camera does, how far, and in which direction a drift goes.

        Successive seeds take one of the moves after another, beginning at a place that depends on the picture's id:
        every seed differs, and a slideshow of many pictures does not begin with the same move each time.
        """
        seed = sample.seed or 0
        move = still.move or self._options.moves[
            (_draw(sample.prompt_id, "move") + seed) % len(self._options.moves)
        ]  # fmt: skip
        share, turn = (_draw(sample.prompt_id, str(seed), what) % 4096 / 4096 for what in ("amount", "angle"))
        return move, self._options.amount * (0.75 + 0.25 * share), math.tau * turn


def _draw(*key: str) -> int:
    return int.from_bytes(hashlib.sha256("|".join(key).encode()).digest()[:8])
