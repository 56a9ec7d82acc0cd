"""NumPy files read from several threads, and runs of true values.

NumPy parses the header of an array with :func:`ast.literal_eval`, and before CPython 3.12 building syntax trees in
two threads at once can fail with ``SystemError: AST constructor recursion depth mismatch`` (CPython issue 106905).
All array files are therefore read one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
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


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """``(start, end)`` of each run of true values, ``end`` exclusive.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    yield from ((start, end) for start, end in edges.reshape(-1, 2).tolist())
