"""How strong mild, moderate and strong are, for every fault.

Fixed before any detector or network was tuned on these faults, and not to be changed to suit one: a level is set
by what a viewer sees (hardly, plainly, at once). A new level is a new fault.
"""

from __future__ import annotations

from typing import Literal, get_args

Strength = Literal["mild", "moderate", "strong"]
FaultKind = Literal[
    "flicker",
    "exposure_jump",
    "colour_drift",
    "freeze",
    "dropped_frames",
    "duplicated_frames",
    "jump_cut",
    "subject_swap",
    "colour_swap",
    "popping_object",
    "jitter",
    "warp",
    "ghosting",
    "noise_burst",
    "blur_pulse",
    "block_artefacts",
    "compression",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
STRENGTHS: tuple[Strength, ...] = get_args(Strength)

LEVELS: dict[FaultKind, tuple[float, float, float]] = {
    "flicker": (0.06, 0.15, 0.35),  # amplitude of the gain, alternating in sign
    "exposure_jump": (0.12, 0.30, 0.60),  # the gain falls by this share and stays
    "colour_drift": (14.0, 34.0, 70.0),  # levels by which red rises and blue falls at the end
    "freeze": (0.20, 0.35, 0.60),  # share of the clip's frames that stand still
    "dropped_frames": (0.12, 0.25, 0.45),  # share of frames missing at one place
    "duplicated_frames": (2.0, 3.0, 4.0),  # each frame is shown so many times
    "jump_cut": (0.15, 0.35, 0.60),  # share of frames that are of another shot
    "subject_swap": (0.15, 0.35, 0.60),  # share of frames in which the middle is another thing
    "colour_swap": (25.0, 70.0, 150.0),  # degrees of hue
    "popping_object": (0.12, 0.22, 0.38),  # side of the object, by the short side
    "jitter": (0.008, 0.025, 0.070),  # largest shift, by the short side
    "warp": (0.015, 0.040, 0.090),  # largest displacement, by the short side
    "ghosting": (0.22, 0.38, 0.55),  # share of an earlier picture
    "noise_burst": (8.0, 22.0, 55.0),  # standard deviation in levels
    "blur_pulse": (0.010, 0.025, 0.060),  # standard deviation of the blur, by the short side
    "block_artefacts": (0.06, 0.18, 0.45),  # share of blocks that are wrong
    "compression": (30.0, 12.0, 4.0),  # JPEG quality
}
"""Kind -> level at mild, moderate, strong."""

SPAN: dict[FaultKind, float] = {
    "flicker": 0.5,
    "exposure_jump": 1.0,
    "colour_drift": 1.0,
    "duplicated_frames": 0.6,
    "colour_swap": 1.0,
    "popping_object": 0.25,
    "jitter": 0.5,
    "warp": 0.5,
    "ghosting": 0.4,
    "noise_burst": 0.25,
    "blur_pulse": 0.25,
    "block_artefacts": 0.25,
}
"""Share of the frames that a fault lasts; 1 is until the end of the clip. For the others the level says how long."""


def level(kind: FaultKind, strength: Strength) -> float:
    """The number that a fault of this strength is made with."""
    return LEVELS[kind][STRENGTHS.index(strength)]
