"""Paired comparison of two groups: what remains of their difference once both were asked for the same prompts.

A hard prompt is hard for every generator, so values of two groups on one prompt go up and down together. Pairing
takes that out: the difference is formed within a prompt, and prompts are the independent pieces of evidence. This
module knows neither runs nor reports; it takes values per clip and gives numbers with an account of their basis.

* **Pairs.** Where both groups have clips of a prompt with seeds in common, clips of one seed are paired and the other
  clips of the prompt left out; without common seeds the clips of a prompt are averaged in each group. A prompt that
  only one group has a value for is dropped, and counted with the reason.
* **Interval of the mean difference.** As in :mod:`vgaudit.estimates`: the expanded percentile bootstrap over prompts
  from :data:`~vgaudit.estimates.MIN_BOOTSTRAP_CLUSTERS` prompts on, Student's t below, widened by the bound for rare
  events. The bootstrap's percentiles are computed and not drawn (:func:`~vgaudit.estimates.bootstrap_ends`), so there
  is no random stream.
* **Effect size.** ``d_z``, mean over standard deviation of the prompts' differences, with the interval that inverts
  the noncentral t distribution; exact for normal differences.
* **Test.** Sign flips over prompts (:mod:`vgaudit.sign_flips`).
* **Family.** Holm's step-down adjustment, which holds however the comparisons depend on each other. Comparisons in
  which no prompt differs test nothing and are not counted.

Coverage and size are simulated in ``benchmarks/paired_coverage.py`` and written up in ``docs/gates.md``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vgaudit.estimates import bootstrap_ends, cluster_means, interval_of_means
from vgaudit.records import COMPUTED, NOT_COMPUTED, Status
from vgaudit.sign_flips import holm, sign_flip_tests

MIN_PROMPTS = 6
"""Fewest prompts in both groups; with fewer no sign-flip test can tell anything from chance at 0.05."""

_REASON_LENGTH = 200


class PairedSample(Protocol):
    """What pairing needs of a sample (``vgaudit.plan.Sample`` has it)."""

    @property
    def sample_id(self) -> str:
        """Unique id."""
        ...

    @property
    def prompt_id(self) -> str:
        """Cluster."""
        ...

    @property
    def seed(self) -> int | None:
        """Generation seed; ``None`` when unknown."""
        ...


Row = tuple[PairedSample, float | None, str]
"""A clip: its sample, its value or ``None``, and why there is none."""


@dataclass(frozen=True)
class _Clips:
    """One group's clips of a prompt: values by seed, their mean, how many, and why there are none."""

    by_seed: Mapping[int, Sequence[float]]
    mean: float
    n: int
    why: str


@dataclass(frozen=True)
class Side:
    """One group's values, arranged by prompt once for all comparisons of the group.

    Attributes:
        name: What the group is called in reasons.
        prompts: Prompt id to its clips; made by :meth:`of`.
    """

    name: str
    prompts: Mapping[str, _Clips]

    @classmethod
    def of(cls, name: str, rows: Sequence[Row]) -> Side:
        """Arrange the clips of a group, those without a value included.

        Raises:
            ValueError: A value is not finite; its sample is named.
        """
        found: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            sample, value, _ = row
            if value is not None and not math.isfinite(value):
                raise ValueError(f"value of {sample.sample_id} is {value}; leave it out and say why")
            found[sample.prompt_id].append(row)
        return cls(name, {prompt: _clips(here) for prompt, here in found.items()})


