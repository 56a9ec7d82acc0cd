"""CLIP networks through open_clip: both towers loaded once per process and shared by all who ask for them.

How the weights are run is settled in :mod:`vgaudit.zoo.clip_settings`. No checkpoint can run code: it is
safetensors, or read by ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vgaudit.errors import Unavailable
from vgaudit.records import digest
from vgaudit.registry import nearest
from vgaudit.zoo.catalogue import (
    BUNDLED_CLIP,
    BUNDLED_DOMAIN,
    CLIP_ALIASES,
    WEIGHTS,
    Weights,
    bundled_clip,
    by_digest,
)
from vgaudit.zoo.clip_settings import (
    ClipSettings,
    settings_of_all_tags,
    settings_of_bundled,
    settings_of_config,
    settings_of_tag,
)
from vgaudit.zoo.devices import Device, resolved_device, torch_device, torch_release
from vgaudit.zoo.folders import expanded
from vgaudit.zoo.resolve import ResolvedWeights, file_sha256, is_path, pinned_digest, resolve

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


BUNDLED = "bundled"
"""Tag of the weights of a network that ships with the package: it has no others."""


@dataclass(frozen=True)
class ClipChoice:
    """Which network: the part of the options that decides what is loaded.

    Attributes:
        model: open_clip's model name, or the name of a bundled network; empty where ``config`` is given.
        pretrained: open_clip's tag for the weights, or the path of a checkpoint; :data:`BUNDLED` for a bundled one.
        pretrained_tag: Tag a local checkpoint comes from, whose preprocessing and activation it takes.
        config: Path of an open_clip JSON config, or ``None`` for the named model's.
        sha256: Digest the checkpoint must have.
        device: ``auto`` takes a GPU where there is one.
    """

    model: str
    pretrained: str
    config: str | None = None
    sha256: str | None = None
    device: Device = "auto"
    pretrained_tag: str | None = None

    def identity(self) -> dict[str, Any]:
        """What identifies the network in a fingerprint, computed without torch; no path is in it."""
        config = expanded(self.config) if self.config else None
        architecture = (file_sha256(config) if config.is_file() else "absent") if config else self.model
        local = is_path(self.pretrained)
        name = self.pretrained if local else _catalogue_name(self)
        if entry := bundled_clip(name):
            architecture = digest(dict(entry.beside))
        return {
            "architecture": architecture,
            "tag": self.pretrained_tag if local else self.pretrained,
            "local": local,
            "sha256": pinned_digest(name, self.sha256),
            "device": resolved_device(self.device),
            "torch": torch_release(),
            "open_clip": version("open_clip_torch") if model_names() else "absent",
        }


@dataclass(frozen=True)
class ClipModel:
    """A loaded CLIP: what the image and the text extractor need of it.

    Attributes:
        network: The open_clip module, in evaluation mode, float32.
        preprocess: PIL image -> ``(3, H, W)`` float tensor: open_clip's evaluation transform.
        tokenize: Texts -> ``(n, context_length)`` token ids, cut to the context length.
        count_tokens: Tokens of a text before cutting, start and end tokens included.
        unknown_words: Words of a text that its tokenizer does not know; none where it spells by byte pairs.
        context_length: Tokens the text tower takes.
        device: Where it runs.
        facts: JSON-able facts for reports: model, weights and their digest, licence, device,
            activation and preprocessing as they are in the network.
    """

    network: Any
    preprocess: Callable[[Image], torch.Tensor]
    tokenize: Callable[[list[str]], torch.Tensor]
    count_tokens: Callable[[str], int]
    unknown_words: Callable[[str], tuple[str, ...]]
    context_length: int
    device: str
    facts: Mapping[str, Any]


@cache
def model_names() -> tuple[str, ...]:
    """Architectures open_clip has a config for, read from its folder without importing it (or torch)."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        return ()
    folder = Path(spec.submodule_search_locations[0]) / "model_configs"
    return tuple(sorted(p.stem for p in folder.glob("*.json")))


def split_name(model: str, pretrained: str | None) -> tuple[str, str]:
    """``(model, pretrained)`` from either spelling: ``ViT-B-32`` + ``openai``, or ``openai/ViT-B-32``.

    Raises:
        ValueError: A bundled network is given other weights than its own.
    """
    if bundled_clip(model):
        if pretrained not in (None, BUNDLED):
            raise ValueError(f"{model} ships with its own weights: leave `pretrained` out")
        return model, BUNDLED
    name, tag = CLIP_ALIASES.get(model, (model, "openai"))
    return name, pretrained or tag


