"""The words of the storyworld: what each thing is called, which subject can do what, and where."""

from __future__ import annotations

from typing import Literal

Look = Literal["ad", "film", "anime"]
Camera = Literal["static", "pan", "zoom"]
Speed = Literal["slow", "normal", "fast"]

# Name -> the ways to say it, the first being the usual one. Captions use the first two of an action.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "dog": ("dog", "puppy"),
    "cat": ("cat", "kitten"),
    "horse": ("horse", "pony"),
    "person": ("person", "man", "woman"),
    "bird": ("bird",),
    "car": ("car", "automobile"),
    "boat": ("boat", "sailboat", "sailing boat"),
    "airplane": ("airplane", "plane", "aeroplane"),
    "bottle": ("bottle", "glass bottle"),
    "sneaker": ("sneaker", "running shoe", "shoe"),
    "cup": ("cup", "mug", "coffee cup"),
    "phone": ("phone", "smartphone"),
    "ball": ("ball",),
}

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (244, 132, 30),
    "yellow": (248, 206, 42),
    "green": (46, 156, 66),
    "blue": (38, 96, 214),
    "purple": (134, 58, 184),
    "pink": (246, 128, 176),
    "white": (240, 240, 238),
    "black": (42, 42, 48),
    "brown": (136, 84, 46),
}

# Colours that a subject has when the prompt names none.
NATURAL_COLOURS: dict[str, tuple[str, ...]] = {
    "dog": ("brown", "white", "black"),
    "cat": ("orange", "white", "black"),
    "horse": ("brown", "white", "black"),
    "bird": ("blue", "red", "yellow", "white"),
    "airplane": ("white", "blue", "red"),
}

ACTIONS: dict[str, tuple[str, ...]] = {
    "walking": ("walking", "strolling"),
    "running": ("running", "sprinting"),
    "rotating": ("rotating", "turning around", "spinning"),
    "bouncing": ("bouncing", "jumping up and down"),
    "flying": ("flying",),
    "driving": ("driving",),
    "sailing": ("sailing",),
    "sliding in": ("sliding into view", "sliding in from the side", "sliding in"),
    "standing still": ("standing still",),
}

_LEGS = ("walking", "running", "bouncing", "sliding in", "standing still")
_THING = ("rotating", "bouncing", "sliding in", "standing still")
CAN: dict[str, tuple[str, ...]] = {
    "dog": _LEGS,
    "cat": _LEGS,
    "horse": _LEGS,
    "person": _LEGS,
    "bird": ("flying", "walking", "bouncing", "sliding in", "standing still"),
    "car": ("driving", "rotating", "sliding in", "standing still"),
    "boat": ("sailing", "sliding in", "standing still"),
    "airplane": ("flying", "sliding in", "standing still"),
    "bottle": _THING,
    "sneaker": _THING,
    "cup": _THING,
    "phone": _THING,
    "ball": _THING,
}
"""Subject -> what it can do."""

# Name -> (noun phrases to recognise, the first being said; where one is; where one moves).
SETTINGS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "beach at sunset": (("beach at sunset", "sunset beach", "beach"), "on the", "along the"),
    "city at night": (("city at night", "night city", "city street at night"), "in the", "through the"),
    "white studio": (("white studio", "studio"), "in a", "through a"),
    "forest": (("forest", "woods"), "in a", "through a"),
    "snowy mountain": (("snowy mountain", "snowy mountains"), "on a", "across a"),
    "living room": (("living room",), "in a", "across a"),
    "desert": (("desert",), "in the", "across the"),
    "lake": (("lake",), "by a", "along a"),
}

_OUTDOORS = tuple(name for name in SETTINGS if name != "living room")
FITS: dict[str, tuple[str, ...]] = {
    "boat": ("beach at sunset", "lake"),
    "car": _OUTDOORS,
    "horse": _OUTDOORS,
    "airplane": _OUTDOORS,
}
"""Subject -> settings it can be in; a subject that is not named fits everywhere."""

LOOKS: dict[Look, tuple[str, ...]] = {
    "ad": ("a commercial showing", "an advertising shot of", "a bright advertisement showing"),
    "film": ("a film scene of", "a cinematic shot of", "a movie scene showing"),
    "anime": ("an anime scene of", "an anime shot of", "an animated scene of"),
}
LOOK_WORDS: dict[Look, tuple[str, ...]] = {
    "ad": ("commercial", "advertising", "bright advertisement", "advertisement"),
    "film": ("film", "cinematic", "movie"),
    "anime": ("anime style", "anime", "animated"),
}
CAMERAS: dict[Camera, tuple[str, ...]] = {
    "static": ("static camera", "the camera holds still"),
    "pan": ("the camera pans", "panning camera", "camera panning"),
    "zoom": ("the camera zooms in", "slow zoom in", "zoom in"),
}
SPEEDS: dict[Speed, tuple[str, ...]] = {
    "slow": ("slowly",),
    "normal": (),
    "fast": ("quickly", "fast"),
}

_FILLERS = (
    "a an the of is are in on at by to with it its along through across over near beside under into around "
    "while showing shows video clip shot scene shirt jacket wearing and then colored coloured slow off"
)
FILLERS = frozenset(_FILLERS.split())
"""Words that carry no content here and are passed over."""


def could_be(action: str, setting: str) -> tuple[str, ...]:
    """Subjects that can do this there."""
    return tuple(s for s in SUBJECTS if action in CAN[s] and setting in settings_of(s))


def settings_of(subject: str) -> tuple[str, ...]:
    """Settings in which a subject can be."""
    return FITS.get(subject, tuple(SETTINGS))
