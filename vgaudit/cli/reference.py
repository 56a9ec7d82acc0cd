"""``vgaudit reference``: statistics of reference videos for ``fvd``, built, joined and shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vgaudit.errors import ExitCode, UsageError

reference = typer.Typer(
    name="reference",
    help="Reference statistics for fvd: build them from videos, join parts, show what is in a file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Output = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A .safetensors file.")]
_WIDTH = 80


@reference.command()
def build(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEOS...", help="Videos, folders of them, or .txt lists, a path a line."),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="A built-in one, such as fvd@styleganv; or your own, as .yaml."
        ),
    ],
    out: Output,
    weights: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The network's weights, if not the protocol's.")
    ] = "",
    sha256: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Digest the file of weights must have.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda")] = "auto",
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Clips decoded at the same time.")] = 2,
    features: Annotated[
        bool,
        typer.Option("--features", help="Store a row a clip too: floors and kernel distances need them."),
    ] = False,
    max_failed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="At most N unreadable videos (of this share) are left out."),
    ] = 0,
    shard: Annotated[
        str | None, typer.Option(metavar="i/N", help="Only this share; `reference merge` joins all N.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Build the statistics of a set of reference videos: mean and covariance of what the protocol's network gives.

    Each content counts once, whatever its files are called. Clips are seen as those of a reference group of a run
    are. A share that is already there is not made again, if no more were left out than --max-failed allows now. Exit
    code 4 if videos cannot be read, or the network may
    not judge one.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.metrics.reference_build import write_part, write_reference
    from vgaudit.pipeline.reference import build_part, find_videos, reference_metric

    _expect_safetensors(out)
    which = _shard(shard)
    metric = reference_metric(protocol, weights=weights, sha256=sha256, device=device)
    progress = make_progress(quiet)
    known = _known(out) if shard else None
    options: dict[str, Any] = {
        "protocol": Path(protocol).name, "device": device, "features": features, "max_failed": max_failed,
        "workers": workers, **({"weights": Path(weights).name} if weights else {}),
        "videos": [path.name for path in videos],
    }  # fmt: skip
    try:
        found, notes = find_videos(videos)
        for note in notes:
            progress.note(note)
        part = build_part(
            found, metric, shard=which, keep_features=features, workers=workers, max_failed=max_failed,
            options=options, known=known, progress=progress,
        )  # fmt: skip
        if part is known:
            print(f"{out}: share {shard} of these clips is there already")
            return
        if shard:
            write_part(out, part)
        else:
            write_reference(out, part)
    except KeyboardInterrupt:
        print(
            "interrupted; nothing was written. With --shard i/N only the share under way is lost",
            file=sys.stderr,
        )
        sys.exit(ExitCode.INTERRUPTED)
    _conclude(out, part, len(found))
    asked = {"protocol": protocol, "weights": weights, "sha256": sha256, "reference": out}
    line = ", ".join(f"{key}: {value}" for key, value in asked.items() if value)
    print(
        f"next: vgaudit reference merge, with all {which[1]} shares"
        if shard
        else f"next: `fvd: {{{line}}}` in a suite"
    )


@reference.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="PART...", help="What `build --shard` wrote.")],
    out: Output,
) -> None:
    """Join parts to one set: what the whole would have given, up to rounding.

    Parts of different protocols, networks, guards or extractors (version, device, release of torch), with a clip in
    common, or without one of the shares of a list are refused.
    """
    from vgaudit.metrics.reference_build import merged, read_part, write_reference

    _expect_safetensors(out)
    if len({path.resolve() for path in parts}) < len(parts):
        raise UsageError("the same part is named twice: its clips would count twice")
    if out.resolve() in {path.resolve() for path in parts}:
        raise UsageError(f"--out {out} is one of the parts; expected another file")
    part = merged({str(path): read_part(path) for path in parts})
    write_reference(out, part)
    _conclude(out, part, None)


@reference.command()
def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors or .npz of statistics, or a part.")
    ],
) -> None:
    """Show what is in a file of statistics: clips, network, protocol, what was left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vgaudit.metrics.reference_build import describe

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in describe(file):
        table.add_row(Text(label, style="bold"), Text(value))
    console = Console(width=min(_WIDTH, Console().width), highlight=False)
    console.print(table)


def _conclude(out: Path, part: Any, files: int | None) -> None:
    of = f" of {files} files" if files is not None else ""
    again = f"; {part.duplicates} more had the bytes of another" if part.duplicates else ""
    print(f"{out}: {part.n} clips{of}, {part.protocol}{again}")
    for why, count in part.left_out.items():
        print(f"left out: {count} x {why}")
    for name, why in part.left_out_names:
        print(f"  {name}: {why}")
    if (more := sum(part.left_out.values()) - len(part.left_out_names)) > 0:
        print(f"  ... and {more} more")
    for note in part.notes:
        print(f"note: {note}")
    print(f"list: sha256 {part.list_sha256}")


def _known(out: Path) -> Any:
    """A part that is there already, if it is one that can be read."""
    from vgaudit.metrics.reference_build import read_part

    try:
        return read_part(out) if out.is_file() else None
    except UsageError:
        return None


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard {text}: expected i/N with i from 1 to N, such as 2/8")
    return int(found[1]), int(found[2])


def _expect_safetensors(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: expected a name that ends in .safetensors")
