"""Is every clip what was asked for: frame count, size, rate, length, not black, not a still, not damaged?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vgaudit.arrays import runs
from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Finding, Measurement, Result, Severity
from vgaudit.stats import rate_result
from vgaudit.video import ClipInfo


def _fact(name: str, unit: str, description: str) -> ValueSpec:
    """A value that describes one clip and is not averaged over a group."""
    return ValueSpec(name, unit, None, description, low=0.0, per_group=False)


def _fraction(name: str, higher_is_better: bool, description: str) -> ValueSpec:
    return ValueSpec(name, "fraction", higher_is_better, description, low=0.0, high=1.0)


class IntegrityOptions(BaseModel):
    """What is asked of each clip; ``None`` asks for nothing. The suite's ``video`` fills the first five."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int | None = Field(None, ge=1, description="Frames asked for.")
    width: int | None = Field(None, ge=1, description="Width asked for, in pixels.")
    height: int | None = Field(None, ge=1, description="Height asked for, in pixels.")
    fps: float | None = Field(None, gt=0, description="Frames per second asked for.")
    seconds: float | None = Field(None, gt=0, description="Length asked for, in seconds.")
    min_frames: int = Field(2, ge=1, description="A clip of fewer frames is no video.")
    tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Relative deviation of rate and length let pass; over 5 times it is major.",
    )
    black_luma: float = Field(
        8.0, ge=0, le=255, description="A frame is black whose luma has a mean and a spread of at most this."
    )
    black_min_s: float = Field(0.5, ge=0, description="Shorter black stretches (fades) give no finding.")
    constant_mae: float = Field(
        1.0,
        ge=0,
        le=255,
        description="Mean difference (0..255) up to which frames count as the same picture.",
    )
    constant_max: float = Field(
        16.0,
        ge=0,
        le=255,
        description="Largest difference (0..255) between neighbours that are the same picture.",
    )


