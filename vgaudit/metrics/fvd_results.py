"""What is said of a group's features beside those of its reference: all values of ``fvd``, from the same two sets.

The Frechet distance and its extrapolation share left-out distances; the kernel distance and the permutation test
share one kernel matrix. ``docs/metrics/fvd.md`` has formulas, ranges, directions, and what each interval is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgaudit.metrics.base import ValueSpec
from vgaudit.metrics.deals import PERMUTATIONS, evened
from vgaudit.metrics.estimators import extrapolated_from, sample_warning
from vgaudit.metrics.frechet import FrechetInterval, Statistics, frechet_interval, statistics
from vgaudit.metrics.fvd_floor import floors, shared_note, shared_prompts, shared_words
from vgaudit.metrics.kernel_sums import KernelSums
from vgaudit.metrics.leave_out import MIN_GROUPS
from vgaudit.metrics.prdc import Neighbourhoods, precision_recall_density_coverage
from vgaudit.stats import seed_from_ids

NEIGHBOURS = 5
"""``k`` of precision, recall, density and coverage, as Naeem et al. have it."""

MAX_PROMPTS = 10_000
"""Most prompts of both sides together for which kernel matrices are made: 800 MB."""

WITHOUT_FEATURES = "the reference is stored statistics without features, which this needs"

VALUES: tuple[ValueSpec, ...] = (
    ValueSpec(
        name="distance",
        title="Fréchet video distance",
        unit="squared feature distance",
        higher_is_better=False,
        description="Frechet distance between video features of the group and of the reference set.",
        low=0.0,
        per_clip=False,
    ),
    ValueSpec(
        name="kernel_distance",
        title="Kernel video distance",
        unit="squared kernel distance",
        higher_is_better=False,
        description="Unbiased kernel distance (degree 3) between the same features; may be slightly negative.",
        per_clip=False,
    ),
    ValueSpec(
        name="extrapolated",
        title="Fréchet video distance, extrapolated to infinitely many clips",
        unit="squared feature distance",
        higher_is_better=False,
        description="Frechet distance extrapolated to infinitely many clips; may be slightly negative.",
        per_clip=False,
    ),
    ValueSpec(
        name="precision",
        title="Precision (generated clips near the reference)",
        unit="fraction of clips",
        higher_is_better=True,
        description="Share of the group's clips inside the neighbourhood of some reference clip.",
        low=0.0,
        high=1.0,
        per_clip=False,
    ),
    ValueSpec(
        name="recall",
        title="Recall (reference clips near generated ones)",
        unit="fraction of reference clips",
        higher_is_better=True,
        description="Share of the reference clips inside the neighbourhood of some clip of the group.",
        low=0.0,
        high=1.0,
        per_clip=False,
    ),
    ValueSpec(
        name="density",
        title="Density (of the reference around generated clips)",
        unit="neighbourhoods per k",
        higher_is_better=True,
        description="Mean number of reference neighbourhoods that a clip of the group is in, divided by k.",
        low=0.0,
        per_clip=False,
    ),
    ValueSpec(
        name="coverage",
        title="Coverage (of the reference by generated clips)",
        unit="fraction of reference clips",
        higher_is_better=True,
        description="Share of the reference clips whose neighbourhood holds a clip of the group.",
        low=0.0,
        high=1.0,
        per_clip=False,
    ),
    ValueSpec(
        name="p_value",
        title="P value (of the kernel video distance)",
        unit="probability",
        higher_is_better=None,
        description="Permutation test of the kernel distance: how often sets of one population lie as far apart.",
        low=0.0,
        high=1.0,
        per_clip=False,
    ),
)
SLICED = ("distance", "kernel_distance")
"""Values that tags have slices of."""

_NO_SPREAD = "no interval: left-out clips change who is a neighbour; none with a shown coverage is at hand"


@dataclass(frozen=True, eq=False)
class Sides:
    """Features of a group and what they are held against.

    Attributes:
        x: Of the group, ``(n, d)``.
        prompts: Prompt of each row.
        ids: Sample id of each row.
        reference: Its moments.
        y: Its features ``(m, d)``; ``None`` where only moments are stored.
        y_prompts: Prompt of each of its rows, where it is a group; stored features are taken as independent.
        y_ids: What the reference is known by; with those of the group it seeds what is random.
        ddof: Covariances are divided by the number of clips less ``ddof``.
    """

    x: NDArray[np.float64]
    prompts: Sequence[str]
    ids: Sequence[str]
    reference: Statistics
    y: NDArray[np.float64] | None
    y_prompts: Sequence[str] | None
    y_ids: Sequence[str]
    ddof: int


@dataclass(frozen=True)
class Found:
    """One value.

    Attributes:
        value: The estimate; ``None`` where it was not computed, with why first in ``notes``.
        low: Lower end.
        high: Upper end.
        notes: What qualifies it.
        detail: Further facts.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


