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
"""A generator that was trained against a discriminator: weights of :mod:`vgaudit.zoo.storyworld_gan`."""


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


def _small(name: str) -> str:
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
    (_small(BUNDLED_T2V),),
)
GAN: Final = Trained(fps=8.0, domain=BUNDLED_DOMAIN, notes=(_small(BUNDLED_GAN),))

# Digests of what lies in zoo/bundled; tests/zoo/test_generators.py prints these tables for the files as they are.
GENERATORS: Mapping[str, Mapping[str, str]] = {
    BUNDLED_T2V: {
        "model_index.json": "ce41af5a9934b578523c5582e1fa80f3aefea6ed71bb290ef40e921a12195504",
        "scheduler/scheduler_config.json": "1b2c047cffb02b1f325d8fd2d754c664770dff6ec690553db906651a7df71692",
        "text_encoder/config.json": "783d1cbd131f270eda0405dbcc45edb39879e665a018f2c27738644ba9b0b972",
        "text_encoder/model.safetensors": "d58adb05f0492dfb3cbf58b27f0c1548ed62c4ed58c8e54bfadb1d12fb52fae0",
        "tokenizer/tokenizer.json": "b7fe218b683527e312b3c4f2df374e36597b00796fd5b28993bca4b457a88eff",
        "tokenizer/tokenizer_config.json": "d810ea23341ca17640db73bfc75cc073dffc7b5c923ce42148ffa904f2bd96b7",
        "transformer/config.json": "aca43741405aea159c090ae7e1871c4d186533bda35b12b6f5b78d4e028dd156",
        "transformer/diffusion_pytorch_model.safetensors": "2ea8b9149e00161b4a9aa30208807385b7b7a3399ac551af15f1473e704dee33",  # noqa: E501
        "vae/config.json": "2e77222079e81bcd7a23738ffc0ec438f2f79f9fd2b12b7de643f629383ad7da",
        "vae/diffusion_pytorch_model.safetensors": "3530931171c3b0ccc2f738815aacb5248c02519b8a7188b36534e4e5f8fd8e2e",
    },
    BUNDLED_GAN: {
        "generator.safetensors": "aef63f2cb0bc9ec64a7380ce29d45cd979ff91df82b3f54e0e67418385900182",
    },
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
