"""Runs from Python and notebooks: one call makes a run, and its numbers come as pandas tables and charts.

import vgaudit

run = vgaudit.run("suite.yaml", gallery="people")
run                                          # in a notebook: verdict, gates, results
run.results                                  # a DataFrame: value, low, high, n ... by result and group
run.clips.sort_values("temporal.warp_error")
run.plot("temporal.warp_error")

shipped = vgaudit.open_run("reports/shipped")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgaudit.errors import UsageError
from vgaudit.records import Result, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from vgaudit.progress import Progress
    from vgaudit.reports.data import ReportData

__all__ = ["Chart", "Run", "open_run", "run"]

_TONES = {"passed": "#17663a", "failed": "#a3201d", "not computed": "#7a5200"}
_RESULT_COLUMNS = (
    "result", "group", "value", "low", "high", "confidence", "n", "n_prompts", "unit", "higher_is_better", "status",
    "reason",
)  # fmt: skip
_STYLE = """
.vgaudit{font:14px/1.5 system-ui,sans-serif;--grid:#8883;--ink:currentColor;--tone:#2457b3;--panel:#fff;--quiet:#777}
.vgaudit table{border-collapse:collapse}
.vgaudit th,.vgaudit td{padding:.2em .8em .2em 0;text-align:left;vertical-align:top}
.vgaudit .plot{width:22em}.vgaudit svg{display:block;overflow:visible}
.vgaudit .grid{stroke:var(--grid)}.vgaudit .interval,.vgaudit .whisker{stroke:var(--tone);stroke-width:2.5}
.vgaudit .point{fill:var(--tone)}.vgaudit .hollow{fill:var(--panel);stroke:var(--tone)}
.vgaudit .arrow{fill:none;stroke:var(--tone);stroke-width:2.4}.vgaudit .tick{stroke:var(--quiet)}
.vgaudit text{font-size:11px;fill:currentColor}
"""


def run(
    suite: str | Path,
    *,
    out: str | Path | None = None,
    backend: str | None = None,
    gallery: str | Path | None = None,
    cohort: str | Path | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """What ``vgaudit run`` does: generate, score, gate and report what is missing. A gate that fails raises nothing.

    Args:
        suite: A suite file, or the name of a bundled suite.
        out: The run directory; default ``reports/<suite>-<digest>`` below the current folder.
        backend: Another backend, ``TYPE:WHAT``, such as ``diffusers:Wan-AI/Wan2.1-T2V-1.3B-Diffusers``.
        gallery: People to look for: a folder, a built gallery, one picture, or ``none``.
        cohort: A file of unrelated people.
        limit: At most so many samples of each group.
        overrides: Values of the suite to replace, each ``key=value`` as after ``--set``.
        workers: Clips scored at the same time.
        progress: Told what happens; silent by default.

    Returns:
        The finished run.

    Raises:
        SuiteError: The suite or an override is wrong.
        RunDirError: ``out`` holds another run, or something that is not a run.
        VgauditError: Other errors of the command line, with the same words.
    """
    from vgaudit.pipeline.prepare import prepare
    from vgaudit.pipeline.run import execute
    from vgaudit.suite import load_suite
    from vgaudit.suite.given import given_overrides

    if isinstance(overrides, str):
        raise UsageError(f"overrides: expected a list of 'key=value' texts, found the text {overrides!r}")
    texts = given_overrides(
        overrides,
        backend=backend,
        gallery=None if gallery is None else str(gallery),
        cohort=None if cohort is None else Path(cohort),
    )
    prepared = prepare(load_suite(str(suite), texts), limit=limit)
    finished = execute(prepared, None if out is None else Path(out), progress=progress, workers=workers)
    assert finished is not None
    return Run(finished.run_dir)


def open_run(path: str | Path) -> Run:
    """A finished run.

    Raises:
        RunDirError: ``path`` is no run directory, or has not been scored.
    """
    return Run(Path(path))


class Chart:
    """An SVG chart that a notebook shows.

    Attributes:
        html: The chart as HTML with a style of its own.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def save(self, path: str | Path) -> Path:
        """Write the chart as an HTML page of its own."""
        file = Path(path)
        page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>chart</title>{self.html}</html>'
        file.write_text(page, encoding="utf-8")
        return file


class Run:
    """A finished run, read when something is asked of it. What was read stays: open it again after it changed.

    Attributes:
        path: The run directory.
    """

    def __init__(self, path: Path) -> None:
        from vgaudit.pipeline.finish import read_report_data
        from vgaudit.rundir import RunDir

        self.path = path
        self._data: ReportData = read_report_data(RunDir.open(path))

    @property
    def name(self) -> str:
        """Name of the suite."""
        return self._data.name

    @property
    def verdict(self) -> Verdict:
        """The answer: outcome, exit code, reason."""
        return self._data.verdict

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report" / "index.html"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in the order of the plan."""
        return tuple(dict.fromkeys(entry.sample.group for entry in self._data.clips))

    @cached_property
    def results(self) -> pd.DataFrame:
        """Estimates, a row for each result and group; ``value``, ``low`` and ``high`` are NaN where there is none.

        Columns: result, group, value, low, high, confidence, n (clips), n_prompts, unit, higher_is_better, status
        (``computed``, ``not computed``, ``not applicable``), reason.
        """
        rows = [{**asdict(r), "result": r.name, "n_prompts": r.n_clusters} for r in self._data.results]
        return _frame(rows, _RESULT_COLUMNS).astype({"value": float, "low": float, "high": float})

    @cached_property
    def gates(self) -> pd.DataFrame:
        """Gates with their outcome, a row for each gate and group: gate, group, outcome, severity, reason."""
        rows = [{**asdict(g), "outcome": g.outcome.value} for g in self._data.gates]
        return _frame(rows, ("gate", "group", "outcome", "severity", "reason"))

    @cached_property
    def clips(self) -> pd.DataFrame:
        """One row for each sample, by sample id: prompt_id, prompt, group, seed, outcome, clip, values, findings.

        The values' columns are ``<metric>.<value>``, NaN where a value is missing (:meth:`missing` says why).
        """
        rows = []
        for entry in self._data.clips:
            sample = entry.sample
            row: dict[str, Any] = {
                "sample_id": sample.sample_id, "prompt_id": sample.prompt_id, "prompt": sample.prompt,
                "group": sample.group, "seed": sample.seed, "outcome": entry.clip.outcome,
                "clip": None if entry.clip.file is None else str(self.path / entry.clip.file),
                "findings": len(entry.findings),
            }  # fmt: skip
            for metric, measurement in entry.measurements.items():
                row |= {f"{metric}.{name}": value for name, value in measurement.values.items()}
                row |= {f"{metric}.{name}": float("nan") for name in measurement.missing}
            rows.append(row)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _frame(rows, names).set_index("sample_id") if rows else _frame(rows, ("sample_id",))

    @cached_property
    def findings(self) -> pd.DataFrame:
        """Findings, a row each: sample_id, kind, severity, start_s, end_s, score, threshold, message, state."""
        decisions = self._data.decisions
        rows = [
            {
                **asdict(f),
                "severity": f.severity.value,
                "state": str(decisions[f.fingerprint].state) if f.fingerprint in decisions else "open",
            }
            for entry in self._data.clips
            for f in entry.findings
        ]
        columns = (
            "sample_id", "kind", "severity", "start_s", "end_s", "score", "threshold", "message", "state",
            "fingerprint",
        )  # fmt: skip
        return _frame(rows, columns)

    @cached_property
    def missing(self) -> pd.DataFrame:
        """Why values are missing, a row for each clip and value: sample_id, value, reason."""
        rows = [
            {"sample_id": entry.sample.sample_id, "value": f"{metric}.{name}", "reason": reason}
            for entry in self._data.clips
            for metric, measurement in entry.measurements.items()
            for name, reason in measurement.missing.items()
        ]
        return _frame(rows, ("sample_id", "value", "reason"))

    def series(self, sample_id: str) -> pd.DataFrame:
        """What was measured along a clip: series (``<metric>.<name>``), time_s, value (NaN: a gap), unit.

        Raises:
            UsageError: The run has no such sample.
        """
        found = next((e for e in self._data.clips if e.sample.sample_id == sample_id), None)
        if found is None:
            raise UsageError(f"{self.path}: expected the id of a sample of this run, found {sample_id!r}")
        rows = [
            {"series": f"{metric}.{name}", "time_s": t, "value": _number(v), "unit": series.unit}
            for metric, measurement in found.measurements.items()
            for name, series in measurement.series.items()
            for t, v in zip(series.times_s, series.values, strict=True)
        ]  # fmt: skip
        return _frame(rows, ("series", "time_s", "value", "unit"))

    def plot(self, result: str) -> Chart:
        """A forest plot of one result: a row for each group, with its interval, or why there is no number.

        Raises:
            UsageError: The run has no such result.
        """
        rows = [r for r in self._data.results if r.name == result]
        if not rows:
            from vgaudit.registry import nearest

            known = sorted({r.name for r in self._data.results})
            raise UsageError(
                f"{self.path}: expected the name of a result, found {result!r}{nearest(result, known)} "
                f"(results: {', '.join(known) or 'none'})"
            )
        return Chart(_boxed(_forest(rows)))

    def _repr_html_(self) -> str:
        verdict = self.verdict
        colour = _TONES[verdict.outcome.value]
        head = (
            f'<p><strong style="color:{colour}">{escape(verdict.outcome.value.upper())}</strong> '
            f"{escape(verdict.reason)} <small>({escape(self.name)}, {len(self._data.clips)} clips)</small></p>"
        )
        gates = "".join(
            f"<tr><td>{escape(g.outcome.value)}</td><td><code>{escape(g.gate)}</code></td>"
            f"<td>{escape(g.group)}</td><td>{escape(g.reason)}</td></tr>"
            for g in self._data.gates
        )
        by_name: dict[str, list[Result]] = {}
        for row in self._data.results:
            by_name.setdefault(row.name, []).append(row)
        blocks = "".join(_forest(rows) for rows in by_name.values())
        return _boxed(f"{head}{f'<table>{gates}</table>' if gates else ''}{blocks}")

    def __repr__(self) -> str:
        return f"<vgaudit run {self.name!r} at {self.path}: {self.verdict.outcome.value}>"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=list(columns))


