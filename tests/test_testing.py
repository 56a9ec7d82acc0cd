"""check_metric must be able to fail: one broken metric for each promise, and the sentence it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vgaudit.extractors.base import ExtractorSpec, Features
from vgaudit.metrics.base import ClipView, Measured, MetricContext, SummaryContext, ValueSpec
from vgaudit.plan import Sample
from vgaudit.records import Finding, Measurement, Result, Series, Severity
from vgaudit.stats import mean_results
from vgaudit.testing import check_metric, example_clips


class PlainOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scale: float = 1.0


class Brightness:
    """Mean luma: a metric that keeps every promise."""

    name: ClassVar[str] = "brightness"
    version: ClassVar[int] = 1
    Options: ClassVar[type[BaseModel]] = PlainOptions
    values: ClassVar[tuple[ValueSpec, ...]] = (
        ValueSpec("mean", "grey levels", None, "Mean luma.", 0.0, 255.0),
        ValueSpec("change", "grey levels", False, "Mean change of luma.", 0.0),
    )
    summary_features: ClassVar[tuple[str, ...]] = ()
    finding_kinds: ClassVar[tuple[str, ...]] = ("brightness.dark",)

    def __init__(self, options: Any, context: MetricContext) -> None:
        self.options = options

    def needs(self) -> Mapping[str, ExtractorSpec]:
        return {"pixels": ExtractorSpec("pixels")}

    def texts(self, sample: Sample) -> Sequence[str]:
        return ()

    def identity(self) -> Mapping[str, Any]:
        return {}

    def measure(self, clip: ClipView) -> Measurement:
        luma = np.asarray(clip.features["pixels"]["luma_mean"], dtype=np.float64)
        if not len(luma):
            return Measurement(missing={"mean": "the clip has no frame", "change": "the clip has no frame"})
        if not np.isfinite(luma).all():
            return Measurement(missing={"mean": "luma is not finite", "change": "luma is not finite"})
        values = {"mean": float(luma.mean()) * self.options.scale}
        series = {"luma": Series(tuple(range(len(luma))), tuple(luma.tolist()))}
        if len(luma) < 2:
            return Measurement(values, series, missing={"change": "the clip has one frame"})
        return Measurement({**values, "change": float(np.abs(np.diff(luma)).mean())}, series)

    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        return mean_results(self.name, self.values, measured, context.group, context.confidence)


def test_a_metric_that_keeps_its_promises_passes() -> None:
    check_metric(Brightness)
    check_metric(Brightness, {"scale": 0.5})
    check_metric(Brightness, PlainOptions(scale=0.5), clips=example_clips(3, frames=7, height=40, width=40))


def test_features_can_be_given_where_weights_are_not_at_hand() -> None:
    calls = []

    def features(sample: Sample, frames: NDArray[np.uint8]) -> Mapping[str, Features]:
        calls.append(len(frames))
        return {"pixels": Features({"luma_mean": frames.mean(axis=(1, 2, 3), dtype=np.float64)})}

    check_metric(Brightness, features=features)
    assert {0, 1, 12} <= set(calls)


class NoVersion(Brightness):
    version = 0


class NoSummarize:
    name = "half"
    version = 1
    Options = PlainOptions
    values = Brightness.values
    summary_features = ()
    needs = texts = identity = measure = None


class LooseOptions(Brightness):
    class Options(BaseModel):
        scale: float = 1.0


class NoUnit(Brightness):
    values = (ValueSpec("mean", "", None, "Mean luma."), Brightness.values[1])


class SameValueTwice(Brightness):
    values = (Brightness.values[0], Brightness.values[0])


class CountsFrames(Brightness):
    """About the file as such: a clip without a frame has a count."""

    values = (ValueSpec("frames", "frames", None, "Frames.", 0.0),)
    finding_kinds = ()

    def measure(self, clip: ClipView) -> Measurement:
        return Measurement({"frames": float(clip.info.frames or 0)})


def test_findings_need_declared_kinds() -> None:
    def measure(self: Any, clip: ClipView) -> Measurement:
        found = Finding(
            clip.sample.sample_id, "brightness.dark", Severity.MINOR, 0.0, 0.1, 1.0, 2.0, "It is dark."
        )
        return replace(Brightness.measure(self, clip), findings=(found,))

    kept = {
        k: v for k, v in vars(Brightness).items() if k not in ("finding_kinds", "__dict__", "__weakref__")
    }
    undeclared = type("Undeclared", (), {**kept, "measure": measure})
    words = r"makes findings \(brightness.dark\), but the class has no finding_kinds"
    with pytest.raises(AssertionError, match=words):
        check_metric(undeclared)
    check_metric(type("Declared", (undeclared,), {"finding_kinds": ("brightness.dark",)}))


def test_finding_kinds_are_a_tuple() -> None:
    class OneString(Brightness):
        finding_kinds = "brightness.dark"  # type: ignore[assignment]

    with pytest.raises(AssertionError, match="expected a tuple of kinds"):
        check_metric(OneString)


def test_a_metric_about_files_may_judge_empty_clips() -> None:
    with pytest.raises(AssertionError, match="without a single frame"):
        check_metric(CountsFrames)
    check_metric(CountsFrames, judges_empty_clips=True)


class UnknownExtractor(Brightness):
    def needs(self) -> Mapping[str, ExtractorSpec]:
        return {"pixels": ExtractorSpec("pixel")}


class WrongExtractorOptions(Brightness):
    def needs(self) -> Mapping[str, ExtractorSpec]:
        return {"pixels": ExtractorSpec("pixels", {"colour": "red"})}


class SummaryOfNothing(Brightness):
    summary_features = ("faces",)


class IdentityNotJson(Brightness):
    def identity(self) -> Mapping[str, Any]:
        return {"when": object()}


class UndeclaredValue(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        m = super().measure(clip)
        return replace(m, values={**m.values, "median": 1.0})


class ForgetsAValue(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        return replace(super().measure(clip), missing={})


class NoReason(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        m = super().measure(clip)
        return replace(m, missing=dict.fromkeys(m.missing, " "))


class OutOfRange(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        m = super().measure(clip)
        return replace(m, values={k: v + 1000 for k, v in m.values.items()})


class Impure(Brightness):
    def __init__(self, options: Any, context: MetricContext) -> None:
        super().__init__(options, context)
        self.seen = 0

    def measure(self, clip: ClipView) -> Measurement:
        self.seen += 1
        return replace(super().measure(clip), facts={"seen": self.seen})


class ChangesFeatures(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        m = super().measure(clip)
        luma = clip.features["pixels"]["luma_mean"]
        luma[:] = luma[::-1].copy()
        return m


class FindingOfAnother(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        found = Finding("another", "brightness.dark", Severity.MINOR, 0.0, 1.0, 1.0, 0.5, "Dark.")
        return replace(super().measure(clip), findings=(found,))


class UndeclaredFinding(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        found = Finding(
            clip.sample.sample_id, "brightness.glare", Severity.MINOR, 0.0, 1.0, 1.0, 0.5, "Glare."
        )
        return replace(super().measure(clip), findings=(found,))


class BackwardFinding(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        found = Finding(clip.sample.sample_id, "brightness.dark", Severity.MINOR, 2.0, 1.0, 1.0, 0.5, "Dark.")
        return replace(super().measure(clip), findings=(found,))


class FactsNotJson(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        return replace(super().measure(clip), facts={"frames": np.int64(3)})


class CrashesOnOneFrame(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        clip.features["pixels"]["mae_next"].max()
        return super().measure(clip)


class ValueOfNoFrame(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        if not len(clip.features["pixels"]["luma_mean"]):
            return Measurement({"mean": 0.0, "change": 0.0})
        return super().measure(clip)


class NeedsAPrompt(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        assert clip.sample.prompt.split()[0]
        return super().measure(clip)


class IgnoresNan(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        luma = np.nan_to_num(clip.features["pixels"]["luma_mean"])
        features = {"pixels": Features({"luma_mean": luma})}
        return super().measure(replace(clip, features=features))


class DropsNan(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        luma = clip.features["pixels"]["luma_mean"]
        features = {"pixels": Features({"luma_mean": luma[np.isfinite(luma)]})}
        return super().measure(replace(clip, features=features))


class OneResultShort(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        return super().summarize(measured, context)[:1]


class WrongGroup(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        return [replace(r, group="all") for r in super().summarize(measured, context)]


class WrongDirection(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        return [replace(r, higher_is_better=True) for r in super().summarize(measured, context)]


class NoInterval(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        return [
            replace(r, low=None, high=None, reason=r.reason if r.value is None else "")
            for r in super().summarize(measured, context)
        ]


class FirstClipOnly(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        results = super().summarize(measured, context)
        if not measured:
            return results
        return [
            replace(r, value=measured[0].measurement.values.get("mean")) if r.value else r for r in results
        ]


class CrashesWithoutClips(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        assert len(measured) / len(measured)
        return super().summarize(measured, context)


class MeanOfNothingIsZero(Brightness):
    def summarize(self, measured: Sequence[Measured], context: SummaryContext) -> list[Result]:
        results = super().summarize(measured, context)
        return [replace(r, status="computed", value=0.0, n=1) if r.value is None else r for r in results]


class BatchMatters(Brightness):
    """Reads how the frames were handed over, as a metric over a badly written extractor would."""

    def needs(self) -> Mapping[str, ExtractorSpec]:
        return {"pixels": ExtractorSpec("batch_counting")}


class NothingAtAll(Brightness):
    def measure(self, clip: ClipView) -> Measurement:
        return Measurement(missing={"mean": "not today", "change": "not today"})


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (NoVersion, "version is 0"),
        (NoSummarize, "no summarize"),
        (LooseOptions, "unknown keys"),
        (NoUnit, "value mean does not say its unit"),
        (SameValueTwice, "'mean' occurs twice"),
        (UnknownExtractor, "did you mean 'pixels'"),
        (WrongExtractorOptions, "needs()['pixels'] cannot be had"),
        (SummaryOfNothing, "summary_features ['faces']"),
        (IdentityNotJson, "identity() is not JSON"),
        (UndeclaredValue, "['median'], which values does not declare"),
        (ForgetsAValue, "neither a value nor a reason for"),
        (NoReason, "missing without a reason"),
        (OutOfRange, "outside its range 0.0 to 255.0"),
        (Impure, "twice gives different"),
        (ChangesFeatures, "changes the features"),
        (FindingOfAnother, "names sample 'another'"),
        (UndeclaredFinding, "'brightness.glare' is not declared"),
        (BackwardFinding, "spans 2.0 s to 1.0 s"),
        (FactsNotJson, "is not JSON"),
        (CrashesOnOneFrame, "makes it crash: ValueError"),
        (ValueOfNoFrame, "without a single frame has values"),
        (NeedsAPrompt, "a clip without a prompt makes it crash: IndexError"),
        (IgnoresNan, "from features that are all NaN"),
        (DropsNan, "from features with a NaN in each array"),
        (OneResultShort, "expected one each of"),
        (WrongGroup, "about group 'all'"),
        (WrongDirection, "another unit or direction"),
        (NoInterval, "neither an interval nor a reason"),
        (FirstClipOnly, "the order of clips changes brightness."),
        (CrashesWithoutClips, "a group without clips makes it crash: ZeroDivisionError"),
        (MeanOfNothingIsZero, "where there was nothing to measure"),
        (BatchMatters, "in blocks of 1 changes mean"),
        (NothingAtAll, "not one value was computed"),
    ],
)
def test_a_broken_promise_is_named(metric: type[Any], words: str, batch_counting: None) -> None:
    with pytest.raises(AssertionError) as caught:
        check_metric(metric)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"metric {metric.name!r} breaks a promise: ")


class BatchCounting:
    """An extractor whose numbers depend on how its frames were batched."""

    name: ClassVar[str] = "batch_counting"
    unit: ClassVar[str] = "frame"
    fingerprint = "batch_counting"

    class Options(BaseModel):
        pass

    def __init__(self, options: Any) -> None: ...

    def load(self) -> None: ...

    def start(self, info: Any) -> BatchCounting:
        made = BatchCounting(None)
        made.luma: list[float] = []  # type: ignore[misc]
        return made

    def push(self, frames: Any) -> None:
        self.luma += [float(len(frames))] * len(frames)

    def finish(self) -> Features:
        return Features({"luma_mean": np.array(self.luma)})


@pytest.fixture
def batch_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    from vgaudit import registry

    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda kind, name: BatchCounting if name == "batch_counting" else load(kind, name)
    )


def test_example_clips_are_the_same_each_time_and_differ_from_each_other() -> None:
    first, again = example_clips(), example_clips()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({c.tobytes() for c in first}) == len(first)
    assert all(c.dtype == np.uint8 and c.shape == (12, 64, 96, 3) for c in first)
