"""The run directory: everything of one run on disk, written so that a kill at any moment loses nothing finished.

Layout (``docs/architecture.md`` has it in full)::

    manifest.json  plan.jsonl  results.json
    clips/<sample_id>.<ext>  + .json record                previews/<clip sha256>.jpg (+ .mp4 where needed)
    features/<extractor fingerprint>/<clip sha256>.npz     features/info/<clip sha256>.json
    work/<backend index>/                                  notes of backends about jobs they submitted
    measurements/log.jsonl                                 append-only, last line of a key wins
    decisions.jsonl  decision_notes/<sha256>.txt           what reviewers said (vgaudit.decisions)
    likeness_shown.jsonl                                   photographs that reviewers were shown
    samples.parquet  measurements.parquet  findings.parquet  junit.xml  report.sarif  summary.md  report/

A file is written under a temporary name, flushed to disk and renamed; so it is either whole or absent. Files get the
mode that the umask leaves; what is biometric or about persons is readable by its owner alone, whatever the umask.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vgaudit.errors import RunDirError, RunLocked
from vgaudit.plan import Plan
from vgaudit.records import ClipRecord

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


def owner_only(path: str, flags: int) -> int:
    """An ``opener`` for :func:`open`: a file that is made is readable and writable by its owner alone."""
    return os.open(path, flags, 0o600)


@contextmanager
def atomic_write(path: Path, mode: str = "wb", *, private: bool = False) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; on success it is fsynced and renamed onto ``path``.

    Args:
        path: The file.
        mode: ``wb`` or ``w``.
        private: Mode 0600 whatever the umask, for what is biometric or about persons; else what the umask leaves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(
        temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600 if private else 0o666
    )
    try:
        with open(handle, mode, encoding=None if "b" in mode else "utf-8") as file:  # noqa: PTH123
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Write JSON atomically: sorted keys, so that equal content means equal bytes; NaN is refused."""
    with atomic_write(path, "w", private=private) as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def copy_with_digest(source: Path, target: Path) -> str:
    """Copy a file atomically and return the SHA-256 of its bytes."""
    hasher = sha256()
    with source.open("rb") as reader, atomic_write(target) as writer:
        while block := reader.read(1 << 20):
            hasher.update(block)
            writer.write(block)
    return hasher.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    hasher = sha256()
    with path.open("rb") as reader:
        while block := reader.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def is_run_dir(path: Path) -> bool:
    """Whether ``path`` holds a run."""
    return (path / MANIFEST).is_file()


_BEGUN = re.compile(r"\.lock|plan\.jsonl|\..*\.tmp")
"""What a run that was killed before it had a manifest has left."""

