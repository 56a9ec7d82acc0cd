"""Where a run's numbers come from: versions, commit, platform. Reads metadata only; imports no heavy package."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vgaudit
from vgaudit.zoo.devices import resolved_device

# Packages whose version can change a number or a picture.
PACKAGES = (
    "av", "diffusers", "dlib-bin", "face-recognition-models", "facenet-pytorch", "numpy", "onnxruntime",
    "open-clip-torch", "opencv-python-headless", "pydantic", "scipy", "torch", "torchmetrics", "torchvision",
    "transformers",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Installed version of each package that matters; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """``{commit, dirty}`` of the git checkout around ``folder``; empty outside of one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=10, check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return {}


def collect(folder: Path) -> dict[str, Any]:
    """Everything of the surroundings that a reader of the report may ask for."""
    return {
        "vgaudit": vgaudit.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "device": "CUDA GPU" if resolved_device("auto") == "cuda" else "CPU",
        "packages": package_versions(),
        "git": git_state(folder),
    }
