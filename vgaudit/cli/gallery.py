"""``vgaudit gallery``: the people that clips are held against - built, inspected, purged, exported - and cohorts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vgaudit.errors import GalleryError, UsageError

gallery = typer.Typer(
    name="gallery",
    help="The people to look for: build a gallery file, inspect it, calibrate, purge somebody, export facts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of pictures per person.")]
Embedder = Annotated[str, typer.Option(metavar="NAME", help="dlib, facenet, onnx, or one of a plugin.")]
EmbedderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="An option of the embedder, e.g. weights=FILE; repeatable."),
]
Private = Annotated[bool, typer.Option("--private", help="With the aliases, which are private.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
_WIDTH = 80
_SHOWN = 200


@gallery.command()
def build(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The gallery file.")],
    embedder: Embedder = "dlib",
    embedder_option: EmbedderOption = None,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also keep the best pictures' faces, for reviewers, in this file."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Turn a folder into one gallery file: templates and facts, without photographs and file names.

    Says which pictures were rejected and why, and where pictures contradict the folders they are filed in. The file
    is bound to the embedder, and readable by its owner only.
    """
    from dataclasses import replace

    from vgaudit.cli.console import make_progress
    from vgaudit.likeness import gallery_file
    from vgaudit.likeness.gallery import build_with_photos
    from vgaudit.likeness.gallery_facts import counts
    from vgaudit.likeness.photos import Photos

    if photos and photos.resolve() == out.resolve():
        raise UsageError(f"--photos {photos} is the gallery file; expected another file, with its own access")
    _expect_target(out, folder)
    before = _replaced(out, gallery_file.read, "gallery file")
    if photos:
        _expect_target(photos, folder)
        _replaced(photos, Photos.open, "file of photographs")
    made = _embedder(embedder, embedder_option)
    built, kept = build_with_photos(folder, made, progress=make_progress(quiet))
    if before:  # what was purged from the file stays told
        known = {tombstone.label for tombstone in built.purged}
        earlier = tuple(tombstone for tombstone in before.purged if tombstone.label not in known)
        built = replace(built, purged=earlier + built.purged)
    built.save(out)
    print(f"{out}: {counts(built.entries)}, {built.embedder} ({built.embedder_fingerprint})")
    if photos:
        kept.save(photos)
        print(f"{photos}: {len(kept)} pictures cut to the face, for reviewers; keep it apart")
    _say(built.warnings, built.notes)


@gallery.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="A gallery file, or a folder.")],
    use: Annotated[
        str | None, typer.Option(metavar="NAME", help="What clips are for: whom does consent cover?")
    ] = None,
    embedder: Embedder = "dlib",
    embedder_option: EmbedderOption = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    private: Private = False,
    quiet: Quiet = False,
) -> None:
    """Show who is in a gallery: role today, pictures and their quality, dates, and what is wrong.

    A folder is looked at as `build` would, and nothing is written. Aliases are shown with --private only.
    """
    import datetime as dt

    from vgaudit.likeness.gallery_facts import entry_facts

    if _print_cohort(path, json_):
        return
    today = dt.date.today()
    shown = _looked_at(path, embedder, embedder_option, quiet)
    entries = shown.pop("entries")
    facts = [entry_facts(entry, today, use, private) for entry in entries]
    if json_:
        import json

        print(
            json.dumps(
                {**shown, "today": today.isoformat(), "use": use, "entries": facts},
                indent=1,
                ensure_ascii=False,
            )
        )
        return
    _print_table(path, shown, entries, facts, private)
    _say(shown["warnings"], shown["notes"])


