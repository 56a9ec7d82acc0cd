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
Replace = Annotated[
    bool, typer.Option("--replace", help="--sha256 takes the place of a digest that you pinned before.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="Default: $VGAUDIT_WEIGHTS, else your own data folder."),
]


@models.command("list")
def list_models(
    names: Names = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Every name: whether it is here, size, publisher, digest, licence. With names, all of each, addresses too.

    The overview has two lines a name, the name first; it is the same on a terminal and in a file. Where a digest is
    not established, none stands here, and `pull` says what to do.
    """
    import json

    from vgaudit.zoo.catalogue import WEIGHTS
    from vgaudit.zoo.store import entry_of, state_of

    states = [state_of(entry) for entry in (map(entry_of, names) if names else WEIGHTS.values())]
    if as_json:
        print(json.dumps([_row(state) for state in states], indent=1))
    elif names:
        print("\n\n".join("\n".join(_all_of(state)) for state in states))
    else:
        print("\n".join(_overview(states)))


@models.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="See `vgaudit models list`.")],
    to: Folder = None,
    sha256: Digest = None,
    replace: Replace = False,
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
            made = fetch(name, make_progress(quiet), sha256=sha256, folder=to, replace=replace)
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
    replace: Replace = False,
) -> None:
    """Verify a file and copy it to where its name is looked for: for machines without a network."""
    from vgaudit.zoo.store import take_in as copy_in

    made = copy_in(file, name, sha256=sha256, folder=to, replace=replace)
    print(f"{name}: {made.state.path}\n  sha256 {made.found}, verified ({made.state.pinned_by})")
    _say_if_not_looked_into(to)


@models.command()
def verify(names: Names = None) -> None:
    """Hash what is here and hold it against its digest.

    Exit code 4 where a file differs or cannot be read, or a named one is not here.
    """
    from vgaudit.zoo.catalogue import WEIGHTS
    from vgaudit.zoo.store import check, entry_of

    bad = False
    for entry in [entry_of(name) for name in names] if names else list(WEIGHTS.values()):
        try:
            made = check(entry)
        except Unavailable as error:
            bad = True
            print(f"{entry.name}: not usable: {error.reason}; {error.remedy}")
            continue
        bad |= made.verdict == "differs" or bool(names and made.verdict != "ok")
        print(f"{entry.name}: {_said(made)}")
    if bad:
        sys.exit(ExitCode.NOT_COMPUTED)


def _overview(states: list[State]) -> list[str]:
    """Two lines a name, 80 columns at most."""
    from urllib.parse import urlsplit

    from vgaudit.zoo.folders import weights_folders

    out = []
    width = max(len(state.entry.name) for state in states)
    for state in states:
        entry = state.entry
        publisher = "" if entry.bundled else urlsplit(entry.url).hostname if entry.url else "huggingface.co"
        out.append(f"{entry.name:<{width}}  {_place(state):<17}  {_rounded(state):>6}  {publisher}".rstrip())
        pin = f"{state.sha256[:8]} ({state.pinned_by})" if state.sha256 else "not established"
        out.append(f"  sha256 {pin:<20}  {entry.licence}")
    here = sum(state.path is not None for state in states)
    return [
        *out,
        f"{here} of {len(states)} here; `vgaudit models list NAME` says all of one, with its address",
        *(f"looked into: {folder}" for folder in weights_folders()),
    ]


def _all_of(state: State) -> list[str]:
    """All that is known of one, a fact a line; addresses, digests and paths unbroken, to be copied."""
    from vgaudit.zoo.store import source_of

    entry = state.entry
    digest = f"{state.sha256} ({state.pinned_by})" if state.sha256 else "not established"
    if entry.sha256_prefix and not state.sha256:
        digest += f"; it begins with {entry.sha256_prefix}"
    facts = {
        "name": entry.name,
        "place": _place(state),
        "path": state.path,
        "source": source_of(entry, short=False),
        "size": f"{entry.size:,} bytes" if entry.size else "not established",
        "sha256": digest,
        "licence": entry.licence,
        "kind": entry.kind,
    }
    return [f"{label:<9}{fact}" for label, fact in facts.items() if fact]


def _place(state: State) -> str:
    return f"here: {state.place}" if state.path else state.place


def _rounded(state: State) -> str:
    size = state.entry.size or (state.path.stat().st_size if state.path else 0)
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.{0 if size >= 1e7 else 1}f} MB" if size else "? MB"


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
