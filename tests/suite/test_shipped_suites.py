"""The bundled suites: valid, tagged, and askable of any text-to-video model."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import LoadedSuite, bundled_suites, load_suite

CONCEPTS = ["ads", "film", "anime"]
TAGS = {"subject", "action", "setting", "colour", "camera", "people"}


@pytest.fixture(params=CONCEPTS)
def concept(request: pytest.FixtureRequest) -> LoadedSuite:
    return load_suite(request.param)


@pytest.mark.parametrize("name", sorted(bundled_suites()))
def test_each_is_valid_and_named_after_its_file(name: str) -> None:
    loaded = load_suite(name)
    assert loaded.suite.name == name
    assert loaded.suite.description
    assert loaded.text.startswith("# "), "a suite begins with a comment on what it is for"


def test_each_concept_has_thirty_prompts_and_more(concept: LoadedSuite) -> None:
    assert len(concept.prompts) >= 30
    texts = [p.text for p in concept.prompts]
    assert len(set(texts)) == len(texts)
    assert any("a dog walking along the beach at sunset" in t for t in texts)


def test_each_prompt_is_tagged_and_plain(concept: LoadedSuite) -> None:
    for prompt in concept.prompts:
        assert set(prompt.tags) - {"motion"} == TAGS, prompt.prompt_id
        assert prompt.tags["people"] in ("yes", "no")
        assert 4 <= len(prompt.text.split()) <= 30, prompt.text
        assert prompt.text.isascii()
    people = [p.tags["people"] for p in concept.prompts]
    assert min(people.count("yes"), people.count("no")) >= 10


def test_contrasts_differ_from_what_they_are_held_against(concept: LoadedSuite) -> None:
    contrasts = [e for p in concept.prompts for e in p.expect]
    assert len(contrasts) >= 5
    for contrast in contrasts:
        assert contrast["is"] not in contrast["not"]


def test_the_concepts_share_only_the_dog() -> None:
    texts = [p.text for name in CONCEPTS for p in load_suite(name).prompts if p.prompt_id != "beach-dog"]
    assert len(set(texts)) == len(texts)


def test_quickstart_runs_without_network_or_weights(tmp_path: Path) -> None:
    done = execute(prepare(load_suite("quickstart", ["seeds=1"])), tmp_path / "run")
    assert done is not None
    assert (done.verdict.exit_code, done.verdict.reason) == (0, "all 4 gates passed")
    assert [e.clip.outcome for e in done.data.clips] == ["ok"] * 8
    assert any("not a generator" in note for note in done.data.notes)
