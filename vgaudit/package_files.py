"""Files that installed packages bring along, named ``package:skimage/data/astronaut.png`` where a path may stand.

The package is found and not imported. A suite can so name a picture that every installation has, wherever it lies.
The current folder is not searched, though ``python -m`` puts it before all others: a folder there that is called like
the package would take its place in silence.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from vgaudit.errors import UsageError

PREFIX = "package:"
_DISTRIBUTIONS = {"skimage": "scikit-image"}
"""What to ask pip for, where it is not the package's own name."""


def is_package_file(name: str) -> bool:
    """Whether ``name`` is written as a file of a package."""
    return name.startswith(PREFIX)


def package_file(name: str) -> Path:
    """Where a file of an installed package lies.

    Args:
        name: ``package:PACKAGE/PATH/IN/IT``.

    Raises:
        UsageError: It is written otherwise, the package is not installed, or this version of it lacks the file.
    """
    package, *parts = name.removeprefix(PREFIX).split("/")
    if (
        not (is_package_file(name) and package.isidentifier() and parts)
        or {"", ".", ".."} & set(parts)
        or any("\\" in part or "\0" in part for part in parts)
    ):
        raise UsageError(
            f"{name!r}: expected {PREFIX}PACKAGE/PATH, such as {PREFIX}skimage/data/astronaut.png, without '..'"
        )
    distribution = _DISTRIBUTIONS.get(package, package)
    # By the finder of files: whatever the package does when it is imported is not wanted here.
    found = PathFinder.find_spec(package, [entry for entry in sys.path if not _is_current_folder(entry)])
    folders = list(found.submodule_search_locations or ()) if found else []
    for folder in folders:
        if (path := Path(folder, *parts)).is_file():
            return path
    if found is None:
        raise UsageError(
            f"{name}: the package {package} is not installed; pip install {distribution} (a folder of that name in "
            "the current folder, or an editable installation, is not looked into)"
        )
    if folders and not any(map(os.path.isdir, folders)):
        raise UsageError(
            f"{name}: the package {package} is installed as an archive ({folders[0]}); expected a folder. Install "
            f"it with pip install {distribution}, or name a file of your own"
        )
    raise UsageError(
        f"{name}: not in the installed {package}; expected a file of it. Install a version of {distribution} "
        "that has it, or name a file of your own"
    )


def _is_current_folder(entry: str) -> bool:
    try:
        return Path(entry or os.curdir).samefile(os.curdir)
    except OSError:  # it is no folder, or the current one was removed
        return not entry
