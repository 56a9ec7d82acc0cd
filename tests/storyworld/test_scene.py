"""The grammar: every scene can be said in several ways, and each of them means that scene."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgaudit.storyworld.scene import MAX_PROMPT, Scene, caption, every_scene, parse, random_scene
from vgaudit.storyworld.settings import SETTING_TABLE
from vgaudit.storyworld.subjects import SUBJECT_TABLE
from vgaudit.storyworld.vocabulary import ACTIONS, CAN, COLOURS, FITS, SETTINGS, SUBJECTS, Look


def test_every_scene_round_trips() -> None:
    said = 0
    for number, scene in enumerate(every_scene()):
        assert parse(caption(scene, number)) == scene
        said += 1
    assert said > 3000


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_looks_cameras_and_speeds_round_trip(scene_seed: int, seed: int) -> None:
    scene = random_scene(scene_seed)
    assert parse(caption(scene, seed)) == scene


def test_a_scene_is_said_in_several_ways() -> None:
    scene = Scene("dog", "walking", "beach at sunset", "red")
    assert len({caption(scene, s) for s in range(50)}) >= 5


def test_plain_english() -> None:
    assert parse("a dog walking along the beach at sunset") == Scene("dog", "walking", "beach at sunset")
    assert parse("A red running shoe is rotating in a white studio.").subject == "sneaker"
    assert parse("an orange cat running fast across a living room, camera panning, anime style") == Scene(
        "cat", "running", "living room", "orange", "anime", "pan", "fast"
    )
    assert parse("a man in a white shirt standing still in a white studio").colour == "white"
    assert parse("a dog standing still in the desert", look="film").look == "film"


@pytest.mark.parametrize(
    ("prompt", "colour"),
    [
        ("a red dog walking by a lake", "red"),
        ("by a lake, a red coloured dog is walking", "red"),
        ("a white running shoe rotating in a white studio", "white"),
        ("a running shoe rotating in a white studio", None),
        ("a man in red walking in a forest", "red"),
        ("a man in a red shirt walking in a forest", "red"),
        ("a woman wearing a red jacket is walking in a forest", "red"),
        ("in a forest, a woman is walking, wearing an orange jacket", "orange"),
        ("a man in a shirt walking in a forest", None),
    ],
)
def test_a_colour_is_the_subjects(prompt: str, colour: str | None) -> None:
    assert parse(prompt).colour == colour


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a dragon walking through a forest", "'dragon'"),
        ("two dogs walking through a forest", "'two', 'dogs'"),
        ("a dog and a cat walking through a forest", "more than one subject: dog, cat"),
        ("a red blue dog walking through a forest", "more than one colour"),
        ("a dog walking by a blue lake", "'blue' is not said of the dog; .*'a blue dog'"),
        ("a red dog walking by a blue lake", "'blue' is not said of the dog"),
        ("a dog walking in the green forest", "'green' is not said of the dog"),
        ("a cat walking across a white snowy mountain", "'white' is not said of the cat"),
        ("a car driving through the black city at night", "'black' is not said of the car"),
        ("the dog is red, walking in a forest", "'red' is not said of the dog"),
        ("a dog in red walking in a forest", "'red' is not said of the dog"),
        ("a red a dog walking in a forest", "'red' is not said of the dog"),
        ("a dog walking through a forest, red", "'red' is not said of the dog"),
        ("a black man walking in a forest", "'black' is not said of the person's clothes"),
        ("a man walking in the red forest", "'red' is not said of the person's clothes.*'in a red shirt'"),
        ("a man in red forest walking", "'red' is not said of the person's clothes"),
        ("a man walking in red through a forest", "'red' is not said of the person's clothes"),
        ("a man in red walking by an orange lake", "'orange' .*'wearing an orange jacket'"),
        ("red shirt, a man walking in a forest", "'red' is not said of the person's clothes"),
        ("a dog wearing a red dog walking in a forest", "more than one subject"),
        ("a red dog in a shirt walking in a forest", "'shirt'; only a person"),
        (
            "a man in a red shirt walking in a forest, wearing a blue jacket",
            "more than one colour: red, blue",
        ),
        ("a dog walking", "no setting found"),
        ("a dog in a forest", "no action found"),
        ("", "no subject found"),
        ("a dog flying through a forest", "cannot be flying"),
        ("a boat sailing across the desert", "cannot be in 'desert'"),
        ("dog " * MAX_PROMPT, "at most"),
    ],
)
def test_what_is_not_understood_is_named(prompt: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(prompt)


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_a_scene_or_an_error_with_a_reason(text: str) -> None:
    try:
        scene = parse(text)
    except ValueError as error:
        reason = str(error)
    else:
        reason = scene.subject
    assert reason


def test_scenes_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown look"):
        Scene("dog", "walking", "forest", look="oil")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown subject 'unicorn'"):
        Scene("unicorn", "walking", "forest")


def test_the_tables_agree() -> None:
    assert set(CAN) == set(SUBJECTS) == set(SUBJECT_TABLE)
    assert set(SETTINGS) == set(SETTING_TABLE)
    assert {a for can in CAN.values() for a in can} == set(ACTIONS)
    assert len(SUBJECTS) >= 12
    assert len(COLOURS) >= 8
    assert len(ACTIONS) >= 8
    assert len(SETTINGS) >= 8
    for places in FITS.values():
        assert set(places) <= set(SETTINGS)
    assert len(get_args(Look)) == 3
