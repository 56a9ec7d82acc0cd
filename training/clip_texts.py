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


def alternatives(scene: Scene, aspect: str, any_at_all: bool = False) -> list[str]:
    """Other values of one aspect: those that keep the scene possible, or ``any_at_all``."""
    everything = {"subject": SUBJECTS, "colour": COLOURS, "action": ACTIONS, "setting": SETTINGS}
    if any_at_all:
        others = list(everything[aspect])
    elif aspect == "subject":
        others = [s for s in SUBJECTS if scene.action in CAN[s] and scene.setting in settings_of(s)]
    elif aspect == "colour":
        others = list(COLOURS)
    elif aspect == "action":
        others = list(CAN[scene.subject])
    else:
        others = list(settings_of(scene.subject))
    return [o for o in others if o != getattr(scene, aspect)]


def phrase(said: Mapping[str, str], aspect: str, rng: np.random.Generator) -> str:
    """A short text that says one of the aspects ``said``, as an expectation in a suite does."""

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    noun = pick(SUBJECTS[said["subject"]])
    form = int(rng.integers(3))
    if aspect == "subject":
        text = noun
    elif aspect == "colour":
        colour = said["colour"]
        if said["subject"] == "person":
            shirt = (f"in {colour}", f"in {_article(f'{colour} shirt')}")
            return f"{_article(noun)} {pick(shirt)}" if form else pick(shirt)
        return _article(f"{colour} {noun}") if form else f"{_article(f'{colour} thing')}"
    elif aspect == "action":
        doing = pick(ACTIONS[said["action"]])
        return (f"{_article(noun)} {doing}", f"{_article(noun)} is {doing}", doing)[form]
    else:
        nouns, static, _ = SETTINGS[said["setting"]]
        text = pick(nouns)
        return (text, f"{static} {text}", f"{_article(noun)} {static} {text}")[form]
    return (_article(text), text, f"a video of {_article(text)}")[form]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def contrast(
    scene: Scene, aspect: str, count: int, rng: np.random.Generator, short: float = 0.6, far: float = 0.0
) -> tuple[str, list[str]]:
    """A text that is true of the scene, and ``count`` at most that differ from it in one aspect, said alike.

    A share of ``short`` says that aspect alone; a share of ``far`` of these takes other values whatever they are,
    the rest keep the scene possible.
    """
    seed = int(rng.integers(2**31))
    alone = rng.random() < short
    others = alternatives(scene, aspect, alone and rng.random() < far)
    rng.shuffle(others)

    def said(value: str) -> str:
        if alone:
            values = {a: getattr(scene, a) for a in ASPECTS} | {aspect: value}
            return phrase(values, aspect, np.random.default_rng(seed))
        return caption(replace(scene, **{aspect: value}), seed)  # type: ignore[arg-type]

    texts = dict.fromkeys(said(other) for other in others[:count])
    true = said(getattr(scene, aspect))
    return true, [t for t in texts if t != true]


def scene_of(label: Mapping[str, Any]) -> Scene:
    """The scene in a clip's label."""
    return Scene(**label["scene"])
