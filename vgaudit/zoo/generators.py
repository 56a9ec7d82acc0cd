"""Generators that ship with the package, by name; their files are held against digests before anything reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vgaudit.errors import Unavailable
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN
from vgaudit.zoo.resolve import BUNDLED, file_sha256

BUNDLED_T2V: Final = "storyworld-t2v"
"""A text-to-video diffusion pipeline: a folder of the diffusers library."""
BUNDLED_GAN: Final = "storyworld-gan"
"""Weights of :mod:`vgaudit.zoo.storyworld_gan`."""
GAN_FILE: Final = "generator.safetensors"


@dataclass(frozen=True)
class Trained:
    """What a backend knows of a generator before it is loaded.

    Attributes:
        fps: Frame rate it was made for; ``None`` where its class or the suite has to say.
        defaults: Arguments it is called with where the suite says nothing.
        domain: What its clips show, if a bundled network knows it; empty otherwise.
        notes: What a reader of the report must know of it.
    """

    fps: float | None = None
    defaults: Mapping[str, int | float] = field(default_factory=dict)
    domain: str = ""
    notes: tuple[str, ...] = ()


UNKNOWN: Final = Trained()
"""Of every generator that does not ship along."""


def _note(name: str) -> str:
    return (
        f"Clips of {name} are made by a small model that ships with vgaudit and knows the storyworld only: their "
        "scores show how the audit works, and say nothing about any other model."
    )


T2V: Final = Trained(
    8.0,
    {
        "num_frames": 17,  # the class would else ask it for 161 frames of 704x512
        "width": 64,
        "height": 64,
        "num_inference_steps": 12,
        "guidance_scale": 3.0,
        "max_sequence_length": 32,
    },
    BUNDLED_DOMAIN,
    (_note(BUNDLED_T2V),),
)
GAN: Final = Trained(8.0, {}, BUNDLED_DOMAIN, (_note(BUNDLED_GAN),))

# Digests of what lies in zoo/bundled; tests/zoo/test_generators.py prints these tables for the files as they are.
GENERATORS: Mapping[str, Mapping[str, str]] = {
    BUNDLED_T2V: {},
    BUNDLED_GAN: {},
}
"""Name -> file below its folder -> SHA-256."""

_CARD = "README.md"
_REMEDY = "reinstall vgaudit from where you got it"


def generator_folder(name: str) -> Path:
    """The folder of a generator that ships along, every file of it verified.

    Args:
        name: A key of :data:`GENERATORS`.

    Raises:
        Unavailable: A file is missing, changed, or one too many.
    """
    folder, pinned = BUNDLED / name, GENERATORS[name]
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    found.pop(_CARD, None)
    if missing := sorted(pinned.keys() - found.keys()):
        raise Unavailable(f"{name} ships with vgaudit, but its file {missing[0]} is not there", _REMEDY)
    if more := sorted(found.keys() - pinned.keys()):
        raise Unavailable(
            f"{name} ships without a file {more[0]}, which lies in {folder}", f"remove it, or {_REMEDY}"
        )
    for file, path in sorted(found.items()):
        if (digest := file_sha256(path)) != pinned[file]:
            raise Unavailable(
                f"{path} has sha256 {digest}, but {file} of {name} is pinned to {pinned[file]}",
                f"the file was changed: {_REMEDY}",
            )
    return folder
