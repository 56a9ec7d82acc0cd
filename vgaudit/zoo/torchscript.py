"""TorchScript networks: code as well as numbers, so nothing loads but bytes whose digest was stated before."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgaudit.errors import Unavailable
from vgaudit.zoo.catalogue import BUNDLED_DOMAIN, WEIGHTS, by_digest
from vgaudit.zoo.devices import Device, torch_device
from vgaudit.zoo.folders import expanded
from vgaudit.zoo.resolve import is_path, pinned_digest, resolve


@dataclass(frozen=True)
class TorchScript:
    """A loaded network.

    Attributes:
        module: The ``torch.jit.ScriptModule``, in evaluation mode, on ``device``.
        device: ``cpu`` or ``cuda``.
        facts: JSON-able facts for reports: ``weights`` and ``weights_sha256``, ``device``, and ``bundled`` and
            ``domain`` if it ships with the package.
    """

    module: Any
    device: str
    facts: Mapping[str, Any]


def load_torchscript(name_or_path: str, sha256: str | None, device: Device) -> TorchScript:
    """Load a network by catalogue name or from a local file; the digest is checked on the very bytes loaded.

    Args:
        name_or_path: Catalogue name, or path of a local file.
        sha256: Digest the file must have; needed for a local file.
        device: Where it shall run.

    Raises:
        Unavailable: The file is not there, its digest is not stated or not that, or it is no TorchScript.
    """
    if is_path(name_or_path) and sha256 is None:
        path = expanded(name_or_path)
        if path.is_file():
            raise Unavailable(
                f"{path.name} is TorchScript, which is code, and no digest is stated for it",
                f"if you trust the file, add `sha256: {pinned_digest(name_or_path)}` beside `weights`",
            )
    found = resolve(name_or_path, sha256)
    data = found.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != found.sha256:
        raise Unavailable(f"{found.path.name} changed while it was read", "run again")
    where = torch_device(device)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # published files are TorchScript all the same
            module = torch.jit.load(io.BytesIO(data), map_location=where).eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises RuntimeError, OSError or its own for a file that is none
        raise Unavailable(
            f"{found.name} is no TorchScript that loads here: {type(error).__name__}: {str(error)[:200]}",
            "name a file that torch.jit.save wrote",
        ) from error
    entry = WEIGHTS.get(name_or_path) or by_digest(
        found.sha256
    )  # a copy of known weights is known for what it is
    facts = {
        "weights": entry.name if entry else found.name,
        "weights_sha256": found.sha256,
        **({"bundled": True, "domain": BUNDLED_DOMAIN} if entry and entry.bundled else {}),
        "device": where,
    }
    return TorchScript(module, where, facts)
