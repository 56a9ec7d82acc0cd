"""Which class of device a network will run on, known before torch is imported.

A GPU and a CPU give different last digits, so the class belongs into the fingerprint of features. Fingerprints
are computed without torch; the CUDA driver is therefore asked directly, and its answer is held against torch's
when the network is loaded.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from vgaudit.errors import Unavailable

Device = Literal["auto", "cpu", "cuda"]
DeviceClass = Literal["cpu", "cuda"]

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolved_device(device: Device) -> DeviceClass:
    """Class of device that ``device`` means on this machine; imports no torch.

    ``auto`` is ``cuda`` where torch is built for CUDA, the driver counts a GPU, and ``CUDA_VISIBLE_DEVICES`` does
    not hide all of them. A stated device is taken at its word: whether it is there shows in :func:`torch_device`.
    """
    if device != "auto":
        return device
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return "cuda" if not hidden and _torch_has_cuda() and _driver_counts_gpus() else "cpu"


def torch_device(device: Device) -> DeviceClass:
    """As :func:`resolved_device`, held against torch; for the moment a network is loaded.

    Raises:
        Unavailable: A GPU is demanded and torch sees none, or torch and the driver disagree about ``auto``.
    """
    import torch

    exact_float32()
    resolved, seen = resolved_device(device), torch.cuda.is_available()
    if device == "cuda" and not seen:
        raise Unavailable(
            "device: cuda is asked for, but torch sees no GPU here", "set `device: auto` or `cpu`"
        )
    if device == "auto" and (resolved == "cuda") != seen:
        raise Unavailable(
            f"device: auto means {resolved} by the CUDA driver, but torch sees {'a' if seen else 'no'} GPU",
            "state `device: cpu` or `device: cuda`"
            if seen
            else "state `device: cpu`, or install a torch that fits the driver",
        )
    return resolved


def exact_float32() -> None:
    """Switch TensorFloat-32 off for the whole process: its results differ from the CPU's in the third digit.

    Once and for all, not around each call: the switch is the process's, and networks run on several threads, so one
    that leaves would switch it back on under another, and numbers would depend on timing.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def torch_release() -> str:
    """``major.minor`` of the installed torch, from its metadata; ``absent`` without one.

    Kernels change between minor releases and with them the last digits of features.
    """
    return release("torch")


def release(package: str) -> str:
    """``major.minor`` of an installed package, from its metadata; ``absent`` without one."""
    try:
        return ".".join(version(package).split(".")[:2])
    except PackageNotFoundError:
        return "absent"


@cache
def _torch_has_cuda() -> bool:
    """Whether the installed torch is a CUDA build, read from its ``version.py`` without running it."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    file = Path(spec.origin).with_name("version.py")
    if not file.is_file():
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]\d", file.read_text("utf-8"), re.MULTILINE) is not None


@cache
def _driver_counts_gpus() -> bool:
    """Whether the CUDA driver starts and counts a GPU; False without a driver.

    Asked once: the driver itself keeps what ``CUDA_VISIBLE_DEVICES`` was when it started.
    """
    try:
        driver = ctypes.CDLL(_DRIVER)
        if driver.cuInit(0) != 0:
            return False
        count = ctypes.c_int(0)
        return driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False
