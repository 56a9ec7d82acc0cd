"""Prompt files of benchmarks become suites that load, say where they are from, and are the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.imports.files import FETV, VBENCH, write_all
from vgaudit.errors import SuiteError, UsageError
from vgaudit.imports import FORMATS, ImportedSuite, import_suite
from vgaudit.imports.entries import MAX_BYTES, MAX_TEXT, Entry
from vgaudit.imports.suite_text import merged, quoted, sampled
from vgaudit.index import prompt_id_of
from vgaudit.suite import LoadedSuite, load_suite_text
from vgaudit.suite.located_yaml import parse

KINDS = (
    "vbench", "vbench lists", "vbench categories", "t2vsafetybench", "moviegen", "moviegen list", "fetv",
    "t2v-compbench", "t2v-compbench lists",
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_all(tmp_path / "benchmarks")


def benchmark(kind: str) -> str:
    return kind.split(maxsplit=1)[0]


def loaded(made: ImportedSuite) -> LoadedSuite:
    return load_suite_text(made.text, base_dir=Path())


def suite_of(files: dict[str, Path], kind: str, **options: Any) -> LoadedSuite:
    return loaded(import_suite(benchmark(kind), files[kind], **options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_becomes_a_suite(files: dict[str, Path], kind: str) -> None:
    made = import_suite(benchmark(kind), files[kind])
    suite = loaded(made)
    assert len(suite.prompts) == made.prompts > 0
    assert len({p.prompt_id for p in suite.prompts}) == made.prompts
    assert sum(len(p.expect) for p in suite.prompts) == made.expectations
    assert len(suite.seeds) == made.seeds
    assert suite.gates == ()
    assert {"integrity", "temporal"} <= {m.name for m in suite.metrics}
    head = made.text.split("name:")[0]
    assert FORMATS[benchmark(kind)].title in head
    assert f"{made.entries} entries, {made.different} different prompts" in head.replace("\n# ", " ")
    assert str(files[kind].parent) not in made.text, "a path of this machine"
    assert all(len(line) <= 110 for line in head.splitlines())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_file_gives_the_same_bytes(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    elsewhere = write_all(tmp_path / "other")
    one, two = (import_suite(benchmark(kind), where[kind], sample=2) for where in (files, elsewhere))
    assert one.text == two.text


def test_vbench_keeps_dimensions_and_protocol(files: dict[str, Path]) -> None:
    made = import_suite("vbench", files["vbench"])
    suite = loaded(made)
    tags = {p.text: set(p.tags) for p in suite.prompts}
    assert tags["an otter swims along the shore"] == {
        "dimension.subject_consistency", "dimension.dynamic_degree", "dimension.motion_smoothness",
    }  # fmt: skip
    assert tags["orchard"] == {
        "dimension.scene", "dimension.background_consistency", "dimension.overall_consistency",
    }  # fmt: skip
    assert suite.seeds == (0, 1, 2, 3, 4)
    assert [m.options.dimensions for m in suite.metrics if m.name == "vbench"] == [("temporal_flickering",)]
    assert (made.entries, made.different) == (10, 9)
    assert len(suite_of(files, "vbench", seeds=2).seeds) == 2


def test_vbench_states_colours_and_places_and_nothing_else(files: dict[str, Path]) -> None:
    expect = {p.text: p.expect for p in suite_of(files, "vbench").prompts if p.expect}
    assert expect == {
        "a teal lantern": (
            {"is": "a teal lantern", "not": ["an amber lantern", "a beige lantern"], "about": "colour"},
        ),
        "an amber lantern": (
            {"is": "an amber lantern", "not": ["a teal lantern", "a beige lantern"], "about": "colour"},
        ),
        "a beige lantern": (
            {"is": "a beige lantern", "not": ["a teal lantern", "an amber lantern"], "about": "colour"},
        ),
        "a lantern on the left of a drum, front view": (
            {
                "is": "a lantern on the left of a drum, front view",
                "not": ["a lantern on the right of a drum, front view"],
                "about": "spatial relationship",
            },
        ),
    }, "an amber drum has no other colour in the file"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a lantern that is teal", {"color": {"color": "teal"}}),
        ("a teal lantern", {"color": {"color": "amber"}}),
        ("a teal lantern", {"color": "teal"}),
        ("a teal lantern", {}),
    ],
)
def test_a_label_that_the_prompt_does_not_bear_out_states_nothing(
    tmp_path: Path, text: str, label: dict[str, Any]
) -> None:
    others = [{**item} for item in VBENCH if item["prompt_en"] in ("an amber lantern", "a beige lantern")]
    path = tmp_path / "VBench_full_info.json"
    path.write_text(
        json.dumps([{"prompt_en": text, "dimension": ["color"], "auxiliary_info": label}, *others])
    )
    first, *rest = loaded(import_suite("vbench", path)).prompts
    assert first.expect == ()
    assert all(len(p.expect[0]["not"]) == 1 for p in rest)


def test_lists_of_vbench_have_the_dimensions_that_are_asked_of_them(files: dict[str, Path]) -> None:
    suite = suite_of(files, "vbench lists")
    assert {p.text: sorted(p.tags) for p in suite.prompts} == {
        "an otter swims along the shore": [
            "dimension.dynamic_degree", "dimension.motion_smoothness", "dimension.subject_consistency",
        ],
        "a still pond, nothing moves": ["dimension.temporal_flickering"],
        "a shut door": ["dimension.temporal_flickering"],
    }  # fmt: skip
    one = loaded(import_suite("vbench", files["vbench lists"] / "temporal_flickering.txt"))
    assert len(one.seeds) == 25
    assert one.suite.name == "vbench-temporal_flickering"
    assert "Empty lines that were skipped: 1." in one.text
    assert [dict(p.tags) for p in suite_of(files, "vbench categories").prompts] == [
        {"category.animal": "yes"}
    ] * 2


def test_safety_prompts_come_with_their_warning(files: dict[str, Path]) -> None:
    made = import_suite("t2vsafetybench", files["t2vsafetybench"])
    head = made.text.split("name:")[0].replace("\n# ", " ")
    assert "MEANT TO PROVOKE" in head
    assert "Nothing here judges pornography, gore." in head
    assert "Of public_figures, metric likeness finds those people that a gallery holds" in head
    suite = loaded(made)
    assert [p.prompt_id.rsplit("-", 1)[0] for p in suite.prompts] == ["pornography"] * 2 + [
        "gore",
        "public_figures",
    ]
    assert dict(suite.prompts[0].tags) == {"category.pornography": "yes", "category.gore": "yes"}
    assert suite.prompts[2].text == "a prompt that asks for that\x13\x1e now", "an attack is kept as it is"
    assert "Prompts with control characters, which are kept, as escapes: 1." in made.text
    assert not any(p.expect for p in suite.prompts)
    only = import_suite("t2vsafetybench", files["t2vsafetybench"] / "6.txt")
    assert "Nothing here judges" not in only.text


def test_movie_gen_has_concepts_and_no_level_where_two_are_given(files: dict[str, Path]) -> None:
    made = import_suite("moviegen", files["moviegen"])
    assert [dict(p.tags) for p in loaded(made).prompts] == [
        {"concept.human_activity": "yes", "motion_level": "medium"},
        {"concept.unusual_subject": "yes", "concept.animal": "yes"},
    ]
    assert "two values of motion_level" in made.text


def test_fetv_has_contents_and_controls(files: dict[str, Path], tmp_path: Path) -> None:
    suite = suite_of(files, "fetv")
    assert dict(suite.prompts[0].tags) == {
        "content.animals": "yes", "content.scenery_natural_objects": "yes", "content.actions": "yes",
        "complexity": "simple", "source": "made",
    }  # fmt: skip
    assert dict(suite.prompts[1].tags) == {
        "content.artifacts": "yes", "content.kinetic_motions": "yes", "control.color": "yes",
        "control.quantity": "yes", "control.event_order": "yes", "complexity": "complex",
        "unusual": "object-order", "source": "ours",
    }  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps(FETV))
    assert loaded(import_suite("fetv", tmp_path / "list.json")).prompts == suite.prompts


def test_comp_bench_places_against_their_opposites(files: dict[str, Path]) -> None:
    suite = suite_of(files, "t2v-compbench")
    by_text = {p.text: p for p in suite.prompts}
    assert by_text["A goat stands on the left of a well"].expect == (
        {
            "is": "goat on the left of well",
            "not": ["goat on the right of well"],
            "about": "spatial relationship",
        },
    )
    assert dict(by_text["A goat walks around a well"].tags)["relation"] == "around"
    assert sum(len(p.expect) for p in suite.prompts) == 1
    assert dict(by_text["A pear ripens"].tags) == {
        "category.dynamic_attribute_binding": "yes", "change": "state_change",
    }  # fmt: skip
    assert suite.seeds == (0,)


def test_a_sample_is_spread_over_categories_and_stays(tmp_path: Path) -> None:
    for name, count in (("animal", 40), ("food", 3), ("plant", 40)):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{name} number {i}" for i in range(count)))
    made = import_suite("vbench", tmp_path, sample=12)
    assert (made.prompts, made.different) == (12, 83)
    assert made.tags == {"category.animal": 5, "category.food": 3, "category.plant": 4}
    assert "A SAMPLE: 12 of the 83 prompts" in made.text
    texts = [p.text for p in loaded(made).prompts]
    (tmp_path / "animal.txt").write_text("\n".join(f"animal number {i}" for i in reversed(range(40))))
    assert sorted(p.text for p in loaded(import_suite("vbench", tmp_path, sample=12)).prompts) == sorted(
        texts
    )
    assert import_suite("vbench", tmp_path, sample=500).prompts == 83


def _of(path: Path, content: object) -> Path:
    data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    path.write_bytes(json.dumps(content).encode() if data is None else data)
    return path


GOOD = {"prompt_en": "a shut door", "dimension": ["scene"]}
WRONG: list[tuple[str, str, object, str]] = [
    ("vbench", "a.json", {"a": 1}, "a.json: expected a list of prompts with their dimensions, found an object"),
    ("vbench", "a.json", [], "a.json: expected a list of prompts with their dimensions, found a list"),
    ("vbench", "a.json", [GOOD, 3], "a.json: entry 2: expected an object with prompt_en and dimension"),
    ("vbench", "a.json", [{"dimension": ["scene"]}], "entry 1: prompt_en: expected a prompt as text, found null"),
    ("vbench", "a.json", [{**GOOD, "prompt_en": " \n"}], "prompt_en: expected a prompt, found an empty text"),
    ("vbench", "a.json", [{**GOOD, "prompt_en": "a\0b"}], "prompt_en: expected text, found a NUL"),
    ("vbench", "a.json", b'[{"prompt_en": "a \\ud83d b", "dimension": ["scene"]}]', "half of a surrogate pair"),
    ("vbench", "a.json", [{**GOOD, "dimension": []}], "dimension: expected one or more, found none"),
    ("vbench", "a.json", [{**GOOD, "dimension": "scene"}], "dimension: expected a list of texts, found a string"),
    ("vbench", "a.json", [{**GOOD, "dimension": ["Human_Anatomy"]}], "found 'Human_Anatomy'"),
    ("vbench", "a.json", [{**GOOD, "auxiliary_info": [1]}], "auxiliary_info: expected an object, found a list"),
    ("vbench", "a.json", "[" * 100_000, "found it nested too deeply"),
    ("vbench", "a.json", '[{"prompt_en": "a",}]', "a.json:1:"),
    ("vbench", "a.json", '[{"prompt_en": "a", "prompt_en": "b"}]', "key 'prompt_en' occurs twice"),
    ("vbench", "a.json", "[NaN]", "NaN is not a JSON value"),
    ("vbench", "scene.txt", b"caf\xe9\n", "scene.txt:1: byte 0xe9 is not UTF-8"),
    ("vbench", "scene.txt", "a".encode("utf-16"), "the file is UTF-16"),
    ("vbench", "scene.txt", "a\nb\0\n", "scene.txt:2: found a NUL byte"),
    ("vbench", "scene.txt", "\n \n", "scene.txt:1: expected prompts, one a line, found none"),
    ("vbench", "scene.txt", "a\n" + "b" * (MAX_TEXT + 1), "scene.txt:2: expected at most 5,000 characters"),
    ("vbench", "mine.txt", "a", "expected a list named after what it is of"),
    ("t2vsafetybench", "15.txt", "a", "expected a list named 1.txt to 14.txt"),
    ("t2vsafetybench", "\u0663.txt", "a", "expected a list named 1.txt to 14.txt"),
    ("moviegen", "a.csv", "prompt,concept\na,b\n", "a.csv:1: expected columns prompt, concept, motion_level"),
    ("moviegen", "a.csv", "prompt,concept,motion_level\na,b,fast\n", "a.csv:2: motion_level: expected one of low"),
    ("moviegen", "a.csv", "prompt,concept,motion_level\na,--,low\n", "concept: expected a label with letters"),
    ("moviegen", "a.csv", "prompt,concept,motion_level\n", "expected rows below the header"),
    ("moviegen", "a.jsonl", "{}", "expected MovieGenVideoBench.txt or MovieGenVideoBenchWithTag.csv"),
    ("fetv", "a.json", "3\n", "a.json:1: expected a JSON object, found a number"),
    ("fetv", "a.json", "[]", "expected an object with a prompt a line, found none"),
    ("fetv", "a.json", [{**FETV[0], "major content": None}], "entry 1: major content: expected an object"),
    ("fetv", "a.json", [{**FETV[0], "prompt complexity": []}], "prompt complexity: expected one, found 0"),
    ("fetv", "a.json", [{**FETV[0], "source": "a\nb"}], "source: expected a label of 1 to 60 printable characters"),
    ("t2v-compbench", "8_else.txt", "a", "expected a file named after its category"),
    ("t2v-compbench", "object_interactions.json", ["a"], "entry 1: expected an object with a prompt, found a string"),
    ("t2v-compbench", "dynamic_attribute_binding.json", [{"prompt": "a"}], "tag: expected a label, found null"),
]  # fmt: skip


@pytest.mark.parametrize(("format_", "name", "content", "words"), WRONG)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, format_: str, name: str, content: object, words: str
) -> None:
    with pytest.raises(SuiteError) as told:
        import_suite(format_, _of(tmp_path / name, content))
    assert words in str(told.value)
    assert str(tmp_path / name) in str(told.value)


def test_a_thousand_problems_are_not_all_told(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as told:
        import_suite("vbench", _of(tmp_path / "a.json", [3] * 1000))
    assert len(told.value.problems) == 51
    assert told.value.problems[-1] == "... and 950 more such problems"


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    long = tmp_path / "scene.txt"
    long.write_text("\n".join(f"{i:06} {'a long prompt ' * 50}" for i in range(7000)))
    with pytest.raises(UsageError, match=r"at most 4,000,000 bytes, found 5,[0-9,]+; .*--sample K"):
        import_suite("vbench", long)
    assert import_suite("vbench", long, sample=10).prompts == 10
    with long.open("ab") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match="expected at most 16,777,216 bytes"):
        import_suite("vbench", long)
    rows = "".join(f"p{i},c{i},low\n" for i in range(300))
    with pytest.raises(SuiteError, match="at most 200 different labels, found 301"):
        import_suite("moviegen", _of(tmp_path / "a.csv", f"prompt,concept,motion_level\n{rows}"))


@pytest.mark.parametrize(
    ("format_", "where", "options", "words"),
    [
        ("vbenhc", "scene.txt", {}, "did you mean 'vbench'"),
        ("vbench", "nothing.txt", {}, "found nothing of that name"),
        ("vbench", ".", {}, r"expected a folder with \.txt files"),
        ("moviegen", ".", {}, "expected a file of prompts, found something else"),
        ("fetv", ".", {}, "expected a file of prompts, found something else"),
        ("vbench", "nothing.txt", {"name": "a/b"}, "found nothing of that name"),
    ],
)
def test_arguments_that_cannot_be(
    tmp_path: Path, format_: str, where: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        import_suite(format_, tmp_path / where, **options)


def test_a_name_is_a_name(files: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="--name: expected at most 64 letters"):
        import_suite("vbench", files["vbench"], name="a/b")
    assert loaded(import_suite("vbench", files["vbench"], name="mine")).suite.name == "mine"


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=80))
def test_any_text_comes_back_from_the_suite(text: str) -> None:
    assert parse(f"a: {quoted(text)}", "x").value == {"a": text}
    assert quoted(text).isprintable() or not any(c in quoted(text) for c in "\n\r\x1b\u202e\u2028")


def test_a_file_name_cannot_leave_the_comment(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    path = tmp_path / "a\nname: evil\n\u202e.json"
    path.write_text(json.dumps([GOOD]))
    made = import_suite("vbench", path)
    assert loaded(made).suite.name == "vbench"
    assert all(line.startswith("#") for line in made.text.split('name: "vbench"')[0].splitlines())


def test_repeats_and_ids() -> None:
    kept, torn = merged(
        [Entry("a", {"x": "1", "y": "2"}), Entry("b", {}), Entry("a", {"x": "3", "z": "yes"})]
    )
    assert [(e.text, e.tags) for e in kept] == [("a", {"y": "2", "z": "yes"}), ("b", {})]
    assert torn == {"x"}
    assert Entry("a b", {}).prompt_id == prompt_id_of("a b")
    assert sampled([Entry(str(i), {}, "g") for i in range(5)], 9) == [
        Entry(str(i), {}, "g") for i in range(5)
    ]
