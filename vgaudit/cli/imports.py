"""``vgaudit import``: a suite from the prompt files of a public benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgaudit.errors import UsageError


def import_(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="vbench, t2vsafetybench, moviegen, fetv or t2v-compbench.")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The benchmark's file, or a folder of its lists.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="SUITE.yaml", help="The suite to write; nothing is overwritten."),
    ],
    name: Annotated[str | None, typer.Option(metavar="N", help="Name of the suite.")] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="K", min=1, help="At most K prompts, spread over categories; always the same ones."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Clips a prompt, instead of the benchmark's number."),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="TYPE:WHAT", help="The generator, as for `vgaudit run --backend`.")
    ] = None,
) -> None:
    """Make a suite of a public benchmark's prompts, from a copy of its files that you have.

    Text, categories and what the file states for certain are taken over; docs/suite.md says what of which benchmark.
    """
    from vgaudit.imports import PLACEHOLDER, import_suite
    from vgaudit.suite.given import backend_block

    made = import_suite(
        format_,
        file,
        name=name,
        sample=sample,
        seeds=seeds,
        backend=PLACEHOLDER if backend is None else backend_block(backend),
        base_dir=out.resolve().parent,
    )
    _write(out, made.text)
    of = f" of {made.different:,}" if made.prompts < made.different else ""
    print(
        f"wrote {out}: {made.prompts:,}{of} prompts, {made.seeds} seed(s), {made.expectations:,} expectations"
    )
    for note in made.notes:
        print(f"note: {note}")
    print(f"next: vgaudit validate {out}")


def _write(path: Path, text: str) -> None:
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"{path}: already there and something else, and import overwrites nothing; name another file"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