def check_model_name(model: str) -> None:
    """Refuse a name open_clip does not have.

    Raises:
        ValueError: Names the nearest it has.
    """
    known, named = model_names(), (*CLIP_ALIASES, BUNDLED_CLIP)
    if model not in known and not bundled_clip(model):
        raise ValueError(
            f"open_clip has no model {model!r}{nearest(model, [*known, *named])}; expected one of its "
            f"names such as ViT-B-32, or one of {', '.join(named)}"
        )


_loaded: dict[str, ClipModel] = {}
Asked = TypeVar("Asked")
Told = TypeVar("Told")

_lock = threading.Lock()


def load_clip(choice: ClipChoice) -> ClipModel:
    """The network of ``choice``; loaded on the first call, shared afterwards.

    Raises:
        Unavailable: open_clip, the weights, the config or the GPU are not there, or do not fit each other.
    """
    with _lock:
        key = digest(choice.identity())
        if key not in _loaded:
            _loaded[key] = _load(choice)
        return _loaded[key]


def _load(choice: ClipChoice) -> ClipModel:
    if not model_names():
        raise Unavailable("open_clip is not installed", "pip install open-clip-torch")
    weights, entry = _weights(choice)  # before torch, which takes seconds to import
    import torch
    from open_clip import transform

    device = torch_device(choice.device)
    settings = _settings(choice, weights, entry)
    try:
        network, tokenizer = _build(settings, weights.path, choice)
    except (
        Exception
    ) as error:  # open_clip, torch and safetensors raise many kinds for a file that does not fit
        raise Unavailable(
            f"{weights.name} does not load as {choice.config or choice.model}: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}",
            "name the model (or config) the checkpoint was trained with; checkpoints are safetensors or plain "
            "tensors in .pt",
        ) from error
    network = network.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
    preprocess_cfg = transform.PreprocessCfg(**network.visual.preprocess_cfg)
    # A tokenizer of transformers keeps whether it pads: counting in one thread took the padding off another's.
    tokenizing = threading.Lock()
    return ClipModel(
        network=network,
        preprocess=transform.image_transform_v2(preprocess_cfg, is_train=False),
        tokenize=_locked(tokenizing, tokenizer),
        count_tokens=_locked(tokenizing, _counter(tokenizer)),
        unknown_words=_locked(tokenizing, _unknown_words(tokenizer)),
        context_length=int(tokenizer.context_length),
        device=device,
        facts={
            "model": _label(Path(choice.config)) if choice.config else choice.model,
            "weights": entry.name if entry else weights.name,
            "weights_sha256": weights.sha256,
            "weights_pinned": weights.pinned or entry is not None,
            "licence": entry.licence if entry else "not stated",
            **({"bundled": True, "domain": BUNDLED_DOMAIN} if entry and entry.bundled else {}),
            "settings": settings.origin,
            "activation": _activations(network),
            "preprocessing": {
                "size": list(preprocess_cfg.input_size[1:]),
                "mean": list(preprocess_cfg.mean),
                "std": list(preprocess_cfg.std),
                "interpolation": preprocess_cfg.interpolation,
                "resize_mode": preprocess_cfg.resize_mode,
            },
            "device": device,
        },
    )


def _settings(choice: ClipChoice, weights: ResolvedWeights, entry: Weights | None) -> ClipSettings:
    """How these weights are run; what is known of the bytes goes before what is said of them.

    Raises:
        Unavailable: It is not known, or the bytes are published under another tag than is said.
    """
    if entry and entry.bundled:
        return settings_of_bundled(entry)
    tag = entry.name.partition("/")[2] if entry else ""
    if entry and choice.pretrained_tag not in (None, tag):
        raise Unavailable(
            f"pretrained_tag is {choice.pretrained_tag!r}, but {weights.path.name} is {entry.name} byte for byte",
            f"leave `pretrained_tag` out, or state {tag!r}",
        )
    if choice.config:
        settings = settings_of_config(choice.config)
        if entry and entry.quick_gelu:
            settings.model_cfg["quick_gelu"] = True
        return settings
    if stated := tag or choice.pretrained_tag:
        return settings_of_tag(choice.model, stated)
    return settings_of_all_tags(choice.model, weights.name)


def _activations(network: Any) -> str:
    """Activations in the network as it was built, such as ``QuickGELU`` or ``GELU``."""
    known = ("QuickGELU", "GELU", "ReLU", "SiLU")
    found = {type(module).__name__ for module in network.modules()}
    return "+".join(name for name in known if name in found)


def _label(config: Path) -> str:
    return config.resolve().parent.name if config.stem == "open_clip_config" else config.stem


