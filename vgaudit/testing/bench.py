"""The test bench of a metric: small clips, and the features its extractors make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vgaudit import registry
from vgaudit.errors import Unavailable, UsageError
from vgaudit.extractors.base import Extractor, ExtractorSpec, Features, TextExtractor
from vgaudit.metrics.base import ClipView, Measured, Metric, SummaryContext, for_summary
from vgaudit.plan import Sample
from vgaudit.records import Result, canonical_json, digest
from vgaudit.testing.promises import broken
from vgaudit.video import ClipInfo, Frames

UInt8 = NDArray[np.uint8]
FeatureMaker = Callable[[Sample, UInt8], Mapping[str, Features]]
"""``(sample, frames uint8 (T, H, W, 3)) -> role -> features``; T may be 0 or 1."""

_FPS = 10.0


def example_clips(count: int = 4, frames: int = 12, height: int = 64, width: int = 96) -> list[UInt8]:
    """Small moving clips, uint8 ``(frames, height, width, 3)``, different and reproducible.

    A textured square crosses a textured ground; the second clip stands still for a third of its length.
    """
    clips = []
    for index in range(count):
        rng = np.random.default_rng(index)
        ground = _texture(rng, height, width)
        square = _texture(rng, height // 2, height // 2)
        clip = np.empty((frames, height, width, 3), dtype=np.uint8)
        for t in range(frames):
            step = min(t, frames // 3) + max(0, t - 2 * frames // 3) if index == 1 else t
            clip[t] = np.roll(ground, step, axis=1)
            x = (5 + (3 + index) * step) % (width - height // 2)
            clip[t, height // 4 : height // 4 + height // 2, x : x + height // 2] = square
        clips.append(clip)
    return clips


def _texture(rng: np.random.Generator, height: int, width: int) -> UInt8:
    coarse = rng.integers(20, 236, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((4, 4, 1), dtype=np.uint8))[:height, :width]


@dataclass(frozen=True)
class Case:
    """A sample, its frames and its features."""

    sample: Sample
    frames: UInt8
    features: Mapping[str, Features]

    @property
    def view(self) -> ClipView:
        """The clip as the metric sees it."""
        sha256 = digest(self.frames.tobytes() + str(self.frames.shape).encode())
        return ClipView(self.sample, _info(self.frames), sha256, self.features)


class Bench:
    """A metric with its extractors, loaded on first use."""

    def __init__(self, metric: Metric, features: FeatureMaker | None) -> None:
        self.metric = metric
        self.made_by_extractors = features is None
        self._given = features
        self._loaded: dict[str, Extractor | TextExtractor] = {}

    def check_needs(self) -> None:
        """Every extractor exists, takes its options, and is named the same twice."""
        name, needs = self.metric.name, self.metric.needs()
        if {r: s.key for r, s in needs.items()} != {r: s.key for r, s in self.metric.needs().items()}:
            broken(name, "needs() names other extractors when asked again")
        for role, spec in needs.items():
            if not isinstance(spec, ExtractorSpec):
                broken(name, f"needs()[{role!r}] is {spec!r}; expected an ExtractorSpec")
            try:
                cls = registry.load("extractors", spec.name)
                cls.Options(**spec.options)
            except (UsageError, ValidationError) as error:
                broken(name, f"needs()[{role!r}] cannot be had: {error}")
        if unknown := set(self.metric.summary_features) - set(needs):
            broken(name, f"summary_features {sorted(unknown)} are no roles of needs() ({sorted(needs)})")
        try:
            canonical_json(dict(self.metric.identity()))
        except (TypeError, ValueError) as error:
            broken(name, f"identity() is not JSON: {error}")

    def features(self, sample: Sample, frames: UInt8, block: int | None = None) -> dict[str, Features]:
        """Features of all roles, the frames pushed in blocks of ``block``."""
        if self._given is not None:
            return dict(self._given(sample, frames))
        found: dict[str, Features] = {}
        for role, spec in self.metric.needs().items():
            extractor = self._extractor(spec)
            if isinstance(extractor, TextExtractor) and extractor.unit == "text":
                found[role] = extractor.extract_texts(list(self.metric.texts(sample)))
                continue
            assert isinstance(extractor, Extractor)
            extraction = extractor.start(_info(frames))
            for start in range(0, len(frames), block or max(1, len(frames))):
                part = frames[start : start + (block or len(frames))]
                extraction.push(Frames(part, start, (start + np.arange(len(part))) / _FPS))
            found[role] = extraction.finish()
        return found

    def _extractor(self, spec: ExtractorSpec) -> Extractor | TextExtractor:
        if spec.key not in self._loaded:
            cls = registry.load("extractors", spec.name)
            made = cls(cls.Options(**spec.options))
            try:
                made.load()
            except Unavailable as error:
                broken(
                    self.metric.name, f"extractor {spec.name} cannot be had here ({error}); pass features=..."
                )
            self._loaded[spec.key] = made
        return self._loaded[spec.key]

    def measured(self, case: Case) -> Measured:
        """The case's measurement with what a summary may see of its features."""
        measurement = self.metric.measure(case.view)
        kept = {role: case.features[role] for role in self.metric.summary_features if role in case.features}
        return Measured(case.sample, measurement, for_summary(self.metric, kept))

    def summarize(self, measured: Sequence[Measured]) -> list[Result]:
        """Results of one group that holds all of ``measured``; another group of the run holds them too."""
        planned = [m.sample for m in measured]
        context = SummaryContext("group", planned, {"group": measured, "other": measured})
        return list(self.metric.summarize(measured, context))


def make_sample(index: int, prompt: str) -> Sample:
    """The sample of a test clip; every index is a prompt of its own."""
    return Sample(f"clip{index}-0-{digest(index, 10)}", f"prompt{index}", prompt, "group", seed=0)


def _info(frames: UInt8) -> ClipInfo:
    n, height, width = frames.shape[:3]
    return ClipInfo(
        path="clip.npy", width=width, height=height, fps=_FPS, frames=n, duration_s=n / _FPS, codec="raw",
        container="array", pixel_format="rgb24",
    )  # fmt: skip
