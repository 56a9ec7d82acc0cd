"""``vgaudit models``: weights that have a name: which are here, fetching, verifying, and taking in by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgaudit.errors import ExitCode, Unavailable

if TYPE_CHECKING:
    from vgaudit.zoo.store import Checked, State

models = typer.Typer(
    name="models",
    help="Weights by name: list what is here, fetch, verify, import files that came another way.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all of the catalogue.")
]
Digest = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST", help="The digest that you vouch for, where the catalogue establishes none."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="Default: $VGAUDIT_WEIGHTS, else your own data folder."),
]


@models.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Every name: what it is, where from, under which licence, how large, pinned to what, and whether it is here."""
    import json

    from vgaudit.zoo.catalogue import WEIGHTS
    from vgaudit.zoo.folders import weights_folders
    from vgaudit.zoo.store import state_of

    states = [state_of(entry) for entry in WEIGHTS.values()]
    if as_json:
        print(json.dumps([_row(state) for state in states], indent=1))
        return
    for state in states:
        entry = state.entry
        print(f"{entry.name}  [{'here: ' + state.place if state.path else state.place}]")
        row = _row(state)
        size = f"{entry.size / 1e6:,.0f} MB" if entry.size else "size not established"
        pin = (
            f"sha256 {state.sha256[:12]}... ({state.pinned_by})" if state.sha256 else "sha256 not established"
        )
        print(f"  {row['source']}\n  {entry.kind}, {size}, {pin}\n  licence: {entry.licence}")
    here = sum(state.path is not None for state in states)
    print(f"{here} of {len(states)} here; folders: {', '.join(str(folder) for folder in weights_folders())}")


@models.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="See `vgaudit models list`.")],
    to: Folder = None,
    sha256: Digest = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Fetch weights, verified against their digest; an attempt that broke off is gone on with.

    Where no digest is established, the file is fetched, its digest is printed, and it is not used until the command
    is repeated with --sha256. Exit code 4 where something was not fetched or is not usable yet.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.errors import UsageError
    from vgaudit.zoo.store import entry_of
    from vgaudit.zoo.store import pull as fetch

    for name in names:
        entry_of(name)
    if sha256 and len(names) > 1:
        raise UsageError("--sha256 is one file's digest; expected a single name with it")
    failed = False
    for name in names:
        try:
            made = fetch(name, make_progress(quiet), sha256=sha256, folder=to)
        except Unavailable as error:
            failed = True
            print(f"{name}: {error.reason}\n  {error.remedy}", file=sys.stderr)
            continue
        except KeyboardInterrupt:
            print(
                f"interrupted; what is here of {name} is kept, and the next pull goes on there",
                file=sys.stderr,
            )
            sys.exit(ExitCode.INTERRUPTED)
        if made.verdict == "ok":
            print(f"{name}: {made.state.path}\n  sha256 {made.found}, verified ({made.state.pinned_by})")
            _say_if_not_looked_into(to)
        else:
            failed = True
            print(
                f"{name}: fetched, but no digest is established for it, so it is not used\n  sha256 {made.found}\n"
                f"  if you trust it: vgaudit models pull {name} --sha256 {made.found}"
            )
    if failed:
        sys.exit(ExitCode.NOT_COMPUTED)


@models.command("import")
def take_in(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights that came another way.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What they are.")],
    sha256: Digest = None,
    to: Folder = None,
) -> None:
    """Verify a file and copy it to where its name is looked for: for machines without a network."""
    from vgaudit.zoo.store import take_in as copy_in

    made = copy_in(file, name, sha256=sha256, folder=to)
    print(f"{name}: {made.state.path}\n  sha256 {made.found}, verified ({made.state.pinned_by})")
    _say_if_not_looked_into(to)


@models.command()
def verify(names: Names = None) -> None:
    """Hash what is here and hold it against its digest.

    Exit code 4 where a file differs, or a named one is not here.
    """
    from vgaudit.zoo.catalogue import WEIGHTS
    from vgaudit.zoo.store import check, entry_of

    bad = False
    for entry in [entry_of(name) for name in names] if names else list(WEIGHTS.values()):
        try:
            made = check(entry)
        except Unavailable as error:
            bad = True
            print(f"{entry.name}: differs: {error.reason}")
            continue
        bad |= made.verdict == "differs" or bool(names and made.verdict != "ok")
        print(f"{entry.name}: {_said(made)}")
    if bad:
        sys.exit(ExitCode.NOT_COMPUTED)


def _row(state: State) -> dict[str, object]:
    from vgaudit.zoo.store import source_of

    entry = state.entry
    return {
        "name": entry.name, "kind": entry.kind, "source": source_of(entry), "sha256": state.sha256,
        "pinned_by": state.pinned_by or None, "licence": entry.licence, "size": entry.size,
        "place": state.place, "path": str(state.path) if state.path else None,
    }  # fmt: skip


def _said(made: Checked) -> str:
    if made.verdict == "absent":
        return "absent" if made.state.place == "absent" else "absent (a part is here)"
    if made.verdict == "differs":
        return f"differs: {made.state.path} has sha256 {made.found}, pinned to {made.state.sha256}"
    if made.verdict == "not established":
        return f"no digest established: {made.state.path} has sha256 {made.found}"
    return f"ok ({made.state.place}, {made.state.pinned_by})"


def _say_if_not_looked_into(folder: Path | None) -> None:
    from vgaudit.zoo.folders import MIRROR_VARIABLE, weights_folders

    if folder is not None and folder.resolve() not in {known.resolve() for known in weights_folders()}:
        print(f"  set {MIRROR_VARIABLE}={folder} so that it is found there")
