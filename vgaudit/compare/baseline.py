"""Baseline files: a :class:`~vgaudit.compare.snapshot.Snapshot` as JSON, gzipped where the name ends with ``.gz``.

The same run gives the same bytes. A digest of the content stands beside it, so that a file that was cut, merged or
edited by hand is told from one that was saved.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgaudit.compare.from_run import snapshot_of
from vgaudit.compare.snapshot import VERSION, Snapshot
from vgaudit.errors import UsageError
from vgaudit.records import digest
from vgaudit.reports.data import ReportData
from vgaudit.rundir import RunDir, atomic_write, is_run_dir

FORMAT = "vgaudit-baseline"
MOST_BYTES = 512 * 2**20
"""Size of the JSON text beyond which a file is refused: a small file can unpack to anything."""

_HEAD = "expected a baseline file, as `vgaudit baseline save RUN --out FILE.json.gz` writes it"


class BaselineError(UsageError):
    """A baseline file is damaged, of a newer version, or none at all."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        snapshot: What numbers follow from.
        path: Of the run directory or file, as given; it is in no number and no ``compare.json``.
        data: The run as reports see it; ``None`` for a baseline file.
    """

    snapshot: Snapshot
    path: Path
    data: ReportData | None = None


def open_side(path: Path) -> Side:
    """A run directory or a baseline file.

    Raises:
        RunDirError: The run cannot be compared.
        BaselineError: The file cannot be read.
    """
    if is_run_dir(path):
        snapshot, data = snapshot_of(RunDir.open(path))
        return Side(snapshot, path, data)
    if path.is_file():
        return Side(read_baseline(path), path)
    found = "a folder without a run" if path.is_dir() else "nothing"
    raise UsageError(f"{path}: expected a run directory or a baseline file, found {found}")


def baseline_bytes(snapshot: Snapshot, *, packed: bool) -> bytes:
    """The content of a baseline file."""
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": snapshot.digest,
        "content": snapshot.to_json(),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = f"{text}\n".encode()
    return gzip.compress(data, 9, mtime=0) if packed else data


def write_baseline(run: Path, out: Path) -> Snapshot:
    """Save what comparisons need of a run.

    Args:
        run: A scored run directory.
        out: ``FILE.json.gz``, or ``FILE.json`` for a file that is not packed.

    Raises:
        UsageError: ``out`` has another ending, or is a folder.
        RunDirError: The run cannot be compared.
    """
    if out.is_dir() or not out.name.endswith((".json", ".json.gz")):
        raise UsageError(f"{out}: expected a file name that ends with .json.gz (or .json)")
    snapshot, _ = snapshot_of(RunDir.open(run))
    with atomic_write(out) as file:
        file.write(baseline_bytes(snapshot, packed=out.suffix == ".gz"))
    return snapshot


def read_baseline(path: Path) -> Snapshot:
    """Read what :func:`write_baseline` wrote, whatever the file is called.

    Raises:
        BaselineError: It is no baseline, damaged, or of a newer version.
    """
    whole = _parsed(path)
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise BaselineError(f"{path}: {_HEAD}, found other JSON")
    version = whole.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BaselineError(f"{path}: damaged: its version is {version!r}; save the baseline again")
    if version > VERSION:
        raise BaselineError(
            f"{path}: a baseline of version {version}, this vgaudit reads up to {VERSION}; update vgaudit, or save "
            "the baseline again with this one"
        )
    content: Any = whole.get("content")
    try:
        told = digest(content)
    except (TypeError, ValueError) as error:
        raise BaselineError(f"{path}: damaged ({error}); save the baseline again") from error
    if told != whole.get("sha256"):
        raise BaselineError(
            f"{path}: damaged or edited: its content does not have the SHA-256 that it names; "
            "restore the file, or save the baseline again"
        )
    try:
        return Snapshot.from_json(content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BaselineError(
            f"{path}: damaged ({type(error).__name__}: {error}); save the baseline again"
        ) from error


def _parsed(path: Path) -> Any:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data, path)
        return json.loads(data.decode("utf-8"))
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, zlib.error, RecursionError) as error:
        raise BaselineError(f"{path}: {_HEAD}, found one that is damaged, or no JSON ({error})") from error


def _unpacked(data: bytes, path: Path) -> bytes:
    reader = zlib.decompressobj(31)
    out = reader.decompress(data, MOST_BYTES + 1)
    if len(out) > MOST_BYTES:
        raise BaselineError(f"{path}: unpacks to more than {MOST_BYTES:,} bytes; {_HEAD}")
    if not reader.eof or reader.unused_data:
        raise ValueError("the file is cut, or something follows its end")
    return out
