"""Suites: what is accepted, and what every wrong one is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.errors import ExitCode, SuiteError
from vgaudit.suite import bundled_suites, json_schema, load_suite, load_suite_text
from vgaudit.suite.located_yaml import MAX_BYTES, MAX_VALUES, parse

from .wrong_suites import GOOD, WRONG, with_line


def problems(text: str, *overrides: str, base: Path = Path()) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite_text(text, base_dir=base, overrides=overrides, label="s.yaml")
    assert caught.value.exit_code == ExitCode.USAGE == 2
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_a_good_suite_is_loaded_whole() -> None:
    loaded = load_suite_text(GOOD, base_dir=Path("there"))
    assert loaded.suite.name == "trial"
    assert loaded.base_dir == Path("there")
    assert loaded.seeds == (3, 1)
    assert (loaded.video.frames, loaded.video.fps, loaded.video.width) == (16, 8.0, None)
    assert loaded.encoder.crf == 12
    assert loaded.backends[0].type == "files"
    assert loaded.backends[0].options.root == "clips"
    assert [m.name for m in loaded.metrics] == ["temporal", "vbench"]
    assert [g.text for g in loaded.gates] == [
        "temporal.warp_error <= 0.05",
        "temporal.motion >= 0.1",
        "vbench.temporal_flickering >= 0.9",
    ]
    dog, cat, bird = loaded.prompts
    assert dog.prompt_id.startswith("a-dog-walking-along-the-beach")
    assert (cat.prompt_id, dict(cat.tags)) == ("cat", {"animal": "yes", "grey": "yes", "motion": "low"})
    assert cat.expect == ({"is": "a cat", "not": ["a dog"]},)
    assert dict(bird.tags) == {"people": "yes", "count": "3"}


def test_the_digest_follows_the_content_and_not_the_layout() -> None:
    first = load_suite_text(GOOD, base_dir=Path())
    assert load_suite_text("# note\n" + GOOD, base_dir=Path("other")).digest == first.digest
    assert load_suite_text(GOOD, base_dir=Path(), overrides=["video.fps=9"]).digest != first.digest
    assert load_suite_text(with_line("a bird", "a crow"), base_dir=Path()).digest != first.digest


def test_prompts_from_a_file_are_part_of_the_digest(tmp_path: Path) -> None:
    text = "name: x\nbackend: {type: files, root: .}\nprompts: list.csv\n"
    (tmp_path / "list.csv").write_text("prompt,setting\na dog,beach\n")
    first = load_suite_text(text, base_dir=tmp_path)
    assert dict(first.prompts[0].tags) == {"setting": "beach"}
    (tmp_path / "list.csv").write_text("prompt,setting\na cat,beach\n")
    assert load_suite_text(text, base_dir=tmp_path).digest != first.digest


def test_a_number_of_seeds_counts_from_zero_and_the_default_is_one() -> None:
    assert load_suite_text(with_line("[3, 1]", "3"), base_dir=Path()).seeds == (0, 1, 2)
    assert load_suite_text(with_line("seeds: [3, 1]\n", ""), base_dir=Path()).seeds == (0,)


def test_seconds_and_fps_give_the_frames() -> None:
    text = with_line("{frames: 16, fps: 8, ", "{seconds: 2.5, fps: 8, ")
    assert load_suite_text(text, base_dir=Path()).video.frames == 20


def test_a_dotted_metric_selects_one_value() -> None:
    text = with_line("  temporal:\n", "  temporal.warp_error:\n  temporal.motion: {}\n")
    (temporal, _) = load_suite_text(text, base_dir=Path()).metrics
    assert temporal.select == ("warp_error", "motion")
    assert temporal.values == ("temporal.warp_error", "temporal.motion")
    told = problems(text.replace("temporal.motion:", "temporal.freeze_fraction:", 1))
    assert len(told) == 1
    assert told[0].startswith("s.yaml:15:5: gates[1]: expected a gate on something computed: ")
    assert "the suite computes no 'temporal.motion'" in told[0]


def test_every_run_can_be_gated_on_integrity() -> None:
    text = with_line("temporal.warp_error <= 0.05", "integrity.ok_rate >= 0.5")
    assert load_suite_text(text, base_dir=Path()).gates[0].metric == "integrity.ok_rate"
    assert "integrity" not in [m.name for m in load_suite_text(text, base_dir=Path()).metrics]


def test_refusals_can_be_gated_whole_or_by_tag() -> None:
    asked = with_line("{type: files, root: clips}", "{type: command, argv: [prog, '{request}']}")
    for name in ("generation.refusal_rate", "generation.refusal_rate@people=yes"):
        text = asked.replace("temporal.warp_error <= 0.05", f"{name} <= 0.1")
        assert load_suite_text(text, base_dir=Path()).gates[0].metric == name
    (told,) = problems(text.replace("people=yes", "people=no"))
    assert (
        "gates[0]: expected a tag of a prompt after '@', found 'people=no'; did you mean 'people=yes'?"
        in told
    )
    (told,) = problems(with_line("temporal.warp_error <= 0.05", "generation.refusal_rate <= 0.1"))
    assert "the suite computes no 'generation.refusal_rate'" in told


def test_gates_as_a_mapping() -> None:
    text = GOOD[: GOOD.index("gates:")] + 'gates: {temporal.warp_error: "<= 5%"}\n'
    (gate,) = load_suite_text(text, base_dir=Path()).gates
    assert gate.max == pytest.approx(0.05)


def test_failed_samples_allowed_as_number_or_fraction() -> None:
    assert load_suite_text(GOOD + "max_failed: 3\n", base_dir=Path()).max_failed(10) == 3
    assert load_suite_text(GOOD + "max_failed: 0.25\n", base_dir=Path()).max_failed(10) == 2
    assert load_suite_text(GOOD, base_dir=Path()).max_failed(10) == 0


def test_several_backends_are_several_groups() -> None:
    text = with_line(
        "{type: files, root: clips}", "[{type: files, name: a, root: a}, {type: files, name: b, root: b}]"
    )
    assert [b.name for b in load_suite_text(text, base_dir=Path()).backends] == ["a", "b"]


def test_anchors_and_merges_work() -> None:
    text = (
        "name: x\nbackend:\n  - &one {type: files, name: a, root: a, fps: 8}\n"
        "  - {<<: *one, name: b, root: b}\n  - <<: [*one]\n    name: c\n"
    )
    backends = load_suite_text(text, base_dir=Path()).backends
    assert [(b.name, b.options.root, b.options.fps) for b in backends] == [
        ("a", "a", 8),
        ("b", "b", 8),
        ("c", "a", 8),
    ]
    told = problems(text.replace("name: b, root: b", "name: b, root: 3"))
    assert told == ["s.yaml:4:31: backend[1].root: expected text, found 3; put it in quotes"]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_suite_says_where_and_what(case: str, tmp_path: Path) -> None:
    text, expected = WRONG[case]
    told = problems(text, base=tmp_path)
    for fragment in expected:
        at = f"s.yaml:{fragment}" if re.match(r"\d+:\d+: ", fragment) else fragment
        assert any(p.startswith(at) or (at is fragment and fragment in p) for p in told), "\n".join(told)
    if text.startswith("name: trial"):
        assert len(told) == len(expected), "\n".join(told)


def test_every_problem_is_told_at_once_in_order() -> None:
    text = GOOD.replace("trial", "a b").replace("fps: 8", "fps: x").replace("dimensions", "dimension")
    told = problems(text.replace("id: cat", "id: 7"))
    assert [re.match(r"s\.yaml:(\d+):\d+: ", p)[1] for p in told] == ["1", "3", "7", "11"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("video", "--set video: expected name.of.value=value, found 'video'"),
        ("=3", "--set =3: expected name.of.value=value"),
        ("video..fps=3", "--set video..fps=3: expected name.of.value=value"),
        ("video.fps=[1", "--set video.fps=[1: expected a YAML value after '='"),
        ("video.fps.x=3", "--set video.fps.x=3: video.fps: expected a mapping or a list, found 8"),
        ("prompts.9.id=x", "--set prompts.9.id=x: prompts: expected an index (0 to 2), found 9"),
        ("prompts.first=x", "--set prompts.first=x: prompts: expected an index (0 to 2), found 'first'"),
        ("video.fps=fast", "--set video.fps=fast: video.fps: expected a number, found 'fast'"),
        (
            "video={fsp: 3}",
            "--set video={fsp: 3}: video.fsp: expected a known name, found 'fsp'; did you mean 'fps'?",
        ),
        (
            "metrics.temporal.size=3",
            "--set metrics.temporal.size=3: metrics.temporal.size: expected a known name",
        ),
        ("nme=x", "--set nme=x: nme: expected a known name, found 'nme'; did you mean 'name'?"),
    ],
)
def test_a_wrong_override_is_named(override: str, message: str) -> None:
    told = problems(GOOD, override)
    assert len(told) == 1
    assert told[0].startswith(message)


def test_overrides_are_typed_and_reach_everything() -> None:
    overrides = [
        "video.encoder.lossless=true",
        "prompts.1.id=tom",
        "seeds=[7]",
        "limits.max_frames=9",
        "gates=[]",
        "metrics.temporal.warp_error={}",
        "notes=",
    ]
    text = with_line("  temporal:\n", "  temporal.warp_error:\n")
    loaded = load_suite_text(text, base_dir=Path(), overrides=overrides)
    assert loaded.encoder.lossless is True
    assert loaded.prompts[1].prompt_id == "tom"
    assert loaded.seeds == (7,)
    assert loaded.limits.max_frames == 9
    assert loaded.gates == ()
    assert loaded.metrics[0].select == ("warp_error",)
    assert loaded.overrides == tuple(overrides)


def test_a_later_override_of_a_parent_replaces_the_earlier_one() -> None:
    loaded = load_suite_text(GOOD, base_dir=Path(), overrides=["video.fps=2", "video={fps: 3}"])
    assert (loaded.video.fps, loaded.video.frames) == (3.0, None)


def test_files_that_cannot_be_suites(tmp_path: Path) -> None:
    def told(path: Path | str) -> str:
        with pytest.raises(SuiteError) as caught:
            load_suite(path)
        return str(caught.value)

    assert "expected a suite file, found nothing of that name" in told(tmp_path / "none.yaml")
    assert "expected a suite file, found a folder" in told(tmp_path)
    assert "did you mean 'film'?" in told("flim")
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "expected at most 4,000,000 bytes, found 4,000,001" in told(big)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: x\ndescription: caf\u00e9\n".encode("latin-1"))
    assert f"{latin}:2:17: expected UTF-8 text, found byte 0xe9" in told(latin)
    assert "cannot be read" in told("a\0b.yaml") or "nothing of that name" in told("a\0b.yaml")


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_suite(path).suite.name == "trial"
    assert load_suite(path).base_dir == tmp_path


def test_aliases_cannot_exhaust_the_machine() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    (told,) = problems("\n".join(rows))
    assert f"expected at most {MAX_VALUES:,} values once aliases are expanded" in told


def test_expectations_of_a_prompt_file_are_held_to_the_schema(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"prompt": "a cat", "expect": [{"is": "a cat", "not": "a dog"}]})
        + "\n"
        + json.dumps({"prompt": "a dog", "expect": [{"is": "a dog", "nto": ["a cat"]}]})
        + "\n"
    )
    told = problems("name: x\nbackend: {type: files, root: .}\nprompts: p.jsonl\n", base=tmp_path)
    assert told[0].startswith(f"{tmp_path / 'p.jsonl'}:2:1: ")
    assert any("'nto'; did you mean 'not'?" in p for p in told)


def test_what_an_expectation_is_about_reaches_the_samples(tmp_path: Path) -> None:
    row = {"prompt": "a red cat", "expect": {"is": "a red cat", "not": "a red dog", "about": "Subject "}}
    inline = f"name: x\nbackend: {{type: storyworld}}\nprompts: [{json.dumps(row)}]\n"
    expected = ({"is": "a red cat", "not": ["a red dog"], "about": "subject"},)
    loaded = load_suite_text(inline, base_dir=tmp_path)
    assert loaded.prompts[0].expect == expected
    (tmp_path / "p.jsonl").write_text(json.dumps({**row, "expect": [row["expect"]]}) + "\n")
    listed = "name: x\nbackend: {type: storyworld}\nprompts: p.jsonl\n"
    assert load_suite_text(listed, base_dir=tmp_path).prompts[0].expect == expected
    assert loaded.digest != load_suite_text(inline.replace("Subject", "colour"), base_dir=tmp_path).digest


def test_the_schema_for_editors_knows_what_an_expectation_holds() -> None:
    expectation = json_schema()["$defs"]["Expectation"]
    assert set(expectation["properties"]) == {"is", "not", "about"}
    assert expectation["required"] == ["is", "not"]
    assert {"type": "string"} in expectation["properties"]["not"]["anyOf"]


def test_the_schema_for_editors_knows_every_option() -> None:
    schema = json_schema()
    json.dumps(schema, allow_nan=False)
    assert schema["additionalProperties"] is False
    metrics = schema["properties"]["metrics"]["anyOf"][0]
    assert metrics["additionalProperties"] is False
    assert "temporal.warp_error" in metrics["properties"]
    files = schema["$defs"]["files.backends"]
    assert files["properties"]["type"] == {"const": "files"}
    assert files["required"] == ["type", "root"]
    assert files["additionalProperties"] is False
    refs = re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema))
    assert refs
    assert set(refs) <= set(schema["$defs"])


def test_loading_the_module_stays_light() -> None:
    code = (
        "import sys, vgaudit.suite; "
        "print([m for m in ('torch', 'numpy', 'pandas', 'scipy', 'av', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bundled_suites_are_found_beside_the_package() -> None:
    assert {"ads", "film", "anime", "quickstart"} <= set(bundled_suites())


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_noise_is_never_a_suite_and_never_a_crash(text: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite_text(text, base_dir=Path("nowhere"))
    assert all(caught.value.problems)


_PLAIN = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text("abc: -#'\"\u00e9\n", max_size=8)


@given(
    st.recursive(
        _PLAIN, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text("abc", min_size=1), c, max_size=3)
    )
)
@settings(max_examples=150, deadline=None)
def test_json_is_yaml_and_reads_back_equal(value: object) -> None:
    assert parse(json.dumps(value), "x").value == value


def test_the_motion_that_a_list_of_prompts_asks_for_is_checked_as_that_of_a_suite(tmp_path: Path) -> None:
    text = "name: x\nbackend: {type: files, root: .}\nprompts: list.csv\n"
    (tmp_path / "list.csv").write_text("prompt,motion\na dog,high\na cat,\na bird,fast\n")
    told = problems(text, base=tmp_path)
    assert told[-1].endswith("list.csv:4:1: motion: expected static, low, high, or nothing, found 'fast'")
    (tmp_path / "list.csv").write_text("prompt,motion\na dog,high\na cat,\n")
    asked = load_suite_text(text, base_dir=tmp_path).prompts
    assert [p.tags.get("motion") for p in asked] == ["high", ""]