class Integrity:
    """Deterministic checks of each clip against what was asked, and the share of clips that pass.

    A clip is ok unless it has a finding of severity ``major``. Samples without a measured clip (failed or
    undecodable) are not ok either, and ``integrity.ok_rate`` counts them so: it is a rate of clips, seeds averaged
    within prompts, with the interval of :func:`vgaudit.estimates.clustered_rate`.
    """

    name: ClassVar[str] = "integrity"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BaseModel]] = IntegrityOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        _fact("frames", "frames", "Frames that could be decoded."),
        _fact("fps", "frames/s", "Average frame rate by the time stamps."),
        _fact("seconds", "s", "First frame's start to last frame's end."),
        replace(_fraction("black_fraction", False, "Share of frames that are black."), per_group=False),
        replace(
            _fraction("constant_fraction", False, "Share of neighbouring frames that show the same picture."),
            per_group=False,
        ),
        replace(_fraction("ok", True, "1 where the clip is what was asked for, else 0."), per_group=False),
        replace(
            _fraction("ok_rate", True, "Share of the planned clips that are there and what was asked for."),
            per_clip=False,
        ),
    )
    summary_features: ClassVar[tuple[str, ...]] = ()
    sliceable: ClassVar[tuple[str, ...]] = ("ok_rate",)
    finding_kinds: ClassVar[tuple[str, ...]] = (
        "integrity.frame_count",
        "integrity.size",
        "integrity.fps",
        "integrity.length",
        "integrity.black",
        "integrity.constant",
        "integrity.damaged",
    )

    def __init__(self, options: IntegrityOptions, context: MetricContext | None = None) -> None:
        self.options = options

    def needs(self) -> Mapping[str, ExtractorSpec]:
        """Pixel statistics."""
        return {"pixels": ExtractorSpec("pixels")}

    def texts(self, sample: Sample) -> Sequence[str]:
        """None."""
        return ()

    def identity(self) -> Mapping[str, Any]:
        """Nothing besides options and features changes the numbers."""
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        """Facts of the clip and findings about what is not as asked."""
        pixels = clip.features["pixels"]
        for name, array in pixels.arrays.items():
            if not np.isfinite(array).all():  # a comparison with NaN is false, which would read as "fine"
                raise ValueError(f"pixel statistic {name} is not finite; the clip cannot be checked")
        black = black_frames(pixels, self.options.black_luma)
        same = same_as_next(pixels, self.options)
        check = _Check(clip.sample.sample_id, clip.info, pixels["pts_s"], self.options)
        findings = tuple(check.findings(black, same, pixels["mae_first"]))
        values = {
            "frames": float(len(black)),
            "fps": clip.info.fps,
            "seconds": clip.info.duration_s,
            "ok": float(_passes(findings)),
        }
        missing = {}
        for name, flags in (("black_fraction", black), ("constant_fraction", same)):
            if len(flags):
                values[name] = float(flags.mean())
            else:
                missing[name] = "not applicable: a clip of one frame has no neighbouring frames"
        facts = {"assumptions": list(clip.info.assumptions), "warnings": list(clip.info.warnings)}
        return Measurement(values=values, findings=findings, missing=missing, facts=facts)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        """The rate of sound clips over all that were planned; the other values are facts of single clips."""
        return [self._ok_rate(measured, context)]

    def _ok_rate(self, measured: Sequence[Measured], context: SummaryContext) -> Result:
        ok = {m.sample.sample_id: float(_passes(m.measurement.findings)) for m in measured}
        planned = {s.sample_id: s for s in (*context.planned, *(m.sample for m in measured))}
        clips = [(sample, ok.get(key, 0.0), "") for key, sample in planned.items()]
        prompts = {sample.prompt_id for sample in planned.values()}
        spoilt = {sample.prompt_id for sample, passed, _ in clips if not passed}
        absent = len(planned) - len(ok)
        detail = {
            "planned": len(planned),
            "measured": len(ok),
            "without_clip": absent,
            "clips_ok": int(sum(ok.values())),
            "prompts_ok": len(prompts - spoilt),
        }
        rate = rate_result(
            f"{self.name}.ok_rate", context.group, clips, self.values[-1], context.confidence, detail=detail
        )
        if not absent or rate.value is None:
            return rate
        note = f"{absent} of {len(planned)} samples have no measured clip and count as not ok"
        return replace(rate, reason="; ".join(filter(None, [note, rate.reason])))


def _passes(findings: Iterable[Finding]) -> bool:
    return all(finding.severity is not Severity.MAJOR for finding in findings)


def black_frames(pixels: Features, black_luma: float) -> NDArray[np.bool_]:
    """Frames, as bool ``(T,)``, whose luma has a mean and a standard deviation of at most ``black_luma``.

    The spread keeps night scenes: a few lights on black have a low mean but a high spread.
    """
    return np.asarray((pixels["luma_mean"] <= black_luma) & (pixels["luma_std"] <= black_luma))


def same_as_next(pixels: Features, options: IntegrityOptions) -> NDArray[np.bool_]:
    """Pairs, as bool ``(T-1,)``, of neighbouring frames that show the same picture but for traces of compression."""
    alike = pixels["mae_next"] <= options.constant_mae
    return np.asarray(alike & (pixels["max_abs_next"] <= options.constant_max))


