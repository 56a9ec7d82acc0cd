"""Temporal consistency: what a viewer notices between frames - flicker along the motion, speed, freezes, quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.metrics.freezes import FreezeReport, find_freezes
from vgaudit.metrics.motion_asked import TOO_LIVELY, TOO_STILL, as_asked, not_understood, pace
from vgaudit.metrics.temporal_findings import KINDS, artifacts
from vgaudit.metrics.temporal_quality import temporal_quality
from vgaudit.plan import Sample
from vgaudit.records import Finding, Measurement, Result, Series, Severity
from vgaudit.stats import NOT_APPLICABLE_PREFIX, mean_results

MAJOR_FREEZE_S = 0.5
"""Seconds from which a freeze is a major finding."""

ASKED_STILL = f"{NOT_APPLICABLE_PREFIX} the prompt asks for a still shot"

IDENTITY_DRIFT = "temporal.identity_drift"
"""Found only where the option ``faces`` is on."""

UNSEEN = 1.0
"""Grey levels by which means of 32x32 cells, RGB, may differ on average from the picture that a frame repeats, ..."""

UNSEEN_PART = 4.0
"""... and those of any of 8x8 cells, or it is no repeat."""

FEWEST_FRAMES = 4
"""Distinct pictures below which nothing can be looked for: three changes in a row are the least that most take."""

Floats = NDArray[np.float64]


class TemporalOptions(BaseModel):
    """Options of the temporal metric.

    Attributes:
        faces: Look for faces that become another one while a shot goes on (``temporal.identity_drift``).
    """

    model_config = ConfigDict(extra="forbid")

    faces: bool = False


class Temporal:
    """Temporal metric; ``docs/metrics/temporal.md`` gives the formulas, their sources and their limits.

    * ``warp_error``, [0, 1], lower is better: mean over pairs of frames of the photometric error that is left
      after the next frame is warped back along the optical flow, over pixels that are not occluded.
    * ``motion``, >= 0, neither end is good: sum over pairs of the mean of the largest 5 % of flow magnitudes
      (fraction of the frame's short side) divided by the clip's duration: short sides per second.
    * ``freeze_fraction``, [0, 1], lower is better: share of frame pairs inside a freeze
      (:mod:`vgaudit.metrics.freezes`); not applicable to clips in which nothing moves, or whose prompt asks for
      no motion (``motion: static``).
    * ``dynamic_degree``, [0, 1], neither end is good: share of the time in which the motion is faster than
      3/16 short side a second (:mod:`vgaudit.metrics.motion_asked`). Of size and frame rate it knows nothing
      (VBench's ``dynamic_degree`` does).
    * ``quality``, [0, 1], higher is better: how people would rate the clip's motion, 0 for "very bad" and 1 for
      "excellent" (:mod:`vgaudit.metrics.temporal_quality`); not applicable where the freeze fraction is not.

    Findings ``temporal.freeze``: one per freeze; the score is its length and the threshold the shortest length
    that counts, both in seconds. Findings of :mod:`vgaudit.metrics.temporal_findings`: cuts, flicker, steps of
    light, drifting colours, noise, blur, jitter, stutter, missing frames, ghosts, warping, and parts of the
    picture that pop or are swapped; each with the detector's series. ``temporal.too_still`` and
    ``temporal.too_lively``: the clip does not move as its prompt's ``motion`` asks. With the option ``faces``,
    ``temporal.identity_drift`` (:mod:`vgaudit.metrics.identity_drift`): a face becomes another one while the
    shot goes on. A clip too small for flow, of fewer than :data:`FEWEST_FRAMES` frames or different pictures, or
    with a statistic that is no finite number is not assessed; one whose pictures differ in colour alone, or
    slowly in a part, is not for any of these but freezes, the motion asked for, and faces. One more than a tenth
    of whose pictures are in shots of fewer than :data:`~vgaudit.metrics.temporal_windows.FEWEST_PICTURES` is not
    assessed for ghosts and warping, and one whose faces were asked for and could not be compared not for these.
    """

    name: ClassVar[str] = "temporal"
    version: ClassVar[int] = 10
    Options: ClassVar[type[BaseModel]] = TemporalOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec(
            "warp_error", "fraction of full scale", False,
            "Mean absolute luma difference after motion compensation, over pixels that are not occluded.", 0.0, 1.0,
        ),
        ValueSpec(
            "motion", "short sides per second", None,
            "Mean of the largest 5 % of optical flow magnitudes, relative to the frame's short side, per second.",
            0.0,
        ),
        ValueSpec(
            "dynamic_degree", "share of the time", None,
            "Share of the time in which the fastest twentieth of the picture moves by more than 3/16 short side a "
            "second.", 0.0, 1.0,
        ),
        ValueSpec(
            "freeze_fraction", "fraction of frame pairs", False,
            "Share of frame pairs inside a stretch of repeated frames, in clips that otherwise move.", 0.0, 1.0,
        ),
        ValueSpec(
            "quality", "share of the way from the worst to the best rating", True,
            "Predicted human rating of how the clip moves, from its optical flow.", 0.0, 1.0, title="Motion quality",
        ),
    )  # fmt: skip
    summary_features: ClassVar[tuple[str, ...]] = ()
    finding_kinds: tuple[str, ...] = ("temporal.freeze", TOO_STILL, TOO_LIVELY, *KINDS, IDENTITY_DRIFT)
    filmstrips: ClassVar[bool] = True

    def __init__(self, options: TemporalOptions, context: MetricContext) -> None:
        self.options = options
        if not options.faces:
            # A gate on it must not pass where no face was looked at: it asks for what cannot be found.
            self.finding_kinds = tuple(kind for kind in self.finding_kinds if kind != IDENTITY_DRIFT)

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Differences of neighbouring frames, their optical flow, and faces if they are asked for."""
        needed = {"pixels": ExtractorSpec("pixels"), "motion": ExtractorSpec("motion")}
        if self.options.faces:
            from vgaudit.metrics.identity_drift import faces_needed

            needed["faces"] = faces_needed()
        return needed

    def texts(self, sample: Sample) -> Sequence[str]:
        """No text is needed."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Options and features say everything."""
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        """Values, series over time and freezes of one clip."""
        pixels, motion = clip.features["pixels"], clip.features["motion"]
        pts = np.asarray(motion["pts_s"], dtype=np.float64)
        if len(pts) < 2:
            why = f"the clip has {len(pts)} frame{'' if len(pts) == 1 else 's'}; two are needed to compare"
            return self._nothing(why)
        steps = np.diff(pts)
        if not np.isfinite(pts).all() or (steps <= 0).any():
            return self._nothing(
                "the frames' time stamps do not increase, so nothing per second can be measured"
            )
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        facts: dict[str, Any] = {}
        kinds: dict[str, str] = {}
        valid = np.asarray(motion["valid"], dtype=bool)
        error = np.asarray(motion["warp_error"], dtype=np.float64)
        speed = np.asarray(motion["motion_top5"], dtype=np.float64)
        difference = np.asarray(pixels["mae_next"], dtype=np.float64)
        _require_pairs(len(steps), valid=valid, warp_error=error, motion_top5=speed, mae_next=difference)

        paced = pace(motion.arrays, difference)
        asked: tuple[Finding, ...] = ()
        if motion.facts.get("too_small"):
            missing |= dict.fromkeys(
                ("warp_error", "motion", "dynamic_degree"), "the picture is too small for optical flow"
            )
        else:
            facts["pairs_without_warp_error"] = int(np.count_nonzero(~valid))
            if not np.isfinite(error[valid]).all():
                missing["warp_error"] = "the warp error of a pair is not a finite number"
            elif not valid.any():
                missing["warp_error"] = "no pixel of any pair is visible in both frames"
            else:
                values["warp_error"] = float(error[valid].mean())
            if np.isfinite(speed).all():
                values["motion"] = float(speed.sum() / (pts[-1] - pts[0]))
            else:
                missing["motion"] = missing["dynamic_degree"] = "the motion of a pair is not a finite number"
            if not np.isfinite(difference).all():
                missing["dynamic_degree"] = "the difference of a pair is not a finite number"
            elif np.isfinite(speed).all():
                values["dynamic_degree"] = paced.dynamic_degree
                if clip.sample.prompt:
                    asked = as_asked(clip.sample, paced, pts)
                    if why := not_understood(clip.sample):
                        kinds |= dict.fromkeys((TOO_STILL, TOO_LIVELY), why)

        findings: tuple[Finding, ...] = ()
        if not np.isfinite(difference).all():
            missing["freeze_fraction"] = missing["quality"] = (
                "the difference of a pair is not a finite number"
            )
        elif clip.sample.prompt and clip.sample.tags.get("motion") == "static":
            # Who was asked to stand still may pause: little motion that ceases is what was ordered, no fault.
            missing["freeze_fraction"] = missing["quality"] = ASKED_STILL
        else:
            report = find_freezes(difference, pts)
            quality = _quality(motion, report)
            if isinstance(quality, str):
                missing["quality"] = quality
            else:
                values["quality"] = quality
            if report is None:
                why = f"{NOT_APPLICABLE_PREFIX} too little moves in this clip to tell a freeze from stillness"
                missing["freeze_fraction"] = why
            else:
                values["freeze_fraction"] = report.fraction
                facts |= {"freeze_tolerance": report.tolerance, "rhythm_frames": report.rhythm}
                findings = _freeze_findings(clip.sample.sample_id, report, float(np.median(steps)))

        shown: Mapping[str, Series] = {}
        unassessed = _why_nothing(pixels, motion)
        facts["different_pictures"] = _pictures(motion)
        if not unassessed:
            more = artifacts(clip.sample.sample_id, pixels, motion, clip.info)
            findings, shown = _without_held(findings, more.findings), more.series
            kinds |= more.unassessed
            if unseen := _changes_unseen(pixels, motion):
                kinds |= dict.fromkeys(KINDS, unseen)
            if self.options.faces:
                from vgaudit.metrics.identity_drift import identity_drift

                drift = identity_drift(clip.sample.sample_id, clip.features["faces"], more.cuts, clip.info)
                findings, shown = (*findings, *drift.findings), {**shown, **drift.series}
                if drift.unassessed:
                    kinds[IDENTITY_DRIFT] = drift.unassessed
                facts["identity"] = drift.facts

        usable = np.zeros_like(valid) if motion.facts.get("too_small") else valid
        series = {
            "warp_error": _series(pts, error, usable, "fraction of full scale"),
            "motion": _series(pts, speed / steps, np.isfinite(speed), "short sides per second"),
            "frame_difference": _series(pts, difference, np.isfinite(difference), "grey levels"),
            **shown,
        }
        return Measurement(values, series, (*asked, *findings), missing, facts, unassessed, kinds)

    def _nothing(self, why: str) -> Measurement:
        """No value, and nothing that a gate on findings could pass on."""
        return Measurement(missing={spec.name: why for spec in self.values}, unassessed=why)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """Mean over prompts of each value; the warp error's ``detail`` counts the pairs that have none."""
        results = mean_results(self.name, self.values, measured, context.group, context.confidence)
        counts = [clip.measurement.facts.get("pairs_without_warp_error") for clip in measured]
        told = {"pairs_without_warp_error": sum(count for count in counts if count is not None)}
        return [
            replace(r, detail={**r.detail, **told}) if r.name == f"{self.name}.warp_error" else r
            for r in results
        ]


def _why_nothing(pixels: Features, motion: Features) -> str:
    """Why artifacts cannot be looked for; empty if they can."""
    if motion.facts.get("too_small"):
        return "the picture is too small for optical flow, so artifacts could not be looked for"
    count, pictures = len(motion["pts_s"]), _pictures(motion)
    few = f"artifacts could not be looked for in fewer than {FEWEST_FRAMES}"
    if count < FEWEST_FRAMES:
        return f"the clip has {count} frames; {few}"
    if 1 < pictures < FEWEST_FRAMES:
        return f"the clip shows {pictures} different pictures; {few}"
    for features in (pixels, motion):
        for name, array in features.arrays.items():
            if not np.isfinite(array).all():
                return f"a {name} is not a finite number, so artifacts could not be looked for"
    return ""


def _changes_unseen(pixels: Features, motion: Features) -> str:
    """Whether frames that repeat their picture by luma, all in all, show another one in colour, or in a part."""
    repeat = np.asarray(motion["quality_repeat"], dtype=bool)
    thumb = np.asarray(pixels["thumb"], dtype=np.uint8)
    shown = np.maximum.accumulate(np.where(np.r_[True, ~repeat], np.arange(len(thumb)), 0))
    count = 0
    for frame in (np.flatnonzero(repeat) + 1).tolist():  # one by one: long clips have many
        apart = np.abs(thumb[frame].astype(np.int16) - thumb[shown[frame]]).mean(axis=2)
        parts = apart.reshape(8, 4, 8, 4).mean(axis=(1, 3))
        count += bool(apart.mean() > UNSEEN or parts.max() > UNSEEN_PART)
    if not count:
        return ""
    if count == 1:
        return "1 frame differs from the picture that it repeats, in colour alone or in a part"
    return f"{count} frames differ from the pictures that they repeat, in colour alone or in a part"


def _pictures(motion: Features) -> int:
    """How many pictures the clip shows that are not repeats of the one before."""
    return 1 + int(np.count_nonzero(~np.asarray(motion["quality_repeat"], dtype=bool)))


def _without_held(freezes: tuple[Finding, ...], more: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """All findings, but of a stretch of repeated frames the stutter alone, and not its minor freezes as well."""
    stutters = [f for f in more if f.kind == "temporal.duplicate_frames"]

    def told(freeze: Finding) -> bool:
        inside = any(s.start_s <= freeze.start_s and freeze.end_s <= s.end_s + 1e-6 for s in stutters)
        return inside and freeze.severity != Severity.MAJOR

    return (*(freeze for freeze in freezes if not told(freeze)), *more)


def _quality(motion: Features, report: FreezeReport | None) -> float | str:
    if motion.facts.get("too_small"):
        return "the picture is too small for optical flow"
    return temporal_quality(motion.arrays, report, min(motion.facts["height"], motion.facts["width"]))


def _require_pairs(n_pairs: int, **arrays: NDArray[Any]) -> None:
    for name, array in arrays.items():
        if array.shape != (n_pairs,):
            raise ValueError(
                f"{name} has shape {array.shape}; expected one value for each of {n_pairs} pairs"
            )


def _series(pts: Floats, values: Floats, there: NDArray[np.bool_], unit: str) -> Series:
    """A pair's value stands at the time of its second frame; ``None`` where there is none."""
    shown = tuple(
        float(v) if ok and np.isfinite(v) else None
        for v, ok in zip(values.tolist(), there.tolist(), strict=True)
    )
    return Series(tuple(pts[1:].tolist()), shown, unit)


def _freeze_findings(sample_id: str, report: FreezeReport, step: float) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            sample_id=sample_id,
            kind="temporal.freeze",
            severity=Severity.MAJOR if freeze.seconds >= MAJOR_FREEZE_S else Severity.MINOR,
            start_s=freeze.start_s,
            end_s=freeze.end_s,
            score=freeze.seconds,
            threshold=report.min_frames * step,
            message=f"The picture stands still for {freeze.seconds:.2f} s ({freeze.frames} equal frames) "
            "in a clip that otherwise moves.",
            detail={"first_frame": freeze.first, "last_frame": freeze.last, "tolerance": report.tolerance},
        )
        for freeze in report.freezes
    )
