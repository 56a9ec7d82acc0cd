"""How a CLIP's weights want to be run: architecture, activation and preprocessing, never guessed.

Wrong normalisation, a crop instead of a squash, or GELU instead of QuickGELU all give plausible numbers. So the
settings come from the published tag of the weights, or from a JSON config; a local file whose tag nobody states
is run only where all published weights of its architecture are run alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import Weights
from vgaudit.zoo.folders import expanded
from vgaudit.zoo.resolve import bundled_file

_PREPROCESS = ("mean", "std", "interpolation", "resize_mode", "fill_color")
_MAX_CONFIG_BYTES = 1 << 20
_EXPECTED = (
    "expected open_clip's JSON: {model_cfg: {embed_dim, vision_cfg, text_cfg}, preprocess_cfg: {mean, std}}"
)


@dataclass(frozen=True)
class ClipSettings:
    """What open_clip builds and preprocesses with.

    Attributes:
        model_cfg: Architecture, ``quick_gelu`` included.
        preprocess_cfg: Normalisation and resizing; what is left out is open_clip's default.
        origin: Where they are from, for reports.
        tokenizer: Files of a tokenizer of its own, which a bundled network has; empty for those open_clip knows.
    """

    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    origin: str
    tokenizer: tuple[Path, ...] = ()


def settings_of_tag(model: str, tag: str) -> ClipSettings:
    """Settings of the weights that open_clip publishes for ``model`` as ``tag``.

    Raises:
        Unavailable: It publishes none of that name.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise Unavailable(
            f"open_clip knows no weights {tag!r} for {model}{nearest(tag, tags)}",
            f"name one of its tags ({', '.join(tags) or 'there are none'}), or describe the checkpoint in `config:`",
        )
    known = open_clip.get_pretrained_cfg(model, tag)
    model_cfg = open_clip.get_model_config(model)
    if known.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    preprocess_cfg = {key: known[key] for key in _PREPROCESS if key in known}
    return ClipSettings(model_cfg, preprocess_cfg, f"tag {tag}")


def settings_of_all_tags(model: str, checkpoint: str) -> ClipSettings:
    """Settings that all published weights of ``model`` share, for a ``checkpoint`` of unknown tag.

    Raises:
        Unavailable: There are none, or they are not run alike: then only the user knows.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if not tags:
        raise Unavailable(
            f"how {checkpoint} is preprocessed is not known: open_clip publishes no weights of {model}",
            f"describe the checkpoint in `config:` instead of `model:`; {_EXPECTED}",
        )
    each = [settings_of_tag(model, tag) for tag in tags]
    differ = [key for key in _PREPROCESS if any(_get(s, key) != _get(each[0], key) for s in each)]
    if any(_quick_gelu(s) != _quick_gelu(each[0]) for s in each):
        differ.append("quick_gelu")
    if differ:
        raise Unavailable(
            f"how {checkpoint} is to be run is not known: the published weights of {model} differ in "
            f"{', '.join(differ)}",
            f"state the tag it comes from as `pretrained_tag:` (one of {', '.join(tags)}), or describe it in "
            "`config:` instead of `model:`",
        )
    return ClipSettings(each[0].model_cfg, each[0].preprocess_cfg, f"shared by all tags of {model}")


def settings_of_bundled(entry: Weights) -> ClipSettings:
    """Settings of a network that ships with the package, its own tokenizer included; every file is verified.

    Raises:
        Unavailable: A file is missing or not the pinned one.
    """
    beside = [bundled_file(entry, name).path for name in entry.beside]
    config = next(path for path in beside if path.name == "open_clip_config.json")
    tokenizer = tuple(path for path in beside if path.name.startswith("tokenizer"))
    settings = settings_of_config(str(config), tokenizer=tokenizer)
    return replace(settings, origin="bundled config")


def settings_of_config(path: str, tokenizer: tuple[Path, ...] = ()) -> ClipSettings:
    """Settings of a local open_clip JSON config; it may not send the loader to a hub.

    Args:
        path: The config.
        tokenizer: Verified local files of the tokenizer that the config names; a user's config has none, and may
            then name no tokenizer.

    Raises:
        Unavailable: It cannot be read, lacks the normalisation, or names a model on a hub.
    """
    file = expanded(path)
    if not file.is_file():
        raise Unavailable(f"no CLIP config at {path}", _EXPECTED)
    if file.stat().st_size > _MAX_CONFIG_BYTES:
        raise Unavailable(f"{path} is larger than a config can be ({_MAX_CONFIG_BYTES} bytes)", _EXPECTED)
    try:
        raw = json.loads(file.read_text("utf-8"))
        model_cfg = dict(raw.get("model_cfg", raw))
        vision, text = dict(model_cfg["vision_cfg"]), dict(model_cfg["text_cfg"])
        preprocess_cfg = dict(raw.get("preprocess_cfg", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unavailable(f"{path} is no CLIP config: {type(error).__name__}: {error}", _EXPECTED) from error
    from_hub = ("hf_model_name",) if tokenizer else ("hf_model_name", "hf_tokenizer_name")
    named = [k for k in from_hub if text.get(k)]
    if ":" in str(vision.get("timm_model_name", "")):
        named.append("timm_model_name")
    if named:
        raise Unavailable(
            f"{path} names a model on a hub ({', '.join(named)}), which a local config may not load",
            _EXPECTED,
        )
    if lacking := [key for key in ("mean", "std") if key not in preprocess_cfg]:
        raise Unavailable(
            f"{path} lacks preprocess_cfg.{' and preprocess_cfg.'.join(lacking)}, and a wrong normalisation gives "
            "plausible numbers",
            "add what the weights were trained with",
        )
    return ClipSettings(model_cfg, preprocess_cfg, "config", tokenizer)


def _get(settings: ClipSettings, key: str) -> Any:
    value = settings.preprocess_cfg.get(key)
    return list(value) if isinstance(value, tuple) else value


def _quick_gelu(settings: ClipSettings) -> bool:
    return bool(settings.model_cfg.get("quick_gelu"))
