"""Run a metric through everything that can go wrong, and hold it against each promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.metrics.base import Measured, Metric, MetricContext
from vgaudit.records import COMPUTED, Measurement, Result
from vgaudit.testing.bench import Bench, Case, FeatureMaker, UInt8, example_clips, make_sample
from vgaudit.testing.promises import broken, check_class, check_measurement, check_results, close

# What a metric may refuse unusable features with: the pipeline then counts the clip as not measured.
_REFUSALS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, Unavailable)


def check_metric(
    metric_class: type[Any],
    options: BaseModel | Mapping[str, Any] | None = None,
    *,
    base_dir: Path | None = None,
    clips: Sequence[UInt8] | None = None,
    prompts: Sequence[str] = ("a red square crosses a field", "a blue square crosses a field"),
    features: FeatureMaker | None = None,
    judges_empty_clips: bool = False,
) -> None:
    """Hold a metric against what vgaudit promises of every metric.

    * Protocol: class attributes, options that refuse unknown keys, values with unit, direction and description,
      extractors that exist.
    * Each clip: every declared value is either a finite number within its range or missing with a reason;
      findings name their clip and kind; JSON and back changes nothing; measuring twice gives the same, and leaves
      the features as they were.
    * Batches: frames pushed one by one, or in blocks, give the same numbers to 1e-5.
    * Groups: exactly one result per declared value, with its unit and direction; the order of clips moves no number.
    * Missing input: no frame, one frame, no prompt and no clip at all give reasons, never a crash or a number.
    * NaN: features that are not finite never turn into a number.

    Args:
        metric_class: The class, as registered.
        options: An instance of its ``Options``, or the fields of one.
        base_dir: Folder that relative paths in the options are relative to.
        clips: uint8 ``(T, H, W, 3)`` each; by default :func:`example_clips`. The metric must be able to give at
            least one number for them, or nothing would be checked.
        prompts: Given to the clips in turn.
        features: Makes all features where the extractors' weights are not at hand.
        judges_empty_clips: The metric is about the file as such, so a clip without a frame has values too.

    Raises:
        AssertionError: A promise is broken; the text says which, and how.
    """
    check_class(metric_class)
    name = metric_class.name
    chosen = options if isinstance(options, BaseModel) else metric_class.Options(**(options or {}))
    metric: Metric = metric_class(chosen, MetricContext(base_dir or Path()))
    bench = Bench(metric, features)
    bench.check_needs()
    arrays = list(clips) if clips is not None else example_clips()
    samples = [make_sample(i, prompts[i % len(prompts)]) for i in range(len(arrays))]
    cases = [Case(s, a, bench.features(s, a)) for s, a in zip(samples, arrays, strict=True)]
    before = [_bytes_of(case.features) for case in cases]
    measured = [bench.measured(case) for case in cases]
    if before != [_bytes_of(case.features) for case in cases]:
        broken(name, "measure changes the features it was given")
    for case, clip in zip(cases, measured, strict=True):
        check_measurement(metric, case.sample.sample_id, clip.measurement, f"clip {case.sample.sample_id}")
        _check_pure(metric, case, clip.measurement)
    _check_blocks(bench, cases, measured)
    results = bench.summarize(measured)
    check_results(metric, results, "all clips")
    if not any(m.measurement.values for m in measured) and not any(r.status == COMPUTED for r in results):
        why = [reason for m in measured for reason in m.measurement.missing.values()] + [
            r.reason for r in results
        ]
        broken(
            name,
            f"not one value was computed, so nothing was checked ({why[0]}); pass clips or features it can use",
        )
    _check_order(bench, measured, results)
    _check_missing(bench, cases, judges_empty_clips)
    _check_nan(bench, cases, measured, results)


def _bytes_of(features: Mapping[str, Features]) -> dict[tuple[str, str], bytes]:
    return {(role, name): v.tobytes() for role, f in features.items() for name, v in f.arrays.items()}


def _check_pure(metric: Metric, case: Case, first: Measurement) -> None:
    if metric.measure(case.view).to_json() != first.to_json():
        broken(metric.name, f"measuring {case.sample.sample_id} twice gives different measurements")


def _check_blocks(bench: Bench, cases: Sequence[Case], measured: Sequence[Measured]) -> None:
    if not bench.made_by_extractors:
        return
    for block in (1, 5):
        case = cases[0]
        other = bench.measured(
            Case(case.sample, case.frames, bench.features(case.sample, case.frames, block))
        )
        for value, number in measured[0].measurement.values.items():
            moved = other.measurement.values.get(value)
            if moved is None or not close(number, moved):
                why = f"pushing frames in blocks of {block} changes {value} from {number} to {moved}"
                broken(bench.metric.name, why)


def _check_order(bench: Bench, measured: Sequence[Measured], results: Sequence[Result]) -> None:
    turned = {r.name: r for r in bench.summarize([*measured[::-1]])}
    for result in results:
        other = turned.get(result.name)
        for end in ("value", "low", "high"):
            before, after = getattr(result, end), getattr(other, end, None)
            if not close(before, after):
                broken(
                    bench.metric.name,
                    f"the order of clips changes {result.name} ({end}) from {before} to {after}",
                )


def _check_missing(bench: Bench, cases: Sequence[Case], judges_empty: bool) -> None:
    name = bench.metric.name
    short = []
    for frames in (0, 1):
        at = f"a clip of {frames} frames" if frames != 1 else "a clip of one frame"
        sample = make_sample(100 + frames, cases[0].sample.prompt)
        with _surviving(name, at):
            case = Case(sample, cases[0].frames[:frames], bench.features(sample, cases[0].frames[:frames]))
            short.append(bench.measured(case))
        check_measurement(bench.metric, sample.sample_id, short[-1].measurement, at)
        if not frames and not judges_empty and short[-1].measurement.values:
            broken(name, f"a clip without a single frame has values: {dict(short[-1].measurement.values)}")
    sample = make_sample(200, "")
    with _surviving(name, "a clip without a prompt"):
        case = Case(sample, cases[0].frames, bench.features(sample, cases[0].frames))
        check_measurement(
            bench.metric, sample.sample_id, bench.measured(case).measurement, "a clip without a prompt"
        )
    with _surviving(name, "a group without clips"):
        check_results(bench.metric, nothing := bench.summarize([]), "a group without clips")
    with _surviving(name, "a group whose only clip has no frame"):
        check_results(
            bench.metric, lone := bench.summarize(short[:1]), "a group whose only clip has no frame"
        )
    for result in nothing if judges_empty else (*nothing, *lone):
        if result.status == COMPUTED:
            broken(name, f"{result.name} is {result.value} where there was nothing to measure")


def _check_nan(
    bench: Bench, cases: Sequence[Case], measured: Sequence[Measured], results: Sequence[Result]
) -> None:
    """A number made of NaN features must equal the one made of the clean ones: then it rests on other features."""
    name = bench.metric.name
    for only_first in (False, True):
        at = "features with a NaN in each array" if only_first else "features that are all NaN"
        spoilt = []
        for case, clean in zip(cases, measured, strict=True):
            with _surviving(name, at, may_refuse=True):
                poisoned = Case(case.sample, case.frames, _poisoned(case.features, only_first))
                other = bench.measured(poisoned)
                spoilt.append(other)
                for value, number in other.measurement.values.items():
                    if not close(number, clean.measurement.values.get(value)):
                        broken(
                            name, f"{value} is {number} from {at}; expected it to be missing, with a reason"
                        )
        if len(spoilt) == len(cases) and bench.metric.summary_features:
            with _surviving(name, at, may_refuse=True):
                clean_values = {r.name: r.value for r in results}
                for result in bench.summarize(spoilt):
                    before = clean_values.get(result.name)
                    if result.value is not None and (before is None or not close(result.value, before)):
                        broken(
                            name, f"{result.name} is {result.value} from {at}; expected it not to be computed"
                        )


def _poisoned(features: Mapping[str, Features], only_first: bool) -> dict[str, Features]:
    def spoil(array: NDArray[Any]) -> NDArray[Any]:
        if not np.issubdtype(array.dtype, np.floating) or not array.size:
            return array
        out = array.copy()
        out[0 if only_first and out.ndim else ...] = np.nan
        return out

    return {r: Features({n: spoil(a) for n, a in f.arrays.items()}, f.facts) for r, f in features.items()}


@contextmanager
def _surviving(name: str, at: str, may_refuse: bool = False) -> Iterator[None]:
    """Turns a crash of the metric into a broken promise; a refusal may be allowed instead."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        if not (may_refuse and isinstance(error, _REFUSALS)):
            broken(name, f"{at} makes it crash: {type(error).__name__}: {error}")
