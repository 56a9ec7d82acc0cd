"""The public names: all there, none forgotten, and none imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import vgaudit


def test_every_exported_name_exists_and_every_lazy_name_is_exported() -> None:
    lazy = {name for names in vgaudit._HOMES.values() for name in names}
    assert lazy | {"__version__"} == set(vgaudit.__all__)
    for name in vgaudit.__all__:
        assert getattr(vgaudit, name) is not None


def test_import_is_light() -> None:
    code = (
        "import vgaudit, sys; print([m for m in ('numpy', 'torch', 'pydantic', 'typer') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "[]"
