"""Draw charts as inline SVG on the server: forest rows, per-frame series, the timeline of findings.

Horizontal positions are percentages, so a chart fills whatever width it is given without stretching its
text or marks; colours come from the style sheet through classes (a strict Content-Security-Policy allows
no inline style). Elements are built with ElementTree, which escapes all text and attributes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from vgaudit.records import Finding, Series
from vgaudit.reports import numbers
from vgaudit.reports.escaping import one_line, visible

MAX_POINTS = 600
_LARGEST = 1e300  # beyond it, spans and paddings overflow; such a value is drawn as a gap
_SMALLEST = 1e-290  # steps of an axis below it would not be numbers any more
_MARGIN = 3.0  # percent kept free left and right, so that marks at the ends are not cut
_PLOT_TOP, _PLOT_HEIGHT = 8, 102
_PLOT_LEFT = 8.0  # percent left of a series chart, for the value labels
_SIMILARITY_LEFT = 12.0  # likewise, for the narrower charts on cards
_SIMILARITY_POINTS = 120


@dataclass(frozen=True)
class Scale:
    """A linear axis from values to percent of the chart's width."""

    low: float
    high: float
    ticks: tuple[float, ...]
    decimals: int

    def percent(self, value: float) -> float:
        """Position of ``value``; values beyond the ends stay at the ends."""
        share = (value - self.low) / (self.high - self.low)
        return _MARGIN + (100 - 2 * _MARGIN) * min(1.0, max(0.0, share))

    def label(self, tick: float) -> str:
        """Tick label with as many digits as the step needs."""
        largest = max(abs(self.low), abs(self.high))
        if largest >= 1e7 or self.decimals > 6:
            return f"{tick:.2g}"
        text = f"{tick:,.{self.decimals}f}"
        return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


@dataclass(frozen=True)
class Mark:
    """A condition's limit drawn as a vertical line in a forest plot."""

    value: float
    label: str


def _drawable(value: float | None) -> bool:
    return value is not None and abs(value) <= _LARGEST  # false for NaN and infinity too


def _nice_step(span: float, steps: int) -> float:
    raw = span / steps
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return magnitude * next(f for f in (1.0, 2.0, 2.5, 5.0, 10.0) if f * magnitude >= raw * (1 - 1e-9))


def _decimals(step: float) -> int:
    digits = max(0, -math.floor(math.log10(step)))
    return digits if math.isclose(round(step, digits), step) else digits + 1