def _weights(choice: ClipChoice) -> tuple[ResolvedWeights, Weights | None]:
    """The verified file, and what is known of it (by name, or by digest for a local copy)."""
    if is_path(choice.pretrained):
        found = resolve(choice.pretrained, choice.sha256)
        return found, by_digest(found.sha256)
    name = _catalogue_name(choice)
    entry = WEIGHTS.get(name) or _from_open_clip(choice)
    return resolve(name, choice.sha256, entry=entry), entry


def _catalogue_name(choice: ClipChoice) -> str:
    return choice.model if choice.pretrained == BUNDLED else f"{choice.model}/{choice.pretrained}"


def _from_open_clip(choice: ClipChoice) -> Weights:
    """Description of weights only open_clip knows; without a digest, so the user has to state one."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(choice.model)
    known = open_clip.get_pretrained_cfg(choice.model, choice.pretrained) if choice.pretrained in tags else {}
    repo, _, filename = str(known.get("hf_hub", "")).rpartition("/")
    if not repo:
        raise Unavailable(
            f"open_clip knows no weights {choice.pretrained!r} for {choice.model}{nearest(choice.pretrained, tags)}",
            f"name one of its tags ({', '.join(tags) or 'there are none'}), or a local checkpoint",
        )
    return Weights(
        name=f"{choice.model}/{choice.pretrained}",
        repo=repo,
        filename=filename or "open_clip_model.safetensors",
        revision="main",
        sha256=None,
        licence="not stated",
        size=None,
        kind="open_clip",
        quick_gelu=bool(known.get("quick_gelu", False)),
    )


def _build(settings: ClipSettings, checkpoint: Path, choice: ClipChoice) -> tuple[Any, Any]:
    """The network with its weights, and its tokenizer; open_clip takes a config only as a file in a folder."""
    import open_clip

    hub_tokenizer = settings.model_cfg["text_cfg"].get("hf_tokenizer_name")
    name = (
        "open_clip_model.safetensors"
        if checkpoint.suffix == ".safetensors"
        else "open_clip_pytorch_model.bin"
    )
    with tempfile.TemporaryDirectory(prefix="vgaudit-clip-") as folder:
        config = {"model_cfg": settings.model_cfg, "preprocess_cfg": settings.preprocess_cfg}
        (Path(folder) / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
        _place(checkpoint, Path(folder) / name)
        for file in settings.tokenizer:
            _place(file, Path(folder) / file.name)
        source = f"local-dir:{folder}"
        network = open_clip.create_model(source, precision="fp32", require_pretrained=True, weights_only=True)
        if settings.tokenizer:
            tokenizer = open_clip.get_tokenizer(source, trust_remote_code=False, local_files_only=True)
        else:
            tokenizer = open_clip.get_tokenizer(
                choice.model if hub_tokenizer and not choice.config else source
            )
    return network, tokenizer


def _place(file: Path, where: Path) -> None:
    """``file`` under another path: a link, or a copy where links are not allowed, as often on Windows."""
    try:
        where.symlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, where)


def _locked(lock: threading.Lock, function: Callable[[Asked], Told]) -> Callable[[Asked], Told]:
    """The same function, of which, and of others with that lock, one runs at a time."""

    def locked(asked: Asked) -> Told:
        with lock:
            return function(asked)

    return locked


def _counter(tokenizer: Any) -> Callable[[str], int]:
    if hasattr(tokenizer, "encode"):  # open_clip's own byte-pair tokenizer: adds a start and an end token
        return lambda text: len(tokenizer.encode(text)) + 2
    return lambda text: len(tokenizer.tokenizer(tokenizer.clean_fn(text))["input_ids"])


def _unknown_words(tokenizer: Any) -> Callable[[str], tuple[str, ...]]:
    inner: Any = getattr(tokenizer, "tokenizer", None)
    if getattr(inner, "unk_token_id", None) is None or not getattr(inner, "is_fast", False):
        return (
            lambda text: ()
        )  # byte pairs and sentence pieces fall back to characters: every word can be spelt

    def unknown(text: str) -> tuple[str, ...]:
        clean = tokenizer.clean_fn(text)
        made = inner(clean, add_special_tokens=False, return_offsets_mapping=True)
        if not made["input_ids"]:  # nothing but signs that the tokenizer drops
            return (clean,) if clean else ()
        spans = zip(made["input_ids"], made["offset_mapping"], strict=True)
        return tuple(clean[start:end] for token, (start, end) in spans if token == inner.unk_token_id)

    return unknown
