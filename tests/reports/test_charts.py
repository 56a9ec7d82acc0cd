from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgaudit.records import Finding, Series, Severity
from vgaudit.reports import charts

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=20)


def _finding(
    kind: str = "temporal.jump", start: float = 0.5, end: float = 1.0, message: str = "m"
) -> Finding:
    return Finding("s", kind, Severity.MAJOR, start, end, 2.0, 1.0, message)


@given(VALUES)
@example([5e-324])
@example([-5e-324, 1e-300])
def test_a_scale_holds_all_values_in_order(values: list[float]) -> None:
    scale = charts.scale_for(values)
    places = [scale.percent(v) for v in sorted(values)]
    assert places == sorted(places)
    assert scale.low <= min(values)
    assert max(values) <= scale.high
    assert 0 < places[0] <= places[-1] < 100
    assert 2 <= len(scale.ticks) <= 12
    assert len({scale.label(t) for t in scale.ticks}) == len(scale.ticks)


def test_ticks_are_round() -> None:
    assert [charts.scale_for([0.031, 0.084]).label(t) for t in charts.scale_for([0.031, 0.084]).ticks] == [
        "0.04",
        "0.06",
        "0.08",
    ]
    assert charts.scale_for([0.0, 1.0]).ticks[0] == 0


def test_a_forest_row_draws_interval_limit_and_label() -> None:
    scale = charts.scale_for([0.0, 10.0])
    svg = ET.fromstring(
        charts.forest_row(scale, 4.0, 2.0, 6.0, "a < b & 'c'", [charts.Mark(5.0, "gate <= 5")], "fail")
    )
    assert svg.get("aria-label") == "a < b & 'c'"
    assert "tone-fail" in svg.get("class", "")
    interval = svg.find("line[@class='interval']")
    assert interval is not None
    assert interval.get("x1") == f"{scale.percent(2.0):.2f}%"
    assert interval.get("x2") == f"{scale.percent(6.0):.2f}%"
    assert svg.find("line[@class='limit']") is not None


def test_an_unbounded_end_is_an_arrow_and_no_interval_is_a_hollow_point() -> None:
    scale = charts.scale_for([0.0, 10.0])
    svg = ET.fromstring(charts.forest_row(scale, 4.0, -math.inf, 6.0, "x"))
    assert svg.find("svg/path[@class='arrow']") is not None
    assert len(svg.findall("line[@class='whisker']")) == 1
    svg = ET.fromstring(charts.forest_row(scale, 4.0, None, None, "x"))
    assert svg.find("circle[@class='point hollow']") is not None
    assert svg.find("line[@class='interval']") is None


def test_charts_have_no_inline_style_and_escape_text() -> None:
    series = Series((0.0, 0.5, 1.0), (1.0, 2.0, 3.0), "<unit>")
    finding = _finding("<kind>&", message="</svg><script>alert(1)</script>\x00\ud800")
    for svg in (
        charts.series_chart('"><script>', series, 1.5, [(0, finding)]),
        charts.findings_timeline([finding], 1.5),
    ):
        assert svg is not None
        assert "<script" not in svg
        assert "style=" not in svg
        ET.fromstring(svg)
        svg.encode("utf-8")


def test_gaps_interrupt_the_curve() -> None:
    series = Series((0.0, 0.1, 0.2, 0.3, 0.4), (1.0, 2.0, None, 1.0, math.nan))
    svg = charts.series_chart("x", series, 0.5)
    assert svg is not None
    path = ET.fromstring(svg).find("svg/path")
    assert path is not None
    assert path.get("d", "").count("M") == 2
    assert path.get("d", "").endswith("h4")  # a lone value is a short dash, not nothing
    assert "nan" not in svg


def test_a_series_without_values_is_no_chart() -> None:
    assert charts.series_chart("x", Series((0.0, 1.0), (None, math.nan)), 2.0) is None
    assert charts.series_chart("x", Series((0.0,), (1.0,)), 0.0) is None
    assert charts.findings_timeline([], 2.0) is None


def test_long_series_are_thinned_but_keep_their_extremes() -> None:
    values = [math.sin(i / 50) for i in range(20_000)]
    values[7_777] = 9.0
    values[12_345] = -9.0
    series = Series(tuple(i / 30 for i in range(20_000)), tuple(values))
    points = charts.thinned(series)
    assert len(points) <= charts.MAX_POINTS
    assert [t for t, _ in points] == sorted(t for t, _ in points)
    drawn = [v for _, v in points]
    assert 9.0 in drawn
    assert -9.0 in drawn
    svg = charts.series_chart("x", series, 20_000 / 30)
    assert svg is not None
    assert len(svg) < 20_000


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=1, max_size=50)
)
def test_any_series_gives_a_valid_chart_or_none(values: list[float | None]) -> None:
    series = Series(tuple(float(i) for i in range(len(values))), tuple(values))
    svg = charts.series_chart("x", series, float(len(values)))
    if svg is not None:
        ET.fromstring(svg)
        assert not re.search(r"\b(nan|inf)\b", svg)


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.0), (0.0, 99.0), (5.0, 6.0), (-1.0, 0.1)])
def test_spans_stay_inside_the_chart(start: float, end: float) -> None:
    svg = charts.findings_timeline([_finding(start=start, end=end)], 2.0)
    assert svg is not None
    rect = ET.fromstring(svg).find("rect[@data-finding='0']")
    assert rect is not None
    left, width = (float(rect.get(k, "").rstrip("%")) for k in ("x", "width"))
    assert 0 <= left < 100
    assert width > 0
    assert left + width <= 100.01
