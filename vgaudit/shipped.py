"""Folders that ship beside the code: inside an installed package, or next to it in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Where the folder ``name`` of this project lies, such as ``suites`` or ``reference_data``."""
    package = Path(str(files("vgaudit")))
    # What lies beside an installed package belongs to others; a checkout shows by its pyproject.toml.
    checkout = (package.parent / "pyproject.toml").is_file()
    return package.parent / name if checkout else package / name
