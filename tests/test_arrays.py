"""Array files are read whole, without pickles, and from many threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vgaudit.arrays import load_npz


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(6.0).reshape(2, 3), reason=np.array(["", "blurred"]))
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(load_npz, [tmp_path / "a.npz"] * 400):
            assert found["x"].shape == (2, 3)
            assert found["reason"].tolist() == ["", "blurred"]


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_npz(tmp_path / "a.npz")
