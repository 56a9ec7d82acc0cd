"""How fast a clip moves over its time, picture by picture, and whether that is what its prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.motion_far import FAR_S
from vgaudit.metrics.freezes import held, rhythm_of, tolerance_of
from vgaudit.plan import Sample
from vgaudit.records import Finding, Severity

DYNAMIC_SPEED = 3 / 16
"""Short sides a second over which the fastest twentieth of the picture has to move for a moment to count as dynamic:
VBench's 6 pixels of 256 a frame, at the 8 frames a second that it looks at."""

STILL_SPEED = DYNAMIC_SPEED / 10
"""... and under which nothing is seen to move."""

DYNAMIC_SHARE = 0.25
"""Share of the time that makes a dynamic clip, as VBench has it."""

STILL_SHARE = {"high": 0.5, "low": 0.9}
"""Share of the time without motion that makes a clip too still, by what its prompt asks for. Not the dynamic degree:
a thing that spins fast may move by little, and what was asked for would be called missing."""

WORDS = ("", "static", "low", "high")
"""What the tag ``motion`` may say; nothing is asked for where it is empty."""

TOO_STILL, TOO_LIVELY = "temporal.too_still", "temporal.too_lively"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """How fast each picture of a clip gives way to the next.

    Attributes:
        seconds: ``(K,)``: for how long each of K pictures is shown.
        fast: bool ``(K,)``: moves faster than :data:`DYNAMIC_SPEED`.
        still: bool ``(K,)``: nothing is seen to move.
    """

    seconds: Floats
    fast: NDArray[np.bool_]
    still: NDArray[np.bool_]

    @property
    def dynamic_degree(self) -> float:
        """Share of the time that is fast."""
        return float(self.seconds[self.fast].sum() / self.seconds.sum())

    @property
    def still_share(self) -> float:
        """Share of the time in which nothing is seen to move."""
        return float(self.seconds[self.still].sum() / self.seconds.sum())


def pace(motion: Mapping[str, NDArray[Any]], mae_next: Floats) -> Pace:
    """Pace of a clip of two frames and more.

    A picture is shown from its first frame to the first frame of the next. Which frames repeat it is a matter of the
    tolerance of freezes; in a clip that moves too little to have one, of the extractor's. The motion from one picture
    to the next is spread over the time for which the one is shown, so that pictures that are shown two or three times
    each, as in animation, move as fast as their motion says. A picture that is held for longer than the rhythm of its
    clip allows (:func:`~vgaudit.metrics.freezes.rhythm_of`) stands still until the next one is there, and what moved
    meanwhile was not seen to move. For how long the last picture is shown tells nothing, unless it is frozen.

    Where the motion of pairs may be noise, whether anything is seen to move is asked of the flow over an eighth of a
    second and more (:class:`~vgaudit.extractors.motion_far.FarMotion`), by the time that is not frozen.

    Args:
        motion: ``motion_top5``, ``quality_repeat`` and ``far_*`` ``(T-1,)``, and ``pts_s`` ``(T,)``, increasing, as
            :class:`~vgaudit.extractors.motion.MotionExtractor` describes them.
        mae_next: ``(T-1,)`` mean absolute difference of neighbouring frames, grey levels.
    """
    pts = np.asarray(motion["pts_s"], dtype=np.float64)
    moved = np.append(np.asarray(motion["motion_top5"], dtype=np.float64), 0.0)
    tolerance = tolerance_of(mae_next)
    repeat = motion["quality_repeat"] if tolerance is None else mae_next <= tolerance
    holds = held(np.asarray(repeat, dtype=bool))
    _, freeze = rhythm_of(holds, np.diff(pts))
    first, last = np.array(holds).T
    frozen = last - first + 1 >= freeze
    if not frozen[-1] and len(holds) > 1:
        first, last, frozen = first[:-1], last[:-1], frozen[:-1]
    seconds = pts[np.minimum(last + 1, len(pts) - 1)] - pts[first]
    speed = np.where(frozen, 0.0, moved[last]) / seconds
    still = speed < STILL_SPEED
    begin, end = (np.append(motion[f"far_{name}"], -1)[last] for name in ("first", "last"))
    far = np.append(motion["far_motion"], 0.0)[last]
    known = (begin >= 0) & ~frozen
    shown = np.append(0.0, np.cumsum(np.where(frozen, 0.0, seconds)))
    covered = shown[np.searchsorted(last, end)] - shown[np.searchsorted(last, begin)]
    still = np.where(known, far < STILL_SPEED * np.maximum(FAR_S, covered), still)
    return Pace(seconds, speed > DYNAMIC_SPEED, still)


def not_understood(sample: Sample) -> str:
    """Why the motion that a sample asks for cannot be told; empty where it can, or none is asked for."""
    asked = sample.tags.get("motion", "")
    return "" if asked in WORDS else f"the prompt asks for motion {asked!r}; expected {', '.join(WORDS[1:])}"


def as_asked(sample: Sample, found: Pace, pts_s: Floats) -> tuple[Finding, ...]:
    """What of the clip's motion is not what the prompt asks for.

    Args:
        sample: With the prompt's tag ``motion``: static, low or high; without it nothing is asked for.
        found: Pace of the clip.
        pts_s: ``(T,)``, seconds.
    """
    asked = sample.tags.get("motion")
    dynamic, still = found.dynamic_degree, found.still_share
    if asked in STILL_SHARE and still > STILL_SHARE[asked]:
        kind, score, threshold = TOO_STILL, still, STILL_SHARE[asked]
        much = "much" if asked == "high" else "some"
        said = f"The prompt asks for {much} motion, and nothing moves for {still:.0%} of the time."
    elif asked == "static" and dynamic > DYNAMIC_SHARE:
        kind, score, threshold = TOO_LIVELY, dynamic, DYNAMIC_SHARE
        said = f"The prompt asks for a still shot, and much moves for {dynamic:.0%} of the time."
    else:
        return ()
    return (
        Finding(
            sample_id=sample.sample_id,
            kind=kind,
            severity=Severity.MAJOR if asked == "high" else Severity.MINOR,
            start_s=float(pts_s[0]),
            end_s=float(pts_s[-1]) + float(np.median(np.diff(pts_s))),
            score=score,
            threshold=threshold,
            message=said,
            detail={"asked": str(asked), "unit": "share of the time"},
        ),
    )
