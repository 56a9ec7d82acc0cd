"""``vgaudit power``: how many prompts and seeds to run before spending hours on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgaudit.errors import UsageError

_PROMPTS = (6, 10, 20, 50, 100, 200, 500)
_SEEDS = (1, 2, 4, 8)


def power(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The suite that is planned.")],
    metric: Annotated[str, typer.Option(metavar="NAME", help="A value of clips, e.g. temporal.warp_error.")],
    margin: Annotated[
        float, typer.Option(metavar="X", help="The difference that must not go unseen, in the value's unit.")
    ],
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="A finished run to take the spread from.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Group of that run; twice for the differences between two."),
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Plan a gate with a limit X away instead of a comparison.")
    ] = False,
    sd_prompt: Annotated[
        float | None, typer.Option(metavar="SD", help="Between prompts; of differences, for a comparison.")
    ] = None,
    sd_seed: Annotated[
        float | None, typer.Option(metavar="SD", help="Between seeds of a prompt; the same.")
    ] = None,
    wanted: Annotated[float, typer.Option("--power", metavar="P", help="Power to reach.")] = 0.8,
    confidence: Annotated[float | None, typer.Option(metavar="C", help="Default: the suite's.")] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Seeds of each prompt; default: the suite's.")
    ] = None,
) -> None:
    """Say how many prompts and seeds show a difference of X, and how sure a run of so many would be."""
    from vgaudit.power import Components, half_width, prompts_for
    from vgaudit.power import power as chance
    from vgaudit.suite import load_suite

    loaded = load_suite(suite)
    coverage = loaded.suite.confidence if confidence is None else confidence
    for value, what, low in (
        (margin, "--margin", None),
        (wanted, "--power", 1.0),
        (coverage, "--confidence", 1.0),
    ):
        if not value > 0 or (low is not None and value >= low) or value == float("inf"):
            raise UsageError(
                f"{what}: expected a number above 0{' and below 1' if low else ''}, found {value}"
            )
    if metric not in (known := [v for m in loaded.metrics for v in m.values]):
        from vgaudit.registry import nearest

        raise UsageError(
            f"{suite}: expected a value that the suite computes, found {metric!r}{nearest(metric, known)} "
            f"(computed: {', '.join(known) or 'nothing'})"
        )
    if from_ is None:
        if sd_prompt is None or sd_seed is None:
            raise UsageError("expected --from RUN, or both --sd-prompt and --sd-seed, found neither")
        if not (0 <= sd_prompt < float("inf") and 0 <= sd_seed < float("inf")):
            raise UsageError(f"expected standard deviations from 0 on, found {sd_prompt} and {sd_seed}")
        spread, basis = Components(sd_prompt, sd_seed), "as stated"
    else:
        if sd_prompt is not None or sd_seed is not None:
            raise UsageError("expected --from, or --sd-prompt and --sd-seed, found both")
        from vgaudit.pipeline.finish import read_report_data
        from vgaudit.pipeline.planning import spread_of
        from vgaudit.rundir import RunDir

        data = read_report_data(RunDir.open(from_))
        present = tuple(dict.fromkeys(e.sample.group for e in data.clips))
        groups = tuple(group) if group else present[: 1 if absolute else 2]
        if len(groups) > (1 if absolute else 2):
            raise UsageError(
                f"expected {'one group' if absolute else 'at most two groups'}, found {len(groups)}"
            )
        spread, basis = spread_of(data, metric, groups, paired=not absolute)
    count = seeds or len(loaded.seeds)
    told = f", from {spread.n_values} values of {spread.n_prompts} prompts" if spread.n_prompts else ""
    print(
        f"{metric}: "
        + (f"a gate with a limit {margin:g} away" if absolute else f"a paired difference of {margin:g}")
    )
    print(
        f"spread between prompts {spread.prompt:.4g}, between seeds of a prompt {spread.seed:.4g} ({basis}{told})"
    )
    if spread.n_prompts and not spread.seeds_known:
        print(
            "note: no prompt has two seeds, so that all spread counts as between prompts; more seeds may help more"
        )
    if spread.of_mean(count) == 0:
        raise UsageError(
            "the spread is 0: nothing varies, so nothing can be planned from it; expected a run that varies"
        )
    columns = sorted({*_SEEDS, count})
    print(f"power and half width of the {100 * coverage:.4g} % interval:")
    print("prompts " + "".join(f"{f'{m} seed' + ('s' if m > 1 else ''):>18}" for m in columns))
    own = len(loaded.prompts)
    for n in sorted({*_PROMPTS, *([own] if own > 1 else [])}):
        cells = [
            f"{chance(spread, margin, n, m, coverage):.2f} +-{half_width(spread, n, m, coverage):.3g}"
            for m in columns
        ]
        print(
            f"{n:>7} "
            + "".join(f"{cell:>18}" for cell in cells)
            + ("  <- the suite's prompts" if n == own else "")
        )
    for m in columns:
        needed = prompts_for(spread, margin, m, wanted, coverage)
        words = (
            "more than a million prompts"
            if needed is None
            else f"{needed:,} prompts, {needed * m:,} clips of a group"
        )
        print(f"power {wanted:g} with {m} seed{'s' if m > 1 else ''}: {words}")
    print(
        "predicted as if prompts were drawn at random and the spread stays as it is; an estimate, no promise"
    )
