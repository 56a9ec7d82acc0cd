"""`vgaudit init`: the suites it writes load, and say of the clips what their names say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from vgaudit.backends.base import BackendContext
from vgaudit.backends.files import FilesBackend
from vgaudit.errors import SuiteError, UsageError
from vgaudit.index import read_index
from vgaudit.plan import Sample
from vgaudit.scaffold import scaffold_new, scaffold_suite
from vgaudit.suite import load_suite


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def samples(suite: Path) -> list[Sample]:
    loaded = load_suite(suite)
    choice = loaded.backends[0]
    backend = choice.cls(choice.options, BackendContext(loaded.base_dir, choice.name))
    assert isinstance(backend, FilesBackend)
    return backend.samples(loaded.prompts, loaded.seeds)


def test_plain_clips(tmp_path: Path) -> None:
    videos = touch(tmp_path / "my clips!", 'a "b", c.mp4', "10.mp4", "9.mp4")
    written = scaffold_suite(videos, tmp_path / "audit")
    assert [p.name for p in written] == ["index.csv", "suite.yaml"]
    found = samples(tmp_path / "audit" / "suite.yaml")
    assert [s.source for s in found] == ["9.mp4", "10.mp4", 'a "b", c.mp4']
    assert {s.prompt for s in found} == {""}
    assert load_suite(written[1]).suite.name == "my-clips"
    assert "# prompt_alignment" in written[1].read_text()


def test_vbench_names_become_prompts_and_seeds(tmp_path: Path) -> None:
    videos = touch(tmp_path / "vbench", "a dog runs-0.mp4", "a dog runs-1.mp4", "a cat, asleep-0.mp4")
    written = scaffold_suite(videos, videos)
    rows = read_index(written[0])
    assert [(r.prompt, r.seed) for r in rows] == [("a cat, asleep", 0), ("a dog runs", 0), ("a dog runs", 1)]
    suite = load_suite(written[1])
    assert "prompt_alignment" in [m.name for m in suite.metrics]
    assert len(samples(written[1])) == 3


def test_folders_with_the_same_names_are_models(tmp_path: Path) -> None:
    videos = touch(tmp_path / "v", "m1/0001.mp4", "m1/0002.mp4", "m2/0001.mp4", "m2/0002.mp4", "m2/0003.mp4")
    found = samples(scaffold_suite(videos, tmp_path / "out")[1])
    assert [(s.group, s.prompt_id) for s in found] == [
        ("m1", "0001"),
        ("m1", "0002"),
        ("m2", "0001"),
        ("m2", "0002"),
        ("m2", "0003"),
    ]
    other = touch(tmp_path / "w", "day1/a.mp4", "day2/b.mp4")
    assert {s.group for s in samples(scaffold_suite(other, tmp_path / "out2")[1])} == {"w"}


def test_frames_and_arrays_get_a_rate_to_fill_in(tmp_path: Path) -> None:
    videos = touch(tmp_path / "v", "walk/1.png", "walk/2.png")
    np.save(videos / "a.npy", np.zeros((4, 8, 8, 3), np.uint8))
    suite = scaffold_suite(videos, tmp_path / "out")[1]
    assert "fps: 8" in suite.read_text()
    assert [s.source for s in samples(suite)] == ["a.npy", "walk"]


def test_an_index_among_the_clips_is_used(tmp_path: Path) -> None:
    videos = touch(tmp_path / "v", "a.mp4")
    (videos / "index.csv").write_text("path,prompt\na.mp4,a dog\n")
    written = scaffold_suite(videos, tmp_path / "out")
    assert [p.name for p in written] == ["suite.yaml"]
    assert samples(written[0])[0].prompt == "a dog"
    (videos / "index.csv").write_text("path,prompt\n../a.mp4,a dog\n")
    with pytest.raises(SuiteError, match=r"leaves the root"):
        scaffold_suite(videos, tmp_path / "out2")


def test_fetv(shared_data: Path, tmp_path: Path) -> None:
    suite = scaffold_suite(shared_data / "fetv", tmp_path)[0]
    assert len(samples(suite)) == 89
    shutil.copytree(shared_data / "fetv", tmp_path / "bare", ignore=shutil.ignore_patterns("index.csv"))
    found = samples(scaffold_suite(tmp_path / "bare", tmp_path / "out")[1])
    assert len({s.group for s in found}) == 5
    assert len({s.prompt_id for s in found}) == 18


def test_a_starter_suite_loads(tmp_path: Path) -> None:
    written = scaffold_new(tmp_path / "new suite")
    loaded = load_suite(tmp_path / "new suite" / "suite.yaml")
    assert {p.name for p in written} == {"suite.yaml", "prompts.csv"}
    assert loaded.suite.name == "new-suite"
    assert loaded.prompts[0].text == "a dog walking along the beach at sunset"
    assert loaded.prompts[0].tags == {"setting": "outdoors"}
    assert loaded.gates


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    videos = touch(tmp_path / "v", "a.mp4")
    scaffold_suite(videos, tmp_path)
    before = (tmp_path / "suite.yaml").read_bytes()
    with pytest.raises(
        UsageError, match=r"index.csv, .*suite.yaml: already there, and init overwrites nothing"
    ):
        scaffold_suite(videos, tmp_path)
    with pytest.raises(UsageError, match=r"suite.yaml: already there"):
        scaffold_new(tmp_path)
    assert (tmp_path / "suite.yaml").read_bytes() == before
    assert not (tmp_path / "prompts.csv").exists()


def test_wrong_folders(tmp_path: Path) -> None:
    touch(tmp_path, "file.mp4", "texts/a.txt", "odd/a\nb.mp4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "bytes") + b"/\xff.mp4")).write_bytes(b"x")
    for folder, message in {
        "no": "expected a folder of clips, found nothing",
        "file.mp4": "expected a folder of clips, found a file",
        "empty": "no clips in it .it is empty",
        "texts": "no clips in it .not clips: a.txt",
        "odd": "rename these clips first: .*holds a control character",
        "bytes": "1 clips have names that are not UTF-8; rename them",
    }.items():
        with pytest.raises(UsageError, match=message):
            scaffold_suite(tmp_path / folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