STORED_CLIP_LOST = "the stored clip is gone or its bytes have changed since it was stored"
"""``media_error`` of a clip that is no longer what its record says."""
STRIP_SUFFIX = ".strip.jpg"
"""Ending of a clip's filmstrip among the previews."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def _refuse_foreign(record: ClipRecord, sample_id: str, file: Path) -> None:
    """A run directory from elsewhere must not make us read or write outside of it."""
    parts = PurePosixPath(record.file or "clips/x").parts
    inside = len(parts) == 2 and parts[0] == "clips" and parts[1] not in (".", "..")
    if (
        record.sample_id != sample_id
        or not inside
        or (record.sha256 and not _SHA256.fullmatch(record.sha256))
    ):
        raise RunDirError(
            f"{file}: expected the record of {sample_id} with a clip in this run's clips folder and its SHA-256, "
            "found something else; delete it to make the clip again"
        )


def stored_facts(path: Path) -> dict[str, int]:
    """Size and time stamp of a stored clip: while they stay, its bytes are taken to be the same."""
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _no_number(name: str) -> float:
    """Refuse ``NaN`` and ``Infinity``, which are no JSON and which nothing here writes."""
    raise ValueError(f"expected a number, found {name}")


class RunDir:
    """One run on disk. Reading needs no lock; whoever writes holds :meth:`lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """An existing run.

        Raises:
            RunDirError: There is no run, or it was written by a newer version.
        """
        if not is_run_dir(path):
            raise RunDirError(
                f"{path}: expected a run directory (with {MANIFEST}), found none; give the --out folder of a run"
            )
        run = cls(path)
        run.manifest()
        return run

    # -- manifest and plan -------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The parsed manifest.

        Raises:
            RunDirError: It is unreadable, or of a newer schema.
        """
        file = self.path / MANIFEST
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            version = int(data["schema_version"])
            if version <= SCHEMA_VERSION:
                data["spec"]["kind"], data["suite"]["name"], data["plan_digest"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunDirError(
                f"{file}: cannot be read as a manifest ({error}); restore it or start a new run"
            ) from error
        if version > SCHEMA_VERSION:
            raise RunDirError(
                f"{file}: written with run-directory schema {version}, this vgaudit reads up to {SCHEMA_VERSION}; "
                "update vgaudit"
            )
        return dict(data)

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """Replace the manifest."""
        write_json(self.path / MANIFEST, {**data, "schema_version": SCHEMA_VERSION})

    def plan(self) -> Plan:
        """The stored plan."""
        file = self.path / "plan.jsonl"
        try:
            return Plan.from_jsonl(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunDirError(f"{file}: cannot be read as a plan ({error})") from error

    def write_plan(self, plan: Plan) -> None:
        """Replace the plan."""
        with atomic_write(self.path / "plan.jsonl", "w") as file:
            file.write(plan.to_jsonl())

    def refuse_other_content(self) -> None:
        """Refuse to make a run where other files lie.

        Raises:
            RunDirError: The path is a file, or a folder with something else than a run or the beginning of one.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunDirError(
                f"{self.path}: expected a folder for the run, found a file; choose another --out"
            )
        if self.path.is_dir() and not is_run_dir(self.path):
            others = [p.name for p in self.path.iterdir() if not _BEGUN.fullmatch(p.name)]
            if others:
                raise RunDirError(
                    f"{self.path}: expected an empty or new folder or a run directory, found other files "
                    f"({', '.join(sorted(others)[:3])}); choose another --out"
                )

    def sweep(self) -> None:
        """Remove the temporary files that a killed process left; only while holding the lock."""
        folders = ("", "clips/", "previews/", "evidence/", "features/*/", "measurements/")
        for pattern in (f"{folder}.*.tmp" for folder in folders):
            for leftover in self.path.glob(pattern):
                leftover.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the kernel lets go when the process ends, however it ends.

        Raises:
            RunLocked: Another process holds it.
            RunDirError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").touch()
        except OSError as error:
            raise RunDirError(
                f"{self.path}: expected a folder that can be written: {error.strerror}"
            ) from error
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RunLocked(
                    f"{self.path}: another vgaudit (process {holder}) is writing this run; "
                    "wait for it or choose another --out"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    # -- clips -------------------------------------------------------------------------------------

    def clip_path(self, sample_id: str, suffix: str) -> Path:
        """Where a clip or its record (``.json``) lies."""
        return self.path / "clips" / f"{sample_id}{suffix}"

    def preview_path(self, clip_sha256: str, suffix: str) -> Path:
        """Where the poster (``.jpg``), the filmstrip and, if browsers cannot play the clip, a copy (``.mp4``) lie."""
        return self.path / "previews" / f"{clip_sha256}{suffix}"

    def evidence_path(self, name: str) -> Path:
        """Where a picture lies that shows something of a clip."""
        return self.path / "evidence" / name

    def ledger_path(self, metric: str) -> Path:
        """Where a metric's account of the run lies."""
        return self.path / f"{metric}_ledger.jsonl"

    def write_ledger(self, metric: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace a metric's account of the run, a JSON object a line; readable by its owner alone."""
        with atomic_write(self.ledger_path(metric), "w", private=True) as file:
            for row in rows:
                file.write(json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")

    def ledger(self, metric: str) -> list[dict[str, Any]]:
        """A metric's account of the run; empty where it keeps none.

        Raises:
            RunDirError: The file is damaged.
        """
        file = self.ledger_path(metric)
        try:
            return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise RunDirError(
                f"{file}: cannot be read ({error}); run `vgaudit score {self.path}` again"
            ) from error

    def clip_record(self, sample_id: str) -> ClipRecord:
        """The record of a sample, with decode facts merged in; outcome ``pending`` when there is none yet."""
        file = self.clip_path(sample_id, ".json")
        try:
            record = ClipRecord.from_json(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return ClipRecord(sample_id=sample_id, outcome="pending", message="not generated yet")
        except (ValueError, TypeError) as error:
            raise RunDirError(
                f"{file}: cannot be read as a clip record ({error}); delete it to make the clip again"
            ) from error
        _refuse_foreign(record, sample_id, file)
        if not record.sha256 or record.file is None:
            return record
        if not self._clip_is_unchanged(record):
            return replace(record, media_error=STORED_CLIP_LOST)
        facts = self.clip_info(record.sha256)
        poster, play = self.preview_path(record.sha256, ".jpg"), self.preview_path(record.sha256, ".mp4")
        strip = self.preview_path(record.sha256, STRIP_SUFFIX)
        shown = dict(facts.get("strip") or {}) if strip.is_file() else {}
        playable = play if play.is_file() else None
        if playable is None and facts.get("browser_playable") and record.file:
            playable = self.path / record.file
        return replace(
            record,
            info=facts.get("info", {}),
            media_error=facts.get("error", ""),
            poster=poster.relative_to(self.path).as_posix() if poster.is_file() else None,
            strip={"file": strip.relative_to(self.path).as_posix(), **shown} if shown else {},
            playable=playable.relative_to(self.path).as_posix() if playable else record.playable,
        )

    def _clip_is_unchanged(self, record: ClipRecord) -> bool:
        path = self.path / str(record.file)
        try:
            return stored_facts(path) == record.facts.get("stored") or file_digest(path) == record.sha256
        except OSError:
            return False

    def write_clip_record(self, record: ClipRecord) -> None:
        """Replace the record of a sample; this commits the clip."""
        write_json(self.clip_path(record.sample_id, ".json"), record.to_json())

    def clip_info(self, clip_sha256: str) -> dict[str, Any]:
        """What decoding a clip told (``info`` or ``error``); empty before it was decoded."""
        try:
            return dict(
                json.loads((self.path / "features" / "info" / f"{clip_sha256}.json").read_text("utf-8"))
            )
        except (FileNotFoundError, ValueError):
            return {}

    def write_clip_info(self, clip_sha256: str, facts: Mapping[str, Any]) -> None:
        """Store what decoding a clip told."""
        write_json(self.path / "features" / "info" / f"{clip_sha256}.json", facts)

    # -- features ----------------------------------------------------------------------------------

    def features_path(self, fingerprint: str, key: str) -> Path:
        """Where the features of a clip (by SHA-256) or text (by ``text-<sha256>``) lie."""
        if not _FOLDER.fullmatch(fingerprint):
            raise RunDirError(f"extractor fingerprint {fingerprint!r} cannot be the name of a folder")
        return self.path / "features" / fingerprint / f"{key}.npz"

    # -- measurements ------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self.path / "measurements" / "log.jsonl"

    def read_measurements(self) -> dict[str, dict[str, Any]]:
        """Key to ``{key, sample_id, metric, measurement}``; a torn last line is left out."""
        entries: dict[str, dict[str, Any]] = {}
        if not self._log.is_file():
            return entries
        with self._log.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # the writer was killed inside this line; it is measured again
                try:
                    entry = json.loads(line)
                    entries[entry["key"]] = entry
                except (ValueError, KeyError, TypeError) as error:
                    raise RunDirError(
                        f"{self._log}:{number}: damaged line ({error}); delete the file to measure again"
                    ) from error
        return entries

    def mend_log(self) -> None:
        """Cut a torn last line off, so that appending starts on a fresh line."""
        if not self._log.is_file():
            return
        data = self._log.read_bytes()
        if data and not data.endswith(b"\n"):
            with self._log.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

    def append_measurements(self, entries: list[dict[str, Any]]) -> None:
        """Add entries to the log, flushed to disk; safe to call from several threads."""
        if not entries:
            return
        text = "".join(
            json.dumps(e, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n" for e in entries
        )
        with self._log_lock:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())

    # -- results -----------------------------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """The parsed results.

        Raises:
            RunDirError: The run has not been scored, or the file is damaged.
        """
        file = self.path / "results.json"
        try:
            return dict(json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number))
        except FileNotFoundError as error:
            raise RunDirError(
                f"{self.path}: this run has no results yet; run `vgaudit score {self.path}` first"
            ) from error
        except (ValueError, TypeError) as error:
            raise RunDirError(
                f"{file}: cannot be read ({error}); run `vgaudit score {self.path}` again"
            ) from error

    def write_results(self, data: Mapping[str, Any]) -> None:
        """Replace the results."""
        write_json(self.path / "results.json", data)
