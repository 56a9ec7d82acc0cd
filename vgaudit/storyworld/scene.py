"""Scenes and the English for them, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import get_args

import numpy as np

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
    Camera,
    Look,
    Speed,
    settings_of,
)

MAX_PROMPT = 400
"""Characters of the longest prompt that is read."""


@dataclass(frozen=True)
class Scene:
    """What a clip shows.

    Attributes:
        subject: One of ``SUBJECTS``.
        action: What it does; one of ``CAN[subject]``.
        setting: Where; one of ``settings_of(subject)``.
        colour: Of the subject, a name in ``COLOURS``; ``None`` leaves it to the seed.
        look: How it is drawn.
        camera: What the camera does; a pan follows a subject that travels.
        speed: How fast the action is.

    Raises:
        ValueError: A name is unknown, or the subject cannot do that or be there.
    """

    subject: str
    action: str
    setting: str
    colour: str | None = None
    look: Look = "ad"
    camera: Camera = "static"
    speed: Speed = "normal"

    def __post_init__(self) -> None:
        known: Mapping[str, Sequence[str]] = {
            "subject": list(SUBJECTS),
            "action": list(ACTIONS),
            "setting": list(SETTINGS),
            "colour": [*COLOURS],
            "look": get_args(Look),
            "camera": get_args(Camera),
            "speed": get_args(Speed),
        }
        for name, choices in known.items():
            value = getattr(self, name)
            if value not in choices and not (name == "colour" and value is None):
                raise ValueError(f"unknown {name} {value!r}; expected one of {', '.join(choices)}")
        if self.action not in CAN[self.subject]:
            raise ValueError(f"{self.subject}: cannot be {self.action}; it can be {_list(CAN[self.subject])}")
        if self.setting not in settings_of(self.subject):
            raise ValueError(
                f"{self.subject}: cannot be in {self.setting!r}; it can be in {_list(settings_of(self.subject))}"
            )


def every_scene() -> Iterator[Scene]:
    """All combinations of subject, action, setting and colour that make sense, in the default look."""
    for subject, actions in CAN.items():
        for action in actions:
            for setting in settings_of(subject):
                for colour in COLOURS:
                    yield Scene(subject, action, setting, colour)


def random_scene(seed: int) -> Scene:
    """A scene drawn evenly: subject first, then what it can do and where, colour, look, camera and speed."""
    rng = np.random.default_rng(seed)

    def pick(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    subject = pick(list(SUBJECTS))
    return Scene(
        subject,
        pick(CAN[subject]),
        pick(settings_of(subject)),
        pick(list(COLOURS)),
        look=get_args(Look)[int(rng.integers(3))],
        camera=get_args(Camera)[int(rng.integers(3))],
        speed=get_args(Speed)[int(rng.integers(3))],
    )


def caption(scene: Scene, seed: int = 0) -> str:
    """One of several natural wordings; ``parse(caption(scene, seed)) == scene`` for every seed.

    A colour that is ``None``, a static camera, normal speed and the look "ad" may go without saying.
    """
    rng = np.random.default_rng(seed)

    def pick(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    noun = pick(SUBJECTS[scene.subject])
    thing = _article(noun if scene.colour is None else f"{scene.colour} {noun}")
    if scene.colour is not None and scene.subject == "person":
        # Nobody is red all over: the colour of a person is that of the clothes.
        thing = f"{_article(noun)} in {pick([scene.colour, _article(f'{scene.colour} shirt')])}"
    doing = pick(ACTIONS[scene.action][:2])
    adverb = f" {pick(SPEEDS[scene.speed])}" if SPEEDS[scene.speed] else ""
    nouns, static, moving = SETTINGS[scene.setting]
    goes = scene.action in ("walking", "running", "flying", "driving", "sailing")
    on_lake = "on a" if scene.subject == "boat" and scene.setting == "lake" else None
    at_sea = "off the" if scene.subject == "boat" and scene.setting == "beach at sunset" else None
    where = f"{at_sea or on_lake or (moving if goes else static)} {nouns[0]}"
    form = int(rng.integers(3))
    if form == 0:
        text = f"{thing} {doing}{adverb} {where}"
    elif form == 1:
        text = f"{thing} is {doing}{adverb} {where}"
    else:
        text = f"{on_lake or at_sea or static} {nouns[0]}, {thing} is {doing}{adverb}"
    if scene.look != "ad" or rng.random() < 0.3:
        text = f"{pick(LOOKS[scene.look])} {text}" if form == 0 else f"{text}, {pick(_STYLES[scene.look])}"
    if scene.camera != "static" or rng.random() < 0.1:
        text = f"{text}, {pick(CAMERAS[scene.camera])}"
    return text


_STYLES: dict[Look, tuple[str, ...]] = {
    "ad": ("a commercial",),
    "film": ("a cinematic shot", "a film scene"),
    "anime": ("anime style", "an anime scene"),
}


def parse(prompt: str, look: Look = "ad") -> Scene:
    """The scene that a prompt of the grammar asks for.

    The parts may stand in any natural order; what is not understood is an error, never passed over. A colour stands
    directly before the noun of the subject ("a red dog"). A person's is that of the clothes, and said so: "in red"
    after the noun, or "in a red shirt", "wearing a red jacket" anywhere.

    Args:
        prompt: English, at most ``MAX_PROMPT`` characters.
        look: Look of a prompt that names none.

    Raises:
        ValueError: Names the words that were not understood, what is missing or said twice, or a colour that is not
            the subject's.
    """
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} are read")
    parts = _parts(" ".join(re.findall(r"[^\s,.;:!?]+", prompt.lower())))
    found: dict[str, list[str]] = {}
    for slot, value in parts:
        if slot:
            found.setdefault(slot, []).append(value)
    unknown = [w for slot, w in parts if not slot and w not in FILLERS]
    if unknown:
        raise ValueError(f"not understood: {', '.join(repr(w) for w in dict.fromkeys(unknown))}")
    for slot, values in found.items():
        # Of two colours, one may stand where it is not the subject's, which says more.
        if slot != "colour" and (len(set(values)) > 1 or (len(values) > 1 and slot in ("subject", "action"))):
            raise ValueError(f"more than one {slot}: {', '.join(values)}")
    for slot in ("subject", "action", "setting"):
        if slot not in found:
            raise ValueError(f"no {slot} found in {prompt!r}; expected one of {_list(_said(slot))}")
    one = {slot: values[0] for slot, values in found.items()}
    _check_colours(parts, one["subject"])
    return Scene(
        one["subject"],
        one["action"],
        one["setting"],
        one.get("colour"),
        look=next((k for k in LOOKS if k == one.get("look")), look),
        camera=next((k for k in CAMERAS if k == one.get("camera")), "static"),
        speed=next((k for k in SPEEDS if k == one.get("speed")), "normal"),
    )


_Part = tuple[str, str]
"""Slot and value of a phrase, or no slot and a word that fills none."""

_CLOTHES = ("shirt", "jacket", "wearing")
_ARTICLES = (("", "a"), ("", "an"), ("", "the"))


def _parts(text: str) -> list[_Part]:
    """The phrases of the grammar and the words between them, in the order of the text."""
    parts: list[_Part] = []
    end = 0
    for match in _pattern().finditer(text):
        parts += [("", word) for word in text[end : match.start()].split()]
        parts.append(_phrases()[match.group(1)])
        end = match.end()
    return [*parts, *(("", word) for word in text[end:].split())]


def _check_colours(parts: Sequence[_Part], subject: str) -> None:
    """Colours and clothes must be the subject's.

    Raises:
        ValueError: One is not, or need not be, and where it may stand; or there is more than one colour.
    """
    for at, (slot, word) in enumerate(parts):
        if subject == "person":
            if slot == "colour" and not _of_clothes(parts, at):
                raise ValueError(
                    f"{word!r} is not said of the person's clothes, which have the only colour of a person; "
                    f"expected 'in {word}' directly after the noun, 'in {_article(word)} shirt' or "
                    f"'wearing {_article(word)} jacket'"
                )
        elif slot == "colour" and _after(parts, at)[0] != "subject":
            raise ValueError(
                f"{word!r} is not said of the {subject}; a colour stands directly before the noun of the subject "
                f"('{_article(word)} {subject}'), and nothing else has one"
            )
        elif not slot and word in _CLOTHES:
            raise ValueError(f"not understood: {word!r}; only a person wears anything")
    colours = list(dict.fromkeys(word for slot, word in parts if slot == "colour"))
    if len(colours) > 1:
        raise ValueError(f"more than one colour: {', '.join(colours)}")


def _after(parts: Sequence[_Part], at: int) -> _Part:
    """What a colour is said of: the next part but for "coloured" and further colours."""
    rest = (p for p in parts[at + 1 :] if p[0] != "colour" and p not in (("", "colored"), ("", "coloured")))
    return next(rest, ("", ""))


def _of_clothes(parts: Sequence[_Part], at: int) -> bool:
    """Whether a colour is said as that of a person's clothes."""
    before = [part for part in parts[max(0, at - 3) : at] if part not in _ARTICLES]
    if not before or before[-1] not in (("", "in"), ("", "wearing")):
        return False
    if _after(parts, at) in (("", "shirt"), ("", "jacket")):
        return True
    # Without a garment "in red" could go on with a place, and after anything but the noun it could be of one.
    return len(before) > 1 and before[-2][0] == "subject" and _after(parts, at)[0] != "setting"


@cache
def _phrases() -> dict[str, tuple[str, str]]:
    """Phrase -> slot and value."""
    out: dict[str, tuple[str, str]] = {colour: ("colour", colour) for colour in COLOURS}
    tables: dict[str, Mapping[str, Sequence[str]]] = {
        "subject": SUBJECTS,
        "action": ACTIONS,
        "setting": {name: nouns for name, (nouns, _, _) in SETTINGS.items()},
        "look": {str(k): v for k, v in LOOK_WORDS.items()},
        "camera": {str(k): v for k, v in CAMERAS.items()},
        "speed": {str(k): v for k, v in SPEEDS.items()},
    }
    for slot, table in tables.items():
        for value, phrases in table.items():
            out |= dict.fromkeys(phrases, (slot, value))
    return out


@cache
def _pattern() -> re.Pattern[str]:
    """Longest phrase first, so that "white studio" is a place and "running shoe" a thing."""
    longest = sorted(_phrases(), key=len, reverse=True)
    return re.compile(rf"(?<!\S)({'|'.join(map(re.escape, longest))})(?!\S)")


def _said(slot: str) -> Sequence[str]:
    return {"subject": list(SUBJECTS), "action": list(ACTIONS), "setting": list(SETTINGS)}[slot]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