@gallery.command()
def calibrate(
    folder: Annotated[
        Path, typer.Argument(metavar="COHORT_FOLDER", help="A folder of pictures per unrelated person.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The cohort file.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Printed with every rate.")],
    source: Annotated[str, typer.Option(metavar="TEXT", help="Where the pictures are from.")],
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Their terms.")],
    embedder: Embedder = "dlib",
    embedder_option: EmbedderOption = None,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep people who look like one person.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make a cohort of unrelated people: how often strangers resemble an entry is measured against it.

    One template a person, averaged over pictures and small changes of them, as the template of a track in a clip is.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.likeness.cohort import Cohort, build_cohort

    _expect_target(out, folder)
    _replaced(out, Cohort.read, "cohort file")
    cohort = build_cohort(
        folder, _embedder(embedder, embedder_option), name=name, source=source, licence=licence,
        keep_duplicates=keep_duplicates, progress=make_progress(quiet),
    )  # fmt: skip
    cohort.save(out)
    print(
        f"{out}: {cohort.n} people, {sum(cohort.people)} pictures, {cohort.embedder} ({cohort.embedder_fingerprint})"
    )
    left = f"; {cohort.left_out} people without a usable picture were left out" if cohort.left_out else ""
    print(f"resolves no rate below 1 in {cohort.n / 3:.4g} (3 of {cohort.n} people){left}")
    groups = sorted({group for group in cohort.groups if group})
    if groups:
        print("groups: " + ", ".join(f"{group} ({cohort.groups.count(group)})" for group in groups))
    for one, two in cohort.duplicates:
        print(f"kept although they look like one person: {one}, {two}")
    _say(cohort.warnings, ())


@gallery.command()
def purge(
    entries: Annotated[list[str], typer.Argument(metavar="ENTRY", help="Ids of the people to remove.")],
    gallery_: Annotated[
        list[Path] | None,
        typer.Option("--gallery", metavar="FILE|FOLDER", help="A gallery file or folder; repeatable."),
    ] = None,
    photos: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Photographs; repeatable.")
    ] = None,
    cohort: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Cohort files; repeatable.")
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A run, or a folder of runs; repeatable.")
    ] = None,
    selftest: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Output of `vgaudit selftest`; repeatable.")
    ] = None,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="In runs, also the features of faces of clips with a match: these can tell the person.",
        ),
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL", help="Labels of a purge that was stopped, to go on; as many as entries."
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept with the tombstone; must not name the person.")
    ] = "not stated",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete folders of pictures without asking back.")
    ] = False,
) -> None:
    """Remove people and everything made of them: templates, facts, photographs, folders, and what runs hold.

    A tombstone with a random label stays, and no name. Refused under legal hold (exit code 2). Backups, snapshots and
    copies elsewhere are yours to remove.
    """
    from vgaudit.cli.gallery_purge import Places, Purge

    galleries, photo_files, cohorts = gallery_ or [], photos or [], cohort or []
    if not galleries and (photo_files or runs or selftest or not cohorts):
        raise UsageError(
            "purge: expected --gallery FILE|FOLDER: it says whether somebody is under legal hold (--cohort alone "
            "will do for people of a cohort)"
        )
    places = Places(galleries, photo_files, cohorts, _run_dirs(runs or []), selftest or [])
    work = Purge(entries, places, reason=reason, labels=label or [], features=features)
    would: list[str] = []
    found = work.check(would.append)  # all of it, before any of it is touched
    if dry_run:
        print("\n".join([*would, "nothing was removed (--dry-run)"]))
        return
    if not yes and (pictures := work.folders()):
        meant = "purge would delete pictures for good; say --yes if that is meant:"
        raise UsageError("\n  ".join([meant, *(f"would remove {line}" for line in pictures)]))
    work.check_writable()
    if found:
        for one in work.labels.values():  # first: a purge that is stopped goes on with them
            print(f"tombstone: {one}", flush=True)
    if not work.carry_out(lambda line: print(line, flush=True)):
        print("nothing found to remove")
    if not any(path.is_dir() for path in galleries):
        print("no folder of pictures was named: one that a gallery was built from still holds the person")
    if not photo_files:
        print(
            "no file of photographs was named: one that `gallery build --photos` made still holds the person"
        )
    print(
        "backups, snapshots and copies elsewhere are yours to remove; a run made since holds the person again"
    )


