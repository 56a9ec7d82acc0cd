"""What backend ``gan`` has to know of the generator that ships along: its name stands for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from vgaudit.backends.devices import minor_release
from vgaudit.zoo.generators import BUNDLED_GAN, BUNDLED_T2V, GENERATORS, generator_folder
from vgaudit.zoo.storyworld_gan import NOISE

_SETTLED: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "factory": "vgaudit.zoo.storyworld_gan:generator",
        "weights": BUNDLED_GAN,
        "z_dim": NOISE,
        "conditioning": "text_embedding",
        "text_encoder": "storyworld-clip",
    }
)
_NOT_WITH_IT: Final = (*_SETTLED, "factory_options", "sha256", "allow_pickle", "classes", "embeddings")


def spelled_out(options: Any) -> Any:
    """Options as a suite has them, with what ``model: storyworld-gan`` stands for in its place.

    Raises:
        ValueError: The suite says besides what comes with the name.
    """
    if not (isinstance(options, Mapping) and options.get("model") == BUNDLED_GAN):
        return options
    if given := [name for name in _NOT_WITH_IT if name in options]:
        raise ValueError(f"{BUNDLED_GAN!r} ships along with its own {given[0]!r}; remove it")
    return {**{k: v for k, v in options.items() if k != "model"}, **_SETTLED}


def is_bundled(factory: str | None, weights: str | None) -> bool:
    """Whether these are the bundled generator's."""
    return (factory, weights) == (_SETTLED["factory"], BUNDLED_GAN)


def weights_file() -> Path:
    """Its weights, verified.

    Raises:
        Unavailable: The file is missing or changed.
    """
    return generator_folder(BUNDLED_GAN) / "generator.safetensors"


def decoder_identity() -> dict[str, Any]:
    """What its clips depend on besides its weights: the bundled pipeline's decoder, and the library it is of."""
    decoder = {k: v for k, v in GENERATORS[BUNDLED_T2V].items() if k.startswith("vae/")}
    return {"decoder": decoder, "diffusers": minor_release("diffusers")}