class Estimates:
    """All values of two sides; what several of them need is made once.

    Args:
        sides: The features.
        confidence: Coverage of intervals.
        accepted: Why the suite takes distances of few clips, in its words; empty where it does not, or where more is
            wrong with the clips than that they are few.
    """

    def __init__(self, sides: Sides, confidence: float = 0.95, accepted: str = "") -> None:
        self.sides, self._confidence, self._accepted = sides, confidence, accepted

    def of(self, name: str) -> Found:
        """The value of that short name; an error in its sums leaves the others as they are."""
        made = {
            "distance": self._distance,
            "kernel_distance": self._kernel_distance,
            "extrapolated": self._extrapolated,
            "p_value": self._p_value,
        }
        try:
            return made[name]() if name in made else self._neighbour(name)
        except (ArithmeticError, ValueError, MemoryError) as error:
            return Found(None, notes=(f"{type(error).__name__}: {error}",))

    @cached_property
    def _frechet(self) -> FrechetInterval:
        s = self.sides
        resampled = s.y is not None and s.y_prompts is not None
        return frechet_interval(
            s.x,
            s.y if resampled and s.y is not None else s.reference,
            confidence=self._confidence,
            ddof=s.ddof,
            clusters=s.prompts,
            reference_clusters=s.y_prompts if resampled else None,
        )

    @cached_property
    def _kernel(self) -> KernelSums | str:
        """Kernel sums, or why there are none."""
        s = self.sides
        if s.y is None:
            return WITHOUT_FEATURES
        prompts = len(set(s.prompts)) + len(s.y if s.y_prompts is None else set(s.y_prompts))
        if prompts > MAX_PROMPTS:
            return f"{prompts:,} prompts on both sides; kernel matrices are made for {MAX_PROMPTS:,} at most"
        return KernelSums.of(s.x, s.y, clusters=s.prompts, other_clusters=s.y_prompts)

    @cached_property
    def _neighbours(self) -> Neighbourhoods | None:
        s = self.sides
        return None if s.y is None else precision_recall_density_coverage(s.y, s.x, NEIGHBOURS)

    @cached_property
    def _few(self) -> tuple[str, ...]:
        """What is to be said of too few clips, of both sides."""
        s = self.sides
        # Clips of one prompt show no more of the spread than one of them, at worst: prompts are counted.
        other = s.reference.n if s.y_prompts is None else len(set(s.y_prompts))
        covs = (
            (len(set(s.prompts)), len(s.x), statistics(s.x, ddof=s.ddof).cov, "group"),
            (other, s.reference.n, s.reference.cov, "reference"),
        )
        found = (
            (side, sample_warning(max(n, 2), cov, "clips" if n == clips else "prompts"))
            for n, clips, cov, side in covs
        )
        return tuple(f"{side}: {text}" for side, text in found if text)

    def _held_to_size(self, found: Found) -> Found:
        """``found`` with what few clips make of a biased distance: gates refuse it, or read the suite's reason."""
        if found.value is None or not self._few:
            return found
        text = "; ".join(self._few)
        if self._accepted:
            facts = {"small_n": text, "accepted_small_n": self._accepted}
            notes = (f"few clips, accepted by the suite: {self._accepted}", *self._few)
        else:
            why = f"{text} (where that must do, `accept_small_n` of fvd says why, in words)"
            facts, notes = {"small_n": text, "insufficient": why}, self._few
        return replace(found, notes=(*notes, *found.notes), detail={**found.detail, **facts})

    def _distance(self) -> Found:
        s, interval = self.sides, self._frechet
        floor = floors(s.y, s.y_ids, s.prompts, s.ddof, s.y_prompts)
        detail = {
            "interval": self._jackknifed,
            "interval_target": "expected distance at this n, not the distance of the populations",
            "jackknife_groups": interval.groups,
            **floor.detail,
            **self._shared,
        }
        notes = tuple(
            note for note in (interval.reason, floor.note, shared_note(self._shared, floor.detail)) if note
        )
        return self._held_to_size(Found(interval.value, interval.low, interval.high, notes, detail))

    def _extrapolated(self) -> Found:
        s = self.sides
        sides = [len(set(s.prompts))] + (
            [] if s.y is None or s.y_prompts is None else [len(set(s.y_prompts))]
        )
        made = extrapolated_from(self._frechet, min(sides))
        notes = [made.reason] if made.reason else []
        if s.y is None or s.y_prompts is None:
            notes.append(
                f"the reference's {s.reference.n} clips are taken for its population: their bias stays"
            )
        if self._shared and made.value is not None:
            notes.append(f"{shared_words(self._shared)}: left out of both at once")
        detail = {
            "plain": made.plain,
            "interval": self._jackknifed,
            "interval_target": "distance of the populations",
            "jackknife_groups": self._frechet.groups,
            **self._shared,
        }
        return self._held_to_size(Found(made.value, made.low, made.high, tuple(notes), detail))

    def _kernel_distance(self) -> Found:
        kernel = self._kernel
        if isinstance(kernel, str):
            return Found(None, notes=(kernel,))
        made = kernel.interval(self._confidence)
        detail = {
            "kernel": "(a.b / d + 1)^3, unbiased; pairs of clips of one prompt are left out, across the sides too",
            "interval": "jackknife over prompts of both sides, Student's t, upper end moved out for skewness",
            "interval_target": "distance of the populations",
            **self._shared,
            **self._few_prompts,
        }
        notes = (made.reason,) if made.reason else ()
        return Found(made.value, made.low, made.high, notes, detail)

    def _p_value(self) -> Found:
        kernel = self._kernel
        if isinstance(kernel, str):
            return Found(None, notes=(kernel,))
        s = self.sides
        assert s.y is not None  # else there are no sums
        seed = seed_from_ids([*s.ids, *s.y_ids])
        even = evened(s.x, s.y, s.prompts, s.y_prompts, seed)
        if not even.whole:
            kernel = KernelSums.of(even.x, even.y, clusters=even.prompts, other_clusters=even.others)
        made = kernel.test(PERMUTATIONS, seed)
        facts, note = even.said(made)
        detail = {
            "statistic": made.statistic,
            "permutations": made.permutations,
            "exact": made.exact,
            "least": made.least,
            **facts,
            "null": "prompts of both sides are draws of one population"
            + ("; of a prompt on both, the two sides could be turned round" if self._shared else ""),
            **self._shared,
            **self._few_prompts,
        }
        notes = ("no interval: a p has none", *((note,) if note else ()))
        return Found(made.p, notes=notes, detail=detail)

    @property
    def _few_prompts(self) -> dict[str, str]:
        """What makes gates refuse a kernel distance or a p: few prompts say little, and have few deals."""
        s = self.sides
        few = min(len(set(s.prompts)), s.reference.n if s.y_prompts is None else len(set(s.y_prompts)))
        if few >= MIN_GROUPS:
            return {}
        return {"insufficient": f"{few} independent prompts on a side; expected {MIN_GROUPS} or more"}

    @property
    def _shared(self) -> dict[str, int]:
        return shared_prompts(self.sides.prompts, self.sides.y_prompts)

    @property
    def _jackknifed(self) -> str:
        """How the intervals of both Frechet distances are made."""
        at_once = ", prompts left out of both sides at once" if self._shared else ""
        return f"grouped jackknife{at_once}, Student's t"

    def _neighbour(self, name: str) -> Found:
        s = self.sides
        if self._neighbours is None or s.y is None:
            return Found(None, notes=(WITHOUT_FEATURES,))
        detail = {"k": NEIGHBOURS, "n_reference": len(s.y)}
        notes = [
            _NO_SPREAD,
            f"k = {NEIGHBOURS}, {len(s.x)} clips against {len(s.y)}: compares only with the same numbers",
        ]
        alike = [
            side
            for side, prompts in (("group", s.prompts), ("reference", s.y_prompts))
            if prompts is not None and len(set(prompts)) < len(prompts)
        ]
        if alike:
            notes.append(f"several clips of one prompt ({' and '.join(alike)}) are each other's neighbours")
        return Found(float(getattr(self._neighbours, name)), notes=tuple(notes), detail=detail)
