"""``vgaudit review``: the review desk in a browser of this machine, and a copy of it for people without vgaudit."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vgaudit.errors import VgauditError


class _ServesARun(TyperGroup):
    """``vgaudit review RUN`` is ``vgaudit review serve RUN``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


review = typer.Typer(
    name="review",
    cls=_ServesARun,
    help="Decide on findings in a browser: `vgaudit review RUN`. Nothing leaves this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    subcommand_metavar="[serve] RUN | pack RUN --out FILE.zip",
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A scored run directory.")]
Photos = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Photographs (`gallery build --photos`) to be shown beside matches."),
]


@review.command()
def serve(
    run: Run,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1024, max=65535, help="Port of this machine; default 8750, or a free one."
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; open no browser.")
    ] = False,
    author: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who decides, where the page gives no name; else VGAUDIT_AUTHOR."),
    ] = None,
    photos: Photos = None,
) -> None:
    """Serve the review desk of a run until Ctrl-C; each decision is saved at once."""
    from vgaudit.decisions import AUTHOR_VARIABLE, author_name
    from vgaudit.desk import DeskServer

    name = author_name(author) if author is not None or os.environ.get(AUTHOR_VARIABLE) else ""
    desk = DeskServer(run, port=port, author=name, photos=photos, say=_say)
    view = desk.session.look()
    if view.decided.problem:
        _say(f"attention: {view.decided.problem}")

    def ready(url: str) -> None:
        _say(f"review desk of {run}: {view.open} of {len(view.findings)} findings are open")
        _say(url)
        _say("whoever has this address can decide; it ends with the desk. Ctrl-C stops it.")
        if not no_browser and _has_browser():
            import webbrowser

            webbrowser.open(url)

    desk.serve(ready)
    made = desk.session.made
    _say(f"stopped; {made} decision{'s' if made != 1 else ''} made here")
    try:
        view = desk.finish()
    except VgauditError as error:
        raise type(error)(f"saved, but the reports do not know it yet: {error}") from error
    _say(f"{view.open} of {len(view.findings)} findings are open")
    verdict = view.verdict
    _say(f"{verdict.outcome.value.upper()} (vgaudit gate exits {verdict.exit_code}): {verdict.reason}")


@review.command()
def pack(
    run: Run,
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="The archive to write.")],
    photos: Photos = None,
) -> None:
    """Write a copy of the report for reviewers without vgaudit; `vgaudit decide import` takes what they send back."""
    from vgaudit.pipeline.review_pack import write_pack

    _say(str(write_pack(run, out, photos=photos)))


def _has_browser() -> bool:
    """Whether somebody sits at a terminal of a desktop."""
    shown = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    return shown and sys.stdout.isatty()


def _say(text: str) -> None:
    from vgaudit.cli.conclusion import say

    say(text)
    sys.stdout.flush()  # whoever reads it through a pipe waits for the address
