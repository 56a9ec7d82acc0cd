"""The shipped suites: valid, and prompts that are plain English and a scene of the storyworld at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vgaudit.backends.base import PromptSpec
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.storyworld.scene import Scene, parse
from vgaudit.storyworld.vocabulary import (
    ACTIONS,
    CAMERAS,
    CAN,
    COLOURS,
    FILLERS,
    SETTINGS,
    SPEEDS,
    SUBJECTS,
    Look,
    could_be,
    settings_of,
)
from vgaudit.suite import LoadedSuite, bundled_suites, load_suite
from vgaudit.zoo.generators import BUNDLED_T2V

LOOKS: dict[str, Look] = {"ads": "ad", "film": "film", "anime": "anime"}
TAGS = {"subject", "action", "setting", "colour", "camera", "people"}
ASPECTS = ("subject", "colour", "action", "setting")
SHARED = "beach-dog"
"""The one prompt that all three have, each in its look."""


@pytest.fixture(params=LOOKS)
def concept(request: pytest.FixtureRequest) -> LoadedSuite:
    return load_suite(request.param)


@pytest.fixture(params=[*LOOKS, "gan_vs_diffusion"])
def contrasted(request: pytest.FixtureRequest) -> LoadedSuite:
    return load_suite(request.param)


def scenes(concept: LoadedSuite) -> Iterator[tuple[PromptSpec, Scene]]:
    for prompt in concept.prompts:
        yield prompt, parse(prompt.text, look=LOOKS.get(concept.suite.name, "ad"))


@dataclass(frozen=True)
class Said:
    """What a text of an expectation says."""

    subjects: tuple[str, ...]
    colours: tuple[str, ...]
    actions: tuple[str, ...]
    settings: tuple[str, ...]


def read(text: str) -> Said:
    """The grammar's phrases in ``text``.

    Raises:
        AssertionError: A word is none of the grammar's, so that the network that ships does not know it.
    """
    phrases: dict[str, tuple[str, str]] = {colour: ("colours", colour) for colour in COLOURS}
    nouns = {name: said for name, (said, _, _) in SETTINGS.items()}
    tables: dict[str, Mapping[str, tuple[str, ...]]] = {
        "subjects": SUBJECTS, "actions": ACTIONS, "settings": nouns
    }  # fmt: skip
    for slot, table in tables.items():
        for name, said in table.items():
            phrases |= dict.fromkeys(said, (slot, name))
    found: dict[str, list[str]] = {"subjects": [], "colours": [], "actions": [], "settings": []}
    rest = f" {text} "
    for phrase in sorted(phrases, key=len, reverse=True):
        while f" {phrase} " in rest:
            slot, name = phrases[phrase]
            found[slot].append(name)
            rest = rest.replace(f" {phrase} ", "  ", 1)
    unknown = set(rest.split()) - FILLERS
    assert not unknown, f"{text!r}: {unknown}"
    return Said(**{slot: tuple(names) for slot, names in found.items()})


def counts(concept: LoadedSuite, aspect: str) -> Counter[Any]:
    return Counter(getattr(scene, aspect) for _, scene in scenes(concept))


@pytest.mark.parametrize("name", sorted(bundled_suites()))
def test_each_is_valid_and_named_after_its_file(name: str) -> None:
    loaded = load_suite(name)
    assert loaded.suite.name == name
    assert loaded.suite.description
    assert loaded.text.startswith("# "), "a suite begins with a comment on what it is for"


def test_each_prompt_is_a_scene_in_its_suite_s_look(concept: LoadedSuite) -> None:
    look = LOOKS[concept.suite.name]
    assert len(concept.prompts) == 40
    assert len({p.prompt_id for p in concept.prompts}) == len({p.text for p in concept.prompts}) == 40
    for prompt, scene in scenes(concept):
        assert scene.look == look, prompt.text
        assert 4 <= len(prompt.text.split()) <= 30, prompt.text
        assert prompt.text.isascii()
        if look != "ad":  # no option can say it to another generator, so the prompt does
            assert parse(prompt.text, look="ad").look == look, prompt.text


def test_tags_say_what_the_text_says(contrasted: LoadedSuite) -> None:
    for prompt, scene in scenes(contrasted):
        motion = {"motion": prompt.tags["motion"]} if "motion" in prompt.tags else {}
        assert dict(prompt.tags) == {
            "subject": scene.subject,
            "action": scene.action,
            "setting": scene.setting,
            "colour": scene.colour or "any",
            "camera": scene.camera,
            "people": "yes" if scene.subject == "person" else "no",
            **motion,
        }
        still = scene.action == "standing still"
        assert (prompt.tags.get("motion") == "static") == (still and scene.camera == "static"), prompt.text


def test_coverage_is_even(concept: LoadedSuite) -> None:
    expected: dict[str, tuple[Any, int, int]] = {
        "subject": (SUBJECTS, 3, 4),
        "setting": (SETTINGS, 5, 5),
        "action": (ACTIONS, 2, 6),
        "camera": (CAMERAS, 12, 15),
        "speed": (SPEEDS, 10, 18),
    }
    for aspect, (names, least, most) in expected.items():
        found = counts(concept, aspect)
        assert set(found) == set(names), aspect
        assert least <= min(found.values()) <= max(found.values()) <= most, (aspect, found)
    colours = counts(concept, "colour")
    assert colours.pop(None) <= 4, "most prompts name a colour"
    assert set(colours) == set(COLOURS)
    assert 3 <= min(colours.values()) <= max(colours.values()) <= 5, colours
    rare = {action for action in ACTIONS if sum(action in can for can in CAN.values()) == 1}
    actions = counts(concept, "action")
    assert min(n for action, n in actions.items() if action not in rare) >= 5, actions


def test_every_aspect_that_a_prompt_names_has_its_contrast(contrasted: LoadedSuite) -> None:
    for prompt, scene in scenes(contrasted):
        named = [aspect for aspect in ASPECTS if getattr(scene, aspect) is not None]
        assert [e["about"] for e in prompt.expect] == named, prompt.text


def test_contrasts_are_true_possible_and_in_known_words(contrasted: LoadedSuite) -> None:
    for prompt, scene in scenes(contrasted):
        for contrast in prompt.expect:
            about, wanted = contrast["about"], read(contrast["is"])
            others = [read(text) for text in contrast["not"]]
            assert 2 <= len(others) <= 4, contrast
            slot = f"{about}s"
            assert getattr(wanted, slot) == (getattr(scene, about),), contrast
            for other in others:
                (name,) = getattr(other, slot)
                assert name != getattr(scene, about), contrast
                if about == "subject":
                    assert scene.setting in settings_of(name), contrast
                elif about == "action":
                    assert name in CAN[scene.subject], contrast
                same = set(Said.__dataclass_fields__) - {slot}
                assert {s: getattr(other, s) for s in same} == {s: getattr(wanted, s) for s in same}, (
                    "nothing else may differ"
                )
            names = {getattr(other, slot)[0] for other in others}
            assert len(names) == len(others), contrast
            if about == "subject" and len(able := set(could_be(scene.action, scene.setting))) > 2:
                assert names <= able, contrast
            if about == "setting" and len(possible := set(settings_of(scene.subject))) > 2:
                assert names <= possible, contrast
            elif about == "setting":  # a boat has two places to be in; the other one is among the contrasts
                assert possible - {scene.setting} <= names, contrast


def test_a_word_outside_the_grammar_does_not_pass_for_known() -> None:
    assert read("a woman in a blue jacket") == Said(("person",), ("blue",), (), ())
    with pytest.raises(AssertionError, match="castle"):
        read("a dog in a castle")


def test_the_concepts_share_only_the_dog() -> None:
    all_scenes = [
        (scene.subject, scene.action, scene.setting, scene.colour)
        for name in LOOKS
        for prompt, scene in scenes(load_suite(name))
        if prompt.prompt_id != SHARED
    ]
    assert len(set(all_scenes)) == len(all_scenes)
    for name in LOOKS:
        (shared,) = (p for p in load_suite(name).prompts if p.prompt_id == SHARED)
        assert "a dog walking along the beach at sunset" in shared.text


def test_another_backend_is_asked_for_no_size(concept: LoadedSuite) -> None:
    video = concept.video
    assert (video.frames, video.fps, video.width, video.height) == (None,) * 4
    (backend,) = concept.backends
    assert backend.options.model == BUNDLED_T2V


def test_every_gate_gives_its_reason(concept: LoadedSuite) -> None:
    assert concept.gates
    assert all(gate.reason for gate in concept.gates)


def test_quickstart_runs_without_network_or_weights(tmp_path: Path) -> None:
    done = execute(prepare(load_suite("quickstart", ["seeds=1"])), tmp_path / "run")
    assert done is not None
    assert (done.verdict.exit_code, done.verdict.reason) == (0, "all 4 gates passed")
    assert [e.clip.outcome for e in done.data.clips] == ["ok"] * 8
    assert any("not a generator" in note for note in done.data.notes)
