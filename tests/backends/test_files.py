"""Clips made elsewhere: indexes, bare folders, names, links, missing files, frames and arrays."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vgaudit.backends.base import BackendContext, Generated, GenerationOutcome, PromptSpec, VideoRequest
from vgaudit.backends.clip_sources import find_clips
from vgaudit.backends.files import FilesBackend, FilesOptions
from vgaudit.errors import SuiteError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not decoded here")


def write_index(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def backend(base: Path, name: str = "", video: VideoRequest | None = None, **options: Any) -> FilesBackend:
    options.setdefault("root", "clips")
    context = BackendContext(base, name, 0, video or VideoRequest(), {"encoder": {"crf": 10}})
    return FilesBackend(FilesOptions(**options), context)


def made(reader: FilesBackend) -> list[Generated]:
    return list(reader.generate(reader.samples([], [0])))


def test_index_becomes_samples_in_groups(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a/1.mp4", "b/1.mp4")
    write_index(
        tmp_path / "index.csv",
        [
            {
                "path": "a/1.mp4",
                "prompt": "a dog",
                "prompt_id": "dog",
                "model": "a",
                "seed": 4,
                "style": "ink",
            },
            {
                "path": "b/1.mp4",
                "prompt": "a dog",
                "prompt_id": "dog",
                "model": "b",
                "seed": 4,
                "style": "ink",
            },
        ],
    )
    reader = backend(tmp_path, index="index.csv")
    samples = reader.samples([], [0, 1])
    assert [(s.group, s.prompt_id, s.prompt, s.seed, s.source) for s in samples] == [
        ("a", "dog", "a dog", 4, "a/1.mp4"),
        ("b", "dog", "a dog", 4, "b/1.mp4"),
    ]
    assert samples[0].tags == {"style": "ink"}
    assert samples[0].sample_id.startswith("dog-4-")
    answers = list(reader.generate(samples))
    assert [a.path for a in answers] == [
        (tmp_path / "clips" / s.source).resolve() for s in samples if s.source
    ]
    assert reader.source_path(samples[0]) == tmp_path / "clips" / "a/1.mp4"


def test_an_index_in_the_root_is_found_too(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4")
    write_index(tmp_path / "clips" / "index.csv", [{"path": "a.mp4", "prompt": "x"}])
    assert backend(tmp_path, index="index.csv").samples([], [])[0].group == "clips"


def test_another_row_moves_no_id(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4", "b.mp4")
    rows = [{"path": "a.mp4", "prompt": "x"}, {"path": "b.mp4", "prompt": "y"}]
    write_index(tmp_path / "index.csv", rows[:1])
    before = backend(tmp_path, index="index.csv")
    first = before.samples([], [])[0].sample_id
    write_index(tmp_path / "index.csv", rows[::-1])
    after = backend(tmp_path, index="index.csv")
    assert [s.sample_id for s in after.samples([], [])][1] == first
    assert after.fingerprint != before.fingerprint


def test_what_changes_the_stored_bytes_changes_the_id(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4")

    def sample_id(**options: Any) -> str:
        return backend(tmp_path, **options).samples([], [])[0].sample_id

    assert sample_id() == sample_id()
    assert len({sample_id(), sample_id(name="other"), sample_id(video=VideoRequest(frames=8))}) == 3


def test_bare_folder_leaves_out_what_is_no_clip(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "10.mp4", "9.mp4", "deep/x.webm", ".hidden.mp4", ".cache/y.mp4", "notes.txt")
    reader = backend(tmp_path)
    assert [s.source for s in reader.samples([], [])] == ["9.mp4", "10.mp4", "deep/x.webm"]
    assert reader.notes == ("not clips: notes.txt",)
    sample = reader.samples([], [])[2]
    assert (sample.prompt, sample.prompt_id, sample.seed, sample.group) == ("", "deep/x", None, "clips")
    assert [s.source for s in backend(tmp_path, pattern="deep/*").samples([], [])] == ["deep/x.webm"]


def test_vbench_names_say_prompt_and_seed(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a dog runs-0.mp4", "a dog runs-1.mp4", "a well-known cat-0.mp4")
    samples = backend(tmp_path).samples([], [])
    assert [(s.prompt, s.seed) for s in samples] == [
        ("a dog runs", 0),
        ("a dog runs", 1),
        ("a well-known cat", 0),
    ]
    assert samples[0].prompt_id == samples[1].prompt_id != samples[2].prompt_id
    assert {s.prompt for s in backend(tmp_path, naming="plain").samples([], [])} == {""}


@pytest.mark.parametrize(
    "names",
    [
        ("clip-0.mp4", "clip-1.mp4"),
        ("a dog runs-0.mp4", "intro.mp4"),
        ("first take-1.mp4", "second take-2.mp4"),
        ("2024 05-11.mp4", "2024 06-12.mp4"),
    ],
)
def test_names_that_only_end_in_a_number_are_no_prompts(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path / "clips", *names)
    assert {(s.prompt, s.seed) for s in backend(tmp_path).samples([], [])} == {("", None)}


def test_vbench_naming_can_be_demanded(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "barn-0.mp4")
    assert backend(tmp_path, naming="vbench").samples([], [])[0].prompt == "barn"
    touch(tmp_path / "clips", "intro.mp4")
    reader = backend(tmp_path, naming="vbench")
    assert [(s.prompt, s.seed) for s in reader.samples([], [])] == [("barn", 0), ("", None)]
    assert reader.notes == ("1 of 2 names follow VBench's <prompt>-<i>; no prompt is known of intro.mp4",)
    touch(tmp_path / "other", "intro.mp4")
    with pytest.raises(SuiteError, match=r"naming: vbench expects .*no name has that shape, such as intro"):
        backend(tmp_path, root="other", naming="vbench")


def test_one_stray_file_does_not_switch_naming_off_without_a_word(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a dog runs-0.mp4", "a dog runs-1.mp4", "a cat sits-0.mp4", "other.mp4")
    reader = backend(tmp_path)
    assert {s.prompt for s in reader.samples([], [])} == {""}
    assert reader.notes == (
        "3 of 4 names follow VBench's <prompt>-<i>; prompts and seeds were not taken from names because "
        "other.mp4 does not; say naming: vbench or move it",
    )
    assert backend(tmp_path, naming="plain").notes == ()
    touch(tmp_path / "plain", "clip-0.mp4", "clip-1.mp4", "other.mp4")
    assert backend(tmp_path, root="plain").notes == ()


def test_prompts_file_by_path_by_id_and_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "0001-2.mp4", "0002.mp4", "extra.mp4")
    (tmp_path / "path.csv").write_text("path,prompt,style\n0001-2.mp4,a dog,ink\n0002.mp4,a cat,oil\n")
    (tmp_path / "id.csv").write_text("id,prompt\n0001,a dog\n0002,a cat\n")
    (tmp_path / "order.txt").write_text("a dog\na cat\na cow\n")
    by_path = backend(tmp_path, prompts="path.csv")
    assert [(s.prompt, s.seed) for s in by_path.samples([], [])] == [
        ("a dog", None),
        ("a cat", None),
        ("", None),
    ]
    assert by_path.samples([], [])[0].tags == {"style": "ink"}
    assert by_path.notes == ("clips without a prompt: extra.mp4",)
    by_id = backend(tmp_path, prompts="id.csv").samples([], [])
    assert [(s.prompt_id, s.prompt, s.seed) for s in by_id[:2]] == [
        ("0001", "a dog", 2),
        ("0002", "a cat", None),
    ]
    in_order = backend(tmp_path, prompts="order.txt").samples([], [])
    assert [s.prompt for s in in_order] == ["a dog", "a cat", "a cow"]


@pytest.mark.parametrize("list_name", ["list.csv", "list.txt"])
def test_vbench_names_are_matched_with_a_list_by_the_prompt(tmp_path: Path, list_name: str) -> None:
    touch(tmp_path / "clips", "A dog  runs-0.mp4", "A dog  runs-1.mp4", "a cat sits-0.mp4", "a cow-0.mp4")
    head = "prompt\n" if list_name.endswith("csv") else ""
    (tmp_path / list_name).write_text(f"{head}a cat sits\na dog runs\nnobody asked\na bird\n")
    reader = backend(tmp_path, prompts=list_name)
    assert {s.source: (s.prompt, s.seed) for s in reader.samples([], [])} == {
        "A dog  runs-0.mp4": ("a dog runs", 0),
        "A dog  runs-1.mp4": ("a dog runs", 1),
        "a cat sits-0.mp4": ("a cat sits", 0),
        "a cow-0.mp4": ("", None),
    }
    assert reader.notes == ("clips without a prompt: a cow-0.mp4",)


def test_prompts_that_a_name_cannot_tell_apart_are_not_matched(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a dog runs-0.mp4", "a cat sits-0.mp4")
    (tmp_path / "list.csv").write_text("prompt\na dog runs\nA dog runs\na cat sits\n")
    dog, cat = (
        s.prompt
        for s in sorted(
            backend(tmp_path, prompts="list.csv").samples([], []),
            key=lambda s: s.source != "a dog runs-0.mp4",
        )
    )
    assert (dog, cat) == ("", "a cat sits")


def test_missing_files_of_an_index_are_noted(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4")
    names = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"]
    write_index(tmp_path / "index.csv", [{"path": n, "prompt_id": n} for n in names])
    assert backend(tmp_path, index="index.csv").notes == (
        "4 of the index's 5 files are missing: b.mp4, c.mp4, d.mp4 and 1 more",
    )


def test_what_lacks_a_frame_rate_does_not_keep_a_folder_from_being_judged(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4", "stills/1.png", "stills/2.png")
    np.save(tmp_path / "clips" / "b.npy", np.zeros((2, 8, 8, 3), np.uint8))
    answers = {a.sample.source: a for a in made(backend(tmp_path))}
    assert answers["a.mp4"].outcome is GenerationOutcome.OK
    for name in ("b.npy", "stills"):
        assert answers[name].outcome is GenerationOutcome.ERROR
        assert answers[name].message.startswith(f"{name}: frames and arrays carry no frame rate; set `fps`")


def test_an_index_tells_all_clips_that_lack_a_frame_rate(tmp_path: Path) -> None:
    names = [f"{i}.npy" for i in range(12)]
    touch(tmp_path / "clips", *names)
    write_index(tmp_path / "index.csv", [{"path": n, "prompt_id": n} for n in names])
    with pytest.raises(SuiteError) as error:
        backend(tmp_path, index="index.csv")
    text = str(error.value)
    assert all(text.count(f": {n}: frames and arrays") == 1 for n in names[:10])
    assert names[10] not in text
    assert "2 more clips lack a frame rate" in text


def test_missing_and_escaping_clips_are_errors_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "outside.mp4")
    touch(tmp_path / "clips", "a.mp4", "notes.txt")
    (tmp_path / "clips" / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (tmp_path / "clips" / "inner.mp4").symlink_to(tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "loop.mp4").symlink_to(tmp_path / "clips" / "loop.mp4")
    os.mkfifo(tmp_path / "clips" / "pipe.mp4")
    names = ["a.mp4", "gone.mp4", "link.mp4", "inner.mp4", "loop.mp4", "pipe.mp4", "notes.txt"]
    write_index(tmp_path / "index.csv", [{"path": n, "prompt_id": n} for n in names])
    reader = backend(tmp_path, index="index.csv")
    answers = {a.sample.source: a for a in made(reader)}
    assert answers["a.mp4"].outcome is answers["inner.mp4"].outcome is GenerationOutcome.OK
    wrong = {name: a.message for name, a in answers.items() if a.outcome is GenerationOutcome.ERROR}
    assert wrong.pop("loop.mp4", "").startswith("loop.mp4: ")
    assert wrong == {
        "gone.mp4": "gone.mp4: file not found",
        "link.mp4": "link.mp4: is a link that leaves the root; copy the clip into it, or make the root wider",
        "pipe.mp4": "pipe.mp4: is neither a file nor a folder",
        "notes.txt": "notes.txt: expected a media file, a folder of frames, .npy or .npz, found '.txt'",
    }
    gone = next(s for s in reader.samples([], []) if s.source == "gone.mp4")
    assert reader.source_path(gone) is None


def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "b.mp4")
    touch(tmp_path / "clips", "a.mp4")
    (tmp_path / "clips" / "sub").symlink_to(tmp_path / "elsewhere")
    reader = backend(tmp_path)
    assert [s.source for s in reader.samples([], [])] == ["a.mp4"]
    assert reader.notes == ("linked folders, not followed: sub",)


def test_the_suites_prompts_fill_in_text_tags_and_expectations(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4", "b.mp4")
    write_index(
        tmp_path / "index.csv",
        [
            {"path": "a.mp4", "prompt_id": "dog", "prompt": ""},
            {"path": "b.mp4", "prompt_id": "", "prompt": "a cat"},
        ],
    )
    expect = ({"is": "a dog", "not": ["a cat"]},)
    prompts = [PromptSpec("dog", "a dog", {"kind": "animal"}, expect), PromptSpec("cat", "a cat")]
    dog, cat = backend(tmp_path, index="index.csv").samples(prompts, [0])
    assert (dog.prompt, dog.tags, dog.expect) == ("a dog", {"kind": "animal"}, expect)
    assert cat.prompt_id == "cat"


def test_frames_and_arrays_come_exactly(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 10, 3), dtype=np.uint8)
    folder = tmp_path / "clips" / "walk"
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{i}.png"), frame[..., ::-1])
    np.save(tmp_path / "clips" / "array.npy", frames)
    np.savez(tmp_path / "clips" / "packed.npz", frames=frames)
    reader = backend(tmp_path, fps=12.0)
    answers = made(reader)
    assert [a.sample.source for a in answers] == ["array.npy", "packed.npz", "walk"]
    for answer in answers:
        assert answer.frames is not None
        np.testing.assert_array_equal(answer.frames, frames)
        assert (answer.fps, answer.exact, answer.path) == (12.0, True, None)
    other = backend(tmp_path, video=VideoRequest(fps=12.0)).samples([], [])
    assert other[0].sample_id != backend(tmp_path, fps=24.0).samples([], [])[0].sample_id


def test_a_pickled_array_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    np.save(tmp_path / "clips" / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (answer,) = made(backend(tmp_path, fps=8))
    assert answer.outcome is GenerationOutcome.ERROR
    assert "evil.npy" in answer.message


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no root": ({"root": "nowhere"}, "root: .*nowhere does not exist; expected a folder of clips"),
    "root a file": ({"root": "index.csv"}, "is a file; expected the folder that holds it"),
    "empty root": ({"root": "empty"}, "root: no clip in .*it is empty"),
    "no clips": ({"root": "texts"}, "root: no clip in .*not clips: a.txt"),
    "pattern without match": ({"pattern": "*.webm"}, "no clip in"),
    "no index": ({"index": "no.csv"}, "no.csv: no such file"),
    "index and prompts": (
        {"index": "index.csv", "prompts": "p.txt"},
        "prompts is for a folder without an index",
    ),
    "index and pattern": (
        {"index": "index.csv", "pattern": "*.mp4"},
        "pattern is for a folder without an index",
    ),
    "all missing": ({"root": "empty", "index": "index.csv"}, "none of the 1 clips is in .*first: a.mp4"),
    "lines and clips differ": ({"prompts": "p.txt"}, "2 prompts for 1 clips"),
    "path names no clip": ({"prompts": "lost.csv"}, "lost.csv:2: path 'b.mp4' is not among the 1 clips"),
    "ids name no clip": (
        {"prompts": "ids.csv"},
        "no prompt's id is the name of a clip .first id 'x', first clip 'a.mp4'",
    ),
    "no frame rate": (
        {"root": "arrays", "index": "arrays.csv"},
        "arrays.csv:2: x.npy: frames and arrays carry no frame rate",
    ),
    "same seed twice": (
        {"index": "twice.csv"},
        "twice.csv:3: seed 1 of prompt 'p' in group 'clips' is also 'a.mp4'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options(tmp_path: Path, case: str) -> None:
    options, message = WRONG[case]
    touch(tmp_path / "clips", "a.mp4")
    touch(tmp_path / "texts", "a.txt")
    touch(tmp_path / "arrays", "x.npy")
    (tmp_path / "empty").mkdir()
    write_index(tmp_path / "index.csv", [{"path": "a.mp4", "prompt": "x"}])
    write_index(tmp_path / "arrays.csv", [{"path": "x.npy", "prompt": "x"}])
    twice = [{"path": p, "prompt_id": "p", "seed": 1} for p in ("a.mp4", "b.mp4")]
    write_index(tmp_path / "twice.csv", twice)
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    (tmp_path / "lost.csv").write_text("path,prompt\nb.mp4,x\n")
    (tmp_path / "ids.csv").write_text("id,prompt\nx,y\n")
    with pytest.raises(SuiteError, match=message):
        backend(tmp_path, **options)


def test_prompts_that_do_not_fit_the_suite(tmp_path: Path) -> None:
    touch(tmp_path / "clips", "a.mp4", "b.mp4")
    rows = [{"path": "a.mp4", "prompt_id": "dgo"}, {"path": "b.mp4", "prompt_id": "cat", "prompt": "a cow"}]
    write_index(tmp_path / "index.csv", [{"prompt": "", **r} for r in rows])
    reader = backend(tmp_path, index="index.csv")
    with pytest.raises(SuiteError) as error:
        reader.samples([PromptSpec("dog", "a dog"), PromptSpec("cat", "a cat")], [0])
    assert "index.csv:2: prompt_id 'dgo' is not among the suite's 2 prompts; did you mean 'dog'?" in str(
        error.value
    )
    assert "index.csv:3: prompt 'a cow' of 'cat' differs from the suite's 'a cat'" in str(error.value)


def test_fetv(shared_data: Path) -> None:
    samples = backend(shared_data, root="fetv", index="index.csv").samples([], [0])
    assert len(samples) == len({s.sample_id for s in samples}) == 89
    assert {s.group for s in samples} >= {"real", "cogvideo"}


def test_run_directories_and_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    touch(clips, "a.mp4", ".cache/b.mp4", "film/manifest.json", "film/c.mp4")
    before = find_clips(clips)
    assert before.clips == ("a.mp4", "film/c.mp4")  # a manifest alone is no run
    run = "reports/clips-1234"
    touch(clips, f"{run}/manifest.json", f"{run}/plan.jsonl", f"{run}/clips/x.mp4", f"{run}/frames/1.png")
    assert find_clips(clips) == before
    with pytest.raises(SuiteError, match=r"no clip in .*run directories, not searched: clips-1234"):
        made(backend(tmp_path, root="clips/reports"))
