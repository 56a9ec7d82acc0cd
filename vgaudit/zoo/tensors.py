"""Checkpoints that are nothing but tensors: read without running code, for networks that are built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.catalogue import WEIGHTS, by_digest
from vgaudit.zoo.devices import Device, torch_device
from vgaudit.zoo.resolve import resolve

_SHOWN = 5
"""Tensors of each fault that a message names; all are counted."""


@dataclass(frozen=True)
class Tensors:
    """A checkpoint.

    Attributes:
        named: Parameter name to tensor, on the CPU; the prefix ``module.`` of a ``DataParallel`` is taken off.
        name: Catalogue name, or the file's name.
        facts: JSON-able facts for reports: ``weights``, ``weights_sha256``, ``weights_pinned`` and ``licence``.
    """

    named: Mapping[str, Any]
    name: str
    facts: Mapping[str, Any]


def load_tensors(name_or_path: str, sha256: str | None, within: tuple[str, ...] = ()) -> Tensors:
    """Read a checkpoint by catalogue name or from a local file (``.safetensors``, or plain tensors in ``.pth``).

    Args:
        name_or_path: Catalogue name, or path.
        sha256: Digest the file must have; needed for a name whose digest is not established.
        within: Names under which a training checkpoint may hold the tensors; the first that is there is taken.

    Raises:
        Unavailable: It is not there, not the bytes that were pinned, or no mapping of names to tensors.
    """
    found = resolve(name_or_path, sha256)
    import torch

    try:
        if found.path.suffix == ".safetensors":
            from safetensors.torch import load_file

            raw: Any = load_file(found.path)
        else:
            raw = torch.load(found.path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a file that is none
        raise Unavailable(
            f"{found.name} is no checkpoint that loads here: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}",
            "name a .safetensors file, or plain tensors as torch.save writes them",
        ) from error
    if isinstance(raw, Mapping):
        raw = next((raw[name] for name in within if isinstance(raw.get(name), Mapping)), raw)
    if not isinstance(raw, Mapping) or not raw or not all(isinstance(t, torch.Tensor) for t in raw.values()):
        raise Unavailable(
            f"{found.name} holds no mapping of names to tensors",
            "name the file of weights as it is published, not a training checkpoint around it",
        )
    entry = WEIGHTS.get(name_or_path) or by_digest(found.sha256)
    return Tensors(
        {str(name).removeprefix("module."): tensor for name, tensor in raw.items()},
        found.name,
        {
            "weights": entry.name if entry else found.name,
            "weights_sha256": found.sha256,
            "weights_pinned": found.pinned or entry is not None,
            "licence": entry.licence if entry else "not stated",
        },
    )


@dataclass(frozen=True)
class VideoNetwork:
    """A network for clips, loaded from a file of tensors.

    Attributes:
        network: float32 ``(n, 3, t, h, w)``, prepared as its weights want it -> features ``(n, d)``, on ``device``.
            What loads it says which frames and sizes it takes.
        device: ``cpu`` or ``cuda``.
        facts: JSON-able facts for reports.
    """

    network: Any
    device: str
    facts: Mapping[str, Any]


def _faults(own: Mapping[str, Any], named: Mapping[str, Any]) -> list[str]:
    """Where the tensors ``named`` differ in name or shape from a network's ``own``."""
    shapes = [
        f"{key} {tuple(named[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in named and named[key].shape != tensor.shape
    ]
    return [
        *_listed("missing", [key for key in own if key not in named]),
        *_listed("unexpected", [key for key in named if key not in own]),
        *_listed("of another shape", shapes),
    ]


def _listed(what: str, tensors: Sequence[str]) -> list[str]:
    """One entry that counts what is wrong in this way and names the first, or none."""
    if not tensors:
        return []
    more = f" and {len(tensors) - _SHOWN} more" if len(tensors) > _SHOWN else ""
    return [f"{len(tensors)} {what}: {', '.join(tensors[:_SHOWN])}{more}"]


def fill(network: Any, named: Mapping[str, Any], name: str, what: str, device: Device) -> str:
    """Load ``named`` into ``network``, which is ready for use afterwards; returns the class of its device.

    Args:
        network: A ``torch.nn.Module`` just built; of one on the ``meta`` device the tensors become its own.
        named: Its parameters, by name.
        name: The file, for messages.
        what: What the network is, for messages.
        device: Where it shall run.

    Raises:
        Unavailable: Names or shapes differ, a number is not finite, or the device is not there.
    """
    where = torch_device(device)
    own = network.state_dict()
    try:
        network.load_state_dict(named, assign=any(tensor.is_meta for tensor in own.values()))
    except RuntimeError as error:  # torch's own text names the missing first, and there may be hundreds
        raise Unavailable(
            f"{name} does not load as {what}: {'; '.join(_faults(own, named)) or ' '.join(str(error).split())[:300]}",
            f"name a checkpoint of {what}",
        ) from error
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise Unavailable(f"{name} holds numbers that are not finite", "fetch the file again")
    network.float().to(where).eval().requires_grad_(False)
    return where
