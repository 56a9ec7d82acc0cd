"""``vgaudit selftest``: how many planted faces the likeness audit finds in clips of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vgaudit.errors import UsageError

_WIDTH = 80


def selftest(
    likeness: Annotated[
        list[Path], typer.Option(metavar="CLIPS", help="A clip or a folder of clips to plant faces in.")
    ],
    gallery: Annotated[
        Path,
        typer.Option(metavar="DIR|FILE", help="People to look for: a folder per person, or a built gallery."),
    ],
    plant: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Other photographs of the gallery's people, a folder per person.",
            show_default="pictures of the gallery, left out of it in turn",
        ),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="PX,PX", help="Widths of planted faces in pixels of the clip.")
    ] = "32,48,64,96",
    plantings: Annotated[int, typer.Option(metavar="N", min=1, help="Plantings of each size.")] = 300,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of everything that is drawn.")] = 0,
    embedder: Annotated[str, typer.Option(metavar="NAME", help="Face embedder.")] = "dlib",
    threshold: Annotated[
        float | None,
        typer.Option(metavar="SIMILARITY", help="As in a suite.", show_default="the embedder's point"),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A further option of the likeness metric, as stride=1."
        ),
    ] = None,
    min_recall: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="What the lower bound at every size must reach.", show_default="none"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where selftest.json goes, and plantings to go on from.", show_default=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Plantings at the same time.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Plant people of a gallery in copies of your clips, audit them, and say how many are found.

    The photographs planted are not those the gallery holds, where there are others. Recall is told by size, turn of
    the head, light and compression, with exact bounds: for pasted photographs, not for generated look-alikes. Then
    the clips as they are: in how many anybody is raised. With --out, the same command goes on where it stopped. Exit
    code 3 if the lower bound of a size is below --min-recall, 4 if a size cannot be computed.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.likeness.selftest_result import SelftestSettings
    from vgaudit.pipeline.selftest import selftest as run

    options: dict[str, Any] = {"embedder": embedder, **_options(option or [])}
    if threshold is not None:
        options["threshold"] = threshold
    settings = SelftestSettings(
        sizes=_sizes(sizes),
        plantings=plantings,
        seed=seed,
        options=options,
        min_recall=min_recall,
        workers=workers,
    )
    result = run(likeness, gallery, settings, plant_from=plant, out=out, progress=make_progress(quiet))
    _show(result)
    if out is not None:
        print(f"written: {out / 'selftest.json'}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--sizes {text}: expected whole numbers of pixels, as 32,48,64,96") from error


def _options(texts: list[str]) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    options = {}
    for text in texts:
        key, is_there, value = text.partition("=")
        try:
            options[key] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise UsageError(f"--set {text}: the value is not YAML") from error
        if not is_there or not key:
            raise UsageError(f"--set {text}: expected KEY=VALUE")
        if key == "cohort":
            raise UsageError(
                f"--set {text}: the self-test counts whom the audit would raise at the embedder's point; what rates "
                "clear depends on how many comparisons a run makes, which it cannot know. Expected no cohort"
            )
    return options


def _show(result: Any) -> None:
    """The tables, at most 80 columns wide, the same on a terminal and in a file."""
    import textwrap

    from rich.console import Console
    from rich.table import Table

    from vgaudit.likeness.recall import KINDS, PASTED, recalls

    console = Console(width=_WIDTH, highlight=False, markup=False, emoji=False)
    console.print(f"Recall {PASTED}")
    table = Table(width=_WIDTH, title_justify="left")
    for name in ("face", "found", "recall", "at least", "alerts", "others raised"):
        table.add_column(name, justify="right")
    table.add_column("why missed", overflow="fold")
    for size, recall in zip(sorted(result.settings.sizes), result.by_size(), strict=True):
        missed = "; ".join(f"{count} {why}" for why, count in recall.missed.items())
        why = result.not_computed.get(size) or missed
        table.add_row(
            recall.name, f"{recall.found}/{recall.n}", _share(recall.value), _share(recall.low), str(recall.alerts),
            str(recall.wrong), f"not computed: {why}" if size in result.not_computed else why,
        )  # fmt: skip
    console.print(table)
    for kind, of in KINDS.items():
        for found in recalls(result.trials, of):
            console.print(f"  {kind:6} {found.name:16} {found.found}/{found.n}, at least {_share(found.low)}")
    lines = [f"note: {note}" for note in result.notes]
    lines.insert(
        0,
        "recall: raised for review or alert in the planted span; at least: lower end of the exact 95 % interval",
    )
    if result.settings.untouched:
        lines.insert(0, _untouched(result.untouched_summary()))
    wanted = result.settings.min_recall
    if wanted is not None:
        short = [r.name for r in result.by_size() if r.low is not None and r.low < wanted]
        said = (
            f"FAILED at {', '.join(short)}"
            if short
            else "reached"
            if not result.not_computed
            else "NOT COMPUTED"
        )
        lines.append(f"{said}: at least {_share(wanted)} was asked for")
    for line in lines:
        print(
            textwrap.fill(
                "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line), _WIDTH
            )
        )


def _untouched(summary: dict[str, Any]) -> str:
    raised = "; ".join(f"{clip}: {', '.join(who)}" for clip, who in list(summary["raised_clips"].items())[:5])
    text = (
        f"untouched: {summary['clips']} clips, {summary['with_faces']} with faces, {summary['raised']} raised"
    )
    if summary["raised_high"] is not None:
        text += f" (at most {_share(summary['raised_high'])})"
    if summary["failed"]:
        text += f", {summary['failed']} could not be audited"
    return f"{text}: {raised}" if raised else text


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
