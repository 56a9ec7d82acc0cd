"""Index files and prompt lists: what they say, and every way they can be wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.errors import SuiteError
from vgaudit.index import prompt_id_of, read_index, read_prompts
from vgaudit.rows import MAX_FIELD_CHARS


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@contextmanager
def refused(message: str | None = None) -> Iterator[pytest.ExceptionInfo[SuiteError]]:
    """What happens inside is a wrong index or prompt file, which ends a command with exit code 2."""
    with pytest.raises(SuiteError, match=message) as error:
        yield error
    assert error.value.exit_code == 2


def test_csv_with_bom_quotes_and_embedded_newlines(tmp_path: Path) -> None:
    text = (
        "\ufeffpath,prompt,prompt_id,seed,model,category\r\n"
        'a/1.mp4,"a ""red"" fox, running",fox,3,m1,animals\r\n'
        'b.mp4,"two\nlines",two,,m2,\r\n'
        "c.mp4,plain,,0,m1,x\r\n"
    )
    rows = read_index(write(tmp_path, "index.csv", text))
    assert [(r.path, r.prompt, r.prompt_id, r.seed, r.model, r.line) for r in rows] == [
        ("a/1.mp4", 'a "red" fox, running', "fox", 3, "m1", 2),
        ("b.mp4", "two\nlines", "two", None, "m2", 3),
        ("c.mp4", "plain", prompt_id_of("plain"), 0, "m1", 5),
    ]
    assert rows[0].tags == {"category": "animals"}
    assert rows[0].id_given
    assert not rows[2].id_given


def test_jsonl_with_nested_tags_and_numbers(tmp_path: Path) -> None:
    lines = [
        {"path": "a.mp4", "prompt": "x\u2028y", "prompt_id": 7, "seed": 1, "tags": {"k": "v"}, "score": 0.5},
        {"path": "./b.mp4", "prompt_id": "b", "flag": True, "none": None},
    ]
    rows = read_index(
        write(tmp_path, "i.jsonl", "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    )
    assert (rows[0].prompt_id, rows[0].seed, rows[0].tags) == ("7", 1, {"k": "v", "score": "0.5"})
    assert (rows[1].path, rows[1].prompt, rows[1].tags, rows[1].line) == ("b.mp4", "", {"flag": "true"}, 3)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_spreadsheets_separate_with_is_read_too(tmp_path: Path, separator: str) -> None:
    lines = [["path", "prompt", "seed"], ["a.mp4", '"a dog, a ""cat""; both"', "3"], ["b.mp4", "a cow", ""]]
    path = write(tmp_path, "index.csv", "\ufeff\n" + "\n".join(map(separator.join, lines)))
    assert [(r.path, r.prompt, r.seed) for r in read_index(path)] == [
        ("a.mp4", 'a dog, a "cat"; both', 3),
        ("b.mp4", "a cow", None),
    ]
    quoted = write(tmp_path, "quoted.csv", '"path";"prompt"\r\n"a.mp4";"x"\r\n')
    assert read_index(quoted)[0].prompt == "x"


def test_fetv_index(shared_data: Path) -> None:
    rows = read_index(shared_data / "fetv" / "index.csv")
    assert len(rows) == 89
    assert len({r.model for r in rows}) == 5
    assert {"category", "alignment"} <= rows[0].tags.keys()


WRONG_INDEXES: dict[str, tuple[str | bytes, str]] = {
    "missing column with a hint": (
        "paht,prompt\na.mp4,x\n",
        "1: column 'paht' is not known; did you mean 'path'?",
    ),
    "missing column": ("file,prompt\na.mp4,x\n", "1: expected a column 'path', found 'file', 'prompt'"),
    "neither prompt nor id": (
        "path,seed\na.mp4,1\n",
        "1: expected a column 'prompt' or 'prompt_id', found neither",
    ),
    "misspelt optional column": (
        "path,prompt,sead\na.mp4,x,1\n",
        "1: column 'sead' is not known; did you mean 'seed'?",
    ),
    "capitals": ("Path,prompt\na.mp4,x\n", "1: column 'Path' is not known; did you mean 'path'?"),
    "bars": ("path|prompt\na.mp4|x\n", "1: the header is separated by '|'; expected commas"),
    "semicolons without a path": (
        "file;prompt\na.mp4;x\n",
        "1: the header is separated by ';'; expected commas",
    ),
    "column twice": ("path,prompt,prompt\na.mp4,x,y\n", "1: column 'prompt' occurs 2 times in the header"),
    "column without a name": ("path,prompt,\na.mp4,x,y\n", "1: column 3 of the header has no name"),
    "empty path": ("path,prompt\n,x\n", "2: path: is empty"),
    "parent folder": ("path,prompt\n../a.mp4,x\n", "2: path: '../a.mp4' leaves the root"),
    "parent folder inside": ("path,prompt\na/../../b.mp4,x\n", "2: path: 'a/../../b.mp4' leaves the root"),
    "parent folder of Windows": ("path,prompt\na\\..\\..\\b.mp4,x\n", "leaves the root"),
    "absolute path": ("path,prompt\n/etc/passwd,x\n", "2: path: '/etc/passwd' is absolute"),
    "absolute path of Windows": ("path,prompt\nC:\\a.mp4,x\n", "is absolute"),
    "the root itself": ("path,prompt\n.,x\n", "2: path: '.' is the root itself"),
    "control character": ("path,prompt\na\x07.mp4,x\n", "2: path: 'a\\x07.mp4' holds a control character"),
    "path twice": (
        "path,prompt\na.mp4,x\nb.mp4,y\n./a.mp4,x\n",
        "4: path: 'a.mp4' was already given in line 2",
    ),
    "two prompts of one id": (
        "path,prompt,prompt_id\na.mp4,x,1\nb.mp4,y,1\n",
        "3: prompt_id '1' has the prompt 'y', but in line 2 it has 'x'",
    ),
    "seed a word": ("path,prompt,seed\na.mp4,x,one\n", "2: seed: expected an integer, found 'one'"),
    "seed a fraction": ("path,prompt,seed\na.mp4,x,1.0\n", "2: seed: expected an integer, found '1.0'"),
    "seed too large": ("path,prompt,seed\na.mp4,x,9999999999999999999\n", "2: seed: expected an integer"),
    "seed with an underscore": (
        "path,prompt,seed\na.mp4,x,1_0\n",
        "2: seed: expected an integer, found '1_0'",
    ),
    "not UTF-8": (b"path,prompt\na.mp4,caf\xe9\n", "2: byte 0xe9 is not UTF-8"),
    "UTF-16": ("path,prompt\na.mp4,x\n".encode("utf-16"), "1: the file is UTF-16"),
    "NUL": (b"path,prompt\na.mp4,x\nb\0.mp4,y\n", "3: found a NUL byte"),
    "empty file": ("", "1: the file is empty"),
    "header only": ("path,prompt\n", "1: no rows"),
    "too few fields": ("path,prompt,seed\na.mp4,x\n", "2: expected 3 fields as in the header, found 2"),
    "too many fields": ("path,prompt\na.mp4,x,y\n", "2: expected 2 fields as in the header, found 3"),
    "huge field": (
        "path,prompt\na.mp4," + "x" * (MAX_FIELD_CHARS + 1) + "\n",
        "2: a field has 20001 characters",
    ),
    "field beyond the parser": (
        "path,prompt\na.mp4," + "x" * 200_000 + "\n",
        "2: not well-formed CSV: field larger",
    ),
    "open quote": ('path,prompt\na.mp4,"x\n', "2: not well-formed CSV"),
    "long id": ("path,prompt_id\na.mp4," + "i" * 201 + "\n", "2: prompt_id: 201 characters"),
    "bad tags": (
        "path,prompt,tags\na.mp4,x,ink\n",
        "2: tags: expected 'name=value; name=value', found 'ink'",
    ),
}


@pytest.mark.parametrize("case", WRONG_INDEXES)
def test_wrong_csv(tmp_path: Path, case: str) -> None:
    content, message = WRONG_INDEXES[case]
    path = write(tmp_path, "index.csv", content)
    with refused() as error:
        read_index(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}:")


WRONG_LINES = {
    "not JSON": ("{path: 1}", "1: not a JSON object"),
    "half a character": (
        r'{"path": "a.mp4", "prompt": "x\ud83d"}',
        "1: a string holds half of a surrogate pair",
    ),
    "half a character in a tag": (
        r'{"path": "a.mp4", "prompt": "x", "tags": {"k\udc00": "v"}}',
        "1: a string holds half of a surrogate pair",
    ),
    "a list": ("[1, 2]", "1: expected a JSON object, found a list"),
    "path a number": ('{"path": 5, "prompt": "x"}', "1: path: expected a string, found a number"),
    "prompt a list": ('{"path": "a.mp4", "prompt": ["x"]}', "1: prompt: expected a string, found a list"),
    "seed a truth value": ('{"path": "a.mp4", "prompt": "x", "seed": true}', "1: seed: expected an integer"),
    "seed a float": ('{"path": "a.mp4", "prompt": "x", "seed": 1.5}', "1: seed: expected an integer"),
    "tags a list": ('{"path": "a.mp4", "prompt": "x", "tags": ["a"]}', "1: tags: expected an object"),
    "tag an object": (
        '{"path": "a.mp4", "prompt": "x", "camera": {"a": 1}}',
        "1: camera: expected text or a number",
    ),
    "key twice": (
        '{"path": "a.mp4", "path": "b.mp4", "prompt": "x"}',
        "1: not a JSON object: key 'path' occurs twice",
    ),
    "NaN": (
        '{"path": "a.mp4", "prompt": "x", "score": NaN}',
        "1: not a JSON object: NaN is not a JSON value",
    ),
    "escaped NUL": ('{"path": "a.mp4", "prompt": "x\\u0000"}', "1: prompt: found a NUL character"),
    "too deep": ('{"path": ' + "[" * 100_000, "1: not a JSON object: nested too deeply"),
    "no path": ('{"prompt": "x"}', "1: expected a column 'path', found 'prompt'"),
    "tag twice": (
        '{"path": "a.mp4", "prompt": "x", "k": "1", "tags": {"k": "2"}}',
        "given both as a column and in",
    ),
}


@pytest.mark.parametrize("case", WRONG_LINES)
def test_wrong_jsonl(tmp_path: Path, case: str) -> None:
    content, message = WRONG_LINES[case]
    with refused() as error:
        read_index(write(tmp_path, "index.jsonl", content))
    assert message in str(error.value)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "index.csv", "path,prompt,seed\n,x,1\n../b.mp4,y,2\nc.mp4,z,three\n")
    with refused() as error:
        read_index(path)
    assert [p.split(":")[1] for p in error.value.problems] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.csv", "no such file"),
        ("folder", "expected a file"),
        ("index.xlsx", "expected a .csv or .jsonl file, found '.xlsx'"),
        ("index", "found 'no extension'"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, message: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
        name = "folder.csv"
        (tmp_path / name).mkdir()
    elif name != "absent.csv":
        write(tmp_path, name, "x")
    with refused(message):
        read_index(tmp_path / name)


def test_prompts_from_each_format(tmp_path: Path) -> None:
    txt = read_prompts(write(tmp_path, "p.txt", "# sea\n\na dog on a beach\n  a boat  \n"))
    assert [(p.text, p.line) for p in txt] == [("a dog on a beach", 3), ("a boat", 4)]
    table = read_prompts(
        write(tmp_path, "p.csv", "prompt,id,style,tags\na dog,d1,ink,mood=calm; time=night\n")
    )
    assert (table[0].prompt_id, table[0].tags) == ("d1", {"mood": "calm", "time": "night", "style": "ink"})
    line = json.dumps({"prompt": "a dog", "expect": [{"is": "a dog", "not": ["a cat"]}]})
    assert read_prompts(write(tmp_path, "p.jsonl", line))[0].expect == ({"is": "a dog", "not": ["a cat"]},)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", "# nothing\n", "1: no prompts"),
        ("p.txt", "same\nsame\n", "2: prompt 'same' was already given in line 1"),
        ("p.csv", "prompt,id\nx,1\ny,1\n", "3: id '1' was already given in line 2"),
        ("p.csv", "promt\nx\n", "did you mean 'prompt'?"),
        ("p.csv", 'prompt,id\n"",1\n', "2: the prompt is empty"),
        ("p.csv", "prompt,id,prompt_id\nx,1,2\n", "2: found both 'id' and 'prompt_id'"),
        ("p.csv", "prompt,expect\nx,y\n", "2: expect: expected a list of objects (JSONL)"),
        ("p.jsonl", '{"prompt": "x", "expect": ["y"]}', "1: expect: expected a list of objects"),
        ("p.jsonl", '{"prompt": 3}', "1: prompt: expected a string, found a number"),
        ("p.yaml", "x", "expected a .csv, .jsonl or .txt file"),
    ],
)
def test_wrong_prompts(tmp_path: Path, name: str, content: str, message: str) -> None:
    with refused() as error:
        read_prompts(write(tmp_path, name, content))
    assert message in str(error.value)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40).map(str.strip)


@given(st.lists(st.tuples(TEXT, st.integers(-(2**63) + 1, 2**63 - 1)), min_size=1, max_size=6))
def test_any_prompt_survives_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["path", "prompt", "prompt_id", "seed"])
    for i, (prompt, seed) in enumerate(rows):
        writer.writerow([f"{i}.mp4", prompt, f"p{i}", seed])
    path = write(tmp_path_factory.mktemp("csv"), "index.csv", out.getvalue())
    assert [(r.prompt, r.seed) for r in read_index(path)] == rows


@given(st.binary(max_size=300), st.sampled_from(["i.csv", "i.jsonl"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = write(tmp_path_factory.mktemp("bytes"), name, data)
    rows, problems = [], []
    try:
        rows = read_index(path)
    except SuiteError as error:
        problems = error.problems
    assert bool(rows) != bool(problems)


def test_prompt_ids_are_stable_and_readable() -> None:
    assert prompt_id_of("A dog, running!") == "a-dog-running-7303e4aa"
    assert prompt_id_of("A dog, running!") != prompt_id_of("a dog running")
    assert prompt_id_of("犬").isalnum()
