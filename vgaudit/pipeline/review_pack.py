"""Pack a run's report for reviewers who have no vgaudit: one zip file to open in a browser, and back comes a file."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from vgaudit.errors import UsageError
from vgaudit.pipeline.finish import regate
from vgaudit.pipeline.photographs import photographs, record_shown
from vgaudit.pipeline.runspec import RunSpec
from vgaudit.reports.data import ReportData
from vgaudit.reports.html import write_html
from vgaudit.reports.likeness_pictures import Photographs
from vgaudit.reports.review_items import decidable
from vgaudit.rundir import RunDir, atomic_write

README = "README.txt"
REPORT = "report"

_TEXT = frozenset({".html", ".css", ".js", ".json", ".svg", ".txt"})
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment a zip file can name: equal reports make equal files
_PRIVATE = 0o600 << 16
_README = """\
Review of: {name}

{findings} to decide on. The pages show faces and what was found about them:
pass this folder on to nobody, and delete it when you are done.

1. Unpack the whole zip file into a folder of your own disk.
2. Open {report}/review.html in a browser. It needs no network and no installation.
3. Go through the findings. Press ? for the keys. The page asks for your name once.
   Decisions stay in your browser as a draft; a reload keeps them.
4. Press "Download decisions" and send the .jsonl file back to whoever gave you
   this folder. They take it in with:

   vgaudit decide import {run} FILE.jsonl

Packed from a run with vgaudit {version}; plan {plan}.
"""


def write_pack(run: Path, out: Path, *, photos: Path | Photographs | None = None) -> Path:
    """Write the report of a run, with clips and the review page in its offline mode, as one zip file.

    The report is made afresh, with the decisions that are in the chain now; the run's own is not touched. Equal runs
    make equal files. The zip has neither features nor templates, and of the gallery nothing but ``photos``. It is
    readable by its owner alone.

    Args:
        run: A scored run directory.
        out: The zip file; one that is there is replaced at once when the new one is whole.
        photos: Photographs of gallery entries beside the hits: a file of ``vgaudit gallery build``, or the pictures
            themselves. Which ones were packed is added to the run's record of what reviewers were shown.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` is a folder or no ``.zip``, or there is nothing to decide on.
        RunDirError: ``run`` is no run, or has not been scored.
        GalleryError: ``photos`` does not fit the run.
        OSError: The disk cannot be written.
    """
    if out.suffix.lower() != ".zip" or out.is_dir():
        raise UsageError(f"{out}: expected a file name that ends in .zip for the pack; give --out FILE.zip")
    opened = RunDir.open(run)
    spec = RunSpec.from_json(opened.manifest()["spec"])
    data = regate(opened, spec.gates, spec.max_failed)
    found = len(decidable(data))
    if not found:
        raise UsageError(f"{run}: expected findings to decide on, found none; there is nothing to review")
    pictures = photographs(photos, data) if isinstance(photos, Path) else photos
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        report = Path(folder) / REPORT
        write_html(data, report, pictures)
        if pictures:  # on record before anybody can look at them
            with opened.lock():
                record_shown(run, report)
        with atomic_write(out, private=True) as file:
            _zip(file, report, _readme(data, run, found), _top(run))
    return out


def _readme(data: ReportData, run: Path, found: int) -> str:
    return _README.format(
        name=" ".join(data.name.split()),
        findings=f"{found} finding{'s' if found != 1 else ''}",
        report=REPORT,
        run=shlex.quote(run.resolve().name),
        version=data.manifest.get("provenance", {}).get("vgaudit") or "of an unknown version",
        plan=str(data.manifest.get("plan_digest") or "unknown")[:16],
    )


def _top(run: Path) -> str:
    """The folder inside the zip: a name that any system can unpack."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", run.resolve().name).strip("-")[:60]
    return f"{name or 'run'}-review"


def _zip(file: IO[bytes], report: Path, readme: str, top: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, f"{top}/{README}", readme.encode())
        for path in sorted(p for p in report.rglob("*") if p.is_file() and not p.is_symlink()):
            _add(archive, f"{top}/{REPORT}/{path.relative_to(report).as_posix()}", path)


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.create_system = 3  # Unix, wherever it is made: the mode below counts
    info.external_attr = _PRIVATE
    is_text = Path(name).suffix in _TEXT
    info.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    if isinstance(content, bytes):
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