def scale_for(values: Sequence[float], steps: int = 4) -> Scale:
    """An axis with round ticks that holds all drawable ``values``, with a little room at both ends."""
    finite = [v for v in values if _drawable(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if max(abs(low), abs(high)) < _SMALLEST:
        low, high = -1.0 if low < 0 else 0.0, 1.0
    elif not high - low > 1e-12 * max(abs(low), abs(high)):
        low, high = low - 0.5 * abs(low), high + 0.5 * abs(high)
    pad = 0.06 * (high - low)
    if low >= 0 > low - pad or 0 <= low < 0.25 * high:
        low = 0.0
    else:
        low -= pad
    high = high + pad if high != 0 else high
    step = _nice_step(high - low, steps)
    ticks: list[float] = []
    tick = math.ceil(low / step - 1e-9) * step
    while tick <= high + 1e-9 * step and len(ticks) < 12:
        ticks.append(tick)
        tick += step
    return Scale(low, high, tuple(ticks), _decimals(step))


def _svg(height: int, label: str, css: str) -> Element:
    return Element(
        "svg",
        {"class": css, "width": "100%", "height": str(height), "role": "img", "aria-label": visible(label)},
    )


def _pct(value: float) -> str:
    return f"{value:.2f}%"


def _markup(svg: Element) -> Markup:
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - serialised by ElementTree, which escapes


def _line(parent: Element, css: str, x: tuple[str, str], y: tuple[str, str]) -> Element:
    return SubElement(parent, "line", {"class": css, "x1": x[0], "x2": x[1], "y1": y[0], "y2": y[1]})


def _text(parent: Element, css: str, x: str, y: float, text: str, anchor: str = "middle") -> None:
    node = SubElement(parent, "text", {"class": css, "x": x, "y": f"{y:g}", "text-anchor": anchor})
    node.text = visible(text)


def forest_row(
    scale: Scale,
    value: float,
    low: float | None,
    high: float | None,
    label: str,
    marks: Sequence[Mark] = (),
    tone: str = "plain",
) -> Markup:
    """One estimate with its interval on ``scale``.

    Args:
        scale: Axis shared by all rows of the plot.
        value: Estimate.
        low: Lower end; ``None`` draws a hollow point without interval, ``-inf`` an arrow to the edge.
        high: Upper end, likewise.
        label: What a screen reader says.
        marks: Limits of gates.
        tone: ``pass``, ``fail``, ``nc`` or ``plain``; a class for the style sheet, never the only sign.
    """
    svg = _svg(30, label, f"forest tone-{tone}")
    for tick in scale.ticks:
        at = _pct(scale.percent(tick))
        _line(svg, "grid", (at, at), ("0", "100%"))
    for mark in marks:
        at = _pct(scale.percent(mark.value))
        _line(svg, "limit", (at, at), ("0", "100%"))
    if low is not None and high is not None:
        left, right = _pct(scale.percent(low)), _pct(scale.percent(high))
        _line(svg, "interval", (left, right), ("50%", "50%"))
        for end, at, d in ((low, left, "M7 8 L0 15 L7 22"), (high, right, "M-7 8 L0 15 L-7 22")):
            if math.isinf(end):
                arrow = SubElement(svg, "svg", {"x": at, "overflow": "visible"})
                SubElement(arrow, "path", {"class": "arrow", "d": d})
            else:
                _line(svg, "whisker", (at, at), ("10", "20"))
    css = "point" if low is not None and high is not None else "point hollow"
    SubElement(svg, "circle", {"class": css, "cx": _pct(scale.percent(value)), "cy": "50%", "r": "5"})
    return _markup(svg)


def forest_axis(scale: Scale, marks: Sequence[Mark] = ()) -> Markup:
    """Tick labels of a forest plot, with the gates' limits named below them."""
    labels = ", ".join(mark.label for mark in marks)
    svg = _svg(34 if marks else 18, f"axis; limits: {labels}" if marks else "axis", "forest-axis")
    for tick in scale.ticks:
        at = _pct(scale.percent(tick))
        _line(svg, "tick", (at, at), ("0", "4"))
        _text(svg, "tick-label", at, 15, scale.label(tick))
    for mark in marks:
        position = scale.percent(mark.value)
        anchor = "start" if position < 35 else "end" if position > 65 else "middle"
        _text(svg, "limit-label", _pct(position), 31, mark.label, anchor)
    return _markup(svg)


def thinned(series: Series, limit: int = MAX_POINTS) -> list[tuple[float, float | None]]:
    """The points to draw: all of them, or the extremes of each of ``limit / 2`` bins in time order.

    ``None`` and non-finite values are gaps; a bin without any value is one gap.
    """
    points = [
        (t, v if _drawable(v) else None)
        for t, v in zip(series.times_s, series.values, strict=True)
        if math.isfinite(t)
    ]
    if len(points) <= limit:
        return points
    size = math.ceil(len(points) / (limit // 2))
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        bin_ = points[start : start + size]
        present = [(t, v) for t, v in bin_ if v is not None]
        if not present:
            kept.append((bin_[0][0], None))
            continue
        extremes = {min(present, key=lambda p: p[1]), max(present, key=lambda p: p[1])}
        kept.extend(sorted(extremes))
    return kept


def _path(points: Sequence[tuple[float, float | None]], end_s: float, scale: Scale) -> str:
    """Path data in a 1000 x 100 box; a lone point between gaps becomes a short dash."""
    runs: list[list[str]] = [[]]
    for t, v in points:
        if v is None:
            runs.append([])
            continue
        y = 100 - 100 * (v - scale.low) / (scale.high - scale.low)
        runs[-1].append(f"{1000 * t / end_s:.1f} {y:.2f}")
    drawn = []
    for run in filter(None, runs):
        drawn.append("M" + "L".join(run) if len(run) > 1 else f"M{run[0]}h4")
    return "".join(drawn)


def _moment(seconds: float, end_s: float, left: float) -> float:
    """Position of a moment in percent of the chart's width, where ``left`` percent are kept free."""
    return left + (100 - left) * max(0.0, min(1.0, seconds / end_s))


def _time_axis(svg: Element, end_s: float, y: float, left: float) -> None:
    axis = scale_for([0.0, end_s], 5)
    for tick in axis.ticks:
        if tick > end_s:
            break
        at = _moment(tick, end_s, left)
        anchor = "start" if at < 3 else "end" if at > 96 else "middle"
        _text(svg, "tick-label", _pct(at), y, f"{axis.label(tick)} s", anchor)


def _span(
    svg: Element, finding: Finding, index: int, end_s: float, box: tuple[int, int], left: float
) -> None:
    start = min(_moment(finding.start_s, end_s, left), 99.4)
    width = max(0.6, _moment(finding.end_s, end_s, left) - start)
    y, height = box
    rect = SubElement(
        svg,
        "rect",
        {
            "class": f"span sev-{finding.severity.value}",
            "x": _pct(start),
            "y": str(y),
            "width": _pct(width),
            "height": str(height),
            "rx": "2",
            "data-finding": str(index),
        },
    )
    title = SubElement(rect, "title")
    when = f"{numbers.seconds(finding.start_s)} to {numbers.seconds(finding.end_s)}"
    title.text = one_line(f"{finding.severity.value}: {finding.kind}, {when}. {finding.message}", 240)


def series_chart(
    name: str, series: Series, end_s: float, findings: Sequence[tuple[int, Finding]] = ()
) -> Markup | None:
    """A value over the clip's time with findings as shaded spans.

    Args:
        name: What the series is called.
        series: Times in seconds and values.
        end_s: Right end of the time axis in seconds, above 0.
        findings: ``(index, finding)`` pairs; the index becomes ``data-finding`` for the player script.

    Returns:
        The SVG, or ``None`` when the series has no finite value to draw.
    """
    points = thinned(series)
    values = [v for _, v in points if v is not None]
    if not values or not end_s > 0:
        return None
    scale = scale_for(values, 3)
    unit = f" {series.unit}" if series.unit else ""
    gaps = sum(not _drawable(v) for v in series.values)
    label = (
        f"{name} over time: {numbers.count(len(series.values) - gaps, 'value')} from {numbers.number(min(values))} "
        f"to {numbers.number(max(values))}{unit}; {numbers.count(gaps, 'gap')}; "
        f"{numbers.count(len(findings), 'finding')} marked"
    )
    svg = _svg(_PLOT_TOP + _PLOT_HEIGHT + 22, label, "series")
    svg.set("data-end", f"{end_s:.4f}")
    svg.set("data-left", f"{_PLOT_LEFT:g}")
    for index, finding in findings:
        _span(svg, finding, index, end_s, (0, _PLOT_TOP + _PLOT_HEIGHT), _PLOT_LEFT)
    for tick in scale.ticks:
        y = _PLOT_TOP + _PLOT_HEIGHT * (1 - (tick - scale.low) / (scale.high - scale.low))
        _line(svg, "grid", (_pct(_PLOT_LEFT), "100%"), (f"{y:.1f}", f"{y:.1f}"))
        _text(svg, "value-label", _pct(_PLOT_LEFT - 1), y + 4, scale.label(tick), "end")
    plot = SubElement(
        svg,
        "svg",
        {
            "x": _pct(_PLOT_LEFT),
            "y": str(_PLOT_TOP),
            "width": _pct(100 - _PLOT_LEFT),
            "height": str(_PLOT_HEIGHT),
            "viewBox": "0 0 1000 100",
            "preserveAspectRatio": "none",
            "overflow": "visible",
        },
    )
    d = _path(points, end_s, scale)
    SubElement(plot, "path", {"class": "curve", "d": d, "vector-effect": "non-scaling-stroke"})
    _time_axis(svg, end_s, _PLOT_TOP + _PLOT_HEIGHT + 17, _PLOT_LEFT)
    _line(svg, "playhead", (_pct(_PLOT_LEFT), _pct(_PLOT_LEFT)), ("0", str(_PLOT_TOP + _PLOT_HEIGHT)))
    return _markup(svg)


def findings_timeline(findings: Sequence[Finding], end_s: float) -> Markup | None:
    """All findings of a clip on one time axis, a lane per kind; ``None`` without findings or length."""
    if not findings or not end_s > 0:
        return None
    kinds = list(dict.fromkeys(f.kind for f in findings))
    lane = 34
    height = lane * len(kinds)
    label = f"timeline of {numbers.count(len(findings), 'finding')}: {', '.join(kinds)}"
    svg = _svg(height + 22, label, "series timeline")
    svg.set("data-end", f"{end_s:.4f}")
    svg.set("data-left", "0")
    for row, kind in enumerate(kinds):
        top = row * lane
        _text(svg, "lane-label", "0", top + 11, one_line(kind, 60), "start")
        ground = {"class": "lane", "y": str(top + 16), "width": "100%", "height": "12", "rx": "2"}
        SubElement(svg, "rect", ground)
        for index, finding in enumerate(findings):
            if finding.kind == kind:
                _span(svg, finding, index, end_s, (top + 16, 12), 0.0)
    _time_axis(svg, end_s, height + 17, 0.0)
    _line(svg, "playhead", ("0", "0"), ("0", str(height)))
    return _markup(svg)


def similarity_chart(series: Series, end_s: float, point: float | None, point_label: str) -> Markup | None:
    """How much a face resembles an entry over the clip, with the point from which a match is called.

    Args:
        series: Times in seconds and similarities, ``None`` where the face was not seen or not compared.
        end_s: Right end of the time axis in seconds, above 0.
        point: The similarity of the operating point; ``None`` draws no line.
        point_label: What that line is called.

    Returns:
        The SVG, or ``None`` when there is nothing to draw.
    """
    points = thinned(series, _SIMILARITY_POINTS)
    values = [v for _, v in points if v is not None]
    if not values or not 0 < end_s <= _LARGEST:
        return None
    drawn_point = point if _drawable(point) else None
    scale = scale_for([*values, *([] if drawn_point is None else [drawn_point])], 3)
    gaps = sum(not _drawable(v) for v in series.values)
    label = (
        f"similarity over time: {numbers.count(len(series.values) - gaps, 'value')} from "
        f"{numbers.number(min(values))} to {numbers.number(max(values))}; {numbers.count(gaps, 'gap')}"
        + (f"; {point_label} at {numbers.number(drawn_point)}" if drawn_point is not None else "")
    )
    height = 84
    svg = _svg(_PLOT_TOP + height + 22, label, "series similarity")
    for tick in scale.ticks:
        y = _PLOT_TOP + height * (1 - (tick - scale.low) / (scale.high - scale.low))
        _line(svg, "grid", (_pct(_SIMILARITY_LEFT), "100%"), (f"{y:.1f}", f"{y:.1f}"))
        _text(svg, "value-label", _pct(_SIMILARITY_LEFT - 1.5), y + 4, scale.label(tick), "end")
    if drawn_point is not None:
        y = _PLOT_TOP + height * (1 - (drawn_point - scale.low) / (scale.high - scale.low))
        _line(svg, "limit", (_pct(_SIMILARITY_LEFT), "100%"), (f"{y:.1f}", f"{y:.1f}"))
        _text(svg, "limit-label", "100%", y - 4 if y > 16 else y + 13, point_label, "end")
    box = {
        "x": _pct(_SIMILARITY_LEFT), "y": str(_PLOT_TOP), "width": _pct(100 - _SIMILARITY_LEFT),
        "height": str(height), "viewBox": "0 0 1000 100", "preserveAspectRatio": "none", "overflow": "visible",
    }  # fmt: skip
    plot = SubElement(svg, "svg", box)
    d = _path(points, end_s, scale)
    SubElement(plot, "path", {"class": "curve", "d": d, "vector-effect": "non-scaling-stroke"})
    _time_axis(svg, end_s, _PLOT_TOP + height + 17, _SIMILARITY_LEFT)
    return _markup(svg)


def histogram_chart(
    edges: Sequence[float], counts: Sequence[int], marker: float, marker_label: str, what: str
) -> Markup | None:
    """How many there are in each bin, and where one value lies among them.

    A bin that holds anybody is drawn at least a visible line high, for it is the tail that matters.

    Args:
        edges: Bin edges, rising, one more than ``counts``.
        counts: Non-negative.
        marker: The value drawn as a line.
        marker_label: What the line is called.
        what: What is counted, in words, e.g. ``500 people by their similarity``.

    Returns:
        The SVG, or ``None`` when the numbers are no histogram or the marker is no number.
    """
    rising = all(_drawable(e) for e in edges) and all(a < b for a, b in itertools.pairwise(edges))
    if len(edges) != len(counts) + 1 or not rising or not _drawable(marker):
        return None
    if not counts or min(counts) < 0 or max(counts) <= 0:
        return None
    low, high = min(edges[0], marker), max(edges[-1], marker)
    pad = 0.02 * (high - low)
    ticks = scale_for([low, high], 4)
    scale = Scale(low - pad, high + pad, ticks.ticks, ticks.decimals)
    beyond = sum(n for left, n in zip(edges, counts, strict=False) if left >= marker)
    label = (
        f"histogram of {what}, from {numbers.number(edges[0])} to {numbers.number(edges[-1])}; {marker_label} at "
        f"{numbers.number(marker)}; {beyond:,} in the bins above it"
    )
    top, height = 18, 76
    svg = _svg(top + height + 20, label, "histogram")
    box = {
        "y": str(top), "width": "100%", "height": str(height), "viewBox": f"0 0 1000 {height}",
        "preserveAspectRatio": "none",
    }  # fmt: skip
    bars = []
    for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True):
        if n:
            start, end = 10 * scale.percent(left), 10 * scale.percent(right)
            tall = max(2.0, height * n / max(counts))
            bars.append(f"M{start:.1f} {height}v-{tall:.1f}h{max(3.0, end - start - 1.5):.1f}v{tall:.1f}z")
    SubElement(SubElement(svg, "svg", box), "path", {"class": "bar", "d": "".join(bars)})
    _line(svg, "base", ("0", "100%"), (str(top + height), str(top + height)))
    at = scale.percent(marker)
    _line(svg, "marker", (_pct(at), _pct(at)), ("4", str(top + height)))
    anchor, shift = ("end", -1.2) if at > 50 else ("start", 1.2)
    _text(svg, "limit-label", _pct(at + shift), 13, marker_label, anchor)
    for tick in scale.ticks:
        if scale.low <= tick <= scale.high:
            _text(svg, "tick-label", _pct(scale.percent(tick)), top + height + 15, scale.label(tick))
    return _markup(svg)
