from __future__ import annotations

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vgaudit.records import Result
from vgaudit.reports import numbers

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0312, "0.0312"),
        (0.52, "0.52"),
        (-0.00004, "-4.000e-05"),
        (523.190815, "523.2"),
        (1689.4, "1,689"),
        (12345678.0, "1.235e+07"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.0312, 0.0290, 0.0335, "0.0312 [0.0290, 0.0335]"),
        (523.19, 410.2, 690.4, "523 [410, 690]"),
        (0.0, 0.0, 0.0295, "0.0000 [0.0000, 0.0295]"),
        (29.14, 28.2, 29.9, "29.14 [28.20, 29.90]"),
        (943.2, -math.inf, 1170.0, "943 [-∞, 1,170]"),
        (-0.001, -0.5, 0.5, "-0.0010 [-0.5000, 0.5000]"),
        (2e-6, 1e-6, 3e-6, "2.000e-06 [1.000e-06, 3.000e-06]"),
        (1.5, 1.5, 1.5, "1.5 [1.5, 1.5]"),
    ],
)
def test_intervals_show_digits_that_their_width_supports(
    value: float, low: float, high: float, text: str
) -> None:
    assert numbers.interval(value, low, high) == text


@given(FINITE)
def test_a_number_that_is_not_zero_is_never_shown_as_zero(value: float) -> None:
    assume(value != 0)
    assert re.search("[1-9]", numbers.number(value).split("e")[0])
    for decimals in (0, 2, 6):
        assert re.search("[1-9]", numbers.in_column(value, decimals).split("e")[0])


@given(FINITE)
def test_numbers_keep_four_digits(value: float) -> None:
    assert float(numbers.number(value).replace(",", "")) == pytest.approx(value, rel=1e-3)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_the_ends_of_an_interval_stay_apart(value: float, below: float, above: float) -> None:
    shown = numbers.interval(value, value - below, value + above)
    found = re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", shown)
    assert found is not None
    low, high = (float(found[i].replace(",", "")) for i in (2, 3))
    assert low < high
    assert low == pytest.approx(value - below, abs=(below + above) / 25)


def test_estimates_that_stand_below_each_other_have_the_same_decimals() -> None:
    narrow = Result("a.b", "x", 0.0312, 0.0270, 0.0363, n=3)
    wide = Result("a.b", "y", 0.042, 0.020, 0.0555, n=3)
    decimals = numbers.common_decimals([narrow, wide])
    assert numbers.estimate(wide, decimals) == "0.0420 [0.0200, 0.0555]"
    assert numbers.common_decimals([narrow, Result("a.b", "z", 523.0, 400.0, 700.0, n=3)]) is None


def test_what_was_not_computed_is_said_in_words() -> None:
    assert numbers.estimate(Result.not_computed("a.b", "x", "no weights")) == "not computed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4213, "0.42 s"), (12.34, "12.3 s"), (245.0, "4 min 05 s"), (7800.0, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (Result("a.b", "g", 1.0, n=1, reason="no interval: one clip"), "one clip"),
        (Result("a.b", "g", 1.0, n=1, reason="few clips; no interval: one clip"), "few clips; one clip"),
        (Result("a.b", "g", 1.0, 0.5, 1.5, n=1, reason="no interval: kept"), "no interval: kept"),
        (
            Result(
                "a.b",
                "g",
                None,
                status="not applicable",
                reason="1 of 1 clip has no value: 1 x not applicable: no face",
            ),
            "1 of 1 clip has no value: no face",
        ),
        (
            Result.not_computed(
                "a.b", "g", "3 of 4 clips have no value: 2 x dark; 1 x not applicable: no face"
            ),
            "3 of 4 clips have no value: 2 x dark; 1 x not applicable: no face",
        ),
    ],
)
def test_reasons_do_not_repeat_what_stands_beside_them(result: Result, shown: str) -> None:
    assert numbers.reason(result) == shown


def test_a_value_that_is_not_applicable_is_called_so() -> None:
    assert numbers.missing("not applicable: no face") == ("not applicable", "no face")
    assert numbers.missing("no flow") == ("not computed", "no flow")
