"""How numbers are written in reports: sensible digits, intervals, directions, durations."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from vgaudit.records import NOT_APPLICABLE, NOT_COMPUTED, Result

LOWER = "lower is better"
HIGHER = "higher is better"
NEITHER = "no better direction"
_ONE_REASON = re.compile(rf"\b(\d+)( of [\d,]+ clips? (?:has|have) no value: )\1 x (?:{NOT_APPLICABLE}: )?")
_NO_INTERVAL = re.compile(r"(^|; )no interval: ")


def _decimals_for(value: float, significant: int) -> int:
    """Decimals that show ``value`` with so many significant digits (at least 0)."""
    if value == 0 or not math.isfinite(value):
        return 0
    return max(0, significant - 1 - math.floor(math.log10(abs(value))))


def _fixed(value: float, decimals: int) -> str:
    if math.isinf(value):
        return "-\u221e" if value < 0 else "\u221e"
    text = f"{value:,.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def number(value: float, significant: int = 4) -> str:
    """One number with at most ``significant`` digits; scientific below 1e-4 and from 1e7 on."""
    if math.isinf(value):
        return _fixed(value, 0)
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{significant - 1}e}"
    text = _fixed(value, min(_decimals_for(value, significant), 8))
    return text.rstrip("0").rstrip(".") if "." in text else text


def column_decimals(values: Sequence[float]) -> int:
    """Decimals with which a column of numbers can be read downwards: three digits of the typical one."""
    sizes = sorted(abs(v) for v in values if v != 0 and math.isfinite(v))
    return min(_decimals_for(sizes[len(sizes) // 2], 3), 6) if sizes else 0


def in_column(value: float, decimals: int) -> str:
    """``value`` with the column's decimals, or as :func:`number` where those would hide it."""
    text = _fixed(value, decimals)
    hidden = value != 0 and not text.strip("-0.,")
    return number(value, 3) if hidden or abs(value) >= 1e7 else text


def interval_decimals(value: float, low: float, high: float) -> int:
    """Decimals that show two digits of the interval's width, three where it begins with 1 or 2.

    So the ends move by less than four per cent of the width. At least two digits of the value are shown, up to
    four decimals.
    """
    ends = [x for x in (low, high) if math.isfinite(x)]
    width = high - low if len(ends) == 2 else max((abs(x - value) for x in ends), default=0.0)
    if width <= 0:
        return 0
    leading = width / 10.0 ** math.floor(math.log10(width))
    return min(max(_decimals_for(width, 3 if leading < 3 else 2), min(_decimals_for(value, 2), 4)), 8)


def interval(value: float, low: float, high: float, decimals: int | None = None) -> str:
    """``0.0312 [0.0290, 0.0335]``: digits follow the interval's width unless ``decimals`` is given."""
    ends = [x for x in (low, high) if math.isfinite(x)]
    largest = max(abs(x) for x in (value, *ends))
    if low == high and decimals is None:
        texts = [number(x) for x in (value, low, high)]
    elif largest >= 1e7 or 0 < largest < 1e-4:
        texts = [_fixed(x, 0) if math.isinf(x) else f"{x:.3e}" for x in (value, low, high)]
    else:
        decimals = interval_decimals(value, low, high) if decimals is None else decimals
        texts = [_fixed(x, decimals) for x in (value, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def estimate(result: Result, decimals: int | None = None) -> str:
    """A result as words: value with interval, or its status; never blank."""
    if result.value is None:
        return result.status
    if result.low is None or result.high is None:
        return number(result.value)
    return interval(result.value, result.low, result.high, decimals)


def reason(result: Result) -> str:
    """Why a result is as it is, without the words that :func:`estimate` and "no interval" beside it say already."""
    text = _ONE_REASON.sub(r"\1\2", result.reason)
    if result.status == NOT_APPLICABLE:
        return text.replace(f"{NOT_APPLICABLE}: ", "")
    if result.value is not None and result.low is None:
        return _NO_INTERVAL.sub(r"\1", text)
    return text


def missing(why: str) -> tuple[str, str]:
    """Status and reason of a value that a clip does not have, from the reason its metric gave."""
    prefix = f"{NOT_APPLICABLE}: "
    return (NOT_APPLICABLE, why.removeprefix(prefix)) if why.startswith(prefix) else (NOT_COMPUTED, why)


def common_decimals(results: Sequence[Result]) -> int | None:
    """Decimals for estimates that stand below each other; ``None`` where they differ too much in size."""
    each = [
        interval_decimals(r.value, r.low, r.high)
        for r in results
        if r.value is not None and r.low is not None and r.high is not None and r.low != r.high
    ]
    return max(each) if each and max(each) - min(each) <= 1 else None


def confidence(level: float | None) -> str:
    """``95 % interval``; plain ``interval`` where the coverage is unknown."""
    return "interval" if level is None else f"{round(100 * level, 3):g} % interval"


def direction(higher_is_better: bool | None) -> str:
    """The direction of a measure in words."""
    if higher_is_better is None:
        return NEITHER
    return HIGHER if higher_is_better else LOWER


def seconds(value: float) -> str:
    """A moment or short length: ``1.20 s``."""
    return f"{value:,.2f} s"


def duration(value: float) -> str:
    """A length of time for people: ``0.42 s``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60):02d} min"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """``1 clip``, ``20 clips``, ``1,000 clips``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"
