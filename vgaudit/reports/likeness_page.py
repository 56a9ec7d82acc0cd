"""Write ``likeness.html``: the page on which somebody decides whether people could be recognised in the clips.

Two builds. The reviewer's stands in the run's report: faces as they are, beside photographs of the gallery where they
are given. The shareable one is a folder of its own that may be passed on: every face is coarsened beyond recognition,
people are numbered, prompts are left out, and no clip is part of it but, where asked for, ones with covered faces.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from vgaudit.errors import UsageError
from vgaudit.likeness.wording import FIXED_WORDS
from vgaudit.reports.clip_index import page_stems
from vgaudit.reports.data import ReportData
from vgaudit.reports.likeness_headline import METRIC, clip_states, headline, state_counts
from vgaudit.reports.likeness_hits import CARDS_SHOWN, CardMaker, mapping, raw_hits
from vgaudit.reports.likeness_names import Names, VeiledNames
from vgaudit.reports.likeness_pictures import MosaicFolder, PhotographCase, Photographs
from vgaudit.reports.likeness_shared import CHECKED, CLIPS, SharedMedia
from vgaudit.reports.likeness_tables import (
    LEDGER_FILE,
    clip_rows,
    faces,
    hit_rows,
    ledger,
    people,
    unassessable_rows,
)
from vgaudit.reports.likeness_words import LIMITS, READING
from vgaudit.reports.media import MediaFolder, prune
from vgaudit.reports.page_files import (
    CONTENT_SECURITY_POLICY,
    moment,
    page_environment,
    write_assets,
    write_page,
)

__all__ = [
    "Photographs",
    "has_likeness",
    "refuse_shareable",
    "remove_likeness",
    "write_likeness",
    "write_shareable",
]

PAGE, SHOWN, FACES = "likeness.html", "likeness_shown.json", "faces"
_A_CLIP = re.compile(r"clip-\d+\.(mp4|jpg)")
_SHARED_ASSETS = ("report.css", "likeness.css", "icon.svg")


def has_likeness(data: ReportData) -> bool:
    """Whether the run asked for likeness: only then is there such a page."""
    return (
        any(METRIC in entry.measurements for entry in data.clips)
        or any(result.name.partition(".")[0] == METRIC for result in data.results)
        or METRIC in mapping(data.manifest.get("metrics"))
        or METRIC in data.settled
    )


def write_likeness(
    data: ReportData,
    out_dir: Path,
    environment: Environment | None = None,
    *,
    photos: Photographs | None = None,
    shareable: bool = False,
    with_prompts: bool = False,
    stems: Mapping[str, str] | None = None,
    shared: SharedMedia | None = None,
    case: PhotographCase | None = None,
) -> Path:
    """Write ``likeness.html`` with its pictures in ``faces/``.

    Args:
        data: The run. Pictures are taken from below ``data.run_dir`` only.
        out_dir: The report's folder. The reviewer's page expects ``assets/`` and ``clips/`` of the report beside it;
            the shareable page brings its own assets.
        environment: Templates; made if not given.
        photos: Photographs of gallery entries for the reviewer's cards. One whose bytes do not have the stated
            SHA-256 is not shown. What was shown is recorded in ``likeness_shown.json``.
        shareable: The build that may be passed on.
        with_prompts: Prompts beside hits in that build, but for those known to name somebody.
        stems: Sample id -> file name of the clip's page, where the caller has them.
        shared: Clips with covered faces, for that build only.
        case: Takes the place of ``photos``: photographs that another page shows too, in :data:`FACES`. The record of
            what was shown has those as well, so the other page is made first.

    Returns:
        Path of the page.

    Raises:
        UsageError: Photographs were given for the shareable build.
        OSError: The folder cannot be written.
    """
    if shareable and photos:
        raise UsageError(
            "a shareable likeness page was asked for with photographs of the gallery; expected none: write the "
            "reviewer's page, or leave the photographs out"
        )
    if shared is not None and not shareable:
        raise ValueError("clips with covered faces belong to the shareable page")
    out_dir.mkdir(parents=True, exist_ok=True)
    names = VeiledNames(data, with_prompts) if shareable else Names(data)
    if case is None or shareable:
        made: MediaFolder = MediaFolder(data.run_dir, out_dir / FACES)
        if shareable:
            made = MosaicFolder(data.run_dir, out_dir / FACES, shared.check if shared else None)
        case = PhotographCase(photos, made)
    folder = case.folder
    maker = CardMaker(
        data, names, folder, case, stems or page_stems(data.clips), shared.clips if shared else None
    )
    hits = raw_hits(data)
    guarded = [hit for hit in hits if not hit.consented]
    states = clip_states(data, hits)
    settled = mapping(data.settled.get(METRIC))
    groups = list(dict.fromkeys(entry.sample.group for entry in data.clips))
    text = (environment or page_environment()).get_template(PAGE).render(
        csp=CONTENT_SECURITY_POLICY,
        version=str(data.manifest.get("provenance", {}).get("vgaudit") or "unknown version"),
        root=".",
        title="Likeness audit",
        run_name=names.text(data.name),
        created=moment(data.manifest.get("created")),
        shareable=shareable,
        with_prompts=with_prompts,
        fixed_words=FIXED_WORDS,
        head=headline(data, hits, states, names),
        cards=list(maker.cards(guarded[:CARDS_SHOWN])),
        hits=len(guarded),
        rest=hit_rows(guarded[CARDS_SHOWN:], names, maker),
        consented=hit_rows([hit for hit in hits if hit.consented], names, maker),
        unassessable=unassessable_rows(data, names, maker),
        groups=[names.text(group) for group in groups],
        states=state_counts(states, groups, guarded, settled),
        clips=clip_rows(states, names, maker),
        people=people(settled, maker),
        faces=faces(data, settled, names, maker),
        ledger=ledger(data, names, maker),
        ledger_file=LEDGER_FILE,
        photographs=case.given,
        reading=READING,
        limits=LIMITS,
        withheld=names.withheld if isinstance(names, VeiledNames) else (0, 0),
        # last: by now all pictures have been asked for
        checked=shared.words(folder.checked) if shared and isinstance(folder, MosaicFolder) else (),
    )  # fmt: skip
    if shareable:
        write_assets(out_dir / "assets", _SHARED_ASSETS)
        _write_clips(shared, out_dir)
        if shared and isinstance(folder, MosaicFolder):
            numbers_of = {e.sample.sample_id: i for i, e in enumerate(data.clips, 1)}
            write_page(out_dir / CHECKED, shared.to_json(folder.checked, numbers_of))
    else:
        record = {"page": PAGE, "photographs": case.shown}
        write_page(out_dir / SHOWN, json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    folder.prune()
    return write_page(out_dir / PAGE, text)


def _write_clips(shared: SharedMedia | None, out_dir: Path) -> None:
    """Put the clips beside the page; those of an earlier page go."""
    target = out_dir / CLIPS
    if shared is None or not shared.files:
        (out_dir / CHECKED).unlink(missing_ok=True)
        if target.is_dir():
            prune(target, set())
            target.rmdir()
        return
    target.mkdir(exist_ok=True)
    for name in sorted(shared.files):
        (target / name).unlink(missing_ok=True)  # never written through a link
        shutil.copyfile(shared.folder / name, target / name)
    prune(target, shared.files)


def refuse_shareable(data: ReportData, folder: Path) -> None:
    """Refuse a run without a likeness audit, and a folder that a page may not be passed on in.

    Raises:
        UsageError: See :func:`write_shareable`.
    """
    if not has_likeness(data):
        raise UsageError(
            f"{data.run_dir}: expected a run with a likeness audit, found none; add metrics: {{likeness: {{gallery: "
            "DIR}} to its suite"
        )
    if folder.resolve().is_relative_to(data.run_dir.resolve()):
        raise UsageError(
            f"--shareable {folder}: expected a folder outside the run directory, found one inside {data.run_dir}; "
            "what is passed on is a copy that a purge of the run does not reach, so name a folder elsewhere"
        )
    other = _not_ours(folder) if folder.is_dir() else []
    if other or (folder.exists() and not folder.is_dir()):
        found = f"it holds {', '.join(other[:3])}" if other else "it is a file"
        raise UsageError(
            f"--shareable {folder}: expected an empty or new folder, so that nothing unblurred is passed on with the "
            f"page, but {found}; name another folder"
        )


def _not_ours(folder: Path) -> list[str]:
    """What lies in a folder and is no part of an earlier page; pictures and clips of others would be removed."""
    other = sorted(
        path.name for path in folder.iterdir() if path.name not in {PAGE, FACES, "assets", CLIPS, CHECKED}
    )
    if (clips := folder / CLIPS).exists():
        if not clips.is_dir():
            return [*other, CLIPS]
        other += sorted(f"{CLIPS}/{p.name}" for p in clips.iterdir() if not _A_CLIP.fullmatch(p.name))
    return other


def write_shareable(
    data: ReportData, folder: Path, *, with_prompts: bool = False, shared: SharedMedia | None = None
) -> Path:
    """Write the likeness page that may be passed on, into a folder of its own; returns its path.

    Args:
        data: The run.
        folder: An empty or new folder outside the run directory.
        with_prompts: Show prompts beside hits, but for those known to name somebody.
        shared: Clips with covered faces to go with it.

    Raises:
        UsageError: The run has no likeness audit, the folder holds something else than an earlier page, or it lies
            in the run directory, where a purge would keep it without reaching into it.
    """
    refuse_shareable(data, folder)
    return write_likeness(data, folder, shareable=True, with_prompts=with_prompts, shared=shared)


def remove_likeness(out_dir: Path) -> None:
    """Remove the page of an earlier report, for a run that has no likeness audit any more."""
    for name in (PAGE, SHOWN):
        (out_dir / name).unlink(missing_ok=True)
    if (out_dir / FACES).is_dir():
        prune(out_dir / FACES, set())