@gallery.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gallery file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A name in .jsonl or .csv.")],
    templates: Annotated[
        bool, typer.Option("--templates", help="Also the templates, as .npz beside it: biometric data.")
    ] = False,
    private: Private = False,
) -> None:
    """Write the facts of a gallery file, without templates: a line an entry (.jsonl) or a row a picture (.csv)."""
    import datetime as dt

    from vgaudit.likeness import gallery_file
    from vgaudit.likeness.gallery_facts import templates_npz, to_csv, to_jsonl
    from vgaudit.likeness.private_file import check_writable, write_private

    writer = {".jsonl": to_jsonl, ".csv": to_csv}.get(out.suffix)
    if writer is None:
        raise UsageError(f"--out {out}: expected a name that ends in .jsonl or .csv")
    beside = out.with_suffix(".npz")
    for target in (out, beside) if templates else (out,):
        if target.exists():
            raise UsageError(f"{target}: is there already; remove it first, or choose another --out")
        check_writable(target)
    stored = gallery_file.read(file)
    write_private(out, writer(stored, dt.date.today(), private).encode())
    print(f"{out}: facts of {len(stored.entries)} people, no templates")
    if templates:
        write_private(beside, templates_npz(stored))
        print(
            f"{beside}: {len(stored.owners)} templates. Warning: biometric data, and nothing here keeps them from "
            "being compared with those of another embedder; `purge` does not know this file",
            file=sys.stderr,
        )


def _looked_at(path: Path, embedder: str, options: list[str] | None, quiet: bool) -> dict[str, Any]:
    """Everything of a gallery but how it is shown."""
    from vgaudit.likeness import gallery_file
    from vgaudit.likeness.gallery import examine_gallery, is_gallery_file, read_tombstones

    if is_gallery_file(path):
        if options:
            raise UsageError(
                f"{path}: a gallery file, made with its own embedder; expected no --embedder-option"
            )
        stored = gallery_file.read(path)
        return {
            "kind": "file", "embedder": stored.embedder, "embedder_fingerprint": stored.embedder_fingerprint,
            "detector_fingerprint": stored.detector_fingerprint, "entries": stored.entries,
            "warnings": list(stored.warnings), "mixups": [vars(mixup) for mixup in stored.mixups],
            "notes": list(stored.notes), "purged": [vars(tombstone) for tombstone in stored.purged],
        }  # fmt: skip
    from vgaudit.cli.console import make_progress
    from vgaudit.extractors.face_detection import FaceDetector

    made, detector = _embedder(embedder, options), FaceDetector()
    found = examine_gallery(path, made, detector, progress=make_progress(quiet))
    purged = read_tombstones(path) if path.is_dir() else ()
    return {
        "kind": "folder", "embedder": made.name, "embedder_fingerprint": made.fingerprint,
        "detector_fingerprint": detector.fingerprint, "entries": found.entries,
        "warnings": list(found.warnings(made)), "mixups": [vars(mixup) for mixup in found.mixups],
        "notes": list(found.notes), "purged": [vars(tombstone) for tombstone in purged],
    }  # fmt: skip


def _print_cohort(path: Path, as_json: bool) -> bool:
    """Tell of a cohort file what stands with every rate; whether it is one."""
    from vgaudit.likeness.cohort import KEY, Cohort
    from vgaudit.likeness.gallery import is_gallery_file
    from vgaudit.likeness.private_file import has_key

    if not (is_gallery_file(path) and has_key(path, KEY)):
        return False
    cohort = Cohort.read(path)
    facts = {
        "kind": "cohort", "name": cohort.name, "people": cohort.n, "pictures": sum(cohort.people),
        "source": cohort.source, "licence": cohort.licence, "embedder": cohort.embedder,
        "embedder_fingerprint": cohort.embedder_fingerprint,
    }  # fmt: skip
    if as_json:
        import json

        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return True
    print(f"{path}: cohort {cohort.name!r}, {cohort.n} people, {facts['pictures']} pictures")
    print(f"{cohort.embedder} ({cohort.embedder_fingerprint})")
    print(f"source: {cohort.source}")
    print(f"licence: {cohort.licence}")
    return True


