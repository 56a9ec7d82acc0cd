"""Which device a generator runs on: known before torch is imported, since it is part of what a clip is."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

from vgaudit.errors import BackendError
from vgaudit.zoo.devices import exact_float32, resolved_device, torch_release


def expected_device(wanted: str) -> str:
    """``auto`` resolved to what torch will find here, without importing it; anything else as it is.

    :func:`choose_device` holds the answer against torch's own before anything is made.
    """
    if wanted != "auto":
        return wanted
    if resolved_device("auto") == "cuda":
        return "cuda"
    return "mps" if (sys.platform, platform.machine()) == ("darwin", "arm64") else "cpu"


def numerics(wanted: str) -> dict[str, str]:
    """What decides the rounding of a network's numbers: kind of device, release of torch. For fingerprints."""
    return {"device": expected_device(wanted), "torch": torch_release()}


def minor_release(package: str) -> str:
    """``major.minor`` of an installed package, without importing it."""
    return ".".join(version(package).split("+", maxsplit=1)[0].split(".")[:2])


def choose_device(wanted: str) -> str:
    """``auto`` resolved to what this machine has; anything else checked.

    Raises:
        BackendError: The device is not there, or ``auto`` is another one than the fingerprint says.
    """
    import torch

    exact_float32()
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        found = next(name for name, there in has.items() if there)
        if found != (expected := expected_device(wanted)):
            raise BackendError(
                f"device auto: the samples were planned for {expected!r}, but torch finds {found!r}; "
                f"say `device: {found}`"
            )
        return found
    if not has[wanted]:
        there = ", ".join(name for name, is_there in has.items() if is_there)
        raise BackendError(
            f"device {wanted!r} is not available here (available: {there}); use `device: auto`"
        )
    return wanted
