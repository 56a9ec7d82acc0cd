"""Texts the storyworld's CLIP learns from: captions, short phrases, and the same with one thing changed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vgaudit.storyworld.scene import Scene, caption, random_scene
from vgaudit.storyworld.vocabulary import (
    ACTIONS,
    CAMERAS,
    CAN,
    COLOURS,
    FILLERS,
    LOOK_WORDS,
    LOOKS,
    SETTINGS,
    SPEEDS,
    SUBJECTS,
    settings_of,
)

ASPECTS = ("subject", "colour", "action", "setting")


def words() -> list[str]:
    """Every word of the grammar, fillers included, in alphabetical order."""
    phrases = [*COLOURS, *FILLERS, "thing"]
    tables: tuple[Mapping[str, tuple[str, ...]], ...] = (
        SUBJECTS,
        ACTIONS,
        {str(k): v for k, v in LOOK_WORDS.items()},
        {str(k): v for k, v in LOOKS.items()},
        {str(k): v for k, v in CAMERAS.items()},
        {str(k): v for k, v in SPEEDS.items()},
    )
    for table in tables:
        phrases += [phrase for said in table.values() for phrase in said]
    for nouns, static, moving in SETTINGS.values():
        phrases += [*nouns, static, moving]
    phrases += [caption(random_scene(seed), seed) for seed in range(5_000)]
    found = {w for phrase in phrases for w in phrase.replace(",", " ").lower().split()}
    return sorted(found)


def alternatives(scene: Scene, aspect: str) -> list[str]:
    """Other values of one aspect that keep the scene possible."""
    if aspect == "subject":
        others = [s for s in SUBJECTS if scene.action in CAN[s] and scene.setting in settings_of(s)]
    elif aspect == "colour":
        others = list(COLOURS)
    elif aspect == "action":
        others = list(CAN[scene.subject])
    else:
        others = list(settings_of(scene.subject))
    return [o for o in others if o != getattr(scene, aspect)]


def changed(scene: Scene, aspect: str, value: str) -> Scene:
    """The scene with one aspect replaced."""
    return replace(scene, **{aspect: value})  # type: ignore[arg-type]


def phrase(scene: Scene, aspect: str, rng: np.random.Generator) -> str:
    """A short text that says one aspect, as an expectation in a suite does."""

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    noun = pick(SUBJECTS[scene.subject])
    form = int(rng.integers(3))
    if aspect == "subject":
        said = noun
    elif aspect == "colour":
        if scene.subject == "person":
            shirt = (f"in {scene.colour}", f"in {_article(f'{scene.colour} shirt')}")
            return f"{_article(noun)} {pick(shirt)}" if form else pick(shirt)
        return _article(f"{scene.colour} {noun}") if form else f"{_article(f'{scene.colour} thing')}"
    elif aspect == "action":
        doing = pick(ACTIONS[scene.action])
        return (f"{_article(noun)} {doing}", f"{_article(noun)} is {doing}", doing)[form]
    else:
        nouns, static, _ = SETTINGS[scene.setting]
        said = pick(nouns)
        return (said, f"{static} {said}", f"{_article(noun)} {static} {said}")[form]
    return (_article(said), said, f"a video of {_article(said)}")[form]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def contrast(scene: Scene, aspect: str, count: int, rng: np.random.Generator) -> tuple[str, list[str]]:
    """A text that is true of the scene, and ``count`` at most that differ from it in one aspect, said alike."""
    others = alternatives(scene, aspect)
    rng.shuffle(others)
    seed = int(rng.integers(2**31))
    short = rng.random() < 0.6

    def said(s: Scene) -> str:
        return phrase(s, aspect, np.random.default_rng(seed)) if short else caption(s, seed)

    texts = dict.fromkeys(said(changed(scene, aspect, o)) for o in others[:count])
    true = said(scene)
    return true, [t for t in texts if t != true]


def scene_of(label: Mapping[str, Any]) -> Scene:
    """The scene in a clip's label."""
    return Scene(**label["scene"])
