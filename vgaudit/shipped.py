"""Folders that ship beside the code: inside an installed package, or next to it in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Where the folder ``name`` of this project lies, such as ``suites`` or ``reference_data``."""
    return _folder_of(Path(str(files("vgaudit"))), name)


def _folder_of(package: Path, name: str) -> Path:
    """``name`` inside the package where it is there, else beside it if that is a checkout."""
    inside, beside = package / name, package.parent / name
    # What lies beside an installed package belongs to others, and so may the pyproject.toml there
    # (pip install --target .): only a package without the folder can be a checkout's.
    checkout = not inside.is_dir() and (package.parent / "pyproject.toml").is_file()
    return beside if checkout else inside
