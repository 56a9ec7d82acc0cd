"""What ``vgaudit doctor`` looks at."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import vgaudit


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        ok: Whether it is there and works.
        text: What was found, or what to do.
        required: Whether nothing works without it.
    """

    name: str
    ok: bool
    text: str
    required: bool = True


def checks() -> Iterator[Check]:
    """Look at everything, cheapest first; each check does what a run would do."""
    yield Check("vgaudit", True, f"{vgaudit.__version__} on Python {platform.python_version()}")
    if sys.version_info < (3, 11):  # noqa: UP036 - an environment may be made around the requirement
        yield Check("python", False, "3.11 or newer is needed")
    yield from _packages()
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Check("disk", free > 1, f"{free:.1f} GiB free here", required=False)
    yield _encoder()
    yield _torch()
    yield _embedder("dlib")
    yield _embedder("facenet")
    yield _onnx()


def _packages() -> Iterator[Check]:
    from vgaudit.provenance import PACKAGES, package_versions

    found = package_versions()
    for name in PACKAGES:
        if name == "onnxruntime":
            continue
        yield Check(name, name in found, found.get(name, f"not installed; pip install {name}"))


def _encoder() -> Check:
    try:
        import av

        av.Codec("libx264", "w")
    except Exception as error:
        return Check("H.264 encoder", False, f"PyAV with libx264 does not work here ({error}); reinstall av")
    return Check("H.264 encoder", True, "libx264")


def _torch() -> Check:
    try:
        import torch
    except Exception as error:
        return Check("compute", False, f"torch cannot be imported ({error}); reinstall torch")
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only"
    return Check("compute", True, f"{device}, {torch.get_num_threads()} threads", required=False)


def _embedder(name: str) -> Check:
    from vgaudit import registry
    from vgaudit.errors import VgauditError

    try:
        implementation = registry.load("face_embedders", name)
        implementation(implementation.Options()).load()
    except VgauditError as error:
        return Check(f"face embedder {name}", False, str(error), required=False)
    return Check(f"face embedder {name}", True, "weights verified", required=False)


def _onnx() -> Check:
    try:
        import onnxruntime
    except ImportError:
        return Check(
            "onnxruntime", False, "for ArcFace-like embedders: pip install 'vgaudit[onnx]'", required=False
        )
    return Check("onnxruntime", True, onnxruntime.__version__, required=False)
