"""What the temporal detectors found in a clip, in a reader's words: findings with time, place and series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vgaudit.extractors.base import Features
from vgaudit.metrics.temporal_detectors import DETECTORS, LASTING, detect
from vgaudit.metrics.temporal_floors import floors
from vgaudit.metrics.temporal_parts import cuts
from vgaudit.metrics.temporal_signals import Box, Found, Signals
from vgaudit.metrics.temporal_windows import FEWEST_PICTURES, out_of_reach, pictures_of_shots
from vgaudit.records import Finding, Series, Severity
from vgaudit.video import ClipInfo

MOST_OUT_OF_REACH = 0.1
"""Share of a clip's pictures that may be in shots too short to look for lasting faults in."""

FEWEST_TO_SHAKE = 7
"""Pictures of a shot between cuts from which on four pairs are left that are not beside one: what jitter takes."""

MAJOR = 2.0
"""Times its threshold from which a finding is major."""

KINDS = tuple(f"temporal.{kind}" for kind in DETECTORS)
"""Kinds of finding that :func:`artifacts` can make."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Artifacts:
    """What was found in a clip.

    Attributes:
        findings: By time.
        series: Of the detectors that found something.
        cuts: Frames that begin a shot.
        unassessed: Kinds that could not be looked for, to the reason.
    """

    findings: tuple[Finding, ...]
    series: Mapping[str, Series]
    cuts: tuple[int, ...] = ()
    unassessed: Mapping[str, str] = field(default_factory=dict)


def artifacts(sample_id: str, pixels: Features, motion: Features, info: ClipInfo) -> Artifacts:
    """Everything the detectors find in a clip.

    Args:
        sample_id: Of the clip.
        pixels: Features of extractor ``pixels``.
        motion: Features of extractor ``motion``, of pictures not too small for flow.
        info: Facts of the clip; boxes are in its pixels.
    """
    pts = np.asarray(motion["pts_s"], dtype=np.float64)
    side = int(min(motion.facts["height"], motion.facts["width"]))
    signals = Signals.of(pixels.arrays, motion.arrays, side)
    thresholds = floors(side)
    findings: list[Finding] = []
    series: dict[str, Series] = {}
    for kind, each in detect(signals, thresholds).items():
        findings += [_finding(sample_id, kind, f, thresholds[kind], pts, info) for f in each]
        if each:
            values = DETECTORS[kind].series(signals)
            times = pts[signals.frame[len(signals) - len(values) :]]
            series[kind] = Series(tuple(times.tolist()), tuple(values.tolist()), DETECTORS[kind].unit)
    cut = cuts(signals, thresholds["jump_cut"])
    unassessed: dict[str, str] = {}
    missed = out_of_reach(cut)
    if missed > MOST_OUT_OF_REACH:
        few = (
            f"{_percent(missed)} of the pictures are in shots of fewer than {FEWEST_PICTURES} different pictures, "
            "too few to look for what lasts"
        )
        unassessed = {f"temporal.{kind}": few for kind in LASTING}
    rushed = _in_shots_under(FEWEST_TO_SHAKE, signals)
    if rushed > MOST_OUT_OF_REACH:
        unassessed["temporal.jitter"] = (
            f"{_percent(rushed)} of the pictures are in shots of fewer than {FEWEST_TO_SHAKE} different pictures, "
            "too few to tell shaking from cuts"
        )
    return Artifacts(
        tuple(sorted(findings, key=lambda f: (f.start_s, f.kind))),
        series,
        tuple(signals.frame[1:][cut].tolist()),
        unassessed,
    )


def _finding(
    sample_id: str, kind: str, found: Found, threshold: float, pts: Floats, info: ClipInfo
) -> Finding:
    step = float(np.median(np.diff(pts)))
    start = float(pts[found.first])
    end = float(pts[found.end]) if found.end < len(pts) else float(pts[-1]) + step
    box = None
    if found.box is not None:
        left, top, right, bottom = found.box
        box = (left * info.width, top * info.height, right * info.width, bottom * info.height)
    until = " to the end" if found.end >= len(pts) else f" to {end:.2f} s"
    said = (found.said or DETECTORS[kind].said).format(
        at=f" at {start:.2f} s",
        when=f" from {start:.2f} s{until}",
        where=_place(found.box),
        score=_about(found.score),
    )
    return Finding(
        sample_id=sample_id,
        kind=f"temporal.{kind}",
        severity=Severity.MAJOR if found.score >= MAJOR * threshold else Severity.MINOR,
        start_s=start,
        end_s=end,
        score=found.score,
        threshold=threshold,
        message=said,
        box=box,
        detail={
            "first_frame": found.first,
            "last_frame": found.end - 1,
            "unit": DETECTORS[kind].unit,
        },
    )


def _in_shots_under(fewest: int, s: Signals) -> float:
    """Share of the pictures that are in shots between cuts of fewer pictures; 0 where nothing cuts."""
    if not s.cut.any():
        return 0.0
    return sum(n for n in pictures_of_shots(s.cut) if n < fewest) / len(s)


def _percent(share: float) -> str:
    return "all" if share == 1 else f"{min(max(1, round(100 * share)), 99)} %"


def _about(number: float) -> str:
    """``2`` where it is, ``about 2.5`` where it is not whole."""
    said = f"{number:.1f}".removesuffix(".0")
    return said if abs(number - float(said)) < 1e-9 and "." not in said else f"about {said}"


def _place(box: Box | None) -> str:
    """Where a box is, in words."""
    if box is None:
        return ""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    row = "at the top" if y < 1 / 3 else "at the bottom" if y > 2 / 3 else ""
    side = "on the left" if x < 1 / 3 else "on the right" if x > 2 / 3 else ""
    return f" {' '.join(filter(None, (row, side)))}" if row or side else " in the middle"
