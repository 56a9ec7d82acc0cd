"""The command line: parse, call one library function, print. Everything heavy is imported inside a command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import vgaudit
from vgaudit.cli.compare import baseline, compare
from vgaudit.cli.decide import decide
from vgaudit.cli.export import export
from vgaudit.cli.gallery import gallery
from vgaudit.cli.imports import import_
from vgaudit.cli.models import models
from vgaudit.cli.power import power
from vgaudit.cli.reference import reference
from vgaudit.cli.review import review
from vgaudit.cli.selftest import selftest
from vgaudit.cli.suggest import gate_suggest
from vgaudit.errors import ExitCode, SuiteError, UsageError, VgauditError

app = typer.Typer(
    name="vgaudit",
    help="Evaluate and safety-audit text-to-video generators: intervals, gates, evidence, look-alike faces.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(gallery)
app.add_typer(decide)
app.add_typer(review)
app.add_typer(models)
app.add_typer(reference)
app.add_typer(baseline)

SuiteArgument = Annotated[
    str, typer.Argument(metavar="SUITE", help="A suite file, or the name of a bundled suite.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The run directory itself; default reports/<suite>-<digest>.", show_default=False
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the suite, e.g. seeds=2 or metrics.temporal={}.",
    ),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE:WHAT",
        help="Another backend, e.g. diffusers:Wan-AI/Wan2.1-T2V-1.3B-Diffusers, files:clips or storyworld.",
    ),
]
Gallery = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|none",
        help="People to look for: a folder per person, a built gallery, one picture; none: count faces only.",
    ),
]
CohortOption = Annotated[
    Path | None,
    typer.Option(
        "--cohort", metavar="FILE", help="Unrelated people to calibrate with (`vgaudit gallery calibrate`)."
    ),
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N samples of each group.")]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Clips scored at the same time.")]
ExitZero = Annotated[
    bool, typer.Option("--exit-zero", help="Exit 0 whatever the gates say (errors still count).")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(vgaudit.__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Evaluate and safety-audit text-to-video generators: intervals, gates, evidence, look-alike faces."""


