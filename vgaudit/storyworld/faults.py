"""Planting faults in clips, drawn or real, with the exact truth of what was done where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgaudit.storyworld import picture_faults, time_faults
from vgaudit.storyworld.fault_strengths import KINDS, SPAN, STRENGTHS, FaultKind, Strength, level

MIN_FRAMES = 8
MIN_SIDE = 8

Clip = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class FaultTruth:
    """What was planted.

    Attributes:
        kind: Of the fault.
        span: First frame it can be seen in and the frame after the last, in frames of the faulty clip. Of dropped
            frames: the one frame after the gap.
        seconds: The same in seconds.
        strength: Its name.
        level: The number it was made with; see ``LEVELS``.
        box: x0, y0, x1, y1 in pixels, ends exclusive; ``None`` for faults of whole pictures.
    """

    kind: FaultKind
    span: tuple[int, int]
    seconds: tuple[float, float]
    strength: Strength
    level: float
    box: Box | None


@dataclass(frozen=True)
class Planted:
    """A faulty clip, uint8 ``(T, H, W, 3)``, and the truth of its fault."""

    frames: Clip
    truth: FaultTruth


def plant(
    frames: Clip,
    kind: str,
    strength: str,
    seed: int,
    *,
    other: Clip | None = None,
    aligned: bool = False,
    box: Box | None = None,
    mask: NDArray[np.bool_] | None = None,
    fps: float = 8.0,
) -> Planted:
    """A copy of a clip with one fault. The same arguments give the same bytes.

    Args:
        frames: uint8 ``(T, H, W, 3)``, RGB, at least 8 frames and 8 pixels a side.
        kind: One of ``KINDS``.
        strength: mild, moderate or strong; the seed fixes the place whatever the strength.
        seed: Decides when and where.
        other: Another clip of any size, for ``jump_cut`` and ``subject_swap``; without one they show this clip
            mirrored.
        aligned: ``other`` is the same shot, frame by frame and pixel by pixel, with another subject in it; then
            ``subject_swap`` shows all of its box.
        box: Where the subject is, for ``subject_swap`` and ``colour_swap``; the middle without one.
        mask: ``(T, H, W)``, true where the subject is, for ``colour_swap``; an ellipse in the box without one.
        fps: Frames a second, for ``seconds``.

    Raises:
        ValueError: The clip is too short, too small or no uint8 clip, or a name is unknown.
    """
    _check(frames, "frames", MIN_FRAMES)
    if other is not None:
        _check(other, "other", 1)
    if aligned and (other is None or other.shape != frames.shape):
        raise ValueError(f"aligned: expected `other` of the shape of the clip, {frames.shape}")
    if mask is not None and mask.shape != frames.shape[:3]:
        raise ValueError(f"mask: expected shape {frames.shape[:3]}, got {mask.shape}")
    if kind not in KINDS:
        raise ValueError(f"unknown fault {kind!r}; expected one of {', '.join(KINDS)}")
    if strength not in STRENGTHS:
        raise ValueError(f"unknown strength {strength!r}; expected one of {', '.join(STRENGTHS)}")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"expected a positive frame rate, got {fps}")
    what, how = kind, strength
    amount = level(what, how)
    rng = np.random.default_rng([seed & 0xFFFF_FFFF, KINDS.index(what)])
    n, height, width = frames.shape[:3]
    span, place = _span(what, amount, n, float(rng.random())), None
    if what == "dropped_frames":
        out, span = time_faults.dropped(frames, amount, span[0])
    elif what in _IN_TIME:
        out = frames.copy()
        out[span[0] : span[1]] = _IN_TIME[what](frames, span, amount)
    elif what == "jump_cut":
        out = time_faults.other_shot(frames, span, other)
    elif what in _IN_A_BOX:
        place = _place(what, amount, box, height, width, rng)
        if what == "colour_swap":
            out = picture_faults.swap_colour(frames, span, place, amount, mask)
        elif what == "subject_swap":
            out = picture_faults.swap_subject(frames, span, place, other, aligned)
        else:
            out = picture_faults.pop(frames, span, place)
    else:
        out = frames.copy()
        out[span[0] : span[1]] = _IN_PICTURES[what](frames[span[0] : span[1]], amount, rng)
    seconds = (span[0] / fps, span[1] / fps)
    return Planted(out, FaultTruth(what, span, seconds, how, amount, place))


_IN_TIME: dict[str, Callable[[Clip, tuple[int, int], float], Clip]] = {
    "freeze": time_faults.frozen,
    "duplicated_frames": time_faults.held,
    "ghosting": time_faults.ghosts,
}
_IN_PICTURES: dict[str, Callable[[Clip, float, np.random.Generator], Clip]] = {
    "flicker": picture_faults.flicker,
    "exposure_jump": picture_faults.exposure,
    "colour_drift": picture_faults.drift,
    "jitter": picture_faults.jitter,
    "warp": picture_faults.warp,
    "noise_burst": picture_faults.noise,
    "blur_pulse": picture_faults.blur,
    "block_artefacts": picture_faults.blocks,
    "compression": picture_faults.jpeg,
}
_IN_A_BOX = ("subject_swap", "colour_swap", "popping_object")


def _check(clip: Clip, name: str, least: int) -> None:
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3:
        raise ValueError(f"{name}: expected uint8 (T, H, W, 3), got {clip.dtype} {clip.shape}")
    if clip.shape[0] < least or min(clip.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"{name}: expected at least {least} frames of {MIN_SIDE}x{MIN_SIDE} pixels, got {clip.shape[0]} of "
            f"{clip.shape[2]}x{clip.shape[1]}"
        )


def _span(kind: FaultKind, amount: float, n: int, where: float) -> tuple[int, int]:
    """Frames of the fault. There is always a whole frame before it, and one after it unless it lasts to the end."""
    if kind == "compression":
        return 0, n
    share = SPAN.get(kind, amount)
    if share >= 1.0:
        return max(1, round(n * (0.25 + 0.35 * where))), n
    length = min(max(2, round(share * n)), n - 3)
    # The middle of the fault is drawn, so that stronger faults lie around the milder ones.
    first = round(n * (0.35 + 0.3 * where) - length / 2)
    first = int(np.clip(first, 2, n - 1 - length))
    return first, first + length


def _place(
    kind: FaultKind, amount: float, box: Box | None, height: int, width: int, rng: np.random.Generator
) -> Box:
    u, v = rng.random(2)
    if kind == "popping_object":
        side = max(3, round(amount * min(height, width)))
        x, y = (0.2 + 0.6 * u) * width - side / 2, (0.2 + 0.6 * v) * height - side / 2
        x0, y0 = int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side))
        return x0, y0, x0 + side, y0 + side
    if box is None:
        return width // 4, height // 4, width - width // 4, height - height // 4
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {box} does not lie in a picture of {width}x{height}")
    return box
