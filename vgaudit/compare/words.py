"""A comparison in words and cells, the same on the terminal, in Markdown and on the page."""

from __future__ import annotations

from vgaudit.compare.comparison import Comparison
from vgaudit.compare.findings import FindingRow, Rate
from vgaudit.compare.values import ValueRow
from vgaudit.paired import PairedDifference
from vgaudit.records import COMPUTED, Outcome
from vgaudit.reports import numbers
from vgaudit.reports.comparison import p_text

VERDICTS = {Outcome.PASSED: "PASSED", Outcome.FAILED: "FAILED", Outcome.NOT_COMPUTED: "NOT SHOWN"}
HOLM_AND_MARGINS = (
    "Holm's adjustment is for finding differences among many values. It is not used for margins: each margin is a "
    "condition of its own and all must hold, so that a candidate beyond any of them passes with a probability of at "
    "most half of one minus the confidence, however many margins there are."
)


def title(comparison: Comparison) -> str:
    """Both names."""
    return f"{comparison.candidate.snapshot.name} against {comparison.base.snapshot.name}"


def several_groups(comparison: Comparison) -> bool:
    """Whether rows must say which groups they are about."""
    return len(comparison.shared) > 1


def groups(base: str, candidate: str) -> str:
    """A pair of groups."""
    return candidate if base == candidate else f"{candidate} from {base}"


def value(number: float | None, interval: tuple[float, float] | None = None) -> str:
    """A mean or an estimate."""
    if number is None:
        return "-"
    return numbers.number(number) if interval is None else numbers.interval(number, *interval)


def difference(row: ValueRow) -> str:
    """Candidate minus base with its interval; of estimates that are not paired their difference alone."""
    d = row.difference
    if d.value is None:
        return "-" if row.apart is None else f"{'+' if row.apart > 0 else ''}{numbers.number(row.apart)}"
    return signed(d)


def signed(d: PairedDifference) -> str:
    """``+0.012 [0.004, 0.020]``; ``0`` where no prompt differs."""
    if d.value is None:
        return "-"
    if not d.n_differing:
        return "0"
    sign = "+" if d.value > 0 else ""
    if d.low is None or d.high is None:
        return f"{sign}{numbers.number(d.value)}"
    return f"{sign}{numbers.interval(d.value, d.low, d.high)}"


def effect(d: PairedDifference) -> str:
    """``d_z``."""
    return "-" if d.effect is None else f"{d.effect:+.2f}"


def p_value(p: float | None) -> str:
    """``0.03``; ``< 0.0001`` where it is smaller."""
    return "-" if p is None else p_text(p).replace("\u00a0", " ").removeprefix("p ").removeprefix("= ")


def why(row: ValueRow) -> str:
    """What qualifies the judgement, in one line: the margin's reason, a doubt, why there is no number."""
    d, told = row.difference, []
    if row.margin is not None:
        told.append(row.margin.reason)
    if row.doubt:
        told.append(f"no better side is told: {row.doubt}")
    if d.reason and not (row.margin is not None and d.reason in row.margin.reason):
        told.append(d.reason)
    if d.status == COMPUTED and d.n_dropped:
        dropped = "; ".join(f"{n} x {reason}" for reason, n in list(d.dropped.items())[:2])
        told.append(f"{numbers.count(d.n_dropped, 'prompt')} left out: {dropped}")
    return "; ".join(told)


def rate(found: Rate | None) -> str:
    """``12.5 [3.1, 28.9]`` clips of a hundred, and in how many it was looked for where those are not all."""
    if found is None:
        return "not looked for"
    text = f"{found.per_100:.3g} [{found.low:.3g}, {found.high:.3g}]"
    return text if found.searched == found.planned else f"{text} in {found.searched} of {found.planned} clips"


def worth_telling(row: FindingRow) -> bool:
    """Whether either side has one, or one side alone looked for it."""
    found = [r for r in (row.base, row.candidate) if r is not None]
    return (len(found) == 1) or any(r.clips for r in found)


def counted(comparison: Comparison) -> str:
    """What was compared, in short."""
    prompts = sum(len(s.prompts) for s in comparison.shared.values())
    pairs = len(comparison.shared)
    over = f" in {pairs} pairs of groups" if pairs > 1 else ""
    tested = numbers.count(comparison.family, "comparison")
    return f"{numbers.count(prompts, 'prompt')}{over}, {tested} adjusted together"
