"""Read NumPy files from several threads.

NumPy parses the header of an array with :func:`ast.literal_eval`, and before CPython 3.12 building syntax trees in
two threads at once can fail with ``SystemError: AST constructor recursion depth mismatch`` (CPython issue 106905).
All array files are therefore read one at a time.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER_LOCK = threading.Lock()
"""Hold it while NumPy reads the header of an array."""


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file; pickled objects are refused.

    Raises:
        EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile: The file is damaged or no such file.
    """
    with HEADER_LOCK, np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
