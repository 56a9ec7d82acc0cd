"""What evidence is missing where a limit lies inside an interval: about how many more prompts would do.

Nothing here promises anything. It asks how long the same kind of interval would be with more prompts *if the estimate
and the spread stay as they are*, and counts prompts until its end is on the good side of the limit:

* **Means.** Half widths of Student's t, and of the expanded percentile bootstrap, which has t's length, go with
  ``t(1 - alpha/2; n - 1) / sqrt(n)``. The half width on the side of the limit is taken, before it was cut to the
  value's range.
* **Means of prompts that are all alike.** There the interval is the bound for rare events, and goes with
  ``1 - (alpha/2)^(1/n)``.
* **Rates.** Clopper-Pearson's end is computed for every number of prompts, at the share of prompts it rests on now.

Intervals of other kinds (jackknives of distances) are not scaled: their estimates move with the number of clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vgaudit.records import Result

MOST = 1_000_000
"""More prompts than this are not counted."""


def missing_evidence(result: Result, *, upper: float | None = None, lower: float | None = None) -> str:
    """What would let ``result`` pass limits that lie inside its interval, in words; empty where none does.

    Args:
        result: Computed, with an interval and its confidence.
        upper: The largest number that passes, if there is such a limit.
        lower: The smallest number that passes, if there is such a limit.
    """
    value = result.value
    if value is None or result.confidence is None:
        return ""
    sides: list[tuple[bool, float]] = []
    if upper is not None and (result.high is None or result.high >= upper):
        sides.append((True, upper))
    if lower is not None and (result.low is None or result.low <= lower):
        sides.append((False, lower))
    needed: list[int] = []
    for is_upper, limit in sides:
        if value == limit:
            return "not reachable: the estimate itself is at the limit"
        if value > limit if is_upper else value < limit:
            return "not reachable: the estimate itself is beyond the limit"
        found = _prompts(result, value, limit, is_upper=is_upper)
        if isinstance(found, str):
            return found
        needed.append(found)
    if not needed:
        return ""
    more = max(needed) - result.n_clusters
    held = "this rate" if result.detail.get("interval") == "exact" else "this variance"
    if max(needed) > MOST:
        return f"more than {MOST:,} more prompts at {held}, if the estimate holds"
    return f"about {_rounded(more):,} more prompt{'s' if more != 1 else ''} at {held}, if the estimate holds"


def _prompts(result: Result, value: float, limit: float, *, is_upper: bool) -> int | str:
    """Prompts in all that would take the interval's end to the good side of ``limit``, or why that cannot be said."""
    k, alpha = result.n_clusters, 1 - (result.confidence or 0.0)
    method = result.detail.get("interval")
    if method == "exact":
        return _prompts_of_rate(result, limit, is_upper=is_upper)
    half = result.detail.get("half_width")
    if method not in ("t", "bootstrap") or k < 2 or not isinstance(half, dict):
        return "how many more prompts is not known for an interval of this kind"
    now = half.get("high" if is_upper else "low")
    if not isinstance(now, int | float) or not math.isfinite(now) or now <= 0:
        return "how many more prompts is not known: the interval has no end on that side"
    scale = _rare if result.detail.get("same_value") == "all" else _student
    allowed = abs(limit - value) * scale(k, alpha) / now
    return _least(lambda n: scale(n, alpha) <= allowed, k)


def _prompts_of_rate(result: Result, limit: float, *, is_upper: bool) -> int | str:
    """The same for a clustered rate: its upper end counts prompts with any event, its lower purely such ones."""
    k, alpha = result.n_clusters, 1 - (result.confidence or 0.0)
    counted = result.detail.get("events" if is_upper else "always")
    if not isinstance(counted, int) or k < 1:
        return "how many more prompts is not known: the result does not say how many prompts had the event"
    share = counted / k
    if share >= limit if is_upper else share <= limit:
        which = "any of whose clips has" if is_upper else "all of whose clips have"
        mixed = "not reachable with so many mixed prompts"
        return f"{mixed}: the interval counts the {counted} of {k} prompts {which} it"
    from scipy.special import betaincinv

    def clears(n: int) -> bool:
        events = share * n
        if is_upper:
            return events < n and float(betaincinv(events + 1, n - events, 1 - alpha / 2)) <= limit
        return events > 0 and float(betaincinv(events, n - events + 1, alpha / 2)) >= limit

    return _least(clears, k)


def _student(n: int, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - alpha / 2)) / math.sqrt(n)


def _rare(n: int, alpha: float) -> float:
    return -math.expm1(math.log(alpha / 2) / n)


def _least(clears: Callable[[int], bool], now: int) -> int:
    """The smallest number above ``now`` that clears; beyond :data:`MOST` that and one."""
    low, high = now, now + 1
    while not clears(high):
        if high > MOST:
            return MOST + 1
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high


def _rounded(n: int) -> int:
    """``n`` rounded up to two significant digits: nobody should take it for exact."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step
