"""What a paper must state of a Frechet video distance: the method in a sentence, and a row of a LaTeX table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import vgaudit
from vgaudit.errors import UsageError
from vgaudit.records import COMPUTED, Result
from vgaudit.reports.data import ReportData
from vgaudit.reports.named import require_one_protocol

REQUIRED = (
    "protocol", "weights", "weights_sha256", "resize", "crop", "value_range", "features", "covariance", "window",
    "reference", "n_reference", "list_sha256", "codecs", "reference_codecs",
)  # fmt: skip
"""Facts of a result's ``detail`` without which nobody could repeat the number."""

SHOWN_DIGITS = 12
"""Of a digest in hex; 48 bits tell apart whatever anybody compares by hand."""

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip

HEAD = r"Model & Protocol & FVD $\downarrow$ & Interval & $n$ & $n_\mathrm{ref}$ & Floor \\"
"""Of the table that :func:`latex_row` makes a row of."""


def citable(data: ReportData) -> tuple[Result, ...]:
    """The Frechet video distances of a run that have a number.

    Raises:
        UsageError: There is none; the message says what each lacks.
    """
    named = [r for r in data.results if r.name == "fvd.distance"]
    found = tuple(r for r in named if r.status == COMPUTED)
    if not found:
        why = "; ".join(f"{r.group}: {r.reason}" for r in named) or "the suite has no metric fvd"
        raise UsageError(f"nothing to cite: no fvd.distance was computed ({why})")
    return found


def citation(data: ReportData) -> Iterator[str]:
    """Lines: for each distance a sentence on the method, then a LaTeX table of all of them.

    Raises:
        UsageError: Nothing was computed, a fact that a reader needs is not on record, or protocols differ.
    """
    results = citable(data)
    require_one_protocol(results)
    for result in results:
        yield method_sentence(result)
        yield ""
    yield HEAD
    yield from (latex_row(result) for result in results)


def method_sentence(result: Result) -> str:
    """How the number came about, so that somebody else gets the same one.

    Raises:
        UsageError: A fact of :data:`REQUIRED` is not on record, as in runs of older versions.
    """
    d = _facts(result)
    clips = f"{result.n} clips of {result.n_clusters} prompts"
    missing = d.get("missing", {})
    if left_out := sum(missing.values()):  # not `n_missing`: that counts the reference's too
        clips += f" ({left_out} more were left out: {_counted(missing)})"
    reference = f"{d['n_reference']} clips of {d['reference']}"
    if left_out := int(d.get("reference_left_out", 0)):
        reference += f" ({left_out} more were left out: {_counted(d.get('reference_missing', {}))})"
    made = d.get("reference_sha256") or d.get("reference_list_sha256")
    parts = [
        f"{d['protocol']} of {result.group} is {_number(result.value)}",
        f"{_interval(result)}",
        f"Frechet distance between {d['features']} ({d['weights']}, sha256 {_short(d['weights_sha256'])})",
        f"{clips}, {d['window']} (list {_short(d['list_sha256'])})",
        f"against {reference}"
        + (f", {d['reference_window']}" if "reference_window" in d else "")
        + (f" ({'file' if 'reference_sha256' in d else 'list'} {_short(made)})" if made else ""),
        f"resize: {d['resize']}; crop: {d['crop']}; value range: {d['value_range']}",
        f"covariance {d['covariance']}",
        f"codecs {_listed(d['codecs'])} against {_listed(d['reference_codecs'])}",
        _floor(d),
        f"vgaudit {vgaudit.__version__}",
    ]
    if outside := d.get("out_of_domain"):
        parts.insert(1, f"NOT TO BE COMPARED ({outside})")
    if accepted := d.get("accepted_small_n"):
        parts.insert(1, f"FEW CLIPS ({d.get('small_n', '')}), accepted because: {accepted}")
    elif few := d.get("insufficient"):
        parts.insert(1, f"NOT ENOUGH TO GO BY ({few})")
    return "; ".join(parts) + "."


def latex_row(result: Result) -> str:
    """Model, protocol, distance, interval, both numbers of clips, and the reference's distance to itself."""
    d = _facts(result)
    low, high = result.low, result.high
    between = "--" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"
    floor = (d.get("floor") or {}).get("value")
    cells = [
        _escaped(result.group), _escaped(str(d["protocol"])), _number(result.value), between, str(result.n),
        str(d["n_reference"]), _number(floor),
    ]  # fmt: skip
    return " & ".join(cells) + r" \\"


def _facts(result: Result) -> Mapping[str, Any]:
    absent = [name for name in REQUIRED if result.detail.get(name) in (None, "")]
    if absent:
        raise UsageError(
            f"{result.name} of {result.group} cannot be cited: {', '.join(absent)} not on record; score the run "
            "again with this version"
        )
    return result.detail


def _interval(result: Result) -> str:
    if result.low is None or result.high is None or result.confidence is None:
        return "no interval"
    target = result.detail.get("interval_target", "")
    text = f"{100 * result.confidence:g} % interval {_number(result.low)} to {_number(result.high)}"
    return (
        f"{text} ({result.detail.get('interval', 'method not on record')}; covers the {target})"
        if target
        else text
    )


def _floor(detail: Mapping[str, Any]) -> str:
    floors = [detail.get(name) or {} for name in ("floor", "floor_of_prompts")]
    known = [
        f"{_number(f['value'])} ({f['n']} against {f['n_reference']} clips, mean of {f['splits']} splits)"
        for f in floors
        if f.get("status") == "computed"
    ]
    if known:
        return f"distance of the reference to itself {' and '.join(known)}"
    return f"distance of the reference to itself not known: {floors[0].get('reason', 'not on record')}"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "--"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(sha256: object) -> str:
    return str(sha256)[:SHOWN_DIGITS]


def _listed(names: object) -> str:
    return (
        ", ".join(map(str, names))
        if isinstance(names, Sequence) and not isinstance(names, str)
        else str(names)
    )


def _counted(reasons: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no reason on record"
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