def _boxed(html: str) -> str:
    return f'<div class="vgaudit"><style>{_STYLE}</style>{html}</div>'


def _forest(rows: Sequence[Result]) -> str:
    """Rows of one result as a table with a chart on a common axis."""
    from vgaudit.reports import charts, numbers

    ends = [x for r in rows for x in (r.value, r.low, r.high) if x is not None]
    scale = charts.scale_for(ends) if ends else None
    lines = []
    for row in rows:
        text = numbers.estimate(row, None)
        if row.value is None or scale is None:
            cells = f'<td colspan="2">{escape(row.status)}: {escape(row.reason)}</td>'
        else:
            label = f"{row.name}, {row.group}: {text} {row.unit}".strip()
            chart = charts.forest_row(scale, row.value, row.low, row.high, label)
            counted = f"{row.n} clips, {row.n_clusters} prompts"
            cells = f'<td>{escape(text)}<br/><small>{counted}</small></td><td class="plot">{chart}</td>'
        lines.append(f"<tr><th>{escape(row.group)}</th>{cells}</tr>")
    if scale is not None:
        lines.append(f'<tr><td></td><td></td><td class="plot">{charts.forest_axis(scale)}</td></tr>')
    unit = f" <small>{escape(rows[0].unit)}</small>" if rows[0].unit else ""
    return f"<p><code>{escape(rows[0].name)}</code>{unit}</p><table>{''.join(lines)}</table>"