@dataclass(frozen=True)
class Case:
    """Two groups to compare on one value; the difference is that of ``first`` minus ``second``.

    Attributes:
        first: The one group.
        second: The other.
        bounds: Smallest and largest value a clip can have; ``None`` where there is no such bound.
    """

    first: Side
    second: Side
    bounds: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class PairedDifference:
    """A mean paired difference with everything it rests on.

    Attributes:
        value: Mean over prompts of first minus second; ``None`` where it is not computed.
        low: Lower end of its interval; ``None`` where there is none (``reason`` says why).
        high: Upper end.
        confidence: Coverage of both intervals; ``None`` without a value.
        n_pairs: Pairs of clips, or of averages of clips where no seeds are common.
        n_prompts: Prompts, the independent pieces of evidence.
        n_seed_paired: Prompts among them whose clips were paired by seed.
        n_differing: Prompts whose difference is not exactly 0.
        n_dropped: Prompts left out.
        dropped: Why, with how many prompts.
        n_unpaired: Clips with a value left out of prompts that stay, because their seed has no partner.
        effect: ``d_z``; ``None`` where all differences are equal.
        effect_low: Lower end of its interval.
        effect_high: Upper end.
        p: Of the two-sided sign-flip test.
        p_holm: The same, adjusted for the family; ``None`` before :func:`adjusted`.
        interval: How the interval was made: ``bootstrap``, ``t`` or empty.
        test: How ``p`` was made: ``all sign flips``, ``drawn sign flips``, ``bound`` or empty.
        status: ``computed`` or ``not computed``.
        reason: Why there is no value, or what qualifies it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    n_pairs: int = 0
    n_prompts: int = 0
    n_seed_paired: int = 0
    n_differing: int = 0
    n_dropped: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    n_unpaired: int = 0
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    interval: str = ""
    test: str = ""
    status: Status = COMPUTED
    reason: str = ""

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, self.effect, self.effect_low, self.effect_high, self.p)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"a paired difference has a number that is not finite: {self}")
        if (self.status == COMPUTED) != (self.value is not None and self.p is not None):
            raise ValueError(f"a paired difference is {self.status} but value={self.value}, p={self.p}")
        if self.status != COMPUTED and not self.reason:
            raise ValueError("a paired difference that is not computed needs a reason")

    def shown(self, alpha: float | None = None) -> bool:
        """Whether the data show a difference: after adjustment, and with an interval that leaves 0 out.

        Args:
            alpha: Error probability of the family; by default one minus the confidence.
        """
        if self.p_holm is None or self.low is None or self.high is None or self.confidence is None:
            return False
        limit = 1 - self.confidence if alpha is None else alpha
        return self.p_holm <= limit + 1e-12 and not self.low <= 0 <= self.high

    def swapped(self) -> PairedDifference:
        """The difference of second minus first."""
        return replace(
            self,
            value=_negative(self.value), low=_negative(self.high), high=_negative(self.low),
            effect=_negative(self.effect), effect_low=_negative(self.effect_high),
            effect_high=_negative(self.effect_low),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "dropped": dict(self.dropped)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PairedDifference:
        """Inverse of :meth:`to_json`; further keys are left alone."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


def not_computed(reason: str, **facts: Any) -> PairedDifference:
    """A difference that says that it has no number, and why."""
    return PairedDifference(None, status=NOT_COMPUTED, reason=reason, **facts)


@dataclass(frozen=True)
class _Pairs:
    means: NDArray[np.float64]
    facts: Mapping[str, Any]


def paired_difference(
    case: Case, *, confidence: float = 0.95, min_prompts: int = MIN_PROMPTS
) -> PairedDifference:
    """:func:`paired_differences` of one case."""
    return paired_differences([case], confidence=confidence, min_prompts=min_prompts)[0]


