"""Modes of what a run writes: the umask counts, and what is about persons is for its owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.decided_runs import likeness_run
from vgaudit.rundir import atomic_write, write_json


@pytest.fixture(params=[0o077, 0o022, 0])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_get_what_the_umask_leaves_and_private_ones_are_for_their_owner(
    tmp_path: Path, umask: int
) -> None:
    for private, expected in ((False, 0o666 & ~umask), (True, 0o600)):
        with atomic_write(tmp_path / "new" / "x", private=private) as file:
            assert all(mode(p) & ~expected == 0 for p in (tmp_path / "new").glob(".x.*.tmp"))
            file.write(b"x")
        write_json(tmp_path / "x.json", {}, private=private)
        assert [mode(tmp_path / "new" / "x"), mode(tmp_path / "x.json")] == [expected] * 2
        assert not [*(tmp_path / "new").glob(".*")]


def test_what_a_run_keeps_of_faces_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = likeness_run(tmp_path)
    finally:
        os.umask(before)
    faces = [p for p in (run / "features").glob("faces-*/*") if p.is_file()]
    private = [*faces, *(run / "evidence").iterdir(), run / "likeness_ledger.jsonl"]
    shown = [*(run / "report" / "faces").iterdir()]
    assert min(len(faces), len(private), len(shown)) > 0
    assert {mode(p) for p in (*private, *shown)} == {0o600}
    assert {mode(p) for p in (*(run / "clips").iterdir(), run / "results.json")} == {0o666}