@app.command()
def run(
    suite: SuiteArgument,
    out: Out = None,
    backend: BackendOption = None,
    gallery: Gallery = None,
    cohort: CohortOption = None,
    limit: Limit = None,
    set_: Set = None,
    workers: Workers = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    exit_zero: ExitZero = False,
    quiet: Quiet = False,
) -> None:
    """Generate what is missing, score it, hold it against the gates, and write the report.

    The same command again continues the same run. The exit code is 0 if all gates passed, 3 if one failed, 4 if one
    could not be computed.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.pipeline.run import execute

    prepared = _prepare(suite, backend, gallery, limit, set_, cohort)
    if dry_run:
        from vgaudit.cli.dry_run import describe

        for line in describe(prepared, out):
            print(line)
        return
    finished = execute(prepared, out, progress=make_progress(quiet), workers=workers)
    assert finished is not None
    _conclude(finished.data, finished.report, finished.changed, exit_zero)


@app.command()
def generate(
    suite: SuiteArgument,
    out: Out = None,
    backend: BackendOption = None,
    limit: Limit = None,
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """Make the clips of a suite and stop there; `vgaudit score RUN` goes on."""
    from vgaudit.cli.console import make_progress
    from vgaudit.pipeline.run import execute
    from vgaudit.rundir import RunDir

    prepared = _prepare(suite, backend, None, limit, set_)
    execute(prepared, out, progress=make_progress(quiet), generate_only=True)
    path = out or prepared.default_out
    records = [RunDir(path).clip_record(s.sample_id) for s in prepared.plan]
    failed = [r for r in records if r.failed]
    print(f"{len(records) - len(failed)} of {len(records)} samples have an answer; clips in {path / 'clips'}")
    for record in failed[:10]:
        print(f"  {record.sample_id}: {record.outcome}: {record.message}")
    if len(failed) > 10:
        print(f"  ... and {len(failed) - 10} more")
    print(f"next: vgaudit score {path}")
    if len(failed) > prepared.spec.max_failed:
        raise typer.Exit(ExitCode.NOT_COMPUTED)


@app.command()
def score(
    what: Annotated[
        Path, typer.Argument(metavar="RUN|FOLDER|CLIP", help="A run directory, a folder of clips, or a clip.")
    ],
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts of the clips (CSV, JSONL or TXT).")
    ] = None,
    gallery: Gallery = None,
    cohort: CohortOption = None,
    embedder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Face embedder for the gallery.")
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the clips are for, e.g. ads: consent must cover it."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="RATE", help="Frame rate of folders of frames and arrays.")
    ] = None,
    out: Out = None,
    workers: Workers = None,
    exit_zero: ExitZero = False,
    quiet: Quiet = False,
) -> None:
    """Score stored clips: those of a run, or any folder of finished clips.

    For a folder there is no suite and nothing is estimated: each clip gets an answer - publish, review or hold -
    with the reasons. The exit code is 0 if all may be published, 3 if one is on hold, 4 if one needs a review.
    """
    from vgaudit.cli.console import make_progress
    from vgaudit.pipeline.prepare import census_suite, prepare
    from vgaudit.pipeline.run import execute, score_run
    from vgaudit.rundir import is_run_dir
    from vgaudit.suite.given import people

    progress = make_progress(quiet)
    if is_run_dir(what):
        if prompts or gallery or cohort or embedder or use or fps or out:
            raise UsageError(
                f"{what} is a run: its suite says which prompts and gallery it uses; "
                "expected no --prompts, --gallery, --cohort, --embedder, --use, --fps or --out (change the suite "
                "and `vgaudit run` it)"
            )
        finished = score_run(what, progress=progress, workers=workers)
    else:
        if not what.is_file():
            _expect_folder(what, "a run directory, a folder of clips, or a clip")
        loaded = census_suite(
            what,
            prompts=prompts,
            gallery=people(gallery),
            cohort=cohort,
            embedder=embedder,
            use=use,
            fps=fps,
        )
        done = execute(prepare(loaded, kind="census"), out, progress=progress, workers=workers)
        assert done is not None
        finished = done
    _conclude(finished.data, finished.report, finished.changed, exit_zero)


@app.command()
def gate(
    run_dir: RunArgument,
    suite: Annotated[
        str | None,
        typer.Option(metavar="SUITE", help="Take the gates of this suite instead of the run's own."),
    ] = None,
    exit_zero: ExitZero = False,
) -> None:
    """Hold a scored run against its gates (or those of another suite) and say so in the exit code."""
    from vgaudit.pipeline.finish import regate
    from vgaudit.pipeline.runspec import RunSpec
    from vgaudit.rundir import RunDir

    run_ = RunDir.open(run_dir)
    spec = RunSpec.from_json(run_.manifest()["spec"])
    gates, max_failed = spec.gates, spec.max_failed
    if suite is not None:
        from vgaudit.suite import load_suite

        loaded = load_suite(suite)
        gates, max_failed = loaded.gates, loaded.max_failed(len(run_.plan()))
        print(f"gates of {suite}; the run's own verdict and reports stay as they are")
    _conclude(regate(run_, gates, max_failed), None, True, exit_zero)


@app.command()
def report(
    run_dir: RunArgument,
    shareable: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write instead a likeness page that may be passed on: faces coarsened, nobody named.",
        ),
    ] = None,
    with_prompts: Annotated[
        bool,
        typer.Option(
            "--with-prompts",
            help="With --shareable: show prompts beside hits, but for those known to name somebody.",
        ),
    ] = False,
    with_clips: Annotated[
        bool,
        typer.Option(
            "--with-clips",
            help="With --shareable: clips of the hits, every face covered and searched for again (takes minutes).",
        ),
    ] = False,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Photographs (`gallery build --photos`) for the reviewer's cards."),
    ] = None,
    single_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the overview into one HTML file too, with stills for clips."
        ),
    ] = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="With --single-file: leave the stills out.")
    ] = False,
) -> None:
    """Write the reports of a scored run again, with the decisions made since."""
    from vgaudit.pipeline.finish import hold_again, read_report_data
    from vgaudit.rundir import RunDir

    run_ = RunDir.open(run_dir)
    if no_pictures and single_file is None:
        raise UsageError("--no-pictures is about the report in one file; expected --single-file FILE with it")
    if shareable is not None:
        if single_file is not None:
            raise UsageError("--shareable and --single-file are two reports; ask for one at a time")
        if photos is not None:
            raise UsageError("--shareable shows no photographs of the gallery; expected no --photos with it")
        if with_clips:
            from vgaudit.cli.console import make_progress
            from vgaudit.pipeline.shareable import share

            told = make_progress()
            print(share(read_report_data(run_), shareable, with_prompts=with_prompts, progress=told))
            return
        from vgaudit.reports.likeness_page import write_shareable

        print(write_shareable(read_report_data(run_), shareable, with_prompts=with_prompts))
        return
    for given, option in ((with_prompts, "--with-prompts"), (with_clips, "--with-clips")):
        if given:
            raise UsageError(
                f"{option} is about the page that may be passed on; expected --shareable DIR with it"
            )
    with run_.lock():
        data = hold_again(run_)
        if photos is not None:
            from vgaudit.pipeline.photographs import photographs, record_shown
            from vgaudit.reports.write import write_reports

            write_reports(data, photographs(photos, data))
            record_shown(run_.path)
        print(run_.path / "report" / "index.html")
        if single_file is not None:
            from vgaudit.reports.single_file import write_single_file

            print(write_single_file(data, run_.path / "report", single_file, pictures=not no_pictures))


@app.command()
def cite(run_dir: RunArgument) -> None:
    """What a paper must state of a run's Frechet video distances: a sentence for each, and LaTeX rows."""
    from vgaudit.pipeline.finish import read_report_data
    from vgaudit.reports.citation import citation
    from vgaudit.rundir import RunDir

    for line in list(citation(read_report_data(RunDir.open(run_dir)))):
        print(line)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the suite.")] = Path(),
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="VIDEOS", help="A folder of clips to write a suite and an index for."),
    ] = None,
) -> None:
    """Write a suite to start from; with --from, for clips you have."""
    from vgaudit.scaffold import scaffold_new, scaffold_suite

    if from_ is not None:
        _expect_folder(from_, "a folder of clips")
        written = scaffold_suite(from_, folder)
    else:
        written = scaffold_new(folder)
    for path in written:
        print(f"wrote {path}")
    suites = [p for p in written if p.suffix == ".yaml"]
    if suites:
        print(f"next: vgaudit run {suites[0]}")


