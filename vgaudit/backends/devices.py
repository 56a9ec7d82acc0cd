"""Which device a generator runs on."""

from __future__ import annotations

from vgaudit.errors import BackendError


def choose_device(wanted: str) -> str:
    """``auto`` resolved to what this machine has; anything else checked.

    Raises:
        BackendError: The device is not there.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in has.items() if there)
    if not has[wanted]:
        there = ", ".join(name for name, is_there in has.items() if is_there)
        raise BackendError(
            f"device {wanted!r} is not available here (available: {there}); use `device: auto`"
        )
    return wanted