def paired_differences(
    cases: Sequence[Case], *, confidence: float = 0.95, min_prompts: int = MIN_PROMPTS
) -> list[PairedDifference]:
    """Mean paired difference of each case, not yet adjusted for their number.

    Many at once are faster than one by one. No case has a part in the numbers of another, beyond the last digits
    of floating-point sums.

    Args:
        cases: What to compare.
        confidence: Coverage of the intervals, in (0, 1).
        min_prompts: Fewest prompts in both groups, at least 2; a case with fewer is not computed.

    Raises:
        ValueError: ``min_prompts`` or ``confidence`` is out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    if min_prompts < 2:
        raise ValueError(f"min_prompts is {min_prompts}; expected 2 or more, for one prompt shows no spread")
    pairs = [_pairs(case) for case in cases]
    enough = [len(p.means) >= min_prompts for p in pairs]
    tested = iter(sign_flip_tests([p.means for p, is_enough in zip(pairs, enough, strict=True) if is_enough]))
    out = []
    for case, found, is_enough in zip(cases, pairs, enough, strict=True):
        if is_enough:
            out.append(_difference(found, case.bounds, confidence, next(tested)))
        else:
            n = len(found.means)
            have = f"only {n} prompt{'s have' if n != 1 else ' has'}" if n else "no prompt has"
            out.append(
                not_computed(f"{have} a value in both groups; expected {min_prompts} or more", **found.facts)
            )
    return out


def adjusted(differences: Sequence[PairedDifference]) -> list[PairedDifference]:
    """``differences`` as one family: each with Holm's adjusted ``p``.

    Those that are not computed are no part of it. Where no prompt differs there is nothing to test: such a comparison
    has an adjusted ``p`` of 1 and does not count for the others.
    """
    tested = [i for i, d in enumerate(differences) if d.p is not None and d.n_differing]
    by_place = dict(zip(tested, holm([differences[i].p or 0.0 for i in tested]), strict=True))
    return [d if d.p is None else replace(d, p_holm=by_place.get(i, 1.0)) for i, d in enumerate(differences)]


# -- pairs -----------------------------------------------------------------------------------------


def _clips(rows: Sequence[Row]) -> _Clips:
    values = [float(value) for _, value, _ in rows if value is not None]
    if not values:
        why = Counter(reason or "no reason given" for _, _, reason in rows)
        commonest = min(why, key=lambda reason: (-why[reason], reason))
        return _Clips({}, 0.0, 0, commonest[:_REASON_LENGTH])
    by_seed: dict[int, list[float]] = {}
    for sample, value, _ in rows:
        if value is not None and sample.seed is not None:
            by_seed.setdefault(sample.seed, []).append(float(value))
    return _Clips(by_seed, _mean(values), len(values), "")


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)


def _pairs(case: Case) -> _Pairs:
    """Differences of the prompts that both groups have, and the account of all others."""
    first, second = case.first.prompts, case.second.prompts
    means: list[float] = []
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    n_pairs = by_seed = unpaired = 0
    for prompt in dict.fromkeys([*first, *second]):
        a, b = first.get(prompt), second.get(prompt)
        if a is None or b is None or not a.n or not b.n:
            dropped[_why_dropped(case, a, b)] += 1
            continue
        common = a.by_seed.keys() & b.by_seed.keys()
        if common and len(common) == a.n == b.n:
            mean = a.mean - b.mean
        elif common:
            seeds = sorted(common)
            mean = math.fsum(_mean(a.by_seed[s]) - _mean(b.by_seed[s]) for s in seeds) / len(seeds)
            unpaired += a.n + b.n - sum(len(a.by_seed[s]) + len(b.by_seed[s]) for s in seeds)
        else:
            mean = a.mean - b.mean
        means.append(mean)
        kept.append(prompt)
        by_seed += bool(common)
        n_pairs += len(common) or 1
    ordered = cluster_means(means, kept)
    return _Pairs(
        ordered,
        {
            "n_pairs": n_pairs, "n_prompts": len(means), "n_seed_paired": by_seed, "n_dropped": dropped.total(),
            "dropped": dict(sorted(dropped.items(), key=lambda item: (-item[1], item[0]))),
            "n_unpaired": unpaired, "n_differing": int(np.count_nonzero(ordered)),
        },
    )  # fmt: skip


def _why_dropped(case: Case, a: _Clips | None, b: _Clips | None) -> str:
    reasons = []
    for name, clips in ((case.first.name, a), (case.second.name, b)):
        if clips is None:
            reasons.append(f"{name} does not have the prompt")
        elif not clips.n:
            reasons.append(f"{name} has no value: {clips.why}")
    return "; ".join(reasons)


# -- numbers of one case ---------------------------------------------------------------------------


def _difference(
    pairs: _Pairs,
    bounds: tuple[float | None, float | None],
    confidence: float,
    tested: tuple[float, str],
) -> PairedDifference:
    low, high = bounds
    span = None if low is None or high is None else high - low
    # Everything is computed for one orientation, so that swapping the groups changes signs and no digit.
    sign = -1.0 if (first := pairs.means[np.flatnonzero(pairs.means)[:1]]).size and first[0] < 0 else 1.0
    means = sign * pairs.means
    estimate = interval_of_means(
        means,
        pairs.facts["n_pairs"],
        confidence=confidence,
        ends=bootstrap_ends,
        bounds=(None, None) if span is None else (-span, span),
    )
    reach = math.inf if span is None else span
    effect, effect_low, effect_high = effect_size(means, confidence)
    made = PairedDifference(
        value=estimate.value,
        low=None if estimate.low is None else max(estimate.low, -reach),
        high=None if estimate.high is None else min(estimate.high, reach),
        confidence=confidence,
        effect=effect,
        effect_low=effect_low,
        effect_high=effect_high,
        p=tested[0],
        test=tested[1],
        interval=estimate.method,
        reason=estimate.reason,
        **pairs.facts,
    )
    return made.swapped() if sign < 0 else made


def effect_size(
    means: NDArray[np.float64], confidence: float
) -> tuple[float | None, float | None, float | None]:
    """``d_z`` with its interval: mean over standard deviation of paired differences.

    The interval holds every ``d_z`` whose noncentral t distribution does not put the observed t in a tail (Cumming
    and Finch, Educational and Psychological Measurement 61, 2001).

    Returns:
        Estimate, lower and upper end; all ``None`` where the differences are equal, and the ends where they cannot be
        computed.
    """
    from scipy.special import nctdtrinc

    n = len(means)
    spread = float(means.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(means).max(initial=0.0)):
        return None, None, None
    value = math.fsum(means) / n / spread
    t = value * math.sqrt(n)
    low, high = (float(nctdtrinc(n - 1, 0.5 + s * confidence / 2, t)) / math.sqrt(n) for s in (1, -1))
    if not low <= value <= high or not (math.isfinite(low) and math.isfinite(high)):
        return value, None, None
    return value, low, high


def _negative(number: float | None) -> float | None:
    return None if number is None else 0.0 - number
