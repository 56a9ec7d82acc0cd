"""Wrong files of every kind through the real command line: the exit code CI sees, and a message, never a trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import media
from tests.clips import clip_folder, write_suite
from tests.portraits import background
from vgaudit.cli import main

Spoil = Callable[[Path], list[str]]
"""Makes an input wrong in a folder that holds clips/ and s.yaml, a suite over them; gives the command's arguments."""


def suite(text: str | bytes, command: str = "validate") -> Spoil:
    def make(folder: Path) -> list[str]:
        (folder / "s.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return [command, "s.yaml"]

    return make


def index(content: str | bytes) -> Spoil:
    def make(folder: Path) -> list[str]:
        (folder / "clips" / "index.csv").write_bytes(
            content.encode() if isinstance(content, str) else content
        )
        return ["validate", "s.yaml"]

    return make


def prompts(name: str, content: str | bytes) -> Spoil:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        command = "{type: command, argv: ['true']}"
        (folder / "s.yaml").write_text(
            f"name: made\nprompts: {name}\nbackend: {command}\nmetrics: {{temporal: {{}}}}\n"
        )
        return ["validate", "s.yaml"]

    return make


def gallery(spoil: Callable[[Path], object]) -> Spoil:
    def make(folder: Path) -> list[str]:
        spoil(folder / "people")
        return ["run", "s.yaml", "--gallery", "people", "--out", "run", "-q"]

    return make


def run_over(spoil: Callable[[Path], object]) -> Spoil:
    """A run over an index one of whose clips is spoilt."""

    def make(folder: Path) -> list[str]:
        clip = folder / "clips" / "alpha-p0-0.mp4"
        clip.unlink()
        spoil(clip)
        return ["run", "s.yaml", "--out", "run", "-q"]

    return make


def score_of(spoil: Callable[[Path], object]) -> Spoil:
    def make(folder: Path) -> list[str]:
        spoil(folder / "x.mp4")
        return ["score", "x.mp4", "--out", "run", "-q"]

    return make


def no_people(people: Path) -> None:
    people.mkdir()


def loose_picture(people: Path) -> None:
    people.mkdir()
    (people / "face.png").write_bytes(b"\x89PNG")


def picture_that_is_none(people: Path) -> None:
    (people / "anna").mkdir(parents=True)
    (people / "anna" / "1.png").write_bytes(b"no picture")


def faceless(people: Path) -> None:
    from PIL import Image

    (people / "anna").mkdir(parents=True)
    Image.fromarray(background(1, 120, 120)[0]).save(people / "anna" / "1.png")


def text_for_a_gallery(people: Path) -> None:
    people.write_text("anna, bert")


def half_a_clip(path: Path) -> None:
    whole = media.write_clip(path.with_name("whole.mp4"), media.moving_square())
    media.cut_short(whole, path)
    whole.unlink()


def text_for_a_clip(path: Path) -> None:
    path.write_text("not a video\n" * 50)


FILES = "name: s\nbackend: {type: files, root: clips, index: index.csv}\n"

WRONG: dict[str, tuple[Spoil, int, str]] = {
    "suite: no YAML": (suite("name: [s\n"), 2, "s.yaml:2"),
    "suite: a list": (suite("- name\n"), 2, "s.yaml:1"),
    "suite: empty": (suite(""), 2, "expected a suite"),
    "suite: not UTF-8": (suite(b"name: caf\xe9\n"), 2, "UTF-8"),
    "suite: unknown key": (suite(FILES + "metric: {}\n"), 2, "did you mean 'metrics'"),
    "suite: unknown metric": (suite(FILES + "metrics: {temporl: {}}\n"), 2, "did you mean 'temporal'"),
    "suite: an object to build": (suite("name: !!python/object:os.system s\n"), 2, "s.yaml:1"),
    "suite: no clips there": (
        suite(FILES.replace("clips", "absent") + "metrics: {temporal: {}}\n"), 2, "absent"
    ),
    "index: misspelt column": (index("paht,prompt\na.mp4,x\n"), 2, "did you mean 'path'"),
    "index: leaves the root": (index("path,prompt\n../a.mp4,x\n"), 2, "leaves the root"),
    "index: not UTF-8": (index(b"path,prompt\na.mp4,caf\xe9\n"), 2, "not UTF-8"),
    "index: empty": (index(""), 2, "the file is empty"),
    "index: seed a word": (index("path,prompt,seed\na.mp4,x,one\n"), 2, "seed: expected an integer"),
    "prompts: empty": (prompts("p.txt", ""), 2, "p.txt:1"),
    "prompts: a spreadsheet": (prompts("p.xlsx", "PK"), 2, "found '.xlsx'"),
    "prompts: no column": (prompts("p.csv", "text\na dog\n"), 2, "p.csv:1"),
    "prompts: broken JSON": (prompts("p.jsonl", '{"prompt": \n'), 2, "not a JSON object"),
    "gallery: absent": (gallery(lambda people: None), 2, "found nothing there"),
    "gallery: nobody": (gallery(no_people), 2, "nobody in it"),
    "gallery: loose picture": (gallery(loose_picture), 2, "lies directly in the gallery"),
    "gallery: no picture": (gallery(picture_that_is_none), 2, "no usable picture of anna"),
    "gallery: no face": (gallery(faceless), 2, "no usable picture of anna"),
    "gallery: text": (gallery(text_for_a_gallery), 2, "neither a gallery file nor a folder"),
    "run: half a clip": (run_over(half_a_clip), 4, "cut short"),
    "run: text for a clip": (run_over(text_for_a_clip), 4, "not a video that can be read"),
    "run: empty clip": (run_over(Path.touch), 4, "empty (0 bytes)"),
    "score: half a clip": (score_of(half_a_clip), 3, "cut short"),
    "score: text for a clip": (score_of(text_for_a_clip), 3, "not a video that can be read"),
    "score: empty clip": (score_of(Path.touch), 3, "empty (0 bytes)"),
    "score: picture bomb": (score_of(media.gif_bomb), 3, "limits.max_pixels"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_ends_in_its_exit_code_and_a_message(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip_folder(tmp_path / "clips", models=("alpha",), seeds=1)
    write_suite(tmp_path / "s.yaml", Path("clips"))
    spoil, code, message = WRONG[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vgaudit", *spoil(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    text = said.out + said.err
    assert (code == 2) == bool(said.err)
    if (summary := tmp_path / "run" / "summary.md").exists():  # a run names its failed clips in its reports
        text += summary.read_text("utf-8")
    assert ended.value.code == code, text
    assert message in text
    assert "Traceback" not in text