@app.command()
def validate(suite: SuiteArgument, set_: Set = None) -> None:
    """Check a suite, everything it names, and its gates; nothing is generated."""
    prepared = _prepare(suite, None, None, None, set_)
    plan = prepared.plan
    for backend in prepared.backends:
        for note in getattr(backend, "notes", ()):
            print(f"note: {note}")
    for name, why in prepared.unavailable.items():
        print(f"note: {name} cannot be computed here: {why}")
    clusters = len({s.prompt_id for s in plan})
    print(
        f"{suite}: valid; {len(plan)} samples, {clusters} prompts, "
        f"{len(plan.groups)} group(s): {', '.join(plan.groups)}"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of suites, for editors."""
    import json

    from vgaudit.suite import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(metavar="backends|metrics|extractors|embedders|suites")],
) -> None:
    """Show what there is by name."""
    from vgaudit.cli.listing import KINDS, lines

    if what not in KINDS:
        from vgaudit.registry import nearest

        raise UsageError(
            f"cannot list {what!r}{nearest(what, list(KINDS))}; expected one of {', '.join(KINDS)}"
        )
    for line in lines(what):
        print(line)


@app.command()
def doctor() -> None:
    """Look at this machine: what is installed, what works, what is missing and how to get it."""
    from vgaudit.cli.doctor import checks

    broken = False
    for check in checks():
        broken |= not check.ok and check.required
        mark = "ok     " if check.ok else ("MISSING" if check.required else "absent ")
        print(f"{mark} {check.name}: {check.text}")
    if broken:
        raise typer.Exit(ExitCode.ERROR)


for _command in (gate_suggest, compare, power, export, selftest):
    app.command()(_command)
app.command(name="import")(import_)


def _prepare(
    suite: str,
    backend: str | None,
    gallery: str | None,
    limit: int | None,
    overrides: list[str] | None,
    cohort: Path | None = None,
) -> Any:
    from vgaudit.pipeline.prepare import prepare
    from vgaudit.suite import load_suite
    from vgaudit.suite.given import given_overrides

    texts = given_overrides(overrides or [], backend=backend, gallery=gallery, cohort=cohort)
    return prepare(load_suite(suite, texts), limit=limit)


def _expect_folder(path: Path, what: str) -> None:
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise UsageError(f"{path}: expected {what}, found {found}")


def _conclude(data: Any, report_path: Path | None, changed: bool, exit_zero: bool) -> None:
    from vgaudit.cli.conclusion import print_conclusion

    print_conclusion(data, report_path, changed)
    code = data.verdict.exit_code
    if code and not exit_zero:
        raise typer.Exit(code)


def main() -> None:
    """Entry point: errors become one readable text on standard error and the right exit code."""
    try:
        code = app(standalone_mode=False)
    except SuiteError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        if len(error.problems) > 1:
            print(f"{len(error.problems)} problems", file=sys.stderr)
        code = error.exit_code
    except VgauditError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.ERROR
    except _CLICK_ERROR as error:
        error.show()  # type: ignore[attr-defined]
        code = ExitCode.USAGE
    if code == ExitCode.INTERRUPTED:  # which Typer returns for Ctrl-C
        print("interrupted; the same command continues where this stopped", file=sys.stderr)
    sys.exit(int(code or 0))


# Typer brings a click of its own; the class of all its usage errors is found through the one it exports.
_CLICK_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


if __name__ == "__main__":
    main()