def _print_table(
    path: Path, shown: dict[str, Any], entries: Sequence[Any], facts: list[dict[str, Any]], private: bool
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vgaudit.likeness.gallery_facts import counts

    console = Console(width=min(_WIDTH, Console().width), highlight=False, markup=False, emoji=False)
    console.print(f"{path}: {counts(entries)}", soft_wrap=True)
    console.print(f"{shown['embedder']} ({shown['embedder_fingerprint']})", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("entry", overflow="fold", ratio=1)
    for heading in ("role today", "pictures used", "quality", "consent until", "keep until"):
        table.add_column(heading.replace(" ", "\n"), no_wrap=True)
    for entry, fact in zip(entries, facts, strict=True):
        quality = fact["quality"]
        role = fact["role_today"] + ("" if fact["role_today"] == entry.role else " !")
        held = "\n(hold)" if entry.legal_hold else "\n(past)" if fact["past_retention"] else ""
        span = "" if not quality else f"{quality['worst']:.2f}-{quality['best']:.2f}"
        used = f"{len(entry.images)} of {len(entry.images) + len(entry.rejected)}"
        keep = f"{entry.retain_until or '-'}{held}"
        cells = [entry.entry_id, role, used, span or "-", str(entry.consent_until or "-"), keep]
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    for entry, fact in zip(entries, facts, strict=True):
        for line in fact["attention"]:
            print(f"{entry.entry_id}: {line}")
        if private and entry.aliases:
            print(f"{entry.entry_id}: aliases {', '.join(entry.aliases)}")
    if shown["purged"]:
        print(f"purged: {len(shown['purged'])}, the last on {shown['purged'][-1]['when']}")


def _say(warnings: Sequence[str], notes: Sequence[str]) -> None:
    for line in warnings[:_SHOWN]:
        print(f"warning: {line}")
    if len(warnings) > _SHOWN:
        print(f"... and {len(warnings) - _SHOWN} warnings more (`inspect --json` has all)")
    for note in notes:
        print(f"note: {note}")


def _embedder(name: str, options: list[str] | None) -> Any:
    from vgaudit.extractors.faces import make_embedder

    parsed = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise UsageError(f"--embedder-option {option}: expected KEY=VALUE, such as weights=FILE")
        parsed[key] = value
    return make_embedder(name, parsed)


def _expect_target(out: Path, folder: Path) -> None:
    """Refuse a target that the next build would take for a picture or somebody's folder, or that cannot be written.

    Raises:
        UsageError: With what is wrong; nothing has been computed yet.
    """
    from vgaudit.likeness.folder import PICTURES
    from vgaudit.likeness.private_file import check_writable

    if out.suffix.lower() in PICTURES:
        raise UsageError(f"{out}: expected another ending than that of a picture ({out.suffix})")
    if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out}: lies inside {folder}, which holds pictures only; expected a file elsewhere")
    if out.is_dir():
        raise UsageError(f"{out}: expected a file, found a folder")
    check_writable(out)


def _replaced(out: Path, read: Any, what: str) -> Any:
    """What is at ``out`` now, if it is one of its kind; anything else is not overwritten."""
    if not out.exists():
        return None
    try:
        return read(out)
    except GalleryError as error:
        raise UsageError(
            f"{out}: is there already and is no {what}, so it is not overwritten ({error})"
        ) from error


def _run_dirs(given: list[Path]) -> list[Path]:
    from vgaudit.rundir import is_run_dir

    found: list[Path] = []
    for path in given:
        below = [path] if is_run_dir(path) else []
        if not below and path.is_dir():
            below = sorted(child for child in path.iterdir() if is_run_dir(child))
        if not below:
            raise UsageError(f"--runs {path}: expected a run directory, or a folder that holds some")
        found += [run for run in below if run not in found]
    return found