@dataclass(frozen=True)
class _Check:
    """The checks of one clip."""

    sample_id: str
    info: ClipInfo
    pts_s: NDArray[np.float64]
    options: IntegrityOptions

    def findings(
        self, black: NDArray[np.bool_], same: NDArray[np.bool_], mae_first: NDArray[np.float64]
    ) -> Iterator[Finding]:
        yield from self._frame_count(len(black))
        yield from self._size()
        yield from self._rate_and_length()
        yield from self._black(black)
        yield from self._constant(same, mae_first)
        yield from self._damaged()

    def _finding(
        self,
        kind: str,
        message: str,
        score: float,
        threshold: float,
        severity: Severity = Severity.MAJOR,
        span: tuple[float, float] | None = None,
        **detail: Any,
    ) -> Finding:
        start, end = span or (0.0, self.info.duration_s)
        return Finding(
            self.sample_id,
            f"{Integrity.name}.{kind}",
            severity,
            start,
            end,
            score,
            threshold,
            message,
            detail=detail,
        )

    def _frame_count(self, count: int) -> Iterator[Finding]:
        asked = self.options.frames
        if asked is not None and count != asked:
            message = f"The clip has {count} frames, {asked} were asked for."
            yield self._finding("frame_count", message, count, asked)
        elif asked is None and count < self.options.min_frames:
            message = f"The clip has {count} frames; fewer than {self.options.min_frames} are no video."
            yield self._finding("frame_count", message, count, self.options.min_frames)

    def _size(self) -> Iterator[Finding]:
        info = self.info
        for what, there, asked in (
            ("width", info.width, self.options.width),
            ("height", info.height, self.options.height),
        ):
            # Clips made of odd-sized frames are stored with the next even size: 4:2:0 has no other.
            if asked is not None and there not in (asked, asked + asked % 2):
                message = f"The {what} is {there} pixels, {asked} were asked for."
                yield self._finding("size", message, there, asked, what=what)

    def _rate_and_length(self) -> Iterator[Finding]:
        info, options = self.info, self.options
        if options.fps is not None and (severity := self._deviation(info.fps, options.fps, 0.0)):
            message = f"The clip has {info.fps:.4g} frames per second, {options.fps:.4g} were asked for."
            yield self._finding("fps", message, info.fps, options.fps, severity)
        slack = 1.001 / info.fps if info.fps > 0 else 0.0
        if options.seconds is not None and (
            severity := self._deviation(info.duration_s, options.seconds, slack)
        ):
            message = f"The clip lasts {info.duration_s:.3f} s, {options.seconds:.3f} s were asked for."
            yield self._finding("length", message, info.duration_s, options.seconds, severity)

    def _deviation(self, there: float, asked: float, slack: float) -> Severity | None:
        """``None`` within the tolerance (or ``slack``, absolute), minor up to five times it, else major."""
        off = abs(there - asked)
        if off <= max(self.options.tolerance * asked, slack):
            return None
        return Severity.MINOR if off <= 5 * self.options.tolerance * asked else Severity.MAJOR

    def _black(self, black: NDArray[np.bool_]) -> Iterator[Finding]:
        share = float(black.mean()) if len(black) else 0.0
        severity = Severity.MAJOR if share >= 0.5 else Severity.MINOR
        for start, end in runs(black):
            span = self._span(start, end)
            if black.all() or span[1] - span[0] >= self.options.black_min_s:
                message = f"{end - start} frames in a row are black."
                yield self._finding("black", message, share, self.options.black_luma, severity, span)

    def _constant(self, same: NDArray[np.bool_], mae_first: NDArray[np.float64]) -> Iterator[Finding]:
        # The comparison with the first frame tells a still from a change too slow to show between neighbours.
        if len(same) and same.all() and float(mae_first.max()) <= self.options.constant_mae:
            message = f"All {len(same) + 1} frames show the same picture: nothing moves."
            yield self._finding("constant", message, float(mae_first.max()), self.options.constant_mae)

    def _damaged(self) -> Iterator[Finding]:
        info = self.info
        if info.decode_errors:
            message = f"The file is {'; '.join(info.warnings)}."
            yield self._finding("damaged", message, info.decode_errors, 0)
        elif info.warnings:
            message = f"The file is not in order: {'; '.join(info.warnings)}."
            yield self._finding("damaged", message, len(info.warnings), 0, Severity.MINOR)

    def _span(self, start: int, end: int) -> tuple[float, float]:
        stop = float(self.pts_s[end]) if end < len(self.pts_s) else self.info.duration_s
        return float(self.pts_s[start]), stop
